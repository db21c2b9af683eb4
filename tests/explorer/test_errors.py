"""When things are not as they should be."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
from neumeta_service.app import create_app
from neumeta_service.settings import Settings
from playwright.sync_api import BrowserContext, expect

from tests.explorer.conftest import INSECURE, ROOT, UNKNOWN, Explorer, busy
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
            chosen = page.locator(".results article").first
            expect(chosen).to_contain_text("The service is busy; it is asked again in 1 s.")
            expect(chosen).to_contain_text("The service is busy and could not make this size")
            explorer.results(1)
            manifold.gate.set()
        chosen.get_by_role("button", name="Try again").click()
        explorer.results()
        expect(chosen).not_to_contain_text("busy")


def test_a_size_that_does_not_work_is_said(context: BrowserContext, tmp_path: Path) -> None:
    app = tiny_app(tmp_path, judged_manifold(claims={SHARED: 1.0}), self_check_share=1)
    page = context.new_page()
    with live(app) as url, httpx.Client(base_url=url) as api:
        wait_for(lambda: api.post(POST, json={"compression": SHARED}).status_code == 500)
        page.goto(url)
        expect(page.locator(".results")).to_contain_text("Smallest network")
        page.locator("#compression").fill(str(SHARED))
        chosen = page.locator(".results article").first
        expect(chosen).to_contain_text("This size does not work, so the service does not deliver it; choose another size")
        expect(chosen).to_contain_text("failed its self-check")
        expect(page.locator(".latency")).to_have_count(1)


def test_the_end_of_a_busy_wait_leaves_what_was_said_meanwhile(explorer: Explorer) -> None:
    explorer.open()
    explorer.page.get_by_label("budget", exact=True).check()
    explorer.page.route("**/plan", busy(60))
    explorer.page.get_by_label("At most").fill("90")
    expect(explorer.page.locator("#notice")).to_have_text("The service is busy; it is asked again in 60 s.")
    explorer.page.get_by_label("At most").fill("")
    expect(explorer.page.locator("#notice")).to_have_text("Type a number of at least 1.")
    explorer.page.evaluate("new Promise(resolve => setTimeout(resolve))")  # What the wait's end does comes before a timer.
    expect(explorer.page.locator("#notice")).to_be_visible()
    expect(explorer.page.locator("#keep")).to_be_disabled()
    expect(explorer.page.locator("#chart")).to_have_attribute("aria-label", "The chosen size is not known.")


def test_a_model_that_could_not_be_opened_is_shown_as_nothing_until_it_is_opened(explorer: Explorer) -> None:
    explorer.open()
    page = explorer.page
    page.route("**/v1/models/resnet20-cifar10?*", lambda route: route.abort(), times=2)
    page.locator("#model").select_option("resnet20-cifar10")
    expect(page.locator("#notice")).to_contain_text("could not be reached")
    assert not explorer.text("params")[0].isdigit()
    expect(page.locator("#keep")).to_be_disabled()
    for gone in ("#results article:visible", ".u-over", "#points tr", "#snippets pre"):
        expect(page.locator(gone)).to_have_count(0)
    with page.expect_event("requestfailed"):
        page.get_by_role("button", name="Try again").click()
    expect(page.locator("#notice")).to_contain_text("could not be reached")
    page.locator("#compression").fill("0.6")
    assert len(explorer.results()) == 2
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator("#keep")).to_be_enabled()


def test_a_failed_curve_and_failed_sizes_can_be_tried_again(explorer: Explorer) -> None:
    page = explorer.page
    page.route("**/curve?*", lambda route: route.abort(), times=1)
    page.route("**/materialize", lambda route: route.abort(), times=2)
    page.goto(explorer.url)
    page.get_by_role("button", name="Try again").click()
    cards = page.locator(".results article")
    expect(cards).to_contain_text(["could not be reached"] * 2)
    expect(page.locator("#notice")).to_be_hidden()
    for card in (cards.first, cards.last):
        card.get_by_role("button", name="Try again").click()
    assert len(explorer.results()) == 2


def test_what_cannot_help_is_not_offered(explorer: Explorer) -> None:
    explorer.open()
    explorer.page.get_by_label("budget", exact=True).check()
    explorer.page.get_by_label("At most").fill("1")
    expect(explorer.page.locator("#notice")).to_contain_text("The budget is too small")
    expect(explorer.page.get_by_role("button", name="Try again")).to_be_hidden()


def test_where_nothing_can_be_verified_that_is_said_and_nothing_is_downloaded(explorer: Explorer) -> None:
    page = explorer.page
    page.goto(explorer.url.replace("127.0.0.1", INSECURE))
    expect(page.locator("#unverified")).to_contain_text("Browsers verify downloads only for pages from HTTPS or localhost")
    expect(page.locator("#params")).not_to_have_text(UNKNOWN)
    expect(page.locator("#try")).to_be_hidden()
    expect(page.locator("#download")).to_be_disabled()
    expect(page.locator("#notice")).to_be_hidden()
    assert [request.url for request in explorer.requests if "materialize" in request.url or "/ort" in request.url] == []


def test_a_runtime_that_does_not_come_is_said(explorer: Explorer) -> None:
    explorer.page.route("**/assets/ort*.wasm", lambda route: route.abort())
    explorer.page.goto(explorer.url)
    said = "The part that runs networks could not be loaded, or does not take this size; reload the page, or choose another size."
    for card in (explorer.page.locator(".results article").first, explorer.page.locator(".results article").last):
        expect(card.locator("p")).to_have_text(said)
