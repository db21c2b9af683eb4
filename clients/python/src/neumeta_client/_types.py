"""What the service says about models and artifacts, as values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional

from neumeta_client._errors import UnexpectedAnswer
from neumeta_client._inference.prepare import prepare

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import ArrayLike, NDArray

MODEL_NAME = ALIAS = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
# A path on the service itself: no scheme, no host ("//host"), no way up.
URL_PATH = re.compile(r"/(?!/)(?!.*(?:^|/)\.\.?(?:/|$))[A-Za-z0-9._~:@!$&'()*+,;=/-]{1,500}")


@dataclass(frozen=True)
class Cost:
    """Parameters, multiply-adds per input sample, and bytes of the ONNX file, of one whole network."""

    params: int
    macs: int
    bytes: int


@dataclass(frozen=True)
class Compression:
    """``1 - width ratio``: as requested (None when another selector was used), and after widths were rounded to integers."""

    requested: Optional[float]
    effective: float


@dataclass(frozen=True)
class Quality:
    """Expected quality; ``value`` is None when the model carries no curve, ``kind`` is measured, interpolated or extrapolated.

    ``precision`` is that of the measurements behind the value; when it is not the artifact's own, that one was not measured.
    """

    metric: Optional[str]
    value: Optional[float]
    kind: str
    precision: str = "fp32"


@dataclass(frozen=True)
class Spec:
    """What an artifact is, in integers; one spec always names one artifact."""

    model: str
    version: int
    manifold: str
    widths: Mapping[str, int]
    precision: str
    opset: int


@dataclass(frozen=True)
class Input:
    """How a network is fed: ``(pixel * scale - mean) / std`` in ``layout``, with a leading batch axis; ``shape`` is without it."""

    name: str
    shape: tuple[int, ...]
    layout: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def prepare(self, pixels: ArrayLike) -> NDArray[float32]:
        """What the network is fed for ``pixels`` (values as they are stored, 0 to 255): of ``shape``, or of several with a leading axis.

        Raises InvalidRequest for another shape, MissingExtra when numpy is not installed.
        """
        return prepare(pixels, shape=self.shape, layout=self.layout, scale=self.scale, mean=self.mean, std=self.std)


@dataclass(frozen=True)
class Output:
    """What a network gives back."""

    name: str


@dataclass(frozen=True)
class Manifest:
    """Everything about one artifact but its bytes.

    Made only with names and digests that are safe as parts of a path, and with a ``url`` that stays on the service.
    Raises UnexpectedAnswer else.
    """

    model: str
    version: int
    digest: str
    """``sha256:`` and the hex digest of the ONNX bytes."""
    size: int
    """Bytes of the ONNX file."""
    url: str
    filename: str
    spec: Spec
    spec_digest: str
    compression: Compression
    cost: Cost
    quality: Quality
    input: Input
    output: Output
    labels: tuple[str, ...]
    builder: str

    def __post_init__(self) -> None:
        _match(MODEL_NAME, self.model, "model")
        _match(DIGEST, self.digest, "digest")
        _match(DIGEST, self.spec_digest, "spec_digest")
        _match(FILE_NAME, self.filename, "filename")
        _match(URL_PATH, self.url, "url")
        if self.size < 0:
            raise UnexpectedAnswer(f"The service's answer has {self.size} as manifest.size; expected a number of bytes.")


@dataclass(frozen=True)
class ModelSummary:
    """One version of a model; ``reason`` says why when ``state`` is ``refused`` and not ``ready``.

    A version that is ready has a ``reason`` when another file lies in the place of the one that is served. ``aliases`` lead to
    this version, ``latest`` among them.
    """

    name: str
    version: int
    state: str
    reason: Optional[str] = None
    task: Optional[str] = None
    max_compression: Optional[float] = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChannelGroup:
    """Tensor axes that are resized together: full width, smallest trained width, and the step between widths."""

    name: str
    full: int
    minimum: int
    granularity: int


@dataclass(frozen=True)
class Model:
    """What can be asked of one model."""

    name: str
    version: int
    task: str
    groups: tuple[ChannelGroup, ...]
    max_compression: float
    precisions: tuple[str, ...]
    costs: Mapping[str, Cost]
    """Of the ``full`` and the ``smallest`` uniform member, in fp32."""
    input: Input
    output: Output
    labels: tuple[str, ...]
    inr: Mapping[str, object] = field(default_factory=dict)
    """Kind and sizes of the network that makes the weights."""
    rungs: Mapping[str, object] = field(default_factory=dict)
    """Sizes that the service's operator has named -> the selector that each stands for."""
    training: Mapping[str, object] = field(default_factory=dict)
    """Where the model comes from."""


@dataclass(frozen=True)
class CurvePoint:
    """Measured quality of one uniform member; ``held_out`` when training never saw a width of its ratio.

    ``quality`` is that of fp32, ``quality_in`` has other precisions that were measured.
    """

    compression: float
    widths: Mapping[str, int]
    params: int
    macs: int
    quality: float
    held_out: bool = False
    quality_in: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Curve:
    """Measured quality against compression, parameters and multiply-adds; without a measurement ``points`` is empty."""

    model: str
    version: int
    metric: Optional[str]
    split: Optional[str]
    samples: Optional[int]
    points: tuple[CurvePoint, ...]


def _match(pattern: re.Pattern[str], text: str, name: str) -> None:
    if not pattern.fullmatch(text):
        raise UnexpectedAnswer(f"The service's answer has {text!r:.80} as manifest.{name}, which is not allowed there.")
