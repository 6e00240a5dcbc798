"""How calls leave the machine: addresses, proxies, certificates and keys."""

from __future__ import annotations

import logging
import os
from types import SimpleNamespace
from typing import Any

import pytest

from streams.errors import ConfigError
from streams.providers.addresses import api_address, is_loopback
from streams.providers.api_key import api_key
from streams.providers.egress import egress, egress_problems
from streams.providers.proxies import proxy_for

API = "https://api.example.test"
KEYS = {"ANTHROPIC_API_KEY": "sk-ant-1", "VOYAGE_API_KEY": "pa-1"}


def settings(base_url: str | None = None, api_key_file: Any = None) -> Any:
    return SimpleNamespace(base_url=base_url, api_key_file=api_key_file)


# -- addresses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("https://api.example.test", "https://api.example.test"),
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("https://my_gateway.internal./claude", "https://my_gateway.internal./claude"),
        ("https://bücher.example", "https://bücher.example"),
        ("HTTPS://API.EXAMPLE.TEST", "HTTPS://API.EXAMPLE.TEST"),
    ],
)
def test_an_address_is_taken_as_it_is_without_a_final_slash(given, address):
    assert api_address(given) == address


WRONG_ADDRESSES = [
    "api.example.test",
    "api.example.test:443",
    "//api.example.test",
    "ftp://api.example.test",
    "https:/api.example.test",
    "https:///v1",
    "https://",
    "https://http://api.example.test",
    '"https://api.example.test"',
    "'https://api.example.test'",
    "“https://api.example.test”",
    "https://api.example.test\n",
    "https://api.\nexample.test",
    " https://api.example.test",
    "https://api.example.test /v1",
    "https://api.example.test\\v1",
    "https://$HOST/v1",
    "https://${HOST}/v1",
    "https://<host>/v1",
    "https://me:hush@api.example.test",
    "https://hush@api.example.test",
    "https://api.example.test?key=hush",
    "https://api.example.test#hush",
    "https://api.example.test:0",
    "https://api.example.test:/v1",
    "https://api.example.test:70000",
    "https://api.example.test:port",
    "https://[::1",
    "https://[nonsense]",
    "https://-.test",
]


@pytest.mark.parametrize("value", WRONG_ADDRESSES)
def test_an_address_that_is_none_is_refused_by_the_name_of_its_variable(value):
    """It was an outage without end: every call failed, and the pause never said why."""
    environ = {**KEYS, "ANTHROPIC_BASE_URL": value}
    (problem,) = egress_problems("anthropic", None, environ)
    assert problem.startswith('ANTHROPIC_BASE_URL: must be an address as "https://host/path"')
    (problem,) = egress_problems("voyage", settings(value), environ)
    assert problem.startswith("provider.voyage.base_url: must be an address")
    assert "hush" not in problem


def test_the_settings_address_wins_over_the_variable_and_the_variable_over_the_apis_own():
    environ = {**KEYS, "ANTHROPIC_BASE_URL": "https://gateway.test/claude/"}
    assert egress("anthropic", settings(API), environ).base_url == API
    assert egress("anthropic", settings(), environ).base_url == "https://gateway.test/claude"
    assert egress("anthropic", None, KEYS).base_url == "https://api.anthropic.com"
    assert egress("voyage", None, environ).base_url == "https://api.voyageai.com/v1"
    gateway = "https://gateway.test/voyage"
    assert egress("voyage", None, {**KEYS, "VOYAGE_BASE_URL": gateway}).base_url == gateway
    assert egress("anthropic", None, {**KEYS, "ANTHROPIC_BASE_URL": ""}).base_url.endswith("c.com")
    mongodb = {**KEYS, "VOYAGE_API_KEY": "al-1"}
    assert egress("voyage", None, mongodb).base_url == "https://ai.mongodb.com/v1"


# -- proxies -----------------------------------------------------------------------------------


def through(address: str, **variables: str) -> str | None:
    proxy = proxy_for(address, variables)
    return None if proxy is None else proxy.url


def test_the_schemes_own_proxy_wins_over_that_for_all():
    both = {"HTTPS_PROXY": "http://secure:1", "ALL_PROXY": "http://any:2"}
    assert through(API, **both) == "http://secure:1"
    assert through("http://api.example.test", **both) == "http://any:2"
    assert through(API, HTTP_PROXY="http://plain:3") is None


