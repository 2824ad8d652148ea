"""D, sigma and k over the criterion: closed forms of numbers measured before."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from traitlets import validate

from landscape_nb.figures.explorers import explorer_picture
from landscape_nb.theory.moments import Moment
from landscape_nb.theory.tables import MomentTable
from landscape_nb.widgets.explorable import Explorable, Number, SettingError, Whole, finite

PARTS = ("value", "cross", "gradient", "curvature")
DIGITS = 10  # significant ones of a coefficient: far more than is shown, and half as many as stored


class Explorer(Explorable, module="explorer"):
    """Sliders for D, sigma and, if wanted, k over the criterion's parts and what each probe sees.

    E I^2 = value + sigma^2 cross + sigma^2 gradient + sigma^4 curvature               KG26 Eq. 15

    The coefficients are the tables', rounded to ten significant digits; every number shown, here
    and in the browser, is computed from the rounded ones.

    Args:
        probes: name -> `MomentTable` of nested probes; the first is the one in focus.
        full: the full-space `MomentTable` (one column), on the same ks.
        D: first value of its slider; 10, or as many as every table holds, if not given.
        sigma: first value of its slider.
        sigma_range: exponents of ten between which sigma moves.
        k: first value of a slider for k, one of the tables' ks; without it there is no such
            slider, and what each probe sees is averaged over k.

    Attributes:
        D: the dimension of the probe.
        sigma: its standard deviation.
        k: the number of samples at which the probes are compared; None: averaged over k.

    Raises:
        ValueError: the tables are not finite or not on the same ks, k is not one of them, D or
            sigma lies outside its range, or the criterion overflows within it.
    """

    D = Whole().tag(sync=True, explorable=True)
    sigma = Number().tag(sync=True, explorable=True)
    k = Whole(None, allow_none=True).tag(sync=True, explorable=True)

    def __init__(
        self,
        probes: Mapping[str, MomentTable],
        full: MomentTable,
        *,
        D: int | None = None,
        sigma: float = 1e-3,
        sigma_range: tuple[float, float] = (-4.0, 0.0),
        k: int | None = None,
    ) -> None:
        _check_tables(probes, full)
        _check_range(sigma_range)
        largest = min(table.D for table in probes.values())
        # to the digits that the browser's slider gives, so that its ends are within
        ends = [float(f"{10**exponent:.12g}") for exponent in sigma_range]
        self._probes = {name: _rounded(table, largest) for name, table in probes.items()}
        self._full = _rounded(full, 1)
        data = {
            "ks": full.ks.tolist(),
            "probes": [{"name": name, **_plain(t)} for name, t in self._probes.items()],
            "full": _plain(self._full),
            "uncertain": any(map(_uncertain, [self._full, *self._probes.values()])),
            "heights": list(_heights(self._probes, self._full, ends[1])),
            "ranges": {"D": [1, largest], "sigma": ends},
        }
        D = min(10, largest) if D is None else D
        super().__init__(data=data, D=D, sigma=sigma, k=k)

    @validate("k")
    def _one_of_the_ks(self, proposal: Any) -> int | None:
        k, ks = proposal.value, self.data["ks"]
        if k is not None and k not in ks:
            raise SettingError(f"k must be one of the tables' ks, {ks}; got k = {k}.")
        return k

    def moment(self) -> Moment:
        """The first probe's criterion and its parts at the present D and sigma, entries (K,)."""
        return next(iter(self._probes.values())).at(self.D, self.sigma)

    def ratios(self, part: str) -> dict[str, float]:
        """Each probe's criterion over the full-space one, averaged over k or at the present k.

        Args:
            part: "total" (the raw criterion), "centred", or one part of a `Moment`.
        """
        whole = getattr(self._full.at(1, self.sigma), part)
        return {
            name: self._over_k(getattr(table.at(self.D, self.sigma), part) / whole)
            for name, table in self._probes.items()
        }

    def ratio_errors(self, part: str) -> dict[str, tuple[float, float]]:
        """Where each of `ratios(part)` lies when probe and full space are off by a standard error.

        From (p - e)/(f + e_f) to (p + e)/(f - e_f), infinite where the full space is not known
        from 0; averaged over k as the ratios are. A bound: errors of parts, of the two, and of
        several k add up here, as if all of them were off to the same side.
        """
        D, sigma = self.D, self.sigma
        f, e_f = (getattr(m, part) for m in _with_errors(self._full, 1, sigma))
        found = {}
        for name, table in self._probes.items():
            p, e = (getattr(m, part) for m in _with_errors(table, D, sigma))
            high = torch.where(f > e_f, (p + e) / (f - e_f), torch.inf)
            found[name] = (self._over_k((p - e) / (f + e_f)), self._over_k(high))
        return found

    def numbers(self) -> dict[str, Any]:
        """The first probe's parts at every k, and the raw and centred ratio of every probe."""
        moment = self.moment()
        found: dict[str, Any] = {
            "parts": {name: getattr(moment, name).tolist() for name in ("total", *PARTS)}
        }
        for name, part in (("raw", "total"), ("centred", "centred")):
            found[name] = list(self.ratios(part).values())
            errors = self.ratio_errors(part).values() if self.data["uncertain"] else None
            found[f"{name}_errors"] = None if errors is None else [list(pair) for pair in errors]
        return found

    def sentence(self) -> str:
        """The present state in words, the same that the browser shows."""
        found, (row, *_) = self.numbers(), self._rows()
        if self.k is None:
            row = len(self.data["ks"]) // 2
        total, *parts = (found["parts"][name][row] for name in ("total", *PARTS))
        shares = ", ".join(
            f"{name} {_share(part / total if total else 0.0)}"
            for name, part in zip(PARTS, parts, strict=True)
        )
        seen = "; ".join(
            f"{name} raw {self._ratio(found, 'raw', i, '.3f')}, "
            f"centred {self._ratio(found, 'centred', i, '.2g')}"
            for i, name in enumerate(self._probes)
        )
        brackets = " In brackets: within a standard error." if "(" in seen else ""
        where = "averaged over k" if self.k is None else "at this k"
        return (
            f"D = {self.D}, sigma = {self.sigma:.1e}. At k = {self.data['ks'][row]} the criterion "
            f"is {total:.2e}: {shares}. Share of the full-space criterion, {where}: {seen}."
            f"{brackets}"
        )

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        return "Sliders for D and sigma." if self.k is None else "Sliders for D, sigma and k."

    def _rows(self) -> list[int]:
        """The row of the present k, or all of them."""
        ks = self.data["ks"]
        return list(range(len(ks))) if self.k is None else [ks.index(self.k)]

    def _over_k(self, values: Tensor) -> float:
        return float(values[self._rows()].mean())

    def _ratio(self, found: dict[str, Any], name: str, i: int, form: str) -> str:
        """A ratio in words, with its errors where they are large enough to show."""
        words = format(found[name][i], form)
        if found[f"{name}_errors"] is None:
            return words
        low, high = (format(end, form) for end in found[f"{name}_errors"][i])
        if low == high:
            return words
        return f"{words} ({low} or more)" if high == "inf" else f"{words} ({low} to {high})"

    def _png(self) -> bytes:
        found = self.numbers()
        shares = {name: (found[name], found[f"{name}_errors"]) for name in ("raw", "centred")}
        ks, heights = self.data["ks"], self.data["heights"]
        return explorer_picture(ks, found["parts"], heights, list(self._probes), shares, self.k)


