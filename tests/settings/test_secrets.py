"""Secrets come from the environment or from files, and do not come out again."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from streams.errors import ConfigError
from streams.settings import Settings, load_settings

SASL = """
[kafka]
security_protocol = "SASL_SSL"
sasl_mechanism = "PLAIN"
sasl_username = "me"
"""


def load(path: Path, text: str, **variables: str) -> Settings:
    path = path / "streams.toml"
    path.write_text(text)
    return load_settings(path, variables, need_tasks=False)


def test_the_password_comes_from_a_variable_or_a_file_beside_the_configuration(
    tmp_path: Path,
) -> None:
    (tmp_path / "password").write_text("from file\n")
    named = f'{SASL}sasl_password_file = "password"\n'
    for text, variables, expected in (
        (SASL, {"STREAMS_KAFKA__SASL_PASSWORD": "from variable"}, "from variable"),
        (named, {}, "from file"),
        (named, {"STREAMS_KAFKA__SASL_PASSWORD": "from variable"}, "from variable"),
    ):
        password = load(tmp_path, text, **variables).kafka.sasl_password
        assert password is not None
        assert password.get_secret_value() == expected


def test_no_view_of_the_settings_shows_a_secret(tmp_path: Path) -> None:
    settings = load(tmp_path, SASL, STREAMS_KAFKA__SASL_PASSWORD="hush-hush")
    for view in (repr(settings), str(settings), settings.model_dump(), settings.model_dump_json()):
        assert "hush" not in str(view)
    assert b"hush" in pickle.dumps(settings)  # the test could tell


def test_no_error_shows_a_secret(tmp_path: Path) -> None:
    text = f'{SASL.replace("PLAIN", "NONE")}sasl_password = "hush-hush"\n'
    text += (
        '[provider.anthropic]\napi_key = "sk-ant-hush-hush"\napi_key_file = "sk-ant-hush-hush"\n'
    )
    text += 'base_url = "https://me:hush-hush@host"\n[worker]\ntoken = "hush-hush"\n'
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert len(caught.value.problems) == 7
    assert "hush" not in str(caught.value)


def test_an_empty_password_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f'{SASL}sasl_password_file = "password"\n')
    assert caught.value.problems == (f"kafka.sasl_password_file: {tmp_path}/password: is empty",)


def test_settings_do_not_change(tmp_path: Path) -> None:
    settings = load(tmp_path, "")
    with pytest.raises(ValueError, match="frozen"):
        settings.kafka.session_timeout_s = 7  # type: ignore[misc]
