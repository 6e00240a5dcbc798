"""What a connection failed at, where that is not the API: a proxy on the way, or a certificate."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp

from streams.errors import CallError, Fault
from streams.providers.proxies import Proxy


def connection_failure(error: BaseException, proxy: Proxy | None) -> CallError | None:
    """The failure that an SDK's error, or what caused it, stands for; None: something else."""
    for cause in _causes(error):
        if isinstance(cause, aiohttp.ClientHttpProxyError):
            # What a proxy refuses is no item's fault, whatever the status.
            fault = Fault.ACCOUNT if 400 <= cause.status < 500 else Fault.CONNECTION
            message = f"the proxy that {_variable(proxy)} names answers HTTP {cause.status}"
            return CallError(fault, message, status=cause.status)
        if isinstance(cause, aiohttp.ClientProxyConnectionError):
            message = f"no connection to the proxy that {_variable(proxy)} names"
            return CallError(Fault.CONNECTION, message)
        if isinstance(cause, aiohttp.ClientSSLError):
            reason = getattr(cause, "certificate_error", None) or cause.__cause__ or "TLS failed"
            hint = "SSL_CERT_FILE names the certificates to trust"
            return CallError(Fault.CONNECTION, f"no safe connection: {str(reason)[:200]} ({hint})")
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _variable(proxy: Proxy | None) -> str:
    return "the environment" if proxy is None else proxy.variable
