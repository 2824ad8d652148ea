"""Sliders for D, sigma and k over the criterion: closed forms of numbers computed before."""

from collections.abc import Mapping

from ipywidgets import (
    FloatLogSlider,
    IntSlider,
    SelectionSlider,
    Widget,
)

from landscape_nb.figures.explorers import ExplorerPicture
from landscape_nb.theory.moments import Moment
from landscape_nb.theory.tables import MomentTable
from landscape_nb.widgets.pictured import SLIDER_WIDTH, Pictured


class Explorer(Pictured):
    """Sliders for D, sigma and, if wanted, k over the criterion's parts and what each probe sees.

    Where no kernel runs (on GitHub, in an export) the same cell shows the picture of the first
    state, with the readout as its text.

    Args:
        probes: name -> `MomentTable` of nested probes; the first is the one in focus.
        full: the full-space `MomentTable` (one column), on the same ks.
        D: first value of the slider.
        sigma: first value of the slider.
        sigma_range: exponents of ten between which sigma moves.
        k: first value of a slider for k, one of the tables' ks; without it there is no such
            slider, and what each probe sees is averaged over k.

    Attributes:
        D: the slider for the dimension of the probe.
        sigma: the slider for its standard deviation, logarithmic.
        k: the slider for k, or None.
        readout: the numbers behind the picture, as HTML.
        picture: the Image widget.

    Raises:
        ValueError: the tables are not on the same ks, or k is not one of them.
    """

    def __init__(
        self,
        probes: Mapping[str, MomentTable],
        full: MomentTable,
        *,
        D: int = 10,
        sigma: float = 1e-3,
        sigma_range: tuple[float, float] = (-4.0, 0.0),
        k: int | None = None,
    ) -> None:
        for name, table in probes.items():
            if table.ks.tolist() != full.ks.tolist():
                raise ValueError(
                    f"All tables must be on the same grid of k; '{name}' is on "
                    f"{table.ks.tolist()}, the full space on {full.ks.tolist()}."
                )
        self._probes, self._full = dict(probes), full
        largest = min(table.D for table in probes.values())
        low, high = sigma_range
        self.D = IntSlider(
            value=min(D, largest), min=1, max=largest, description="D", layout=SLIDER_WIDTH,
            tooltip="dimension of the probed subspace",
        )  # fmt: skip
        self.sigma = FloatLogSlider(
            value=sigma, base=10, min=low, max=high, step=0.1, description="sigma",
            readout_format=".1e", layout=SLIDER_WIDTH, tooltip="standard deviation of the probe",
        )  # fmt: skip
        sliders: dict[str, Widget] = {"D": self.D, "sigma": self.sigma}
        self.k: SelectionSlider | None = None
        if k is not None:
            ks = full.ks.tolist()
            if k not in ks:
                raise ValueError(f"k must be one of the tables' ks, {ks}; got k = {k}.")
            self.k = SelectionSlider(
                options=ks, value=k, description="k", layout=SLIDER_WIDTH,
                tooltip="number of samples",
            )  # fmt: skip
            sliders["k"] = self.k
        self._drawing = ExplorerPicture(probes, full, (10**low, 10**high), one_k=k is not None)
        *first, last = sliders
        super().__init__(sliders, f"Sliders for {', '.join(first)} and {last}.")

    def sentence(self) -> str:
        """The present state in words: the readout, and the picture's alternative text."""
        moment, raw, centred = self.moment(), self.ratios("total"), self.ratios("centred")
        row = len(self._full.ks) // 2 if self.k is None else self._rows()
        shares = ", ".join(
            f"{part} {_share(float(getattr(moment, part)[row] / moment.total[row]))}"
            for part in ("value", "cross", "gradient", "curvature")
        )
        ratios = "; ".join(
            f"{name} raw {raw[name]:.3f}, centred {centred[name]:.2g}" for name in self._probes
        )
        where = "averaged over k" if self.k is None else "at this k"
        return (
            f"D = {self.D.value}, sigma = {self.sigma.value:.1e}. At k = "
            f"{int(self._full.ks[row])} the criterion is {float(moment.total[row]):.2e}: "
            f"{shares}. Share of the full-space criterion, {where}: {ratios}."
        )

    def _rows(self) -> int | slice:
        """The row of the slider's k, or all of them."""
        return slice(None) if self.k is None else self._full.ks.tolist().index(self.k.value)

    def moment(self) -> Moment:
        """The first probe's criterion and its parts at the sliders' D and sigma, entries (K,)."""
        return next(iter(self._probes.values())).at(self.D.value, self.sigma.value)

    def ratios(self, part: str) -> dict[str, float]:
        """Each probe's criterion over the full-space one, averaged over k or at the slider's.

        Args:
            part: "total" (the raw criterion), "centred", or one part of a `Moment`.
        """
        D, sigma = self.D.value, self.sigma.value
        full, rows = getattr(self._full.at(1, sigma), part), self._rows()
        return {
            name: float((getattr(table.at(D, sigma), part) / full)[rows].mean())
            for name, table in self._probes.items()
        }

    def _png(self) -> bytes:
        raw, centred = self.ratios("total"), self.ratios("centred")
        k = None if self.k is None else self.k.value
        return self._drawing.png(self.moment(), list(raw.values()), list(centred.values()), k)


def _share(x: float) -> str:
    """Percent; small shares as powers of ten, so that they do not all read 0.0 %."""
    return f"{100 * x:.1f} %" if abs(x) >= 1e-3 or x == 0 else f"{x:.0e}"
