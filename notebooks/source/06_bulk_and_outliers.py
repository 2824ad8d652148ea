# %% [markdown]
# # 06 Bulk and outliers
#
# **What shape has the spectrum of curvatures, and what moves it?**
#
# A network with $N$ weights has an $N \times N$ matrix of second derivatives of its training
# loss, the *Hessian* $H$. Its *eigenvectors* are $N$ perpendicular directions in the space of
# weights. Its *eigenvalues* $\lambda_1 \ge \lambda_2 \ge \dots \ge \lambda_N$ are the curvatures
# along them: walk a distance $t$ along direction $i$, and the loss gains $\tfrac12 \lambda_i t^2$
# on top of its slope. The list of all $N$ curvatures is the **spectrum**. Here the networks are
# so small that we can write down all of $H$ and look at every one of them.
#
# We follow Sagun, Evci, Güney, Dauphin and Bottou, *Empirical Analysis of the Hessian of
# Over-Parametrized Neural Networks* (arXiv 1706.04454), called **S17** below. It says:
#
# 1. The spectrum has two parts: a **bulk** of eigenvalues near zero, and a few **outliers** far above.
# 2. A wider network adds eigenvalues near zero. The outliers do not care about the width.
# 3. The data set the outliers: more classes or more clusters, more of them. Early in training
#    the gap after them comes at $K-1$ or $K$, where $K$ is the number of classes.
# 4. Train with large batches, then go on from there with small ones: both end points lie in the same
#    basin, with no hill on the straight line between them.
#
# We ask each question of two kinds of data and three seeds, and say how often the answer was yes.
#
# **Words.** *Width*: number of hidden units. *Seed*: number that fixes the data and the first
# weights. *Class*: one of the $K$ labels. *Cluster*: one cloud of points; a class may consist of
# several. *Batch*: the samples whose mean gradient makes one step of training. *Held-out loss*:
# the mean loss of samples that training never saw.

# %%
import numpy as np
import torch
from sklearn.datasets import make_blobs

import landscape_nb as ln
from landscape_nb.course import Cost, SaveMyWork, reveal_choice, reveal_curve, reveal_number
from landscape_nb.figures import n06_bulk_and_outliers as figures
from landscape_nb.widgets import PictureSlider

cost = Cost()
torch.set_num_threads(1)  # small networks run faster on one thread, and rounding stays the same

# %% [markdown]
# *Pictures and their sentences quote what was measured in this run. The lines that end in True or
# False, in three folded cells, are compared by the notebook's test on every machine.*
#
# ## 1. First look
#
# Two kinds of data, 150 samples to train on and 300 held out. **Blobs**: eight round clouds in
# ten dimensions, centred at random places, two clouds for each of four classes. **Digits**: 8 x 8
# pictures of handwritten digits, ten classes.


# %%
def blobs(n, classes, clusters, seed, clean=False):
    """Points around centres, `clusters` of them for each class, with mean zero."""
    centres = 18 * np.eye(10)[: classes * clusters] if clean else classes * clusters
    spread = 2.0 if clean else 4.0
    x, cluster = make_blobs(n, 10, centers=centres, cluster_std=spread, random_state=seed)
    x = torch.tensor(x / 10)
    return x - x.mean(0), torch.tensor(cluster % classes)


# %%
def samples(kind, seed):
    """Inputs and labels, 450 of them, of one kind of data."""
    return ln.data.digits(450, seed=seed) if kind == "digits" else blobs(450, 4, 2, seed)


# %% [markdown]
# The network has one hidden layer of tanh units. Its last layer gives one number for each class,
# and the loss is the cross entropy of their softmax (the *softmax* turns the numbers into
# probabilities, the *cross entropy* is minus the logarithm of the probability that the right
# class gets). We train with 100 steps of gradient descent on all 150 samples, with momentum 0.9
# (each step keeps nine tenths of the one before, which is faster). There is no L2 term, so there
# is no minimiser to arrive at: "trained" means "after so many steps".

# %%
kinds, seeds, n, steps = ["digits", "blobs"], [0, 1, 2], 150, 100
recipe, held_out = {"lr": 0.1, "momentum": 0.9}, range(n, 450)
widths = [4, 8, 16, 32]
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
paths = {key: ln.gradient_descent(nets[key], n, steps=steps, every=2, **recipe) for key in keys}

# %%
N = {kind: [nets[kind, 0, width].num_params for width in widths] for kind in kinds}
print("trained networks:", len(nets))
print("parameters:", N)

# %% [markdown]
# ### Predict
# The digits network of width 8 has 610 weights, so 610 curvatures. How many of them are larger
# than a tenth of the largest one? Write your guess here.

# %% tags=["predict-large"]
large_guess = 300


# %%
def spectrum(loss, w):
    """All eigenvalues of the Hessian of the first n samples, largest first."""
    return torch.linalg.eigvalsh(loss.hessian(w, n)).flip(0)


# %%
dense = [key for key in keys if not (key[0] == "digits" and key[2] == 32)]
spectra = {key: spectrum(nets[key], paths[key].w) for key in dense}
trained = {(kind, seed): spectra[kind, seed, 8] for kind in kinds for seed in seeds}
large = {key: int((s > 0.1 * s[0]).sum()) for key, s in trained.items()}

