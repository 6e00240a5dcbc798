"""What every test may ask for: a broker, a topic, a seed.

`broker`      the run's broker (`STREAMS_TEST_BROKER`, docs/testing.md), which others use meanwhile
`own_broker`  one that the test may harm: its nodes are killed, frozen, reached through a proxy
`cluster`     the same with three nodes; skipped, with the reason, on kinds that have one
`topic`       makes topics with names of their own: `name = await topic(partitions=4)`
`seed`        a number for everything random; `--seed` repeats a run

A test that needs more than any broker can do says so: `@pytest.mark.needs("transactions")`. Such
tests are listed at the end with the reason when the broker of the run cannot.

The tests run in one process, or under pytest-xdist (`-n`) in several: `tests/parallel.py`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import settings

from tests import parallel
from tests.brokers.choose import VARIABLE, Broker, describe, problem_with, start, supports
from tests.brokers.features import KAFKA
from tests.chaos import reporting
from tests.shared import FAILED, NotStartedError, Shared, SharedBroker

# An example that takes long on a busy machine says nothing.
settings.register_profile("streams", deadline=None)
settings.load_profile("streams")

SHORT_RUNS = 5
THOROUGH_RUNS = 200

MakeTopic = Callable[..., Awaitable[str]]

OWN = pytest.StashKey[dict[str, Broker | None]]()
GAPS = pytest.StashKey[dict[str, list[str]]]()
MARKS = pytest.StashKey[dict[str, list[int]]]()

NODES = {"own_broker": 1, "cluster": 3}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="the seed of everything random (default: a new one)")
    chaos = parser.getgroup("chaos", "the tests that break things (make chaos)")
    chaos.addoption("--thorough", action="store_true", help="also what takes long, and 200 runs")
    chaos.addoption("--runs", type=int, help="seeded runs (default: 5, 200 with --thorough)")
    chaos.addoption("--guarantee", help="of the runs (default: each in turn)")
    chaos.addoption("--nodes", type=int, choices=[1, 3], help="of the runs (default: in turn)")
    chaos.addoption("--kills", type=int, help="of a worker with a pipeline (default: 2)")
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
    config.stash[OWN] = {}
    config.stash[GAPS] = defaultdict(list)
    parallel.configure(config)
    reporting.configure(config)


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.option.seed} (repeat with --seed {config.option.seed})"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Any:
    """What it makes stays: to look for garbage there, too, takes a seventh of a run's CPU time."""
    gc.disable()
    collected = yield
    gc.enable()
    gc.freeze()
    return collected


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """So that `-m "not kafka"` leaves out whatever would start a broker."""
    used = _brokers(item)
    if used:
        item.add_marker("kafka")
    parallel.keep_together(item, used)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Chooses the broker once it is known that a test wants one."""
    if not config.option.thorough and (
        long := [i for i in items if i.get_closest_marker("thorough")]
    ):
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    wanting = [item for item in items if _brokers(item)]
    if wanting and not config.option.collectonly and (kind := parallel.chosen_kind(config)):
        for item in wanting:
            _skip_what_it_cannot_do(config, item, kind)
    parallel.arrange(config, items, {"topic", "broker", *NODES})


def _skip_what_it_cannot_do(config: pytest.Config, item: pytest.Item, kind: str) -> None:
    needed = {name for mark in item.iter_markers("needs") for name in mark.args}
    if unknown := needed - KAFKA:
        raise pytest.UsageError(f"{item.nodeid}: needs unknown features {sorted(unknown)}")
    lacking = sorted(name for name in needed if not supports(kind, name))
    if "cluster" in _brokers(item) and kind != "java":
        lacking.append("three nodes")
    for feature in lacking:
        config.stash[GAPS][feature].append(item.nodeid)
    if lacking:
        reason = f"not on {describe(parallel.access(config).choice())}: {', '.join(lacking)}"
        item.add_marker(pytest.mark.skip(reason=reason))


def _brokers(item: pytest.Item) -> set[str]:
    """Which of `broker`, `own_broker` and `cluster` a test uses."""
    fixtures = set(getattr(item, "fixturenames", ()))
    used = fixtures & {"broker", *NODES}
    return used or ({"broker"} if "topic" in fixtures else set())


def pytest_sessionfinish(session: pytest.Session) -> None:
    parallel.hand_in(session.config, dict(session.config.stash[GAPS]))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    access = parallel.access(config)
    assert isinstance(access, Shared)
    choice = access.chosen
    gaps = config.stash[GAPS] or config.stash[parallel.HANDED_IN]
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


def _started(config: pytest.Config, names: set[str]) -> Iterator[tuple[str, Broker]]:
    """Those of these brokers that run by now."""
    access = parallel.access(config)
    if "broker" in names and access.started():
        yield "broker", SharedBroker(access)
    for name, broker in config.stash[OWN].items():
        if name in names and broker is not None:
            yield name, broker


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    running = _started(item.config, _brokers(item))
    item.stash[MARKS] = {name: broker.log_marks() for name, broker in running}


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Closes brokers whose tests, which come in a row, are over: an idle node takes CPU time."""
    if nextitem is not None and parallel.has_groups(item.config):
        own, used = item.config.stash[OWN], _brokers(nextitem)
        for name, broker in list(own.items()):
            if broker is not None and name not in used:
                del own[name]
                broker.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """A failed test shows what its broker logged meanwhile."""
    report: pytest.TestReport = yield
    if report.failed:
        marks = item.stash.get(MARKS, {})
        for name, broker in _started(item.config, _brokers(item)):
            log = broker.log_since(marks.get(name) or [0] * len(broker.log_marks()))
            report.sections.append((f"log of the {name}: {broker.description}", log))
    return report


