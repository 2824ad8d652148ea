# %% [markdown]
# # 02 Curvature
#
# **What is curvature, and what does it do to training?**
#
# Training walks downhill on a loss surface. The *slope* says which way is down. The *curvature* says
# how soon the slope will change, and therefore how far one may step. Nearly everything that is said
# about sharp and flat minima, learning rates, saddles and second-order methods is a statement about
# curvature.
#
# Here are such statements as one meets them in glossaries and lectures. We make a small
# experiment of each, predict what will happen, and look. Some hold exactly, some only for
# *quadratics* (bowls whose curvature is the same everywhere), and some are less than they sound.
#
# You need calculus and a little linear algebra. You need not have seen a Hessian.

# %%
import numpy as np
import torch

import landscape_nb as ln
from landscape_nb import plots
from landscape_nb.cost import Cost
from landscape_nb.course import reveal_choice, reveal_curve, reveal_number
from landscape_nb.widgets import BowlExplorer, SaveMyWork

torch.set_num_threads(1)
cost = Cost()
verdicts = {}  # claim -> does it hold? We fill this in as we go


def seeded(seed):
    """A source of random numbers that gives the same ones each time."""
    return torch.Generator().manual_seed(seed)


# %%
LOOKS = [  # three looks for curves that belong together
    {"color": plots.BLUE, "linestyle": "-", "marker": "o"},
    {"color": plots.GREEN, "linestyle": "--", "marker": "^"},
    {"color": plots.VERMILLION, "linestyle": "-.", "marker": "s"},
]


# %% [markdown]
# ## 1. Curvature in one dimension
#
# A function of one number has a **gradient** (slope) and a **curvature** (how fast the slope
# changes). We can read both off three values of the function, a small distance $h$ apart:
#
# $$f'(w) \approx \frac{f(w+h) - f(w-h)}{2h}, \qquad
# f''(w) \approx \frac{f(w+h) - 2 f(w) + f(w-h)}{h^2}.$$
#
# These are **finite differences**. Our first function has two valleys with a hill between them.
#
# **Predict.** On the top of the hill the slope is zero, as it is at the bottom of a valley. What sign
# has the curvature there?

# %% tags=["predict-hill"]
sign_on_the_hill = 1  # your prediction: 1 or -1


# %%
def f(w):
    return w**4 / 4 - w**2 / 2 + w / 10


def slope_and_curvature(f, w, h=1e-4):
    """Central differences; their own error is of order h^2."""
    return (f(w + h) - f(w - h)) / (2 * h), (f(w + h) - 2 * f(w) + f(w - h)) / h**2


left, hill, right = np.sort(np.roots([1, 0, -1, 0.1]).real)  # where w^3 - w + 0.1 = 0
for name, w in {"left valley": left, "hill": hill, "right valley": right}.items():
    slope, curvature = slope_and_curvature(f, w)
    print(
        f"{name:12} slope {abs(slope):.3f}, curvature {curvature:6.3f}, exact {3 * w**2 - 1:6.3f}"
    )
bend_sign = int(np.sign(slope_and_curvature(f, hill)[1]))
reveal_choice("Which sign has the curvature on the hill?", sign_on_the_hill, bend_sign, [1, -1])

# %%
figure, ax = plots.new_figure(width=6.2)
w = np.linspace(-1.7, 1.6, 200)
ax.plot(w, f(w), color=plots.BLACK, linewidth=2, label="f")
for centre, look in zip((left, right, hill), LOOKS):
    c = slope_and_curvature(f, centre)[1]
    near = np.linspace(centre - 0.55, centre + 0.55, 50)
    parabola = f(centre) + c / 2 * (near - centre) ** 2
    plots.curve(ax, near, parabola, f"parabola, curvature {c:.2f}", **look, markevery=[25], linewidth=2.5, markersize=7)  # fmt: skip
ax.set(xlabel="w", ylabel="f(w)", ylim=(-0.5, 0.45))
ax.legend(frameon=False, fontsize=8, loc="upper center")
bends = [slope_and_curvature(f, centre)[1] for centre in (left, hill, right)]
plots.show(figure, "At each flat point a parabola with the right curvature hugs the curve for a while. The left "
    f"valley is sharper (curvature {bends[0]:.2f}) than the right one ({bends[2]:.2f}), and on the hill the parabola "
    f"opens downwards ({bends[1]:.2f}).")  # fmt: skip

# %% [markdown]
# So near a flat point $w^*$ the function *is*, nearly, a parabola:
# $f(w^* + d) \approx f(w^*) + \tfrac12 f''(w^*)\, d^2$. Everything below rests on this sentence, and
# most of what can go wrong lies in the word "near".

# %% [markdown]
# ## 2. The Hessian: curvature in every direction
#
# A network has many parameters, $w \in \mathbb{R}^N$. Pick a direction, a vector $u$ of length 1, and
# walk along it: the loss becomes a function of one number, with a curvature as before. How many
# numbers do we need to know the curvature in *every* direction? Not infinitely many. They all come
# from one symmetric table of $N \times N$ second derivatives, the **Hessian** $H$:
#
# $$\text{curvature along } u \;=\; u^\top H u, \qquad H_{ij} = \frac{\partial^2 L}{\partial w_i \partial w_j}.$$
#
# - **Eigenvector** of $H$: a direction that $H$ only stretches, $Hu = \lambda u$. The number $\lambda$,
#   its **eigenvalue**, is the curvature along it. Eigenvectors are perpendicular to each other.
# - $\lambda_{\max}$, the largest eigenvalue, is the curvature of the sharpest direction. It is called the
#   **sharpness**.
# - **Condition number** $\kappa = \lambda_{\max}/\lambda_{\min}$: how many times sharper the sharpest
#   direction is than the flattest (all eigenvalues positive).
# - **Trace** $\operatorname{tr} H$: the sum of the diagonal, which is also the sum of all eigenvalues.
#
# A bowl in two dimensions, $L(w) = \tfrac12 w^\top H w$. We measure its curvature along 180 directions
# by finite differences, without telling the measurement what $H$ is.

# %%
H2 = np.array([[2.0, 1.2], [1.2, 1.0]])


def bowl2(w):
    return w @ H2 @ w / 2


def curvature_along(u):
    somewhere = np.array([0.3, -0.2])
    return slope_and_curvature(lambda t: bowl2(somewhere + t * u), 0.0)[1]


# %%
angles = np.radians(np.arange(180))
directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # (180, 2), each of length 1
measured = np.array([curvature_along(u) for u in directions])
(flat, sharp), vectors = np.linalg.eigh(H2)
print(f"eigenvalues {sharp:.3f} and {flat:.3f}, condition number {sharp / flat:.1f}")
print(f"measured curvatures: from {measured.min():.3f} to {measured.max():.3f}")
e1, e2 = np.eye(2)
mixed = (curvature_along(e1 + e2) - curvature_along(e1) - curvature_along(e2)) / 2
print(f"the off-diagonal entry from three curvatures: {mixed:.3f}, exact {H2[0, 1]:.3f}")

# %%
figure, (left_ax, right_ax) = plots.new_figure(2, width=4.4, height=3.9)
grid = np.linspace(-1.5, 1.5, 121)
Z = np.array([[bowl2(np.array([x, y])) for x in grid] for y in grid])
left_ax.contour(grid, grid, Z, levels=[0.02, 0.08, 0.18, 0.32, 0.5], colors=plots.GREY, linewidths=1)  # fmt: skip
for i, colour in enumerate((plots.BLUE, plots.VERMILLION)):  # flat, sharp
    x, y = vectors[:, i] * np.sign(vectors[0, i])
    arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 2.5}
    left_ax.annotate("", (x, y), (0, 0), arrowprops=arrow)
    name = f"$\\lambda$ = {(flat, sharp)[i]:.1f}"
    box = {"color": "white", "pad": 1}
    left_ax.text(1.1 * x, 1.1 * y, name, color=colour, fontsize=11, va="center", bbox=box)
    degrees = np.degrees(np.arctan2(y, x)) % 180
    right_ax.plot(degrees, (flat, sharp)[i], "D", color=colour, markersize=9)
    right_ax.text(degrees + 7, (flat, sharp)[i], "eigenvector", color=colour, va="center")
left_ax.set(aspect="equal", xlabel="$w_1$", ylabel="$w_2$", xlim=(-1.5, 1.7))
right_ax.plot(np.degrees(angles), measured, color=plots.BLACK, linewidth=1.5, zorder=0)
right_ax.set(xlabel="direction u [degrees]", ylabel="curvature along u", xlim=(0, 190), ylim=(0, 3.1))  # fmt: skip
plots.show(figure, "Left: level curves of the bowl are ellipses, narrow along the sharp eigenvector (2.8), long along "
    "the flat one (0.2). Right: the measured curvature swings between these two values; it turns at the eigenvectors, 90 degrees apart.")  # fmt: skip

# %%
exact = np.einsum("ai,ij,aj->a", directions, H2, directions)  # u'Hu for each direction
verdicts["curvature along u is u'Hu"] = bool(abs(measured - exact).max() < 1e-6)
print("all 180 measured curvatures equal u'Hu:", verdicts["curvature along u is u'Hu"])

