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
from landscape_nb.course import Cost, SaveMyWork, reveal_choice, reveal_curve, reveal_number
from landscape_nb.figures import n02_curvature as figures
from landscape_nb.figures import n02_flatness as flat_figures
from landscape_nb.numerics import eigensolver
from landscape_nb.study.evidence import flatness, stored
from landscape_nb.widgets import BowlExplorer

# %%
torch.set_num_threads(1)
cost = Cost()
verdicts = {}  # claim -> does it hold? We fill this in as we go


# %%
def seeded(seed):
    """A source of random numbers that gives the same ones each time."""
    return torch.Generator().manual_seed(seed)


# %%
def note(claims):
    """Print whether each claim holds, and keep it for the summary at the end."""
    for claim, holds in claims.items():
        verdicts[claim] = bool(holds)
        print(f"{claim}: {bool(holds)}")


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


# %%
def slope_and_curvature(f, w, h=1e-4):
    """Central differences; their own error is of order h^2."""
    return (f(w + h) - f(w - h)) / (2 * h), (f(w + h) - 2 * f(w) + f(w - h)) / h**2


# %%
left, hill, right = np.sort(np.roots([1, 0, -1, 0.1]).real)  # where w^3 - w + 0.1 = 0
for name, w in {"left valley": left, "hill": hill, "right valley": right}.items():
    slope, bend = slope_and_curvature(f, w)
    print(f"{name:12} slope {abs(slope):.3f}, curvature {bend:6.3f}, exact {3 * w**2 - 1:6.3f}")

# %%
sign = int(np.sign(slope_and_curvature(f, hill)[1]))
reveal_choice("Which sign has the curvature on the hill?", sign_on_the_hill, sign, [1, -1])

# %%
w = np.linspace(-1.7, 1.6, 200)
flat_points = [(at, f(at), slope_and_curvature(f, at)[1]) for at in (left, hill, right)]
figures.parabolas(w, f(w), flat_points)

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


# %%
def curvature_along(u):
    somewhere = np.array([0.3, -0.2])
    return slope_and_curvature(lambda t: bowl2(somewhere + t * u), 0.0)[1]


# %%
angles = np.radians(np.arange(180))
directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # (180, 2), each of length 1
measured = np.array([curvature_along(u) for u in directions])
exact = np.einsum("ai,ij,aj->a", directions, H2, directions)  # u'Hu for each direction

# %%
flat, sharp = np.linalg.eigvalsh(H2)
print(f"eigenvalues {sharp:.3f} and {flat:.3f}, condition number {sharp / flat:.1f}")
print(f"measured curvatures: from {measured.min():.3f} to {measured.max():.3f}")

# %%
e1, e2 = np.eye(2)
mixed = (curvature_along(e1 + e2) - curvature_along(e1) - curvature_along(e2)) / 2
print(f"the off-diagonal entry from three curvatures: {mixed:.3f}, exact {H2[0, 1]:.3f}")

# %%
figures.ellipses_and_curvatures(H2, angles, measured)

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
spectrum = np.geomspace(4.0, 0.08, 20).tolist()
toy = ln.toys.quadratics(1, 20, eigenvalues=spectrum, shift=0.0, generator=seeded(0))
bowl = ln.EmpiricalLoss(*toy.parts)
H = bowl.hessian(bowl.w0, 1)
lams, U = torch.linalg.eigh(H)  # ascending: the last column is the sharpest direction
start, top = U.sum(1), float(lams[-1])


# %%
def descend(c):
    """100 steps from the start with the learning rate c / lambda_max."""
    return ln.gradient_descent(bowl, k=1, lr=c / top, steps=100, w=start)


# %%
paths = {c: descend(c) for c in (1.0, 1.9, 2.0, 2.1)}
print(f"sharpness {top:.3f}, condition number {top / float(lams[0]):.1f}")
smaller = bool(paths[2.1].values[-1] < paths[2.1].values[0])
question = "Is the loss smaller after 100 steps at 2.1 / lambda_max?"
reveal_choice(question, loss_is_smaller, smaller, [True, False])

# %%
lowest = bowl.value(bowl.w0, 1)  # w = 0 is this bowl's minimum; heights below are above it
heights = {c: (path.values - lowest) / (path.values[0] - lowest) for c, path in paths.items()}
x = {c: path.ws @ U for c, path in paths.items()}  # along the eigenvectors, (101, 20)

# %%
for c in paths:
    error = (x[c][1:] - (1 - c * lams / top) * x[c][:-1]).abs().max() / x[c].abs().max()
    print(
        f"lr {c} / lambda_max: factor {1 - c:4.1f} in the top direction, every factor exact: "
        f"{bool(error < 1e-13)}; loss x {heights[c][-1]:.1e}"
    )

