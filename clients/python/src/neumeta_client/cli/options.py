"""Arguments and options that several commands take."""

import re
from typing import Annotated, Callable, Optional, TypeVar, Union

import typer

from neumeta_client._errors import InvalidRequest

T = TypeVar("T")
MOST_DIGITS = 15
"""More than any size has, and fewer than Python refuses to read."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model, as `neumeta-client models` lists it.")]
Url = Annotated[Optional[str], typer.Option("--url", envvar="NEUMETA_CLIENT_URL", help="The service.  [default: http://127.0.0.1:8080]")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Compression = Annotated[Optional[float], typer.Option(metavar="X", help="Leave out this share of all channels; 0 is the full network.")]
Widths = Annotated[Optional[list[str]], typer.Option("--width", metavar="GROUP=N", help="Channels of one group; repeat it for every group.")]
Budget = Annotated[
    Optional[list[str]],
    typer.Option(metavar="KIND=N", help="At most N of params, macs, bytes or latency_ms (with device=NAME): the best network that fits. Repeatable."),
]
Rung = Annotated[Optional[str], typer.Option(metavar="NAME", help="A size that the service's operator has named.")]
Precision = Annotated[str, typer.Option(metavar="fp32|fp16|int8", help="Number format of the weights.")]
Offline = Annotated[bool, typer.Option("--offline", envvar="NEUMETA_CLIENT_OFFLINE", help="Send nothing: take what is in the cache.")]
ModelVersion = Annotated[Optional[str], typer.Option(metavar="VERSION", help="A version's number or an alias.  [default: latest]")]
# No path: that would lose the slash at the end, which says that a folder is meant.
Output = Annotated[Optional[str], typer.Option(metavar="FILE", help="Copy the network to this file, or into this folder (FOLDER/).")]
Metric = Annotated[str, typer.Option(metavar="p50|p95", help="Which latency of many single calls counts: the median or the 95th percentile.")]
Threads = Annotated[Optional[int], typer.Option(metavar="N", help="Threads of a call.  [default: one for each processor]")]
Root = Annotated[
    Optional[str],
    typer.Option("--trust-root", metavar="FILE|KEY", envvar="NEUMETA_CLIENT_TRUST_ROOT", help="Take only what these public keys vouch for."),
]


def counts(option: str, entries: Optional[list[str]]) -> Optional[dict[str, int]]:
    """What the NAME=NUMBER entries of an option say. Raises InvalidRequest."""
    return _pairs(option, entries, _count, "NAME=NUMBER")


def limits(option: str, entries: Optional[list[str]]) -> Optional[dict[str, Union[float, str]]]:
    """What the entries of a budget say: NAME=NUMBER, and device=NAME. Raises InvalidRequest."""
    return _pairs(option, entries, _limit, "NAME=NUMBER or device=NAME")


def size_in_bytes(text: str) -> int:
    """A number of bytes, also as 500kB, 20MB or 1.5GB. Raises InvalidRequest."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?([kMG]?)B?", text)
    if found is None:
        raise InvalidRequest(f"--limit: {text!r} is not allowed; expected a number of bytes, such as 500000, 500kB, 20MB or 1.5GB.")
    return int(float(found[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[found[2]])


def _pairs(option: str, entries: Optional[list[str]], read: Callable[[str, str], Optional[T]], expected: str) -> Optional[dict[str, T]]:
    if not entries:
        return None
    found: dict[str, T] = {}
    for entry in entries:
        name, _, text = entry.partition("=")
        value = read(name, text)
        if not name or value is None or name in found:
            raise InvalidRequest(f"{option}: {entry!r} is not allowed; expected {expected}, each name once.")
        found[name] = value
    return found


def _count(_: str, text: str) -> Optional[int]:
    return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else None


def _limit(name: str, text: str) -> Union[float, str, None]:
    if name == "device":
        return text or None
    if text.isdecimal():
        return _count(name, text)
    return float(text) if re.fullmatch(r"[0-9]+\.[0-9]+", text) else None