# %% [markdown]
# ## 3. How long may a step be?
#
# **Gradient descent** repeats $w \leftarrow w - \eta\, \nabla L(w)$ with a **learning rate** $\eta$. On
# a quadratic with its minimum at 0 the gradient is $Hw$. So along each eigenvector the step only
# multiplies the coordinate by a number:
#
# $$x_i \;\leftarrow\; (1 - \eta \lambda_i)\, x_i .$$
#
# If $|1 - \eta\lambda_i| < 1$ for every $i$, everything shrinks: that is $0 < \eta < 2/\lambda_{\max}$.
#
# We take 20 parameters with eigenvalues from 4 down to 0.08 and start equally far along every
# eigenvector.
#
# **Predict.** At $\eta = 2.1/\lambda_{\max}$ only one factor can be larger than 1 in magnitude, and
# barely. The other 19 directions may well shrink. Will the loss be smaller than at the start after 100 steps?

# %% tags=["predict-step-too-long"]
loss_is_smaller = True  # your prediction: True or False

# %%
spectrum = np.geomspace(4.0, 0.08, 20)
toy = ln.toys.quadratics(1, 20, eigenvalues=spectrum.tolist(), shift=0.0, generator=seeded(0))
bowl = ln.EmpiricalLoss(*toy.parts)
lowest = bowl.value(bowl.w0, 1)  # w = 0 is this bowl's minimum; heights below are above it
H = bowl.hessian(bowl.w0, 1)
lams, U = torch.linalg.eigh(H)  # ascending: the last column is the sharpest direction
start, top = U.sum(1), float(lams[-1])
paths = {
    c: ln.gradient_descent(bowl, k=1, lr=c / top, steps=100, w=start) for c in (1.0, 1.9, 2.0, 2.1)
}
print(f"sharpness {top:.3f}, condition number {top / float(lams[0]):.1f}")
smaller = bool(paths[2.1].values[-1] < paths[2.1].values[0])
print("at 2.1 / lambda_max the loss is smaller after 100 steps:", smaller)
reveal_choice(
    "Is the loss smaller after 100 steps at 2.1 / lambda_max?",
    loss_is_smaller,
    smaller,
    [True, False],
)

# %%
heights = {c: (path.values - lowest) / (path.values[0] - lowest) for c, path in paths.items()}
for c, path in paths.items():
    x = path.ws @ U  # coordinates along the eigenvectors, (101, 20)
    error = (x[1:] - (1 - c * lams / top) * x[:-1]).abs().max() / x.abs().max()
    print(f"lr {c} / lambda_max: factor {1 - c:4.1f} in the top direction, every factor exact: "
          f"{bool(error < 1e-13)}; loss x {heights[c][-1]:.1e}")  # fmt: skip
top_x = {c: (path.ws @ U[:, -1]).abs() for c, path in paths.items()}
verdicts["lr 1.9 / lambda_max converges"] = bool((paths[1.9].ws[-1] @ U).abs().max() < 0.1)
verdicts["lr 2.1 / lambda_max diverges, by 1.1 a step"] = bool(
    abs(top_x[2.1][-1] / 1.1**100 - 1) < 1e-9
)
verdicts["at 2 / lambda_max the top coordinate keeps its size"] = bool(
    (top_x[2.0] - 1).abs().max() < 1e-9
)

# %%
figure, ax = plots.new_figure(width=6.2)
ends = {
    1.0: "1 / $\\lambda_{max}$",
    1.9: "1.9 / $\\lambda_{max}$",
    2.0: "2 / $\\lambda_{max}$",
    2.1: "2.1 / $\\lambda_{max}$",
}
for (c, path), look in zip(paths.items(), ("bottom", "top", "value", "curvature")):
    plots.curve(ax, path.steps, heights[c], look, markevery=10, label=f"$\\eta$ = {ends[c]}")
ax.set(yscale="log", xlabel="step", ylabel="loss / loss at the start", ylim=(1e-6, 1e9))
ax.legend(frameon=False, fontsize=9, loc="upper left")
plots.show(figure, f"A change of a tenth decides. At 1.9 the loss falls to {heights[1.9][-1]:.0e} of its start. At 2 "
    "exactly it levels off, because the top coordinate jumps from side to side for ever. At 2.1 it falls first, while the "
    "other 19 directions shrink, and then grows without bound.")  # fmt: skip

# %% [markdown]
# The top direction alone decides about divergence. And note the trap: for the first steps
# the diverging run looks like the others.
#
# **Caveat.** All of this is exact for quadratics. For a network $\lambda_{\max}$ changes along the
# way, and $\eta > 2/\lambda_{\max}$ means only that the step is too long *for the bowl one sees now*.
# Section 9 shows what then happens.
#
# ### Try it
#
# The bowl has two directions, $\lambda_1 = 1$ and $\lambda_2 = 1/\kappa$. Drag the sliders, or focus
# them and use the arrow keys. (1) Move $\eta\lambda_{\max}$ slowly from 1.5 to 2.2. (2) At 1.0, raise $\kappa$: which
# direction is now slow? (3) For $\kappa = 10$ find the learning rate with the smallest worse factor.

# %%
BowlExplorer(lr=1.9, kappa=10.0)

# %% [markdown]
# *What you should see.* (1) The zigzag across the valley dies more and more slowly, stands still at
# 2, and leaves the picture beyond. (2) The flat one: its factor $1 - 1/\kappa$ is close to 1. (3) 1.82, where
# both factors are 0.818 in size. That is the next section.

# %% [markdown]
# ## 4. Conditioning: why some bowls are slow
#
# The sharpest direction limits the learning rate, and the flattest one then has to crawl. The
# best compromise makes both factors equal in size, $\eta\lambda_{\max} - 1 = 1 - \eta\lambda_{\min}$:
#
# $$\eta_{\text{best}} = \frac{2}{\lambda_{\min} + \lambda_{\max}}, \qquad
# \text{factor per step} = \frac{\kappa - 1}{\kappa + 1}.$$
#
# **Predict.** For $\kappa = 50$ and the best learning rate: how many steps does it take to halve the
# distance to the minimum?

# %% tags=["predict-halving"]
steps_to_halve_guess = 2


# %%
def worst_factor(lr, kappa):
    """The larger of |1 - lr lambda| over both ends of a spectrum 1/kappa .. 1."""
    return np.maximum(abs(1 - lr), abs(1 - lr / kappa))


kappas, rates = (2, 5, 10, 50, 200), {}
for kappa in kappas:
    ends = ln.toys.quadratics(1, 2, eigenvalues=[1.0, 1 / kappa], shift=0.0, generator=seeded(1))
    loss, eigenvectors = ln.EmpiricalLoss(*ends.parts), torch.linalg.eigh(ends.A[0]).eigenvectors
    path = ln.gradient_descent(loss, k=1, lr=2 / (1 + 1 / kappa), steps=50, w=eigenvectors.sum(1))
    rates[kappa] = float((path.w.norm() / path.ws[0].norm()) ** (1 / 50))
    formula = (kappa - 1) / (kappa + 1)
    print(f"kappa {kappa:3}: measured factor {rates[kappa]:.4f}, formula {formula:.4f}")
steps_to_halve = np.log(2) / -np.log(rates[50])
print(f"kappa 50: {steps_to_halve:.1f} steps to halve the distance")
reveal_number("Steps to halve the distance, kappa = 50", steps_to_halve_guess, steps_to_halve)

# %%
lrs = np.linspace(0.02, 2.2, 2181)
best = {kappa: worst_factor(lrs, kappa).min() for kappa in kappas}
verdicts["best lr contracts by (kappa-1)/(kappa+1)"] = all(
    abs(rates[kappa] - (kappa - 1) / (kappa + 1)) < 1e-9 for kappa in kappas
)
verdicts["no learning rate does better"] = all(
    best[kappa] >= rates[kappa] - 1e-9 for kappa in kappas
)
print("formula holds:", verdicts["best lr contracts by (kappa-1)/(kappa+1)"])
print("nothing on a grid of learning rates is better:", verdicts["no learning rate does better"])

# %%
figure, ax = plots.new_figure(width=6.2)
for kappa, look in zip((2, 10, 50), LOOKS):
    name, dot = f"$\\kappa$ = {kappa}", {"color": look["color"], "markersize": 8}
    plots.curve(ax, lrs, worst_factor(lrs, kappa), name, **{**look, "marker": None}, linewidth=1.8)
    ax.plot(2 / (1 + 1 / kappa), rates[kappa], look["marker"], **dot)
ax.axhline(1, color=plots.GREY, linewidth=0.8)
ax.text(0.03, 1.02, "diverges above", color=plots.GREY, fontsize=9)
ax.set(xlabel="$\\eta\\,\\lambda_{max}$", ylabel="worst factor per step", ylim=(0, 1.25), xlim=(0, 2.25))  # fmt: skip
ax.legend(frameon=False, loc="lower left")
plots.show(figure, f"Each curve falls while the flat direction gains and rises as the sharp one overshoots. Marks: "
    f"measured factors at the best learning rate, {rates[2]:.3f}, {rates[10]:.3f} and {rates[50]:.3f}. The "
    "larger kappa, the closer the best point lies to the edge at 2.")  # fmt: skip

