"""The floors of the package: imports run only downward, and `import landscape_nb` stays light."""

import ast
import graphlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "landscape_nb"

FLOORS = {
    "checks": 0,
    "params": 0,
    "toys": 0,
    "data": 0,
    "models": 0,
    "transformer": 0,
    "cost": 0,
    "setup_check": 0,
    "estimates": 0,
    "answers": 0,
    "work": 0,
    "losses": 1,
    "training": 1,
    "pretraining": 1,
    "krylov": 1,
    "hessian": 1,
    "eigenspaces": 2,
    "spectrum": 2,
    "gauss_newton": 2,
    "increments": 2,
    "derivatives": 2,
    "capture": 2,
    "criteria": 3,
    "moments": 3,
    "tables": 3,
    "bounds": 3,
    "layers": 3,
    "spectral_newton": 1,
    "enough": 3,
    "surfaces": 3,
    "stabilization": 3,
    "diagnosis": 3,
    "report": 5,
    "__main__": 6,
    "shards": 2,
    "sweeps": 3,
    "plots": 4,
    "canvas": 4,
    "widgets": 5,
    "course": 5,
}
ONLY_IMPORTERS = {"matplotlib": {"plots", "canvas"}, "ipywidgets": {"widgets"}}
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


def siblings(source):
    """The modules of this package that a module's text imports."""
    parts = [name.split(".") for name in imports(source)]
    return {p[1] if len(p) > 1 else "__init__" for p in parts if p[0] == PACKAGE.name}


def violations(sources, floors):
    """What breaks the rule in a package given as {module: text}: one sentence for each fault."""
    faults = [f"{module} has no floor" for module in sources if module not in floors]
    graph = {module: siblings(text) for module, text in sources.items()}
    for module, targets in graph.items():
        for target in sorted(targets):
            if target not in floors:
                faults.append(f"{module} imports {target}, which has no floor")
            elif floors[target] > floors.get(module, 0):
                faults.append(f"{module} imports {target}, which is higher up")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        faults.append("circle: " + " -> ".join(error.args[1]))
    for package, allowed in ONLY_IMPORTERS.items():
        for module in sources.keys() - allowed:
            if package in {name.split(".")[0] for name in imports(sources[module])}:
                faults.append(f"{module} imports {package}, left to {sorted(allowed)}")
    return faults


def test_imports_run_downward():
    files = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    assert [path for path in files if path.parent != PACKAGE] == [], "a subpackage has no floor"
    sources = {path.stem: path.read_text(encoding="utf-8") for path in files}
    assert sources
    assert violations(sources, FLOORS) == []


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        ({"toys": "from .losses import EmpiricalLoss"}, "higher up"),
        ({"toys": "def f():\n    from landscape_nb import losses"}, "higher up"),
        ({"toys": "import landscape_nb.widgets"}, "higher up"),
        ({"losses": "from . import training", "training": "from .losses import x"}, "circle"),
        ({"toys": "import landscape_nb"}, "no floor"),
        ({"toys": "from landscape_nb import fit"}, "no floor"),
        ({"novelty": ""}, "no floor"),
        ({"criteria": "import matplotlib.pyplot as plt"}, "left to"),
        ({"plots": "from ipywidgets import VBox"}, "left to"),
    ],
)
def test_each_kind_of_fault_is_found(sources, fault):
    assert [fault in sentence for sentence in violations(sources, FLOORS)] == [True]


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
