"""Losses whose samples are read batch by batch: the numbers of those in memory, or a refusal.

Oracle: the same loss made of the same samples in memory, padded to one length where batches are
padded to their own. Both add up the same pieces, so that even minimisers agree.
"""

import pickle
import re
import threading
from collections import UserDict

import hugging_face
import pytest
import torch
from draws import F64, generator, randn
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, Sampler, Subset, TensorDataset

import landscape_nb as ln
from landscape_nb.__main__ import main
from landscape_nb.numerics import streamed_samples
from landscape_nb.numerics.checks import BatchError
from landscape_nb.numerics.sample_norms import gradient_energies
from landscape_nb.numerics.samples import sample_derivatives
from landscape_nb.study import identity
from landscape_nb.theory.descent import gradient_descent

n, CUT = 30, 8
cross_entropy = nn.CrossEntropyLoss(reduction="none")


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()


X, Y = randn(n, 3), torch.randint(3, (n,), generator=generator(2))


def pairs(*sizes):
    return [*zip(X.split([*sizes]), Y.split([*sizes]), strict=True)]


EIGHT = pairs(8, 8, 8, 6)


class Generated:
    """Batches made on the fly, one tensor filled again and again, as a careful reader would do."""

    def __iter__(self):
        x, y = torch.empty(8, 3, **F64), torch.empty(8, dtype=torch.int64)
        for part, labels in EIGHT:
            m = len(part)
            x[:m], y[:m] = part, labels
            yield x[:m], y[:m]


class Stream(IterableDataset):
    def __iter__(self):
        return zip(X, Y, strict=True)


class Both(nn.Module):
    """Takes its inputs from a dict by name."""

    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x, *, scale=1.0):
        return self.inner(x) * scale


def of_dict(outputs, batch):
    return cross_entropy(outputs, batch["labels"])


def streamed(batches, model=None, loss_fn=cross_entropy, l2=0.1, **options):
    return ln.EmpiricalLoss.from_batches(model or network(), loss_fn, batches, l2, **options)


def in_memory(l2=0.1, **options):
    return ln.EmpiricalLoss(network(), cross_entropy, X, Y, l2, **options)


LOADERS = {
    "a list": lambda: streamed(EIGHT),
    "a loader": lambda: streamed(DataLoader(TensorDataset(X, Y), batch_size=CUT)),
    "a loader of workers": lambda: streamed(
        DataLoader(TensorDataset(X, Y), batch_size=CUT, num_workers=1)
    ),
    "a loader of lasting workers": lambda: streamed(
        DataLoader(TensorDataset(X, Y), batch_size=CUT, num_workers=1, persistent_workers=True)
    ),
    "a loader of a stream": lambda: streamed(DataLoader(Stream(), batch_size=CUT)),
    "made on the fly": lambda: streamed(Generated()),
    "one batch, cut": lambda: streamed([(X, Y)], batch_size=CUT),
    "dicts": lambda: streamed([{"x": x, "labels": y} for x, y in EIGHT], Both(), of_dict),
    "user dicts": lambda: streamed(
        [UserDict(labels=y, x=x) for x, y in EIGHT], Both(), of_dict, progress=False
    ),
}


def models_of(found):
    return found.a, found.c, found.B


def basis(loss, D=3):
    return ln.random_subspace(loss.num_params, D, generator(5))


GRID, EVERY = [1, 7, 8, 9, 15, 20, 29], range(1, n)
ORDER = torch.randperm(n, generator=generator(3))
LATE = ORDER[ORDER >= 11]


def along(loss, w, ks, method):
    return models_of(ln.increment_models(loss, w, basis(loss), ks, method=method))