# %%
figures.four_learning_rates(heights)

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


# %%
def measured_factor(kappa):
    """By how much a step shrinks the distance, over 50 steps with the best learning rate."""
    ends = ln.toys.quadratics(1, 2, eigenvalues=[1.0, 1 / kappa], shift=0.0, generator=seeded(1))
    w, loss = torch.linalg.eigh(ends.A[0]).eigenvectors.sum(1), ln.EmpiricalLoss(*ends.parts)
    path = ln.gradient_descent(loss, k=1, lr=2 / (1 + 1 / kappa), steps=50, w=w)
    return float((path.w.norm() / w.norm()) ** (1 / 50))


# %%
rates = {kappa: measured_factor(kappa) for kappa in (2, 5, 10, 50, 200)}
formula = {kappa: (kappa - 1) / (kappa + 1) for kappa in rates}
for kappa, rate in rates.items():
    print(f"kappa {kappa:3}: measured factor {rate:.4f}, formula {formula[kappa]:.4f}")

# %%
steps_to_halve = np.log(2) / -np.log(rates[50])
print(f"kappa 50: {steps_to_halve:.1f} steps to halve the distance")
reveal_number("Steps to halve the distance, kappa = 50", steps_to_halve_guess, steps_to_halve)

# %%
lrs = np.linspace(0.02, 2.2, 2181)
worst_factors = {kappa: worst_factor(lrs, kappa) for kappa in rates}
figures.best_learning_rate(lrs, worst_factors, rates)

# %% [markdown]
# For large $\kappa$ the number of steps grows in proportion to $\kappa$. This is the *worst case*: starts
# without a part along the extreme eigenvectors do better, and momentum needs only about
# $\sqrt\kappa$ steps.
#
# ### Going deeper: one Newton step
#
# If a different learning rate in each direction is what we need, divide by the curvature:
# **Newton's step** is $w \leftarrow w - H^{-1}\nabla L$. On a quadratic with positive eigenvalues it
# lands at the minimum at once, whatever $\kappa$. And on a function that is convex (curved upwards
# everywhere) but not quadratic? We try $\log\cosh w$, whose minimum is at 0 and whose curvature is
# $1/\cosh^2 w$.

# %%
after_newton = start - torch.linalg.solve(H, bowl.gradient(start, 1))
outcomes = {w0: w0 - np.tanh(w0) * np.cosh(w0) ** 2 for w0 in (0.5, 1.0, 1.2)}
print("log cosh:", ", ".join(f"from {w0} to {w1:.2f}" for w0, w1 in outcomes.items()))

# %%
figures.newton_on_log_cosh(outcomes)

# %% [markdown]
# So: exact for a quadratic with positive eigenvalues, a promise only *near* the minimum otherwise.
# And for $N$ parameters it needs an $N \times N$ matrix and the solution of a linear system.

# %% jupyter={"source_hidden": true}
# What the notebook's test compares: the claims of sections 1 to 4.
solved = after_newton.norm() < 1e-12 * start.norm()
helps = all(abs(w1) < w0 for w0, w1 in outcomes.items())
contracts = all(abs(rates[k] - formula[k]) < 1e-9 for k in rates)
claims = {
    "curvature along u is u'Hu": abs(measured - exact).max() < 1e-6,
    "lr 1.9 / lambda_max converges": abs(x[1.9][-1]).max() < 0.1,
    "lr 2.1 / lambda_max diverges, by 1.1 a step": abs(abs(x[2.1][-1, -1]) / 1.1**100 - 1) < 1e-9,
    "at 2 / lambda_max the top coordinate keeps its size": max(abs(abs(x[2.0][:, -1]) - 1)) < 1e-9,
    "best lr contracts by (kappa-1)/(kappa+1)": contracts,
    "no learning rate does better": all(min(worst_factors[k]) >= rates[k] - 1e-9 for k in rates),
    "one Newton step solves a convex quadratic": solved,
    "one Newton step always helps if the function is convex": helps,
}
note(claims)
print("all 180 measured curvatures equal u'Hu:", verdicts["curvature along u is u'Hu"])
print("at 2.1 / lambda_max the loss is smaller after 100 steps:", smaller)
print("formula holds:", contracts)
print("nothing on a grid of learning rates is better:", verdicts["no learning rate does better"])
print("distance after one Newton step is zero:", bool(solved))

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
eigenvalues = [3.0, 2.5, 2.0, 1.0, 0.5, -5.0]
A = ln.toys.quadratics(1, 6, eigenvalues=eigenvalues, generator=seeded(2)).A[0]
v = torch.randn(6, generator=seeded(3), dtype=torch.float64)
lanczos = eigensolver.largest_eigenpairs(lambda V: A @ V, v, 2).values

