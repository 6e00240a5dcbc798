"""No message holds a key or an item's text: messages go to logs and dead letters."""

from __future__ import annotations

import pytest

from streams.errors import CallError, Fault
from streams.model import Quota, RateLimits, Usage
from streams.providers.secrecy import HIDDEN, QUOTES, reworded, without_keys, without_texts
from tests.operations.conftest import items_of


@pytest.mark.parametrize(
    "message",
    [
        "invalid key opensesame42",
        "invalid key sk-ant-api03-abcDEF_1",
        "invalid key pa-0123456789",
        "header Authorization: Bearer opensesame42",
    ],
)
def test_keys_are_hidden_ours_and_whatever_looks_like_one(message):
    shown = without_keys(message, ["opensesame42", ""])
    assert HIDDEN in shown
    assert not any(secret in shown for secret in ("opensesame", "abcDEF", "0123"))


def test_a_message_without_keys_stays_as_it_is():
    message = "HTTP 429 rate_limit_error: please wait, the opal-coloured task-force said"
    assert without_keys(message, ["opensesame42"]) == message


@pytest.mark.parametrize(
    "message",
    [
        "cannot process 'My doctor told me yesterday that'",
        "messages.0: My doctor told me yesterday that it is over",
        "Bad text: told me yesterday",
    ],
)
def test_a_message_that_quotes_an_item_is_not_shown(message):
    items = items_of(["fine", "My doctor told me yesterday that it is over."])
    assert without_texts(message, items) == QUOTES


def test_a_message_that_quotes_no_item_is_shown():
    message = "HTTP 400 invalid_request_error: prompt is too long: 3 tokens > 2 maximum"
    assert without_texts(message, items_of(["", "a", "tokens", "My doctor"])) == message


def test_a_reworded_error_keeps_all_but_its_message():
    usage = Usage(1, 2, 3)
    limits = RateLimits(requests=Quota(1, 0, 2.0))
    error = CallError(
        Fault.THROTTLED, "secret", retry_after_s=4, status=429, usage=usage, rate_limits=limits
    )
    shown = reworded(error, "public")
    assert shown.message == "public"
    assert {**vars(shown), "message": "secret"} == vars(error)
    assert "secret" not in f"{shown} {shown!r} {shown.args}"
