# %% [markdown]
# # 06 Bulk and outliers
#
# **What shape has the spectrum of curvatures, and what moves it?**
#
# The second derivatives of a network's training loss in its $N$ weights form an $N \times N$ matrix, the *Hessian* $H$. Its
# *eigenvectors* are $N$ perpendicular directions, its *eigenvalues* $\lambda_1 \ge \dots \ge \lambda_N$ the curvatures along
# them: after a distance $t$ along direction $i$ the loss has gained $\tfrac12 \lambda_i t^2$ on top of its slope. All
# $N$ together are the **spectrum**. Our networks are so small that we can look at every one.
#
# We follow Sagun, Evci, Güney, Dauphin and Bottou, *Empirical Analysis of the Hessian of
# Over-Parametrized Neural Networks* (arXiv 1706.04454), **S17** below. We know its abstract only, so
# we judge no more than the abstract says:
#
# 1. The spectrum has two parts: a **bulk** near zero, and **outliers** away from it.
# 2. With the data fixed, more parameters merely scale the bulk.
# 3. With the dimension fixed, other data (more clusters, or less separable ones) affect only the outliers.
# 4. How the few large eigenvalues depend on the data can be linked to the spectrum of the covariance matrix of the gradients of the *outputs*.
# 5. Small and large batches seem to end in different basins, and in fact share one. (So the later revision; the earlier
#    one names no batches.)
#
# Numbers 2 and 3 it calls conjectures of Sagun et al. (2016).
#
# **Words.** *Width*: number of hidden units. *Seed*: number that fixes the data and the first
# weights. *Cluster*: one cloud of points; each of the $K$ classes may have
# several. *Held-out*: never seen in training. Brackets are 95 % intervals over ten or more seeds.

# %%
import numpy as np
import torch

import landscape_nb as ln
from landscape_nb.course import Cost, SaveMyWork, reveal_choice, reveal_number
from landscape_nb.figures import n06_bulk_and_outliers as figures
from landscape_nb.figures import n06_ten_seeds as ten_seeds
from landscape_nb.study.evidence import basin, bulk, stored
from landscape_nb.theory.class_structure import class_structure, subspace_overlap
from landscape_nb.widgets import SpectrumExplorer

# %%
cost = Cost()
torch.set_num_threads(1)  # small networks run faster on one thread, and rounding stays the same

# %% [markdown]
# *Verdicts rest on stored studies of ten seeds (`python -m landscape_nb evidence NAME`); three
# seeds run here. Lines that end in True or False are compared by the notebook's test.*
#
# ## 1. First look
#
# Two kinds of data, 150 samples to train on and 300 held out. **Blobs**: eight round clouds in
# ten dimensions, two for each of four classes. **Digits**: 8 x 8 pictures of handwritten digits.
#
# The network has one hidden layer of tanh units; the loss is the cross entropy of its softmax. We take 100
# steps of gradient descent on all 150 samples, with momentum 0.9. Without an L2 term there
# is no minimiser: "trained" means "after so many steps".

# %%
kinds, seeds, n, steps = ["digits", "blobs"], [0, 1, 2], 150, 100
recipe, held_out = {"lr": 0.1, "momentum": 0.9}, range(n, 450)
widths, samples = [4, 8, 16], basin.samples
per_sample = torch.nn.CrossEntropyLoss(reduction="none")


# %%
def network(x, y, width, seed, loss_of_outputs=per_sample, classes=None):
    """The loss of an untrained network with one hidden layer."""
    layers = [x.shape[1], width, classes or int(y.max()) + 1]
    model = ln.models.MLP(layers, generator=torch.Generator().manual_seed(seed))
    return ln.EmpiricalLoss(model, loss_of_outputs, x, y)


# %%
keys = [(kind, seed, width) for kind in kinds for seed in seeds for width in widths]
nets = {(kind, s, width): network(*samples(kind, s), width, s) for kind, s, width in keys}
runs = [(kind, seed) for kind in kinds for seed in seeds]
paths = {r: ln.gradient_descent(nets[*r, 8], n, steps=steps, every=2, **recipe) for r in runs}

# %%
N = {kind: [nets[kind, 0, width].num_params for width in widths] for kind in kinds}
print("parameters at widths 4, 8, 16:", N)

# %% [markdown]
# ### Predict
# The digits network of width 8 has 610 weights, so 610 curvatures. How many of them are larger
# than a tenth of the largest one?

# %% tags=["predict-large"]
large_guess = 300


# %%
def spectrum(loss, w):
    """All eigenvalues of the Hessian of the first n samples, largest first."""
    return torch.linalg.eigvalsh(loss.hessian(w, n)).flip(0)


# %%
trained = {run: spectrum(nets[*run, 8], paths[run].w) for run in runs}
large = {run: int((s > 0.1 * s[0]).sum()) for run, s in trained.items()}

# %% tags=["nbval-ignore-output"]
what = "Eigenvalues above a tenth of the largest, digits, of 610"
reveal_number(what, large_guess, [large["digits", s] for s in seeds])
print("blobs, of 124:", [large["blobs", s] for s in seeds])

# %% [markdown]
# Two ways to draw one spectrum: every eigenvalue at its rank, and how many fall into each of forty bins:

# %% tags=["nbval-ignore-output"]
figures.two_spectra(trained["digits", 0].numpy(), trained["blobs", 0].numpy())

