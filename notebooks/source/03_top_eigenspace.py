# %% [markdown]
# # 03 Top eigenspace
#
# **How do you find the top of a spectrum you can't write down?**
#
# The most sharply curved directions of a loss landscape are eigenvectors of its *Hessian*, the
# matrix of second derivatives. They are everywhere in this course: as a probe in
# [notebook 04](04_mlp_stabilization.ipynb), as the outliers of a spectrum, as the directions that
# limit a learning rate. But a network's Hessian is too large to be written down. So how do you find
# its largest eigenvalues, and how do you *know* that you found them?
#
# The question is practical. The paper that this course follows (Kiselev and Grabovoy, arXiv
# 2604.14870; **KG26** in what follows) finds its eigenvectors by *power iteration*, and in its own
# timings that step takes longer than all others together. We shall watch that method fail, see why,
# and meet the one that replaces it. You need calculus and a little linear algebra.

# %%
import time

import numpy as np
import torch

import landscape_nb as ln
from landscape_nb import plots
from landscape_nb.cost import Cost
from landscape_nb.course import reveal_choice, reveal_curve, reveal_number
from landscape_nb.widgets import PictureSlider, SaveMyWork

torch.set_num_threads(1)
cost = Cost()
verdicts = {}  # claim -> does it hold? We fill this in as we go
F64 = torch.float64


def seeded(seed):
    """A source of random numbers that gives the same ones each time."""
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# ## Words
#
# - **Parameters** $w \in \mathbb{R}^N$, **loss** $L(w)$, **gradient** $g(w)$: the $N$ first
#   derivatives.
# - **Hessian** $H$: the $N \times N$ matrix of second derivatives. It is symmetric.
# - **Eigenvector** $u$ and **eigenvalue** $\lambda$: a unit direction that $H$ only stretches, $Hu
#   = \lambda u$, and by how much. $\lambda$ is the curvature along $u$: positive in a valley,
#   negative on a ridge. A symmetric matrix has $N$ of them, and their eigenvectors are
#   perpendicular.
# - **Spectrum**: all $N$ eigenvalues. Its **top** are the *algebraically* largest ones: 2 is above
#   -5, though it is smaller in size.
# - **Residual** of a claimed pair $(\lambda, u)$: $|Hu - \lambda u|$. It is zero for an exact one,
#   and it can be computed *without knowing the answer*.
# - **Product**: $Hv$ for some vector $v$. We count the work in products.
# - **Trace** $\operatorname{tr} H$: the sum of the diagonal, which is also the sum of all
#   eigenvalues.
#
# *Pictures and their sentences quote what was measured in this run. The lines that end in True or
# False, and the numbers from matrices that we build ourselves, are compared by the notebook's test
# on every machine.*
#
# ## 1. A matrix that you can't have
#
# Our network is small: 64 inputs, 16 hidden units, 10 outputs, for handwritten digits. We train it
# for a hundred steps of gradient descent, and stop there, in the middle of training.

# %%
x, y = ln.data.digits(500, seed=0)


def digits_loss(dtype):
    """The mean loss of 500 digits; the first weights are always the same."""
    model = ln.models.MLP([64, 16, 10], generator=seeded(0), dtype=dtype)
    per_sample = torch.nn.CrossEntropyLoss(reduction="none")
    return ln.EmpiricalLoss(model, per_sample, x.to(dtype), y)


loss, k = digits_loss(F64), 500
w = ln.gradient_descent(loss, k, lr=0.5, steps=100, every=100).w
N = loss.num_params
print(f"N = {N} parameters; a Hessian in float64 takes {8e-6 * N**2:.0f} million bytes")
print(f"N = ten million: {8e-12 * 1e7**2:.0f} TB")

# %% [markdown]
# Twelve million bytes are nothing. So for *this* network we write $H$ down and find all its
# eigenvalues: they are the truth against which everything below is measured. At ten million
# parameters the matrix alone would fill 800 large disks, and its eigenvalues would never be
# finished.
#
# What you *can* have, for any network, is the product $Hv$. The rest of this notebook knows $H$
# through products only.

# %%
H = loss.hessian(w, k)  # the luxury of a small network
true_values, true_vectors = (part.flip(-1) for part in torch.linalg.eigh(H))
print("H is symmetric:", bool((H - H.T).abs().max() < 1e-12))
print("there are negative eigenvalues, so this is no minimum:", bool(true_values[-1] < -1e-3))

# %% [markdown]
# Many eigenvalues should be exactly zero. A pixel that is blank in every image makes its 16 weights
# useless. And adding the same number to all ten outputs changes no probability: that makes 16 + 1
# more directions, one for each hidden unit and one for the biases.

# %%
blank = int((x == 0).all(0).sum())
zeros = int((true_values.abs() < 1e-12).sum())
print("at least as many zeros as blank pixels and equal outputs explain:", zeros >= 16 * blank + 17)

# %% tags=["nbval-ignore-output"]
print("largest eigenvalues: ", ", ".join(f"{v:.2f}" for v in true_values[:8]))
print("smallest eigenvalues:", ", ".join(f"{v:.3f}" for v in true_values[-4:]))
print(f"zeros: {zeros} of {N}; {blank} blank pixels explain {16 * blank}, equal outputs 17")

# %% [markdown]
# ## 2. The product $Hv$, three ways
#
# - **Write $H$ down** and multiply. It costs $N$ products to get $H$ in the first place.
# - **Differences.** $Hv$ is how fast the gradient changes along $v$:
#   $$Hv \approx \frac{g(w + hv) - g(w - hv)}{2h}.$$ Two gradients, and a step $h$ to be chosen.
# - **Differentiate twice.** $Hv$ is the gradient of the *number* $g(w)^\top v$. One more backward
#   pass gives it, with no step and no approximation. This is what `loss.hvp` does.
#
# Differences have two enemies. A large $h$ makes a *truncation* error: the next term of the Taylor
# series, proportional to $h^2$. A small $h$ makes a *rounding* error: two nearly equal gradients
# are subtracted, each with a relative error of about $\varepsilon$ (the machine precision, $2 \cdot
# 10^{-16}$ in float64 and $10^{-7}$ in float32), and this error is divided by $h$.
#
# **Predict.** Truncation $h^2$ against rounding $\varepsilon/h$: they are equal at $h =
# \varepsilon^{1/3}$. How small can the error become? Write your guess for the *exponent* $p$ in
# $\varepsilon^p$. And sketch the relative error in float64 over the step, at three or more steps.

# %% tags=["predict-differences"]
p_guess = 1.0
error_sketch = {1e-9: 1e-9, 1e-5: 1e-5, 1.0: 1.0}  # step h: relative error; "smaller is better"

# %%
h = torch.logspace(-9, 0, 28, dtype=F64)
directions = torch.nn.functional.normalize(torch.randn(3, N, generator=seeded(1), dtype=F64))
errors, autodiff = {}, {}
for dtype in (F64, torch.float32):
    f, at = digits_loss(dtype), w.to(dtype)
    errors[dtype], autodiff[dtype] = [], []
    for v in directions:
        exact, u = H @ v, v.to(dtype)
        off = [(f.gradient(at + s * u, k) - f.gradient(at - s * u, k)) / (2 * s) for s in h]
        errors[dtype].append([float((d - exact).norm() / exact.norm()) for d in off])
        autodiff[dtype].append(float((f.hvp(at, u, k) - exact).norm() / exact.norm()))
errors = {dtype: np.array(rows) for dtype, rows in errors.items()}

# %% tags=["nbval-ignore-output"]
figure, ax = plots.new_figure(width=6.4)
plots.spread(ax, h, errors[F64], "float64", color=plots.BLUE, marker="o", label=None)
plots.spread(ax, h, errors[torch.float32], "float32", color=plots.ORANGE, marker="s", label=None)
for dtype, colour in ((F64, plots.BLUE), (torch.float32, plots.ORANGE)):
    ax.axhline(np.mean(autodiff[dtype]), color=colour, linestyle="--", linewidth=1.2)
ax.text(2, 1e-15, "twice differentiated, float64", color=plots.BLUE, ha="right", va="bottom")
ax.text(5e-6, 3e-7, "twice differentiated, float32", color=plots.BLACK, ha="center", va="bottom")
ax.text(1.5e-9, 1e-1, "differences, float32", color=plots.BLACK, va="top")
ax.text(1.5e-9, 2e-9, "differences,\nfloat64", color=plots.BLUE, va="top")
plots.log_log(ax, "step h", "relative error of $Hv$", "Two enemies make a V")
ax.set_ylim(1e-16, 1e3)
best = {dtype: rows.mean(0).min() for dtype, rows in errors.items()}
plots.show(figure, f"Each V has its bottom near the cube root of the precision. There the difference is off "
    f"by {best[F64]:.0e} in float64 and {best[torch.float32]:.0e} in float32. Differentiating twice (dashed) "
    f"is off by {np.mean(autodiff[F64]):.0e} and {np.mean(autodiff[torch.float32]):.0e}: nothing but rounding.")  # fmt: skip


# %%
def slope(x, y):
    """Slope of a straight line through the points on log-log axes."""
    return float(np.polyfit(np.log(np.asarray(x)), np.log(np.asarray(y)), 1)[0])


mean64 = errors[F64].mean(0)
falling, rising = slope(h[:10], mean64[:10]), slope(h[18:25], mean64[18:25])
print(f"float64, right side: slope {rising:.1f} (truncation, h^2)")
print("float64, left side: slope within 0.3 of -1 (rounding):", abs(falling + 1) < 0.3)
for dtype in (F64, torch.float32):
    eps = torch.finfo(dtype).eps
    at = h[errors[dtype].mean(0).argmin()]
    print(
        f"{dtype}: best h within a factor of 10 of eps^(1/3):", bool(0.1 < at / eps ** (1 / 3) < 10)
    )
    print(f"{dtype}: best error within a factor of 30 of eps^(2/3):",
          bool(1 / 30 < best[dtype] / eps ** (2 / 3) < 30))  # fmt: skip

