"""The stored studies of the transformer: published_b, subspace_ratio, taylor, transformer_probes.

Oracles: Hessians of quadratics written down; dense torch.func.hessian; loops over samples; numpy's
pseudo-inverse. Wrong on purpose: the definition in place of the published rule, a Taylor polynomial
without its half.
"""

import numpy as np
import pytest
import torch
from torch.func import hessian

import landscape_nb as ln
from landscape_nb.problems.toys import quadratics, softmax_regression
from landscape_nb.study.evidence import (
    published_b,
    stored,
    subspace_ratio,
    taylor,
    transformer_probes,
)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def small_softmax(n=12):
    toy = softmax_regression(n, 3, 3, generator=seeded(0))
    loss = ln.EmpiricalLoss(*toy.parts)
    return loss, loss.w0 + torch.randn(len(loss.w0), generator=seeded(1), dtype=torch.float64)


def stored_row(name, **cell):
    return next(r for r in stored.rows(name) if all(r[x] == y for x, y in cell.items()))


# -- published_b ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 64, 65, 256, 257, 1024, 2049, 6208, 6209])
def test_samples_are_those_of_a_rounded_linspace(n):
    wanted = torch.linspace(0, n - 1, min(n, 4), dtype=torch.float64).round().long().tolist()
    assert published_b.spread_samples(n) == wanted


@pytest.mark.parametrize("k", [1, 2, 3, 4, 7, 10])
def test_published_hessians_are_differences_of_two_means(k):
    n, d, candidates = 14, 3, [11, 12, 13]
    loss = ln.EmpiricalLoss(*quadratics(n, d).parts)
    H = np.stack([loss.hvp(loss.w0, torch.eye(d).double(), range(i, i + 1)) for i in range(n)])
    seen = sorted({*published_b.spread_samples(k), *published_b.spread_samples(k + 1)[:-1]})
    B = torch.tensor(H)
    found = published_b.published_hessians(B[candidates], B[seen], seen, k)
    for j, i in enumerate(candidates):
        row = [*range(k), i]  # the candidate in the place of sequence k + 1
        many = [row[m] for m in np.linspace(0, k, min(k + 1, 4)).round().astype(int)]
        few = [row[m] for m in np.linspace(0, k - 1, min(k, 4)).round().astype(int)]
        wanted = np.mean([H[m] for m in many], axis=0) - np.mean([H[m] for m in few], axis=0)
        assert np.allclose(found[j], wanted, atol=1e-12)
        definition = (H[i] - H[:k].mean(0)) / (k + 1)
        assert np.allclose(found[j], definition, atol=1e-12) == (k <= 3)


def test_a_cheap_row_of_published_b_is_measured_again():
    for row in published_b.measure(0, ks=(64,)):
        there = stored_row("published_b", seed=0, k=64, sigma=row["sigma"])
        for name in row:
            assert row[name] == pytest.approx(there[name], rel=0.05), name


def test_slopes_of_made_up_rows():
    ks, rows = published_b.KS, []
    for seed in (0, 1):
        for k in ks:
            value = (3 + seed) * (k + 1.0) ** -2
            row = {"seed": seed, "k": k, "sigma": 1e-3, "delta1": 5 / (k + 1)}
            rows.append(row | {"value": value, "value_next": 7 * value, "full": 7.5 * value})
    assert published_b.slope_of(rows, "delta1") == pytest.approx([-1, -1])
    assert published_b.slope_of(rows, "full") == pytest.approx([-2, -2])
    assert published_b.grid(rows, "full", 1e-3)[1, 0] == pytest.approx(7.5 * 4 / 65**2)


# -- taylor ---------------------------------------------------------------------------------------