# %% [markdown]
# S17's bulk, with a few outliers above; on blobs, with 124 weights, the curve comes down gently. Where the bulk
# begins someone has to say.
#
# ## 2. Why so many zeros? $H = G + R$
#
# The weights give the outputs, and the outputs the loss. So the loss can curve for two reasons. **It curves in the
# outputs**: the *Gauss-Newton* matrix $G$. **The outputs curve in the weights**: the rest $R$, weighted by how hard the loss still pulls
# at the outputs.
#
# $$H = \underbrace{\frac1n \sum_i J_i^\top A_i J_i}_{G} \;+\;
# \underbrace{\frac1n \sum_i \sum_c \frac{\partial \ell_i}{\partial f_c}\, \nabla^2 f_c(x_i)}_{R} .$$
#
# $J_i$ holds the first derivatives of the $K$ outputs of sample $i$ ($K \times N$), $A_i$ is the
# $K \times K$ Hessian of the loss in the outputs, $f_c$ output number $c$. Four exact consequences:
#
# 1. $G$ has no negative eigenvalue, because $A_i$ has none: $\lambda_{\min}(H) \ge \lambda_{\min}(R)$.
# 2. Each sample adds at most $K - 1$ directions to $G$ (the softmax does not notice when all $K$ outputs
#    shift together). So **rank $G \le n(K-1)$**, and at least $N - n(K-1)$ eigenvalues of $G$ are zero.
# 3. Where every sample is fitted, the slopes vanish, and $R$ with them.
# 4. Directions in which the *outputs* do not move, whatever the weights, are zeros of $H$.
#
# To test $H = G + R$ we need $R$ by a way of its own: freeze the slopes $s_{ic} = \partial \ell_i /
# \partial f_c$. The loss $\sum_c s_{ic} f_c$ is linear in the outputs, so its Hessian is exactly $R$.
#
# ### Predict
# Take 20 digits, and the untrained network of width 8 with its 610 weights. What is the rank of
# $G$?

# %% tags=["predict-rank"]
rank_guess = 200


# %%
def gauss_newton(kind, seed, w, k, width=8):
    """G of the first k samples as a matrix."""
    return ln.GaussNewtonOperator(nets[kind, seed, width], w, k).dense()


# %%
def slopes(kind, seed, w, k):
    """Slopes of the cross entropy in its outputs: probability, minus 1 for the right class."""
    p = torch.softmax(nets[kind, seed, 8].outputs(w, range(k)), 1)
    return p - torch.nn.functional.one_hot(samples(kind, seed)[1][:k], p.shape[1])


# %%
def rest(kind, seed, w, k):
    """R by its own way: the Hessian of outputs weighted by frozen slopes."""
    x, frozen = samples(kind, seed)[0][:k], slopes(kind, seed, w, k)
    weighted = network(x, frozen, 8, seed, lambda f, s: (f * s).sum(1), frozen.shape[1])
    return weighted.hessian(w, k)


# %%
few, tiny = 20, {}
for kind, seed in trained:
    loss = nets[kind, seed, 8]
    G, R = gauss_newton(kind, seed, loss.w0, few), rest(kind, seed, loss.w0, few)
    tiny[kind, seed] = loss.hessian(loss.w0, few), G, R
eigenvalues = {key: [torch.linalg.eigvalsh(A) for A in HGR] for key, HGR in tiny.items()}


# %%
def rank_of_G(kind, seed, width):
    """Rank of G of an untrained network, for the first few samples."""
    G = gauss_newton(kind, seed, nets[kind, seed, width].w0, few, width)
    g = torch.linalg.eigvalsh(G)
    return int((g > 1e-11 * g[-1]).sum())


# %%
ranks = {key: rank_of_G(*key) for key in keys if key[1] < 2}
for kind, bound in (("digits", few * 9), ("blobs", few * 3)):
    print(f"{kind}: n(K-1) = {bound}")
    for width, size in zip(widths, N[kind]):
        each = [ranks[kind, seed, width] for seed in (0, 1)]
        print(f"  width {width}, N = {size}: rank {each}, zeros {[size - rank for rank in each]}")

# %% tags=["nbval-ignore-output"]
reveal_number("The rank of G, digits, width 8", rank_guess, ranks["digits", 0, 8])

# %% [markdown]
# Where the hidden layer has at least $K - 1$ units, and weights enough, the bound is attained. Below
# that a sample reaches the outputs through width-many numbers only (exercise 3). But $R$ has no such bound: the zeros of $G$ need not be zeros of $H$.
#
# The exact zeros of $H$ come from the architecture: one vector added to every
# row of the last layer shifts all outputs together (width + 1 directions), and a combination of
# pixels and bias that is zero in every picture moves no output (one direction for each hidden unit).


# %%
def certain_zeros(kind, seed, width):
    """Directions that no output can feel, from the data and the architecture alone."""
    x = samples(kind, seed)[0][:n]
    silent = x.shape[1] + 1 - torch.linalg.matrix_rank(torch.cat([x, torch.ones(n, 1)], 1))
    return int(width * silent + width + 1)


# %%
zeros = {key: int((s.abs() < 1e-12 * s[0]).sum()) for key, s in trained.items()}
for kind in kinds:
    found = [zeros[kind, s] for s in seeds]
    foretold = [certain_zeros(kind, s, 8) for s in seeds]
    print(f"{kind}, width 8, trained: exact zeros of H {found}, foretold {foretold}")

# %% [markdown]
# All the other small ones are not zero. Does $R$ shrink as the fit improves?

# %%
at_width = stored.figures("class_structure")

