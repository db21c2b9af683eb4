"""Rate limits as operators write them."""

from __future__ import annotations

import limits


def parse_rate(text: str) -> limits.RateLimitItem:
    """One rate like ``600/minute`` or ``600 per 5 minutes``. Raises ValueError."""
    try:
        [rate] = limits.parse_many(text)
    except ValueError:
        rate = None
    if rate is None or rate.amount < 1:
        raise ValueError("expected one number and a unit, like 600/minute")
    return rate
