"""Problems where everything is known: quadratics and regressions with exact Hessians.

Each toy gives the parts of an `EmpiricalLoss` (`EmpiricalLoss(*toy.parts)`) and, computed by
matrix algebra and never by automatic differentiation, its exact Hessians and minimisers: the
oracles of the tests and the known answers of the notebooks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from landscape_nb.numerics import checks


class Parts(NamedTuple):
    """What `EmpiricalLoss` takes: model, loss_fn, inputs, targets."""

    model: nn.Module
    loss_fn: Callable[[Tensor, Tensor], Tensor]
    inputs: Tensor
    targets: Tensor


def _as_is(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs


class _QuadraticModule(nn.Module):
    """The i-th output is l_i(w) itself; the input is the sample's index."""

    e: Tensor
    b: Tensor
    A: Tensor

    def __init__(self, e: Tensor, b: Tensor, A: Tensor, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w.clone())
        self.register_buffer("e", e)
        self.register_buffer("b", b)
        self.register_buffer("A", A)

    def forward(self, index: Tensor) -> Tensor:
        Aw = self.A[index] @ self.w
        return self.e[index] + self.b[index] @ self.w + (Aw * self.w).sum(-1) / 2


@dataclass(frozen=True, eq=False)
class Quadratics:
    """n quadratic samples, l_i(w) = e_i + b_i'w + w'A_i w / 2.

    Attributes:
        e: (n,), values at w = 0.
        b: (n, N), gradients at w = 0.
        A: (n, N, N), symmetric Hessians, the same at every w.
    """

    e: Tensor
    b: Tensor
    A: Tensor

    @property
    def parts(self) -> Parts:
        """Model (started at w = 0), loss_fn, inputs and targets for `EmpiricalLoss`."""
        n, N = self.b.shape
        w = torch.zeros(N, dtype=self.b.dtype)
        index = torch.arange(n)
        return Parts(_QuadraticModule(self.e, self.b, self.A, w), _as_is, index, index)

    def hessian(self, k: int) -> Tensor:
        """H^(k), exact, (N, N)."""
        return self.A[:k].mean(0)

    def minimiser(self, k: int) -> Tensor:
        """w_k*, exact, (N,); the stationary point if H^(k) is indefinite."""
        return torch.linalg.solve(self.hessian(k), -self.b[:k].mean(0))


def quadratics(
    n: int,
    N: int,
    *,
    eigenvalues: Sequence[float] | None = None,
    spread: float = 0.5,
    shared_eigenvectors: bool = False,
    shift: float = 0.3,
    generator: torch.Generator | None = None,
) -> Quadratics:
    """Random quadratic samples around a common spectrum.

    Sample i has the Hessian A_i = Q_i diag(lambda * (1 + spread * t_i)) Q_i', t_i uniform in
    (-1, 1), its own minimum at shift * normal / sqrt(N) and its own value there. With
    `shared_eigenvectors` all Q_i are one rotation, the case in which KG26's Corollary 4 is exact.

    Args:
        n: number of samples.
        N: number of parameters.
        eigenvalues: mean spectrum, length N; 1, 1/2, 1/3, ... if not given.
        spread: relative variation of each eigenvalue from sample to sample, 0..1.
        shared_eigenvectors: one rotation for all samples, or a different one near it for each.
        shift: distance of the samples' minima from the origin, about.
        generator: randomness; None means seed 0.

    >>> toy = quadratics(4, 2, eigenvalues=[3.0, 1.0], spread=0.0, shared_eigenvectors=True)
    >>> torch.linalg.eigvalsh(toy.hessian(4)).round(decimals=9).tolist()
    [1.0, 3.0]
    """
    generator = generator or torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    spectrum = 1.0 / torch.arange(1, N + 1, dtype=torch.float64)
    if eigenvalues is not None:
        spectrum = torch.as_tensor(eigenvalues, dtype=torch.float64)
        if spectrum.shape != (N,):
            raise ValueError(
                f"eigenvalues must hold N = {N} numbers, one for each direction; got "
                f"{tuple(spectrum.shape)}."
            )
    Q = torch.linalg.qr(normal(N, N)).Q.expand(n, N, N)
    if not shared_eigenvectors and n > 1:
        Q = torch.linalg.qr(Q + 0.3 / N**0.5 * normal(n, N, N)).Q
    t = 2 * torch.rand(n, N, generator=generator, dtype=torch.float64) - 1
    d = spectrum * (1 + spread * t) if n > 1 else spectrum.expand(1, N)
    A = Q @ (d[:, :, None] * Q.mT)
    A = (A + A.mT) / 2
    centre = shift / N**0.5 * normal(n, N)
    b = -(A @ centre[:, :, None])[:, :, 0]
    e = normal(n).square() - (b * centre).sum(1) / 2
    return Quadratics(e, b, A)


