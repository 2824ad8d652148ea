# %% [markdown]
# # 05 Loss surfaces
#
# **What does settling look like, and how much data is enough?**
#
# Each sample that we add bends the loss landscape a little. The more samples there are, the less one
# more can do: the landscape *settles*. Here we look at that, first as a picture of hills and valleys, then
# as curves, and finally as a decision: at which number of samples $k$ may we stop collecting?
#
# We follow an experiment of Nikitin, *Neural Networks Loss Landscape Convergence in Hessian
# Low-Dimensional Space* (MIPT 2025), called **N25** below, and test what it says. You do not need to have
# read it. **KG26** is the paper of [notebook 04](04_mlp_stabilization.ipynb).
#
# **Words.** $L_k(w)$ is the mean loss of the first $k$ samples at the parameters $w$, a list of $N$ numbers, and
# $w_k^*$ the $w$ found by training on these $k$ samples. The *increment* $I_k = L_{k+1} - L_k$ is what
# sample $k+1$ changes. The *Hessian* $H^{(k)}$ is the matrix of second derivatives of $L_k$. Its
# eigenvectors with the largest eigenvalues, the *top* ones, are the directions in which the loss is most
# sharply curved.

# %%
import functools
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import RectBivariateSpline

import landscape_nb as ln
from landscape_nb import plots
from landscape_nb.cost import Cost
from landscape_nb.course import reveal_choice, reveal_number
from landscape_nb.widgets import PictureSlider, SaveMyWork

torch.set_num_threads(1)
cost = Cost()
verdicts = {}  # claim -> does it hold? We fill this in as we go


# %%
def seeded(seed):
    """A source of random numbers that gives the same ones each time."""
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# *Pictures and their sentences quote what was measured in this run. The lines that end in True or False
# are compared by the notebook's test on every machine.*
#
# The network is the one of notebook 04: 64 pixels, a hidden layer of 16 tanh units, 10 outputs, with the small
# term $\tfrac12 10^{-3}|w|^2$ in the loss that gives training a place to end. It is trained for six values of
# $k$, each starting where the last one ended, until the gradient is shorter than $10^{-3}$. Three
# seeds change both the order of the digits and the first weights.

# %%
ks, seeds, n = [10, 20, 40, 80, 160, 320], [0, 1, 2], 450
per_sample = torch.nn.CrossEntropyLoss(reduction="none")


def train(seed):
    """The loss on 450 digits in this seed's order, and w_k* for each k."""
    inputs, labels = ln.data.digits(n, seed=seed)
    model = ln.models.MLP([64, 16, 10], generator=seeded(seed))
    loss = ln.EmpiricalLoss(model, per_sample, inputs, labels, l2=1e-3)
    return loss, ln.fit_path(loss, ks, tol=1e-3)


runs = [train(seed) for seed in seeds]
N = runs[0][0].num_params
print(
    f"N = {N} parameters; every fit converged:", all(f.converged for _, fits in runs for f in fits)
)

# %% [markdown]
# ## 1. A plane through parameter space
#
# $L_k$ is a surface over a space of 1210 dimensions. Nobody can draw that. What can be drawn is a *slice*. Stand at
# one point $w$. Choose two directions $u_1$ and $u_2$ of length 1, perpendicular to each other. Walk $x$ steps
# along the first and $y$ along the second, and write down the loss:
#
# $$(x, y) \;\mapsto\; L_k(w + x\,u_1 + y\,u_2) .$$
#
# All points that can be reached form a **plane** through parameter space, and over it the loss is a surface like
# those on a hiking map. The other 1208 directions stand still. So the choice of the two is everything.
#
# We compare the two choices of N25, both centred at $w_{320}^*$:
#
# - **top**: the two eigenvectors of $H^{(320)}$ with the largest eigenvalues, the two sharpest directions;
# - **random**: two directions drawn blindly.
#
# ### Predict
# The *trace* of the Hessian, the sum of its diagonal, adds up the curvatures of all $N$ directions. Which share of
# the total do two *random* directions hold, on average?

# %% tags=["predict-share"]
share_guess = 0.1  # your prediction

# %% [markdown]
# Here $N$ is small enough to write the Hessian $H$ down and count. For a plane $U = (u_1, u_2)$ we print
# $\operatorname{tr}(U^\top H U)/\operatorname{tr} H$ and, for the squared curvatures, $|U^\top H U|_F^2/|H|_F^2$, where
# $|\cdot|_F^2$ is the sum of a matrix's squared entries. (The L2 term is part of $H$: it adds $10^{-3}$ to the curvature of each direction.)

# %%
shares = {"top": [], "random": []}
for seed, (loss, fits) in zip(seeds, runs):
    w, k = fits[-1].w, ks[-1]
    H = loss.hessian(w, k)
    planes = {
        "top": ln.top_eigenpairs(loss, w, k, 2).vectors,
        "random": ln.random_subspace(N, 2, seeded(100 + seed)),
    }
    for name, U in planes.items():
        B = U.T @ H @ U
        shares[name].append([float(B.trace() / H.trace()), float((B.norm() / H.norm()) ** 2)])
shares = {name: np.array(values) for name, values in shares.items()}  # (seed, trace or squares)

# %% tags=["nbval-ignore-output"]
print("shares of three seeds")
for name, values in shares.items():
    trace, squares = (", ".join(f"{v:.2g}" for v in column) for column in values.T)
    print(f"{name:7} trace {trace}    squares {squares}")
reveal_number("Share of the trace in a random plane", share_guess, shares["random"][:, 0])

# %%
top, rand = shares["top"], shares["random"]
print(f"average of the random trace share, in theory 2/N: {2 / N:.4f}")
print("a random plane holds under 0.5 % of the trace:", bool((rand[:, 0] < 0.005).all()))
print("and under 0.1 % of the squared curvature:", bool((rand[:, 1] < 0.001).all()))
print("the top plane holds over 10 % and over 40 %:", bool((top > [0.1, 0.4]).all()))
verdicts["a random plane shows almost none of the curvature"] = bool((rand < [0.005, 0.001]).all())

# %% [markdown]
# Two directions of 1210, and the top plane has half of the squared curvature. A random plane holds about $2/N$
# of the trace, whatever the network. **A picture of a random plane is a picture of the flat part.** The larger the network,
# the more so.
#
# ## 2. The surfaces
#
# N25 draws $L_k$ and the squared increment $(L_{k+1} - L_k)^2$ for a small and a large $k$, on a grid of $21 \times 21$
# points over $[-1, 1]^2$. The centre stays at $w_{320}^*$: one plane, one grid, and only the number of samples in
# the mean changes.
#
# `loss_surfaces` evaluates each sample once at each point and forms running means, so it has *every* $k$ from a
# single pass. Let us check that against evaluating one by one.

# %%
loss, fits = runs[0]
w, steps = fits[-1].w, torch.linspace(-1, 1, 21, dtype=torch.float64)
bases = {
    "top": ln.top_eigenpairs(loss, w, ks[-1], 2).vectors,
    "random": ln.random_subspace(N, 2, seeded(100)),
}
drawn = [10, 20, 40, 80, 120, 160, 240, 320]
surfaces = {name: ln.loss_surfaces(loss, w, U, drawn, steps) for name, U in bases.items()}
worst = 0.0
for j, k in enumerate(drawn):
    point = w + steps[3] * bases["top"][:, 0] + steps[17] * bases["top"][:, 1]
    before, after = loss.value(point, k), loss.value(point, k + 1)
    found = surfaces["top"].values[j, 17, 3], surfaces["top"].increments[j, 17, 3]
    worst = max(worst, abs(float(found[0] - before)), abs(float(found[1] - (after - before))))
print("all k from one pass equal single evaluations, to 1e-12:", worst < 1e-12)

# %% [markdown]
# First the loss itself. All four panels have the same height and colour scale.

# %% tags=["nbval-ignore-output"]
first, last = drawn.index(10), drawn.index(320)
panels = {
    f"{name} plane, k = {drawn[j]}": surfaces[name].values[j]
    for name in ("top", "random")
    for j in (first, last)
}
heights = {title: (float(Z.min()), float(Z.max())) for title, Z in panels.items()}
figure = plots.surfaces_3d(steps, steps, panels, limits=(0, 4.5), label="loss $L_k$")
plots.show(figure, "Upper row: with 320 digits a bowl whose walls rise on every side, up to "
    f"{heights['top plane, k = 320'][1]:.1f}; with only 10 digits one side is much flatter. Lower row: "
    "the random plane is a floor. Its loss at k = 320 stays between "
    f"{heights['random plane, k = 320'][0]:.3f} and {heights['random plane, k = 320'][1]:.3f}.")  # fmt: skip

# %%
rise = {name: float(s.values[last].max() - s.values[last].min()) for name, s in surfaces.items()}
print("at k = 320 the top plane rises over 50 times higher:", rise["top"] > 50 * rise["random"])

# %% [markdown]
# The same two surfaces from above, as contour maps: a line for each height, and a cross at the centre.

