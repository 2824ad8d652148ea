"""C26's mechanisms: every column by a route of its own, and the stored study.

Oracles: gradients of single samples one by one, the Kronecker product written down, NumPy's
least squares. Wrong on purpose: the square of the mean in place of the mean square, the minus of
C26's Eq. for chi, output gradients of the mean loss in place of each sample's.
"""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_nb.study.evidence import mechanisms, stored
from landscape_nb.study.evidence.mechanisms import (
    SAMPLES,
    Block,
    fisher_curvatures,
    measure,
    network,
    problem,
    trained,
)
from landscape_nb.theory.layers import gradient_modes, kronecker_factors

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def both():
    loss = problem("both10", 1)
    return loss, trained(loss, 1)


@pytest.fixture(scope="module")
def conv():
    loss = problem("conv4", 1)
    return loss, trained(loss, 1)


def one_by_one(loss, w, name):
    """The gradient of every single sample in one layer's weight: (n, m, n_in)."""
    where = loss.layout.slices()[f"{name}.weight"]
    m = len(loss.model.get_submodule(name).weight)
    return torch.stack(
        [loss.gradient(w, torch.tensor([i]))[where].view(m, -1) for i in range(SAMPLES)]
    )


@pytest.mark.parametrize("case", ["both", "conv"])
def test_fisher_curvatures_by_single_gradients(case, request):
    loss, w = request.getfixturevalue(case)
    modes = gradient_modes(loss, w, SAMPLES, {"both": "1.up", "conv": "2"}[case])
    along = torch.einsum("ir,nij,jr->nr", modes.U, one_by_one(loss, w, modes.name), modes.V)
    found = fisher_curvatures(loss, w, modes)
    torch.testing.assert_close(found, along.square().mean(0))
    assert not torch.allclose(found, along.mean(0).square())  # that is sigma^2
    torch.testing.assert_close(along.mean(0), modes.sigma, rtol=1e-8, atol=1e-12)


def test_the_concentration_ratio_is_sum_of_products_over_product_of_sums(both):
    """At one place (u'G_i v)^2 = (u'delta_i)^2 (v'a_i)^2: the rows come from hooks."""
    loss, w = both
    modes, factors = (f(loss, w, SAMPLES, "2.up") for f in (gradient_modes, kronecker_factors))
    seen = {}
    layer = loss.model.get_submodule("2.up")
    hook = layer.register_forward_hook(lambda _, args, out: seen.update(a=args[0], z=out))
    total = loss.losses_of(loss.outputs_at(w.clone().requires_grad_(), range(SAMPLES)), range(400))
    hook.remove()
    (delta,) = torch.autograd.grad(total.sum(), seen["z"])
    d, a = (delta @ modes.U).square(), (seen["a"].detach() @ modes.V).square()
    h_kron = mechanisms.kronecker_modes(modes, factors).h_kron
    torch.testing.assert_close(d.mean(0) * a.mean(0), h_kron)
    ratio = (d * a).mean(0) / (d.mean(0) * a.mean(0))
    torch.testing.assert_close(fisher_curvatures(loss, w, modes) / h_kron, ratio)


def test_h_kron_is_a_quadratic_form_of_the_kronecker_product(conv):
    loss, w = conv
    modes, factors = (f(loss, w, SAMPLES, "2") for f in (gradient_modes, kronecker_factors))
    whole = torch.kron(factors.C_d, factors.C_a)
    tables = torch.einsum("ir,jr->rij", modes.U, modes.V).flatten(1)
    quotients = ((tables @ whole) * tables).sum(1)
    torch.testing.assert_close(mechanisms.kronecker_modes(modes, factors).h_kron, quotients)


def test_gradients_of_the_mean_loss_break_cauchy_and_schwarz(conv):
    """sigma^2 <= P h^Kron holds; with C_d too small by n^2 it breaks, as in C26's table."""
    loss, w = conv
    modes, factors = (f(loss, w, SAMPLES, "2") for f in (gradient_modes, kronecker_factors))
    ratio = modes.sigma**2 / (4 * mechanisms.kronecker_modes(modes, factors).h_kron)
    assert factors.positions == 4 and bool((ratio <= 1).all())
    assert bool((ratio * SAMPLES**2 > 1).all())


