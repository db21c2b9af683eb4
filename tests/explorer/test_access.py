"""The page of a service that asks for API keys."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from neumeta_service.app import create_app
from neumeta_service.settings import Settings
from playwright.sync_api import BrowserContext, expect

from tests.explorer.conftest import ROOT, Explorer
from tests.service.access.tokens import add_key, bearer
from tests.service.serving import live

UNKNOWN = f"nm_{'0' * 8}_{'0' * 64}"


@dataclass(frozen=True)
class Keys:
    """Tokens for all that the page does, and for a part of it."""

    file: Path
    good: str
    reading: str
    making: str


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    file = tmp_path / "keys.json"
    return Keys(file, add_key(file, "read", "materialize"), add_key(file, "read"), add_key(file, "materialize"))


@pytest.fixture
def locked(context: BrowserContext, keys: Keys) -> Iterator[Explorer]:
    """The page, open, of a service that asks for one of these keys."""
    app = create_app(Settings(models=ROOT / "models", device="cpu", api_keys_file=keys.file))
    with live(app) as url, httpx.Client(base_url=url, timeout=60) as api:
        explorer = Explorer(context.new_page(), url, api)
        explorer.page.goto(url)
        yield explorer


def enter(explorer: Explorer, key: str) -> None:
    explorer.page.get_by_label("API key").fill(key)
    explorer.page.get_by_role("button", name="Use this key").click()


def test_it_asks_for_a_key_says_a_wrong_one_and_works_with_a_good_one(locked: Explorer, keys: Keys) -> None:
    notice, form = locked.page.locator("#notice"), locked.page.locator("#access")
    expect(notice).to_have_text("This service asks for an API key.")
    expect(locked.page.locator("#parts")).to_be_hidden()
    enter(locked, UNKNOWN)
    expect(notice).to_contain_text("This key is not accepted. The token is not known here")
    enter(locked, keys.good)
    assert len(locked.results()) == 2
    expect(notice).to_be_hidden()
    expect(form).to_be_hidden()
    locked.page.reload()
    assert len(locked.results()) == 2, "the key is known as long as the tab is open"
    expect(form).to_be_hidden()
    assert keys.good not in locked.page.content()


def test_where_site_data_is_blocked_a_key_is_known_until_the_page_is_left(locked: Explorer, keys: Keys) -> None:
    locked.page.add_init_script("Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('', 'SecurityError'); } })")
    locked.page.reload()
    expect(locked.page.locator("#notice")).to_have_text("This service asks for an API key.")
    enter(locked, keys.good)
    assert len(locked.results()) == 2


def test_a_key_that_was_pasted_badly_is_said_and_asked_for_again(locked: Explorer, keys: Keys) -> None:
    form = locked.page.locator("#access")
    expect(form).to_be_visible()
    enter(locked, f"{keys.good}\u2019")
    expect(locked.page.locator("#notice")).to_contain_text("this is no bearer token")
    locked.page.reload()
    expect(form).to_be_visible()
    enter(locked, keys.good)
    assert len(locked.results()) == 2


def test_a_key_for_reading_shows_costs_and_says_what_trying_needs(locked: Explorer, keys: Keys) -> None:
    expect(locked.page.locator("#access")).to_be_visible()
    enter(locked, keys.reading)
    expect(locked.page.locator("#denied")).to_contain_text("to try or download a size, enter a key with the scope materialize")
    expect(locked.page.locator("#try")).to_contain_text("Trying a size takes another key")
    expect(locked.page.locator("#pad")).to_be_hidden()
    expect(locked.page.locator("#download")).to_be_disabled()
    expect(locked.page.locator("#notice")).to_be_hidden()
    before = locked.text("params")
    locked.page.locator("#compression").fill("0.1")
    expect(locked.page.locator("#params")).not_to_have_text(before)
    expect(locked.page.locator("#denied")).to_be_visible()
    assert locked.text("quality").startswith("99.")
    enter(locked, keys.good)
    assert len(locked.results()) == 2
    expect(locked.page.locator("#access")).to_be_hidden()
    expect(locked.page.locator("#download")).to_be_enabled()


def test_a_key_that_may_not_read_is_said(locked: Explorer, keys: Keys) -> None:
    expect(locked.page.locator("#access")).to_be_visible()
    enter(locked, keys.making)
    expect(locked.page.locator("#notice")).to_contain_text("scope 'read'")
    expect(locked.page.locator("#access")).to_be_visible()


def test_the_snippet_for_the_shell_takes_the_key_from_the_environment(locked: Explorer, keys: Keys, tmp_path: Path) -> None:
    expect(locked.page.locator("#access")).to_be_visible()
    enter(locked, keys.good)
    locked.results()
    command = locked.page.get_by_role("region", name="curl").inner_text()
    folder = tmp_path / "pulled"
    folder.mkdir()
    subprocess.run(
        ["bash", "-c", command], cwd=folder, check=True, capture_output=True, env={"PATH": "/usr/bin:/bin", "NEUMETA_CLIENT_TOKEN": keys.good}
    )
    [file] = folder.iterdir()
    compression = float(locked.page.locator("#compression").input_value())
    wanted = locked.api.post("/v1/models/lenet-mnist/materialize", json={"compression": compression}, headers=bearer(keys.good)).raise_for_status()
    assert file.read_bytes() == wanted.content
