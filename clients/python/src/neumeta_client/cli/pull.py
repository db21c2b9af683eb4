"""``neumeta-client pull``."""

# No postponed annotations here: on Python 3.9 typer does not find its options in them.

from dataclasses import asdict

import typer

from neumeta_client._artifact import Artifact
from neumeta_client._client import Client
from neumeta_client._protocol import one_line
from neumeta_client._types import Manifest
from neumeta_client.cli.failures import reported
from neumeta_client.cli.options import (
    AsJson,
    Budget,
    Compression,
    ModelVersion,
    Name,
    Offline,
    Output,
    Precision,
    Root,
    Rung,
    Url,
    Widths,
    counts,
    limits,
)
from neumeta_client.cli.output import download_bar, print_json


def pull(
    name: Name,
    compression: Compression = None,
    width: Widths = None,
    budget: Budget = None,
    rung: Rung = None,
    precision: Precision = "fp32",
    model_version: ModelVersion = None,
    trust_root: Root = None,
    output: Output = None,
    offline: Offline = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Get one network as an ONNX file and print its path.

    Say the size in one of four ways: --compression, --width, --budget or --rung. An interrupted download goes on where it ended;
    with a version's number, a network that is in the cache is given without asking the service.

    \b
    neumeta-client pull lenet-mnist --compression 0.6
    neumeta-client pull lenet-mnist --budget bytes=90000 --precision fp16
    neumeta-client pull lenet-mnist --budget params=20000 --budget macs=2000000
    neumeta-client pull lenet-mnist --budget latency_ms=4 --budget device=pi4
    neumeta-client pull lenet-mnist --width conv1=8 --width conv2=16 --width conv3=32 --output small.onnx
    neumeta-client pull lenet-mnist --rung small --model-version 1
    neumeta-client pull lenet-mnist --compression 0.6 --trust-root root.pub
    """
    with reported(), Client(url, trust_root=trust_root, offline=offline) as client:
        with download_bar() as progress:
            artifact = client.pull(
                name,
                compression=compression,
                widths=counts("--width", width),
                budget=limits("--budget", budget),
                rung=rung,
                precision=precision,
                version=model_version,
                progress=progress,
            )
        path = artifact.path if output is None else artifact.save(output)
        if as_json:
            print_json({"path": str(path), "from_cache": artifact.from_cache, "stale": artifact.stale, "manifest": asdict(artifact.manifest)})
        else:
            typer.echo(_summary(artifact), err=True)
            typer.echo(str(path))


def _summary(artifact: Artifact) -> str:
    manifest = artifact.manifest
    cost = f"{manifest.cost.params:,} parameters, {manifest.cost.macs:,} MACs, {manifest.size:,} bytes"
    source = "from the cache" if artifact.from_cache else "downloaded"
    source += ", perhaps not the latest: the service was not asked" if artifact.stale else ""
    return f"{manifest.model} {manifest.version}, compression {manifest.compression.effective:g}: {cost}, {_quality(manifest)}; {source}"


def _quality(manifest: Manifest) -> str:
    quality = manifest.quality
    if quality.value is None:
        return "quality unknown"
    foreign = "" if quality.precision == manifest.spec.precision else f" in {quality.precision}"
    return one_line(f"{quality.metric or 'quality'} {quality.value:.4g} ({quality.kind}{foreign})")