def test_taylor_errors_are_those_of_a_dense_hessian():
    (loss, w), k = small_softmax(), 5
    loss.w0.copy_(w)
    xi = torch.randn(6, len(w), generator=seeded(2), dtype=torch.float64)

    def value(v):
        return loss.losses_at(v, torch.arange(k)).mean()

    g, H = torch.func.grad(value)(w), hessian(value)(w)
    for sigma, found in taylor.taylor_errors(loss, xi, (1e-2, 0.5), k).items():
        E = [float(value(w + sigma * x) - value(w)) for x in xi]
        T = [float(sigma * g @ x + sigma**2 / 2 * (x @ H @ x)) for x in xi]
        error = [abs(e - t) for e, t in zip(E, T, strict=False)]
        assert found["absolute"] == pytest.approx(np.mean(error), rel=1e-6)
        assert found["pooled"] == pytest.approx(np.sum(error) / np.abs(E).sum(), rel=1e-6)
        relative = np.mean([x / abs(e) for x, e in zip(error, E, strict=False)])
        assert found["relative"] == pytest.approx(relative, rel=1e-6)
        wrong = [
            abs(e - float(sigma * g @ x + sigma**2 * (x @ H @ x)))
            for e, x in zip(E, xi, strict=False)
        ]
        assert found["absolute"] < 0.7 * np.mean(wrong)


def test_the_increments_model_is_exact_for_quadratics():
    loss = ln.EmpiricalLoss(*quadratics(taylor.K + taylor.NEXT, 6).parts)
    for found in taylor.model_errors(loss, loss, seeded(3)).values():
        assert found["raw"] < 1e-9


def test_the_increments_model_leaves_the_third_order():
    loss, w = small_softmax(taylor.K + taylor.NEXT)
    loss.w0.copy_(w)
    errors = taylor.model_errors(loss, loss, seeded(3))
    near, far = (errors[taylor.SIGMAS[j]]["centred"] for j in (8, 10))
    assert near > 1e-12 and far / near == pytest.approx(100, rel=0.2)  # sigma squared


def test_reach_is_the_last_sigma_before_ten_percent():
    errors = np.full(13, 0.01)
    errors[9:] = [0.2, 0.05, 0.3, 0.4]
    assert taylor._reach(errors) == taylor.SIGMAS[8]


def test_a_cheap_row_of_taylor_is_measured_again():
    run = published_b.pretrained()[0]
    xi = torch.randn(8, run.config.num_params, generator=seeded(0), dtype=torch.float64)
    sigmas = tuple(taylor.SIGMAS[j] for j in (8, 10))
    found = taylor.taylor_errors(taylor._loss(run, 0, torch.float64), xi, sigmas)
    for sigma in sigmas:
        there = stored_row("taylor", seed=0, copy=0, sigma=sigma)
        for name, error in found[sigma].items():
            assert error == pytest.approx(there[f"{name}_64"], rel=1e-3)


# -- transformer_probes ---------------------------------------------------------------------------


def test_gradient_shares_are_those_of_loops_over_samples():
    loss, w = small_softmax()
    loss.w0.copy_(w)
    k, judge = 4, range(8, 12)
    U = torch.linalg.qr(torch.randn(len(w), 5, generator=seeded(4), dtype=torch.float64)).Q
    found = transformer_probes.gradient_shares(loss, k, judge, {"some": U})
    g = [loss.gradient(w, range(i, i + 1)).numpy() for i in range(12)]
    c = [(g[i] - np.mean(g[:k], axis=0)) / (k + 1) for i in judge]
    whole = sum(x @ x for x in c)

    def inside(columns):
        shadow = columns @ np.linalg.pinv(columns)
        return [float(x @ shadow @ x) for x in c]

    U = U.numpy()
    assert found["some"]["gradient"] == pytest.approx(sum(inside(U)) / whole)
    assert found["some"]["few"] == pytest.approx(sum(inside(U[:, :4])) / whole)
    middle = sorted(a / (x @ x) for a, x in zip(inside(U), c, strict=False))
    assert (
        middle[1] <= found["some"]["middle"] * (1 + 1e-12) and found["some"]["middle"] <= middle[2]
    )
    own = [float((x @ g[i]) ** 2 / (g[i] @ g[i])) for x, i in zip(c, judge, strict=False)]
    assert found["gradient"]["gradient"] == pytest.approx(sum(own) / whole)


