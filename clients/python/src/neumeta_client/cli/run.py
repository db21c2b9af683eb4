"""``neumeta-client run``."""

# No postponed annotations here: on Python 3.9 typer does not find its options in them.

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from neumeta_client._client import Client
from neumeta_client._inference.classify import Classification, classify
from neumeta_client._inference.picture import read_picture
from neumeta_client.cli.failures import reported
from neumeta_client.cli.options import AsJson, Budget, Compression, ModelVersion, Name, Offline, Precision, Root, Rung, Url, limits
from neumeta_client.cli.output import download_bar, print_json, print_table


def run(
    name: Name,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files; each is resized to the network's input.")],
    compression: Compression = None,
    budget: Budget = None,
    rung: Rung = None,
    precision: Precision = "fp32",
    model_version: ModelVersion = None,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="How many classes are shown of each image.")] = 3,
    invert: Annotated[bool, typer.Option("--invert", help="Swap dark and light: ink on paper for a network of light on dark.")] = False,
    trust_root: Root = None,
    offline: Offline = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Classify image files with a network of the wanted size, pulled if need be.

    Without a size it is the full network. Needs onnxruntime and Pillow: pip install 'neumeta-client[run]'.

    \b
    neumeta-client run lenet-mnist digit.png
    neumeta-client run lenet-mnist --compression 0.6 --top 1 *.png
    neumeta-client run lenet-mnist --invert scan.jpg
    """
    with reported(), Client(url, trust_root=trust_root, offline=offline) as client:
        chosen = compression if (compression, budget, rung) != (None, None, None) else 0.0
        with download_bar() as progress:
            artifact = client.pull(
                name, compression=chosen, budget=limits("--budget", budget), rung=rung, precision=precision, version=model_version, progress=progress
            )
        wanted = artifact.manifest.input
        pictures = [read_picture(image, wanted, invert=invert) for image in images]
        session = artifact.session()
        found = [classify(session, artifact.manifest, picture, top=top) for picture in pictures]
        if as_json:
            print_json([{"image": str(image), **asdict(classification)} for image, classification in zip(images, found)])
        else:
            print_table(["image", "classes", "ms"], [_row(image, classification) for image, classification in zip(images, found)], numeric=(2,))


def _row(image: Path, classification: Classification) -> tuple[str, ...]:
    classes = ", ".join(f"{label.name} {100 * label.probability:.1f} %" for label in classification.labels)
    return (str(image), classes, f"{classification.milliseconds:.2f}")
