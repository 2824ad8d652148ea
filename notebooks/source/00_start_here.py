# %% [markdown]
# # 00 Start here
#
# **What changes when one sample is added?**
#
# You train a model on $k$ samples and find the best parameters. Then one more sample arrives. The
# training loss is now an average of $k + 1$ numbers instead of $k$, so its graph, the *loss
# landscape*, changes a little. How much does it change around your solution? In which directions?
# And when have you seen so much data that one more sample no longer matters?
#
# This course of eleven notebooks answers that question with small models on an ordinary
# laptop. It follows a few research papers and tests their claims. You need calculus and a little linear algebra. Nobody
# expects you to have read the papers.
#
# This first notebook checks your set-up, shows the map of the course, and draws a first picture. Run
# the cells from top to bottom with **Shift+Enter**.

# %% [markdown]
# ## Is everything installed?
#
# The next cells read one file of the package without loading the rest. So they also work, and say
# what to do, when something is missing.

# %%
import runpy
import sys
import time
from importlib.util import find_spec

start = time.perf_counter()

# %% tags=["nbval-ignore-output"]
package = find_spec("landscape_nb")
if package is None:
    print("landscape_nb is missing. In a terminal, in the folder with pyproject.toml, run:")
    print(f'"{sys.executable}" -m pip install -c constraints.txt -e ".[lab]"')
else:
    folder = package.submodule_search_locations[0]
    runpy.run_path(f"{folder}/course/setup_check.py", run_name="__main__")

# %% [markdown]
# Every line should begin with **ok**. If one says *missing* or *too old*, run the command that it
# prints in a terminal. Then choose *Kernel → Restart Kernel* in the menu and begin again. The lines
# that begin with *note* are for your information.

# %%
import torch

import landscape_nb as ln
from landscape_nb.course import Cost, SaveMyWork, reveal_number
from landscape_nb.figures import n00_start_here as figures
from landscape_nb.widgets import OneMoreSample

# %%
torch.set_num_threads(1)  # these models are small: one processor is fastest
cost = Cost(start)

# %% [markdown]
# ## The map of the course
#
# | notebook | the question it answers |
# |---|---|
# | **[00 Start here](00_start_here.ipynb)** | What changes when one sample is added? |
# | **[01 Quadratic toy](01_quadratic_toy.ipynb)** | Do the formulas and the $1/k^2$ law hold where we know everything? |
# | **[02 Curvature](02_curvature.ipynb)** | What is curvature, and what does it do to training? |
# | **[03 Top eigenspace](03_top_eigenspace.ipynb)** | How do you find the most sharply curved directions of a landscape whose curvatures are too many to write down? |
# | **[04 MLP stabilization](04_mlp_stabilization.ipynb)** | Does the landscape of a trained network settle as data grows? |
# | **[05 Loss surfaces](05_loss_surfaces.ipynb)** | What does settling look like, and how much data is enough? |
# | **[06 Bulk and outliers](06_bulk_and_outliers.ipynb)** | What shape has the spectrum of curvatures, and what moves it? |
# | **[07 Transformer](07_transformer.ipynb)** | Does all this hold for a language model? |
# | **[08 Spectral exponents](08_spectral_exponents.ipynb)** | How does curvature follow the gradient, layer by layer? |
# | **[09 Your model](09_your_model.ipynb)** | What does *your* model say? |
# | **[10 Verdicts](10_verdicts.ipynb)** | What do the papers claim, and what did we find? |
#
# Each notebook has the same rhythm: a question, the words you need, **your prediction**, a run, a
# picture, sliders where they help, exercises that check themselves, and a section called *What to
# doubt*.

# %% [markdown]
# ## Six words
#
# - **Parameters** $w$: the numbers that training adjusts. Here there are two, so that we can draw
#   everything: the slope $w_1$ and the offset $w_2$ of a straight line.
# - **Sample loss** $\ell_i(w)$: how badly the model with parameters $w$ does on sample $i$. Here it
#   is half the squared vertical distance, $\tfrac12 (w_1 x_i + w_2 - y_i)^2$.
# - **Empirical loss** $L_k(w)$: the average of the first $k$ sample losses. Training makes it
#   small.
# - **Loss landscape**: the graph of $L_k$, a hilly surface over all possible $w$.
# - **Minimiser** $w_k^*$: the lowest point of $L_k$, where training would end if it were perfect.
# - **Increment** $L_{k+1}(w) - L_k(w)$: how much the height at $w$ changes when sample $k+1$ joins.

