"""One more sample: its closed forms are the package's losses, fits and increments; its settings.

The oracle is `EmpiricalLoss` with its own `fit`, `increment` and `permutation_mean`, which know no
sums of x, x^2, y, xy and y^2.
"""

import functools

import numpy as np
import pytest
import torch
from explorables import assert_stored

import landscape_nb as ln
from landscape_nb.widgets import OneMoreSample

WINDOW = ((-0.5, 1.5), (-1.0, 2.0))
STATES = {
    "as-given": (5, 0, []),
    "first": (2, 0, []),
    "last": (19, 0, []),
    "shuffled": (7, 3, []),
    "own-next": (5, 0, [[1.5, -4.0, 5]]),
    "own-taken-in": (9, 1, [[1.5, -4.0, 5], [0.1, 0.2, 3], [-2.0, 3.0, 21]]),
}
EACH_STATE = pytest.mark.parametrize("name", STATES)


def explorer(k=3, order=0, added=()):
    random = np.random.default_rng(4)
    x = random.permutation(np.linspace(-2, 2, 20))
    made = OneMoreSample(x, 0.8 * x + 0.5 + 0.7 * random.normal(size=20), window=WINDOW)
    made.added, made.order = list(added), order
    made.k = k
    return made


@functools.cache
def package(name):
    """The package's loss of a state's samples, grid points (41 * 41, 2), sample losses there."""
    found = explorer(*STATES[name]).numbers()
    x, y = (torch.tensor(found[axis], dtype=torch.float64)[:, None] for axis in ("xs", "ys"))
    line = torch.nn.Linear(1, 1).double()
    loss = ln.EmpiricalLoss(line, lambda guess, y: (guess - y)[:, 0] ** 2 / 2, x, y)
    ends = [torch.linspace(*ends, 41, dtype=torch.float64) for ends in WINDOW]
    points = torch.cartesian_prod(*ends)
    return loss, points, torch.stack([loss.per_sample(w) for w in points], dim=1)


def close(numbers):
    return pytest.approx(np.asarray(numbers), rel=1e-11, abs=1e-13)


@EACH_STATE
def test_lines_and_bowls_are_the_packages(name):
    found, k = explorer(*STATES[name]).numbers(), STATES[name][0]
    loss, points, losses = package(name)
    for j, line, bowl in zip(
        (k, k + 1), (found["before"], found["after"]), found["bowls"], strict=True
    ):
        fit = ln.fit(loss, j, tol=1e-9)
        assert line == bowl["bottom"] == pytest.approx(fit.w.tolist(), abs=1e-6)
        d1, d2 = (points - torch.tensor(line, dtype=torch.float64)).T
        form = bowl["height"] + ((d2 + bowl["mean"] * d1) ** 2 + bowl["variance"] * d1**2) / 2
        assert form[::40].numpy() == close(losses[:j].mean(0)[::40])
    way = np.subtract(found["after"], found["before"])
    assert found["moved"] == pytest.approx(np.linalg.norm(way), rel=1e-12)


@EACH_STATE
def test_changes_are_mean_squared_increments_over_the_grid(name):
    found, k = explorer(*STATES[name]).numbers(), STATES[name][0]
    _, _, losses = package(name)
    changes = [
        ln.increment(losses[j], losses[:j].mean(0), j).square().mean()
        for j in range(2, len(losses))
    ]
    assert np.array(found["changes"]) == close(changes)
    assert found["changed"] == found["changes"][k - 2]
    average = ln.permutation_mean(losses, k).mean().item()
    assert found["average"] == close(average)
    assert found["spread"] / (k * (k + 1)) == found["average"]
    # the wrong number of samples in a variance would be seen
    assert found["average"] != pytest.approx(average * (1 - 1 / len(losses)), rel=1e-3)


@EACH_STATE
def test_the_increment_on_the_window_is_given_by_five_coefficients(name):
    found, k = explorer(*STATES[name]).numbers(), STATES[name][0]
    _, points, losses = package(name)
    (c1, h1), (c2, h2) = [((low + high) / 2, (high - low) / 2) for low, high in WINDOW]
    u, v = (points[:, 0] - c1) / h1, (points[:, 1] - c2) / h2
    functions = torch.stack([torch.ones_like(u), u, v, u**2 - (u**2).mean(), u * v])
    form = torch.tensor(found["increment"], dtype=torch.float64) @ functions
    assert form.numpy() == close(losses[: k + 1].mean(0) - losses[:k].mean(0))


def test_own_samples_join_at_their_place_and_only_there():
    given, mixed = explorer(9, 1).numbers(), explorer(9, 1, STATES["own-taken-in"][2]).numbers()
    assert mixed["own"] == [-1] * 3 + [1] + [-1] * 2 + [0] + [-1] * 14 + [2, -1]
    others = [i for i, place in enumerate(mixed["own"]) if place < 0]
    assert [mixed["xs"][i] for i in others] == given["xs"]
    assert (mixed["xs"][6], mixed["ys"][6]) == (1.5, -4.0)
    assert mixed["n"] == 23


def test_an_order_is_a_permutation_and_stays_what_it_is():
    rows = [explorer(3, order).numbers()["xs"] for order in (0, 1, 2, 2**32 - 1)]
    assert len({tuple(row) for row in rows}) == 4
    assert len({tuple(sorted(row)) for row in rows}) == 1
    assert explorer(3, 7).numbers() == explorer(3, 7).numbers()


