"""What every test may ask for: a broker, a topic, a seed.

`broker`   the session's broker (`STREAMS_TEST_BROKER`, docs/testing.md), healed before each test
`cluster`  the same with three nodes; skipped, with the reason, on kinds that have one
`topic`    makes topics with names of their own: `name = await topic(partitions=4)`
`seed`     a number for everything random; `--seed` repeats a run

A test that needs more than any broker can do says so: `@pytest.mark.needs("transactions")`. Such
tests are listed at the end with the reason when the broker of the run cannot.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.brokers.choose import VARIABLE, Broker, Choice, choose, describe, problem_with, start
from tests.brokers.features import KAFKA, UnavailableError

SHORT_RUNS = 5
THOROUGH_RUNS = 200

MakeTopic = Callable[..., Awaitable[str]]

SEED_GIVEN = pytest.StashKey[bool]()
CHOICE = pytest.StashKey[Choice | None]()
STARTED = pytest.StashKey[dict[str, Broker]]()
FAILED = pytest.StashKey[set[str]]()
GAPS = pytest.StashKey[dict[str, list[str]]]()
MARKS = pytest.StashKey[dict[str, list[int]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="the seed of everything random (default: a new one)")
    chaos = parser.getgroup("chaos", "the tests that break things (make chaos)")
    chaos.addoption("--thorough", action="store_true", help="also what takes long, and 200 runs")
    chaos.addoption("--runs", type=int, help="seeded runs (default: 5, 200 with --thorough)")
    chaos.addoption("--guarantee", help="of the runs (default: each in turn)")
    chaos.addoption("--nodes", type=int, choices=[1, 3], help="of the runs (default: in turn)")
    chaos.addoption("--report", metavar="FILE", help="the figures of all runs, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    # A shell that runs this in the background has it ignored, and so would every process of ours.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "needs(feature, ...): what the broker must be able to do")
    config.addinivalue_line("markers", "thorough: takes long; only with --thorough (make chaos)")
    if problem := problem_with(os.environ.get(VARIABLE)):
        raise pytest.UsageError(problem)
    if config.option.runs is None:
        config.option.runs = THOROUGH_RUNS if config.option.thorough else SHORT_RUNS
    config.stash[SEED_GIVEN] = config.option.seed is not None
    if config.option.seed is None:
        config.option.seed = random.SystemRandom().randrange(2**32)
    config.stash[CHOICE] = None
    config.stash[STARTED] = {}
    config.stash[FAILED] = set()
    config.stash[GAPS] = defaultdict(list)


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.option.seed} (repeat with --seed {config.option.seed})"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Chooses the broker once it is known that a test wants one, and says which."""
    if not config.option.thorough and (
        long := [i for i in items if i.get_closest_marker("thorough")]
    ):
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    wanting = [item for item in items if _brokers(item)]
    if not wanting:
        return
    for item in wanting:
        item.add_marker("kafka")
    if config.option.collectonly:
        return
    try:
        choice = choose(os.environ.get(VARIABLE))
    except UnavailableError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[CHOICE] = choice
    _say(config, f"broker: {describe(choice)}")
    for reason in choice.passed_over:
        _say(config, f"  passed over {reason}")
    for item in wanting:
        _skip_what_it_cannot_do(config, item, choice)


def _skip_what_it_cannot_do(config: pytest.Config, item: pytest.Item, choice: Choice) -> None:
    needed = {name for mark in item.iter_markers("needs") for name in mark.args}
    if unknown := needed - KAFKA:
        raise pytest.UsageError(f"{item.nodeid}: needs unknown features {sorted(unknown)}")
    lacking = sorted(name for name in needed if not _supports(choice.kind, name))
    if "cluster" in _brokers(item) and choice.kind != "java":
        lacking.append("three nodes")
    for feature in lacking:
        config.stash[GAPS][feature].append(item.nodeid)
    if lacking:
        reason = f"not on {describe(choice)}: {', '.join(lacking)}"
        item.add_marker(pytest.mark.skip(reason=reason))


def _supports(kind: str, feature: str) -> bool:
    if kind == "embedded":
        from tests.brokers.embedded import CANNOT

        return feature not in CANNOT
    if kind == "external":
        from tests.brokers.external import CANNOT

        return feature not in CANNOT
    return True


