"""Which redirects are followed."""

from __future__ import annotations

import pytest

from streams.providers.redirects import followed

URL = "http://api.test:8080/v1/messages"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v1/messages/", "http://api.test:8080/v1/messages/"),
        ("http://api.test:8080/v2/messages", "http://api.test:8080/v2/messages"),
        ("https://api.test/v1/messages", "https://api.test/v1/messages"),
        ("http://other.test:8080/v1/messages", None),
        ("//other.test/v1/messages", None),
        ("http://api.test:9090/v1/messages", None),
        ("http://api.test.evil.test:8080/", None),
        ("http://api.test:8080@evil.test/", None),
        ("http://[broken", None),
        ("http://api.test:port/", None),
        (None, None),
    ],
)
def test_only_within_the_host(location: str | None, target: str | None) -> None:
    assert followed(307, URL, location) == target
    assert followed(308, URL, location) == target
    for status in (200, 300, 301, 302, 303, 304, 404):
        assert followed(status, URL, location) is None


def test_never_from_tls_to_plain() -> None:
    assert followed(308, "https://api.test/v1", "http://api.test/v1") is None
