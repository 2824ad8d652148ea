# %% [markdown]
# # 07 Transformer
#
# **Does all this hold on a language model?**
#
# [Notebook 04](04_mlp_stabilization.ipynb) asked of a small network on digits: I add one more training
# sample. How much does the loss landscape around my solution still change, and in which directions?
# Here the model is a small **transformer** that predicts the next character of a text, and we
# follow the experiments of *Curvature-Aligned Probing for Local Loss-Landscape Stabilization*
# (Kiselev and Grabovoy, arXiv 2604.14870, **KG26** below) figure by figure. You need not have read it.
#
# As before, the change is the *increment* $I_k(w) = L_{k+1}(w) - L_k(w)$, where $L_k$ is the mean
# loss of the first $k$ samples. Three numbers measure it around a point $w$ (KG26, Eqs. 2-4):
#
# $$\Delta_1 = |I_k(w)|, \qquad \Delta_2 = \mathbb{E}\, I_k(w + \sigma\xi)^2, \qquad
# \Delta_2^{(D)} = \mathbb{E}\, I_k(w + \sigma U_D z)^2 .$$
#
# The entries of $\xi$ and $z$ are independent standard Gaussian numbers. The columns of $U_D$ are
# the $D$ directions in which $L_k$ is most sharply curved, the *top eigenvectors* of its Hessian
# $H^{(k)}$ (the matrix of second derivatives). $\Delta_2$ probes all $N$ directions,
# $\Delta_2^{(D)}$ only $D$ of them.
#
# **Words.** *Sample*: here one **sequence** of 64 characters; its loss $l_i$ is the mean over its
# 64 predictions, in nats (a guess among $M$ equally likely characters costs $\ln M$ nats). *Held out*: never used in
# training, so a candidate for "the next sample". *Checkpoint*: the weights at one moment of
# training. *Probe*: a random step around $w$, or the subspace it is drawn from. *Raw*: the criterion as
# defined, including the squared change $a_k^2$ at $w$ itself, its *value*. *Centred*: without the change at the point $w$
# itself, $\mathbb{E}\,(I_k(w + \text{step}) - I_k(w))^2$, what the probe itself sees.

# %%
import time

import numpy as np
import torch

import landscape_nb as ln
from landscape_nb import plots
from landscape_nb.cost import Cost
from landscape_nb.course import reveal_choice, reveal_curve, reveal_number
from landscape_nb.pretraining import pretrained
from landscape_nb.widgets import Explorer, SaveMyWork

cost = Cost()
torch.set_num_threads(1)  # one thread: the rounding stays the same from run to run


def seeded(seed):
    """A source of random numbers that gives the same ones in every run."""
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# *Pictures and their sentences quote what was measured in this run. The lines that end in True or
# False are compared by the notebook's test on every machine.*
#
# ## 1. A small language model
#
# It has the parts of KG26's model: rotary positions, grouped-query attention, a ReLU$^2$ MLP,
# RMSNorm without parameters. It has 2 blocks and about 100 thousand parameters, where KG26 has
# 6 blocks and 107 million. It learned to write by reading Python's own help pages, one character at a
# time. Three trained copies come with the package; they differ in the seed (first weights
# and order of the sequences). Along the first run five checkpoints were kept.

# %%
runs = pretrained()
run = runs[0]
N, V = run.config.num_params, run.config.vocabulary_size
print("parameters:", N, " characters:", V, " sequences:", tuple(run.sequences.shape))
print("sequences seen at each checkpoint:", run.consumed)

# %% [markdown]
# The first four checkpoints belong to the first pass over the text: at checkpoint $k$ the weights
# have seen the first $k$ sequences once, and no other. The last one is the end of training, after
# two more passes over the same 6208 sequences.
#
# What did it learn? Two simple rivals: guessing every character by how frequent it is, and
# guessing it by its left neighbour.


# %%
def counting(run, neighbour):
    """Nats per character on held-out text when only frequencies are known."""
    train, test = run.sequences[: run.num_train], run.sequences[run.num_train :]
    pairs = torch.full((V, V), 0.1).index_put((train[:, :-1].flatten(), train[:, 1:].flatten()),
                                             torch.tensor(1.0), accumulate=True)  # fmt: skip
    table = pairs if neighbour else pairs.sum(0, keepdim=True)
    chances = table / table.sum(1, keepdim=True)
    left, right = test[:, :-1].flatten(), test[:, 1:].flatten()
    return -float(chances[left if neighbour else 0, right].log().mean())


held_out = range(run.num_train, run.num_train + 200)
unseen = run.loss(held_out)
learned = [float(unseen.value(w, 200)) for w in run.weights]
print("better than counting characters, from k = 256 on:",
      max(learned[1:]) < counting(run, neighbour=False))  # fmt: skip
print("better than counting pairs of characters, after one pass:",
      max(learned[3:]) < counting(run, neighbour=True))  # fmt: skip

# %% tags=["nbval-ignore-output"]
print(f"counting characters: {counting(run, False):.2f} nats, pairs: {counting(run, True):.2f}")
print("the transformer:", ", ".join(f"{v:.2f}" for v in learned))

# %% [markdown]
# Let it write. It gets the beginning of a sequence that it has never seen and goes on by itself, each
# time with the character that it finds most likely.


# %%
def write(run, checkpoint, count=80):
    """The first 30 characters of a held-out sequence, and what the model makes of them."""
    model, tokens = run.model(checkpoint), run.sequences[run.num_train + 2][:30]
    for _ in range(count):
        with torch.no_grad():
            logits = model(tokens[-run.config.context :][None])[0, -1]
        tokens = torch.cat([tokens, logits.argmax()[None]])
    text = "".join(run.vocabulary[t] for t in tokens)
    return repr(text[:30] + " | " + text[30:])


written = [write(run, j) for j in (0, 2, 4)]

# %% tags=["nbval-ignore-output"]
for j, text in zip((0, 2, 4), written):
    print(f"k = {run.consumed[j]:5d}: {text}")

# %% [markdown]
# It is no poet, but it has learned words and the layout of a manual. For curvature that is enough.
#
# ## 2. Along training (KG26 Fig. 2)
#
# KG26 follows the three criteria along training, with $k$ the number of sequences consumed so
# far, and reports that **all of them fall as $k^{-2}$**. The weights at $k$ are not a minimiser of $L_k$
# here, only the state of a training under way. That is their setting, and ours.
#
# Recall the identity of notebook 01, true for any function whatever:
#
# $$I_k = \frac{l_{k+1} - L_k}{k+1}.$$
#
# So every one of these numbers is a difference between the next sequence and the mean, divided by
# $k+1$ (or $(k+1)^2$ for the squares). We measure the difference and divide afterwards. The
# mean over thousands of sequences is represented by some of them, evenly spread, and the next sequence by
# each of some held-out ones in turn: 128 and 128 for the value, which needs losses only, 16 and 6
# for its derivatives. These averages are uncertain by some tens of percent.
#
# `full_space_table` holds $\Delta_2$ in closed form, term by term: value, gradient and curvature. Its
# trace terms (a trace is the sum of a Hessian's eigenvalues) are estimated from four random directions, all else is exact. `moment_table` does the
# same for $\Delta_2^{(D)}$, here with $D = 4$ directions taken from half of the 16 sequences.

# %%
m, h, sigma = 16, 6, 1e-3  # sequences for the mean, held-out candidates, size of the probe


