"""The drawing area, with the keyboard and for models whose inputs nobody draws."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.explorer.conftest import Explorer

DRAWING = "document.querySelector('#pad').toDataURL()"


def test_the_keys_show_where_they_draw_and_draw_only_while_space_is_held(explorer: Explorer) -> None:
    explorer.open()
    page, pen, press = explorer.page, explorer.page.locator("#pen"), explorer.page.keyboard.press
    page.locator("#clear").click()
    expect(pen).to_be_hidden()
    press("Shift+Tab")
    expect(page.locator("#pad")).to_be_focused()
    expect(pen).to_be_visible()
    before, empty = pen.bounding_box(), page.evaluate(DRAWING)
    assert before is not None
    for _ in range(10):
        press("ArrowDown")
    after = pen.bounding_box()
    assert after is not None
    assert after["y"] > before["y"] + 50
    assert page.evaluate(DRAWING) == empty, "the pen is no ink"
    page.keyboard.down(" ")
    press("ArrowRight")
    drawn = page.evaluate(DRAWING)
    assert drawn != empty
    press("Tab")
    expect(pen).to_be_hidden()
    page.keyboard.up(" ")
    press("Shift+Tab")
    press("ArrowRight")
    assert page.evaluate(DRAWING) == drawn, "Space was let go while another element had the keys"


def test_what_cannot_be_drawn_offers_no_drawing_area(explorer: Explorer) -> None:
    explorer.open()
    pad = explorer.page.locator("#pad")

    def offered() -> tuple[str | None, int, str]:
        return pad.get_attribute("aria-label"), pad.evaluate("pad => pad.tabIndex"), pad.evaluate("pad => getComputedStyle(pad).touchAction")

    drawing = offered()
    assert drawing == ("Drawing area: draw with the pointer, or move with the arrow keys while holding Space to draw", 0, "none")
    explorer.page.get_by_label("Model", exact=True).select_option("resnet20-cifar10")
    expect(pad).to_have_attribute("aria-label", "One of the model's own images")
    assert offered()[1:] == (-1, "auto"), "a finger scrolls over it"
    explorer.page.get_by_label("Model", exact=True).select_option("lenet-mnist")
    expect(pad).to_have_attribute("aria-label", drawing[0] or "")
    assert offered() == drawing
