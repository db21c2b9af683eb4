"""Members of a manifold file as ordinary modules."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from neumeta_core.configuration import Configuration
from neumeta_core.manifold import Manifold
from torch import Tensor, nn

from neumeta_trainer.config import Recipe
from neumeta_trainer.errors import AnalysisRefused
from neumeta_trainer.export.manifold import settings_of
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.resize import resized

_SWITCHED_OFF: dict[str, object] = dict.fromkeys(("base", "family", "tune"))
"""A stage that a recipe does not have is not among its settings, of whatever version."""


def check_made_by(manifold: Manifold, recipe: Recipe, split: str) -> None:
    """Raise AnalysisRefused unless the manifold has the recipe's name and settings and was measured on this split."""
    header = manifold.header
    if header.name != recipe.name:
        raise AnalysisRefused(f"the manifold is {header.name}, not {recipe.name}.")
    recorded = header.training["recipe"]
    assert isinstance(recorded, dict)
    made = {"recipe": _SWITCHED_OFF | recorded, "inr": header.inr.model_dump(), "sampling": header.sampling.model_dump()}
    wanted = {"recipe": _SWITCHED_OFF | settings_of(recipe), "inr": recipe.inr.model_dump(), "sampling": recipe.sampling.model_dump()}
    if difference := _difference(made, wanted):
        raise AnalysisRefused(f"the manifold was made with {difference.removeprefix('recipe.')}; give the --tier and every --set of its run.")
    if header.curve is not None and header.curve.split != split:
        choice = "with" if header.curve.split == "test" else "without"
        raise AnalysisRefused(
            f"the manifold was measured on {header.curve.split} images, and may have seen the others in training; run {choice} --final."
        )


def _difference(made: object, wanted: object) -> str:
    """The first field in which two settings differ, with both values; a field that only one of them has is of another version, and passed over."""
    if not isinstance(made, dict) or not isinstance(wanted, dict):
        return "" if _plain(made) == _plain(wanted) else f"={made}, and the recipe has {wanted}"
    for name in sorted(made.keys() & wanted.keys()):
        if found := _difference(made[name], wanted[name]):
            return f"{name}{'' if found.startswith('=') else '.'}{found}"
    return ""


def _plain(value: object) -> object:
    """Tuples are lists in JSON."""
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def member_network(manifold: Manifold, recipe: Recipe, member: Configuration) -> nn.Module:
    """The recipe's network without normalization at a member's widths: generated weights from the INR, all others from the template.

    Raises AnalysisRefused when the file is not one of this network.
    """
    architecture = manifold.architecture
    fused = fuse_batch_norm(recipe.network(), torch.zeros(2, *manifold.header.input.shape))
    stored = {initializer.name: initializer for initializer in manifold.encoding_in("fp32").template.graph.initializer}
    missing = sorted((architecture.by_name.keys() - fused.state_dict().keys()) | (fused.state_dict().keys() - stored.keys()))
    if missing:
        raise AnalysisRefused(f"the manifold {manifold.header.name} was made of another network than the recipe's: {missing[0]} is in one alone.")
    fixed = {name: _tensor(stored[name]) for name in fused.state_dict().keys() - architecture.by_name.keys()}
    try:
        return resized(fused, architecture, member, fixed | manifold.materialize(member)).eval()
    except ValueError as error:
        raise AnalysisRefused(f"the manifold {manifold.header.name} was made of another network than the recipe's: {error}") from None


def _tensor(initializer: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(np.array(onnx.numpy_helper.to_array(initializer)))
