"""The two sizes that run side by side, when one of them has to wait or fails."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.explorer.conftest import Explorer, busy

MODEL = "lenet-mnist"
SMALLEST = 0.75


def cards(explorer: Explorer) -> tuple[Locator, Locator]:
    found = explorer.page.locator(".results article")
    return found.first, found.last


def is_smallest(route: Route) -> bool:
    return bool(json.loads(route.request.post_data or "").get("compression") == SMALLEST)


def test_a_size_that_is_waited_for_keeps_the_others_from_nothing(explorer: Explorer) -> None:
    explorer.open()
    chosen, other = cards(explorer)
    explorer.page.route("**/materialize", busy(60))
    explorer.page.locator("#compression").fill("0.6")
    expect(chosen).to_contain_text("60 % compressed, fp32The service is busy; it is asked again in 60 s.")
    expect(other).not_to_contain_text("busy")
    expect(explorer.page.locator("#notice")).to_be_hidden()
    explorer.page.locator("#next-sample").click()
    label = str(explorer.api.get(f"/v1/models/{MODEL}/samples").json()["labels"][1])
    explorer.expect_classes(label, label)


def test_a_smallest_network_that_is_waited_for_from_the_start_says_so_and_keeps_the_chosen_one_from_nothing(explorer: Explorer) -> None:
    def smallest_waits(route: Route) -> None:
        (busy(60) if is_smallest(route) else Route.continue_)(route)

    explorer.page.route("**/materialize", smallest_waits)
    explorer.page.goto(explorer.url)
    explorer.results(1)
    chosen, smallest = cards(explorer)
    expect(chosen.locator(".latency")).to_be_visible()
    expect(smallest).to_have_text("Smallest networkThe service is busy; it is asked again in 60 s.")


@pytest.mark.parametrize("lane", [0, 1])
def test_a_size_that_failed_can_be_tried_again(explorer: Explorer, lane: int) -> None:
    def fails(route: Route) -> None:
        # A second more than a client waits for.
        (busy(61) if is_smallest(route) == bool(lane) else Route.continue_)(route)

    explorer.page.route("**/materialize", fails)
    explorer.page.goto(explorer.url)
    explorer.results(1)
    card = cards(explorer)[lane]
    expect(card).to_contain_text("The service is busy and could not make this size")
    explorer.page.unroute("**/materialize")
    card.get_by_role("button", name="Try again").click()
    explorer.results()
    expect(card.get_by_role("button")).to_have_count(0)