# %% [markdown]
# For large $\kappa$ the number of steps grows in proportion to $\kappa$. This is the *worst case*: starts
# without a part along the extreme eigenvectors do better, and momentum needs only about
# $\sqrt\kappa$ steps.
#
# ### One Newton step
#
# If a different learning rate in each direction is what we need, divide by the curvature:
# **Newton's step** is $w \leftarrow w - H^{-1}\nabla L$. On a quadratic with positive eigenvalues it
# lands at the minimum at once, whatever $\kappa$. And on a function that is convex (curved upwards
# everywhere) but not quadratic? We try $\log\cosh w$, whose minimum is at 0 and whose curvature is
# $1/\cosh^2 w$.

# %%
w = start - torch.linalg.solve(H, bowl.gradient(start, 1))
verdicts["one Newton step solves a convex quadratic"] = bool(w.norm() < 1e-12 * start.norm())
print(
    "distance after one Newton step is zero:", verdicts["one Newton step solves a convex quadratic"]
)
outcomes = {w0: w0 - np.tanh(w0) * np.cosh(w0) ** 2 for w0 in (0.5, 1.0, 1.2)}
print("log cosh:", ", ".join(f"from {w0} to {w1:.2f}" for w0, w1 in outcomes.items()))
verdicts["one Newton step always helps if the function is convex"] = all(
    abs(b) < a for a, b in outcomes.items()
)

# %%
figure, ax = plots.new_figure(width=6.2)
v = np.linspace(-2.2, 2.2, 100)
ax.plot(v, np.log(np.cosh(v)), color=plots.BLACK, linewidth=2)
for (w0, w1), look in zip(outcomes.items(), LOOKS):
    ends = np.array([w0, w1])
    name = f"from {w0} to {w1:.2f}"
    plots.curve(ax, ends, np.log(np.cosh(ends)), name, **look, markevery=[0], markersize=7)
    ax.plot(w1, np.log(np.cosh(w1)), "X", color=look["color"], markersize=9)
ax.set(xlabel="w", ylabel="log cosh w")
ax.legend(frameon=False, loc="upper center", title="one Newton step")
plots.show(figure, f"From 0.5 the step lands near the minimum, at {outcomes[0.5]:.2f} (cross). From 1.2 it lands at "
    f"{outcomes[1.2]:.2f}, farther away than it began: the parabola seen at 1.2 is much flatter than the valley.")  # fmt: skip

# %% [markdown]
# So: exact for a quadratic with positive eigenvalues, a promise only *near* the minimum otherwise.
# And for $N$ parameters it needs an $N \times N$ matrix and the solution of a linear system.

# %% [markdown]
# ## 5. Curvature without the matrix
#
# A network with a million parameters has a Hessian with $10^{12}$ entries. Nobody writes it down.
# But a **product** $Hv$ with one vector costs only a few gradients. Two questions can be answered
# from products alone.
#
# **What is the largest eigenvalue?** *Power iteration* multiplies a random vector with $H$ again and
# again; what is stretched most wins. *Lanczos* also remembers the vectors on the way. **Predict.** Our
# matrix has eigenvalues 3, 2.5, 2, 1, 0.5 and $-5$. To which one does power iteration lead?

# %% tags=["predict-power-iteration"]
power_guess = 3.0

# %%
A = ln.toys.quadratics(1, 6, eigenvalues=[3, 2.5, 2, 1, 0.5, -5.0], generator=seeded(2)).A[0]
v = torch.randn(6, generator=seeded(3), dtype=torch.float64)
lanczos = ln.krylov.largest_eigenpairs(lambda V: A @ V, v, 2).values
for _ in range(100):
    v = A @ v / (A @ v).norm()
power, dense = float(v @ A @ v), torch.linalg.eigvalsh(A)
print(f"dense: largest {dense[-1]:.3f}, {dense[-2]:.3f}; largest in magnitude {dense[0]:.3f}")
print(f"Lanczos: {lanczos[0]:.3f}, {lanczos[1]:.3f};  power iteration: {power:.3f}")
verdicts["Lanczos finds the largest eigenvalues"] = bool(
    (lanczos - dense.flip(0)[:2]).abs().max() < 1e-6
)
verdicts["power iteration finds the largest eigenvalue"] = bool(abs(power - dense[-1]) < 1e-6)
reveal_choice(
    "To which eigenvalue does power iteration lead?",
    float(power_guess),
    round(power, 6),
    [3.0, 2.5, 2.0, 1.0, 0.5, -5.0],
)

# %% [markdown]
# Power iteration finds the eigenvalue of largest *magnitude*. For a trained network that is usually the
# sharpness; near a saddle it need not be. [Notebook 03](03_top_eigenspace.ipynb) looks into these methods: residuals, repeated
# eigenvalues, cost.
#
# **What is the trace?** Draw a vector $v$ of random signs $\pm 1$ and take $v^\top H v$. Its mean over
# draws is $\operatorname{tr} H$ (**Hutchinson's** estimate), and the variance of one draw is known:
#
# $$\operatorname{Var}(v^\top H v) = 2 \sum_{i \ne j} H_{ij}^2 .$$
#
# The diagonal does not appear: $v_i^2 = 1$ always. The **standard error** of the mean of $S$ draws is the root of
# variance$/S$. We average with the 20 x 20 Hessian of section 3, for eight seeds.

# %%
sizes = (30, 100, 300, 1000, 3000, 10000)
runs = [
    [ln.hutchinson_trace(lambda V: H @ V, start, S, seeded(seed)) for S in sizes]
    for seed in range(8)
]
off = torch.tensor([[(run.value - H.trace()).abs() / run.stderr for run in row] for row in runs])
variance = 2 * float(H.square().sum() - H.diagonal().square().sum())
ratio = np.array([float(row[-1].stderr) ** 2 * sizes[-1] / variance for row in runs])
verdicts["Hutchinson: within 4 of its own standard errors"] = bool(off.max() < 4)
verdicts["Hutchinson: variance 2 sum H_ij^2 (within 10 %)"] = bool(abs(ratio - 1).max() < 0.1)
print(f"tr H = {H.trace():.3f}; 48 averages, the farthest {off.max():.1f} standard errors away,",
      f"{(off < 2).double().mean():.0%} within 2")  # fmt: skip
print(
    f"measured variance / formula, {sizes[-1]} draws each: {ratio.min():.3f} to {ratio.max():.3f}"
)
diagonal = ln.hutchinson_trace(lambda V: lams[:, None] * V, start, 2, seeded(0))
print("a diagonal matrix needs no second draw:", bool(abs(diagonal.value - lams.sum()) < 1e-12))

# %%
figure, ax = plots.new_figure(width=6.2)
half = [2 * (variance / S) ** 0.5 / float(H.trace()) for S in sizes]
plots.band(
    ax,
    sizes,
    [1.0] * len(sizes),
    half,
    "value",
    label="exact, with 2 standard errors of the formula",
)
for i, row in enumerate(runs):
    plots.curve(ax, sizes, [float(run.value / H.trace()) for run in row], "top", linestyle="none",
                label="eight seeds" if i == 0 else None)  # fmt: skip
ax.set(xscale="log", xlabel="number of draws S", ylabel="estimate / exact trace")
ax.legend(frameon=False, loc="upper right", fontsize=9)
plots.show(figure, "The estimates crowd into the funnel that the formula predicts. With 30 draws two standard errors are "
    f"{half[0]:.0%} of the trace, with 10000 they are {half[-1]:.1%}: a hundredfold effort buys one more digit.")  # fmt: skip

# %% [markdown]
# The tolerance of 10 % above is generous: a variance from 10 000 draws is itself uncertain by a percent or two.
#
# ## 6. What a random step costs
#
# Shake all parameters with Gaussian noise of standard deviation $\sigma$. Where the gradient is zero (a
# **critical point**), the loss rises on average by
#
# $$\mathbb{E}\,\Delta L = \tfrac12 \sigma^2 \operatorname{tr} H ,$$
#
# because each direction contributes its curvature and the mixed terms average out. (The gradient's part averages out
# at any point; at a critical point it is missing from every single step as well.) Exact for a
# quadratic, at every $\sigma$. For a network? We train three small ones on 200 digits (64-8-10, tanh,
# cross-entropy, a small L2 term so that there *is* a minimum), and write down their whole Hessian, which
# at $N = 610$ is still possible.
#
# **Predict.** Up to which of the $\sigma$ below does the formula hold within 10 %, for every network?

# %% tags=["predict-noise"]
good_up_to_guess = 1.0  # one of 0.003, 0.01, 0.03, 0.1, 0.3, 1.0

# %%
cross_entropy = torch.nn.CrossEntropyLoss(reduction="none")
digits, n = [ln.data.digits(200, seed=seed) for seed in range(3)], 200
nets = [
    ln.EmpiricalLoss(
        ln.models.MLP([64, 8, 10], generator=seeded(seed)), cross_entropy, *data, l2=1e-3
    )
    for seed, data in enumerate(digits)
]
fits = [ln.fit(net, n, tol=1e-3) for net in nets]
hessians = [net.hessian(fit.w, n) for net, fit in zip(nets, fits)]
print("trained until the gradient is shorter than 1e-3:", all(fit.converged for fit in fits))

# %% [markdown]
# Random averages are noisy, and here we know a good part of the noise: the parabola's own value
# $\tfrac12 z^\top H z$ for each draw $z$, whose mean is the formula. For the networks we therefore
# average only what the draw does *beyond* its parabola (a **control variate**). For the
# quadratic there would be nothing left, so there we average the rise itself.