# %% tags=["nbval-ignore-output"]
what = "Eigenvalues above a tenth of the largest, digits, of 610"
reveal_number(what, large_guess, [large["digits", s] for s in seeds])
print("blobs, of 124:", [large["blobs", s] for s in seeds])

# %% [markdown]
# Two ways to draw one spectrum. **Left**, every eigenvalue at its rank, the largest first; the
# rank is on a logarithmic axis, so that the first ten have as much room as the last five hundred.
# **Right**, how many eigenvalues fall into each of about forty equal bins; the count is on a
# logarithmic axis, or single outliers could not be seen beside hundreds.

# %% tags=["nbval-ignore-output"]
figures.two_spectra(trained["digits", 0].numpy(), trained["blobs", 0].numpy())

# %% [markdown]
# Most directions of the digits network are all but flat: you can move along them, and the loss
# hardly curves. **S17 claims** a bulk near zero and a few outliers. **Seen here**: on digits
# clearly, for all three seeds. On blobs, with only 124 weights, the sorted curve comes down
# gently, and "few" and "near zero" are a matter of taste. Even on digits the passage from
# outliers to bulk is a slope, not a cliff. Where the bulk begins is for you to say.
#
# ## 2. Why so many zeros? $H = G + R$
#
# The loss of a sample depends on the weights in two stages: the weights give the outputs, and the
# outputs give the loss. So it can curve for two reasons.
#
# - **The loss curves in the outputs**, even where the outputs move in straight lines. This part is
#   called the *Gauss-Newton* matrix $G$.
# - **The outputs curve in the weights.** How much of that arrives depends on how hard the loss still
#   pulls at the outputs, that is on its slope. This part is the rest, $R$.
#
# $$H = \underbrace{\frac1n \sum_i J_i^\top A_i J_i}_{G} \;+\;
# \underbrace{\frac1n \sum_i \sum_c \frac{\partial \ell_i}{\partial f_c}\, \nabla^2 f_c(x_i)}_{R} .$$
#
# $J_i$ holds the first derivatives of the $K$ outputs of sample $i$ ($K \times N$). $A_i$ is the
# $K \times K$ Hessian of the loss in the outputs. $f_c$ is output number $c$. Four exact
# consequences:
#
# 1. $G$ has no negative eigenvalue, because $A_i$ has none. Negative curvature comes from $R$ alone:
#    $\lambda_{\min}(H) \ge \lambda_{\min}(R)$.
# 2. Each sample adds at most $K - 1$ directions to $G$ (the softmax does not notice when all $K$ outputs
#    shift together). So **rank $G \le n(K-1)$**: the number of nonzero eigenvalues is at most that, and
#    at least $N - n(K-1)$ eigenvalues of $G$ are zero.
# 3. Where every sample is fitted, the slopes vanish, and $R$ with them.
# 4. Directions in which the *outputs* do not move at all, whatever the weights, are zeros of $H$.
#
# To test $H = G + R$ we need $R$ by a way of its own. Freeze the slopes $\partial \ell_i /
# \partial f_c$ at their present values, and take the loss $\sum_c s_{ic} f_c$ with these numbers
# $s_{ic}$. It is linear in the outputs, so its Hessian is exactly $R$.
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
ranks = {key: rank_of_G(*key) for key in keys if key[2] < 32}
for kind, bound in (("digits", few * 9), ("blobs", few * 3)):
    print(f"{kind}: n(K-1) = {bound}")
    for width, size in zip((4, 8, 16), N[kind]):
        each = [ranks[kind, seed, width] for seed in seeds]
        print(f"  width {width}, N = {size}: rank {each}, zeros {[size - rank for rank in each]}")

# %% tags=["nbval-ignore-output"]
reveal_number("The rank of G, digits, width 8", rank_guess, ranks["digits", 0, 8])
for kind, seed in trained:
    g, r = eigenvalues[kind, seed][1].flip(0), ranks[kind, seed, 8]
    print(f"{kind} {seed}: eigenvalue number {r} of G is {g[r - 1]:.0e}, the next one {g[r]:.0e}")

# %% [markdown]
# Where the hidden layer has at least $K - 1$ units the bound is attained: $G$ has as many nonzero
# eigenvalues as $n(K-1)$ allows. (The blobs at width 4 miss it by one for want of weights: of 64
# directions 5 move no output, as we shall see, and 59 are left.) On digits, widths 4 and 8 are bottlenecks. With
# fewer than $K - 1 = 9$ hidden units a sample reaches the outputs through width-many numbers, and
# the rank stays below the bound. (If you said 169 you counted these too. Exercise 3 comes back to
# it.) Note what the bound is: a statement about counting samples, true before any training. Note
# also what it is not: $R$ has no such bound, so the zeros of $G$ need not be zeros of $H$.
#
# The zeros of $H$ itself that are exact come from the architecture. Adding one vector to every
# row of the last layer shifts all outputs together: width + 1 directions. And a combination of
# pixels (and the bias) that is zero in every picture, a corner for example, which is always empty,
# cannot move the outputs: one direction for each hidden unit.


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
# So about one eigenvalue in ten is zero for reasons that have nothing to do with learning. All
# the other small ones are small, not zero.
#
# Now training. Does $R$ shrink as the fit improves? We compare the sizes (Frobenius norm: the
# root of the sum of all squared entries) at the first and at the last step.


# %%
def norms(kind, seed, w):
    """Sizes of G and R."""
    return [float(part(kind, seed, w, n).norm()) for part in (gauss_newton, rest)]


