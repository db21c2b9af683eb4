"""Who runs the checks: one thread, so that they never compete for cores with each other."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Literal

from neumeta_core.assembly import assemble
from neumeta_core.errors import AssemblyError, ManifoldRefused
from neumeta_core.manifold import Manifold
from neumeta_core.materialize import to_host
from neumeta_core.precision import PRECISIONS
from neumeta_core.spec import Spec

from neumeta_service.selfcheck.examination import fault_of
from neumeta_service.settings import SettingsError, variable
from neumeta_service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)
Mode = Literal["auto", "required", "off"]


class Inspector:
    """Checks artifacts with onnxruntime, which has to be installed; ``share`` in [0, 1] is that of the builds that are sampled."""

    def __init__(self, metrics: Metrics, *, share: float = 0.0) -> None:
        self._results = metrics.self_checks
        self._share = share
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="neumeta-self-check")

    def samples(self, key: str) -> bool:
        """Whether the build with this cache key is one of the sampled share; the same on every replica."""
        return int(key[:16], 16) < self._share * 2**64

    def admit(self, manifold: Manifold) -> None:
        """Check the full and the smallest member in every precision, and wait for it. ManifoldRefused when one fails.

        Runs in the thread that computes, like all that uses the INR.
        """
        for compression in (0.0, manifold.architecture.max_compression):
            member = manifold.configure(compression=compression)
            weights = to_host(manifold.materialize(member))
            for precision in PRECISIONS:
                spec = Spec.of(manifold, member, precision)
                try:
                    artifact = assemble(manifold, member, weights, precision)
                except AssemblyError as error:  # fp16 cannot hold every weight; whoever asks for it is told so.
                    logger.warning("%s version %d has no %s at compression %g: %s", spec.model, spec.version, precision, compression, error)
                    self.skip()
                    continue
                fault = self._thread.submit(self._inspect, artifact.data, manifold, spec).result()
                if fault is not None:
                    raise ManifoldRefused(f"its self-check failed at compression {compression:g} in {precision}: {fault}.")

    async def fault_of(self, artifact: bytes, manifold: Manifold, spec: Spec) -> str | None:
        """See ``examination.fault_of``; the event loop goes on meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._inspect, artifact, manifold, spec)

    def skip(self) -> None:
        """Count a check that is left out."""
        self._results.labels("skipped").inc()

    def close(self) -> None:
        """Release the thread."""
        self._thread.shutdown()

    def _inspect(self, artifact: bytes, manifold: Manifold, spec: Spec) -> str | None:
        fault = fault_of(artifact, manifold, spec)
        self._results.labels("failed" if fault else "passed" if manifold.canary else "skipped").inc()
        return fault


def find_inspector(mode: Mode, metrics: Metrics, *, share: float) -> Inspector | None:
    """The inspector, or None when there is to be none, or none can be. SettingsError when ``mode`` requires what is not installed."""
    if mode == "off":
        return None
    try:
        import_module("onnxruntime")
    except ImportError as error:
        if mode == "required":
            where = "install it with the extra cpu or gpu, or set auto or off"
            raise SettingsError(f"{variable('self_check')}: onnxruntime cannot be imported ({error}); {where}.") from None
        logger.warning("No artifact is checked: onnxruntime cannot be imported (%s); the extras cpu and gpu bring it", error)
        return None
    return Inspector(metrics, share=share)
