from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Patch, Segment
from neumeta_core.errors import TemplateError
from neumeta_core.precision.int8 import Int8
from neumeta_core.template import fill
from neumeta_trainer.export.patches import Export, find_patches
from neumeta_trainer.export.template import make_template
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.ordering import channel_order, permute
from neumeta_trainer.structure.resize import resized, sliced
from onnx import TensorProto, helper
from torch import Tensor, nn

from tests.trainer import networks_zoo as zoo


def run_onnx(model: onnx.ModelProto, inputs: Tensor) -> np.ndarray[Any, Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: np.ndarray[Any, Any] = session.run(["logits"], {"input": inputs.numpy()})[0]
    return outputs


def odd_widths(architecture: Architecture) -> dict[str, int]:
    """An odd width below the full one for every group, no two neighbours alike."""
    choices = {group.name: [width for width in range(group.minimum, group.full) if width % 2] for group in architecture.groups}
    return {name: odd[number % len(odd)] for number, (name, odd) in enumerate(choices.items())}


def int8_model(template: onnx.ModelProto, architecture: Architecture, widths: dict[str, int], values: dict[str, Tensor]) -> onnx.ModelProto:
    encoding = Int8(template, architecture)
    arrays = encoding.encode({name: values[name] for name in architecture.by_name})
    model = fill(encoding.template, encoding.architecture, widths, arrays)
    onnx.checker.check_model(model, full_check=True)
    kernels = [tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.INT8]
    assert len(kernels) == sum(parameter.in_dim is not None for parameter in architecture.parameters) > 0
    return model


def through_the_whole_path(kind: type[nn.Module]) -> tuple[Architecture, onnx.ModelProto]:
    """Fusion, channel groups, smooth order, template, ONNX at odd widths; the network before all that is the reference at full width."""
    original, example = zoo.build(kind), zoo.example_of(kind)
    fused = fuse_batch_norm(original, example)
    architecture = find_architecture(fused, example).architecture
    network = permute(fused, architecture, channel_order(fused, architecture, "smooth"))
    data, patches = make_template(network, architecture, example)
    architecture = architecture.model_copy(update={"patches": patches})
    template, inputs = onnx.load_from_string(data), zoo.example_of(kind, batch=5, seed=1)
    for widths in (odd_widths(architecture), architecture.full_widths):
        member = resized(network, architecture, widths, None)
        values = sliced(architecture, network.state_dict(), widths)
        model = fill(template, architecture, widths, {name: values[name].numpy() for name in architecture.by_name})
        onnx.checker.check_model(model, full_check=True)
        with torch.no_grad():
            expected = member(inputs).numpy()
        assert np.abs(run_onnx(model, inputs) - expected).max() <= 1e-4 * np.abs(expected).max()
        in_int8 = int8_model(template, architecture, widths, values)
        assert 0 < np.abs(run_onnx(in_int8, inputs) - expected).max() <= 0.03 * np.abs(expected).max()
    with torch.no_grad():
        expected = original(inputs).numpy()
    assert np.abs(run_onnx(model, inputs) - expected).max() <= 1e-4 * np.abs(expected).max()
    return architecture, template


def patched(architecture: Architecture) -> list[tuple[str, int | None, tuple[Segment, ...]]]:
    return [(patch.attribute, patch.index, patch.axis) for patch in architecture.patches]


def test_linear_after_a_flatten_to_onnx() -> None:
    architecture, template = through_the_whole_path(zoo.LeNet)
    assert architecture.patches == ()
    assert {initializer.name for initializer in template.graph.initializer} == {*architecture.by_name, "fc2.bias"}


def test_residual_stream_to_onnx() -> None:
    through_the_whole_path(zoo.ResNet)


def test_concatenated_unet_skips_to_onnx() -> None:
    through_the_whole_path(zoo.UNet)


def test_depthwise_mobilenet_block_to_onnx() -> None:
    architecture, _ = through_the_whole_path(zoo.MobileNet)
    assert patched(architecture) == [("group", None, (Segment(group=f"blocks.{block}.expand.0"),)) for block in (0, 1)]


def test_conv_transpose_decoder_to_onnx() -> None:
    architecture, _ = through_the_whole_path(zoo.Decoder)
    assert patched(architecture) == [("value", 1, (Segment(group="fc"),))]


def test_pre_norm_residual_to_onnx() -> None:
    through_the_whole_path(zoo.PreNormResNet)


def test_layer_norm_and_gated_halves_to_onnx() -> None:
    through_the_whole_path(zoo.ConvNext)


def test_split_by_sizes_to_onnx() -> None:
    architecture, _ = through_the_whole_path(zoo.SplitBySizes)
    assert patched(architecture) == [("value", index, (Segment(group="both"),)) for index in (0, 1)]


def test_tied_weights_to_onnx() -> None:
    through_the_whole_path(zoo.Tied)


def test_group_norm_to_onnx() -> None:
    through_the_whole_path(zoo.GroupNormed)


def test_hard_coded_view_to_onnx() -> None:
    through_the_whole_path(zoo.HardCodedView)


def test_zero_padded_shortcut_to_onnx() -> None:
    through_the_whole_path(zoo.PaddedShortcut)


def template_of(network: nn.Module, example: Tensor, granularity: int = 1) -> tuple[Architecture, onnx.ModelProto]:
    architecture = find_architecture(network, example, granularity=granularity).architecture
    data, patches = make_template(network, architecture, example)
    return architecture.model_copy(update={"patches": patches}), onnx.load_from_string(data)


def test_a_template_holds_frozen_values_and_nothing_else_but_the_graph() -> None:
    network, example = zoo.build(zoo.Tied), zoo.example_of(zoo.Tied)
    architecture, template = template_of(network, example)
    assert (template.ir_version, template.opset_import[0].version) == (8, 17)
    assert not template.producer_name
    assert not template.graph.value_info
    assert not any(node.doc_string or node.metadata_props for node in template.graph.node)
    for initializer in template.graph.initializer:
        full = network.state_dict()[initializer.name]
        assert tuple(initializer.dims) == full.shape
        if initializer.name in architecture.by_name:
            assert not initializer.raw_data
        else:
            assert np.array_equal(onnx.numpy_helper.to_array(initializer), full.numpy())
    assert template.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_the_same_network_gives_the_same_bytes() -> None:
    network, example = zoo.build(zoo.Decoder), zoo.example_of(zoo.Decoder)
    architecture = find_architecture(fuse_batch_norm(network, example), example).architecture
    fused = fuse_batch_norm(network, example)
    assert make_template(fused, architecture, example) == make_template(fused, architecture, example)


def test_equal_initializers_stay_apart() -> None:
    fresh = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    for parameter in fresh.parameters():
        nn.init.zeros_(parameter)
    architecture, template = template_of(fresh.eval(), torch.randn(2, 3, 6, 6))
    assert {initializer.name for initializer in template.graph.initializer} >= architecture.by_name.keys()


def test_leaves_warnings_and_the_network_alone(recwarn: pytest.WarningsRecorder) -> None:
    network, example = zoo.build(zoo.PaddedShortcut), zoo.example_of(zoo.PaddedShortcut)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    template_of(network, example)
    assert not recwarn.list
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_groups_of_two_widths_each_are_told_apart() -> None:
    network, example = zoo.build(zoo.DepthwiseChain), zoo.example_of(zoo.DepthwiseChain)
    architecture, _ = template_of(network, example, granularity=8)
    names = [f"blocks.{block}.0" for block in range(4)]
    assert architecture.groups == tuple(ChannelGroup(name=name, full=16, minimum=8, granularity=8) for name in names)
    assert patched(architecture) == [("group", None, (Segment(group=name),)) for name in names]


class Scaled(nn.Module):
    """A number that follows a width and is no size of any axis."""

    def __init__(self, number: Callable[[int], float]) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3)
        self.b = nn.Conv2d(8, 2, 1)
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x))) * self.number(self.a.out_channels)


