"""From settings to what checks signatures and what makes them."""

from __future__ import annotations

from pathlib import Path

from neumeta_core.errors import KeyRefused, SignatureRefused
from neumeta_core.signing.roots import Roots, read_roots

from neumeta_service.catalog.provenance import Provenance
from neumeta_service.settings import Settings, SettingsError, variable
from neumeta_service.signing.signer import Clock, KeyFiles, Signer
from neumeta_service.telemetry.metrics import Metrics


def provenance_of(settings: Settings, clock: Clock) -> Provenance | None:
    """What manifolds are checked against; None without a trust root. Raises SettingsError."""
    roots = _roots(settings.trust_root)
    return None if roots is None else Provenance(roots, clock)


def signer_of(settings: Settings, metrics: Metrics, clock: Clock) -> Signer | None:
    """What signs manifests; None without a signing key. Raises SettingsError when key, certificate and trust root do not fit together."""
    if settings.signing_key is None or settings.signing_certificate is None:
        return None
    secret = settings.signing_passphrase
    passphrase = None if secret is None else secret.get_secret_value()
    files = KeyFiles(settings.signing_key, settings.signing_certificate, passphrase, _roots(settings.trust_root))
    try:
        signer = Signer(files, settings.signature_lifetime_s, clock)
    except (KeyRefused, SignatureRefused) as error:
        what = "signing_key" if isinstance(error, KeyRefused) else "signing_certificate"
        raise SettingsError(f"{variable(what)}: {error}") from error
    metrics.watch_signing_certificate(lambda: signer.expires)
    return signer


def _roots(path: Path | None) -> Roots | None:
    try:
        return None if path is None else read_roots(path)
    except KeyRefused as error:
        raise SettingsError(f"{variable('trust_root')}: {error}") from error
