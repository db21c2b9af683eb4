"""Number formats of artifacts, one module each; ``PRECISIONS`` lists them."""

from neumeta_core.errors import InvalidField
from neumeta_core.precision.encoding import Encoding
from neumeta_core.precision.fp16 import Fp16
from neumeta_core.precision.fp32 import Fp32
from neumeta_core.precision.int8 import Int8

PRECISIONS: dict[str, type[Encoding]] = {"fp32": Fp32, "fp16": Fp16, "int8": Int8}


def check_precision(precision: str) -> None:
    """InvalidField for a precision that is not known."""
    if precision not in PRECISIONS:
        raise InvalidField("precision", precision, f"one of {', '.join(PRECISIONS)}")
