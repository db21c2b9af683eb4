"""What people do on the page."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.explorer.conftest import UNKNOWN, Explorer, busy

MODEL = "lenet-mnist"
PIXELS_OF_RING = """() => {
  const canvas = document.querySelector("#chart canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colour = getComputedStyle(document.documentElement).getPropertyValue("--strong").trim();
  const wanted = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  let found = 0;
  for (let at = 0; at < data.length; at += 4) if (wanted.every((value, channel) => data[at + channel] === value)) found += 1;
  return found > 20;
}"""


def choose(explorer: Explorer, compression: float) -> None:
    before = explorer.text("params")
    explorer.page.locator("#compression").fill(str(compression))
    explorer.page.wait_for_function("before => document.querySelector('#params').textContent !== before", arg=before)


def plan(explorer: Explorer, **selection: object) -> dict:
    answer = explorer.api.post(f"/v1/models/{MODEL}/plan", json=selection).raise_for_status()
    return answer.json()


def test_the_slider_shows_what_the_service_says(explorer: Explorer) -> None:
    explorer.open()
    for compression in (0.75, 0.1, 0.5):
        choose(explorer, compression)
        said = plan(explorer, compression=compression)
        assert explorer.text("params") == f"{said['cost']['params']:,}"
        assert explorer.text("quality").startswith(f"{100 * said['quality']['value']:.2f} % ({said['quality']['kind']})")
        assert f"{said['cost']['params']:,} parameters" in (explorer.page.locator("#chart").get_attribute("aria-label") or "")
    assert explorer.complaints == []


def test_a_point_of_the_curve_can_be_clicked(explorer: Explorer) -> None:
    explorer.open()
    place = explorer.page.locator(".u-over")
    box = place.bounding_box()
    assert box is not None
    place.click(position={"x": box["width"] - 2, "y": 40})
    expect(explorer.page.locator("#compression")).to_have_value("0")
    expect(explorer.page.locator("#params")).to_have_text(f"{plan(explorer, compression=0)['cost']['params']:,}")


def test_every_chosen_size_has_its_ring_in_the_chart(explorer: Explorer) -> None:
    explorer.open()
    for compression in (0.3, 0.75, 0):  # Between points, at the first and at the last of them.
        choose(explorer, compression)
        explorer.page.wait_for_function(PIXELS_OF_RING)


def test_a_budget_is_kept(explorer: Explorer) -> None:
    explorer.open()
    explorer.page.get_by_label("budget", exact=True).check()
    explorer.page.get_by_label("At most").fill("90")
    explorer.page.wait_for_function("() => parseFloat(document.querySelector('#bytes').textContent) <= 90")
    assert explorer.text("params") == f"{plan(explorer, budget={'bytes': 90_000})['cost']['params']:,}"


def test_a_budget_that_nothing_fits_is_said_and_over_when_it_fits_again(explorer: Explorer) -> None:
    explorer.open()
    explorer.page.get_by_label("budget", exact=True).check()
    explorer.page.get_by_label("At most").fill("1")
    explorer.page.wait_for_function("() => document.querySelector('#notice').textContent.includes('the smallest network has 8,906 parameters')")
    assert not explorer.text("params")[0].isdigit()
    explorer.page.get_by_label("At most").fill("200")
    explorer.page.locator("#notice").wait_for(state="hidden")


def test_a_budget_that_is_no_number_asks_nothing_and_is_said(explorer: Explorer) -> None:
    explorer.open()
    explorer.page.get_by_label("budget", exact=True).check()
    for text in ("", "0", "-5"):
        explorer.page.get_by_label("At most").fill("90")
        expect(explorer.page.locator("#snippets")).to_contain_text('"bytes":90000')
        explorer.requests.clear()
        explorer.page.get_by_label("At most").fill(text)
        expect(explorer.page.locator("#notice")).to_have_text("Type a number of at least 1.")
        expect(explorer.page.locator("#params")).to_have_text(UNKNOWN)
        expect(explorer.page.locator("#download")).to_be_disabled()
        expect(explorer.page.locator("#snippets pre")).to_have_count(0)
        assert [request.url for request in explorer.requests if request.url.endswith("/plan")] == []


def test_a_budget_in_another_unit_starts_at_what_the_size_costs(explorer: Explorer) -> None:
    explorer.open()
    explorer.page.get_by_label("budget", exact=True).check()
    explorer.page.get_by_label("At most").fill("90")
    cost = plan(explorer, budget={"bytes": 90_000})["cost"]
    expect(explorer.page.locator("#params")).to_have_text(f"{cost['params']:,}")
    for unit, number in (("macs", cost["macs"]), ("params", cost["params"]), ("bytes", -(-cost["bytes"] // 1000))):
        explorer.page.get_by_label("Unit").select_option(unit)
        expect(explorer.page.get_by_label("At most")).to_have_value(str(number))
    expect(explorer.page.locator("#params")).to_have_text(f"{cost['params']:,}")


def test_numbers_that_are_on_their_way_are_marked_and_another_model_starts_with_none(explorer: Explorer) -> None:
    explorer.open()
    page, facts = explorer.page, explorer.page.locator("#facts")
    expect(facts).to_have_attribute("aria-busy", "false")
    page.route("**/plan", lambda _: None)  # Never answered.
    page.locator("#compression").fill("0.1")
    expect(facts).to_have_attribute("aria-busy", "true")
    expect(page.locator("#keep")).to_be_enabled()
    with page.expect_request("**/resnet20-cifar10/plan"):
        page.get_by_label("Model", exact=True).select_option("resnet20-cifar10")
    expect(page.locator("#facts dd")).to_have_text([UNKNOWN] * 4)
    expect(page.locator("#keep")).to_be_disabled()
    expect(page.locator("#download")).to_be_disabled()
    page.unroute("**/plan")
    page.locator("#compression").fill("0.2")
    expect(page.locator("#keep")).to_be_enabled()
    expect(facts).to_have_attribute("aria-busy", "false")


def test_a_named_size_is_what_its_operator_says(explorer: Explorer) -> None:
    explorer.open()
    explorer.page.get_by_label("named size", exact=True).check()
    names = explorer.page.locator("#rung option").all_inner_texts()
    assert names == list(explorer.api.get(f"/v1/models/{MODEL}").json()["rungs"])
    for name in ("small", "64kb"):
        explorer.page.get_by_label("Named size", exact=True).select_option(name)
        explorer.page.wait_for_function(
            "params => document.querySelector('#params').textContent === params", arg=f"{plan(explorer, rung=name)['cost']['params']:,}"
        )
    assert '"rung":"64kb"' in explorer.page.locator("#snippets").inner_text()
    assert explorer.complaints == []


def test_each_channel_group_has_a_slider(explorer: Explorer) -> None:
    explorer.open()
    explorer.page.get_by_label("channel groups (advanced)").check()
    widths = {name: int(explorer.page.get_by_label(name, exact=True).input_value()) for name in ("conv1", "conv2", "conv3")}
    before = explorer.text("params")
    explorer.page.get_by_label("conv2", exact=True).fill("20")
    explorer.page.wait_for_function("before => document.querySelector('#params').textContent !== before", arg=before)
    assert explorer.text("params") == f"{plan(explorer, widths=widths | {'conv2': 20})['cost']['params']:,}"


def test_a_drawn_one_is_a_one_at_two_sizes(explorer: Explorer) -> None:
    explorer.open()
    explorer.page.locator("#clear").click()
    explorer.results(0)
    box = explorer.page.locator("#pad").bounding_box()
    assert box is not None
    explorer.page.mouse.move(box["x"] + 150, box["y"] + 50)
    explorer.page.mouse.down()
    explorer.page.mouse.move(box["x"] + 130, box["y"] + 230, steps=10)
    explorer.page.mouse.up()
    explorer.expect_classes("1", "1")


def test_sample_images_are_recognized_at_both_sizes_and_compared_with_a_kept_one(explorer: Explorer) -> None:
    explorer.open()
    samples = explorer.api.get(f"/v1/models/{MODEL}/samples").json()
    agreed = 0
    for label in samples["labels"][1:6]:
        before = explorer.page.locator("#results").inner_html()
        explorer.page.locator("#next-sample").click()
        explorer.page.wait_for_function("before => document.querySelector('#results').innerHTML !== before", arg=before)
        agreed += explorer.results() == [str(label)] * 2
    assert agreed >= 4
    explorer.page.locator("#keep").click()
    explorer.page.wait_for_function("() => document.querySelector('#results').textContent.includes('Kept: ')")


def test_the_download_has_the_bytes_of_the_api(explorer: Explorer, tmp_path: Path) -> None:
    explorer.open()
    choose(explorer, 0.62)
    with explorer.page.expect_download() as download:
        explorer.page.locator("#download").click()
    download.value.save_as(tmp_path / "member.onnx")
    wanted = explorer.api.post(f"/v1/models/{MODEL}/materialize", json={"compression": 0.62})
    assert (tmp_path / "member.onnx").read_bytes() == wanted.content
    assert download.value.suggested_filename in wanted.headers["content-disposition"]


def test_a_download_says_how_far_it_is_and_runs_once(explorer: Explorer) -> None:
    explorer.open()
    choose(explorer, 0.62)
    expect(explorer.page.locator(".results")).to_contain_text(f"{explorer.text('params')} parameters")
    explorer.page.evaluate("caches.delete('neumeta-artifacts-v1')")
    held: list[Route] = []
    explorer.page.route("**/v1/artifacts/**", lambda route: held.append(route))
    with explorer.page.expect_request("**/v1/artifacts/**"):
        explorer.page.locator("#download").click()
    expect(explorer.page.locator("#download")).to_be_disabled()
    expect(explorer.page.locator("#downloaded")).to_have_text("Downloading …")
    with explorer.page.expect_download():
        held[0].continue_()
    expect(explorer.page.locator("#downloaded")).to_contain_text(", digest verified")
    expect(explorer.page.locator("#download")).to_be_enabled()
    choose(explorer, 0.3)
    expect(explorer.page.locator("#downloaded")).to_be_empty()


def test_a_download_that_fails_says_so_where_it_was_asked_for(explorer: Explorer) -> None:
    explorer.open()
    explorer.page.route("**/materialize", busy(61))
    explorer.page.locator("#download").click()
    expect(explorer.page.locator("#downloaded")).to_contain_text("The service is busy and could not make this size")
    expect(explorer.page.locator("#download")).to_be_enabled()


def test_the_snippet_for_the_shell_fetches_the_chosen_size(explorer: Explorer, tmp_path: Path) -> None:
    explorer.open()
    choose(explorer, 0.7)
    command = explorer.page.get_by_role("region", name="curl").inner_text()
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    [file] = tmp_path.iterdir()
    wanted = explorer.api.post(f"/v1/models/{MODEL}/materialize", json={"compression": 0.7})
    assert hashlib.sha256(file.read_bytes()).hexdigest() == hashlib.sha256(wanted.content).hexdigest()


@pytest.mark.parametrize("step", ["ArrowRight", "ArrowLeft"])
def test_everything_works_with_the_keyboard_alone(explorer: Explorer, step: str) -> None:
    explorer.open()
    press = explorer.page.keyboard.press
    focused = "document.activeElement.id || document.activeElement.name || document.activeElement.tagName"
    reached = []
    for _ in range(60):
        press("Tab")
        reached.append(explorer.page.evaluate(focused))
        if reached[-1] == "compression":
            before = explorer.text("compression-text")
            press(step)
            assert explorer.text("compression-text") != before
        if reached[-1] == "clear":
            press("Enter")
            explorer.results(0)
            press("Shift+Tab")
            explorer.page.keyboard.down(" ")
            for _ in range(18):
                press("ArrowDown")
            explorer.page.keyboard.up(" ")
            explorer.expect_classes("1", "1")
            press("Tab")
    assert {"model", "precision", "mode", "compression", "download", "pad", "clear", "next-sample", "keep"} <= set(reached)
