"""The stored studies of spectra: bulk, class_structure, gaps, basin.

Oracles: torch.func's Hessian and NumPy's eigenvalues, sorting and counting by hand, networks whose
barriers are known; one cheap row of each table measured anew. Wrong on purpose: a ratio of gaps
taken upside down, a barrier above the lower end instead of the chord.
"""

import numpy as np
import pytest
import torch
from draws import F64, randn

from landscape_nb import EmpiricalLoss, toys
from landscape_nb.study.evidence import basin, bulk, class_structure, gaps, stored

pytestmark = pytest.mark.usefixtures("one_thread")


def row_of(name, **cell):
    (found,) = [r for r in stored.rows(name) if all(r[key] == value for key, value in cell.items())]
    return found


# -- bulk ------------------------------------------------------------------------------------------


def test_clusters_share_their_centres_and_their_noise():
    (few, of_few), (many, of_many) = bulk.clusters(2, 1, 0.4, 3), bulk.clusters(4, 4, 0.4, 3)
    assert sorted(set(of_few.tolist())) == [0, 1] and sorted(set(of_many.tolist())) == [0, 1, 2, 3]
    assert float(few.mean(0).abs().max()) < 1e-12
    tight, wide = bulk.clusters(4, 1, 0.1, 3)[0], bulk.clusters(4, 1, 0.2, 3)[0]
    noise = (wide - tight) / 0.1  # the centres cancel; what is left is one noise
    assert torch.allclose(tight - 0.1 * noise, wide - 0.2 * noise)
    assert 0.9 < float(noise.std()) < 1.1
    # sample 0 belongs to the same cluster in both, so only the overall mean differs
    shift = few[0] - many[0]
    assert torch.allclose(few[1] - many[1], shift)  # cluster 1 in both as well


def test_the_largest_gap_by_hand():
    values = torch.tensor([9.0, 8.0, 2.0, 1.5, 1.4, -1.0], **F64)
    assert bulk.largest_gap(values, 5) == 2
    assert bulk.largest_gap(values, 1) == 1
    upside_down = int((values[1:5] / values[:4]).argmax()) + 1
    assert upside_down != 2


def test_a_spectrum_by_sorting():
    values = torch.tensor(sorted([5.0, 3.0, 0.04, 0.002, -0.5, 0.0], reverse=True), **F64)
    told = bulk.bulk_and_outliers(values)
    size = np.sort(np.abs(values.numpy()))
    assert told["q75"] == pytest.approx(np.quantile(size, 0.75), rel=1e-3)
    assert told["effective"] == pytest.approx(8.042**2 / (34 + 0.04**2 + 0.002**2), rel=1e-3)
    assert told["near_0.01"] == 0.5 and told["near_0.001"] == pytest.approx(2 / 6, rel=1e-3)


def test_a_row_of_bulk_by_another_way():
    x, y = bulk.clusters(2, 1, 0.4, 0)
    loss = bulk.network(x, y, 8, 0, bulk.OUTPUTS)
    w, v = loss.w0.clone(), torch.zeros_like(loss.w0)

    def mean_loss(w):
        return loss.losses_at(w, range(bulk.SAMPLES)).mean()

    for _ in range(400):  # heavy-ball descent, written out
        w.requires_grad_()
        v = 0.9 * v + torch.autograd.grad(mean_loss(w), w)[0]
        w = (w - 0.1 * v).detach()
    values = np.linalg.eigvalsh(torch.func.hessian(mean_loss)(w).detach().numpy())
    stored_row = row_of("bulk", data="2", spread=0.4, width=8, seed=0, step="400")
    assert stored_row["top"] == pytest.approx(values[-1], rel=1e-3)
    assert stored_row["q95"] == pytest.approx(np.quantile(np.abs(values), 0.95), rel=1e-3)


def test_a_factor_of_bulk_by_hand():
    rows = stored.rows("bulk")

    def top(data):
        return {
            r["seed"]: r["top"]
            for r in rows
            if (r["data"], r["spread"], r["width"], r["step"]) == (data, 0.4, 16, "400")
        }

    eight, two = top("8"), top("2")
    logs = [np.log(eight[s] / two[s]) for s in range(10)]
    assert bulk.summary(rows)["clusters_top"].value == pytest.approx(np.exp(np.mean(logs)))


# -- class_structure -------------------------------------------------------------------------------