# %%
sigmas = np.array([0.003, 0.01, 0.03, 0.1, 0.3, 1.0])


def rise(loss, w, k, directions):
    """Mean of L(w + z) and L(w - z), minus L(w), for each row z: odd powers of z cancel."""
    both = [loss.value(w + z, k) + loss.value(w - z, k) for z in directions]
    return torch.stack(both) / 2 - loss.value(w, k)


def over_formula(loss, w, k, A, draws, beyond_parabola):
    """(sigma, 2): mean rise / (sigma^2 tr A / 2), and its standard error; fresh draws each time."""
    rows, generator = [], seeded(5)
    for sigma in sigmas:
        z = torch.randn(draws, len(w), generator=generator, dtype=torch.float64)
        ratio = rise(loss, w, k, sigma * z) / (sigma**2 * A.trace() / 2)
        if beyond_parabola:
            ratio = 1 + ratio - ((z @ A) * z).sum(1) / A.trace()
        rows.append([float(ratio.mean()), float(ratio.std()) / draws**0.5])
    return np.array(rows)


# %%
quadratic = over_formula(bowl, bowl.w0, 1, H, 200, beyond_parabola=False)
network = np.array(
    [
        over_formula(net, fit.w, n, A, 40, beyond_parabola=True)
        for net, fit, A in zip(nets, fits, hessians)
    ]
)
within = (abs(network[:, :, 0] - 1) < 0.1).all(0)  # for each sigma: all three networks?
off = abs(quadratic[:, 0] - 1) / quadratic[:, 1]
verdicts["E dL = sigma^2 tr H / 2: a quadratic, every sigma"] = bool(off.max() < 4)
verdicts["E dL = sigma^2 tr H / 2: trained nets, sigma 0.003"] = bool(within[0])
verdicts["E dL = sigma^2 tr H / 2: trained nets, sigma 1"] = bool(within[-1])
for claim in list(verdicts)[-3:]:
    print(f"{claim}: {verdicts[claim]}")

# %% tags=["nbval-ignore-output"]
good_up_to = float(sigmas[within].max())
question = "Up to which sigma does the formula hold within 10 %?"
reveal_choice(question, float(good_up_to_guess), good_up_to, sigmas.tolist())

# %% tags=["nbval-ignore-output"]
figure, ax = plots.new_figure(width=6.2)
ax.axhline(1, color=plots.GREY, linewidth=0.9)
plots.band(
    ax, sigmas, quadratic[:, 0], 2 * quadratic[:, 1], "top", label="quadratic, ± 2 standard errors"
)
for i, ratio in enumerate(network):
    label = "three networks" if i == 0 else None
    plots.band(ax, sigmas, ratio[:, 0], 2 * ratio[:, 1], "curvature", label=label)
ax.set(
    xscale="log",
    xlabel="size of the noise, $\\sigma$",
    ylabel="mean rise / ($\\sigma^2$ tr H / 2)",
    ylim=(0, 3.8),
)
ax.legend(frameon=False, loc="upper left", fontsize=9)
print("ratios of the networks at each sigma:", network[:, :, 0].T.round(3).tolist())
plots.show(figure, "For the quadratic the ratio is 1 within its error at every sigma. "
    f"The networks follow the formula within 10 % up to sigma = {sigmas[within].max():g}; "
    f"at sigma = 1 they rise {network[:, -1, 0].min():.2f} to {network[:, -1, 0].max():.2f} times as much as it says.")  # fmt: skip

# %% [markdown]
# Where the formula fails, it fails upwards: a little farther out the networks' losses climb faster than
# their parabolas. Much farther out the climb slows down, because cross-entropy grows only in proportion to the outputs.
#
# ### The worst direction
#
# A step of length $r$ in a *random* direction costs $\tfrac12 r^2 \operatorname{tr} H / N$ on average, one
# along the top eigenvector $\tfrac12 r^2 \lambda_{\max}$. The ratio of the two,
#
# $$\frac{\lambda_{\max}}{\operatorname{tr} H / N},$$
#
# says how much more a targeted push hurts than an accident of the same size. **Predict.** How many times,
# for our networks with $N = 610$?

# %% tags=["predict-worst-direction"]
times_worse_guess = 3

# %%
radii, worst, typical = np.array([0.01, 0.03, 0.1, 0.3, 1.0, 3.0]), [], []
for seed, (net, fit) in enumerate(zip(nets, fits)):
    u = ln.top_eigenpairs(net, fit.w, n, D=1).vectors[:, 0]
    directions = torch.randn(40, len(u), generator=seeded(seed), dtype=torch.float64)
    directions = directions / directions.norm(dim=1, keepdim=True)
    worst.append([float(rise(net, fit.w, n, [r * u])[0]) for r in radii])
    typical.append(torch.stack([rise(net, fit.w, n, r * directions) for r in radii]).numpy())
worst, typical = np.array(worst), np.array(typical)  # (seed, r), (seed, r, direction)
promised = np.array([float(torch.linalg.eigvalsh(A)[-1] / A.diagonal().mean()) for A in hessians])

# %%
mean = typical.mean(2)
error = typical.std(2, ddof=1) / 40**0.5 / mean  # relative standard error over directions
hurts = worst / mean
off = abs(hurts[:, 0] / promised - 1) / error[:, 0]
claim = "top eigenvector hurts lambda_max / (tr H / N) times more, small step"
verdicts[claim] = bool(off.max() < 4)
print("at r = 0.01, within 4 standard errors for all three networks:", verdicts[claim])
print("more than 20 times worse than a random direction:", bool((hurts[:, 0] > 20).all()))

# %% tags=["nbval-ignore-output"]
reveal_number("How many times worse the top direction is", times_worse_guess, promised)

# %% tags=["nbval-ignore-output"]
figure, ax = plots.new_figure(width=6.2)
for i in range(3):
    plots.curve(ax, radii, worst[i], "top", label="top eigenvector" if i == 0 else None)
    ax.errorbar(radii, mean[i], yerr=typical[i].std(1), color=plots.ORANGE, marker="s", markersize=4, linestyle="--",
                capsize=3, label="40 random directions, ± 1 standard deviation" if i == 0 else None)  # fmt: skip
plots.log_log(
    ax, "length of the step, r", "rise of the loss", "The same length, two kinds of direction"
)
ax.legend(frameon=False, fontsize=9, loc="upper left")
plots.show(figure, f"Over two decades of r the lines are parallel. At r = 0.01 the top eigenvector hurts "
    f"{hurts[:, 0].min():.0f} to {hurts[:, 0].max():.0f} times more than a random direction; promised were "
    f"{promised.min():.0f} to {promised.max():.0f}. At r = 3 it is {hurts[:, -1].min():.0f} to {hurts[:, -1].max():.0f} times.")  # fmt: skip

# %% [markdown]
# A loss surface that looks flat along random directions may have a cliff: in a thousand dimensions a
# random direction has almost no part along the few sharp ones. Random-direction plots show the average
# curvature, not the sharpness.

# %% [markdown]
# ## 7. Saddles
#
# The surface $L(x, y) = x^2 - y^2$ curves upwards along $x$ and downwards along $y$. At the **saddle**
# (0, 0) the gradient is zero, yet it is no minimum. Four walkers:
#
# - *gradient descent on the ridge*, starting at $y = 0$ exactly, with learning rate 0.1;
# - *the same with tiny noise*, standard deviation $10^{-6}$ in each step;
# - *Newton*, $w - H^{-1}\nabla L$;
# - *|H|*: Newton's step with every eigenvalue replaced by its absolute value.
#
# **Predict.** Newton starts at $(1, 0.3)$, off the ridge. Does it go down the slope along $y$?

# %% tags=["predict-newton"]
newton_leaves = True  # your prediction: True or False

# %%
H_saddle = np.array([2.0, -2.0])  # the diagonal; the gradient is H_saddle * w


def noisy_descent(seed, noise, steps=100, lr=0.1):
    rng, w = np.random.default_rng(seed), np.array([1.0, 0.0])
    path = [w]
    for _ in range(steps):
        w = w - lr * H_saddle * w + noise * rng.standard_normal(2)
        path.append(w)
    return np.array(path)


# %%
ridge, noisy = noisy_descent(0, 0.0), np.array([noisy_descent(seed, 1e-6) for seed in range(20)])
corner = np.array([1.0, 0.3])
newton, absolute = [corner], [corner]
for _ in range(3):
    newton.append(newton[-1] - H_saddle * newton[-1] / H_saddle)
    absolute.append(absolute[-1] - H_saddle * absolute[-1] / abs(H_saddle))
newton, absolute = np.array(newton), np.array(absolute)

# %%
verdicts["saddle: noise escapes (20 of 20 seeds)"] = bool((abs(noisy[:, -1, 1]) > 1).all())
verdicts["saddle: Newton converges to it"] = bool(np.allclose(newton[1:], 0))
verdicts["saddle: the |H| step leaves it"] = bool(
    np.allclose(absolute[:, 1], 0.3 * 2.0 ** np.arange(4))
)
for claim in list(verdicts)[-3:]:
    print(f"{claim}: {verdicts[claim]}")
