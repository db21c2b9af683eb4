"""``neumeta-client autofit``."""

# No postponed annotations here: on Python 3.9 typer does not find its options in them.

from dataclasses import asdict
from typing import Annotated, Optional

import typer

from neumeta_client._client import Client
from neumeta_client._fit.report import Fit
from neumeta_client.cli.failures import reported
from neumeta_client.cli.measuring import announced, device_line, print_measurements
from neumeta_client.cli.options import AsJson, Metric, ModelVersion, Name, Output, Precision, Root, Threads, Url
from neumeta_client.cli.output import print_json


def autofit(
    name: Name,
    latency_ms: Annotated[float, typer.Option(metavar="MS", help="At most so many milliseconds for a call with one sample.")],
    metric: Metric = "p95",
    max_bytes: Annotated[Optional[int], typer.Option(metavar="N", help="At most so many bytes of file.")] = None,
    max_memory_bytes: Annotated[Optional[int], typer.Option(metavar="N", help="At most so many bytes of memory for the network (Linux).")] = None,
    precision: Precision = "fp32",
    threads: Threads = None,
    model_version: ModelVersion = None,
    trust_root: Root = None,
    output: Output = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Find the largest network that this device runs in time, and print its path.

    A few sizes are pulled and measured here, in onnxruntime; each stays in the cache. The report, on standard error, says what
    each one took. Nothing else should keep the device busy meanwhile.

    \b
    neumeta-client autofit lenet-mnist --latency-ms 4
    neumeta-client autofit lenet-mnist --latency-ms 4 --metric p50 --threads 1 --output best.onnx
    neumeta-client autofit lenet-mnist --latency-ms 4 --max-bytes 200000 --precision int8
    """
    with reported(), Client(url, trust_root=trust_root) as client:
        fit = client.autofit(
            name,
            latency_ms=latency_ms,
            metric=metric,
            max_bytes=max_bytes,
            max_memory_bytes=max_memory_bytes,
            precision=precision,
            version=model_version,
            threads=threads,
            measure=announced(threads, with_memory=max_memory_bytes is not None),
        )
        path = fit.artifact.path if output is None else fit.artifact.save(output)
        if as_json:
            print_json({"path": str(path), "latency_ms": fit.latency_ms, "report": asdict(fit.report)})
        else:
            _print_report(fit)
            typer.echo(str(path))


def _print_report(fit: Fit) -> None:
    report = fit.report
    typer.echo(f"{report.model} {report.version} in {report.precision} on {device_line(report.device)}", err=True)
    marks = ["yes" if candidate.fits else "no" for candidate in report.candidates]
    print_measurements(report.candidates, report.goal.metric, marks=marks, err=True)
    size = f"compression {fit.artifact.manifest.compression.effective:g}"
    typer.echo(f"The largest that fits has {size} and takes {fit.latency_ms:.3g} ms ({report.goal.metric}).", err=True)