# %% tags=["nbval-ignore-output"]
precisions = np.array([torch.finfo(dtype).eps for dtype in errors])
bottoms = np.array([rows.min(1) for rows in errors.values()])  # (precision, direction v)
p_found = np.log(bottoms[0] / bottoms[1]) / np.log(precisions[0] / precisions[1])
reveal_number("The exponent p, from the bottoms of both V", p_guess, p_found)
reveal_curve("Relative error, float64", error_sketch, h, errors[F64], xlabel="step h")

# %% [markdown]
# At best, differences keep two thirds of the digits. In float64 that is plenty, *if* you know the
# best $h$; in float32, the usual precision of networks, it leaves four digits. Differentiating
# twice keeps nearly all, and has nothing to choose. What does it cost?

# %% tags=["nbval-ignore-output"]
operator = loss.hessian_operator(w, k)


def seconds(action, repeats=15):
    """The median time of an action."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


v = directions[0]
one = seconds(lambda: loss.gradient(w, k))
ways = {"differences": 2 * one, "twice differentiated, from scratch": seconds(lambda: loss.hvp(w, v, k)),
        "twice differentiated, first pass kept": seconds(lambda: operator(v)),
        "H written down first": seconds(lambda: loss.hessian(w, k), 1)}  # fmt: skip
for name, spent in ways.items():
    print(f"{name:38}{spent / one:6.1f} gradients")

# %% [markdown]
# A product costs a few gradients, whatever $N$ is; the written-down $H$ costs hundreds, and
# more for every further parameter. (Times on a shared machine are rough.)
#
# ## 3. Power iteration, and three ways in which it fails
#
# The oldest idea: multiply a random vector by $H$ again and again. Each product stretches its
# component along $u_i$ by $\lambda_i$, so the component with the largest $|\lambda_i|$ wins. For
# the next eigenvector, *deflate*: subtract $\lambda uu^\top$, so that the one just found is gone,
# and start again.
#
# This is the method of KG26's published code, in our own words. It takes 30 steps for each pair at
# most, and stops when the eigenvalue changes by less than $10^{-4}$ of itself. It reads the
# eigenvalue as the length $|Hv|$.


# %%
def published(H, D, generator, steps=30, tol=1e-4, orthogonal=False):
    """D eigenpairs by deflated power iteration: values, vectors."""
    values, V = torch.zeros(0, dtype=F64), torch.zeros(len(H), 0, dtype=F64)
    for _ in range(D):
        v = torch.randn(len(H), generator=generator, dtype=F64)
        v, value = v / v.norm(), float("inf")
        for _ in range(steps):
            Hv = H @ v - V @ (values * (V.T @ v))  # deflated
            if orthogonal:  # not in the published code: stay perpendicular to those found before
                Hv = Hv - V @ (V.T @ Hv)
            before, value = value, Hv.norm()
            v = Hv / value
            if abs(value - before) <= tol * value:
                break
        values, V = torch.cat([values, value[None]]), torch.cat([V, v[:, None]], dim=1)
    return values, V


# %% [markdown]
# ### (a) A negative eigenvalue
#
# A test with a known answer: a matrix with the eigenvalues 3, 2, -5, 1, 0.5 and random
# eigenvectors. **Predict.** The three largest eigenvalues are 3, 2 and 1. What will the method
# return: `(3, 2, 1)`, `(5, 3, 2)`, `(-5, 3, 2)` or `(5, 10, 20)`?

# %% tags=["predict-negative"]
prediction = (3, 2, 1)

# %%


def with_spectrum(values, seed=0):
    """A symmetric matrix with these eigenvalues and random perpendicular eigenvectors (columns)."""
    values = torch.as_tensor(values, dtype=F64)
    G = torch.randn(len(values), len(values), generator=seeded(seed), dtype=F64)
    Q = torch.linalg.qr(G).Q
    return (Q * values) @ Q.T, Q


# %%
A, Q = with_spectrum([3, 2, -5, 1, 0.5])
values, V = published(A, 3, seeded(0))
print("the method returns:", ", ".join(f"{value:.1f}" for value in values))
print("overlap of its second and third vector with the first:",
      ", ".join(f"{abs(V[:, 0] @ V[:, j]):.2f}" for j in (1, 2)))  # fmt: skip
returned = tuple(round(float(value)) for value in values)
options = [(3, 2, 1), (5, 3, 2), (-5, 3, 2), (5, 10, 20)]
reveal_choice("What does the method return?", tuple(prediction), returned, options)
verdicts["published power iteration finds 3, 2, 1"] = bool(abs(values[0] - 3) < 0.1)

# %% [markdown]
# None of the three is right: 5 has the wrong sign, 10 and 20 are no eigenvalues at all, and all
# three vectors are the same one, up to sign. Watch the curvature along $u$ with $Hu = -5u$ while
# the method deflates.

# %%
u, deflated = Q[:, 2], A.clone()
for j in range(3):
    print(
        f"curvature along u: {u @ deflated @ u:6.1f}   the method finds {values[j]:.0f} and subtracts it"
    )
    deflated = deflated - values[j] * torch.outer(V[:, j], V[:, j])

# %% [markdown]
# 1. Power iteration follows the largest $|\lambda|$. That is $-5$.
# 2. It reads $|Hv| = 5$. A length has no sign: the minus is lost.
# 3. Deflation subtracts $+5$ from a curvature of $-5$. The direction is not removed. It has $-10$
#    now, and wins again.
# 4. Nothing asks whether the new vector is perpendicular to the old one. It *is* the old one.
#
# On a real network? Before training, a network has many negative curvatures.

# %%
H_start = loss.hessian(loss.w0, k)
start_values = torch.linalg.eigvalsh(H_start).flip(0)
values, V = published(H_start, 10, seeded(0))
wrong = int(((values - start_values[:10]).abs() > 0.01 * start_values[:10]).sum())
curvature = (V * (H_start @ V)).sum(0)  # v'Hv tells the sign that |Hv| hides
print("some of the 10 values are wrong by more than 1 %:", wrong > 0)
print("some of the 10 directions curve downwards:", bool((curvature < 0).any()))

# %% tags=["nbval-ignore-output"]
print("true top 10: ", ", ".join(f"{v:.3f}" for v in start_values[:10]))
print("method says: ", ", ".join(f"{v:.3f}" for v in values))
print("true v'Hv:   ", ", ".join(f"{v:.3f}" for v in curvature))
print("wrong by more than 1 %:", wrong, "of 10")

# %% [markdown]
# Most values look plausible. But the last direction found is a *ridge*, sold as a valley. Over four
# networks and four random starts each, between one and six of the ten values were wrong before
# training, and between none and four after our hundred steps. Which ones, depends on the random
# start.
#
# ### (b) Close eigenvalues
#
# Are negative eigenvalues the only problem? A kind matrix now: a hundred positive eigenvalues $1,
# 0.95, 0.95^2, \dots$ The method still does not keep its vectors perpendicular. We run it as
# published, then with vectors *forced* to be perpendicular, then with 300 steps and no early stop.
#
# **Predict.** Which of the two changes repairs it?

# %% tags=["predict-repair"]
repairs_guess = "perpendicular"  # or "steps"

# %%
exact = 0.95 ** torch.arange(100, dtype=F64)
A, Q = with_spectrum(exact, 1)
variants = {
    "as published": published(A, 10, seeded(0)),
    "perpendicular": published(A, 10, seeded(0), orthogonal=True),
    "steps": published(A, 10, seeded(0), steps=300, tol=0),
}
print("                overlap   worst value off by   share of the true top-10 space")
for name, (values, V) in variants.items():
    overlap = (V.T @ V - torch.eye(10)).abs().max()
    off = (values / exact[:10] - 1).abs().max()
    share = (Q[:, :10].T @ torch.linalg.qr(V).Q).square().sum() / 10
    print(f"{name:14}  {overlap:7.3f}   {100 * off:17.2f} %   {share:.3f}")
worst = {name: float((found / exact[:10] - 1).abs().max()) for name, (found, _) in variants.items()}
repairs = min(("perpendicular", "steps"), key=worst.get)
reveal_choice("Which change repairs it?", repairs_guess, repairs, ["perpendicular", "steps"])

# %%
figure, ax = plots.new_figure(width=6.2)
index = range(1, 11)
plots.curve(
    ax, index, exact[:10], "true", color=plots.BLACK, marker="_", markersize=14, linestyle="none"
)
looks = {"as published": ("s", plots.ORANGE, -0.15), "perpendicular": ("v", plots.PURPLE, 0.15),
         "steps": ("o", plots.BLUE, 0.0)}  # fmt: skip
for name, (marker, colour, shift) in looks.items():
    x_at, label = [i + shift for i in index], "300 steps" if name == "steps" else name
    plots.curve(ax, x_at, variants[name][0], label, color=colour, marker=marker, linestyle="none",
                fillstyle="none" if name == "steps" else "full", markersize=8 if name == "steps" else 5)  # fmt: skip
ax.set(
    xlabel="pair, in the order found", ylabel="eigenvalue", xticks=list(index), ylim=(0.55, 1.05)
)
ax.legend(frameon=False)
first = variants["as published"][0]
plots.show(figure, f"With 30 steps the first value found is {first[0]:.3f} and the second {first[1]:.3f}: neither is "
    "the largest, which is 1, and the order is wrong. Forcing the vectors apart changes almost nothing. With 300 "
    "steps every circle sits on its mark.")  # fmt: skip

# %% [markdown]
# The lost perpendicularity is a symptom here, not the illness: an overlap of a few percent, and
# forcing it to zero gives vectors that are perpendicular and *still wrong*. The illness is that 30
# steps cannot separate 1 from 0.95: the ratio of the two components grows by $1/0.95$ a step, so 30
# steps gain a factor of $0.95^{-30} \approx 5$. Three hundred would do, at 300 products for each
# pair.
#
# ### (c) The stopping rule looks at the wrong number
#
# Why did the method stop without noticing? Because it watches how much the *eigenvalue* changes.
# Suppose that the vector is still tilted by a small angle $\theta$ from the eigenvector. Its
# eigenvalue is then off by about $\theta^2$ times the gap, but its residual by $\theta$ times the
# gap. The eigenvalue hides the tilt; and where progress is slow, its *change* is smaller still.
#
# We follow the first pair of a matrix with eigenvalues $1$, $0.99$ and a lower rest.

# %%
A, _ = with_spectrum([1, 0.99] + torch.linspace(0.9, 0, 98).tolist(), 2)
v = torch.randn(100, generator=seeded(3), dtype=F64)
history = []
for _ in range(600):
    v = v / v.norm()
    Av = A @ v
    history.append([Av.norm(), (Av - (v @ Av) * v).norm()])
    v = Av
value, residual = torch.tensor(history, dtype=F64).T
error, change = 1 - value, value.diff().abs() / value[1:]
stop = int((change < 1e-4).nonzero()[0]) + 1
print(f"the rule stops after {stop + 1} products: change {change[stop - 1]:.0e}, error {error[stop]:.0e},",
      f"residual {residual[stop]:.0e}")  # fmt: skip
print(f"power of the residual in the error, late: {slope(residual[300:], error[300:]):.1f}")
verdicts["a settled eigenvalue is a correct eigenvalue"] = bool(error[stop] < 1e-4)

# %%
figure, ax = plots.new_figure(width=6.4)
steps = torch.arange(1, 601)
plots.curve(ax, steps, residual, "top", markevery=60, label="residual")
plots.curve(ax, steps, error, "total", markevery=60, label="true error of the eigenvalue")
plots.curve(ax, steps[1:], change, "random", markevery=60, label="its change in one step")
ax.axhline(1e-4, color=plots.GREY, linewidth=0.8, linestyle=":")
ax.axvline(stop + 1, color=plots.VERMILLION, linewidth=1)
ax.text(stop + 8, 2e-10, "the rule\nstops here", color=plots.VERMILLION)
ax.text(600, 1.2e-4, "tolerance", color=plots.GREY, ha="right", va="bottom")
ax.set(yscale="log", xlabel="products", ylabel="size", ylim=(1e-10, 2))
ax.legend(frameon=False, loc="upper right", ncols=1, fontsize=8)
plots.show(figure, f"After {stop + 1} products the change of the eigenvalue dips below the tolerance and the rule "
    f"stops. The true error is {error[stop] / change[stop - 1]:.0f} times larger than the change, and the residual, {residual[stop]:.0e}, "
    f"is {residual[stop] / 1e-4:.0f} times the tolerance: it would have said no. Later the error falls twice as steeply as the residual.")  # fmt: skip

# %% [markdown]
# Three lessons. Look for the *algebraically* largest values, not the largest in size. Judge a pair
# by its *residual*, which needs no knowledge of the answer. And do not throw away what earlier
# products said, which is the idea of the next section.
#
# ## 4. Lanczos: keep every product
#
# Power iteration looks at the last vector only. **Lanczos** (1950) looks for the best eigenvector
# in the space of *all* vectors so far, the *Krylov space* of $q, Hq, H^2q, \dots, H^{m-1}q$. Two
# small miracles make it cheap. In a suitable perpendicular basis $q_1, \dots, q_m$ the matrix $T =
# Q^\top HQ$ has only three diagonals; so each new vector need only be made perpendicular to the
# last two. And $T$ is small: its eigenvalues, called **Ritz values**, are approximate eigenvalues
# of $H$.


# %%
def lanczos(apply, q, m, keep):
    """T (m, m) and the basis (m, N); keep: subtract all earlier vectors, not only the last two."""
    Q, alpha, beta = [q / q.norm()], [], []
    for j in range(m):
        z = apply(Q[j])
        if j > 0:
            z = z - beta[-1] * Q[j - 1]
        alpha.append(Q[j] @ z)
        z = z - alpha[-1] * Q[j]
        for _ in range(2 if keep else 0):  # twice is enough, once is not always
            B = torch.stack(Q)
            z = z - B.T @ (B @ z)
        beta.append(z.norm())
        Q.append(z / beta[-1])
    off = torch.stack(beta[:-1]).diag(1) if m > 1 else torch.zeros(1, 1)
    return (torch.stack(alpha).diag() + off + off.T).double(), torch.stack(Q[:-1]).double()


# %% [markdown]
# In exact arithmetic, three terms suffice. **Predict.** A matrix has the eigenvalues 10, 7, 5 and
# 297 more between 0 and 2. We run 90 steps in float32. How many of the Ritz values will be close to
# 10?

# %% tags=["predict-copies"]
copies_guess = 1

# %%
A, _ = with_spectrum([10, 7, 5] + torch.linspace(0, 2, 297).tolist(), 1)
q = torch.randn(300, generator=seeded(0), dtype=F64)
A32, q32 = A.float(), q.float()
runs = {keep: lanczos(lambda v: A32 @ v, q32, 90, keep) for keep in (False, True)}
ritz = {
    keep: [torch.linalg.eigvalsh(T[:m, :m]) for m in range(1, 91)] for keep, (T, _) in runs.items()
}
copies = {keep: int((ritz[keep][-1] > 9.9).sum()) for keep in runs}
verdicts["three-term Lanczos finds each eigenvalue once (float32)"] = copies[False] == 1
verdicts["re-orthogonalised Lanczos finds each eigenvalue once (float32)"] = copies[True] == 1
print("three terms only: more than five copies of 10:", copies[False] > 5)
print("every vector kept perpendicular, copies of 10:", copies[True])

# %% tags=["nbval-ignore-output"]
reveal_number("Ritz values close to 10, with three terms", copies_guess, copies[False])

# %% tags=["nbval-ignore-output"]
figure, axes = plots.new_figure(3, width=3.4, height=3.8)
for ax, keep, look in ((axes[0], False, "random"), (axes[1], True, "top")):
    tops = [top[top > 2.01] for top in ritz[keep]]
    steps = np.repeat(range(1, 91), [len(top) for top in tops])
    ax.plot(steps, torch.cat(tops), ".", markersize=2.5, color=plots.LOOKS[look]["color"])
    ax.axhspan(0, 2, color=plots.GREY, alpha=0.25, linewidth=0)
    ax.text(45, 1, "the 297 others", ha="center", va="center")
    for t in (10, 7, 5):
        ax.text(93, t, f"× {int(((ritz[keep][-1] - t).abs() < 0.1).sum())}", va="center")
    ax.set(xlabel="step m", ylabel="Ritz values above 2", ylim=(-0.3, 10.8), xlim=(-2, 107))
    G = (runs[keep][1] @ runs[keep][1].T - torch.eye(90)).abs()
    worst = [max(float(G[:m, :m].max()), 1e-9) for m in range(1, 91)]
    name = ("three terms", "all earlier")[keep]
    plots.curve(axes[2], range(1, 91), worst, look, markevery=10, label=name)
axes[2].set(yscale="log", xlabel="step m", ylabel="largest overlap", ylim=(1e-8, 10))
axes[2].legend(frameon=False, fontsize=8, loc="center right")
for ax, title in zip(axes, ("Three terms", "All earlier vectors", "Perpendicular?")):
    ax.set_title(title, fontsize=10)
plots.show(figure, f"Left: again and again a Ritz value climbs from the bulk to the top, until {copies[False]} of them stand at 10, where there is one "
    "eigenvalue (the numbers at the right count them). Middle: with all vectors kept perpendicular three lines stay three. Right: with three terms, perpendicularity is gone within 20 steps, just when the first Ritz value has converged.")  # fmt: skip

# %% [markdown]
# The copies are called **ghosts**. Rounding puts a trace of the found eigenvector back into $z$;
# nobody removes it; $H$ stretches it more than anything else at each step; soon it is found again.
# Nothing in $T$ warns you. A program that returns "the ten largest Ritz values" would return 10
# many times. The cure costs memory (all $m$ vectors) and a little arithmetic, but no product.
#
# ### An eigenvalue that really is repeated
#
# Now the opposite problem. Make 10 a *fourfold* eigenvalue. Among its eigenvectors only one matters
# to a Krylov space: the projection of $q$ onto their four-dimensional space. So in exact arithmetic
# Lanczos sees 10 once. What a reader would write: run Lanczos, with everything kept perpendicular,
# in float64, until the top three Ritz pairs have residuals below $10^{-4}$.

# %%
A, _ = with_spectrum([10] * 4 + [7, 5] + torch.linspace(0, 2, 294).tolist(), 1)
T, B = lanczos(lambda v: A @ v, q, 60, keep=True)
for m in range(3, 61):
    theta, Y = torch.linalg.eigh(T[:m, :m])
    U = B[:m].T @ Y[:, -3:]
    residuals = (A @ U - U * theta[-3:]).norm(dim=0)
    if residuals.max() < 1e-4:
        break
found = ln.krylov.largest_eigenpairs(lambda V: A @ V, q, 3)
print(f"Lanczos alone, after {m} products:", ", ".join(f"{t:.1f}" for t in theta.flip(0)[:3]))
print("all its residuals are below 1e-4:", bool(residuals.max() < 1e-4))
print("the package:", ", ".join(f"{t:.1f}" for t in found.values))
verdicts["small residuals prove that nothing is missing"] = bool(
    (theta[-3:] - 10).abs().max() < 0.1
)

# %% [markdown]
# Every value that Lanczos returned is a true eigenvalue, and the answer is still wrong: two
# copies of 10 are missing. **A residual proves that what you have is there. It cannot prove that
# nothing is missing.** So after convergence the package starts again from a fresh random vector,
# perpendicular to everything seen, and returns only if this search finds nothing larger. That is
# evidence, not proof, and it costs at least twelve products.
#
# A curious detail: let Lanczos run on, and the copies do arrive.

# %%
copies = [int((torch.linalg.eigvalsh(T[:m, :m]) > 9.9).sum()) for m in range(1, 61)]
print("copies of 10 after 10 steps:", copies[9])
print("more than one after 60:", copies[-1] > 1)

# %% [markdown]
# It is rounding that brings them: an error of $10^{-16}$ in a missing direction, stretched at every
# step. The villain of the last picture is a helper here, but one that comes late and that you
# should not count on.
#
# ## 5. A solver with certificates
#
# `ln.top_eigenpairs` is Lanczos with all of this: every vector kept perpendicular, sums in float64,
# the best vectors kept when memory is full, and the search for copies. It returns what you need in
# order to trust it, or it refuses.

# %%
D = 10
pairs = ln.top_eigenpairs(loss, w, k, D)
off = (pairs.values - true_values[:D]).abs()
print(
    "residuals below 1e-4 of the largest value:",
    bool(pairs.residuals.max() <= 1e-4 * pairs.values[0]),
)
certificate = bool((off <= pairs.residuals + 1e-12).all())
verdicts["each value lies within its residual of a true one"] = certificate
print("each value lies within its residual of a true one:", certificate)
print("fewer than 100 products:", pairs.hvp_count < 100)

# %% tags=["nbval-ignore-output"]
figure, ax = plots.new_figure(width=6.2)
index, floor = range(1, D + 1), 2e-16
spacing = torch.stack([(true_values - t).abs().sort().values[1] for t in true_values[:D]])
squares = pairs.residuals**2 / spacing
plots.curve(
    ax, index, pairs.residuals.clamp_min(floor), "top", label="residual: what the solver promises"
)
plots.curve(
    ax, index, squares.clamp_min(floor), "random", label="residual$^2$ / gap to the next eigenvalue"
)
plots.curve(
    ax, index, off.clamp_min(floor), "total", marker="x", linestyle="none", label="true error"
)
ax.axhspan(1e-16, 1e-14, color=plots.GREY, alpha=0.25, linewidth=0)
ax.text(D, 1.5e-15, "rounding", ha="right", fontsize=8)
ax.set(yscale="log", xlabel="pair", ylabel="size", xticks=list(index), ylim=(1e-16, 1e-2))
ax.legend(frameon=False, loc="upper left", fontsize=8)
plots.show(figure, f"{pairs.hvp_count} products instead of {N}. Above rounding, the true errors (crosses) lie far below the residuals: "
    f"the largest error is {off.max():.0e}, the largest residual {pairs.residuals.max():.0e}. They stay close to the "
    "dashed line, the square of the residual over the gap.")  # fmt: skip

# %% [markdown]
# Why is the residual a promise? Because for a symmetric matrix and *any* unit vector $u$ some
# eigenvalue lies within $|Hu - \theta u|$ of $\theta$. It holds without any assumption. The square
# is a better estimate, but it needs the gap, which you do not know for certain.
#
# One thing to know: the solver reads its residuals from its own small matrices, without a further
# product. For the first pairs these would be *smaller than rounding*. Nobody can vouch for that many
# digits, so it never reports less than one rounding of the largest eigenvalue, the floor of the
# picture.
#
# ### When the solver refuses
#
# Give it too little work to do its job.

# %%
try:
    ln.top_eigenpairs(loss, w, k, D, max_products=20)
    refused, words = False, ""
except ln.ConvergenceError as error:
    refused, words = True, str(error)
print("refused:", refused)
print("it says what to try:", "Raise tol" in words and "max_products" in words)

# %% tags=["nbval-ignore-output"]
print(words.replace(". ", ".\n"))

# %% [markdown]
# Read it aloud, part by part. *How many* pairs failed, and how hard it tried. *By how much*: the
# worst residual beside the allowed one. *What you can do*: accept less accuracy, allow more
# products, or ask for another $D$. And the pairs themselves, in `error.pairs`, so that you can look
# at what it would not vouch for. A wrong number that looks right is worse than none.
#
# ### The directions, not only the values
#
# Eigen*vectors* are more delicate. If two eigenvalues nearly coincide, the matrix hardly knows
# which mixture of their directions comes first. Davis and Kahan (1970) made it precise: let $R$ be
# the matrix of the residual vectors $Hu_i - \lambda_i u_i$. The angle $\theta$ between the subspace
# that was found and the true one obeys
#
# $$\sin\theta \;\le\; \frac{|R|}{\text{gap}},$$
#
# where the gap is the distance from the values that were found to the true ones that were left out.
# In words: **residual over gap is how far the subspace may be tilted.**

# %%
bounds, angles = {}, {}
for d in range(1, 13):
    p = ln.top_eigenpairs(loss, w, k, d, tol=1e-3)
    R = H @ p.vectors - p.vectors * p.values
    bounds[d] = float(torch.linalg.matrix_norm(R, 2) / (p.values[-1] - true_values[d]))
    outside = p.vectors - true_vectors[:, :d] @ (true_vectors[:, :d].T @ p.vectors)
    angles[d] = float(torch.linalg.matrix_norm(outside, 2))
davis_kahan = all(angles[d] <= bounds[d] + 1e-9 for d in bounds)
verdicts["Davis-Kahan: tilt <= residual / gap"] = davis_kahan
print("D = 1 to 12, tilt <= residual / gap:", davis_kahan)

# %% tags=["nbval-ignore-output"]
widest = max(bounds, key=lambda d: true_values[d - 1] - true_values[d])
narrowest = min(bounds, key=lambda d: true_values[d - 1] - true_values[d])
for d in (widest, narrowest):
    print(
        f"D = {d:2d}: gap {true_values[d - 1] - true_values[d]:.4f}, tilt at most {bounds[d]:.0e}, in truth {angles[d]:.0e}"
    )
print(
    f"D = {D}: gap by the solver {pairs.gap:.4f}, in truth {true_values[D - 1] - true_values[D]:.4f}"
)

# %% [markdown]
# The same network, the same tolerance, and two choices of $D$: at the narrow gap the guarantee is
# weaker by far. The truth may be kinder than the guarantee, as it is here; without the dense $H$ you
# would not know. So choose $D$ at a gap when you can. The solver estimates the gap from inside, as
# `pairs.gap`.
#
# ### A warm start, honestly
#
# When the weights move a little, the old eigenvectors should be a good start. **Predict.** Which
# fraction of the products does that save, 20 steps of training later?

# %% tags=["predict-warm-start"]
saving_guess = 0.5

# %%
path = ln.gradient_descent(loss, k, lr=0.5, steps=100, w=w, every=1)
counts, agree = {}, []
for later in (1, 5, 20, 100):
    cold = ln.top_eigenpairs(loss, path.ws[later], k, D)
    warm = ln.top_eigenpairs(loss, path.ws[later], k, D, start=pairs.vectors)
    counts[later] = cold.hvp_count, warm.hvp_count
    agree.append(torch.allclose(cold.values, warm.values, rtol=1e-4))
print("both starts agree on all ten values, at every distance:", all(agree))

# %% tags=["nbval-ignore-output"]
for later, (cold, warm) in counts.items():
    print(f"{later:3d} steps later: cold {cold}, warm {warm} products, saved {1 - warm / cold:.0%}")
saved = 1 - counts[20][1] / counts[20][0]
reveal_number("The fraction of products saved 20 steps later", saving_guess, saved)

# %% [markdown]
# Little. Over four networks (seeds 0 to 3) we counted 19 to 27 % saved one step later, 11 to 19 %
# after twenty steps, and 5 to 11 % after a hundred. Two reasons. At least twelve products go into
# the search for missed copies, which no good start can shorten. And the solver begins with *one*
# vector, the sum of the old ones, from which ten directions have to be unfolded again. The old
# vectors are worth using, since they are there; they are no reason to trust an old answer.
#
# ## 6. The trace, from random signs
#
# Sometimes you do not want single eigenvalues but their sum, $\operatorname{tr} H$: the average
# curvature times $N$. You cannot read the diagonal of a matrix that you do not have. But take a
# vector $v$ of random signs, $\pm1$ with equal chance. Then
#
# $$\mathbb{E}\; v^\top H v = \sum_{ij} H_{ij}\, \mathbb{E}\, v_i v_j = \sum_i H_{ii} =
# \operatorname{tr} H,$$
#
# because $v_i v_j$ averages to zero for $i \ne j$. This is **Hutchinson's** estimator (1989): one
# product for each random vector. The variance of one draw is $2\sum_{i\ne j} H_{ij}^2$, so with $m$
# products the error falls as $m^{-1/2}$.
#
# **Hutch++** (Meyer, Musco, Musco and Woodruff, 2021) first spends a third of the products on
# finding the range in which $H$ is large, takes the trace *exactly* in there (another third), and
# uses random signs only for what is left outside. For matrices without negative eigenvalues its
# error is guaranteed to fall as $m^{-1}$.
#
# We try three matrices: eigenvalues $1/i$; a flat spectrum (half of the eigenvalues 1, half of them
# 0); and the network's Hessian. Each estimate is repeated 200 times (on the network 100 times);
# points show the typical error (root mean square), bars two standard errors.
#
# **Predict.** On the flat spectrum, is Hutch++ better or worse than Hutchinson with as many
# products?

# %% tags=["predict-flat-spectrum"]
flat_guess = "better"  # or "worse"

# %%
ms = [12, 24, 48, 96]
decaying, _ = with_spectrum(1 / torch.arange(1, 301, dtype=F64), 3)
flat, _ = with_spectrum([1.0] * 150 + [0.0] * 150, 4)
methods = {"Hutchinson": ln.hutchinson_trace, "Hutch++": ln.hutchpp_trace}


def trace_errors(H, estimate, repeats, seed):
    """Relative errors of repeated estimates, (len(ms), repeats)."""
    generator, truth = seeded(seed), H.trace()
    draws = [
        [estimate(lambda V: H @ V, H[0], m, generator).value for _ in range(repeats)] for m in ms
    ]
    return torch.tensor(draws) / truth - 1


matrices = {"eigenvalues 1/i": (decaying, 200), "flat": (flat, 200), "the network": (H, 100)}
traces = {(a, b): trace_errors(A, estimate, repeats, 5)
          for a, (A, repeats) in matrices.items() for b, estimate in methods.items()}  # fmt: skip

# %% tags=["nbval-ignore-output"]
figure, axes = plots.new_figure(3, width=3.4, height=3.7)
slopes = {}
for ax, matrix in zip(axes, matrices):
    for method, look in zip(methods, ("random", "top")):
        squares = traces[matrix, method] ** 2
        rms = squares.mean(1).sqrt()
        half = 2 * squares.std(1) / squares.shape[1] ** 0.5 / (2 * rms)  # error of a root
        slopes[matrix, method] = slope(ms, rms)
        plots.curve(ax, ms, rms, look, label=method)
        ax.errorbar(ms, rms, half, fmt="none", color=plots.LOOKS[look]["color"], capsize=3)
    plots.log_log(ax, "products m", "typical relative error", matrix, ticks=ms)
    ax.set_ylim(3e-3, 0.2)
axes[0].legend(frameon=False, loc="lower left", fontsize=8)
plots.show(figure, "Hutchinson falls with slopes "
    + ", ".join(f"{slopes[a, 'Hutchinson']:.1f}" for a in matrices) + ", Hutch++ with "
    + ", ".join(f"{slopes[a, 'Hutch++']:.1f}" for a in matrices)
    + ", from left to right. On the flat spectrum the sketch catches nothing special, and Hutch++ lies above Hutchinson throughout.")  # fmt: skip

# %%
above = (traces["flat", "Hutch++"] ** 2).mean(1).sqrt() / (traces["flat", "Hutchinson"] ** 2).mean(
    1
).sqrt()
print("Hutch++ error / Hutchinson error, flat spectrum:", ", ".join(f"{r:.1f}" for r in above))
on_flat = "better" if above.mean() < 1 else "worse"
question = "Is Hutch++ better or worse on the flat spectrum?"
reveal_choice(question, flat_guess, on_flat, ["better", "worse"])
verdicts["Hutch++ beats Hutchinson on a flat spectrum too"] = bool((above < 1).any())
verdicts["Hutch++ falls as 1/m or faster on eigenvalues 1/i"] = (
    slopes["eigenvalues 1/i", "Hutch++"] < -0.9
)
print("slope of Hutch++ on eigenvalues 1/i between -1.3 and -0.9:",
      -1.3 < slopes["eigenvalues 1/i", "Hutch++"] < -0.9)  # fmt: skip

# %% [markdown]
# Where few eigenvalues carry the trace, Hutch++ is the better tool, and its slope may be steeper
# than $-1$: the guarantee is for the worst case. (For eigenvalues $i^{-p}$ with $p > \tfrac12$ what
# is left outside the sketch shrinks so that the slope is about $-p$.) Where all eigenvalues are
# alike there is nothing to sketch; two thirds of the products are wasted, and the error is larger
# by about $\sqrt3$. With a dozen products even the network gains nothing.
#
# ### What exactly is unbiased?
#
# *Unbiased* means: right on average over many repetitions, however large the error of each one. We
# test it on the $1/i$ matrix, with many repetitions. Where the average of all of them lies more
# than four of its standard errors away from the truth, chance is no excuse. Three of the lines look
# ahead to the next section: a *moment* $\operatorname{tr}H^p/N$, and the *share* of the eigenvalues
# in a window.

# %%
eigenvalues = 1 / torch.arange(1, 301, dtype=F64)
low, high = 1 / 200.5, 1 / 100.5  # the eigenvalues 1/101 to 1/200: a third of all
four, sixteen = (
    ln.spectral_density(lambda V: decaying @ V, eigenvalues, 150, seeded(7), steps=s) for s in (4, 16)
)  # fmt: skip
tr = eigenvalues.sum()
twelve = {m: tr * (1 + traces["eigenvalues 1/i", m][0]) for m in methods}  # 200 draws each
lines = {
    f"trace, {m}, 12 products": (d.mean(), d.std() / len(d) ** 0.5, tr) for m, d in twelve.items()
}
moment, third = four.moment(2), torch.tensor(1 / 3)
lines["second moment, 4 steps"] = moment.value, moment.stderr, eigenvalues.square().mean()
for name, density in {"share, 4 steps": four, "share, 16 steps": sixteen}.items():
    share = density.fraction(low, high)
    lines[name] = share.value, share.stderr, third

# %%
away = {name: float((mean - truth).abs() / error) for name, (mean, error, truth) in lines.items()}
print("                                truth    average   within 4 standard errors")
for name, (mean, _, truth) in lines.items():
    print(f"{name:28} {truth:8.4f}   {mean:8.4f}   {away[name] < 4}")

# %%
runs = [ln.hutchpp_trace(lambda V: decaying @ V, eigenvalues, 9, seeded(i)) for i in range(400)]
spread = torch.stack([run.value for run in runs]).std()
reported = torch.stack([run.stderr for run in runs])
verdicts["traces and low moments are unbiased"] = all(z < 4 for z in list(away.values())[:3])
verdicts["shares of eigenvalues are unbiased too"] = all(z < 4 for z in list(away.values())[3:])
print(
    f"Hutch++ with 9 products: reported error / true spread, on average {reported.mean() / spread:.2f}"
)

# %% [markdown]
# So: both traces are unbiased, for *every* symmetric matrix, positive or not. So is each moment
# with $p < 2m$ for $m$ Lanczos steps. **A share of eigenvalues is not**: with too few steps, more
# repetitions make you certain of a wrong number. And the error that comes with an estimate is
# itself an estimate: from three vectors it is too small on average. Believe it when it comes from
# ten or more.
#
# ## 7. The whole spectrum at a glance
#
# Each Lanczos run holds more than its largest Ritz values. Started from a random unit vector $x$,
# its $m$ Ritz values $t_j$ (*nodes*), with the squared first components of the eigenvectors of $T$
# as *weights* $s_j$, satisfy
#
# $$x^\top f(H)\, x \;\approx\; \sum_{j=1}^m s_j f(t_j), \qquad\text{exactly for polynomials } f \text{ of degree} < 2m,$$
#
# and averaged over random $x$ the left side is the mean of $f(\lambda)$ over *all* $N$ eigenvalues.
# With $f$ a narrow window this counts the eigenvalues in it. So a few runs draw the whole spectrum:
# **stochastic Lanczos quadrature**. Eigenpairs that you know already (`known=`) can be taken
# exactly, so that the random vectors only have to see the rest.
#
# **Predict.** Eight random vectors, 60 products each, 480 in all. Will they see how many
# eigenvalues lie above 1?

# %% tags=["predict-outliers"]
sees_outliers_guess = True  # your prediction: True or False


# %%
def product(V):
    """H V; with a larger network this would be loss.hessian_operator(w, k)."""
    return H @ V


plain = ln.spectral_density(product, w, 8, seeded(6), steps=60)
sharp = ln.spectral_density(product, w, 8, seeded(6), steps=60, known=pairs)
exact = ln.SpectralDensity(
    true_values[None], torch.full((1, N), 1 / N, dtype=F64), true_values[:0], N
)
xs, large = torch.logspace(-4, 0.45, 240, dtype=F64), int((true_values > 1).sum())
estimates = [density.fraction(1.0, float("inf")) for density in (plain, sharp)]
certain = bool(2 * N * estimates[0].stderr < 0.5)
print("random vectors alone know the number above 1 to half an eigenvalue:", certain)
print("with known pairs it is exact:", bool(abs(N * estimates[1].value - large) < 0.01))
question = "Do random vectors alone count the eigenvalues above 1?"
reveal_choice(question, sees_outliers_guess, certain, [True, False])

# %% tags=["nbval-ignore-output"]
print(
    f"eigenvalues above 1: {large}; random vectors alone say {N * estimates[0].value:.1f} ± {2 * N * estimates[0].stderr:.1f}"
)

# %% tags=["nbval-ignore-output"]
counts = (true_values > xs[:, None]).sum(1)
grid, width = torch.linspace(-0.15, 2.5, 500, dtype=F64), 0.02
figure, (left, right) = plots.new_figure(2, width=5.0, height=4.0)
looks = (("8 random vectors", plain, "random"), ("and ten known pairs", sharp, "top"))
for label, density, look in looks:
    shares = [density.fraction(float(t), float("inf")) for t in xs]
    count = N * torch.stack([share.value for share in shares]).clamp_min(1e-4)
    half = 2 * N * torch.stack([share.stderr for share in shares])
    plots.band(left, xs, count, half, look, label=label, markevery=24)
    plots.curve(right, grid, density.smooth(grid, width).clamp_min(1e-9), look, marker=None)
left.step(xs, counts, color=plots.BLACK, linewidth=1.2, where="post", label="exact")
right.plot(grid, exact.smooth(grid, width), color=plots.BLACK, linewidth=1, linestyle=":")
plots.log_log(left, "x", "eigenvalues above x", "Counting from the top")
left.set_ylim(0.5, 1500)
left.legend(frameon=False, loc="lower left")
right.set(yscale="log", ylim=(1e-3, 40), xlabel="eigenvalue")
right.set_ylabel(f"density, smoothed by {width}")
plots.show(figure, "Left: from hundreds of eigenvalues down to a few all three agree. At the top, where single eigenvalues "
    f"count, random vectors alone are unsure (shaded: two standard errors). Below 0.001 the estimates become steps: too few nodes there. Right, in the same lines: the {large} outliers "
    "above 1 stand in their places in every curve, but without known pairs their heights are wrong.")  # fmt: skip

# %% [markdown]
# A crowd near zero and a few outliers: this is the shape that Sagun and coauthors found in many
# networks (arXiv 1706.04454). An outlier is *one* eigenvalue. A random vector happens to point along its direction a little more
# or less, so without help its height, the count, is noise, though its *place* is exact. The bulk is
# many eigenvalues, and there the chances average out.
#
# How much do more steps buy, and how much more random vectors? The error here is the largest
# difference, over all $x > 10^{-3}$, between the estimated and the true share of eigenvalues above
# $x$.

# %%
probes, numbers_of_steps = [2, 4, 8], [5, 10, 20, 40, 80]
tail = xs[xs > 1e-3]
true_shares = (true_values >= tail[:, None]).double().mean(1)
errors = np.zeros((len(probes), len(numbers_of_steps)))
for j, m in enumerate(numbers_of_steps):
    density = ln.spectral_density(product, w, max(probes), seeded(8), steps=m, known=pairs)
    for i, P in enumerate(probes):  # the first P vectors of the same run
        first = ln.SpectralDensity(density.nodes[:P], density.weights[:P], density.known, N)
        shares = torch.stack([first.fraction(float(t), float("inf")).value for t in tail])
        errors[i, j] = 100 * float((shares - true_shares).abs().max())
print(
    "from 5 to 80 steps (8 vectors) the error falls at least threefold:",
    bool(errors[-1, 0] > 3 * errors[-1, -1]),
)
print(
    "from 2 to 8 vectors (5 steps) it falls less than that:", bool(errors[0, 0] < 3 * errors[-1, 0])
)

# %% tags=["nbval-ignore-output"]
figure, ax = plots.new_figure(width=5.6, height=3.2)
plots.number_map(ax, [str(m) for m in numbers_of_steps], [str(P) for P in probes], errors)
ax.set(xlabel="Lanczos steps", ylabel="random vectors")
ax.set_title("Largest error of a share, in percent of all eigenvalues", fontsize=10)
plots.show(figure, f"Read along a row: steps bring the error from {errors[-1, 0]:.1f} to {errors[-1, -1]:.1f} % with 8 vectors. Read up "
    f"a column: with 5 steps, 8 vectors have {errors[-1, 0]:.1f} % where 2 have {errors[0, 0]:.1f} %. Few steps cannot see fine structure, however many vectors you take.")  # fmt: skip

# %% [markdown]
# Now in numbers: moments, which are unbiased, and shares in windows, which are not.

# %%
within = []
for p in range(1, 5):
    moment, truth = plain.moment(p), (true_values**p).mean()
    within.append(bool((moment.value - truth).abs() < 4 * moment.stderr))
verdicts["quadrature moments within 4 standard errors"] = all(within)
print("moments 1 to 4 of H within 4 standard errors of the exact ones:", all(within))

# %% tags=["nbval-ignore-output"]
edges = [-float("inf"), -1e-3, 1e-3, 1e-2, 1e-1, float("inf")]
print("window                 exact    estimate (two standard errors)")
for low, high in zip(edges, edges[1:]):
    truth = ((true_values >= low) & (true_values < high)).double().mean()
    share = sharp.fraction(low, high)
    print(f"{low:7.3f} to {high:7.3f}   {truth:6.1%}   {share.value:6.1%} ± {2 * share.stderr:.1%}")

# %% [markdown]
# The window around zero holds the exact zeros and everything that is nearly zero. It is narrower
# than the distance of the nodes there, so compare its estimate with care: the error bar knows about
# random vectors only, not about steps.
#
# ## 8. Watch the Ritz values close in
#
# One Lanczos run on the network *before training*, where the spectrum has two ends. The slider is
# the number of steps. Grey strokes are the true eigenvalues, circles the Ritz values: filled ones
# have a residual below $10^{-3}$.
#
# **Predict.** Where is the first Ritz value to converge: at the top, at the bottom, or in the
# crowded middle?

# %% tags=["predict-first-to-converge"]
first_guess = "middle"  # or "top", or "bottom"

# %%
T, B = lanczos(lambda v: H_start @ v, torch.randn(N, generator=seeded(9), dtype=F64), 96, keep=True)


# %%
def ritz_picture(m):
    """The Ritz values after m steps over the true spectrum, with a sentence."""
    theta, Y = torch.linalg.eigh(T[:m, :m])
    U = B[:m].T @ Y
    good = ((H_start @ U - U * theta).norm(dim=0) < 1e-3).numpy()
    figure, ax = plots.new_figure(width=7.0, height=2.3)
    ax.vlines(start_values, 0, 0.55, color=plots.GREY, linewidth=0.6)
    for chosen, colour, fill in ((good, plots.BLUE, "full"), (~good, plots.VERMILLION, "none")):
        ax.plot(theta[chosen], np.full(chosen.sum(), 0.8), "o", color=colour, fillstyle=fill)
    ax.set(xlim=(-0.36, 0.93), ylim=(0, 1), xlabel="eigenvalue")
    ax.set_yticks([0.28, 0.8], ["true", "Ritz"])
    ax.set_title(f"m = {m}", fontsize=10)
    upper, lower = ((good & side.numpy()).sum() for side in (theta > 0, theta < 0))
    ends = start_values[0] - theta[-1], theta[0] - start_values[-1]
    high, low = ("no more than rounding" if d < 1e-12 else f"{d:.0e}" for d in ends)
    return plots.to_png(figure), (f"After {m} steps {upper} Ritz values have converged at the upper end, {lower} at "
        f"the lower end. The largest eigenvalue is missed by {high}, the smallest by {low}.")  # fmt: skip


# %% tags=["nbval-ignore-output"]
sizes = [1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96]
slider = PictureSlider("m", {m: ritz_picture(m) for m in sizes}, value=24)
slider

# %% [markdown]
# **Try this.**
#
# 1. Start at $m = 1$. Where is the only Ritz value, and why? (It is $q^\top Hq$ for a random $q$:
#    close to the mean of all eigenvalues.)
# 2. Go on until the first circle is filled. At which end is it?
# 3. Go to 96. What has happened in the middle, between -0.1 and 0.2?

# %%
slider.slider.value = 96
ends = [torch.linalg.eigvalsh(T[:m, :m])[[0, -1]] for m in range(1, 97)]
lowest, highest = torch.stack(ends).T
print("the largest Ritz value never falls:", bool((highest.diff() > -1e-12).all()))
print("the smallest never rises:", bool((lowest.diff() < 1e-12).all()))
print("all lie between the true ends:",
      bool(highest.max() <= start_values[0] + 1e-12 and lowest.min() >= start_values[-1] - 1e-12))  # fmt: skip
slider.slider.value = 24

# %%
for m in range(1, 97):
    theta, Y = torch.linalg.eigh(T[:m, :m])
    U = B[:m].T @ Y
    converged = (H_start @ U - U * theta).norm(dim=0) < 1e-3
    if converged.any():
        break
place = "top" if converged[-1] else "bottom" if converged[0] else "middle"
print("the first to converge is at the", place)
question = "Where is the first Ritz value to converge?"
reveal_choice(question, first_guess, place, ["top", "middle", "bottom"])

# %% [markdown]
# The ends come first, because they are *alone*: what counts is the distance to the neighbours,
# relative to the width of the spectrum. The top stands apart here and is found with a few dozen
# products; the lower end is more crowded and takes longer. The middle, with hundreds of eigenvalues
# side by side, is never resolved one by one; there the Ritz values spread out and stand for many.
# That is why the same run can give outliers one by one and the bulk as a density.

# %% [markdown] tags=["exercises"]
# ## Exercises
#
# This part stands on its own: after a break, start here with the next cell. Write each answer in
# place of `raise NotImplementedError()`, run it, and run the folded cell below it (the three dots). Its
# **public check** says what is wrong, without giving the answer away. When you are done, compare with
# [the solutions](solutions/03_top_eigenspace.ipynb).

# %%
import numpy as np
import torch

from landscape_nb import plots
from landscape_nb.course import check, check_properties

F64 = torch.float64


def symmetric(eigenvalues, seed=0):
    """A symmetric matrix with these eigenvalues, and its eigenvectors as columns; float64."""
    values = torch.as_tensor(eigenvalues, dtype=F64)
    draws = torch.randn(
        len(values), len(values), generator=torch.Generator().manual_seed(seed), dtype=F64
    )
    Q = torch.linalg.qr(draws).Q
    return (Q * values) @ Q.T, Q


# %% [markdown]
# **1. What will it return?** Power iteration with deflation, as in section 3, but with as many steps as
# it wants for each pair. It still reads an eigenvalue as the length $|Hv|$, and deflates with what it
# read. Which values does it return for a matrix with given eigenvalues?


# %% tags=["answer-1"]
def published_values(eigenvalues, D):
    """The D values that it returns, in the order found; eigenvalues: list, no two of one size."""
    ### BEGIN SOLUTION
    curvatures, found = list(eigenvalues), []
    for _ in range(D):
        i = max(range(len(curvatures)), key=lambda j: abs(curvatures[j]))
        found.append(abs(curvatures[i]))
        curvatures[i] -= found[-1]
    return found
    ### END SOLUTION


# %% tags=["check-1", "points-1"]
returned = {(5, 1, 0.5, 3): [5, 3, 1], (1, -4, 2, 3): [4, 8, 16], (6, -1, 2, -2.5): [6, 2.5, 5]}
cases = [{"eigenvalues": list(spectrum), "D": 3} for spectrum in returned]
hints = {
    "These are the largest eigenvalues. Does power iteration know about signs?": (
        lambda eigenvalues, D: sorted(eigenvalues, reverse=True)[:D]
    ),
    "What has a length no longer got?": (
        lambda eigenvalues, D: sorted(eigenvalues, key=abs, reverse=True)[:D]
    ),
    "Follow the curvature along an eigenvector of a negative eigenvalue through one deflation.": (
        lambda eigenvalues, D: sorted(map(abs, eigenvalues), reverse=True)[:D]
    ),
}
check("1", published_values, lambda eigenvalues, D: returned[tuple(eigenvalues)], cases, hints)

# %% tags=["hidden-1", "points-2"]
import numpy as np_1  # noqa: E402

draws_1 = np_1.random.default_rng(1)
for spectrum_1, D_1 in (([3, 2, -5, 1, 0.5], 4), ([7, -3, 5, 2], 4), ([-1, 9.0], 2)):
    found_1 = [float(value) for value in published_values(list(spectrum_1), D_1)]
    assert len(found_1) == D_1, "D values are asked for"
    Q_1 = np_1.linalg.qr(draws_1.normal(size=(len(spectrum_1), len(spectrum_1)))).Q
    H_1, values_1 = (Q_1 * spectrum_1) @ Q_1.T, []
    for _ in range(D_1):  # run the method itself
        v_1 = np_1.linspace(1, 2, len(H_1))
        for _ in range(2000):
            v_1 = H_1 @ v_1 / np_1.linalg.norm(H_1 @ v_1)
        values_1.append(np_1.linalg.norm(H_1 @ v_1))
        H_1 = H_1 - values_1[-1] * np_1.outer(v_1, v_1)
    assert np_1.allclose(found_1, values_1, rtol=1e-6), f"wrong for the eigenvalues {spectrum_1}"

# %% [markdown]
# **2. A certificate.** Someone hands you a vector $u$, of any length but not zero, and says that it is
# *roughly* an eigenvector. With one product you can certify: "the curvature along $u$ is $\theta$, and
# some eigenvalue lies within $r$ of it", with $r$ as small as the residual allows. Which two numbers?


# %% jupyter={"source_hidden": true}
def fitted(product, u):
    """The same by least squares: the multiple of u that is nearest to H u."""
    fit = np.linalg.lstsq(u[:, None].numpy(), product(u).numpy())
    return fit[0].item(), (fit[1].item() / float(u @ u)) ** 0.5


def part(function, which):
    """theta (0) or r (1) alone."""
    return lambda product, u: function(product, u)[which]


def if_right_for_length_1(which):
    """The answer's own value, where it would be right for the same vector with length 1."""

    def value(product, u):
        unit = certificate(product, u / u.norm())[which]
        right = np.isclose(float(unit), fitted(product, u)[which])
        return certificate(product, u)[which] if right else np.nan

    return value


