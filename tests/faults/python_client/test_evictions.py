"""Artifacts that are gone between manifest, first half and second half: the same bits go on, others start anew, and nothing is mixed."""

from __future__ import annotations

from pathlib import Path

import pytest
from neumeta_core.manifold import Manifold

from tests.faults.python_client.pulls import HALF, Pull, body, bytes_of, files, once, sample
from tests.faults.site import Site
from tests.service.redis_server import RedisServer
from tests.service.serving import tiny_app
from tests.tiny import save_tiny


def test_evicted_between_two_halves_it_is_made_again_by_the_service(site: Site, pull: Pull, models: Path, truth: bytes) -> None:
    """Which still knows what the digest was of."""
    app = tiny_app(models, cache_bytes=0)
    site.serve(app)
    site.on("artifact", body(cuts_after=HALF))
    assert pull().path.read_bytes() == truth
    assert site.asked == [("materialize", None), ("artifact", None), ("artifact", f"bytes={HALF}-")]
    assert sample(app, "materialize_seconds_count", stage="inr") == 3


def test_restarted_between_two_halves_it_goes_on_with_equal_bits(site: Site, pull: Pull, models: Path, truth: bytes) -> None:
    site.on("artifact", body(cuts_after=HALF))
    artifact = pull(progress=once(lambda received: received > 0, lambda: site.serve(tiny_app(models))))
    assert artifact.path.read_bytes() == truth
    rest = ("artifact", f"bytes={HALF}-")
    assert site.asked == [("materialize", None), ("artifact", None), rest, ("materialize", None), rest]


@pytest.mark.parametrize("version", [2, pytest.param(1, marks=pytest.mark.slow)], ids=["a new version", "another file of the same version"])
def test_with_other_bits_it_starts_anew(site: Site, pull: Pull, cache: Path, tmp_path: Path, truth: bytes, version: int) -> None:
    other = Manifold.load(save_tiny(tmp_path / "other", version=version, seed=1))
    site.on("artifact", body(cuts_after=HALF))
    artifact = pull(progress=once(lambda received: received > 0, lambda: site.serve(tiny_app(tmp_path / "other"))))
    assert artifact.manifest.version == version
    assert artifact.path.read_bytes() == bytes_of(other) != truth
    assert site.ranges == [None, f"bytes={HALF}-", None]
    assert files(cache) == [".json", ".json", ".onnx"]  # As it was asked for, and by its version.


def test_restarted_between_manifest_and_download_it_asks_again(site: Site, pull: Pull, models: Path, truth: bytes) -> None:
    artifact = pull(progress=once(lambda received: received == 0, lambda: site.serve(tiny_app(models))))
    assert artifact.path.read_bytes() == truth
    assert site.asked == [("materialize", None), ("artifact", None)] * 2


@pytest.mark.parametrize("received", [0, pytest.param(HALF, marks=pytest.mark.slow)], ids=["before the download", "in the middle of it"])
def test_redis_may_go_meanwhile(site: Site, pull: Pull, models: Path, redis_server: RedisServer, truth: bytes, received: int) -> None:
    """By a service whose memory keeps nothing, so that Redis alone has the artifact."""
    site.serve(tiny_app(models, redis_url=redis_server.url, cache_bytes=0))
    site.on("artifact", body(cuts_after=HALF))
    artifact = pull(progress=once(lambda there: there >= received, redis_server.kill))
    assert artifact.path.read_bytes() == truth
    assert site.ranges == [None, f"bytes={HALF}-"]
    assert site.count("materialize") == 1
