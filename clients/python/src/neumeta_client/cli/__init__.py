"""The command line: one file for each command, put together here."""

import typer

from neumeta_client.cli.autofit import autofit
from neumeta_client.cli.bench import bench
from neumeta_client.cli.cache import cache
from neumeta_client.cli.curve import curve
from neumeta_client.cli.models import models
from neumeta_client.cli.pull import pull
from neumeta_client.cli.run import run
from neumeta_client.cli.verify import verify

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(
    epilog="Exit codes: 0 done, 1 service, network or disk failed, 2 the request cannot be met, 3 wrong bytes or signature, 130 interrupted."
)
def commands() -> None:
    """Get a neural network of the size that this device can run.

    One model is a whole family: any size from full to a quarter and less is made when it is asked for, checked against its
    digest, and kept in the cache folder (NEUMETA_CLIENT_CACHE). A service that asks for a token gets NEUMETA_CLIENT_TOKEN.

    \b
    neumeta-client models
    neumeta-client curve lenet-mnist
    neumeta-client pull lenet-mnist --compression 0.6
    neumeta-client autofit lenet-mnist --latency-ms 4
    """


for command in (models, curve, pull, verify, run, bench, autofit):
    app.command()(command)
app.add_typer(cache, name="cache")