def _brokers(item: pytest.Item) -> set[str]:
    """Which of `broker` and `cluster` a test uses."""
    fixtures = set(getattr(item, "fixturenames", ()))
    used = fixtures & {"broker", "cluster"}
    return used or ({"broker"} if "topic" in fixtures else set())


def _say(config: pytest.Config, line: str) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.ensure_newline()
        reporter.write_line(line)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    choice = config.stash[CHOICE]
    gaps = config.stash[GAPS]
    if choice is not None and gaps:
        terminalreporter.section(f"gaps of the broker: {describe(choice)}")
        for feature, tests in sorted(gaps.items()):
            terminalreporter.write_line(f"{feature}: {len(tests)} tests not run")
            for test in tests:
                terminalreporter.write_line(f"    {test}")
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(f"seed: {config.option.seed}")
    if choice is not None:
        terminalreporter.write_line(f"broker: {describe(choice)}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    started = item.config.stash[STARTED]
    item.stash[MARKS] = {name: broker.log_marks() for name, broker in started.items()}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """A failed test shows what its broker logged meanwhile."""
    report: pytest.TestReport = yield
    if report.failed:
        marks = item.stash.get(MARKS, {})
        for name, broker in item.config.stash[STARTED].items():
            if name in _brokers(item):
                log = broker.log_since(marks.get(name) or [0] * len(broker.log_marks()))
                report.sections.append((f"log of the {name}: {broker.description}", log))
    return report


@pytest.fixture(scope="session")
def _started(pytestconfig: pytest.Config) -> Iterator[dict[str, Broker]]:
    started = pytestconfig.stash[STARTED]
    yield started
    for broker in started.values():
        broker.close()
    started.clear()


def _running(config: pytest.Config, name: str, nodes: int) -> Broker:
    started = config.stash[STARTED]
    if name in config.stash[FAILED]:
        pytest.fail(f"the {name} did not start, see the first failure", pytrace=False)
    if name not in started:
        choice = config.stash[CHOICE]
        assert choice is not None
        config.stash[FAILED].add(name)
        started[name] = start(choice.kind, nodes=nodes, address=choice.address)
        config.stash[FAILED].discard(name)
    started[name].heal()
    return started[name]


@pytest.fixture
def broker(_started: dict[str, Broker], pytestconfig: pytest.Config) -> Broker:
    """The session's broker, with every node running."""
    return _running(pytestconfig, "broker", 1)


@pytest.fixture
def cluster(_started: dict[str, Broker], pytestconfig: pytest.Config) -> Broker:
    """Three nodes of Apache Kafka, all running; replication factor 3, two in sync."""
    return _running(pytestconfig, "cluster", 3)


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """The seed of this run: `random.Random(seed)`."""
    return int(pytestconfig.option.seed)


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> MakeTopic:
    """Makes topics on the test's `cluster`, if it asks for one, else on the `broker`.

    `await topic("reviews", partitions=4, configs={"cleanup.policy": "compact"})` returns the name:
    the given one with something random after it. The topic has its leaders when it returns.
    """
    where = "cluster" if "cluster" in request.fixturenames else "broker"
    running: Broker = request.getfixturevalue(where)
    test = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)[:60].strip("-")

    async def make(
        name: str = "", *, partitions: int = 1, configs: Mapping[str, str] | None = None
    ) -> str:
        full = f"{name or test}-{uuid.uuid4().hex[:8]}"
        await _create_topic(running, full, partitions, dict(configs or {}))
        return full

    return make


async def _create_topic(
    broker: Broker, name: str, partitions: int, configs: dict[str, str]
) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    replicas = max(1, len(broker.nodes))
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(name, partitions, replicas, None, configs)])
        for _topic, code, *message in answer.topic_errors:
            assert code == 0, f"{name} was not created: error {code} {message}"
        async with asyncio.timeout(30):
            while not await _has_leaders(admin, name, partitions):  # noqa: ASYNC110  nothing tells us
                await asyncio.sleep(0.02)
    finally:
        await admin.close()


async def _has_leaders(admin: Any, name: str, partitions: int) -> bool:
    (described,) = await admin.describe_topics([name])
    leaders = [part["leader"] for part in described["partitions"] if part["error_code"] == 0]
    return len(leaders) == partitions and min(leaders, default=-1) >= 0