# %%
ends = {key: (paths[*key, 8].ws[0], paths[*key, 8].w) for key in trained}
sizes = {key: [norms(*key, w) for w in both] for key, both in ends.items()}
ratio = np.array([[R / G for G, R in both] for both in sizes.values()])  # (run, first or last)

# %% tags=["nbval-ignore-output"]
for (kind, seed), ((G0, R0), (G1, R1)) in sizes.items():
    print(f"{kind} {seed}: |G| {G0:.2f} -> {G1:.2f}, |R| {R0:.2f} -> {R1:.2f},", end=" ")
    print(f"|R| / |G| {R0 / G0:.2f} -> {R1 / G1:.2f}")

# %% [markdown]
# $R$ shrinks, as the theory says, and $G$ does not: after training $G$ is most of the Hessian. A
# caveat: $R$ is a quarter of $G$ or so, not nothing. The losses are small here, not zero.
#
# ## 3. Wider networks: a larger share near zero?
#
# **S17 claims** that more parameters, with the same data, merely enlarge the bulk. We count the
# eigenvalues with $|\lambda| < c\,\lambda_1$. Someone has to choose $c$, so we choose two, $c =
# 10^{-2}$ and $c = 10^{-3}$, and look whether the answer depends on it.
#
# For the digits at width 32 ($N = 2410$) we do not write down $H$. `ln.spectral_density`
# estimates the share from products of $H$ with random vectors, after the 30 largest eigenvalues
# have been found exactly. Width 16 is done both ways, to see whether we may trust it.

# %%
cuts = (1e-2, 1e-3)


def estimated_shares(key, D=30):
    """Shares near zero without the matrix, with their standard errors, (cut, 2)."""
    loss, w, generator = nets[key], paths[key].w, torch.Generator().manual_seed(0)
    top = ln.top_eigenpairs(loss, w, n, D)
    density = ln.spectral_density(loss.hessian_operator(w, n), w, 3, generator, known=top)
    found = [density.fraction(-c * top.values[0], c * top.values[0]) for c in cuts]
    return [(float(share.value), float(share.stderr)) for share in found]


# %%
def shares(key):
    """Shares of eigenvalues near zero, one for each cut."""
    if key not in spectra:
        return [value for value, _ in estimated_shares(key)]
    return [float((spectra[key].abs() < c * spectra[key][0]).double().mean()) for c in cuts]


# %%
near = {
    kind: np.array([[shares((kind, s, width)) for width in widths] for s in seeds])
    for kind in kinds
}
estimated = [estimated_shares(("digits", s, 16)) for s in seeds]

# %% tags=["nbval-ignore-output"]
for seed in seeds:
    for c, (value, error), exact in zip(cuts, estimated[seed], near["digits"][seed, 2]):
        print(f"seed {seed}, c = {c:g}: estimate {value:.4f} +- {error:.4f}, exact {exact:.4f}")

# %% [markdown]
# ### Predict
# From width 4 to width 32 $N$ grows eightfold on digits. How does the *number* of eigenvalues away from
# zero grow, at $c = 10^{-3}$? Sketch it: a few points, width to multiple of the number at width 4. If S17 is
# right to the letter, it stays at 1.

# %% tags=["predict-growth"]
growth_guess = {4: 1.0, 8: 1.0, 16: 1.0, 32: 1.0}


# %% tags=["nbval-ignore-output"]
figures.share_near_zero(widths, cuts, near)

# %% [markdown]
# Is that "merely" more bulk? A larger share near zero does not say that the number of other
# eigenvalues stays. Count them.

# %% tags=["nbval-ignore-output"]
away = {kind: (1 - near[kind]) * np.array(N[kind])[:, None] for kind in kinds}
figures.number_of_others(widths, cuts, away, N)
for width in (4, 16):
    fixed = [float((spectra["digits", s, width].abs() < 1e-3).double().mean()) for s in seeds]
    print(f"digits, width {width}, share below 0.001 itself:", ", ".join(f"{f:.2f}" for f in fixed))

# %% tags=["nbval-ignore-output"]
multiples = away["digits"][:, :, 1] / away["digits"][:, :1, 1]
what = "Other eigenvalues, relative to width 4"
reveal_curve(what, growth_guess, widths, multiples, xlabel="width")
print("at width 32, each seed:", multiples[:, -1].round(1))

# %% jupyter={"source_hidden": true}
# What the notebook's test compares: sections 1 to 3
halved = all(float(path.values[-1] / path.values[0]) < 0.5 for path in paths.values())
print("every training loss at least halved:", halved)
print("fewer than 5 % are that large on digits:", all(large["digits", s] < 30 for s in seeds))
print("some eigenvalues are negative, in every network:", all(s[-1] < 0 for s in trained.values()))
same = all(bool((G + R - H).norm() < 1e-12 * H.norm()) for H, G, R in tiny.values())
print("G + R = H to rounding, in all six networks:", same)
not_below = all(bool(g[0] > -1e-12 * g[-1]) for _, g, _ in eigenvalues.values())
print("G has no eigenvalue below zero (to rounding):", not_below)
above = all(bool(h[0] >= r[0] - 1e-12) for h, _, r in eigenvalues.values())
print("lambda_min(H) >= lambda_min(R):", above)
fallen = bool((ratio[:, 1] < ratio[:, 0] / 2).all())
print("|R| / |G| has fallen by more than a factor of 2, all six:", fallen)
errors = abs(np.array(estimated)[:, :, 0] - near["digits"][:, 2]).max(0)
print("width 16: estimate within 0.02 of the exact share with the coarse cut:", errors[0] < 0.02)
print("          within 0.06 with the fine one, which is harder to resolve:", errors[1] < 0.06)
rises = np.concatenate([near[kind][:, -1] - near[kind][:, 0] for kind in kinds])  # (run, cut)
for c, rise in zip(cuts, rises.T):
    what = f"c = {c:g}: the widest network has a larger share near zero, by 0.03 and more, all six:"
    print(what, min(rise) > 0.03)

