"""What a reader must know before believing the numbers of a diagnosis."""

import torch

from landscape_nb.study.answer import nothing_moves
from landscape_nb.study.findings import Diagnosis
from landscape_nb.theory.tails import DOUBTFUL_INDEX


def doubts(found: Diagnosis) -> list[str]:
    """Sentences that a reader must know before believing the numbers; none where all is well."""
    says = []
    first = float(found.pairs.values[0])
    worst = float(found.pairs.residuals.max()) + found.pairs.noise
    if not found.certified:
        says.append(
            "The eigenvectors did not converge, or fresh products do not confirm them: the worst "
            f"residual is {worst:.0e}, lambda_1 is {first:.1e}. Shares in the top subspace are "
            "rough."
        )
    if first <= worst:
        says.append(
            f"No direction bends upward: lambda_1 is {first:.1e}. This is no valley, and the top "
            "subspace means nothing. Is the loss linear in the parameters?"
        )
    if found.pairs.gap < worst:
        says.append(
            f"The gap behind eigenvalue {found.D} is smaller than the residuals: the last "
            "directions of the top subspace are not determined. Choose another D."
        )
    says += _about_the_losses(found)
    # One unit of parameters downhill would gain more than a hundredth of the loss: chosen here.
    if found.grad_norm > 0.01 * found.scale:
        says.append(
            f"This is not a minimum: the gradient's norm is {found.grad_norm:.1e} at a loss of "
            f"size {found.scale:.2g}. Closed forms hold, but 'trained on k samples' is an "
            "overstatement."
        )
    if found.lowest < -0.01 * abs(first):
        says.append(
            f"The landscape also bends downward, by {found.lowest:.1e} at least in one direction. "
            "The top directions are not all of its curvature."
        )
    if found.local_sigma is None or found.sigma > found.local_sigma:
        says.append(
            f"sigma = {found.sigma:g} lies outside the local regime, where the quadratic model is "
            "right within 10 %: use delta2_subspace instead of closed forms, or a smaller sigma."
        )
    says += _about_the_next_sample(found)
    return says


def _about_the_next_sample(found: Diagnosis) -> list[str]:
    """Where the answer about enough data is weaker than it sounds."""
    says = []
    if found.candidates < 25:
        says.append(
            f"Only {found.candidates} unseen samples: averages over them are rough, and there are "
            "too few for a tail index."
        )
    if found.tail.doubtful:
        says.append(
            "The average over next samples is not to be trusted: the tail index of their squared "
            f"increments is {found.tail.index:.2f}, above {DOUBTFUL_INDEX}, and the hardest 5 % "
            f"of the {found.candidates} carry {100 * found.tail.hardest:.0f} % of it. More unseen "
            "samples may well move it."
        )
    if found.derivatives_of < found.candidates:
        says.append(
            f"Gradient and curvature parts rest on {found.derivatives_of} of the "
            f"{found.candidates} unseen samples, drawn by design; their standard errors are given."
        )
    if found.retrained and not found.fitted:
        says.append(
            "The curve along k was fitted from the model's own parameters. If these were trained "
            "on all k samples, the fits for fewer have seen more than they should: it is too kind."
        )
    if not found.retrained:
        says.append(
            "The model was not trained anew for smaller k, which this budget leaves out: the "
            "forecast knows a single point, and how learning goes on from other problems only."
        )
    if found.measured.K is not None and found.measured.K > 0.99 * found.k:
        says.append("Only the last k lies below the tolerance: no evidence that it stays there.")
    return says


def _about_the_losses(found: Diagnosis) -> list[str]:
    """Where the losses themselves make ratios and thresholds mean little."""
    says = []
    if found.lowest_loss < 0:
        says.append(
            f"Some losses are negative, down to {found.lowest_loss:.2g}: this loss has no zero of "
            "its own, and a share of its value means nothing. Its size is taken as what L_k lies "
            f"above the smallest loss, {found.scale:.2g}. Give the tolerance in loss^2 if you "
            "know what matters."
        )
    if nothing_moves(found):
        says.append(
            f"All losses are equal at this point, {found.value:.3g}: one more sample changes "
            "nothing here, and there is nothing to compare with. Is the loss constant, or the fit "
            "perfect?"
        )
    elif found.unseen_value - found.lowest_loss > 100 * found.scale:  # 100: chosen here
        says.append(
            f"The samples seen are fitted almost perfectly (loss of size {found.scale:.1e}), those "
            f"not seen are not (loss {found.unseen_value:.2g}): a share of next to nothing is "
            "nobody's aim. Give the tolerance in loss^2, for example "
            f"{(0.01 * (found.unseen_value - found.lowest_loss)) ** 2:.1e} for a hundredth of the "
            "loss on unseen samples."
        )
    increment = 0.01 * found.scale / (found.k + 1)
    smallest = torch.finfo(found.w.dtype).tiny
    if 0 < increment and increment**2 < smallest:
        says.append(
            f"Squared increments of a loss of this size ({found.scale:.1e}) are below "
            f"{smallest:.0e}, the smallest number of {found.w.dtype}: they come out as zero. "
            "Multiply the loss by a large number."
        )
    return says
