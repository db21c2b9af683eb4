"""When things are not as they should be."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
from neumeta_service.app import create_app
from neumeta_service.settings import Settings
from playwright.sync_api import BrowserContext, expect

from tests.explorer.conftest import ROOT, Explorer
from tests.service.selfcheck.judged import SHARED, judged_manifold
from tests.service.serving import POST, CountedManifold, live, posting, tiny_app, wait_for


def test_a_service_that_went_away_is_said_and_over_when_it_is_back(context: BrowserContext) -> None:
    page = context.new_page()
    with live(create_app(Settings(models=ROOT / "models", device="cpu"))) as url, httpx.Client() as api:
        explorer = Explorer(page, url, api)
        explorer.open()
        context.set_offline(True)
        page.locator("#compression").fill("0.3")
        page.wait_for_function("() => document.querySelector('#notice').textContent.includes('could not be reached')")
        context.set_offline(False)
        page.locator("#compression").fill("0.4")
        page.locator("#notice").wait_for(state="hidden")


def test_a_refused_model_is_named_with_the_reason_and_the_others_work(context: BrowserContext, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "models", tmp_path / "models")
    broken = tmp_path / "models" / "broken" / "1" / "manifold.safetensors"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"garbage")
    page = context.new_page()
    with live(create_app(Settings(models=tmp_path / "models", device="cpu"))) as url, httpx.Client() as api:
        page.goto(url)
        assert len(Explorer(page, url, api).results()) == 2
        assert page.locator("#refused").inner_text().startswith("broken 1 is not served: the file is truncated")


def test_without_models_the_page_says_so(context: BrowserContext, tmp_path: Path) -> None:
    page = context.new_page()
    with live(create_app(Settings(models=tmp_path, device="cpu"))) as url:
        page.goto(url)
        page.wait_for_function("() => document.querySelector('#notice').textContent === 'The service has no models.'")


def test_a_busy_service_is_asked_again_and_a_size_that_could_not_be_made_is_not_shown_as_chosen(context: BrowserContext, tmp_path: Path) -> None:
    judged = judged_manifold()
    manifold = CountedManifold(judged.header, judged.inr, judged.template, judged.canary)
    app = tiny_app(tmp_path, manifold, queue_limit=1)
    page = context.new_page()
    with live(app) as url, httpx.Client(base_url=url) as api:
        explorer = Explorer(page, url, api)
        explorer.open()
        manifold.gate.clear()
        with posting(api):
            wait_for(lambda: app.state.engine.metrics.registry.get_sample_value("neumeta_queue_depth") == 1)
            page.locator("#compression").fill("0.7")
            page.wait_for_function("() => document.querySelector('#notice').textContent === 'The service is busy; it is asked again in 1 s.'")
            expect(page.locator("#notice")).to_contain_text("The service is busy and could not make this size")
            expect(page.locator(".results h3")).to_have_text(["Smallest network"])
            manifold.gate.set()
        page.locator("#compression").fill("0.6")
        expect(page.locator(".results h3")).to_have_count(2)
        expect(page.locator("#notice")).to_be_hidden()


def test_a_size_that_does_not_work_is_said(context: BrowserContext, tmp_path: Path) -> None:
    app = tiny_app(tmp_path, judged_manifold(claims={SHARED: 1.0}), self_check_share=1)
    page = context.new_page()
    with live(app) as url, httpx.Client(base_url=url) as api:
        wait_for(lambda: api.post(POST, json={"compression": SHARED}).status_code == 500)
        page.goto(url)
        expect(page.locator(".results")).to_contain_text("Smallest network")
        page.locator("#compression").fill(str(SHARED))
        expect(page.locator("#notice")).to_contain_text("This size does not work, so the service does not deliver it; choose another size")
        expect(page.locator("#notice")).to_contain_text("failed its self-check")
        expect(page.locator(".results h3")).to_have_text(["Smallest network"])
