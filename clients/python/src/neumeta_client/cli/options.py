"""Arguments and options that several commands take."""

from typing import Annotated, Optional

import typer

from neumeta_client._errors import InvalidRequest

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model, as `neumeta-client models` lists it.")]
Url = Annotated[Optional[str], typer.Option("--url", envvar="NEUMETA_CLIENT_URL", help="The service.  [default: http://127.0.0.1:8080]")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Compression = Annotated[Optional[float], typer.Option(metavar="X", help="Leave out this share of all channels; 0 is the full network.")]
Widths = Annotated[Optional[list[str]], typer.Option("--width", metavar="GROUP=N", help="Channels of one group; repeat it for every group.")]
Budget = Annotated[
    Optional[list[str]],
    typer.Option(metavar="KIND=N", help="At most N of params, macs or bytes: the largest network that fits. Repeatable."),
]
Precision = Annotated[str, typer.Option(metavar="fp32|fp16|int8", help="Number format of the weights.")]
ModelVersion = Annotated[Optional[str], typer.Option(metavar="VERSION", help="A version's number or an alias.  [default: latest]")]
Root = Annotated[
    Optional[str],
    typer.Option("--trust-root", metavar="FILE|KEY", envvar="NEUMETA_CLIENT_TRUST_ROOT", help="Take only what these public keys vouch for."),
]


def counts(option: str, entries: Optional[list[str]]) -> Optional[dict[str, int]]:
    """What the NAME=NUMBER entries of an option say. Raises InvalidRequest."""
    if not entries:
        return None
    counts = {}
    for entry in entries:
        name, _, number = entry.partition("=")
        if not name or not number.isdecimal() or name in counts:
            raise InvalidRequest(f"{option}: {entry!r} is not allowed; expected NAME=NUMBER, each name once.")
        counts[name] = int(number)
    return counts
