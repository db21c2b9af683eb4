"""``neumeta-client models``."""

# No postponed annotations here: on Python 3.9 typer does not find its options in them.

from dataclasses import asdict

from neumeta_client._client import Client
from neumeta_client._types import ModelSummary
from neumeta_client.cli.failures import reported
from neumeta_client.cli.options import AsJson, Url
from neumeta_client.cli.output import print_json, print_table


def models(url: Url = None, as_json: AsJson = False) -> None:
    """List the models of the service, ready or refused with the reason.

    \b
    neumeta-client models
    neumeta-client models --url http://192.0.2.7:8080 --json
    """
    with reported(), Client(url) as client:
        found = client.models()
        if as_json:
            print_json([asdict(model) for model in found])
        else:
            headings = ["model", "version", "state", "task", "compressible", "reason"]
            print_table(headings, [_model_row(model) for model in found], numeric=(1, 4))


def _model_row(model: ModelSummary) -> tuple[str, ...]:
    limit = "" if model.max_compression is None else f"{model.max_compression:g}"
    return (model.name, str(model.version), model.state, model.task or "", limit, model.reason or "")
