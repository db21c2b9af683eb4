"""``neumeta keys``: the keys and certificates that manifolds and services sign with (docs/signing.md)."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from neumeta_core.errors import KeyRefused
from neumeta_core.files import write_whole
from neumeta_core.manifold import Manifold
from neumeta_core.signing.bundle import Bundle, Chain
from neumeta_core.signing.certificate import Certificate, certify, check_authority, moment
from neumeta_core.signing.credentials import Credentials
from neumeta_core.signing.keys import is_encrypted, new_key, public_of, read_key, write_key
from neumeta_core.signing.manifold import ManifoldStatement, check_manifold, signature_path, state_manifold
from neumeta_core.signing.payload import Kind
from neumeta_core.signing.roots import Roots, read_roots

from neumeta_trainer.cli.options import expected_errors, say

PASSPHRASE = "NEUMETA_SIGNING_PASSPHRASE"
DAY_S = 24 * 3600

app = typer.Typer(no_args_is_help=True, help="Make keys and certificates, sign manifolds and verify them.")

NewKey = Annotated[Path, typer.Argument(metavar="KEY", help="File for the private key; the public one goes into KEY.pub. Never overwritten.")]
Locked = Annotated[bool, typer.Option("--encrypt", help=f"Ask for a passphrase, unless {PASSPHRASE} is set, which encrypts too.")]
SigningKey = Annotated[Path, typer.Option("--key", help="Private key of a root, or of a publisher with --certificate.")]
SigningChain = Annotated[Path | None, typer.Option("--certificate", help="Certificate of the key, when it is no root.")]
Issuer = Annotated[Path, typer.Option("--issuer", help="Private key of a root.")]
IssuerChain = Annotated[
    Path | None, typer.Option("--issuer-certificate", help="Certificate of the issuer by an older root, to pass on with the new one.")
]
TrustRoot = Annotated[Path, typer.Option("--trust-root", help="File with trusted public keys, one for each line.")]


@app.command("new-root", epilog="Example: neumeta keys new-root vault/root.pem --encrypt")
def new_root(key: NewKey, encrypt: Locked = False) -> None:
    """Make a root key: it stays offline, and its public key is what clients and services trust."""
    _make(key, "root", encrypt)


@app.command("new-online", epilog="Example: neumeta keys new-online online.pem")
def new_online(key: NewKey, encrypt: Locked = False) -> None:
    """Make a key for a service or a publisher; a root has to certify it."""
    _make(key, "online", encrypt)


@app.command("certify", epilog="Example: neumeta keys certify online.pem.pub --issuer vault/root.pem --days 30 --out online.cert")
def certify_key(
    public: Annotated[Path, typer.Argument(metavar="PUBLIC", help="Public key, as new-online wrote it.")],
    issuer: Issuer,
    out: Annotated[Path, typer.Option("--out", help="File for the certificate; replaced when it exists.")],
    purpose: Annotated[
        Kind, typer.Option("--for", help="What the key may sign: manifest (a service), manifold (a publisher), certificate (the next root).")
    ] = Kind.MANIFEST,
    days: Annotated[float, typer.Option("--days", min=1 / 24, max=3660, help="How long it is valid.")] = 30,
    issuer_certificate: IssuerChain = None,
) -> None:
    """Let another key sign one kind of thing, for a while."""
    with expected_errors(None):
        credentials, now = _credentials(issuer, issuer_certificate), int(time.time())
        credentials.check(Kind.CERTIFICATE, now)
        made = certify(_only_key(public), purpose, credentials.key, not_before=now, not_after=now + round(days * DAY_S))
        write_whole(out, Chain(certificates=(*credentials.chain.certificates, made)).json_text())
        _show_chain(Chain(certificates=(made,)))


@app.command("sign-manifold", epilog="Example: neumeta keys sign-manifold models/lenet-mnist/2/manifold.safetensors --key vault/root.pem")
def sign_manifold(
    manifold: Annotated[Path, typer.Argument(metavar="FILE", help="The manifold.")], key: SigningKey, certificate: SigningChain = None
) -> None:
    """Sign a manifold; the signature goes into FILE.sig beside it."""
    with expected_errors(None):
        credentials, data, now = _credentials(key, certificate), manifold.read_bytes(), time.time()
        credentials.check(Kind.MANIFOLD, now)
        header = Manifold.from_bytes(data).header
        write_whole(signature_path(manifold), credentials.sign(state_manifold(data, header.name, header.version, now=now)).json_text())
        say(f"Signed {header.name} version {header.version}: {signature_path(manifold)}")


@app.command(epilog="Example: neumeta keys show online.cert")
def show(file: Annotated[Path, typer.Argument(metavar="FILE", help="A public key, a certificate, or a signature of a manifold.")]) -> None:
    """Say what a file holds, without trusting it."""
    with expected_errors(None):
        if file.suffix == ".sig":
            bundle = Bundle.read(file)
            _show_chain(bundle)
            _show_statement(bundle.envelope.open(ManifoldStatement), bundle.envelope.key)
        elif file.read_bytes()[:1] == b"{":
            _show_chain(Chain.read(file))
        else:
            for key in sorted(read_roots(file)):
                say(f"public key {key}")


@app.command(epilog="Example: neumeta keys verify models/lenet-mnist/2/manifold.safetensors --trust-root root.pub")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A manifold with its signature beside it, or a certificate.")], trust_root: TrustRoot
) -> None:
    """Check a manifold's signature, or a certificate, as a service does; exit code 1 when it is refused."""
    with expected_errors(None):
        roots = read_roots(trust_root)
        if file.suffix == ".safetensors":
            _verify_manifold(file, roots)
        else:
            _verify_certificate(Chain.read(file), roots)


