"""A model of which several versions are served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from neumeta_service.app import create_app
from neumeta_service.settings import Settings
from playwright.sync_api import BrowserContext, Route, expect

from tests.explorer.conftest import ROOT, Explorer
from tests.service.serving import live
from tests.surgery import with_value

MODEL = "lenet-mnist"


@pytest.fixture
def versions(context: BrowserContext, tmp_path: Path) -> Iterator[Explorer]:
    """The page, open, of a service with two versions of one model."""
    models = tmp_path / "models"
    shutil.copytree(ROOT / "models", models)
    first = models / MODEL / "1" / "manifold.safetensors"
    second = models / MODEL / "2" / "manifold.safetensors"
    second.parent.mkdir()
    second.write_bytes(with_value(first.read_bytes(), ("version",), 2))
    (models / MODEL / "aliases.json").write_text(json.dumps({"stable": 1}))
    with live(create_app(Settings(models=models, device="cpu"))) as url, httpx.Client(base_url=url, timeout=60) as api:
        explorer = Explorer(context.new_page(), url, api)
        explorer.page.on("request", lambda request: explorer.requests.append(request))
        explorer.open()
        yield explorer


def snippets(explorer: Explorer) -> list[str]:
    return explorer.page.locator("#snippets pre").all_inner_texts()


def test_the_latest_is_shown_and_another_one_can_be_chosen(versions: Explorer) -> None:
    select = versions.page.get_by_label("Version")
    assert select.locator("option").all_inner_texts() == ["2 (latest)", "1 (stable)"]
    expect(select).to_have_value("2")
    assert [text for text in snippets(versions) if "version" in text] == []
    versions.requests.clear()
    select.select_option("1")
    expect(versions.page.locator("#snippets")).to_contain_text("version")
    curl, python, typescript = snippets(versions)
    assert '"version":1' in curl
    assert '"version":1' in typescript
    assert "version=1" in python
    versions.results()
    versions.page.wait_for_load_state("networkidle")
    asked = [request for request in versions.requests if f"/v1/models/{MODEL}" in request.url]
    assert {request.url.rpartition("?")[2] for request in asked if request.method == "GET"} == {"version=1"}
    assert {json.loads(request.post_data or "")["version"] for request in asked if request.method == "POST"} == {1}
    with versions.page.expect_download() as download:
        versions.page.locator("#download").click()
    assert download.value.suggested_filename.startswith(f"{MODEL}-1-")


def test_until_another_version_is_there_the_old_form_asks_nothing_of_it(versions: Explorer) -> None:
    held: list[Route] = []
    versions.page.route(f"**/v1/models/{MODEL}?version=1", lambda route: held.append(route))
    versions.requests.clear()
    with versions.page.expect_request(f"**/v1/models/{MODEL}?version=1"):
        versions.page.get_by_label("Version").select_option("1")
    versions.page.locator("#compression").fill("0.3")
    versions.page.wait_for_timeout(500)  # Four times as long as the form rests before it asks.
    posted = [json.loads(request.post_data or "") for request in versions.requests if request.method == "POST"]
    assert [body for body in posted if body["version"] == 1] == []
    held[0].continue_()
    expect(versions.page.locator("#snippets")).to_contain_text("version")
    versions.results()


def test_one_version_alone_is_no_choice(explorer: Explorer) -> None:
    explorer.open()
    expect(explorer.page.get_by_label("Version")).to_be_hidden()