# %% tags=["answer-2"]
def certificate(product, u):
    """(theta, r) from product(u) = H u; u: tensor (N,), not zero."""
    ### BEGIN SOLUTION
    u = u / u.norm()
    Hu = product(u)
    theta = u @ Hu
    return theta, (Hu - theta * u).norm()
    ### END SOLUTION


# %% tags=["check-2", "points-1"]
H_given, Q_given = symmetric([3.0, 2.0, -5.0, 1.0, 0.5])
uphill = Q_given[:, 0] + 0.2 * Q_given[:, 1] - 0.1 * Q_given[:, 4]
downhill = Q_given[:, 2] + 0.3 * Q_given[:, 3]
us = (uphill / uphill.norm(), 3 * uphill, downhill / downhill.norm(), 0.5 * downhill)
cases = [{"product": H_given.matmul, "u": u} for u in us]
length = "Right for vectors of length 1. What if u has another length?"
hints = {
    "theta": {
        length: if_right_for_length_1(0),
        "A length has no sign.": lambda product, u: product(u).norm(),
        "A length has no sign, and curvatures do.": lambda product, u: product(u).norm() / u.norm(),
    },
    "r": {length: if_right_for_length_1(1)},
}
for which, name in enumerate(hints):
    own, true = part(certificate, which), part(fitted, which)
    check(f"2 ({name})", own, true, cases, hints[name])

