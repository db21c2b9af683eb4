"""What the command does: serve, or a sub-command."""

from __future__ import annotations

import gc
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from textwrap import indent
from typing import NoReturn

from neumeta_core.errors import NeuMetaError

from neumeta_service.access import command, enclosed
from neumeta_service.app import create_app
from neumeta_service.http.address import check_address
from neumeta_service.http.server import Server
from neumeta_service.settings import Settings, SettingsError, load_settings, variable
from neumeta_service.telemetry import log


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Who types an option most likely means a setting."""
        super().error(f"{message}. Settings are environment variables, like {variable('port')}=8090 neumeta-service; --help lists them")


def run(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted, or run a sub-command. Exits with 2 and a sentence when the settings cannot be used."""
    parser = _Parser("neumeta-service", description=_description(), formatter_class=RawDescriptionHelpFormatter)
    command.add_to(parser)
    chosen = parser.parse_args(arguments)
    try:
        if "run" in chosen:
            chosen.run(chosen)
            return 0
        settings = enclosed(load_settings())
        check_address(settings)
        log.configure(settings.log_level, settings.log_format)
        app = create_app(settings)
    except (SettingsError, NeuMetaError) as error:
        parser.exit(2, f"neumeta-service: {error}\n")
    # What start-up made stays for good. Unfrozen, every full collection walks it and holds all requests for about 100 ms.
    gc.collect()
    gc.freeze()
    Server(app, settings).run()
    return 0


def _description() -> str:
    fields = "\n".join(map(_help, Settings.model_fields))
    return f"Serves members of manifolds over HTTP. Environment variables [and their defaults]:\n\n{fields}"


def _help(setting: str) -> str:
    field = Settings.model_fields[setting]
    default = "none" if field.default is None else field.default
    return f"  {variable(setting)} [{default}]\n{indent(field.description or '', ' ' * 6)}"
