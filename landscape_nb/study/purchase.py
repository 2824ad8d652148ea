"""What a diagnosis says about buying: how many samples to add to those that one has already."""

from dataclasses import dataclass

from landscape_nb.numerics import checks
from landscape_nb.numerics.wording import between, beyond
from landscape_nb.study.findings import Diagnosis
from landscape_nb.theory.forecast import FARTHEST


@dataclass(frozen=True)
class Purchase:
    """How many samples are missing until the criterion stays below its tolerance.

    Attributes:
        samples: to be bought; where `more` is true, at least so many.
        low, high: ends of the interval; a high of None is more than can be said.
        level: of the interval.
        more: whether K lies too far to be said.
    """

    samples: int
    low: int
    high: int | None
    level: float
    more: bool = False

    def __str__(self) -> str:
        """For example 'about 180 (90 %: 0 to 900)'."""
        amount = "more than" if self.more else "about" if self.samples else ""
        told = f"{amount} {beyond(0, self.samples)}".strip()
        return f"{told} ({100 * self.level:g} %: {between(self.low, self.high)})"


def to_buy(found: Diagnosis, owned: int) -> Purchase:
    """Samples to buy until K, when all owned ones are used: max(0, K - owned), with its interval.

    Args:
        found: what was measured. Its k may be less than is owned: unseen samples are owned too.
        owned: number of samples that one has, found.k at least.

    Raises:
        ValueError: owned is less than found.k.
    """
    owned = checks.whole_number("owned", owned, found.k, None, "number of samples that one has")
    farthest = int(FARTHEST * found.k)
    forecast, reached = found.forecast, found.measured.K is not None
    # of a K that was measured the forecast only says how much higher it may be
    K, low = (found.measured.K, found.measured.low) if reached else (forecast.K, forecast.low)
    return Purchase(
        samples=max(0, (farthest if K is None else K) - owned),
        low=max(0, (farthest if K is None and low is None else low or 0) - owned),
        high=None if forecast.high is None else max(0, forecast.high - owned),
        level=forecast.level,
        more=K is None,
    )
