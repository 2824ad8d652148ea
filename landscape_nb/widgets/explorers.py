"""Sliders over pure functions: the D and sigma explorer, and a slider over pictures made before.

Everything the explorer needs is a closed form of numbers computed before (`MomentTable`), so a
move costs one picture. The picture goes into an Image widget: no Output widget, hence no flicker,
no queue of half-drawn figures, and notebook tests that compare outputs strictly still work.
"""

import base64
import html
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ipywidgets import (
    HTML,
    Button,
    FileUpload,
    FloatLogSlider,
    FloatSlider,
    HBox,
    Image,
    IntSlider,
    Layout,
    SelectionSlider,
    VBox,
    Widget,
)

from landscape_nb.course import saved_work as work
from landscape_nb.figures.plots import BowlPicture, ExplorerPicture, StepPicture
from landscape_nb.theory.moments import Moment
from landscape_nb.theory.tables import MomentTable

# A slider is as wide as this if there is room, and as wide as the page if there is not.
_WIDTH = {"width": "auto", "max_width": "420px"}

# A keyboard's place is outlined. After a restart of the kernel no slider has any effect: ipywidgets
# marks such parts with a broken chain only, and lets them move; here a sentence takes their place.
_STYLE = """
.ln-explorer .noUi-handle:focus-visible, .ln-explorer .widget-readout:focus-visible {
  outline: 2px solid currentColor; outline-offset: 2px;
}
.ln-explorer.jupyter-widgets-disconnected .widget-slider { display: none; }
.ln-explorer .jupyter-widgets-disconnected::before { content: none; }
.ln-explorer.jupyter-widgets-disconnected::before {
  content: "The kernel was restarted: this picture stands still. "
    "To move it again, run the cells above and then this one.";
  font: inherit; font-weight: bold; color: inherit; white-space: normal; line-height: 1.5;
}
"""

# ipywidgets 8.1 names no slider for a screen reader, tells it the exponent or the index in place of
# the value, gives pictures no alternative text, and replaces a status message rather than changing
# it, which most screen readers pass over. Where a page forbids scripts all else still works.
_NAME_PARTS = """
const root = this.closest('.ln-explorer');
const put = (part, name, value) => {
  if (part.getAttribute(name) !== value) part.setAttribute(name, value);
};
const nameParts = () => {
  for (const slider of root.querySelectorAll('.widget-slider')) {
    const handle = slider.querySelector('[role=slider]');
    const label = slider.querySelector('.widget-label');
    const number = slider.querySelector('.widget-readout');
    const names = new Set([label.textContent, label.title]);
    const name = [...names].filter(Boolean).join(', ');
    put(handle, 'aria-label', name);
    put(handle, 'aria-valuetext', number.textContent);
    if (slider.classList.contains('ln-choice')) {
      put(number, 'contenteditable', 'false');
    } else {
      put(number, 'role', 'textbox');
      put(number, 'aria-label', name + ', as a number');
    }
  }
  const words = root.querySelector('.ln-readout .widget-html-content');
  const picture = root.querySelector('.ln-picture');
  if (!words || !picture) return;
  put(words, 'role', 'status');
  for (const inner of words.querySelectorAll('[role=status]')) inner.removeAttribute('role');
  put(picture, 'alt', words.textContent);
};
if (root && !root.lnNamed) {
  root.lnNamed = new MutationObserver(nameParts);
  root.lnNamed.observe(root, {
    subtree: true, childList: true, characterData: true,
    attributeFilter: ['aria-valuetext', 'contenteditable', 'title'],
  });
  nameParts();
}
"""


_WORK_STYLE = """
.ln-work.jupyter-widgets-disconnected .widget-hbox { display: none; }
.ln-work .jupyter-widgets-disconnected::before { content: none; }
.ln-work.jupyter-widgets-disconnected::before {
  content: "The kernel was restarted: run this cell again to save or restore.";
  font: inherit; font-weight: bold; color: inherit; white-space: normal; line-height: 1.5;
}
"""

# The place of the answer is there before the answer, so that a screen reader speaks it.
_NAME_STATUS = """
const words = this.closest('.ln-work').querySelector('.ln-readout .widget-html-content');
if (words) words.setAttribute('role', 'status');
"""


def _hidden_style(css: str, script: str) -> HTML:
    """A part that takes no room; its script runs once the style, and so the widget, is there."""
    return HTML(f'<style onload="{html.escape(script)}">{css}</style>', layout={"display": "none"})


