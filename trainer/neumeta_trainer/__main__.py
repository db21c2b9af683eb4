"""The command ``neumeta``; ``python -m neumeta_trainer`` is the same, for torchrun."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; a sentence and exit code 1 where the packages of the trainer are not installed."""
    try:
        from neumeta_trainer.cli import app
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package.startswith("neumeta"):
            raise
        sys.exit(f"error: neumeta needs {package}, which is not installed. Install the trainer: pip install -c constraints.txt -e '.[trainer,cpu]'")
    except KeyboardInterrupt:  # Later the commands themselves say where the state is kept.
        sys.exit(130)
    app()


if __name__ == "__main__":
    main()
