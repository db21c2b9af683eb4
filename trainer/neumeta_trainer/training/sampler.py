"""Which configurations training sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from neumeta_core.architecture import Architecture, ChannelGroup
from neumeta_core.configuration import Configuration, rounded
from neumeta_core.levels import level_configurations

from neumeta_trainer.config import Recipe
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.randomness import generator_for


@dataclass(frozen=True)
class Sampler:
    """Draws configurations; no group ever gets a width whose ratio lies in a held-out interval.

    A draw is one random ratio for all groups with probability ``uniform_share`` (a ratio that gives a held-out width is drawn
    again, with the same probability), else a random width for every group. These have a mean that is near the middle; where draws are
    ``even``, it is anywhere. Raises RecipeRefused when a member that every step trains is held out.
    """

    architecture: Architecture
    held_out: tuple[tuple[float, float], ...] = ()
    """Closed intervals of width ratios."""
    uniform_share: float = 0.5
    seed: int = 0
    levels: tuple[float, ...] = ()
    """Width ratios of members that are trained in every step, for they have weights of their own (``neumeta_core.levels``)."""

    def __post_init__(self) -> None:
        self.refuse_held_out(self.always)

    @classmethod
    def of(cls, recipe: Recipe, architecture: Architecture) -> Sampler:
        """What the stages of a recipe draw from."""
        return cls(architecture, recipe.held_out, seed=recipe.seed, levels=recipe.family.levels if recipe.family else ())

    def refuse_held_out(self, trained: Iterable[Configuration]) -> None:
        """Raises RecipeRefused when one of these members, which training cannot do without, has a width that is held out."""
        for member in trained:
            for group in self.architecture.groups:
                width = member[group.name]
                if self.is_held_out(width / group.full):
                    raise RecipeRefused(f"held_out: {group.name} is trained at {width} of {group.full} channels in every step; leave that ratio out.")

    @property
    def full(self) -> Configuration:
        """The full network."""
        return Configuration.of(self.architecture.full_widths)

    @property
    def smallest(self) -> Configuration:
        """The smallest member."""
        return Configuration.of(self.architecture.smallest_widths)

    @cached_property
    def always(self) -> list[Configuration]:
        """What every step trains: the full network, the smallest member, and those of the levels, each once."""
        return list(dict.fromkeys((self.full, self.smallest, *level_configurations(self.architecture, self.levels))))

    def allowed(self, group: ChannelGroup) -> list[int]:
        """Widths of a group that training may see."""
        return self._allowed[group.name]

    @cached_property
    def _allowed(self) -> dict[str, list[int]]:
        return {
            group.name: [width for width in range(group.minimum, group.full + 1, group.granularity) if not self.is_held_out(width / group.full)]
            for group in self.architecture.groups
        }

    def sandwich(self, step: int, between: int, exact: Sequence[Configuration] = (), *, even: bool = False) -> list[Configuration]:
        """What every step trains, the full network first, and ``between`` random ones (US-Nets' sandwich rule).

        Without those that are ``exact`` already: they would learn nothing in any step.
        """
        return [*(member for member in self.always if member not in exact), *self.draw(step, between, even=even)]

    def draw(self, step: int, count: int, *, even: bool = False) -> list[Configuration]:
        """``count`` random configurations, a pure function of seed and step."""
        generator = generator_for("configurations", self.seed, step)
        return [self._one(generator, even=even) for _ in range(count)]

    def independent(self, count: int) -> list[Configuration]:
        """``count`` configurations with a random width of its own for every group: for measurements."""
        generator = generator_for("independent", self.seed)
        return [self._of_any_widths(generator) for _ in range(count)]

    def _one(self, generator: torch.Generator, *, even: bool) -> Configuration:
        while float(torch.rand((), generator=generator)) < self.uniform_share:
            span = self.architecture.max_compression * float(torch.rand((), generator=generator))
            configuration = rounded(self.architecture, 1 - span)
            if all(configuration[group.name] in self.allowed(group) for group in self.architecture.groups):
                return configuration
        return self._of_even_mean(generator) if even else self._of_any_widths(generator)

    def _of_even_mean(self, generator: torch.Generator) -> Configuration:
        """A width for every group, such that the mean place of the widths among those allowed, in [0, 1], is itself evenly distributed.

        Places are ``u ** power`` with u uniform and one power for all groups: their mean is 1 / (1 + power), which is drawn.
        """
        mean = max(1e-3, float(torch.rand((), generator=generator)))
        power = 1 / mean - 1
        drawn = {}
        for group in self.architecture.groups:
            allowed = self.allowed(group)
            place = float(torch.rand((), generator=generator)) ** power
            drawn[group.name] = allowed[min(len(allowed) - 1, int(place * len(allowed)))]
        return Configuration.of(drawn)

    def _of_any_widths(self, generator: torch.Generator) -> Configuration:
        """A random width of its own for every group."""
        allowed = {group.name: self.allowed(group) for group in self.architecture.groups}
        return Configuration.of({name: widths[int(torch.randint(len(widths), (), generator=generator))] for name, widths in allowed.items()})

    def is_unseen(self, configuration: Configuration) -> bool:
        """True when no training step can see any of the widths of this member."""
        return all(self.is_held_out(configuration[group.name] / group.full) for group in self.architecture.groups)

    def is_held_out(self, ratio: float) -> bool:
        """True when training never sees a group at this width ratio."""
        return any(low <= round(ratio, 9) <= high for low, high in self.held_out)