# %% [markdown]
# **S17 claims**: a wider network merely adds to the bulk. **Seen here**: the share near zero
# rises whichever cut we take. That much does not hinge on the cut. "Merely" does: with the coarse
# cut the number of other eigenvalues grows much more slowly than $N$; with the fine cut it grows
# several-fold, on blobs nearly as fast as $N$. The new directions are flat beside the sharpest one, but they are not zero. Caveats: the cut moves
# with $\lambda_1$, which falls with the width on digits (section 5; with a fixed cut the share
# there rises more steeply, as the last printed lines say). And some of the rise is counting,
# because $G$ has at most $n(K-1)$ nonzero eigenvalues whatever the width.
#
# ## 4. The largest gap, and the number of classes
#
# **S17 claims** that the data set the outliers: about one for each class. To count outliers we
# need a rule. Ours: look at the ratios $\lambda_i / \lambda_{i+1}$ for $i = 1, \dots, 3K$ (times
# the clusters of a class). Where the ratio is largest the outliers end. S17's number is $i = K -
# 1$ or $i = K$, early in training. Someone who picks $i$ blindly is right with chance $2 / 3K$.
# (We leave $K = 2$ out: there both 1 and 2 are right, and
# nearly every answer is one of them.)
#
# Three kinds of data, 4 or 8 classes, three seeds. *Random blobs*: one cloud for each class, centred
# at random. *Clean blobs*: small clouds whose centres are all equally far from one another, so that
# no two classes are more alike than others: the best case we can think of. *Digits*: 0 to $K-1$.
# The networks have width 12 and are trained by plain gradient descent. Since nobody says when early
# ends, we look at three steps: 5, 20 and 80.


# %%
def task(kind, classes, clusters, seed):
    """Inputs and labels of so many classes."""
    if kind == "digits":
        x, y = ln.data.digits(seed=seed)
        return x[y < classes][:n], y[y < classes][:n]
    return blobs(n, classes, clusters, seed, clean=kind == "clean blobs")


# %%
def leading(loss, w, count):
    """The largest eigenvalues: from the whole matrix if it is small."""
    if loss.num_params < 700:
        return spectrum(loss, w)[:count]
    return ln.top_eigenpairs(loss, w, n, count, tol=1e-3).values


# %%
gap_steps, classes, data = [5, 20, 80], [4, 8], ["random blobs", "clean blobs", "digits"]


def top_spectra(kind, classes, seed, clusters=1):
    """The 3 K + 1 largest eigenvalues (times the clusters of a class) at each of the steps."""
    loss = network(*task(kind, classes, clusters, seed), 12, seed)
    path = ln.gradient_descent(loss, n, lr=0.5, steps=80, every=5)
    ws = path.ws[torch.isin(path.steps, torch.tensor(gap_steps))]
    return [leading(loss, w, 3 * classes * clusters + 1) for w in ws]


# %%
def largest_gap(values):
    """The i at which lambda_i / lambda_{i+1} is largest, of the positive ones, and the ratio."""
    positive = values[values > 0]
    ratios = positive[:-1] / positive[1:]
    return int(ratios.argmax()) + 1, float(ratios.max())


# %%
def gap_places(runs):
    """Where the largest gap is, for each step and run; runs hold one spectrum for each step."""
    return [[largest_gap(values)[0] for values in at_one_step] for at_one_step in zip(*runs)]


# %% [markdown]
# ### Predict
# In how many of the 6 runs with clean blobs (two class numbers, three seeds) does the largest gap
# come at $K-1$ or $K$, 20 steps into the training?

# %% tags=["predict-clean"]
clean_guess = 6

# %%
tasks = [(kind, K) for kind in data for K in classes]
tops = {(kind, K): [top_spectra(kind, K, seed) for seed in seeds] for kind, K in tasks}
places = {task: gap_places(runs) for task, runs in tops.items()}  # (step, seed)

# %%
hits = {kind: sum(np.isin(places[kind, K], (K - 1, K)).sum(1) for K in classes) for kind in data}
chance = sum(len(seeds) * 2 / (3 * K) for K in classes)
print(f"runs for each kind of data: {len(classes) * len(seeds)}, right by chance: {chance:.2f}")

# %% tags=["nbval-ignore-output"]
at_20 = {kind: tops[kind, 4][0][1][:12] for kind in data}  # four classes, seed 0
figures.gaps_and_classes(at_20, gap_steps, hits, chance)

# %% tags=["nbval-ignore-output"]
reveal_number("Hits in 6 runs, clean blobs at step 20", clean_guess, hits["clean blobs"][1])
print("largest gap at steps 5, 20, 80, three seeds each:")
for (kind, K), found in places.items():
    print(f"{kind}, K = {K}: {found}")

