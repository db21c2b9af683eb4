"""What all parts of a file header are made of: immutable records, and numbers within limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_VALUES = 2**29
"""Most values that a network may have: 2 GiB of fp32, the limit of one ONNX file."""
Count = Annotated[int, Field(ge=1, le=MAX_VALUES)]
Version = Annotated[int, Field(ge=1, le=999_999_999)]
"""Of a model: the name of its folder, at most nine digits."""
Total = Annotated[int, Field(ge=0, lt=2**63)]


class Record(BaseModel):
    """An immutable piece of JSON; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