print(
    "without noise, distance from the saddle after 100 steps is below 1e-9:",
    bool(np.linalg.norm(ridge[-1]) < 1e-9),
)
escape = (abs(noisy[:, :, 1]) > 1).argmax(1)
print(f"steps until |y| > 1 with noise: {escape.min()} to {escape.max()}")
reveal_choice(
    "Does Newton go down the slope along y?",
    newton_leaves,
    not np.allclose(newton[-1], 0),
    [True, False],
)

# %%
figure, (left_ax, right_ax) = plots.new_figure(2, width=4.6, height=3.8)
g = np.linspace(-1.3, 1.3, 101)
left_ax.contour(g, g, g**2 - g[:, None] ** 2, np.arange(-1.5, 1.6, 0.25), colors=plots.GREY, linewidths=0.7)  # fmt: skip
named = {"|H| step": absolute, "gradient, noise": noisy[0], "Newton": newton}
for (name, path), look in zip(named.items(), LOOKS):
    plots.curve(left_ax, *path.T, name, **look, linewidth=1.8, markersize=5)
left_ax.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
left_ax.set(xlabel="x (curves up)", ylabel="y (curves down)")
left_ax.legend(fontsize=8, loc="lower left")
y = abs(noisy[:, 1:, 1]).T  # (step, seed); y = 0 at the start has no place on a logarithmic axis
lines = right_ax.plot(np.arange(1, 101), y, color=plots.GREEN, linewidth=0.8, alpha=0.6)
lines[0].set_label("|y|, 20 seeds of noise")
plots.curve(right_ax, np.arange(101), abs(ridge[:, 0]), "value", color=plots.BLACK, label="|x|, no noise (y stays 0)")  # fmt: skip
right_ax.set(yscale="log", xlabel="step", ylabel="distance along the axis", ylim=(1e-10, 1e3))
right_ax.legend(frameon=False, fontsize=8, loc="upper left")
plots.show(figure, "Left: Newton jumps onto the saddle and stays; the |H| step doubles y each time and leaves. Right: a millionth of noise "
    f"grows by 1.2 a step, so every one of 20 seeds is away after {escape.min()} to {escape.max()} steps; without noise descent creeps into the saddle.")  # fmt: skip

# %% [markdown]
# Newton looks for a point where the gradient is zero and does not ask of which kind. Training with small
# batches brings noise along, which can turn a saddle from a trap into a slow place.
# The noise must have some part along the downward direction; ours does, in every direction.

# %% [markdown]
# ## 8. Is flatness a property of the network?
#
# "Flat minima generalise better" is often said: small $\lambda_{\max}$ after training, good
# predictions on new data. Before one can believe it, flatness must be a property of the *function*
# that the network computes. Is it?
#
# ReLU keeps a positive factor: $\operatorname{relu}(a z) = a \operatorname{relu}(z)$. So in a network
# $W_2 \operatorname{relu}(W_1 x)$ we may multiply $W_1$ by $a$ and divide $W_2$ by $a$. Every output
# stays the same.
#
# **Predict.** What does this do to the sharpness: nothing, or multiply it by how much? Sketch a curve:
# how many times larger than at $a = 1$ it is, at three values of $a$.

# %% tags=["predict-rescaled"]
sharpness_sketch = {0.1: 1.0, 1.0: 1.0, 10.0: 1.0}  # scale a: sharpness(a) / sharpness(1)

# %%
scales = np.array([0.1, 0.3, 1.0, 3.0, 10.0])


def rescaled(w, a):
    """The first 64 x 16 weights times a, the other 16 x 10 divided by a: the same function."""
    return torch.cat([w[:1024] * a, w[1024:] / a])


def sharpness(loss, w, k, start=None, tol=1e-3):
    return float(ln.top_eigenpairs(loss, w, k, D=1, tol=tol, start=start).values[0])


# %%
sharp_at, same_output = [], []
for seed, data in enumerate(digits):
    relu = ln.models.MLP([64, 16, 10], torch.nn.ReLU, bias=False, generator=seeded(seed))
    loss = ln.EmpiricalLoss(relu, cross_entropy, *data, l2=1e-3)
    w, loss = ln.fit(loss, n, max_iterations=60).w, loss.without_l2()
    out = loss.outputs(w, n)
    same_output += [
        (loss.outputs(rescaled(w, a), n) - out).abs().max() / out.abs().max() for a in scales
    ]
    sharp_at.append([sharpness(loss, rescaled(w, a), n) for a in scales])
relative = np.array(sharp_at) / np.array(sharp_at)[:, [2]]

# %%
verdicts["rescaled: outputs equal to rounding"] = bool(max(same_output) < 1e-12)
verdicts["rescaled: lambda_max more than 10 x at a = 10"] = bool((relative[:, -1] > 10).all())
for claim in list(verdicts)[-2:]:
    print(f"{claim}: {verdicts[claim]}")

# %% tags=["nbval-ignore-output"]
reveal_curve("Sharpness / sharpness at a = 1", sharpness_sketch, scales, relative, xlabel="scale a")

# %% tags=["nbval-ignore-output"]
figure, ax = plots.new_figure(width=6.2)
for i, row in enumerate(relative):
    plots.curve(ax, scales, row, "top", label="three trained ReLU networks" if i == 0 else None)
plots.log_log(
    ax,
    "scale a",
    "$\\lambda_{max}$(a) / $\\lambda_{max}$(1)",
    "One function, many sharpnesses",
    ticks=scales,
)
ax.axhline(1, color=plots.GREY, linewidth=0.8)
ax.legend(frameon=False, loc="upper center")
plots.show(figure, f"The function never changes, the sharpness does: at a = 10 it is {relative[:, -1].min():.0f} to "
    f"{relative[:, -1].max():.0f} times larger, at a = 0.1 {relative[:, 0].min():.0f} to {relative[:, 0].max():.0f} times.")  # fmt: skip

# %% [markdown]
# The same network is as sharp as you like. So "sharp" alone can't decide about new data (Dinh and others, 2017).
# What survives: comparing points of *one* training recipe, or measures of flatness that take the
# scale of the weights into account. Note that $\lambda_{\max}$ rises in *both* directions: there is a
# flattest scale in between, for these networks near $a = 1$, where training left the two layers about equally large.

# %% [markdown]
# ## 9. The edge of stability
#
# Section 3 said: with $\eta > 2/\lambda_{\max}$ a step overshoots and the loss grows. One would choose
# $\eta$ below that and be safe. But a network's sharpness changes while it trains. Cohen and others
# (2021) reported that under full-batch gradient descent it *rises* until it reaches $2/\eta$, and then
# **hovers** there, while the loss goes on falling. They called it the **edge of stability**.
#
# We try: an MLP 64-16-16-10 with tanh, 100 digits (pixels with their mean subtracted), squared loss, two learning
# rates, three seeds. We chose the learning rates so that the edge comes within 600 steps; with smaller ones the sharpness
# is still climbing by then.
#
# **Predict.** With the larger learning rate, will the sharpness at the end be larger or smaller?

# %% tags=["predict-edge"]
larger_rate_ends = "sharper"  # your prediction: "sharper" or "flatter"


# %%
def squared(outputs, labels):
    return (outputs - torch.nn.functional.one_hot(labels, 10).to(outputs)).square().sum(1) / 2


def small_net(seed, loss_fn):
    x, y = ln.data.digits(100, seed=seed)
    model = ln.models.MLP([64, 16, 16, 10], generator=seeded(seed))
    return ln.EmpiricalLoss(model, loss_fn, x - x.mean(0), y)


# %%
def sharpness_along(loss, path):
    """Sharpness at every kept point; each search starts from the last one's eigenvector."""
    values, start = [], None
    for w in path.ws:
        pair = ln.top_eigenpairs(loss, w, 100, D=1, tol=1e-2, start=start)
        values.append(float(pair.values[0]))
        start = pair.vectors
    return np.array(values)


# %%
edge_rates, edge = (0.4, 0.6), {}
for lr in edge_rates:
    for seed in range(3):
        loss = small_net(seed, squared)
        path = ln.gradient_descent(loss, k=100, lr=lr, steps=600, every=50)
        edge[lr, seed] = sharpness_along(loss, path), path.values.numpy()
steps = path.steps.numpy()
sharp = np.array([[edge[lr, seed][0] for seed in range(3)] for lr in edge_rates])  # (lr, seed, t)
falling = np.array([[edge[lr, seed][1] for seed in range(3)] for lr in edge_rates])
relative = sharp * np.array(edge_rates)[:, None, None] / 2  # 1 is the edge
late = relative[:, :, steps >= 450]

# %%
verdicts["edge: sharpness rises at first"] = bool((sharp[:, :, 3] > 1.05 * sharp[:, :, 0]).all())
verdicts["edge: from step 450 within 30 % of 2 / lr"] = bool((abs(late - 1) < 0.3).all())
verdicts["edge: lr 0.4 ends sharper than anything lr 0.6 shows late"] = bool(
    sharp[0, :, -1].min() > sharp[1][:, steps >= 450].max()
)
verdicts["edge: the loss goes on falling, step 300 to 600"] = bool(
    (falling[:, :, -1] < falling[:, :, 6]).all()
)
verdicts["edge: the loss falls from each look to the next"] = bool((np.diff(falling) < 0).all())
for claim in list(verdicts)[-5:]:
    print(f"{claim}: {verdicts[claim]}")
