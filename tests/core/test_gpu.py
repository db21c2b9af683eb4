from __future__ import annotations

from pathlib import Path

import pytest
import torch
from neumeta_core.assembly import assemble
from neumeta_core.inr import AnchoredSettings, FactorisedSettings, InrSettings, MlpSettings, Sampling
from neumeta_core.manifold import Manifold

from tests import patched, tiny

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")]

KINDS: list[InrSettings] = [AnchoredSettings(hidden=8, rank=2), FactorisedSettings(hidden=16, rank=3), MlpSettings(layers=3, hidden=32)]


def check_same_weights(manifold: Manifold, path: Path) -> None:
    manifold.save(path)
    cpu, cuda = Manifold.load(path, "cpu"), Manifold.load(path, "cuda")
    assert cuda.arithmetic == cpu.arithmetic.replace("cpu", "cuda")
    for compression in (0.0, 0.3, 0.62, 0.75):
        member = cpu.configure(compression)
        here, there = cpu.materialize(member), cuda.materialize(member)
        for name, values in here.items():
            assert there[name].device.type == "cuda"
            assert (values - there[name].cpu()).abs().max() <= 1e-5
        assert assemble(cuda, member, there) == assemble(cuda, member, cuda.materialize(member))


@pytest.mark.parametrize("settings", KINDS)
def test_cuda_makes_the_weights_of_the_cpu(settings: InrSettings, tmp_path: Path) -> None:
    check_same_weights(tiny.tiny_manifold(settings), tmp_path / "tiny.safetensors")
    check_same_weights(patched.patched_manifold(settings), tmp_path / "patched.safetensors")


def test_samples_see_the_same_noise_on_cuda(tmp_path: Path) -> None:
    check_same_weights(tiny.tiny_manifold(KINDS[1], sampling=Sampling(count=4, noise=0.5)), tmp_path / "tiny.safetensors")
