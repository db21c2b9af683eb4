"""The command line: pull a network, list models, show a curve."""

# No postponed annotations here: on Python 3.9 typer does not find its options in them.

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console
from rich.table import Table

from neumeta_client._artifact import Artifact
from neumeta_client._client import Client
from neumeta_client._errors import IntegrityError, InvalidRequest, NeuMetaClientError, RequestError, VerificationError
from neumeta_client._protocol import one_line
from neumeta_client._types import CurvePoint, Manifest, ModelSummary

EXIT_FAILED, EXIT_USAGE, EXIT_INTEGRITY, EXIT_INTERRUPTED = 1, 2, 3, 130

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model, as `neumeta-client models` lists it.")]
Url = Annotated[Optional[str], typer.Option("--url", envvar="NEUMETA_CLIENT_URL", help="The service.  [default: http://127.0.0.1:8080]")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.callback(
    epilog="Exit codes: 0 done, 1 service, network or disk failed, 2 the request cannot be met, 3 wrong bytes or signature, 130 interrupted."
)
def commands() -> None:
    """Get a neural network of the size that this device can run.

    One model is a whole family: any size from full to a quarter and less is made when it is asked for, checked against its
    digest, and kept in the cache folder (NEUMETA_CLIENT_CACHE). A service that asks for a token gets NEUMETA_CLIENT_TOKEN.

    \b
    neumeta-client models
    neumeta-client curve lenet-mnist
    neumeta-client pull lenet-mnist --compression 0.6
    """


@app.command()
def pull(
    name: Name,
    compression: Annotated[Optional[float], typer.Option(metavar="X", help="Leave out this share of all channels; 0 is the full network.")] = None,
    width: Annotated[Optional[list[str]], typer.Option(metavar="GROUP=N", help="Channels of one group; repeat it for every group.")] = None,
    budget: Annotated[
        Optional[list[str]], typer.Option(metavar="KIND=N", help="At most N of params, macs or bytes: the largest network that fits. Repeatable.")
    ] = None,
    precision: Annotated[str, typer.Option(metavar="fp32|fp16|int8", help="Number format of the weights.")] = "fp32",
    model_version: Annotated[Optional[str], typer.Option(metavar="VERSION", help="A version's number or an alias.  [default: latest]")] = None,
    trust_root: Annotated[
        Optional[str],
        typer.Option(metavar="FILE|KEY", envvar="NEUMETA_CLIENT_TRUST_ROOT", help="Take only what these public keys vouch for."),
    ] = None,
    output: Annotated[Optional[Path], typer.Option(metavar="FILE", help="Copy the network to this file, or into this folder.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Get one network as an ONNX file and print its path.

    Say the size in one of three ways: --compression, --width or --budget.

    \b
    neumeta-client pull lenet-mnist --compression 0.6
    neumeta-client pull lenet-mnist --budget bytes=90000 --precision fp16
    neumeta-client pull lenet-mnist --budget params=20000 --budget macs=2000000
    neumeta-client pull lenet-mnist --width conv1=8 --width conv2=16 --output small.onnx
    neumeta-client pull lenet-mnist --compression 0.6 --trust-root root.pub
    """
    with _reported(), Client(url, trust_root=trust_root) as client:
        artifact = client.pull(
            name,
            compression=compression,
            widths=_counts("--width", width),
            budget=_counts("--budget", budget),
            precision=precision,
            version=model_version,
        )
        path = artifact.path if output is None else artifact.save(output)
        if as_json:
            _print_json({"path": str(path), "from_cache": artifact.from_cache, "manifest": asdict(artifact.manifest)})
        else:
            typer.echo(_summary(artifact), err=True)
            typer.echo(str(path))


@app.command()
def models(url: Url = None, as_json: AsJson = False) -> None:
    """List the models of the service, ready or refused with the reason.

    \b
    neumeta-client models
    neumeta-client models --url http://192.0.2.7:8080 --json
    """
    with _reported(), Client(url) as client:
        found = client.models()
        if as_json:
            _print_json([asdict(model) for model in found])
        else:
            headings = ["model", "version", "state", "task", "max compression", "reason"]
            _print_table(headings, [_model_row(model) for model in found], numeric=(1, 4))


@app.command()
def curve(name: Name, url: Url = None, as_json: AsJson = False) -> None:
    """Show what each size of a model costs and how good it is.

    Pick a line, and pull that compression; sizes between the lines can be had as well.

    \b
    neumeta-client curve lenet-mnist
    neumeta-client curve lenet-mnist --json
    """
    with _reported(), Client(url) as client:
        found = client.curve(name)
        if as_json:
            _print_json(asdict(found))
        else:
            metric, precisions = one_line(found.metric or "quality"), sorted({name for point in found.points for name in point.quality_in})
            headings = ["compression", "parameters", "MACs", metric, *(f"{metric} in {one_line(name)}" for name in precisions), "trained"]
            rows = [_point_row(point, precisions) for point in found.points]
            _print_table(headings, rows, numeric=range(len(headings) - 1))


@contextmanager
def _reported() -> Iterator[None]:
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


def _counts(option: str, entries: Optional[list[str]]) -> Optional[dict[str, int]]:
    if not entries:
        return None
    counts = {}
    for entry in entries:
        name, _, number = entry.partition("=")
        if not name or not number.isdecimal() or name in counts:
            raise InvalidRequest(f"{option}: {entry!r} is not allowed; expected NAME=NUMBER, each name once.")
        counts[name] = int(number)
    return counts


def _summary(artifact: Artifact) -> str:
    manifest = artifact.manifest
    cost = f"{manifest.cost.params:,} parameters, {manifest.cost.macs:,} MACs, {manifest.size:,} bytes"
    source = "from the cache" if artifact.from_cache else "downloaded"
    return f"{manifest.model} {manifest.version}, compression {manifest.compression.effective:g}: {cost}, {_quality(manifest)}; {source}"


def _quality(manifest: Manifest) -> str:
    quality = manifest.quality
    if quality.value is None:
        return "quality unknown"
    foreign = "" if quality.precision == manifest.spec.precision else f" in {quality.precision}"
    return one_line(f"{quality.metric or 'quality'} {quality.value:.4g} ({quality.kind}{foreign})")


def _model_row(model: ModelSummary) -> tuple[str, ...]:
    limit = "" if model.max_compression is None else f"{model.max_compression:g}"
    return (model.name, str(model.version), model.state, model.task or "", limit, model.reason or "")


def _point_row(point: CurvePoint, precisions: Sequence[str]) -> tuple[str, ...]:
    trained = "held out" if point.held_out else "yes"
    others = (f"{point.quality_in[name]:.4f}" if name in point.quality_in else "" for name in precisions)
    return (f"{point.compression:.3f}", f"{point.params:,}", f"{point.macs:,}", f"{point.quality:.4f}", *others, trained)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))


def _print_table(headings: list[str], rows: Sequence[tuple[str, ...]], *, numeric: Collection[int]) -> None:
    table = Table()
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index in numeric else "left")
    for row in rows:
        table.add_row(*(one_line(cell) for cell in row))
    Console(markup=False, highlight=False).print(table)
