"""Many different members of one manifold: fetched one after the other, and all at once.

    python benchmarks/together.py [--runs N] [--specs N] [--networks NAME …] [--kinds KIND …] [--device auto|cpu|cuda] [--json FILE]

From widths, which are drawn anew for every member, to weights in the memory of the host; no file is written. One after the other, each member
is there before the next one is begun; at once, all are begun before the first one is waited for. *plain* is the evaluation that defines the
weights, tensor after tensor, also one after the other. INRs are untrained: values do not change the time. Ends with 1 when a member's bits
differ between the two ways.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from families import KINDS, NETWORKS, Family, find_family, manifold_of
from measure import Timing, devices, timed
from neumeta_core.configuration import Configuration
from neumeta_core.inr import Sampling
from neumeta_core.manifold import Manifold
from neumeta_core.materialize import all_to_host, materialize, to_host
from report import Report, Row, arguments

PLAIN = Sampling()


@dataclass(frozen=True)
class Together:
    """Seconds for all members of one manifold."""

    network: str
    kind: str
    arithmetic: str
    specs: int
    plain: Timing
    alone: Timing
    at_once: Timing
    same: bool
    """Whether both ways made the same bits."""


def main() -> None:
    options = parsed()
    report = Report()
    families = [find_family(name) for name in options.networks]
    same = True
    for device in devices(options.device):
        measured = [measure(family, kind, device, options.specs, options.runs) for kind in options.kinds for family in families]
        report.add(f"{options.specs} different members on {device}", [row(each) for each in measured])
        same = same and all(each.same for each in measured)
    report.save(options.json)
    if not same:
        sys.exit("A member has other bits at once than alone.")


def parsed() -> argparse.Namespace:
    parser = arguments(__doc__, runs=5)
    parser.add_argument("--specs", type=int, default=50, help="different members (50)")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["lenet", "resnet20", "resnet56"])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["factorised", "anchored"])
    parser.add_argument("--device", default="auto", help="auto (the CPU, and CUDA where there is one), cpu or cuda")
    return parser.parse_args()


def measure(family: Family, kind: str, device: str, specs: int, runs: int) -> Together:
    manifold = manifold_of(family.architecture, KINDS[kind], device)
    members = different(manifold, specs)
    plain = timed(lambda: [fetch_plain(manifold, member) for member in members], runs, device)
    alone = timed(lambda: one_by_one(manifold, members), runs, device)
    at_once = timed(lambda: together(manifold, members), runs, device)
    pairs = zip(one_by_one(manifold, members), together(manifold, members), strict=True)
    same = all(torch.equal(one[name], other[name]) for one, other in pairs for name in one)
    return Together(family.name, kind, manifold.arithmetic, specs, plain, alone, at_once, same)


def different(manifold: Manifold, count: int) -> list[Configuration]:
    """Members of random widths, the same in every run."""
    draw = random.Random(0)
    found: dict[Configuration, None] = {}
    while len(found) < count:
        widths = {group.name: draw.randrange(group.minimum, group.full + 1, group.granularity) for group in manifold.architecture.groups}
        found[manifold.configure(widths=widths)] = None
    return list(found)


def fetch_plain(manifold: Manifold, member: Configuration) -> dict[str, torch.Tensor]:
    return {name: values.cpu() for name, values in materialize(manifold.inr, member, PLAIN).items()}


def one_by_one(manifold: Manifold, members: Sequence[Configuration]) -> list[dict[str, torch.Tensor]]:
    return [to_host(manifold.materialize(member)) for member in members]


def together(manifold: Manifold, members: Sequence[Configuration]) -> list[dict[str, torch.Tensor]]:
    return all_to_host(manifold.materialize(member) for member in members)


def row(measured: Together) -> Row:
    return {
        "network": measured.network,
        "kind": measured.kind,
        "arithmetic": measured.arithmetic,
        "ms plain": 1e3 * measured.plain.median,
        "ms one by one": 1e3 * measured.alone.median,
        "ms at once": 1e3 * measured.at_once.median,
        "lowest": 1e3 * measured.at_once.lowest,
        "highest": 1e3 * measured.at_once.highest,
        "one by one / at once": measured.alone.median / measured.at_once.median,
        "plain / at once": measured.plain.median / measured.at_once.median,
        "same bits": "yes" if measured.same else "no",
    }


if __name__ == "__main__":
    main()
