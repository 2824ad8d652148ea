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
from landscape_nb import plots
from landscape_nb.cost import Cost
from landscape_nb.course import reveal_choice, reveal_curve, reveal_number
from landscape_nb.widgets import PictureSlider, SaveMyWork

cost = Cost()
torch.set_num_threads(1)  # small networks run faster on one thread, and rounding stays the same

# %% [markdown]
# *Pictures and their sentences quote what was measured in this run. The lines that end in True or
# False are compared by the notebook's test on every machine.*
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
    points, cluster = make_blobs(
        n, 10, centers=centres, cluster_std=2.0 if clean else 4.0, random_state=seed
    )
    x = torch.tensor(points / 10)
    return x - x.mean(0), torch.tensor(cluster % classes)


def samples(kind, seed):
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
recipe = {"lr": 0.1, "momentum": 0.9}
held_out = range(n, 450)
widths = [4, 8, 16, 32]
per_sample = torch.nn.CrossEntropyLoss(reduction="none")


def network(x, y, width, seed, loss_of_outputs=per_sample, classes=None):
    layers = [x.shape[1], width, classes or int(y.max()) + 1]
    model = ln.models.MLP(layers, generator=torch.Generator().manual_seed(seed))
    return ln.EmpiricalLoss(model, loss_of_outputs, x, y)


# %%
nets = {(kind, seed, width): network(*samples(kind, seed), width, seed)
        for kind in kinds for seed in seeds for width in widths}  # fmt: skip
paths = {
    key: ln.gradient_descent(loss, n, steps=steps, every=2, **recipe) for key, loss in nets.items()
}
print("trained networks:", len(nets))
print("parameters:", {kind: [nets[kind, 0, width].num_params for width in widths]
                      for kind in kinds})  # fmt: skip
print("every training loss at least halved:",
      all(float(path.values[-1] / path.values[0]) < 0.5 for path in paths.values()))  # fmt: skip

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


dense = [key for key in nets if not (key[0] == "digits" and key[2] == 32)]
spectra = {key: spectrum(nets[key], paths[key].w) for key in dense}
trained = {(kind, seed): spectra[kind, seed, 8] for kind in kinds for seed in seeds}
large = {key: int((s > 0.1 * s[0]).sum()) for key, s in trained.items()}
print("fewer than 5 % are that large on digits:", all(large["digits", s] < 30 for s in seeds))
print("some eigenvalues are negative, in every network:", all(s[-1] < 0 for s in trained.values()))

# %% tags=["nbval-ignore-output"]
reveal_number("Eigenvalues above a tenth of the largest, digits, of 610",
              large_guess, [large["digits", s] for s in seeds])  # fmt: skip
print("blobs, of 124:", [large["blobs", s] for s in seeds])

# %% [markdown]
# Two ways to draw one spectrum. **Left**, every eigenvalue at its rank, the largest first; the
# rank is on a logarithmic axis, so that the first ten have as much room as the last five hundred.
# **Right**, how many eigenvalues fall into each of about forty equal bins; the count is on a
# logarithmic axis, or single outliers could not be seen beside hundreds.


# %%
def draw_sorted(ax, values, label, look):
    """Every eigenvalue at its rank."""
    ax.plot(np.arange(1, len(values) + 1), values, markersize=4, linewidth=1, label=label, **look)
    ax.axhline(0, color=plots.GREY, linewidth=0.8)
    ax.set(xscale="log", xlabel="rank (1 is the largest)", ylabel="eigenvalue")


digits_look = {"color": plots.BLUE, "marker": "o"}
blobs_look = {"color": plots.ORANGE, "marker": "s", "linestyle": "--"}

# %% tags=["nbval-ignore-output"]
figure, (left, right) = plots.new_figure(2, width=4.6)
first = trained["digits", 0].numpy()
draw_sorted(left, first, "digits, N = 610", digits_look)
draw_sorted(left, trained["blobs", 0], "blobs, N = 124", blobs_look)
left.legend(frameon=False)
left.set_title("Every eigenvalue, sorted", fontsize=10)
bins = (np.arange(-2, 43) - 0.5) * first[0] / 40  # one of them is centred on zero
right.hist(first, bins, color=plots.BLUE, edgecolor="white", log=True)
right.set(xlabel="eigenvalue", ylabel="how many", ylim=(0.7, 1000))
right.set_title("How many of each size, digits", fontsize=10)
plots.show(figure, f"A few large eigenvalues, then a long tail at zero. Digits: the largest is {first[0]:.2f}, "
    f"{(first > 0.1 * first[0]).sum()} of 610 exceed a tenth of it, and {(abs(first) < 0.01 * first[0]).sum()} lie "
    f"within a hundredth of it around zero, one tall bar on the right. The smallest is {first[-1]:.3f}.")  # fmt: skip

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
def gauss_newton(kind, seed, w, k):
    """G of the first k samples as a matrix, for the network of width 8."""
    return ln.GaussNewtonOperator(nets[kind, seed, 8], w, k).dense()


def rest(kind, seed, w, k):
    """R by its own way: the Hessian of outputs weighted by frozen slopes."""
    (x, y), loss = samples(kind, seed), nets[kind, seed, 8]
    slopes = torch.softmax(loss.outputs(w, range(k)), 1)  # of the cross entropy in its outputs:
    slopes[torch.arange(k), y[:k]] -= 1  # probability, minus 1 for the right class
    frozen = network(x[:k], slopes, 8, seed, lambda f, s: (f * s).sum(1), slopes.shape[1])
    return frozen.hessian(w, k)


