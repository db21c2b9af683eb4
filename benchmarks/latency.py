"""Requests to a running service, one after the other, and what the service says of its steps."""

from __future__ import annotations

import json
import random
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection

import httpx
from report import Row

Body = Mapping[str, object]


@dataclass(frozen=True)
class Answer:
    """What one request took."""

    milliseconds: float
    steps: Mapping[str, float]
    """Milliseconds of each step: the service's ``Server-Timing``."""
    size: int
    """Bytes of the artifact."""


def ask(client: httpx.Client, model: str, body: Body) -> Answer:
    """An artifact, over a connection that is open before; raises on every answer but 200.

    The server is the client's, the request the standard library's: httpx alone takes more than 2 ms to read 1 MB.
    """
    request = json.dumps(body)
    with closing(HTTPConnection(client.base_url.host, client.base_url.port, timeout=600)) as connection:
        connection.request("GET", "/livez")  # The server has the connection, and all that it makes for one.
        connection.getresponse().read()
        start = time.perf_counter()
        connection.request("POST", path(model), request, {"content-type": "application/json"})
        response = connection.getresponse()
        data = response.read()
        milliseconds = 1e3 * (time.perf_counter() - start)
    if response.status != HTTPStatus.OK:
        raise RuntimeError(f"{path(model)} with {request}: {response.status} {data.decode()}")
    steps = {name: float(value) for name, value in re.findall(r"([\w-]+);dur=([\d.]+)", response.headers["server-timing"])}
    return Answer(milliseconds, steps, len(data))


def path(model: str) -> str:
    return f"/v1/models/{model}/materialize"


def members(client: httpx.Client, model: str, count: int) -> list[Body]:
    """Bodies that ask for so many different random members, the same ones every time."""
    groups = client.get(f"/v1/models/{model}").raise_for_status().json()["groups"]
    draw = random.Random(0)
    found: dict[tuple[int, ...], Body] = {}
    while len(found) < count:
        widths = {group["name"]: draw.randint(group["minimum"], group["full"]) for group in groups}
        found[tuple(widths.values())] = {"widths": widths}
    return list(found.values())


def steps_of(answers: Sequence[Answer], **labels: str) -> list[Row]:
    """Mean milliseconds and share of every step, and of what is left: HTTP, validation and transfer."""
    total = statistics.mean(answer.milliseconds for answer in answers)
    means = {name: statistics.mean(answer.steps.get(name, 0.0) for answer in answers) for name in answers[0].steps}
    means["http and the rest"] = total - sum(means.values())
    return [{**labels, "step": name, "ms mean": mean, "share": f"{mean / total:.0%}"} for name, mean in means.items()]
