"""C26's published spectra: the reader on a tiny made-up repository, what is derived, the table.

Oracles: numpy's polyfit on logarithms; sums written out; lists whose answer is known in closed form
(exact power laws). Wrong on purpose: s of the unsorted curvatures for C26's error, chi subtracted,
intervals that resample spectra and not networks.
"""

import json
import math
import os

import numpy as np
import pytest

from landscape_nb.study.evidence import published_factors, published_spectra, stored
from landscape_nb.study.evidence.published_spectra import best_in_rank, clustered, derived
from landscape_nb.study.published import published_spectra as read

K = np.arange(1, 13.0)
SIGMA, WAVE = K**-1.5 * np.exp(-0.01 * K**2), np.where(K % 3 == 0, 3.0, 1.0)


def layer(name, power=2.0, factor=WAVE, **more):
    """One record of a published file."""
    h = (SIGMA**power * factor).tolist()
    return {"name": name, "shape": [8, 3, 2], "sigma": SIGMA.tolist(), "h_exact": h} | more


def repository(folder):
    """A folder with five small files of the published shapes."""
    files = {
        "alpha_triangle": [
            {
                "experiment": "net",
                "results": [
                    layer("conv1", alpha=2.0, triangle_relative_error=0.02),
                    layer("block0.mlp.0", 1.0, alpha=1.0),
                ],
            }
        ],
        "conv_gap": {
            "conv_results": [layer("conv1", alpha_exact=2.0, cos2_naive=(SIGMA**0.5).tolist())],
            "fc_result": layer("fc", alpha_exact=2.0),
        },
        "conv_gap_v2": {
            "conv_results": [layer("conv1", alpha_exact=2.0, h_kron=(SIGMA**1.5).tolist())],
            "fc_result": layer("fc", alpha_exact=2.0),
        },
        "hypothesis": {
            "output_dim": {"ten": [layer("attn_qkv", alpha=2.0)]},
            "task_structure": {"words": [layer("mlp_down", alpha=2.0)]},
        },
        "predictions": [
            {"arch": "bn_ablation", "results": [layer("plain_conv_bn", alpha=2.0)]},
            {"arch": "vit", "results": [layer("vit_mlp_up", alpha=2.0)]},
        ],
    }
    (folder / "results").mkdir()
    for name, content in files.items():
        (folder / "results" / f"results_{name}.json").write_text(json.dumps(content))
    return folder


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def test_the_reader_finds_every_layer_its_network_and_its_kind(tmp_path):
    spectra = read(repository(tmp_path))
    assert [(s.network, s.layer, s.kind) for s in spectra] == [
        ("alpha_triangle/net", "conv1", "conv"),
        ("alpha_triangle/net", "block0.mlp.0", "MLP up"),
        ("conv_gap/ResNet-18", "conv1", "conv"),
        ("conv_gap/ResNet-18", "fc", "output"),
        ("conv_gap_v2/ResNet-18", "conv1", "conv"),
        ("conv_gap_v2/ResNet-18", "fc", "output"),
        ("hypothesis/ten", "attn_qkv", "attention"),
        ("hypothesis/words", "mlp_down", "MLP down"),
        ("predictions/plain_conv_bn", "plain_conv_bn", "conv"),
        ("predictions/vit", "vit_mlp_up", "MLP up"),
    ]
    assert {s.size for s in spectra} == {(8, 6)}
    assert np.allclose(spectra[2].h_kron, spectra[2].h / SIGMA**0.5)
    assert [s.layer for s in read(tmp_path / "results")] == [s.layer for s in spectra]


def test_what_is_derived_is_what_numpy_finds(tmp_path):
    row = derived(read(repository(tmp_path)))[2]
    h = SIGMA**2 * WAVE
    alpha, gamma, s = slope(SIGMA, h), -slope(K, SIGMA), -slope(K, h)
    ranked = -slope(K, np.sort(h)[::-1])
    assert math.isclose(row["alpha"], alpha, rel_tol=1e-3)
    assert math.isclose(row["same"], abs(s - alpha * gamma) / s, rel_tol=1e-3)
    assert math.isclose(row["ranked"], abs(ranked - alpha * gamma) / ranked, rel_tol=1e-3)
    assert abs(row["ranked"] - row["same"]) > 1e-4  # sorting h is another number
    assert math.isclose(row["participation"], h.sum() ** 2 / (h**2).sum(), rel_tol=1e-3)
    assert math.isclose(row["chi_slope"], 0.5, rel_tol=1e-3)
    assert math.isclose(row["kron_slope"] + row["chi_slope"], alpha, rel_tol=1e-3)
    assert not math.isclose(row["kron_slope"] - row["chi_slope"], alpha, rel_tol=0.1)
    assert abs(row["left_over"]) < 1e-12
    assert math.isnan(derived(read(tmp_path))[0]["chi_slope"])


def test_lists_of_exact_power_laws_close_every_triangle(tmp_path):
    straight = [s._replace(sigma=K**-1.5) for s in read(repository(tmp_path))]
    row = derived(straight)[0]
    assert row["same"] < 1e-10 and row["other_network"] < 1e-10  # no h can miss
    assert row["ceiling"] < 1e-6
    assert derived(read(tmp_path))[0]["other_network"] > 1e-5  # as they are, they can