# %%
few, tiny = 20, {}
for kind, seed in trained:
    loss = nets[kind, seed, 8]
    tiny[kind, seed] = [loss.hessian(loss.w0, few), gauss_newton(kind, seed, loss.w0, few),
                        rest(kind, seed, loss.w0, few)]  # fmt: skip
print("G + R = H to rounding, in all six networks:",
      all(bool((G + R - H).norm() < 1e-12 * H.norm()) for H, G, R in tiny.values()))  # fmt: skip

# %%
eigenvalues = {key: [torch.linalg.eigvalsh(A) for A in HGR] for key, HGR in tiny.items()}
print("G has no eigenvalue below zero (to rounding):",
      all(bool(g[0] > -1e-12 * g[-1]) for _, g, _ in eigenvalues.values()))  # fmt: skip
print("lambda_min(H) >= lambda_min(R):",
      all(bool(h[0] >= r[0] - 1e-12) for h, _, r in eigenvalues.values()))  # fmt: skip


# %%
def rank_of_G(kind, seed, width):
    loss = nets[kind, seed, width]
    g = torch.linalg.eigvalsh(ln.GaussNewtonOperator(loss, loss.w0, few).dense())
    return int((g > 1e-11 * g[-1]).sum())


ranks = {(kind, seed, width): rank_of_G(kind, seed, width)
         for kind in kinds for seed in seeds for width in (4, 8, 16)}  # fmt: skip
for kind, bound in (("digits", few * 9), ("blobs", few * 3)):
    print(f"{kind}: n(K-1) = {bound}")
    for width in (4, 8, 16):
        each, N = [ranks[kind, seed, width] for seed in seeds], nets[kind, 0, width].num_params
        print(f"  width {width}, N = {N}: rank {each}, zeros {[N - rank for rank in each]}")

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


for kind in kinds:
    zeros = [int((trained[kind, s].abs() < 1e-12 * trained[kind, s][0]).sum()) for s in seeds]
    print(f"{kind}, width 8, trained: exact zeros of H {zeros}, foretold",
          [certain_zeros(kind, s, 8) for s in seeds])  # fmt: skip

# %% [markdown]
# So about one eigenvalue in ten is zero for reasons that have nothing to do with learning. All
# the other small ones are small, not zero.
#
# Now training. Does $R$ shrink as the fit improves? We compare the sizes (Frobenius norm: the
# root of the sum of all squared entries) at the first and at the last step.

# %% tags=["nbval-ignore-output"]
sizes = {}
for kind, seed in trained:
    ends = [paths[kind, seed, 8].ws[0], paths[kind, seed, 8].w]
    sizes[kind, seed] = [[float(part(kind, seed, w, n).norm()) for part in (gauss_newton, rest)]
                         for w in ends]  # fmt: skip
    (G0, R0), (G1, R1) = sizes[kind, seed]
    print(f"{kind} {seed}: |G| {G0:.2f} -> {G1:.2f}, |R| {R0:.2f} -> {R1:.2f}, "
          f"|R| / |G| {R0 / G0:.2f} -> {R1 / G1:.2f}")  # fmt: skip

# %%
ratio = np.array([[rest_size / size for size, rest_size in ends] for ends in sizes.values()])
print("|R| / |G| has fallen by more than a factor of 2, all six:",
      bool((ratio[:, 1] < ratio[:, 0] / 2).all()))  # fmt: skip

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
    loss, w = nets[key], paths[key].w
    H, top = loss.hessian_operator(w, n), ln.top_eigenpairs(loss, w, n, D)
    generator = torch.Generator().manual_seed(0)
    density = ln.spectral_density(H, w, 3, generator, known=top)
    found = [density.fraction(*(top.values[0] * c * e for e in (-1, 1))) for c in cuts]
    return [(float(share.value), float(share.stderr)) for share in found]


# %%
def shares(key):
    """Shares of eigenvalues near zero, one for each cut."""
    if key not in spectra:
        return [value for value, _ in estimated_shares(key)]
    return [float((spectra[key].abs() < c * spectra[key][0]).double().mean()) for c in cuts]


near = {kind: np.array([[shares((kind, seed, width)) for width in widths]
                        for seed in seeds]) for kind in kinds}  # fmt: skip

# %%
estimated = [estimated_shares(("digits", seed, 16)) for seed in seeds]
errors = abs(np.array(estimated)[:, :, 0] - near["digits"][:, 2]).max(0)
print("width 16: estimate within 0.02 of the exact share with the coarse cut:", errors[0] < 0.02)
print("          within 0.06 with the fine one, which is harder to resolve:", errors[1] < 0.06)

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


# %%
def panels(draw, titles=("Digits", "Blobs")):
    """Two panels, one for each kind of data, with two lines each, one for each cut."""
    figure, axes = plots.new_figure(2, width=4.4)
    for ax, kind, title in zip(axes, kinds, titles):
        for j, (c, look) in enumerate(zip(cuts, ("top", "random"))):
            draw(ax, kind, j, look, f"c = {c:g}")
        ax.set(xscale="log", xticks=widths, xticklabels=widths, xlabel="width")
        ax.minorticks_off()
        ax.set_title(title, fontsize=10)
    axes[0].legend(frameon=False)
    return figure, axes