# %%
for _ in range(100):
    v = A @ v / (A @ v).norm()
power, dense = float(v @ A @ v), torch.linalg.eigvalsh(A)
print(f"dense: largest {dense[-1]:.3f}, {dense[-2]:.3f}; largest in magnitude {dense[0]:.3f}")
print(f"Lanczos: {lanczos[0]:.3f}, {lanczos[1]:.3f};  power iteration: {power:.3f}")

# %%
question = "To which eigenvalue does power iteration lead?"
reveal_choice(question, float(power_guess), round(power, 6), eigenvalues)

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


def estimates(seed):
    """Hutchinson's estimates of tr H with more and more draws."""
    return [ln.hutchinson_trace(lambda V: H @ V, start, S, seeded(seed)) for S in sizes]


# %%
runs = [estimates(seed) for seed in range(8)]
values = np.array([[float(run.value) for run in row] for row in runs])  # (seed, S)
stderrs = np.array([[float(run.stderr) for run in row] for row in runs])
trace = float(H.trace())
off = abs(values - trace) / stderrs  # in standard errors

# %%
told = f"the farthest {off.max():.1f} standard errors away, {(off < 2).mean():.0%} within 2"
print(f"tr H = {trace:.3f}; {off.size} averages, {told}")
variance = 2 * float(H.square().sum() - H.diagonal().square().sum())
ratio = stderrs[:, -1] ** 2 * sizes[-1] / variance
told = f"{ratio.min():.3f} to {ratio.max():.3f}"
print(f"measured variance / formula, {sizes[-1]} draws each: {told}")

# %%
# A diagonal matrix with the same eigenvalues, two draws:
diagonal = ln.hutchinson_trace(lambda V: lams[:, None] * V, start, 2, seeded(0))

# %%
half = [2 * (variance / S) ** 0.5 / trace for S in sizes]
figures.hutchinson_funnel(sizes, values / trace, half)

# %% [markdown]
# Our check allows this quotient 10 %, which is generous: a variance from 10 000 draws is itself uncertain by a percent or two.
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


# %%
def small_classifier(seed):
    model = ln.models.MLP([64, 8, 10], generator=seeded(seed))
    return ln.EmpiricalLoss(model, cross_entropy, *digits[seed], l2=1e-3)


# %%
nets = [small_classifier(seed) for seed in range(3)]
fits = [ln.fit(net, n, tol=1e-3) for net in nets]
hessians = [net.hessian(fit.w, n) for net, fit in zip(nets, fits)]

# %% [markdown]
# Random averages are noisy, and here we know a good part of the noise: the parabola's own value
# $\tfrac12 z^\top H z$ for each draw $z$, whose mean is the formula. For the networks we therefore
# average only what the draw does *beyond* its parabola (a **control variate**). For the
# quadratic there would be nothing left, so there we average the rise itself.


# %%
def rise(loss, w, k, directions):
    """Mean of L(w + z) and L(w - z), minus L(w), for each row z: odd powers of z cancel."""
    both = [loss.value(w + z, k) + loss.value(w - z, k) for z in directions]
    return torch.stack(both) / 2 - loss.value(w, k)


# %%
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
sigmas, trained = np.array([0.003, 0.01, 0.03, 0.1, 0.3, 1.0]), zip(nets, fits, hessians)
quadratic = over_formula(bowl, bowl.w0, 1, H, 200, beyond_parabola=False)
networks = [over_formula(net, fit.w, n, A, 40, beyond_parabola=True) for net, fit, A in trained]
networks = np.array(networks)  # (network, sigma, 2)
within = (abs(networks[:, :, 0] - 1) < 0.1).all(0)  # for each sigma: all three networks?

# %% tags=["nbval-ignore-output"]
good_up_to = float(sigmas[within].max())
question = "Up to which sigma does the formula hold within 10 %?"
reveal_choice(question, float(good_up_to_guess), good_up_to, sigmas.tolist())

# %% tags=["nbval-ignore-output"]
for sigma, ratios in zip(sigmas, networks[:, :, 0].T.round(3).tolist()):
    print(f"ratios of the networks at sigma {sigma:5g}: {ratios}")
figures.rise_over_formula(sigmas, quadratic, networks, good_up_to)

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
def random_directions(seed, N):
    """40 vectors of length 1, (40, N)."""
    z = torch.randn(40, N, generator=seeded(seed), dtype=torch.float64)
    return z / z.norm(dim=1, keepdim=True)


# %%
def rises(net, w, directions):
    """By how much the loss rises, for each length r and each direction: (r, direction)."""
    return torch.stack([rise(net, w, n, r * directions) for r in radii]).numpy()


