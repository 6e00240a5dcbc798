"""Equal fingerprints mean comparable results."""

from __future__ import annotations

import re
from typing import Any

import pytest

from streams.codec.fingerprint import fingerprint

FACTS: dict[str, Any] = {
    "provider": "anthropic",
    "model": "claude-haiku-5-5",
    "prompt": "Judge the reviewer's opinion – é",
    "schema": {"type": "object", "required": ["a"]},
    "settings": {"labels": ["positive", "negative"], "dimension": 1024},
    "version": "3",
}


def test_it_is_16_hexadecimal_digits_that_no_release_changes() -> None:
    assert re.fullmatch("[0-9a-f]{16}", fingerprint(**FACTS))
    assert fingerprint(provider="custom", version="1") == "2002ac0b4f97f30a"
    assert fingerprint(**FACTS) == "e4c45b8b09db003b"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("provider", "voyage"),
        ("model", None),
        ("prompt", ""),
        ("schema", {"type": "object", "required": ["b"]}),
        ("settings", {"labels": ["negative", "positive"], "dimension": 1024}),
        ("settings", {"labels": ["positive", "negative"], "dimension": 512}),
        ("version", None),
    ],
)
def test_every_fact_counts(name: str, value: Any) -> None:
    assert fingerprint(**(FACTS | {name: value})) != fingerprint(**FACTS)


def test_the_order_of_keys_does_not_count() -> None:
    settings = {"dimension": 1024, "labels": ["positive", "negative"]}
    assert fingerprint(**(FACTS | {"settings": settings})) == fingerprint(**FACTS)


@pytest.mark.parametrize("value", [{"a": {1}}, {"a": float("nan")}])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        fingerprint(provider="custom", settings=value)
