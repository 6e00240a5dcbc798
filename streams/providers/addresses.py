"""What an API's address must look like, and which addresses are this machine's own. Pure."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Final
from urllib.parse import SplitResult, urlsplit

ADDRESS: Final = 'an address as "https://host/path", without user, query or fragment'

_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?\.?", re.IGNORECASE)
_UNSAFE: Final = re.compile(r"[\s\"'`<>\\^{|}\x00-\x20\x7f]")
"""What no URL holds: it comes from quoting, from line ends, from templates not filled in."""


def api_address(value: str) -> str:
    """The address of an API as its SDK takes it, without a final slash. Raises ValueError with
    what is allowed, and never with the value: it may hold a password."""
    if _UNSAFE.search(value):
        raise ValueError(f"must be {ADDRESS}; it holds quotes, blanks or a line end")
    parts = split_url(value)
    if parts is None or parts.scheme not in {"http", "https"} or "@" in parts.netloc:
        raise ValueError(f"must be {ADDRESS}")
    if "?" in value or "#" in value or "//" in parts.path:
        raise ValueError(f"must be {ADDRESS}")
    return value.rstrip("/")


def split_url(value: str) -> SplitResult | None:
    """The parts of a URL with a scheme and a host; None: it is not one."""
    if _UNSAFE.search(value):
        return None
    try:
        parts = urlsplit(value)
        if parts.port == 0 or parts.netloc.endswith(":"):
            return None
        if not parts.hostname or not _is_host(parts.hostname):
            return None
    except ValueError:  # a port that is no number, or a bracket without its other half
        return None
    return parts


def _is_host(host: str) -> bool:
    if ":" in host:
        return ip_address(host) is not None
    if host.isascii():
        return _NAME.fullmatch(host) is not None
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The host as an IP address, also in the short forms that a resolver takes (127.1); None: it
    is a name."""
    try:
        found = ipaddress.ip_address(host.partition("%")[0].strip("[]"))
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, UnicodeError):
            return None
    return getattr(found, "ipv4_mapped", None) or found


def is_loopback(host: str) -> bool:
    """Whether the host is this machine: 127.0.0.0/8, ::1, localhost."""
    name = host.rstrip(".").lower()
    address = ip_address(name)
    if address is not None:
        return address.is_loopback or address.is_unspecified
    return name == "localhost" or name.endswith(".localhost")
