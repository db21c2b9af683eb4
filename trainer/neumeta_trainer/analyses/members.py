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
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.resize import resized


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
