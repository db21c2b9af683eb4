"""The OpenAPI document against the app: what schemathesis makes of it, valid and not, is answered as it describes, and never with a 5xx."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode, openapi
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.service.serving import POST, live, tiny_app
from tests.tiny import save_tiny

FEW, MANY = 10, 500
"""Examples for an operation."""
# The same examples in every run, and none judged by the clock.
REPEATABLE = settings(deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
NOT_IN_JSON_SCHEMA = [positive_data_acceptance]
"""Which widths a model has and that there is one selector: the schema allows more, and gets a 422."""
# Of a body that is wrong and longer than the limit as well, the limit is what the answer is about.
REFUSALS = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": [400, 404, 413, 415, 422]}}})
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    models = tmp_path_factory.mktemp("models")
    save_tiny(models)
    with live(tiny_app(models)) as served:
        yield served


@pytest.fixture(scope="module")
def there(base: str) -> dict[str, str]:
    """Path parameters of what there is."""
    made = httpx.post(f"{base}{POST}", json={"compression": 0.5}, timeout=60)
    points = [{"compression": compression, "latency_ms": 1} for compression in (0, 0.5)]
    measured = {"version": 1, "precision": "fp32", "metric": "p50", "runtime": "one", "threads": 1, "points": points}
    httpx.put(f"{base}/v1/models/tiny/profiles/pi4", json=measured, timeout=60).raise_for_status()
    return {"name": "tiny", "digest": made.headers["etag"].strip('"'), "device": "pi4"}


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("exists", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_every_operation_answers_as_described(base: str, there: dict[str, str], exists: bool, mode: GenerationMode, examples: int) -> None:
    operations = [found.ok() for found in openapi.from_url(f"{base}/openapi.json", config=REFUSALS).get_all_operations()]
    assert len(operations) >= 9
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue  # Any text is a name.
        fixed = {name: value for name, value in there.items() if f"{{{name}}}" in operation.path} if exists else {}
        check(operation.as_strategy(mode, path_parameters=fixed or None), examples)


def check(cases: SearchStrategy[Case], examples: int) -> None:
    @settings(REPEATABLE, max_examples=examples)
    @given(case=cases)
    def each(case: Case) -> None:
        case.call_and_validate(excluded_checks=NOT_IN_JSON_SCHEMA)

    each()


def test_other_methods_are_told_which_there_are(base: str, there: dict[str, str]) -> None:
    with httpx.Client(base_url=base, timeout=60) as client:
        for path, operations in client.get("/openapi.json").json()["paths"].items():
            described = {method.upper() for method in operations}
            described |= {"HEAD"} if "GET" in described else set()  # RFC 9110 section 9.1, so it is not described again.
            for method in sorted(METHODS - described):
                answer = client.request(method, path.format(**there, job_id="0" * 32))
                assert answer.status_code == 405, (method, path)
                assert set(answer.headers["allow"].split(", ")) == described, (method, path)
                assert method == "HEAD" or answer.json()["code"] == "method_not_allowed"
