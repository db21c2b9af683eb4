"""The shortest Hamiltonian path: an order of all nodes in which the steps between neighbours sum to the least.

A dummy node at distance zero from all others turns the path into a round trip (a TSP tour that is cut at the dummy).
fast_tsp solves up to 20 nodes exactly and always alike. Beyond that its search ends by the clock, and a search that runs
until it converges takes half a minute for 64 nodes and still differs between calls; so larger problems are solved
here, by nearest neighbour, 2-opt and Or-opt from fixed starting points: the same matrix gives the same order, within
half a percent of the length that such a search ends with (25 to 257 nodes; 512 nodes take eight seconds).
"""

from __future__ import annotations

from typing import Any

import fast_tsp
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Tour = NDArray[np.intp]

_EXACT = 19
"""Largest number of nodes, without the dummy, that fast_tsp solves exactly."""
_LARGEST = 60_000
"""fast_tsp takes integers up to 65535."""
_STARTS = 4
_SEGMENT = 3


def shortest_path(distances: NDArray[Any]) -> list[int]:
    """A short path through all nodes, in the direction in which its first node is smaller than its last.

    ``distances`` is symmetric and not negative. Exact for up to 19 nodes (but for rounding to 1/60000 of the largest
    distance), else never longer than the order of the matrix itself or than a nearest neighbour path.
    """
    matrix = np.asarray(distances, dtype=np.float64)
    count = len(matrix)
    identity = list(range(count))
    if count < 3 or matrix.max() == 0:
        return identity
    with_dummy = np.zeros((count + 1, count + 1))
    with_dummy[:count, :count] = matrix
    order = cut(_tour(with_dummy), dummy=count)
    return order if path_length(matrix, order) < path_length(matrix, identity) else identity


def shortest_loop(distances: NDArray[Any]) -> list[int]:
    """A short round trip through all nodes, from node 0 in the direction in which its second node is smaller than its last."""
    matrix = np.asarray(distances, dtype=np.float64)
    if len(matrix) < 4 or matrix.max() == 0:
        return list(range(len(matrix)))
    tour = _tour(matrix)
    first = tour.index(0)
    _, *others = tour[first:] + tour[:first]
    return [0, *(others if others[0] < others[-1] else others[::-1])]


def path_length(distances: NDArray[Any], order: list[int]) -> float:
    """Sum of the steps along a path."""
    return float(distances[order[:-1], order[1:]].sum())


def cut(tour: list[int], *, dummy: int) -> list[int]:
    """A round trip -> the path that starts after the dummy node and ends before it, in canonical direction."""
    place = tour.index(dummy)
    path = tour[place + 1 :] + tour[:place]
    return path if path[0] < path[-1] else path[::-1]


def _tour(matrix: Matrix) -> list[int]:
    return _exact(matrix) if len(matrix) <= _EXACT + 1 else _search(matrix)


def _exact(matrix: Matrix) -> list[int]:
    tour: list[int] = fast_tsp.find_tour(np.rint(matrix / matrix.max() * _LARGEST).astype(int))
    return tour


def _search(matrix: Matrix) -> list[int]:
    """The best of local searches from the given order and from nearest neighbour tours."""
    count = len(matrix)
    starts = np.random.default_rng(0).choice(count, size=_STARTS, replace=False)
    tours = [np.arange(count), *(nearest_neighbour(matrix, int(start)) for start in starts)]
    improved = [_improve(matrix, tour) for tour in tours]
    best = min(improved, key=lambda tour: float(matrix[tour, np.roll(tour, -1)].sum()))
    return [int(node) for node in best]


def nearest_neighbour(matrix: Matrix, start: int) -> Tour:
    """A tour that always goes on to the nearest node that is left."""
    tour = np.empty(len(matrix), dtype=np.intp)
    left = np.ones(len(matrix), dtype=bool)
    node = start
    for place in range(len(matrix)):
        tour[place], left[node] = node, False
        node = int(np.argmin(np.where(left, matrix[node], np.inf)))
    return tour


def _improve(matrix: Matrix, tour: Tour) -> Tour:
    """2-opt and Or-opt until neither finds a shorter tour."""
    gained = True
    while gained:
        tour, by_reversing = _two_opt(matrix, tour)
        tour, by_moving = _or_opt(matrix, tour)
        gained = by_reversing or by_moving
    return tour


def _two_opt(matrix: Matrix, tour: Tour) -> tuple[Tour, bool]:
    """One sweep: for every edge, the best other edge to swap ends with (which reverses what lies between)."""
    threshold, gained = -1e-9 * matrix.max(), False
    for first in range(len(tour) - 2):
        a, b = tour[first], tour[first + 1]
        c, d = tour[first + 2 :], np.append(tour[first + 3 :], tour[0])
        change = matrix[a, c] + matrix[b, d] - matrix[a, b] - matrix[c, d]
        best = int(np.argmin(change))
        if change[best] < threshold:
            tour[first + 1 : first + 3 + best] = tour[first + 1 : first + 3 + best][::-1].copy()
            gained = True
    return tour, gained


def _or_opt(matrix: Matrix, tour: Tour) -> tuple[Tour, bool]:
    """One sweep: every run of one to three nodes goes to its best place, either way round."""
    threshold, gained = 1e-9 * matrix.max(), False
    for length in range(1, _SEGMENT + 1):
        for start in range(len(tour)):
            rolled = np.roll(tour, -start)
            run, rest = rolled[:length], rolled[length:]
            after = np.roll(rest, -1)
            saved = matrix[rest[-1], run[0]] + matrix[run[-1], rest[0]] - matrix[rest[-1], rest[0]]
            forward = matrix[rest, run[0]] + matrix[run[-1], after]
            backward = matrix[rest, run[-1]] + matrix[run[0], after]
            cost = np.minimum(forward, backward) - matrix[rest, after]
            place = int(np.argmin(cost))
            if saved - cost[place] > threshold:
                oriented = run if forward[place] <= backward[place] else run[::-1]
                tour = np.concatenate([rest[: place + 1], oriented, rest[place + 1 :]])
                gained = True
    return tour, gained
