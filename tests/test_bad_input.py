"""Every refusal in one table: what a mistake is answered with.

A case is (id, call, what the message says is required, how it names what arrived). Oracle: the
sentence itself, that it is a ValueError, and that the caller's model is as it was. The last test
checks the checker: good input passes through all the same functions.
"""

# ruff: noqa: E501  (one row a case)

import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from draws import F64, generator
from torch import nn

import landscape_nb as ln

NAN, INF = float("nan"), float("inf")
cross_entropy = nn.CrossEntropyLoss(reduction="none")


class Parameters(nn.Module):
    """A module that is nothing but its parameters."""

    def __init__(self, *parameters):
        super().__init__()
        self.p = nn.ParameterList(parameters)

    def forward(self, x):
        return x.sum(1) * sum(p.sum() for p in self.p)


class Detached(nn.Linear):
    def forward(self, x):
        return super().forward(x).detach()


@pytest.fixture
def c():
    """A healthy context that each case spoils in one way. N = 8, n = 6."""
    model = nn.Linear(3, 2).double()
    x = torch.randn(6, 3, generator=generator(), **F64)
    y = torch.tensor([0, 1, 0, 1, 1, 0])
    loss = ln.EmpiricalLoss(model, cross_entropy, x, y)
    one = ln.EmpiricalLoss(model, cross_entropy, x[:1], y[:1])
    U = ln.random_subspace(8, 2, generator())
    return SimpleNamespace(model=model, x=x, y=y, loss=loss, one=one, w=loss.w0, U=U, g=generator())


def build(c, model=None, loss_fn=cross_entropy, x=None, y=None, **options):
    model = c.model if model is None else model
    x, y = c.x if x is None else x, c.y if y is None else y
    return ln.EmpiricalLoss(model, loss_fn, x, y, **options)


def with_value(w, value):
    return torch.cat([w[:-1], torch.tensor([value]).to(w)])


def dropout():
    return nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).double().train()


def batch_norm():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double().train()


def batch_mean(out, y):
    losses = cross_entropy(out, y)
    return losses - losses.mean()


def model_with(*parameters):
    return Parameters(*(nn.Parameter(p) for p in parameters))


def frozen():
    return nn.Linear(3, 2).double().requires_grad_(False)


def integers():
    return Parameters(nn.Parameter(torch.arange(3), requires_grad=False))


def one_model(c):
    return ln.IncrementModel(1.0, [1.0, 2.0], torch.eye(2, **F64))


def operator(c):
    return c.loss.hessian_operator(c.w, 3)


def pairs(U):
    values = torch.zeros(U.shape[1]).to(U)
    return ln.Eigenpairs(values, U, values, INF, 0)


def density(c):
    return ln.spectral_density(operator(c), 2, c.g, steps=3)


def many_models(c):
    return ln.increment_models(c.loss, c.w, c.U, [2, 4])


