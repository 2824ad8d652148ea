"""What the explorable of Ritz values says, and what it refuses.

Oracles: an orthonormal basis of the Krylov space by QR, explicit residuals, and theorems: a
residual bounds the distance to a true eigenvalue, the ends close in from inside.
"""

import json

import numpy as np
import pytest
from explorables import assert_stored

from landscape_nb.widgets import RitzExplorer

N, M = 40, 20


def symmetric(seed=0):
    random = np.random.default_rng(seed)
    Q = np.linalg.qr(random.normal(size=(N, N)))[0]
    values = np.concatenate([[9.0, 6.0, 5.0, -3.0, -2.5], random.uniform(-1, 1, N - 5)])
    return (Q * values) @ Q.T


def run(H, steps, seed=1):
    """Ritz values and residuals after 1 .. steps products, from a basis of the Krylov space."""
    vectors = [np.random.default_rng(seed).normal(size=N)]
    for _ in range(steps - 1):
        basis = np.linalg.qr(np.array(vectors).T)[0]
        vectors.append(H @ basis[:, -1])
    found = []
    for m in range(1, steps + 1):
        basis = np.linalg.qr(np.array(vectors[:m]).T)[0]
        values, Y = np.linalg.eigh(basis.T @ H @ basis)
        U = basis @ Y
        found.append((values, np.linalg.norm(H @ U - U * values, axis=0)))
    return zip(*found, strict=True)


@pytest.fixture(scope="module")
def explorer():
    H = symmetric()
    return RitzExplorer(np.linalg.eigvalsh(H), *run(H, M))


@pytest.mark.parametrize("tolerance", [1e-1, 1e-3, 1e-6])
@pytest.mark.parametrize("m", [1, 7, 14, M])
def test_what_has_converged_is_close_to_a_true_eigenvalue(explorer, m, tolerance):
    explorer.m, explorer.tolerance = m, tolerance
    found, true = explorer.numbers(), np.linalg.eigvalsh(symmetric())
    assert len(found["converged"]) + len(found["others"]) == m
    for theta in found["converged"]:
        assert np.abs(true - theta).min() < tolerance + 1e-4  # the rounding of what is drawn
    assert found["upper"] + found["lower"] <= len(found["converged"])


def test_ends_are_counted_inwards_until_the_first_that_has_not_converged():
    residuals = [[1.0], [1, 1], [1, 1, 1], [1, 1, 1, 1], [0, 1, 0, 1, 0]]
    ritz = [np.arange(m) for m in range(1, 6)]
    found = RitzExplorer([0.0, 4.0], ritz, residuals).numbers()
    assert (found["upper"], found["lower"]) == (1, 1)
    assert found["converged"] == [0, 2, 4]


def test_all_converged_are_not_counted_twice():
    found = RitzExplorer([1.0, 2.0], [[1.5], [1, 2]], [[0.5], [0, 0]]).numbers()
    assert (found["upper"], found["lower"]) == (2, 0)


def test_the_ends_close_in_from_inside(explorer):
    for errors in explorer.data["missed"].values():
        assert all(a >= b >= 0 for a, b in zip(errors, errors[1:], strict=False))


def test_with_all_vectors_nothing_is_missed():
    H = symmetric()
    explorer = RitzExplorer(np.linalg.eigvalsh(H), *run(H, N))
    assert explorer.numbers()["upper"] == N
    assert explorer.sentence().count("no more than rounding") == 3


def test_the_present_state_in_words(explorer):
    explorer.m, explorer.tolerance = 1, 1e-3
    assert explorer.sentence().startswith(
        "After m = 1 steps 0 of the 1 Ritz values have converged at the upper end and 0 at the "
        "lower end: residual below 0.001. The largest eigenvalue is missed by "
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"m": 3}, r"m must lie in 1\.\.2; got m = 3"),
        ({"m": 0}, r"m must lie in 1\.\.2; got m = 0"),
        ({"tolerance": 1.0}, r"tolerance must lie in 1e-09\.\.0\.1; got tolerance = 1"),
        ({"ritz": [[1.5], [1.0]]}, r"ritz must hold a list for each .* got lengths \[1, 1\]"),
        ({"residuals": [[0.5, 1]]}, r"residuals must hold a list .* got lengths \[2\]"),
        ({"ritz": []}, r"ritz must hold a list .* got lengths \[\]"),
        ({"residuals": [[0.5]]}, r"got Ritz values for 2 steps and residuals for 1"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, dict) else part[:30],
)
def test_refusals(change, message):
    fine = {"true": [1.0, 2.0], "ritz": [[1.5], [1, 2]], "residuals": [[0.5], [0, 0]]}
    with pytest.raises(ValueError, match=message):
        RitzExplorer(**{**fine, **change})


def test_a_bad_setting_leaves_the_old_one(explorer):
    explorer.m = 5
    with pytest.raises(ValueError, match="m must lie in"):
        explorer.m = M + 1
    assert explorer.m == 5


def test_what_a_stored_notebook_keeps(explorer):
    assert_stored(explorer, "ritz_explorer")


def test_a_page_carries_96_steps_and_1210_eigenvalues_in_120_kB():
    random = np.random.default_rng(0)
    ritz = [np.sort(random.normal(size=m)) for m in range(1, 97)]
    residuals = [10 ** random.uniform(-12, 0, m) for m in range(1, 97)]
    explorer = RitzExplorer(random.normal(size=1210), ritz, residuals)
    assert len(json.dumps(explorer.state())) < 120_000
