"""Latency against size on one device: measured here, and told to the service."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from neumeta_client._errors import InvalidRequest
from neumeta_client._fit.device import Device
from neumeta_client._fit.goal import checked_metric
from neumeta_client._fit.report import Measurement
from neumeta_client._fit.search import ladder
from neumeta_client._fit.trials import Trials
from neumeta_client._flows import Flow, Flows
from neumeta_client._protocol import Request, model_path
from neumeta_client._types import MODEL_NAME

FEWEST_POINTS, MOST_POINTS = 2, 200


@dataclass(frozen=True)
class DeviceProfile:
    """What each size of a model takes on a device, by ``metric``.

    ``points`` are of different sizes, the largest network first; the compression of each is the one that was asked for.
    """

    model: str
    version: int
    precision: str
    metric: str
    device: Device
    points: tuple[Measurement, ...]

    def body(self) -> bytes:
        """The JSON that the service keeps of it."""
        points = [{"compression": point.compression, "latency_ms": point.latency.of(self.metric)} for point in self.points]
        told = {"version": self.version, "precision": self.precision, "metric": self.metric, "batch": 1, "points": points}
        return json.dumps({**told, "runtime": self.device.runtime, "threads": self.device.threads}).encode()


def measure_profile(metric: str, points: int, trials: Trials) -> Flow[DeviceProfile]:
    """Measure up to ``points`` sizes, from the full network to the smallest; the same network counts once. Raises InvalidRequest."""
    checked_metric(metric)
    _check_points(points)
    model = yield from trials.model()
    found: dict[float, Measurement] = {}
    for compression in ladder(model.groups, model.max_compression, points):
        trial = yield from trials.run(compression=compression)
        # What integers came to may, when it is asked for, come to other integers.
        found.setdefault(trial.artifact.manifest.compression.effective, replace(trial.measurement(), compression=compression))
    return DeviceProfile(trials.name, trial.artifact.manifest.version, trials.precision, metric, trials.device, tuple(found.values()))


def send_profile(flows: Flows, profile: DeviceProfile, device: str) -> Flow[None]:
    """Give the service a profile, under the name of a device. Raises InvalidRequest."""
    check_device(device)
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    yield from flows.ask(Request("PUT", f"{model_path(profile.model)}/profiles/{device}", content=profile.body(), headers=headers))


def check_device(device: str) -> None:
    """Raises InvalidRequest for a name that no device can have."""
    if not isinstance(device, str) or not MODEL_NAME.fullmatch(device):
        raise InvalidRequest(f"device: {device!r:.100} is not allowed; expected up to 64 of a-z, 0-9, '.', '_' and '-', a letter or digit first.")


def _check_points(points: int) -> None:
    if not isinstance(points, int) or isinstance(points, bool) or not FEWEST_POINTS <= points <= MOST_POINTS:
        raise InvalidRequest(f"points: {points!r:.100} is not allowed; expected an integer from {FEWEST_POINTS} to {MOST_POINTS}.")
