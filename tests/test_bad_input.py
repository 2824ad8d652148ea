"""Every refusal in one table: what a mistake is answered with.

A case is (id, call, what the message says is required, how it names what arrived). Oracle: the
sentence itself, that it is a ValueError, and that the caller's model is as it was. The last test
checks the checker: good input passes through all the same functions.
"""

# ruff: noqa: E501  (one row a case)

import signal
from decimal import Decimal, localcontext
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from draws import F64, generator
from torch import nn

import landscape_nb as ln
from landscape_nb.theory import layers
from landscape_nb.theory.learning_coefficient import soft_count
from landscape_nb.theory.sharpness import adaptive_hessian, relative_flatness
from landscape_nb.theory.spectral_newton import SpectralNewton, spectral_newton_step

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


def build_long(c, i, label, **options):
    x, y = c.x.repeat(10, 1), c.y.repeat(10)
    if options:
        y[:] = 0
    y[i] = label
    return build(c, x=x, y=y, **options)


def tied_through_data(view=lambda w: w, rows=3, freeze=False):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, rows)).double()
    model[1].weight.data = view(model[0].weight.data)
    model[0].weight.requires_grad_(not freeze)
    return model


def with_buffer():
    model = nn.Linear(3, 2).double()
    model.register_buffer("mine", model.weight.data)
    return model


def expanded():
    model = nn.Linear(3, 2).double()
    model.weight = nn.Parameter(torch.ones(2, 1, **F64).expand(2, 3))
    return model


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3, **F64))

    def forward(self, x):
        return (x * self.w).norm(dim=1, keepdim=True)


