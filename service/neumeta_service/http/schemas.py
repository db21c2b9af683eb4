"""What goes over the wire as JSON."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from neumeta_service.budget import BudgetRequest
from neumeta_service.catalog.aliases import LATEST
from neumeta_service.json_model import Integer, JsonModel, Number, Precision, Version
from neumeta_service.orders import Selection

SELECTORS = ("compression", "widths", "budget", "rung")


class MaterializeRequest(JsonModel):
    """The selection of a member: exactly one of ``compression``, ``widths``, ``budget`` and ``rung``."""

    compression: Number = None
    """Uniform: every channel group keeps `1 - compression` of its channels, rounded."""
    widths: dict[str, Integer] | None = None
    """A width for every channel group."""
    budget: BudgetRequest | None = None
    """The best uniform member that stays within all maxima."""
    rung: str | None = None
    """A size that the operator has named; `GET /v1/models/{name}` lists those that there are."""
    precision: Precision = "fp32"
    """Number format: fp32, fp16 or int8 kernels with fp32 arithmetic; input and output stay fp32."""
    version: Version = LATEST
    """A version's number, an alias, or `latest`: the newest version that is served."""

    @model_validator(mode="after")
    def _check_one_selector(self) -> Self:
        if sum(getattr(self, name) is not None for name in SELECTORS) != 1:
            raise PydanticCustomError("one_selector", "exactly one of compression, widths, budget and rung")
        return self

    def selection(self) -> Selection:
        """The same for the engine."""
        costs, latency = (None, None) if self.budget is None else (self.budget.costs(), self.budget.latency())
        return Selection(self.compression, self.widths, costs, latency, self.rung, self.precision, self.version)


class SpecDocument(JsonModel):
    """What an artifact was made from; one spec names one artifact."""

    model: str
    version: int
    manifold: str
    widths: dict[str, int]
    precision: str
    opset: int


class CompressionDocument(JsonModel):
    """``requested`` is null when the selector was not a compression."""

    requested: float | None
    effective: float


class CostDocument(JsonModel):
    """What a member costs."""

    params: int
    macs: int
    bytes: int


class SmallestDocument(CostDocument):
    """What the smallest member costs: of those that were measured when the budget names a device."""

    latency_ms: float | None = None
    """The lowest that was measured on the device that the budget names."""


class QualityDocument(JsonModel):
    """What the curve promises; null without a curve."""

    metric: str | None
    value: float | None
    kind: Literal["measured", "interpolated", "extrapolated"]
    precision: str
    """Of the measurements behind the value: `fp32` when the one that was asked for was not measured."""


class InputDocument(JsonModel):
    """One input sample: ``(raw * scale - mean) / std``, in the named layout with a leading batch axis."""

    name: str
    shape: list[int]
    layout: str
    scale: float
    mean: list[float]
    std: list[float]


class OutputDocument(JsonModel):
    """The network's output."""

    name: str


class SignatureOfKey(JsonModel):
    """An Ed25519 signature."""

    keyid: str
    """`ed25519:` and the public key in hexadecimal."""
    sig: str
    """Base64."""


class EnvelopeDocument(JsonModel):
    """A signed payload (DSSE 1.0)."""

    payload: str
    """Base64 of JSON."""
    payloadType: str  # noqa: N815 - DSSE's name
    signatures: list[SignatureOfKey]
    """Exactly one."""


class SignatureDocument(JsonModel):
    """A signed manifest, and the certificates that lead from its key to a root."""

    certificates: list[EnvelopeDocument]
    envelope: EnvelopeDocument


class PlanDocument(JsonModel):
    """A member described; nothing was made for it."""

    model: str
    version: int
    spec: SpecDocument
    spec_digest: str
    compression: CompressionDocument
    cost: CostDocument
    quality: QualityDocument


class ManifestDocument(PlanDocument):
    """An artifact described."""

    digest: str
    size: int
    url: str
    filename: str
    input: InputDocument
    output: OutputDocument
    labels: list[str]
    builder: str
    signature: SignatureDocument | None
    """Null when the service does not sign."""


