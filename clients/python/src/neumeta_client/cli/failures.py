"""Errors on the command line: one line each, and the exit code that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from neumeta_client._errors import IntegrityError, NeuMetaClientError, RequestError, VerificationError
from neumeta_client._protocol import one_line

EXIT_FAILED, EXIT_USAGE, EXIT_INTEGRITY, EXIT_INTERRUPTED = 1, 2, 3, 130


@contextmanager
def reported() -> Iterator[None]:
    """Turn this package's errors, and Ctrl-C, into a line and an exit code."""
    try:
        yield
    except NeuMetaClientError as error:
        request = f" (request {one_line(error.request_id)})" if error.request_id else ""
        typer.echo(f"neumeta-client: {error}{request}", err=True)
        raise typer.Exit(_exit_code(error)) from error
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from interrupt


def _exit_code(error: NeuMetaClientError) -> int:
    if isinstance(error, (IntegrityError, VerificationError)):
        return EXIT_INTEGRITY
    return EXIT_USAGE if isinstance(error, RequestError) else EXIT_FAILED
