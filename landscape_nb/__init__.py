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
Eq. 10. `plots` and `widgets` are imported by name, so that this package loads without matplotlib.
"""

from landscape_nb import data, models, toys
from landscape_nb.bounds import (
    gauss_newton_norm_bound,
    hessian_norm_bound_printed,
    increment_bound,
    rate_bound,
)
from landscape_nb.capture import Energy, captured_energy
from landscape_nb.criteria import Estimate, delta1, delta2, delta2_subspace, next_sample_average
from landscape_nb.eigenspaces import (
    bottom_eigenpairs,
    increment_eigenpairs,
    jacobian_subspace,
    random_subspace,
    top_eigenpairs,
)
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
from landscape_nb.sweeps import enough_data
from landscape_nb.tables import MomentTable, full_space_table, moment_table
from landscape_nb.training import FitResult, fit, fit_path

__version__ = "0.1.0"

__all__ = [
    "ConvergenceError",
    "Eigenpairs",
    "EmpiricalLoss",
    "Energy",
    "Estimate",
    "FitResult",
    "HessianOperator",
    "IncrementModel",
    "IncrementModels",
    "Moment",
    "MomentTable",
    "bottom_eigenpairs",
    "captured_energy",
    "data",
    "delta1",
    "delta2",
    "delta2_subspace",
    "enough_data",
    "fit",
    "fit_path",
    "full_space_table",
    "gauss_newton_norm_bound",
    "gaussian_moment",
    "hessian_norm_bound_printed",
    "increment_bound",
    "increment_eigenpairs",
    "increment_model",
    "increment_models",
    "jacobian_subspace",
    "models",
    "moment_table",
    "next_sample_average",
    "next_sample_mean",
    "next_sample_models",
    "permutation_mean",
    "quadratic_mc",
    "random_subspace",
    "rate_bound",
    "spectral_formula",
    "top_eigenpairs",
    "toys",
]
