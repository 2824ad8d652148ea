"""C26's published spectra: a reader for a copy of its repository.

    spectra = published_spectra("PATH")

The repository, 9D-Labs/9d-spectral-alignment-decomposition on GitHub, holds the raw singular values
sigma and curvatures h of 64 layers. They are not ours to ship: `study.evidence.published_spectra`
holds what was derived from them. Both revisions, of 22 and of 26 May 2026, have the same files.
"""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ADDRESS = "https://github.com/9D-Labs/9d-spectral-alignment-decomposition"
VARIABLE = "C26_REPOSITORY"  # of the environment: the folder of a copy


class PublishedSpectrum(NamedTuple):
    """Singular values and curvatures of one layer, as published.

    Attributes:
        network: file and experiment; layers of one network are not independent.
        layer: its name there.
        size: rows and columns of the layer's matrix.
        kind: "conv", "attention", "MLP up", "MLP down", "dense" or "output".
        sigma, h: (r,), in the published order.
        h_kron: (r,), curvature of the Kronecker model in the author's units, or None. They are not
            those of theory.layers: a constant factor lies between, which no slope sees.
        alpha: as published.
        error: of the triangle, as published; NaN where none was.
    """

    network: str
    layer: str
    size: tuple[int, int]
    kind: str
    sigma: np.ndarray
    h: np.ndarray
    h_kron: np.ndarray | None
    alpha: float
    error: float


def published_spectra(folder: str | Path) -> list[PublishedSpectrum]:
    """All published layers that have both sigma and h, from a copy of C26's repository.

    Args:
        folder: the repository, or its folder `results`.

    Raises:
        ValueError: files are missing, or not of the shape that they had in May 2026; which, and
            what was looked for.
    """
    place = Path(folder)
    place = place / "results" if (place / "results").is_dir() else place
    missing = [name for name in _READERS if not (place / name).is_file()]
    if missing:
        raise ValueError(
            f"{str(place)!r} does not hold {', '.join(missing)}. Give the folder of a copy of "
            f"{ADDRESS}, which holds them under 'results'."
        )
    return [spectrum for name in _READERS for spectrum in _read(place / name)]


# -- the files ------------------------------------------------------------------------------------


def _read(path: Path) -> list[PublishedSpectrum]:
    """The spectra of one file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        stem = path.stem.removeprefix("results_")
        return [
            _spectrum(f"{stem}/{network}", record)
            for network, record in _READERS[path.name](content)
        ]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{path.name} is not of the shape that it had in May 2026 ({error!r}). Take the "
            f"revision of 22 or of 26 May 2026 of {ADDRESS}."
        ) from None


def _spectrum(network: str, record: dict) -> PublishedSpectrum:
    sigma, h = (np.asarray(record[name], dtype=float) for name in ("sigma", "h_exact"))
    if sigma.ndim != 1 or sigma.shape != h.shape or len(h) < 3:
        raise ValueError(f"{record['name']}: sigma {sigma.shape} and h_exact {h.shape}")
    kron = record.get("h_kron")
    if kron is None and "cos2_naive" in record:  # the quotient h / h^Kron under an older name
        kron = h / np.asarray(record["cos2_naive"], dtype=float)
    kron = None if kron is None else np.asarray(kron, dtype=float)
    if kron is not None and kron.shape != h.shape:
        raise ValueError(f"{record['name']}: h^Kron {kron.shape} and h_exact {h.shape}")
    alpha = record["alpha"] if "alpha" in record else record["alpha_exact"]
    layer = str(record["name"])
    rows, *columns = map(int, record["shape"])
    size = (rows, math.prod(columns))
    error = float(record.get("triangle_relative_error", "nan"))
    return PublishedSpectrum(
        network, layer, size, _kind(layer), sigma, h, kron, float(alpha), error
    )


def _kind(layer: str) -> str:
    """What a layer is, by its name."""
    for words, kind in _KINDS:
        if any(word in layer for word in words):
            return kind
    raise ValueError(f"{layer!r} names no known kind of layer")


_KINDS = (
    (("attn",), "attention"),
    (("mlp.0", "mlp_up"), "MLP up"),
    (("mlp.2", "mlp_down"), "MLP down"),
    (("head", "fc", "classifier.3"), "output"),
    (("classifier",), "dense"),
    (("conv", "features", "patch_embed"), "conv"),
)


def _triangle(content: list) -> Iterator[tuple[str, dict]]:
    for block in content:
        yield from ((block["experiment"], record) for record in block["results"])


def _gap(content: dict) -> Iterator[tuple[str, dict]]:
    yield from (("ResNet-18", r) for r in (*content["conv_results"], content["fc_result"]))


def _hypothesis(content: dict) -> Iterator[tuple[str, dict]]:
    for group in ("output_dim", "task_structure"):
        for network, records in content[group].items():
            yield from ((network, record) for record in records)


def _predictions(content: list) -> Iterator[tuple[str, dict]]:
    for block in content:
        for record in block["results"]:  # with and without batch norm: trained one by one
            apart = block["arch"] == "bn_ablation"
            yield (record["name"] if apart else block["arch"]), record


_READERS: dict[str, Callable[[Any], Iterator[tuple[str, dict]]]] = {
    "results_alpha_triangle.json": _triangle,
    "results_conv_gap.json": _gap,
    "results_conv_gap_v2.json": _gap,
    "results_hypothesis.json": _hypothesis,
    "results_predictions.json": _predictions,
}
