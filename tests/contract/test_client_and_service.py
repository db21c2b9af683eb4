"""The real client against the real service, over a real socket."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from neumeta_client import (
    AccessRefused,
    ArtifactGone,
    AsyncClient,
    BudgetImpossible,
    Client,
    InvalidRequest,
    ModelNotFound,
    ModelRefused,
    ServiceUnavailable,
    VersionNotFound,
)
from neumeta_core.manifold import Manifold

from tests.service.access.tokens import add_key
from tests.service.serving import live, tiny_app
from tests.tiny import forward, save_tiny


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_tiny(folder)
    broken = folder / "broken" / "1" / "manifold.safetensors"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no manifold")
    return folder


@pytest.fixture(scope="module")
def url(models: Path) -> Iterator[str]:
    with live(tiny_app(models)) as address:
        yield address


@pytest.fixture
def client(url: str, tmp_path: Path) -> Iterator[Client]:
    with Client(url, cache=tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def manifold(models: Path) -> Manifold:
    return Manifold.load(models / "tiny" / "1" / "manifold.safetensors")


@pytest.mark.parametrize(
    "selector",
    [{"compression": 0.0}, {"compression": 0.3}, {"compression": 0.75}, {"widths": {"conv1": 5, "conv2": 7}}, {"budget": {"params": 700}}],
    ids=str,
)
def test_a_pulled_network_computes_what_the_manifold_makes(client, manifold, selector):
    artifact = client.pull("tiny", **selector)
    member = manifold.configure(widths=dict(artifact.manifest.spec.widths))
    inputs = torch.randn(3, 1, 8, 8)
    logits = artifact.session().run(None, {"input": inputs.numpy()})[0]
    assert np.abs(logits - forward(manifold.materialize(member), inputs).numpy()).max() < 1e-4


def test_the_manifest_tells_the_truth(client, manifold):
    artifact = client.pull("tiny", compression=0.5, precision="fp16")
    manifest, data = artifact.manifest, artifact.path.read_bytes()
    member = manifold.configure(compression=0.5)
    cost = manifold.cost(member, "fp16")
    assert manifest.digest == artifact.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert (manifest.cost.params, manifest.cost.macs, manifest.cost.bytes) == (cost.params, cost.macs, cost.bytes)
    assert manifest.size == len(data) == cost.bytes
    assert manifest.compression.requested == 0.5
    assert (manifest.quality.value, manifest.quality.kind, manifest.quality.precision) == (0.8, "measured", "fp32")
    assert manifest.spec.manifold == manifold.digest
    assert tuple(manifest.labels) == manifold.header.labels


def test_int8_is_pulled_and_runs_with_fp32_at_both_ends(client, manifold):
    artifact = client.pull("tiny", compression=0.25, precision="int8")
    member = manifold.configure(compression=0.25)
    inputs = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = forward(manifold.materialize(member), inputs).numpy()
    logits = artifact.session().run(None, {"input": inputs.numpy()})[0]
    assert artifact.manifest.cost.bytes == manifold.cost(member, "int8").bytes < manifold.cost(member).bytes
    assert logits.dtype == np.float32
    assert 0 < np.abs(logits - expected).max() <= 0.03 * np.abs(expected).max()


def test_a_second_pull_downloads_nothing(client):
    first = client.pull("tiny", compression=0.4)
    second = client.pull("tiny", compression=0.4)
    assert not first.from_cache
    assert second.from_cache
    assert second.path == first.path


def test_both_clients_give_the_same_artifact(client, url, tmp_path):
    async def pull() -> str:
        async with AsyncClient(url, cache=tmp_path / "other") as other:
            return (await other.pull("tiny", compression=0.2)).digest

    assert asyncio.run(pull()) == client.pull("tiny", compression=0.2).digest


def test_models_and_curve(client, manifold):
    assert {(model.name, model.state) for model in client.models()} == {("tiny", "ready"), ("broken", "refused")}
    model = client.model("tiny")
    assert [(group.name, group.full, group.minimum) for group in model.groups] == [("conv1", 8, 2), ("conv2", 12, 3)]
    assert model.max_compression == 0.75
    curve = client.curve("tiny")
    assert [point.quality for point in curve.points] == [point.quality for point in manifold.header.curve.points]


@pytest.mark.parametrize(
    ("name", "selector", "error", "names"),
    [
        ("tiny", {"compression": 0.9}, InvalidRequest, "compression"),
        ("tiny", {"widths": {"conv1": 5}}, InvalidRequest, "widths.conv2"),
        ("tiny", {"widths": {"conv1": 5, "conv2": 99}}, InvalidRequest, "an integer from 3 to 12"),
        ("tiny", {"compression": 0.5, "precision": "int4"}, InvalidRequest, "'fp32', 'fp16' or 'int8'"),
        ("tiny", {"budget": {"bytes": 10}}, BudgetImpossible, "the lowest are"),
        ("missing", {"compression": 0.5}, ModelNotFound, "missing"),
        ("broken", {"compression": 0.5}, ModelRefused, "truncated"),
    ],
)
def test_errors_keep_their_type_and_their_sentence(client, name, selector, error, names):
    with pytest.raises(error, match=names):
        client.pull(name, **selector)


def test_a_version_is_pulled_by_number_and_by_alias(tmp_path):
    folder = tmp_path / "models"
    for version in (1, 2):
        save_tiny(folder, version=version, seed=version)
    (folder / "tiny" / "aliases.json").write_text('{"stable": 1}')
    with live(tiny_app(folder)) as address, Client(address, cache=tmp_path / "cache") as client:
        pulled = {version: client.pull("tiny", compression=0.5, version=version) for version in (None, "latest", 2, 1, "1", "stable")}
        assert [artifact.manifest.version for artifact in pulled.values()] == [2, 2, 2, 1, 1, 1]
        assert len({artifact.digest for artifact in pulled.values()}) == 2
        assert [(model.version, model.aliases) for model in client.models()] == [(1, ("stable",)), (2, ("latest",))]
        assert (client.model("tiny", version="stable").version, client.curve("tiny", version=1).version) == (1, 1)
        with pytest.raises(VersionNotFound, match="GET /v1/models/tiny/versions"):
            client.pull("tiny", compression=0.5, version=3)


def test_an_impossible_budget_says_what_the_smallest_member_costs(client, manifold):
    with pytest.raises(BudgetImpossible) as caught:
        client.pull("tiny", budget={"params": 1, "macs": 1})
    smallest = manifold.cost(manifold.configure(compression=0.75))
    assert (caught.value.smallest["params"], caught.value.smallest["macs"]) == (smallest.params, smallest.macs)


def test_a_token_lets_the_client_in(models, tmp_path):
    device, reader = (add_key(tmp_path / "keys.json", *scopes) for scopes in (("read", "materialize"), ("read",)))
    with live(tiny_app(models, api_keys_file=tmp_path / "keys.json")) as address:
        with Client(address, cache=tmp_path, token=device) as client:
            assert client.pull("tiny", compression=0.5).path.is_file()
        for token, code in (("", "unauthenticated"), (f"{device}0", "unauthenticated"), (reader, "forbidden")):
            with Client(address, cache=tmp_path, token=token) as client, pytest.raises(AccessRefused) as caught:
                client.pull("tiny", compression=0.5)
            assert caught.value.code == code


def test_too_many_requests_are_a_service_that_is_not_available(models, tmp_path):
    with live(tiny_app(models, rate_limit="1/day")) as address, Client(address, cache=tmp_path, token="") as client:
        client.models()
        with pytest.raises(ServiceUnavailable, match="1 per 1 day"):
            client.models()


def test_an_artifact_that_was_evicted_is_made_again(models, tmp_path):
    with live(tiny_app(models, cache_bytes=1)) as address, Client(address, cache=tmp_path) as client:
        try:
            artifact = client.pull("tiny", compression=0.5)
        except ArtifactGone:
            pytest.fail("the service cannot rebuild what it has just made")
        assert artifact.path.stat().st_size == artifact.manifest.size