class _Pictured(VBox):
    """Sliders over a readout and a picture; without a kernel, the picture and its words.

    Attributes:
        readout: the numbers behind the picture, as HTML.
        picture: the Image widget.
    """

    def __init__(self, sliders: Mapping[str, Widget], purpose: str) -> None:
        self._purpose = purpose
        self.readout = HTML()
        # in its own size, for a stretched picture is a blurred one, or as wide as the page
        whole = Layout(max_width="100%", margin="2px 0", align_self="flex-start")
        self.picture = Image(format="png", layout=whole)
        parts = {**sliders, "readout": self.readout, "picture": self.picture}
        for name, part in {"explorer": self, **parts}.items():
            part.add_class(f"ln-{name}")
        for slider in sliders.values():
            slider.observe(self._redraw, names="value")
            if isinstance(slider, SelectionSlider):
                slider.add_class("ln-choice")  # what is typed into its number has no effect
        self._redraw()
        super().__init__([*parts.values(), _hidden_style(_STYLE, _NAME_PARTS)])

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
        self.D = IntSlider(
            value=min(D, largest), min=1, max=largest, description="D", layout=_WIDTH,
            tooltip="dimension of the probed subspace",
        )  # fmt: skip
        self.sigma = FloatLogSlider(
            value=sigma, base=10, min=low, max=high, step=0.1, description="sigma",
            readout_format=".1e", layout=_WIDTH, tooltip="standard deviation of the probe",
        )  # fmt: skip
        sliders: dict[str, Widget] = {"D": self.D, "sigma": self.sigma}
        self.k: SelectionSlider | None = None
        if k is not None:
            ks = full.ks.tolist()
            if k not in ks:
                raise ValueError(f"k must be one of the tables' ks, {ks}; got k = {k}.")
            self.k = SelectionSlider(
                options=ks, value=k, description="k", layout=_WIDTH, tooltip="number of samples",
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
            description=name, layout=_WIDTH, tooltip=name,
        )  # fmt: skip
        super().__init__({name: self.slider}, f"A slider for {name}.")

    def sentence(self) -> str:
        """What the present picture shows."""
        return self._pictures[self.slider.value][1]

    def _png(self) -> bytes:
        return self._pictures[self.slider.value][0]


class BowlExplorer(_Pictured):
    """Sliders for learning rate and condition number over gradient descent on a bowl.

    L(x, y) = (lambda_1 x^2 + lambda_2 y^2) / 2,  lambda_1 = 1,  lambda_2 = 1 / kappa;
    after t steps of gradient descent  x_t = (1 - lr lambda_1)^t x_0  and
    y_t = (1 - lr lambda_2)^t y_0, exactly. So a move costs one picture and no iteration.

    Args:
        lr: first value of its slider, learning rate times lambda_max, 0.1..2.4.
        kappa: first value of its slider, lambda_max / lambda_min, 1..50.
        steps: number of steps of gradient descent.

    Attributes:
        lr: the slider for the learning rate times lambda_max (= the learning rate here).
        kappa: the slider for the condition number, logarithmic.
        readout: what the steps do, as HTML.
        picture: the Image widget.

    Raises:
        ValueError: lr or kappa outside its range, or steps below 1.
    """

    START = (1.5, 1.2)
    LR, KAPPA = (0.1, 2.4), (1.0, 50.0)

    def __init__(self, lr: float = 1.8, kappa: float = 10.0, steps: int = 30) -> None:
        for name, value, (low, high) in (("lr", lr, self.LR), ("kappa", kappa, self.KAPPA)):
            if not low <= value <= high:
                raise ValueError(f"{name} must lie in {low:g}..{high:g}; got {name} = {value}.")
        if steps < 1:
            raise ValueError(f"steps must be at least 1; got steps = {steps}.")
        self._steps = steps
        layout, style = _WIDTH, {"description_width": "110px"}
        self.lr = FloatSlider(
            value=lr, min=self.LR[0], max=self.LR[1], step=0.05, description="lr \u00d7 \u03bb max",
            layout=layout, style=style, tooltip="learning rate times the largest eigenvalue",
        )  # fmt: skip
        self.kappa = FloatLogSlider(
            value=kappa, base=10, min=0.0, max=float(np.log10(self.KAPPA[1])), step=0.02,
            description="\u03ba", readout_format=".1f", layout=layout, style=style,
            tooltip="condition number: largest over smallest eigenvalue",
        )  # fmt: skip
        self._drawing = BowlPicture(steps)
        super().__init__(
            {"lr": self.lr, "kappa": self.kappa},
            "Sliders for the learning rate and the condition number.",
        )

    def factors(self) -> np.ndarray:
        """What one step multiplies x and y by: 1 - lr lambda_i, (2,)."""
        lr = round(self.lr.value, 9)  # a slider's 40th step may come as 2.0000000000000004
        return 1 - lr / np.array([1.0, self.kappa.value])

    def path(self) -> np.ndarray:
        """The points (x_t, y_t), t = 0 .. steps, in closed form, (steps + 1, 2)."""
        return self.factors() ** np.arange(self._steps + 1)[:, None] * np.array(self.START)

    def sentence(self) -> str:
        """The present state in words: the readout, and the picture's alternative text."""
        kappa, (x, y) = self.kappa.value, self.factors()
        if abs(abs(x) - 1) < 1e-9:  # lr lambda_max = 2
            verdict = "It neither converges nor diverges: x jumps from side to side for ever"
        elif abs(x) > 1:
            verdict = "It diverges: x jumps from side to side, farther out each time"
        elif x < -1e-9:
            verdict = "It converges: x oscillates from side to side, closer each time"
        elif x > 1e-9:
            verdict = "It converges: x and y creep in from their own side"
        else:
            verdict = "It converges: x is at the bottom after a single step"
        losses = self._losses().sum(1)
        best, rate = 2 / (1 + 1 / kappa), (kappa - 1) / (kappa + 1)
        return (
            f"lr \u00d7 \u03bb max = {self.lr.value:.2f}, condition number \u03ba = {kappa:.1f}. "
            f"Each step multiplies the distance to the bottom by |1 - lr \u03bb| = {abs(x):.3f} in "
            f"x (sharp) and by {abs(y):.3f} in y (flat). {verdict}. "
            f"Loss after {self._steps} steps: {losses[-1] / losses[0]:.1e} of the first. "
            f"Best for this \u03ba: lr \u00d7 \u03bb max = {best:.2f}, with factor {rate:.3f}."
        )

    def _losses(self) -> np.ndarray:
        """Parts of the loss along x and y, (steps + 1, 2)."""
        return self.path() ** 2 / np.array([1.0, self.kappa.value]) / 2

    def _png(self) -> bytes:
        return self._drawing.png(self.kappa.value, self.path(), self._losses())