@pytest.fixture(scope="module")
def rows():
    return measure(seed=1, cell="both10")


def test_slopes_add_up_and_a_minus_does_not(rows):
    names = ("lambda", "d", "a", "fisher", "conc")
    for row in rows:
        parts = {name: row[f"slope_{name}"] for name in names}
        assert row["rest"] < 1e-12
        assert abs(row["alpha"] - sum(parts.values())) < 2e-3  # four digits are kept
    minus = [abs(r["alpha"] - r["slope_lambda"] - r["slope_d"] - r["slope_a"]
                 + r["slope_fisher"] + r["slope_conc"]) for r in rows]  # fmt: skip
    assert max(minus) > 0.1


def test_alpha_and_the_branch_by_another_route(both, rows):
    loss, w = both
    row = next(row for row in rows if row["layer"] == "1.up")
    modes = gradient_modes(loss, w, SAMPLES, "1.up")
    good = (modes.h > 0).numpy()
    slope = np.polyfit(np.log(modes.sigma.numpy())[good], np.log(modes.h.numpy())[good], 1)[0]
    assert np.isclose(row["alpha"], slope, rtol=1e-3)
    assert np.isclose(row["skip"], branch(loss, w), rtol=1e-3)


def branch(loss, w):
    """|J_f' delta| / |delta| of the first block: the branch alone, pulled back by hand."""
    model = network("both10", 1)
    torch.nn.utils.vector_to_parameters(w, model.parameters())
    stem, first, *rest = model
    x = stem(loss.inputs).detach().requires_grad_()
    f = first.down(torch.relu(first.up(first.norm(x))))
    after = (x + f).detach().requires_grad_()
    out = nn.CrossEntropyLoss(reduction="sum")(nn.Sequential(*rest)(after), loss.targets)
    (delta,) = torch.autograd.grad(out, after)
    (back,) = torch.autograd.grad(f, x, delta)
    return float(back.norm() / delta.norm())


def test_a_head_of_ten_classes_has_nine_modes(rows):
    """The rows of p - y add up to zero: nothing is left beyond mode c - 1."""
    assert [row["modes"] for row in rows if row["layer"] == "3"] == [9]


def test_a_weak_block_is_a_tenth_of_a_branch():
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    full, weak = Block(False, True), Block(False, True, 0.1)
    weak.load_state_dict(full.state_dict())
    torch.testing.assert_close(10 * (weak(x) - x), full(x) - x)


def test_a_stored_row_comes_out_again():
    """Training may part ways on another machine after many steps; the exponent hardly moves."""
    (found,) = measure(seed=2, cell="conv4")
    (row,) = (r for r in stored.rows("mechanisms") if (r["cell"], r["seed"]) == ("conv4", 2))
    for name in ("alpha", "slope_lambda", "chi", "conc", "own"):
        assert np.isclose(found[name], row[name], rtol=0.05, atol=0.02), name
    assert found["modes"] == row["modes"]


def test_figures_by_numpy():
    rows, figures = stored.rows("mechanisms"), stored.figures("mechanisms")
    alpha = {
        cell: np.array([
            np.mean([r["alpha"] for r in rows
                     if (r["cell"], r["seed"]) == (cell, s) and r["layer"].endswith("up")])
            for s in range(10)
        ])
        for cell in ("norm10", "plain10")
    }  # fmt: skip
    found = figures["norm_alpha"]
    assert np.isclose(found.value, (alpha["norm10"] - alpha["plain10"]).mean())
    assert found.count == 10
    one = [r["chi"] * 4 * 400**2 for r in rows if r["cell"] == "conv4"]
    assert np.isclose(figures["chi_unscaled_conv4"].value, np.exp(np.log(one).mean()))


def test_an_unknown_cell_is_refused():
    with pytest.raises(ValueError, match="cell must be one of plain10.*; got 'rnn10'"):
        network("rnn10", 0)