def test_shuffles_send_each_sample_everywhere():
    """Each place's mean over many orders is that of a fair shuffle, within 4.5 standard errors."""
    rows = np.array([explorer(3, order).numbers()["xs"] for order in range(1, 401)])
    error = rows[0].std() / np.sqrt(len(rows))
    assert np.abs(rows.mean(0) - rows[0].mean()).max() < 4.5 * error


def test_add_puts_the_next_sample_and_moves_it_when_asked_again():
    made = explorer(6)
    seen = []
    made.observe(lambda change: seen.append(change.new), "added")
    made.add(1.0, -3.0)
    made.add(1.25, -3.5)
    assert made.added == [[1.25, -3.5, 6]] and seen == [[[1.0, -3.0, 6]], [[1.25, -3.5, 6]]]
    assert made.sentence().startswith("Your sample, x = 1.25 and y = -3.5, comes next. From k = 6")
    made.k += 1
    assert "Your sample" not in made.sentence()
    made.add(0.0, 2.0)
    assert made.added == [[1.25, -3.5, 6], [0.0, 2.0, 7]]


def test_k_follows_when_added_samples_go():
    made = explorer(3, 0, [[1.0, 1.0, 3], [1.0, 2.0, 4]])
    made.k = 21
    made.added = []
    assert made.k == 19 and made.numbers()["n"] == 20


@pytest.mark.parametrize("names", [("k", "added"), ("added", "k")], ids="-then-".join)
def test_what_the_page_sends_at_once_is_judged_as_one(names):
    """K = 20 is possible only with the added sample, whichever is read first."""
    made, sent = explorer(5), {"k": 20, "added": [[1.0, 2.0, 5]]}
    made.set_state({name: sent[name] for name in names})
    assert (made.k, made.added, made.numbers()["n"]) == (20, [[1.0, 2.0, 5]], 21)


def test_a_far_sample_changes_less_when_there_are_more():
    changed = []
    for k in (5, 18):
        made = explorer(k)
        made.add(1.5, -4.0)
        changed.append(made.numbers()["changed"])
    assert changed[0] > 4 * changed[1]


X, Y = [0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 1.0, 2.0]
REFUSED = {
    "lengths": (dict(x=X, y=Y[:3]), "same length, 3 or more; got 4 and 3"),
    "few": (dict(x=X[:2], y=Y[:2]), "same length, 3 or more; got 2 and 2"),
    "nan": (dict(x=X, y=[0, 1, 2, np.nan]), "must be finite"),
    "twice": (dict(x=[0, 1, 1, 2], y=Y), "x = 1 comes more than once"),
    "window": (
        dict(x=X, y=Y, window=((0, 1), (2, 2))),
        r"window must be .* got window = \(\(0, 1\)",
    ),
    "k-low": (dict(x=X, y=Y, k=1), "k must lie in 2..3: a line needs two points"),
    "k-high": (dict(x=X, y=Y, k=4), r"k must lie in 2..3: .* got k = 4\."),
}


@pytest.mark.parametrize(("arguments", "text"), REFUSED.values(), ids=REFUSED)
def test_the_constructor_refuses_in_words(arguments, text):
    with pytest.raises(ValueError, match=text):
        OneMoreSample(**arguments)


SETTINGS = {
    "k-low": ("k", 1, r"k must lie in 2\.\.19: a line needs two points"),
    "k-high": ("k", 20, r"must be left to join; got k = 20\."),
    "order": ("order", -1, r"order must be 0 .* got order = -1\."),
    "added-pair": ("added", [[1.0, 2.0]], r"a list of \[x, y, k\].* got \[1\.0, 2\.0\]"),
    "added-early": (
        "added",
        [[1.0, 2.0, 1]],
        r"k a whole number in 2\.\.19; got \[1\.0, 2\.0, 1\]",
    ),
    "added-late": ("added", [[1.0, 2.0, 20]], r"k a whole number in 2\.\.19"),
    "added-not-finite": ("added", [[1.0, np.inf, 3]], "finite numbers"),
    "added-words": ("added", [["1", 2.0, 3]], "Use add"),
}


@pytest.mark.parametrize(("name", "value", "text"), SETTINGS.values(), ids=SETTINGS)
def test_settings_are_refused_in_words_and_stay(name, value, text):
    made = explorer(5)
    with pytest.raises(ValueError, match=text):
        setattr(made, name, value)
    assert (made.k, made.order, made.added) == (5, 0, [])


def test_what_is_stored_is_a_still_picture_its_words_and_the_state():
    made = explorer(4, 2, [[1.0, -2.0, 4]])
    assert_stored(made, "one_more_sample")
    state = made.state()
    assert (state["k"], state["order"], state["added"]) == (4, 2, [[1.0, -2.0, 4]])
    assert set(state) == {"k", "order", "added", "data"}


def test_data_have_six_digits_and_a_view_with_room():
    data = OneMoreSample([1 / 3, 1, 2], [0, 2 / 3, 100], k=2).data
    assert data["x"] == [0.333333, 1.0, 2.0] and data["y"] == [0.0, 0.666667, 100.0]
    assert data["view"][1] == [-22.0, 122.0]
