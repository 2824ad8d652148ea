# %% [markdown]
# # 00 Start here
#
# **A label costs 1 euro. You have 300 labelled samples. Buy more?** It depends on what the next one
# would still change. Here a line is fitted to a few points. **Add one: click into the left picture, far
# from the line, then press *Take it in*.** What becomes of the bowl in the middle?

# %% jupyter={"source_hidden": true}
# The first picture. To see its code, click on the three dots or the bar at the left.
import torch

from landscape_nb.problems.toys import noisy_line
from landscape_nb.widgets import OneMoreSample

generator = torch.Generator().manual_seed(28)
x, y = noisy_line(120, noise=0.7, generator=generator)
OneMoreSample(x, y, k=3, curve=False)

# %% [markdown]
# ## What you are looking at
#
# - **Left: the data.** The points so far, the next one, and the best line before and after it joins. A
#   line has two **parameters**, its slope $w_1$ and its offset $w_2$. Training finds the best two.
# - **Middle: the loss landscape.** Each place is one line: so much slope, so much offset. Its height is
#   how badly this line does, on average over the points so far. The contours are drawn like those of
#   hills on a hiking map. The lowest place, the cross, is the best line: the **minimiser**. Solid is
#   before, dashed is after.
# - **Right: the change.** How much the height of each place changes when the next point joins, squared.
#   Bright means much, on a logarithmic scale. In the dark furrow nothing changes: there the new point
#   does as well as the points so far do on average. The sentence above gives the average over this
#   picture, the *mean squared change in the window*.
#
# **Try this.**
#
# - Move $k$ to the right with the slider or the arrow keys, or press *Play*. When do the solid and the
#   dashed contours become one?
# - At $k = 12$, put a point far below the line, at the right edge. Then put one on the line. Where does
#   the furrow run now?
#
# With the keyboard: go to the data with the Tab key, move the cross with the arrow keys, press Enter.

# %%
import time

start = time.perf_counter()
import landscape_nb as ln
from landscape_nb.course import Cost, CourseMap, SaveMyWork, holds, predict_number, reveal_number
from landscape_nb.figures import n00_start_here as figures

# %%
torch.set_num_threads(1)  # these models are small: one processor is fastest
cost = Cost(start)

# %% [markdown]
# ## One equation, checked by hand
#
# How badly a model with parameters $w$ does on sample $i$ is the **sample loss** $\ell_i(w)$. For a line
# it is half the squared distance to the point, $\tfrac12 (w_1 x_i + w_2 - y_i)^2$. The landscape of $k$
# samples, $L_k(w)$, is their average: the **empirical loss**. And an average of $k+1$ numbers is the
# old average, moved a little towards the new number:
#
# $$L_{k+1}(w) - L_k(w) \;=\; \frac{\ell_{k+1}(w) - L_k(w)}{k+1}.$$
#
# The left side is the change of height when one sample joins: the **increment**. The right side is the
# new sample's *surprise*, its loss minus the average so far, divided by $k+1$. (In the dark furrow the
# surprise is zero.) That is exact, for every
# model and every $w$. It is the root of the whole course.
#
# Take three samples whose losses at some $w$ are 1, 3 and 8. The averages of the first one, two and
# three are 1, 2 and 4. So the increments are $2-1 = 1$ and $4-2 = 2$. The right side must give the same:
# $(3-1)/2$ and $(8-2)/3$. Check it in your head, then run the cell.

# %%
sample_losses = torch.tensor([1.0, 3.0, 8.0])
averages = [sample_losses[:k].mean().item() for k in (1, 2, 3)]
print("left sides: ", [averages[1] - averages[0], averages[2] - averages[1]])
print("right sides:", [(3 - averages[0]) / 2, (8 - averages[1]) / 3])

# %% [markdown]
# ## The same in code
#
# `ln` is the package of this course. `ln.EmpiricalLoss` keeps the samples in order and knows every $L_k$. `ln.fit` finds the minimiser.

# %%
line = torch.nn.Linear(1, 1).double()
loss = ln.EmpiricalLoss(line, lambda guess, y: (guess - y)[:, 0] ** 2 / 2, x, y)
for k in (5, 20, 50, 100, 120):
    slope, offset = ln.fit(loss, k).w.tolist()
    print(f"best line for {k:3d} samples: slope {slope:.2f}, offset {offset:.2f}")

# %% [markdown]
# The points were drawn around the line with slope 0.8 and offset 0.5. Now the landscape: a window of
# slopes and offsets, and all 120 sample losses at each of its places. Every $L_k$ is an average of them.

