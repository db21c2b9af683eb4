"""PromQL, parsed: what an expression asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import promql_parser


@dataclass
class Query:
    """Series that an expression selects, and labels that it groups or joins by."""

    selected: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    """Metric and, for each label that is matched, its alternatives."""
    grouped: set[str] = field(default_factory=set)


def parse(expression: str) -> Query:
    """What ``expression`` asks for. Raises ValueError when it is not PromQL."""
    query = Query()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            query.selected.append((node.name, dict(_matched(node))))
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            query.grouped.update(node.modifier.labels)
        elif isinstance(node, promql_parser.BinaryExpr) and node.modifier and node.modifier.matching:
            query.grouped.update(node.modifier.matching.labels)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return query


def _matched(selector: promql_parser.VectorSelector) -> Iterator[tuple[str, list[str]]]:
    for matcher in selector.matchers.matchers:
        yield matcher.name, matcher.value.split("|")