def test_shares_add_up_and_a_row_is_found_again():
    for row in stored.rows("class_structure"):
        parts = ("right", "class", "cross", "within", "rest")
        assert sum(row[f"share_{part}"] for part in parts) == pytest.approx(1, abs=2e-3)
    loss = class_structure.picture_network(0, 4, True)
    again = class_structure.anatomy(loss, loss.w0)
    kept = row_of("class_structure", width=4, centred=True, seed=0, step=0)
    for name in ("overlap_G", "overlap_means", "share_cross", "share_rest", "rest", "top"):
        assert again[name] == pytest.approx(kept[name], rel=2e-3), name


def test_rest_is_the_hessian_without_its_gauss_newton_part():
    """R by its own way: the Hessian of the outputs weighted by frozen slopes."""
    loss = class_structure.picture_network(0, 4, True)
    outputs = loss.outputs(loss.w0, range(150))
    frozen = torch.softmax(outputs, 1) - torch.nn.functional.one_hot(loss.targets, 10)

    def weighted(w):
        return (loss.outputs_at(w, range(150)) * frozen).sum() / 150

    R = torch.func.hessian(weighted)(loss.w0)
    G = torch.func.hessian(lambda w: loss.losses_at(w, range(150)).mean())(loss.w0) - R
    kept = row_of("class_structure", width=4, centred=True, seed=0, step=0)
    assert kept["rest"] == pytest.approx(float(R.norm() / G.norm()), rel=1e-3)


# -- gaps ------------------------------------------------------------------------------------------


def test_clean_clouds_are_equally_far_apart():
    x, y = gaps.blobs(4000, 4, 0, clean=True)
    centres = torch.stack([x[y == c].mean(0) for c in range(4)])
    distances = torch.cdist(centres, centres)[np.triu_indices(4, 1)]
    assert torch.allclose(distances, torch.full_like(distances, 1.8 * 2**0.5), atol=0.05)


def test_a_row_of_gaps_is_found_again():
    again = gaps.measure(0, "clean blobs", 4)[1]
    kept = row_of("gaps", kind="clean blobs", classes=4, seed=0, step=20)
    assert again["gap"] == kept["gap"]
    assert again["ratio"] == pytest.approx(kept["ratio"], rel=1e-2)


# -- basin -----------------------------------------------------------------------------------------


def test_a_convex_loss_has_no_barrier_and_a_twin_has_one():
    toy = toys.softmax_regression(20, 3, 3, generator=torch.Generator().manual_seed(0))
    loss = EmpiricalLoss(*toy.parts)
    A, B = randn(loss.num_params), randn(loss.num_params, seed=2)
    assert basin.barrier(loss, A, B, 20) == 0
    x, y = gaps.blobs(60, 4, 0)
    loss = bulk.network(x, y, 8, 0, 4)
    A = basin.gradient_descent(loss, 60, lr=0.5, steps=100).w
    twin = torch.cat([-A[:88], -A[88:120], A[120:]])  # tanh is odd: the same outputs
    assert torch.allclose(loss.value(A, 60), loss.value(twin, 60))
    middle = float(loss.value((A + twin) / 2, 60) - loss.value(A, 60))
    assert basin.barrier(loss, A, twin, 60) == pytest.approx(middle, rel=0.2) and middle > 0.5


def test_a_barrier_is_above_the_chord_not_above_the_lower_end():
    toy = toys.softmax_regression(20, 3, 3, generator=torch.Generator().manual_seed(0))
    loss = EmpiricalLoss(*toy.parts)
    A, B = torch.zeros(loss.num_params, **F64), 5 * randn(loss.num_params)
    above_lower = float(loss.value(B, 20) - loss.value(A, 20))
    assert above_lower > 0.1 and basin.barrier(loss, A, B, 20) == 0


def test_a_run_of_basin_is_found_again():
    again = {r["what"]: r for r in basin.measure(0, "blobs")}
    assert again["continued"]["barrier"] < 0.02 < 0.1 < again["independent"]["barrier"]
    kept = row_of("basin", kind="blobs", seed=0, what="continued")
    assert again["continued"]["distance"] == pytest.approx(kept["distance"], rel=0.05)


# -- top_by_width ----------------------------------------------------------------------------------


def test_the_largest_eigenvalue_by_width_from_the_whole_matrix():
    x, y = basin.samples("blobs", 0)
    loss = bulk.network(x, y, 4, 0, 4)
    values = torch.linalg.eigvalsh(loss.hessian(basin.trained(loss).w, 150))
    kept = row_of("top_by_width", kind="blobs", width=4, seed=0)
    assert kept["steps"] == pytest.approx(float(values[-1]), rel=1e-2)
    path = basin.trained(loss).values
    assert float(path[kept["needed"]]) < 0.5 <= float(path[kept["needed"] - 1])