@pytest.mark.parametrize("number", [lambda width: width**-0.5, lambda width: torch.tensor(width**2)], ids=["float", "square"])
def test_refuses_numbers_that_widths_do_not_explain(number: Callable[[int], float]) -> None:
    network, example = Scaled(number).eval(), torch.randn(2, 3, 6, 6)
    with pytest.raises(TemplateError, match=r"node /Constant: value is") as raised:
        template_of(network, example)
    assert re.search(r"another one at other widths|64 at \{'a': 8\}, .* which no channel group explains", str(raised.value))


class Branching(Scaled):
    """Another graph when it is narrow."""

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x if self.a.out_channels == 8 else torch.relu(x)


def test_refuses_a_graph_that_changes_with_the_widths() -> None:
    with pytest.raises(TemplateError, match="another number of nodes at other widths"):
        template_of(Branching(lambda _: 1.0).eval(), torch.randn(2, 3, 6, 6))


class Frozen(Scaled):
    """A batch size that tracing turns into a constant."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.zeros(int(x.shape[0]), 1, 1, 1)


def test_refuses_a_graph_that_froze_the_batch_size() -> None:
    with pytest.raises(TemplateError, match=r"at .* and a batch of 3 the filled template does not"):
        template_of(Frozen(lambda _: 1.0).eval(), torch.randn(2, 3, 6, 6))


def test_refuses_what_onnx_does_not_have() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.FractionalMaxPool2d(2, output_size=2, _random_samples=torch.zeros(2, 8, 2)), nn.Conv2d(8, 2, 1))
    architecture = find_architecture(nn.Sequential(network[0], nn.ReLU(), network[2]).eval(), torch.randn(2, 3, 6, 6)).architecture
    with pytest.raises(TemplateError, match="Sequential cannot be exported to ONNX opset 17"):
        make_template(network.eval(), architecture, torch.randn(2, 3, 6, 6))


GROUPS = Architecture(
    groups=(ChannelGroup(name="a", full=8, minimum=2), ChannelGroup(name="b", full=12, minimum=3)),
    parameters=(
        GeneratedParameter(
            name="w", axes=((Segment(group="b"),), (Segment(count=3), Segment(group="a"), Segment(group="b"))), in_dim=1, macs_per_element=1
        ),
    ),
    max_compression=0.75,
)
WIDTHS = [{"a": 8, "b": 12}, {"a": 5, "b": 7}, {"a": 3, "b": 11}]


def exports(*attributes: dict[str, Any], at: Sequence[dict[str, int]] = WIDTHS) -> list[Export]:
    """Graphs of one node with these attributes, at these widths."""
    return [
        Export(widths, helper.make_model(helper.make_graph([helper.make_node("Op", ["x"], ["y"], name="op", **given)], "g", [], [])))
        for widths, given in zip(at, attributes, strict=True)
    ]


def test_finds_what_explains_an_integer_at_all_widths() -> None:
    sizes = [[2, widths["a"], 3 + widths["a"], 3 + widths["a"] + widths["b"], 9 * widths["b"]] for widths in WIDTHS]
    a, b = Segment(group="a"), Segment(group="b")
    expected = [(1, (a,)), (2, (Segment(count=3), a)), (3, (Segment(count=3), a, b)), (4, (Segment(group="b", repeat=9),))]
    patches = find_patches(exports(*({"sizes": values} for values in sizes)), GROUPS)
    assert patches == tuple(Patch(node="op", attribute="sizes", index=index, axis=axis) for index, axis in expected)
    tensors = [helper.make_tensor("t", TensorProto.INT64, [len(values)], values) for values in sizes]
    assert [patch.index for patch in find_patches(exports(*({"value": tensor} for tensor in tensors)), GROUPS)] == [1, 2, 3, 4]
    (patch,) = find_patches(exports(*({"group": widths["b"]} for widths in WIDTHS)), GROUPS)
    assert (patch.index, patch.axis) == (None, (b,))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([{"n": 8}, {"n": 5}, {"n": 4}], r"node op: n is 8 at \{'a': 8, 'b': 12\}, 5 at .*, 4 at .*, which no channel group explains"),
        ([{"n": 8.0}, {"n": 5.0}, {"n": 3.0}], "node op: n is another one at other widths"),
        ([{"n": [8]}, {"n": [5, 5]}, {"n": [3]}], "node op: n is another one at other widths"),
        ([{"n": 8}, {"m": 8}, {"n": 8}], r"node op \(Op\) is another one at other widths"),
    ],
)
def test_refuses_differences_that_are_no_sizes(values: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        find_patches(exports(*values), GROUPS)


def test_refuses_an_integer_that_two_groups_explain() -> None:
    proportional = [{"a": 8, "b": 12}, {"a": 4, "b": 6}, {"a": 2, "b": 3}]
    with pytest.raises(TemplateError, match=r"node op: n is 24 at .*, 12 at .*, 6 at .*, which a and b explain equally well"):
        find_patches(exports(*({"n": 3 * widths["a"]} for widths in proportional), at=proportional), GROUPS)
