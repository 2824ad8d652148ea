"""Sliders over pure functions: the D and sigma explorer, and a slider over pictures made before.

Everything the explorer needs is a closed form of numbers computed before (`MomentTable`), so a
move costs one picture. The picture goes into an Image widget: no Output widget, hence no flicker,
no queue of half-drawn figures, and notebook tests that compare outputs strictly still work.
"""

import base64
from collections.abc import Mapping

from ipywidgets import (
    HTML,
    FloatLogSlider,
    Image,
    IntSlider,
    Layout,
    SelectionSlider,
    VBox,
    Widget,
)

from landscape_nb.moments import Moment
from landscape_nb.plots import ExplorerPicture
from landscape_nb.tables import MomentTable


class _Pictured(VBox):
    """Sliders over a readout and a picture; without a kernel, the picture and its words.

    Attributes:
        readout: the numbers behind the picture, as HTML.
        picture: the Image widget.
    """

    def __init__(self, sliders: Mapping[str, Widget], purpose: str) -> None:
        self._purpose = purpose
        self.readout = HTML()
        self.picture = Image(format="png", layout=Layout(max_width="100%"))
        parts = {**sliders, "readout": self.readout, "picture": self.picture}
        for name, part in {"explorer": self, **parts}.items():
            part.add_class(f"ln-{name}")
        for slider in sliders.values():
            slider.observe(self._redraw, names="value")
        self._redraw()
        super().__init__(list(parts.values()))

    def sentence(self) -> str:
        """The present state in words: the readout, and the picture's alternative text."""
        raise NotImplementedError

    def _png(self) -> bytes:
        raise NotImplementedError

    def _redraw(self, change: object = None) -> None:
        self.picture.value = self._png()
        words = self.sentence()
        # role=status: a screen reader speaks the new numbers after a slider has moved
        self.readout.value = f'<div role="status" style="line-height:1.5">{words}</div>'

    def _repr_mimebundle_(self, include=None, exclude=None, **kwargs) -> tuple[dict, dict]:
        data = super()._repr_mimebundle_(include=include, exclude=exclude, **kwargs)
        words = f"{self._purpose} {self.sentence()}"
        data["text/plain"] = words
        data["image/png"] = base64.b64encode(self.picture.value).decode()
        return data, {"image/png": {"alt": words}}


class Explorer(_Pictured):
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
        wide = Layout(width="420px")
        self.D = IntSlider(
            value=min(D, largest), min=1, max=largest, description="D", layout=wide,
            tooltip="dimension of the probed subspace",
        )  # fmt: skip
        self.sigma = FloatLogSlider(
            value=sigma, base=10, min=low, max=high, step=0.1, description="sigma",
            readout_format=".1e", layout=wide, tooltip="standard deviation of the probe",
        )  # fmt: skip
        sliders: dict[str, Widget] = {"D": self.D, "sigma": self.sigma}
        self.k: SelectionSlider | None = None
        if k is not None:
            ks = full.ks.tolist()
            if k not in ks:
                raise ValueError(f"k must be one of the tables' ks, {ks}; got k = {k}.")
            self.k = SelectionSlider(
                options=ks, value=k, description="k", layout=wide, tooltip="number of samples",
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


class PictureSlider(_Pictured):
    """One slider over pictures that were all drawn before, each with its sentence.

    A move costs nothing, so that pictures of any kind follow the slider at once. Where no kernel
    runs the cell shows the picture of the first state.

    Args:
        name: what the slider changes, for example "k".
        pictures: value of the slider -> (PNG, sentence), in the slider's order.
        value: first value of the slider; the first picture's if not given.

    Attributes:
        slider: the slider; its `value` is a key of `pictures`.

    Raises:
        ValueError: there are no pictures, or none for `value`.
    """

    def __init__(
        self, name: str, pictures: Mapping[float, tuple[bytes, str]], value: float | None = None
    ) -> None:
        if not pictures or (value is not None and value not in pictures):
            raise ValueError(
                f"There must be a picture for the first value of the slider, {name} = {value}; "
                f"there are pictures for {list(pictures)}."
            )
        self._pictures = dict(pictures)
        self.slider = SelectionSlider(
            options=list(pictures), value=next(iter(pictures)) if value is None else value,
            description=name, layout=Layout(width="420px"),
        )  # fmt: skip
        super().__init__({name: self.slider}, f"A slider for {name}.")

    def sentence(self) -> str:
        """What the present picture shows."""
        return self._pictures[self.slider.value][1]

    def _png(self) -> bytes:
        return self._pictures[self.slider.value][0]
