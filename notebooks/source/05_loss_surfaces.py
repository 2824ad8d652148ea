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

import landscape_nb as ln
from landscape_nb.course import Cost, SaveMyWork, reveal_choice, reveal_number
from landscape_nb.figures import n05_loss_surfaces as figures
from landscape_nb.widgets import PictureSlider

# %%
torch.set_num_threads(1)
cost = Cost()


# %%
def seeded(seed):
    """A source of random numbers that gives the same ones each time."""
    return torch.Generator().manual_seed(seed)


# %%
def compare(claims):
    """Print for each claim whether it holds, for the notebook's test."""
    for claim, holds in claims.items():
        print(f"{claim}:", bool(np.asarray(holds).all()))


# %% [markdown]
# *Pictures and their sentences quote what was measured in this run. Three folded cells print lines that
# end in True or False; the notebook's test compares them on every machine.*
#
# The network is the one of notebook 04: 64 pixels, a hidden layer of 16 tanh units, 10 outputs, with the small
# term $\tfrac12 10^{-3}|w|^2$ in the loss that gives training a place to end. It is trained for six values of
# $k$, each starting where the last one ended, until the gradient is shorter than $10^{-3}$. Three
# seeds change both the order of the digits and the first weights.

# %%
ks, seeds, n = [10, 20, 40, 80, 160, 320], [0, 1, 2], 450
per_sample = torch.nn.CrossEntropyLoss(reduction="none")


# %%
def train(seed):
    """The loss on 450 digits in this seed's order, and w_k* for each k."""
    inputs, labels = ln.data.digits(n, seed=seed)
    model = ln.models.MLP([64, 16, 10], generator=seeded(seed))
    loss = ln.EmpiricalLoss(model, per_sample, inputs, labels, l2=1e-3)
    return loss, ln.fit_path(loss, ks, tol=1e-3)


# %%
runs = [train(seed) for seed in seeds]
N = runs[0][0].num_params
print(f"N = {N} parameters")

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
def shares_of(H, U):
    """What a plane holds of the trace, and of the squared curvatures."""
    B = U.T @ H @ U
    return float(B.trace() / H.trace()), float((B.norm() / H.norm()) ** 2)


# %%
shares = {"top": [], "random": []}
for seed, (loss, fits) in zip(seeds, runs):
    w, k = fits[-1].w, ks[-1]
    H = loss.hessian(w, k)
    shares["top"].append(shares_of(H, ln.top_eigenpairs(loss, w, k, 2).vectors))
    shares["random"].append(shares_of(H, ln.random_subspace(N, 2, seeded(100 + seed))))

# %% tags=["nbval-ignore-output"]
print("shares of three seeds")
for name, pairs in shares.items():
    trace, squares = (", ".join(f"{v:.2g}" for v in column) for column in zip(*pairs))
    print(f"{name:7} trace {trace}    squares {squares}")
top, rand = np.array(shares["top"]), np.array(shares["random"])  # (seed, trace or squares)
reveal_number("Share of the trace in a random plane", share_guess, rand[:, 0])

# %%
print(f"average of the random trace share, in theory 2/N: {2 / N:.4f}")

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

# %%
drawn = [10, 20, 40, 80, 120, 160, 240, 320]
surfaces = {name: ln.loss_surfaces(loss, w, U, drawn, steps) for name, U in bases.items()}
values = {name: surface.values for name, surface in surfaces.items()}  # (k, y, x)
increments = {name: surface.increments for name, surface in surfaces.items()}  # (k, y, x)

# %% tags=["nbval-ignore-output"]
point = w + steps[3] * bases["top"][:, 0] + steps[17] * bases["top"][:, 1]
L, L_next = (torch.stack([loss.value(point, k + one) for k in drawn]) for one in (0, 1))
found = values["top"][:, 17, 3], increments["top"][:, 17, 3]
worst = max(float((f - singly).abs().max()) for f, singly in zip(found, (L, L_next - L)))
print(f"largest difference at one point, of all k: {worst:.0e}")

# %% [markdown]
# First the loss itself. All four panels have the same height and colour scale.

# %% tags=["nbval-ignore-output"]
figures.loss_surfaces(steps, drawn, values)