@pytest.fixture(scope="session")
def _own(pytestconfig: pytest.Config) -> Iterator[dict[str, Broker | None]]:
    """Brokers of this process, by the fixture's name; None: it did not start."""
    own = pytestconfig.stash[OWN]
    yield own
    for broker in own.values():
        if broker is not None:
            broker.close()
    own.clear()


def _running(config: pytest.Config, own: dict[str, Broker | None], name: str) -> Broker:
    if name not in own:
        own[name] = None
        access = parallel.access(config)
        choice = access.choice()
        if name == "own_broker" and isinstance(access, Shared):
            own[name] = access.broker()  # nobody else uses it meanwhile
        else:
            own[name] = start(choice.kind, nodes=NODES[name], address=choice.address)
    broker = own[name]
    if broker is None:
        pytest.fail(f"{name}: {FAILED}", pytrace=False)
    broker.heal()
    return broker


@pytest.fixture
def broker(pytestconfig: pytest.Config) -> Broker:
    """The run's broker. It has no nodes to play with: that is `own_broker`."""
    try:
        shared = SharedBroker(parallel.access(pytestconfig))
    except NotStartedError as error:
        pytest.fail(f"broker: {error}", pytrace=False)
    shared.heal()
    return shared


@pytest.fixture
def own_broker(_own: dict[str, Broker | None], pytestconfig: pytest.Config) -> Broker:
    """A broker that nobody else uses meanwhile, with every node running."""
    return _running(pytestconfig, _own, "own_broker")


@pytest.fixture
def cluster(_own: dict[str, Broker | None], pytestconfig: pytest.Config) -> Broker:
    """Three nodes of Apache Kafka, all running; replication factor 3, two in sync."""
    return _running(pytestconfig, _own, "cluster")


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """The seed of this run: `random.Random(seed)`."""
    return int(pytestconfig.option.seed)


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> MakeTopic:
    """Makes topics on the broker that the test asks for; on the `broker` if it asks for none.

    `await topic("reviews", partitions=4, configs={"cleanup.policy": "compact"})` returns the name:
    the given one with something random after it. The topic has its leaders when it returns.
    """
    where = next((name for name in NODES if name in request.fixturenames), "broker")
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

    from tests.integration.topics import until_led

    replicas = max(1, len(broker.nodes))
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    answer = await admin.create_topics(
                        [NewTopic(name, partitions, replicas, None, configs)]
                    )
                    break
                except AttributeError:  # aiokafka: a node that was frozen is still fenced
                    await asyncio.sleep(0.02)
        for _topic, code, *message in answer.topic_errors:
            assert code == 0, f"{name} was not created: error {code} {message}"
        await until_led(admin, name, partitions)
    finally:
        await admin.close()
