from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from neumeta_client import AccessRefused, ConnectionFailed, InvalidRequest, Retries, ServiceError, ServiceUnavailable


@pytest.mark.parametrize(("name", "status"), [("overloaded", 503), ("rate_limited", 429), ("deadline_exceeded", 504), ("draining", 503)])
@pytest.mark.parametrize("route", ["materialize", "artifact"])
def test_what_may_pass_is_tried_again(client, service, name, status, route):
    service.on(route, *[service.problem(name, status)] * 2)
    assert client.pull("lenet-mnist", compression=0.5).path.is_file()
    assert service.count(route) == 3


def test_so_is_a_proxy_without_a_service(client, service):
    service.on("models", service.reply(502, "text/html", b"<h1>Bad Gateway</h1>"))
    assert client.models()
    assert service.count("models") == 2


def test_so_is_a_connection_that_ends(client, service):
    service.on("curve", lambda handler, _: setattr(handler, "close_connection", True))
    assert client.curve("lenet-mnist").points


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [("unauthenticated", 401, AccessRefused), ("internal_error", 500, ServiceError), ("invalid_request", 422, InvalidRequest)],
)
def test_what_will_not_pass_is_not(client, service, name, status, kind):
    service.on("models", service.problem(name, status))
    with pytest.raises(kind):
        client.models()
    assert service.count("models") == 1


def test_the_last_error_is_raised(client, service):
    service.on("models", *[service.problem("overloaded", 503)] * 3)
    with pytest.raises(ServiceUnavailable, match="overloaded") as caught:
        client.models()
    assert service.count("models") == 3
    assert caught.value.status == 503


def test_the_service_says_when(client, service):
    service.on("models", *[service.reply(503, "text/plain", b"", Retry_After="0")] * 3)
    with pytest.raises(ServiceUnavailable) as caught:
        client.models()
    assert caught.value.retry_after == 0


def test_a_service_that_wants_too_long_a_rest_is_left_alone(client, service):
    service.on("models", service.reply(503, "text/plain", b"", Retry_After="3600"))
    with pytest.raises(ServiceUnavailable) as caught:
        client.models()
    assert caught.value.retry_after == 3600
    assert service.count("models") == 1


@pytest.mark.parametrize(("text", "expected"), [("soon", None), ("-1", None), ("1.5", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)])
def test_other_words_for_when(call, service, cache, text, expected):
    service.on("models", service.reply(503, "text/plain", b"", Retry_After=text))
    with pytest.raises(ServiceUnavailable) as caught:
        call(url=service.url, cache=cache, retries=Retries(attempts=1)).models()
    assert caught.value.retry_after == expected


def test_a_date_is_a_time_from_now(call, service, cache):
    later = datetime.now(timezone.utc) + timedelta(days=1)
    service.on("models", service.reply(429, "text/plain", b"", Retry_After=format_datetime(later, usegmt=True)))
    with pytest.raises(ServiceUnavailable) as caught:
        call(url=service.url, cache=cache).models()
    assert 0.5 * 86400 < caught.value.retry_after <= 86400


def test_a_date_that_never_comes_is_a_time_that_can_be_waited_for(call, service, cache):
    service.on("models", service.reply(503, "text/plain", b"", Retry_After="Fri, 31 Dec 9999 23:59:59 GMT"))
    with pytest.raises(ServiceUnavailable) as caught:
        call(url=service.url, cache=cache).models()
    assert caught.value.retry_after == 1e9


def test_waits_double_up_to_a_limit_and_are_random():
    retries, error = Retries(attempts=9, first_delay_s=1, longest_delay_s=4), ConnectionFailed("cut")
    for failed, longest in enumerate((1, 2, 4, 4, 4), start=1):
        delays = [retries.delay(failed, error) for _ in range(200)]
        assert max(delays) <= longest
        assert max(delays) > 0.8 * longest
        assert min(delays) < 0.2 * longest
    assert retries.delay(9, error) is None


def test_waits_go_on_however_often_it_failed():
    retries = Retries(attempts=10**6, longest_delay_s=4)
    assert all(0 <= retries.delay(failed, ConnectionFailed("cut")) <= 4 for failed in (1024, 1025, 999_999))


def test_nobody_comes_back_before_the_service_said_so():
    error = ServiceUnavailable("busy", retry_after=10)
    assert all(10 <= Retries().delay(1, error) <= 10.25 for _ in range(100))


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"first_delay_s": -1}, {"longest_delay_s": -1}, {"patience_s": -1}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(InvalidRequest, match="retries"):
        Retries(**wrong)