# %%
radii, worst, typical = np.array([0.01, 0.03, 0.1, 0.3, 1.0, 3.0]), [], []
for seed, (net, fit) in enumerate(zip(nets, fits)):
    u = ln.top_eigenpairs(net, fit.w, n, D=1).vectors.T
    worst.append(rises(net, fit.w, u)[:, 0])
    typical.append(rises(net, fit.w, random_directions(seed, net.num_params)))
worst, typical = np.array(worst), np.array(typical)  # (seed, r), (seed, r, direction)

# %% tags=["nbval-ignore-output"]
promised = np.array([float(torch.linalg.eigvalsh(A)[-1] / A.diagonal().mean()) for A in hessians])
reveal_number("How many times worse the top direction is", times_worse_guess, promised)

# %% tags=["nbval-ignore-output"]
figures.two_kinds_of_direction(radii, worst, typical, promised)

# %% [markdown]
# A loss surface that looks flat along random directions may have a cliff: in a thousand dimensions a
# random direction has almost no part along the few sharp ones. Random-direction plots show the average
# curvature, not the sharpness.

# %% jupyter={"source_hidden": true}
# What the notebook's test compares: the claims of sections 5 and 6.
mean = typical[:, 0].mean(1)  # at the smallest r, with its standard error over directions
stderr, hurts = typical[:, 0].std(1, ddof=1) / 40**0.5, worst[:, 0] / mean
everywhere = (abs(quadratic[:, 0] - 1) < 4 * quadratic[:, 1]).all()
targeted = "top eigenvector hurts lambda_max / (tr H / N) times more, small step"
claims = {
    "Lanczos finds the largest eigenvalues": abs(lanczos - dense.flip(0)[:2]).max() < 1e-6,
    "power iteration finds the largest eigenvalue": abs(power - dense[-1]) < 1e-6,
    "Hutchinson: within 4 of its own standard errors": off.max() < 4,
    "Hutchinson: variance 2 sum H_ij^2 (within 10 %)": abs(ratio - 1).max() < 0.1,
    "E dL = sigma^2 tr H / 2: a quadratic, every sigma": everywhere,
    "E dL = sigma^2 tr H / 2: trained nets, sigma 0.003": within[0],
    "E dL = sigma^2 tr H / 2: trained nets, sigma 1": within[-1],
    targeted: (abs(hurts / promised - 1) / (stderr / mean)).max() < 4,
}
note(claims)
print("at r = 0.01, within 4 standard errors for all three networks:", verdicts[targeted])
print("more than 20 times worse than a random direction:", bool((hurts > 20).all()))
print("trained until the gradient is shorter than 1e-3:", all(fit.converged for fit in fits))
print("a diagonal matrix needs no second draw:", bool(abs(diagonal.value - lams.sum()) < 1e-12))

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


# %%
def noisy_descent(seed, noise, lr=0.1):
    rng, path = np.random.default_rng(seed), [np.array([1.0, 0.0])]
    for _ in range(100):
        w = path[-1] - lr * H_saddle * path[-1]
        path.append(w + noise * rng.standard_normal(2))
    return np.array(path)


# %%
def newton_steps(curvatures):
    path = [np.array([1.0, 0.3])]
    for _ in range(3):
        path.append(path[-1] - H_saddle * path[-1] / curvatures)
    return np.array(path)


# %%
ridge, noisy = noisy_descent(0, 0.0), np.array([noisy_descent(seed, 1e-6) for seed in range(20)])
newton, absolute = newton_steps(H_saddle), newton_steps(abs(H_saddle))
escape = (abs(noisy[:, :, 1]) > 1).argmax(1)
print(f"steps until |y| > 1 with noise: {escape.min()} to {escape.max()}")

# %%
leaves = not np.allclose(newton[-1], 0)
reveal_choice("Does Newton go down the slope along y?", newton_leaves, leaves, [True, False])

# %%
figures.four_walkers(ridge, noisy, newton, absolute)

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


# %%
def sharpness(loss, w, k, start=None, tol=1e-3):
    return float(ln.top_eigenpairs(loss, w, k, D=1, tol=tol, start=start).values[0])


# %%
def change_of_outputs(loss, w, a):
    out = loss.outputs(w, n)
    return float((loss.outputs(rescaled(w, a), n) - out).abs().max() / out.abs().max())


# %%
def trained_relu(seed):
    """The loss without its L2 term, and the weights after training with it."""
    relu = ln.models.MLP([64, 16, 10], torch.nn.ReLU, bias=False, generator=seeded(seed))
    loss = ln.EmpiricalLoss(relu, cross_entropy, *digits[seed], l2=1e-3)
    return loss.without_l2(), ln.fit(loss, n, max_iterations=60).w


