"""``neumeta-client bench``."""

# No postponed annotations here: on Python 3.9 typer does not find its options in them.

from dataclasses import asdict
from typing import Annotated, Optional

import typer

from neumeta_client._client import Client
from neumeta_client._fit.profile import check_device
from neumeta_client.cli.failures import reported
from neumeta_client.cli.measuring import announced, device_line, print_measurements
from neumeta_client.cli.options import AsJson, Metric, ModelVersion, Name, Precision, Root, Threads, Url
from neumeta_client.cli.output import print_json


def bench(
    name: Name,
    precision: Precision = "fp32",
    threads: Threads = None,
    metric: Metric = "p95",
    points: Annotated[int, typer.Option(metavar="N", help="How many sizes, from the full network to the smallest; 2 to 200.")] = 9,
    publish: Annotated[Optional[str], typer.Option(metavar="DEVICE", help="Give the service the figures, as those of this kind of device.")] = None,
    model_version: ModelVersion = None,
    trust_root: Root = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Measure how long each size of a model takes on this device.

    Single calls with one sample, in onnxruntime, after some for warming up. Nothing else should keep the device busy meanwhile.
    What was published once, others ask for without measuring: pull NAME --budget latency_ms=4 --budget device=DEVICE.

    \b
    neumeta-client bench lenet-mnist
    neumeta-client bench lenet-mnist --precision int8 --threads 1 --points 17
    neumeta-client bench lenet-mnist --publish pi4
    """
    with reported(), Client(url, trust_root=trust_root) as client:
        if publish is not None:
            check_device(publish)  # Before minutes of measuring, and not after.
        measure = announced(threads)
        profile = client.bench(name, metric=metric, points=points, precision=precision, version=model_version, threads=threads, measure=measure)
        if as_json:
            print_json(asdict(profile))
        else:
            typer.echo(f"{profile.model} {profile.version} in {profile.precision} on {device_line(profile.device)}", err=True)
            print_measurements(profile.points, metric)
        if publish is not None:
            client.publish_profile(profile, device=publish)
            typer.echo(f"Published; pull it with --budget latency_ms=N --budget device={publish}.", err=True)