# fmt: off
CASES = [
    # the empirical loss: model
    ("model not a module", lambda c: build(c, lambda x: x), "must be a torch.nn.Module", "function"),
    ("model without parameters", lambda c: build(c, nn.Tanh()), "no trainable parameters", ""),
    ("all frozen", lambda c: build(c, frozen()), "no trainable parameters", "requires_grad"),
    ("integer parameters", lambda c: build(c, integers()), "no trainable parameters", ""),
    ("complex parameters", lambda c: build(c, model_with(torch.ones(2, dtype=torch.complex128))), "real floating point", "torch.complex128"),
    ("mixed dtypes", lambda c: build(c, nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2).double())), "share one dtype", "torch.float32"),
    ("mixed devices", lambda c: build(c, model_with(torch.ones(2), torch.ones(2, device="meta"))), "on one device", "meta"),
    # the empirical loss: data
    ("inputs in numpy", lambda c: build(c, x=c.x.numpy()), "inputs must be a torch tensor", "ndarray"),
    ("targets a list", lambda c: build(c, y=[0, 1]), "targets must be a torch tensor", "list"),
    ("no samples", lambda c: build(c, x=c.x[:0], y=c.y[:0]), "inputs is empty", "(0, 3)"),
    ("inputs a number", lambda c: build(c, x=torch.tensor(1.0)), "one sample per row", "a single number"),
    ("unequal data", lambda c: build(c, y=c.y[:4]), "same number of samples", "6 and 4"),
    ("float32 inputs", lambda c: build(c, x=c.x.float()), "inputs has dtype", "torch.float32"),
    ("inputs elsewhere", lambda c: build(c, x=c.x.to("meta")), "inputs is on", "meta"),
    ("targets elsewhere", lambda c: build(c, y=c.y.to("meta")), "targets is on", "meta"),
    ("NaN in the data", lambda c: build(c, x=c.x * NAN), "is not finite", "sample 0"),
    ("one infinite sample", lambda c: build(c, x=torch.cat([c.x[:5], c.x[5:] * INF])), "is not finite", "sample 5"),
    ("l2 negative", lambda c: build(c, l2=-0.1), "l2 must be finite and not negative", "-0.1"),
    ("l2 NaN", lambda c: build(c, l2=NAN), "l2 must be finite and not negative", "nan"),
    ("l2 not a number", lambda c: build(c, l2="much"), "l2 must be one number", "'much'"),
    ("batch_size zero", lambda c: build(c, batch_size=0), "batch_size must be", "= 0"),
    ("batch_size a float", lambda c: build(c, batch_size=2.5), "whole number", "2.5 of type float"),
    # the empirical loss: loss_fn
    ("loss_fn not callable", lambda c: build(c, loss_fn="mse"), "must be callable", "str"),
    ("reduction mean", lambda c: build(c, loss_fn=nn.CrossEntropyLoss()), "one loss per sample, shape (6,)", "got ()"),
    ("a loss per output", lambda c: build(c, loss_fn=lambda out, y: out**2), "one loss per sample, shape (6,)", "got (6, 2)"),
    ("loss a float", lambda c: build(c, loss_fn=lambda out, y: 1.0), "one loss per sample", "float"),
    ("loss of integers", lambda c: build(c, loss_fn=lambda out, y: y), "real numbers", "int64"),
    ("loss random", lambda c: build(c, dropout()), "The loss is random", "differ by"),
    ("batch norm training", lambda c: build(c, batch_norm()), "not per-sample", "model.eval()"),
    ("loss mixes samples", lambda c: build(c, loss_fn=batch_mean), "not per-sample", "by "),
    ("loss detached", lambda c: build(c, Detached(3, 2, **F64)), "does not depend", "detach()"),
    ("loss NaN", lambda c: build(c, loss_fn=lambda out, y: (-out[:, 0].square()).sqrt()), "is not finite", "sample 0"),
    # points, directions, numbers of samples
    ("w in numpy", lambda c: c.loss.value(c.w.numpy(), 3), "w must be a torch tensor", "ndarray"),
    ("w too short", lambda c: c.loss.gradient(c.w[:5], 3), "of length N = 8", "(5,)"),
    ("w a column", lambda c: ln.fit(c.loss, 3, c.w[:, None]), "of length N = 8", "(8, 1)"),
    ("w float32", lambda c: ln.delta1(c.loss, c.w.float(), 3), "w has dtype", "torch.float32"),
    ("w elsewhere", lambda c: c.loss.value(c.w.to("meta"), 3), "w is on", "meta"),
    ("w NaN", lambda c: c.loss.value(with_value(c.w, NAN), 3), "w must be finite", "1 of its 8"),
    ("w infinite", lambda c: ln.fit(c.loss, 3, c.w * 0 + INF), "w must be finite", "8 of its 8"),
    ("k zero", lambda c: c.loss.value(c.w, 0), "k must be between 1 and 6", "k = 0"),
    ("k above n", lambda c: c.loss.gradient(c.w, 7), "k must be between 1 and 6", "k = 7"),
    ("k a float", lambda c: c.loss.hvp(c.w, c.w, 3.0), "whole number", "3.0 of type float"),
    ("k a bool", lambda c: c.loss.value(c.w, True), "whole number", "True of type bool"),
    ("k missing", lambda c: ln.fit(c.loss, None), "whole number", "None of type NoneType"),
    ("range beyond n", lambda c: c.loss.value(c.w, range(4, 9)), "within 0..5", "range(4, 9)"),
    ("range empty", lambda c: c.loss.value(c.w, range(2, 2)), "not empty", "range(2, 2)"),
    ("range reversed", lambda c: c.loss.value(c.w, range(5, 1, -1)), "increasing", "range(5, 1"),
    ("indices beyond n", lambda c: c.loss.value(c.w, torch.tensor([0, 6])), "within 0..5", "between 0 and 6"),
    ("indices negative", lambda c: c.loss.gradient(c.w, torch.tensor([-1, 2])), "within 0..5", "between -1 and 2"),
    ("indices empty", lambda c: c.loss.hvp(c.w, c.w, torch.tensor([], dtype=torch.int64)), "(m,) int64 with m >= 1", "shape (0,)"),
    ("indices int32", lambda c: c.loss.value(c.w, torch.tensor([0, 1], dtype=torch.int32)), "tensor of indices", "torch.int32 of shape (2,)"),
    ("indices floats", lambda c: c.loss.per_sample(c.w, torch.tensor([0.0, 1.0])), "tensor of indices", "torch.float32"),
    ("indices a mask", lambda c: c.loss.outputs(c.w, torch.ones(6, dtype=torch.bool)), "tensor of indices", "torch.bool of shape (6,)"),
    ("indices a matrix", lambda c: c.loss.hessian(c.w, torch.tensor([[0, 1]])), "tensor of indices", "(1, 2)"),
    ("indices a list", lambda c: c.loss.value(c.w, [0, 1]), "k must be a whole number", "[0, 1] of type list"),
    ("k a float tensor", lambda c: c.loss.value(c.w, torch.tensor(3.0)), "whole number", "tensor(3.)"),
    ("k a zero tensor", lambda c: c.loss.value(c.w, torch.tensor(0)), "k must be between 1 and 6", "k = 0"),
    ("V too short", lambda c: c.loss.hvp(c.w, c.w[:5], 3), "shape (8,)", "(5,)"),
    ("V in numpy", lambda c: c.loss.hvp(c.w, c.U.numpy(), 3), "shape (8,)", "ndarray"),
    ("V float32", lambda c: c.loss.hvp(c.w, c.U.float(), 3), "V has dtype", "torch.float32"),
    ("V without columns", lambda c: c.loss.hvp(c.w, c.U[:, :0], 3), "V must", "(8, 0)"),
    # training
    ("tol zero", lambda c: ln.fit(c.loss, 3, tol=0), "tol must be positive", "tol = 0"),
    ("no iterations", lambda c: ln.fit(c.loss, 3, max_iterations=0), "at least 1", "= 0"),
    ("ks decreasing", lambda c: ln.fit_path(c.loss, [4, 2]), "strictly increasing", "[4, 2]"),
    ("ks empty", lambda c: ln.fit_path(c.loss, []), "ks is empty", ""),
    ("fit on indices beyond n", lambda c: ln.fit(c.loss, torch.tensor([6])), "within 0..5", "between 6 and 6"),
    ("lr zero", lambda c: ln.gradient_descent(c.loss, 3, 0, 2), "lr must be positive", "lr = 0.0"),
    ("lr text", lambda c: ln.gradient_descent(c.loss, 3, "0.1", 2), "lr must be one positive number", "'0.1'"),
    ("no steps", lambda c: ln.gradient_descent(c.loss, 3, 0.1, 0), "steps must be at least 1", "steps = 0"),
    ("half a step", lambda c: ln.gradient_descent(c.loss, 3, 0.1, 0.5), "steps must be a whole number", "0.5"),
    ("every zero", lambda c: ln.gradient_descent(c.loss, 3, 0.1, 2, every=0), "every must be at least 1", "every = 0"),
    ("momentum one", lambda c: ln.gradient_descent(c.loss, 3, 0.1, 2, momentum=1), "momentum must be below 1", "1.0"),
    ("momentum negative", lambda c: ln.gradient_descent(c.loss, 3, 0.1, 2, momentum=-0.5), "momentum must be finite and not negative", "-0.5"),
    ("batch above k", lambda c: ln.gradient_descent(c.loss, 3, 0.1, 2, batch_size=4, generator=c.g), "batch_size must be between 1 and 3", "= 4"),
    ("batches without generator", lambda c: ln.gradient_descent(c.loss, 3, 0.1, 2, batch_size=2), "generator must be a torch.Generator", "NoneType"),
    ("descent from NaN", lambda c: ln.gradient_descent(c.loss, 3, 0.1, 2, c.w * NAN), "w must be finite", "8 of its 8"),
    ("descent on k above n", lambda c: ln.gradient_descent(c.loss, 7, 0.1, 2, batch_size=2, generator=c.g), "k must be between 1 and 6", "k = 7"),
    ("descent on k a float", lambda c: ln.gradient_descent(c.loss, 3.0, 0.1, 2, batch_size=2, generator=c.g), "whole number", "3.0"),
    # curvature by products: Gauss-Newton, traces, densities
    ("Gauss-Newton of w too short", lambda c: ln.GaussNewtonOperator(c.loss, c.w[:5], 3), "of length N = 8", "(5,)"),
    ("Gauss-Newton at k = 0", lambda c: ln.GaussNewtonOperator(c.loss, c.w, 0), "between 1 and 6", "k = 0"),
    ("Gauss-Newton beyond n", lambda c: ln.GaussNewtonOperator(c.loss, c.w, torch.tensor([1, 9])), "within 0..5", "between 1 and 9"),
    ("Gauss-Newton of V too short", lambda c: ln.GaussNewtonOperator(c.loss, c.w, 3)(c.w[:5]), "shape (8,)", "(5,)"),
    ("Gauss-Newton of V float32", lambda c: ln.GaussNewtonOperator(c.loss, c.w, 3)(c.U.float()), "V has dtype", "torch.float32"),
    ("trace of one probe", lambda c: ln.hutchinson_trace(operator(c), 1, c.g), "num_probes must be at least 2", "num_probes = 1"),
    ("trace of half a probe", lambda c: ln.hutchinson_trace(operator(c), 2.5, c.g), "num_probes must be a whole", "2.5"),
    ("trace with a seed", lambda c: ln.hutchinson_trace(operator(c), 4, 0), "generator must be a torch.Generator", "int"),
    ("Hutch++ of five", lambda c: ln.hutchpp_trace(operator(c), 5, c.g), "num_products must be at least 6", "num_products = 5"),
    ("Hutch++ of 3 N", lambda c: ln.hutchpp_trace(operator(c), 24, c.g), "fewer than 3 N = 24", "num_products = 24"),
    ("Hutch++ without generator", lambda c: ln.hutchpp_trace(operator(c), 6, None), "generator must be a torch.Generator", "NoneType"),
    ("density of one probe", lambda c: ln.spectral_density(operator(c), 1, c.g), "num_probes must be at least 2", "num_probes = 1"),
    ("density of no steps", lambda c: ln.spectral_density(operator(c), 2, c.g, steps=0), "steps must be at least 1", "steps = 0"),
    ("density with a seed", lambda c: ln.spectral_density(operator(c), 2, 0), "generator must be a torch.Generator", "int"),
    ("known of another N", lambda c: ln.spectral_density(operator(c), 2, c.g, known=pairs(c.U[:4])), "known.vectors must", "(4, 2)"),
    ("known not orthonormal", lambda c: ln.spectral_density(operator(c), 2, c.g, known=pairs(2 * c.U)), "known.vectors must have orthonormal columns", "3.0e+00"),
    ("known in float32", lambda c: ln.spectral_density(operator(c), 2, c.g, known=pairs(c.U.float())), "known.vectors has dtype", "torch.float32"),
    ("density of NaN products", lambda c: ln.spectral_density(lambda V: V * NAN, c.w, 2, c.g), "product is not finite", ""),
    ("smooth of width zero", lambda c: density(c).smooth(torch.zeros(2), 0), "width must be positive", "width = 0.0"),
    ("share of nothing", lambda c: density(c).fraction(1, 1), "low must be below high", "low = 1, high = 1"),
    ("share backwards", lambda c: density(c).fraction(2.0, 1.0), "low must be below high", "low = 2.0, high = 1.0"),
    ("share from NaN", lambda c: density(c).fraction(NAN, 1.0), "low must be below high", "low = nan"),
    ("moment negative", lambda c: density(c).moment(-1), "p must be at least 0", "p = -1"),
    ("moment of a half", lambda c: density(c).moment(0.5), "p must be a whole number", "0.5"),
    # eigenspaces
    ("D zero", lambda c: ln.top_eigenpairs(c.loss, c.w, 3, 0), "D must be between 1 and 8", "D = 0"),
    ("D above N", lambda c: ln.top_eigenpairs(c.loss, c.w, 3, 9), "D must be between 1 and 8", "D = 9"),
    ("D a float", lambda c: ln.bottom_eigenpairs(c.loss, c.w, 3, 2.0), "D must be a whole", "2.0"),
    ("tol negative", lambda c: ln.top_eigenpairs(c.loss, c.w, 3, 2, tol=-1), "tol must be", "-1"),
    ("start too short", lambda c: ln.top_eigenpairs(c.loss, c.w, 3, 2, start=c.U[:4]), "start must", "(4, 2)"),
    ("start NaN", lambda c: ln.top_eigenpairs(c.loss, c.w, 3, 2, start=c.U * NAN), "start", "finite"),
    ("seed as generator", lambda c: ln.top_eigenpairs(c.loss, c.w, 3, 2, generator=1), "torch.Generator", "int"),
    ("max_products text", lambda c: ln.top_eigenpairs(c.loss, c.w, 3, 2, max_products="9"), "max_products", "'9'"),
    ("max_products zero", lambda c: ln.top_eigenpairs(c.loss, c.w, 3, 2, max_products=0), "max_products", "0"),
    ("no next sample", lambda c: ln.increment_eigenpairs(c.loss, c.w, 6, 2), "between 1 and 5", "k = 6"),
    ("sample beyond n", lambda c: ln.jacobian_subspace(c.loss, c.w, 6), "i must be between 0 and 5", "i = 6"),
    ("random D above N", lambda c: ln.random_subspace(4, 5, c.g), "D must be between 1 and 4", "D = 5"),
    ("random without generator", lambda c: ln.random_subspace(4, 2, None), "torch.Generator", "NoneType"),
    # increments
    ("U not orthonormal", lambda c: ln.increment_model(c.loss, c.w, 2 * c.U, 3), "orthonormal columns", "3.0e+00"),
    ("U NaN", lambda c: ln.increment_model(c.loss, c.w, c.U * NAN, 3), "orthonormal columns", "nan"),
    ("U too wide", lambda c: ln.increment_model(c.loss, c.w, torch.ones(8, 9, **F64), 3), "between 1 and N = 8", "D = 9"),
    ("U a vector", lambda c: ln.increment_model(c.loss, c.w, c.U[:, 0], 3), "shape (N, D) with N = 8", "(8,)"),
    ("U transposed", lambda c: ln.increment_models(c.loss, c.w, c.U.T, [3]), "shape (N, D) with N = 8", "(2, 8)"),
    ("U float32", lambda c: ln.delta2_subspace(c.loss, c.w, c.U.float(), 3, 0.1, 5, c.g), "U has dtype", "torch.float32"),
    ("increment at k = n", lambda c: ln.increment_model(c.loss, c.w, c.U, 6), "between 1 and 5", "k = 6"),
    ("increment at k = 0", lambda c: ln.increment_model(c.loss, c.w, c.U, 0), "between 1 and 5", "k = 0"),
    ("one sample only", lambda c: ln.increment_model(c.one, c.w, c.U, 1), "at least two samples", "one"),
    ("grid repeats", lambda c: ln.increment_models(c.loss, c.w, c.U, [2, 2]), "strictly increasing", "[2, 2]"),
    ("unknown method", lambda c: ln.increment_models(c.loss, c.w, c.U, [2], method="fast"), "'segments'", "'fast'"),
    ("no candidates", lambda c: ln.next_sample_models(c.loss, c.w, c.U, 3, candidates=range(4, 4)), "candidates", "range(4, 4)"),
    ("candidates beyond n", lambda c: ln.next_sample_models(c.loss, c.w, c.U, 3, candidates=range(4, 9)), "candidate must be between 3 and 5", "candidate = 8"),
    ("candidates a list", lambda c: ln.next_sample_models(c.loss, c.w, c.U, 3, candidates=[4]), "candidates", "[4]"),
    ("leading too many", lambda c: one_model(c).leading(3), "D must be between 1 and 2", "D = 3"),
    ("B asymmetric", lambda c: ln.IncrementModel(0.0, [1.0, 1.0], [[1.0, 2.0], [0.0, 1.0]]), "B must be symmetric", "2"),
    ("c of a wrong length", lambda c: ln.IncrementModel(0.0, [1.0], torch.eye(2)), "increment model needs", "(1,)"),
    ("model NaN", lambda c: ln.IncrementModel(NAN, [1.0], [[1.0]]), "must be finite", "NaN"),
    ("no models", lambda c: ln.IncrementModels([], torch.zeros(0), torch.zeros(0, 2), torch.zeros(0, 2, 2)), "increment model", "0"),
    # criteria
    ("delta1 at n", lambda c: ln.delta1(c.loss, c.w, 6), "between 1 and 5", "k = 6"),
    ("sigma zero", lambda c: ln.delta2(c.loss, c.w, 3, 0.0, 5, c.g), "sigma must be positive", "sigma = 0.0"),
    ("sigma negative", lambda c: ln.delta2(c.loss, c.w, 3, -1.0, 5, c.g), "sigma must be positive", "sigma = -1.0"),
    ("sigma NaN", lambda c: ln.delta2(c.loss, c.w, 3, NAN, 5, c.g), "sigma must be positive and finite", "nan"),
    ("sigma infinite", lambda c: ln.delta2(c.loss, c.w, 3, INF, 5, c.g), "sigma must be positive and finite", "inf"),
    ("sigma text", lambda c: ln.delta2(c.loss, c.w, 3, "0.1", 5, c.g), "sigma must be one positive number", "'0.1'"),
    ("sigma a list", lambda c: ln.delta2(c.loss, c.w, 3, [0.1], 5, c.g), "sigma must be one positive number", "[0.1]"),
    ("sigma a vector", lambda c: ln.delta2(c.loss, c.w, 3, torch.ones(2), 5, c.g), "sigma must be one positive number", "tensor([1., 1.])"),
    ("one probe point", lambda c: ln.delta2(c.loss, c.w, 3, 0.1, 1, c.g), "num_draws must be", "num_draws = 1"),
    ("half a probe point", lambda c: ln.delta2(c.loss, c.w, 3, 0.1, 1.5, c.g), "num_draws must be a whole", "1.5"),
    ("seed for generator", lambda c: ln.delta2(c.loss, c.w, 3, 0.1, 5, 0), "generator must be a torch.Generator", "int"),
    ("k as fraction", lambda c: ln.delta2(c.loss, c.w, [1, 2.5], 0.1, 5, c.g), "whole number", "2.5"),
    ("probe overflows", lambda c: ln.delta2(c.loss, c.w, 3, 1e308, 5, c.g), "finite", ""),
    ("average at n", lambda c: ln.next_sample_average(c.loss, c.w, 6, 0.1, 5, c.g), "between 1 and 5", "k = 6"),
    # closed forms and bounds
    ("moment of sigma zero", lambda c: ln.gaussian_moment(one_model(c), 0), "sigma must be positive", "0.0"),
    ("table of D zero", lambda c: ln.moment_table(many_models(c)).at(0, 0.1), "D must be between 1 and 2", "D = 0"),
    ("table of sigma negative", lambda c: ln.moment_table(many_models(c)).at(1, -0.1), "sigma must be positive", "-0.1"),
    ("mc of one draw", lambda c: ln.quadratic_mc(one_model(c), 0.1, 1, c.g), "num_draws must be", "= 1"),
    ("no eigenvalues", lambda c: ln.spectral_formula([], 0.1), "must be finite, shape (D,)", "(0,)"),
    ("eigenvalues NaN", lambda c: ln.spectral_formula([NAN], 0.1), "must be finite", "(1,)"),
    ("one loss", lambda c: ln.permutation_mean(torch.ones(1), 1), "at least two losses", "(1,)"),
    ("losses NaN", lambda c: ln.permutation_mean(torch.ones(3) * NAN, 1), "must be finite", "NaN"),
    ("losses in numpy", lambda c: ln.next_sample_mean(np.ones(3), 1), "at least two losses", "ndarray"),
    ("losses integers", lambda c: ln.permutation_mean(torch.arange(4), 2), "per_sample_losses", "int64"),
    ("k beyond losses", lambda c: ln.next_sample_mean(torch.ones(3), 3), "between 1 and 2", "k = 3"),
    ("bound negative", lambda c: ln.rate_bound(1, 1, 0.1, -1.0, 1.0, 1.0), "M_loss must be finite", "-1.0"),
    ("bound at k = 0", lambda c: ln.increment_bound(0, 1.0, 1.0, 1.0), "k must be at least 1", "k = 0"),
    ("no layers", lambda c: ln.hessian_norm_bound_printed(0, 1.0, 1.0), "num_layers must be", "= 0"),
    ("no weights", lambda c: ln.gauss_newton_norm_bound([], c.x), "weights is empty", ""),
    ("weights do not chain", lambda c: ln.gauss_newton_norm_bound([torch.ones(2, 4, **F64)], c.x), "weights[0] must map 3", "(2, 4)"),
    ("weight a vector", lambda c: ln.gauss_newton_norm_bound([torch.ones(3, **F64)], c.x), "weights[0] must map 3", "(3,)"),
    # data, models and toys
    ("no digits", lambda c: ln.data.digits(0), "n must be between 1 and 1797", "n = 0"),
    ("too many digits", lambda c: ln.data.digits(2000), "n must be between 1 and 1797", "2000"),
    ("half a digit", lambda c: ln.data.digits(2.5), "n must be", "2.5"),
    ("one layer width", lambda c: ln.models.MLP([3]), "at least inputs and outputs", "[3]"),
    ("width zero", lambda c: ln.models.MLP([3, 0, 2]), "all positive", "[3, 0, 2]"),
    ("width a float", lambda c: ln.models.MLP([3, 2.5]), "widths", "2.5"),
    ("short spectrum", lambda c: ln.toys.quadratics(3, 4, eigenvalues=[1.0]), "eigenvalues", "1"),
    ("no closed form", lambda c: ln.toys.softmax_regression(4, 2, 3, generator=c.g).minimiser(3), "Only linear", "softmax"),
]
# fmt: on


