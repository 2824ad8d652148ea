"""What a report says, as text, as a page and from the command line.

Oracles: html.parser, the numbers of the diagnosis behind it, the exit status of the command.
"""

import base64
import dataclasses
import html
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import torch
from draws import generator
from torch import nn

from landscape_nb import EmpiricalLoss
from landscape_nb.__main__ import main
from landscape_nb.figures import plots
from landscape_nb.figures.forecast import forecast_along_k
from landscape_nb.numerics.wording import beyond
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP, DecoderTransformer, TransformerConfig, sequence_loss
from landscape_nb.study import report as module
from landscape_nb.study.answer import answer
from landscape_nb.study.budget import Budget, default_budget, timed_budget
from landscape_nb.study.report import Report, Section, report, written
from landscape_nb.theory.forecast import forecast_enough

cross_entropy = nn.CrossEntropyLoss(reduction="none")
pytestmark = pytest.mark.usefixtures("one_thread")
LEAST = Budget(10, 12, 6, 0)
HEADINGS = [
    "In short",
    "What to doubt",
    "How much data is enough",
    "What was measured",
    "Curvature",
    "What one more sample changes",
    "Local regime",
]


class Convolutional(nn.Sequential):
    """Batch norm in eval mode: its running averages are constants."""

    def __init__(self):
        super().__init__(
            nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 3, 3, stride=2), nn.BatchNorm2d(3), nn.Tanh(),
            nn.Flatten(), nn.Linear(27, 10),
        )  # fmt: skip
        self.double()
        with torch.no_grad():
            self(digits(30).inputs)  # running averages that mean something
        self.eval()


class Tied(nn.Module):
    """An auto-encoder whose decoder is its encoder, transposed."""

    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(0.1 * torch.randn(3, 64, generator=generator(), dtype=torch.float64))

    def forward(self, x):
        return torch.tanh(x @ self.W.T) @ self.W


def squares(out, y):
    return (out - y).square().flatten(1).mean(1)


def frozen():
    model = MLP([64, 4, 10])
    model[0].requires_grad_(False)
    return classifier(model)


def transformer(n=30):
    tokens = torch.randint(7, (n, 6), generator=generator())
    config = TransformerConfig(7, context=5, width=4, depth=1, heads=2, kv_heads=1, hidden=4)
    model = DecoderTransformer(config, dtype=torch.float64)
    return EmpiricalLoss(model, sequence_loss, tokens[:, :-1], tokens[:, 1:])


def regression():
    x = torch.linspace(-1, 1, 30, dtype=torch.float64)[torch.randperm(30, generator=generator())]
    return EmpiricalLoss(MLP([1, 3, 1]), squares, x[:, None], x[:, None] ** 3)


def classifier(model, n=30, **options):
    return EmpiricalLoss(model, cross_entropy, *digits(n), **options)


MODELS = {
    "convolution with batch norm": lambda: classifier(Convolutional()),
    "transformer": transformer,
    "regression": regression,
    "tied weights": lambda: EmpiricalLoss(Tied(), squares, *[digits(30).inputs] * 2),
    "frozen parameters": frozen,
}


def quick(loss, k=20, **options):
    return report(loss, k, **{"D": 3, "budget": LEAST, "progress": False} | options)


def page_loss():
    return classifier(MLP([64, 3, 10]), l2=1e-2)


@pytest.fixture(scope="module")
def page():
    return quick(page_loss())


