"""What the log says about an answered request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from starlette.types import Scope

if TYPE_CHECKING:
    from neumeta_service.engine import Delivery

_PLAIN_PATH = re.compile("[A-Za-z0-9._~/:@-]*")


class RequestLine(NamedTuple):
    """A log message: text by ``str``, and fields. It reads the scope only when it is written."""

    scope: Scope
    status: int
    """0 when nothing was answered."""
    operation: str
    outcome: str
    seconds: float
    sent_bytes: int

    def __str__(self) -> str:
        delivery: Delivery | None = self.scope["state"].get("delivery")
        key = "-" if delivery is None else delivery.entry.origin.key[:16]
        return f"{self.scope['method']} {_path(self.scope)} {self.status} {self.outcome} key={key} {1000 * self.seconds:.1f} ms"

    def fields(self) -> dict[str, object]:
        """JSON values by name; times in milliseconds."""
        state = self.scope["state"]
        return {
            "method": self.scope["method"],
            "path": _path(self.scope),
            "status": self.status,
            "outcome": self.outcome,
            "operation": self.operation,
            "duration_ms": _ms(self.seconds),
            "sent_bytes": self.sent_bytes,
            **({"caller": state["caller"].identity} if "caller" in state else {}),
            **(_delivered(state["delivery"]) if "delivery" in state else {}),
        }


def _delivered(delivery: Delivery) -> dict[str, object]:
    origin = delivery.entry.origin
    return {
        "model": origin.spec.model,
        "version": origin.spec.version,
        "spec": origin.key,
        "digest": delivery.entry.digest,
        "tier": delivery.tier,
        "stages_ms": {stage: _ms(seconds) for stage, seconds in delivery.seconds.items()},
    }


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path if _PLAIN_PATH.fullmatch(path) else quote(path, safe="/:@")