# %% tags=["nbval-ignore-output"]
print("|R| / |G| on digits, Frobenius norms, ten seeds:")
for width in (4, 8, 12):
    last, factor = at_width[f"rest_{width}"], at_width[f"rest_factor_{width}"]
    print(f"  width {width}: {last} after 100 steps, {factor} of the start's")

# %% [markdown]
# It does: after training $G$ is most of the Hessian. But $R$ is not nothing, as the losses are not zero.
#
# ## 3. What are the outliers made of?
#
# S17 links the large eigenvalues to the covariance of the output gradients. Papyan (arXiv 1901.08244, abstract) adds
# that $G$ is no covariance but a *second moment*, and that the **means** in it make the outliers. Write
# $\mathrm{diag}(p) - pp^\top = \sum_{c'} p_{c'} (e_{c'} - p)(e_{c'} - p)^\top$, and $G$ becomes the mean of
# $\delta\delta^\top$ over samples $i$ and outputs $c'$:
#
# $$\delta_{i,c'} = \sqrt{p_{i,c'}}\; J_i^\top (e_{c'} - p_i), \qquad \delta_{c,c'} = \text{mean over the samples of class } c .$$
#
# So $G$ is exactly a sum: the means of the *right* outputs, the *class* means over wrong outputs, what each pair of class and wrong
# output adds (*cross*), and what is *within* the classes. With $R$ that accounts for every eigenvalue $u^\top H u$.
#
# ### Predict
# Of the ten largest eigenvalues of a trained digits network, which share is carried by the means (the first three parts)?

# %% tags=["predict-means"]
means_guess = 0.9

# %%
loss, w = nets["digits", 0, 8], paths["digits", 0].w
parts = class_structure(loss, w, n)
G = gauss_newton("digits", 0, w, n)
total = sum(F @ F.T for F in parts.factors.values())
print("the four parts add up to G:", bool((total - G).norm() < 1e-12 * G.norm()))

# %%
H = loss.hessian(w, n)
U = torch.linalg.eigh(H).eigenvectors[:, -10:]
carried = {name: float((U.T @ F).square().sum()) for name, F in parts.factors.items()}
live = {name: part / float((U.T @ H @ U).trace()) for name, part in carried.items()}

# %% tags=["nbval-ignore-output"]
print("seed 0, width 8:", ", ".join(f"{name} {share:.2f}" for name, share in live.items()))
reveal_number(
    "Share of the means, width 12, ten seeds", means_guess, [at_width["raw_share_means"].value]
)

# %%
names = ("right", "class", "cross", "within", "rest")
pictures = {"as they are": "raw", "mean picture\nsubtracted": "centred"}
shares = {k: {p: at_width[f"{c}_share_{p}"] for p in names} for k, c in pictures.items()}

# %%
spans = ("G", "moment", "covariance", "means")
labels = ("G", "output\nmoment", "output\ncovariance", "means")
matrices = dict(zip(labels, spans))
overlaps = {
    k: {m: at_width[f"{c}_overlap_{name}"] for m, name in matrices.items()}
    for k, c in pictures.items()
}

# %% tags=["nbval-ignore-output"]
ten_seeds.who_carries(shares, overlaps)

# %% tags=["nbval-ignore-output"]
print("share of the means in G's part of the ten:", at_width["raw_means_of_G"])
print("... 20 steps into training:", at_width["early_means_of_G"])
print("share of 'within' in G outside the ten:", at_width["raw_below_within"])

# %% [markdown]
# S17's link ("can be linked") holds, here for eigenvectors where it speaks of spectra: the top ten of $H$ and of the output gradients overlap far beyond chance, 10 / 910. With
# the mean picture subtracted they overlap much less, so a good part of that was the mean picture, which all gradients share. Papyan's
# means, weighted by $\sqrt p$, stay near in both cases. They carry nearly all of $G$'s part early and about half late, when every sample is fitted and a few
# near the boundary take over. Papyan's networks and classes were far larger; ours have fifteen samples a class.
#
# ## 4. Other data: what moves?
#
# S17's third sentence. The network's size stays (8 outputs throughout), and
# the points change: **more classes**, a cluster each, 8 for 2; **more clusters** in each of four classes, 4 for 1; **overlap**, clouds
# twice as wide. For comparison **width**, 32 for 8. The rule was fixed before the run (four quantiles; two are drawn): *bulk*, the 75 and
# 95 % quantiles of $|\lambda|$; *outliers*, $\lambda_1$ and the effective number $(\sum\lambda)^2 / \sum\lambda^2$ of
# positive ones.
#
# ### Predict
# Clouds twice as wide, the same 400 steps: which grows by the larger factor, `"outliers"` ($\lambda_1$) or `"bulk"` (95 % quantile)?

# %% tags=["predict-moves"]
moves_guess = "outliers"

# %%
data = stored.figures("bulk")
changes = {
    "more\nclasses": "clusters",
    "more clusters\na class": "per_class",
    "overlap": "overlap",
    "width": "width",
}
quantities = {"$\\lambda_1$": "top", "95 %": "q95", "75 %": "q75", "effective\nnumber": "effective"}
ends = {"After the same steps": "", "At the same loss, 0.3": "_matched"}

# %%
factors = {
    title: {
        q: {c: data[f"{change}_{name}{end}"] for c, change in changes.items()}
        for q, name in quantities.items()
    }
    for title, end in ends.items()
}

# %% tags=["nbval-ignore-output"]
ten_seeds.other_data(factors)

