"""The key of an API: one word out of an environment variable or a file.

A file is looked at before every call and read again when it has changed, so that a new key is in
use with the next probe of a pause, by all tasks at once. While the file holds no key (it is being
written, or is gone), the last one counts.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from streams.errors import ConfigError
from streams.providers.port import ProviderSettings

logger = logging.getLogger(__name__)

Version = tuple[int, int, int]

_BLANKS: Final = "\ufeff \t\r\n\v\f"
"""What editors, shells and Windows leave around a key."""


class ApiKey:
    """`source`: where it comes from, for the account: equal sources have equal keys. It does not
    show the key."""

    def __init__(self, key: str, file: Path | None = None, version: Version | None = None) -> None:
        self._key = key
        self._file = file
        self._version = version
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        self.source = digest if file is None else f"file {file}"

    def __repr__(self) -> str:
        return "<ApiKey>"

    def current(self) -> str:
        """The key as it is now."""
        if self._file is not None and (version := _version(self._file)) != self._version:
            self._version = version
            try:
                key = _one_word(_text(self._file))
            except ValueError as error:
                logger.warning("%s %s; the key of before is used", self.source, error)
            else:
                if key != self._key:
                    logger.info("%s holds a new key", self.source)
                self._key = key
        return self._key


def api_key(
    provider: str, variable: str, settings: ProviderSettings | None, environ: Mapping[str, str]
) -> ApiKey:
    """The key, from `api_key_file` if it is set, else from the environment variable. Raises
    ConfigError with a line that says what is missing or wrong; it does not show the key."""
    path = settings.api_key_file if settings is not None else None
    if path is None and not environ.get(variable, "").strip(_BLANKS):
        raise ConfigError(
            [
                f"provider.{provider}.api_key_file: no API key: set {variable} in the environment, "
                "or api_key_file to the name of a file that holds the key"
            ]
        )
    try:
        if path is None:
            return ApiKey(_one_word(environ[variable]))
        file = Path(path).absolute()
        version = _version(file)  # before the text, so that no change between them is missed
        return ApiKey(_one_word(_text(file)), file, version)
    except ValueError as error:
        if path is None:
            raise ConfigError([f"{variable}: {error}"]) from None
        name = f"provider.{provider}.api_key_file"
        raise ConfigError([f"{name}: the file {os.fspath(path)} {error}"]) from None


def _one_word(text: str) -> str:
    """The key in a text. Raises ValueError."""
    key = text.strip(_BLANKS)
    if re.search("[\"'`‘’“”]", key):
        raise ValueError("holds a key in quotes: write it without them")
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("holds no API key: one word of printable ASCII is expected")
    return key


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("cannot be read: not UTF-8") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None


def _version(file: Path) -> Version | None:
    """Differs when the file was written or replaced; None: it cannot be looked at."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
