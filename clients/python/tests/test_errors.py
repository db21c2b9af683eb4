from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import httpx
import pytest

import neumeta_client
from neumeta_client import (
    AccessRefused,
    ArtifactGone,
    BudgetImpossible,
    ConnectionFailed,
    FieldError,
    InvalidRequest,
    ModelNotFound,
    ModelRefused,
    NeuMetaClientError,
    ProfileNotFound,
    Retries,
    RungNotFound,
    ServiceError,
    ServiceUnavailable,
    SignatureMissing,
    UnexpectedAnswer,
    VersionNotFound,
    _errors,
)


@pytest.fixture
def impatient(call, service, cache):
    return call(url=service.url, cache=cache, retries=Retries(attempts=1))


CODES = [
    ("malformed_body", 400, ServiceError),
    ("invalid_request", 422, InvalidRequest),
    ("budget_impossible", 422, BudgetImpossible),
    ("model_not_found", 404, ModelNotFound),
    ("version_not_found", 404, VersionNotFound),
    ("rung_not_found", 404, RungNotFound),
    ("profile_not_found", 404, ProfileNotFound),
    ("too_many_profiles", 409, ServiceError),
    ("model_refused", 503, ModelRefused),
    ("artifact_gone", 404, ArtifactGone),
    ("job_not_found", 404, ServiceError),
    ("too_many_jobs", 503, ServiceUnavailable),
    ("idempotency_key_reused", 422, ServiceError),
    ("not_signed", 404, SignatureMissing),
    ("not_found", 404, ServiceError),
    ("method_not_allowed", 405, ServiceError),
    ("not_acceptable", 406, ServiceError),
    ("precondition_failed", 412, ServiceError),
    ("body_too_large", 413, InvalidRequest),
    ("unsupported_media_type", 415, ServiceError),
    ("range_not_satisfiable", 416, ServiceError),
    ("explorer_missing", 404, ServiceError),
    ("unauthenticated", 401, AccessRefused),
    ("forbidden", 403, AccessRefused),
    ("misdirected", 421, ServiceError),
    ("rate_limited", 429, ServiceUnavailable),
    ("headers_too_large", 431, ServiceError),
    ("not_ready", 503, ServiceUnavailable),
    ("store_unavailable", 503, ServiceUnavailable),
    ("draining", 503, ServiceUnavailable),
    ("overloaded", 503, ServiceUnavailable),
    ("deadline_exceeded", 504, ServiceUnavailable),
    ("build_failed", 500, ServiceError),
    ("self_check_failed", 500, ServiceError),
    ("internal_error", 500, ServiceError),
    ("malformed_request", 400, ServiceError),
    ("unreachable", 502, ServiceUnavailable),
    ("a_code_of_tomorrow", 418, ServiceError),
    ("a_busy_code_of_tomorrow", 503, ServiceUnavailable),
]


@pytest.mark.parametrize(("code", "status", "kind"), CODES)
def test_the_code_decides_the_class(impatient, service, code, status, kind):
    service.on("materialize", service.problem(code, status))
    with pytest.raises(NeuMetaClientError) as caught:
        impatient.pull("lenet-mnist", compression=0.5)
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.status, error.request_id, str(error)) == (code, status, "r1", f"It is {code}.")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.code) == (kind, str(error), code)


def test_every_code_of_the_contract_is_covered():
    contract = Path(__file__).parents[3] / "docs" / "http-api.md"
    if not contract.is_file():
        pytest.skip("the contract is not beside this distribution")
    rows = [line for line in contract.read_text(encoding="utf-8").split("## Errors")[1].splitlines() if line.startswith("| `")]
    codes = {name.strip(" `") for row in rows for name in row.split("|")[1].split(",")}
    assert codes == {code for code, _, _ in CODES if "tomorrow" not in code}


def test_a_refused_request_names_its_fields(client, service):
    refused = {"field": "compression", "value": 1.5, "expected": "a number from 0 to 0.75"}
    service.on("materialize", service.problem("invalid_request", 422, errors=[refused, "rubbish"]))
    with pytest.raises(InvalidRequest) as caught:
        client.pull("lenet-mnist", compression=1.5)
    assert caught.value.errors == (FieldError("compression", 1.5, "a number from 0 to 0.75"),)


def test_an_impossible_budget_states_the_smallest(client, service):
    service.on("materialize", service.problem("budget_impossible", 422, smallest={"params": 4000, "macs": 300000, "note": "x"}))
    with pytest.raises(BudgetImpossible) as caught:
        client.pull("lenet-mnist", budget={"params": 1})
    assert caught.value.smallest == {"params": 4000, "macs": 300000}