# %% tags=["nbval-ignore-output"]
figure, axes = panels(lambda ax, kind, j, look, label: plots.spread(
    ax, widths, near[kind][:, :, j], look, label=label))  # fmt: skip
for ax in axes:
    ax.set(ylim=(0, 1.02), ylabel="share of eigenvalues near zero")
plain = {kind: near[kind].mean(0) for kind in kinds}
plots.show(figure, "Both lines rise with the width, on both kinds of data. Digits, mean of three seeds: "
    f"{plain['digits'][0, 0]:.2f} to {plain['digits'][-1, 0]:.2f} with the coarse cut, "
    f"{plain['digits'][0, 1]:.2f} to {plain['digits'][-1, 1]:.2f} with the fine one. Blobs: "
    f"{plain['blobs'][0, 0]:.2f} to {plain['blobs'][-1, 0]:.2f} and {plain['blobs'][0, 1]:.2f} to "
    f"{plain['blobs'][-1, 1]:.2f}.")  # fmt: skip

# %%
rise = {kind: near[kind][:, -1] - near[kind][:, 0] for kind in kinds}
for j, c in enumerate(cuts):
    print(f"c = {c:g}: the widest network has a larger share near zero, by 0.03 and more, all six:",
          all(bool((rise[kind][:, j] > 0.03).all()) for kind in kinds))  # fmt: skip

# %% [markdown]
# Is that "merely" more bulk? A larger share near zero does not say that the number of other
# eigenvalues stays. Count them.

# %% tags=["nbval-ignore-output"]
N = {kind: np.array([nets[kind, 0, width].num_params for width in widths]) for kind in kinds}
away = {kind: (1 - near[kind]) * N[kind][:, None] for kind in kinds}
figure, axes = panels(lambda ax, kind, j, look, label: plots.spread(
    ax, widths, away[kind][:, :, j], look, label=label))  # fmt: skip
for ax, kind in zip(axes, kinds):
    plots.power_law_guide(ax, widths, away[kind][:, 0, 1].mean() * 1.5, 1, "as fast as N")
    ax.set(yscale="log", ylim=(20, 3000), ylabel="number of other eigenvalues")
grown = {kind: (away[kind][:, -1] / away[kind][:, 0]).mean(0) for kind in kinds}
plots.show(figure, f"With the fine cut the number of other eigenvalues keeps growing: {grown['digits'][1]:.1f}-fold "
    f"on digits while N grows {N['digits'][-1] / N['digits'][0]:.0f}-fold, {grown['blobs'][1]:.1f}-fold on blobs while N grows "
    f"{N['blobs'][-1] / N['blobs'][0]:.0f}-fold. With the coarse cut it grows {grown['digits'][0]:.1f}-fold and "
    f"{grown['blobs'][0]:.1f}-fold.")  # fmt: skip
for width in (4, 16):
    fixed = [float((spectra["digits", s, width].abs() < 1e-3).double().mean()) for s in seeds]
    print(f"digits, width {width}, share below 0.001 itself:", ", ".join(f"{f:.2f}" for f in fixed))

# %% tags=["nbval-ignore-output"]
multiples = away["digits"][:, :, 1] / away["digits"][:, :1, 1]
reveal_curve("Other eigenvalues, relative to width 4",
             growth_guess, widths, multiples, xlabel="width")  # fmt: skip
print("at width 32, each seed:", multiples[:, -1].round(1))

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
    if kind == "digits":
        x, y = ln.data.digits(seed=seed)
        return x[y < classes][:n], y[y < classes][:n]
    return blobs(n, classes, clusters, seed, clean=kind == "clean blobs")


def leading(loss, w, count):
    """The largest eigenvalues: from the whole matrix if it is small."""
    if loss.num_params < 700:
        return spectrum(loss, w)[:count]
    return ln.top_eigenpairs(loss, w, n, count, tol=1e-3).values


# %%
def top_spectra(kind, classes, seed, clusters=1):
    """The 3 K + 1 largest eigenvalues (times the clusters of a class) at each of the steps."""
    loss = network(*task(kind, classes, clusters, seed), 12, seed)
    path = ln.gradient_descent(loss, n, lr=0.5, steps=80, every=5)
    ws = path.ws[torch.isin(path.steps, torch.tensor(gap_steps))]
    return [leading(loss, w, 3 * classes * clusters + 1) for w in ws]


def largest_gap(values):
    """The i at which lambda_i / lambda_{i+1} is largest, of the positive ones, and the ratio."""
    positive = values[values > 0]
    ratios = positive[:-1] / positive[1:]
    return int(ratios.argmax()) + 1, float(ratios.max())


# %% [markdown]
# ### Predict
# In how many of the 6 runs with clean blobs (two class numbers, three seeds) does the largest gap
# come at $K-1$ or $K$, 20 steps into the training?

# %% tags=["predict-clean"]
clean_guess = 6

# %%
gap_steps, classes, data = [5, 20, 80], [4, 8], ["random blobs", "clean blobs", "digits"]
tops = {(kind, K, seed): top_spectra(kind, K, seed)
        for kind in data for K in classes for seed in seeds}  # fmt: skip
