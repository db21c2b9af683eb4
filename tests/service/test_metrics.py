from __future__ import annotations

from neumeta_service.telemetry.metrics import CACHE_ERRORS, RELOADS, SELF_CHECKS, Metrics


def test_what_alerts_count_is_counted_from_nought() -> None:
    """So that the first one is an increase."""
    registry = Metrics().registry
    for name, label, values in (
        ("neumeta_cache_errors_total", "kind", CACHE_ERRORS),
        ("neumeta_reloads_total", "result", RELOADS),
        ("neumeta_self_check_total", "result", SELF_CHECKS),
    ):
        assert [registry.get_sample_value(name, {label: value}) for value in values] == [0] * len(values)