def test_lower_case_wins_over_upper_case_also_where_it_is_empty():
    assert through(API, https_proxy="http://lower:1", HTTPS_PROXY="http://upper:1") == (
        "http://lower:1"
    )
    assert through(API, https_proxy="", HTTPS_PROXY="http://upper:1") is None
    upper = {"HTTPS_PROXY": "http://upper:1", "NO_PROXY": "api.example.test"}
    assert through(API, no_proxy="", **upper) == "http://upper:1"


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("proxy.test:3128", "http://proxy.test:3128"),
        ("proxy.test", "http://proxy.test"),
        ("http://me:hush@proxy.test:3128/", "http://proxy.test:3128"),
        ("https://proxy.test:3129", "https://proxy.test:3129"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ("127.0.0.1:8888", "http://127.0.0.1:8888"),
    ],
)
def test_a_proxys_address_may_lack_the_scheme_and_hold_user_and_password(value, url):
    assert through(API, HTTPS_PROXY=value) == url


@pytest.mark.parametrize(
    "value",
    [
        '"http://proxy.test:3128"', "http://proxy.test:3128\n", " ", "http://", "http://proxy:port",
        "http://me:hu#sh@proxy.test:1", "ftp://proxy.test", "http://proxy test", "::1:3128",
        "http://[::1", "http://proxy.test:0", "htp:/proxy.test", "${PROXY}", "http://pröxy.test",
    ],
)  # fmt: skip
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_is_none_is_refused_by_the_name_of_its_variable(variable, value):
    (problem,) = egress_problems("anthropic", None, {**KEYS, variable: value})
    assert problem.startswith(f'{variable}: must be a proxy\'s address as "http://host:port"')
    assert "hu#sh" not in problem


def test_a_socks_proxy_is_refused_where_it_would_be_used_and_only_there():
    socks = {"ALL_PROXY": "socks5h://127.0.0.1:1080"}
    assert through(API, HTTPS_PROXY="http://proxy:1", **socks) == "http://proxy:1"
    with pytest.raises(ConfigError, match="ALL_PROXY: names a SOCKS proxy"):
        through(API, **socks)


LOOPBACK = [
    "localhost", "LOCALHOST", "localhost.", "api.localhost", "127.0.0.1", "127.8.9.10", "127.1",
    "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[0:0:0:0:0:0:0:1]",
]  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_goes_through_no_proxy_and_asks_for_no_valid_one(host):
    assert is_loopback(host.strip("[]"))
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    for scheme in ("http", "https"):
        assert through(f"{scheme}://{host}:80/v1", **dict.fromkeys(names, "http://p:1")) is None
        assert through(f"{scheme}://{host}/v1", **dict.fromkeys(names, "nonsense://")) is None


@pytest.mark.parametrize(
    "host", ["localhost.test", "mylocalhost", "128.0.0.1", "[::2]", "127.test"]
)
def test_what_only_looks_like_loopback_goes_through_the_proxy(host):
    assert through(f"http://{host}/v1", HTTP_PROXY="http://p:1") == "http://p:1"


@pytest.mark.parametrize(
    ("no_proxy", "exempt"),
    [
        ("*", True),
        ("other.test, *", True),
        ("api.example.test", True),
        ("API.Example.Test.", True),
        ("example.test", True),
        (".example.test", True),
        ("*.example.test", True),
        ("api.example.test:443", True),
        ("other.test api.example.test", True),
        ("api.example.test:80", False),
        ("ample.test", False),
        ("www.api.example.test", False),
        ("https://api.example.test", False),
        ("", False),
        (",, ,", False),
        ("10.0.0.0/8,[", False),
    ],
)
def test_no_proxy_names_hosts_with_their_subdomains_and_may_name_a_port(no_proxy, exempt):
    found = through(API, HTTPS_PROXY="http://p:1", NO_PROXY=no_proxy)
    assert found == (None if exempt else "http://p:1")


@pytest.mark.parametrize(
    ("host", "no_proxy", "exempt"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("[fd00::1]", "fd00::/8", True),
        ("[fd00::1]", "[fd00::1]", True),
        ("[fd00::1]", "[fd00::1]:443", True),
        ("[fd00::1]", "[fd00::1]:80", False),
    ],
)
def test_no_proxy_names_addresses_and_networks(host, no_proxy, exempt):
    found = through(f"https://{host}", HTTPS_PROXY="http://p:1", NO_PROXY=no_proxy)
    assert found == (None if exempt else "http://p:1")


# -- certificates ------------------------------------------------------------------------------