places = {(kind, K): [[largest_gap(tops[kind, K, seed][j])[0] for seed in seeds] for j in range(3)]
          for kind in data for K in classes}  # (step, seed)  # fmt: skip
hits = {kind: sum(np.isin(places[kind, K], (K - 1, K)).sum(1) for K in classes) for kind in data}
chance = sum(len(seeds) * 2 / (3 * K) for K in classes)
print(f"runs for each kind of data: {len(classes) * len(seeds)}, right by chance: {chance:.2f}")

# %% tags=["nbval-ignore-output"]
figure, (left, right) = plots.new_figure(2, width=4.6)
for kind, look in zip(data, ("random", "top", "bottom")):
    values = tops[kind, 4, 0][1][:12]
    plots.curve(left, range(1, 13), values / values[0], look, label=kind)
    plots.curve(right, gap_steps, hits[kind], look, label=kind)
left.axvspan(3, 5, color=plots.GREY, alpha=0.2, lw=0)
left.set(yscale="log", xticks=range(1, 13), xlabel="i", ylabel="$\\lambda_i\\,/\\,\\lambda_1$")
left.set_title("Four classes, step 20, seed 0", fontsize=10)
left.legend(frameon=False, loc="lower left")
right.axhline(chance, color=plots.GREY, linewidth=0.9, linestyle=(0, (1, 2)))
right.text(37, chance - 0.3, "chance", color=plots.GREY, fontsize=8)
right.set(xscale="log", xticks=gap_steps, xticklabels=gap_steps, ylim=(-0.2, 6.3))
right.set(xlabel="step of training", ylabel="hits in 6 runs")
right.set_title("Largest gap at K - 1 or K", fontsize=10)
right.minorticks_off()
plots.show(figure, "Left: a gap at K - 1 or K is a piece inside the grey that is steeper than all others. "
    "Right: hits of 6 at the three steps, "
    + "; ".join(f"{kind} {', '.join(map(str, found))}" for kind, found in hits.items()) + ".")  # fmt: skip

# %% tags=["nbval-ignore-output"]
reveal_number("Hits in 6 runs, clean blobs at step 20", clean_guess, hits["clean blobs"][1])
for (kind, K), found in places.items():
    print(f"{kind}, K = {K}: largest gap at steps 5, 20, 80, three seeds each: {found}")
print("random blobs, 4 classes of c clusters each:")
for clusters in (2, 3):
    more = [top_spectra("random blobs", 4, seed, clusters) for seed in seeds]
    found = [[largest_gap(group[j])[0] for group in more] for j in range(3)]
    print(f"  c = {clusters}: largest gap at steps 5, 20, 80, three seeds each: {found}")

# %% [markdown]
# Look at the digits in these lines: some of their gaps come at 12. There are not 12 classes. But 12 is
# the number of hidden units. Coincidence? All ten digits, other widths, step 30: where is the gap?
# And because every picture contains much of the *mean* picture, we repeat it with the mean picture
# subtracted from all (the blobs had mean zero from the start).


# %%
def digits_gap(width, seed, centred):
    """Place of the largest gap at step 30, and the leading eigenvalues."""
    loss, w = nets["digits", seed, width], paths["digits", seed, width].ws[15]  # each 2nd is kept
    if centred:
        x, y = samples("digits", seed)
        loss = network(x - x[:n].mean(0), y, width, seed)
        w = ln.gradient_descent(loss, n, steps=30, every=30, **recipe).w
    values = leading(loss, w, 24)
    return largest_gap(values)[0], values


gap_widths = [4, 8, 16]
digits_gaps = {(width, seed, centred): digits_gap(width, seed, centred)
               for width in gap_widths for seed in seeds for centred in (False, True)}  # fmt: skip

# %% tags=["nbval-ignore-output"]
figure, (left, right) = plots.new_figure(2, width=4.6)
for centred, look, name in ((False, "top", "as they are"), (True, "random", "mean subtracted")):
    values = digits_gaps[8, 0, centred][1]
    plots.curve(left, range(1, 17), values[:16] / values[0], look, label=name)
    for seed in seeds:
        found = [digits_gaps[width, seed, centred][0] for width in gap_widths]
        plots.curve(right, np.array(gap_widths) + 0.25 * (seed - 1), found, look, linestyle="")
right.plot([3, 17], [3, 17], color=plots.GREY, linewidth=0.9, linestyle=(0, (1, 2)))
right.text(12, 13, "gap at the width", color=plots.GREY, fontsize=8, ha="right")
left.set(yscale="log", xlabel="i", ylabel="$\\lambda_i\\,/\\,\\lambda_1$")
left.set_title("Digits, ten classes, width 8, step 30", fontsize=10)
left.legend(frameon=False, loc="lower left")
right.set(xlabel="width", ylabel="place of the largest gap", xticks=gap_widths, ylim=(0, 20))
right.set_title("Three widths, three seeds", fontsize=10)
at_width = {
    c: sum(digits_gaps[h, s, c][0] == h for h in gap_widths for s in seeds) for c in (False, True)
}
plots.show(figure, f"The largest gap comes exactly at the number of hidden units in {at_width[False]} of 9 runs with the "
    f"digits as they are, and in {at_width[True]} of 9 with the mean picture subtracted.")  # fmt: skip