# %%
relus = [trained_relu(seed) for seed in range(3)]
same_output = [change_of_outputs(loss, w, a) for loss, w in relus for a in scales]
sharp_at = np.array([[sharpness(loss, rescaled(w, a), n) for a in scales] for loss, w in relus])
relative = sharp_at / sharp_at[:, [2]]

# %% tags=["nbval-ignore-output"]
reveal_curve("Sharpness / sharpness at a = 1", sharpness_sketch, scales, relative, xlabel="scale a")

# %% tags=["nbval-ignore-output"]
figures.one_function_many_sharpnesses(scales, relative)

# %% [markdown]
# The same network is as sharp as you like. So "sharp" alone can't decide about new data (Dinh and others, 2017).
# What survives: comparing points of *one* training recipe, or measures of flatness that take the
# scale of the weights into account, such as adaptive sharpness (Kwon and others, 2021) and relative flatness (Petzka and others, 2021).
# Section 11 tries both. Note that $\lambda_{\max}$ rises in *both* directions: there is a
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
# rates, three seeds now and twelve stored. We chose the learning rates so that the edge comes within 600 steps; with smaller ones the sharpness
# is still climbing by then.
#
# **Predict.** With the larger learning rate, will the sharpness at the end be larger or smaller?

# %% tags=["predict-edge"]
larger_rate_ends = "sharper"  # your prediction: "sharper" or "flatter"


# %%
def squared(outputs, labels):
    return (outputs - torch.nn.functional.one_hot(labels, 10).to(outputs)).square().sum(1) / 2


# %%
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
def edge_run(lr, seed):
    """Sharpness and loss after every 50 of 600 steps, (2, 13)."""
    loss = small_net(seed, squared)
    path = ln.gradient_descent(loss, k=100, lr=lr, steps=600, every=50)
    return sharpness_along(loss, path), path.values.numpy()


# %%
edge_rates, steps = (0.4, 0.6), np.arange(0, 601, 50)
edge = np.array([[edge_run(lr, seed) for seed in range(3)] for lr in edge_rates])
sharp, falling = edge[:, :, 0], edge[:, :, 1]  # (lr, seed, t)
over_edge = sharp * np.array(edge_rates)[:, None, None] / 2  # 1 is the edge
late = over_edge[:, :, steps >= 450]

# %%
flatter = bool((sharp[1, :, -1] < sharp[0, :, -1]).all())
question, ends_as = "How does the larger learning rate end?", "flatter" if flatter else "sharper"
reveal_choice(question, larger_rate_ends, ends_as, ["sharper", "flatter"])

# %% tags=["nbval-ignore-output"]
figures.edge_of_stability(steps, edge_rates, sharp, falling, late)

# %% [markdown]
# And the twelve stored seeds (`python -m landscape_nb evidence edge`), in units of $2/\eta$:

# %%
trained_on = stored.figures("edge")
for name, lr in (("0p4", 0.4), ("0p6", 0.6)):
    print(f"lr {lr}: step 450 to 600, sharpness x lr / 2:", trained_on[f"late_{name}"])
    print(f"   share of seeds that stay within 30 %: {trained_on[f'near_{name}']}")
    print(f"   loss at 600 over that at 300: {trained_on[f'falls_{name}']}")
print("sharpness at the end, lr 0.4 minus lr 0.6, same seed:", trained_on["larger_rate_flatter"])

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
def entropy_run(seed):
    """Sharpness over 2 / lr after every 20 of 200 steps: 1 is the edge."""
    loss = small_net(seed, cross_entropy)
    path = ln.gradient_descent(loss, k=100, lr=1.5, steps=200, every=20)
    return sharpness_along(loss, path) * 1.5 / 2


# %% tags=["nbval-ignore-output"]
entropy = np.array([entropy_run(seed) for seed in range(3)])
figures.cross_entropy_below_the_edge(entropy)

# %% jupyter={"source_hidden": true}
# What the notebook's test compares: the claims of sections 7 to 9.
sharper = sharp[0, :, -1].min() > sharp[1][:, steps >= 450].max()
claims = {
    "saddle: noise escapes (20 of 20 seeds)": (abs(noisy[:, -1, 1]) > 1).all(),
    "saddle: Newton converges to it": np.allclose(newton[1:], 0),
    "saddle: the |H| step leaves it": np.allclose(absolute[:, 1], 0.3 * 2.0 ** np.arange(4)),
    "rescaled: outputs equal to rounding": max(same_output) < 1e-12,
    "rescaled: lambda_max more than 10 x at a = 10": (relative[:, -1] > 10).all(),
    "edge: sharpness rises at first": (sharp[:, :, 3] > 1.05 * sharp[:, :, 0]).all(),
    "edge: from step 450 within 30 % of 2 / lr": (abs(late - 1) < 0.3).all(),
    "edge: lr 0.4 ends sharper than anything lr 0.6 shows late": sharper,
    "edge: the loss goes on falling, step 300 to 600": (falling[:, :, -1] < falling[:, :, 6]).all(),
    "edge: the loss falls from each look to the next": (np.diff(falling) < 0).all(),
}
note(claims)
near, back = np.linalg.norm(ridge[-1]) < 1e-9, (entropy[:, -1] < entropy.max(1) / 2).all()
print("without noise, distance from the saddle after 100 steps is below 1e-9:", bool(near))
print("the larger learning rate ends flatter, every seed:", flatter)
print("cross-entropy: at step 200 the sharpness is under half of its peak:", bool(back))