flatter = bool((sharp[1, :, -1] < sharp[0, :, -1]).all())
print("the larger learning rate ends flatter, every seed:", flatter)
question = "How does the larger learning rate end?"
ends_as = "flatter" if flatter else "sharper"
reveal_choice(question, larger_rate_ends, ends_as, ["sharper", "flatter"])

# %% tags=["nbval-ignore-output"]
figure, (left_ax, right_ax) = plots.new_figure(2, width=4.7, height=3.9)
for i, (lr, look) in enumerate(zip(edge_rates, LOOKS[::2])):
    colour, at_the_end = look["color"], left_ax.get_yaxis_transform()
    left_ax.axhline(2 / lr, color=colour, linewidth=1, linestyle=(0, (1, 2)))
    left_ax.text(1.01, 2 / lr, f"2 / {lr}", color=colour, va="center", transform=at_the_end)
    for ax, rows in ((left_ax, sharp[i]), (right_ax, falling[i])):
        plots.spread(ax, steps, rows, f"$\\eta$ = {lr}", **look)
left_ax.set(xlabel="step", ylabel="sharpness $\\lambda_{max}$", ylim=(0, 8))
right_ax.set(xlabel="step", ylabel="loss", yscale="log")
right_ax.set_yticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"])
right_ax.minorticks_off()
right_ax.legend(frameon=False)
plots.show(figure, "Left: sharpness climbs and stops near its own dotted line. From step 450 it is "
    + ", ".join(f"{r.min():.2f} to {r.max():.2f} of 2/lr at lr = {lr}" for lr, r in zip(edge_rates, late))
    + ". Right: the loss goes on falling, no longer smoothly. Shading spans three seeds.")  # fmt: skip

# %% [markdown]
# What we saw: the lid is made by the *learning rate*, not by the landscape. With $\eta = 0.4$ the
# sharpness climbs past the value at which 0.6 is held. On the way it overshoots, because divergence needs time
# to build up; then it settles slightly *above* $2/\eta$. The band of 30 % in our check is wide: it
# has to hold the overshoot of the slowest seed. (A first check, within 15 %, failed for $\eta = 0.4$; network
# and rates were chosen, after a short scan, so that the edge comes within 600 steps.) Divergence along the top direction carries $w$ to places where that
# direction is less sharp. A quadratic has no such places, which is why section 3 diverges and this does not.
#
# **With cross-entropy** we see another ending: its curvature shrinks as the network grows sure of its
# answers, and these 100 digits are soon learned.

# %%
entropy = []
for seed in range(3):
    loss = small_net(seed, cross_entropy)
    path = ln.gradient_descent(loss, k=100, lr=1.5, steps=200, every=20)
    entropy.append(sharpness_along(loss, path) * 1.5 / 2)  # 1 is the edge
entropy = np.array(entropy)
back = bool((entropy[:, -1] < entropy.max(1) / 2).all())
print("cross-entropy: at step 200 the sharpness is under half of its peak:", back)

# %% tags=["nbval-ignore-output"]
figure, ax = plots.new_figure(width=6.2)
ax.axhline(1, color=plots.GREY, linewidth=0.9)
for i, row in enumerate(entropy):
    label = "cross-entropy, lr 1.5, three seeds" if i == 0 else None
    plots.curve(ax, np.arange(0, 201, 20), row, "random", label=label)
ax.set(xlabel="step", ylabel="sharpness / (2 / lr)", ylim=(0, 1.3))
ax.text(0, 1.02, "the edge", color=plots.GREY)
ax.legend(frameon=False, loc="upper right")
plots.show(figure, f"The sharpness rises to a peak of {entropy.max(1).min():.2f} to {entropy.max(1).max():.2f} of 2/lr, seen every 20 steps, and comes down again, to "
    f"{entropy[:, -1].min():.2f} to {entropy[:, -1].max():.2f} after 200 steps: no hovering here.")  # fmt: skip

# %% [markdown]
# ## 10. Batch size and sharpness
#
# "Small batches find flatter minima." A batch is the handful of samples whose mean gradient makes
# one step. Here we **report and assert nothing**. The same network and squared loss, five seeds, batches of 5 and of all
# 100 samples, and two learning rates. Small batches also lower the loss at another speed, so there are two fair comparisons:
#
# - **same steps**: after 160 steps each;
# - **same loss**: at the first look (every 20 steps) at which the loss over all 100 samples is at most 0.27.
#
# **Predict.** In how many of the five seeds is the small batch flatter, with learning rate 0.3 and after the same number of steps?

# %% tags=["predict-batches"]
flatter_guess = 0  # 0 to 5

# %%
batch_rates, batches, same_loss = (0.3, 0.1), (5, 100), 0.27


def two_sharpnesses(seed, lr, batch):
    """Sharpness after 160 steps and at the same loss, and the loss after 160 steps."""
    loss = small_net(seed, squared)
    path = ln.gradient_descent(
        loss, k=100, lr=lr, steps=160, every=20, batch_size=batch, generator=seeded(seed)
    )
    reached = (path.values <= same_loss).nonzero()
    points = [path.w, path.ws[int(reached[0])]] if len(reached) else [path.w]
    found = [sharpness(loss, w, 100, tol=1e-2) for w in points]
    return [*found, *[np.nan] * (2 - len(found)), float(path.values[-1])]


batch_runs = np.array(
    [[[two_sharpnesses(seed, lr, b) for b in batches] for seed in range(5)] for lr in batch_rates]
)  # (lr, seed, batch, what)

# %% tags=["nbval-ignore-output"]
cases = {
    f"lr {lr}, same {what}": batch_runs[i, :, :, j]
    for i, lr in enumerate(batch_rates)
    for j, what in enumerate(("steps", "loss"))
}
for name, pairs in cases.items():
    pairs = pairs[np.isfinite(pairs).all(1)]
    print(f"{name}: batch 5 {pairs[:, 0].mean():.2f} ({pairs[:, 0].min():.2f} to {pairs[:, 0].max():.2f}), "
          f"batch 100 {pairs[:, 1].mean():.2f} ({pairs[:, 1].min():.2f} to {pairs[:, 1].max():.2f}), "
          f"batch 5 flatter in {(pairs[:, 0] < pairs[:, 1]).sum()} of {len(pairs)}")  # fmt: skip
print(
    "mean loss after 160 steps (rows: lr, columns: batch):",
    batch_runs[:, :, :, 2].mean(1).round(3).tolist(),
)

# %% tags=["nbval-ignore-output"]
flatter_seeds = int((batch_runs[0, :, 0, 0] < batch_runs[0, :, 1, 0]).sum())
reveal_choice(
    "In how many of five seeds is the small batch flatter (lr 0.3, same steps)?",
    flatter_guess,
    flatter_seeds,
    list(range(6)),
)

# %% tags=["nbval-ignore-output"]
figure, ax = plots.new_figure(width=7.4)
colours = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.PURPLE, plots.VERMILLION)
for i, pairs in enumerate(cases.values()):
    for seed, (colour, marker) in enumerate(zip(colours, "os^Dv")):
        label = f"seed {seed}" if i == 0 else None
        ax.plot([i - 0.2, i + 0.2], pairs[seed], color=colour, marker=marker, label=label)
ax.set_xticks([i + shift for i in range(4) for shift in (-0.2, 0.2)], ["5", "100"] * 4)
for i, name in enumerate(cases):
    ax.text(i, 0.25, name.replace(", ", "\n"), ha="center", fontsize=9)
ax.set(
    xlabel="batch size",
    ylabel="sharpness $\\lambda_{max}$",
    ylim=(0, 1.1 * np.nanmax(batch_runs[:, :, :, :2])),
)
ax.legend(frameon=False, fontsize=8, ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0))
gaps = {name: float(np.nanmean(p[:, 1] / p[:, 0])) for name, p in cases.items()}
plots.show(figure, "Each line joins the two batch sizes of one seed. Full batch is sharper by a factor of "
    + ", ".join(f"{gap:.2f} ({name})" for name, gap in gaps.items()) + " on average.")  # fmt: skip

# %% [markdown]
# What we found on our machine. In each comparison the small batch ended flatter in every seed. Whether you
# would call it a trend depends on the learning rate. At 0.3 and after the same number of steps it is plain: the two groups do not
# overlap. At the same loss most of the difference is gone, so a good part of it was the full batch being *further along*, on its way up to
# the edge. At 0.1 only about 3 % remain, much less than the spread from seed to seed: **unpaired runs
# would not have shown it**. We see it only because each line joins two runs with the same start and the same
# digits. Five seeds of one small network support no law, and nothing here was measured on new data.

# %% [markdown]
# ## 11. Alignment and governance: an opinion
#
# *This paragraph is opinion; nothing in this notebook tests it.* One reads that curvature could serve the
# oversight of large models: flat regions as a mark of robust or safe behaviour, sharpness as a
# quantity to be reported or regulated. We would be careful. Section 8 shows that sharpness can be changed at
# will without touching the function, so a threshold on it would constrain nothing that anyone
# meets in use. What such a number depends on (loss, data, scale of the weights, number of
# directions looked at) has to be stated with it, or it can't be compared. As a tool for understanding
# why a training run is unstable, curvature is useful; as a certificate of good behaviour it has, to our knowledge, no evidence behind it.

