"""Training runs: what a checkpoint has seen, the file they are kept in, the file that is shipped.

Oracles: a second training with one sequence changed (a checkpoint at k may depend on the first k
sequences and on no other); AdamW written out by hand; unigram and bigram counts; a file read and
sealed by hand. Every kind of damage is done to a good file once.
"""

import hashlib
import json
import os
import pickle
import re
import tracemalloc
import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest
import safetensors.numpy
import torch

from landscape_nb import top_eigenpairs
from landscape_nb.problems import checkpoints, data, pretraining
from landscape_nb.problems.models import DecoderTransformer, TransformerConfig, sequence_loss
from landscape_nb.problems.pretraining import (
    CheckpointError,
    TrainingRun,
    load_runs,
    pretrained,
    save_runs,
    train_transformer,
)

TINY = TransformerConfig(
    vocabulary_size=5, context=6, width=8, depth=1, heads=2, kv_heads=1, hidden=8
)
N = 30


def draw_sequences(seed=0):
    """Sequences that can be learnt: each token is followed by its double, now and then by any."""
    g = torch.Generator().manual_seed(seed)
    s = torch.randint(5, (N, 7), generator=g)
    for j in range(6):
        s[:, j + 1] = torch.where(torch.rand(N, generator=g) < 0.8, 2 * s[:, j] % 5, s[:, j + 1])
    return s


def train(sequences=None, **options):
    s = draw_sequences() if sequences is None else sequences
    options = {"num_train": 24, "checkpoints_at": [5, 8, 24], "batch_size": 4, **options}
    return train_transformer(TINY, s, "abcde", **{"progress": False, "warmup": 3, **options})


def same(one, two):
    return (
        one.config == two.config
        and one.vocabulary == two.vocabulary
        and torch.equal(one.sequences, two.sequences)
        and (one.consumed, one.steps, one.seed) == (two.consumed, two.steps, two.seed)
        and torch.equal(one.weights, two.weights)
    )


@pytest.fixture(scope="module")
def run():
    return train()


# -- training ------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_run(run):
    before = torch.get_rng_state()
    again = train()
    assert same(run, again)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(run.weights, train(seed=1).weights)


def test_what_is_recorded(run):
    # batches end at 4, 5, 8, 12, 16, 20, 24; then two more passes in 6 batches each
    assert run.consumed == [5, 8, 24, 24] and run.steps == [2, 3, 7, 19]
    assert run.weights.shape == (4, TINY.num_params) and run.weights.dtype == torch.float32
    assert torch.equal(run.weights, run.weights.half().float())
    assert run.num_train == 24 and run.sequences.shape == (N, 7)
    assert torch.equal(run.inputs, run.sequences[:, :6])
    assert torch.equal(run.targets, run.sequences[:, 1:])


def test_one_pass_has_its_end_once():
    assert train(passes=1).consumed == [5, 8, 24]
    assert train(passes=1, checkpoints_at=[]).consumed == [24]
    assert train(passes=2, checkpoints_at=[]).steps == [12]


@pytest.mark.parametrize("k", [5, 8, 24], ids="k={}".format)
def test_a_checkpoint_has_seen_exactly_the_first_k(run, k):
    j = run.consumed.index(k)
    for changed in (0, k - 1, k, N - 1):
        s = draw_sequences()
        s[changed] = (s[changed] + 1) % 5
        differs = not torch.equal(train(s).weights[j], run.weights[j])
        assert differs == (changed < k), f"sequence {changed}"


def test_the_end_has_seen_all_that_is_trained_on_and_nothing_held_out(run):
    for changed in range(N):
        s = draw_sequences()
        s[changed] = (s[changed] + 1) % 5
        differs = not torch.equal(train(s).weights[-1], run.weights[-1])
        assert differs == (changed < 24), f"sequence {changed}"


