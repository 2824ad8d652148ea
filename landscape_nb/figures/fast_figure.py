"""A figure that redraws in milliseconds: for pictures that follow a slider.

A full matplotlib redraw takes 0.1 s or more, too slow to feel attached to a slider. Here axes,
ticks and labels are drawn once and kept as pixels; a change restores these pixels, draws only the
moving artists over them and encodes a PNG of few colours at the lowest compression.
"""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image


class FastFigure:
    """A figure with a still background and a few moving artists.

    Args:
        figure: the figure; its axis limits must not change any more.
        moving: artists that change from picture to picture.
        colours: every colour in the picture, besides white; at most 25.
    """

    def __init__(
        self, figure: Figure, moving: Sequence[Artist], colours: Sequence[str | tuple]
    ) -> None:
        self.figure, self._canvas = figure, FigureCanvasAgg(figure)
        self._moving = sorted(moving, key=lambda artist: artist.get_zorder())
        self._palette = _palette(colours)
        for artist in moving:
            artist.set_animated(True)  # left out of the full draw below
        self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(figure.bbox)

    def png(self) -> bytes:
        """The picture as it is now."""
        self._canvas.restore_region(self._background)
        renderer = self._canvas.get_renderer()
        for artist in self._moving:
            artist.draw(renderer)
        size = self._canvas.get_width_height(physical=True)
        pixels = Image.frombuffer("RGBA", size, self._canvas.buffer_rgba()).convert("RGB")
        buffer = io.BytesIO()
        # A byte a pixel encodes several times faster than three.
        few = pixels.quantize(palette=self._palette, dither=Image.Dither.NONE)
        few.save(buffer, "png", compress_level=1)
        return buffer.getvalue()


def _palette(colours: Sequence[str | tuple]) -> Image.Image:
    """White, and each colour in ten shades towards white, for smooth edges."""
    white, shades = np.ones(3), np.linspace(1, 0.1, 10)
    blends = [white] + [s * np.array(to_rgb(c)) + (1 - s) * white for c in colours for s in shades]
    image = Image.new("P", (1, 1))
    image.putpalette(np.rint(255 * np.array(blends)).astype(np.uint8).tobytes())
    return image
