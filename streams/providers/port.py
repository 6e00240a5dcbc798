"""The port that every provider fits, and what it is made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from streams.operations.exchange import Request, Response


class Provider(Protocol):
    """One API behind one task. Made outside the event loop, used in one loop, closed once."""

    @property
    def operations(self) -> frozenset[str]:
        """The operations whose requests it carries."""
        ...

    async def send(self, request: Request, timeout_s: float) -> Response:
        """Makes one call, without retries of its own.

        `timeout_s`: the caller gives up first, after this many seconds; the provider's own limit
        lies above it. Raises CallError when the call failed as a whole; its message holds neither
        keys nor, as far as the provider knows, texts.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What the results depend on beside the operation, as JSON: `provider`, and of `model` and
        `settings` those that there are, for `streams.codec.fingerprint`."""
        ...

    async def aclose(self) -> None:
        """Closes its connections; calls in flight fail."""
        ...


class ProviderSettings(Protocol):
    """What is under `[provider.<name>]`. `base_url`: None: the SDK's own."""

    @property
    def base_url(self) -> str | None: ...
    @property
    def api_key_file(self) -> str | os.PathLike[str] | None: ...


class TaskModel(Protocol):
    """What a provider needs to know of a task."""

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> str: ...


ProviderFactory = Callable[[TaskModel, ProviderSettings | None, Mapping[str, str]], Provider]
"""Makes a provider from a task, the provider's settings (None: there are none) and the environment.
Raises ConfigError with the lines to show."""


def api_key(
    provider: str, variable: str, settings: ProviderSettings | None, environ: Mapping[str, str]
) -> tuple[str, str]:
    """The key, and the line that says what is missing; one of the two is empty.

    From `api_key_file` where it is set, else from the environment variable.
    """
    path = settings.api_key_file if settings is not None else None
    if path is None:
        source, key = variable, environ.get(variable, "").strip()
        if not key:
            return "", (
                f"provider.{provider}.api_key_file: no API key: set {variable} in the environment, "
                "or api_key_file to the name of a file that holds the key"
            )
    else:
        source = f"the file {os.fspath(path)}"
        try:
            key = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            return "", f"provider.{provider}.api_key_file: {source} cannot be read: {reason}"
    if not (key.isascii() and key.isprintable()) or " " in key or not key:
        return "", (
            f"provider.{provider}.api_key_file: {source} holds no API key: one word of printable "
            "ASCII is expected"
        )
    return key, ""
