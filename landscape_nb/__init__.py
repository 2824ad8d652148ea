"""Local loss-landscape stabilization: what changes when one more sample is added, and where.

| symbol | in code | shape | meaning |
|---|---|---|---|
| n, N | `loss.num_samples`, `loss.num_params` | () | samples, trainable parameters |
| l_i(w) | `loss.per_sample(w)` | (n,) | per-sample losses, in a fixed order |
| L_k(w) | `loss.value(w, k)` | () | mean of the first k, plus the L2 term |
| g^(k), H^(k) | `loss.gradient(w, k)`, `loss.hvp(w, V, k)` | (N,), (N, b) | derivatives of L_k |
| w_k* | `fit(loss, k).w` | (N,) | minimiser of L_k |
| I_k | `increment(l_next, L_k, k)` | () | L_{k+1} - L_k = (l_{k+1} - L_k)/(k+1) |
| U_D | `top_eigenpairs(...).vectors` | (N, D) | top-D eigenvectors of H^(k)(w_k*) |
| a_k, c_k, B_k | `increment_model(...)` | (), (D,), (D, D) | quadratic model of I_k on U_D |
| sigma | `sigma` | () | standard deviation of the Gaussian probe |
| S | `num_draws` | () | Monte Carlo draws |
| K, D | `len(ks)`, columns of `U` | () | grid points, dimension of the probe |
| Delta_1, Delta_2, Delta_2^(D) | `delta1`, `delta2`, `delta2_subspace` | (K,) | the criteria |

Sources are cited as KG26 (arXiv 2604.14870), KG24 (arXiv 2409.11995), N25 (Nikitin, MIPT 2025),
S17 (arXiv 1706.04454), C26 (arXiv 2606.02596), LLC (the glossary entry "loss landscape
curvature").

Seven folders, each importing only from those before it:
  numerics   L_k of any torch module, its derivatives, eigenpairs, minimisers; no paper in it
  theory     one file an idea: increment (Eqs. 5, 9), probes (U_D), criteria (Eqs. 1-4), moments
             (Eqs. 15-16), expansion (what Eq. 15 leaves out), tables and next_samples (averages),
             designs (which samples to take), tails (what an average is worth), intervals (what
             seeds say), bounds (Eq. 10), spectrum and class_structure (S17, Papyan), surfaces and
             enough (N25), forecast and learning_curve (beyond the last k), descent (LLC), layers,
             exponents and spectral_newton (C26); the criterion's nearest relatives: influence,
             learning_coefficient, sharpness
  problems   toys, data, networks, trained transformers
  figures    one function a picture
  study      sweeps, a training watched from its own loop (`Watch`), the report on a model, which
             begins with the answer; evidence and the ledger of verdicts that it fills
  widgets    explorables: closed forms that move in the browser
  course     exercises and their checks, saved work
What is listed below is theory and numerics, which load without matplotlib; import the other
folders by name.

Randomness is always explicit. Whatever draws numbers takes a `torch.Generator` (where None is
allowed it means a fresh one seeded with 0); what is made as a whole and named by it later, an order
of the data, a training or a report, takes the `seed` of one.
"""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

from landscape_nb.numerics.audit.audit import audit
from landscape_nb.numerics.eigensolver import (
    ConvergenceError,
    Eigenpairs,
    Search,
    largest_eigenpairs,
)
from landscape_nb.numerics.fit import FitResult, fit, fit_path
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import (
    GaussNewtonOperator,
    HessianOperator,
    ProductOperator,
)
from landscape_nb.numerics.shards import ShardedHessianOperator
from landscape_nb.numerics.shared_loss import over_processes
from landscape_nb.problems import data, models, toys
from landscape_nb.study.measure import stabilization
from landscape_nb.study.sweep import SweepFileError, read_sweep, sweep
from landscape_nb.study.watch import Watch
from landscape_nb.study.watch_file import WatchFileError, read_watch
from landscape_nb.theory.bounds import (
    effective_rank_bound,
    effective_ranks,
    gauss_newton_norm_bound,
    hessian_norm_bound_printed,
    increment_bound,
    rate_bound,
)
from landscape_nb.theory.criteria import (
    Estimate,
    delta1,
    delta2,
    delta2_subspace,
    next_sample_average,
)
from landscape_nb.theory.descent import Descent, gradient_descent
from landscape_nb.theory.designs import Design, designed_sample
from landscape_nb.theory.enough import (
    EnoughData,
    enough_data,
    enough_data_interval,
    one_run_interval,
)
from landscape_nb.theory.expansion import OmittedTerms, omitted_terms
from landscape_nb.theory.exponents import Slope, log_slope
from landscape_nb.theory.forecast import Forecast, forecast_enough
from landscape_nb.theory.increment import (
    IncrementModel,
    IncrementModels,
    increment,
    increment_model,
    increment_models,
    next_sample_models,
)
from landscape_nb.theory.influence import Influence, influence_step
from landscape_nb.theory.learning_coefficient import (
    LearningCoefficient,
    local_learning_coefficient,
)
from landscape_nb.theory.learning_curve import LossForecast, forecast_loss
from landscape_nb.theory.moments import (
    Moment,
    gaussian_moment,
    next_sample_mean,
    permutation_mean,
    quadratic_mc,
    spectral_formula,
)
from landscape_nb.theory.next_samples import next_sample_table
from landscape_nb.theory.probes import (
    Energy,
    bottom_eigenpairs,
    captured_energy,
    gradient_subspace,
    increment_eigenpairs,
    jacobian_subspace,
    random_subspace,
    top_eigenpairs,
)
from landscape_nb.theory.spectrum import (
    SpectralDensity,
    hutchinson_trace,
    hutchpp_trace,
    spectral_density,
)
from landscape_nb.theory.surfaces import Surfaces, loss_surfaces
from landscape_nb.theory.tables import MomentTable, full_space_table, moment_table
from landscape_nb.theory.tails import Tail, tail, tail_index

