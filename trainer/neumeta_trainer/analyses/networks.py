"""Networks of one recipe to be compared: members of its manifold, trained alone, distilled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neumeta_core.manifold import Manifold
from torch import nn

from neumeta_trainer.analyses.members import member_network
from neumeta_trainer.analyses.similarity import Labelled, submodule
from neumeta_trainer.baselines.alone import trained_alone
from neumeta_trainer.compute import Compute
from neumeta_trainer.config import Recipe
from neumeta_trainer.data import Splits
from neumeta_trainer.training.progress import Progress


@dataclass(frozen=True)
class Networks:
    """Where the networks of a recipe come from."""

    recipe: Recipe
    loaded: Splits
    folder: Path
    compute: Compute
    progress: Progress
    final: bool

    @property
    def splits(self) -> Splits:
        """The data on the device."""
        return self.loaded.to(self.compute)

    def alone(self, compression: float, teacher: nn.Module | None = None) -> nn.Module:
        """One network, trained alone or by a teacher; read from its checkpoint when there is one."""
        return trained_alone(
            self.recipe, compression, self.loaded, self.folder, self.progress, teacher=teacher, final=self.final, compute=self.compute
        ).network.eval()

    def sets(self, manifold: Manifold, compressions: Sequence[float], layer: str | None) -> dict[str, Labelled]:
        """What is compared, by name; each a network for every compression. What cannot be compared is refused before a network is trained."""
        members = [member_network(manifold, self.recipe, manifold.configure(compression=size)) for size in compressions]
        if layer is not None:
            submodule(members[0], layer)
        teacher = self.alone(0.0)
        sets = {
            "manifold": [self.compute.place(member) for member in members],
            "alone": [self.alone(size) for size in compressions],
            # Nobody teaches the full network.
            "alone distilled": [self.alone(size, teacher) if size else teacher for size in compressions],
        }
        return {name: [(f"{size:g}", network) for size, network in zip(compressions, found, strict=True)] for name, found in sets.items()}
