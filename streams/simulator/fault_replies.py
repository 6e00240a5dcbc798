"""Error replies by script, and the ways in which a connection or a body goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import struct
from typing import Final

import orjson
from aiohttp import web

from streams.simulator.calls import Call
from streams.simulator.fault_names import DISGUISED, HTML, STATUSES
from streams.simulator.script import Rule
from streams.simulator.wire import HTML as HTML_TYPE
from streams.simulator.wire import RefusalError, Reply, error_object, refuse

_PAGE: Final = (
    "<html><head><title>{status} {title}</title></head>"
    "<body><center><h1>{status} {title}</h1></center></body></html>"
)
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 seconds: closing sends a reset instead of a regular end."""


def _headers(rule: Rule) -> dict[str, str]:
    headers: dict[str, str] = {}
    if rule.retry_after_s is not None:
        headers["retry-after"] = f"{rule.retry_after_s:g}"
    if rule.retry_after_ms is not None:
        headers["retry-after-ms"] = f"{rule.retry_after_ms:g}"
    if rule.should_retry is not None:
        headers["x-should-retry"] = "true" if rule.should_retry else "false"
    return headers


def refusal(rule: Rule) -> RefusalError | None:
    """The error that the rule describes, with its headers; None: the rule describes another
    fault."""
    if rule.fault == "status":
        status, message, code = rule.status or 500, "An error by script.", None
    elif rule.fault in STATUSES:
        status, message, code = STATUSES[rule.fault]
        status = rule.status or status
    else:
        return None
    return RefusalError(
        status,
        rule.message if rule.message is not None else message,
        error_code=rule.error_code or code,
        headers=_headers(rule),
    )


def error_reply(rule: Rule, call: Call) -> Reply | None:
    """The error reply that the rule describes, in the form of the API called; None: another
    fault."""
    if rule.fault in HTML:
        status, title = (502, "Bad Gateway") if "bad" in rule.fault else (429, "Too Many Requests")
        page = rule.body or _PAGE.format(status=status, title=title)
        return Reply(status, page.encode(), _headers(rule), HTML_TYPE)
    if rule.fault in DISGUISED:
        return _disguised(rule, call)
    error = refusal(rule)
    if error is None:
        return None
    reply = refuse(error, call.provider, call.request_id)
    if rule.body is not None:
        reply = reply._replace(body=rule.body.encode())
    if rule.content_type is not None:
        reply = reply._replace(content_type=rule.content_type)
    return reply


def _disguised(rule: Rule, call: Call) -> Reply:
    """A reply that looks like none of an error, or goes elsewhere. `status`: of the error in the
    body, where there is one."""
    headers = _headers(rule)
    if rule.fault == "redirect":
        headers["location"] = rule.location or "https://login.example.com/"
        return Reply(rule.status or 302, b"", headers, HTML_TYPE)
    if rule.fault == "login_page":
        page = rule.body or _PAGE.format(status="", title="Please sign in")
        return Reply(200, page.encode(), headers, HTML_TYPE)
    status = rule.status or 529
    error = RefusalError(status, rule.message or "An error by script.", error_code=rule.error_code)
    said = error_object(error, call.request_id) if rule.fault == "error_body" else {"ok": True}
    body = orjson.dumps(said) if rule.body is None else rule.body.encode()
    return Reply(200, body, headers)


def corrupt_body(reply: Reply, rule: Rule | None) -> Reply:
    """The reply with its body corrupted, if the rule's fault only changes bytes."""
    if rule is not None and rule.fault == "empty_body":
        return reply._replace(body=b"")
    if rule is not None and rule.fault == "invalid_body":
        return reply._replace(body=reply.body[: len(reply.body) // 2])
    if rule is not None and rule.fault == "cut_gzip":
        body = gzip.compress(reply.body)
        headers = {**reply.headers, "content-encoding": "gzip"}
        return reply._replace(body=body[: len(body) // 2], headers=headers)
    return reply


def breaks_off(rule: Rule | None) -> bool:
    """Whether the connection ends in the middle of the body."""
    return rule is not None and rule.fault in ("reset_after_headers", "truncated_body")


async def send_half(
    request: web.BaseRequest, reply: Reply, headers: dict[str, str]
) -> web.StreamResponse:
    """Sends the headers with the full length, and half of the body."""
    headers = {**headers, "Content-Type": reply.content_type}
    response = web.StreamResponse(status=reply.status, headers=headers)
    response.content_length = len(reply.body)
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2])
    return response


def close(request: web.BaseRequest) -> None:
    """Ends the connection in order, even if the headers announced more."""
    if request.transport is not None:
        request.transport.close()


def reset(request: web.BaseRequest) -> None:
    """Ends the connection with a reset."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


async def never() -> None:
    """Waits until the client has gone or the simulator stops: both cancel the caller."""
    await asyncio.Event().wait()