# %% [markdown]
# The same two surfaces from above, as contour maps: a line for each height, and a cross at the centre.

# %% tags=["nbval-ignore-output"]
figures.loss_maps(steps, drawn, values["top"])

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
figures.change_surfaces(steps, drawn, increments["top"])
reveal_number("Fall by arithmetic alone", fall_guess, (321 / 11) ** 2, unit="times")

# %% [markdown]
# That is the settling, and most of it is the $(k+1)^2$ in the denominator: $(321/11)^2 \approx 850$ comes from
# counting samples. What is left depends on which two digits happened to be number 11 and number 321. A linear
# scale hides everything else. On a *logarithmic* one, each colour is a power of ten. (The change passes
# through zero between the points of the grid. For these maps it is interpolated, with its sign, before it is squared.)


# %% tags=["nbval-ignore-output"]
figures.change_maps(steps, drawn, increments)

# %% [markdown]
# ## 3. Move k yourself
#
# Every picture was drawn before, so the slider follows at once. Left the top plane, right the random one, with
# one scale for both and for all $k$.
#
# **Try this.** Move from $k = 10$ to 320. Does the left map become darker at every step? Does the right one
# ever show more than one or two colours?


# %%
def state(j):
    """Both planes' maps for one k, and a sentence about them."""
    return figures.change_at(steps, drawn[j], {name: I[j] for name, I in increments.items()})


# %% tags=["nbval-ignore-output"]
slider = PictureSlider("k", {k: state(j) for j, k in enumerate(drawn)})
slider

# %% [markdown]
# A program can move the slider too. Here it goes to the last picture, reads the sentence, and comes back.

# %%
slider.slider.value = 320
last_sentence = slider.sentence()
slider.slider.value = 10

# %%
means = {name: I.square().mean((1, 2)) for name, I in increments.items()}  # one for each k
ratio = means["top"] / means["random"]
falls_always = bool((means["top"].diff() < 0).all())

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
def trained(seed, k):
    """The loss of one seed, and w_k*."""
    loss, fits = runs[seed]
    return loss, fits[ks.index(k)].w


# %%
def criterion(seed, k, U, sigma, centred):
    """Delta_k by direct Monte Carlo: 20 points z, every unseen digit as the next one."""
    loss, w = trained(seed, k)
    return ln.next_sample_average(loss, w, k, sigma, 20, seeded(seed), U=U, centred=centred)


# %%
def measure(basis_of, sigma, centred=False, at=ks):
    """Criterion and its standard error for each seed and k, (2, seeds, k)."""
    found = [criterion(seed, k, basis_of(seed, k), sigma, centred) for seed in seeds for k in at]
    pairs = np.array([[float(e.value), float(e.stderr)] for e in found])
    return pairs.T.reshape(2, len(seeds), len(at))


# %%
def random_basis(D):
    """The same D random directions for every k of a seed."""
    bases = [ln.random_subspace(N, D, seeded(100 + seed)) for seed in seeds]
    return lambda seed, k: bases[seed]


# %%
@functools.cache
def top_ten(seed, k):
    """The ten largest eigenvalues of H^(k) at w_k*, and their eigenvectors."""
    return ln.top_eigenpairs(*trained(seed, k), k, 10)


# %%
def top_basis(seed, k):
    """The top ten eigenvectors at w_k*."""
    return top_ten(seed, k).vectors


# %%
by_sigma = {sigma: measure(random_basis(2), sigma) for sigma in (0.1, 1, 5, 10)}

# %%
by_D = {"random, D = 2": by_sigma[1]}
by_D |= {f"random, D = {D}": measure(random_basis(D), 1.0) for D in (16, 64, 256)}
by_D["top, D = 10"] = measure(top_basis, 1.0)


# %%
def slopes(curves):
    """Slope on log-log axes, one for each seed."""
    return [ln.log_slope(torch.tensor(ks) + 1, c).value for c in curves]


# %% tags=["nbval-ignore-output"]
tight, wide = slopes(by_sigma[0.1][0]), slopes(by_sigma[10][0])
figures.criterion_by_sigma(ks, by_sigma, tight, wide)
reveal_number("Slope in the tight cloud", slope_guess_tight, tight)
reveal_number("Slope in the wide cloud", slope_guess_wide, wide)

