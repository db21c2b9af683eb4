"""What can be resized in a network, and how each generated parameter follows from it. No tensors here.

A *channel group* is the set of tensor axes that share one channel dimension. An *axis* of a parameter is a sequence of
*segments*; a segment is either a channel group, each channel repeated ``repeat`` times in a row (a Linear after a
flatten has ``H*W`` inputs for every channel), or a fixed count. Concatenated skip connections give axes of several
segments. Everything is a frozen pydantic model because it is stored as the JSON header of the manifold file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import prod
from typing import Annotated, Self

from pydantic import Field, model_validator

from neumeta_core.record import MAX_VALUES, Count, Record, Total

MAX_WIDTHS = 2**20
"""Most widths that all groups of a network may have together: whoever asks for a budget has each of them looked at."""
MAX_AXES = 32
"""Most dimensions of a parameter: NumPy 1 has no more."""
Widths = Mapping[str, int]
"""Channel group name -> number of channels."""


class ChannelGroup(Record):
    """Tensor axes that are resized and permuted together."""

    name: str = Field(min_length=1)
    full: Count
    """Width in the network that was trained."""
    minimum: Count
    """Smallest width that was trained for."""
    granularity: Count = 1
    """Widths are multiples of this."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.minimum > self.full or self.full % self.granularity or self.minimum % self.granularity:
            raise ValueError(f"group {self.name}: minimum {self.minimum} and full {self.full} must be multiples of {self.granularity}, in order")
        return self


class Segment(Record):
    """A run of entries of one axis: ``count`` channels (or all of ``group``), each ``repeat`` entries long."""

    group: str | None = Field(default=None, min_length=1)
    count: Count | None = None
    repeat: Count = 1

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.group is None) == (self.count is None):
            raise ValueError("a segment has either a group or a count")
        return self

    def channels(self, widths: Widths) -> int:
        """Number of channels at these widths (repeats not counted)."""
        return widths[self.group] if self.group is not None else self.count or 0

    def size(self, widths: Widths) -> int:
        """Number of entries on the axis at these widths."""
        return self.channels(widths) * self.repeat


Axis = Annotated[tuple[Segment, ...], Field(min_length=1)]


def axis_size(axis: tuple[Segment, ...], widths: Widths) -> int:
    """Number of entries of an axis at these widths."""
    return sum(segment.size(widths) for segment in axis)


class GeneratedParameter(Record):
    """A parameter whose values the INR makes.

    ``axes`` has one entry per dimension of the ONNX initializer, in its order. ``out_dim`` and ``in_dim`` say which of
    them are output and input channels (a convolution: 0 and 1; a transposed convolution: 1 and 0); a vector (bias,
    scale) has no ``in_dim``. All other axes are fixed (kernel positions).
    """

    name: str = Field(min_length=1)
    axes: tuple[Axis, ...] = Field(min_length=1, max_length=MAX_AXES)
    out_dim: int = 0
    in_dim: int | None = None
    macs_per_element: float = Field(ge=0, le=2**31)
    """Multiply-adds per element and input sample: output positions of a convolution, 1 for a Linear weight, 0 for a bias."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        dims = range(len(self.axes))
        if self.out_dim not in dims or (self.in_dim is not None and (self.in_dim not in dims or self.in_dim == self.out_dim)):
            raise ValueError(f"parameter {self.name}: out_dim {self.out_dim} and in_dim {self.in_dim} must be two dimensions of {len(self.axes)}")
        for dim, axis in enumerate(self.axes):
            if dim not in (self.out_dim, self.in_dim) and any(segment.group for segment in axis):
                raise ValueError(f"parameter {self.name}: dimension {dim} is neither output nor input channels and must be fixed")
        return self

    def shape(self, widths: Widths) -> tuple[int, ...]:
        """Shape of the initializer at these widths."""
        # Asked several times for every parameter of a request, and thousands of times by a budget.
        return tuple([fixed + sum([widths[group] * repeat for group, repeat in resized]) for fixed, resized in self.sides])

    def elements(self, widths: Widths) -> int:
        """Number of values at these widths."""
        return prod(self.shape(widths))

    @cached_property
    def sides(self) -> tuple[tuple[int, tuple[tuple[str, int], ...]], ...]:
        """``axes`` summed up, one for each: the size of its fixed segments, and ``(group, repeat)`` of the others."""
        return tuple(
            (
                sum(segment.size({}) for segment in axis if segment.group is None),
                tuple((segment.group, segment.repeat) for segment in axis if segment.group is not None),
            )
            for axis in self.axes
        )

    @cached_property
    def kernel(self) -> tuple[int, ...]:
        """Sizes of the fixed axes, in order (``(3, 3)`` for a 3x3 convolution, ``()`` for a Linear)."""
        return tuple(axis_size(axis, {}) for dim, axis in enumerate(self.axes) if dim not in (self.out_dim, self.in_dim))


class Patch(Record):
    """An integer in the template that follows a width.

    ``attribute`` of node ``node`` becomes the size of ``axis``: the whole attribute when ``index`` is None (``group`` of
    a depthwise convolution), else entry ``index`` of it (``ints``, or the int64 tensor of a ``Constant``).
    """

    node: str = Field(min_length=1)
    attribute: str = Field(min_length=1)
    index: int | None = Field(default=None, ge=0)
    axis: Axis


class Architecture(Record):
    """Everything about a network that depends on its widths."""

    groups: tuple[ChannelGroup, ...] = Field(min_length=1)
    parameters: tuple[GeneratedParameter, ...] = Field(min_length=1)
    patches: tuple[Patch, ...] = ()
    max_compression: float = Field(ge=0, lt=1)
    """Largest uniform compression that was trained for."""
    fixed_params: Total = 0
    """Parameters of the network that are not generated."""
    fixed_macs: Total = 0
    """Multiply-adds per input sample that no generated parameter takes part in."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [group.name for group in self.groups]
        if len(set(names)) != len(names):
            raise ValueError("two channel groups have the same name")
        parameters = [parameter.name for parameter in self.parameters]
        if len(set(parameters)) != len(parameters):
            raise ValueError("two generated parameters have the same name")
        axes = [axis for parameter in self.parameters for axis in parameter.axes] + [patch.axis for patch in self.patches]
        unknown = {segment.group for axis in axes for segment in axis if segment.group} - set(names)
        if unknown:
            raise ValueError(f"axes name channel groups that do not exist: {sorted(unknown)}")
        places = [(patch.node, patch.attribute, patch.index or 0) for patch in self.patches]
        if len(set(places)) != len(places):
            raise ValueError("two patches set the same integer")
        steps = sum(group.full // group.granularity for group in self.groups)
        if steps > MAX_WIDTHS:
            raise ValueError(f"the channel groups have {steps} widths together; at most {MAX_WIDTHS} can be searched for a budget")
        values = sum(parameter.elements(self.full_widths) for parameter in self.parameters)
        if values > MAX_VALUES:
            raise ValueError(f"the full network has {values} generated values; an ONNX file holds at most {MAX_VALUES}")
        return self

    @cached_property
    def full_widths(self) -> dict[str, int]:
        """Width of every group in the network that was trained."""
        return {group.name: group.full for group in self.groups}

    @cached_property
    def smallest_widths(self) -> dict[str, int]:
        """Smallest width of every group that was trained for."""
        return {group.name: group.minimum for group in self.groups}

    @cached_property
    def by_name(self) -> dict[str, GeneratedParameter]:
        """Generated parameters by name."""
        return {parameter.name: parameter for parameter in self.parameters}