# %% tags=["nbval-ignore-output"]
larger = "bulk" if data["overlap_q95"].low > data["overlap_top"].high else "outliers"
reveal_choice("Which grows by the larger factor?", moves_guess, larger, ["outliers", "bulk"])
print("how far they move at the same loss, in units of lambda_1 before: lambda_1; 95 % quantile;")
print("their paired difference (added after the run)")
for name in ("clusters", "per_class", "overlap"):
    top, edge, lead = (
        data[f"{name}_{what}_matched"] for what in ("moved_top", "moved_q95", "lead")
    )
    print(f"  {name}: {top}; {edge}; {lead}")

# %% [markdown]
# After the same steps everything moves with the loss, the bulk by the larger *factor*; at the same loss $\lambda_1$
# hardly moves, and parts of the bulk do. So "only the outliers" is not so in factors. But on one linear axis, as spectra are
# drawn, the outliers move further than the edge of the bulk (last lines, two of three
# changes): S17's sentence describes what one sees. More clusters in a class, and overlap, do bring more effective outliers after the
# same steps. (Width: section 7.)
#
# ## 5. Large batch, then small batch: is there a hill between?
#
# S17's last sentence. $A$ is the end of full-batch training. Three second ends $B$: **continued** from $A$, and from $A$'s
# own first weights (**same start**), with 200 steps of batches of 16; and **independent**, the full batch from other first weights. On
# the straight line from $A$ to $B$ the **barrier** is the largest height of the loss above the chord of its two end values: zero if there is no hill.
#
# ### Predict
# For which of them will the barrier be above 0.1: `"none"`, `"independent"`, `"same start and independent"` or `"all"`?

# %% tags=["predict-barrier"]
barrier_guess = "same start and independent"

# %%
ways = ("continued", "same start", "independent")
t = torch.linspace(-0.25, 1.25, 31, dtype=torch.float64)


# %%
def along(kind, seed, B, k):
    """The loss on the line from A to B at every t."""
    loss, A = nets[kind, seed, 8], paths[kind, seed].w
    return torch.stack([loss.value(A + u * (B - A), k) for u in t])


# %%
def barrier(values):
    """The largest height above the straight connection of the values at t = 0 and t = 1."""
    inside = (t >= -1e-9) & (t <= 1 + 1e-9)
    v, s = values[inside], t[inside]
    return float((v - (1 - s) * v[0] - s * v[-1]).max())


# %%
lines = {}
for kind, seed in runs:
    for way in ways:
        B = basin.second_end(kind, seed, way, nets[kind, seed, 8], paths[kind, seed].w)
        for part, k in (("training", n), ("held-out", held_out)):
            lines[kind, seed, way, part] = along(kind, seed, B, k)


# %%
def barriers(way, part):
    """The barrier on the way to one kind of B, for each of the six runs."""
    return [barrier(lines[kind, seed, way, part]) for kind, seed in runs]


# %% tags=["nbval-ignore-output"]
hills = {way: barriers(way, "training") for way in ("continued", "independent")}
shown = {key: values for key, values in lines.items() if key[2] in hills}
figures.lines_between(t, shown, hills)

# %%
many = {way: [r for r in stored.rows("basin") if r["what"] == way] for way in ways}
parts_of = {"training": "barrier", "held-out": "held_out"}
of_many = {
    way: {part: np.array([r[name] for r in found]) for part, name in parts_of.items()}
    for way, found in many.items()
}

# %% tags=["nbval-ignore-output"]
ten_seeds.barriers_of_many(of_many)

# %% tags=["nbval-ignore-output"]
high = [way for way in ways if np.median(of_many[way]["training"]) > 0.1]
answers = ["none", "independent", "same start and independent", "all"]
answer = answers[len(high)] if high == list(ways)[3 - len(high) :] else "another set"
reveal_choice("Where is the barrier above 0.1, in most of 20 runs?", barrier_guess, answer, answers)
basins = stored.figures("basin")
for way in ways:
    print(f"mean distance from A, {way}:", basins[way.replace(" ", "_") + "_distance"])
print("as far as the continued end, towards the independent one: up by", basins["as_far_climb"])

# %% [markdown]
# S17's sentence holds, and more: from the *same start* large and small batches end in one
# basin. Independent starts do not. A short walk meets fewer hills, but one of the same length the other way already climbs (last line). And an
# independent end has $8!\,2^8$ equal twins (units renumbered, signs flipped): the hill is on the line to *this* one.
#
# ## 6. Move along training
#
# The digits network of width 8 (seed 0), at every fourth step. Drag the slider, use the arrow keys, or
# press Play. The vertical axis is stretched around zero, so that small eigenvalues of both signs show.
# Which part of the picture moves until step 24? What happens to the negative eigenvalues then?

# %%
path = paths["digits", 0]
kept = range(0, len(path.ws), 2)  # every fourth step: the path holds every second
along_training = {int(path.steps[i]): spectrum(nets["digits", 0, 8], path.ws[i]) for i in kept}

# %% tags=["nbval-ignore-output"]
places = [bulk.largest_gap(values, 30) for values in along_training.values()]
spectra = torch.stack(list(along_training.values()))
explorer = SpectrumExplorer(list(along_training), spectra, path.values[::2], places)
explorer

# %% [markdown]
# At step 0 there are large eigenvalues of either sign. Then the positive
# ones rise, and the largest gap moves to 8, the number of hidden units (section 7). The
# negative ones, which belong to $R$, shrink, and at last the gap moves away again.