# %% tags=["nbval-ignore-output"]
many, eigen = slopes(by_D["random, D = 256"][0]), slopes(by_D["top, D = 10"][0])
figures.criterion_by_dimension(ks, by_D, many, eigen)

# %% [markdown]
# What is left of the network out there? We let it classify the unseen digits at eight points of a cloud.


# %%
def right_in_cloud(basis_of, sigma, seed, k=320):
    """Share of unseen digits that are classified correctly at eight points of the cloud."""
    (loss, w), U = trained(seed, k), basis_of(seed, k)
    z = sigma * torch.randn(8, U.shape[1], generator=seeded(seed), dtype=torch.float64)
    answers = [loss.outputs(w + U @ point, range(k, n)).argmax(1) for point in z]
    right = torch.stack(answers) == ln.data.digits(n, seed=seed).labels[k:]
    return float(right.double().mean())


# %%
clouds = {
    "random, D = 2, sigma = 0.1": (random_basis(2), 0.1),
    "random, D = 2, sigma = 10": (random_basis(2), 10.0),
    "random, D = 256, sigma = 1": (random_basis(256), 1.0),
    "top, D = 10, sigma = 1": (top_basis, 1.0),
}

# %% tags=["nbval-ignore-output"]
right = {name: [right_in_cloud(*cloud, seed) for seed in seeds] for name, cloud in clouds.items()}
for name, shares_right in right.items():
    print(f"{name:27} unseen digits right:", ", ".join(f"{r:.0%}" for r in shares_right))
tight_right, *ruined = right.values()

# %% jupyter={"source_hidden": true}
# What the notebook's test compares: claims of sections 1 to 4.
rise = {name: Z[-1].max() - Z[-1].min() for name, Z in values.items()}
claims = {
    f"N = {N} parameters; every fit converged": [f.converged for _, fits in runs for f in fits],
    "a random plane holds under 0.5 % of the trace": rand[:, 0] < 0.005,
    "and under 0.1 % of the squared curvature": rand[:, 1] < 0.001,
    "the top plane holds over 10 % and over 40 %": top > [0.1, 0.4],
    "all k from one pass equal single evaluations, to 1e-12": worst < 1e-12,
    "at k = 320 the top plane rises over 50 times higher": rise["top"] > 50 * rise["random"],
    "mean squared change over 100 times larger in the top plane, each of 8 k": ratio > 100,
    "the slider has moved to the last picture": last_sentence.startswith("k = 320"),
    "for this one order of the digits the change falls at every step": falls_always,
    "tight cloud: slope below -2.6 in every seed": np.array(tight) < -2.6,
    "256 directions: slope between -2.5 and -2 in every seed": [-2.5 < s < -2 for s in many],
    "top ten: slope between -2.2 and -1.9 in every seed": [-2.2 < s < -1.9 for s in eigen],
    "a wider cloud has a flatter slope, every seed": np.less(tight, [wide, many]),
    "tight cloud: over 85 % of unseen digits right, every seed": min(tight_right) > 0.85,
    "each wide cloud: under 80 %, every seed": np.max(ruined) < 0.8,
}
compare(claims)

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
def table(basis_of, seed):
    """The Gaussian moment for every k, D and sigma, averaged over next samples."""
    models = [ln.next_sample_models(*trained(seed, k), basis_of(seed, k), k) for k in few]
    return ln.moment_table(models)


# %%
few, probes = [20, 80, 320], {"random": random_basis(10), "top": top_basis}
tables = {name: [table(basis_of, seed) for seed in seeds] for name, basis_of in probes.items()}


# %%
def excess_of(name, sigma):
    """Model over measurement at k = 80, one number for each seed."""
    model = [float(t.at(10, sigma).total[few.index(80)]) for t in tables[name]]
    return np.array(model) / measure(probes[name], sigma, at=[80])[0][:, 0]


# %%
excess = {(name, sigma): excess_of(name, sigma) for name in probes for sigma in (0.1, 1.0, 10.0)}

