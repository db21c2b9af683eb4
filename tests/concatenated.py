"""A third little architecture: a layer with several blocks, one with several inputs a channel, and one without a bias."""

from __future__ import annotations

from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Segment

from tests.tiny import fixed, group


def concatenated_architecture() -> Architecture:
    """One layer over the concatenation of both groups, another that multiplies what flows between groups, a third without a bias."""
    both, kernel = (Segment(group="b"), Segment(group="a"), Segment(count=2)), (fixed(3), fixed(3))
    return Architecture(
        groups=(ChannelGroup(name="a", full=8, minimum=2), ChannelGroup(name="b", full=12, minimum=3)),
        parameters=(
            GeneratedParameter(name="mix.weight", axes=(group("a"), both, *kernel), in_dim=1, macs_per_element=1),
            GeneratedParameter(name="mix.bias", axes=(group("a"),), macs_per_element=0),
            GeneratedParameter(name="next.weight", axes=(group("b"), group("a", 4)), in_dim=1, macs_per_element=1),
            GeneratedParameter(name="next.bias", axes=(group("b"),), macs_per_element=0),
            GeneratedParameter(name="head.weight", axes=(fixed(3), group("b")), in_dim=1, macs_per_element=1),
        ),
        max_compression=0.75,
    )
