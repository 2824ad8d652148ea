"""Maps of numbers: what is written where."""

import numpy as np

from landscape_nb.figures import new_figure, number_map


def test_number_map_writes_every_number_and_its_first_row_lowest():
    figure, ax = new_figure()
    Z = np.array([[1.0, 10.0, 100.0], [0.5, 5.0, 50.0]])
    number_map(ax, ["a", "b", "c"], ["low", "high"], Z, "{:g}")
    written = {t.get_position(): t.get_text() for t in ax.texts}
    assert written == {(j, i): f"{Z[i, j]:g}" for i in range(2) for j in range(3)}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["low", "high"]
    assert ax.get_ylim()[0] < ax.get_ylim()[1]