def losses_at(run, j, count=128):
    """Difference between the losses of held-out sequences and the mean of those consumed."""
    k = run.consumed[j]
    seen = list(range(0, k, max(1, k // count)))[:count]
    loss = run.loss([*seen, *range(run.num_train, run.num_train + count)], checkpoint=j)
    values = loss.per_sample(loss.w0)
    return values[len(seen) :] - values[: len(seen)].mean()


# %%
def difference(run, j):
    """Criteria and parts at checkpoint j, times (k+1)^2 (Delta_1: times k+1), and the residual."""
    far, seen = losses_at(run, j), list(range(0, run.consumed[j], run.consumed[j] // m))[:m]
    loss = run.loss([*seen, *range(run.num_train, run.num_train + h)], checkpoint=j)
    w, value, scale = loss.w0, float(far.square().mean()), (m + 1) ** 2
    top = ln.top_eigenpairs(loss, w, m // 2, D=4, tol=1e-2)
    full = ln.full_space_table(loss, [w], [m], num_probes=4, generator=seeded(j)).at(1, sigma)
    four = ln.moment_table([ln.next_sample_models(loss, w, top.vectors, m)]).at(4, sigma)
    found = {"size": float(far.abs().mean()), "value": value,
             "full": value + scale * float(full.total - full.value),
             "top": value + scale * float(four.total - four.value),
             "residual": float(top.residuals.max() / top.values[0])}  # fmt: skip
    for part, power in (("gradient", 2), ("curvature", 4)):
        found[part] = scale * float(getattr(full, part)) / sigma**power
    return found


# %% [markdown]
# A *residual* is $|Hu - \lambda u|$, how far an eigenvector still is from being one.

# %%
stages = [difference(run, j) for j in range(len(run.consumed))]
print("residuals below 1 % of the largest eigenvalue:", max(s["residual"] for s in stages) <= 0.01)

# %% [markdown]
# ### Predict
# Between $k = 256$ and $k = 6208$ the loss falls from 2.9 to 1.6 nats. Of the three parts of
# $(k+1)^2 \Delta_2$, the **value** (how far the next loss lies from the mean), the **gradient** and the
# **curvature**: how many will be smaller at the end of that stretch, `"all"`, `"some"` or `"none"`? And
# sketch the curvature part on the way: a few points, $k$ to multiple of its size at $k = 256$.

# %% tags=["predict-parts"]
shrinks_guess = "all"
curvature_guess = {256: 1.0, 1024: 0.5, 6208: 0.2}

# %%
consumed = np.array(run.consumed[:4])  # the first pass; the last checkpoint has no new data
first_pass = {name: np.array([s[name] for s in stages[:4]]) for name in stages[0]}
delta1 = first_pass["size"] / (consumed + 1)
delta2, delta2D = (first_pass[name] / (consumed + 1) ** 2 for name in ("full", "top"))


def slope(curve, x=consumed + 1):
    """Slope on log-log axes; against k + 1, the number of samples after the increment."""
    return float(np.polyfit(np.log(x), np.log(curve), 1)[0])


# %% tags=["nbval-ignore-output"]
figure, (left, right) = plots.new_figure(2, width=4.8)
plots.curve(left, consumed, delta1, "Delta_1", color=plots.PURPLE, marker="v", label="$\\Delta_1$")
plots.curve(left, consumed, delta2, "full", label="$\\Delta_2$")
plots.curve(left, consumed, delta2D, "top", label="$\\Delta_2^{(4)}$", linestyle="--")
plots.power_law_guide(left, consumed, 2.5 * delta1[0], -1)
plots.power_law_guide(left, consumed, 2.5 * delta2[0], -2)
for part in ("value", "gradient", "curvature"):
    plots.curve(right, consumed, first_pass[part] / first_pass[part][0], part)
x = "sequences consumed, k"
plots.log_log(left, x, "criterion [nats or nats$^2$]", "Along training", ticks=consumed)
plots.log_log(right, x, "relative to k = 64", "Parts of $(k+1)^2 \\Delta_2$", ticks=consumed)
for ax in (left, right):
    ax.legend(frameon=False, loc="lower left", fontsize=9)
ratio = {p: first_pass[p].max() / first_pass[p].min() for p in ("value", "gradient", "curvature")}
late = {p: first_pass[p][-1] / first_pass[p][1] for p in ("value", "gradient", "curvature")}
plots.show(figure, f"Left: slopes {slope(delta1):.2f} for Delta_1 and {slope(delta2):.2f} for both squared "
    "criteria, which lie on top of each other. Right: without the arithmetic, the gradient and curvature parts "
    f"drop once the random start is left; from k = 256 on the value changes {late['value']:.1f}-fold, the gradient "
    f"{late['gradient']:.1f}-fold and the curvature {late['curvature']:.0f}-fold, while the loss falls.")  # fmt: skip

# %%
value, gradient, curvature = (first_pass[p] for p in ("value", "gradient", "curvature"))
print("Delta_1 falls as 1/k, not 1/k^2: slope within 0.2 of -1:", abs(slope(delta1) + 1) < 0.2)
print("squared criteria: slope within 0.3 of -2:", abs(slope(delta2) + 2) < 0.3)
print("the value is over 99 % of Delta_2 at sigma = 1e-3:",
      min(s["value"] / s["full"] for s in stages) > 0.99)  # fmt: skip
print("(k+1)^2 value stays within a factor of 3:", value.max() / value.min() < 3)
print("(k+1)^2 curvature moves more than tenfold:", curvature.max() / curvature.min() > 10)
print("from k = 256 to 6208 the curvature part grows:", curvature[-1] > 2 * curvature[1])
end = stages[-1]
print("more passes over the same data: loss down, gradient and curvature parts up:",
      learned[-1] < learned[-2], end["gradient"] > gradient[-1], end["curvature"] > curvature[-1])  # fmt: skip

# %% tags=["nbval-ignore-output"]
for part in ("value", "gradient", "curvature"):
    print(f"(k+1)^2 {part:9s}:", ", ".join(f"{s[part]:.3g}" for s in stages))
smaller = sum(bool(change < 1) for change in late.values())
reveal_choice("How many parts are smaller at k = 6208 than at 256?", shrinks_guess,
              {0: "none", 3: "all"}.get(smaller, "some"), ["all", "some", "none"])  # fmt: skip
reveal_curve("Curvature part, relative to k = 256", curvature_guess,
             consumed[1:], curvature[1:] / curvature[1], xlabel="sequences consumed, k")  # fmt: skip

# %% [markdown]
# *KG26 reports* $k^{-2}$ for all three. *Here*: the squares fall as $k^{-2}$, $\Delta_1$ as $k^{-1}$. But the
# exponents say little: they are what division by $k+1$ gives to anything that stays put. What the model
# contributes is the right panel, and there **nothing settles by itself**: once the model has left its
# random start, the value of a new sequence stays about as far from the mean as it was, and the
# curvature part grows while the loss falls, perhaps because the model begins to react to each
# sequence in particular.
#
# A control: freeze the last checkpoint and only count. Nothing can settle, because nothing is
# trained, and yet:

# %%
counts = np.geomspace(8, 1024, 10).round().astype(int)
losses = run.loss(1024).per_sample(run.weights[-1]).double()
fresh = unseen.per_sample(run.weights[-1]).double()
squares = [float(((fresh - losses[:k].mean()) / (k + 1)).square().mean()) for k in counts]
print("frozen weights: slope", f"{slope(squares, counts + 1):.1f}")

# %% [markdown]
# ## 3. The ratio to the full space (KG26 Fig. 3)
#
# KG26 divides $\Delta_2^{(D)}$ by $\Delta_2$ for several $D$ and small $\sigma$, finds ratios
# close to 1, and concludes that a few top directions carry the signal of the whole space. Every
# measurement needs a **control**, so we ask two subspaces for which nobody has argued: 16 *random*
# directions, and the *bottom*, the 4 directions of most negative curvature.
#
# The place: the end of training, $k = 4$ sequences (KG26 takes 8, of longer texts; the slider below goes
# to 8), three seeds. First the eigenvectors. The solver stops only when every residual $|Hu - \lambda u|$ is below one
# thousandth of $\lambda_1$.

# %%
D, k, ks = 16, 4, [2, 4, 8]
candidates = range(8, 8 + h)


def final_loss(run, k=8, dtype=torch.float32):
    """k training sequences, then the 6 held-out ones, at the end of training."""
    return run.loss([*range(k), *range(run.num_train, run.num_train + h)], dtype=dtype)


places = [final_loss(run) for run in runs]
tops = [ln.top_eigenpairs(place, place.w0, k, D, tol=1e-3) for place in places]
bottoms = [ln.bottom_eigenpairs(place, place.w0, k, 4, tol=5e-2) for place in places]
randoms = [ln.random_subspace(N, D, seeded(s), dtype=torch.float32) for s in range(3)]
print(
    "top residuals below 1e-3:", all(float((t.residuals / t.values[0]).max()) <= 1e-3 for t in tops)
)
print("the bottom is negative:", all(float(b.values[-1]) < 0 for b in bottoms))

# %% tags=["nbval-ignore-output"]
for t, b in zip(tops, bottoms, strict=True):
    print(f"eigenvalues {t.values[0]:.1f} ... {t.values[-1]:.1f} with {t.hvp_count} products; "
          f"bottom {b.values[0]:.1f} ... {b.values[-1]:.1f} with {b.hvp_count}")  # fmt: skip

# %% [markdown]
# ### Predict
# 16 random directions of 103 296. What ratio to the full space will they get in the raw criterion at
# $\sigma = 10^{-3}$, and what ratio when the common value is taken out (*centred*)?

# %% tags=["predict-random"]
raw_guess_random = 0.0002
centred_guess_random = 0.0002


# %%
def models(place, U, k=k):
    """The increments of the 6 next sequences on the span of U: value, gradient and Hessian."""
    return ln.next_sample_models(place, place.w0, U, k, candidates=candidates)


# %%
bases = {
    "top": [t.vectors for t in tops],
    "random": randoms,
    "bottom": [b.vectors for b in bottoms],
}
increments = {name: [models(p, U) for p, U in zip(places, group)] for name, group in bases.items()}
probes = {name: [ln.moment_table([m]) for m in group] for name, group in increments.items()}
full = [
    ln.full_space_table(p, [p.w0], [k], num_probes=6, candidates=candidates, generator=seeded(9))
    for p in places
]


def ratios(name, D, sigma, part="total"):
    """The probe's criterion over the full-space one, for each seed (bottom: D = 4 at most)."""
    return np.array([float(getattr(t.at(min(D, t.D), sigma), part) / getattr(f.at(1, sigma), part))
                     for t, f in zip(probes[name], full)])  # fmt: skip


# %% tags=["nbval-ignore-output"]
figure, (left, right) = plots.new_figure(2, width=4.8)
sigmas = np.logspace(-4, -1.5, 16)
for name in probes:
    raw = np.array([ratios(name, D, s) for s in sigmas]).T
    plots.spread(left, sigmas, raw, name, alpha=0.8, markevery=3)
    ds = range(1, probes[name][0].D + 1)
    centred = np.array([ratios(name, d, sigma, "centred") for d in ds]).T
    plots.spread(right, ds, centred, name, markevery=3)
left.set(xscale="log", ylim=(0, 1.3), xlabel="size of the probe, $\\sigma$")
left.set_ylabel("ratio to full space")
left.set_title("Raw criterion, D = 16 (bottom: 4)", fontsize=10)
plots.log_log(right, "directions in the probe, D", "ratio to full space",
              "Centred criterion, $\\sigma$ = 0.001", ticks=[1, 4, 16])  # fmt: skip
left.legend(frameon=False, loc="lower left")
c = {name: ratios(name, D, sigma, "centred").mean() for name in probes}
plots.show(figure, "Left: top, random and bottom lie on one line at 1, and leave it near the same "
    f"sigma. Right: without the common value the 16 top directions see {c['top']:.0%} of what the "
    f"whole space sees, 16 random ones {c['random']:.1e} (16/N = {16 / N:.1e}). At equal size, D = 4, the bottom "
    f"({c['bottom']:.1%}) is not far behind the top ({ratios('top', 4, sigma, 'centred').mean():.1%}).")  # fmt: skip

# %%
for s in (1e-4, 1e-3):
    worst = max(abs(ratios(name, d, s) - 1).max() for name in probes for d in (1, 4, 16))
    print(f"sigma = {s:.0e}: all raw ratios are 1 within 5e-3, whatever the probe:", worst < 5e-3)
apart = abs(ratios("top", D, 1e-3) - ratios("random", D, 1e-3)).max()
print("raw, sigma = 1e-3: top and random agree within 2e-3:", apart < 2e-3)
print("centred: top below a quarter:", ratios("top", D, sigma, "centred").max() < 0.25)
print("centred: random between 0.5 and 2 times D/N:",
      all(abs(np.log2(ratios("random", D, sigma, "centred") * N / D)) < 1))  # fmt: skip
print("centred: top over 100 times random:",
      min(ratios("top", D, sigma, "centred") / ratios("random", D, sigma, "centred")) > 100)  # fmt: skip

# %% tags=["nbval-ignore-output"]
reveal_number("Raw ratio of 16 random directions", raw_guess_random, ratios("random", D, 1e-3))
reveal_number("Centred ratio of 16 random directions", centred_guess_random,
              ratios("random", D, 1e-3, "centred"))  # fmt: skip
print("raw ratios of three seeds   D = 1               D = 4               D = 16")
for name in probes:
    for s in (1e-4, 1e-3, 1e-2):
        cells = "  ".join(" ".join(f"{r:.3f}" for r in ratios(name, d, s)) for d in (1, 4, 16))
        print(f"{name:7s} sigma = {s:.0e}:     {cells}")
noise = [float(f.curvature_stderr / f.curvature) for f in full]
print("error of the full-space curvature part:", ", ".join(f"{e:.0%}" for e in noise))

# %% [markdown]
# *KG26 reports* ratios near 1 for the top directions. *Here too*, and for random and bottom
# directions just as well: the raw ratio compares the same $a_k^2$ with itself. **It diagnoses
# nothing.** Near $\sigma = 10^{-2}$ it departs from 1 for all probes, because the whole space has by
# then a gradient and a curvature part of its own (KG26's ratio stays near 1 there; dividing by $a_k^2$
# instead of the full criterion would give such a picture). It may also exceed 1, where the cross
# term of the full criterion, $a_k \sigma^2$ times the trace, is negative.
#
# Centred, random directions drop out at last. The 16 top ones see 5 to 12 percent of the whole. But at equal
# size the bottom is not far behind: a sharply curved direction of *either sign* is better than a
# random one. Compare notebook 04, where ten directions of an MLP saw two thirds. Is there
# a better probe? Section 8 finds one.
#
# ## 4. Move D, sigma and k
#
# The same at $k$ = 2, 4 and 8, first seed, prepared once: the sliders only evaluate closed forms. The
# eigenvectors at $k = 4$ are a head start for those at 2 and 8.

# %%
place, start = places[0], tops[0].vectors
found = {j: ln.top_eigenpairs(place, place.w0, j, D, tol=2e-2, start=start).vectors for j in (2, 8)}
found[k] = start
by_k = {"top": ln.moment_table([models(place, found[j], j) for j in ks]),
        "random": ln.moment_table([models(place, randoms[0], j) for j in ks])}  # fmt: skip
whole = ln.full_space_table(
    place, [place.w0] * 3, ks, num_probes=5, candidates=candidates, generator=seeded(9)
)

# %% [markdown]
# Drag the sliders, or focus them and use the arrow keys. Try: (1) $\sigma$ from $10^{-4}$ up: which part of
# the criterion do you see on the left, and when do the raw bars leave 1? (2) D from 1 to 16: which
# bar grows? (3) $k$ from 2 to 8: does the
# centred share of "top" change?

# %% tags=["nbval-ignore-output"]
explorer = Explorer(by_k, whole, D=16, k=4)
explorer

# %% [markdown]
# *What you should see.* (1) Value and nothing else, until $\sigma$ is near $10^{-2}$. (2) The centred
# bar of "top". (3) It falls by about half from 2 to 4 and then
# hardly moves (this is one seed).

# %%
explorer.D.value = 1
with_one = explorer.ratios("centred")["top"]
explorer.D.value = 16
print("sixteen directions see more than one:", explorer.ratios("centred")["top"] > with_one)
seen = {}
for j in ks:
    explorer.k.value = j
    seen[j] = explorer.ratios("centred")["top"]
print("centred share of top at k = 2, 4, 8:", ", ".join(f"{share:.2f}" for share in seen.values()))
print(
    "the top directions' centred share stays below a quarter for every k:",
    max(seen.values()) < 0.25,
)
explorer.k.value = 4

# %% [markdown]
# ## 5. How far does the quadratic model reach? (KG26 Figs. 4 and 6)
#
# All this rests on the quadratic model of the increment, $a + c^\top z + \tfrac12 z^\top B z$. To test it we
# evaluate the true losses at probe points $w + Uz$ and compare with the model at the *same* points,
# in pairs $\pm z$ so that odd terms cancel (notebook 04, section 7). The losses are computed in
# double precision: at $\sigma = 10^{-4}$ single precision is too coarse for their differences.


# %%
def model_error(place, increments, U, sigma, d, pairs=4):
    """Relative error of the quadratic model's criterion, raw and centred, on shared points."""
    z = sigma * torch.randn(pairs, U.shape[1], generator=seeded(1), dtype=torch.float64)
    z[:, d:] = 0  # the same points, seen from fewer directions
    z = torch.cat([z, -z])
    losses = torch.stack([place.per_sample(place.w0 + U @ point) for point in z])
    true = (losses[:, k:] - losses[:, :k].mean(1, keepdim=True)) / (k + 1)
    model = increments.at(z)
    return [abs(float((true - a).square().mean() / (model - a).square().mean()) - 1)
            for a in (0.0, increments.a)]  # fmt: skip


steps = np.logspace(-4, -1, 7)
exact = [final_loss(run, k, torch.float64) for run in runs]
frames = [torch.linalg.qr(t.vectors[:, :d].double()).Q for t, d in zip(tops, (D, 4, 4))]
doubles = [ln.next_sample_models(p, p.w0, U, k) for p, U in zip(exact, frames)]
errors = np.array([[model_error(p, m, U, s, 4) for s in steps]
                   for p, m, U in zip(exact, doubles, frames)])  # fmt: skip

# %% [markdown]
# And over the size of the subspace as well, KG26's Fig. 6, for the first seed:

# %%
dims = [1, 4, 16]
grid = np.array([
    [model_error(exact[0], doubles[0], frames[0], s, d) for s in steps] for d in dims
])  # fmt: skip

# %% tags=["nbval-ignore-output"]
figure, (left, right) = plots.new_figure(2, width=5.0)
plots.spread(left, steps, errors[:, :, 0], "top", label="raw")
plots.spread(left, steps, errors[:, :, 1], "Jacobian", label="centred")
plots.log_log(
    left, "size of the probe, $\\sigma$", "relative error", "Quadratic model, D = 4 (Fig. 4)"
)
local = steps[(errors[:, :, 1] < 0.1).all(0)].max()
left.set_xlim(8e-5, 1.2e-1)
left.axvspan(8e-5, local, color=plots.SKY, alpha=0.2, linewidth=0)
left.axhline(0.1, color=plots.GREY, linewidth=0.8)
left.legend(frameon=False, loc="lower right")
labels = [f"{s:.0e}".replace("e-0", "e-") for s in steps]
plots.number_map(right, labels, [str(d) for d in dims], 100 * grid[:, :, 1], "{:.2g}")
right.set(xlabel="size of the probe, $\\sigma$", ylabel="directions in the probe, D")
right.set_title("Centred error in percent (Fig. 6)", fontsize=10)
plots.show(figure, f"Left: the raw error is small because the value hides it; the centred one stays below 10 % up "
    f"to about sigma = {local:.0e} (shaded: the local regime, by the data). Right: the error grows with "
    "sigma, and at large sigma with the number of directions too.")  # fmt: skip

# %%
first = (steps > 2e-4) & (steps < 2e-2)
for name, part in (("raw", 0), ("centred", 1)):
    found = [slope(e[first, part], steps[first]) for e in errors]
    print(f"{name} error: fitted power of sigma above 1, every seed:", min(found) > 1)
print(
    "centred below 2 % up to sigma = 1e-3, every seed:", errors[:, steps <= 1.1e-3, 1].max() < 0.02
)
print("centred over 10 % at sigma = 0.1, every seed:", errors[:, -1, 1].min() > 0.1)
print("the raw error is smaller than the centred one up to sigma = 1e-3:",
      (errors[:, steps <= 1.1e-3, 0] < errors[:, steps <= 1.1e-3, 1]).all())  # fmt: skip

# %% [markdown]
# *KG26 reports* small errors of the raw criterion in a local regime. *Here too*, but the raw
# error says little about the model, because the value $a_k^2$, which both sides share, is nearly
# all of it. The centred error is the honest measure.
#
# ## 6. Three estimators, one number (KG26 Fig. 5)
#
# The criterion can be estimated in three ways: **direct** Monte Carlo (evaluate the losses at $S$ random
# points), **quadratic** Monte Carlo (evaluate the model $a + c^\top z + \tfrac12 z^\top B z$ at $S$ points), and
# the **Gaussian moment**, the exact mean of the quadratic model. The second converges to the
# third like $1/\sqrt S$; the first up to the error of the quadratic model, which is far smaller than
# the noise at this $\sigma$. (One band in twenty may miss by chance.) Top 16 directions, $\sigma = 10^{-3}$, five seeds of the random points; raw on the
# left, centred on the right.

# %%
S = 64
moment = ln.gaussian_moment(increments["top"][0], sigma)
targets = {"raw": float(moment.total.mean()), "centred": float(moment.centred.mean())}
a, near = increments["top"][0].a, final_loss(run, k)


# %%
def draws(seed, direct):
    """S squared increments, averaged over next sequences; raw and centred, each (S,)."""
    z = sigma * torch.randn(S, D, generator=seeded(seed))
    if direct:
        at = torch.stack([near.per_sample(near.w0 + tops[0].vectors @ point) for point in z])
        values = (at[:, k:] - at[:, :k].mean(1, keepdim=True)) / (k + 1)
    else:
        values = increments["top"][0].at(z)
    return {
        "raw": values.square().mean(1).numpy(),
        "centred": (values - a).square().mean(1).numpy(),
    }


sampled = {name: [draws(seed, name == "direct") for seed in range(5 * offset, 5 * offset + 5)]
           for offset, name in enumerate(("direct", "quadratic"))}  # fmt: skip


# %%
sizes = np.array([5, 10, 20, 40, 80, 160, 5 * S])


def convergence(name, part):
    """Average of the first draws over the Gaussian moment, and its standard error, for each size."""
    pool = np.stack([d[part] for d in sampled[name]], axis=1).ravel() / targets[part]
    means = [pool[:size].mean() for size in sizes]
    return np.array(means), np.array([pool[:size].std(ddof=1) / size**0.5 for size in sizes])


# %% tags=["nbval-ignore-output"]
figure, axes = plots.new_figure(2, width=4.8)
for ax, part in zip(axes, targets):
    for name, look in (("direct", "top"), ("quadratic", "random")):
        mean, error = convergence(name, part)
        plots.band(ax, sizes, mean, 2 * error, look, label=f"{name} Monte Carlo")
    ax.axhline(1, color=plots.BLACK, linewidth=1, label="Gaussian moment")
    ax.set(xscale="log", xlabel="draws S, five seeds together", ylabel="estimate / Gaussian moment")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    ax.set_title(f"{part} criterion", fontsize=10)
    ax.legend(frameon=False, loc="upper right", fontsize=8)
last = {part: 2 * convergence("direct", part)[1][-1] for part in targets}
plots.show(figure, "Both kinds of Monte Carlo close in on the closed form; the bands are two standard errors wide. "
    f"After {sizes[-1]} draws they reach {last['raw']:.0e} of the raw criterion (left: nearly all of it is the value, "
    f"which has no noise), but {last['centred']:.0%} of the centred one (right), the part that the probe adds.")  # fmt: skip

# %%
for part in targets:
    for name in sampled:
        mean, error = convergence(name, part)
        print(f"{part}, {name}: within 4 standard errors of the closed form:",
              bool(abs(mean[-1] - 1) < 4 * error[-1]))  # fmt: skip
print("the raw criterion has at least ten times less noise:", last["raw"] < last["centred"] / 10)

# %% [markdown]
# ## 7. What it costs (KG26 Table 3)
#
# KG26 reports that the Gaussian moment is "18 000 times faster" than direct Monte Carlo (2.2 s against
# $1.2 \cdot 10^{-4}$ s). That is true *after* the eigenvectors are there, and they took 17.5 s. (A
# third number, 1.8 s, we take to be the projected derivatives.) Five
# seeds of the solver's start and of the random points, $k = 4$, $D$ = 4, $S$ = 50, one next sequence:


# %%
def stage_times(seed):
    """Seconds for eigenvectors, projected derivatives, direct and quadratic Monte Carlo, moment."""
    marks, place = [time.perf_counter()], places[0]
    top = ln.top_eigenpairs(place, place.w0, k, 4, tol=1e-3, generator=seeded(seed))
    marks.append(time.perf_counter())
    model = ln.increment_model(place, place.w0, top.vectors, k)
    marks.append(time.perf_counter())
    ln.delta2_subspace(place, place.w0, top.vectors, k, sigma, 50, seeded(seed))
    marks.append(time.perf_counter())
    ln.quadratic_mc(model, sigma, 50, seeded(seed))
    marks.append(time.perf_counter())
    ln.gaussian_moment(model, sigma)
    return np.diff([*marks, time.perf_counter()])


seconds = np.array([stage_times(seed) for seed in range(5)])

# %% tags=["nbval-ignore-output"]
stages_of_work = {"top-4 eigenvectors": "17.5 s (D = 45)", "a, c, B by 8 products": "1.8 s (?)",
                  "direct Monte Carlo": "2.2 s", "quadratic Monte Carlo": "",
                  "Gaussian moment": "1.2e-4 s"}  # fmt: skip
print("stage                    mean s    std     KG26, 107 million parameters, GPU")
for name, times in zip(stages_of_work, seconds.T):
    print(f"{name:22s} {times.mean():8.1e} {times.std(ddof=1):8.0e}  {stages_of_work[name]}")

# %%
mean = seconds.mean(0)
print("the closed form is over 100 times faster than direct Monte Carlo:", mean[4] < mean[2] / 100)
print("the eigenvectors are the most expensive stage:", mean.argmax() == 0)

# %% [markdown]
# ## 8. Which probe carries the increment?
#
# In section 3 the top 16 directions saw a few percent of the centred criterion, hundreds of times more
# than random ones but far from all. What would a better probe be? The increment has a gradient
# $\nabla I$ and a Hessian $A = (H_{k+1} - H^{(k)})/(k+1)$ of its own, where $H_{k+1}$ is the Hessian of
# the next sequence alone. For a subspace $U$ we ask which part of them it captures,
#
# $$\frac{|U^\top \nabla I|^2}{|\nabla I|^2} \qquad\text{and}\qquad \frac{\|U^\top A U\|_F^2}{\|A\|_F^2},$$
#
# where $\|A\|_F^2$ is the sum of all squared entries. Five candidates: **top** and **random** as before;
# the **gradient** of the next sequence, a single direction that costs one backward pass; the top
# of the **next** sequence's own Hessian; and the increment's **own** directions of largest
# $|\text{eigenvalue}|$, which no others can beat in curvature. Each has four directions, but the gradient is
# one. We take the hardest of the 6 held-out sequences; hard ones carry most of the criterion.
#
# $A$ has $10^{10}$ entries. Its size is measured, not written down: exactly within the five
# subspaces, by eight random directions outside (`captured_energy`).


# %%
def captured(place, top, random):
    """Energies of the hardest next sequence's increment, whole and in five subspaces."""
    w = place.w0
    hardest = candidates.start + int(place.per_sample(w, candidates).argmax())

    def gradient(i):
        g = place.gradient(w, range(i, i + 1))
        return (g / g.norm())[:, None]

    def own(i):
        return ln.increment_eigenpairs(place, w, k, 4, tol=1e-2, candidate=i).vectors

    def next_top(i):
        return ln.top_eigenpairs(place, w, range(i, i + 1), 4, tol=1e-2).vectors

    bases = {"top": top, "random": random, "gradient": gradient, "next": next_top, "own": own}
    return ln.captured_energy(place, w, k, bases, [hardest], num_probes=8, generator=seeded(3))


# %%
energies = [captured(p, t.vectors[:, :4], r[:, :4]) for p, t, r in zip(places, tops, randoms)]
names = ["top", "random", "gradient", "next", "own"]
shares = np.array([[e[name].share_of(e["whole"]) for name in names] for e in energies])

# %% tags=["nbval-ignore-output"]
figure, ax = plots.new_figure(width=6.4)
bars = {"gradient": shares[:, :, 0].mean(0), "curvature": shares[:, :, 1].mean(0)}
plots.grouped_bars(ax, names, bars, "captured share")
ax.set(ylim=(0, 1.2))
ax.set_title("Who captures the increment's gradient and curvature? k = 4", fontsize=10)
means = {name: shares[:, j].mean(0) for j, name in enumerate(names)}
plots.show(figure, f"One direction, the next sequence's gradient, captures {means['gradient'][0]:.0%} of the "
    f"increment's gradient and none of its curvature; 4 top directions of the old Hessian {means['top'][0]:.0%}, random ones nothing. Of the "
    f"curvature the increment's own 4 directions hold {means['own'][1]:.0%}, the next sequence's "
    f"{means['next'][1]:.0%}, the old top {means['top'][1]:.0%}: it is spread over many directions.")  # fmt: skip

# %%
top, random, gradient, next_top, own = shares.transpose(1, 2, 0)  # (part, seed) for each probe
print(
    "the next sequence's gradient captures over 70 % of the increment's:", gradient[0].min() > 0.7
)
print("more than the 4 top directions do, every seed:", (gradient[0] > top[0]).all())
print("the top directions more than random ones:", (top[0] > 10 * random[0]).all())
print("curvature: own 4 hold the most, every seed:",
      all((own[1] >= other[1]).all() for other in (top, random, gradient, next_top)))  # fmt: skip
print("curvature: the next sequence's top 4 beat the old top 4:", (next_top[1] > top[1]).all())
print("random holds under 0.1 % of either:", random.max() < 1e-3)

# %% tags=["nbval-ignore-output"]
for name, share in zip(names, shares.transpose(1, 2, 0)):
    seeds_of = ["  ".join(f"{x:.3f}" for x in part) for part in share]
    print(f"{name:9s} gradient {seeds_of[0]}   curvature {seeds_of[1]}   (three seeds)")
errors_of = [float((e["whole"].curvature_stderr / e["whole"].curvature).max()) for e in energies]
print("standard error of the whole curvature:", ", ".join(f"{e:.1%}" for e in errors_of))

# %% [markdown]
# Here is why. $\nabla I = (\nabla l_{k+1} - \nabla L_k)/(k+1)$, and after training a single sequence's gradient is
# larger than the mean one, so it makes up most of the difference: most clearly for the hardest
# sequence, which is shown here, less for easy ones. To see how the *slope* changes, look where the new
# sequence itself pulls; it costs one backward pass and no eigensolver. That direction sees almost
# nothing of the *curvature*, but at small $\sigma$ the gradient part rules the centred criterion. The
# top eigenspace of the old Hessian knows only the sequences already seen.
#
# ## 9. Verdicts
#
# | KG26 | reported | seen here |
# |---|---|---|
# | Fig. 2 | $\Delta_1$, $\Delta_2$, $\Delta_2^{(D)}$ fall as $k^{-2}$ | squares do, $\Delta_1$ as $k^{-1}$: the arithmetic of a mean. What is left does not vanish; the curvature part even grows after $k = 256$ |
# | Fig. 3 | ratio to the full space near 1 for few directions | holds for random and bottom directions too; centred: 16 top directions 5 to 12 %, random $D/N$; 4 bottom ones not far behind 4 top ones |
# | Fig. 4 | small error of the quadratic model in a local regime | holds for the raw criterion, because of the common value; the centred error is the honest one |
# | Fig. 5 | Monte Carlo converges to the Gaussian moment | holds |
# | Fig. 6 | error over $\sigma$ and $D$ | grows with $\sigma$ overall (on 8 points single steps may go back), from $10^{-2}$ on also with $D$ |
# | Table 3 | closed form thousands of times faster | holds after the eigenvectors, which cost most |

# %% [markdown] tags=["exercises"]
# ## 10. Exercises
#
# This part stands on its own: after a break, start here with the next cell. Write each answer in
# place of `raise NotImplementedError()`, run it, and run the folded cell below it (the three dots). Its
# **public check** says what is wrong, without giving the answer away. When you are done, compare with
# [the solutions](solutions/07_transformer.ipynb).
#
# Four answers in code lead from the loss of one sequence to a probe of your own design; the fifth is in
# words.

# %%
from functools import cache

import numpy as np
import torch
from scipy.optimize import brentq

import landscape_nb as ln
from landscape_nb import plots
from landscape_nb.course import check, check_properties
from landscape_nb.pretraining import pretrained

torch.set_num_threads(1)


# %%
def drawn(*shape, seed=0):
    """Random numbers, the same ones each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


teacher = pretrained()[0]  # a trained transformer
num_consumed, next_ones = 4, range(4, 10)  # 4 sequences consumed, 6 held out as the next one
numbers = [*range(num_consumed), *range(teacher.num_train, teacher.num_train + 6)]
text_loss = teacher.loss(numbers)  # at the end of training
w_end = text_loss.w0
print("parameters N:", len(w_end), " sequences:", text_loss.num_samples)

# %% [markdown]
# **1. The loss of a sequence.** A *sample* is a sequence of $T$ characters. At each position the model gives
# $M$ numbers, the *logits*; their softmax is its probability for each of the $M$ characters to come next. The
# sample's loss is the mean over its positions of $-\ln p$, where $p$ is the probability that the character which does come
# next was given. Everything in this notebook needs the losses one by one, one for each sequence.


# %% tags=["answer-1"]
def sequence_losses(logits, targets):
    """Nats, (n,), from logits (n, T, M) and the characters that came next, targets (n, T)."""
    ### BEGIN SOLUTION
    log_p = logits.log_softmax(-1)
    return -log_p.gather(-1, targets[:, :, None])[:, :, 0].mean(-1)
    ### END SOLUTION


# %% jupyter={"source_hidden": true}
def by_torch(logits, targets):
    """The right losses, by PyTorch's own function."""
    per_character = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="none"
    )
    return per_character.view(targets.shape).mean(1)


def picked(values, targets):
    """The entry of each position's target."""
    return torch.gather(values, -1, targets[:, :, None])[:, :, 0]


cases_1 = [
    {"logits": 2 * drawn(n_1, T_1, 7, seed=T_1), "targets": torch.arange(n_1 * T_1).view(n_1, T_1) % 7}
    for n_1, T_1 in ((3, 4), (2, 7), (1, 2))
]  # fmt: skip

# %% tags=["check-1", "points-1"]
hints = {
    "Is it the mean over the positions, or their sum?": (
        lambda logits, targets: by_torch(logits, targets) * targets.shape[1]
    ),
    "Nats are asked for: which logarithm is that?": (
        lambda logits, targets: by_torch(logits, targets) / np.log(2)
    ),
    "Logits are not yet logarithms of probabilities: do the probabilities sum to 1?": (
        lambda logits, targets: -picked(logits, targets).mean(1)
    ),
    "Over which axis must the probabilities sum to 1?": (
        lambda logits, targets: -picked(logits.log_softmax(1), targets).mean(1)
    ),
    "The mean of the logarithms, or the logarithm of the mean?": (
        lambda logits, targets: -picked(logits.softmax(2), targets).mean(1).log()
    ),
}
check("1", sequence_losses, by_torch, cases_1, hints)

# %% tags=["hidden-1", "points-2"]
import numpy as np_1
import torch as torch_1

draws_1 = np_1.random.default_rng(1)
for n_1, T_1, M_1 in ((4, 6, 5), (1, 3, 2), (2, 1, 9)):
    logits_1 = draws_1.normal(size=(n_1, T_1, M_1)) * 3
    targets_1 = draws_1.integers(M_1, size=(n_1, T_1))
    found_1 = sequence_losses(torch_1.tensor(logits_1), torch_1.tensor(targets_1))
    found_1 = torch_1.as_tensor(found_1).double().numpy()
    assert found_1.shape == (n_1,), f"needed is one loss for each of {n_1} sequences"
    for i_1 in range(n_1):
        total_1 = 0.0
        for position_1, target_1 in zip(logits_1[i_1], targets_1[i_1]):
            total_1 -= np_1.log(np_1.exp(position_1[target_1]) / np_1.exp(position_1).sum())
        told_1 = f"wrong for other logits: n = {n_1}, T = {T_1}, M = {M_1}"
        assert abs(found_1[i_1] - total_1 / T_1) < 1e-10, told_1
own_1 = {"by_torch"} & set(sequence_losses.__code__.co_names)
assert not own_1, "write the losses yourself, without the check's function"

# %% [markdown]
# **2. The shadow of a vector.** Sections 3 and 8 ask which share of a vector $g$ a subspace holds: the squared
# length of the *shadow* of $g$ on it (its orthogonal projection), divided by $|g|^2$. Write it for a subspace that is given by any
# independent columns, not only by orthonormal ones. Never build an $N \times N$ matrix: for the transformer
# it would need 43 GB.
#
# The check then draws which share of a held-out sequence's gradient some subspaces hold. This is the picture to
# expect:
#
# ![Shares over the dimension D on logarithmic axes, from 1 to 16. Three sets of points, one for each random draw, scatter around a rising straight line, which is marked D / N. They stay below a thousandth. Far above them lie the points of the top directions, for D up to 4.](pictures/exercise-07-2.png)


# %% tags=["answer-2"]
def captured_share(V, g):
    """Share of |g|^2 in the span of the columns of V, a number; V (N, D), g (N,), D < N."""
    ### BEGIN SOLUTION
    Q = torch.linalg.qr(V).Q  # orthonormal columns with the same span
    return (Q.T @ g).square().sum() / g.square().sum()
    ### END SOLUTION


# %% jupyter={"source_hidden": true}
def by_least_squares(V, g):
    shadow = V @ torch.linalg.lstsq(V, g[:, None]).solution[:, 0]
    return (shadow.norm() / g.norm()) ** 2


skew = drawn(6, 3) @ torch.tensor([[3.0, 1, 0], [0, 1, 1], [0, 0, 0.5]], dtype=torch.float64)
cases_2 = [
    {"V": torch.eye(6, dtype=torch.float64)[:, :2], "g": drawn(6, seed=1)},
    {"V": skew, "g": drawn(6, seed=2)},
    {"V": skew[:, :1], "g": 5 * drawn(6, seed=3)},
]
# %% jupyter={"source_hidden": true}
hints_2 = {
    "Right where the columns are orthonormal. Are they, always?": (
        lambda V, g: (V.T @ g).square().sum() / g.square().sum()
    ),
    "The columns have length 1 now, but are they perpendicular to each other?": (
        lambda V, g: ((V / V.norm(dim=0)).T @ g).square().sum() / g.square().sum()
    ),
    "That is the squared length of the shadow. How long is g?": (
        lambda V, g: by_least_squares(V, g) * g.square().sum()
    ),
    "That is the part of g outside the subspace.": lambda V, g: 1 - by_least_squares(V, g),
}

# %% tags=["check-2", "points-1", "picture-exercise-07-2", "nbval-ignore-output"]
check("2", captured_share, by_least_squares, cases_2, hints_2)
pull = text_loss.gradient(w_end, range(8, 9))  # of a held-out sequence
sharp = ln.top_eigenpairs(text_loss, w_end, num_consumed, 4, tol=2e-2).vectors
figure, ax = plots.new_figure(width=5.6)
sizes = [1, 2, 4, 8, 16]
plots.curve(ax, sizes, [d / len(w_end) for d in sizes], "total", marker=None, label="D / N")
for seed in range(3):
    V = ln.random_subspace(len(w_end), 16, torch.Generator().manual_seed(seed), dtype=torch.float32)
    shares = [float(captured_share(V[:, :d], pull)) for d in sizes]
    plots.curve(ax, sizes, shares, "random", linestyle="", label=None if seed else "random")
by_top = [float(captured_share(sharp[:, :d], pull)) for d in sizes[:3]]
plots.curve(ax, sizes[:3], by_top, "top")
plots.log_log(ax, "dimension D", "share of $|g|^2$", "Exercise 2", ticks=sizes)
ax.legend(frameon=False)
plots.show(
    figure,
    f"Random directions hold D / N, on average. The 4 top ones hold {by_top[-1]:.1%}: little, "
    f"and {by_top[-1] * len(w_end) / 4:.0f} times as much as 4 random ones.",
)

# %% tags=["hidden-2", "points-2"]
import numpy as np_2
import torch as torch_2

draws_2 = np_2.random.default_rng(2)
for N_2, D_2 in ((5, 1), (8, 3), (40, 12)):
    V_2, g_2 = draws_2.normal(size=(N_2, D_2)), draws_2.normal(size=N_2)
    V_2[:, 0] *= 7.0
    V_2[:, -1] += V_2[:, 0]
    found_2 = float(captured_share(torch_2.tensor(V_2), torch_2.tensor(g_2)))
    inside_2 = float(captured_share(torch_2.tensor(V_2), torch_2.tensor(V_2.sum(1))))
    shadow_2 = V_2 @ (np_2.linalg.pinv(V_2) @ g_2)
    told_2 = f"wrong for columns of any lengths and angles: N = {N_2}, D = {D_2}"
    assert abs(found_2 - (shadow_2 @ shadow_2) / (g_2 @ g_2)) < 1e-10, told_2
    assert abs(inside_2 - 1) < 1e-10, "wrong for a g that lies in the subspace"
own_2 = {"by_least_squares"} & set(captured_share.__code__.co_names)
assert not own_2, "write the share yourself, without the check's function"

# %% [markdown]
# **3. When does the probe see more than the value?** Around $w$ the raw criterion is
#
# $$\Delta_2(\sigma) = v + p\,\sigma^2 + q\,\sigma^4 ,$$
#
# with the value $v = a_k^2$, the gradient and cross parts in $p$, and the curvature part in $q$. (The cross part can
# be negative, so $p$ can be, too; $v$ and $q$ are positive.) At small $\sigma$ the value is nearly all of it, and
# the ratio of a probe to the full space diagnoses nothing. From which $\sigma$ on is the value *less than half* of the
# criterion? Find a formula. Guess first: $10^{-3}$, as in the notebook, or more?


# %% tags=["answer-3"]
def half_value_sigma(v, p, q):
    """The sigma > 0 at which v is half of v + p sigma^2 + q sigma^4; v > 0, q > 0, a number."""
    ### BEGIN SOLUTION
    # the other half: q s^2 + p s = v with s = sigma^2, whose positive root is wanted
    s = (-p + np.sqrt(p**2 + 4 * q * v)) / (2 * q)
    return np.sqrt(s)
    ### END SOLUTION


# %% jupyter={"source_hidden": true}
def by_search(v, p, q):
    """The same by trying out values of sigma."""
    return brentq(lambda x: v / (v + p * x**2 + q * x**4) - 0.5, 1e-6, 1e3, xtol=1e-14, rtol=1e-12)


def root(x):
    return np.sqrt(max(x, 0.0))


table_3 = ((1.0, 2.0, 8.0), (0.5, 4.0, 0.25), (2.0, -1.0, 3.0), (0.004, 0.02, 1500.0))
cases_3 = [{"v": v, "p": p, "q": q} for v, p, q in table_3]

# %% tags=["check-3", "points-1", "nbval-ignore-output"]
hints = {
    "Does the term with sigma^4 count?": lambda v, p, q: root(v / p),
    "Does the term with sigma^2 count?": lambda v, p, q: root(root(v / q)),
    "When the value is one half, how large is the other half?": (
        lambda v, p, q: by_search(v / 2, p, q)
    ),
    "That is where value and total differ by a factor of 3. Half, not a third.": (
        lambda v, p, q: by_search(2 * v, p, q)
    ),
}
check("3", half_value_sigma, by_search, cases_3, hints)

whole = ln.full_space_table(
    text_loss, [w_end], [num_consumed], num_probes=4, candidates=next_ones,
    generator=torch.Generator().manual_seed(9),
).at(1, 1.0)  # fmt: skip
p = float(whole.gradient + whole.cross)
half = half_value_sigma(float(whole.value), p, float(whole.curvature))
print(f"the transformer: half at sigma = {half:.3f}, by the quadratic model")

# %% tags=["hidden-3", "points-2"]
for sigma_3, p_3, q_3 in ((0.7, 3.0, 2.0), (1.5, -2.0, 5.0), (0.03, 0.5, 4e3), (2.0, 6.0, 0.01)):
    v_3 = p_3 * sigma_3**2 + q_3 * sigma_3**4  # so that sigma_3 is right, by construction
    found_3 = float(half_value_sigma(v_3, p_3, q_3))
    assert abs(found_3 / sigma_3 - 1) < 1e-7, f"wrong for v = {v_3:.3g}, p = {p_3}, q = {q_3}"
own_3 = {"by_search", "brentq"} & set(half_value_sigma.__code__.co_names)
assert not own_3, "find a formula, without a search"

# %% [markdown]
# (Section 5 says whether to believe the model so far out: its centred error exceeds 10 % there. The answer
# belongs to the model, not to the transformer.)
#
# **4. Design a probe.** Four top directions hold one percent or so of the gradient of an increment
# $I_k = L_{k+1} - L_k$, and the next sequence's own gradient holds most of it, not all. Find a better probe: **at most as many
# directions as there are candidates for the next sequence**, which together hold 99.9 % of the squared gradient of the increment
# for *each* of the candidates. You may call `loss.gradient(w, k)`, the gradient of the mean of the first
# $k$ samples, `loss.gradient(w, range(i, i + 1))`, that of sample $i$ alone (both of shape $(N,)$),
# `ln.top_eigenpairs(loss, w, k, D).vectors`, and all of `torch.linalg`.
#
# The check draws your probe beside four top directions. This is the
# picture to expect:
#
# ![Pairs of bars for six held-out sequences. The bars of your probe all reach 1.00. Those of the 4 top directions are hardly to be seen: 0.00 to 0.02, as the numbers on them say.](pictures/exercise-07-4.png)


# %% tags=["answer-4"]
def design_probe(loss, w, k, candidates):
    """Orthonormal columns U, (N, D), for a range of candidates (sample numbers, from 0)."""
    ### BEGIN SOLUTION
    # I_k = (l_{k+1} - L_k)/(k + 1): each increment's gradient is a difference of two others
    mean = loss.gradient(w, k)
    differences = [loss.gradient(w, range(i, i + 1)) - mean for i in candidates]
    return torch.linalg.qr(torch.stack(differences, dim=1)).Q
    ### END SOLUTION


# %% jupyter={"source_hidden": true}
@cache
def squared_gradients():
    """|grad I|^2 for each of the six candidates, (6,)."""
    generator = torch.Generator().manual_seed(1)
    one = ln.random_subspace(len(w_end), 1, generator, dtype=torch.float32)
    return ln.captured_energy(
        text_loss, w_end, num_consumed, {"one": one}, next_ones, num_probes=2, generator=generator
    )["whole"].gradient


def gradient_shares(U):
    """Share of each increment's squared gradient on the span of U, (6,)."""
    models = ln.next_sample_models(text_loss, w_end, U, num_consumed, candidates=next_ones)
    return models.c.square().sum(1) / squared_gradients()


# %% jupyter={"source_hidden": true}
required = {
    "a tensor with N rows and a column for each direction": (
        lambda U: U.ndim == 2 and len(U) == len(w_end)
    ),
    "at most 6 directions, one for each candidate": lambda U: U.shape[1] <= 6,
    "orthonormal columns": (
        lambda U: torch.allclose(U.T @ U, torch.eye(U.shape[1], dtype=U.dtype), atol=1e-4)
    ),
    "99.9 % of the increment's squared gradient, for each candidate (what does I_k consist of?)": (
        lambda U: gradient_shares(U).min() > 0.999
    ),
}
arguments = {"loss": text_loss, "w": w_end, "k": num_consumed, "candidates": next_ones}

# %% tags=["check-4", "points-1", "picture-exercise-07-4", "nbval-ignore-output"]
check_properties("4", design_probe, required, arguments)
ours = gradient_shares(design_probe(**arguments))
top_four = ln.top_eigenpairs(text_loss, w_end, num_consumed, 4, tol=2e-2).vectors
theirs = gradient_shares(top_four)
figure, ax = plots.new_figure(width=6.2)
bars = {"your probe": ours.numpy(), "4 top directions": theirs.numpy()}
plots.grouped_bars(ax, [f"{i}" for i in range(1, 7)], bars, "share of the squared gradient")
ax.set(ylim=(0, 1.4), xlabel="held-out sequence")
plots.show(
    figure,
    f"Where it holds least, your probe has {ours.min():.1%} of an increment's squared gradient; the "
    f"4 top directions, where they hold most, {theirs.max():.1%}.",
)

# %% tags=["hidden-4", "points-3"]
import torch as torch_4
from landscape_nb.pretraining import pretrained as pretrained_4

run_4 = pretrained_4()[1]
rows_4 = [*range(3), *range(run_4.num_train, run_4.num_train + 5)]
loss_4, net_4, g_4 = run_4.loss(rows_4, checkpoint=0), run_4.model(0), []
U_4 = torch_4.as_tensor(design_probe(loss_4, loss_4.w0, 3, range(3, 8))).detach().double()
assert U_4.ndim == 2 and len(U_4) == len(loss_4.w0), "U needs N rows, and a column per direction"
assert U_4.shape[1] <= 5, "more directions than candidates"
one_4 = torch_4.eye(U_4.shape[1]).double()
assert torch_4.allclose(U_4.T @ U_4, one_4, atol=1e-4), "the columns are not orthonormal"
for places_4 in ([0, 1, 2], *([0, 1, 2, i] for i in range(3, 8))):  # by plain differentiation
    text_4 = run_4.sequences[[rows_4[i] for i in places_4]]
    log_p_4 = net_4(text_4[:, :-1]).log_softmax(-1)
    mean_4 = -log_p_4.gather(-1, text_4[:, 1:, None]).mean()
    parts_4 = torch_4.autograd.grad(mean_4, [*net_4.parameters()])
    g_4.append(torch_4.cat([part.flatten() for part in parts_4]).double())
shares_4 = [(U_4.T @ (g - g_4[0])).norm() / (g - g_4[0]).norm() for g in g_4[1:]]
assert min(shares_4) ** 2 > 0.999, "misses a part of an increment's gradient, for another model"

# %% [markdown]
# **5. In words.** KG26 measures four stages: the top eigenvectors take 17.5 s, the projected derivatives 1.8 s
# (as we read it), direct Monte Carlo 2.2 s and the closed form $1.2 \cdot 10^{-4}$ s. It concludes that the closed
# form is 18 000 times faster than Monte Carlo. Compare the two *whole* ways to one number
# $\Delta_2^{(D)}$, and then to a curve of it over 100 values of $\sigma$: how many times faster is the closed form
# each time? And what would you want to know about the two results before you call the times comparable?
# Four to six sentences.

# %% [markdown] tags=["manual-5", "points-3"]
# ### BEGIN SOLUTION
# Both ways need the eigenvectors. For one number, direct Monte Carlo takes $17.5 + 2.2 = 19.7$ s and
# the closed form $17.5 + 1.8 + 0.0001 = 19.3$ s: a factor of 1.02, that is, none. For 100 values of $\sigma$
# eigenvectors and derivatives are computed once, direct Monte Carlo a hundred times: $17.5 + 220 = 237.5$ s
# against $19.3$ s, a factor of 12. The 18 000 is the ratio of the last steps alone, $2.2 / 0.00012$; a limit
# that only very many values of $\sigma$ on one and the same subspace would approach. Times can be compared at
# equal accuracy only: what was the number of draws $S$, and the standard error that it left? (Twice the
# accuracy takes four times the draws.) And how large is the closed form's own error, that of the quadratic
# model, at this $\sigma$? It has no noise, but that is not the same as being right.
#
# *Rubric.* One point each: the eigenvectors belong to both ways, factor near 1 for one number; for 100
# values of $\sigma$ about 12, because eigenvectors and derivatives are shared; accuracy: number of
# draws or standard error on one side, error of the quadratic model on the other.
# ### END SOLUTION

# %% [markdown]
# ## Save your work
#
# The first button packs your answers and predictions, of this notebook and of the others, into
# `my_work.zip`. The second one brings them back, for example in a new Binder session.

# %%
SaveMyWork()

# %% [markdown]
# ## 11. What to doubt
#
# * One architecture of 100 thousand parameters, one text, three seeds; KG26's model is a thousand times larger. At
#   that size a step of $\sigma = 10^{-3}$ in every direction is thirty times longer
#   ($\sigma\sqrt N \approx 10$ instead of 0.3), and trace terms may matter that do not matter here. We did not measure it.
# * Section 2 follows one training, with a learning rate that rises and falls. Its first checkpoint is four
#   steps old. Other schedules would draw other curves in the right panel.
# * "The next sequence" comes from the same manual as the training text, and is one of 6, where
#   derivatives are asked for. A different 6 moves the averages, by tens of percent and sometimes by a factor of 2.
# * $k = 4$ sequences make a poor mean: $H^{(4)}$ is mostly the curvature of four particular texts. KG26 uses
#   8; more costs more time. The slider shows how the top directions' share depends on $k$.
# * ReLU$^2$ has a second derivative that jumps at zero. The Hessian is exact between the jumps.

# %% [markdown]
# **Next:** [08 Spectral exponents](08_spectral_exponents.ipynb) looks at curvature layer by layer;
# [09 Your model](09_your_model.ipynb) asks all of this about a model of your own. Back to
# [the map](00_start_here.ipynb).

# %% tags=["nbval-ignore-output"]
print(cost.line(120, 1500))