# %% [markdown]
# That is a warning. The gap on raw digits follows the *network* more than the classes. A reason: all
# pictures share the mean picture, so each hidden unit has one direction in which all samples push
# together, its weights along that picture (and its bias, which every sample shares too). That could
# make one large eigenvalue for each hidden unit. To test it, take these 8 directions at width 8, and
# ask how much of the top 8 eigenvectors lies in their span: 1 would be all, and 8 / 610 = 0.013 is chance.


# %%
def share_in_mean_directions(seed, h=8):
    """Share of the top h eigenvectors in the h directions along the mean picture, at step 30."""
    loss, w = nets["digits", seed, h], paths["digits", seed, h].ws[15]
    mean = samples("digits", seed)[0][:n].mean(0)
    P = torch.zeros(loss.num_params, h, dtype=torch.float64)
    for unit in range(h):
        P[64 * unit : 64 * (unit + 1), unit] = mean  # the unit's weights ...
        P[64 * h + unit, unit] = 1.0  # ... and its bias
    U = ln.top_eigenpairs(loss, w, n, h).vectors
    return float((torch.linalg.qr(P).Q.T @ U).square().sum() / h)


in_mean = [share_in_mean_directions(seed) for seed in seeds]
print("over half of the top 8 lies in 8 directions of 610, every seed:", min(in_mean) > 0.5)

# %% tags=["nbval-ignore-output"]
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


def largest(key, w):
    return float(ln.top_eigenpairs(nets[key], w, n, D=2, tol=1e-3).values[0])


print("every path reaches the level:", all(bool((p.values < level).any()) for p in paths.values()))
top = {kind: np.array([[[largest(key := (kind, seed, width), paths[key].w),
                         largest(key, paths[key].ws[matched(paths[key])])]
                        for width in widths] for seed in seeds]) for kind in kinds}  # fmt: skip
factor = {kind: top[kind].max(1) / top[kind].min(1) for kind in kinds}  # (seed, same steps or loss)

# %% tags=["nbval-ignore-output"]
figure, axes = plots.new_figure(2, width=4.4)
for ax, kind in zip(axes, kinds):
    for j, (name, look) in enumerate((("after 100 steps", "top"), (f"at loss {level}", "random"))):
        plots.spread(ax, widths, top[kind][:, :, j], look, label=name)
    ax.set(xscale="log", xticks=widths, xticklabels=widths, xlabel="width", ylim=(0, 5))
    ax.set(ylabel="largest eigenvalue")
    ax.minorticks_off()
    ax.set_title(kind.capitalize(), fontsize=10)
axes[0].legend(frameon=False)
said = {kind: [" to ".join(f"{f(factor[kind][:, j]):.1f}" for f in (np.min, np.max)) for j in (0, 1)]
        for kind in kinds}  # fmt: skip
plots.show(figure, "Largest over smallest of the four widths, three seeds. Digits: a factor of "
    f"{said['digits'][0]} after the same steps, {said['digits'][1]} at the same loss. Blobs: "
    f"{said['blobs'][0]}, and {said['blobs'][1]}.")  # fmt: skip

# %% tags=["nbval-ignore-output"]
for kind in kinds:
    print(kind, "steps needed:", {width: [int(paths[kind, s, width].steps[matched(paths[kind, s, width])])
                                          for s in seeds] for width in widths})  # fmt: skip
    helps = int((factor[kind][:, 1] < factor[kind][:, 0]).sum())
    print(f"{kind}: matching brings the factor nearer to 1 in {helps} of 3 seeds")
most = int((factor["digits"][:, 1] < factor["digits"][:, 0]).sum()) > 1
reveal_choice(
    "Does matching help in most runs on digits?", matching_helps_guess, most, [True, False]
)

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
def other_ends(kind, seed):
    """End points B: continued from A with small batches, and trained from other first weights."""
    loss, A = nets[kind, seed, 8], paths[kind, seed, 8].w
    order = torch.Generator().manual_seed(seed)
    small = ln.gradient_descent(
        loss, n, steps=200, w=A, batch_size=16, generator=order, every=200, **recipe)  # fmt: skip
    fresh = network(*samples(kind, seed), 8, 100 + seed)
    return {"continued": small.w,
            "independent": ln.gradient_descent(fresh, n, steps=steps, every=100, **recipe).w}  # fmt: skip


# %%
t = torch.linspace(-0.25, 1.25, 31, dtype=torch.float64)
inside = (t >= -1e-9) & (t <= 1 + 1e-9)


def along(kind, seed, B, k):
    """The loss on the line from A to B at every t."""
    loss, A = nets[kind, seed, 8], paths[kind, seed, 8].w
    return torch.stack([loss.value(A + u * (B - A), k) for u in t])


def barrier(values):
    v, s = values[inside], t[inside]
    return float((v - (1 - s) * v[0] - s * v[-1]).max())


# %%
ends = {(kind, seed): other_ends(kind, seed) for kind in kinds for seed in seeds}
lines = {(kind, seed, name, part): along(kind, seed, B, k)
         for (kind, seed), both in ends.items() for name, B in both.items()
         for part, k in (("training", n), ("held-out", held_out))}  # fmt: skip
