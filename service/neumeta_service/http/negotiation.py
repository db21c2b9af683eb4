"""Which of several media types a client likes best (RFC 9110 section 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ITEM = re.compile(r"\s*([\w!#$&^.+*-]+)/([\w!#$&^.+*-]+)\s*((?:;[^,;]*)*)", re.ASCII)
_QUALITY = re.compile(r";\s*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)", re.IGNORECASE)


def preferred(accept: str | None, offers: Sequence[str]) -> str | None:
    """The offer with the highest quality; None when all are refused.

    Of equal ones that which is named more exactly, then the first. No header, or an empty one, accepts everything. What
    cannot be parsed is passed over.
    """
    if accept is None or not accept.strip():
        return offers[0]
    ranges = [item for item in (_parse(text) for text in accept.split(",")) if item is not None]
    ranked = [(*_rank(offer, ranges), -position, offer) for position, offer in enumerate(offers)]
    quality, _, _, best = max(ranked)
    return best if quality > 0 else None


def _parse(text: str) -> tuple[str, str, float] | None:
    match = _ITEM.fullmatch(text)
    if match is None:
        return None
    if not re.search(r";\s*q\s*=", match[3], re.IGNORECASE):
        return match[1].lower(), match[2].lower(), 1.0
    quality = _QUALITY.search(match[3])
    return (match[1].lower(), match[2].lower(), float(quality[1])) if quality else None


def _rank(offer: str, ranges: Sequence[tuple[str, str, float]]) -> tuple[float, int]:
    """Quality and exactness (0 to 2) of the most exact range that covers an offer; quality 0 when none does."""
    kind, subtype = offer.split("/")
    exactness = {(kind, subtype): 2, (kind, "*"): 1, ("*", "*"): 0}
    covering = [(exactness[type_, sub], quality) for type_, sub, quality in ranges if (type_, sub) in exactness]
    exact, quality = max(covering, default=(0, 0.0))
    return quality, exact
