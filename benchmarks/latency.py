"""Requests to a running service, over connections that are open before, and what the service says of its steps."""

from __future__ import annotations

import json
import math
import random
import re
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse

import httpx
from neumeta_core.architecture import ChannelGroup
from report import Row

Body = Mapping[str, object]
WARM_UP: Body = {"compression": 0.0, "precision": "fp16"}
"""Asked for before anything is timed: a service's first answer takes longer. No benchmark asks for it again."""
SECONDS_FOR_AN_ANSWER = 600


@dataclass(frozen=True)
class Answer:
    """What one request took."""

    milliseconds: float
    steps: Mapping[str, float]
    """Milliseconds of each step: the service's ``Server-Timing``."""
    size: int
    """Bytes of the artifact."""
    cache_status: str
    """The field ``Cache-Status``, which says where the artifact came from."""

    @property
    def tier(self) -> str:
        """``built``, ``memory`` or ``redis``."""
        return self.cache_status.rpartition("detail=")[2]


def ask(client: httpx.Client, model: str, body: Body, *, tier: str = "") -> Answer:
    """An artifact, from the server of this client; raises on every answer but 200, and on one that does not come from ``tier``, if one is given."""
    request = json.dumps(body)
    with connected(client.base_url) as connection:
        start = time.perf_counter()
        response, data = post(connection, model, request)
        milliseconds = 1e3 * (time.perf_counter() - start)
    steps = {name: float(value) for name, value in re.findall(r"([\w-]+);dur=([\d.]+)", response.headers["server-timing"])}
    answer = Answer(milliseconds, steps, len(data), response.headers["cache-status"])
    if tier and answer.tier != tier:
        raise RuntimeError(f"{path(model)} with {request} was answered from {answer.tier!r}, not from {tier!r}.")
    return answer


@contextmanager
def connected(url: httpx.URL) -> Iterator[HTTPConnection]:
    """A connection that has been used: both sides have all that they make for one."""
    with closing(HTTPConnection(url.host, url.port, timeout=SECONDS_FOR_AN_ANSWER)) as connection:
        connection.request("GET", "/livez")
        connection.getresponse().read()
        yield connection


def post(connection: HTTPConnection, model: str, request: str) -> tuple[HTTPResponse, bytes]:
    """Ask for an artifact in JSON; raises on every answer but 200. By the standard library: httpx alone takes more than 2 ms to read 1 MB."""
    connection.request("POST", path(model), request, {"content-type": "application/json"})
    response = connection.getresponse()
    data = response.read()
    if response.status != HTTPStatus.OK:
        raise RuntimeError(f"{path(model)} with {request}: {response.status} {data.decode()}")
    return response, data


def path(model: str) -> str:
    return f"/v1/models/{model}/materialize"


def members(client: httpx.Client, model: str, count: int) -> list[Body]:
    """Bodies that ask for so many different random members, the same ones every time."""
    groups = [ChannelGroup(**group) for group in client.get(f"/v1/models/{model}").raise_for_status().json()["groups"]]
    return [{"widths": widths} for widths in random_widths(groups, count)]


def random_widths(groups: Sequence[ChannelGroup], count: int) -> list[dict[str, int]]:
    """Widths of so many different members, each group's in its range and steps, the same ones every time; ValueError when there are fewer."""
    choices = {group.name: range(group.minimum, group.full + 1, group.granularity) for group in groups}
    if count > math.prod(len(each) for each in choices.values()):
        raise ValueError(f"count: {count}, and there are not so many members.")
    draw = random.Random(0)
    found: dict[tuple[int, ...], dict[str, int]] = {}
    while len(found) < count:
        widths = {name: draw.choice(each) for name, each in choices.items()}
        found[tuple(widths.values())] = widths
    return list(found.values())


def steps_of(answers: Sequence[Answer], **labels: str) -> list[Row]:
    """Mean milliseconds and share of every step that any answer tells, and of what is left: HTTP, validation and transfer."""
    total = statistics.mean(answer.milliseconds for answer in answers)
    names = dict.fromkeys(name for answer in answers for name in answer.steps)
    means = {name: statistics.mean(answer.steps.get(name, 0.0) for answer in answers) for name in names}
    means["http and the rest"] = total - sum(means.values())
    return [{**labels, "step": name, "ms mean": mean, "share": f"{mean / total:.0%}"} for name, mean in means.items()]
