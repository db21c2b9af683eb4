"""The command ``neumeta-service api-keys``: make, list and revoke keys."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from neumeta_service.access.caller import SCOPES
from neumeta_service.access.keys import Key, changing, new_token, read_keys, write_keys
from neumeta_service.rate import parse_rate
from neumeta_service.settings import SettingsError

_VARIABLE = "NEUMETA_API_KEYS_FILE"


def add_to(parser: ArgumentParser) -> None:
    """Add ``api-keys``; its sub-commands leave a function ``run`` in the parsed arguments, which raises SettingsError."""
    # Options of these commands are no settings, of which the parser's own errors speak.
    named = parser.add_subparsers(title="commands", metavar="api-keys", parser_class=ArgumentParser)
    commands = named.add_parser("api-keys", description="Make, list and revoke API keys.")
    actions = commands.add_subparsers(required=True, metavar="new|list|revoke")
    new = actions.add_parser("new", help="make a key and print its token, this once")
    new.add_argument(
        "--scopes", type=_scopes, default=("read", "materialize"), metavar="A,B", help="of read, materialize, profile, admin [read,materialize]"
    )
    new.add_argument("--expires", type=_moment, metavar="DATE", help="last moment of validity, ISO 8601, UTC without a zone [never]")
    new.add_argument("--rate", type=_rate, metavar="N/UNIT", help="rate limit of this key, like 600/minute [NEUMETA_RATE_LIMIT]")
    new.set_defaults(run=_new)
    actions.add_parser("list", help="show id, scopes, expiry and rate of every key").set_defaults(run=_list)
    revoke = actions.add_parser("revoke", help="take a key out of the file")
    revoke.add_argument("id", help="as `list` shows it")
    revoke.set_defaults(run=_revoke)
    for action in actions.choices.values():
        action.add_argument("--file", type=Path, default=os.environ.get(_VARIABLE) or None, help=f"the file of keys [{_VARIABLE}]")


def _new(arguments: Namespace) -> None:
    path = _file(arguments)
    token, identity, digest = new_token()
    key = Key(id=identity, sha256=digest, scopes=arguments.scopes, expires=arguments.expires, rate=arguments.rate)
    _write(path, lambda: [*(read_keys(path) if path.exists() else ()), key])
    sys.stdout.write(f"{token}\n")
    sys.stderr.write(f"This token is shown once; {path} holds its hash alone. A running service knows it after a second.\n")


def _list(arguments: Namespace) -> None:
    for key in read_keys(_file(arguments)):
        expiry = "never" if key.expires is None else key.expires.astimezone(UTC).isoformat(timespec="seconds")
        sys.stdout.write(f"{key.id}  {','.join(key.scopes)}  expires {expiry}  rate {key.rate or 'general'}\n")


def _revoke(arguments: Namespace) -> None:
    path = _file(arguments)

    def kept() -> list[Key]:
        keys = read_keys(path)
        others = [key for key in keys if key.id != arguments.id]
        if len(others) == len(keys):
            raise SettingsError(f"{path} has no key {arguments.id!r}; `neumeta-service api-keys list` shows those that there are.")
        return others

    _write(path, kept)


def _file(arguments: Namespace) -> Path:
    if arguments.file is None:
        raise SettingsError(f"Which file of keys? Give --file FILE or set {_VARIABLE}.")
    return Path(arguments.file)


def _write(path: Path, keys: Callable[[], list[Key]]) -> None:
    try:
        with changing(path):
            write_keys(path, keys())
    except OSError as error:
        raise SettingsError(f"The file of API keys {path} cannot be written: {error.strerror}.") from None


def _scopes(text: str) -> tuple[str, ...]:
    scopes = tuple(dict.fromkeys(text.split(",")))
    if not SCOPES.issuperset(scopes):
        raise ArgumentTypeError(f"{text!r} is not allowed; expected one or several of {', '.join(sorted(SCOPES))}, with commas between them")
    return scopes


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not allowed; expected a date or a moment like 2030-01-31 or 2030-01-31T12:00:00+01:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _rate(text: str) -> str:
    try:
        parse_rate(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not allowed; {error}") from None
    return text
