"""What the course's pages weigh, and how soon they can be read and moved.

    python notebooks/export.py OUT && python tests/benchmarks/pages.py OUT

Goals: a notebook's page under 3 MB with all that it loads, our scripts under 300 kB together, the
first explorable drawn within 1 s of opening on a processor four times slower, and nothing that
moves while the page appears (layout shift below 0.1, what web.dev/articles/cls calls good).
"""

import argparse
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote

from bs4 import BeautifulSoup

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from exported_site import LAPTOP, PHONE, chromium, show

SLOWER = 4  # times, as Lighthouse slows a laptop down to a phone
WATCH = """
    window.seen = {shift: 0, alive: null};
    new PerformanceObserver(list => { for (const e of list.getEntries()) seen.shift += e.value; })
      .observe({type: 'layout-shift', buffered: true});
    const ask = () => { if (document.querySelector('.ln-alive [data-drawn]'))
      seen.alive ??= performance.now(); else if (performance.now() < 5000) setTimeout(ask, 4); };
    ask();"""
# two frames and a quiet moment after the page is whole, so that late shifts are counted
MEASURED = """
    const done = arguments[arguments.length - 1];
    const tell = () => setTimeout(() => done([
      performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN,
      seen.shift, seen.alive, document.querySelectorAll('figure.explorable').length]), 500);
    document.readyState === 'complete' ? tell() : addEventListener('load', tell);"""


def weight(path: Path) -> tuple[int, int]:
    """Bytes of a page with all that it can load, and of its scripts; each file once."""
    soup = BeautifulSoup(path.read_text("utf-8"), "html.parser")
    for still in soup.select("figure.explorable img"):
        still.decompose()  # its place is taken by the explorable
    names = [tag.get("src") or tag["href"] for tag in soup.select("img, script[src], link[href]")]
    files = {path.parent / unquote(name) for name in names if not name.startswith("data:")}
    scripts = {file for file in files if file.suffix == ".js"}
    scripts |= set(path.parent.glob("search-index.js"))
    size = sum(file.stat().st_size for file in {path, *files, *scripts})
    return size, sum(file.stat().st_size for file in scripts)


def main() -> None:
    """Print a row for each page of the course."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the exported site")
    pages = sorted(parser.parse_args().out.resolve().glob("*.html"))
    print("page                     MB   scripts kB |  paint ms, shift, alive ms: laptop | phone")
    with tempfile.TemporaryDirectory() as profile, chromium(profile) as driver:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        for page in pages:
            told = []
            for size in (LAPTOP, PHONE):
                show(driver, page, size)
                paint, shift, alive, count = driver.execute_async_script(MEASURED)
                moved = f"{alive:6.0f}" if alive is not None else f"{'-' if not count else 'no':>6}"
                told.append(f"{paint:6.0f} {shift:6.3f} {moved}")
            size, scripts = weight(page)
            print(f"{page.stem:22}{size / 1e6:6.2f} {scripts / 1e3:8.1f}    | {' | '.join(told)}")


if __name__ == "__main__":
    main()
