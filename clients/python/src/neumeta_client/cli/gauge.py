"""A share as a bar."""

from dataclasses import dataclass

from rich.bar import Bar
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text


@dataclass(frozen=True)
class Gauge:
    """A bar as long as this share of so many cells: of blocks, or of ``#`` where the output's encoding may have none."""

    share: float
    cells: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("#" * round(self.share * self.cells)) if options.ascii_only else Bar(1, 0, self.share, width=self.cells)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.cells, self.cells)
