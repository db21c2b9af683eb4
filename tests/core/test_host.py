from __future__ import annotations

import torch
from neumeta_core.assembly import assemble
from neumeta_core.manifold import Manifold
from neumeta_core.materialize import all_to_host, to_host


def test_weights_that_are_on_the_host_are_not_copied(tiny_manifold: Manifold) -> None:
    weights = tiny_manifold.materialize(tiny_manifold.configure(0.5))
    fetched = to_host(weights)
    assert list(fetched) == list(weights)
    assert all(fetched[name] is values for name, values in weights.items())


def test_members_keep_their_order(tiny_manifold: Manifold) -> None:
    members = [tiny_manifold.configure(compression) for compression in (0.0, 0.3, 0.75)]
    together = all_to_host(tiny_manifold.materialize(member) for member in members)
    for member, weights in zip(members, together, strict=True):
        assert assemble(tiny_manifold, member, weights) == assemble(tiny_manifold, member, tiny_manifold.materialize(member))
        assert all(isinstance(values, torch.Tensor) for values in weights.values())
    assert all_to_host([]) == []