def test_missing_files_and_other_shapes_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"does not hold results_alpha_triangle\.json, results_c"):
        read(tmp_path)
    folder = repository(tmp_path) / "results"
    for name, content, told in (
        ("results_hypothesis.json", "{}", "results_hypothesis.json is not of the shape"),
        ("results_hypothesis.json", "[1", "results_hypothesis.json is not of the shape"),
        ("results_conv_gap.json", '{"conv_results": [{"name": "x"}], "fc_result": 1}', "conv_gap"),
        (
            "results_predictions.json",
            json.dumps([{"arch": "x", "results": [layer("unheard_of", alpha=1.0)]}]),
            "names no known kind of layer",
        ),
        (
            "results_predictions.json",
            json.dumps([{"arch": "x", "results": [{**layer("conv"), "sigma": [1.0]}]}]),
            r"sigma \(1,\) and h_exact \(12,\)",
        ),
    ):
        was = (folder / name).read_text()
        (folder / name).write_text(content)
        with pytest.raises(ValueError, match=told):
            read(tmp_path)
        (folder / name).write_text(was)


def test_without_a_copy_the_study_says_where_to_get_one(monkeypatch):
    monkeypatch.delenv("C26_REPOSITORY", raising=False)
    for module in (published_spectra, published_factors):
        with pytest.raises(ValueError, match="Set C26_REPOSITORY to the folder of a copy of https"):
            module.measure(0)


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (K**-1.5 * (1 + 0.01 * (-1) ** K), "power law"),
        (np.exp(-0.3 * K) * (1 + 0.01 * (-1) ** K), "exponential"),
        (np.exp(-0.5 * np.log(K) ** 2) * (1 + 0.01 * (-1) ** K), "log-normal"),
    ],
)
def test_the_shape_in_rank_is_recognised(values, shape):
    assert best_in_rank(values) == shape


def test_the_interval_resamples_networks_and_not_spectra():
    rows = [{"network": f"n{i % 6}", "x": float(i % 6)} for i in range(600)]  # all alike within
    found = clustered(rows, lambda chosen: float(np.mean([row["x"] for row in chosen])))
    of_networks = 1.96 * np.std(np.arange(6)) / math.sqrt(6)
    of_spectra = 1.96 * np.std(np.arange(6)) / math.sqrt(600)
    half = (found.high - found.low) / 2
    assert 0.8 * of_networks < half < 1.2 * of_networks and half > 5 * of_spectra
    assert found.value == 2.5 and found.count == 600


# -- factors --------------------------------------------------------------------------------------


def factors(folder):
    """A folder with one layer of exact slopes: beta 1.8, phi -0.3."""
    record = {
        "name": "conv1",
        "sigma_top30": SIGMA.tolist(),
        "lambda_delta_top30": (SIGMA**1.0).tolist(),
        "lambda_A_top30": (SIGMA**0.8).tolist(),
        "rho_delta_top30": (SIGMA**-0.5).tolist(),
        "rho_A_top30": (SIGMA**0.2).tolist(),
        "h_kron_top30": (SIGMA**1.5).tolist(),
    }
    path = folder / "results_kronecker_spectral.json"
    path.write_text(json.dumps({"layers": [record]}))
    return path


def test_slopes_of_factors_add_up_to_that_of_the_model(tmp_path):
    factors(tmp_path)
    row = published_factors.slopes(published_factors.published_factors(tmp_path)[0])
    assert (row["beta"], row["phi"], row["alpha_kron"]) == (1.8, -0.3, 1.5)
    largest = max(SIGMA**0.5)  # sigma^2 over sigma^1.5
    assert row["off"] < 1e-12 and math.isclose(row["ratio"], largest, rel_tol=1e-3)


def test_factors_of_another_shape_are_refused(tmp_path):
    with pytest.raises(ValueError, match="is missing. Give the folder of a copy"):
        published_factors.published_factors(tmp_path)
    path = factors(tmp_path)
    path.write_text(path.read_text().replace("rho_A_top30", "rho"))
    with pytest.raises(ValueError, match="is not of the shape that it had"):
        published_factors.published_factors(tmp_path)


# -- the tables -----------------------------------------------------------------------------------


def test_the_table_holds_no_raw_list():
    for name in ("published_spectra", "published_factors"):
        assert not any(isinstance(v, list) for row in stored.rows(name) for v in row.values())


def test_c26s_own_counts_come_out_of_the_table():
    rows = [r for r in stored.rows("published_spectra") if r["network"].startswith("alpha_tri")]
    best = [row["best_sigma"] for row in rows]
    wins = [best.count(shape) for shape in ("power law", "exponential", "log-normal")]
    assert wins == [1, 2, 21]  # its appendix on gamma, both texts
    whole = [row for row in rows if not row["left_out"]]
    assert all(row["ranked"] == row["published_error"] for row in whole) and len(whole) == 21
    assert any(row["same"] != row["published_error"] for row in whole)


@pytest.mark.skipif("C26_REPOSITORY" not in os.environ, reason="needs a copy of C26's repository")
def test_the_stored_table_is_what_the_repository_gives():
    again = derived(read(os.environ["C26_REPOSITORY"]))
    assert str(again) == str(stored.rows("published_spectra"))
