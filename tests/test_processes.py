"""One loss whose work is shared by processes, and vectors of which each holds a part.

Oracles: the same questions to the undivided loss in one process, and the dense Hessian by
torch.func with its eigenpairs by eigh. Two and three processes: with three there are questions of
fewer samples than processes, and rows that do not divide evenly.
"""

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from killing import HANGS
from sharded import LENGTHS, answers_of, make_loss, questions, shared_answers
from test_shards import close, needs_gloo
from torch.func import hessian

from landscape_nb import random_subspace
from landscape_nb.__main__ import main
from landscape_nb.study.budget import default_budget, shared_budget

pytestmark = needs_gloo


@pytest.fixture(scope="module")
def loss():
    return make_loss()


@pytest.fixture(scope="module")
def point(loss):
    g = torch.Generator().manual_seed(4)
    w = loss.w0 + 0.3 * torch.randn(loss.num_params, generator=g, dtype=torch.float64)
    V = torch.randn(loss.num_params, 3, generator=g, dtype=torch.float64)
    return dict(w=w, V=V, U=random_subspace(loss.num_params, 2, g))


@pytest.fixture(scope="module")
def dense(loss, point):
    def mean(w):
        return loss.losses_at(w, range(14)).mean() + loss.l2 / 2 * w.square().sum()

    return hessian(mean)(point["w"])


@pytest.fixture(scope="module", params=[2, 3], ids="{} processes".format)
def answers(request, point, tmp_path_factory):
    """What all processes found; they are started once."""
    folder = tmp_path_factory.mktemp("shared")
    return answers_of(shared_answers, request.param, folder, **point)


# -- the loss --------------------------------------------------------------------------------------


def test_every_answer_is_that_of_one_process(answers, loss, point):
    expected = questions(loss, **point)
    for kind, numbers in expected.items():
        torch.testing.assert_close(
            answers[0][kind], numbers, rtol=1e-10, atol=1e-10, msg=lambda m, k=kind: f"{k}: {m}"
        )
    # all samples fit one batch
    assert torch.equal(answers[0]["fit"], expected["fit"])


def test_every_answer_of_streamed_samples_is_that_of_one_process(answers, loss, point):
    """Of a process that holds all in memory."""
    expected = questions(loss, **point, studies=False)
    one, several = expected.pop("fit"), answers[0]["streamed"]["fit"]
    # a fit ends wherever the gradient is small: rounding decides how far from the minimiser
    lowest = float(torch.linalg.eigvalsh(loss.hessian(one, 9))[0])
    assert 0 < (several - one).norm() <= 1.1 * 2 * 1e-9 / lowest
    for kind, numbers in expected.items():
        torch.testing.assert_close(
            answers[-1]["streamed"][kind], numbers,
            rtol=1e-10, atol=1e-10, msg=lambda m, k=kind: f"{k}: {m}",
        )  # fmt: skip


def test_a_process_works_on_whole_batches_and_reads_none_beyond_them(answers):
    starts, stop = [*itertools.accumulate(LENGTHS, initial=0)], 0
    for found in answers:
        start, end, read = found["reading"]
        assert start == stop < end and start in starts
        last = starts.index(end) - 1
        assert {*read} <= {*range(last + 2)}  # one is read ahead
        assert last in read or start == starts[last]  # of a single batch the graph is kept
        stop = end
    assert stop == sum(LENGTHS)


def test_all_processes_hold_the_same_bits(answers):
    """Else they would go different ways at the next comparison."""
    for other in answers[1:]:
        for kind, found in answers[0].items():
            if isinstance(found, torch.Tensor):
                assert torch.equal(found, other[kind]), kind


def test_budgets_do_not_depend_on_the_process(answers, loss):
    assert {found["budget"] for found in answers} == {str(default_budget(loss, 9))}
    seconds = sum(1e-5 * (1 + 15 * rank) for rank in range(len(answers))) / len(answers)
    assert {found["timed"] for found in answers} == {str(shared_budget(0.1 / (2 * seconds)))}


def test_what_one_refuses_all_refuse(answers, loss, point):
    for rank, found in enumerate(answers):
        other_seed, other_l2, nan, other_k, elsewhere, other_w, none = found["refused"]
        assert other_seed == "loss.w0 must be the same in every process; broadcast it first."
        assert other_l2 == "l2 must be the same in every process; broadcast it first."
        assert nan.startswith("w must be finite" if rank == 1 else "Process 1 refused its part: ")
        assert "w must be finite" in nan
        assert other_k == "samples must be the same in every process; broadcast it first."
        assert elsewhere.startswith("The processes are at different places of the program")
        assert other_w == "w must be the same in every process; broadcast it first."
        assert none.startswith("k must be")
        close(found["in step"], loss.value(point["w"], 5))


# -- vectors that are spread -----------------------------------------------------------------------


def test_products_of_spread_vectors_are_those_of_whole_ones(answers, dense, point):
    V = point["V"]
    close(torch.cat([found["rows"]["products"] for found in answers]), dense @ V)
    close(torch.cat([found["rows"]["minus"] for found in answers]), -dense @ V)
    close(torch.cat([found["rows"]["one product"] for found in answers]), dense @ V[:, 0])