# %% tags=["nbval-ignore-output"]
print("random blobs, 4 classes of c clusters each, largest gap in the same way:")
for clusters in (2, 3):
    more = [top_spectra("random blobs", 4, seed, clusters) for seed in seeds]
    print(f"  c = {clusters}: {gap_places(more)}")

# %% [markdown]
# Look at the digits in these lines: some of their gaps come at 12. There are not 12 classes. But 12 is
# the number of hidden units. Coincidence? All ten digits, other widths, step 30: where is the gap?
# And because every picture contains much of the *mean* picture, we repeat it with the mean picture
# subtracted from all (the blobs had mean zero from the start).


# %%
def at_step_30(width, seed, centred):
    """The digits network and its weights at step 30, with the mean picture or without it."""
    if not centred:
        return nets["digits", seed, width], paths["digits", seed, width].ws[15]  # each 2nd is kept
    x, y = samples("digits", seed)
    loss = network(x - x[:n].mean(0), y, width, seed)
    return loss, ln.gradient_descent(loss, n, steps=30, every=30, **recipe).w


# %%
def digits_spectra(width, centred):
    """The leading eigenvalues, for each seed."""
    return [leading(*at_step_30(width, seed, centred), 24) for seed in seeds]


# %%
gap_widths = [4, 8, 16]
digits_tops = {c: [digits_spectra(width, c) for width in gap_widths] for c in (False, True)}
digits_gaps = {c: np.array(gap_places(zip(*runs))).T for c, runs in digits_tops.items()}

# %% tags=["nbval-ignore-output"]
at_width_8 = {centred: runs[1][0][:16] for centred, runs in digits_tops.items()}  # seed 0
figures.gaps_and_width(at_width_8, gap_widths, digits_gaps)

# %% [markdown]
# That is a warning. The gap on raw digits follows the *network* more than the classes. A reason: all
# pictures share the mean picture, so each hidden unit has one direction in which all samples push
# together, its weights along that picture (and its bias, which every sample shares too). That could
# make one large eigenvalue for each hidden unit. To test it, take these 8 directions at width 8, and
# ask how much of the top 8 eigenvectors lies in their span: 1 would be all, and 8 / 610 = 0.013 is chance.


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
    loss, w = at_step_30(h, seed, centred=False)
    Q = mean_directions(samples("digits", seed)[0][:n].mean(0), loss.num_params, h)
    U = ln.top_eigenpairs(loss, w, n, h).vectors
    return float((Q.T @ U).square().sum() / h)


# %% tags=["nbval-ignore-output"]
in_mean = [share_in_mean_directions(seed) for seed in seeds]
print("share, each seed:", ", ".join(f"{share:.2f}" for share in in_mean))

# %% [markdown]
# So it is. Had we looked at width 8 and eight classes only, we would have called it a success
# of the rule.
#
# **S17 claims** a gap at $K-1$ or $K$ early, which is not robust late. **Seen here**: see the lines
# above. The clean blobs show it once the training is under way, and not in all runs. With centres at random
# one pair of classes is easier to confuse than another, the large eigenvalues differ among
# themselves, and the largest ratio often lies elsewhere. On digits it mostly follows the width. A
# caveat: the place of a largest ratio is fragile. Where two ratios are nearly equal a small change
# decides.
#
# ## 5. Does the largest eigenvalue depend on the width?
#
# **S17 claims** that width moves the bulk and leaves the outliers. But networks of different
# width, after the same number of steps, are not equally well trained, and curvature changes along
# training. So compare twice: after the same number of steps, and at the same training loss, which
# is the first point of each path at which the loss is below 0.5 (the narrowest network needs the
# most steps).
#
# ### Predict
# Divide the largest $\lambda_1$ among the four widths by the smallest. Invariance would give 1.
# Will matching the loss bring the factor nearer to 1 on digits: True or False?

# %% tags=["predict-matching"]
matching_helps_guess = True

# %%
level = 0.5


def matched(path):
    """The first kept point with a loss below the level."""
    return int((path.values < level).nonzero()[0])


# %%
def sharpest(loss, w, D=2):
    """The largest eigenvalue, from the D largest."""
    return float(ln.top_eigenpairs(loss, w, n, D, tol=1e-3).values[0])


# %%
def largest(key):
    """The largest eigenvalue after the same steps, and at the same loss."""
    path = paths[key]
    return [sharpest(nets[key], w) for w in (path.w, path.ws[matched(path)])]


# %%
top = {
    kind: np.array([[largest((kind, s, width)) for width in widths] for s in seeds])
    for kind in kinds
}
factor = {kind: top[kind].max(1) / top[kind].min(1) for kind in kinds}  # (seed, same steps or loss)

# %% tags=["nbval-ignore-output"]
figures.largest_eigenvalues(widths, top, factor, level)

# %% tags=["nbval-ignore-output"]
needed = {key: int(path.steps[matched(path)]) for key, path in paths.items()}
helps = {kind: int((factor[kind][:, 1] < factor[kind][:, 0]).sum()) for kind in kinds}
for kind in kinds:
    print(kind, "steps needed:", {w: [needed[kind, s, w] for s in seeds] for w in widths})
    print(f"{kind}: matching brings the factor nearer to 1 in {helps[kind]} of 3 seeds")

# %% tags=["nbval-ignore-output"]
question, most = "Does matching help in most runs on digits?", helps["digits"] > 1
reveal_choice(question, matching_helps_guess, most, [True, False])