QUANTITIES = {
    "losses": lambda l, w: l.per_sample(w),
    "losses in another order": lambda l, w: l.per_sample(w, ORDER),
    "every third loss": lambda l, w: l.per_sample(w, range(1, n, 3)),
    "value": lambda l, w: l.value(w, 11),
    "gradient": lambda l, w: l.gradient(w, 11),
    "gradient of a choice": lambda l, w: l.gradient(w, ORDER[:7]),
    "outputs": lambda l, w: l.outputs(w, 20),
    "outputs in another order": lambda l, w: l.outputs(w, ORDER),
    "hvp": lambda l, w: l.hvp(w, basis(l), 20),
    "operator": lambda l, w: l.hessian_operator(w, 5) @ basis(l),
    "hessian": lambda l, w: l.hessian(w, n),
    "sample gradients": lambda l, w: l.sample_gradients(w, ORDER),
    "energies": lambda l, w: gradient_energies(l, w, LATE, w),
    "top eigenpairs": lambda l, w: ln.top_eigenpairs(l, w, 20, 2, tol=1e-9).values,
    "jacobian": lambda l, w: ln.jacobian_subspace(l, w, 17),
    "one increment": lambda l, w: models_of(ln.increment_model(l, w, basis(l), 15)),
    "every increment": lambda l, w: along(l, w, EVERY, "auto"),
    **{
        f"increments by {method}": lambda l, w, m=method: along(l, w, GRID, m)
        for method in ("contraction", "reverse", "segments")
    },
    "derivatives in another order": lambda l, w: sample_derivatives(l, w, basis(l), ORDER),
    "next samples": lambda l, w: models_of(ln.next_sample_models(l, w, basis(l), 11)),
    "chosen next samples": lambda l, w: models_of(
        ln.next_sample_models(l, w, basis(l), 11, candidates=LATE)
    ),
    "delta1": lambda l, w: ln.delta1(l, w, 15),
    "delta2": lambda l, w: ln.delta2(l, w, [5, 15], 0.1, 6, generator(4)).value,
    "delta2 in a subspace": lambda l, w: (
        ln.delta2_subspace(l, w, basis(l), [5, 15], 0.1, 6, generator(4)).value
    ),
    "fit": lambda l, w: ln.fit(l, 20).w,
    "some in memory": lambda l, w: l.with_samples(l.samples.only(LATE)).gradient(w, 7),
}


def assert_same(found, expected):
    found, expected = (x if isinstance(x, tuple) else (x,) for x in (found, expected))
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 1e-12 * b.abs().max()


@pytest.fixture(scope="module")
def memory():
    return in_memory(batch_size=CUT)


@pytest.fixture(scope="module")
def from_list():
    return streamed(EIGHT)


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=QUANTITIES)
def test_a_streamed_loss_has_the_numbers_of_one_in_memory(from_list, memory, quantity):
    w = memory.w0
    assert_same(quantity(from_list, w), quantity(memory, w))


@pytest.mark.parametrize("make", LOADERS.values(), ids=LOADERS)
def test_any_loader_will_do(make, memory):
    loss, w = make(), memory.w0
    assert (loss.num_samples, loss.num_params) == (n, memory.num_params)
    for name in ("losses", "gradient", "hvp", "every increment", "next samples", "fit"):
        assert_same(QUANTITIES[name](loss, w), QUANTITIES[name](memory, w))


RAGGED = {"uneven": (3, 1, 11, 2, 13), "single samples": (1,) * n, "one batch": (n,)}


@pytest.mark.parametrize("sizes", RAGGED.values(), ids=RAGGED)
@pytest.mark.parametrize("k", [1, 4, 14, 15, 29])
def test_k_counts_samples_whatever_the_batches(sizes, k, memory):
    loss, w = streamed(pairs(*sizes)), memory.w0
    assert_same(loss.value_and_gradient(w, k), memory.value_and_gradient(w, k))
    assert_same(loss.hvp(w, basis(loss), k), memory.hvp(w, basis(loss), k))
    assert_same(models_of(ln.increment_model(loss, w, basis(loss), k)),
                models_of(ln.increment_model(memory, w, basis(loss), k)))  # fmt: skip


# -- sequences ------------------------------------------------------------------------------------

LENGTHS = torch.randint(2, 9, (20,), generator=generator(7))
LONGEST = int(LENGTHS.max())
MASK = (torch.arange(LONGEST) < LENGTHS[:, None]).long()
TOKENS = torch.randint(1, 11, (20, LONGEST), generator=generator(8)) * MASK
LABELS = torch.randint(3, (20, LONGEST), generator=generator(9))
TEXT = {"input_ids": TOKENS, "attention_mask": MASK, "labels": LABELS}


