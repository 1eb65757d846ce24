"""From Status objects to errors that callers can act on."""

import traceback

import pytest

from longshore import errors
from longshore.kube.errors import Status, StatusCause, StatusDetails, error_of, read_status, retry_after


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", errors.UserMistake),
        (401, "Unauthorized", errors.Unauthenticated),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Expired", errors.Gone),
        (410, "Gone", errors.Gone),
        (413, "RequestEntityTooLarge", errors.TooLarge),
        (422, "Invalid", errors.UserMistake),
        (429, "TooManyRequests", errors.TooManyRequests),
        (405, "MethodNotAllowed", errors.UserMistake),
        (406, "NotAcceptable", errors.UserMistake),
        (415, "UnsupportedMediaType", errors.UserMistake),
        (500, "InternalError", errors.Unavailable),
        (500, "ServerTimeout", errors.Unavailable),
        (503, "ServiceUnavailable", errors.Unavailable),
        (504, "Timeout", errors.Unavailable),
    ],
)
def test_a_reason_or_else_the_code_decides(code: int, reason: str, kind: type[Exception]) -> None:
    assert type(error_of(Status("m", reason, code), "GET /x")) is kind
    if reason != "AlreadyExists":
        assert type(error_of(Status("m", "", code), "GET /x")) is kind


def test_what_the_api_server_cannot_read_from_its_store_will_not_pass() -> None:
    assert type(error_of(Status("m", "StorageReadError", 500), "GET /x")) is errors.Terminal


@pytest.mark.parametrize(
    ("code", "reason", "message", "hint"),
    [
        (403, "Forbidden", 'pods "a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1', "more quota"),
        (403, "Forbidden", 'pods "a" is forbidden: failed quota: q: must specify cpu for: main', "containers need"),
        (403, "Forbidden", 'User "x" cannot get resource "pods" in API group ""', "this permission"),
        (403, "Forbidden", "unable to create new content in namespace n because it is being terminated", "use another"),
        (500, "InternalError", 'Internal error occurred: failed calling webhook "w": no route', "does not answer"),
        (400, "BadRequest", 'admission webhook "w" denied the request: no', "webhook of this cluster forbids it"),
        (422, "Invalid", "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", "policy of this cluster"),
    ],
)
def test_the_hint_says_whom_to_ask_or_what_to_change(code: int, reason: str, message: str, hint: str) -> None:
    error = error_of(Status(message, reason, code), "POST /x")
    assert error.hint is not None
    assert hint in error.hint


def test_a_budget_that_forbids_an_eviction_is_named_and_is_no_throttling() -> None:
    details = StatusDetails(causes=[StatusCause("DisruptionBudget", "web needs 2")], retry_after_seconds=10)
    error = error_of(Status("Cannot evict pod.", "TooManyRequests", 429, details), "POST /x")
    assert isinstance(error, errors.EvictionRefused)
    assert (error.message, error.retry_after) == ("POST /x: Cannot evict pod. web needs 2", 10)
    assert type(error_of(Status("negative", "Forbidden", 403, details), "POST /x")) is errors.Forbidden


def test_the_message_says_what_was_asked_and_what_was_answered() -> None:
    error = error_of(Status('pods "a" not found', "NotFound", 404), "GET /api/v1/pods/a")
    assert error.message == 'GET /api/v1/pods/a: pods "a" not found'


def test_an_invalid_field_is_named() -> None:
    details = StatusDetails(causes=[StatusCause("FieldValueInvalid", "must be positive", "spec.parallelism")])
    error = error_of(Status("m", "Invalid", 422, details), "POST /x")
    assert isinstance(error, errors.UserMistake)
    assert error.field == "spec.parallelism"


def test_a_version_in_the_servers_future_counts_as_gone() -> None:
    details = StatusDetails(causes=[StatusCause("ResourceVersionTooLarge")])
    assert isinstance(error_of(Status("m", "Timeout", 504, details), "GET /x"), errors.Gone)


def test_the_header_or_else_the_status_says_when_to_come_back() -> None:
    status = Status("m", "TooManyRequests", 429, StatusDetails(retry_after_seconds=5))
    for header, wait in ((7.0, 7.0), (None, 5.0)):
        error = error_of(status, "GET /x", header)
        assert isinstance(error, errors.TooManyRequests)
        assert error.retry_after == wait


@pytest.mark.parametrize(("header", "seconds"), [("3", 3.0), ("soon", None), ("-1", None), ("", None), (None, None)])
def test_a_retry_after_header_is_a_number_or_nothing(header: str | None, seconds: float | None) -> None:
    assert retry_after(header) == seconds


@pytest.mark.parametrize("body", [b"", b"\xff\x00", b'"text"', b'{"details":7}'])
def test_an_answer_that_is_no_status_is_told_by_its_code_alone(body: bytes) -> None:
    status = read_status(502, body)
    assert (status.code, status.message) == (502, "the API server answered 502")


@pytest.mark.parametrize(
    "message",
    [
        "etcdserver: request is too large",
        "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2500745 vs. 2097152)",
    ],
)
def test_what_etcd_does_not_take_is_too_large_and_does_not_pass(message: str) -> None:
    assert type(error_of(Status(message, "", 500), "POST /x")) is errors.TooLarge


def test_a_short_text_is_passed_on() -> None:
    status = read_status(400, b"you must specify a command\n")
    assert status.message == "the API server answered 400: you must specify a command"


def test_a_web_page_is_called_one() -> None:
    assert read_status(502, b"<html>").message == "the API server answered 502 with a web page"


def test_a_hint_is_in_the_traceback_of_an_error_that_nobody_caught() -> None:
    error = error_of(Status("no", "Conflict", 409), "PATCH x")
    assert error.hint is not None
    assert f"hint: {error.hint}" in "".join(traceback.format_exception(error))