# %% [markdown]
# **Seen here**: on digits, yes: after the same number of steps the narrowest network is the least
# trained and by far the sharpest, and at the same loss the factor falls by half or so, in all
# three seeds. But it is not 1: width 4 stays the sharpest. On blobs the factor is small both
# times, and matching the loss does not clearly help. So "the outliers do not care about the
# width" holds roughly, and on digits only after matching. A caveat: this is the first crossing of
# one level, which we chose as the lowest one that every path reaches with room to spare.
#
# ## 6. Large batch, then small batch: is there a hill between?
#
# Small batches make noisy gradients, and it is often said that they lead to other, flatter
# valleys than large ones do. **S17 claims** otherwise: train with the full batch, go on **from
# that end point** with small batches, and the loss along the straight line between the two end
# points shows no hill. (*From that end point* matters. Two networks that started from different
# weights are another story, which we tell beside it.)
#
# On the line $w(t) = (1-t)\,w_A + t\,w_B$ the **barrier** is the largest height of the loss above
# the straight connection of its two end values: $\max_{0 \le t \le 1} \left[ L(w(t)) -
# (1-t)\,L(w_A) - t\,L(w_B) \right]$. It is zero if there is no hill.
#
# $A$ is the full-batch end point of width 8. One $B$: 200 more steps of the same recipe with
# batches of 16. The other $B$: the full batch again, but from other first weights.
#
# ### Predict
# For which of the two will the barrier be above 0.1: `"continued"`, `"independent"`, `"both"` or
# `"neither"`?

# %% tags=["predict-barrier"]
barrier_guess = "independent"


# %%
def continued(kind, seed):
    """The end point B of 200 more steps from A, with small batches."""
    loss, A = nets[kind, seed, 8], paths[kind, seed, 8].w
    batches = {"batch_size": 16, "generator": torch.Generator().manual_seed(seed)}
    return ln.gradient_descent(loss, n, steps=200, w=A, every=200, **batches, **recipe).w


# %%
def independent(kind, seed):
    """The end point B of training like A's, from other first weights."""
    loss = network(*samples(kind, seed), 8, 100 + seed)
    return ln.gradient_descent(loss, n, steps=steps, every=100, **recipe).w


# %%
t = torch.linspace(-0.25, 1.25, 31, dtype=torch.float64)


def along(kind, seed, B, k):
    """The loss on the line from A to B at every t."""
    loss, A = nets[kind, seed, 8], paths[kind, seed, 8].w
    return torch.stack([loss.value(A + u * (B - A), k) for u in t])


# %%
def barrier(values):
    """The largest height above the straight connection of the values at t = 0 and t = 1."""
    inside = (t >= -1e-9) & (t <= 1 + 1e-9)
    v, s = values[inside], t[inside]
    return float((v - (1 - s) * v[0] - s * v[-1]).max())


# %%
ends = {key: {"continued": continued(*key), "independent": independent(*key)} for key in trained}
lines = {}
for name in ("continued", "independent"):
    for part, k in (("training", n), ("held-out", held_out)):
        for (kind, seed), both in ends.items():
            lines[kind, seed, name, part] = along(kind, seed, both[name], k)


# %%
def barriers(name, part):
    """The barrier on the way to one kind of B, for each of the six runs."""
    return [barrier(lines[kind, seed, name, part]) for kind, seed in ends]


# %% tags=["nbval-ignore-output"]
hills = {name: barriers(name, "training") for name in ("continued", "independent")}
figures.lines_between(t, lines, hills)

# %% tags=["nbval-ignore-output"]
high = [name for name, found in hills.items() if np.median(found) > 0.1]
answer = high[0] if len(high) == 1 else "both" if high else "neither"
question = "Where is the training loss's barrier above 0.1, in most runs?"
reveal_choice(question, barrier_guess, answer, ["neither", *hills, "both"])

# %% tags=["nbval-ignore-output"]
outside = {name: barriers(name, "held-out") for name in hills}
for run, (kind, seed) in enumerate(ends):
    print(f"{kind} {seed}: barriers, training and held-out:", end=" ")
    print(f"continued {hills['continued'][run]:.3f} and {outside['continued'][run]:.3f},", end=" ")
    print(f"independent {hills['independent'][run]:.2f} and {outside['independent'][run]:.2f}")


# %%
def distance(kind, seed, name):
    """From A to one of the ends B."""
    return float((ends[kind, seed][name] - paths[kind, seed, 8].w).norm())


# %% tags=["nbval-ignore-output"]
for kind, seed in ends:
    lengths = [f"{name} {distance(kind, seed, name):.1f}" for name in hills]
    print(f"{kind} {seed}: distance from A:", ", ".join(lengths))

# %% tags=["nbval-ignore-output"]
print("largest eigenvalue at A, at the continued and at the independent B:")
for (kind, seed), both in ends.items():
    points = paths[kind, seed, 8].w, *both.values()
    sharp = [sharpest(nets[kind, seed, 8], w, D=1) for w in points]
    print(f"{kind} {seed}:", ", ".join(f"{value:.2f}" for value in sharp))


# %%
def as_far(kind, seed):
    """The point as far from A as the continued B, on the way to the independent one."""
    A, B = paths[kind, seed, 8].w, ends[kind, seed]["independent"]
    return A + distance(kind, seed, "continued") / distance(kind, seed, "independent") * (B - A)