class Tagger(nn.Module):
    """Tokens to classes, with what stands before: the mean of it, padding left out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.table, self.last = nn.Embedding(11, 4), nn.Linear(4, 3)
        self.double()

    def forward(self, input_ids, attention_mask):
        mask = attention_mask[..., None].double()
        so_far = (self.table(input_ids) * mask).cumsum(1) / mask.cumsum(1)
        return self.last(torch.tanh(so_far))


def of_tokens(outputs, batch):
    losses = F.cross_entropy(outputs.transpose(1, 2), batch["labels"], reduction="none")
    mask = batch["attention_mask"].double()
    return (losses * mask).sum(1) / mask.sum(1)


def padded_each(*sizes):
    """Batches as a collator makes them: each padded to its own longest sequence."""
    for here in torch.arange(20).split([*sizes]):
        longest = int(LENGTHS[here].max())
        yield {name: tensor[here, :longest] for name, tensor in TEXT.items()}


@pytest.fixture(scope="module")
def tagged():
    batches = [*padded_each(5, 1, 6, 5, 3)]
    assert len({batch["labels"].shape[1] for batch in batches}) > 2
    inputs = {name: TEXT[name] for name in ("input_ids", "attention_mask")}
    return (
        ln.EmpiricalLoss.from_batches(Tagger(), of_tokens, batches, 0.1),
        ln.EmpiricalLoss(Tagger(), of_tokens, inputs, TEXT, 0.1),
    )


MIXED = torch.randperm(20, generator=generator(3))
OF_TEXT = {
    "losses": lambda l, w: l.per_sample(w),
    "losses in another order": lambda l, w: l.per_sample(w, MIXED),
    "gradient": lambda l, w: l.gradient(w, 9),
    "hvp": lambda l, w: l.hvp(w, basis(l), 9),
    "sample gradients": lambda l, w: l.sample_gradients(w, MIXED),
    "energies": lambda l, w: gradient_energies(l, w, range(3, 19), w),
    "some in memory": lambda l, w: l.with_samples(l.samples.only(MIXED[:9])).per_sample(w),
    **{
        f"increments by {method}": lambda l, w, m=method: along(l, w, [1, 5, 6, 7, 19], m)
        for method in ("auto", "contraction", "reverse", "segments")
    },
    "every increment": lambda l, w: along(l, w, range(1, 20), "auto"),
    "next samples": lambda l, w: models_of(ln.next_sample_models(l, w, basis(l), 9)),
    "gauss-newton": lambda l, w: ln.GaussNewtonOperator(l, w, 12) @ basis(l),
}


@pytest.mark.parametrize("quantity", OF_TEXT.values(), ids=OF_TEXT)
def test_sequences_of_unequal_length_have_the_numbers_of_those_padded_to_one(tagged, quantity):
    by_batch, together = tagged
    w = together.w0
    assert not by_batch.samples.alike
    assert_same(quantity(by_batch, w), quantity(together, w))


def test_what_needs_one_length_says_so(tagged):
    loss, _ = tagged
    with pytest.raises(ValueError, match="Ask for them batch by batch"):
        loss.outputs(loss.w0, 9)
    with pytest.raises(ValueError, match="8 samples are wanted in one piece, but they lie in 3"):
        loss.samples.rows(range(8))
    assert loss.outputs(loss.w0, 5).shape[0] == 5  # within one batch


def test_a_model_of_hugging_face_takes_the_collators_batches():
    model, _, _ = hugging_face.build("gpt2")
    whole = hugging_face.batch() | {"labels": hugging_face.batch()["input_ids"]}

    def loss_fn(outputs, batch):
        logits, mask = outputs.logits[:, :-1].transpose(1, 2), batch["attention_mask"][:, 1:]
        losses = F.cross_entropy(logits, batch["labels"][:, 1:], reduction="none") * mask
        return losses.sum(1) / mask.sum(1)

    batches = [{name: tensor[i : i + 4] for name, tensor in whole.items()} for i in (0, 4)]
    loss = ln.EmpiricalLoss.from_batches(model, loss_fn, batches)
    expected = ln.EmpiricalLoss(model, loss_fn, whole, whole)
    w, v = loss.w0, randn(loss.num_params)
    assert_same(loss.per_sample(w), expected.per_sample(w))
    assert_same(loss.hvp(w, v, 5), expected.hvp(w, v, 5))


def test_a_tensor_is_inputs_and_targets():
    model = nn.Linear(3, 3).double()

    def loss_fn(outputs, x):
        return (outputs - x).square().sum(1)

    expected = ln.EmpiricalLoss(model, loss_fn, X, X).per_sample(torch.ones(12, **F64))
    for batches in (X.split(7), [[x] for x in X.split(7)]):
        loss = ln.EmpiricalLoss.from_batches(model, loss_fn, [*batches])
        assert_same(loss.per_sample(torch.ones(12, **F64)), expected)


def test_a_model_that_takes_any_argument_gets_every_entry():
    class Any(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, scale=1.0, **entries):
            assert set(entries) == {"x", "labels"}
            return self.inner(entries["x"]) * scale

    loss = streamed([{"x": x, "labels": y, "scale": 0 * y[:, None] + 1} for x, y in EIGHT],
                    Any(), of_dict)  # fmt: skip
    assert_same(loss.per_sample(loss.w0), in_memory().per_sample(loss.w0))


def test_a_dict_whose_entries_forward_does_not_name_goes_whole():
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, batch):
            return self.inner(batch["x"])

    loss = streamed([{"x": x, "labels": y} for x, y in EIGHT], Whole(), of_dict)
    assert_same(loss.per_sample(loss.w0), in_memory().per_sample(loss.w0))


# -- refusals -------------------------------------------------------------------------------------


class Anew(Sampler):
    """Another order each time, in a way that no type shows."""

    times = 0

    def __iter__(self):
        self.times += 1
        return iter(torch.randperm(n, generator=generator(self.times)).tolist())

    def __len__(self):
        return n


class Global(Anew):
    """The same from the global random numbers."""

    def __iter__(self):
        return iter(torch.randperm(n).tolist())


class AtOnce:
    """The same again, drawn when a pass begins and not when its first batch is asked for."""

    def __iter__(self):
        order = torch.randperm(n)
        return iter([(X[order], Y[order])])


class Shorter:
    times = 0

    def __iter__(self):
        self.times += 1
        return iter(EIGHT if self.times == 1 else EIGHT[:2])


class Longer(Shorter):
    def __iter__(self):
        self.times += 1
        return iter(EIGHT[:3] if self.times == 1 else EIGHT)


class Augmented:
    def __iter__(self):
        return ((x + torch.randn_like(x), y) for x, y in EIGHT)


def loader(**options):
    return DataLoader(TensorDataset(X, Y), batch_size=CUT, **options)


x, y = EIGHT[0]
REFUSED = {
    "a generator": ((pair for pair in EIGHT), "can be gone through only once.*not the generator"),
    "an iterator": (iter(EIGHT), "can be gone through only once"),
    "an empty list": ([], "batches ended before the first one"),
    "an empty loader": (loader(drop_last=True, sampler=range(3)), "drop_last"),
    "a tensor": (X, "iterable of batches; got Tensor.*goes into a list"),
    "a number": (3, "iterable of batches; got int"),
    "a shuffling loader": (loader(shuffle=True), "The DataLoader shuffles.*shuffle=False"),
    "lengths that differ": ([(x, y), (x, y[:3])], "Batch 1: .*same number of samples; got 8 and 3"),
    "an empty batch": ([(x, y), (x[:0], y[:0])], "Batch 1: inputs is empty"),
    "another dtype": ([(x, y), (x.float(), y)], "Batch 1: inputs .*float32 but .*float64"),
    "three parts": ([(x, y, y)], r"Batch 0: .*pair.*got one of 3.*\(\(x, mask\), targets\)"),
    "no tensor": ([(x, y), (x.numpy(), y)], "Batch 1: inputs must be a torch tensor"),
}
CHANGED = {
    "another order each time": (loader(sampler=Anew()), "Batch 0 is another one.*shuffle=False"),
    "global random numbers": (loader(sampler=Global()), "Batch 0 is another one"),
    "drawn at once": (AtOnce(), "Batch 0 is another one"),
    "augmented": (Augmented(), "Batch 0 is another one.*no random transformation"),
    "fewer": (Shorter(), "batches ended after 2 of 4"),
    "more": (Longer(), "batches went on after 3"),
}


@pytest.mark.parametrize("batches, said", REFUSED.values(), ids=REFUSED)
def test_what_is_no_ordered_data_is_refused(batches, said):
    with pytest.raises(ValueError, match=said):
        streamed(batches)


@pytest.mark.parametrize("batches, said", CHANGED.values(), ids=CHANGED)
def test_what_is_not_the_same_twice_is_refused(batches, said):
    with pytest.raises(BatchError, match=said):
        streamed(batches)


def test_an_order_drawn_once_is_fine(memory):
    loss = streamed(DataLoader(Subset(TensorDataset(X, Y), ORDER.tolist()), batch_size=CUT))
    assert_same(loss.per_sample(memory.w0), memory.per_sample(memory.w0, ORDER))


def test_data_that_change_later_are_refused():
    data = [(x.clone(), y) for x, y in EIGHT]
    loss = streamed(data)
    data[2][0][1, 1] += 1e-15
    w = loss.w0
    loss.gradient(w, 16)
    with pytest.raises(BatchError, match="Batch 2 is another one"):
        loss.gradient(w, 17)
    data[2][0].copy_(EIGHT[2][0])
    assert_same(loss.gradient(w, 17), in_memory().gradient(w, 17))


def test_random_mini_batches_are_refused(from_list):
    with pytest.raises(ValueError, match="Random mini-batches need samples in memory"):
        gradient_descent(from_list, n, 0.1, 3, batch_size=4, generator=generator())


@pytest.mark.parametrize("name", ["inputs", "targets"])
def test_there_are_no_inputs_of_all_samples(from_list, name):
    with pytest.raises(ValueError, match=f"holds no {name}.*samples.rows"):
        getattr(from_list, name)
    inputs, targets = from_list.samples.rows(ORDER[:9])
    assert torch.equal(inputs, X[ORDER[:9]]) and torch.equal(targets, Y[ORDER[:9]])


# -- reading --------------------------------------------------------------------------------------


def ahead():
    """Threads that read ahead."""
    return [t for t in threading.enumerate() if t.name.startswith("batch ")]


def all_end():
    for thread in ahead():
        thread.join(10)
    return not ahead()


class Counted:
    """Counts what is read; fails at a batch, or waits there, when it is told to."""

    def __init__(self):
        self.read, self.passes, self.fails, self.asked = 0, 0, None, None

    def __iter__(self):
        self.passes += 1
        for number, pair in enumerate(EIGHT):
            if number == self.fails:
                raise OSError("the disk is gone")
            if self.asked is not None and number == 2:
                self.asked()
            self.read += 1
            yield pair


def test_an_error_of_the_loader_is_carried_over_and_nothing_hangs(memory):
    batches = Counted()
    loss, w = streamed(batches), memory.w0
    batches.fails = 3
    assert_same(loss.gradient(w, 24), memory.gradient(w, 24))  # read ahead, but not needed
    with pytest.raises(BatchError, match="Batch 3 could not be read: OSError: the disk") as caught:
        loss.per_sample(w)
    assert isinstance(caught.value.__cause__, OSError)
    assert all_end()
    batches.fails = None
    late = range(24, n)
    assert_same(loss.per_sample(w, late), memory.per_sample(w, late))
    assert_same(loss.per_sample(w), memory.per_sample(w))


def test_an_error_of_the_model_leaves_no_thread(memory):
    loss = streamed(Counted())
    with pytest.raises(ValueError, match="not finite"):
        loss.per_sample(float("inf") * torch.ones_like(loss.w0))
    assert all_end()
    assert_same(loss.gradient(memory.w0, n), memory.gradient(memory.w0, n))


@pytest.mark.parametrize("at", range(1, 6))
def test_an_interrupt_leaves_no_thread_and_no_wrong_batch(at, memory, monkeypatch):
    batches = Counted()
    loss, w, times = streamed(batches), memory.w0, []
    join = threading.Thread.join

    def interrupted(thread, timeout=None):
        if thread.name.startswith("batch ") and threading.current_thread() is not thread:
            times.append(thread)
            if len(times) == at:
                raise KeyboardInterrupt
        return join(thread, timeout)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "join", interrupted)
        with pytest.raises(KeyboardInterrupt):
            loss.gradient(w, n)
    assert all_end()
    assert_same(loss.gradient(w, n), memory.gradient(w, n))


def test_one_batch_is_read_ahead_while_the_model_works():
    """The reader waits for the model at batch 1: both are at work at once, whoever is faster."""
    batches, started = Counted(), threading.Event()
    loss = streamed(batches)
    batches.asked = started.set
    seen = []

    def loss_fn(outputs, targets):
        seen.append(started.wait(10))
        return cross_entropy(outputs, targets)

    view = loss.with_module(loss.model, loss_fn)
    view.per_sample(loss.w0, range(8, 16))  # batch 1, meanwhile batch 2
    assert seen == [True]
    assert all_end()


def test_a_quantity_costs_as_many_passes_as_it_has_sums(memory):
    """Segments and candidates are read forwards: no pass for each of them."""
    batches = Counted()
    loss, w = streamed(batches), memory.w0
    assert batches.passes <= 4  # the audit holds its samples
    counts = {}
    for name in ("gradient", "hvp", "hessian", *(q for q in QUANTITIES if "increments by" in q),
                 "every increment", "next samples", "chosen next samples",
                 "losses in another order"):  # fmt: skip
        loss.value(w, 1)  # from the first batch on
        before = batches.passes
        QUANTITIES[name](loss, w)
        counts[name] = batches.passes - before
    assert counts.pop("increments by segments") <= 2  # values first
    assert counts.pop("next samples") <= 2 and counts.pop("chosen next samples") <= 2
    assert all(count <= 1 for count in counts.values()), counts


def test_batches_are_moved_one_by_one(monkeypatch):
    """The CPU stands for a device: what is handed to .to, and how much of it at once."""
    moved, to = [], torch.Tensor.to

    def noted(tensor, *args, **named):
        if args == (torch.device("cpu"),):
            moved.append(len(tensor))
        return to(tensor, *args, **named)

    monkeypatch.setattr(torch.Tensor, "to", noted)
    loss = streamed(EIGHT)
    loss.value(loss.w0, n)
    all_end()
    moved.clear()
    loss.gradient(loss.w0, 20)
    all_end()
    assert moved == [8, 8, 8, 8, 8, 8, 6, 6]  # inputs and targets; the last is read ahead


def test_nothing_global_is_left_changed():
    model = network()
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    loss = streamed(loader(num_workers=1), model)
    loss.gradient(loss.w0, n)
    assert all_end() and torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("kind", ["a list", "a loader", "a loader of lasting workers"])
def test_threads_read_by_themselves(kind, memory):
    loss, w, found = LOADERS[kind](), memory.w0, []

    def work():
        found.append([loss.gradient(w, k) for k in (n, 5, 20, 11)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [memory.gradient(w, k) for k in (n, 5, 20, 11)]
    assert len(found) == 4
    for gradients in found:
        assert_same(tuple(gradients), tuple(expected))


def test_a_streamed_loss_travels_as_far_as_its_batches(from_list, memory):
    from_list.gradient(memory.w0, 11)  # in the middle of a pass
    again = pickle.loads(pickle.dumps(from_list))
    assert_same(again.gradient(memory.w0, 20), memory.gradient(memory.w0, 20))


def test_batches_larger_than_memory_allows_are_cut(memory):
    loss = streamed([(X, Y)], memory=10 * 4 * memory.sample_bytes)
    assert [len(part) for part in loss.batches(n)] == [10, 10, 10]
    assert loss.sample_bytes == memory.sample_bytes
    assert_same(loss.gradient(memory.w0, 25), memory.gradient(memory.w0, 25))


def test_a_study_knows_streams_by_what_they_hold(from_list):
    same, other = streamed(Generated()), streamed(pairs(8, 8, 7, 7))
    known = [identity.as_json(loss.samples, "data") for loss in (from_list, same, other)]
    assert known[0] == known[1] != known[2]


def test_a_checksum_sees_order_shape_dtype_and_name():
    batches = [
        {"a": X}, {"b": X}, {"a": X.flip(0)}, {"a": X.view(3, -1)}, {"a": X.view(torch.int64)},
        {"a": X.to(torch.bfloat16)}, {"a": X > 0}, {"a": X + 1j}, {"a": (X + 1j).conj()}, (X, X),
    ]  # fmt: skip
    assert len({streamed_samples.checksum(batch) for batch in batches}) == len(batches)
    assert streamed_samples.checksum({"a": X.T.contiguous().T}) == streamed_samples.checksum(
        batches[0]
    )


def test_the_audit_and_the_report_read_a_streamed_loss(tmp_path, monkeypatch, capsys):
    """The same page as from memory: every number of it."""
    name = "streamed_module_of_this_test"
    (tmp_path / f"{name}.py").write_text(
        "import test_streamed as t\n"
        "def streamed(): return t.streamed(t.EIGHT)\n"
        "def in_memory(): return t.in_memory(batch_size=t.CUT)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    few = "-D 2 --fit-iterations 10 --lowest-products 12 --trace-products 6".split()
    said = []
    for function in ("streamed", "in_memory"):
        assert main(["report", f"{name}:{function}", *few, "--retrain-iterations", "5"]) == 0
        ln.audit(getattr(__import__(name), function)())
        said.append(re.sub(r"^Time: .*? s[.]$", "", capsys.readouterr().out, flags=re.M | re.S))
    assert said[0] == said[1]
