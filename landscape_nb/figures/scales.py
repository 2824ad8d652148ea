"""One colour scale for each quantity, the same in every picture of the course.

A reader who has learned in notebook 00 what a colour means may rely on it in notebook 05. The
explorables have the same scales in `widgets/colours.js`; a test compares the two.
"""

from dataclasses import dataclass

from matplotlib.colors import LogNorm


@dataclass(frozen=True)
class Scale:
    """Colours of one quantity.

    Attributes:
        colours: name of matplotlib's colour map.
        limits: lowest and highest value of a logarithmic scale that all pictures share; what lies
            outside has the end's colour. None: the numbers have no common size, and each picture
            says its own.
        label: what the colours stand for.
    """

    colours: str
    limits: tuple[float, float] | None
    label: str

    def ends(self) -> tuple[float, float]:
        """The limits, where there are some."""
        if self.limits is None:
            raise ValueError(
                f"The scale of {self.label!r} has no limits that all pictures share; give the "
                "picture its own."
            )
        return self.limits

    @property
    def norm(self) -> LogNorm:
        """From a value to its place on the scale, 0..1."""
        return LogNorm(*self.ends(), clip=True)

    def decades(self) -> list[float]:
        """The powers of ten on the scale, from its lowest to its highest.

        >>> len(SCALES["squared change"].decades())
        11
        """
        low, high = self.ends()
        return [10.0**e for e in range(-20, 20) if 0.999 * low <= 10.0**e <= 1.001 * high]


# Where a quantity has a sign, white is zero. Limits, chosen here, hold what the notebooks draw.
SCALES = {
    "loss": Scale("cividis", (0.05, 5.0), "loss $L_k$"),
    "change": Scale("BrBG", None, "change $L_{k+1} - L_k$"),
    "squared change": Scale("viridis", (1e-9, 10.0), "$(L_{k+1} - L_k)^2$  [loss$^2$]"),
    "curvature": Scale("magma", None, "curvature"),
    "gradient": Scale("PuOr", None, "gradient"),
    "error": Scale("Blues", None, "relative error"),
    "brightness": Scale("gray_r", None, "brightness of a pixel"),
}


def scale_of(quantity: str) -> Scale:
    """The scale of a quantity.

    Raises:
        ValueError: a quantity that has none; those that have.

    >>> scale_of("loss").colours
    'cividis'
    """
    if quantity not in SCALES:
        raise ValueError(
            f"There is no colour scale for {quantity!r}; there are {', '.join(SCALES)}. Give a new "
            "quantity a scale of its own in figures/scales.py."
        )
    return SCALES[quantity]


def colours_of(quantity: str) -> str:
    """The colour map of a quantity, as matplotlib's `cmap` takes it."""
    return scale_of(quantity).colours