# %% tags=["nbval-ignore-output"]
print("loss at A, at the continued B, and as far from A towards the independent B:")
for kind, seed in ends:
    points = paths[kind, seed, 8].w, ends[kind, seed]["continued"], as_far(kind, seed)
    found = [float(nets[kind, seed, 8].value(w, n)) for w in points]
    print(f"{kind} {seed}:", ", ".join(f"{value:.3f}" for value in found))

# %% [markdown]
# **Seen here**: as S17 claims, in all six runs, for the training loss and for the held-out one.
# The independent ends are separated by a hill, in all six. Two caveats. The continued $B$ is the
# nearer one, and a short walk meets fewer hills; the last lines, one for each run, are the control for that: a
# walk of the *same* length, towards the independent end, already climbs well above $A$ in all six. And hidden
# units can be renumbered, or have the signs of all their weights flipped, without any change of
# the outputs. So an independent end has $8!\,2^8$ equal twins, some of which may lie nearer. The
# hill is on the line to *this* twin. We report the largest eigenvalues and claim nothing from
# them: along the way from $A$ the training loss has fallen as well.
#
# ## 7. Move along training
#
# The spectrum of the digits network of width 8 (seed 0) at eight steps of training. Drag the
# slider, or focus it and use the arrow keys. Try: (1) from step 0 to 24: which part of the
# picture moves? (2) from 24 on: what happens to the negative eigenvalues, and to the largest gap?

# %%
path = paths["digits", 0, 8]
kept = (0, 4, 8, 12, 18, 25, 35, 50)
along_training = {int(path.steps[i]): spectrum(nets["digits", 0, 8], path.ws[i]) for i in kept}
loss_at = dict(zip(path.steps.tolist(), path.values.tolist()))
reach = max(float(values[0]) for values in along_training.values())


# %%
def state(step):
    """Picture and sentence of one step; the axes are the same for all."""
    values = along_training[step]
    place, gap = largest_gap(values[:31])
    close = float((values.abs() < 1e-2 * values[0]).double().mean())
    return figures.step_of_training(step, loss_at[step], values, place, gap, close, reach)


# %% tags=["nbval-ignore-output"]
slider = PictureSlider("step", {step: state(step) for step in along_training}, value=100)
slider

# %% [markdown]
# *What you should see.* (1) At step 0 there are large eigenvalues of either sign. Within twenty steps or so the positive
# ones rise, and the largest gap moves to 8, the number of hidden units (section 4). (2) The
# negative eigenvalues, which belong to $R$, shrink towards zero as the fit improves, and at last
# the gap moves away again: it is not a robust number.

# %% jupyter={"source_hidden": true}
# What the notebook's test compares: sections 4 to 7
print("over half of the top 8 lies in 8 directions of 610, every seed:", min(in_mean) > 0.5)
print("every path reaches the level:", all(bool((p.values < level).any()) for p in paths.values()))
for part, hill in (("training", 0.1), ("held-out", 0.03)):
    low, high = barriers("continued", part), barriers("independent", part)
    print(f"{part} loss, continued: barrier below 0.02 in all six:", max(low) < 0.02)
    print(f"{part} loss, independent: barrier above {hill} in all six:", min(high) > hill)
slider.slider.value = 0
print("the picture's sentence follows the slider:", slider.sentence().startswith("Step 0:"))
negative = {step: float(values[-1]) for step, values in along_training.items()}
print("step 100 has less negative curvature than step 0:", negative[100] > negative[0])
slider.slider.value = 100

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

draws_1 = np_1.random.default_rng(1)
for n_1, K_1, N_1 in ((1, 4, 3), (6, 3, 5), (9, 2, 2)):
    J_1, p_1 = draws_1.normal(size=(n_1, K_1, N_1)), draws_1.dirichlet(np_1.ones(K_1), n_1)
    found_1 = gauss_newton_of(torch_1.tensor(J_1), torch_1.tensor(p_1))
    found_1 = np_1.asarray(found_1, dtype=float)
    assert found_1.shape == (N_1, N_1), "G needs one row and one column for each weight"
    G_1 = np_1.zeros((N_1, N_1))
    for rows_1, chances_1 in zip(J_1, p_1):  # J'AJ is the covariance of the rows of J
        away_1 = rows_1 - chances_1 @ rows_1
        G_1 += sum(q * np_1.outer(r, r) for q, r in zip(chances_1, away_1)) / n_1
    told_1 = f"wrong for other J and p: n = {n_1} samples, K = {K_1} outputs, N = {N_1} weights"
    assert np_1.allclose(found_1, G_1, atol=1e-12), told_1
own_1 = {"exercises", "find_check", "import_module"} & set(gauss_newton_of.__code__.co_names)
assert not own_1, "write G from J and p yourself, without the check's function"

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

draws_2 = np_2.random.default_rng(2)
for N_2, n_2, K_2 in ((30, 4, 2), (25, 3, 6), (10, 2, 9), (15, 15, 2)):
    for loss_2, lost_2 in (("softmax", np_2.full((K_2, K_2), 1 / K_2)), ("squared", 0)):
        found_2 = float(zeros_at_least(N_2, n_2, K_2, loss_2))
        felt_2 = np_2.eye(K_2) - lost_2  # what a sample's loss feels of its outputs' motion
        moved_2 = [felt_2 @ draws_2.normal(size=(K_2, N_2)) for _ in range(n_2)]
        right_2 = N_2 - np_2.linalg.matrix_rank(np_2.concatenate(moved_2))
        told_2 = f"wrong for the {loss_2} loss with N = {N_2}, n = {n_2}, K = {K_2}"
        assert found_2 == right_2, told_2
