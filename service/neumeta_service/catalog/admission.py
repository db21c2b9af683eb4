"""What a manifold file has to be before it is served."""

from __future__ import annotations

import logging

from neumeta_core.assembly import assemble
from neumeta_core.errors import ManifoldRefused, NeuMetaError
from neumeta_core.manifold import Manifold

from neumeta_service.selfcheck import Inspector

logger = logging.getLogger(__name__)


def admit(name: str, version: int, data: bytes, *, device: str = "cpu", dtype: str = "fp32", inspector: Inspector | None = None) -> Manifold:
    """The manifold in a file's bytes, tried once and checked by the inspector, if there is one.

    ManifoldRefused, whatever the file does to its reader: one must not stop the others.
    """
    try:
        manifold = Manifold.from_bytes(data).to(device, dtype)
        _check_release(manifold, name, version)
        _build_full(manifold)
        if inspector is not None:
            inspector.admit(manifold)
    except ManifoldRefused:
        raise
    except Exception as error:
        logger.exception("loading %s version %d failed", name, version)
        raise ManifoldRefused(f"the file cannot be loaded: {type(error).__name__}.") from error
    logger.info("%s version %d is served", name, version)
    return manifold


def _check_release(manifold: Manifold, name: str, version: int) -> None:
    if (manifold.header.name, manifold.header.version) != (name, version):
        found = f"{manifold.header.name} version {manifold.header.version}"
        raise ManifoldRefused(f"the folder says {name} version {version}; the file says {found}.")


def _build_full(manifold: Manifold) -> None:
    """Refuse a file whose full network cannot be built; it also spares the first request what libraries set up once."""
    full = manifold.configure(compression=0.0)
    try:
        assemble(manifold, full, manifold.materialize(full))
    except NeuMetaError as error:
        raise ManifoldRefused(f"its full network cannot be built: {error}") from error
