"""The manifold file: the only reader and writer of ``manifold.safetensors``, format version 1.

Tensors: ``inr.*`` (EMA weights, fp16 or fp32), ``template`` (uint8, the ONNX graph without generated weights; weights that are
not generated stay in it), ``canary.inputs`` (uint8 or fp32) and ``canary.labels`` (int64). Header: the JSON of ``Header`` under
the metadata key ``neumeta``. No pickle anywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor

from neumeta_core import configuration
from neumeta_core.assembly import artifact_size
from neumeta_core.blueprint import Blueprint
from neumeta_core.budget import Budget, solve
from neumeta_core.configuration import Configuration
from neumeta_core.consistency import check_canary, check_channels, check_count, check_curve, check_inr
from neumeta_core.cost import ArtifactCost, cost_of
from neumeta_core.device import DTYPE_NAMES, kernels, resolve_device, resolve_dtype
from neumeta_core.errors import InvalidField, ManifoldRefused, NetworkUnsupported
from neumeta_core.files import whole
from neumeta_core.header import FORMAT_VERSION, Header
from neumeta_core.inr import INR, MlpINR, build_inr
from neumeta_core.materialize import Materializer, computing_with, is_single_threaded, prepare
from neumeta_core.template_check import check_template
from neumeta_core.validation import first_fault

METADATA_KEY = "neumeta"
MAX_ARTIFACT_BYTES = 2**31 - 1
"""No reader of protobuf opens a longer file."""


@dataclass(frozen=True)
class Canary:
    """A few real inputs for self-checks: raw values ``[n, *shape]`` and labels ``[n]``."""

    inputs: Tensor
    labels: Tensor


class Manifold(Blueprint):
    """A trained INR and all that is needed to make any member of its family."""

    def __init__(self, header: Header, inr: INR, template: bytes, canary: Canary | None = None, *, digest: str = "", size: int = 0) -> None:
        super().__init__(header, template, digest)
        self.inr = inr.eval().requires_grad_(False)
        self.canary = canary
        self.size = size
        self._dtype = torch.float32
        self._settle_threads()
        self._materializer: Materializer | None = None

    @property
    def device(self) -> torch.device:
        """Where weights are generated."""
        return next(self.inr.parameters()).device

    @property
    def arithmetic(self) -> str:
        """How numbers are computed: device kind, dtype and number of samples."""
        return f"{self.device.type}-{DTYPE_NAMES[self._dtype]}-k{self.header.sampling.count}"

    @property
    def fingerprint(self) -> str:
        """What, beside file and spec, the bits of an artifact depend on: the arithmetic and the kernels that do it."""
        return f"{self.arithmetic}-{self._kernels}"

    def configure(
        self,
        compression: float | None = None,
        widths: Mapping[str, int] | None = None,
        budget: Budget | None = None,
        *,
        precision: str = "fp32",
    ) -> Configuration:
        """The configuration for exactly one selector; see ``configuration`` and ``budget`` for their errors.

        Of a budget it is the largest uniform member that fits, or a smaller one that is ``preferred``.
        """
        if sum(selector is not None for selector in (compression, widths, budget)) != 1:
            raise InvalidField("selector", None, "exactly one of compression, widths and budget")
        if compression is not None:
            return configuration.uniform(self.architecture, compression)
        if widths is not None:
            return configuration.from_widths(self.architecture, widths)
        assert budget is not None
        largest = solve(self.architecture, budget, lambda candidate: self.cost(candidate, precision))
        return self.preferred(largest, lambda candidate: budget.allows(self.cost(candidate, precision)), precision)

    def cost(self, member: Configuration, precision: str = "fp32") -> ArtifactCost:
        """Parameters, multiply-adds and artifact bytes of a member; exact, and no tensor is made."""
        return ArtifactCost(**cost_of(self.architecture, member).as_dict(), bytes=artifact_size(self, member, precision))

    def materialize(self, member: Configuration) -> dict[str, Tensor]:
        """Parameter name -> fp32 values in the layout of its ONNX initializer, on the manifold's device."""
        with computing_with(self._threads):
            if self._materializer is None:
                self._materializer = prepare(self.inr, self.header.sampling, self._dtype)
            return self._materializer(member)

    def to(self, device: str, dtype: str = "fp32") -> Self:
        """The same manifold with its INR on another device (``resolve_device`` names), computing in another type (``resolve_dtype``)."""
        self.inr.to(resolve_device(device))
        # Only coordinate MLPs have matrix products that are large enough to gain, and averages over samples go the plain way.
        gains = isinstance(self.inr, MlpINR) and not self.header.sampling.is_averaged
        resolved = resolve_dtype(dtype, self.device)
        self._dtype = resolved if gains else torch.float32
        self._settle_threads()
        self._materializer = None
        return self

    def _settle_threads(self) -> None:
        # Remembered: PyTorch's number of threads is that of the thread which asks.
        is_alone = self.device.type == "cpu" and is_single_threaded(self.inr, self.header.sampling)
        self._threads = 1 if is_alone else torch.get_num_threads()
        self._kernels = kernels(self.device, self._threads)

    def save(self, path: Path, *, half: bool = True) -> None:
        """Write the file, whole or not at all; ``half`` stores the INR in fp16. ManifoldRefused when values are not finite then."""
        dtype = torch.float16 if half else torch.float32
        tensors = {f"inr.{name}": tensor.detach().to("cpu", dtype).contiguous() for name, tensor in self.inr.state_dict().items()}
        broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
        if broken:
            raise ManifoldRefused(f"{broken[0]} holds values that are not finite in {dtype}.")
        tensors["template"] = torch.frombuffer(bytearray(self.template), dtype=torch.uint8)
        if self.canary is not None:
            tensors |= {"canary.inputs": self.canary.inputs.contiguous(), "canary.labels": self.canary.labels.contiguous()}
        metadata = {METADATA_KEY: self.header.model_dump_json(exclude_defaults=False)}
        with whole(path) as part:
            part.write_bytes(safetensors.torch.save(tensors, metadata))

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu", dtype: str = "fp32") -> Self:
        """Read a file. Raises ManifoldRefused with a sentence for anything that is not a whole, consistent manifold."""
        where = Path(path)
        try:
            data = where.read_bytes()
        except OSError as error:
            raise ManifoldRefused(f"{where.name} cannot be read: {error.strerror or error}.") from None
        return cls.from_bytes(data).to(device, dtype)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a file's bytes; see ``load``."""
        header = _header(data)
        try:
            tensors = safetensors.torch.load(data)
        # The last two: of the other sizes of an empty tensor.
        except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError, TypeError) as error:
            raise ManifoldRefused(f"the file is damaged: {error}.") from None
        inputs, labels, template = (tensors.pop(name, None) for name in ("canary.inputs", "canary.labels", "template"))
        if template is None or template.dtype != torch.uint8:
            raise ManifoldRefused("the file has no template.")
        foreign = sorted(name for name in tensors if not name.startswith("inr."))
        if foreign:
            raise ManifoldRefused(f"the file holds tensors that no manifold has: {foreign[:3]}.")
        check_canary(inputs, labels, header.input.shape)
        inr = _inr(header, {name.removeprefix("inr."): tensors.pop(name) for name in list(tensors)})
        graph = template.numpy().tobytes()
        check_template(graph, header)
        check_curve(header.curve, header.architecture)
        canary = None if inputs is None or labels is None else Canary(inputs, labels)
        manifold = cls(header, inr, graph, canary, digest=f"sha256:{hashlib.sha256(data).hexdigest()}", size=len(data))
        largest = artifact_size(manifold, configuration.uniform(header.architecture, 0))
        if largest > MAX_ARTIFACT_BYTES:
            raise ManifoldRefused(f"the artifact of the full network would have {largest} bytes; an ONNX file has at most {MAX_ARTIFACT_BYTES}.")
        return manifold