# %% tags=["nbval-ignore-output"]
print("Gaussian moment / direct Monte Carlo, D = 10, k = 80, three seeds")
for (name, sigma), ratios in excess.items():
    print(f"{name:7} sigma = {sigma:4}: ", ", ".join(f"{r:.3g}" for r in ratios))

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
parts = {name: [t.at(10, 0.01) for t in group] for name, group in tables.items()}
raw = {name: np.array([m.total.numpy() for m in group]) for name, group in parts.items()}
curvature = {name: np.array([m.curvature.numpy() for m in group]) for name, group in parts.items()}
factor = curvature["top"] / curvature["random"]  # (seed, k)
whole = raw["top"] / raw["random"]  # (seed, k)

# %% tags=["nbval-ignore-output"]
figures.curvature_parts(few, raw, curvature)

# %% tags=["nbval-ignore-output"]
middle = np.exp(np.log(factor).mean(1))  # geometric mean over k, one for each seed
reveal_number("Curvature part, top over random directions", factor_guess, middle)

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
def six(unseen):
    """Six of the unseen digits, evenly spaced: full eigenvalues of all would take too long."""
    return unseen[:: len(unseen) // 6][:6]


# %%
def after_next(seed, k, i):
    """The ten largest eigenvalues of H^(k+1) at w_k*, if unseen sample i comes next."""
    (loss, w), U = trained(seed, k), top_basis(seed, k)
    chosen = torch.tensor([*range(k), i])
    return ln.top_eigenpairs(loss, w, chosen, 10, tol=1e-3, start=U).values


# %% [markdown]
# For every unseen digit as the next one, the model of its increment and the compressed $d$; for six of
# them, the full $d$.


# %%
def changes(seed, k):
    """Largest eigenvalues before, models of I_k, compressed d (digits, 10), full d (six, 10)."""
    before = top_ten(seed, k).values
    models = ln.next_sample_models(*trained(seed, k), top_basis(seed, k), k)
    d = torch.linalg.eigvalsh(torch.diag(before) + models.B).flip(-1) - before
    after = torch.stack([after_next(seed, k, i) for i in six(range(k, n))])
    return before, models, d, after - before


# %%
def truth_and_formula(before, models, d, d_full, sigma=0.01):
    """(exact, F) with compressed eigenvalues for all next samples, with full ones for six."""
    exact = ln.gaussian_moment(models, sigma).curvature
    full = ln.spectral_formula(d_full, sigma)
    return {"compressed": (exact, ln.spectral_formula(d, sigma)), "full": (six(exact), full)}


# %%
changed = {k: [changes(seed, k) for seed in seeds] for k in (20, 320)}
found = {k: [truth_and_formula(*c) for c in group] for k, group in changed.items()}

# %% [markdown]
# For the full eigenvalues, the mean of $F$ over next digits, divided by that of the truth, one ratio
# for each seed:

# %% tags=["nbval-ignore-output"]
full = {k: [g["full"] for g in group] for k, group in found.items()}
mean = {k: [float(F.mean() / exact.mean()) for exact, F in group] for k, group in full.items()}
figures.formula_and_truth(found, mean)


# %%
def side(ratios):
    """Formula over truth: above 1, below 1, or either."""
    return "above" if min(ratios) > 1 else "below" if max(ratios) < 1 else "either"


# %%
compressed = [g["compressed"] for group in found.values() for g in group]
lower = all(bool((F <= exact * (1 + 1e-9)).all()) for exact, F in compressed)

# %% tags=["nbval-ignore-output"]
options, told = ["above", "below", "either"], "below" if lower else "either"
asked = "The formula with compressed eigenvalues is above or below the truth?"
reveal_choice(asked, compressed_guess, told, options)
asked = "And with full ones, on average over next digits?"
reveal_choice(asked, full_guess, side([*mean[20], *mean[320]]), options)

# %% [markdown]
# At $k = 320$, compare the formula also with what it gives for the diagonal of $B$ in place of the full $d$.

# %% tags=["nbval-ignore-output"]
near = []
for (_, models, *_), (_, F) in zip(changed[320], full[320]):
    first_order = ln.spectral_formula(models.B.diagonal(dim1=-2, dim2=-1), 0.01)
    near.append(float(F.sum() / six(first_order).sum()))
print("k = 320: F(full d) / F(diagonal of B), three seeds:", ", ".join(f"{r:.2f}" for r in near))

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

# %% tags=["nbval-ignore-output"]
every = [c for group in changed.values() for c in group]
moments = [ln.gaussian_moment(models, 0.01) for _, models, *_ in every]
share = max(float(m.curvature.mean() / m.total.mean()) for m in moments)
print(f"sigma = 0.01: the curvature part is at most {share:.0e} of the criterion")

# %% jupyter={"source_hidden": true}
# What the notebook's test compares: claims of sections 5 and 6.
far = np.stack([excess["random", 10.0], excess["top", 10.0]])
direct = [measure(probes[name], 1.0, centred=True, at=[80])[0] for name in ("top", "random")]
moved = [d.square().sum(-1) / models.B.square().sum((1, 2)) for _, models, d, _ in every]
least = min(float(((full_d - six(d)) / before[0]).min()) for before, _, d, full_d in every)
claims = {
    "top ten, sigma = 1: the model is over 5 times too large, every seed": excess["top", 1.0] > 5,
    "random or top, sigma = 10: over 10 times too large, every seed": far > 10,
    "whole criterion: top and random within 2 % at sigma = 0.01": abs(whole - 1) < 0.02,
    "curvature part: top over 300 times random, every seed and k": factor > 300,
    "direct, centred, sigma = 1, k = 80, no model: top is larger, every seed": np.greater(*direct),
    "compressed: never above, each next digit": lower,
    "because sum d^2 <= |B|^2 (Hoffman-Wielandt)": torch.cat(moved) <= 1 + 1e-9,
    "full d is never smaller than compressed d (Cauchy), to the solver's accuracy": least > -1e-4,
    "full, k = 20: above on average, every seed": min(mean[20]) > 1,
    "full, k = 320: below on average, every seed": max(mean[320]) < 1,
    "sigma = 0.01: curvature is under 0.1 % of the criterion": share < 1e-3,
}
compare(claims)

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

# %% [markdown]
# Now a small study of our own, as one would run it: three networks with fewer than 1000 parameters each, five seeds,
# five $k$, that is 75 trainings. `ln.stabilization` makes a function that trains in one such *cell* and measures the criterion, averaged over
# next samples. `ln.sweep` calls it for every cell and saves each result at once. The networks are a
# network with one hidden layer, one with two, and a *convolutional* one (CNN), which looks at the image through four small windows
# that slide over it.


# %%
def CNN(generator):
    """Four 3 x 3 windows that slide over the image in steps of 2, then one linear layer."""
    windows = torch.nn.Conv2d(1, 4, 3, stride=2, padding=1)
    decide = torch.nn.Linear(4 * 16, 10)
    image, flat = torch.nn.Unflatten(1, (1, 8, 8)), torch.nn.Flatten()
    network = torch.nn.Sequential(image, windows, torch.nn.Tanh(), flat, decide).double()
    draw_weights([(windows, 9), (decide, 64)], generator)
    return network


# %%
def draw_weights(layers, generator):
    """First weights between -1 and 1, divided by the root of the inputs of a layer's units."""
    for layer, inputs in layers:
        for p in layer.parameters():
            p.data.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)