def norm_at_zero(c):
    return build(c, Norm(), lambda out, y: out.square().sqrt()[:, 0] + 0 * y)


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
    ("influence of a seen sample", lambda c: ln.influence_step(c.loss, c.w, 3, 2), "candidate must be between 3 and 5", "candidate = 2"),
    ("influence without a next sample", lambda c: ln.influence_step(c.loss, c.w, 6, 6), "k must be between 1 and 5", "k = 6"),
    ("influence from NaN", lambda c: ln.influence_step(c.loss, c.w * NAN, 3, 4), "w must be finite", "8 of its 8"),
    ("damping negative", lambda c: ln.influence_step(c.loss, c.w, 3, 4, damping=-1), "damping must be finite and not negative", "-1.0"),
    ("influence tol one", lambda c: ln.influence_step(c.loss, c.w, 3, 4, tol=1), "tol must be between 0 and 1", "got 1"),
    ("no products", lambda c: ln.influence_step(c.loss, c.w, 3, 4, max_products=0), "max_products must be at least 1", "max_products = 0"),
    ("too few products", lambda c: ln.influence_step(c.loss, c.w, 3, 4, damping=1e-3, max_products=1), "Raise max_products", "after 2 Hessian"),
    ("coefficient of two samples", lambda c: ln.local_learning_coefficient(c.loss, c.w, 2, c.g), "k must be between 3 and 6", "k = 2"),
    ("localization zero", lambda c: ln.local_learning_coefficient(c.loss, c.w, 4, c.g, localization=0), "localization must be positive", "= 0.0"),
    ("n beta infinite", lambda c: ln.local_learning_coefficient(c.loss, c.w, 4, c.g, n_beta=INF), "n_beta must be positive and finite", "inf"),
    ("one chain", lambda c: ln.local_learning_coefficient(c.loss, c.w, 4, c.g, chains=1), "chains must be at least 2", "chains = 1"),
    ("no burn-in", lambda c: ln.local_learning_coefficient(c.loss, c.w, 4, c.g, burn_in=0), "burn_in must be at least 1", "burn_in = 0"),
    ("one draw", lambda c: ln.local_learning_coefficient(c.loss, c.w, 4, c.g, draws=1), "draws must be at least 2", "draws = 1"),
    ("coefficient with a seed", lambda c: ln.local_learning_coefficient(c.loss, c.w, 4, 0), "generator must be a torch.Generator", "int"),
    ("adaptive with a short w", lambda c: adaptive_hessian(c.loss, c.w[1:], 4), "flat vector of length N = 8", "(7,)"),
    ("flatness of a bias", lambda c: relative_flatness(c.loss, c.w, 4, "bias"), "layer must name a weight matrix", "'bias'"),
    ("soft count at zero", lambda c: soft_count(c.w, 0.0), "scale must be positive", "= 0.0"),
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
    ("gradients of seen samples", lambda c: ln.gradient_subspace(c.loss, c.w, 3, range(2, 6), 2), "candidate must be between 3 and 5", "2"),
    ("more directions than gradients", lambda c: ln.gradient_subspace(c.loss, c.w, 3, range(3, 6), 4), "D must be between 1 and 3", "D = 4"),
    ("gradients of no samples", lambda c: ln.gradient_subspace(c.loss, c.w, 3, range(4, 4), 1), "non-empty range", "range(4, 4)"),
    ("gradients that coincide", lambda c: ln.gradient_subspace(c.loss, c.w, 3, torch.tensor([4, 4]), 2), "span 1 directions, fewer than D = 2", "Give more samples"),
    ("random D above N", lambda c: ln.random_subspace(4, 5, c.g), "D must be between 1 and 4", "D = 5"),
    ("random without generator", lambda c: ln.random_subspace(4, 2, None), "torch.Generator", "NoneType"),
    # designed samples of next samples
    ("surprise a list", lambda c: ln.designed_sample([1.0, 2.0], 4, c.g), "shape (m,) with m >= 1", "[1.0, 2.0]"),
    ("surprise in numpy", lambda c: ln.designed_sample(np.ones(9), 4, c.g), "shape (m,) with m >= 1", "array("),
    ("surprise of nothing", lambda c: ln.designed_sample(c.w[:0], 4, c.g), "shape (m,) with m >= 1", "(0,)"),
    ("surprise a matrix", lambda c: ln.designed_sample(c.x.abs(), 4, c.g), "shape (m,) with m >= 1", "(6, 3)"),
    ("surprise of integers", lambda c: ln.designed_sample(c.y, 4, c.g), "one real number a sample", "torch.int64"),
    ("surprise negative", lambda c: ln.designed_sample(torch.tensor([-1.0, 2.0]), 4, c.g), "surprise must be finite and not negative", "from -1 to 2"),
    ("surprise NaN", lambda c: ln.designed_sample(c.w * NAN, 4, c.g), "surprise must be finite and not negative", "nan"),
    ("surprise infinite", lambda c: ln.designed_sample(with_value(c.w.abs(), INF), 4, c.g), "surprise must be finite and not negative", "inf"),
    ("design of three", lambda c: ln.designed_sample(c.w.abs(), 3, c.g), "size must be at least 4", "size = 3"),
    ("design of a float", lambda c: ln.designed_sample(c.w.abs(), 4.0, c.g), "size must be a whole number", "4.0"),
    ("design with a seed", lambda c: ln.designed_sample(c.w.abs(), 4, 0), "generator must be a torch.Generator", "int"),
    ("mean of all", lambda c: ln.designed_sample(c.w.abs(), 4, c.g).mean(c.w), "a tensor of shape (4, ...)", "(8,)"),
    ("mean of a list", lambda c: ln.designed_sample(c.w.abs(), 4, c.g).mean([1.0] * 4), "a tensor of shape (4, ...)", "list"),
    ("mean of integers", lambda c: ln.designed_sample(c.w.abs(), 4, c.g).mean(c.y[:4]), "real numbers", "torch.int64"),
    ("mean of NaN", lambda c: ln.designed_sample(c.w.abs(), 4, c.g).mean(c.w[:4] * NAN), "y must be finite", "NaN"),
    ("interval of level 1", lambda c: ln.designed_sample(c.w.abs(), 4, c.g).interval(c.w[:4], 1), "level must be between 0 and 1", "1"),
    ("next sample of size 3", lambda c: ln.next_sample_table(c.loss, c.w, c.U, 1, size=3, generator=c.g), "size must be at least 4", "size = 3"),
    ("next sample of half a size", lambda c: ln.next_sample_table(c.loss, c.w, c.U, 1, size=4.5, generator=c.g), "size must be a whole number", "4.5"),
    ("next sample without generator", lambda c: ln.next_sample_table(c.loss, c.w, c.U, 1, size=4), "generator must be a torch.Generator", "NoneType"),
    ("next sample at k = n", lambda c: ln.next_sample_table(c.loss, c.w, c.U, 6), "between 1 and 5", "k = 6"),
    ("next sample seen", lambda c: ln.next_sample_table(c.loss, c.w, c.U, 3, candidates=range(2, 5)), "candidate must be between 3 and 5", "2"),
    ("next sample, U float32", lambda c: ln.next_sample_table(c.loss, c.w, c.U.float(), 3), "U has dtype", "torch.float32"),
    ("errors of D zero", lambda c: ln.next_sample_table(c.loss, c.w, c.U, 3).stderr_at(0, 0.1), "D must be between 1 and 2", "D = 0"),
    ("errors at sigma zero", lambda c: ln.next_sample_table(c.loss, c.w, c.U, 3).stderr_at(1, 0), "sigma must be positive", "sigma = 0.0"),
    # tails
    ("tail of nothing", lambda c: ln.tail([]), "one real number a sample", "(0,)"),
    ("tail of a number", lambda c: ln.tail(1.0), "shape (m,) with m >= 1", "()"),
    ("tail of a matrix", lambda c: ln.tail(c.x.abs()), "shape (m,) with m >= 1", "(6, 3)"),
    ("tail of text", lambda c: ln.tail("12"), "one real number a sample", "'12'"),
    ("tail of flags", lambda c: ln.tail_index([True, False]), "one real number a sample", "[True, False]"),
    ("tail of complex numbers", lambda c: ln.tail([1j]), "one real number a sample", "[1j]"),
    ("tail of ragged lists", lambda c: ln.tail([[1.0], [1.0, 2.0]]), "one real number a sample", "[[1.0], [1.0, 2.0]]"),
    ("tail of None", lambda c: ln.tail(None), "one real number a sample", "None"),
    ("tail with a NaN", lambda c: ln.tail([1.0, NAN, 2.0]), "finite and not negative", "nan for sample 1 (1 of 3"),
    ("tail with an infinity", lambda c: ln.tail_index([1.0] * 40 + [INF]), "finite and not negative", "inf for sample 40"),
    ("tail of negatives", lambda c: ln.tail(-c.y.double()), "finite and not negative", "-1.0 for sample 1 (3 of 6"),
    ("tail below nothing", lambda c: ln.tail([1.0], tolerance=0.0), "tolerance must be positive", "= 0.0"),
    ("tail below text", lambda c: ln.tail([1.0], tolerance="1"), "tolerance must be one positive number", "'1'"),
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
    ("rank negative", lambda c: ln.effective_rank_bound(1, 0.1, 1.0, 1.0, 1.0, -1.0, 1.0), "trace_rank must be finite", "-1.0"),
    ("rank bound overflows", lambda c: ln.effective_rank_bound(1, 1e200, 1, 1, 1, 1, 1), "The bound overflows", "sigma = 1e+200"),
    ("ranks of one matrix", lambda c: ln.effective_ranks(torch.eye(3)), "hessians must be square matrices", "(3, 3)"),
    ("ranks of a list", lambda c: ln.effective_ranks([1.0]), "hessians must be square matrices", "list"),
    ("ranks of NaN", lambda c: ln.effective_ranks(torch.eye(3)[None] * NAN), "hessians must be finite", "NaN"),
    ("omitted by one draw", lambda c: ln.omitted_terms(c.loss, c.w, c.U, 3, num_draws=1, generator=c.g), "num_draws must be", "= 1"),
    ("omitted without generator", lambda c: ln.omitted_terms(c.loss, c.w, c.U, 3, num_draws=5, generator=0), "generator must be a torch.Generator", "int"),
    ("omitted of a seen sample", lambda c: ln.omitted_terms(c.loss, c.w, c.U, 3, candidates=range(2, 4)), "", "2"),
    ("omitted along slanted U", lambda c: ln.omitted_terms(c.loss, c.w, 2 * c.U, 3), "orthonormal", ""),
    ("bound at k = 0", lambda c: ln.increment_bound(0, 1.0, 1.0, 1.0), "k must be at least 1", "k = 0"),
    ("no layers", lambda c: ln.hessian_norm_bound_printed(0, 1.0, 1.0), "num_layers must be", "= 0"),
    ("no weights", lambda c: ln.gauss_newton_norm_bound([], c.x), "weights is empty", ""),
    ("weights do not chain", lambda c: ln.gauss_newton_norm_bound([torch.ones(2, 4, **F64)], c.x), "weights[0] must map 3", "(2, 4)"),
    ("weight a vector", lambda c: ln.gauss_newton_norm_bound([torch.ones(3, **F64)], c.x), "weights[0] must map 3", "(3,)"),
    # numbers that are none, or too large
    ("sigma a numpy bool", lambda c: ln.delta2(c.loss, c.w, 3, np.bool_(True), 5, c.g), "sigma must be one positive number", "True"),
    ("sigma bytes", lambda c: ln.gaussian_moment(one_model(c), b"1"), "sigma must be one positive number", "b'1'"),
    ("sigma a bytearray", lambda c: ln.rate_bound(1, 1, bytearray(b"1"), 1.0, 1.0, 1.0), "sigma must be one positive number", "bytearray"),
    ("sigma a memoryview", lambda c: ln.spectral_formula([1.0], memoryview(b"1")), "sigma must be one positive number", "memory"),
    ("sigma numpy bytes", lambda c: ln.quadratic_mc(one_model(c), np.bytes_(b"2"), 3, c.g), "sigma must be one positive number", "b'2'"),
    ("sigma a bool tensor", lambda c: ln.gaussian_moment(one_model(c), torch.tensor(True)), "sigma must be one positive number", "tensor(True)"),
    ("sigma a bool array", lambda c: ln.gaussian_moment(one_model(c), np.array(True)), "sigma must be one positive number", "array(True)"),
    ("sigma complex", lambda c: ln.gaussian_moment(one_model(c), np.complex128(1 + 2j)), "sigma must be one positive number", "1+2j"),
    ("sigma a complex tensor", lambda c: ln.gaussian_moment(one_model(c), torch.tensor(1 + 0j)), "sigma must be one positive number", "tensor(1.+0.j)"),
    ("sigma a huge integer", lambda c: ln.gaussian_moment(one_model(c), 10**400), "sigma must be positive and finite", "inf"),
    ("l2 a numpy bool", lambda c: build(c, l2=np.bool_(False)), "l2 must be one number", "False"),
    ("tol bytes", lambda c: ln.fit(c.loss, 3, tol=b"1"), "tol must be one positive number", "b'1'"),
    ("k a numpy bool", lambda c: c.loss.value(c.w, np.bool_(True)), "whole number", "True"),
    ("D beyond 64 bits", lambda c: ln.rate_bound(1, 10**400, 0.1, 1.0, 1.0, 1.0), "D must be below 2^63", "10000"),
    ("k of 5000 digits", lambda c: c.loss.value(c.w, 10**5000), "k must be between 1 and 6", "can't be printed"),
    ("ks of a model a fraction", lambda c: ln.IncrementModels([1.7], [1.0], [[1.0]], [[[0.0]]]), "k must be a whole number", "1.7 of type float"),
    ("ks of a model in numpy", lambda c: ln.IncrementModels(np.array([1.7]), [1.0], [[1.0]], [[[0.0]]]), "k must be a whole number", "1.7 of type float"),
    ("ks of a model a tensor", lambda c: ln.IncrementModels(torch.tensor([1.7]), [1.0], [[1.0]], [[[0.0]]]), "k must be a whole number", "of type float"),
    ("ks of a model a bool", lambda c: ln.IncrementModels([True], [1.0], [[1.0]], [[[0.0]]]), "k must be a whole number", "True of type bool"),
    ("ks a fraction", lambda c: ln.increment_models(c.loss, c.w, c.U, [1.7]), "k must be a whole number", "1.7 of type float"),
    ("ks bytes", lambda c: ln.delta1(c.loss, c.w, b"\x01\x02"), "ks must hold whole numbers", "type bytes"),
    ("ks text", lambda c: ln.enough_data("12", [1.0, 2.0], 1.0), "ks must hold whole numbers", "'12' of type str"),
    ("deltas text", lambda c: ln.forecast_enough([1, 2], "ab", 1.0), "deltas must hold numbers", "'ab'"),
    ("losses of zero", lambda c: ln.forecast_loss([1, 2], [1.0, 0.0], 4), "losses must be positive", "a smallest one of 0"),
    ("runs, one of them shorter", lambda c: ln.enough_data_interval([1, 2], [[1.0, 2.0], [1.0]], 1.0), "as many in each row", "[[1.0, 2.0], [1.0]]"),
    ("next samples, negative", lambda c: ln.one_run_interval([1], [[1.0], [-2.0]], 1.0, c.g), "finite and not negative", "from -2 to 1"),
    ("ks a dict", lambda c: ln.fit_path(c.loss, {1: 2}), "ks must hold whole numbers", "type dict"),
    ("a model of integers", lambda c: ln.IncrementModel(torch.tensor(1), [1.0], [[1.0]]), "a must hold real numbers", "torch.int64"),
    ("random of integers", lambda c: ln.random_subspace(4, 2, c.g, dtype=torch.int64), "floating point type", "torch.int64"),
    ("random of complex", lambda c: ln.random_subspace(4, 2, c.g, dtype=torch.complex128), "floating point type", "torch.complex128"),
    ("digits of integers", lambda c: ln.data.digits(5, dtype=torch.int64), "floating point type", "torch.int64"),
    ("network of integers", lambda c: ln.models.MLP([3, 2], dtype=torch.int32), "floating point type", "torch.int32"),
    ("a width that is a bool", lambda c: ln.models.MLP([3, True]), "positive whole numbers", "[3, True]"),
    ("moment overflows", lambda c: ln.gaussian_moment(one_model(c), 1e200), "The moment at sigma = 1e+200 overflows", "1.8e+308"),
    ("moment overflows in float32", lambda c: ln.gaussian_moment(ln.IncrementModel(torch.ones(()), torch.ones(1), torch.ones(1, 1)), 1e10), "overflows", "torch.float32"),
    ("table overflows", lambda c: ln.moment_table(many_models(c)).at(1, 1e160), "The moment at sigma = 1e+160 overflows", "1.8e+308"),
    ("formula overflows", lambda c: ln.spectral_formula([1.0], 1e200), "The formula at sigma = 1e+200 overflows", "1.8e+308"),
    ("mc overflows", lambda c: ln.quadratic_mc(one_model(c), 1e200, 3, c.g), "The mean of 3 draws overflows", "inf"),
    ("error of mc overflows", lambda c: ln.quadratic_mc(one_model(c), 3e76, 3, generator(1)), "The standard error of 3 draws overflows", "e+"),
    ("rate bound overflows", lambda c: ln.rate_bound(1, 1, 1e200, 1.0, 1.0, 1.0), "The bound overflows", "sigma = 1e+200"),
    ("rate bound infinite", lambda c: ln.rate_bound(1, 1, 1e77, 1.0, 1.0, 1.0), "The bound overflows", "sigma = 1e+77"),
    ("increment bound overflows", lambda c: ln.increment_bound(1, 1.0, 1.0, 1e200), "The bound overflows", "radius = 1e+200"),
    ("printed bound overflows", lambda c: ln.hessian_norm_bound_printed(1000, 1e100, 1.0), "The bound overflows", "M_weight = 1e+100"),
    ("Gauss-Newton bound overflows", lambda c: ln.gauss_newton_norm_bound([torch.full((1, 1), 1e30)] * 3, torch.ones(1)), "The bound overflows", "3.4e+38"),
    ("mean over orders overflows", lambda c: ln.permutation_mean(torch.tensor([0.0, 1e200], **F64), 1), "overflows", "1.8e+308"),
    ("mean over samples overflows", lambda c: ln.next_sample_mean(torch.tensor([0.0, 1e200], **F64), 1), "overflows", "1.8e+308"),
    # samples and parameters that spoil it later
    ("class out of range, late", lambda c: build_long(c, 40, 2), "The loss of sample 40 can't be evaluated", "out of bounds"),
    ("class out of range, last", lambda c: build_long(c, 59, 7), "The loss of sample 59 can't be evaluated", "Target 7"),
    ("negative class, late", lambda c: build_long(c, 33, -5), "The loss of sample 33 can't be evaluated", "-5"),
    ("tied through .data", lambda c: build(c, tied_through_data()), "'0.weight' and '1.weight' must not share memory", "9 numbers"),
    ("tied transposed", lambda c: build(c, tied_through_data(lambda w: w.t())), "must not share memory", "9 numbers"),
    ("tied in part", lambda c: build(c, tied_through_data(lambda w: w[:2], 2)), "must not share memory", "6 numbers"),
    ("tied to a frozen one", lambda c: build(c, tied_through_data(freeze=True)), "must not share memory", "9 numbers"),
    ("tied to a buffer", lambda c: build(c, with_buffer()), "'mine' and 'weight' must not share memory", "6 numbers"),
    ("entries of one number", lambda c: build(c, expanded()), "must be separate numbers", "2 places"),
    ("gradient of a sample NaN", lambda c: norm_at_zero(c).sample_gradients(torch.zeros(3, **F64), 6), "gradient of a single sample is not finite", "square root"),
    # data, models and toys
    ("no digits", lambda c: ln.data.digits(0), "n must be between 1 and 1797", "n = 0"),
    ("too many digits", lambda c: ln.data.digits(2000), "n must be between 1 and 1797", "2000"),
    ("half a digit", lambda c: ln.data.digits(2.5), "n must be", "2.5"),
    ("one layer width", lambda c: ln.models.MLP([3]), "at least inputs and outputs", "[3]"),
    ("width zero", lambda c: ln.models.MLP([3, 0, 2]), "all positive", "[3, 0, 2]"),
    ("width a float", lambda c: ln.models.MLP([3, 2.5]), "widths", "2.5"),
    ("no eigenvalues at all", lambda c: ln.toys.symmetric_matrix([], generator=c.g), "eigenvalues must be a list of finite numbers", "[]"),
    ("eigenvalue not finite", lambda c: ln.toys.symmetric_matrix([1.0, float("nan")], generator=c.g), "finite", "[1.0, nan]"),
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
    ln.effective_rank_bound(1, 0.1, 0, 0, 0, 0, 0), ln.omitted_terms(c.loss, c.w, c.U, np.int64(3))
    ln.gauss_newton_norm_bound([torch.ones(2, 3, **F64)], c.x), ln.data.digits(2)
    ln.forecast_enough(np.arange(1, 3), np.float32([2, 1]), np.float32(0.1), stderrs=[[1, 0]])
    ln.forecast_loss(torch.tensor([1, 2]), torch.ones(3, 2), np.int64(4))
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
    # what must not be mistaken for a slip
    ln.gaussian_moment(one_model(c), np.float32(0.1)), ln.gaussian_moment(one_model(c), np.int8(1))
    ln.gaussian_moment(one_model(c), Fraction(1, 3)), ln.delta1(c.loss, c.w, {1, 2})
    ln.delta1(c.loss, c.w, (k for k in (1, 2))), ln.random_subspace(4, 2, c.g, dtype=torch.float32)
    ln.IncrementModels(np.array([1, 1]), [1.0, 2.0], [[1.0]] * 2, [[[0.0]]] * 2)
    for good in (tied_rightly(), neighbours(), nn.LSTM(3, 2, batch_first=True).double()):
        one_loss(c, good).gradient(one_loss(c, good).w0, 3)
    density(c).moment(0), density(c).fraction(-INF, INF), density(c).smooth(torch.arange(3), 1)


