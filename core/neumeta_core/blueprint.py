"""What is known of a family without its INR: costs, promises and the graph of any member follow from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx

from neumeta_core.architecture import Architecture
from neumeta_core.configuration import Configuration, rounded
from neumeta_core.cost import cost_of
from neumeta_core.curve import REFERENCE, Estimate
from neumeta_core.errors import PrecisionRefused
from neumeta_core.header import Header
from neumeta_core.precision import PRECISIONS, check_precision
from neumeta_core.precision.encoding import Encoding
from neumeta_core.template_check import check_extremes


class Blueprint:
    """The header and the template of a manifold file, and the file's digest (``sha256:…``)."""

    def __init__(self, header: Header, template: bytes, digest: str) -> None:
        self.header = header
        self.template = template
        self.digest = digest
        self._encodings: dict[str, Encoding | PrecisionRefused] = {}

    @property
    def architecture(self) -> Architecture:
        """Channel groups and generated parameters."""
        return self.header.architecture

    def encoding_in(self, precision: str) -> Encoding:
        """Template and stored tensors in a precision; never change them.

        InvalidField for a precision that is not known, PrecisionRefused for one that this network cannot be computed in or that cannot hold
        what the template holds.
        """
        check_precision(precision)
        if precision not in self._encodings:
            self._encodings[precision] = self._converted(precision)
        found = self._encodings[precision]
        if isinstance(found, PrecisionRefused):
            raise found.with_traceback(None)
        return found

    def _converted(self, precision: str) -> Encoding | PrecisionRefused:
        try:
            encoding = PRECISIONS[precision](onnx.load_from_string(self.template), self.architecture)
            if precision != REFERENCE:  # The file's own graph was checked when it was read.
                check_extremes(encoding.template, encoding.architecture)
        except PrecisionRefused as refusal:
            return refusal
        except Exception as error:  # Of whatever the file's constants hold.
            return PrecisionRefused(precision, f"this network cannot be computed in {precision} ({error})")
        return encoding

    def quality(self, member: Mapping[str, int], precision: str = "fp32") -> Estimate:
        """What the curve promises for a member in a precision."""
        if self.header.curve is None:
            return Estimate(metric=None, value=None, kind="extrapolated")
        return self.header.curve.at(member, cost_of(self.architecture, member).macs, precision)

    def preferred(self, largest: Configuration, is_allowed: Callable[[Configuration], bool], precision: str = "fp32") -> Configuration:
        """The largest member, or a smaller uniform one that was measured to be better than what the curve promises of the largest.

        Within one standard deviation of the measurement two are equal, and of equals it is the larger one.
        """
        curve = self.header.curve
        if curve is None:
            return largest
        fitting = []
        for quality, point in curve.better_below(largest, cost_of(self.architecture, largest).macs, precision):
            member = rounded(self.architecture, 1 - point.compression)
            if dict(member) == point.widths and is_allowed(member):
                fitting.append((quality, member))
        best = max((quality for quality, _ in fitting), default=0.0)
        return next((member for quality, member in fitting if quality >= best - curve.deviation(best)), largest)
