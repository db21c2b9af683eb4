"""The ``neumeta`` command."""

from __future__ import annotations

import typer

from neumeta_trainer.cli.ablate import ablate
from neumeta_trainer.cli.alone import alone
from neumeta_trainer.cli.analyse import app as analyse
from neumeta_trainer.cli.baselines import baselines
from neumeta_trainer.cli.inspect import inspect
from neumeta_trainer.cli.keys import app as keys
from neumeta_trainer.cli.prewarm import prewarm
from neumeta_trainer.cli.publish import publish
from neumeta_trainer.cli.report import report
from neumeta_trainer.cli.train import train

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Train weight manifolds, compare them and look into their files.")
for command in (train, alone, baselines, ablate, report, publish, inspect, prewarm):
    app.command()(command)
app.add_typer(analyse, name="analyse")
app.add_typer(keys, name="keys")
