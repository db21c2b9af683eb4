from __future__ import annotations

import json

import pytest

from neumeta_client import ChannelGroup, Compression, Cost, CurvePoint, Input, ModelSummary, Quality, UnexpectedAnswer


def test_models(client):
    ready, refused = client.models()
    assert ready == ModelSummary("lenet-mnist", 1, "ready", None, "classification", 0.75, ("latest", "stable"))
    assert refused == ModelSummary("lenet-mnist", 2, "refused", "The file ends after 10 bytes.")


def test_model(client):
    model = client.model("lenet-mnist")
    assert (model.name, model.version, model.max_compression, model.labels) == ("lenet-mnist", 1, 0.75, ("0", "1"))
    assert model.groups == (ChannelGroup("conv1", 32, 8, 1),)
    assert model.costs["smallest"] == Cost(4000, 300000, 17000)
    assert model.input == Input("input", (1, 28, 28), "NCHW", 1 / 255, (0.1307,), (0.3081,))
    assert model.precisions == ("fp32", "fp16", "int8")
    assert model.training == {"recipe": "lenet-mnist", "seeds": [0]}


def test_curve(client):
    curve = client.curve("lenet-mnist")
    assert (curve.model, curve.metric, curve.split, curve.samples) == ("lenet-mnist", "accuracy", "test", 10000)
    assert curve.points[1] == CurvePoint(0.5, {"conv1": 16}, 17000, 1900000, 0.985, held_out=True, quality_in={"int8": 0.98})
    assert curve.points[0].quality_in == {}


def test_a_model_without_a_curve(client, service):
    document = {"model": "lenet-mnist", "version": 1, "metric": None, "split": None, "samples": None, "points": []}
    service.on("curve", service.reply(200, "application/json", json.dumps(document).encode()))
    curve = client.curve("lenet-mnist")
    assert (curve.metric, curve.points) == (None, ())


def test_manifest(client):
    manifest = client.manifest("lenet-mnist", compression=0.5)
    assert manifest.compression == Compression(0.5, 0.5)
    assert manifest.quality == Quality("accuracy", 0.991, "measured")
    assert manifest.spec.widths == {"conv1": 16}
    assert manifest.output.name == "logits"
    with pytest.raises(AttributeError):
        manifest.digest = "other"


def test_a_service_that_measures_fp32_alone_need_not_say_so(client, service):
    service.manifest_changes = {"quality": {"metric": "accuracy", "value": 0.991, "kind": "measured"}}
    assert client.manifest("lenet-mnist", compression=0.5, precision="int8").quality.precision == "fp32"


def test_what_may_be_missing(client, service):
    service.manifest_changes = {"quality": {"value": None, "kind": "extrapolated", "metric": None}}
    manifest = client.manifest("lenet-mnist", budget={"params": 9000})
    assert (manifest.quality.value, manifest.quality.metric, manifest.compression.requested) == (None, None, None)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "answer.models"),
        ({"models": {}}, "answer.models"),
        ({"models": [{"name": 3, "version": 1, "state": "ready"}]}, r"answer.models\[0\].name"),
        ({"models": [{"name": "a", "version": 1, "state": True}]}, r"answer.models\[0\].state"),
        ({"models": [{"name": "a", "version": True, "state": "ready"}]}, r"answer.models\[0\].version"),
        ({"models": [7]}, r"answer.models\[0\]"),
        (None, "answer"),
        ("text", "answer"),
    ],
)
def test_an_answer_of_another_shape_names_the_field(client, service, document, named):
    service.on("models", service.reply(200, "application/json", json.dumps(document).encode()))
    with pytest.raises(UnexpectedAnswer, match=named):
        client.models()


def test_a_name_in_an_answer_cannot_control_a_terminal(client, service):
    widths = {"\x1b[2J\ud800" + 100 * "c": "x"}
    service.manifest_changes = {"spec": {"model": "m", "version": 1, "manifold": "", "widths": widths, "precision": "", "opset": 17}}
    with pytest.raises(UnexpectedAnswer, match=r"as manifest\.spec\.widths\.'.x1b\[2J.ud800c+; expected an integer") as caught:
        client.manifest("lenet-mnist", compression=0.5)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("field", ["model", "version", "digest", "size", "url", "filename", "spec", "spec_digest", "cost", "input", "output"])
def test_a_manifest_with_null_for_a_field_names_it(client, service, field):
    service.manifest_changes = {field: None}
    with pytest.raises(UnexpectedAnswer, match=f"manifest.{field}"):
        client.manifest("lenet-mnist", compression=0.5)