# %% tags=["hidden-2", "points-2"]
import torch as torch_2  # noqa: E402

draws_2 = torch_2.Generator().manual_seed(2)
lam_2 = torch_2.tensor([4.0, -1.0, 2.5, 0.0]).double()
Q_2 = torch_2.linalg.qr(torch_2.randn(4, 4, generator=draws_2).double()).Q
H_2 = (Q_2 * lam_2) @ Q_2.T
for name_2, u_2 in (
    ("an eigenvector of length 7", 7 * Q_2[:, 1]),
    ("a sum of eigenvectors", Q_2.sum(1)),
    ("a coordinate vector", torch_2.eye(4).double()[0]),
    ("a short eigenvector", -0.01 * Q_2[:, 0]),
):
    theta_2, r_2 = (float(x) for x in certificate(H_2.matmul, u_2.clone()))
    share_2 = (Q_2.T @ u_2) ** 2 / (u_2 @ u_2)  # of each eigenvalue in the curvature along u
    mean_2 = float(share_2 @ lam_2)
    assert abs(theta_2 - mean_2) < 1e-9, f"theta is wrong for {name_2}"
    assert abs(r_2**2 - float(share_2 @ (lam_2 - mean_2) ** 2)) < 1e-9, f"r is wrong for {name_2}"
