"""Pictures of a whole notebook as a learner sees it.

    python tests/screenshots.py NOTEBOOK OUTDIR [--theme "JupyterLab Dark"] [--width 480]

Runs the notebook in a browser, on a copy, and saves one picture for each screenful, for a human to
look at: no test judges layout.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from browser import VIEWPORT, JupyterBrowser


def screenshots(
    notebook: Path, outdir: Path, theme: str = "JupyterLab Light", width: int = VIEWPORT[0]
) -> list[Path]:
    """Run the notebook and return the files written, from its top to its end."""
    outdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(notebook, folder)
        if (notebook.parent / "pictures").exists():  # the exercises' text shows some
            shutil.copytree(notebook.parent / "pictures", Path(folder) / "pictures")
        with JupyterBrowser(Path(folder)) as lab:
            lab.open_notebook(notebook.name)
            lab.set_theme(theme)
            lab.run_all()
            lab.set_viewport(width)
            paths = []
            for number in lab.scroll_pages():
                paths.append(outdir / f"{notebook.stem}_{number:02d}.png")
                lab.screenshot(paths[-1])
    return paths


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("notebook", type=Path)
    asked.add_argument("outdir", type=Path)
    asked.add_argument("--theme", default="JupyterLab Light")
    asked.add_argument("--width", type=int, default=VIEWPORT[0], help="of the page, in CSS pixels")
    print(*screenshots(**vars(asked.parse_args())), sep="\n")