barriers = {key: barrier(values) for key, values in lines.items()}
for part, hill in (("training", 0.1), ("held-out", 0.03)):
    low, high = ([b for key, b in barriers.items() if key[2:] == (name, part)]
                 for name in ("continued", "independent"))  # fmt: skip
    print(f"{part} loss, continued: barrier below 0.02 in all six:", max(low) < 0.02)
    print(f"{part} loss, independent: barrier above {hill} in all six:", min(high) > hill)

# %% tags=["nbval-ignore-output"]
figure, axes = plots.new_figure(2, width=4.6)
looks = {"continued": ("top", plots.BLUE), "independent": ("random", plots.ORANGE)}
for ax, kind in zip(axes, kinds):
    for name, (look, colour) in looks.items():
        for part, dash in (("training", "-"), ("held-out", ":")):
            for seed in seeds:
                plots.curve(ax, t, lines[kind, seed, name, part], look, linestyle=dash, markevery=5,
                            markersize=3.5, color=colour, linewidth=1.2,
                            label=f"{name}, {part}" if seed == 0 else None)  # fmt: skip
    ax.set(xlabel="t (A at 0, B at 1)", ylabel="loss", ylim=(0, 2))
    ax.set_title(kind.capitalize(), fontsize=10)
axes[0].legend(frameon=False, fontsize=8, loc="upper left")
said = {name: " to ".join(f"{f(b for key, b in barriers.items() if key[2:] == (name, 'training')):.2f}"
                          for f in (min, max)) for name in looks}  # fmt: skip
plots.show(figure, "Three seeds each. From A to the continued B the loss only slides; from A to the "
    f"independent B it climbs a hill. Barriers of the training loss: {said['continued']} and {said['independent']}.")  # fmt: skip

# %% tags=["nbval-ignore-output"]
high = [name for name in looks if np.median(
    [b for key, b in barriers.items() if key[2:] == (name, "training")]) > 0.1]  # fmt: skip
answer = high[0] if len(high) == 1 else "both" if high else "neither"
reveal_choice("Where is the training loss's barrier above 0.1, in most runs?", barrier_guess, answer,
              ["neither", "continued", "independent", "both"])  # fmt: skip

# %% tags=["nbval-ignore-output"]
for (kind, seed), both in ends.items():
    loss, A = nets[kind, seed, 8], paths[kind, seed, 8].w
    sharp = [
        float(ln.top_eigenpairs(loss, w, n, D=1, tol=1e-3).values[0]) for w in (A, *both.values())
    ]
    near_B, far_B = [float((B - A).norm()) for B in both.values()]
    as_far = loss.value(A + near_B / far_B * (both["independent"] - A), n)
    found = [barriers[kind, seed, name, part] for name in both for part in ("training", "held-out")]
    print(f"{kind} {seed}: barriers, training and held-out: continued {found[0]:.3f} and {found[1]:.3f}, "
          f"independent {found[2]:.2f} and {found[3]:.2f}")  # fmt: skip
    print(f"   distance from A: continued {near_B:.1f}, independent {far_B:.1f}; largest eigenvalue: "
          f"A {sharp[0]:.2f}, continued {sharp[1]:.2f}, independent {sharp[2]:.2f}")  # fmt: skip
    print(f"   loss at A {loss.value(A, n):.3f}, at the continued B {loss.value(both['continued'], n):.3f}, "
          f"as far from A towards the independent B {as_far:.3f}")  # fmt: skip

# %% [markdown]
# **Seen here**: as S17 claims, in all six runs, for the training loss and for the held-out one.
# The independent ends are separated by a hill, in all six. Two caveats. The continued $B$ is the
# nearer one, and a short walk meets fewer hills; the last line of each run is the control for that: a
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
along_training = {int(path.steps[i]): spectrum(nets["digits", 0, 8], path.ws[i])
                  for i in (0, 4, 8, 12, 18, 25, 35, 50)}  # fmt: skip
reach = max(float(values[0]) for values in along_training.values())


def state(step):
    """Picture and sentence of one step; the axes are the same for all."""
    values, value = along_training[step], float(path.values[path.steps.tolist().index(step)])
    place, gap = largest_gap(values[:31])
    close = float((values.abs() < 1e-2 * values[0]).double().mean())
    figure, ax = plots.new_figure(width=5.6)
    draw_sorted(ax, values, "digits", digits_look)
    ax.axvline(place + 0.5, color=plots.VERMILLION, linewidth=1, linestyle="--")
    ax.text(place + 0.7, 0.95 * reach, "largest gap", color=plots.VERMILLION, fontsize=9)
    ax.set(ylim=(-0.3 * reach, 1.05 * reach), title=f"Step {step}, training loss {value:.2f}")
    sentence = (f"Step {step}: training loss {value:.2f}, largest eigenvalue {values[0]:.2f}, smallest "
                f"{values[-1]:.3f}. The largest gap comes after number {place} (ratio {gap:.1f}, dashed), "
                f"and {close:.0%} of the eigenvalues are within a hundredth of the largest around zero.")  # fmt: skip
    return plots.to_png(figure), sentence


# %% tags=["nbval-ignore-output"]
slider = PictureSlider("step", {step: state(step) for step in along_training}, value=100)
slider