class Page(HTMLParser):
    """Collects tags, and complains about what isn't closed in order."""

    VOID = {"meta", "img", "br", "link", "input", "hr"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text, self.wrong = [], [], [], []
        self.feed(text)
        self.close()
        self.wrong += self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def assert_fit_to_publish(text):
    read = Page(text)
    assert read.wrong == []
    assert not re.search(r"https?:|//\w", re.sub(r'src="data:image/png;base64,[^"]*"', "", text))
    forbidden = {"script", "link", "iframe", "object", "embed", "base", "form", "video", "audio"}
    assert forbidden.isdisjoint(tag for tag, _ in read.tags)
    assert not [name for _, attributes in read.tags for name in attributes if name[:2] == "on"]
    pictures = read.all("img")
    assert len(pictures) == 3
    for picture in pictures:
        head, data = picture["src"].split(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
        assert len(picture["alt"]) > 40
    return read


# -- models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_models(name):
    """Every kind of model gets a whole report, and stays as it is."""
    loss = MODELS[name]()
    before = {key: value.clone() for key, value in loss.model.state_dict().items()}
    page = quick(loss)
    read = assert_fit_to_publish(page.html())
    assert [section.title for section in page.sections] == HEADINGS
    assert "nan" not in re.split(r"\W+", "".join(read.text)) and "nan" not in str(page)
    after = loss.model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert len(page.diagnosis.w) == {"frozen parameters": 50}.get(name, loss.num_params)
    assert not loss.model.training or name != "convolution with batch norm"


def test_float32():
    x, y = digits(30, dtype=torch.float32)
    loss = EmpiricalLoss(MLP([64, 3, 10], dtype=torch.float32), cross_entropy, x, y)
    assert_fit_to_publish(quick(loss).html())


def test_a_linear_loss_is_reported_too():
    x = digits(30).inputs
    loss = EmpiricalLoss(nn.Linear(64, 1).double(), lambda out, y: out[:, 0], x, x)
    text = unwrapped(str(quick(loss, w=loss.w0)))
    assert "Nothing bends upward" in text and "No direction bends upward" in text
    assert "inf" not in re.split(r"\W+", text)


# -- text -----------------------------------------------------------------------------------------


def test_text_has_every_section_and_what_the_pictures_show(page):
    text = str(page)
    assert [line for line in text.splitlines() if line in HEADINGS] == HEADINGS
    assert max(map(len, text.splitlines())) <= 100
    for section in page.sections:
        assert f"{section.title}\n{'-' * len(section.title)}\n" in text
        assert all(sentence in unwrapped(text) for sentence in section.sentences)
        if section.picture:
            assert section.picture[1] in unwrapped(text)


@pytest.mark.parametrize("unit", ["1 %", "2 000", "1 234 567"])
def test_lines_do_not_tear_a_number_apart(unit):
    for width in range(20, 40):
        lines = module._wrapped(
            [f"With your samples, one more moves it by {unit} of itself."], width
        )
        assert sum(unit in line for line in lines) == 1 and max(map(len, lines)) <= width


def unwrapped(text):
    return " ".join(text.split())


def test_sentences_end(page):
    words = [sentence for section in page.sections for sentence in section.sentences]
    words += [section.picture[1] for section in page.sections if section.picture]
    assert [sentence for sentence in words if sentence[-1] not in ".?"] == []


def test_numbers_are_those_of_the_diagnosis(page):
    d, text = page.diagnosis, unwrapped(str(page))
    for number in (
        f"{d.value:.4g}", f"{d.seen_value:.4g}", f"{d.unseen_value:.4g}", f"{d.grad_norm:.1e}",
        f"lambda_1 = {float(d.pairs.values[0]):.4g}", f"{float(d.trace.value):.4g} ±",
        f"Delta_1 = {d.delta1:.2e}", f"{d.tolerance:.2e}", f"{d.lowest:.2e}", *d.doubts,
    ):  # fmt: skip
        assert number in text


def test_the_trace_is_split_from_the_l2_term(page):
    d = page.diagnosis
    N, l2 = len(d.w), 1e-2
    share = float(d.pairs.values.sum() - 3 * l2) / float(d.trace.value - N * l2)
    assert f"of which {N * l2:.4g} is the L2 term's" in unwrapped(str(page))
    assert f"carry about {100 * share:.0f} % of the rest" in unwrapped(str(page))


def test_shares_of_each_probe_sum_to_one(page):
    (section,) = (section for section in page.sections if section.table)
    head, *rows = section.table
    assert head[2:6] == ("value", "cross", "gradient", "curvature") and len(rows) == 3
    for row in rows:
        assert sum(float(cell.removesuffix(" %")) for cell in row[2:6]) == pytest.approx(
            100, abs=0.03
        )
    assert rows[-1][-2:] == ("1", "1")


def section_of(page, title):
    (found,) = (section for section in page.sections if section.title == title)
    return found


def test_the_answer_comes_first_and_is_one_sentence(page):
    first = page.sections[0].sentences[0]
    assert first == answer(page.diagnosis)[0] and first.startswith("With your 20 samples, one more")
    assert first.count(". ") == 0 and first.endswith(".")
    assert str(page).splitlines()[2].startswith("With your 20 samples")
    shown = "".join(Page(page.html()).text)
    assert shown.index(first) < shown.index("What to doubt")


def test_cost_is_said_once(page):
    priced = written(page.diagnosis, 1.5)
    assert priced.sections[0].sentences == answer(page.diagnosis, 1.5)
    assert priced.sections[1:] == written(page.diagnosis).sections[1:] or all(
        a.sentences == b.sentences
        for a, b in zip(priced.sections[1:], page.sections[1:], strict=True)
    )
    assert quick(page_loss(), cost_per_sample=1.5).sections[0].sentences[-1].count("1.5 ") == 1


@pytest.mark.parametrize("cost", [-1.0, float("nan"), float("inf"), "cheap", [1.0, 2.0]])
def test_a_cost_that_is_none_is_refused_before_anything_is_worked_on(cost, monkeypatch):
    monkeypatch.setattr(module, "diagnose", None)
    with pytest.raises(ValueError, match="cost_per_sample must be"):
        report(page_loss(), 20, cost_per_sample=cost)


def test_not_reached_is_said(page):
    m = page.diagnosis.measured
    never = dataclasses.replace(m, K=None, low=None, high=None)
    section = section_of(
        written(dataclasses.replace(page.diagnosis, measured=never)), "How much data is enough"
    )
    assert "k = 20 only: K is not reached by 20" in section.sentences[1]
    assert "None" not in " ".join(section.sentences)


STORIES = {
    "both": forecast_enough([60, 120, 240, 480], [4e-4, 1e-4, 2.4e-5, 8e-6], 1e-6),
    "one point": forecast_enough([480], [8e-6], 1e-6),
    "rising": forecast_enough([120, 240, 480], [1e-6, 3e-6, 8e-6], 1e-6),
    "far": forecast_enough([120, 240, 480], [4e-4, 1e-4, 2.4e-5], 1e-12),
    "there": forecast_enough([120, 240, 480], [4e-4, 1e-4, 2.4e-5], 1e-4),
}


@pytest.mark.parametrize("name", STORIES)
def test_forecasts_in_words(page, name):
    """Every number beyond what was measured is called extrapolated, in the same sentence."""
    f = STORIES[name]
    m = dataclasses.replace(page.diagnosis.measured, K=None)
    d = dataclasses.replace(page.diagnosis, k=480, forecast=f, measured=m)
    told = section_of(written(d), "How much data is enough").sentences[2]
    assert "None" not in told and "nan" not in told and str(f) in told
    assert ("If it went on" in told) == (f.if_continued is not None)
    for story in (f.if_stopped, f.if_continued):
        if story is not None and story.K is not None:
            said = f"K = {beyond(480, story.K)} ("
            assert said in told
            rest = told.partition(said)[2].partition(")")[0]
            assert rest.endswith("; extrapolated") == (story.K > 480)
    assert f.K is None or f.K <= 480 or "extrapolated from 480" in told


@pytest.mark.parametrize(("high", "words"), [
    (470, "within what was measured."), (None, "within what was measured."),
    (634, "within what was measured, though up to 630 may be needed (90 %; extrapolated)."),
])  # fmt: skip
def test_what_is_measured_needs_no_forecast(page, high, words):
    m = dataclasses.replace(page.diagnosis.measured, K=400)
    f = dataclasses.replace(STORIES["there"], high=high)
    d = dataclasses.replace(page.diagnosis, k=480, forecast=f, measured=m)
    told = section_of(written(d), "How much data is enough").sentences[2]
    assert told == f"Forecast: none is needed, K lies {words}"


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("edges", [(0.5, 2.0), (0.0, float("inf"))], ids=["narrow", "without end"])
def test_the_picture_keeps_its_letters_inside(name, edges):
    """K is marked where it is not too far, in words that say whether it was measured."""
    f = STORIES[name]
    means = {"one point": [8e-6], "rising": [1e-6, 3e-6, 8e-6], "far": [4e-4, 1e-4, 2.4e-5],
             "there": [4e-4, 1e-4, 2.4e-5], "both": [4e-4, 1e-4, 2.4e-5, 8e-6]}[name]  # fmt: skip
    means = torch.tensor(means, dtype=torch.float64)
    ks = [60, 120, 240, 480][-len(means) :]
    figure, ax = plots.new_figure()
    forecast_along_k(ax, ks, means, torch.stack([edge * means for edge in edges]), f)
    figure.canvas.draw()
    low, high = ax.get_ylim()
    assert low > 0 and high / low < 1e9 and float(means.max()) < high
    said = {text.get_text() for text in ax.texts}
    if f.K is not None:
        assert "tolerance" in said and ("K, extrapolated" if f.K > 480 else "K") in said
    for text in ax.texts:
        box, frame = text.get_window_extent(), ax.get_window_extent()
        assert frame.y0 <= box.y0 and box.y1 <= frame.y1 and box.x1 <= frame.x1 + 1


UNTRAINED = {
    "mlp": lambda: classifier(MLP([64, 3, 10]), n=100),
    "linear": lambda: classifier(nn.Linear(64, 10).double(), n=100),
    "regression": lambda: EmpiricalLoss(
        MLP([1, 3, 1]), squares, *[torch.linspace(-1, 1, 100, dtype=torch.float64)[:, None]] * 2
    ),
    "transformer": lambda: transformer(100),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("name", UNTRAINED)
def test_no_number_beyond_the_data_is_given_as_known(name, trained, seed):
    """80 samples, not retrained: every K above 80 is called extrapolated in its own sentence."""
    torch.manual_seed(seed)
    loss = UNTRAINED[name]()
    w = None if trained else loss.w0 + 0.1 * torch.randn(loss.num_params, dtype=torch.float64)
    page = report(loss, 80, w, D=2, budget=LEAST, progress=False, seed=seed)
    said = [*page.sections[0].sentences, *page.sections[2].sentences]
    beyond_k = 0
    for sentence in said:
        for part in re.split(r"; doubling|[.] ", sentence):
            found = re.findall(r"(?:K = |from about |more than )(\d[\d ]*)", part)
            if any(int(number.replace(" ", "")) > 80 for number in found):
                beyond_k += 1
                assert "extrapolated" in part
    assert beyond_k or page.diagnosis.measured.K is not None
    assert page.diagnosis.measured.K is None or page.diagnosis.measured.K <= 80


def test_eigenvalues_are_right_within_residual_and_noise(page):
    pairs = page.diagnosis.pairs
    for noise in (0.0, 3.0):
        d = dataclasses.replace(page.diagnosis, pairs=dataclasses.replace(pairs, noise=noise))
        told = f"right within its residual, {float(pairs.residuals.max()) + noise:.0e} at worst"
        assert told in unwrapped(str(module.written(d)))


def test_nothing_to_doubt_is_said(page):
    calm = module.written(dataclasses.replace(page.diagnosis, doubts=[])).sections[1]
    assert calm.sentences[0].startswith("Nothing stands out")


def test_the_budget_is_said(page):
    said = "fit_iterations=10, lowest_products=12, trace_products=6, retrain_iterations=0"
    assert f"Budget: {said}." in section_of(page, "What was measured").sentences
    assert quick(page_loss(), budget=eval(f"Budget({said})")).diagnosis.budget == LEAST
    again = quick(page_loss(), budget=Budget(10, 12, 6, 7))
    curve = section_of(again, "How much data is enough").picture[1]
    assert "trained anew for each k (7 iterations at most)" in curve


def test_the_same_report_on_a_busy_machine(page):
    """Every word, every number in it and every picture, while others want the processors."""

    def timeless(page):
        return written(dataclasses.replace(page.diagnosis, seconds={}))

    assert "Time: training" in str(page) and "Time" not in str(timeless(page))
    page, at_work = report(page_loss(), 20), []
    try:
        for _ in range(2 * (os.cpu_count() or 1)):
            at_work.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
        again = report(page_loss(), 20)
    finally:
        for process in at_work:
            process.kill()
            process.wait()
    assert str(timeless(again)) == str(timeless(page))
    assert timeless(again).html() == timeless(page).html()


# -- page -----------------------------------------------------------------------------------------


def test_page(page):
    read = assert_fit_to_publish(page.html())
    assert [tag for tag, _ in read.tags][:3] == ["html", "head", "meta"]
    assert read.all("html") == [{"lang": "en"}]
    charset, viewport = read.all("meta")
    assert charset == {"charset": "utf-8"} and viewport["name"] == "viewport"
    assert len(read.all("h1")) == 1 and len(read.all("h2")) == len(HEADINGS)
    assert len(read.all("tr")) == 4 and len(read.all("li")) == max(1, len(page.diagnosis.doubts))
    assert len(read.all("meta")) == 2  # the other lets a phone show it at its own width


def test_page_says_what_the_text_says(page):
    shown = "".join(Page(page.html()).text)
    for section in page.sections:
        assert all(sentence in shown for sentence in section.sentences)
        assert all(cell in shown for row in section.table for cell in row)


def test_in_a_notebook(page):
    inline = page._repr_html_()
    assert_fit_to_publish(inline)
    assert "<html" not in inline and "<h3>Curvature</h3>" in inline


def test_everything_is_escaped(page):
    nasty = "<b>&\"'</b><script>alert(1)</script>"
    section = Section(nasty, (nasty,), ((nasty,), (nasty,)), (b"\x89PNG", nasty))
    text = Report(page.diagnosis, (section,)).html()
    read = Page(text)
    assert read.wrong == [] and "script" not in dict(read.tags) and "b" not in dict(read.tags)
    assert "".join(read.text).count(nasty) == 5  # title, sentence, two cells, below the picture
    assert read.all("img")[0]["alt"] == nasty
    assert html.escape(nasty) in text


def test_save(page, tmp_path):
    path = page.save(tmp_path / "report.html")
    assert path == tmp_path / "report.html" and path.read_text(encoding="utf-8") == page.html()
    assert page.save(str(path)) == path
    with pytest.raises(FileNotFoundError):
        page.save(tmp_path / "none" / "report.html")


def test_a_page_that_can_not_be_written_leaves_the_earlier_one(page, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    (tmp_path / "report.html").write_text("earlier")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        page.save(tmp_path / "report.html")
    assert [(f.name, f.read_text()) for f in tmp_path.iterdir()] == [("report.html", "earlier")]


# -- command line ---------------------------------------------------------------------------------

FEW = "--fit-iterations 10 --lowest-products 12 --trace-products 6 --retrain-iterations 0".split()
MODULE = """
import torch
from landscape_nb import EmpiricalLoss
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP

number = 3

def make_loss(n=30):
    return EmpiricalLoss(MLP([64, 3, 10]), torch.nn.CrossEntropyLoss(reduction="none"), *digits(n))

def two():
    return make_loss(2)

def no_loss():
    return MLP([64, 10])

def demanding(n):
    return make_loss(n)

def mistaken():
    return EmpiricalLoss(MLP([64, 3, 10]), torch.nn.CrossEntropyLoss(), *digits(30))
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run in a folder with a module of the user's; returns status, stdout, stderr."""
    name = f"mine_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / "needy.py").write_text("import no_such_package_anywhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments, counts=FEW):
        options = ["-D", "2", *counts]
        chosen = [a.replace("mine", name) for a in arguments]
        status = main(["report", *options, *chosen])
        return (status, *capsys.readouterr())

    return run


def test_command(command, tmp_path):
    status, out, err = command("mine:make_loss")
    assert status == 0 and err == ""
    assert "k = 24 samples" in out and "Written to report.html" in out
    assert all(heading in out for heading in HEADINGS)
    assert_fit_to_publish((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_command_with_options(command, tmp_path):
    (tmp_path / "out").mkdir()
    where = os.path.join("out", "page.html")
    options = ["-k", "20", "--trained", "--sigma", "0.01", "--tolerance", "1", "--output", where]
    status, out, _ = command("mine.py:make_loss", *options)
    assert status == 0 and (tmp_path / where).exists()
    assert "k = 20 samples" in out and "the one given" in out and "sigma = 0.01" in out


def without_time(out):
    """Every line but those of the sentence on time, which may be more than one."""
    return re.sub(r"^Time: .*? s[.]$\n", "", out, flags=re.M | re.S).splitlines()


def test_a_command_with_seconds_is_repeated_by_the_counts_it_prints(command):
    _, timed, _ = command("mine:make_loss", "--seconds", "0.05", counts=[])
    counts = re.search("Budget: (.*)[.]", timed)[1].replace("_", "-").split(", ")
    _, counted, _ = command("mine:make_loss", counts=[f"--{count}" for count in counts])
    assert without_time(counted) == without_time(timed) != timed.splitlines()


@pytest.mark.parametrize(
    ("counts", "said"),
    [([], Budget()), (["--retrain-iterations", "0"], Budget(retrain_iterations=0))],
    ids=["none", "one"],
)
def test_counts_that_are_not_given_go_by_the_size(command, counts, said):
    assert f"Budget: {said}." in command("mine:make_loss", counts=counts)[1]


def test_cost_per_sample(command):
    status, out, err = command("mine:make_loss", "--cost-per-sample", "1.5")
    assert status == 0 and err == "" and out.startswith("In short\n--------\nWith your 24 samples")
    assert "doubling the data would cost 36" in unwrapped(out)  # 24 samples at 1.5
    _, free, _ = command("mine:make_loss", "--cost-per-sample", "0")
    _, unsaid, _ = command("mine:make_loss")
    assert "doubling the data would cost 0" in unwrapped(free)
    assert "would cost" not in unsaid
    priceless = [line for line in without_time(free) if line not in without_time(unsaid)]
    assert "cost" in " ".join(priceless) and len(priceless) <= 3


def test_a_cost_in_words_is_refused_by_the_parser(command, capsys):
    with pytest.raises(SystemExit) as caught:
        command("mine:make_loss", "--cost-per-sample", "cheap")
    err = capsys.readouterr().err
    assert caught.value.code == 2 and "--cost-per-sample" in err and "'cheap'" in err


def test_help_says_how_seconds_become_counts_and_what_cost_is(capsys):
    with pytest.raises(SystemExit):
        main(["report", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "--cost-per-sample COST of one more sample, in any currency" in words
    for field in dataclasses.fields(Budget):
        assert f"--{field.name.replace('_', '-')} COUNT" in words
    for rule in (timed_budget, default_budget):
        assert " ".join(rule.__doc__.partition("Args:")[0].split()) in words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere:make_loss"], "There is no module 'nowhere' here"),
        (["nowhere.inside:make_loss"], "There is no module 'nowhere.inside' here"),
        (["mine:none"], "has no function 'none'"),
        (["mine:number"], "has no function 'number'"),
        (["mine"], "MODULE:FUNCTION"),
        (["mine:"], "MODULE:FUNCTION"),
        (["mine:no_loss"], "must return a landscape_nb.EmpiricalLoss; it returned MLP"),
        (["mine:demanding"], "must be callable without arguments"),
        (["mine:mistaken"], "one loss per sample"),
        (["mine:two"], "three samples at least"),
        (["mine:make_loss", "-k", "29"], "k must be between 1 and 28"),
        (["mine:make_loss", "-k", "0"], "k must be between 1 and 28"),
        (["mine:make_loss", "--seconds", "9"], "Give counts or --seconds, not both"),
        (["mine:make_loss", "--trace-products", "1"], "trace_products must be at least 6"),
        (["mine:make_loss", "--sigma", "0"], "sigma must be positive"),
        (["mine:make_loss", "--cost-per-sample", "-1"], "cost_per_sample must be finite and not"),
        (["mine:make_loss", "--cost-per-sample", "nan"], "cost_per_sample must be finite and not"),
        (["mine:make_loss", "--output", "none/report.html"], "There is no folder 'none'"),
        (["mine:make_loss", "--output", "."], "can't be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_refuses_in_one_line(command, tmp_path, arguments, message):
    before = sorted(path.name for path in tmp_path.rglob("*") if "__pycache__" not in str(path))
    status, out, err = command(*arguments)
    assert status == 2 and out == ""
    assert message in err and err.startswith("landscape_nb: ") and err.count("\n") == 1
    after = sorted(path.name for path in tmp_path.rglob("*") if "__pycache__" not in str(path))
    assert before == after


def test_a_file_that_can_not_be_written_after_all(command, page, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "report.html")

    monkeypatch.setattr(module, "report", lambda *_, **__: page)
    monkeypatch.setattr(module, "replace_files", refuse)
    status, out, err = command("mine:make_loss")
    assert status == 2 and out == f"{page}\n" and "Permission denied" in err
    assert err.endswith("The report is printed instead.\n") and err.count("\n") == 1


def test_what_a_module_lacks_itself_keeps_its_traceback(command):
    with pytest.raises(ModuleNotFoundError, match="no_such_package_anywhere"):
        command("needy:make_loss")


def test_unknown_options_are_refused_by_the_parser(command, capsys):
    with pytest.raises(SystemExit) as caught:
        command("mine:make_loss", "--faster")
    assert caught.value.code == 2 and "--faster" in capsys.readouterr().err
