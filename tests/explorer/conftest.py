"""The built page in a real browser, before the real service with the manifolds that ship."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from neumeta_service.app import create_app
from neumeta_service.routes.explorer import FOLDER
from neumeta_service.settings import Settings
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, expect, sync_playwright

from tests.service.serving import live

ROOT = Path(__file__).parents[2]
INSECURE = "insecure.test"
"""A host that leads to this machine, but is not localhost to the browser."""
UNKNOWN = "\N{EN DASH}"
"""What stands in the place of a number that is not known."""
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
WAIT_MS = 120_000
expect.set_options(timeout=WAIT_MS)


@dataclass
class Explorer:
    """An open page, and what it did."""

    page: Page
    url: str
    api: httpx.Client
    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Errors that the browser reports: scripts that failed, and what the policy forbade."""

    def open(self) -> None:
        """Load the page and wait until two sizes have classified the first sample."""
        self.page.goto(self.url)
        self.results()

    def results(self, count: int = 2) -> list[str]:
        """The likeliest class of each size, once there are ``count``."""
        self.page.wait_for_function("count => document.querySelectorAll('.latency').length === count", arg=count)
        return self.page.locator(".results li:first-child .label").all_inner_texts()

    def expect_classes(self, *labels: str) -> None:
        """Wait until these are the likeliest classes."""
        expect(self.page.locator(".results li:first-child .label")).to_have_text(list(labels))

    def text(self, name: str) -> str:
        return self.page.locator(f"#{name}").inner_text()


def busy(wait_s: int) -> Callable[[Route], None]:
    """Answers in place of the service that it is overloaded for so long; a client waits for a minute at most."""
    problem = {"code": "overloaded", "status": 503, "detail": "Too much at once."}
    headers = {"content-type": "application/problem+json", "retry-after": str(wait_s)}
    return lambda route: route.fulfill(status=503, headers=headers, body=json.dumps(problem))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None, "no Chromium is on PATH. `make test` installs it; these tests use a real browser."
    assert (FOLDER / "index.html").is_file(), "the page was not built: run `make explorer`, as `make test` does."
    # Ended with each module: while it is open, its event loop runs in this thread, and no other can.
    with sync_playwright() as playwright:
        # Root has no sandbox of its own; the page is ours.
        sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=[*sandbox, f"--host-resolver-rules=MAP {INSECURE} 127.0.0.1"])


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with live(create_app(Settings(models=ROOT / "models", device="cpu"))) as url:
        yield url


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(WAIT_MS)
    yield context
    context.close()


@pytest.fixture
def explorer(context: BrowserContext, service: str) -> Iterator[Explorer]:
    page = context.new_page()
    with httpx.Client(base_url=service, timeout=60) as api:
        explorer = Explorer(page, service, api)
        page.on("request", lambda request: explorer.requests.append(request))
        page.on("pageerror", lambda error: explorer.complaints.append(str(error)))
        page.on("console", lambda message: explorer.complaints.append(message.text) if message.type == "error" else None)
        yield explorer