# %% [markdown]
# ## 10. Going deeper: batch size and sharpness
#
# "Small batches find flatter minima." A batch is the handful of samples whose mean gradient makes
# one step. The same network and squared loss, twelve stored seeds, batches of 5 and of all
# 100 samples, and two learning rates. Small batches also lower the loss at another speed, so there are two fair comparisons:
#
# - **same steps**: after 160 steps each;
# - **same loss**: at the first look (every 20 steps) at which the loss over all 100 samples is at most 0.27.
#
# **Predict.** In how many of the twelve seeds is the small batch flatter, with learning rate 0.3 and after the same number of steps?

# %% tags=["predict-batches"]
flatter_guess = 0  # 0 to 12

# %%
edge_rows = stored.rows("edge")
cases, ratios = {}, {}
for lr in (0.3, 0.1):
    for what in ("steps", "loss"):
        name = f"lr {lr}, same {what}"
        cases[name] = np.array([[row[f"{what}_{b}_{lr}"] for b in (5, 100)] for row in edge_rows])
        ratios[name] = trained_on[f"full_over_small_{what}_0p{str(lr)[2:]}"]

# %%
flat_figures.pairs_of_batches(cases, ratios)

# %% tags=["nbval-ignore-output"]
flatter_seeds = int((cases["lr 0.3, same steps"] @ [-1, 1] > 0).sum())
question = "In how many of twelve seeds is the small batch flatter (lr 0.3, same steps)?"
reveal_choice(question, flatter_guess, flatter_seeds, list(range(13)))

# %%
for name, pairs in cases.items():
    small, full = pairs[np.isfinite(pairs).all(1)].T
    print(f"{name}: full / small {ratios[name]}, flatter in {(small < full).sum()} of {len(small)}")

# %% [markdown]
# The small batch ended flatter in every pair. How much depends on the learning rate and on the comparison:
# at the same loss most of the difference is gone, so a good part of it was the full batch being *further along*, on its way up to
# the edge. At the smaller rate only a few percent remain, much less than the spread from seed to seed: **unpaired runs
# would not have shown it**. It is one small network, and nothing here was measured on new data.

# %% [markdown]
# ## 11. Going deeper: what does flatness predict?
#
# The glossary entry that this notebook follows (*Loss Landscape Curvature*, neuralnetworklexicon.com; we could read its first half) says that
# sharp minima are "often worse" on new data and flat ones "often better". That flat solutions also withstand attacks, bear a drift of
# the data and transfer to new tasks better is often said along with it. Four small experiments.
#
# Digits 0 to 6, 350 of them, a ReLU network 64-32-10. Sixteen recipes for each of twelve seeds: three learning rates times three batch sizes,
# two L2 terms, larger first weights, and **sharpness-aware training** (SAM; Foret and others, 2021), which steps down the gradient at the worst point within a
# radius. All stop at the *same training loss*, 0.05. (One recipe, steps of 0.6 with batches of 4, never gets there, in any seed, and is left out.) Then we ask:
#
# - **new data**: the loss of the other digits 0 to 6;
# - **attack**: what a step of 0.05 in each pixel, along the sign of the input gradient, adds to it;
# - **drift**: what a rotation by 20 degrees adds, and noise of 0.2 in each pixel;
# - **transfer**: the loss of digits 7 to 9 after 50, and 500, steps on thirty of them.
#
# **Predict.** Spearman's rank correlation of the largest eigenvalue and the loss on new data, within a seed: 1 for the same order, 0 for none.

# %% tags=["predict-flatness"]
correlation_guess = 0.8

# %%
solutions = flatness.reached(stored.rows("flatness"))
predicts = stored.figures("flatness")
live = {recipe: flatness.measure(0, recipe) for recipe in ("SAM 0.3", "first weights x 4.0")}

# %% tags=["nbval-ignore-output"]
for recipe, row in live.items():
    (before,) = (r for r in solutions if r["seed"] == 0 and r["recipe"] == recipe)
    numbers = (row["top"], before["top"], row["held_loss"], before["held_loss"])
    print(
        "{}: sharpness now {:.2f}, stored {:.2f}; new data {:.3f}, {:.3f}".format(recipe, *numbers)
    )