def _header(data: bytes) -> Header:
    """The header, from the raw safetensors prefix: 8 bytes of length and a JSON object."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise ManifoldRefused("the file is truncated or is no safetensors file: its header is not whole.")
    try:
        text: str = json.loads(data[8 : 8 + length])["__metadata__"][METADATA_KEY]
        raw = json.loads(text)
        # Python reads NaN and 1e999; what is shown to clients must stay JSON.
        json.dumps(raw, allow_nan=False)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ManifoldRefused(f"the file is no manifold: it has no JSON in the metadata {METADATA_KEY!r}.") from None
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if version != FORMAT_VERSION:
        raise ManifoldRefused(f"the file has format version {version!r}; this program reads version {FORMAT_VERSION}.")
    try:
        return Header.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise ManifoldRefused(f"the header is not valid at {first_fault(error)}") from None


def _inr(header: Header, tensors: dict[str, Tensor]) -> INR:
    """Built without memory or random numbers first: a header that does not fit its tensors must cost neither. Empties ``tensors``."""
    check_count(header.architecture, header.inr, len(tensors))
    try:
        with torch.device("meta"):
            inr = build_inr(header.architecture, header.inr)
    except (RuntimeError, TypeError, NetworkUnsupported) as error:  # TypeError: of a size beyond 64 bits.
        raise ManifoldRefused(f"the header describes an INR that cannot be built: {error}") from None
    check_inr(inr, tensors)
    check_channels(inr)
    # One after the other: in both types at once they would take three times the file.
    inr.load_state_dict({name: tensors.pop(name).float() for name in list(tensors)}, assign=True)
    return inr