# %% jupyter={"source_hidden": true}
# What the notebook's test compares: sections 1 to 6
halved = [float(path.values[-1] / path.values[0]) < 0.5 for path in paths.values()]
print("every training loss at least halved:", all(halved))
print("fewer than 5 % are that large on digits:", all(large["digits", s] < 30 for s in seeds))
print("some eigenvalues are negative, every network:", all(s[-1] < 0 for s in trained.values()))
print("G + R = H:", all((G + R - H).norm() < 1e-12 * H.norm() for H, G, R in tiny.values()))
not_below = all(bool(g[0] > -1e-12 * g[-1]) for _, g, _ in eigenvalues.values())
print("G has no eigenvalue below zero (to rounding):", not_below)
above = all(h[0] >= r[0] - 1e-12 for h, _, r in eigenvalues.values())
print("lambda_min(H) >= lambda_min(R):", bool(above))
print("continued: barrier below 0.02 in all six:", max(barriers("continued", "training")) < 0.02)
print("independent: barrier above 0.1, all six:", min(barriers("independent", "training")) > 0.1)
kept = next(r["barrier"] for r in stored.rows("basin") if (r["kind"], r["seed"]) == ("blobs", 0))
here = barrier(lines["blobs", 0, "continued", "training"])
print("a barrier measured here is the stored one:", abs(here - kept) < 0.01)
explorer.step = 0
print("the picture's sentence follows the slider:", explorer.sentence().startswith("Step 0:"))
less = float(along_training[100][-1]) > float(along_training[0][-1])
print("step 100 has less negative curvature than step 0:", less)
explorer.step = 100

# %% [markdown]
# ## 7. Going deeper
#
# ### Does a wider network merely scale the bulk?
#
# S17's second sentence. Someone has to say what "near zero" is: $|\lambda| < c\,\lambda_1$, with $c = 10^{-2}$ and $c =
# 10^{-3}$. A larger *share* near zero does not say that the *number* of other eigenvalues stays, so count both.

# %% tags=["nbval-ignore-output"]
for c, name in ((0.01, "01"), (0.001, "001")):
    print(f"c = {c}")
    gains, others = (at_width[f"{what}_{name}"] for what in ("near_gain", "others_factor"))
    print(f"  digits, width 4 to 12: share gains {gains}, others times {others}")
    gains, others = data[f"width_near_{name}"], data[f"width_others_{name}"]
    print(f"  clusters, width 8 to 32: share gains {gains}, others times {others}")
print("N grows, digits, by", at_width["size_factor"])

# %% [markdown]
# With the coarse cut S17 is nearly right to the letter: the share near zero rises, and the number of other eigenvalues grows far more slowly than $N$ (on clusters no growth
# can be told). With the fine cut it grows several-fold. The new directions are flat beside the sharpest one, but not zero. A part of that is counting:
# $G$ has at most $n(K-1)$ nonzero eigenvalues at any width.
#
# ### Does the largest eigenvalue depend on the width?
#
# Networks of different width are not equally well trained after the same number of steps. So we compare twice: after the same steps, and where the training
# loss first falls below a level. Invariance would give the factor 1.
#
# **Predict.** Will matching the loss bring the factor nearer to 1 on digits: True or False?

# %% tags=["predict-matching"]
matching_helps_guess = True

# %% tags=["nbval-ignore-output"]
by_width = stored.figures("top_by_width")
print("largest eigenvalue at width 32 over that at width 4:")
for kind in kinds:
    same_steps, same_loss = by_width[f"{kind}_steps"], by_width[f"{kind}_matched"]
    print(f"  {kind}: same steps {same_steps}, same loss {same_loss}")
print("clusters of section 4, width 32 over 8:", end=" ")
print(f"same steps {data['width_top']}, same loss {data['width_top_matched']}")
print("largest over smallest of the four widths, same loss / same steps:")
print("  " + ", ".join(f"{kind} {by_width[f'{kind}_matching']}" for kind in kinds))
nearer = by_width["digits_matching"].high < 1
reveal_choice("Does matching help on digits?", matching_helps_guess, nearer, [True, False])

# %% [markdown]
# On digits matching the loss brings the factor nearer to 1, and not to 1. On blobs the sign of the effect changes with the way of
# comparing. While $N$ grows eightfold the largest eigenvalue changes by a factor of two or so: "outliers do not care about the width" is a fair first approximation, not a law.
#
# ### As many outliers as classes?
#
# That is *not* in S17's abstract. Gur-Ari, Roberts and Dyer (*Gradient Descent Happens in a Tiny Subspace*, arXiv 1812.04754, abstract) find that
# the gradient lives in a subspace of as many top eigenvectors as there are classes; KG24 (arXiv 2409.11995, section 1) writes of $K$ large
# eigenvalues and cites S17 and Papyan for it; Ghorbani, Krishnan and Xiao (arXiv 1901.10159, abstract) see large isolated
# eigenvalues appear rapidly in networks without batch normalisation. Our rule: outliers end where $\lambda_i / \lambda_{i+1}$ is largest, $i \le 3K$. A blind
# guess of $K-1$ or $K$ is right with chance $2 / 3K$.
#
# Three kinds of data, 4 or 8 classes: *random blobs*, one cloud a class; *clean blobs*, small clouds all equally far from one another,
# the best case we can think of; *digits* 0 to $K-1$. Width 12.
#
# **Predict.** In which share of runs with clean blobs does the largest gap come at $K-1$ or $K$, 80 steps into training?

# %% tags=["predict-clean"]
clean_guess = 1.0

# %%
found_gaps, gap_steps = stored.figures("gaps"), (5, 20, 80, 320)
kinds_of_gaps = ("random blobs", "clean blobs", "digits")
hits = {k: [found_gaps[f"{k.replace(' ', '_')}_{s}"] for s in gap_steps] for k in kinds_of_gaps}