# %%
makers = {  # each takes a source of random numbers for the first weights
    "one layer": lambda generator: ln.models.MLP([64, 12, 10], generator=generator),
    "two layers": lambda generator: ln.models.MLP([64, 10, 10, 10], generator=generator),
    "CNN": CNN,
}


# %%
@functools.cache  # one network is measured at several k
def prepared(model, seed):
    inputs, labels = ln.data.digits(n, seed=seed)
    return ln.EmpiricalLoss(makers[model](seeded(seed)), per_sample, inputs, labels, l2=1e-3)


# %%
calls = []  # one entry for each cell that is measured


def make_loss(model, seed):
    """The loss of one network on the digits in one order."""
    calls.append((model, seed))
    return prepared(model, seed)


# %%
for model in makers:
    print(f"{model}: {make_loss(model, 0).num_params} parameters")

# %% [markdown]
# We let it be interrupted: first only seed 0, as if the machine had been switched off after a fifth of
# the work. Then the whole study is started with the same file. (The training stops at a gradient of $10^{-2}$, to save time.)

# %%
study_ks, folder = ks[1:], tempfile.TemporaryDirectory()
path = Path(folder.name) / "enough.jsonl"
grid = {"model": list(makers), "seed": range(5), "k": study_ks}
study = ln.stabilization(make_loss, Ds=[2], sigmas=[0.01], tol=1e-2)


