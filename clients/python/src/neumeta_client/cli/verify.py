"""``neumeta-client verify``."""

# No postponed annotations here: on Python 3.9 typer does not find its options in them.

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from neumeta_client._client import Client
from neumeta_client._protocol import one_line
from neumeta_client.cli.failures import reported
from neumeta_client.cli.options import AsJson, Offline, Root, Url
from neumeta_client.cli.output import print_json


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A network that was pulled, wherever it is now.")],
    trust_root: Root = None,
    offline: Offline = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Check that a file is a network that was pulled, unchanged, and say which.

    With --trust-root also that these keys vouch for it; when no manifest in the cache proves that, the service is asked for its signature.

    \b
    neumeta-client verify small.onnx
    neumeta-client verify small.onnx --trust-root root.pub
    """
    with reported(), Client(url, trust_root=trust_root, offline=offline) as client:
        found = client.verify(file)
        is_signed = trust_root is not None  # Then the client has verified the signature; an empty root it refuses.
        if as_json:
            print_json({"path": str(file), "signed": is_signed, "manifest": asdict(found)})
        else:
            known = "as a manifest in the cache says; no signature was verified"
            proof = "signed by a key that the trust root vouches for" if is_signed else known
            widths = ", ".join(f"{name} {width}" for name, width in found.spec.widths.items())
            network = f"{found.model} {found.version} in {found.spec.precision}, {widths}"
            typer.echo(": ".join(one_line(part) for part in (str(file), network, proof)))