# %% tags=["nbval-ignore-output"]
ten_seeds.hits_along_training(gap_steps, hits, found_gaps["chance"].value)

# %% tags=["nbval-ignore-output"]
reveal_number("Share of hits, clean blobs, step 80", clean_guess, [hits["clean blobs"][2].value])
for kind in kinds_of_gaps:
    print(
        f"gap at 12, the number of units, {kind}:", found_gaps[kind.replace(" ", "_") + "_at_width"]
    )
print("all ten digits, widths 4, 8, 12, step 20, 30 runs:")
for label, words in (("raw", "as they are"), ("centred", "mean subtracted")):
    at_units, at_classes = (at_width[f"{label}_gap_at_{place}"] for place in ("width", "classes"))
    print(f"  {words}: gap at the width {at_units}, at K-1 or K {at_classes}")

# %% [markdown]
# With clean classes the rule holds once training is under way. With centres at random one pair of classes is easier to confuse than
# another, and the largest ratio often lies elsewhere. On raw digits the gap follows the *width*: all pictures share the mean
# picture, so each hidden unit has one direction in which all samples push together. Is that so? Take these 8 directions at width 8, and
# ask how much of the top 8 eigenvectors lies in their span; chance is 8 / 610.


# %%
def mean_directions(mean, num_params, h):
    """One direction for each of h hidden units, its weights along the mean and its bias."""
    P = torch.zeros(num_params, h, dtype=torch.float64)
    for unit in range(h):
        P[64 * unit : 64 * (unit + 1), unit] = mean  # the unit's weights ...
        P[64 * h + unit, unit] = 1.0  # ... and its bias
    return torch.linalg.qr(P).Q


# %%
def share_in_mean_directions(seed, h=8):
    """Share of the top h eigenvectors in the h directions along the mean picture, at step 30."""
    loss, w = nets["digits", seed, h], paths["digits", seed].ws[15]  # each second is kept
    Q = mean_directions(samples("digits", seed)[0][:n].mean(0), loss.num_params, h)
    return subspace_overlap(Q, ln.top_eigenpairs(loss, w, n, h).vectors)


# %%
in_mean = [share_in_mean_directions(seed) for seed in seeds]
print("over half of the top 8 lies in 8 directions of 610, every seed:", min(in_mean) > 0.5)

# %% tags=["nbval-ignore-output"]
print("share, each seed:", ", ".join(f"{share:.2f}" for share in in_mean))

# %% [markdown]
# So it is: had we looked at width 8 and eight classes only, we would have called it a success of the rule. Others subtract the mean of the data
# first, as a rule, and do not meet this.

# %% [markdown] tags=["exercises"]
# ## 8. Exercises
#
# This part stands on its own: after a break, start here with the next cell. Write each answer in
# place of `raise NotImplementedError()`, run it, and run the cell below it. Its
# **public check** says what is wrong, without giving the answer away. When you are done, compare with
# [the solutions](solutions/06_bulk_and_outliers.ipynb).

# %%
import numpy as np
import torch

import landscape_nb as ln
from landscape_nb.course import check

torch.set_num_threads(1)

# %% [markdown]
# **1. The Gauss-Newton matrix.** Section 2 has $G = \tfrac1n \sum_i J_i^\top A_i J_i$, where $A_i$ is the Hessian
# of sample $i$'s loss in its $K$ outputs. For the cross entropy of a softmax the *slope* in output $c$ is
# the probability $p_c$, minus 1 if $c$ is the right class. Differentiate once more to get $A_i$, and write
# down $G$.


# %% tags=["answer-1"]
def gauss_newton_of(J, p):
    """G, (N, N), from J (n, K, N), the outputs' derivatives, and p (n, K), the probabilities."""
    ### BEGIN SOLUTION
    A = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    return (J.mT @ A @ J).mean(0)
    ### END SOLUTION


# %% tags=["check-1", "points-1"]
check("06.1", gauss_newton_of)

# %% tags=["hidden-1", "points-2"]
import numpy as np_1
import torch as torch_1

from landscape_nb.course import numbers as numbers_1

draws_1 = np_1.random.default_rng(1)
for n_1, K_1, N_1 in ((1, 4, 3), (6, 3, 5), (9, 2, 2)):
    J_1, p_1 = draws_1.normal(size=(n_1, K_1, N_1)), draws_1.dirichlet(np_1.ones(K_1), n_1)
    found_1 = gauss_newton_of(torch_1.tensor(J_1), torch_1.tensor(p_1))
    found_1 = numbers_1(found_1, N_1, N_1)
    G_1 = np_1.zeros((N_1, N_1))
    for rows_1, chances_1 in zip(J_1, p_1):  # J'AJ is the covariance of the rows of J
        away_1 = rows_1 - chances_1 @ rows_1
        G_1 += sum(q * np_1.outer(r, r) for q, r in zip(chances_1, away_1)) / n_1
    told_1 = f"wrong for other J and p: n = {n_1} samples, K = {K_1} outputs, N = {N_1} weights"
    assert np_1.allclose(found_1, G_1, atol=1e-12), told_1

# %% [markdown]
# **2. Zeros by counting.** A model has $N$ weights and $K$ outputs, and is trained on $n$ samples. At least how
# many eigenvalues of $G$ are zero, whatever the weights? The loss is `"softmax"`, the cross entropy, or
# `"squared"`, $\tfrac12 |f(x_i) - y_i|^2$, whose Hessian in the outputs is the identity. The check counts the zeros
# for random derivatives $J_i$.


