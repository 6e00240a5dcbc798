"""The tests in several processes: what pytest-xdist has to be told, and what it leaves to us.

    controller: options, seed, the shared broker, all that is printed
        │ workerinput: the seed, where the shared broker is to be asked for
        ▼
    workers: collect, put their tests into the same order, run what they are given
        │ workeroutput: the gaps of the broker
        ▼
    controller: the summary

In one process (`-n 0`, or no `-n` at all) everything is a call in that process. Tests with a broker
of their own stay together in one worker, so that they share it: its start costs 5 s of CPU time.
(`--dist loadgroup` is meant for that; of xdist 3.8 it does nothing with pytest 9.)
"""

from __future__ import annotations

import functools
import random
from typing import Any

import pytest

from tests import forked
from tests.brokers.choose import Choice, describe
from tests.brokers.features import UnavailableError
from tests.shared import Access, Remote, Server, Shared

ACCESS = pytest.StashKey[Access]()
SEED_GIVEN = pytest.StashKey[bool]()
HANDED_IN = pytest.StashKey[dict[str, list[str]]]()

OWN = ("cluster", "own_broker")
"""Fixtures for what a test may harm: a group for each."""


def configure(config: pytest.Config) -> None:
    """Decides on the seed, and makes `access` work."""
    config.addinivalue_line("markers", "together(name): in one worker with the others of that name")
    given: dict[str, Any] | None = getattr(config, "workerinput", None)
    if given is None:
        config.stash[SEED_GIVEN] = config.option.seed is not None
        if config.option.seed is None:
            config.option.seed = random.SystemRandom().randrange(2**32)
        shared = Shared()
        config.stash[ACCESS] = shared
        config.pluginmanager.register(Controller(config, shared), "tests-controller")
    else:
        config.option.seed, config.stash[SEED_GIVEN] = given["seed"], given["seed_given"]
        config.stash[ACCESS] = Remote(given["shared_at"], bytes.fromhex(given["shared_key"]))
    forked.find_server = functools.cache(config.stash[ACCESS].fork_server)


def access(config: pytest.Config) -> Access:
    """How this process reaches the broker of the run."""
    return config.stash[ACCESS]


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def has_groups(config: pytest.Config) -> bool:
    """Not with `--thorough`: one worker would have nearly everything."""
    return is_worker(config) and not config.option.thorough


def keep_together(item: pytest.Item, fixtures: set[str]) -> None:
    """Marks tests with a broker of their own, unless the test says with whom it belongs."""
    for name in OWN:
        if name in fixtures and item.get_closest_marker("together") is None:
            item.add_marker(pytest.mark.together(name))


def arrange(config: pytest.Config, items: list[pytest.Item], longest: set[str]) -> None:
    """In several processes: those that use these fixtures first, because they take longest and wait
    most of the time; and the controller learns which belong together. In one process the order
    stays."""
    if not is_worker(config):
        return
    items.sort(key=lambda item: not longest & set(getattr(item, "fixturenames", ())))
    if has_groups(config):
        names = {i.nodeid: mark.args[0] for i in items for mark in i.iter_markers("together")}
        access(config).take_groups(names)


def chosen_kind(config: pytest.Config) -> str | None:
    """The kind of broker that the run is on; None in a worker: none can run, and the controller
    ends the run for it."""
    try:
        choice = access(config).choice()
    except UnavailableError as error:
        if is_worker(config):
            return None
        raise pytest.UsageError(str(error)) from error
    if not is_worker(config):
        say_which(config, choice)
    return choice.kind


def say_which(config: pytest.Config, choice: Choice) -> None:
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.ensure_newline()
        reporter.write_line(f"broker: {describe(choice)}")
        for reason in choice.passed_over:
            reporter.write_line(f"  passed over {reason}")


def hand_in(config: pytest.Config, gaps: dict[str, list[str]]) -> None:
    """At the end of a worker: what its broker could not do, which is the same in all of them."""
    if is_worker(config):
        config.workeroutput["gaps"] = gaps  # type: ignore[attr-defined]


class Controller:
    """The hooks of the controller, or of the only process."""

    def __init__(self, config: pytest.Config, shared: Shared) -> None:
        self._config = config
        self._shared = shared
        self._server: Server | None = None
        self._said = False
        config.stash[HANDED_IN] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        if self._server is None:
            self._server = Server(self._shared)
        node.workerinput["seed"] = self._config.option.seed
        node.workerinput["seed_given"] = self._config.stash[SEED_GIVEN]
        node.workerinput["shared_at"] = self._server.address
        node.workerinput["shared_key"] = self._server.key.hex()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        from tests.scheduling import Groups

        return Groups(config, log, self._shared.groups)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        """The first that has collected has asked for a broker, if a test wants one."""
        if self._shared.problem is not None:
            raise pytest.UsageError(self._shared.problem)
        if self._shared.chosen is not None and not self._said:
            self._said = True
            say_which(self._config, self._shared.chosen)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        gaps = getattr(node, "workeroutput", {}).get("gaps")
        self._config.stash[HANDED_IN].update(gaps or {})

    def pytest_unconfigure(self) -> None:
        if self._server is not None:
            self._server.close()
        self._shared.close()