# %% [markdown]
# ## One equation, checked by hand
#
# An average of $k+1$ numbers is the old average, moved a little towards the new number:
#
# $$L_{k+1}(w) - L_k(w) \;=\; \frac{\ell_{k+1}(w) - L_k(w)}{k+1}.$$
#
# Take three samples whose losses at some $w$ are 1, 3 and 8. The averages of the first one, two and
# three are 1, 2 and 4. So the increments are $2-1 = 1$ and $4-2 = 2$. The right-hand side must give
# the same: $(3-1)/2$ and $(8-2)/3$. Check it in your head, then run the cell.

# %%
sample_losses = torch.tensor([1.0, 3.0, 8.0])
averages = [sample_losses[:k].mean().item() for k in (1, 2, 3)]
left = [averages[1] - averages[0], averages[2] - averages[1]]
right = [(3 - averages[0]) / 2, (8 - averages[1]) / 3]
print("averages:          ", averages)
print("left-hand sides:   ", left)
print("right-hand sides:  ", right)

# %% [markdown]
# This small identity is exact, for every model and every $w$. It is the root of the whole course:
# the increment is the new sample's *surprise*, $\ell_{k+1} - L_k$, divided by $k+1$. The package calls
# the right-hand side `ln.increment`.

# %% [markdown]
# ## A model small enough to see
#
# We draw 120 points around a known line, $y = 0.8\,x + 0.5$ plus noise, and fit a line to the first
# $k$ of them. `ln.EmpiricalLoss` keeps the samples in order and knows every $L_k$. `ln.fit` finds
# the minimiser.

# %%
generator = torch.Generator().manual_seed(28)
x = 4 * torch.rand(120, 1, generator=generator, dtype=torch.float64) - 2
y = 0.8 * x + 0.5 + 0.7 * torch.randn(120, 1, generator=generator, dtype=torch.float64)

# %%
line = torch.nn.Linear(1, 1).double()
loss = ln.EmpiricalLoss(line, lambda guess, y: (guess - y)[:, 0] ** 2 / 2, x, y)
print("samples:", loss.num_samples, " parameters:", loss.num_params)
for k in (5, 50, 120):
    slope, offset = ln.fit(loss, k).w.tolist()
    print(f"best line for {k:3d} samples: slope {slope:.2f}, offset {offset:.2f}")

# %% [markdown]
# Now the landscape. We put a grid over a window of slopes and offsets, and compute all 120 sample
# losses at each grid point. From then on, every $L_k$ on the window is an average.

# %%
slopes = torch.linspace(-0.4, 2.0, 41, dtype=torch.float64)
offsets = torch.linspace(-0.7, 1.7, 41, dtype=torch.float64)
points = torch.cartesian_prod(offsets, slopes).flip(1)  # (w1, w2) at every grid point
losses = torch.stack([loss.per_sample(w) for w in points], dim=1).reshape(120, 41, 41)


# %%
def L(k):
    """The landscape of the first k samples on the window."""
    return losses[:k].mean(0)


# %% [markdown]
# Does the equation hold on the whole window? This is the largest difference between its two sides for
# the sixth sample.

# %% tags=["nbval-ignore-output"]
left, right = L(6) - L(5), ln.increment(losses[5], L(5), 5)
print(f"largest difference: {float((left - right).abs().max()):.0e}")

# %% [markdown]
# ## Predict
#
# We measure the change by its **mean square over the window**: the average of $(L_{k+1}(w) -
# L_k(w))^2$ over all $w$ in it. Squares are used because a change up and a change down are both
# changes.
#
# With ten times more data, $k = 50$ instead of $k = 5$, by what factor does this number shrink?
# Replace the 10 by your own guess before you run the cell.

# %% tags=["predict-factor"]
factor_guess = 10


# %%
def change(losses, k):
    """Mean squared increment over the window."""
    return (losses[: k + 1].mean(0) - losses[:k].mean(0)).square().mean()


