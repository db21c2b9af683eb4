"""The command ``neumeta-service``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

INTERRUPTED = 130
"""The exit code of a shell for SIGINT."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted, or run a sub-command. Exits with 2 and a sentence when the settings cannot be used."""
    try:
        # Here, for Ctrl-C comes in these seconds too.
        from neumeta_service.command import run

        return run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
