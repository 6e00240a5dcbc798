"""The unmodified SDKs behind a real proxy: who passes through it, and who does not."""

from __future__ import annotations

import base64
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from streams.errors import CallError, Fault
from streams.providers import make_caller
from tests.contract.providers.conftest import ITEMS, KEYS, task_of
from tests.contract.providers.http_proxy import CERTIFICATE, http_proxy, tls_door

OPERATIONS = ["classify", "embed"]
PATHS = {"classify": "/v1/messages", "embed": "/v1/embeddings"}


async def ask(operation: str, base_url: str, **variables: str) -> int:
    """The number of answers of one call."""
    url = f"{base_url}/v1" if operation == "embed" else base_url
    settings: Any = SimpleNamespace(base_url=url, api_key_file=None)
    caller = make_caller(task_of(operation), settings, environ={**KEYS, **variables})
    try:
        return len((await caller(ITEMS)).answers)
    finally:
        await caller.aclose()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_an_http_address_is_called_through_the_proxy_of_its_scheme(
    operation, variable, simulate
):
    simulator = await simulate()
    async with http_proxy(simulator.port) as proxy:
        base_url = "http://api.example.test:1234"  # known to the proxy alone
        assert await ask(operation, base_url, **{variable: proxy.url}) == len(ITEMS)
        assert proxy.log == [f"POST {base_url}{PATHS[operation]} HTTP/1.1"]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_an_https_address_is_called_through_a_tunnel_and_ssl_cert_file_is_trusted(
    operation, variable, simulate
):
    simulator = await simulate()
    async with tls_door(simulator.port) as door, http_proxy(door) as proxy:
        away = "http://127.0.0.1:9"
        variables = {"HTTP_PROXY": away, variable: proxy.url, "SSL_CERT_FILE": str(CERTIFICATE)}
        answers = await ask(operation, "https://api.example.test", **variables)
        assert answers == len(ITEMS)
        assert proxy.log == ["CONNECT api.example.test:443 HTTP/1.1"]


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_certificate_that_nobody_trusts_is_told_with_the_variable_that_helps(
    operation, simulate
):
    simulator = await simulate()
    async with tls_door(simulator.port) as door:
        with pytest.raises(CallError, match=r"certificate verify failed.*SSL_CERT_FILE") as caught:
            await ask(operation, f"https://127.0.0.1:{door}")
        assert caught.value.fault is Fault.CONNECTION
        trusted = {"SSL_CERT_FILE": str(CERTIFICATE)}
        assert await ask(operation, f"https://127.0.0.1:{door}", **trusted) == len(ITEMS)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_loopback_goes_through_no_proxy_though_no_proxy_says_nothing(operation, simulate):
    simulator = await simulate()
    async with http_proxy(simulator.port) as proxy:
        names = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
        for host in ("127.0.0.1", "localhost"):
            base_url = f"http://{host}:{simulator.port}"
            assert await ask(operation, base_url, **dict.fromkeys(names, proxy.url)) == len(ITEMS)
        assert proxy.log == []


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_user_and_password_of_the_proxy_are_sent_to_it_and_not_logged(
    operation, simulate, caplog
):
    caplog.set_level(logging.DEBUG)
    simulator = await simulate()
    sent = "Basic " + base64.b64encode("me@home:pä#ss".encode()).decode()
    async with http_proxy(simulator.port) as proxy:
        url = proxy.url.replace("//", "//me%40home:p%C3%A4%23ss@")
        assert await ask(operation, "http://api.example.test", HTTP_PROXY=url) == len(ITEMS)
        assert proxy.credentials == [sent]
    async with tls_door(simulator.port) as door, http_proxy(door) as proxy:
        url = proxy.url.replace("//", "//me%40home:p%C3%A4%23ss@")
        variables = {"HTTPS_PROXY": url, "SSL_CERT_FILE": str(CERTIFICATE)}
        assert await ask(operation, "https://api.example.test", **variables) == len(ITEMS)
        assert proxy.credentials == [sent]
    assert not any(secret in caplog.text for secret in ("pä#ss", "p%C3%A4", sent))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("status", "fault"),
    [(407, Fault.ACCOUNT), (403, Fault.ACCOUNT), (400, Fault.ACCOUNT), (502, Fault.CONNECTION)],
)
async def test_a_tunnel_that_the_proxy_refuses_is_no_items_fault(operation, status, fault):
    async with http_proxy(9, refuses=status) as proxy:
        with pytest.raises(CallError, match=f"https_proxy names answers HTTP {status}") as caught:
            await ask(operation, "https://api.example.test", https_proxy=proxy.url)
        assert (caught.value.fault, caught.value.status) == (fault, status)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_proxy_that_is_away_is_told_by_its_variable(operation):
    with pytest.raises(CallError, match="no connection to the proxy that ALL_PROXY") as caught:
        await ask(operation, "http://api.example.test", ALL_PROXY="http://u:secret@127.0.0.1:1")
    assert caught.value.fault is Fault.CONNECTION
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_proxy_may_be_spoken_to_by_tls(operation, simulate):
    simulator = await simulate()
    trusted = {"SSL_CERT_FILE": str(CERTIFICATE)}
    async with http_proxy(simulator.port, tls=True) as proxy:
        url = proxy.url.replace("http:", "https:")
        assert await ask(operation, "http://api.example.test", HTTP_PROXY=url, **trusted)
        assert len(proxy.log) == 1
    async with tls_door(simulator.port) as door, http_proxy(door, tls=True) as proxy:
        url = proxy.url.replace("http:", "https:")
        assert await ask(operation, "https://api.example.test", HTTPS_PROXY=url, **trusted)
        assert proxy.log == ["CONNECT api.example.test:443 HTTP/1.1"]