def _make(path: Path, role: str, encrypt: bool) -> None:
    with expected_errors(None):
        passphrase = os.environ.get(PASSPHRASE) or (typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True) if encrypt else None)
        key = new_key()
        write_key(path, key, passphrase)
        public = path.with_name(f"{path.name}.pub")
        write_whole(public, f"{public_of(key)}  # {role}, made {moment(int(time.time()))}\n")
        locked = "encrypted" if passphrase else "not encrypted"
        say(f"Private key ({locked}): {path}\nPublic key: {public}\n{public_of(key)}")


def _credentials(key: Path, certificate: Path | None) -> Credentials:
    passphrase = os.environ.get(PASSPHRASE)
    if not passphrase and is_encrypted(key) and sys.stdin.isatty():
        passphrase = typer.prompt(f"Passphrase of {key}", hide_input=True)
    return Credentials(read_key(key, passphrase), Chain() if certificate is None else Chain.read(certificate))


def _only_key(path: Path) -> str:
    keys = read_roots(path)
    if len(keys) != 1:
        raise KeyRefused(f"{path} holds {len(keys)} public keys; expected the one to certify.")
    return next(iter(keys))


def _verify_manifold(path: Path, roots: Roots) -> None:
    data, signature = path.read_bytes(), Bundle.read(signature_path(path))
    header = Manifold.from_bytes(data).header
    _show_statement(check_manifold(data, header.name, header.version, signature, roots, time.time()), signature.envelope.key)
    say("verified")


def _verify_certificate(chain: Chain, roots: Roots) -> None:
    _show_chain(chain)
    if not chain.certificates:
        raise KeyRefused("The file holds no certificate.")
    certified = chain.certificates[-1].open(Certificate)
    check_authority(certified.key, certified.purpose, chain.certificates, roots - {certified.key}, time.time())
    say("verified")


def _show_chain(chain: Chain) -> None:
    for envelope in chain.certificates:
        made = envelope.open(Certificate)
        valid = f"from {moment(made.not_before)} until {moment(made.not_after)}"
        say(f"certificate {made.serial} for {made.purpose}, {valid}\n  key {made.key}\n  issuer {envelope.key}")


def _show_statement(stated: ManifoldStatement, key: str) -> None:
    facts = f"{stated.size:,} bytes, signed {moment(stated.signed_at)}\n  sha256 {stated.sha256}\n  key {key}"
    say(f"manifold {stated.name} version {stated.version}, {facts}")
