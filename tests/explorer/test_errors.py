"""When things are not as they should be."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
from neumeta_service.app import create_app
from neumeta_service.settings import Settings
from playwright.sync_api import BrowserContext

from tests.explorer.conftest import ROOT, Explorer
from tests.service.serving import live


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
        page.wait_for_function("() => document.querySelector('#notice').textContent.startsWith('broken 1 is not served: the file is truncated')")
        assert len(Explorer(page, url, api).results()) == 2


def test_without_models_the_page_says_so(context: BrowserContext, tmp_path: Path) -> None:
    page = context.new_page()
    with live(create_app(Settings(models=tmp_path, device="cpu"))) as url:
        page.goto(url)
        page.wait_for_function("() => document.querySelector('#notice').textContent === 'The service has no models.'")
