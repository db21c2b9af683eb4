"""The explorer page in a real browser, with the manifold that ships: until it can be used, and until it has classified something.

    python benchmarks/explorer.py [--runs N] [--json FILE]

Every run is a first visit, with a cache of its own. The service has made both networks before, so the times are the page's: its files, its
requests, and in the second row onnxruntime-web. Needs Chromium, and the page (`make explorer`).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping

from measure import Timing
from playwright.sync_api import Browser, sync_playwright
from report import Report, Row, arguments
from servers import service

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
MILESTONES = {
    "the slider shows a plan": "document.querySelector('#params')?.textContent.match(/[0-9]/)",
    "the first classification": "document.querySelector('.latency')",
}
"""What a visitor waits for -> an expression that is true from then on."""
# Milliseconds since the visit began, taken in the page when its elements change: no time of the driver's is in them.
WATCH = """milestones => {
    globalThis.reached = {};
    const look = () => {
        for (const [name, condition] of Object.entries(milestones)) if (!(name in reached) && condition()) reached[name] = performance.now();
    };
    new MutationObserver(look).observe(document, {childList: true, subtree: true, characterData: true});
}"""
# Bytes over the wire, heads too; the files of onnxruntime-web have `ort` in their names.
BYTES = """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].map(
    ({name, transferSize}) => [name, transferSize])"""


def main() -> None:
    options = arguments(__doc__, runs=10).parse_args()
    if CHROMIUM is None:
        sys.exit("No Chromium is on PATH: install it, as `make test` does.")
    report = Report()
    with service() as running, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.getuid() == 0 else [])
        visits = [visit(browser, running.url) for _ in range(options.runs + 1)][1:]
    report.add(f"{options.runs} first visits, until …", [row(name, visits) for name in MILESTONES])
    report.add("Bytes of a visit", [{"of": name, "kB": visits[0][name] / 1e3} for name in ("page and data", "networks", "onnxruntime-web")])
    report.save(options.json)


def visit(browser: Browser, url: str) -> Mapping[str, float]:
    """Milliseconds of each milestone, and bytes by what they are for."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    conditions = ", ".join(f"{name!r}: () => {condition}" for name, condition in MILESTONES.items())
    context.add_init_script(f"({WATCH})({{{conditions}}})")
    page = context.new_page()
    page.goto(url)
    page.wait_for_function("count => Object.keys(reached).length === count", arg=len(MILESTONES))
    page.wait_for_load_state("networkidle")
    reached: dict[str, float] = page.evaluate("reached")
    sizes: dict[str, float] = dict.fromkeys(("page and data", "networks", "onnxruntime-web"), 0)
    for name, size in page.evaluate(BYTES):
        sizes[purpose(name)] += size
    context.close()
    return reached | sizes


def purpose(url: str) -> str:
    if url.rpartition("/")[2].startswith("ort"):
        return "onnxruntime-web"
    return "networks" if "/v1/artifacts/" in url else "page and data"


def row(name: str, visits: list[Mapping[str, float]]) -> Row:
    timing = Timing.of([visit[name] for visit in visits])
    return {"until": name, "ms median": timing.median, "lowest": timing.lowest, "highest": timing.highest}


if __name__ == "__main__":
    main()