own_2 = {"exercises", "find_check", "import_module"} & set(zeros_at_least.__code__.co_names)
assert not own_2, "find the number by a formula, without the check's function"

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

draws_3 = np_3.random.default_rng(3)
for n_3, K_3, h_3 in ((9, 7, 4), (20, 10, 2), (6, 12, 3)):
    found_3 = float(bottleneck_rank(n_3, K_3, h_3))
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
own_3 = {"exercises", "find_check", "import_module"} & set(bottleneck_rank.__code__.co_names)
assert not own_3, "find the rank by a formula, without the check's function"

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

draws_4 = np_4.random.default_rng(4)
for d_4, h_4, K_4 in ((3, 6, 4), (5, 2, 3)):
    given_4 = [draws_4.normal(size=s) for s in ((h_4, d_4), (h_4,), (K_4, h_4), (K_4,))]
    made_4 = twin(*[torch_4.tensor(part) for part in given_4])
    made_4 = [np_4.asarray(part, dtype=float) for part in made_4]
    same_4 = [part.shape for part in made_4] == [part.shape for part in given_4]
    assert same_4, "the twin needs four parts, with the shapes of W1, b1, W2 and b2"
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
wide = all(ranks["digits", s, 16] == few * 9 for s in seeds)
print("rank of G = n(K-1) where the hidden layer is wide enough:", wide)
foretold = {4: 105, 8: 169}  # by the formula of exercise 3
narrow = all(ranks["digits", s, h] == rank for s in seeds for h, rank in foretold.items())
print("rank of G in a bottleneck is what exercise 3 foretells, 105 and 169:", narrow)
exact = all(found == certain_zeros(*key, 8) for key, found in zeros.items())
print("exact zeros of H are those of the architecture, all six:", exact)

# %% tags=["nbval-ignore-output"]
flat = [float((s.abs() < 1e-2 * s[0]).double().mean()) for s in trained.values()]
print("bulk near zero, few outliers: share near zero (c = 0.01)", end=" ")
print(f"{min(flat):.2f} to {max(flat):.2f}")
print(f"R shrinks against G: {(ratio[:, 1] < ratio[:, 0]).sum()} of 6 runs")

# %% tags=["nbval-ignore-output"]
growth = np.concatenate([away[kind][:, -1] / away[kind][:, 0] for kind in kinds])  # (run, cut)
for j, c in enumerate(cuts):
    up, fold = (rises[:, j] > 0).sum(), growth[:, j]
    print(f"c = {c:g}: larger share in {up} of 6 runs;", end=" ")
    print(f"number of others grows {fold.min():.1f} to {fold.max():.1f}-fold")

# %% tags=["nbval-ignore-output"]
print(f"largest gap at K-1 or K, of 6, at steps 20 and 80 (by chance {chance:.2f}):")
print(" ", "; ".join(f"{kind} {found[1]}, {found[2]}" for kind, found in hits.items()))
print(f"lambda_1 nearer to invariant at matched loss: {sum(helps.values())} of 6 runs")
print(f"no barrier after continuing: {sum(b < 0.02 for b in hills['continued'])} of 6")

# %% [markdown]
# | S17's claim | at this size |
# |---|---|
# | $H = G + R$, rank $G \le n(K-1)$ | **holds** (exact); attained where the network is large enough, with at least $K - 1$ hidden units |
# | $R$ shrinks as the fit improves | **holds** in all six runs |
# | a bulk near zero, a few outliers | **holds** on digits; on blobs the spectrum comes down gently |
# | wider networks have a larger share near zero | **holds** with both cuts |
# | ... and *merely* add to the bulk | **does not hold** to the letter: with the fine cut the number of other eigenvalues grows several-fold |
# | largest gap at $K-1$ or $K$, early | **does not hold** as a rule: on clean blobs in part, on raw digits the gap follows the width |
# | ... and not robust late | **can't be told**: here it is not robust early either |
# | more clusters, more outliers | **can't be told** from the largest gap |
# | top eigenvalues do not depend on the width, once the loss is matched | **in part**: nearer to it on digits, no difference on blobs |
# | large batch, then small: no barrier | **holds** in all six runs, training and held-out; independent seeds: a barrier in all six |
#
# ## 10. What to doubt
#
# - **Size.** At most 2410 weights, 150 samples, one hidden layer. S17's question is about networks with far more weights
#   than this. The exact statements carry over; the trends need not.
# - **Where training stopped.** After 100 steps the losses differ from network to network. Without an L2 term
#   there is no end point at which to compare, and each picture would change with more steps.
# - **The cut.** "Near zero" is relative to $\lambda_1$, one number out of the whole spectrum, which itself moves with width and
#   training. Two cuts are better than one, and not all.
# - **The gap.** A largest ratio always exists, also where there are no outliers.
# - **The line.** A hill on the straight line does not mean that no curved way around it exists.
# - **Three seeds** show that a result can happen, not how often it fails.

# %% tags=["nbval-ignore-output"]
print(cost.line(budget_s=60, budget_mb=1000))