# %%
average = [ln.permutation_mean(losses, k).mean() for k in (5, 50)]
factor = (average[0] / average[1]).item()
print(f"averaged over every possible order of the samples: {factor:.1f}")
reveal_number("The mean squared change from k = 5 to k = 50 shrinks by", factor_guess, factor)

# %% [markdown]
# The answer is $\frac{50 \cdot 51}{5 \cdot 6} = 85$, and close to $10^2 = 100$. The landscape
# changes by about $1/k$, so the *square* of the change falls as $1/k^2$. Notebook 01 proves the
# exact number and asks how much of it is a property of the landscape. (A hint: surprisingly
# little.)
#
# The order of the samples is an accident, and we averaged over it. What does a *single* order say?
# We shuffle the samples twenty times.

# %%
orders = [torch.randperm(120, generator=generator) for _ in range(20)]
factors = [(change(losses[o], 5) / change(losses[o], 50)).item() for o in orders]
print(f"smallest of twenty: {min(factors):.1f}")
print(f"largest of twenty:  {max(factors):.0f}")

# %% [markdown]
# One order of the data can be many times too small or too large. Remember this when you are shown a
# single curve.

# %% [markdown]
# ## Move k yourself
#
# Drag the slider, use the arrow keys, or press *Play*: the samples join one by one.
#
# - **The data:** the samples so far, the next one, and the best line before and after it joins.
# - **The landscapes:** $L_k$ and $L_{k+1}$ as contour lines, like hills on a hiking map, with a cross
#   at each minimum. Solid is before, dashed is after. ($k$ begins at 2: one point fixes no line, and
#   its landscape is a valley without a lowest point.)
# - **The squared change:** on one colour scale for all $k$. Bright means that the next sample changes
#   the landscape much at this slope and offset. In the dark furrow it is no surprise, so nothing
#   changes.
# - **Below:** the mean squared change for every $k$. Both axes are logarithmic, so that a power of $k$
#   is a straight line. This order of the samples jumps around the average over all orders.
#
# **A click in the picture of the data puts a sample there**, and it comes next. Click elsewhere to
# move it. *Take it in* lets it join. With the keyboard: go to the picture of the data with the Tab
# key, move the cross with the arrow keys, and press Enter.

# %%
explorer = OneMoreSample(x, y, k=3)
explorer

# %% [markdown]
# **Try this.**
#
# - Start at $k = 3$ and move to the right. When do the solid and the dashed contours become one? Is
#   there a $k$ at which the change becomes *brighter* again? Look at the data: what is special about
#   the sample that comes next?
# - At $k = 12$, click far below the line, at the right edge. Where does the bowl go? Then click on the
#   line. Where does the furrow run now?
# - Put the same far sample at $k = 12$ and at $k = 100$. How much less does it change with more data?
# - *Shuffle* a few times. What stays the same in the lowest picture, and what does not?
#
# The explorer can also be moved by a program. The next cell does that and reads the sentence.

# %%
for k in (6, 12, 100):
    explorer.k = k
    print(explorer.sentence())
explorer.k = 3

# %% [markdown]
# ## The picture: few samples, many samples
#
# Both panels have the same colour scale. Bright means that the new sample changes the landscape
# much at this slope and offset; dark means that it hardly changes.

# %%
figures.two_changes(slopes, offsets, {k: L(k + 1) - L(k) for k in (5, 50)})

# %% jupyter={"source_hidden": true}
# What the notebook's test compares: what must be true on every machine.
from landscape_nb.course.setup_check import setup_check

print("Set-up complete:", setup_check().complete)
print("The equation holds on the whole window:", torch.allclose(left, right))

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
# the *factor* 85 change? Change 0.7 to 0.1 in the cell that draws the points, run all cells and look, or
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
# - **The factor 85 is arithmetic.** Averaged over all orders, it holds at fixed $w$ for every model,
#   good or bad. If you measure it, you have learnt nothing about your landscape yet.

# %% [markdown]
# ## Where to go next
#
# **[01 Quadratic toy](01_quadratic_toy.ipynb)** takes a landscape that is known exactly and tests
# every formula on it. If you would rather see a network first, open **[04 MLP
# stabilization](04_mlp_stabilization.ipynb)** and come back when a word is new.

# %% tags=["nbval-ignore-output"]
print(cost.line(budget_s=20, budget_mb=1000))
