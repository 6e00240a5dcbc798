"""Which proxy an API is called through, by the environment's variables. Pure.

    HTTPS_PROXY  for https addresses    ALL_PROXY  where the scheme's own is not set
    HTTP_PROXY   for http addresses     NO_PROXY   what is called directly

A variable in lower case wins over the same in upper case, as in curl, also where it is empty: then
there is no proxy. Loopback goes through no proxy, whatever NO_PROXY holds: a proxy would look for
it on its own machine.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from streams.errors import ConfigError
from streams.providers.addresses import ip_address, is_loopback, split_url

PROXY: Final = (
    'a proxy\'s address as "http://host:port" or "http://user:password@host:port", without quotes '
    "and blanks, special characters of user and password percent-encoded"
)
_VARIABLES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_SOCKS: Final = re.compile(r"socks\w*")


class Proxy(NamedTuple):
    """`url`: without user and password; those are in `headers`, for the proxy alone. `variable`:
    the one that names it."""

    url: str
    headers: Mapping[str, str]
    variable: str


def proxy_for(address: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy for an API's valid address; None: it is called directly. Raises ConfigError with a
    line for every variable that names no proxy."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or {"http": 80}.get(parts.scheme, 443)
    if is_loopback(host) or _is_exempt(host, port, _value("NO_PROXY", environ)[1]):
        return None
    problems: list[str] = []
    found: dict[str, tuple[str, SplitResult]] = {}
    for name in _VARIABLES:
        variable, value = _value(name, environ)
        if value:
            proxy = _split(value)
            if proxy is None:
                problems.append(f"{variable}: must be {PROXY}")
            else:
                found[name] = variable, proxy
    chosen = found.get(f"{parts.scheme.upper()}_PROXY") or found.get("ALL_PROXY")
    if chosen is not None and _SOCKS.fullmatch(chosen[1].scheme):
        problems.append(
            f"{chosen[0]}: names a SOCKS proxy, which is not supported: must be {PROXY}"
        )
    if problems:
        raise ConfigError(problems)
    return None if chosen is None else _proxy(*chosen)


def _value(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The variable that counts, and its value; empty: none."""
    lower = name.lower()
    return (lower, environ[lower]) if lower in environ else (name, environ.get(name, ""))


def _split(value: str) -> SplitResult | None:
    """The parts of a proxy's URL, http where it names no scheme; None: it is not one."""
    parts = split_url(value if "://" in value else f"http://{value}")
    if parts is None or not value.isascii() or parts.path not in ("", "/"):
        return None
    if parts.scheme in {"http", "https"} or _SOCKS.fullmatch(parts.scheme):
        return parts
    return None


def _proxy(variable: str, parts: SplitResult) -> Proxy:
    userinfo, at, place = parts.netloc.rpartition("@")
    headers = {}
    if at:
        # For aiohttp, which both SDKs use, this is the proxy's own: it sends Proxy-Authorization,
        # in either form. Its BasicAuth, which the SDK of Anthropic uses, knows no UTF-8.
        credentials = b64encode(unquote(userinfo).encode()).decode()
        headers["Authorization"] = f"Basic {credentials}"
    return Proxy(urlunsplit((parts.scheme, place, "", "", "")), headers, variable)


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY names the host: "*", a name (its subdomains count too), an IP address or a
    network (10.0.0.0/8), each with or without a port. What cannot be read names nobody."""
    name, address = host.rstrip(".").lower(), ip_address(host)
    for entry in re.split(r"[\s,]+", no_proxy.lower()):
        if entry == "*":
            return True
        where, of_port = _without_port(entry)
        if not where or of_port not in (None, port):
            continue
        if address is not None:
            if _holds(where, address):
                return True
        elif name == where or name.endswith(f".{where}"):
            return True
    return False


def _without_port(entry: str) -> tuple[str, int | None]:
    """The name or network of an entry, and its port."""
    match = re.fullmatch(r"(\[.*\]|[^:]*):(\d+)", entry)
    where, port = (match[1], int(match[2])) if match else (entry, None)
    return where.strip("[]").removeprefix("*").strip("."), port


def _holds(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
