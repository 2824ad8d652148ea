"""Local loss-landscape stabilization: what changes when one more sample is added, and where.

| symbol | in code | shape | meaning |
|---|---|---|---|
| n, N | `loss.num_samples`, `loss.num_params` | () | samples, trainable parameters |
| l_i(w) | `loss.per_sample(w)` | (n,) | per-sample losses, in a fixed order |
| L_k(w) | `loss.value(w, k)` | () | mean of the first k, plus the L2 term |
| g^(k), H^(k) | `loss.gradient(w, k)`, `loss.hvp(w, V, k)` | (N,), (N, b) | derivatives of L_k |
| w_k* | `fit(loss, k).w` | (N,) | minimiser of L_k |
| I_k | increment | () | L_{k+1} - L_k = (l_{k+1} - L_k)/(k+1) |
| U_D | `top_eigenpairs(...).vectors` | (N, D) | top-D eigenvectors of H^(k)(w_k*) |
| a_k, c_k, B_k | `increment_model(...)` | (), (D,), (D, D) | quadratic model of I_k on U_D |
| sigma | `sigma` | () | standard deviation of the Gaussian probe |
| S | `num_samples` (of a criterion) | () | Monte Carlo draws |
| K, D | `len(ks)`, columns of `U` | () | grid points, dimension of the probe |
| Delta_1, Delta_2, Delta_2^(D) | `delta1`, `delta2`, `delta2_subspace` | (K,) | the criteria |

Sources are cited as KG26 (arXiv 2604.14870), KG24 (arXiv 2409.11995), N25 (Nikitin, MIPT 2025),
S17 (arXiv 1706.04454), C26 (arXiv 2606.02596). The files follow the papers: `losses` defines
L_k, `eigenspaces` U_D, `increments` Eq. 9, `criteria` Eqs. 1-4, `moments` Eqs. 15-16, `bounds`
Eq. 10; `spectrum` and `gauss_newton` serve S17, `surfaces` and `enough` N25, `layers` and
`spectral_newton` C26. `sweeps` runs a study, `report` writes one; `course` checks exercises. What
needs matplotlib (`plots`, `widgets`, `report`, `course`) is imported by name, so that this package
loads without it.
"""

from landscape_nb import data, models, toys
from landscape_nb.bounds import (
    gauss_newton_norm_bound,
    hessian_norm_bound_printed,
    increment_bound,
    rate_bound,
)
from landscape_nb.capture import Energy, captured_energy
from landscape_nb.criteria import delta1, delta2, delta2_subspace, next_sample_average
from landscape_nb.eigenspaces import (
    bottom_eigenpairs,
    increment_eigenpairs,
    jacobian_subspace,
    random_subspace,
    top_eigenpairs,
)
from landscape_nb.enough import EnoughData, enough_data, enough_data_interval
from landscape_nb.estimates import Estimate
from landscape_nb.gauss_newton import GaussNewtonOperator
from landscape_nb.hessian import HessianOperator
from landscape_nb.increments import (
    IncrementModel,
    IncrementModels,
    increment_model,
    increment_models,
    next_sample_models,
)
from landscape_nb.krylov import ConvergenceError, Eigenpairs
from landscape_nb.losses import EmpiricalLoss
from landscape_nb.moments import (
    Moment,
    gaussian_moment,
    next_sample_mean,
    permutation_mean,
    quadratic_mc,
    spectral_formula,
)
from landscape_nb.spectrum import (
    SpectralDensity,
    hutchinson_trace,
    hutchpp_trace,
    spectral_density,
)
from landscape_nb.stabilization import stabilization
from landscape_nb.surfaces import Surfaces, loss_surfaces
from landscape_nb.sweeps import SweepFileError, read_sweep, sweep
from landscape_nb.tables import MomentTable, full_space_table, moment_table
from landscape_nb.training import Descent, FitResult, fit, fit_path, gradient_descent

__version__ = "0.1.0"

__all__ = [
    "ConvergenceError",
    "Descent",
    "Eigenpairs",
    "EmpiricalLoss",
    "Energy",
    "EnoughData",
    "Estimate",
    "FitResult",
    "GaussNewtonOperator",
    "HessianOperator",
    "IncrementModel",
    "IncrementModels",
    "Moment",
    "MomentTable",
    "SpectralDensity",
    "Surfaces",
    "SweepFileError",
    "bottom_eigenpairs",
    "captured_energy",
    "data",
    "delta1",
    "delta2",
    "delta2_subspace",
    "enough_data",
    "enough_data_interval",
    "fit",
    "fit_path",
    "full_space_table",
    "gauss_newton_norm_bound",
    "gaussian_moment",
    "gradient_descent",
    "hessian_norm_bound_printed",
    "hutchinson_trace",
    "hutchpp_trace",
    "increment_bound",
    "increment_eigenpairs",
    "increment_model",
    "increment_models",
    "jacobian_subspace",
    "loss_surfaces",
    "models",
    "moment_table",
    "next_sample_average",
    "next_sample_mean",
    "next_sample_models",
    "permutation_mean",
    "quadratic_mc",
    "random_subspace",
    "rate_bound",
    "read_sweep",
    "spectral_density",
    "spectral_formula",
    "stabilization",
    "sweep",
    "top_eigenpairs",
    "toys",
]
