"""The files that the versions of a model share, `aliases.json` and `rungs.json`: taken over as they change, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.service.stores import Place, Reader


def aliased(reader: Reader) -> dict[str, int]:
    return {alias: version for alias, version in reader.catalog.aliases("tiny").items() if alias != "latest"}


def test_aliases_move_with_their_file(place: Place, reader: Reader) -> None:
    place.publish(1)
    place.publish(2)
    for aliases in ({"stable": 1, "edge": 2}, {"stable": 2}, {}):
        place.write("tiny/aliases.json", json.dumps(aliases).encode())
        reader.renew()
        assert aliased(reader) == aliases
    place.write("tiny/aliases.json", b'{"stable": 1}')
    reader.renew()
    assert reader.catalog.manifold("tiny", "stable").header.version == 1
    place.remove("tiny/aliases.json")
    reader.renew()
    assert aliased(reader) == {}


def test_a_bad_file_of_aliases_is_refused_and_the_old_ones_go_on(place: Place, reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    place.publish(1)
    place.publish(2)
    place.write("tiny/aliases.json", b'{"stable": 1, "edge": 2}')
    reader.renew()
    place.write("tiny/aliases.json", b'{"stable": 3, "edge": 1}')
    place.publish(5)
    reader.renew()
    assert reader.catalog.aliases("tiny") == {"latest": 5, "stable": 1, "edge": 2}
    assert reader.refused() == {("tiny", None): "stable: 3 is not a version that is served; those are: 1, 2, 5."}
    assert "tiny aliases.json is refused: stable: 3 is not" in caplog.text
    place.remove("tiny/2")
    reader.renew()
    assert aliased(reader) == {"stable": 1}, "not what is no longer served"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "no object"),
        (b"1", "no object"),
        (b'{"latest": 1}', "'latest' is not allowed"),
        (b'{"12": 1}', "'12' is not allowed"),
        (b'{"": 1}', "'' is not allowed"),
        (b'{"Stable": 1}', "'Stable' is not allowed"),
        (b'{"../x": 1}', "not allowed"),
        (b'{"a\\n": 1}', "not allowed"),
        (b'{"stable": "1"}', "not a version that is served; those are: 1"),
        (b'{"stable": true}', "not a version that is served"),
        (b'{"stable": 1.0}', "not a version that is served"),
        (b'{"stable": null}', "not a version that is served"),
        (b'{"stable": [1]}', "not a version that is served"),
    ],
)
def test_what_a_file_of_aliases_may_not_say(reader: Reader, place: Place, data: bytes, reason: str) -> None:
    place.publish()
    place.write("tiny/aliases.json", data)
    assert reader.renew() == [("tiny", 1)]
    assert reason in reader.refused()["tiny", None]
    assert aliased(reader) == {}


def selected(reader: Reader) -> dict[str, Any]:
    return {name: rung.model_dump(exclude_none=True) for name, rung in reader.catalog.rungs("tiny").items()}


def test_rungs_follow_their_file_and_the_old_ones_go_on_after_a_bad_one(place: Place, reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    place.publish()
    for rungs in ({"small": {"compression": 0.5}, "odd": {"widths": {"conv1": 7}}}, {}, {"tiny": {"budget": {"bytes": 5000, "macs": 9}}}):
        place.write("tiny/rungs.json", json.dumps(rungs).encode())
        reader.renew()
        assert selected(reader) == rungs
    place.write("tiny/rungs.json", b'{"small": {"compression": 1}}')
    place.write("tiny/aliases.json", b'{"stable": 1}')
    reader.renew()
    assert (selected(reader), aliased(reader)) == ({"tiny": {"budget": {"bytes": 5000, "macs": 9}}}, {"stable": 1})
    assert "tiny rungs.json is refused: small.compression: 1" in caplog.text
    place.remove("tiny/rungs.json")
    reader.renew()
    assert reader.refused() == {}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "no object"),
        (b"null", "no object"),
        (b'{"12": {"compression": 0}}', "'12' is not allowed"),
        (b'{"../x": {"compression": 0}}', "'../x' is not allowed"),
        (b'{"a\\n": {"compression": 0}}', "not allowed"),
        (b'{"small": 0.5}', "small: 0.5 is not allowed; expected an object"),
        (b'{"small": {}}', "exactly one of compression, widths and budget"),
        (b'{"small": {"compression": 0.5, "widths": {"conv1": 2}}}', "exactly one of compression, widths and budget"),
        (b'{"small": {"compression": null}}', "exactly one of compression, widths and budget"),
        (b'{"small": {"compression": "0.5"}}', "small.compression: '0.5' is not allowed; expected a valid number"),
        (b'{"small": {"compression": true}}', "small.compression: True"),
        (b'{"small": {"compression": -0.1}}', "greater than or equal to 0"),
        (b'{"small": {"compression": 1}}', "less than 1"),
        (b'{"small": {"compression": NaN}}', "small.compression"),
        (b'{"small": {"widths": {"conv1": 0}}}', "small.widths.conv1: 0 is not allowed; expected greater than 0"),
        (b'{"small": {"widths": {"conv1": 2.0}}}', "small.widths.conv1"),
        (b'{"small": {"budget": {}}}', "at least one of params, macs, bytes and latency_ms with device"),
        (b'{"small": {"budget": {"bytes": -1}}}', "small.budget.bytes: -1"),
        (b'{"small": {"budget": {"latency_ms": 4}}}', "latency_ms together with device"),
        (b'{"small": {"budget": {"latency_ms": 0, "device": "pi4"}}}', "small.budget.latency_ms: 0"),
        (b'{"small": {"budget": {"seconds": 1}}}', "small.budget.seconds: 1 is not allowed; expected no field of this name"),
        (b'{"small": {"compression": 0.5, "precision": "fp16"}}', "small.precision: 'fp16' is not allowed; expected no field of this name"),
    ],
)
def test_what_a_file_of_rungs_may_not_say(reader: Reader, place: Place, data: bytes, reason: str) -> None:
    place.publish()
    place.write("tiny/rungs.json", data)
    assert reader.renew() == [("tiny", 1)]
    assert reason in reader.refused()["tiny", None]
    assert selected(reader) == {}