of_top = flatness.rank_correlations(solutions, "top", "held_loss")
reveal_number("Rank correlation of sharpness and loss on new data", correlation_guess, of_top)


# %%
def points_of(group):
    """Sharpness and held-out loss of one seed's solutions of a group."""
    own = [row for row in solutions if row["seed"] == 0 and row["recipe"].startswith(group)]
    return [row["top"] for row in own], [row["held_loss"] for row in own]


# %%
groups = {"rates and batches": "lr", "L2": "L2", "SAM": "SAM", "first weights": "first"}
outcomes = {
    "loss on new data": "held_loss", "errors on new data": "held_error", "attack": "attacked",
    "drift: rotation": "rotated", "drift: noise": "noisy",
    "transfer, 50 steps": "new_loss", "transfer, 500 steps": "new_late",
}  # fmt: skip
measures = {
    "largest eigenvalue": "top", "adaptive, sum $w_i^2 H_{ii}$": "adaptive",
    "largest eigenvalue, rates and batches only": "alike",
    "largest eigenvalue, at equal weight norm": "partial",
}  # fmt: skip

# %%
correlations = {
    name: {what: predicts[f"{m}_{target}"] for what, target in outcomes.items()}
    for name, m in measures.items()
}
points = {name: points_of(start) for name, start in groups.items()}
flat_figures.what_flatness_predicts(points, correlations)

# %%
print("largest over smallest sharpness of a seed:", predicts["span"])
for what, target in outcomes.items():
    cells = [f"{m} {predicts[f'{m}_{target}']}" for m in ("top", "adaptive", "alike", "partial")]
    print(f"{what:20}", "; ".join(cells[:2]), "\n" + 20 * " ", "; ".join(cells[2:]))
print("after random rescaling, the same functions: top", predicts["rescaled_held_loss"])
print("with the recipe that failed: top", predicts["with_failed_held_loss"])
print("adaptive minus top, same seed:", predicts["adaptive_minus_top"])
print("adaptive minus rescaled top:  ", predicts["adaptive_minus_rescaled"])

# %% [markdown]
# **A mixed answer, and each part has its catch.**
#
# - *New data.* Sharper solutions have a somewhat higher loss on new data, by either measure; within one family of recipes (rates and
#   batches) no correlation can be told from zero. Of the *number* of errors the opposite holds in that family: small batches and large rates end flat, and make more of them.
# - *Attack.* Sharper solutions suffer a little more; clearly so at equal weight norm. But within rates and batches it is the other way round.
# - *Drift.* Nothing that can be told from zero for rotations; for noise a little, by the adaptive measure.
# - *Transfer.* After 50 steps the flat solutions are clearly *behind*: the same steps move them less. After 500 no difference can be told.
#
# **What is confounded.** A recipe changes more than flatness: the noise at which training stopped, the norm, the number of steps. A rank correlation over
# recipes is no cause; sign and size change with the recipes that one admits (see the line with the recipe that failed). And a random rescaling of the same functions
# weakens the eigenvalue's rank, which is why a measure that it leaves alone is preferable. *What would change our mind:* a measure fixed beforehand, the same sign in every family of recipes, and larger networks.

# %% [markdown]
# ## 12. Going deeper: alignment and governance, an opinion
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
# place of `raise NotImplementedError()`, run it, and run the cell below it. Its
# **public check** says what is wrong, without giving the answer away. When you are done, compare with
# [the solutions](solutions/02_curvature.ipynb).

# %%
import numpy as np

from landscape_nb.course import check

# %% [markdown]
# **1. How many steps?** Gradient descent runs on a quadratic with positive eigenvalues, with the one
# learning rate that is best in the worst case (section 4). After how many steps has the *distance*
# to the minimum shrunk to at most `fraction` of what it was, wherever one starts?


# %% tags=["answer-1"]
def steps_needed(eigenvalues, fraction):
    """The smallest such whole number; eigenvalues: array (N,), any order, not all equal."""
    ### BEGIN SOLUTION
    kappa = max(eigenvalues) / min(eigenvalues)
    factor = (kappa - 1) / (kappa + 1)
    return int(np.ceil(np.log(fraction) / np.log(factor)))
    ### END SOLUTION


# %% tags=["check-1", "points-1"]
check("02.1", steps_needed)

# %% tags=["hidden-1", "points-2"]
import numpy as np_1

from landscape_nb.course import number as number_1

