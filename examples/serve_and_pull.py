"""The main job, end to end: serve the manifold that ships, pull five sizes of it, run them on real digits.

    python examples/serve_and_pull.py [--once]

Starts the service (127.0.0.1:8080, or where NEUMETA_HOST and NEUMETA_PORT say), asks the client for LeNet at five compressions,
runs every network with onnxruntime on 1,000 MNIST test digits, prints a table, and goes on serving until Ctrl-C (``--once``:
stops after the table).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
from neumeta_client import Artifact, Client
from neumeta_trainer.data.mnist import read_idx
from rich import box
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
MODEL = "lenet-mnist"
COMPRESSIONS = (0.0, 0.25, 0.5, 0.62, 0.75)
SECONDS_TO_START = 120
console = Console(width=None if sys.stdout.isatty() else 80)


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--once", action="store_true", help="stop after the table")
    once = arguments.parse_args().once
    host, port = os.environ.get("NEUMETA_HOST", "127.0.0.1"), os.environ.get("NEUMETA_PORT", "8080")
    if not port.isdecimal() or not 0 < int(port[:9]) < 65536:
        sys.exit(f"NEUMETA_PORT: {port!r} is no port; expected 1 to 65535.")
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=2):
        sys.exit(f"Something already listens on {host}:{port}. Stop it, or choose another port: NEUMETA_PORT=8090 make run")
    os.environ["no_proxy"] = f"{host},{os.environ.get('no_proxy', '')}"
    os.environ.pop("NEUMETA_REDIS_URL", None)  # a shared cache would make the cold column warm
    # Whoever ends this program ends the service too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    environment = {"NEUMETA_MODELS": str(HERE.parent / "models"), "NEUMETA_LOG_LEVEL": "warning", **os.environ}
    # A process group of its own: Ctrl-C reaches this program alone, which then stops the service in order.
    service = subprocess.Popen([sys.executable, "-m", "neumeta_service"], env=environment, start_new_session=True)
    try:
        wait_until_ready(url, service)
        show_members(url)
        if not once:
            console.print(f"Serving on {url} (interactive description: {url}/docs). Ctrl-C stops.")
            service.wait()
    except KeyboardInterrupt:
        console.print("Stopping.")
    finally:
        service.send_signal(signal.SIGINT)
        service.wait(timeout=30)
    return 0


def wait_until_ready(url: str, service: subprocess.Popen[bytes]) -> None:
    """Return when the service answers; exit with a sentence when it stopped or does not answer in time."""
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end:
        if service.poll() is not None:
            sys.exit(f"The service stopped at once (exit code {service.returncode}); its message is above.")
        try:
            if httpx.get(f"{url}/readyz", timeout=2).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    sys.exit(f"The service did not get ready within {SECONDS_TO_START} s.")


def show_members(url: str) -> None:
    """Ask for every size twice, pull it, run it on the digits, print a table."""
    images = read_idx(HERE / "data" / "mnist-test-1000-images-idx3-ubyte.gz")
    labels = read_idx(HERE / "data" / "mnist-test-1000-labels-idx1-ubyte.gz")
    title, caption = f"{MODEL}: one manifold, five networks, {len(labels):,} MNIST test digits", "~: interpolated between sizes that were measured"
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("compression", "parameters", "MACs", "kB", "promised", "measured", "ms\ncold", "ms\ncached"):
        table.add_column(heading, justify="right", overflow="fold")
    # An empty cache of the client's own, so that the first request is the network's and the service's time.
    with tempfile.TemporaryDirectory() as folder, Client(url, cache=folder) as client, httpx.Client(base_url=url, timeout=60) as http:
        for compression in COMPRESSIONS:
            cold, cached = request(http, compression), request(http, compression)
            artifact = client.pull(MODEL, compression=compression)
            cost, quality = artifact.manifest.cost, artifact.manifest.quality
            promised = "-" if quality.value is None else f"{'' if quality.kind == 'measured' else '~'}{100 * quality.value:.2f} %"
            measured = f"{100 * accuracy(artifact, images, labels):.2f} %"
            size = f"{artifact.manifest.size / 1000:.1f}"
            table.add_row(f"{compression:.2f}", f"{cost.params:,}", f"{cost.macs:,}", size, promised, measured, f"{cold:.1f}", f"{cached:.1f}")
    console.print(table)


def request(http: httpx.Client, compression: float) -> float:
    """One POST that returns the ONNX bytes, timed in milliseconds."""
    start = time.perf_counter()
    http.post(f"/v1/models/{MODEL}/materialize", json={"compression": compression}).raise_for_status()
    return 1000 * (time.perf_counter() - start)


def accuracy(artifact: Artifact, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of digits that the network classifies rightly."""
    spec = artifact.manifest.input
    prepared = (images[:, None].astype(np.float32) * spec.scale - np.float32(spec.mean)) / np.float32(spec.std)
    logits = artifact.session().run(None, {spec.name: prepared.astype(np.float32)})[0]
    return float((logits.argmax(axis=1) == labels).mean())


if __name__ == "__main__":
    sys.exit(main())