# %%
def start(grid):
    """Start the study, or go on with it: its rows, and the cells that were measured for them."""
    calls.clear()
    return ln.sweep(study, grid, path), list(calls)


# %%
_, before = start({**grid, "seed": [0]})
rows, after = start(grid)
again, third = start(grid)
counts = f"{len(before)}, after it: {len(after)}, in all {len(before + after)}"
print("cells measured before the interruption:", counts)
print("cells measured in a third start:", len(third))

# %% [markdown]
# The file also knows how it was made. A study with another $\sigma$ is another study, and is turned away.

# %%
other = ln.stabilization(make_loss, Ds=[2], sigmas=[0.1], tol=1e-2)
try:
    ln.sweep(other, grid, path)
except ln.SweepFileError as error:
    print(str(error).splitlines()[1].strip())


# %%
def curves_of(model, column, probe="random"):
    """A measured column as curves, (seeds, ks)."""
    found = [row[column] for row in rows if row["model"] == model and row["probe"] == probe]
    return np.array(found).reshape(5, len(study_ks))


# %% tags=["nbval-ignore-output"]
curves = {model: curves_of(model, "total") for model in makers}
tolerances = [1e-3, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6]
figures.three_networks(study_ks, curves, tolerances)

# %% [markdown]
# ### Predict
# At which $k$ does the one-layer network go below $10^{-4}$ for good? And does the CNN, which knows that its input is an
# image, need more data or less?

# %% tags=["predict-enough"]
K_guess = 80
cnn_needs_less = True

# %% [markdown]
# `enough_data_interval` applies the rule to the mean of the five seeds, and tells how far five *other* seeds might have moved
# the answer: it reads $K$ between the measured $k$, puts a band of Student's $t$ around the mean curve, and gives the range of $k$
# at which the tolerance lies inside it. Here is N25's table, threshold, $K$ and the loss there, for three networks. The last column is
# the mean loss of unseen digits at $K$.


# %%
def enough_for(model, tolerance):
    """K from the mean of five seeds, and how far other seeds might have moved it."""
    c = curves[model]
    return ln.enough_data_interval(study_ks, c, tolerance)


# %%
enough = {(model, t): enough_for(model, t) for model in makers for t in tolerances}


# %%
def unseen_at(model, K):
    """Mean loss of unseen digits at K, as text."""
    losses = curves_of(model, "unseen_loss").mean(0)
    return "-" if K is None else f"{np.interp(np.log(K), np.log(study_ks), losses):.2f}"


# %% tags=["nbval-ignore-output"]
print(f"{'network':13} {'tolerance':10} {'K':42} unseen loss at K")
for (model, tolerance), e in enough.items():
    print(f"{model:13} {tolerance:<10.0e} {e!s:42} {unseen_at(model, e.K)}")

# %% tags=["nbval-ignore-output"]
K_found = {model: enough[model, 1e-4].K for model in makers}
reveal_number("K of the one-layer network for 1e-4", K_guess, K_found["one layer"])
less = K_found["CNN"] < K_found["one layer"]
reveal_choice("Does the CNN need less data for 1e-4?", cnn_needs_less, less, [True, False])

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


# %%
def K_of(model, column, probe, tolerance):
    """Enough data by another criterion, averaged over the five seeds."""
    return ln.enough_data(study_ks, curves_of(model, column, probe).mean(0), tolerance)


# %%
criteria = {
    "whole, top plane": ("total", "top", 1e-4),
    "centred, top plane": ("centred", "top", 1e-4),
    "mean |I|, tolerance 1e-2": ("delta1", "random", 1e-2),
}