assert "fitted" not in certificate.__code__.co_names, "answer without the check's own function"

# %% [markdown]
# **3. Products from gradients, in any precision.** All that you may call is the gradient $g$. Write $Hv$
# as a difference, $\bigl(g(w + hv) - g(w - hv)\bigr)/2h$, and choose the step yourself: from the
# precision of `w`, so that float64 and float32 both come out as well as differences can
# (`torch.finfo(w.dtype).eps` is the precision). The entries of `w` are of size one, and $|v| = 1$.
#
# The check draws where your steps are. This is the picture to expect:
#
# ![Two V-shaped curves of the error over the step, on logarithmic axes. The V of float64 has its bottom between steps of 1e-5 and 1e-4, at an error near 1e-10; that of float32 lies much higher, with its bottom near a step of 0.01 and an error of 1e-5. On the right, where the step is large, both are one line. A star marks the learner's step near the bottom of each V.](pictures/exercise-03-3.png)


# %% jupyter={"source_hidden": true}
M = symmetric(torch.linspace(-1.5, 2, 30).tolist(), 3)[0]
w64, v64 = (torch.nn.functional.normalize(x, dim=0) for x in symmetric([1.0] * 30, 4)[1][:2])
w64 = 30**0.5 * w64


def gradient(w):
    """Of the loss sum_i log cosh (M w)_i."""
    return M.to(w).T @ torch.tanh(M.to(w) @ w)