def test_eigenpairs_of_spread_vectors(answers, dense):
    values, vectors = torch.linalg.eigh(dense)
    whole = torch.cat([found["rows"]["vectors"] for found in answers])
    close((whole.T @ vectors.flip(1)[:, :3]).abs(), torch.eye(3).double(), atol=1e-8)
    # the sign is that of the whole vector: its largest component is positive
    assert (whole[whole.abs().argmax(0), range(3)] > 0).all()
    for found in answers:
        close(found["rows"]["values"], values.flip(0)[:3])
        assert found["rows"]["residuals"].max() <= 1e-10
        close(
            found["rows"]["certificate"], (dense @ whole - whole * values.flip(0)[:3]).norm(dim=0)
        )
        assert found["rows"]["noise"] < 1e-12


def test_random_vectors_are_one_draw_of_all_numbers_cut(answers, loss):
    whole = torch.cat([found["rows"]["random"] for found in answers])
    one = torch.Generator().manual_seed(4)
    close(whole, torch.randn(loss.num_params, generator=one, dtype=torch.float64))


def test_a_process_holds_its_rows_of_the_basis_alone(answers, loss):
    N = loss.num_params
    ends = [0, *(found["rows"]["rows"][1] for found in answers)]
    assert ends[-1] == N
    for start, found in zip(ends, answers, strict=False):
        rows = found["rows"]["rows"]
        assert rows[0] == start and abs((rows[1] - rows[0]) - N / len(answers)) < 1
        ((capacity, numbers),) = found["rows"]["held"]
        assert numbers == capacity * (rows[1] - rows[0])


def test_a_whole_vector_is_refused_where_rows_are_held(answers, loss):
    for found in answers:
        held = found["rows"]["rows"][1] - found["rows"]["rows"][0]
        assert f"must be one direction of shape ({held},)" in found["rows"]["refused"]


# -- torchrun --------------------------------------------------------------------------------------

# As the user's module does, with a worker that is killed at its n-th look at the samples.
MODULE = """
import os, signal, time
import sharded

def make_loss():
    loss = sharded.make_loss()
    calls, dies, losses = [], os.environ.get("DIES"), type(loss).losses_of

    def counted(self, outputs, batch):
        calls.append(time.time())
        if len(calls) == 60:
            with open("died", "w") as file:
                file.write(str(time.time()))
            os.kill(os.getpid(), int(os.environ["BY"]))
        return losses(self, outputs, batch)

    if dies and dies == os.environ["RANK"]:
        type(loss).losses_of = counted
    return loss
"""
SOLVE = """
from mine import make_loss
from landscape_nb import over_processes, top_eigenpairs

with over_processes(make_loss) as (loss, first):
    for seed in range(200):
        pairs = top_eigenpairs(loss, loss.w0, 9, 3)
    if first:
        print("values", *pairs.values.tolist())
"""


def start(folder, *program, **variables):
    """Start a program in two processes by torchrun."""
    (folder / "mine.py").write_text(MODULE)
    (folder / "solve.py").write_text(SOLVE)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*command, "--standalone", *program],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
    )  # fmt: skip


def end(started):
    """Its words, its status, and when it ended."""
    try:
        words, errors = started.communicate(timeout=HANGS)
    finally:
        started.terminate()
    return words, errors, started.returncode, time.time()


REPORT = ("report", "mine:make_loss", "-D", "3")
# In one start of all processes: a mistake, then the report.
BOTH = """
import sys
from landscape_nb.__main__ import main

report = sys.argv[1:]
assert main([*report, "-k", "14"]) == 2
assert main(report) == 0
"""


def test_a_report_by_torchrun_is_that_of_one_process(tmp_path, monkeypatch, capsys):
    """And a mistake is said once, after which the processes join again."""
    (tmp_path / "both.py").write_text(BOTH)
    words, errors, status, _ = end(start(tmp_path, "both.py", *REPORT))
    assert status == 0, errors
    assert errors.count("landscape_nb: k must be") == 1
    assert [path.name for path in tmp_path.glob("*.html")] == ["report.html"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main([*REPORT, "--output", "alone.html"]) == 0
    expected = capsys.readouterr().out.replace("alone.html", "report.html")

    def without_time(text):
        head, _, rest = text.partition("\nTime: ")
        return head + rest[rest.index("s.\n") :]

    assert without_time(words) == without_time(expected)  # printed once, by one process


PROGRAMS = {
    "the second in a report": (("-m", "landscape_nb", *REPORT), "1"),
    "the first in a solve": (("solve.py",), "0"),
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """What became of programs one of whose two workers was killed, by name; all side by side."""
    by, started = str(int(signal.SIGKILL)), {}
    for name, (program, dies) in PROGRAMS.items():
        folder = tmp_path_factory.mktemp("killed")
        started[name] = folder, start(folder, *program, DIES=dies, BY=by)
    return {name: (folder, *end(each)) for name, (folder, each) in started.items()}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_killed_worker_ends_all_within_a_minute(killed, name):
    folder, words, errors, status, ended = killed[name]
    assert status != 0
    assert "A worker was lost: another of the 2 processes" in errors or (
        "landscape_nb: ended by SIGTERM: a worker was lost" in errors
    )
    assert ended - float((folder / "died").read_text()) < 60
    left = {path.name for path in folder.iterdir() if path.is_file()}
    assert left == {"mine.py", "solve.py", "died"}  # no report, no draft of one
    assert words == ""
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(folder) not in running and "mine:make_loss" not in running
