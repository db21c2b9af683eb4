from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import onnx
import onnxruntime
import pytest
import torch
from neumeta_core.manifold import Canary, Manifold
from neumeta_service.http.schemas import ManifestDocument, PlanDocument

from tests.service.serving import JSON, POST, CountedManifold, in_process, tier, tiny_app
from tests.tiny import save_tiny, tiny_manifold, with_quality_in

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(models: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(tiny_app(models)) as client:
        yield client


@pytest.fixture
def manifold(models: Path) -> Manifold:
    return Manifold.load(models / "tiny" / "1" / "manifold.safetensors")


async def test_bytes_and_manifest_agree(client: httpx.AsyncClient) -> None:
    answer = await client.post(POST, json={"compression": 0.4, "precision": "fp16"})
    manifest = (await client.post(POST, json={"compression": 0.4, "precision": "fp16"}, headers=JSON)).json()
    assert answer.status_code == 200
    assert answer.headers["etag"] == f'"{manifest["digest"]}"'
    assert answer.headers["content-location"] == manifest["url"]
    assert answer.headers["content-disposition"] == f'attachment; filename="{manifest["filename"]}"'
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert len(answer.content) == manifest["size"] == manifest["cost"]["bytes"]
    assert (await client.get(manifest["url"])).content == answer.content
    onnx.checker.check_model(onnx.load_from_string(answer.content), full_check=True)
    assert onnxruntime.InferenceSession(answer.content).get_outputs()[0].name == manifest["output"]["name"]


@pytest.mark.parametrize(
    "selection", [{"compression": 0.4}, {"budget": {"bytes": 6000}, "precision": "fp16"}, {"compression": 0.75, "precision": "int8"}]
)
async def test_a_plan_says_what_the_manifest_will_and_builds_nothing(models: Path, selection: dict[str, object]) -> None:
    manifold = CountedManifold.load(models / "tiny" / "1" / "manifold.safetensors")
    async with in_process(tiny_app(models, manifold)) as client:
        plan = (await client.post("/v1/models/tiny/plan", json=selection)).json()
        assert manifold.builds == 0
        manifest = (await client.post(POST, json=selection, headers=JSON)).json()
    PlanDocument.model_validate(plan)
    assert plan == {name: manifest[name] for name in plan}
    assert plan["cost"]["bytes"] == manifest["size"]


async def test_samples_are_the_first_canary_inputs(client: httpx.AsyncClient, manifold: Manifold) -> None:
    samples = (await client.get("/v1/models/tiny/samples")).json()
    assert manifold.canary is not None
    assert len(samples["inputs"]) == len(samples["labels"]) == min(16, len(manifold.canary.labels))
    assert samples["inputs"][0] == manifold.canary.inputs[0].flatten().tolist()
    assert samples["labels"] == manifold.canary.labels[:16].tolist()


@pytest.mark.parametrize(("dtype", "text"), [(torch.uint8, "[0,1,2,"), (torch.float32, "[0.0,0.5,1.0,")])
async def test_samples_are_written_as_they_are_stored(models: Path, manifold: Manifold, dtype: torch.dtype, text: str) -> None:
    assert manifold.canary is not None
    values = torch.arange(manifold.canary.inputs.numel()).reshape(manifold.canary.inputs.shape)
    canary = Canary((values if dtype is torch.uint8 else values / 2).to(dtype), manifold.canary.labels)
    changed = Manifold(manifold.header, manifold.inr, manifold.template, canary, digest=manifold.digest, size=manifold.size)
    async with in_process(tiny_app(models, changed)) as client:
        answer = await client.get("/v1/models/tiny/samples")
    assert answer.text.startswith(f'{{"inputs":[{text}')
    assert answer.json()["inputs"] == canary.inputs.flatten(1).tolist()


async def test_a_manifold_without_canary_has_no_samples(models: Path, manifold: Manifold) -> None:
    bare = Manifold(manifold.header, manifold.inr, manifold.template, digest=manifold.digest, size=manifold.size)
    async with in_process(tiny_app(models, bare)) as client:
        assert (await client.get("/v1/models/tiny/samples")).json() == {"inputs": [], "labels": []}


async def test_the_manifest(client: httpx.AsyncClient, manifold: Manifold) -> None:
    response = await client.post(POST, json={"compression": 0.4}, headers=JSON)
    manifest = response.json()
    ManifestDocument.model_validate(manifest)
    assert manifest["compression"] == {"requested": 0.4, "effective": 0.4}
    assert manifest["spec"] == {
        "model": "tiny",
        "version": 1,
        "manifold": manifold.digest,
        "widths": {"conv1": 5, "conv2": 7},
        "precision": "fp32",
        "opset": 17,
    }
    assert manifest["cost"] == manifold.cost(manifold.configure(0.4)).as_dict()
    assert manifest["quality"]["kind"] == "interpolated"
    assert manifest["labels"] == ["zero", "one", "two"]
    assert response.headers["vary"] == "Accept"


@pytest.mark.parametrize("selector", [{"widths": {"conv1": 5, "conv2": 7}}, {"budget": {"macs": 30_000}}])
async def test_other_selectors_have_no_requested_compression(client: httpx.AsyncClient, selector: dict[str, object]) -> None:
    manifest = (await client.post(POST, json=selector, headers=JSON)).json()
    assert manifest["compression"]["requested"] is None


async def test_equal_specs_share_an_artifact_and_keep_what_was_requested(client: httpx.AsyncClient) -> None:
    answers = [await client.post(POST, json={"compression": compression}, headers=JSON) for compression in (0.5, 0.5000001)]
    assert [tier(answer) for answer in answers] == ["built", "memory"]
    assert [answer.json()["compression"]["requested"] for answer in answers] == [0.5, 0.5000001]
    assert len({answer.json()["digest"] for answer in answers}) == 1


async def test_what_is_allowed_once_does_not_allow_what_is_equal_to_it(client: httpx.AsyncClient) -> None:
    for selector, allowed in (({"compression": 0}, 200), ({"compression": False}, 422), ({"compression": 0.0}, 200)):
        assert (await client.post(POST, json=selector)).status_code == allowed
    for width, allowed in ((8, 200), (8.0, 422), (True, 422)):
        assert (await client.post(POST, json={"widths": {"conv1": width, "conv2": 12}})).status_code == allowed


async def test_says_where_it_came_from(client: httpx.AsyncClient) -> None:
    answers = [await client.post(POST, json={"compression": 0.5}) for _ in range(2)]
    assert [answer.headers["cache-status"] for answer in answers] == ["neumeta; fwd=miss; detail=built", "neumeta; hit; detail=memory"]
    assert [stage.partition(";dur=")[0] for stage in answers[0].headers["server-timing"].split(", ")] == ["cache", "queue", "inr", "onnx"]


async def test_list_of_models(tmp_path: Path) -> None:
    save_tiny(tmp_path, version=1)
    save_tiny(tmp_path, version=2).write_bytes(b"rubbish")
    save_tiny(tmp_path, name="broken").write_bytes(b"")
    async with in_process(tiny_app(tmp_path)) as client:
        models = (await client.get("/v1/models")).json()["models"]
        assert [(model["name"], model["version"], model["state"]) for model in models] == [
            ("broken", 1, "refused"),
            ("tiny", 1, "ready"),
            ("tiny", 2, "refused"),
        ]
        assert models[1]["url"] == "/v1/models/tiny?version=1"
        assert models[1]["reason"] is None
        assert models[0]["reason"]
        refused = await client.post("/v1/models/broken/materialize", json={"compression": 0.5})
        assert (refused.status_code, refused.json()["code"]) == (503, "model_refused")
        assert models[0]["reason"] in refused.json()["detail"]
        assert (await client.post(POST, json={"compression": 0.5})).status_code == 200


async def test_a_model(client: httpx.AsyncClient, manifold: Manifold) -> None:
    model = (await client.get("/v1/models/tiny")).json()
    assert model["digest"] == manifold.digest
    assert model["groups"][1] == {"name": "conv2", "full": 12, "minimum": 3, "granularity": 1}
    assert model["max_compression"] == 0.75
    assert model["costs"]["full"] == manifold.cost(manifold.configure(0)).as_dict()
    assert model["costs"]["smallest"] == manifold.cost(manifold.configure(0.75)).as_dict()
    assert model["input"]["shape"] == [1, 8, 8]
    for precision in model["precisions"]:
        assert (await client.post(POST, json={"compression": 0, "precision": precision})).status_code == 200


async def test_the_curve(client: httpx.AsyncClient, manifold: Manifold) -> None:
    curve = (await client.get((await client.get("/v1/models/tiny")).json()["curve_url"])).json()
    assert manifold.header.curve is not None
    assert curve == {"model": "tiny", "version": 1} | manifold.header.curve.model_dump(mode="json")


async def test_what_was_measured_in_a_precision_is_what_its_members_are_promised(tmp_path: Path) -> None:
    with_quality_in(tiny_manifold(), int8=-0.01).save(tmp_path / "tiny" / "1" / "manifold.safetensors")
    async with in_process(tiny_app(tmp_path)) as client:
        points = (await client.get("/v1/models/tiny/curve")).json()["points"]
        assert [(point["quality"], point["quality_in"]) for point in points] == [(0.9, {"int8": 0.89}), (0.8, {"int8": 0.79}), (0.7, {"int8": 0.69})]
        for precision, value, measured_in in (("fp32", 0.8, "fp32"), ("fp16", 0.8, "fp32"), ("int8", 0.79, "int8")):
            manifest = (await client.post(POST, json={"compression": 0.5, "precision": precision}, headers=JSON)).json()
            assert manifest["quality"] == {"metric": "accuracy", "value": value, "kind": "measured", "precision": measured_in}


async def test_a_budget_of_bytes_buys_more_channels_in_int8(client: httpx.AsyncClient) -> None:
    selections = [{"budget": {"bytes": 2500}, "precision": precision} for precision in ("fp32", "int8")]
    fp32, int8 = [(await client.post(POST, json=selection, headers=JSON)).json() for selection in selections]
    assert max(fp32["size"], int8["size"]) <= 2500
    assert int8["cost"]["params"] > fp32["cost"]["params"]
    assert (await client.post(POST, json=selections[1])).headers["etag"] == f'"{int8["digest"]}"'


async def test_a_manifold_without_a_curve(tmp_path: Path) -> None:
    manifold = tiny_manifold()
    manifold.header = manifold.header.model_copy(update={"curve": None})
    manifold.save(tmp_path / "tiny" / "1" / "manifold.safetensors")
    async with in_process(tiny_app(tmp_path)) as client:
        curve = (await client.get("/v1/models/tiny/curve")).json()
        assert curve == {"model": "tiny", "version": 1, "metric": None, "split": None, "samples": None, "points": []}
        manifest = (await client.post(POST, json={"compression": 0.5}, headers=JSON)).json()
        assert manifest["quality"]["value"] is None
        ManifestDocument.model_validate(manifest)