exact = M.T @ (M @ v64 / torch.cosh(M @ w64) ** 2)


# %% jupyter={"source_hidden": true}
def off_by(answer, dtype, **step):
    """Relative error of a product in this precision."""
    found = answer(gradient, w64.to(dtype), v64.to(dtype), **step)
    return float((found - exact).norm() / exact.norm())


def step_used(dtype):
    """How far from w the answer's gradients were taken."""
    w, far = w64.to(dtype), []
    hessian_times(lambda x: far.append((x - w).norm()) or gradient(x), w, v64.to(dtype))
    return float(max(far))


# %% jupyter={"source_hidden": true}
def difference(gradient, w, v, h):
    ahead, behind = (gradient(w + side * h * v) for side in (1, -1))
    return (ahead - behind) / (2 * h)


steps = np.geomspace(1e-9, 1, 28)
properties = {
    "an error below 1e-9 in float64 (which step balances the two enemies of section 2?)": (
        lambda errors: errors[F64] < 1e-9
    ),
    "an error below 3e-4 in float32 (is the step suited to this precision?)": (
        lambda errors: errors[torch.float32] < 3e-4
    ),
}


# %% tags=["answer-3"]
def hessian_times(gradient, w, v):
    """H v, tensor (N,), from two gradients; gradient(w) gives (N,) in the precision of w."""
    ### BEGIN SOLUTION
    h = torch.finfo(w.dtype).eps ** (1 / 3)
    return (gradient(w + h * v) - gradient(w - h * v)) / (2 * h)
    ### END SOLUTION