__version__ = "0.1.0"


# Where the modules of earlier versions have gone: saved notebooks import them by their old names.
_MOVED = {
    "answers": "course.answers",
    "bounds": "theory.bounds",
    "capture": "theory.probes",
    "checks": "numerics.checks",
    "cost": "course.cost",
    "criteria": "theory.criteria",
    "derivatives": "numerics.samples",
    "diagnosis": "study.diagnosis",
    "eigenspaces": "theory.probes",
    "enough": "theory.enough",
    "estimates": "theory.criteria",
    "gauss_newton": "numerics.operators",
    "hessian": "numerics.operators",
    "increments": "theory.increment",
    "krylov": "numerics.eigensolver",
    "layers": "theory.layers",
    "losses": "numerics.loss",
    "moments": "theory.moments",
    "params": "numerics.loss",
    "plots": "figures",
    "pretraining": "problems.pretraining",
    "report": "study.report",
    "setup_check": "course.setup_check",
    "shards": "numerics.operators",
    "spectral_newton": "theory.spectral_newton",
    "spectrum": "theory.spectrum",
    "surfaces": "theory.surfaces",
    "sweeps": "study.sweep",
    "tables": "theory.tables",
    "training": "numerics.fit",
    "transformer": "problems.models",
    "work": "course.saved_work",
    # still here as attributes, but no longer as modules
    "data": "problems.data",
    "models": "problems.models",
    "toys": "problems.toys",
}


class _Moved(MetaPathFinder, Loader):
    """Finds a moved module where it is now: `from landscape_nb.cost import Cost` keeps working."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        package, _, old = name.rpartition(".")
        return spec_from_loader(name, self) if package == __name__ and old in _MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        # Python takes what stands here afterwards: the module itself, no copy of it.
        old = module.__name__.rpartition(".")[2]
        sys.modules[module.__name__] = import_module(f"{__name__}.{_MOVED[old]}")


sys.meta_path.append(_Moved())


def __getattr__(name: str) -> ModuleType:
    """Give `ln.krylov` and its like, attributes in earlier versions."""
    if name in _MOVED:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "ConvergenceError",
    "Descent",
    "Design",
    "Eigenpairs",
    "EmpiricalLoss",
    "Energy",
    "EnoughData",
    "Estimate",
    "FitResult",
    "Forecast",
    "GaussNewtonOperator",
    "HessianOperator",
    "IncrementModel",
    "IncrementModels",
    "Influence",
    "LearningCoefficient",
    "LossForecast",
    "Moment",
    "MomentTable",
    "OmittedTerms",
    "ProductOperator",
    "Search",
    "ShardedHessianOperator",
    "Slope",
    "SpectralDensity",
    "Surfaces",
    "SweepFileError",
    "Watch",
    "WatchFileError",
    "Tail",
    "audit",
    "bottom_eigenpairs",
    "captured_energy",
    "data",
    "delta1",
    "delta2",
    "delta2_subspace",
    "designed_sample",
    "effective_rank_bound",
    "effective_ranks",
    "enough_data",
    "enough_data_interval",
    "fit",
    "fit_path",
    "forecast_enough",
    "forecast_loss",
    "full_space_table",
    "gauss_newton_norm_bound",
    "gaussian_moment",
    "gradient_descent",
    "gradient_subspace",
    "hessian_norm_bound_printed",
    "hutchinson_trace",
    "hutchpp_trace",
    "increment",
    "increment_bound",
    "increment_eigenpairs",
    "increment_model",
    "increment_models",
    "influence_step",
    "jacobian_subspace",
    "largest_eigenpairs",
    "local_learning_coefficient",
    "log_slope",
    "loss_surfaces",
    "models",
    "moment_table",
    "next_sample_average",
    "next_sample_mean",
    "next_sample_models",
    "next_sample_table",
    "omitted_terms",
    "one_run_interval",
    "over_processes",
    "permutation_mean",
    "quadratic_mc",
    "random_subspace",
    "rate_bound",
    "read_sweep",
    "read_watch",
    "spectral_density",
    "spectral_formula",
    "stabilization",
    "sweep",
    "tail",
    "tail_index",
    "top_eigenpairs",
    "toys",
]
