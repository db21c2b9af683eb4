"""What the page is: accessible, small, of one origin, and fit for a phone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.explorer.conftest import ROOT, WAIT_MS, Explorer

AXE = (ROOT / "clients" / "web" / "node_modules" / "axe-core" / "axe.min.js").read_text
DESKTOP, PHONE = (1280, 900), (390, 844)


@pytest.mark.parametrize(("width", "height"), [DESKTOP, PHONE])
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
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    folder = Path(os.environ.get("NEUMETA_CLIENT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"explorer-{width}-{scheme}.png", full_page=True)
    context.close()


def test_all_comes_from_the_service_and_is_small(explorer: Explorer) -> None:
    explorer.open()
    explorer.page.wait_for_load_state("networkidle")
    assert {request.url.split("/")[2] for request in explorer.requests if not request.url.startswith("data:")} == {explorer.url.split("/")[2]}
    sizes = {request.url: len(request.response().body()) for request in explorer.requests if not request.url.startswith("data:")}
    own = {url: size for url, size in sizes.items() if "ort" not in url.rpartition("/")[2]}
    assert len(own) < len(sizes), "onnxruntime-web is not among the requests"
    assert sum(own.values()) <= 2 * 550_000  # with two networks of at most 421 kB
    assert sum(size for url, size in own.items() if "/v1/artifacts/" not in url) <= 300_000
    assert explorer.complaints == []


def test_the_policy_forbids_inline_scripts_and_other_origins(explorer: Explorer) -> None:
    explorer.open()
    explorer.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'globalThis.injected = 1'}))")
    assert explorer.page.evaluate("typeof globalThis.injected") == "undefined"
    assert explorer.page.evaluate("fetch('http://127.0.0.2:9/').then(() => 'sent', () => 'refused')") == "refused"
    assert any("Content Security Policy" in complaint for complaint in explorer.complaints)