# %% tags=["nbval-ignore-output"]
pair = {f"top plane, k = {drawn[j]}": surfaces["top"].values[j] for j in (first, last)}
doubling = 0.08 * 2.0 ** np.arange(7)
figure = plots.contour_maps(steps, steps, pair, levels=doubling, label="loss $L_k$")
plots.show(figure, "Right: rings around the centre, which was trained on these 320 digits. Left: with "
    "ten of them the lowest region is far larger and reaches out to one side; the centre is not in "
    "its middle. Each line is twice as high as the one inside it.")  # fmt: skip

# %% [markdown]
# On the flat side the first ten digits hardly object: their losses stay small there. Among 320 digits some grow.
# This is what more data do to a landscape, seen from far away. But how much does *one* more sample do? For that
# we draw the *difference*, squared as in the criterion.
#
# ### Predict
# The identity of notebook 04, $I_k = (l_{k+1} - L_k)/(k+1)$, holds at every point of the plane. If the numerator
# stayed of the same size, how many times smaller would $I_k^2$ be at $k = 320$ than at $k = 10$?

# %% tags=["predict-fall"]
fall_guess = 32  # your prediction

# %% tags=["nbval-ignore-output"]
squared = {name: s.increments.square() for name, s in surfaces.items()}  # (k, y, x)
pair = {f"top plane, k = {drawn[j]}": squared["top"][j] for j in (first, last)}
tallest = float(squared["top"].max())
figure = plots.surfaces_3d(
    steps, steps, pair, limits=(0, tallest), label="$(L_{k+1} - L_k)^2$  [loss$^2$]"
)
fall = float(squared["top"][first].mean() / squared["top"][last].mean())
plots.show(figure, f"On one scale the change at k = 10 is a mountain of height {tallest:.2f}, and the "
    f"change at k = 320 is not visible at all: averaged over the plane it is {fall:.0f} times "
    f"smaller. Arithmetic alone gives {(321 / 11) ** 2:.0f}.")  # fmt: skip
reveal_number("Fall by arithmetic alone", fall_guess, (321 / 11) ** 2, unit="times")

# %% [markdown]
# That is the settling, and most of it is the $(k+1)^2$ in the denominator: $(321/11)^2 \approx 850$ comes from
# counting samples. What is left depends on which two digits happened to be number 11 and number 321. A linear
# scale hides everything else. On a *logarithmic* one, each colour is a power of ten. (The change passes
# through zero between the points of the grid. For these maps it is interpolated, with its sign, before it is squared.)


# %%
def fine(increments):
    """Increments (k, y, x) on a grid four times finer, by cubic splines."""
    x, between = steps.numpy(), np.linspace(-1, 1, 4 * (len(steps) - 1) + 1)
    return [RectBivariateSpline(x, x, I.numpy())(between, between) for I in increments]


def maps(chosen):
    """Contour maps of the squared increments, for the given (plane, index of k)."""
    signed = {f"{name} plane, k = {drawn[j]}": finer[name][j] for name, j in chosen}
    x, levels = torch.linspace(-1, 1, len(finer["top"][0])), np.logspace(-9, 0, 10)
    squares, label = {t: I**2 for t, I in signed.items()}, "$(L_{k+1} - L_k)^2$  [loss$^2$]"
    return plots.contour_maps(x, x, squares, levels=levels, label=label, zeros=signed)


finer = {name: fine(surface.increments) for name, surface in surfaces.items()}

# %% tags=["nbval-ignore-output"]
figure = maps([("top", first), ("top", last), ("random", first), ("random", last)])
most = {name: [float(squared[name][j].max()) for j in (first, last)] for name in squared}
plots.show(figure, "Upper row: in the top plane the largest change falls from "
    f"{most['top'][0]:.1g} to {most['top'][1]:.1g}. Dark furrows, where the next digit's loss equals "
    "the mean, run between bright slopes. Lower row: in the random plane there is hardly any shape "
    f"to see; the change is at most {most['random'][0]:.0e} and {most['random'][1]:.0e}.")  # fmt: skip

# %%
ratio = squared["top"].flatten(1).mean(1) / squared["random"].flatten(1).mean(1)
print(
    "mean squared change over 100 times larger in the top plane, each of 8 k:",
    bool((ratio > 100).all()),
)

# %% [markdown]
# ## 3. Move k yourself
#
# Every picture was drawn before, so the slider follows at once. Left the top plane, right the random one, with
# one scale for both and for all $k$.
#
# **Try this.** Move from $k = 10$ to 320. Does the left map become darker at every step? Does the right one
# ever show more than one or two colours?

# %%
means = squared["top"].flatten(1).mean(1).tolist()


def state(j):
    """Two maps for one k, and a sentence about them."""
    figure, other = maps([("top", j), ("random", j)]), float(squared["random"][j].mean())
    return plots.to_png(figure), (
        f"k = {drawn[j]}: mean squared increment {means[j]:.1e} in the top plane, {other:.1e} in "
        "the random one."
    )


# %% tags=["nbval-ignore-output"]
slider = PictureSlider("k", {k: state(j) for j, k in enumerate(drawn)})
slider

# %%
slider.slider.value = 320
print("the slider has moved to the last picture:", slider.sentence().startswith("k = 320"))
falls_always = all(a > b for a, b in zip(means, means[1:]))
print("for this one order of the digits the change falls at every step:", falls_always)
slider.slider.value = 10
verdicts["one order of the data: the change falls at every step"] = falls_always

# %% [markdown]
# *What you should see.* The left map becomes darker, but not at every step: which digit comes next matters as
# much as a doubling of $k$. The furrows move with each digit. One order of the data is an anecdote. From here on we average
# over *all* unseen digits as the next one.
#
# ## 4. N25's curves: $\Delta_k$ and $k^2 \Delta_k$
#
# N25 turns the picture into a number: the mean of $I_k^2$ over a Gaussian cloud in the plane,
# or in a subspace of $D$ directions,
#
# $$\Delta_k = \mathbb{E}\, I_k(w_k^* + U z)^2, \qquad z \sim \mathcal{N}(0, \sigma^2 \mathbf{1}_D),$$
#
# now around the network trained *on these $k$ samples*. It draws $\Delta_k$ and $k^2\Delta_k$ for four sizes
# $\sigma$ of the cloud and four dimensions $D$ of a random subspace, and for the top ten eigenvectors. If
# $\Delta_k$ falls as $k^{-2}$, then $k^2 \Delta_k$ is a horizontal line.
#
# We measure it directly: draw 20 points $z$, evaluate the losses of all 450 digits there, average $I_k^2$ over all
# unseen digits as the next one (`next_sample_average`). No quadratic model is involved, and that is necessary. In units of
# one parameter's typical size, $|w|/\sqrt N \approx 0.4$, a cloud with $\sigma \ge 1$ is far away.
#
# ### Predict
# Slope of $\Delta_k$ against $k$ on log-log axes: for the tightest random cloud ($\sigma = 0.1$, $D = 2$), and for the
# widest ($\sigma = 10$)? Will the wide one be steeper or flatter?

# %% tags=["predict-slopes"]
slope_guess_tight = -2.0  # sigma = 0.1
slope_guess_wide = -2.0  # sigma = 10


# %%
def measure(basis_of, sigma, centred=False, at=ks):
    """Criterion and its standard error for each seed and k, (2, seeds, k), by direct Monte Carlo."""
    found = [
        ln.next_sample_average(
            loss, fits[ks.index(k)].w, k, sigma, 20, seeded(seed), U=basis_of(seed, k), centred=centred
        )
        for seed, (loss, fits) in zip(seeds, runs)
        for k in at
    ]  # fmt: skip
    pairs = np.array([[float(e.value), float(e.stderr)] for e in found])
    return pairs.T.reshape(2, len(seeds), len(at))


# %%
def random_basis(D):
    """The same D random directions for every k of a seed."""
    bases = [ln.random_subspace(N, D, seeded(100 + seed)) for seed in seeds]
    return lambda seed, k: bases[seed]


tops = [[ln.top_eigenpairs(loss, f.w, k, 10) for k, f in zip(ks, fits)] for loss, fits in runs]


def top_basis(seed, k):
    """The top ten eigenvectors at w_k*."""
    return tops[seed][ks.index(k)].vectors


by_sigma = {f"$\\sigma$ = {s}": measure(random_basis(2), s) for s in (0.1, 1, 5, 10)}
by_D = {f"random, D = {D}": measure(random_basis(D), 1.0) for D in (16, 64, 256)}
by_D = {"random, D = 2": by_sigma["$\\sigma$ = 1"], **by_D, "top, D = 10": measure(top_basis, 1.0)}


# %%
def slopes(curves):
    """Slope on log-log axes, one for each seed."""
    return [float(np.polyfit(np.log(np.array(ks) + 1), np.log(c), 1)[0]) for c in curves]


LOOKS = [("#000000", "o", "-"), (plots.SKY, "s", "--"), (plots.ORANGE, "^", "-."),
         (plots.VERMILLION, "D", ":"), (plots.BLUE, "*", "-")]  # fmt: skip