# %% tags=["nbval-ignore-output"]
for model in makers:
    K = {name: K_of(model, *asked) for name, asked in criteria.items()}
    print(f"{model:13}", "   ".join(f"{name}: {k}" for name, k in K.items()))

# %%
whole = ("total", "random", 1e-4)
smaller = [K_of(model, *criteria["centred, top plane"]) < K_of(model, *whole) for model in makers]
folder.cleanup()

# %% jupyter={"source_hidden": true}
# What the notebook's test compares: claims of section 7.
loose = [enough[model, 1e-3].K for model in makers]
strict = [enough[model, 1e-6].K for model in makers]
in_order = [[enough[model, t].K or 10**9 for t in tolerances] for model in makers]
claims = {
    "no finished cell was measured again": [seed != 0 for _, seed in after],
    f"a third start measures {len(third)} cells and returns the same rows": again == rows,
    "every fit converged": [row["converged"] for row in rows],
    "1e-3: reached by every network, between k = 20 and 80": 20 < min(loose) <= max(loose) <= 80,
    "1e-6: not reached by any network": set(strict) == {None},
    "a smaller tolerance never needs less data": np.diff(in_order) >= 0,
    "the centred criterion calls less data enough, every network": smaller,
}
compare(claims)

# %% [markdown] tags=["exercises"]
# ## Exercises
#
# This part stands on its own: after a break, start here with the next cell. Write each answer in
# place of `raise NotImplementedError()`, run it, and run the cell below it. Its
# **public check** says what is wrong, without giving the answer away. When you are done, compare with
# [the solutions](solutions/05_loss_surfaces.ipynb).

# %%
import numpy as np
import torch

import landscape_nb as ln
from landscape_nb.course import check

torch.set_num_threads(1)

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
check("05.1", share_of_trace)

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
own_1 = {"exercises", "find_check", "import_module"} & set(share_of_trace.__code__.co_names)
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
check("05.2", exact_and_formula)

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
own_2 = {"exercises", "find_check", "import_module"} & set(exact_and_formula.__code__.co_names)
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
check("05.3", enough)

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
    own_3 = {"enough_data", "exercises", "find_check", "import_module"} & set(code_3.co_names)
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
check("05.4", plane_of_change)

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
# The claims of sections 1 to 5, each with what must be true for it to hold.

# %%
verdicts = {
    "a random plane shows almost none of the curvature": rand < [0.005, 0.001],
    "one order of the data: the change falls at every step": falls_always,
    "Delta_k falls at least as fast as about k^-2 in every cloud": max(tight + wide + many + eigen)
    < -1.9,
    "k^2 Delta_k is constant for every cloud": max(tight) >= -2.6,
    "the Gaussian moment may be used at sigma = 1": abs(excess["top", 1.0] - 1) < 0.1,
    "the eigen-probe exceeds the random one on the curvature part": factor > 300,
}

# %% [markdown]
# And those of sections 6 and 7.

# %%
verdicts |= {
    "Corollary 4 with compressed eigenvalues is a lower bound": lower,
    "Corollary 4 with full eigenvalues is an upper bound": min(mean[20] + mean[320]) > 1,
    "the first crossing of the tolerance is enough data": max(noisy[1:]) < 1,
    "every tolerance is reached with 320 samples": None not in strict,
    "K depends on the network only, not on the criterion": not all(smaller),
}

# %% [markdown]
# Each line is a claim and what this notebook found.

# %%
for claim, holds in verdicts.items():
    print(f"{'holds' if np.all(holds) else 'FAILS':7}{claim}")

# %% [markdown]
# The landscape settles; but a tight look and a wide look disagree on how fast, and only the tight one is about the network.
# "Enough data" is an answer to a question that you ask with a tolerance and a criterion. State both.
#
# **Next:** [06 Bulk and outliers](06_bulk_and_outliers.ipynb) looks at all eigenvalues instead of the top ones. [07
# Transformer](07_transformer.ipynb) asks the questions of notebook 04 of a language model. Back to [the
# map](00_start_here.ipynb).

# %% tags=["nbval-ignore-output"]
print(cost.line(budget_s=60, budget_mb=1000))