# %% tags=["answer-2"]
def zeros_at_least(N, n, K, loss):
    """Number of eigenvalues of the N x N matrix G that must be zero; a whole number."""
    ### BEGIN SOLUTION
    felt = K - 1 if loss == "softmax" else K
    return max(0, N - n * felt)
    ### END SOLUTION


# %% tags=["check-2", "points-1"]
check("06.2", zeros_at_least)

# %% tags=["hidden-2", "points-2"]
import numpy as np_2

from landscape_nb.course import number as number_2

draws_2 = np_2.random.default_rng(2)
for N_2, n_2, K_2 in ((30, 4, 2), (25, 3, 6), (10, 2, 9), (15, 15, 2)):
    for loss_2, lost_2 in (("softmax", np_2.full((K_2, K_2), 1 / K_2)), ("squared", 0)):
        found_2 = number_2(zeros_at_least(N_2, n_2, K_2, loss_2))
        felt_2 = np_2.eye(K_2) - lost_2  # what a sample's loss feels of its outputs' motion
        moved_2 = [felt_2 @ draws_2.normal(size=(K_2, N_2)) for _ in range(n_2)]
        right_2 = N_2 - np_2.linalg.matrix_rank(np_2.concatenate(moved_2))
        told_2 = f"wrong for the {loss_2} loss with N = {N_2}, n = {n_2}, K = {K_2}"
        assert found_2 == right_2, told_2

# %% [markdown]
# **3. A bottleneck.** Now a network with one hidden layer of $h$ tanh units, biases in both layers, and the
# softmax loss. If $h$ is smaller than $K - 1$, the rank of $G$ stays below $n(K-1)$: a sample moves the outputs
# through its $h$ hidden numbers only, and what the last layer's own weights can add is less than what is
# missing. How large is the rank, for $n > h + 1$ samples in more than $n$ dimensions? Section 2 measured 105 at $h = 4$ and
# 169 at $h = 8$, for $n = 20$ and $K = 10$. (Count the directions in the space of outputs that the hidden
# numbers cannot reach, and ask how many independent inputs the last layer has.)


# %% tags=["answer-3"]
def bottleneck_rank(n, K, h):
    """Rank of G for n samples, K classes, h < K - 1 hidden units, h + 1 < n; a whole number."""
    ### BEGIN SOLUTION
    through_the_units = n * h
    by_the_last_layer = (K - 1 - h) * (h + 1)
    return through_the_units + by_the_last_layer
    ### END SOLUTION


# %% tags=["check-3", "points-1"]
check("06.3", bottleneck_rank)

# %% tags=["hidden-3", "points-2"]
import numpy as np_3

from landscape_nb.course import number as number_3

draws_3 = np_3.random.default_rng(3)
for n_3, K_3, h_3 in ((9, 7, 4), (20, 10, 2), (6, 12, 3)):
    found_3 = number_3(bottleneck_rank(n_3, K_3, h_3))
    x_3, W_3 = draws_3.normal(size=(n_3, n_3 + 5)), draws_3.normal(size=(h_3, n_3 + 5)) / 4
    V_3, moved_3 = draws_3.normal(size=(K_3, h_3)), []
    for row_3 in x_3:  # the outputs' derivatives by hand, without their common shift
        unit_3 = np_3.tanh(W_3 @ row_3)
        first_3 = np_3.kron(V_3 * (1 - unit_3**2), np_3.append(row_3, 1))
        last_3 = np_3.kron(np_3.eye(K_3), np_3.append(unit_3, 1))
        both_3 = np_3.hstack([first_3, last_3])
        moved_3.append(both_3 - both_3.mean(0))
    right_3 = np_3.linalg.matrix_rank(np_3.concatenate(moved_3))
    assert found_3 == right_3, f"wrong for n = {n_3}, K = {K_3}, h = {h_3}"

# %% [markdown]
# **4. Design a twin.** A hill between two networks need not mean that they have learned different things. The
# network $f(x) = W_2 \tanh(W_1 x + b_1) + b_2$ has *twins*: other weights, far away, with exactly the same outputs.
# Build one whose straight line to the original climbs a hill. Use only what you know of the
# architecture: no training.
#
# The check draws the loss on the line. This is the picture to expect:
#
# ![A curve of the training loss over t from 0 to 1. It starts low, rises to a hill in the middle, and falls back to exactly the height it started from.](pictures/exercise-06-4.png)


# %% tags=["answer-4"]
def twin(W1, b1, W2, b2):
    """Other weights with the same outputs: (W1, b1, W2, b2), of shapes (h, d), (h,), (K, h), (K,)."""
    ### BEGIN SOLUTION
    # tanh is odd: a unit does not change when all that goes in and comes out changes its sign
    return -W1, -b1, -W2, b2
    ### END SOLUTION


# %% tags=["check-4", "points-1", "picture-exercise-06-4"]
check("06.4", twin)

# %% tags=["hidden-4", "points-2"]
import numpy as np_4
import torch as torch_4

from landscape_nb.course import numbers as numbers_4

