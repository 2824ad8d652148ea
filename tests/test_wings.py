"""The wings of the package: imports run only downward, and `import landscape_nb` stays light."""

import ast
import graphlib
import importlib
import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "landscape_nb"

# What each wing may import, besides itself. In this order they stand on one another.
WINGS = {
    "numerics": set(),
    "theory": {"numerics"},
    "problems": {"numerics"},
    "figures": {"numerics", "theory", "problems"},
    "study": {"numerics", "theory", "problems", "figures"},
    "widgets": {"numerics", "theory", "problems", "figures"},
    "course": {"numerics", "theory", "problems", "figures", "study", "widgets"},
}
ONLY_IMPORTERS = {
    "matplotlib": {"figures"},
    "ipywidgets": {"widgets", "course"},
    "anywidget": {"widgets", "course"},
}
LIGHT = {"torch", "numpy", "scipy"}
HEAVY = {"matplotlib", "ipywidgets", "sklearn", "IPython"}

# The names that notebooks and outside callers rely on; a rename here breaks their code.
PUBLIC = """
    EmpiricalLoss fit FitResult
    top_eigenpairs Eigenpairs random_subspace jacobian_subspace
    increment_model IncrementModel increment_models IncrementModels
    delta1 delta2 delta2_subspace Estimate
    quadratic_mc gaussian_moment Moment spectral_formula rate_bound
    permutation_mean next_sample_mean enough_data
    forecast_enough Forecast forecast_loss LossForecast
""".split()


def imports(source):
    """All that a module's text imports, inside functions too, as absolute dotted names.

    `from x import y` gives "x.y", because y may itself be a module.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = [PACKAGE.name] if node.level else []
            base += [node.module] if node.module else []
            names |= {".".join([*base, alias.name]) for alias in node.names}
    return names


def violations(sources):
    """What breaks the rule in a package given as {"wing/module": text}: a sentence a fault."""
    faults, graph = [], {}
    for module, text in sources.items():
        wing, graph[module] = module.split("/")[0], set()
        for name in sorted(imports(text)):
            top, *inside = name.split(".")
            if top in ONLY_IMPORTERS and wing not in ONLY_IMPORTERS[top]:
                faults.append(f"{module} imports {top}, left to {sorted(ONLY_IMPORTERS[top])}")
            if top != PACKAGE.name:
                continue
            if not inside or inside[0] not in WINGS:
                faults.append(f"{module} imports {name}: name the module that it comes from")
            elif inside[0] not in WINGS[wing] | {wing}:
                faults.append(f"{module} imports {name}, which is higher up")
            else:
                graph[module].add("/".join(inside[:2]))
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        faults.append("circle: " + " -> ".join(error.args[1]))
    return faults


def test_imports_run_downward():
    sources = {
        path.relative_to(PACKAGE).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
        for path in PACKAGE.rglob("*.py")
        if path.parent != PACKAGE
    }
    assert {module.split("/")[0] for module in sources} == set(WINGS)
    assert violations(sources) == []


def test_the_top_level_holds_folders_and_three_files():
    found = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert found == {"__init__.py", "__main__.py", "py.typed", *WINGS}


def test_modules_are_short():
    lengths = [len(p.read_text(encoding="utf-8").splitlines()) for p in PACKAGE.rglob("*.py")]
    assert max(lengths) <= 400
    assert statistics.median(lengths) <= 200


def test_no_function_hides_a_module():
    """After `import landscape_nb.a.b` that name is the module, whoever imported what before."""
    for path in PACKAGE.rglob("*.py"):
        name = ".".join([PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts])
        if path.stem in ("__init__", "__main__"):
            continue
        module = importlib.import_module(name)
        folder = importlib.import_module(name.rpartition(".")[0])
        assert getattr(folder, path.stem) is module


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        ({"numerics/loss": "from landscape_nb.theory import increment"}, "higher up"),
        ({"theory/x": "def f():\n    from landscape_nb.problems import toys"}, "higher up"),
        ({"problems/x": "from landscape_nb.theory.criteria import delta1"}, "higher up"),
        ({"study/x": "import landscape_nb.widgets"}, "higher up"),
        ({"widgets/x": "import landscape_nb.study.report"}, "higher up"),
        (
            {
                "theory/a": "from landscape_nb.theory import b",
                "theory/b": "from landscape_nb.theory.a import x",
            },
            "circle",
        ),
        ({"theory/x": "import landscape_nb"}, "name the module"),
        ({"study/x": "from landscape_nb import fit"}, "name the module"),
        ({"theory/x": "import matplotlib.pyplot as plt"}, "left to"),
        ({"study/x": "import matplotlib.pyplot as plt"}, "left to"),
        ({"figures/x": "from ipywidgets import VBox"}, "left to"),
    ],
)
def test_each_kind_of_fault_is_found(sources, fault):
    assert [fault in sentence for sentence in violations(sources)] == [True]


SAVED_LINES = """
from landscape_nb import plots
from landscape_nb import layers, plots
from landscape_nb.cost import Cost
from landscape_nb.course import check, check_properties, reveal_choice, reveal_curve
from landscape_nb.diagnosis import diagnose
from landscape_nb.pretraining import pretrained
from landscape_nb.report import Report, report
from landscape_nb.setup_check import setup_check
from landscape_nb.spectral_newton import SpectralNewton, spectral_newton_step
from landscape_nb.widgets import BowlExplorer, Explorer, SaveMyWork
from landscape_nb.widgets import SaveMyWork, StepExplorer
""".strip().splitlines()


def test_import_lines_of_notebooks_saved_before_the_folders_still_work():
    code = "; ".join([*SAVED_LINES, "print(plots.curve, Cost, SaveMyWork)"])
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "landscape_nb.course.cost.Cost" in run.stdout


def test_import_is_light():
    code = "import landscape_nb, sys, json; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(run.stdout))
    assert LIGHT <= loaded
    assert not HEAVY & loaded


def test_public_names_exist():
    import landscape_nb

    assert [name for name in PUBLIC if name not in landscape_nb.__all__] == []
    assert [name for name in landscape_nb.__all__ if not hasattr(landscape_nb, name)] == []


def test_what_takes_long_to_load_waits_until_it_is_used():
    """Digits come without scikit-learn, and the networks' layers without TorchDynamo."""
    code = (
        "import json, sys, landscape_nb as ln\n"
        "from landscape_nb.problems.models import DecoderTransformer, TransformerConfig\n"
        "ln.data.digits(3), ln.models.MLP([64, 2]), DecoderTransformer(TransformerConfig(5))\n"
        "print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {"scipy.stats", "scipy.optimize", "scipy.interpolate", "sklearn", "torch._dynamo"}
    assert slow & set(json.loads(done.stdout)) == set()
