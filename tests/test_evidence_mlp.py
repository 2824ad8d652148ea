"""The stored studies behind notebook 04: `decay`, `probes` and `overlap`, against dense algebra."""

from functools import cache

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

import landscape_nb as ln
from landscape_nb.study.evidence import decay, overlap, probes, stored
from landscape_nb.study.single_digits import Seen, single_digits

K, N = 31, 75


@cache
def small():
    """A network trained on 31 of 75 digits, without its L2 term, and dense Hessians."""
    loss, fits = decay.trained(0, (20, K), N)
    loss = loss.without_l2()
    return loss, fits[1].w, loss.hessian(fits[1].w, K)


def dense(i):
    """Gradient and Hessian of the increment that digit i makes, from the definition."""
    loss, w, _ = small()
    order = torch.tensor([*range(K), i])
    return (
        loss.gradient(w, order) - loss.gradient(w, K),
        loss.hessian(w, order) - loss.hessian(w, K),
    )


def test_single_digits_against_dense_hessians():
    loss, w, H = small()
    judges = torch.tensor([32, 74])
    found = single_digits(loss, w, K, judges)
    for j, i in enumerate(judges.tolist()):
        c, A = dense(i)
        J = ln.jacobian_subspace(loss, w, i)
        for seen, V in ((found.whole, torch.eye(len(w)).double()), (found.within_jacobian, J)):
            B = V.T @ A @ V
            expected = [(V.T @ c).square().sum(), B.square().sum(), B.trace()]
            values = [seen.gradient[j], seen.curvature[j], seen.trace[j]]
            torch.testing.assert_close(
                torch.stack(values), torch.stack(expected), rtol=1e-8, atol=1e-14
            )
        alone = loss.hessian(w, range(i, i + 1))
        wrong = (alone.square().sum() + H.square().sum()) / (K + 1) ** 2  # no inner product
        assert abs(wrong / A.square().sum() - 1) > 1e-3, "the test can't tell a missing term"


def test_seen_is_the_gaussian_moment():
    B = torch.tensor([[1.0, 0.4], [0.4, -2.0]]).double()
    parts = [torch.tensor(0.05).double(), B.square().sum(), B.trace()]
    seen, model = Seen(*(part[None] for part in parts)), ln.IncrementModel(0.3, [0.2, -0.1], B)
    moment = ln.gaussian_moment(model, 0.5)
    assert float(seen.raw(torch.tensor([0.3]).double(), 0.5)) == pytest.approx(float(moment.total))
    assert float(seen.centred(0.5)) == pytest.approx(float(moment.centred))


def test_published_delta1_is_what_the_published_code_does():
    """50 points on a sphere of radius 0.02, mean of |L_{k+1} - L_k|, over every next digit."""
    loss, w, _ = small()
    found = decay.published_delta1(loss, w, K, torch.Generator().manual_seed(5))
    draws = torch.randn(50, len(w), generator=torch.Generator().manual_seed(5), dtype=torch.float64)

    def over_points(step, change=lambda x: abs(x)):
        values = []
        for d in draws:
            losses = loss.per_sample(w + step(d))
            for i in range(K, N):
                values.append(change(float(losses[[*range(K), i]].mean() - losses[:K].mean())))
        return np.mean(values)

    assert found == pytest.approx(over_points(lambda d: 0.02 * d / d.norm()), rel=1e-10)
    assert found != pytest.approx(over_points(lambda d: 0.02 * d), rel=1e-3)
    assert found != pytest.approx(over_points(lambda d: 0.02 * d / d.norm(), np.square), rel=1e-3)


def test_decay_rows_against_their_definitions():
    loss, fits = decay.trained(3, (20, 31), 60)
    rows = decay.measure(3, (20, 31), 60, 2)
    for row, fit in zip(rows, fits, strict=True):
        k, losses = row["k"], loss.per_sample(fit.w)
        increments = [
            float(losses[[*range(k), i]].mean() - losses[:k].mean()) for i in range(k, 60)
        ]
        assert row["delta1"] == pytest.approx(np.mean(np.abs(increments)), rel=1e-3)
        assert row["squared"] == pytest.approx(np.mean(np.square(increments)), rel=1e-3)
        assert row["T"] == pytest.approx(np.mean(np.square(increments)) * (k + 1) ** 2, rel=1e-3)
        values, vectors = torch.linalg.eigh(loss.hessian(fit.w, k))
        U, bare = vectors[:, -2:], loss.without_l2()
        g = bare.sample_gradients(fit.w, range(k, 60)) - bare.gradient(fit.w, k)
        expected = float((g @ U).square().sum(1).mean()) / (k + 1) ** 2
        assert row["gradient"] == pytest.approx(expected, rel=1e-2)


def test_a_slope_of_the_summary_is_that_of_the_rows():
    rows = [
        {"seed": s, "k": k, "missing": 0.0, "missing_wide": 0.0}
        | {name: (k + 1.0) ** -p * (1 + s) for name, p in POWERS.items()}
        for s in range(3)
        for k in (20, 50, 90)
    ]
    found = decay.summary(rows)
    for name, p in POWERS.items():
        assert found[f"slope_{name}"].value == pytest.approx(-p)
    assert found["delta1_minus_squared"].value == pytest.approx(1.0)
    assert found["squared_minus_twice_delta1"].value == pytest.approx(0.5)