# %%
slopes = torch.linspace(-0.4, 2.0, 41, dtype=torch.float64)
offsets = torch.linspace(-0.7, 1.7, 41, dtype=torch.float64)
places = torch.cartesian_prod(offsets, slopes).flip(1)  # (w1, w2) of every place
losses = torch.stack([loss.per_sample(w) for w in places], dim=1).reshape(120, 41, 41)


# %%
def change(losses, k):
    """L_{k+1} - L_k on the whole window."""
    return losses[: k + 1].mean(0) - losses[:k].mean(0)


# %% [markdown]
# ## With ten times more data
#
# As *one number* for the change we take its **mean square over the window**. (Squares, because a change
# up and a change down are both changes.) It depends on which sample happens to come next, so we average
# over all orders in which the 120 samples could have come. How much smaller is it with 50 samples than
# with 5?

# %%
factor_guess = predict_number(
    "00.factor",
    "By what factor does the mean squared change, averaged over all orders, shrink from k = 5 to 50?",
)

# %%
average = [ln.permutation_mean(losses, k).mean() for k in (5, 50)]  # over every possible order
factor = (average[0] / average[1]).item()

# %%
reveal_number(
    "The mean squared change shrinks by",
    factor_guess,
    factor,
    show=lambda: figures.two_changes(slopes, offsets, {k: change(losses, k) for k in (5, 50)}),
)

# %% [markdown]
# Averaged over every possible order of the samples, the factor is $\frac{50 \cdot 51}{5 \cdot 6} = 85$,
# close to $10^2 = 100$. The landscape changes by about $1/k$, so the *square* of the change falls as
# $1/k^2$. Notebook 01 proves the exact number and asks how much of it is a property of the landscape.

# %% [markdown]
# ## And one order of the samples?
#
# In life there is no average over orders: samples come in one order, once. Here is the explorer again, with
# a picture below: the mean squared change for *every* $k$, on logarithmic axes. Grey is this order, green
# the average over all.
# ***Shuffle* a few times.** What stays, and what does not?

# %%
OneMoreSample(x, y, k=5)

# %% [markdown]
# We shuffle the samples twenty times, and for each order divide its value at $k = 5$ by that at
# $k = 50$. The average over all orders gave 85. How far off can a single order be?

# %%
largest_guess = predict_number(
    "00.largest", "What is the largest of the twenty factors, from k = 5 to k = 50?"
)

# %%
orders = [torch.randperm(120, generator=generator) for _ in range(20)]
factors = [
    (change(losses[o], 5).square().mean() / change(losses[o], 50).square().mean()).item()
    for o in orders
]

# %%
reveal_number(
    "The largest factor of twenty orders",
    largest_guess,
    max(factors),
    show=lambda: figures.factors_of_orders(factors, factor),
)

# %% [markdown]
# One order of the data can be many times too small or too large. Remember this when you are shown a
# single curve.

# %% [markdown]
# ## So: buy more?
#
# Not answered yet. One more sample changes the landscape by its surprise, divided by $k + 1$: at $k =
# 300$ that is little, whatever the model. But is a small change a sign that the model has learnt what
# there is to learn, or only that 300 is a large number? To decide you need to know which part of the
# change is arithmetic (notebook 01), what it looks like for a network and which samples cause it (04),
# and whether it matters for samples that you have not bought (05). Notebook 05 answers for a network
# that reads digits, and 09 for your own model.
#
# This map shows the way. Each notebook has the same rhythm: a question, something that moves, **your
# prediction**, a run, a picture, exercises that check themselves, and *What to doubt*. You need calculus
# and a little linear algebra; nobody expects you to have read a paper.

# %%
CourseMap()

# %% [markdown]
# ## Is everything installed?
#
# One line says so. If something is missing it says what to run in a terminal; then choose *Kernel →
# Restart Kernel* in the menu and begin again.

# %% tags=["nbval-ignore-output"]
from landscape_nb.course.setup_check import setup_check

print(setup_check().summary())

# %% jupyter={"source_hidden": true}
# What the notebook's test compares: what must be true on every machine.
left, right = change(losses, 5), ln.increment(losses[5], losses[:5].mean(0), 5)
holds(
    {
        "set-up complete": setup_check().complete,
        "the equation holds on the whole window": torch.allclose(left, right),
        "a single order can be five times too small": min(factors) < factor / 5,
        "a single order can be five times too large": max(factors) > 5 * factor,
    }
)
print(f"factor over all orders: {factor:.4f}")

