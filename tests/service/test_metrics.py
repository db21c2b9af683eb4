from __future__ import annotations

from neumeta_service.metrics import CACHE_ERRORS, Metrics


def test_failures_of_redis_are_counted_from_nought() -> None:
    """So that the first one is an increase."""
    registry = Metrics().registry
    assert [registry.get_sample_value("neumeta_cache_errors_total", {"kind": kind}) for kind in CACHE_ERRORS] == [0] * len(CACHE_ERRORS)
