"""Cold and cached requests for random members of the shipped LeNet over a real socket.

    python benchmarks/cached.py [--runs N] [--json FILE]

Two services share a Redis server; both have answered one other request before. The first is asked for members that nobody asked for before,
then for the same ones again, which it has in memory; then the second is asked for them, which finds them in Redis. Ends with an error when an
answer comes from anywhere else.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from latency import WARM_UP, Answer, ask, members, steps_of
from report import Report, Row, arguments
from servers import redis_server, service

MODEL = "lenet-mnist"


def main() -> None:
    options = arguments(__doc__, runs=60).parse_args()
    report = Report()
    with redis_server() as redis, service(redis) as first, service(redis) as second:
        bodies = members(first.client, MODEL, options.runs)
        for replica in (first, second):
            ask(replica.client, MODEL, WARM_UP)
        answers = {
            "cold (built)": [ask(first.client, MODEL, body, tier="built") for body in bodies],
            "cached (memory)": [ask(first.client, MODEL, body, tier="memory") for body in bodies],
            "cached (Redis, other replica)": [ask(second.client, MODEL, body, tier="redis") for body in bodies],
        }
    report.add(f"Requests for {options.runs} members of {MODEL}", [row(name, found) for name, found in answers.items()])
    report.add("Steps", [step for name, found in answers.items() for step in steps_of(found, request=name)])
    report.save(options.json)


def row(name: str, answers: Sequence[Answer]) -> Row:
    milliseconds = [answer.milliseconds for answer in answers]
    deciles = statistics.quantiles(milliseconds, n=10, method="inclusive") if len(milliseconds) > 1 else milliseconds
    median = statistics.median(milliseconds)
    return {
        "request": name,
        "ms median": median,
        "lowest": min(milliseconds),
        "10 %": deciles[0],
        "90 %": deciles[-1],
        "highest": max(milliseconds),
    }


if __name__ == "__main__":
    main()