def tied_rightly():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).double()
    model[1].weight = model[0].weight
    return model


def neighbours():
    """Two weights in one storage, interleaved, that share no number: as cuDNN keeps an RNN's."""
    both = torch.randn(3, 6, generator=generator(), **F64)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).double()
    model[0].weight, model[1].weight = nn.Parameter(both[:, :3]), nn.Parameter(both[:, 3:])
    return model


def one_loss(c, model):
    def total(out, y):
        out = out[0] if isinstance(out, tuple) else out
        return out.flatten(1).square().mean(1)

    return ln.EmpiricalLoss(model, total, c.x[:, None], c.y)


# -- messages fit a screen -----------------------------------------------------------------------

million = [0.1] * 10**6
LONG = {
    "sigma": lambda c: ln.delta2(c.loss, c.w, 3, million, 5, c.g),
    "sigma, nested": lambda c: ln.delta2(c.loss, c.w, 3, [million], 5, c.g),
    "sigma, text": lambda c: ln.delta2(c.loss, c.w, 3, "1" * 10**6, 5, c.g),
    "k": lambda c: c.loss.value(c.w, million),
    "ks": lambda c: ln.delta1(c.loss, c.w, ["9" * 10**6]),
    "ks, text": lambda c: ln.delta1(c.loss, c.w, "9" * 10**6),
    "candidates": lambda c: ln.next_sample_models(c.loss, c.w, c.U, 3, candidates=million),
    "method": lambda c: ln.increment_models(c.loss, c.w, c.U, [2], method="x" * 10**6),
    "steps": lambda c: ln.loss_surfaces(c.loss, c.w, c.U, [2], million),
    "widths": lambda c: ln.models.MLP(million),
    "dtype": lambda c: ln.random_subspace(4, 2, c.g, dtype="x" * 10**6),
    "layer": lambda c: layers.gradient_modes(c.loss, c.w, 3, "x" * 10**6),
    "kind": lambda c: layers.kronecker_factors(c.loss, c.w, 3, "", "x" * 10**6),
    "betas": lambda c: SpectralNewton([nn.Parameter(torch.ones(2, 2))], betas=million),
    "relative": lambda c: SpectralNewton([nn.Parameter(torch.ones(2, 2))], relative=million),
    "error of a late sample": lambda c: build_long(c, 40, 1, loss_fn=long_winded),
}