def draw(ax, measured, power):
    """k^power times the geometric mean over seeds; bars: two Monte Carlo standard errors."""
    for (name, (values, errors)), (colour, marker, dash) in zip(measured.items(), LOOKS):
        looks = {"color": colour, "marker": marker, "linestyle": dash}
        scaled = values * np.array(ks, float) ** power
        plots.spread(ax, ks, scaled, name, **looks)
        mean = np.exp(np.log(scaled).mean(0))
        relative = np.sqrt(((errors / values) ** 2).sum(0)) / len(seeds)
        ax.errorbar(ks, mean, 2 * relative * mean, fmt="none", ecolor=colour, capsize=2.5)


# %% tags=["nbval-ignore-output"]
figure, (left, right) = plots.new_figure(2, width=4.8)
draw(left, by_sigma, 0)
draw(right, by_sigma, 2)
plots.power_law_guide(left, ks, 0.3, -2, text="")
left.text(62, 0.014, "slope -2", color=plots.GREY, fontsize=8)
plots.log_log(
    left, "number of samples k", "$\\Delta_k$ [loss$^2$]", "Random plane, D = 2", ticks=ks
)
plots.log_log(
    right, "number of samples k", "$k^2 \\Delta_k$ [loss$^2$]", "The same times $k^2$", ticks=ks
)
right.legend(frameon=False, fontsize=8, loc="lower left")
tight, wide = slopes(by_sigma["$\\sigma$ = 0.1"][0]), slopes(by_sigma["$\\sigma$ = 10"][0])
plots.show(figure, f"The tight cloud falls with slope {np.mean(tight):.1f}, the wide one with "
    f"{np.mean(wide):.1f}. The curves for sigma = 0.1 and 1 coincide. "
    "Right: times k squared, only the wide cloud comes near a horizontal line. Bars: two standard "
    "errors of the Monte Carlo average. Shading: three seeds.")  # fmt: skip
reveal_number("Slope in the tight cloud", slope_guess_tight, tight)
reveal_number("Slope in the wide cloud", slope_guess_wide, wide)

# %% tags=["nbval-ignore-output"]
figure, (left, right) = plots.new_figure(2, width=4.8)
draw(left, by_D, 0)
draw(right, by_D, 2)
plots.power_law_guide(left, ks, 0.3, -2, text="")
left.text(62, 0.014, "slope -2", color=plots.GREY, fontsize=8)
plots.log_log(left, "number of samples k", "$\\Delta_k$ [loss$^2$]", "$\\sigma$ = 1", ticks=ks)
plots.log_log(
    right, "number of samples k", "$k^2 \\Delta_k$ [loss$^2$]", "The same times $k^2$", ticks=ks
)
right.legend(frameon=False, fontsize=8, loc="lower left")
many, eigen = slopes(by_D["random, D = 256"][0]), slopes(by_D["top, D = 10"][0])
plots.show(figure, "More random directions do what a larger sigma does: the line for D = 256 bends up to slope "
    f"{np.mean(many):.1f}. Ten top directions do more than 256 random ones: slope "
    f"{np.mean(eigen):.1f}, and k squared times the criterion is flat.")  # fmt: skip

# %%
print("tight cloud: slope below -2.6 in every seed:", all(s < -2.6 for s in tight))
print("256 directions: slope between -2.5 and -2 in every seed:", all(-2.5 < s < -2 for s in many))
print("top ten: slope between -2.2 and -1.9 in every seed:", all(-2.2 < s < -1.9 for s in eigen))
flatter = all(t < w for t, w in zip(tight, wide)) and all(t < m for t, m in zip(tight, many))
print("a wider cloud has a flatter slope, every seed:", flatter)
verdicts["Delta_k falls at least as fast as about k^-2 in every cloud"] = (
    max(*tight, *wide, *many, *eigen) < -1.9
)
verdicts["k^2 Delta_k is constant for every cloud"] = not all(s < -2.6 for s in tight)


# %%
def right_in_cloud(basis_of, sigma, k=320):
    """Share of unseen digits that are classified correctly at eight points of the cloud, by seed."""
    found = []
    for seed, (loss, fits) in zip(seeds, runs):
        labels, generator = ln.data.digits(n, seed=seed).labels[k:], seeded(seed)
        U, w = basis_of(seed, k), fits[ks.index(k)].w
        z = sigma * torch.randn(8, U.shape[1], generator=generator, dtype=torch.float64)
        answers = [loss.outputs(w + U @ point, range(k, n)).argmax(1) == labels for point in z]
        found.append(float(torch.stack(answers).double().mean()))
    return found


# %%
clouds = {
    "random, D = 2, sigma = 0.1": right_in_cloud(random_basis(2), 0.1),
    "random, D = 2, sigma = 10": right_in_cloud(random_basis(2), 10.0),
    "random, D = 256, sigma = 1": right_in_cloud(random_basis(256), 1.0),
    "top, D = 10, sigma = 1": right_in_cloud(top_basis, 1.0),
}

tight_right, *ruined = clouds.values()
print("tight cloud: over 85 % of unseen digits right, every seed:", min(tight_right) > 0.85)
print("each wide cloud: under 80 %, every seed:", all(max(right) < 0.8 for right in ruined))

# %% tags=["nbval-ignore-output"]
for name, right in clouds.items():
    print(f"{name:27} unseen digits right:", ", ".join(f"{r:.0%}" for r in right))

# %% [markdown]
# All curves fall, as the word *convergence* in N25's title promises. But look at *which* fall as $k^{-2}$. The identity of notebook 04 tells it apart:
# $\Delta_k = T(k)/(k+1)^2$, where $T$ is the mean squared distance between the losses of unseen digits and the
# training loss. In a tight cloud the network is still the trained network. It gets better at
# unseen digits as $k$ grows, $T$ falls, and the slope is steeper than $-2$: what exceeds 2 is learning. In a wide
# cloud the network is ruined by the noise, as the shares above show. What it had learned no longer counts, $T$
# hardly depends on $k$, and only the averaging of more samples remains, which gives $-2$ for any
# function whatever. **The nearer $k^2 \Delta_k$ is to a horizontal line, the less it knows about the network.**
#
# ## 5. Where the quadratic model ends, and which probe sees more
#
# The closed form of notebooks 01 and 04, the Gaussian moment, replaces the increment by a quadratic. How wrong is
# it in these clouds? We divide it by what was measured directly.


# %%
def table(basis_of):
    """The Gaussian moment for every k, D and sigma, averaged over next samples; one for each seed."""
    return [
        ln.moment_table([ln.next_sample_models(loss, f.w, basis_of(seed, k), k)
                         for k, f in zip(ks, fits) if k in few])
        for seed, (loss, fits) in zip(seeds, runs)
    ]  # fmt: skip


few, probes = [20, 80, 320], {"random": random_basis(10), "top": top_basis}
tables = {name: table(basis_of) for name, basis_of in probes.items()}
excess = {}  # model over measurement at k = 80, one number for each seed
for name, basis_of in probes.items():
    for sigma in (0.1, 1.0, 10.0):
        direct = measure(basis_of, sigma, at=[80])[0][:, 0]
        model = [float(t.at(10, sigma).total[few.index(80)]) for t in tables[name]]
        excess[name, sigma] = np.array(model) / direct

# %% tags=["nbval-ignore-output"]
print("Gaussian moment / direct Monte Carlo, D = 10, k = 80, three seeds")
for (name, sigma), ratios in excess.items():
    print(f"{name:7} sigma = {sigma:4}: ", ", ".join(f"{r:.3g}" for r in ratios))

# %%
print(
    "top ten, sigma = 1: the model is over 5 times too large, every seed:",
    bool((excess["top", 1.0] > 5).all()),
)
print("random or top, sigma = 10: over 10 times too large, every seed:",
      bool((np.stack([excess["random", 10.0], excess["top", 10.0]]) > 10).all()))  # fmt: skip
verdicts["the Gaussian moment may be used at sigma = 1"] = bool(
    (abs(excess["top", 1.0] - 1) < 0.1).all()
)

# %% [markdown]
# In the sharp directions the model breaks first: a step of 1 leaves the parabola, and cross-entropy grows like a
# straight line out there, not like a square. In random directions the same $\sigma$ looks harmless, for two poor reasons: these directions are flat, and most
# of the criterion is the value $a_k^2$ at the centre, which the model has exactly.
#
# **Which probe sees more?** N25 finds that the eigen-probe exceeds the random one. Compare at equal $\sigma$ and $D$. In
# the raw criterion both share the value $a_k^2$, which belongs to neither. So we compare the **curvature part**,
# $\tfrac{\sigma^4}{4}(2|B|_F^2 + (\operatorname{tr}B)^2)$ with $B = U^\top \nabla^2 I_k\, U$: without $a_k$, and inside
# the local regime ($\sigma = 0.01$).
#
# ### Predict
# By which factor does the curvature part of ten top directions exceed that of ten random ones?

# %% tags=["predict-factor"]
factor_guess = 10  # your prediction

# %%
curvature = {name: np.array([t.at(10, 0.01).curvature.numpy() for t in group])
             for name, group in tables.items()}  # fmt: skip
raw = {
    name: np.array([t.at(10, 0.01).total.numpy() for t in group]) for name, group in tables.items()
}