class StepExplorer(_Pictured):
    """Sliders for exponent and damping over Spectral Newton's step of each singular value.

    T(sigma; alpha) = sigma / (sigma^alpha + d)                                           C26

    alpha = 0 is gradient descent, scaled; alpha = 1 with small d moves all modes alike, as UV'
    does; alpha = 2 with small d moves small modes farther than large ones. Where d is far above
    sigma^alpha it is gradient descent again, whatever alpha.

    Args:
        alpha: first value of its slider, 0..2.
        damping: first value of its slider, 1e-6..1e2.

    Attributes:
        alpha: the slider for the exponent.
        damping: the slider for d, logarithmic.
        readout: what happens to a large and to a small mode, as HTML.
        picture: the Image widget.

    Raises:
        ValueError: alpha or damping outside its range.
    """

    LARGE, SMALL = 1.0, 0.01  # singular values of the two modes that the sentence follows
    ALPHA, DAMPING = (0.0, 2.0), (1e-6, 1e2)

    def __init__(self, alpha: float = 2.0, damping: float = 0.1) -> None:
        for name, value, (low, high) in (
            ("alpha", alpha, self.ALPHA),
            ("damping", damping, self.DAMPING),
        ):
            if not low <= value <= high:
                raise ValueError(f"{name} must lie in {low:g}..{high:g}; got {name} = {value}.")
        layout = _WIDTH
        self.alpha = FloatSlider(
            value=alpha, min=self.ALPHA[0], max=self.ALPHA[1], step=0.05, description="\u03b1",
            layout=layout, tooltip="exponent of the singular value that the step is divided by",
        )  # fmt: skip
        low, high = np.log10(self.DAMPING)
        self.damping = FloatLogSlider(
            value=damping, base=10, min=float(low), max=float(high), step=0.1, description="d",
            readout_format=".1e", layout=layout, tooltip="damping, added to the divisor",
        )  # fmt: skip
        self._drawing = StepPicture()
        super().__init__(
            {"alpha": self.alpha, "damping": self.damping},
            "Sliders for the exponent and the damping.",
        )

    def step(self, sigma: np.ndarray) -> np.ndarray:
        """T(sigma; alpha) = sigma / (sigma^alpha + d) at the sliders' alpha and d."""
        sigma = np.asarray(sigma, dtype=float)
        return sigma / (sigma**self.alpha.value + self.damping.value)

    def power(self) -> float:
        """Power p of T(large)/T(small) = (large/small)^p: gradient descent 1, UV' 0, 1/sigma -1."""
        large, small = self.step(np.array([self.LARGE, self.SMALL]))
        return float(np.log(large / small) / np.log(self.LARGE / self.SMALL))

    def sentence(self) -> str:
        """The present state in words: the readout, and the picture's alternative text."""
        large, small = self.step(np.array([self.LARGE, self.SMALL]))
        power = self.power()
        if power > 0.95:
            divisor = self.LARGE / large
            near = f"This is near gradient descent, with the learning rate divided by {divisor:.3g}"
        elif abs(power) < 0.05:
            near = "This is near the limit UV': all modes move alike"
        elif power < -0.95:
            near = "This is near the limit 1/\u03c3: what the gradient hardly sees moves most"
        elif power > 0:
            near = "This lies between gradient descent and UV'"
        else:
            near = "This lies between UV' and 1/\u03c3: small modes move farther than large ones"
        return (
            f"\u03b1 = {self.alpha.value:.2f}, d = {self.damping.value:.1e}. A large mode "
            f"(\u03c3 = {self.LARGE:g}) moves by {large:.3g}, a small one (\u03c3 = "
            f"{self.SMALL:g}) by {small:.3g}: the large one {large / small:.3g} times as far. "
            f"Gradient descent would move it {self.LARGE / self.SMALL:g} times as far. {near}."
        )

    def _png(self) -> bytes:
        sigma = np.geomspace(*StepPicture.SIGMAS, 101)
        modes = np.array([self.LARGE, self.SMALL])
        return self._drawing.png(
            sigma, self.step(sigma), list(zip(modes, self.step(modes), strict=True))
        )