class ModelSummary(JsonModel):
    """One version of a model that was found."""

    name: str
    version: int
    state: Literal["ready", "refused"]
    reason: str | None = None
    """Why it was refused. When it is ready: why the file that lies there now is not the one that is served; null when it is."""
    task: str | None = None
    digest: str | None = None
    """`sha256:…` of the manifold file."""
    size: int | None = None
    """Bytes of the manifold file."""
    max_compression: float | None = None
    url: str | None = None
    aliases: list[str] = Field(default=[])
    """Names that lead to this version; the newest that is ready has `latest`."""


class ModelList(JsonModel):
    """Every version of every model that was found."""

    models: list[ModelSummary]


class VersionList(JsonModel):
    """Every version of one model that was found."""

    name: str
    aliases: dict[str, int]
    """Alias -> version, with `latest`; empty when no version is ready."""
    aliases_refused: str | None
    """Why `aliases.json` is not used as it is now; null when it is, or when there is none."""
    versions: list[ModelSummary]


class ReleaseDocument(JsonModel):
    """A version of a model."""

    name: str
    version: int


class RefusalDocument(JsonModel):
    """What was found and is not used."""

    name: str
    version: int | None
    """Null for a file that the model's versions share, such as `aliases.json`."""
    file: str | None
    """Name of such a file; null for a version."""
    reason: str


class ReloadDocument(JsonModel):
    """What a reload changed, and all that is refused now."""

    added: list[ReleaseDocument]
    withdrawn: list[ReleaseDocument]
    refused: list[RefusalDocument]


class GroupDocument(JsonModel):
    """A channel group and the widths it can have."""

    name: str
    full: int
    minimum: int
    granularity: int


class ModelDocument(JsonModel):
    """A model that is served."""

    name: str
    version: int
    digest: str
    size: int
    task: str
    labels: list[str]
    input: InputDocument
    output: OutputDocument
    groups: list[GroupDocument]
    max_compression: float
    precisions: list[str]
    costs: dict[Literal["full", "smallest"], CostDocument]
    """Of the members at compression 0 and at `max_compression`, in fp32."""
    inr: dict[str, JsonValue]
    """Kind and sizes of the INR."""
    training: dict[str, JsonValue]
    """Where the manifold comes from."""
    rungs: dict[str, dict[str, JsonValue]]
    """Sizes that the operator has named: rung -> selector, which holds a `compression`, `widths` or a `budget`."""
    rungs_refused: str | None
    """Why `rungs.json` is not used as it is now; null when it is, or when there is none."""
    curve_url: str


class CurvePointDocument(JsonModel):
    """Measured quality of one member."""

    compression: float
    widths: dict[str, int]
    params: int
    macs: int
    quality: float
    """In fp32."""
    quality_in: dict[str, float]
    """In other precisions that were measured."""
    held_out: bool
    """True when training never saw a width of this ratio."""


class CurveDocument(JsonModel):
    """Measured quality against size; without a measurement ``points`` is empty and the rest is null."""

    model: str
    version: int
    metric: str | None = None
    split: str | None = None
    samples: int | None = None
    points: list[CurvePointDocument] = Field(default=[])


class SamplesDocument(JsonModel):
    """Real inputs that the manifold file carries, at most 16; empty when it carries none."""

    inputs: list[list[int | float]]
    """Raw values of one sample each, flattened in the layout of the model's input."""
    labels: list[int]
    """Index into the model's labels, for each sample."""


class FieldError(JsonModel):
    """A field of the request that is not valid."""

    field: str
    value: JsonValue
    expected: str


class ProblemDocument(JsonModel):
    """An error (RFC 9457). Decide by ``code``, which is stable."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[FieldError] | None = None
    """Only with `invalid_request`."""
    smallest: SmallestDocument | None = None
    """Only with `budget_impossible`."""
    rungs: list[str] | None = None
    """The rungs that there are; only with `rung_not_found`."""
    precisions: list[str] | None = None
    """Those in which the device was measured; only with `profile_not_found`, when the one that was asked for is not among them."""


class HealthDocument(JsonModel):
    """The service answers."""

    status: Literal["alive", "ready"]
