"""`faust -A ... worker` does not put Faust's own web server on the worker's address."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams import App


@pytest.fixture
def app(tmp_path: Path) -> App:
    config = tmp_path / "streams.toml"
    config.write_text('[worker]\nid = "reviews"\nweb = "127.0.0.1:7077"\n')
    made = App.from_config(config)
    made.conf.web_enabled = True  # as `faust worker` does, unless told `--without-web`
    return made


def test_fausts_web_server_stays_off_where_the_worker_shows_itself(app: App) -> None:
    assert app.conf.web_port == 7077
    assert list(app.boot_strategy.web_server()) == []


def test_fausts_web_server_runs_where_it_is_given_a_port_of_its_own(app: App) -> None:
    app.conf.web_port = 7078  # `--web-port 7078`
    assert app.web in app.boot_strategy.web_server()