def test_certificates_that_are_not_there_are_refused_by_the_name_of_their_variable(tmp_path):
    (tmp_path / "empty.pem").write_text("")
    for value in (tmp_path / "missing.pem", tmp_path / "empty.pem", tmp_path):
        (problem,) = egress_problems("voyage", None, {**KEYS, "SSL_CERT_FILE": str(value)})
        assert problem.startswith("SSL_CERT_FILE: holds no certificates: ")


# -- keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["sk-1\n", " sk-1\r\n", "\ufeffsk-1", "\tsk-1\v", "sk-1\n\n\n"])
def test_what_stands_around_a_key_is_cut_off(text, tmp_path):
    file = tmp_path / "key"
    file.write_bytes(text.encode())
    assert api_key("voyage", "VOYAGE_API_KEY", settings(None, file), {}).current() == "sk-1"
    assert api_key("voyage", "VOYAGE_API_KEY", None, {"VOYAGE_API_KEY": text}).current() == "sk-1"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('"sk-hush"', "holds a key in quotes"),
        ("'sk-hush'\n", "holds a key in quotes"),
        ("“sk-hush”", "holds a key in quotes"),
        ("Bearer sk-hush", "holds no API key"),
        ("sk-hush\nsk-hush2", "holds no API key"),
        ("sk-hüsh", "holds no API key"),
        ("sk-hush\x00", "holds no API key"),
        ("sk-\u200bhush", "holds no API key"),
        ("\n", None),
    ],
)
def test_what_is_no_key_is_refused_by_where_it_stands_and_not_shown(text, why, tmp_path):
    file = tmp_path / "key"
    file.write_bytes(text.encode())
    with pytest.raises(ConfigError) as caught:
        api_key("voyage", "VOYAGE_API_KEY", settings(None, file), {})
    of_file = f"provider.voyage.api_key_file: the file {file} {why or 'holds no API key'}"
    assert caught.value.problems[0].startswith(of_file)
    with pytest.raises(ConfigError) as caught_too:
        api_key("voyage", "VOYAGE_API_KEY", None, {"VOYAGE_API_KEY": text})
    of_variable = f"VOYAGE_API_KEY: {why}" if why else "provider.voyage.api_key_file: no API key"
    assert caught_too.value.problems[0].startswith(of_variable)
    assert "hush" not in f"{caught.value}{caught_too.value}"


def test_a_key_file_in_utf_16_is_refused(tmp_path):
    """PowerShell's `>` writes it."""
    (tmp_path / "key").write_bytes("sk-hush".encode("utf-16"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        api_key("voyage", "VOYAGE_API_KEY", settings(None, tmp_path / "key"), {})


def test_a_key_file_that_changes_is_read_again_and_the_account_stays(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "key"
    file.write_text("sk-hush-1\n")
    key = api_key("anthropic", "ANTHROPIC_API_KEY", settings(None, file), {})
    source = key.source
    assert key.current() == "sk-hush-1"
    file.write_text("sk-hush-2\n")
    assert key.current() == "sk-hush-2"
    (tmp_path / "new").write_text("sk-hush-3")
    os.replace(tmp_path / "new", file)  # as Kubernetes does it
    assert key.current() == "sk-hush-3"
    assert key.source == source
    assert "holds a new key" in caplog.text
    assert "hush" not in f"{caplog.text}{key!r}{source}"


@pytest.mark.parametrize("content", ["", "sk hush", '"sk-hush"'])
def test_while_the_file_holds_no_key_the_last_one_counts(content, tmp_path, caplog):
    """It is being written, or somebody made a mistake."""
    file = tmp_path / "key"
    file.write_text("sk-1")
    key = api_key("anthropic", "ANTHROPIC_API_KEY", settings(None, file), {})
    file.write_text(content)
    assert [key.current(), key.current()] == ["sk-1", "sk-1"]
    file.unlink()
    assert [key.current(), key.current()] == ["sk-1", "sk-1"]
    assert len(caplog.records) == 2, "once for each change, not for each call"
    file.write_text("sk-2")
    assert key.current() == "sk-2"


def test_everything_wrong_is_told_at_once_and_a_key_elsewhere_is_no_problem():
    environ = {"ANTHROPIC_API_KEY": '"sk-1"', "ANTHROPIC_BASE_URL": "host", "SSL_CERT_FILE": "/no"}
    problems = egress_problems("anthropic", None, environ)
    assert [problem.partition(":")[0] for problem in problems] == [
        "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "SSL_CERT_FILE",
    ]  # fmt: skip
    assert egress_problems("anthropic", None, {}) == []
    assert egress_problems("a registered one", None, {"HTTP_PROXY": "nonsense://"}) == []
