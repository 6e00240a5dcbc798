"""Which redirects are followed: those within the same host that repeat the request as it is. Pure.

Any other is no answer of the API: 301 to 303 make a GET of a POST, and another host would be given
the key and the texts, be it a login page.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urljoin, urlsplit

MAX_REDIRECTS: Final = 5

_REPEATS: Final = frozenset({307, 308})


def followed(status: int, url: str, location: str | None) -> str | None:
    """The address that the request goes to now; None: a response like this is not followed."""
    if status not in _REPEATS or location is None:
        return None
    try:
        target = urljoin(url, location)
        before, after = urlsplit(url), urlsplit(target)
        same_place = (before.scheme, before.hostname, before.port) == (
            after.scheme,
            after.hostname,
            after.port,
        )
        to_tls = after.scheme == "https" and before.hostname == after.hostname
    except ValueError:
        return None
    return target if same_place or to_tls else None