# %% [markdown] tags=["exercises"]
# ## Exercises
#
# This part stands on its own: after a break, start here with the next cell. Write each answer in
# place of `raise NotImplementedError()`, run it, and run the folded cell below it (the three dots). Its
# **public check** says what is wrong, without giving the answer away. When you are done, compare with
# [the solutions](solutions/02_curvature.ipynb).

# %%
from itertools import product as all_choices

import numpy as np
import torch

from landscape_nb import plots
from landscape_nb.course import check, check_properties


# %% [markdown]
# **1. How many steps?** Gradient descent runs on a quadratic with positive eigenvalues, with the one
# learning rate that is best in the worst case (section 4). After how many steps has the *distance*
# to the minimum shrunk to at most `fraction` of what it was, wherever one starts?


# %% jupyter={"source_hidden": true}
def steps_counted(eigenvalues, fraction, lr=None):
    """Steps until the worst start has come near enough; lr None: the best of a fine grid."""
    grid = np.linspace(0, 2 / max(eigenvalues), 100_001)[1:] if lr is None else np.array([lr])
    factor = abs(1 - np.outer(grid, eigenvalues)).max(1).min()
    distance, steps = 1.0, 0
    while distance > fraction:
        distance, steps = factor * distance, steps + 1
    return steps


# %% tags=["answer-1"]
def steps_needed(eigenvalues, fraction):
    """The smallest such whole number; eigenvalues: array (N,), any order, not all equal."""
    ### BEGIN SOLUTION
    kappa = max(eigenvalues) / min(eigenvalues)
    factor = (kappa - 1) / (kappa + 1)
    return int(np.ceil(np.log(fraction) / np.log(factor)))
    ### END SOLUTION


# %% tags=["check-1", "points-1"]
spectra = ([10.0, 0.1], [1.0, 3.0, 2.0], [0.5, 8.0, 4.0, 2.0])
cases = [{"eigenvalues": np.array(s), "fraction": f} for s in spectra for f in (0.5, 1e-3)]
hints = {
    "A number of steps is whole. When is the goal reached?": (
        lambda **case: steps_needed(**case) if steps_needed(**case) % 1 else np.nan
    ),
    "One step too few: is the goal reached by then?": lambda **case: steps_counted(**case) - 1,
    "Is this for the best learning rate? It fits 1 / lambda_max.": (
        lambda **case: steps_counted(**case, lr=1 / max(case["eigenvalues"]))
    ),
    "Are the eigenvalues in any order?": (
        lambda eigenvalues, fraction: steps_counted(eigenvalues[[0, -1]], fraction)
    ),
    "Is this when the loss has shrunk to the fraction? Asked for is the distance.": (
        lambda eigenvalues, fraction: steps_counted(eigenvalues, fraction**0.5)
    ),
}
check("1", steps_needed, steps_counted, cases, hints)

# %% tags=["hidden-1", "points-2"]
import numpy as np_1  # noqa: E402

for spectrum_1, fraction_1 in (([4.0, 0.08, 1.0], 1e-3), ([2.0, 7.0], 0.05), ([0.3, 0.2], 1e-9)):
    found_1 = float(steps_needed(np_1.array(spectrum_1), fraction_1))
    lam_1 = np_1.array(spectrum_1)
    lr_1, x_1, steps_1 = 2 / (lam_1.min() + lam_1.max()), np_1.zeros(len(lam_1)), 0
    x_1[[lam_1.argmin(), lam_1.argmax()]] = 1.0  # a start where no direction is quick
    goal_1 = fraction_1 * np_1.linalg.norm(x_1)
    while np_1.linalg.norm(x_1) > goal_1:
        x_1, steps_1 = x_1 - lr_1 * lam_1 * x_1, steps_1 + 1
    assert found_1 == steps_1, f"wrong for the eigenvalues {spectrum_1}, fraction {fraction_1}"
own_1 = "steps_counted" not in steps_needed.__code__.co_names
assert own_1, "answer without the check's own function"

# %% [markdown]
# **2. How good is a trace from $S$ draws?** Hutchinson's estimate is the mean of $v^\top H v$ over $S$
# vectors $v$ of random signs (section 5). How large is its *standard error*, relative to the trace? The
# matrix may have hundreds of rows, so there is no trying all sign vectors.


# %% jupyter={"source_hidden": true}
def over_all_signs(H, S, beside=0.0):
    """By trying all 2^N sign vectors; beside: what a hint adds to their variance."""
    draws = [np.array(v) @ H @ np.array(v) for v in all_choices([1, -1], repeat=len(H))]
    return (np.var(draws) + beside) ** 0.5 / np.mean(draws) / S**0.5


pair = np.array([[2.0, 1.0], [1.0, 3.0]])
three = np.array([[4.0, 1.0, -2.0], [1.0, 5.0, 0.5], [-2.0, 0.5, 1.0]])


# %% tags=["answer-2"]
def relative_error(H, S):
    """Standard error of the mean of S draws, divided by tr H; H symmetric, array (N, N)."""
    ### BEGIN SOLUTION
    off_diagonal = (H**2).sum() - (np.diag(H) ** 2).sum()
    return np.sqrt(2 * off_diagonal / S) / np.trace(H)
    ### END SOLUTION


# %% tags=["check-2", "points-1"]
cases = [{"H": pair, "S": 1}, {"H": pair, "S": 9}, {"H": three, "S": 9}, {"H": three, "S": 50}]
hints = {
    "Yours is not 0 for a diagonal matrix. Does the estimate vary there?": (
        lambda H, S: over_all_signs(H, S, beside=2 * (np.diag(H) ** 2).sum())
    ),
    "Relative to what is it asked for?": lambda H, S: over_all_signs(H, S) * np.trace(H),
    "Too small by the root of 2. What stands before the sum, and which entries does it take?": (
        lambda H, S: over_all_signs(H, S) / 2**0.5
    ),
}
check("2", relative_error, over_all_signs, cases, hints)

# %% tags=["hidden-2", "points-2"]
from itertools import product as choices_2  # noqa: E402

import numpy as np_2  # noqa: E402

draws_2 = np_2.random.default_rng(2)
for N_2, S_2 in ((4, 3), (8, 20), (10, 1)):
    H_2 = draws_2.normal(size=(N_2, N_2))
    H_2 = H_2 + H_2.T + 4 * np_2.eye(N_2)
    found_2 = float(relative_error(H_2.copy(), S_2))
    signs_2 = np_2.array(list(choices_2([1, -1], repeat=N_2)))
    forms_2 = np_2.einsum("vi,ij,vj->v", signs_2, H_2, signs_2)
    right_2 = forms_2.std() / S_2**0.5 / forms_2.mean()
    assert np_2.isclose(found_2, right_2), f"wrong for another H with {N_2} rows and S = {S_2}"
found_2 = float(relative_error(np_2.diag([1.0, 2.0, 3.0]), 5))
assert abs(found_2) < 1e-12, "wrong for a diagonal matrix: does the estimate vary there?"
own_2 = "over_all_signs" not in relative_error.__code__.co_names
assert own_2, "answer without the check's own function"

# %% [markdown]
# **3. Away from a saddle.** Newton's step walks into a saddle (section 7). The $|H|$ step leaves it: $d =
# -|H|^{-1} g$, where $|H|$ has the eigenvectors of $H$ and the *absolute values* of its eigenvalues. In
# section 7 the matrix was diagonal. Now it may be any symmetric matrix without eigenvalue zero.
# (`np.linalg.eigh` gives the eigenvalues, ascending, and the eigenvectors, as columns.)


# %% jupyter={"source_hidden": true}
saddles = [  # g, H and, worked out by hand, |H|
    ([1.0, 3.0], [[2, 0], [0, -4]], [[2, 0], [0, 4]]),
    ([1.0, 0.5], [[1, -2], [-2, 1]], [[2, -1], [-1, 2]]),
    ([1.0, -2.0, 0.5], [[1, 0, 2], [0, 5, 0], [2, 0, 1]], [[2, 0, 1], [0, 5, 0], [1, 0, 2]]),
]
by_hand = {tuple(g): -np.linalg.solve(absolute, g) for g, _, absolute in saddles}


def own_if_right_length(gradient, H):
    own = np.asarray(saddle_free_step(gradient, H))
    right = by_hand[tuple(gradient)]
    turned = np.isclose(np.linalg.norm(own), np.linalg.norm(right)) and not np.allclose(own, -right)
    return own if turned else np.nan * own


# %% tags=["answer-3"]
def saddle_free_step(gradient, H):
    """The step d, array (N,); gradient: array (N,); H: symmetric array (N, N)."""
    ### BEGIN SOLUTION
    values, vectors = np.linalg.eigh(H)
    return -vectors @ ((vectors.T @ gradient) / abs(values))
    ### END SOLUTION