# %% [markdown]
# *What you should see.* (1) At step 0 there are large eigenvalues of either sign. Within twenty steps or so the positive
# ones rise, and the largest gap moves to 8, the number of hidden units (section 4). (2) The
# negative eigenvalues, which belong to $R$, shrink towards zero as the fit improves, and at last
# the gap moves away again: it is not a robust number.

# %%
negative = {step: float(values[-1]) for step, values in along_training.items()}
slider.slider.value = 0
print("the picture's sentence follows the slider:", slider.sentence().startswith("Step 0:"))
print("step 100 has less negative curvature than step 0:", negative[100] > negative[0])
slider.slider.value = 100

# %% [markdown] tags=["exercises"]
# ## 8. Exercises
#
# This part stands on its own: after a break, start here with the next cell. Write each answer in
# place of `raise NotImplementedError()`, run it, and run the folded cell below it (the three dots). Its
# **public check** says what is wrong, without giving the answer away. When you are done, compare with
# [the solutions](solutions/06_bulk_and_outliers.ipynb).

# %%
import numpy as np
import torch

import landscape_nb as ln
from landscape_nb import plots
from landscape_nb.course import check, check_properties

torch.set_num_threads(1)


# %% jupyter={"source_hidden": true}
def random_numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_differentiation(J, p):
    """G of samples whose outputs are J_i w + log p_i: linear in w, so the Hessian at 0 is G."""

    def loss_of_w(w):
        return -(p.log() + J @ w).log_softmax(1)[:, 0].mean()

    return torch.func.hessian(loss_of_w)(torch.zeros(J.shape[2], dtype=torch.float64))


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
cases = [
    {"J": random_numbers(n_1, K_1, 4, seed=n_1), "p": random_numbers(n_1, K_1).softmax(1)}
    for n_1, K_1 in ((3, 3), (5, 2), (2, 5))
]
hints = {
    "How does the probability of one class change when the output of another one moves?": (
        lambda J, p: (J.mT @ (p * (1 - p)).diag_embed() @ J).mean(0)
    ),
    "A softmax does not notice a shift of all outputs together. Does your A_i?": (
        lambda J, p: (J.mT @ p.diag_embed() @ J).mean(0)
    ),
    "Is it the mean over the samples, or their sum?": (
        lambda J, p: len(J) * by_differentiation(J, p)
    ),
    "That is built from slopes, once differentiated: G needs the loss differentiated twice.": (
        lambda J, p: (J.mT @ (p[:, :, None] * p[:, None, :]) @ J).mean(0)
    ),
}
check("1", gauss_newton_of, by_differentiation, cases, hints)

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
own_1 = {"by_differentiation"} & set(gauss_newton_of.__code__.co_names)
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


# %% jupyter={"source_hidden": true}
def zeros_counted(N, n, K, loss):
    J, p = random_numbers(n, K, N), random_numbers(n, K).softmax(1)
    G = by_differentiation(J, p) if loss == "softmax" else (J.mT @ J).mean(0)
    values = torch.linalg.eigvalsh(G)
    return int((values < 1e-10 * values[-1]).sum())


sizes_2 = [
    (40, 5, 3, "softmax"),
    (40, 5, 3, "squared"),
    (60, 4, 10, "softmax"),
    (9, 9, 4, "squared"),
]


# %% tags=["check-2", "points-1"]
cases = [dict(zip(("N", "n", "K", "loss"), size)) for size in sizes_2]
hints = {
    "Try a model with few weights and many samples. Can that be a number of zeros?": (
        lambda N, n, K, loss: N - n * (K - (loss == "softmax"))
    ),
    "In how many directions can one sample's softmax loss curve in its outputs?": (
        lambda N, n, K, loss: max(0, N - n * K)
    ),
    "Does the squared error, too, overlook a shift of all outputs together?": (
        lambda N, n, K, loss: max(0, N - n * (K - 1))
    ),
    "That is what one sample can do. What can n of them do?": (
        lambda N, n, K, loss: max(0, N - (K - (loss == "softmax")))
    ),
    "That many are not zero. How many are left?": (
        lambda N, n, K, loss: min(N, n * (K - (loss == "softmax")))
    ),
}
check("2", zeros_at_least, zeros_counted, cases, hints)

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
own_2 = {"zeros_counted", "by_differentiation"} & set(zeros_at_least.__code__.co_names)
assert not own_2, "find the number by a formula, without the check's functions"

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


# %% jupyter={"source_hidden": true}
def measured_rank(n, K, h):
    x, y = random_numbers(n, 30), torch.arange(n) % K
    model = ln.models.MLP([30, h, K], generator=torch.Generator().manual_seed(h))
    loss = ln.EmpiricalLoss(model, torch.nn.CrossEntropyLoss(reduction="none"), x, y)
    values = torch.linalg.eigvalsh(ln.GaussNewtonOperator(loss, loss.w0, n).dense())
    return int((values > 1e-11 * values[-1]).sum())


# %% tags=["check-3", "points-1"]
cases = [{"n": 20, "K": 10, "h": 2}, {"n": 12, "K": 6, "h": 3}, {"n": 15, "K": 8, "h": 1}]
hints = {
    "That is the bound of section 2. A bottleneck stays below it.": lambda n, K, h: n * (K - 1),
    "So far only the hidden numbers move. What can the last layer do?": lambda n, K, h: n * h,
    "Has the last layer another input besides the hidden units?": (
        lambda n, K, h: n * h + (K - 1 - h) * h
    ),
    "Does the softmax notice all K directions of the outputs?": (
        lambda n, K, h: n * h + (K - h) * (h + 1)
    ),
    "What the hidden numbers move already must not be counted twice.": (
        lambda n, K, h: n * h + (K - 1) * (h + 1)
    ),
}
check("3", bottleneck_rank, measured_rank, cases, hints)

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
own_3 = {"measured_rank"} & set(bottleneck_rank.__code__.co_names)
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


