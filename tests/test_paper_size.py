"""The prepared run at the paper's size, still smaller: its steps, what it keeps, what it says."""

import json
from pathlib import Path

import pytest
import torch

from landscape_nb.figures import n07_published
from landscape_nb.problems.models import TransformerConfig

ROOT = Path(__file__).parent
STEPS = ["setting", "training", "product", "pairs", "model", "moment", "quadratic", "direct"]
STEPS += ["shares", "published"]


@pytest.fixture(scope="module")
def paper_size():
    """The benchmark as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        import paper_size

        yield paper_size


def tiny(paper_size, **changed):
    config = TransformerConfig(103, 8, width=8, depth=1, heads=2, kv_heads=1, hidden=8)
    sizes = {"D": 2, "max_basis": 65, "steps": 5, "batch": 2, "learning_rate": 1e-2, "draws": 3}
    return paper_size.Size(config, **sizes, memory=1e9, **changed)


@pytest.fixture(scope="module")
def found(paper_size, tmp_path_factory):
    """One run, as its file holds it."""
    path = tmp_path_factory.mktemp("paper_size") / "found.json"
    paper_size.run(tiny(paper_size), path, progress=False)
    return json.loads(path.read_text())


def test_every_step_is_kept_with_seconds_and_memory(found) -> None:
    assert list(found) == STEPS
    for step in set(STEPS) - {"setting", "shares"}:
        assert found[step]["seconds"] >= 0 and found[step]["megabytes"] > 0, step
    assert found["setting"]["device"].startswith("CPU") and found["setting"]["rows_used"] == 103


def test_pairs_are_certified_below_the_tolerance(found) -> None:
    pairs = found["pairs"]
    assert pairs["certified"] and pairs["residual"] <= found["setting"]["tol"]
    assert len(pairs["values"]) == found["setting"]["D"] and pairs["products"] > 2


def test_the_published_pairs_miss_it(found) -> None:
    assert found["published"]["residual"] > found["setting"]["tol"]


def test_parts_add_up(found) -> None:
    moment = found["moment"]
    parts = ("value", "cross", "gradient", "curvature")
    assert sum(moment[p] for p in parts) == pytest.approx(moment["total"], rel=1e-5)
    for name, rows in found["shares"].items():
        for sigma, row in rows.items():
            assert sum(row[p] for p in parts) == pytest.approx(row["total"], rel=1e-5), name
            whole = found["shares"]["whole space"][sigma]["total"]
            assert row.get("ratio", 1.0) == pytest.approx(row["total"] / whole), name


def test_both_Monte_Carlos_are_near_the_closed_form(found) -> None:
    for name in ("quadratic", "direct"):
        values = torch.tensor(found[name]["values"])
        assert len(values) == 5
        # five seeds: within their own range of the mean
        assert abs(values.mean() - found["moment"]["total"]) < values.max() - values.min()


def test_a_run_that_is_cut_short_keeps_the_first_stage(paper_size, tmp_path, monkeypatch) -> None:
    def killed(*args) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(paper_size, "stages_II_and_III", killed)
    path = tmp_path / "found.json"
    with pytest.raises(KeyboardInterrupt):
        paper_size.run(tiny(paper_size), path, progress=False)
    kept = json.loads(path.read_text())
    assert list(kept) == STEPS[:4] and kept["pairs"]["certified"]
    table = paper_size.table(kept)
    assert "| I: eigenvectors | " in table and "II:" not in table


def test_a_step_that_fails_says_why_and_the_others_go_on(paper_size, tmp_path, monkeypatch) -> None:
    def full(*args) -> None:
        raise torch.OutOfMemoryError("tried to allocate 40 GB")

    monkeypatch.setattr(paper_size, "shares", full)
    results = paper_size.Results(tmp_path / "found.json")
    results.attempt("shares", lambda: paper_size.shares())
    results.attempt("published", lambda: results.keep("published", pairs=2))
    assert "40 GB" in results["shares"]["failed"] and results["published"] == {"pairs": 2}


def test_the_table_shows_the_papers_seconds_beside_ours(paper_size, found) -> None:
    table = paper_size.table(found)
    for figure in ("17.53", "1.777", "2.197", "0.00368", "0.000122"):
        assert figure in table
    assert f"N = {found['setting']['parameters']}" in table and "certified" in table


def test_the_papers_size_is_107_million(paper_size) -> None:
    size = paper_size.paper()
    assert (size.config.num_params, size.config.depth, size.config.context) == (106_954_752, 6, 512)
    assert (size.k, size.D, size.device) == (8, 45, "cuda")
    N = size.config.num_params
    assert 4 * N * size.max_basis < 50e9  # leaves room on a card of 80 GB


def test_without_a_GPU_it_says_what_to_do(paper_size, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["paper_size.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="--small runs on a CPU"):
        paper_size.main()


def test_what_was_measured_once_is_drawn_with_its_machine(found, monkeypatch) -> None:
    said = []
    monkeypatch.setattr(n07_published.plots, "show", lambda figure, words: said.append(words))
    n07_published.stages_at_size(found)
    failed = {**found, "direct": {"failed": "memory"}, "published": {"failed": "memory"}}
    n07_published.stages_at_size(failed)
    whole, part = said
    assert f"measured once on {found['setting']['device']}" in whole
    assert f"I: eigenvectors {found['pairs']['seconds']:.2g} s (KG26: 18 s)" in whole
    assert "direct" in whole and "direct" not in part