def test_first_steps_by_hand():
    """AdamW (arXiv 1711.05101, algorithm 2), written out, with warmup and the norm cut at 1."""
    s, rate, decay, steps = draw_sequences(), 0.3, 0.1, 18
    g = torch.Generator().manual_seed(3)
    model = DecoderTransformer(TINY, generator=g)
    w = [p.detach().clone() for p in model.parameters()]
    m, v = [torch.zeros_like(p) for p in w], [torch.zeros_like(p) for p in w]
    for t in range(1, 7):
        lr = rate * (t / 2 if t <= 2 else (steps - t + 1) / (steps - 2))
        for p, q in zip(model.parameters(), w, strict=True):
            p.data = q
        batch = s[4 * (t - 1) : 4 * t]
        value = sequence_loss(model(batch[:, :-1]), batch[:, 1:]).mean()
        G = torch.autograd.grad(value, list(model.parameters()))
        cut = min(1.0, 1.0 / float(torch.cat([x.flatten() for x in G]).norm()))
        for i, x in enumerate(G):
            m[i] = 0.9 * m[i] + 0.1 * cut * x
            v[i] = 0.99 * v[i] + 0.01 * (cut * x) ** 2
            step = m[i] / (1 - 0.9**t) / ((v[i] / (1 - 0.99**t)).sqrt() + 1e-8)
            w[i] = w[i] - lr * decay * w[i] - lr * step
    options = {"checkpoints_at": [24], "learning_rate": rate, "warmup": 2, "seed": 3}
    found = train(**options).weights[0]
    torch.testing.assert_close(found, torch.cat([x.flatten() for x in w]), rtol=2e-3, atol=2e-4)


def test_training_learns():
    loss = train(passes=15, learning_rate=0.02).loss(range(24, 30))
    first, s = DecoderTransformer(TINY), draw_sequences()[24:]
    with torch.no_grad():
        before = float(sequence_loss(first(s[:, :-1]), s[:, 1:]).mean())
    assert float(loss.value(loss.w0, 6)) < before - 0.3


def test_progress_bar_changes_nothing(run, capsys):
    assert same(run, train(progress=True))
    assert "loss" in capsys.readouterr().err


BAD_TRAININGS = [
    ("context", {"sequences": torch.zeros(30, 9).long()}, "(n, context + 1) = (n, 7)", "(30, 9)"),
    ("dtype", {"sequences": torch.zeros(30, 7)}, "int64", "torch.float32"),
    ("tokens", {"sequences": torch.full((30, 7), 5)}, "0..4", "5..5"),
    ("num_train", {"num_train": 31}, "num_train must be between 1 and 30", "31"),
    ("marks", {"checkpoints_at": [5, 25]}, "k must be between 1 and 24", "25"),
    ("order of marks", {"checkpoints_at": [8, 5]}, "strictly increasing", "[8, 5]"),
    ("passes", {"passes": 0}, "passes must be between 1", "0"),
    ("rate", {"learning_rate": 0.0}, "learning_rate must be positive", "0.0"),
    ("diverged", {"learning_rate": 1e30}, "weights must be finite", "lower the learning rate"),
]


@pytest.mark.parametrize(
    ("options", "required", "got"),
    [b[1:] for b in BAD_TRAININGS],
    ids=[b[0] for b in BAD_TRAININGS],
)
def test_trainings_that_are_refused(options, required, got):
    with pytest.raises(ValueError) as caught:
        train(**options)
    assert required in str(caught.value) and got in str(caught.value)


# -- a run ---------------------------------------------------------------------------------------


def test_model_and_loss_have_the_checkpoint_s_weights(run):
    for j in range(-4, 4):
        loss = run.loss(8, checkpoint=j)
        assert torch.equal(loss.w0, run.weights[j])
        by_hand = sequence_loss(run.model(j)(run.inputs[:8]), run.targets[:8]).detach()
        torch.testing.assert_close(loss.per_sample(loss.w0), by_hand, rtol=0, atol=1e-6)
    held_out = run.loss(range(24, 30), dtype=torch.float64)
    assert held_out.num_samples == 6 and held_out.w0.dtype == torch.float64
    assert torch.equal(held_out.w0, run.weights[-1].double())
    assert run.loss().num_samples == N