def symmetric_matrix(
    eigenvalues: ArrayLike, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A symmetric matrix Q diag(eigenvalues) Q' with random perpendicular eigenvectors.

    Args:
        eigenvalues: (N,), at least one, all finite.
        generator: source of the eigenvectors: those of a random orthogonal matrix.

    Returns:
        The matrix (N, N), symmetric up to rounding, and Q, whose columns are the eigenvectors in
        the order of the eigenvalues; float64.

    Raises:
        ValueError: no eigenvalues, or one that is not finite.

    >>> A, Q = symmetric_matrix([3.0, -5.0], generator=torch.Generator().manual_seed(0))
    >>> torch.linalg.eigvalsh(A).round(decimals=9).tolist()
    [-5.0, 3.0]
    """
    values = torch.as_tensor(eigenvalues, dtype=torch.float64)
    if values.ndim != 1 or not len(values) or not torch.isfinite(values).all():
        raise ValueError(
            "eigenvalues must be a list of finite numbers, at least one; got "
            f"{checks.shown(values.tolist())}."
        )
    draws = torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)
    Q = torch.linalg.qr(draws).Q
    return (Q * values) @ Q.T, Q


@dataclass(frozen=True, eq=False)
class Regression:
    """A linear model f = W x under squared, logistic or softmax loss, with its exact Hessian.

    Attributes:
        kind: "linear", "logistic" or "softmax".
        X: (n, p), inputs.
        y: targets: (n,) numbers, 0/1 labels or class labels.
        classes: number of outputs, C; 1 except for softmax.
    """

    kind: str
    X: Tensor
    y: Tensor
    classes: int = 1

    @property
    def parts(self) -> Parts:
        """Model (started at 0), loss_fn, inputs and targets for `EmpiricalLoss`."""
        model = nn.Linear(self.X.shape[1], self.classes, bias=False).to(self.X.dtype)
        nn.init.zeros_(model.weight)
        return Parts(model, _REGRESSION_LOSSES[self.kind], self.X, self.y)

    def hessian(self, w: Tensor, k: int) -> Tensor:
        """H^(k)(w), exact, (N, N): the mean of (curvature in the outputs) x (x x')."""
        X = self.X[:k]
        Z = X @ w.view(self.classes, -1).T
        match self.kind:
            case "linear":
                curvature = torch.ones(k, 1, 1, dtype=X.dtype)
            case "logistic":
                p = torch.sigmoid(Z)
                curvature = (p * (1 - p))[:, :, None]
            case _:
                p = torch.softmax(Z, dim=1)
                curvature = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        H = torch.einsum("icd,ip,iq->cpdq", curvature, X, X) / k
        return H.reshape(w.numel(), w.numel())

    def minimiser(self, k: int) -> Tensor:
        """Least squares solution of the first k samples; linear regression only."""
        if self.kind != "linear":
            raise ValueError(
                f"Only linear regression has a closed form; got kind = '{self.kind}'. Use fit."
            )
        return torch.linalg.lstsq(self.X[:k], self.y[:k, None]).solution[:, 0]


def _squared(f: Tensor, y: Tensor) -> Tensor:
    return (f[:, 0] - y).square() / 2


def _logistic(f: Tensor, y: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(f[:, 0], y, reduction="none")


def _softmax(f: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(f, y, reduction="none")


_REGRESSION_LOSSES = {"linear": _squared, "logistic": _logistic, "softmax": _softmax}


def noisy_line(n: int, *, noise: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """N points around the line y = 0.8 x + 0.5, with x in -2..2 and Gaussian noise: (n, 1) each."""
    x = 4 * torch.rand(n, 1, generator=generator, dtype=torch.float64) - 2
    y = 0.8 * x + 0.5 + noise * torch.randn(n, 1, generator=generator, dtype=torch.float64)
    return x, y


def linear_regression(n: int, p: int, *, generator: torch.Generator) -> Regression:
    """Gaussian inputs, a random true slope and unit noise; Hessian X'X/k."""
    X = torch.randn(n, p, generator=generator, dtype=torch.float64)
    slope = torch.randn(p, generator=generator, dtype=torch.float64)
    y = X @ slope + torch.randn(n, generator=generator, dtype=torch.float64)
    return Regression("linear", X, y)


def logistic_regression(n: int, p: int, *, generator: torch.Generator) -> Regression:
    """Gaussian inputs and labels drawn from a logistic model; Hessian X' diag(s(1-s)) X / k."""
    X = torch.randn(n, p, generator=generator, dtype=torch.float64)
    slope = torch.randn(p, generator=generator, dtype=torch.float64)
    chance = torch.sigmoid(X @ slope)
    y = torch.bernoulli(chance, generator=generator)
    return Regression("logistic", X, y)


def softmax_regression(n: int, p: int, classes: int, *, generator: torch.Generator) -> Regression:
    """Gaussian inputs and random labels; Hessian mean of (diag(p) - pp') x (xx')."""
    X = torch.randn(n, p, generator=generator, dtype=torch.float64)
    y = torch.randint(classes, (n,), generator=generator)
    return Regression("softmax", X, y, classes)