@pytest.fixture
def ten_seconds():
    """An endless loop is no refusal."""
    if not hasattr(signal, "SIGALRM"):  # Windows
        yield
        return

    def too_long(*_):
        raise TimeoutError("no answer within ten seconds")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(10)
    yield
    signal.alarm(0)


def snapshot(model):
    return {name: t.clone() for name, t in model.state_dict().items()}, model.training


@pytest.mark.usefixtures("ten_seconds")
@pytest.mark.parametrize(
    ("call", "required", "arrived"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_bad_input_is_refused_in_words(c, call, required, arrived):
    state, mode = snapshot(c.model)
    with pytest.raises(ValueError) as refused:
        call(c)
    message = str(refused.value)
    assert required in message
    assert arrived in message
    assert message.endswith(".")
    assert refused.type is ValueError
    assert c.model.training == mode
    assert all(torch.equal(t, state[name]) for name, t in c.model.state_dict().items())


def test_case_names_are_unique():
    names = [case[0] for case in CASES]
    assert len(set(names)) == len(names) >= 45


def test_good_input_is_not_refused(c):
    """What the cases spoil is fine unspoilt, integers from numpy and zero-dimensional included."""
    c.loss.value(c.w, np.int64(3)), c.loss.value(c.w, torch.tensor(3)), c.loss.hvp(c.w, c.U, 3)
    ln.fit(c.loss, 3, c.w, max_iterations=2)
    ln.top_eigenpairs(c.loss, c.w, 3, 2, start=c.U, generator=c.g)
    ln.jacobian_subspace(c.loss, c.w, 5), ln.increment_eigenpairs(c.loss, c.w, 5, 2)
    ln.increment_model(c.loss, c.w, c.U, 5), ln.increment_models(c.loss, c.w, c.U, np.arange(1, 6))
    ln.next_sample_models(c.loss, c.w, c.U, 3, candidates=range(4, 6))
    ln.delta2(c.loss, c.w, torch.tensor([1, 5]), np.float64(0.1), 2, c.g)
    ln.delta2_subspace(c.loss, c.w, c.U, 5, torch.tensor(0.1), 2, c.g)
    ln.quadratic_mc(one_model(c), 0.1, 2, c.g), ln.spectral_formula([1.0], 1)
    ln.next_sample_mean(torch.ones(3), 2), ln.rate_bound(1, 1, 0.1, 0, 0, 0)
    ln.gauss_newton_norm_bound([torch.ones(2, 3, **F64)], c.x), ln.data.digits(2)
    (
        c.loss.value(c.w, torch.tensor([5, 0, 5])),
        ln.fit(c.loss, torch.tensor([0, 5]), max_iterations=2),
    )
    ln.gradient_descent(c.loss, np.int64(3), np.float64(0.1), torch.tensor(2), c.w, momentum=0)
    ln.gradient_descent(
        c.loss, range(1, 4), 1, 2, batch_size=3, generator=c.g, momentum=0.5, every=9
    )
    ln.GaussNewtonOperator(c.loss, c.w, torch.tensor([5]))(c.U)
    ln.hutchinson_trace(operator(c), 2, c.g), ln.hutchpp_trace(operator(c), 23, c.g)
    ln.spectral_density(operator(c), np.int64(2), c.g, steps=99, known=pairs(c.U))
    density(c).moment(0), density(c).fraction(-INF, INF), density(c).smooth(torch.arange(3), 1)
