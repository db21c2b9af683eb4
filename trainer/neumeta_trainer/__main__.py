"""``python -m neumeta_trainer``, which torchrun starts."""

from neumeta_trainer.cli import app

app()
