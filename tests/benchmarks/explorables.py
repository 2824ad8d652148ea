"""How fast the explorables of the exported pages follow: on a CPU four times slower.

    python notebooks/export.py /tmp/site
    python tests/benchmarks/explorables.py /tmp/site

Each slider is moved once a frame, as a steady hand would. `work` is what a move costs from the
event to the end of its drawing, style and layout included; `frame` the time from one frame to the
next, 16.7 ms where none is missed. `alive` is when the page's last explorable can be moved,
counted from the opening of the page. Goals: work within 16 ms at the 95th percentile, alive within
1 s. Chromium, headless; painting is another process's and shows in `frame` only.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from browser import chromium
from selenium import webdriver

SLOWER = 4
MOVES = 240
WIDTHS = {"laptop": (1366, 768), "phone": (390, 844)}
ALIVE = """
    const done = arguments[arguments.length - 1];
    const look = () => {
      const all = [...document.querySelectorAll('figure.explorable')];
      if (all.every(one => one.classList.contains('ln-alive'))) done(performance.now());
      else setTimeout(look, 5);
    };
    look();"""
MOVE = """
    const [root, input, moves] = arguments, done = arguments[arguments.length - 1];
    const [low, high] = [Number(input.min), Number(input.max)];
    const work = [], frames = [];
    let last = 0, count = 0;
    root.scrollIntoView();
    const step = now => {
      if (last) frames.push(now - last);
      last = now;
      if (count === moves) return done([work, frames]);
      const drawn = root.dataset.drawn;
      let before;
      requestAnimationFrame(() => { before = performance.now(); });
      const start = performance.now();
      input.value = low + (high - low) * (0.5 - 0.5 * Math.cos(count / 9));
      input.dispatchEvent(new Event('input', {bubbles: true}));
      count += 1;
      const dispatched = performance.now() - start;
      requestAnimationFrame(after => {  // asked for after the explorable's own: it has drawn
        root.getBoundingClientRect().width;  // style and layout
        if (root.dataset.drawn !== drawn) work.push(dispatched + performance.now() - before);
        step(after);
      });
    };
    requestAnimationFrame(step);"""


def opened(driver: webdriver.Chrome, page: Path, size: tuple[int, int]) -> float:
    """Open a page of the site on the slow CPU; seconds until all its explorables are alive."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 2, "mobile": size[0] < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    driver.get(page.as_uri())
    return driver.execute_async_script(ALIVE) / 1e3


def sliders(driver: webdriver.Chrome):
    """Module, setting, root and input of each slider of the page."""
    for figure in driver.find_elements("css selector", "figure.explorable"):
        root = figure.find_element("css selector", ".ln-explorable")
        for label in root.find_elements("css selector", ".ln-slider"):
            names = figure.get_attribute("data-module"), label.get_attribute("data-trait")
            yield *names, root, label.find_element("css selector", "input")


def main(site: Path) -> None:
    with chromium() as driver:
        driver.set_script_timeout(120)
        version = driver.capabilities["browserVersion"]
        slow = f"{os.cpu_count()} cores, CPU slowed {SLOWER} times, {MOVES} moves"
        print(f"Chromium {version}, {slow}\n")
        print("| page | width | alive | explorable | setting | work, 50 % | 95 % | frame, 95 % |")
        print("|---|---|---|---|---|---|---|---|")
        for page in sorted(site.glob("[0-9]*.html")):
            if 'class="explorable"' not in page.read_text("utf-8"):
                continue
            for width, size in WIDTHS.items():
                alive = opened(driver, page, size)
                for module, trait, root, slider in sliders(driver):
                    work, frames = driver.execute_async_script(MOVE, root, slider, MOVES)
                    cells = [*np.percentile(work, [50, 95]), np.percentile(frames, 95)]
                    figures = " | ".join(f"{cell:.1f} ms" for cell in cells)
                    head = f"{page.stem} | {width} | {alive:.2f} s | {module} | {trait}"
                    print(f"| {head} | {figures} |", flush=True)


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("site", type=Path)
    main(asked.parse_args().site)