def test_a_model_is_the_caller_s_own(run):
    before = run.weights.clone()
    model = run.model()
    for p in model.parameters():
        p.data.zero_()
    assert torch.equal(run.weights, before)
    assert torch.equal(run.model().head.weight.flatten(), before[-1][-40:])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.model(4), "checkpoint must be between -4 and 3"),
        (lambda run: run.loss(31), "samples must be between 1 and 30"),
        (lambda run: run.loss(range(24, 31)), "within 0..29"),
        (lambda run: run.loss(range(3, 3)), "within 0..29"),
        (lambda run: replace(run, vocabulary="abcd"), "vocabulary_size = 5"),
        (lambda run: replace(run, vocabulary="abcda"), "'abcda'"),
        (lambda run: replace(run, consumed=[8, 5, 24, 24]), "consumed must increase"),
        (lambda run: replace(run, steps=[2, 3, 3, 19]), "consumed must increase"),
        (lambda run: replace(run, consumed=[5, 8, 24, 31]), "consumed must increase"),
        (lambda run: replace(run, weights=run.weights[:3]), "a row for each checkpoint"),
        (lambda run: replace(run, weights=run.weights.double()), "torch.float64"),
        (lambda run: replace(run, weights=run.weights * 1.0001), "must be rounded to float16"),
    ],
)
def test_contradictions_in_a_run(run, call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(run)


# -- the file ------------------------------------------------------------------------------------


@pytest.fixture
def saved(run, tmp_path):
    path = tmp_path / "runs.safetensors"
    save_runs(path, [run])
    return path


def test_what_is_saved_is_loaded(run, tmp_path):
    order = torch.randperm(N, generator=torch.Generator().manual_seed(4))
    s = draw_sequences()
    s[3] = s[17]  # the same sequence twice
    runs = [train(s), train(s[order], seed=1, checkpoints_at=[])]
    save_runs(tmp_path / "runs.safetensors", runs)
    loaded = load_runs(str(tmp_path / "runs.safetensors"))
    assert len(loaded) == 2 and all(map(same, runs, loaded))
    assert all(isinstance(one, TrainingRun) for one in loaded)


def test_the_file_depends_on_the_runs_only(run, saved, tmp_path):
    save_runs(tmp_path / "another name.safetensors", [run])
    assert (tmp_path / "another name.safetensors").read_bytes() == saved.read_bytes()


def test_what_can_not_share_a_file(run, tmp_path):
    s = draw_sequences()
    s[0] = (s[0] + 1) % 5
    with pytest.raises(ValueError, match="must share their sequences"):
        save_runs(tmp_path / "runs.safetensors", [run, train(s)])
    with pytest.raises(ValueError, match="runs is empty"):
        save_runs(tmp_path / "runs.safetensors", [])
    assert list(tmp_path.iterdir()) == []


def test_a_crash_while_saving_leaves_the_old_file(run, saved, monkeypatch):
    before = saved.read_bytes()

    def crash(*args):
        raise OSError("no space left")

    for name in ("replace", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, crash)
            with pytest.raises(OSError, match="no space left"):
                save_runs(saved, [train(seed=1)])
        assert saved.read_bytes() == before
        assert [path.name for path in saved.parent.iterdir()] == ["runs.safetensors"]


def test_a_file_is_the_documented_one(run, tmp_path):
    """Read by the library alone, its SHA-256 by hand."""
    order = torch.randperm(N, generator=torch.Generator().manual_seed(4))
    runs = [run, train(run.sequences[order], seed=1, checkpoints_at=[])]
    path = tmp_path / "runs.safetensors"
    save_runs(path, runs)
    with safetensors.safe_open(path, "pt") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}
        ((key, text),) = file.metadata().items()
    names = ["order_0", "order_1", "sequences", "weights_0", "weights_1"]
    assert key == "landscape_nb" and sorted(arrays) == names
    assert torch.equal(arrays["sequences"].long(), run.sequences)
    assert torch.equal(arrays["order_0"].long(), torch.arange(N))
    for j, one in enumerate(runs):
        assert torch.equal(run.sequences[arrays[f"order_{j}"].long()], one.sequences)
        assert arrays[f"weights_{j}"].dtype == torch.float16
        assert torch.equal(arrays[f"weights_{j}"].float(), one.weights)
    rest = json.loads(text)
    assert list(rest) == ["format", "sha256", "version", "runs"]
    assert (rest["format"], rest["version"]) == ("landscape_nb training runs", 2)
    assert rest["runs"] == [
        {
            "config": asdict(TINY),
            "vocabulary": "abcde",
            "consumed": one.consumed,
            "steps": one.steps,
            "seed": one.seed,
        }
        for one in runs
    ]
    before, after = path.read_bytes().split(rest["sha256"].encode())
    assert hashlib.sha256(before + b"0" * 64 + after).hexdigest() == rest["sha256"]


WORDS = ["".join(map(chr, range(5))), '"\\\n\t/', "éß😀\u2028\ud800", "0" + "abcd"]