draws_4 = np_4.random.default_rng(4)
for d_4, h_4, K_4 in ((3, 6, 4), (5, 2, 3)):
    given_4 = [draws_4.normal(size=s) for s in ((h_4, d_4), (h_4,), (K_4, h_4), (K_4,))]
    made_4 = twin(*[torch_4.tensor(part) for part in given_4])
    assert isinstance(made_4, tuple | list) and len(made_4) == 4, "the twin needs four parts"
    made_4 = [numbers_4(made, *part.shape) for made, part in zip(made_4, given_4)]
    x_4 = draws_4.normal(size=(d_4, 50))
    before_4, after_4 = (
        W_4 @ np_4.tanh(U_4 @ x_4 + u_4[:, None]) + v_4[:, None]
        for U_4, u_4, W_4, v_4 in (given_4, made_4)
    )
    assert np_4.allclose(before_4, after_4, atol=1e-10), f"other outputs with {h_4} hidden units"
    far_4 = sum(((a - b) ** 2).sum() for a, b in zip(given_4, made_4))
    assert far_4 > sum((a**2).sum() for a in given_4) / 4, "too near to the original weights"

# %% [markdown]
# **5. In words.** A colleague trains a network with ten hidden units on all ten digits, stops early, and
# finds that the largest gap in the spectrum of $H$ comes after eigenvalue 10. "As the theory says," he
# writes: "one outlier for each class." What else could the ten be, by what you saw in this notebook? Which two
# experiments would tell the explanations apart, and what would each show? Four to six sentences.

# %% [markdown] tags=["manual-5", "points-3"]
# ### BEGIN SOLUTION
# Ten is also the number of hidden units. On raw digits the gap followed the width here: all pictures share
# the mean picture, so each hidden unit has one direction, its weights along that picture and its bias, in
# which all samples push together. First experiment: change one number and keep the other, for example ten
# classes with 6 and with 16 hidden units, or six classes with ten units. A gap that stays at 10 while the
# width changes belongs to the classes; one that moves to 6 and 16 belongs to the units. Second
# experiment: subtract the mean picture. If the gap leaves the number of units then, it came from the mean. (Or ask
# how much of the top ten eigenvectors lies in the span of these directions: near 1 means the units.)
# Either way several seeds and steps of training are needed, with the hit rate of a blind guess beside
# them, because a largest ratio always exists somewhere.
#
# *Rubric.* One point each: the width as the other explanation, with the mean picture or the bias as its
# reason; an experiment that changes width or number of classes alone, with both outcomes; a second
# experiment (centred data, span of the mean directions, clean blobs) or the control by seeds and chance.
# ### END SOLUTION

# %% [markdown]
# ## Save your work
#
# The first button packs your answers and predictions, of this notebook and of the others, into
# `my_work.zip`. The second one brings them back, for example in a new Binder session.

# %%
SaveMyWork()

# %% [markdown]
# ## 9. Verdict, claim by claim
#
# The exact statements first, in a folded cell; they are compared on every machine.

# %% jupyter={"source_hidden": true}
# What the notebook's test compares: the exact statements about ranks and zeros
wide = all(ranks["digits", s, 16] == few * 9 for s in (0, 1))
print("rank of G = n(K-1) where the hidden layer is wide enough:", wide)
foretold = {4: 105, 8: 169}  # by the formula of exercise 3
narrow = all(ranks["digits", s, h] == rank for s in (0, 1) for h, rank in foretold.items())
print("rank of G in a bottleneck is what exercise 3 foretells, 105 and 169:", narrow)
exact = all(found == certain_zeros(*key, 8) for key, found in zeros.items())
print("exact zeros of H are those of the architecture, all six:", exact)

# %% [markdown]
# | S17's abstract says | at this size, ten seeds |
# |---|---|
# | a bulk near zero and outliers | **reproduced** on digits; on blobs with few weights the spectrum comes down gently (section 1) |
# | more parameters merely scale the bulk | **reproduced with a caveat**: yes with a coarse cut; with a fine one the others grow too, more slowly than $N$ (section 7) |
# | other data affect only the outliers | **reproduced with a caveat**: on one linear axis the outliers move further; in factors the bulk moves as much or more (section 4) |
# | the large eigenvalues can be linked to the spectrum of the covariance of output gradients | **reproduced with a caveat**: for eigenvectors; the subspaces overlap far beyond chance, less once the mean picture is subtracted (section 3) |
# | large and small batches share a basin | **reproduced**, continued and from the same start, in all twenty runs (section 5) |
#
# | others say | here |
# |---|---|
# | class means make the outliers (Papyan) | **reproduced with a caveat**: nearly all of $G$'s part early, about half late (section 3) |
# | as many outliers as classes (Gur-Ari et al.; KG24) | **reproduced with a caveat**: on clean classes once training is under way; raw digits follow the width (section 7) |
#
# $H = G + R$, rank $G \le n(K-1)$ and the exact zeros are identities. Why $R$ shrinks is section 2. All numbers: [all verdicts](10_verdicts.ipynb).
#
# ## 10. What to doubt
#
# - **Size.** At most 1210 weights, 150 or 200 samples, one hidden layer. S17's question is about networks with far more weights
#   than this. The exact statements carry over; the trends need not.
# - **The abstract.** We read no more of S17 than that. Its text may state conditions under which each sentence is meant.
# - **Where training stopped.** Without an L2 term there is no end point at which to compare. Hence two comparisons, by steps and by loss; they disagree in section 4. "At the same loss" is the first step below 0.3; with two classes that step lies lower than with eight, which blurs that one change.
# - **The cut, the quantile, the gap.** Each rule is ours, fixed beforehand; none is the only one. A largest ratio always exists, also where there are no outliers.
# - **The line.** A hill on the straight line does not mean that no curved way around it exists.

# %% tags=["nbval-ignore-output"]
print(cost.line(budget_s=20, budget_mb=1000))