@pytest.mark.parametrize("members", [{"errors": None}, {"errors": 3}, {"smallest": []}, {"code": 7}, {"detail": {}, "title": []}, {"request_id": 1}])
def test_a_broken_problem_document_is_still_an_error_of_this_package(client, service, members):
    service.on("models", service.problem("invalid_request", 422, **members))
    with pytest.raises(NeuMetaClientError) as caught:
        client.models()
    assert str(caught.value)
    assert getattr(caught.value, "errors", ()) == ()


@pytest.mark.parametrize(
    ("status", "media_type", "body", "kind"),
    [
        (502, "text/html", b"<html><h1>502 Bad Gateway</h1></html>", ServiceUnavailable),
        (503, "text/plain", b"", ServiceUnavailable),
        (504, "text/html", b"<html>", ServiceUnavailable),
        (429, "text/html", b"slow down", ServiceUnavailable),
        (404, "text/html", b"<html>nginx</html>", ServiceError),
        (500, "application/problem+json", b"{ not json", ServiceError),
        (500, "application/problem+json", b"[" * 100_000, ServiceError),
        (500, "application/problem+json", b'["a list"]', ServiceError),
        (599, "text/html", b"", ServiceError),
        (301, "text/html", b"moved", ServiceError),
        (204, "text/html", b"", ServiceError),
        (200, "text/html", b"<html>a captive portal</html>", UnexpectedAnswer),
        (200, "application/json", b"\xff\xfe", UnexpectedAnswer),
        (200, "application/json", b"[" * 100_000, UnexpectedAnswer),
        (200, "application/json", b"[]", UnexpectedAnswer),
    ],
)
def test_answers_that_are_not_ours(impatient, service, status, media_type, body, kind):
    service.on("materialize", service.reply(status, media_type, body))
    with pytest.raises(NeuMetaClientError) as caught:
        impatient.pull("lenet-mnist", compression=0.5)
    assert type(caught.value) is kind
    if status != 200:
        assert caught.value.status == status
        assert str(status) in str(caught.value)


def test_an_answer_without_end_is_refused(client, service):
    service.on("models", service.reply(200, "application/json", b'{"models": []}' + b" " * (17 << 20)))
    with pytest.raises(UnexpectedAnswer, match="longer"):
        client.models()


def test_a_problem_during_the_download_is_read_as_a_problem(client, service, files):
    service.on("artifact", service.problem("build_failed", 500))
    with pytest.raises(ServiceError, match="build_failed"):
        client.pull("lenet-mnist", compression=0.5)
    assert files() == []


def test_what_the_service_wrote_cannot_control_a_terminal(client, service):
    service.on("models", service.problem("internal_error", 500, detail="bad\x1b[31m\r\nnews " + "x" * 10_000))
    with pytest.raises(ServiceError) as caught:
        client.models()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 500


def subclasses(kind: type) -> list[type]:
    return [kind, *(grandchild for child in kind.__subclasses__() for grandchild in subclasses(child))]


@pytest.mark.parametrize("kind", [*subclasses(httpx.RequestError), httpx.InvalidURL, httpx.StreamClosed], ids=lambda kind: kind.__name__)
def test_every_failure_of_httpx_is_a_failed_connection(cache, call, kind):
    class Failing(httpx.BaseTransport, httpx.AsyncBaseTransport):
        def handle_request(self, _):
            raise kind() if kind is httpx.StreamClosed else kind("it broke")

        async def handle_async_request(self, request):
            self.handle_request(request)

    with pytest.raises(ConnectionFailed) as caught:
        call(url="http://user:secret@127.0.0.1:1", cache=cache, transport=Failing()).models()
    assert isinstance(caught.value.__cause__, kind)
    assert "secret" not in str(caught.value)


def test_the_tree_in_the_docstring_is_the_tree():
    classes = {name: kind for name, kind in vars(_errors).items() if inspect.isclass(kind) and issubclass(kind, NeuMetaClientError)}
    lines = [line for line in _errors.__doc__.splitlines() if any(name in line for name in classes)]
    drawn, path = {}, []
    for line in lines:
        name = line.lstrip("│├└─ ").split()[0]
        depth = (len(line) - len(line.lstrip("│├└─ "))) // 4
        path[depth:] = [name]
        drawn[name] = path[depth - 1] if depth else "Exception"
    assert drawn == {name: kind.__bases__[0].__name__ for name, kind in classes.items()}


def test_every_error_is_in_the_readme():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    errors = [name for name in neumeta_client.__all__ if isinstance(getattr(neumeta_client, name), type)]
    assert [name for name in errors if issubclass(getattr(neumeta_client, name), NeuMetaClientError) and f"`{name}`" not in readme] == []
