"""When a request that failed is sent again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Optional

from neumeta_client._errors import ConnectionFailed, InvalidRequest, NeuMetaClientError, ServiceUnavailable

TEMPORARY = (ConnectionFailed, ServiceUnavailable)
"""What the same request may not meet again later."""


@dataclass(frozen=True)
class Retries:
    """How often a request is sent again after a failure that may pass: no connection, a cut answer, 429, 502, 503, 504.

    ``attempts`` counts all tries of one request, 1 means none again; a download counts only those that brought no bytes. Waits
    double from ``first_delay_s`` to ``longest_delay_s``, of which a random part is taken, so that the clients of a fleet do not come
    back together; ``Retry-After`` (RFC 9110, section 10.2.3) is waited for as well, unless it is longer than ``patience_s``:
    then the error is raised at once. Raises InvalidRequest.
    """

    attempts: int = 5
    first_delay_s: float = 0.25
    longest_delay_s: float = 8.0
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.first_delay_s, self.longest_delay_s, self.patience_s) < 0:
            raise InvalidRequest("retries: expected at least one attempt, and delays that are not negative.")

    def delay(self, failed: int, error: NeuMetaClientError) -> Optional[float]:
        """Seconds to wait after the ``failed``-th try in a row; None when the error is to be raised."""
        asked = error.retry_after or 0.0
        if failed >= self.attempts or asked > self.patience_s:
            return None
        # 2.0 ** 1024 is no float.
        return asked + random.uniform(0, min(self.longest_delay_s, self.first_delay_s * 2.0 ** min(failed - 1, 1023)))
