"""Folding BatchNorm into the layers before it. Every generated network is free of it, so no member needs calibration."""

from __future__ import annotations

import copy
from collections import Counter

import torch
from neumeta_core.errors import NetworkUnsupported
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._pytree import tree_leaves

from neumeta_trainer.structure.layers import Affine, tied_parameters

_PLAIN: tuple[object, ...] = (_BatchNorm.forward, nn.SyncBatchNorm.forward)
# Rounding the folded weights to fp32 changes outputs by far less, another function by far more.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-5


@torch.no_grad()
def fuse_batch_norm(network: nn.Module, example: Tensor, *, checked: bool = True) -> nn.Module:
    """A copy in eval mode without BatchNorm that computes the same function.

    A BatchNorm that directly follows a convolution or Linear with no other consumer is folded into it (which gains a
    bias) and becomes an ``Identity``; any other one (pre-activation networks) becomes an ``Affine``. Module paths stay.
    ``example`` is an input batch. Raises NetworkUnsupported when torch.fx cannot trace the network, when a BatchNorm keeps
    no running statistics or has a forward of its own, and when the copy computes something else on the example, which is
    not looked at unless ``checked``: one look is enough for all members of a family.
    """
    fused = copy.deepcopy(network).eval()
    norms = {name: module for name, module in fused.named_modules() if isinstance(module, _BatchNorm)}
    if own := [f"{name} ({type(norm).__name__})" for name, norm in norms.items() if type(norm).forward not in _PLAIN]:
        raise NetworkUnsupported(
            f"{', '.join(own)}: a BatchNorm with a forward of its own may do more than normalize, and fusing would lose that. "
            "Use torch's own class, and a layer after it for the rest."
        )
    for name, norm in norms.items():
        if norm.running_mean is None:
            raise NetworkUnsupported(f"{name}: this BatchNorm keeps no running statistics; build it with track_running_stats=True.")
    pairs = _pairs(fused, example) if norms else {}
    for name, norm in norms.items():
        if name in pairs:
            _fold(fused.get_submodule(pairs[name]), norm)
        _replace(fused, norm, nn.Identity() if name in pairs else _affine(norm))
    if norms and checked:
        _check_same(network, fused, example)
    return fused


def _pairs(network: nn.Module, example: Tensor) -> dict[str, str]:
    """BatchNorm -> the layer that it can be folded into, by path."""
    try:
        traced = fx.symbolic_trace(network)
        ShapeProp(traced).propagate(example)
    except Exception as error:
        raise NetworkUnsupported(
            f"{type(network).__name__} has BatchNorm, and torch.fx cannot trace it to fuse them ({error}). "
            "Let its forward make no decision on tensor values, or fuse its BatchNorm before it is handed over."
        ) from error
    calls = Counter(str(node.target) for node in traced.graph.nodes if node.op == "call_module")
    elsewhere = {str(node.target).rpartition(".")[0] for node in traced.graph.nodes if node.op == "get_attr"}
    elsewhere |= {name.rpartition(".")[0] for names in tied_parameters(network).values() for name in names}
    once = {path for path, count in calls.items() if count == 1} - elsewhere
    pairs = {}
    for node in traced.graph.nodes:
        before = _layer_before(network, node)
        if before is not None and {str(before.target), str(node.target)} <= once:
            pairs[str(node.target)] = str(before.target)
    return pairs


def _layer_before(network: nn.Module, node: fx.Node) -> fx.Node | None:
    if node.op != "call_module" or not isinstance(network.get_submodule(str(node.target)), _BatchNorm):
        return None
    before = node.all_input_nodes[0]
    if before.op != "call_module" or len(before.users) > 1:
        return None
    layer = network.get_submodule(str(before.target))
    if not isinstance(layer, _ConvNd | nn.Linear) or "weight" not in layer._parameters:
        return None
    # Features of a Linear on sequences are the last dimension, but BatchNorm works on dimension 1.
    matches = isinstance(layer, _ConvNd) or len(before.meta["tensor_meta"].shape) == 2
    return before if matches else None


def _fold(layer: nn.Module, norm: _BatchNorm) -> None:
    assert isinstance(layer, _ConvNd | nn.Linear)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    transposed = isinstance(layer, _ConvNd) and layer.transposed
    groups = layer.groups if isinstance(layer, _ConvNd) and transposed else 1
    # A transposed convolution keeps [in, out / groups, ...]: bring all outputs to dimension 1, fold, and bring them back.
    first, second, *kernel = layer.weight.shape
    weight = layer.weight.reshape(groups, first // groups, second, *kernel).movedim(0, 1).flatten(1, 2)
    folded, bias = fuse_conv_bn_weights(weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias, transposed)
    layer.weight = nn.Parameter(folded.reshape(first // groups, groups, second, *kernel).movedim(1, 0).flatten(0, 1).detach())
    layer.bias = nn.Parameter(bias.detach())


def _affine(norm: _BatchNorm) -> Affine:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    weight = scale if norm.weight is None else norm.weight * scale
    bias = -norm.running_mean * weight
    return Affine(weight, bias if norm.bias is None else bias + norm.bias)


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put ``new`` wherever ``old`` is registered (one module may have several names)."""
    new.eval()
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):
            if child is old:
                setattr(parent, name, new)


def _check_same(network: nn.Module, fused: nn.Module, example: Tensor) -> None:
    before, after = _outputs(network, example, "with"), _outputs(fused, example, "without")
    if len(before) != len(after) or not all(_near(*pair) for pair in zip(before, after, strict=True)):
        raise NetworkUnsupported(
            f"{type(network).__name__} computes something else once its BatchNorm is fused. "
            "Let its forward call its normalization layers, and do nothing else with them or their parameters."
        )


def _outputs(network: nn.Module, example: Tensor, state: str) -> list[Tensor]:
    """All floating-point outputs in eval mode; in double precision, where rounding (TF32 on a GPU) hides nothing."""
    twin = copy.deepcopy(network).eval().double()
    try:
        outputs = twin(example.to(torch.float64, copy=True))
    except Exception as error:
        name = type(network).__name__
        raise NetworkUnsupported(f"{name} does not run {state} BatchNorm in eval mode on a batch of float64 inputs: {error}") from error
    return [output for output in tree_leaves(outputs) if isinstance(output, Tensor) and output.is_floating_point() and output.numel()]


def _near(before: Tensor, after: Tensor) -> bool:
    if before.shape != after.shape:
        return False
    # A network that has diverged gives no numbers either way: that is no fault of the fusion.
    return not bool((after - before).abs().max() > _RELATIVE * before.abs().max() + _ABSOLUTE)