# %% jupyter={"source_hidden": true}
pictures, labels = ln.data.digits(150, seed=0)
small = ln.models.MLP([64, 8, 10], generator=torch.Generator().manual_seed(0))
loss_4 = ln.EmpiricalLoss(small, torch.nn.CrossEntropyLoss(reduction="none"), pictures, labels)
w_4 = ln.gradient_descent(loss_4, 150, lr=0.1, momentum=0.9, steps=100, every=100).w
places_4 = torch.linspace(0, 1, 41, dtype=torch.float64)
shapes_4 = {"W1": (8, 64), "b1": (8,), "W2": (10, 8), "b2": (10,)}


def parts_of(w):
    """The four parts of a network's weights, by name."""
    chunks = w.split([int(np.prod(shape)) for shape in shapes_4.values()])
    return {name: c.view(shape) for c, (name, shape) in zip(chunks, shapes_4.items())}


def as_weights(parts):
    """The four parts as one vector w."""
    return torch.cat([torch.as_tensor(part, dtype=torch.float64).flatten() for part in parts])


# %% jupyter={"source_hidden": true}
def outputs_of(w):
    """What the network answers to every picture."""
    W1, b1, W2, b2 = parts_of(w).values()
    return torch.tanh(pictures @ W1.T + b1) @ W2.T + b2


def heights(parts):
    """The training loss on the line from the original to the twin, above the loss at its start."""
    step = as_weights(parts) - w_4
    line = torch.stack([loss_4.value(w_4 + t * step, 150) for t in places_4])
    return line - line[0]


# %% tags=["check-4", "points-1", "picture-exercise-06-4"]
required = {
    "four parts with the shapes of W1, b1, W2 and b2": (
        lambda parts: [tuple(part.shape) for part in parts] == list(shapes_4.values())
    ),
    "weights that are at least half of |w| away from w": (
        lambda parts: (as_weights(parts) - w_4).norm() > w_4.norm() / 2
    ),
    "the same outputs as before (follow one hidden unit: all its numbers in, all numbers out)": (
        lambda parts: torch.allclose(outputs_of(as_weights(parts)), outputs_of(w_4), atol=1e-9)
    ),
    "a hill of at least 0.1 on the straight line": lambda parts: heights(parts).max() > 0.1,
}
check_properties("4", twin, required, parts_of(w_4))
hill = heights(twin(**parts_of(w_4)))
figure, ax = plots.new_figure(width=5)
plots.curve(ax, places_4, hill, "top", marker=None)
ax.set(xlabel="t (original at 0, twin at 1)", ylabel="training loss above its start")
plots.show(figure, f"Both ends are equally low. In between the loss climbs by {hill.max():.2f}.")

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
# The exact statements first; they are compared on every machine.

# %%
foretold = {4: 105, 8: 169}  # by the formula of exercise 3
print("rank of G = n(K-1) where the hidden layer is wide enough:",
      all(ranks["digits", s, 16] == few * 9 for s in seeds))  # fmt: skip
print("rank of G in a bottleneck is what exercise 3 foretells, 105 and 169:",
      all(ranks["digits", s, h] == rank for s in seeds for h, rank in foretold.items()))  # fmt: skip
print("exact zeros of H are those of the architecture, all six:", all(
    int((s.abs() < 1e-12 * s[0]).sum()) == certain_zeros(*key, 8) for key, s in trained.items()))  # fmt: skip

# %% tags=["nbval-ignore-output"]
helps = sum(int((factor[kind][:, 1] < factor[kind][:, 0]).sum()) for kind in kinds)
flat = [float((s.abs() < 1e-2 * s[0]).double().mean()) for s in trained.values()]
print(
    f"bulk near zero, few outliers: share near zero (c = 0.01) {min(flat):.2f} to {max(flat):.2f}"
)
print(f"R shrinks against G: {(ratio[:, 1] < ratio[:, 0]).sum()} of 6 runs")
for j, c in enumerate(cuts):
    up = sum(int((near[kind][:, -1, j] > near[kind][:, 0, j]).sum()) for kind in kinds)
    factors = np.concatenate([away[kind][:, -1, j] / away[kind][:, 0, j] for kind in kinds])
    print(f"c = {c:g}: larger share in {up} of 6 runs; number of others grows "
          f"{factors.min():.1f} to {factors.max():.1f}-fold")  # fmt: skip
print("largest gap at K-1 or K, of 6, at steps 20 and 80:",
      {kind: (int(h[1]), int(h[2])) for kind, h in hits.items()}, f"by chance {chance:.2f}")  # fmt: skip
print(f"lambda_1 nearer to invariant at matched loss: {helps} of 6 runs")
print(
    f"no barrier after continuing: {sum(b < 0.02 for k, b in barriers.items() if k[2:] == ('continued', 'training'))} of 6"
)

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