# %% tags=["nbval-ignore-output"]
figure, ax = plots.new_figure(width=5.6)
for name in ("top", "random"):
    plots.spread(
        ax, few, raw[name], name, color=plots.GREY, alpha=0.8, label=f"{name}: whole criterion"
    )
    plots.spread(ax, few, curvature[name], name, label=f"{name}: curvature part")
plots.log_log(
    ax,
    "number of samples k",
    "part of $\\Delta_k$ [loss$^2$]",
    "D = 10, $\\sigma$ = 0.01",
    ticks=few,
)
ax.set_ylim(1e-16, 10)
ax.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
factor = curvature["top"] / curvature["random"]
plots.show(figure, "The whole criterion (grey, two lines on top of each other) can't tell the probes apart. Their curvature "
    f"parts differ {factor.min():.0f}- to {factor.max():.0f}-fold. They are also a tiny part of the whole.")  # fmt: skip

# %% tags=["nbval-ignore-output"]
reveal_number(
    "Curvature part, top over random directions", factor_guess, np.exp(np.log(factor).mean(1))
)

# %%
print("whole criterion: top and random within 2 % at sigma = 0.01:",
      bool((abs(raw["top"] / raw["random"] - 1) < 0.02).all()))  # fmt: skip
exceeds = bool((factor > 300).all())
print("curvature part: top over 300 times random, every seed and k:", exceeds)
wide = {name: measure(U, 1.0, centred=True, at=[80])[0] for name, U in probes.items()}
print("direct, centred, sigma = 1, k = 80, no model: top is larger, every seed:",
      bool((wide["top"] > wide["random"]).all()))  # fmt: skip
verdicts["the eigen-probe exceeds the random one on the curvature part"] = exceeds

# %% [markdown]
# That claim of N25 holds, with a wide margin, once $a_k$ is left out. In the whole criterion it would depend on $k$: in
# the figure of section 4 the top line is not the highest at $k = 10$, and becomes so later.
#
# ## 6. From eigenvalues alone: Corollary 4
#
# There is a tempting short cut. Let $\lambda_i^{(k)}$ be the largest eigenvalues of $H^{(k)}$. If adding a sample changed only these
# and left the eigenvectors alone, the curvature part would follow from the changes $d_i = \lambda_i^{(k+1)} - \lambda_i^{(k)}$:
#
# $$F(d) = \frac{\sigma^4}{4}\Bigl(2\sum_i d_i^2 + \bigl(\sum_i d_i\bigr)^2\Bigr)
# \qquad \text{(KG26 Eq. 16, also in N25).}$$
#
# N25 reads it as an upper bound. We insert measured eigenvalues, both at the same point $w_k^*$. There are two
# ways to measure them, and they are not the same thing:
#
# - **compressed**: the eigenvalues of the small matrices $U^\top H^{(k)} U$ and $U^\top H^{(k+1)} U$ on the *same* ten
#   directions $U$;
# - **full**: the ten largest eigenvalues of $H^{(k)}$ and of $H^{(k+1)}$, each with its *own* ten directions. This is what
#   one gets by tracking top eigenvalues across $k$.
#
# ### Predict
# Is $F$ above or below the exact curvature part, for *compressed* and for *full*? Or either, depending on $k$?

# %% tags=["predict-formula"]
compressed_guess = "above"  # your prediction: "above", "below" or "either"
full_guess = "above"


# %%
def after_next(seed, k, i):
    """The ten largest eigenvalues of H^(k+1) at w_k*, if unseen sample i comes next."""
    w, U = runs[seed][1][ks.index(k)].w, tops[seed][ks.index(k)].vectors
    chosen = torch.tensor([*range(k), i])
    return ln.top_eigenpairs(runs[seed][0], w, chosen, 10, tol=1e-3, start=U).values