# %% tags=["check-3", "points-1", "picture-exercise-03-3"]
check("3 (formula)", lambda: hessian_times(gradient, w64, v64), lambda: exact, rtol=1e-4)
errors = {dtype: off_by(hessian_times, dtype) for dtype in (F64, torch.float32)}
check_properties("3 (precision)", lambda: errors, properties)

figure, ax = plots.new_figure(width=5.6)
for (dtype, error), look in zip(errors.items(), ("top", "random"), strict=True):
    name = str(dtype).removeprefix("torch.")
    plots.curve(ax, steps, [off_by(difference, dtype, h=h) for h in steps], look, label=name)
    plots.curve(ax, [step_used(dtype)], [error], look, marker="*", markersize=16, label="your step")
plots.log_log(ax, "step h", "relative error of $Hv$", "Exercise 3")
ax.set_ylim(1e-13, 10)
ax.legend(frameon=False)
used = {dtype: step_used(dtype) for dtype in errors}
plots.show(
    figure,
    f"Your steps, {used[F64]:.0e} in float64 and {used[torch.float32]:.0e} in float32, lie near "
    "the bottom of each V, where truncation and rounding are about equally large.",
)

# %% tags=["hidden-3", "points-2"]
import torch as torch_3  # noqa: E402

draws_3 = torch_3.Generator().manual_seed(3)
c_3 = torch_3.randn(40, generator=draws_3, dtype=torch_3.float64) / 5


