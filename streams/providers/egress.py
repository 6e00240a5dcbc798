"""How the calls of a provider leave this machine: one way for all, by settings and environment.

    base_url of [provider.<name>] | the variable | the API's own ─► proxy ─► TLS ─► the API

The SDKs look for none of it themselves: each would read other variables, in other ways.
"""

from __future__ import annotations

import importlib
import ssl
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from streams.errors import ConfigError
from streams.providers.addresses import api_address
from streams.providers.api_key import ApiKey, api_key
from streams.providers.port import ProviderSettings, TaskModel
from streams.providers.proxies import Proxy, proxy_for


class Api(NamedTuple):
    """`sdk`: the module. `base_url_variable`: Anthropic's SDK has one, Voyage's has none; both APIs
    need one, so that a program meets a gateway or the simulator without a change."""

    title: str
    sdk: str
    base_url: str
    key_variable: str
    base_url_variable: str


APIS: Final[Mapping[str, Api]] = {
    "anthropic": Api(
        "Anthropic",
        "anthropic",
        "https://api.anthropic.com",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
    ),
    "voyage": Api(
        "Voyage",
        "voyageai",
        "https://api.voyageai.com/v1",
        "VOYAGE_API_KEY",
        "VOYAGE_BASE_URL",
    ),
}
_MONGODB: Final = "https://ai.mongodb.com/v1"
"""Where Voyage's keys that begin with "al-" belong."""


class Egress(NamedTuple):
    """`proxy`: None: called directly. `tls`: whom to trust; None: the system's certificates."""

    key: ApiKey
    base_url: str
    proxy: Proxy | None = None
    tls: ssl.SSLContext | None = None


def egress(provider: str, settings: ProviderSettings | None, environ: Mapping[str, str]) -> Egress:
    """The way to a built-in provider. Raises ConfigError with a line for everything wrong."""
    problems: list[str] = []
    key, base_url, proxy, tls = None, "", None, None
    try:
        key = api_key(provider, APIS[provider].key_variable, settings, environ)
    except ConfigError as error:
        problems += error.problems
    try:
        base_url = _base_url(provider, settings, environ, key)
        proxy = proxy_for(base_url, environ)
    except ConfigError as error:
        problems += error.problems
    try:
        tls = tls_context(environ)
    except ConfigError as error:
        problems += error.problems
    if problems or key is None:
        raise ConfigError(problems)
    return Egress(key, base_url, proxy, tls)


def sdk_and_egress(
    provider: str, task: TaskModel, settings: ProviderSettings | None, environ: Mapping[str, str]
) -> tuple[Any, Egress]:
    """The SDK's module, which is imported here, and the way out. Raises ConfigError with a line for
    everything missing or wrong."""
    api, problems = APIS[provider], list[str]()
    sdk, way = None, None
    try:
        way = egress(provider, settings, environ)
    except ConfigError as error:
        problems += error.problems
    try:
        sdk = importlib.import_module(api.sdk)
    except ImportError:
        problems.append(
            f"task.{task.name}.provider: the {api.title} SDK is not installed: "
            f'pip install "streams-microbatch[{provider}]"'
        )
    if problems or way is None:
        raise ConfigError(problems)
    return sdk, way


def egress_problems(
    provider: str, settings: ProviderSettings | None, environ: Mapping[str, str]
) -> list[str]:
    """What a call would fail at before it leaves, without the SDK. A key that is not there is no
    problem: it may be where the worker runs."""
    api = APIS.get(provider)
    if api is None:
        return []
    in_file = settings is not None and settings.api_key_file is not None
    if not in_file and not environ.get(api.key_variable, "").strip():
        environ = {**environ, api.key_variable: "none"}
    try:
        egress(provider, settings, environ)
    except ConfigError as error:
        return list(error.problems)
    return []


def _base_url(
    provider: str,
    settings: ProviderSettings | None,
    environ: Mapping[str, str],
    key: ApiKey | None,
) -> str:
    api = APIS[provider]
    if settings is not None and settings.base_url is not None:
        name, given = f"provider.{provider}.base_url", settings.base_url
    elif environ.get(api.base_url_variable):
        name, given = api.base_url_variable, environ[api.base_url_variable]
    elif provider == "voyage" and key is not None and key.current().startswith("al-"):
        return _MONGODB
    else:
        return api.base_url
    try:
        return api_address(given)
    except ValueError as error:
        raise ConfigError([f"{name}: {error}"]) from None


def tls_context(environ: Mapping[str, str]) -> ssl.SSLContext | None:
    """Trust in the certificates of SSL_CERT_FILE, else of SSL_CERT_DIR; None: neither is set."""
    for variable, is_file in (("SSL_CERT_FILE", True), ("SSL_CERT_DIR", False)):
        if value := environ.get(variable):
            file, directory = (value, None) if is_file else (None, value)
            try:
                return ssl.create_default_context(cafile=file, capath=directory)
            except OSError as error:  # ssl.SSLError is one
                reason = error.strerror or type(error).__name__
                raise ConfigError([f"{variable}: holds no certificates: {reason}"]) from None
    return None
