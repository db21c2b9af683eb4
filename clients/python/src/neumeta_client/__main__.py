"""``neumeta-client``, also as ``python -m neumeta_client``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say what has to be installed for it."""
    try:
        from neumeta_client.cli import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(f"neumeta-client: {error.name} is not installed; the command line needs it: pip install 'neumeta-client[cli]'.")
    app()


if __name__ == "__main__":
    main()