def slope_3(w):  # gives gradients; detached, because Hv is to be a difference of them
    return torch_3.sin(w.detach()) + c_3.to(w.dtype) * (c_3.to(w.dtype) @ w.detach())


for type_3, limit_3 in 3 * ((torch_3.float64, 1e-9), (torch_3.float32, 3e-4)):
    w_3, v_3 = torch_3.randn(2, 40, generator=draws_3, dtype=torch_3.float64)
    v_3 = v_3 / v_3.norm()
    found_3 = torch_3.as_tensor(hessian_times(slope_3, w_3.to(type_3), v_3.to(type_3))).detach()
    assert found_3.dtype == type_3, f"for w in {type_3} the product has another precision"
    exact_3 = torch_3.cos(w_3) * v_3 + c_3 * (c_3 @ v_3)  # by hand
    error_3 = (found_3.double() - exact_3).norm() / exact_3.norm()
    assert error_3 < limit_3, f"wrong, or not precise enough, in {type_3}"
assert "difference" not in hessian_times.__code__.co_names, "answer without the check's function"

# %% [markdown]
# **4. Is something missing?** A solver has found the orthonormal vectors $V$, and every residual is
# tiny. Design the search that could prove it wrong: estimate, to three digits, the algebraically
# *largest eigenvalue among all directions perpendicular to $V$*. The columns of $V$ are exact
# eigenvectors. You may spend 100 products, and the matrix has 150 rows, so it can't be written down.


# %% jupyter={"source_hidden": true}
def counted(H, most=100):
    """x -> H x, for at most so many vectors x."""
    used = 0

    def product(x):
        nonlocal used
        used += x[0].numel()  # a matrix costs one product for each column
        if used > most:
            raise RuntimeError(f"more than {most} products")
        return H @ x

    return product


bulk = torch.linspace(0, 2, 143).tolist()
repeated, Q_repeated = symmetric([10.0] * 4 + [7.0, 5.0, 3.0, *bulk], 5)
ridge, Q_ridge = symmetric([6.0, 5.9, 3.0, -20.0, 0.1, 0.2, 0.3, *bulk], 6)


# %% tags=["answer-4"]
def largest_outside(product, V):
    """The largest u'Hu with V'u = 0, |u| = 1; product(x) = H x for (N,); V: (N, d), float64."""
    ### BEGIN SOLUTION
    Q, products = V, []
    q = torch.randn(len(V), dtype=V.dtype)
    for _ in range(50):  # Lanczos, kept perpendicular to V and to its own earlier vectors
        for _ in range(2):
            q = q - Q @ (Q.T @ q)
        Q = torch.cat([Q, q[:, None] / q.norm()], dim=1)
        q = product(Q[:, -1])
        products.append(q)
    T = Q[:, V.shape[1] :].T @ torch.stack(products, dim=1)
    return torch.linalg.eigvalsh((T + T.T) / 2)[-1]
    ### END SOLUTION


# %% tags=["check-4", "points-1"]
found = [Q_repeated[:, [0, 4, 5]], Q_repeated[:, :6], Q_ridge[:, :1], Q_ridge[:, :2]]
outside, matrices = [10.0, 3.0, 5.9, 3.0], [repeated, repeated, ridge, ridge]
cases = [{"product": counted(H), "V": V} for H, V in zip(matrices, found, strict=True)]
which = {id(V): i for i, V in enumerate(found)}
hints = {
    "It finds again what V holds. Is that removed, and does it stay removed?": (
        lambda product, V: (10.0, 10.0, 6.0, 6.0)[which[id(V)]]
    ),
    "Largest, not largest in size: what does your search do with an eigenvalue of -20?": (
        lambda product, V: (10.0, 3.0, -20.0, -20.0)[which[id(V)]]
    ),
    "Largest means algebraically largest. And where has a minus gone?": (
        lambda product, V: (10.0, 3.0, 20.0, 20.0)[which[id(V)]]
    ),
}
check("4", largest_outside, lambda product, V: outside[which[id(V)]], cases, hints, rtol=1e-3)

# %% tags=["hidden-4", "points-3"]
import torch as torch_4  # noqa: E402

draws_4, bulk_4 = torch_4.Generator().manual_seed(7), 3 * torch_4.linspace(0, 1, 160).double() ** 2
for head_4, held_4, right_4, what_4 in (
    ([8.0, 8.0, 6.0], [0, 2], 8.0, "V has one copy of a repeated eigenvalue"),
    ([8.0, 8.0, 6.0], [0, 1], 6.0, "V has both copies of a repeated eigenvalue"),
    ([8.0, -50.0, 6.0], [0], 6.0, "an eigenvalue that is larger in size is negative"),
    ([9.0, 4.0, -1.0], [0, 1], 3.0, "nothing is left but a dense bulk"),
):
    Q_4 = torch_4.linalg.qr(torch_4.randn(163, 163, generator=draws_4).double()).Q
    H_4, used_4 = (Q_4 * torch_4.cat([torch_4.tensor(head_4), bulk_4])) @ Q_4.T, []

    def product_4(x, H=H_4, used=used_4):
        used.append(x[0].numel())  # a matrix costs one product for each column
        assert sum(used) <= 100, "more than 100 products"
        return H @ x

    found_4 = float(largest_outside(product_4, Q_4[:, held_4]))
    assert abs(found_4 - right_4) < 0.01 * right_4, f"wrong where {what_4}"

# %% [markdown]
# **5. In words.** A paper finds ten eigenvalues by Lanczos, from one random start, with all residuals
# below $10^{-6}$, and writes: "these are the ten largest of the Hessian." What do the residuals prove,
# and what not? Show how Lanczos can miss an eigenvalue even in exact arithmetic: give a start from
# which it never sees the 3 of $\operatorname{diag}(3, 2, 1)$, and a matrix of which *no* start reveals
# all eigenvalues with their copies. What would you ask the authors for? Four to six sentences.

# %% [markdown] tags=["manual-5", "points-3"]
# ### BEGIN SOLUTION
# A residual proves that some eigenvalue lies within it of the value claimed: what they have is there.
# It says nothing about what they do not have. Lanczos sees only the space spanned by $q, Hq, H^2 q,
# \dots$ From $q = (0, 1, 1)$ no power of $\operatorname{diag}(3, 2, 1)$ brings the first component back,
# so the 3 is never seen; a *random* start has all components with probability one. A repeated
# eigenvalue is worse, for example $\operatorname{diag}(3, 3, 1)$: of the plane of its eigenvectors every
# start contains one direction, so only one 3 is seen, whatever the start. (Rounding may bring the
# second one, late.) Ask for a second search from a fresh random vector perpendicular to everything
# found, as in exercise 4, or for a block method; and for the gap below the tenth value, because
# without a gap "the ten largest" is no well-defined subspace.
#
# *Rubric.* One point each: residuals prove presence, not completeness; a start without a part along
# the first axis, and a repeated eigenvalue; a fresh search in the complement (or a block method, or
# another start with the copies counted).
# ### END SOLUTION

# %% [markdown]
# ## Save your work
#
# The first button packs your answers and predictions, of this notebook and of the others, into
# `my_work.zip`. The second one brings them back, for example in a new Binder session.

# %%
SaveMyWork()

# %% [markdown]
# ## What to doubt
#
# - **"Complete" is evidence, not proof.** The search for missed copies can miss one where a
#   repeated eigenvalue lies close to a dense bulk. No method that sees $H$ through a few products
#   can rule that out for certain.
# - **Our rewrite of the published method.** It follows the published code's rules, not its text. On
#   trained networks the top values are positive and often apart, and most of what it finds is
#   roughly right. The trouble is that nothing tells you when it is not.
# - **One network, one seed, one moment of training.** Exact statements must survive another seed:
#   residual bounds, Davis-Kahan, unbiasedness, ends that never retreat. The numbers of products,
#   the sizes and the slopes on the network will not.
# - **The guarantee of Hutch++** is for matrices without negative eigenvalues. Our network has some.
#   It worked; it was not promised.
# - **Error bars of a spectral density** speak of the random vectors only. Double the steps to see
#   the other error. And an error bar from eight vectors is rough: in twelve more tries on four
#   networks a moment was once 4.6 of its standard errors away.
# - **tanh is smooth.** A network with ReLU has kinks; there $Hv$ by differentiation does not see
#   them, and differences across them do.

# %% [markdown]
# ## Summary
#
# Each line is a claim and what this notebook found.

# %%
for claim, holds in verdicts.items():
    print(f"{'holds' if holds else 'FAILS':7}{claim}")

# %% [markdown]
# **In one sentence:** multiply, keep everything perpendicular, look at residuals and not at settled
# values, search once more for what may be missing, and say how sure you are.
#
# **Next:** [04 MLP stabilization](04_mlp_stabilization.ipynb) uses these top directions to ask what
# one more sample changes.

# %% tags=["nbval-ignore-output"]
print(cost.line(budget_s=60, budget_mb=1000))