for spectrum_1, fraction_1 in (([4.0, 0.08, 1.0], 1e-3), ([2.0, 7.0], 0.05), ([0.3, 0.2], 1e-9)):
    found_1 = number_1(steps_needed(np_1.array(spectrum_1), fraction_1))
    lam_1 = np_1.array(spectrum_1)
    lr_1, x_1, steps_1 = 2 / (lam_1.min() + lam_1.max()), np_1.zeros(len(lam_1)), 0
    x_1[[lam_1.argmin(), lam_1.argmax()]] = 1.0  # a start where no direction is quick
    goal_1 = fraction_1 * np_1.linalg.norm(x_1)
    while np_1.linalg.norm(x_1) > goal_1:
        x_1, steps_1 = x_1 - lr_1 * lam_1 * x_1, steps_1 + 1
    assert found_1 == steps_1, f"wrong for the eigenvalues {spectrum_1}, fraction {fraction_1}"

# %% [markdown]
# **2. How good is a trace from $S$ draws?** Hutchinson's estimate is the mean of $v^\top H v$ over $S$
# vectors $v$ of random signs (section 5). How large is its *standard error*, relative to the trace? The
# matrix may have hundreds of rows, so there is no trying all sign vectors.


# %% tags=["answer-2"]
def relative_error(H, S):
    """Standard error of the mean of S draws, divided by tr H; H symmetric, array (N, N)."""
    ### BEGIN SOLUTION
    off_diagonal = (H**2).sum() - (np.diag(H) ** 2).sum()
    return np.sqrt(2 * off_diagonal / S) / np.trace(H)
    ### END SOLUTION


# %% tags=["check-2", "points-1"]
check("02.2", relative_error)

# %% tags=["hidden-2", "points-2"]
from itertools import product as choices_2

import numpy as np_2

from landscape_nb.course import number as number_2

draws_2 = np_2.random.default_rng(2)
for N_2, S_2 in ((4, 3), (8, 20), (10, 1)):
    H_2 = draws_2.normal(size=(N_2, N_2))
    H_2 = H_2 + H_2.T + 4 * np_2.eye(N_2)
    found_2 = number_2(relative_error(H_2.copy(), S_2))
    signs_2 = np_2.array(list(choices_2([1, -1], repeat=N_2)))
    forms_2 = np_2.einsum("vi,ij,vj->v", signs_2, H_2, signs_2)
    right_2 = forms_2.std() / S_2**0.5 / forms_2.mean()
    assert np_2.isclose(found_2, right_2), f"wrong for another H with {N_2} rows and S = {S_2}"
found_2 = number_2(relative_error(np_2.diag([1.0, 2.0, 3.0]), 5))
assert abs(found_2) < 1e-12, "wrong for a diagonal matrix: does the estimate vary there?"

# %% [markdown]
# **3. Away from a saddle.** Newton's step walks into a saddle (section 7). The $|H|$ step leaves it: $d =
# -|H|^{-1} g$, where $|H|$ has the eigenvectors of $H$ and the *absolute values* of its eigenvalues. In
# section 7 the matrix was diagonal. Now it may be any symmetric matrix without eigenvalue zero.
# (`np.linalg.eigh` gives the eigenvalues, ascending, and the eigenvectors, as columns.)


# %% tags=["answer-3"]
def saddle_free_step(gradient, H):
    """The step d, array (N,); gradient: array (N,); H: symmetric array (N, N)."""
    ### BEGIN SOLUTION
    values, vectors = np.linalg.eigh(H)
    return -vectors @ ((vectors.T @ gradient) / abs(values))
    ### END SOLUTION


# %% tags=["check-3", "points-1"]
check("02.3", saddle_free_step)

# %% tags=["hidden-3", "points-2"]
import numpy as np_3

from landscape_nb.course import numbers as numbers_3

draws_3 = np_3.random.default_rng(3)
for N_3 in (2, 5, 30):
    Q_3 = np_3.linalg.qr(draws_3.normal(size=(N_3, N_3))).Q  # eigenvectors, known by construction
    lam_3 = draws_3.uniform(0.5, 4, N_3) * draws_3.choice([-1, 1], N_3)
    g_3 = draws_3.normal(size=N_3)
    d_3 = numbers_3(saddle_free_step(g_3.copy(), (Q_3 * lam_3) @ Q_3.T), N_3)
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
check("02.4", sharp_minimum)

# %% tags=["hidden-4", "points-2"]
import numpy as np_4

from landscape_nb.course import numbers as numbers_4

for order_4 in (2.0, 2.5, 10.0, 1e4):
    a_4, b_4 = numbers_4(sharp_minimum(order_4), 2)
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
# Each line is a claim and what this notebook found. Batch size and what flatness predicts are missing on purpose: they are
# matters of degree, with [intervals in the ledger](10_verdicts.ipynb).

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
print(cost.line(budget_s=20, budget_mb=700))