def formulas(seed, k, sigma=0.01):
    """(exact, F) with compressed eigenvalues for all next samples, with full ones for six."""
    top = tops[seed][ks.index(k)]
    models = ln.next_sample_models(runs[seed][0], runs[seed][1][ks.index(k)].w, top.vectors, k)
    moment, squares = ln.gaussian_moment(models, sigma), models.B.square().sum((1, 2))
    d = torch.linalg.eigvalsh(torch.diag(top.values) + models.B).flip(-1) - top.values
    some = list(range(0, n - k, (n - k) // 6))[:6]
    d_full = torch.stack([after_next(seed, k, k + i) for i in some]) - top.values
    first_order = ln.spectral_formula(models.B.diagonal(dim1=-2, dim2=-1), sigma)[some]
    return {"compressed": (moment.curvature, ln.spectral_formula(d, sigma)),
            "full": (moment.curvature[some], ln.spectral_formula(d_full, sigma)),
            "squares": (d.square().sum(-1) / squares).max(), "rise": ((d_full - d[some]) / top.values[0]).min(),
            "total": moment.total, "first order": first_order}  # fmt: skip


# %%
MARKS = {"compressed": (".", 4, plots.SKY), "full": ("D", 5, plots.VERMILLION)}
found = {k: [formulas(seed, k) for seed in seeds] for k in (20, 320)}
mean = {
    k: [float(g["full"][1].mean() / g["full"][0].mean()) for g in group]
    for k, group in found.items()
}


# %% tags=["nbval-ignore-output"]
figure, axes = plots.new_figure(2, width=4.6, height=3.9)
for ax, (k, group) in zip(axes, found.items()):
    for name, (marker, size, colour) in MARKS.items():
        x, y = (torch.cat([g[name][axis] for g in group]) for axis in (0, 1))
        ax.plot(x, y, marker, color=colour, markersize=size, label=f"{name} eigenvalues")
    ends = np.array(ax.get_xlim())
    ax.plot(ends, ends, color=plots.BLACK, linewidth=0.9, label="formula = exact")
    title = f"k = {k}; each mark a next digit"
    plots.log_log(ax, "exact curvature part [loss$^2$]", "formula $F$ [loss$^2$]", title)
axes[0].legend(frameon=False, fontsize=8, loc="upper left")
low, high = ([round(edge(mean[k]), 2) for k in found] for edge in (min, max))
plots.show(figure, "The dots, compressed eigenvalues, never lie above the line. The diamonds, full ones, "
    f"lie on both sides: averaged over next digits, {low[0]} to {high[0]} times the truth at k = 20 "
    f"and {low[1]} to {high[1]} times at k = 320 (three seeds).")  # fmt: skip

# %%
groups = [g for group in found.values() for g in group]
lower = all(bool((g["compressed"][1] <= g["compressed"][0] * (1 + 1e-9)).all()) for g in groups)
print("compressed: never above, each next digit:", lower)
print("because sum d^2 <= |B|^2 (Hoffman-Wielandt):", all(g["squares"] <= 1 + 1e-9 for g in groups))
print(
    "full d is never smaller than compressed d (Cauchy), to the solver's accuracy:",
    all(g["rise"] > -1e-4 for g in groups),
)
print("full, k = 20: above on average, every seed:", min(mean[20]) > 1)
print("full, k = 320: below on average, every seed:", max(mean[320]) < 1)
verdicts["Corollary 4 with compressed eigenvalues is a lower bound"] = lower
verdicts["Corollary 4 with full eigenvalues is an upper bound"] = min(*mean[20], *mean[320]) > 1

# %% tags=["nbval-ignore-output"]
near = [float(g["full"][1].sum() / g["first order"].sum()) for g in found[320]]
print("k = 320: F(full d) / F(diagonal of B), three seeds:", ", ".join(f"{r:.2f}" for r in near))
options, averages = ["above", "below", "either"], np.array([*mean[20], *mean[320]])
full_found = "above" if averages.min() > 1 else "below" if averages.max() < 1 else "either"
reveal_choice(
    "The formula with compressed eigenvalues is above or below the truth?",
    compressed_guess,
    "below" if lower else "either",
    options,
)
reveal_choice("And with full ones, on average over next digits?", full_guess, full_found, options)

# %% [markdown]
# **Compressed: always below.** On the same $U$ the traces agree, so the second terms of the formula and of the
# exact part are equal. The first terms are not: by a theorem of Hoffman and Wielandt the sorted eigenvalues of two symmetric
# matrices are never farther apart than the matrices, $\sum_i d_i^2 \le |B|_F^2$. When eigenvectors turn, a change happens that no
# eigenvalue shows.
#
# **Full: either.** At $k = 20$ a hard digit brings new sharp directions, and they enter the top ten. (The larger matrix
# may choose directions outside $U$, so each full eigenvalue of $H^{(k+1)}$ is at least the compressed one; this is Cauchy's
# interlacing.) The formula then counts curvature that the probe $U$ does not look at, and comes out too large. At
# $k = 320$ a new digit has a weight of only $1/321$. Under so small a change eigenvalues move by
# the diagonal of $B$ in first order, $d_i \approx B_{ii}$, and the formula misses most of the rest of $B$: it comes
# out too small. (Most, because the change is not that small for the hardest digits; see the ratios above.) An upper bound it is not.
#
# And the formula is about the curvature part only. Value and gradient are left out, and near the minimum they are all there is.

# %%
share = [float(g["compressed"][0].mean() / g["total"].mean()) for g in groups]
print("sigma = 0.01: curvature is under 0.1 % of the criterion:", max(share) < 1e-3)

# %% [markdown]
# ## 7. How much data is enough?
#
# N25's rule: choose a tolerance, and take the smallest measured $k$ from which on the criterion *stays* below it,
#
# $$K = \min\{k : \Delta_{k'} < \text{tolerance for all measured } k' \ge k\}.$$
#
# The algorithm as printed there has its test reversed, and stops at the first crossing. A single lucky
# digit then looks like enough data. `enough_data` follows the rule, and where it is not met it returns None:
# *not reached* is an answer too.

# %%
noisy = [8.0, 0.9, 1.5, 0.7, 0.4, 0.2]  # invented, for k = 10, 20, 40, 80, 160, 320
print("first crossing of 1.0:", next(k for k, d in zip(ks, noisy) if d < 1))
print("enough for 1.0:", ln.enough_data(ks, noisy, tolerance=1.0))
print("enough for 0.1:", ln.enough_data(ks, noisy, tolerance=0.1))
verdicts["the first crossing of the tolerance is enough data"] = max(noisy[1:]) < 1

# %% [markdown]
# Now a small study of our own, as one would run it: three networks with fewer than 1000 parameters each, five seeds,
# five $k$, that is 75 trainings. `ln.stabilization` makes a function that trains in one such *cell* and measures the criterion, averaged over
# next samples. `ln.sweep` calls it for every cell and saves each result at once. The networks are a
# network with one hidden layer, one with two, and a *convolutional* one (CNN), which looks at the image through four small windows
# that slide over it.


# %%
class CNN(torch.nn.Module):
    """Four 3 x 3 windows that slide over the image in steps of 2, then one linear layer."""

    def __init__(self, generator):
        super().__init__()
        self.windows = torch.nn.Conv2d(1, 4, 3, stride=2, padding=1, dtype=torch.float64)
        self.decide = torch.nn.Linear(4 * 16, 10, dtype=torch.float64)
        with torch.no_grad():
            for layer, fan_in in ((self.windows, 9), (self.decide, 64)):
                for p in layer.parameters():
                    p.uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)

    def forward(self, x):
        seen = torch.tanh(self.windows(x.view(-1, 1, 8, 8)))
        return self.decide(seen.flatten(1))


# %%
makers = {  # each takes a source of random numbers for the first weights
    "one layer": lambda generator: ln.models.MLP([64, 12, 10], generator=generator),
    "two layers": lambda generator: ln.models.MLP([64, 10, 10, 10], generator=generator),
    "CNN": CNN,
}

# %%
calls = []  # one entry for each cell that is measured


@functools.cache  # one network is measured at several k
def prepared(model, seed):
    inputs, labels = ln.data.digits(n, seed=seed)
    return ln.EmpiricalLoss(makers[model](seeded(seed)), per_sample, inputs, labels, l2=1e-3)


def make_loss(model, seed):
    """The loss of one network on the digits in one order."""
    calls.append((model, seed))
    return prepared(model, seed)


for model in makers:
    print(f"{model}: {make_loss(model, 0).num_params} parameters")

# %% [markdown]
# We let it be interrupted: first only seed 0, as if the machine had been switched off after a fifth of
# the work. Then the whole study is started with the same file. (The training stops at a gradient of $10^{-2}$, to save time.)

# %%
study_ks = ks[1:]
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "enough.csv"
study = ln.stabilization(make_loss, Ds=[2], sigmas=[0.01], tol=1e-2)
calls.clear()
ln.sweep(study, {"model": list(makers), "seed": [0], "k": study_ks}, path)
before = len(calls)
calls.clear()
rows = ln.sweep(study, {"model": list(makers), "seed": range(5), "k": study_ks}, path)
print(
    f"cells measured before the interruption: {before}, after it: {len(calls)}, in all {before + len(calls)}"
)
print("no finished cell was measured again:", not any(seed == 0 for _, seed in calls))
calls.clear()
again = ln.sweep(study, {"model": list(makers), "seed": range(5), "k": study_ks}, path)
print("a third start measures", len(calls), "cells and returns the same rows:", again == rows)
print("every fit converged:", all(row["converged"] for row in rows))

# %% [markdown]
# The file also knows how it was made. A study with another $\sigma$ is another study, and is turned away.

# %%
other = ln.stabilization(make_loss, Ds=[2], sigmas=[0.1], tol=1e-2)
try:
    ln.sweep(other, {"model": list(makers), "seed": range(5), "k": study_ks}, path)
except ln.SweepFileError as error:
    print(str(error).splitlines()[1].strip())


# %%
def curves_of(model, column, probe="random"):
    """A measured column as curves, (seeds, ks)."""
    chosen = [row for row in rows if row["model"] == model and row["probe"] == probe]
    return np.array([row[column] for row in chosen]).reshape(5, len(study_ks))


curves = {model: curves_of(model, "total") for model in makers}
tolerances = [1e-3, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6]


# %% tags=["nbval-ignore-output"]
figure, ax = plots.new_figure(width=6.0, height=3.8)
for (model, c), (colour, marker, dash) in zip(curves.items(), LOOKS[2:]):
    plots.spread(ax, study_ks, c, model, color=colour, marker=marker, linestyle=dash)
for tolerance in tolerances:
    ax.axhline(tolerance, color=plots.GREY, linewidth=0.8)
    ax.text(20, tolerance * 1.1, f"{tolerance:.0e}", color=plots.GREY, fontsize=8)
title = "Random plane, $\\sigma$ = 0.01; grey: tolerances"
plots.log_log(ax, "number of samples k", "$\\Delta_k$ [loss$^2$]", title, ticks=study_ks)
ax.legend(frameon=False, fontsize=9)
ends = {model: float(c[:, -1].mean()) for model, c in curves.items()}
plots.show(figure, "Three lines of about the same slope; the network with two hidden layers lies above. At k = "
    "320 the means of five seeds are " + ", ".join(f"{v:.1e} ({m})" for m, v in ends.items())
    + ": the tolerance 3e-6 runs through the scatter of the seeds, and 1e-6 is below all the "
    "means.")  # fmt: skip

# %% [markdown]
# ### Predict
# At which $k$ does the one-layer network go below $10^{-4}$ for good? And does the CNN, which knows that its input is an
# image, need more data or less?

# %% tags=["predict-enough"]
K_guess = 80
cnn_needs_less = True

# %% [markdown]
# `enough_data_interval` applies the rule to the mean of the five seeds, and tells how far five *other* seeds might have moved
# the answer: it draws five of the five with replacement, 500 times (a *bootstrap*), and gives the range that holds
# 90 % of the answers. Here is N25's table, threshold, $K$ and the loss there, for three networks. The last column is
# the mean loss of unseen digits at $K$.

# %%
enough = {
    (model, tolerance): ln.enough_data_interval(
        study_ks, c, tolerance, seeded(0), num_resamples=500
    )
    for model, c in curves.items()
    for tolerance in tolerances
}

# %% tags=["nbval-ignore-output"]
print(f"{'network':13} {'tolerance':10} {'K':42} unseen loss at K")
for (model, tolerance), found_K in enough.items():
    there = "-"
    if found_K.K is not None:
        there = f"{curves_of(model, 'unseen_loss')[:, study_ks.index(found_K.K)].mean():.2f}"
    print(f"{model:13} {tolerance:<10.0e} {found_K!s:42} {there}")

# %% tags=["nbval-ignore-output"]
K_found = {model: enough[model, 1e-4].K for model in makers}
reveal_number("K of the one-layer network for 1e-4", K_guess, K_found["one layer"])
reveal_choice(
    "Does the CNN need less data for 1e-4?",
    cnn_needs_less,
    K_found["CNN"] < K_found["one layer"],
    [True, False],
)

# %%
loose = [enough[model, 1e-3].K for model in makers]
print("1e-3: reached by every network, at k = 40 or 80:", set(loose) <= {40, 80})
strict = [enough[model, 1e-6] for model in makers]
print("1e-6: not reached by any network:", all(e.K is None for e in strict))
order = [[enough[model, t].K or 10**9 for t in tolerances] for model in makers]
print("a smaller tolerance never needs less data:", all(o == sorted(o) for o in order))
verdicts["every tolerance is reached with 320 samples"] = all(e.K is not None for e in strict)

# %% [markdown]
# *What you should see.* At most tolerances the three networks have the same $K$, although their losses on unseen digits
# differ: they lie less than a factor of 2 in $k$ apart, and that is the step of our grid. The interval opens only where a
# tolerance runs through the scatter of the seeds. Where "not reached" lies inside it, measure on before you decide.
#
# **What is this $K$ worth?** Three things decide it before the network does.
#
# - **Its unit.** The tolerance is in loss². A factor of 100 in the tolerance is a factor of 4 to 5 in $K$, because the
#   slope is near $-3$. No theory chooses it for you: it says how large a change of the loss you can
#   live with. $10^{-4}$ means that one more digit typically changes the loss by $0.01$.
# - **The criterion.** With the same number as tolerance, the centred criterion (what the probe itself sees) is far below it from the start, and
#   $\Delta_1 = |I|$, which has the unit loss, asks for a tolerance of its own.
# - **The next sample.** That one sample changes little does not mean that a thousand more would. The increments of $k = 320$ to 640
#   add up.

# %% tags=["nbval-ignore-output"]
for model in makers:
    answers = {
        "whole, top plane": (curves_of(model, "total", "top"), 1e-4),
        "centred, top plane": (curves_of(model, "centred", "top"), 1e-4),
        "mean |I|, tolerance 1e-2": (curves_of(model, "delta1"), 1e-2),
    }
    K = {name: ln.enough_data(study_ks, c.mean(0), t) for name, (c, t) in answers.items()}
    print(f"{model:13}", "   ".join(f"{name}: {k}" for name, k in K.items()))

# %%
smaller = [
    ln.enough_data(study_ks, curves_of(m, "centred", "top").mean(0), 1e-4) < enough[m, 1e-4].K
    for m in makers
]
print("the centred criterion calls less data enough, every network:", all(smaller))
verdicts["K depends on the network only, not on the criterion"] = not all(smaller)
folder.cleanup()

# %% [markdown] tags=["exercises"]
# ## Exercises
#
# This part stands on its own: after a break, start here with the next cell. Write each answer in
# place of `raise NotImplementedError()`, run it, and run the folded cell below it (the three dots). Its
# **public check** says what is wrong, without giving the answer away. When you are done, compare with
# [the solutions](solutions/05_loss_surfaces.ipynb).

# %%
from functools import partial

import numpy as np
import torch

import landscape_nb as ln
from landscape_nb import plots
from landscape_nb.course import check, check_properties

torch.set_num_threads(1)


# %% jupyter={"source_hidden": true}
# This cell and the folded ones after it hold what the checks compare with.
def symmetric(N, seed):
    """A symmetric (N, N) array of random numbers."""
    A = np.random.default_rng(seed).normal(size=(N, N))
    return A + A.T


def orthonormal(N, D, seed):
    """An array (N, D) with orthonormal columns in random directions."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(N, D))).Q


# %% jupyter={"source_hidden": true}
# For check 1: what is right, by lengths and angles, and what well-known mistakes give.
def right_1(H, U):
    eigenvalues, vectors = np.linalg.eigh(H)
    return eigenvalues @ np.square(vectors.T @ U).sum(1) / eigenvalues.sum()


mistakes_1 = {
    "Does a trace add up all entries?": lambda H, U: (U.T @ H @ U).sum() / np.trace(H),
    "That is a share of the squared curvatures. Which curvatures add up to the trace?": (
        lambda H, U: np.square(U.T @ H @ U).sum() / np.square(H).sum()
    ),
    "What sign has a curvature that bends down?": lambda H, U: (
        np.abs(np.linalg.eigvalsh(U.T @ H @ U)).sum() / np.abs(np.linalg.eigvalsh(H)).sum()
    ),
    "A share of what?": lambda H, U: right_1(H, U) * np.trace(H),
    "The mean over the directions, or the sum?": lambda H, U: right_1(H, U) / U.shape[1],
}


# %% jupyter={"source_hidden": true}
# For check 2.
def right_2(H, H_next, U, sigma, d=None):
    """By the package: two samples whose first L_k is H, and whose increment is H_next - H."""
    A = torch.stack([torch.as_tensor(H), torch.as_tensor(2 * H_next - H)])
    zero = torch.zeros(2, len(H), dtype=torch.float64)
    loss = ln.EmpiricalLoss(*ln.toys.Quadratics(zero[:, 0], zero, A).parts)
    B = ln.increment_model(loss, zero[0], torch.as_tensor(U), 1).B
    exact = ln.gaussian_moment(ln.IncrementModel(0.0, torch.zeros(len(B)).double(), B), sigma)
    changes = d(H, H_next, U, B) if d else compressed(H, H_next, U, B)
    return torch.stack([exact.curvature, ln.spectral_formula(changes, sigma)])


def compressed(H, H_next, U, B):
    return torch.linalg.eigvalsh(torch.as_tensor(U.T @ H @ U) + B) - sharpness(U.T @ H @ U)


def sharpness(H):
    return torch.linalg.eigvalsh(torch.as_tensor(H))


# %% jupyter={"source_hidden": true}
changes_2 = {
    "Whose eigenvalues, those of the full Hessians or of the compressed ones?": (
        lambda H, H_next, U, B: (sharpness(H_next) - sharpness(H))[-U.shape[1] :]
    ),
    "The diagonal of B is not a change of eigenvalues.": lambda H, H_next, U, B: B.diagonal(),
    "Eigenvalues of a change, or changes of eigenvalues?": lambda H, H_next, U, B: sharpness(B),
    "Is the largest eigenvalue subtracted from the largest?": lambda H, H_next, U, B: (
        sharpness(U.T @ H_next @ U) - sharpness(U.T @ H @ U).flip(0)
    ),
}
hints_2 = {hint: partial(right_2, d=d) for hint, d in changes_2.items()}


# %% jupyter={"source_hidden": true}
def turned(H, degrees):
    """The same bowl after a turn of the plane."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    R = np.array([[c, -s], [s, c]])
    return R @ H @ R.T


# %% jupyter={"source_hidden": true}
# For check 3.
def right_3(ks, deltas, tolerances):
    return tuple(ln.enough_data(ks, deltas, tolerance) for tolerance in tolerances)


def as_tuple(found):
    """A list with the right entries is as good."""
    return tuple(found) if isinstance(found, list) else found


def first(ks, deltas, tolerance, missing=None):
    return next((k for k, delta in zip(ks, deltas) if delta < tolerance), missing)


# %% jupyter={"source_hidden": true}
mistakes_3 = {
    "Is one lucky measurement enough? What about the larger k?": lambda ks, deltas, tolerances: (
        tuple(first(ks, deltas, t) for t in tolerances)
    ),
    "Below the tolerance, or above it?": lambda ks, deltas, tolerances: tuple(
        first(ks, [-d for d in deltas], -t) for t in tolerances
    ),
    "What is the answer where the last value is not below?": lambda ks, deltas, tolerances: tuple(
        K or ks[-1] for K in right_3(ks, deltas, tolerances)
    ),
    "Numbers of samples are asked for, not places in the list.": lambda ks, deltas, tolerances: (
        tuple(None if K is None else ks.index(K) for K in right_3(ks, deltas, tolerances))
    ),
}


# %% jupyter={"source_hidden": true}
# For check 4.
def network(seed, k, hard):
    """A loss on k + 1 digits, and w_k*; the last digit is the hard-th hardest of 200."""
    inputs, labels = ln.data.digits(200, seed=seed)
    model = ln.models.MLP([64, 8, 10], generator=torch.Generator().manual_seed(seed))
    cross_entropy = torch.nn.CrossEntropyLoss(reduction="none")
    every = ln.EmpiricalLoss(model, cross_entropy, inputs, labels, l2=3e-3)
    w = ln.fit(every, k, tol=1e-2).w
    chosen = [*range(k), k + int(every.per_sample(w)[k:].argsort()[-hard])]
    return ln.EmpiricalLoss(model, cross_entropy, inputs[chosen], labels[chosen], l2=3e-3), w, k


def seen(net, plane):
    """The centred criterion in a plane, sigma = 0.1, by the quadratic model."""
    loss, w, k = net
    return float(ln.gaussian_moment(ln.increment_model(loss, w, plane, k), 0.1).centred)


networks_4 = network(0, 80, 3), network(1, 60, 8)
top_planes_4 = [ln.top_eigenpairs(*net, 2).vectors for net in networks_4]

# %% jupyter={"source_hidden": true}
properties_4 = {
    "two columns, one entry for each of the 610 parameters": lambda planes: all(
        tuple(U.shape) == (610, 2) for U in planes
    ),
    "columns of length 1, perpendicular to each other": lambda planes: all(
        torch.allclose(U.T @ U, torch.eye(2).double(), atol=1e-8) for U in planes
    ),
    "more than 1.5 times the centred criterion of the top plane": lambda planes: all(
        seen(net, U) > 1.5 * seen(net, top) for net, U, top in zip(networks_4, planes, top_planes_4)
    ),
}

# %% [markdown]
# **1. What a plane shows.** $H$ is the Hessian, an array $(N, N)$, and the orthonormal columns of $U$,
# an array $(N, D)$, span the plane of a picture, or more than a plane. Which share of the Hessian's
# trace does the picture show?
#
# The check then draws hundreds of random planes. In the picture's Hessians three directions are
# sharp, and all others nearly flat. This is what to expect:
#
# ![Dots over the number of parameters N from 10 to 300, on logarithmic axes: shares of the trace in random planes, scattered over more than a factor of ten at each N. Their means, larger discs, lie on the line 2 over N.](pictures/exercise-05-1.png)


# %% tags=["answer-1"]
def share_of_trace(H, U):
    """Trace of the Hessian within the span of U, divided by the whole trace. H (N, N), U (N, D)."""
    ### BEGIN SOLUTION
    return np.trace(U.T @ H @ U) / np.trace(H)
    ### END SOLUTION


# %% tags=["check-1", "points-1", "picture-exercise-05-1"]
cases = [{"H": symmetric(6, s) + 3 * np.eye(6), "U": orthonormal(6, 3, s)} for s in range(3)]
check("1", share_of_trace, right_1, cases, mistakes_1)

sizes, shares = [10, 30, 100, 300], []
for N in sizes:
    H = np.diag([10.0, 5.0, 2.0] + (N - 3) * [0.01])
    shares.append([share_of_trace(H, orthonormal(N, 2, s)) for s in range(200)])
figure, ax = plots.new_figure(width=5)
ax.plot(sizes, shares, ".", color=plots.SKY, markersize=3)
ax.plot(sizes, np.mean(shares, 1), "o", color=plots.BLUE, label="mean of 200 random planes")
plots.curve(ax, sizes, 2 / np.array(sizes), "2/N", color=plots.BLACK, label="2/N")
plots.log_log(ax, "number of parameters N", "share of the trace", "Exercise 1", ticks=sizes)
ax.legend(frameon=False)
plots.show(
    figure, "A random plane shows 2/N of the trace on average; single planes scatter widely."
)

# %% tags=["hidden-1", "points-2"]
import numpy as np_1

draws_1 = np_1.random.default_rng(51)
for N_1, D_1 in ((4, 1), (7, 2), (12, 5), (9, 9)):
    H_1 = draws_1.normal(size=(N_1, N_1))
    H_1 = H_1 + H_1.T + 3 * np_1.eye(N_1)
    U_1 = np_1.linalg.qr(draws_1.normal(size=(N_1, D_1))).Q
    found_1 = float(share_of_trace(H_1.copy(), U_1.copy()))
    inside_1 = sum(u_1 @ H_1 @ u_1 for u_1 in U_1.T)  # the curvatures along the columns
    right_of_1 = inside_1 / np_1.linalg.eigvalsh(H_1).sum()
    assert np_1.isclose(found_1, right_of_1), f"wrong for {D_1} of {N_1} directions"
own_1 = {"right_1"} & set(share_of_trace.__code__.co_names)
assert not own_1, "write it yourself, without the check's function"

# %% [markdown]
# **2. What eigenvalues do not see.** One more sample turns the Hessian $H$ into $H'$, and $U$ spans the
# probe. Give two numbers: the **exact** curvature part of the criterion, and what the **formula** of
# section 6 says. With $B = U^\top (H' - H)\, U$,
#
# $$\text{exact} = \tfrac{\sigma^4}{4}\bigl(2\,|B|_F^2 + (\operatorname{tr} B)^2\bigr), \qquad
# F(d) = \tfrac{\sigma^4}{4}\Bigl(2 \sum_i d_i^2 + \bigl(\sum_i d_i\bigr)^2\Bigr),$$
#
# where $d_i$ is the change of the $i$-th largest **compressed** eigenvalue, from $U^\top H U$ to
# $U^\top H' U$. (`np.linalg.eigvalsh` gives the eigenvalues of a symmetric array, the smallest first.)
#
# The check draws the sharpest possible case: a bowl, three times as sharp in one direction as in the other,
# which the new sample turns by an angle and leaves as it is otherwise. This is the picture:
#
# ![Two lines over the angle from 0 to 90 degrees. The exact curvature part rises from 0 to 4 along half a wave. The formula stays at 0.](pictures/exercise-05-2.png)


# %% tags=["answer-2"]
def exact_and_formula(H, H_next, U, sigma):
    """[exact, formula]: the curvature part, and Corollary 4's. H, H_next (N, N), U (N, D)."""

    ### BEGIN SOLUTION
    def part(squares, total):
        return sigma**4 / 4 * (2 * squares + total**2)

    B = U.T @ (H_next - H) @ U
    d = np.linalg.eigvalsh(U.T @ H_next @ U) - np.linalg.eigvalsh(U.T @ H @ U)
    return [part((B**2).sum(), np.trace(B)), part((d**2).sum(), d.sum())]
    ### END SOLUTION


# %% tags=["check-2", "points-1", "picture-exercise-05-2"]
cases = [
    {"H": symmetric(5, 1), "H_next": symmetric(5, 2), "U": orthonormal(5, 3, 3), "sigma": sigma}
    for sigma in (0.5, 1.0, 2.0)
]
check("2", exact_and_formula, right_2, cases, hints_2)

bowl, angles = np.diag([3.0, 1.0]), np.arange(0, 91, 5)
found = [exact_and_formula(bowl, turned(bowl, angle), np.eye(2), 1.0) for angle in angles]
exact, formula = np.array(found).T
figure, ax = plots.new_figure(width=5)
plots.curve(ax, angles, exact, "curvature", markevery=3, label="exact")
plots.curve(ax, angles, formula, "random", markevery=3, label="formula, from eigenvalues")
ax.set(xlabel="turn of the bowl [degrees]", ylabel="curvature part [loss$^2$]")
ax.set_title("Exercise 2", fontsize=10)
ax.legend(frameon=False)
plots.show(figure, f"The exact part grows to {exact[-1]:.2f} at a quarter turn. No eigenvalue "
    "changes, so the formula sees nothing.")  # fmt: skip

# %% tags=["hidden-2", "points-2"]
import numpy as np_2


def part_2(b):
    """E (b_1 z_1^2 + b_2 z_2^2 + ...)^2: independent squares with mean 1 and mean square 3."""
    return 3 * (b**2).sum() + np_2.outer(b, b).sum() - (b**2).sum()


draws_2 = np_2.random.default_rng(25)
for N_2, D_2, sigma_2 in ((2, 2, 1.0), (4, 2, 0.3), (6, 4, 1.7)):
    H_2, next_2 = (M_2 + M_2.T for M_2 in draws_2.normal(size=(2, N_2, N_2)))
    U_2 = np_2.linalg.qr(draws_2.normal(size=(N_2, D_2))).Q
    found_2 = exact_and_formula(H_2.copy(), next_2.copy(), U_2.copy(), sigma_2)
    found_2 = [float(x_2) for x_2 in found_2]
    inside_2 = [U_2.T @ M_2 @ U_2 for M_2 in (H_2, next_2, next_2 - H_2)]
    before_2, after_2, b_2 = (np_2.sort(np_2.linalg.eigvals(M_2).real) for M_2 in inside_2)
    right_of_2 = [part_2(sigma_2**2 / 2 * x_2) for x_2 in (b_2, after_2 - before_2)]
    assert np_2.allclose(found_2, right_of_2, rtol=1e-8), f"wrong for {D_2} of {N_2} directions"
own_2 = {"right_2"} & set(exact_and_formula.__code__.co_names)
assert not own_2, "write it yourself, without the check's function"

# %% [markdown]
# **3. How much is enough.** A criterion was measured at several $k$. For each of a few tolerances, give
# the smallest measured $k$ from which on the criterion *stays* below it, up to the last one measured, or
# `None` where that is not reached (section 7). (Write the rule yourself: an answer that calls
# the package's function for it does not count.)


# %% tags=["answer-3"]
def enough(ks, deltas, tolerances):
    """A tuple with K or None for each tolerance. ks: increasing list; deltas: as long as ks."""
    ### BEGIN SOLUTION
    found = []
    for tolerance in tolerances:
        K = None
        for k, delta in zip(reversed(ks), reversed(deltas)):
            if delta >= tolerance:
                break
            K = k
        found.append(K)
    return tuple(found)
    ### END SOLUTION


# %% tags=["check-3", "points-1"]
measured = {
    "ks": [10, 20, 40, 80, 160, 320],
    "deltas": [9e-3, 8e-4, 2e-3, 7e-4, 3e-4, 4e-4],
    "tolerances": [1e-2, 1e-3, 5e-4, 3.5e-4, 1e-4],
}
falling = {"ks": [5, 50, 500], "deltas": [3.0, 2.0, 1.0], "tolerances": [2.5, 0.5, 1.5]}


def answer_3(ks, deltas, tolerances):
    """The answer for copies of the lists, which it may sort or reverse."""
    return as_tuple(enough(list(ks), list(deltas), list(tolerances)))


check("3", answer_3, right_3, [measured, falling], mistakes_3)

# %% tags=["hidden-3", "points-2"]
import numpy as np_3

draws_3, tolerances_3 = np_3.random.default_rng(3), [1.0, 0.3, 0.1, 0.01]
for _ in range(50):
    ks_3 = np_3.cumsum(draws_3.integers(1, 50, size=8)).tolist()
    deltas_3 = (draws_3.exponential(size=8) / np_3.arange(1, 9)).tolist()
    found_3 = enough(list(ks_3), list(deltas_3), list(tolerances_3))
    found_3 = [None if K_3 is None else float(K_3) for K_3 in found_3]
    assert len(found_3) == 4, "one answer is asked for at each tolerance"
    for t_3, K_3 in zip(tolerances_3, found_3):
        good_3 = [k_3 for j_3, k_3 in enumerate(ks_3) if max(deltas_3[j_3:]) < t_3]
        assert K_3 == min(good_3, default=None), (
            f"wrong at tolerance {t_3} for deltas = {np_3.round(deltas_3, 3)}"
        )
codes_3 = [enough.__code__]
for code_3 in codes_3:  # the list grows by the functions inside
    codes_3 += [part_3 for part_3 in code_3.co_consts if hasattr(part_3, "co_names")]
    own_3 = {"enough_data", "right_3"} & set(code_3.co_names)
    assert not own_3, "write it yourself, without a function that gives the answer"

# %% [markdown]
# **4. Design a picture.** The top plane shows the sharpest valley of $L_k$. Now choose the plane that
# shows what sample $k+1$ *changes*. Measure a plane by the centred criterion in it at $\sigma = 0.1$,
# the mean of $(I_k - a_k)^2$. Yours must have more than 1.5 times that of the top plane, for two
# networks. Many answers are right. You may use all of `ln`, for example `loss.gradient`,
# `ln.jacobian_subspace` and `ln.increment_eigenpairs`; `torch.linalg.qr(M).Q` makes columns
# orthonormal, and `range(k, k + 1)` in place of `k` selects the next sample alone.
#
# The check draws $I_k^2$ in both planes, with one scale. It may look like this:
#
# ![Two contour maps of the squared increment on one colour scale, a cross at each centre. Left, the top plane: two broad zones that differ tenfold, and a dark corner. Right, the plane of the change: from its brightest corner, above 0.01, the colours run down a thousandfold and more to a dark furrow beyond the centre.](pictures/exercise-05-4.png)


# %% tags=["answer-4"]
def plane_of_change(loss, w, k):
    """An orthonormal basis (N, 2) of a plane through w = w_k* in which I_k varies a lot."""
    ### BEGIN SOLUTION
    change = loss.gradient(w, range(k, k + 1)) - loss.gradient(w, k)
    sharpest = ln.top_eigenpairs(loss, w, range(k, k + 1), 1).vectors[:, 0]
    return torch.linalg.qr(torch.stack([change, sharpest], dim=1)).Q
    ### END SOLUTION


# %% tags=["check-4", "points-1", "nbval-ignore-output", "picture-exercise-05-4"]
check_properties("4", lambda: [plane_of_change(*net) for net in networks_4], properties_4)

(loss, w, k), steps = networks_4[0], torch.linspace(-1, 1, 17, dtype=torch.float64)
planes = {"top plane": top_planes_4[0], "your plane": plane_of_change(*networks_4[0])}
change = {
    name: ln.loss_surfaces(loss, w, U, [k], steps).increments[0] for name, U in planes.items()
}
squares = {name: I**2 for name, I in change.items()}
figure = plots.contour_maps(
    steps, steps, squares, levels=np.logspace(-5, -1, 5), label="$I_k^2$  [loss$^2$]", zeros=change
)
times = [
    seen(net, plane_of_change(*net)) / seen(net, top) for net, top in zip(networks_4, top_planes_4)
]
plots.show(figure, "The centred criterion at sigma = 0.1 in your plane, over that in the top plane: "
    + " and ".join(f"{ratio:.1f}" for ratio in times) + ".")  # fmt: skip

# %% tags=["hidden-4", "points-2"]
import landscape_nb as ln_4
import torch as torch_4

entropy_4 = torch_4.nn.CrossEntropyLoss(reduction="none")
for seed_4, k_4, hard_4 in ((3, 80, 3), (2, 60, 8)):
    x_4, y_4 = ln_4.data.digits(200, seed=seed_4)
    model_4 = ln_4.models.MLP([64, 8, 10], generator=torch_4.Generator().manual_seed(seed_4))
    loss_4 = ln_4.EmpiricalLoss(model_4, entropy_4, x_4, y_4, l2=3e-3)
    w_4 = ln_4.fit(loss_4, k_4, tol=1e-2).w
    rows_4 = [*range(k_4), k_4 + int(loss_4.per_sample(w_4)[k_4:].argsort()[-hard_4])]
    loss_4 = ln_4.EmpiricalLoss(model_4, entropy_4, x_4[rows_4], y_4[rows_4], l2=3e-3)
    found_4 = torch_4.as_tensor(plane_of_change(loss_4, w_4.clone(), k_4)).detach().double()
    assert found_4.shape == (len(w_4), 2), "the plane needs the shape (N, 2)"
    assert (found_4.T @ found_4 - torch_4.eye(2)).norm() < 1e-6, "columns are not orthonormal"
    steps_4 = (0.1, loss_4.gradient), (0.01, loss_4.hessian)
    c_4, B_4 = (s_4 * (f_4(w_4, k_4 + 1) - f_4(w_4, k_4)) for s_4, f_4 in steps_4)
    planes_4 = found_4, ln_4.top_eigenpairs(loss_4, w_4, k_4, 2).vectors
    models_4 = [(U_4.T @ c_4, U_4.T @ B_4 @ U_4) for U_4 in planes_4]
    seen_4 = [c @ c + ((B * B).sum() * 2 + B.trace() ** 2) / 4 for c, B in models_4]
    assert seen_4[0] > 1.5 * seen_4[1], "too little changes in the plane of another network"

# %% [markdown]
# **5. In words.** Someone draws the loss of a network with a billion parameters over a random plane, on
# a grid from $-1$ to 1. The surface is flat, for $k = 10^4$ samples and for $10^6$ alike, and they
# conclude: "The network sits in a flat minimum, and its landscape has converged." Which share of the
# Hessian's trace does the picture show, on average, and how many random directions would show half of
# it? Is either half of the conclusion supported? What would you draw or measure in its place? Four to
# six sentences.

# %% [markdown] tags=["manual-5", "points-3"]
# ### BEGIN SOLUTION
# A random direction holds $1/N$ of the trace on average, so the plane shows $2/N = 2 \cdot 10^{-9}$ of
# it, and half of the trace takes $N/2 = 5 \cdot 10^8$ random directions. Any network looks flat in such
# a plane, at a sharp minimum as well, so "flat" is not supported. Nor is "converged": where nothing is
# to be seen at either $k$, nothing can be seen to settle. For flatness I would measure the largest
# eigenvalues, or draw the plane of the top two eigenvectors. For convergence I would measure the
# increment: the centred criterion in the top eigenspace and along the next sample's Jacobian, averaged
# over many unseen samples, at several $k$, and divided by the $(k+1)^{-2}$ that is there without any
# learning; then say for which tolerance it is small enough.
#
# *Rubric.* One point each: both numbers; neither half follows, and why; a measurement that could
# support them (top eigenvalues or plane, and a criterion over $k$ averaged over next samples).
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
# | claim | N25 | here |
# |---|---|---|
# | the surfaces settle as $k$ grows | pictures of $L_k$ and $(L_{k+1}-L_k)^2$ | yes; most of the fall is the $(k+1)^2$, and one order of the data does not fall at each step |
# | $\Delta_k$ falls for every $\sigma$ and $D$ | curves | yes, with slopes from $-2$ to $-3.4$ |
# | $\Delta_k$ falls as $k^{-2}$ | curves of $k^2 \Delta_k$ | only where the cloud ruins the network; a tight cloud falls faster |
# | the eigen-probe sees more than the random one | curves for $D = 10$ | in the curvature part a few thousand times more; in the whole criterion, at small $\sigma$, no difference |
# | Corollary 4 bounds the curvature part from above | read off measurements | with compressed eigenvalues never; with full ones at $k = 20$ on average, at $k = 320$ not |
# | $K$ for a tolerance | table | a table for one criterion, one unit and one grid of $k$ |
#
# - **Pictures of planes.** Each shows two of 1210 directions, around one point, for one next digit. The centre of sections 1
#   to 3 was trained on 320 digits, and for $k < 320$ it has already seen the "next" one.
# - **Slopes from six points.** $k$ spans a factor of 32. The steep slopes need not go on: a learning curve flattens
#   where the network has learned what it can.
# - **Twenty points.** Squared increments have heavy tails, so the error bars at $\sigma \ge 5$ are themselves uncertain. All $k$ of a
#   seed share the same points and random directions: the curves are smooth in $k$ because of that.
# - **The grid of $k$.** It doubles, so no $K$ is known better than within a factor of 2, whatever the interval says. And $K = 320$ is
#   the last one measured: nothing shows that the curve stays below.
# - **The bootstrap** knows five seeds. It says nothing about other data, other L2 terms, or training to another gradient.
# - **Small networks**, under 1300 parameters, and one data set of easy images.

# %% [markdown]
# ## Summary
#
# Each line is a claim and what this notebook found.

# %%
for claim, holds in verdicts.items():
    print(f"{'holds' if holds else 'FAILS':7}{claim}")

# %% [markdown]
# The landscape settles; but a tight look and a wide look disagree on how fast, and only the tight one is about the network.
# "Enough data" is an answer to a question that you ask with a tolerance and a criterion. State both.
#
# **Next:** [06 Bulk and outliers](06_bulk_and_outliers.ipynb) looks at all eigenvalues instead of the top ones. [07
# Transformer](07_transformer.ipynb) asks the questions of notebook 04 of a language model. Back to [the
# map](00_start_here.ipynb).

# %% tags=["nbval-ignore-output"]
print(cost.line(budget_s=60, budget_mb=1000))