class SaveMyWork(VBox):
    """A button that packs the learner's answers and predictions, and one that brings them back.

    The zip lies beside the notebooks as my_work.zip, and a link hands it to the browser, because
    a session on a server may end with all its files.

    Args:
        folder: where the notebooks lie; the present one by default.

    Attributes:
        button: saves when clicked.
        upload: restores the zip that is chosen.
        readout: what happened, as HTML.
    """

    def __init__(self, folder: Path | str = ".") -> None:
        self._folder = Path(folder)
        wide = Layout(width="auto")
        self.button = Button(
            description="Save my work", icon="download", layout=wide,
            tooltip="pack the answers and predictions of all notebooks into a zip",
        )  # fmt: skip
        self.upload = FileUpload(accept=".zip", description="Restore my work", layout=wide)
        self.readout = HTML()
        self.button.on_click(lambda _: self._tell(self._save))
        self.upload.observe(self._uploaded, names="value")
        for name, part in {"work": self, "save": self.button, "restore": self.upload}.items():
            part.add_class(f"ln-{name}")
        self.readout.add_class("ln-readout")
        style = _hidden_style(_WORK_STYLE, _NAME_STATUS)
        super().__init__([HBox([self.button, self.upload]), self.readout, style])

    def _tell(self, do, *arguments) -> None:
        """Show what was done, or why it could not be."""
        try:
            words = do(*arguments)
        except Exception as error:  # a button that does nothing would look as if it had
            words = f"<b>Nothing was changed.</b> {html.escape(str(error))}"
        self.readout.value = f'<div style="line-height:1.5">{words}</div>'

    def _save(self) -> str:
        content, found = work.save(self._folder)
        if not found.files:
            words = "There is nothing to save yet: no answer and no prediction has been changed."
            return words + _left_out(found.unreadable)
        notebooks = len({name.split("/")[0] for name in found.files})
        link = base64.b64encode(content).decode()
        return (
            f"Saved answers and predictions: {len(found.files)}, from notebooks: {notebooks}. "
            f'<a download="{work.SAVED}" href="data:application/zip;base64,{link}">'
            f"Download {work.SAVED}</a>. Edits that were neither run nor saved are not in it."
            + _left_out(found.unreadable)
        )

    def _uploaded(self, change: dict) -> None:
        if change["new"]:
            self._tell(self._restore, bytes(change["new"][0].content))
            self.upload.value = ()  # so that the same file can be chosen again

    def _restore(self, content: bytes) -> str:
        done = work.restore(content, self._folder)
        told = [f"{name}: {len(tags)}" for name, tags in done.tags.items()]
        words = (
            f"Restored answers and predictions: {', '.join(told) or 'none'}. In a notebook that is "
            "open, choose <b>File &gt; Reload Notebook from Disk</b> to see them."
        )
        if done.backup:
            words += f" What was there before is in {done.backup}."
        if done.unknown:
            words += f" No notebook here has a place for: {html.escape(', '.join(done.unknown))}."
        return words + _left_out(done.unreadable)

    def _repr_mimebundle_(self, include=None, exclude=None, **kwargs) -> tuple[dict, dict]:
        data = super()._repr_mimebundle_(include=include, exclude=exclude, **kwargs)
        data["text/plain"] = "Two buttons: Save my work, Restore my work."
        return data, {}


def _left_out(unreadable: list[str]) -> str:
    return f" Could not be read: {html.escape(', '.join(unreadable))}." if unreadable else ""
