"""What the page is: accessible, small, of one origin, and fit for a phone."""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path

import pytest
from neumeta_service.routes.explorer import FOLDER
from playwright.sync_api import Browser

from tests.explorer.conftest import ROOT, WAIT_MS, Explorer

AXE = (ROOT / "clients" / "web" / "node_modules" / "axe-core" / "axe.min.js").read_text
DESKTOP, PHONE, SMALLEST = (1280, 900), (390, 844), (320, 700)


@pytest.mark.parametrize(("width", "height"), [DESKTOP, PHONE, SMALLEST])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_is_cut(browser: Browser, service: str, tmp_path: Path, width: int, height: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    explorer = Explorer(page, service, None)
    explorer.open()
    page.locator("summary").click()
    page.evaluate(AXE())
    found = page.evaluate("axe.run().then(result => result.violations.map(each => [each.id, each.nodes.map(node => node.html)]))")
    assert found == []
    for mode in ("budget", "widths", "compression"):
        page.locator(f"[name=mode][value={mode}]").check()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    slider = page.locator("#compression").bounding_box()
    assert slider is not None
    assert slider["width"] >= 200, "a finger needs room"
    folder = Path(os.environ.get("NEUMETA_CLIENT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"explorer-{width}-{scheme}.png", full_page=True)
    context.close()


def test_all_comes_from_the_service_and_is_small(explorer: Explorer) -> None:
    explorer.open()
    explorer.page.wait_for_load_state("networkidle")
    assert {request.url.split("/")[2] for request in explorer.requests if not request.url.startswith("data:")} == {explorer.url.split("/")[2]}
    sizes = {request.url: request.sizes()["responseBodySize"] for request in explorer.requests if not request.url.startswith("data:")}
    own = {url: size for url, size in sizes.items() if "ort" not in url.rpartition("/")[2]}
    assert len(own) < len(sizes), "onnxruntime-web is not among the requests"
    assert sum(own.values()) <= 300_000
    assert explorer.complaints == []


def test_the_policy_forbids_inline_scripts_and_other_origins(explorer: Explorer) -> None:
    explorer.open()
    explorer.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'globalThis.injected = 1'}))")
    assert explorer.page.evaluate("typeof globalThis.injected") == "undefined"
    assert explorer.page.evaluate("fetch('http://127.0.0.2:9/').then(() => 'sent', () => 'refused')") == "refused"
    assert any("Content Security Policy" in complaint for complaint in explorer.complaints)


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("GZIP , br", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, br", False),
        ("identity", False),
        ("xgzip", False),
    ],
)
def test_assets_are_sent_compressed_to_whoever_takes_that(explorer: Explorer, accepted: str, is_compressed: bool) -> None:
    for path in sorted(FOLDER.glob("assets/*[!z]")):
        answer = explorer.api.get(f"/assets/{path.name}", headers={"accept-encoding": accepted})
        assert answer.headers.get("content-encoding") == ("gzip" if is_compressed else None)
        assert answer.headers["content-type"].partition(";")[0] == mimetypes.guess_type(path.name)[0]
        assert (answer.headers["vary"], answer.content) == ("accept-encoding", path.read_bytes())
        if is_compressed:
            assert int(answer.headers["content-length"]) < 0.5 * path.stat().st_size


def test_of_a_compressed_asset_a_part_can_be_had(explorer: Explorer) -> None:
    path = next(FOLDER.glob("assets/*.css"))
    with explorer.api.stream("GET", f"/assets/{path.name}", headers={"accept-encoding": "gzip", "range": "bytes=10-19"}) as answer:
        assert (answer.status_code, b"".join(answer.iter_raw())) == (206, path.with_name(f"{path.name}.gz").read_bytes()[10:20])