def long_winded(out, y):
    if y.any():
        raise KeyError("9" * 10**6)
    return cross_entropy(out, y)


@pytest.mark.usefixtures("ten_seconds")
@pytest.mark.parametrize("what", LONG)
def test_no_message_floods_the_screen(c, what):
    with pytest.raises(ValueError) as refused:
        LONG[what](c)
    assert len(str(refused.value)) < 1000


# -- what the mean is over -----------------------------------------------------------------------


def test_the_advice_for_several_losses_a_sample_is_right_with_padding():
    """What the refusal tells to write is the mean over real tokens, of each sequence."""
    g = generator()
    x, y = torch.randn(5, 4, 3, generator=g, **F64), torch.randint(2, (5, 4), generator=g)
    for i, real in enumerate((4, 2, 1, 3, 2)):
        y[i, real:] = -100
    model = nn.Linear(3, 2).double()
    token_losses = nn.CrossEntropyLoss(reduction="none")

    def several(out, y):
        return token_losses(out.mT, y)

    def as_told(out, targets):
        losses, ignore_index = several(out, targets), -100
        return losses.flatten(1).sum(1) / (targets != ignore_index).flatten(1).sum(1)

    with pytest.raises(ValueError, match="padding") as refused:
        ln.EmpiricalLoss(model, several, x, y)
    told = "losses.flatten(1).sum(1) / (targets != ignore_index).flatten(1).sum(1)"
    assert told in str(refused.value) and "class weights" in str(refused.value)
    loss = ln.EmpiricalLoss(model, as_told, x, y)
    by_hand = [
        nn.functional.cross_entropy(model(x[i]), y[i], ignore_index=-100).item() for i in range(5)
    ]
    assert loss.per_sample(loss.w0).tolist() == pytest.approx(by_hand, rel=1e-12)
    naive = several(model(x), y).flatten(1).mean(1)
    assert abs(float(naive.mean()) - loss.value(loss.w0, 5).item()) > 0.1