POWERS = {
    "delta1": 1.5, "published": 1.4, "squared": 2.5, "T": 0.5, "subspace": 3.1,
    "full": 3.2, "gradient": 2.4, "curvature": 2.1, "frozen": 2.0, "frozen_delta1": 1.0,
}  # fmt: skip


def test_probes_rows_against_dense_derivatives():
    k, n = 20, 49  # the warm start of `measure` goes on to 48
    loss, fits = decay.trained(1, (20, 31, 48), n + 1)
    rows = {row["probe"]: row for row in probes.measure(1, (k,), n + 1, 3, drawn=4)}
    w, judges = fits[0].w, list(range(k + 1, n + 1, 2))
    loss = loss.without_l2()
    each = [(loss.gradient(w, o) - loss.gradient(w, k), loss.hessian(w, o) - loss.hessian(w, k))
            for o in (torch.tensor([*range(k), i]) for i in judges)]  # fmt: skip
    C, A = (torch.stack(part) for part in zip(*each, strict=True))
    U = torch.linalg.eigh(loss.hessian(w, k))[1][:, -3:]
    G = loss.sample_gradients(w, torch.arange(k, n + 1, 2)) - loss.gradient(w, k)
    P = torch.linalg.eigh(G.T @ G)[1][:, -3:]
    for name, V in {"top": U, "components": P}.items():
        captured = (C @ V).square().sum(1), (V.T @ A @ V).square().sum((1, 2))
        whole = C.square().sum(1), A.square().sum((1, 2))
        shares = [float(c.sum() / w.sum()) for c, w in zip(captured, whole, strict=True)]
        assert [rows[name]["gradient"], rows[name]["curvature"]] == pytest.approx(shares, rel=2e-3)
        assert float((captured[0] / whole[0]).mean()) != pytest.approx(shares[0], rel=2e-3)
        hard = loss.per_sample(w)[judges].argsort()[-(len(judges) // 5) :]
        fifth = float(captured[0][hard].sum() / whole[0][hard].sum())
        assert rows[name]["gradient_5"] == pytest.approx(fifth, rel=2e-3)
    for part in ("gradient", "curvature"):
        assert sum(rows["whole"][f"{part}_{j}"] for j in range(1, 6)) == pytest.approx(1, rel=1e-3)
        fixed = [rows[name]["gradient"] for name in ("top", "components", "random", "bottom")]
    assert rows["hindsight"]["gradient"] >= max(fixed)


def test_overlap_rows_against_dense_eigenvectors():
    k, n, D = 20, 40, 3
    loss, fits = decay.trained(2, (k,), n)
    row = overlap.measure(2, (k,), n, D, candidates=1)[0]
    generator = torch.Generator().manual_seed(2000 + k)
    i = k + int(torch.randperm(n - k, generator=generator)[0])
    order, w = torch.tensor([*range(k), i]), fits[0].w
    H, after = loss.hessian(w, k), loss.hessian(w, order)
    U, V = (torch.linalg.eigh(M)[1][:, -D:] for M in (H, after))
    angles = np.cos(subspace_angles(U.numpy(), V.numpy()))
    assert row["assumed"] == pytest.approx(np.mean(angles**2), abs=2e-3)
    assert row["assumed_cosine"] == pytest.approx(np.mean(angles), abs=2e-3)
    assert row["assumed_smallest"] == pytest.approx(np.min(angles), abs=2e-2)
    AU = (after - H) @ U
    B = U.T @ AU
    assert row["kept"] == pytest.approx(
        float(B.diagonal().square().sum() / AU.square().sum()), rel=1e-2
    )
    assert row["kept"] != pytest.approx(float(B.square().sum() / AU.square().sum()), rel=1e-2)


# -- one cheap row of each table, measured anew ---------------------------------------------------


def stored_row(name, **at):
    return next(r for r in stored.rows(name) if all(r[key] == at[key] for key in at))


def test_a_stored_row_of_decay():
    now, then = decay.measure(0, (20, 31, 48))[1], stored_row("decay", seed=0, k=31)
    for name in ("delta1", "published", "squared", "subspace", "gradient", "curvature"):
        assert now[name] == pytest.approx(then[name], rel=0.02), name


def test_a_stored_row_of_probes():
    now = {row["probe"]: row for row in probes.measure(0, (74,), drawn=4)}
    for name in ("top", "components", "random", "Jacobian", "hindsight"):
        then = stored_row("probes", seed=0, k=74, probe=name)
        for part in ("gradient", "curvature", "gradient_5", "curvature_1"):
            assert now[name][part] == pytest.approx(then[part], rel=0.05), (name, part)


def test_a_stored_row_of_overlap():
    now, then = overlap.measure(0, (20,))[0], stored_row("overlap", seed=0, k=20)
    for name in ("assumed", "retrained", "kept"):
        assert now[name] == pytest.approx(then[name], abs=0.03), name