@pytest.mark.parametrize("vocabulary", WORDS, ids=ascii)
def test_any_characters_and_sizes_come_back(run, tmp_path, vocabulary):
    config = replace(TINY, rope_base=0.1 + 0.2, width=np.int64(8))
    odd = replace(run, config=config, vocabulary=vocabulary, seed=2**63 - 1)
    save_runs(tmp_path / "runs.safetensors", [odd])
    (back,) = load_runs(tmp_path / "runs.safetensors")
    assert same(back, odd) and back.config.rope_base == 0.1 + 0.2


def test_runs_in_any_order_of_memory_come_back(run, tmp_path):
    """The library writes an array's memory as it lies."""
    weights, sequences = (x.T.contiguous().T for x in (run.weights, run.sequences))
    turned = replace(run, weights=weights, sequences=sequences)
    assert not turned.weights.is_contiguous() and not turned.sequences.is_contiguous()
    every_second = replace(turned, weights=run.weights.repeat_interleave(2, 0)[::2])
    save_runs(tmp_path / "runs.safetensors", [turned, every_second, run])
    assert all(same(back, run) for back in load_runs(tmp_path / "runs.safetensors"))


def test_many_tokens_and_sequences_come_back(tmp_path):
    """Their numbers need two bytes each, and four."""
    for V in (300, 70_000):
        config = TransformerConfig(V, context=1, width=2, depth=1, heads=1, kv_heads=1, hidden=1)
        s = torch.randint(V, (300, 2), generator=torch.Generator().manual_seed(V))
        s[0] = torch.tensor([0, V - 1])
        letters = "".join(map(chr, range(60_000, 60_000 + V)))
        one = train_transformer(config, s, letters, num_train=2, passes=1, progress=False)
        save_runs(tmp_path / "runs.safetensors", [one])
        assert same(load_runs(tmp_path / "runs.safetensors")[0], one)


def resealed(change):
    """A file of which the content was changed before it was sealed again."""

    def damage(path):
        with safetensors.safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}
            content = json.loads(file.metadata()["landscape_nb"])
        del content["format"], content["sha256"]
        change(content, arrays)
        path.write_bytes(checkpoints._sealed(arrays, content))

    return damage


def described(change):
    return resealed(lambda content, arrays: change(content))


def in_run(**fields):
    return described(lambda content: content["runs"][0].update(fields))


def array(name, change):
    return resealed(lambda content, arrays: arrays.update({name: change(arrays[name])}))


def without(name):
    return resealed(lambda content, arrays: arrays.pop(name))


def set_first(array, value):
    array = array.copy()
    array.flat[0] = value
    return array


def other_file(**content):
    """A whole safetensors file of somebody else, or with this metadata."""
    return lambda path: path.write_bytes(
        safetensors.numpy.save({"weights_0": np.zeros(3, np.float16)}, content)
    )


def with_header(text, length=None):
    """Bytes like those of a safetensors file, with a header of that text or length."""
    header = text.encode()
    size = len(header) if length is None else length
    return lambda path: path.write_bytes(size.to_bytes(8, "little") + header)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def flip_a_byte(path):
    blob = bytearray(path.read_bytes())
    place = len(blob) // 2
    blob[place] ^= 0xFF
    path.write_bytes(bytes(blob))