# %% [markdown] tags=["exercises"]
# ## Exercises
#
# Every notebook has a part like this. It stands on its own: after a break, start here with the next
# cell. Write each answer in place of `raise NotImplementedError()`, run that cell, then run the cell
# below it. Its **public check** says what is wrong, without giving the answer away, and you may ask it
# as often as you like. (The red lines say only that there is no answer yet.) When you are done, compare
# with [the solutions](solutions/00_start_here.ipynb).

# %%
import numpy as np

from landscape_nb.course import check

# %% [markdown]
# **1. No surprise.** At some $w$ the first $k$ samples have the losses in the array `losses`. Which loss
# must the next sample have, so that adding it changes nothing at this $w$? To see how an answer looks,
# try a wrong one first, for example `return losses[0]`.


# %% tags=["answer-1"]
def loss_without_surprise(losses):
    """Loss of sample k + 1 for which L_{k+1}(w) = L_k(w); losses has the k losses so far."""
    ### BEGIN SOLUTION
    return losses.mean()
    ### END SOLUTION


# %% tags=["check-1", "points-1"]
check("00.1", loss_without_surprise)

# %% tags=["hidden-1", "points-1"]
from landscape_nb.course import number as number_1

for losses_1 in np.array([4.0, -1.0, 2.5, 0.0]), np.array([0.5, 7.0]):
    found_1, k_1 = number_1(loss_without_surprise(losses_1.copy())), len(losses_1)
    after_1 = (losses_1.sum() + found_1) / (k_1 + 1)
    assert np.isclose(after_1, losses_1.sum() / k_1), f"wrong for {k_1} other losses"

# %% [markdown]
# **2. More data.** Averaged over all orders, the mean squared change shrank from $k = 5$ to $k = 50$ by
# the factor $\frac{50 \cdot 51}{5 \cdot 6}$. By which factor does it shrink from `before` to `after`
# samples? A right answer draws this picture:
#
# ![A curve that rises from 1 at 5 samples. A marked point at 50 samples has the height 85.](pictures/exercise-00-2.png)


# %% tags=["answer-2"]
def shrinks_by(before, after):
    """Mean squared change after `before` samples, divided by the one after `after` samples."""
    ### BEGIN SOLUTION
    return after * (after + 1) / (before * (before + 1))
    ### END SOLUTION


# %% tags=["check-2", "points-1", "picture-exercise-00-2"]
check("00.2", shrinks_by)

# %% tags=["hidden-2", "points-2"]
from itertools import permutations as orders_2

from landscape_nb.course import number as number_2

losses_2 = (3.0, -1.0, 0.5, 0.25, 9.0)
squares_2 = {
    k: np.mean([(np.mean(o[: k + 1]) - np.mean(o[:k])) ** 2 for o in orders_2(losses_2)])
    for k in range(1, 5)
}
for k_2, square_2 in squares_2.items():
    found_2 = number_2(shrinks_by(1, k_2))
    assert np.isclose(found_2, squares_2[1] / square_2), f"wrong from 1 to {k_2} samples"

# %% [markdown]
# **3. Less noise.** The noise around the line has the standard deviation 0.7. Suppose it were 0.1. Does
# the *factor* 85 change? Change `noise=0.7` to `noise=0.1` in the first cell, run all cells and look, or
# think. (Put 0.7 back afterwards.)


# %% tags=["answer-3"]
def factor_depends_on_noise():
    """True or False."""
    ### BEGIN SOLUTION
    # The changes themselves get smaller, by the same factor before and after. The factor depends
    # neither on the model nor on the data; notebook 01 shows why.
    return False
    ### END SOLUTION


# %% tags=["check-3", "points-1"]
check("00.3", factor_depends_on_noise)

# %% tags=["hidden-3", "points-1"]
found_3 = factor_depends_on_noise()
assert isinstance(found_3, bool | np.bool_), "True or False is asked for"
assert not found_3, "try it: change 0.7 to 0.1 and run all cells"

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
# - **One window, one size.** We averaged over a square of slopes and offsets that we chose. Another
#   window gives another number. The papers use a Gaussian cloud of points around the minimiser, and
#   its width $\sigma$ decides what is seen.
# - **A bowl in two dimensions.** For a straight line $L_k$ is an exact bowl. A network has many
#   thousand parameters and no picture shows them all. That is why later notebooks choose a few
#   directions, and test whether these are the right ones.
# - **Is the factor 85 a property of this landscape at all?** Nothing here has shown it: we have tried
#   one model only. Notebook 01 tries others, and something that is no model.

# %% tags=["nbval-ignore-output"]
print(cost.line(budget_s=20, budget_mb=700))