def test_a_cheap_row_of_transformer_probes_is_measured_again():
    loss, build, judge, _ = transformer_probes.problem(0)
    U = ln.gradient_subspace(loss, loss.w0, transformer_probes.K, build, transformer_probes.D)
    found = transformer_probes.gradient_shares(loss, transformer_probes.K, judge, {"principal": U})
    for name in ("principal", "gradient"):
        there = stored_row("transformer_probes", seed=0, probe=name)
        for part, share in found[name].items():
            assert share == pytest.approx(there[part], rel=0.01)


# -- subspace_ratio -------------------------------------------------------------------------------


def test_ratios_of_stored_parts_are_those_of_the_estimator_on_a_small_model():
    loss, w = small_softmax()
    U = torch.linalg.qr(torch.randn(len(w), 4, generator=seeded(4), dtype=torch.float64)).Q
    models = {
        probe: ln.next_sample_models(loss, w, V, 4, candidates=range(8, 12))
        for probe, V in (("top", U), ("whole", torch.eye(len(w), dtype=torch.float64)))
    }
    rows = [
        {"seed": 0} | subspace_ratio._row(probe, d, ln.moment_table([model]), d - 1)
        for probe, model in models.items()
        for d in ((1, 4) if probe == "top" else (len(w),))
    ]
    z = 0.3 * torch.randn(200_000, len(w), generator=seeded(5), dtype=torch.float64)
    sizes = {}
    for probe, model in models.items():
        x = z[:, : model.B.shape[-1]]
        drawn = model.a + x @ model.c.T + torch.einsum("sd,kde,se->sk", x, model.B, x) / 2
        sizes[probe] = [drawn.square().mean(), (drawn - model.a).square().mean()]
    for i, part in enumerate(("total", "centred")):
        found = subspace_ratio.ratios(rows, "top", 4, 0.3, part)
        assert found == pytest.approx([float(sizes["top"][i] / sizes["whole"][i])], rel=0.03)


def test_cheap_rows_of_subspace_ratio_are_measured_again():
    loss, generator = transformer_probes.drawn(0, subspace_ratio.K, subspace_ratio.NEXT)
    U = ln.random_subspace(loss.num_params, subspace_ratio.D, generator, dtype=torch.float32)
    following = range(subspace_ratio.K, subspace_ratio.K + subspace_ratio.NEXT)
    models = ln.next_sample_models(loss, loss.w0, U, subspace_ratio.K, candidates=following)
    gradient, trace = models.c.double().square(), models.B.double().diagonal(dim1=1, dim2=2)
    for d in subspace_ratio.DIMS["random"]:
        there = stored_row("subspace_ratio", seed=0, probe="random", D=d)
        assert there["value"] == pytest.approx(float(models.a.double().square().mean()), rel=1e-3)
        assert there["gradient"] == pytest.approx(float(gradient[:, :d].sum(1).mean()), rel=0.01)
        cross = float((models.a.double() * trace[:, :d].sum(1)).mean())
        assert there["cross"] == pytest.approx(cross, rel=0.01, abs=1e-7)


def test_few_directions_see_all_of_the_raw_criterion_and_little_of_the_centred_one():
    found = stored.figures("subspace_ratio")
    for probe in subspace_ratio.DIMS:
        assert found[f"raw_{probe}"].low > 0.995 and found[f"raw_{probe}"].high < 1.005
    assert found["centred_top"].high < 0.25
    assert found["centred_random"].low < 16 / 103_296 < found["centred_random"].high
    assert found["top_over_random"].low > 100


def test_a_seed_of_subspace_ratio_is_measured_again():
    for row in subspace_ratio.measure(0):
        there = stored_row("subspace_ratio", seed=0, probe=row["probe"], D=row["D"])
        # top and bottom are found to 1e-2 and 5e-2 of the largest eigenvalue
        loose = 0.01 if row["probe"] in ("random", "whole") else 0.1
        for part in ("gradient", "curvature"):
            assert row[part] == pytest.approx(there[part], rel=loose), (row["probe"], row["D"])