def unsealed(path):
    """Changed by an editor, which knows nothing of the SHA-256."""
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"seed\\": 0', b'"seed\\": 1'))
    assert path.read_bytes() != content


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "seven bytes": lambda path: path.write_bytes(b"\x01" + bytes(6)),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a byte more": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "a byte flipped": flip_a_byte,
    "a number edited": unsealed,
    "a text": lambda path: path.write_text("weights"),
    "a pickle that runs code": lambda path: path.write_bytes(pickle.dumps(Bomb(), protocol=2)),
    "torch that runs code": lambda path: torch.save({"format": Bomb()}, path),
    "a torch file": lambda path: torch.save({"weights": torch.zeros(3)}, path),
    "a tensor": lambda path: torch.save(torch.zeros(3), path),
    "another safetensors file": other_file(),
    "of our name, no JSON": other_file(landscape_nb="weights"),
    "of our name, no object": other_file(landscape_nb="[1]"),
    "of our name, nothing in it": other_file(landscape_nb="{}"),
    "no SHA-256": other_file(
        landscape_nb='{"format": "landscape_nb training runs", "version": 2, "runs": []}'
    ),
    "a SHA-256 that is none": other_file(
        landscape_nb='{"format": "landscape_nb training runs", "version": 2, "sha256": 3}'
    ),
    "an empty SHA-256": other_file(
        landscape_nb='{"format": "landscape_nb training runs", "version": 2, "sha256": ""}'
    ),
    "a header that is a list": with_header("[]"),
    "metadata that is a list": with_header('{"__metadata__": []}'),
    "a header beyond the end": with_header("{}", 2**63),
    "a deep header": with_header("[" * 100_000),
    "another version": described(lambda content: content.update(version=99)),
    "no sequences": without("sequences"),
    "another shape": array("sequences", lambda s: s.reshape(-1, 6)),
    "a flat shape": array("sequences", lambda s: s.ravel()),
    "no shape": array("sequences", lambda s: s[0, 0, None].reshape(())),
    "an empty shape": array("sequences", lambda s: s[:0]),
    "tokens in float": array("sequences", lambda s: s.astype("f4")),
    "a token too large": array("sequences", lambda s: set_first(s, 5)),
    "a token far too large": array("sequences", lambda s: set_first(s.astype("u8"), 2**63)),
    "a token below": array("sequences", lambda s: set_first(s.astype("i4"), -1)),
    "no runs": described(lambda content: content.update(runs=None)),
    "no entry for runs": described(lambda content: content.pop("runs")),
    "empty runs": described(lambda content: content.update(runs=[])),
    "a run that is none": described(lambda content: content.update(runs=["run"])),
    "a run too many": described(lambda content: content["runs"].append(content["runs"][0])),
    "no weights": without("weights_0"),
    "no order": without("order_0"),
    "NaN": array("weights_0", lambda w: set_first(w, float("nan"))),
    "infinity": array("weights_0", lambda w: set_first(w, float("inf"))),
    "too few weights": array("weights_0", lambda w: w[:, 1:].copy()),
    "too many weights": array("weights_0", lambda w: np.concatenate([w, w])),
    "weights not rounded": array("weights_0", lambda w: w.astype("f4")),
    "weights in whole numbers": array("weights_0", lambda w: w.astype("i8")),
    "no permutation": array("order_0", lambda order: set_first(order, order[1])),
    "index beyond": array("order_0", lambda order: set_first(order, N)),
    "an order too short": array("order_0", lambda order: order[1:].copy()),
    "an order in float": array("order_0", lambda order: order.astype("f8")),
    "another config": in_run(config={"vocabulary_size": 5, "context": 6}),
    "an impossible config": in_run(config={"vocabulary_size": 5, "context": 6, "width": 7}),
    "an unknown size": in_run(config={"vocabulary_size": 5, "layers": 6}),
    "no config": in_run(config=None),
    "a base that is no number": in_run(config=asdict(TINY) | {"rope_base": 10**400}),
    "an infinite base": in_run(config=asdict(TINY) | {"rope_base": float("inf")}),
    "a vocabulary too short": in_run(vocabulary="abcd"),
    "no vocabulary": in_run(vocabulary=None),
    "a vocabulary in pieces": in_run(vocabulary=["a", "b", "c", "d", "e"]),
    "characters repeat": in_run(vocabulary="abcda"),
    "checkpoints beyond": in_run(consumed=[5, 8, 24, 99]),
    "consumed text": in_run(consumed="abcd"),
    "seed": in_run(seed="one"),
    "a seed below": in_run(seed=-1),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_refused(saved, damage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load_runs(saved)
    damage(saved)
    with pytest.raises(
        CheckpointError, match="runs.safetensors.*Delete it, and it can be made again"
    ):
        load_runs(saved)
    assert not (tmp_path / "exploded").exists()


def test_what_is_sealed_again_unchanged_is_taken(saved, run):
    before = saved.read_bytes()
    described(lambda content: None)(saved)
    assert saved.read_bytes() == before and same(load_runs(saved)[0], run)


def test_every_bit_of_the_file_counts(saved):
    """Of the header, with all settings, each; of the arrays, each of every seventh byte."""
    content, path = saved.read_bytes(), str(saved)
    header = 8 + int.from_bytes(content[:8], "little")
    assert header > 500
    for place in [*range(header), *range(header, len(content), 7), len(content) - 1]:
        for bit in range(8):
            blob = bytearray(content)
            blob[place] ^= 1 << bit
            with open(path, "r+b") as file:
                file.write(blob)
            with pytest.raises(CheckpointError):
                load_runs(path)
    saved.write_bytes(content)
    load_runs(saved)


def test_files_of_another_kind_or_version_are_told_apart(saved, tmp_path):
    other = tmp_path / "other.safetensors"
    for content in ({}, {"landscape_nb": '{"version": 2, "format": "something else"}'}):
        other_file(**content)(other)
        with pytest.raises(CheckpointError, match="file of another kind"):
            load_runs(other)
    described(lambda content: content.update(version=3))(saved)
    with pytest.raises(CheckpointError, match="it has version 3, known is 2"):
        load_runs(saved)


def test_a_few_bytes_do_not_ask_for_much_memory(saved):
    """A shape and a length that no memory holds are refused from what is there."""
    length = 2**58
    shape = json.dumps({"x": {"dtype": "F64", "shape": [length], "data_offsets": [0, 8 * length]}})
    for damage in (with_header("{}", length), with_header(shape), with_header(shape, 8 * length)):
        damage(saved)
        tracemalloc.start()
        with pytest.raises(CheckpointError):
            load_runs(saved)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10**5


def test_shapes_that_the_data_do_not_fill_are_refused_though_sealed(saved):
    """The library's own check, behind the SHA-256."""
    for old, new in ((b"[30,7]", b"[99,7]"), (b'"U8"', b'"I8"'), (b'"F16"', b'"F99"')):
        saved_again = saved.read_bytes().replace(old, new)
        text = saved_again.decode("latin-1")
        seal = re.search(r"[0-9a-f]{64}", text)[0].encode()
        blank = saved_again.replace(seal, b"0" * 64)
        sealed = saved_again.replace(seal, hashlib.sha256(blank).hexdigest().encode())
        other = saved.with_name("runs.safetensors.other")
        other.write_bytes(sealed)
        if new == b'"I8"':
            load_runs(other)  # as good as any
        else:
            with pytest.raises(CheckpointError, match="damaged, cut short, or no file"):
                load_runs(other)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        load_runs(tmp_path / "runs.safetensors")


# -- the shipped runs ----------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch, run):
    """An empty cache, and a training that takes no time; `trained` counts how often it ran."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    trained = []

    def quick(progress=True):
        trained.append(progress)
        return [run]

    monkeypatch.setattr(pretraining, "_train_all", quick)
    return tmp_path / "cache" / "landscape_nb" / "transformer.safetensors", trained


def test_a_missing_file_is_trained_again_and_kept(cache, tmp_path, run):
    path, trained = cache
    for _ in range(2):
        with pytest.warns(UserWarning, match="There is no file .* Using runs from your cache"):
            (found,) = pretrained(tmp_path / "none.safetensors", progress=False)
        assert same(found, run)
    assert trained == [False], "the second call reads the cache"
    assert same(load_runs(path)[0], run)


def test_a_damaged_file_and_a_damaged_cache_are_trained_again(cache, saved, run):
    path, trained = cache
    saved.write_bytes(b"nothing")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing either")
    with pytest.warns(UserWarning) as caught:
        (found,) = pretrained(saved)
    words = [str(w.message) for w in caught]
    assert (
        "runs.safetensors" in words[0]
        and "transformer.safetensors" in words[1]
        and "again" in words[1]
    )
    assert same(found, run) and trained == [True]
    assert same(load_runs(path)[0], run)


def test_a_cache_that_can_not_be_written_is_no_error(cache, tmp_path, run):
    path, _ = cache
    path.parent.parent.write_text("a file where the folder should be")
    with pytest.warns(UserWarning) as caught:
        (found,) = pretrained(tmp_path / "none.safetensors")
    assert "could not be kept" in str(caught[-1].message)
    assert same(found, run)


def test_a_file_of_torch_s_format_is_trained_again(cache, tmp_path, run):
    """As earlier versions wrote it."""
    earlier = tmp_path / "transformer.pt"
    torch.save({"format": "landscape_nb training runs", "version": 1, "runs": []}, earlier)
    with pytest.warns(UserWarning, match="no file of training runs of this version.*made again"):
        (found,) = pretrained(earlier)
    assert same(found, run) and earlier.exists() and cache[1] == [True]


def test_a_good_file_is_not_touched(cache, saved, run):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(pretrained(saved)[0], run)
    assert cache[1] == []


def test_how_the_shipped_runs_are_made(monkeypatch):
    """The same seeds, orders and checkpoints, without the training."""
    calls = []
    monkeypatch.setattr(
        pretraining, "train_transformer", lambda *args, **options: calls.append((args, options))
    )
    pretraining._train_all(progress=False)
    text = data.text()
    assert [options["seed"] for _, options in calls] == [0, 1, 2]
    for (config, s, vocabulary), options in calls:
        assert config == TransformerConfig.laptop(len(vocabulary))
        assert torch.equal(s, data.sequences(text, 64, seed=options["seed"]))
        assert 800 <= len(s) - options["num_train"] <= 1100


@pytest.fixture(scope="module")
def shipped():
    return load_runs(pretraining.SHIPPED)


def test_the_shipped_file(shipped):
    assert pretraining.SHIPPED.stat().st_size <= 2_500_000
    assert [run.seed for run in shipped] == [0, 1, 2]
    assert shipped[0].consumed == [64, 256, 1024, 6208, 6208]
    assert [run.consumed for run in shipped[1:]] == [[6208, 6208]] * 2
    for run in shipped:
        assert run.config == TransformerConfig.laptop(103)
        assert 800 <= len(run.sequences) - run.num_train <= 1000
        assert "Python" in "".join(run.vocabulary[t] for t in run.sequences.flatten().tolist())
    in_text_order = [torch.unique(run.sequences, dim=0) for run in shipped]
    assert torch.equal(in_text_order[0], in_text_order[1])
    assert not torch.equal(shipped[0].sequences, shipped[1].sequences)
    assert len({float(run.weights[-1].sum()) for run in shipped}) == 3


def unigram_loss(run):
    counts = torch.bincount(run.sequences[: run.num_train].flatten(), minlength=103) + 1.0
    return float(-(counts / counts.sum()).log()[run.targets[run.num_train :]].mean())


def bigram_loss(run, alpha=0.1):
    s = run.sequences[: run.num_train]
    pairs = torch.bincount((103 * s[:, :-1] + s[:, 1:]).flatten(), minlength=103**2).view(103, 103)
    single = torch.bincount(s.flatten(), minlength=103) + 1.0
    P = pairs + alpha * 103 * single / single.sum()
    P = P / P.sum(1, keepdim=True)
    return float(-P.log()[run.inputs[run.num_train :], run.targets[run.num_train :]].mean())


def test_shipped_models_are_better_than_counting_letters(shipped):
    """Held out: unigram 3.24, bigram 2.46 nats per token; the models about 1.3."""
    for run in shipped:
        held_out = slice(run.num_train, run.num_train + 128)
        with torch.no_grad():
            logits = run.model()(run.inputs[held_out])
            value = float(sequence_loss(logits, run.targets[held_out]).mean())
        assert 3.1 < unigram_loss(run) < 3.4 and 2.3 < bigram_loss(run) < 2.6
        assert value < bigram_loss(run) - 0.7


def test_shipped_checkpoints_improve_with_data(shipped):
    run = shipped[0]
    held_out = slice(run.num_train, run.num_train + 64)
    values = []
    with torch.no_grad():
        for j in range(5):
            logits = run.model(j)(run.inputs[held_out])
            values.append(float(sequence_loss(logits, run.targets[held_out]).mean()))
    assert all(a - b > 0.15 for a, b in zip(values, values[1:], strict=False)), values


def test_45_certified_eigenpairs_of_the_shipped_transformer():
    """KG26's D at 103 296 parameters: residuals by fresh products, in double precision."""
    run = pretrained()[0]
    loss, exact = run.loss(2), run.loss(2, dtype=torch.float64)
    pairs = top_eigenpairs(loss, loss.w0, 2, D=45, tol=1e-3)
    U = pairs.vectors.double()
    residuals = (exact.hvp(exact.w0, U, 2) - U * pairs.values.double()).norm(dim=0)
    assert float(residuals.max()) <= 1e-3 * float(pairs.values[0])
    assert torch.allclose(U.T @ U, torch.eye(45, dtype=U.dtype), atol=1e-6)
    assert bool((pairs.values[:-1] >= pairs.values[1:]).all())