# %% tags=["check-3", "points-1"]
cases = [{"gradient": np.array(g), "H": np.array(H, dtype=float)} for g, H, _ in saddles]
hints = {
    "This is Newton's step. Where does it go at a saddle?": (
        lambda gradient, H: -np.linalg.solve(H, gradient)
    ),
    "The absolute values of the entries are not those of the eigenvalues.": (
        lambda gradient, H: -np.linalg.pinv(abs(H)) @ gradient
    ),
    "Its length is right, its direction is not. In which coordinates is it written?": (
        own_if_right_length
    ),
    "Is |H| there, where its inverse should be?": (
        lambda gradient, H: H @ H @ by_hand[tuple(gradient)]
    ),
}
check("3", saddle_free_step, lambda gradient, H: by_hand[tuple(gradient)], cases, hints)

# %% tags=["hidden-3", "points-2"]
import numpy as np_3  # noqa: E402

draws_3 = np_3.random.default_rng(3)
for N_3 in (2, 5, 30):
    Q_3 = np_3.linalg.qr(draws_3.normal(size=(N_3, N_3))).Q  # eigenvectors, known by construction
    lam_3 = draws_3.uniform(0.5, 4, N_3) * draws_3.choice([-1, 1], N_3)
    g_3 = draws_3.normal(size=N_3)
    d_3 = np_3.asarray(saddle_free_step(g_3.copy(), (Q_3 * lam_3) @ Q_3.T), dtype=float)
    assert d_3.shape == (N_3,), f"the step must have the gradient's shape, (N,), at N = {N_3}"
    right_3 = -sum(q @ g_3 / abs(v) * q for q, v in zip(Q_3.T, lam_3))
    assert np_3.allclose(d_3, right_3), f"wrong for another symmetric H with {N_3} rows"

# %% [markdown]
# **4. A minimum as sharp as you like.** The smallest "network" has two weights and one sample, $L(w_1,
# w_2) = \tfrac12 (w_1 w_2 - 1)^2$. Every point with $w_1 w_2 = 1$ is a minimum with loss 0, and all of
# them compute the same function, $x \mapsto x$. Design minima to order: with loss 0, and with the
# largest eigenvalue of the Hessian that is asked for.
#
# The check draws your minima. This is the picture to expect:
#
# ![A curve in the plane of the two weights, falling from the upper left to the lower right as one over w1 does. Three marks sit on it: sharpness 2 at the point (1, 1), sharpness 4 somewhat away from it, and sharpness 9 farther out, near (3, 0.3) or its mirror image. Grey level curves run beside the curve, close together where the minimum is sharp and far apart near (1, 1).](pictures/exercise-02-4.png)


# %% jupyter={"source_hidden": true}
def smallest_network(w):
    return (w[0] * w[1] - 1) ** 2 / 2


def largest_curvature(w):
    w = torch.tensor([float(x) for x in w], dtype=torch.float64)
    return float(torch.linalg.eigvalsh(torch.func.hessian(smallest_network)(w))[-1])


orders = (2.0, 4.0, 9.0)
properties = {
    "two finite numbers": lambda ws: all(len(w) == 2 and np.isfinite(w).all() for w in ws),
    "loss 0, at every order": lambda ws: max(smallest_network(w) for w in ws) < 1e-9,
    "sharpness 2 where 2 is ordered": lambda ws: abs(largest_curvature(ws[0]) - 2) < 1e-3,
    "the ordered sharpness (which eigenvalues has H on the curve of minima?)": (
        lambda ws: np.allclose([largest_curvature(w) for w in ws], orders, rtol=1e-4)
    ),
}


# %% tags=["answer-4"]
def sharp_minimum(sharpness):
    """(w1, w2) with loss 0 and the largest Hessian eigenvalue `sharpness`, a number >= 2."""
    ### BEGIN SOLUTION
    # On the curve the Hessian is v v' with v = (w2, w1): its eigenvalues are w1^2 + w2^2 and 0.
    # So (w1 + w2)^2 = sharpness + 2 and (w1 - w2)^2 = sharpness - 2.
    w1 = (np.sqrt(sharpness + 2) + np.sqrt(sharpness - 2)) / 2
    return w1, 1 / w1
    ### END SOLUTION


# %% tags=["check-4", "points-1", "picture-exercise-02-4"]
check_properties("4", lambda: [sharp_minimum(order) for order in orders], properties)

figure, ax = plots.new_figure(width=5.4, height=3.9)
w1, grid = np.linspace(0.2, 4, 200), np.linspace(0.02, 4, 200)
heights = smallest_network(np.meshgrid(grid, grid))
ax.contour(grid, grid, heights, [0.02, 0.08, 0.18], colors=plots.GREY, linewidths=0.8)
plots.curve(ax, w1, 1 / w1, "minima, loss 0", color=plots.BLACK, marker=None)
looks = zip((plots.BLUE, plots.GREEN, plots.VERMILLION), "o^s", strict=True)
for order, (colour, mark) in zip(orders, looks, strict=True):
    w = sharp_minimum(order)
    label, size = f"sharpness {largest_curvature(w):.2f}", {"markersize": 9, "linestyle": "none"}
    plots.curve(ax, *np.abs(w)[:, None], label, marker=mark, color=colour, **size)
ax.set(xlabel="$|w_1|$", ylabel="$|w_2|$", xlim=(0, 4), ylim=(0, 4))
ax.legend(frameon=False)
plots.show(
    figure,
    "Your three minima lie on the black curve, where the loss is 0. The sharper one is, the nearer "
    "the grey level curves (0.02, 0.08, 0.18) run to it.",
)

# %% tags=["hidden-4", "points-2"]
import numpy as np_4  # noqa: E402

for order_4 in (2.0, 2.5, 10.0, 1e4):
    a_4, b_4 = (float(x) for x in sharp_minimum(order_4))
    assert abs(a_4 * b_4 - 1) < 1e-9, f"the loss is not 0 where sharpness {order_4} is ordered"
    H_4 = np_4.array([[b_4**2, 2 * a_4 * b_4 - 1], [2 * a_4 * b_4 - 1, a_4**2]])  # by hand
    sharpness_4 = np_4.linalg.eigvalsh(H_4).max()
    right_4 = np_4.isclose(sharpness_4, order_4, rtol=1e-6)
    assert right_4, f"the minimum has not the sharpness that is ordered, {order_4}"

# %% [markdown]
# **5. In words.** A report says: "With batches of 32 our network ended at sharpness 3, with batches of
# 1024 at sharpness 12. So small batches find flatter minima, and this is why they do better on new
# data." What would you want measured, or compared differently, before you believe the first half of
# the conclusion, and what before you believe the second? Four to six sentences.

# %% [markdown] tags=["manual-5", "points-3"]
# ### BEGIN SOLUTION
# *First half.* Two runs are an anecdote: repeat both batch sizes from the same starts and seeds, and
# compare in pairs, because seeds may differ by more than the effect. Were both runs equally far
# along? After the same number of steps the full batch of section 10 was further on its way up to the
# edge of stability, and at the same loss most of the difference was gone. The learning rate has to be
# stated too, since it sets the lid: sharpness stops near $2/\eta$, so a run with another rate ends at
# another sharpness. *Second half.* Nothing in the report was measured on new data. And sharpness is
# not a property of the function: multiply one layer of a ReLU network by $a$ and divide the next by
# $a$, and every prediction stays while the sharpness changes manyfold. So one would need test losses,
# over many runs of one recipe or with a measure that takes the scale of the weights into account, and
# even then a correlation is not a cause.
#
# *Rubric.* One point each: pairs and several seeds, with their spread; the same loss beside the same
# steps, or the learning rate's lid; sharpness depends on the scale of the weights, or nothing was
# measured on new data.
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
# - **Exact means: for quadratics.** Sections 3, 4 and the first half of 6 are algebra, and tell about a network only
#   as far as its loss is a parabola. Section 6 showed how far: for our networks up to noise of a few hundredths in each parameter.
# - **A minimum is never quite reached.** The networks of section 6 stopped at a small gradient, and those of
#   sections 9 and 10 were not at a minimum at all. "The Hessian at the minimum" is then the Hessian somewhere near.
# - **The edge is one recipe.** Squared loss, tanh, full batches, pixels with their mean subtracted, learning rates chosen so that it arrives in time.
#   Our cross-entropy runs did not hover. With small batches the sharpness stays lower, as in section 10.
# - **Sharpness is one number out of as many as there are parameters.** Loss surfaces have a few sharp directions and very many flat
#   ones; a trace, a largest eigenvalue and a condition number answer different questions.
# - **An average is not a step.** The mean rise under noise needs no critical point, because the gradient's part cancels in
#   $\pm z$. The cost of one given step does need it: away from a critical point the gradient decides first.

# %% [markdown]
# ## Summary
#
# Each line is a claim and what this notebook found. Batch size is missing on purpose: we asserted nothing.

# %%
for claim, holds in verdicts.items():
    print(f"{'holds' if holds else 'FAILS':7}{claim}")

# %% [markdown]
# The claims that fail are ones that one meets without their conditions: Newton far from the minimum, power iteration
# where negative curvature is largest, the quadratic formula for large noise, a loss that falls in every step.
#
# **Next:** [03 Top eigenspace](03_top_eigenspace.ipynb) finds the sharpest directions of a Hessian that is too large to write down. [04 MLP
# stabilization](04_mlp_stabilization.ipynb) uses them to ask how a landscape changes when data are added. Back to
# [the map](00_start_here.ipynb).

# %% tags=["nbval-ignore-output"]
print(cost.line(budget_s=60, budget_mb=1000))
