from __future__ import annotations

import torch
from neumeta_trainer.baselines.zero_block import zero_block, zero_block_cost
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from torch import nn

from tests.trainer import networks_zoo as zoo


@torch.no_grad()
def test_only_the_skip_is_left():
    network, example = zoo.build(zoo.ResNet), zoo.example_of(zoo.ResNet, batch=5)
    fused = fuse_batch_norm(network, example)
    architecture = find_architecture(fused, example, ignore=["conv1", "layer1", "layer2.0"]).architecture
    assert list(architecture.full_widths) == ["layer2.1.conv1"]
    skipping = fuse_batch_norm(network, example)
    skipping.layer2[1] = nn.ReLU()
    assert torch.equal(zero_block(fused, architecture)(example), skipping(example))
    assert not torch.allclose(fused(example), skipping(example))
    cost = zero_block_cost(fused, architecture)
    assert cost.params == sum(tensor.numel() for tensor in skipping.parameters())
    assert cost.macs == architecture.fixed_macs
