"""``neumeta-client cache``."""

# No postponed annotations here: on Python 3.9 typer does not find its options in them.

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Optional

import typer

from neumeta_client._local.cache import Cache
from neumeta_client._local.collection import CacheEntry
from neumeta_client._settings import cache_folder, cache_limit_bytes
from neumeta_client.cli.failures import reported
from neumeta_client.cli.options import AsJson, size_in_bytes
from neumeta_client.cli.output import print_json, print_table

cache = typer.Typer(no_args_is_help=True, help="See what the cache folder holds, and make room in it.")


@cache.command("ls")
def list_entries(as_json: AsJson = False) -> None:
    """List every network in the cache, the least recently used first.

    The folder is NEUMETA_CLIENT_CACHE, else the user's cache folder.

    \b
    neumeta-client cache ls
    neumeta-client cache ls --json
    """
    with reported():
        folder = Cache(cache_folder(None))
        entries = folder.entries()
        if as_json:
            print_json({"folder": str(folder.folder), "bytes": _total(entries), "entries": [_document(entry) for entry in entries]})
        else:
            print_table(["digest", "models", "bytes", "last used", "state"], [_row(entry) for entry in entries], numeric=(2,))
            typer.echo(f"{_total(entries):,} bytes in {folder.folder}")


@cache.command("gc")
def collect(
    limit: Annotated[Optional[str], typer.Option(metavar="BYTES", help="Keep at most so many, such as 20MB.  [default: as when pulling]")] = None,
    as_json: AsJson = False,
) -> None:
    """Remove the networks that were used least recently until the rest fits the limit.

    Downloads that nobody continued for a week go too; those that run just now stay.

    \b
    neumeta-client cache gc
    neumeta-client cache gc --limit 20MB
    neumeta-client cache gc --limit 0
    """
    with reported():
        folder = Cache(cache_folder(None))
        removed = folder.collect(cache_limit_bytes(size_in_bytes(limit) if limit is not None else None))
        left = _total(folder.entries())
        if as_json:
            print_json({"folder": str(folder.folder), "removed": [_document(entry) for entry in removed], "freed": _total(removed), "bytes": left})
        else:
            typer.echo(f"{len(removed)} files removed, {_total(removed):,} bytes freed; {left:,} bytes left in {folder.folder}")


def _total(entries: Sequence[CacheEntry]) -> int:
    return sum(entry.size for entry in entries)


def _document(entry: CacheEntry) -> dict[str, Any]:
    return {
        "path": str(entry.path),
        "digest": entry.digest,
        "size": entry.size,
        "used": entry.used,
        "models": list(entry.models),
        "finished": entry.is_finished,
    }


def _row(entry: CacheEntry) -> tuple[str, ...]:
    used = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
    state = "" if entry.is_finished else "unfinished"
    return (entry.digest[:19], ", ".join(entry.models), f"{entry.size:,}", used, state)