def _check_range(sigma_range: tuple[float, float]) -> None:
    low, high = sigma_range
    if not low < high:
        raise ValueError(
            "sigma_range must be two exponents of ten, the smaller one first; "
            f"got sigma_range = {sigma_range}."
        )


def _check_tables(probes: Mapping[str, MomentTable], full: MomentTable) -> None:
    if not isinstance(probes, Mapping) or not probes:
        raise ValueError(
            "probes must be a dict of one MomentTable or more, name -> table; got "
            f"{'none' if isinstance(probes, Mapping) else type(probes).__name__}."
        )
    for name, table in {**probes, "full": full}.items():
        if not isinstance(table, MomentTable):
            raise ValueError(
                f"'{name}' must be a MomentTable, as from moment_table; got {type(table).__name__}."
            )
        for part in PARTS:
            finite(f"'{name}', {part},", getattr(table, part))
        if table.ks.tolist() != full.ks.tolist():
            raise ValueError(
                f"All tables must be on the same grid of k; '{name}' is on "
                f"{table.ks.tolist()}, the full space on {full.ks.tolist()}."
            )


def _rounded(table: MomentTable, D: int) -> MomentTable:
    """The table's first D columns in float64, each number with few digits."""

    def few(part: Tensor | None) -> Tensor | None:
        if part is None:
            return None
        kept = part if part.ndim == 1 else part[:, :D]
        digits = [float(f"{x:.{DIGITS - 1}e}") for x in kept.flatten().tolist()]
        return torch.tensor(digits, dtype=torch.float64).reshape(kept.shape)

    parts = {f.name: few(getattr(table, f.name)) for f in dataclasses.fields(table)}
    return MomentTable(**{**parts, "ks": table.ks.cpu()})  # type: ignore[arg-type]


def _plain(table: MomentTable) -> dict[str, Any]:
    """A table as lists, without the ks, which all tables share."""
    parts = {f.name: getattr(table, f.name) for f in dataclasses.fields(table) if f.name != "ks"}
    return {name: None if part is None else part.tolist() for name, part in parts.items()}


def _uncertain(table: MomentTable) -> bool:
    return any(getattr(table, f"{part}_stderr") is not None for part in PARTS)


def _with_errors(table: MomentTable, D: int, sigma: float) -> tuple[Moment, Moment]:
    return table.at(D, sigma), table.stderr_at(D, sigma)


def _heights(
    probes: Mapping[str, MomentTable], full: MomentTable, sigma: float
) -> tuple[float, float]:
    """Ends of the left picture's height: fourteen decades or so, chosen here."""
    widest = [table.at(table.D, sigma) for table in (*probes.values(), full)]  # none may overflow
    top = 3 * float(widest[0].total.max())
    least = float(widest[0].value.min())
    return 1e-10 * least if least > 0 else 1e-14 * top, top


def _share(x: float) -> str:
    """Percent; small shares as powers of ten, so that they do not all read 0.0 %."""
    return f"{100 * x:.1f} %" if abs(x) >= 1e-3 or x == 0 else f"{x:.0e}"