def test_class_weights_multiply_and_are_not_divided_out(c):
    """As the message says: L_k is the plain mean of weighted losses, PyTorch's mean is another."""
    weight = torch.tensor([1.0, 3.0], **F64)
    loss = build(c, loss_fn=nn.CrossEntropyLoss(weight, reduction="none"))
    plain = cross_entropy(c.model(c.x), c.y) * weight[c.y]
    assert loss.value(c.w, 6).item() == pytest.approx(plain.mean().item(), rel=1e-12)
    divided = nn.CrossEntropyLoss(weight)(c.model(c.x), c.y).item()
    assert divided == pytest.approx(plain.sum().item() / weight[c.y].sum().item())


# -- a step that is no number --------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-30, 1e-160, 1e-200, 1e150, 1e200])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("damping", [0.0, 0.1])
@pytest.mark.parametrize("relative", [False, True])
def test_the_spectral_step_of_tiny_and_huge_gradients(size, alpha, damping, relative):
    """Against the scalar formula in whole-number arithmetic of powers, by logarithms."""
    G = torch.diag(torch.tensor([size, size / 4], **F64))
    step = spectral_newton_step(G, alpha, damping, relative=relative)

    def scalar(s):
        d = damping * (Decimal(size) ** Decimal(alpha) if relative else 1)
        return Decimal(s) / (Decimal(s) ** Decimal(alpha) + Decimal(d))

    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 40, -100_000, 100_000
        damping = Decimal(damping)
        for j, s in enumerate((size, size / 4)):
            assert float(step[j, j]) == pytest.approx(float(scalar(s)), rel=1e-10)


def test_a_step_beyond_the_numbers_is_refused_and_nothing_moves():
    small, large = (nn.Parameter(torch.eye(2) * s) for s in (1.0, 2.0))
    bias = nn.Parameter(torch.ones(2))
    optimizer = SpectralNewton([small, bias, large], alpha=2.0, damping=0.0, momentum=0.5)
    small.grad, large.grad, bias.grad = torch.eye(2), 1e-44 * torch.eye(2), torch.ones(2)
    with pytest.raises(ValueError, match="alpha = 2 and damping = 0, modes between") as refused:
        optimizer.step()
    assert "torch.float32" in str(refused.value)
    assert torch.equal(small.data, torch.eye(2)) and torch.equal(large.data, 2 * torch.eye(2))
    assert torch.equal(bias.data, torch.ones(2)) and not optimizer.state[small]
