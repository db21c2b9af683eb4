"""The real client measures, tells the real service, and asks it for a latency."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from neumeta_client import Artifact, BudgetImpossible, Client, Latency, ProfileNotFound
from neumeta_core.manifold import Manifold

from tests.service.serving import live, tiny_app
from tests.tiny import tiny_manifold


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a model whose first layer shrinks less than the second, so that integers do not say which compression they come from."""
    models, tiny = tmp_path_factory.mktemp("models"), tiny_manifold()
    first, second = tiny.architecture.groups
    architecture = tiny.architecture.model_copy(update={"groups": (first.model_copy(update={"minimum": 4}), second)})
    header = tiny.header.model_copy(update={"architecture": architecture})
    Manifold(header, tiny.inr, tiny.template, tiny.canary).save(models / "tiny" / "1" / "manifold.safetensors")
    with live(tiny_app(models)) as address:
        yield address


@pytest.fixture
def client(url: str, tmp_path: Path) -> Iterator[Client]:
    with Client(url, cache=tmp_path) as made:
        yield made


def milliseconds(artifact: Artifact) -> float:
    """By layers whose kernels work on blocks of four channels: the rest takes twice as long."""
    widths = artifact.manifest.spec.widths.values()
    return float(sum(width if width % 4 == 0 else 2 * width for width in widths))


def test_a_latency_gives_the_largest_artifact_that_was_measured_within_it(client: Client) -> None:
    measured: list[tuple[float, str]] = []

    def measure(artifact: Artifact) -> Latency:
        measured.append((milliseconds(artifact), artifact.digest))
        return Latency(milliseconds(artifact), 99.0, 40)

    profile = client.bench("tiny", points=9, metric="p50", measure=measure)
    client.publish_profile(profile, device="pi4")
    assert len(profile.points) == len(measured) > 5
    assert measured != sorted(measured, reverse=True), "a larger one is faster than a smaller one"
    for limit, _ in measured:
        expected = next(digest for latency, digest in measured if latency <= limit)
        assert client.pull("tiny", budget={"latency_ms": limit, "device": "pi4"}).digest == expected


def test_a_latency_below_all_says_the_lowest_that_was_measured(client: Client) -> None:
    profile = client.bench("tiny", points=9, measure=lambda artifact: Latency(1.0, milliseconds(artifact), 40))
    client.publish_profile(profile, device="a53")
    lowest = min(point.latency.p95_ms for point in profile.points)
    with pytest.raises(BudgetImpossible) as caught:
        client.pull("tiny", budget={"latency_ms": lowest - 0.01, "device": "a53"})
    smallest = profile.points[-1]
    assert caught.value.smallest == {"params": smallest.params, "macs": smallest.macs, "bytes": smallest.bytes, "latency_ms": lowest}


def test_a_device_that_nobody_measured(client: Client) -> None:
    with pytest.raises(ProfileNotFound, match="nobody"):
        client.pull("tiny", budget={"latency_ms": 4, "device": "nobody"})
