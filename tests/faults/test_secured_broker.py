"""What commands and workers say of a broker with TLS, passwords and ACLs that does not let them in:
that its errors have the forms that `streams.kafka.remedies` reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.brokers import jars
from tests.brokers.secured import USERS, SecuredBroker, allow
from tests.cli.command import streams
from tests.integration.harness import create_topic, publish, read
from tests.integration.members import other_member
from tests.integration.running import done, item, worker

pytestmark = [pytest.mark.kafka, pytest.mark.together("secured")]

LOGIN = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "reviews"}
TASK = """
[worker]
id = "{group}"
web = ""
[[task]]
name = "mood"
source = "reviews"
sink = "reviews.out"
operation = "classify"
provider = "anthropic"
model = "claude-haiku-4-5"
labels = ["a", "b"]
[provider.anthropic]
base_url = "http://127.0.0.1:1"
"""


@pytest.fixture(scope="module")
def secured() -> Iterator[SecuredBroker]:
    if reason := jars.missing():
        pytest.skip(reason)
    with SecuredBroker() as broker:
        asyncio.run(create_topic(broker.bootstrap, "reviews", 2))
        yield broker


@pytest.fixture
def said(secured: SecuredBroker, tmp_path: Path) -> Any:
    """Runs a command with this `[kafka]`; gives its exit code and its last line. `address`: by
    default the one of SASL_SSL."""

    def run(
        *command: str,
        kafka: dict[str, Any],
        address: str = "SASL_SSL",
        password: str = USERS["reviews"],
        group: str = "w",
    ) -> tuple[int, str]:
        at = secured.addresses.get(address, address)
        settings = {"bootstrap_servers": at, **kafka}
        lines = [f"{key} = {json.dumps(value, default=str)}" for key, value in settings.items()]
        config = tmp_path / "streams.toml"
        config.write_text("\n".join(["[kafka]", *lines, TASK.format(group=group)]))
        variables = {"ANTHROPIC_API_KEY": "none"}
        if "sasl_mechanism" in kafka:
            variables["STREAMS_KAFKA__SASL_PASSWORD"] = password
        done = streams(*command, "--config", config, variables=variables)
        return done.code, done.err.splitlines()[-1]

    return run


TAIL = ("tail", "reviews", "--count", "1")


def test_each_way_of_not_being_let_in_has_its_own_line(secured, said):
    trust = {"ssl_cafile": secured.ca}
    login = {**LOGIN, **trust}
    other_name = secured.addresses["SASL_SSL"].replace("localhost", "127.0.0.1")
    scram = {**login, "sasl_mechanism": "SCRAM-SHA-256"}
    open_login = {**LOGIN, "security_protocol": "SASL_PLAINTEXT"}
    tls = {"security_protocol": "SSL", **trust}
    for words, keywords in [
        ("wrong name or password", {"kafka": login, "password": "wrong"}),
        ("wrong name or password", {"kafka": open_login, "password": "wrong",
                                    "address": "SASL_PLAINTEXT"}),
        ("certificate for another name", {"kafka": login, "address": other_name}),
        ("not trusted here", {"kafka": LOGIN}),
        ("does not offer SCRAM-SHA-256", {"kafka": scram}),
        ("takes no passwords", {"kafka": open_login, "address": "PLAINTEXT"}),
        ("takes no passwords", {"kafka": login, "address": "SSL"}),
        ("speaks TLS at this port", {"kafka": {}}),
        ("speaks TLS at this port", {"kafka": open_login}),
        ("does not speak TLS", {"kafka": tls, "address": "PLAINTEXT"}),
        ("does not speak TLS", {"kafka": login, "address": "SASL_PLAINTEXT"}),
        ("may want a password", {"kafka": {}, "address": "SASL_PLAINTEXT"}),
        ("may want a password", {"kafka": tls}),
    ]:  # fmt: skip
        code, line = said(*TAIL, **keywords)
        assert (code, words in line) == (1, True), (words, line)


@pytest.mark.parametrize("command", ["publish", "dead", "worker"])
def test_every_command_says_it(secured, said, tmp_path, command):
    records = tmp_path / "records.jsonl"
    records.write_text('{"a":1}\n')
    arguments = {
        "publish": ["publish", "reviews", str(records)],
        "dead": ["dead", "list", "reviews"],
        "worker": ["worker"],
    }[command]
    login = {**LOGIN, "ssl_cafile": secured.ca}
    code, line = said(*arguments, kafka=login, password="wrong")
    assert code == 1
    assert "user reviews in: wrong name or password" in line


async def test_a_worker_that_cannot_join_its_group_ends_with_1_and_the_remedy(secured, said):
    """Before, the line was logged and the process stayed for ever."""
    login = {**LOGIN, "ssl_cafile": secured.ca}
    code, line = await asyncio.to_thread(said, "worker", kafka=login)
    assert (code, "let user reviews see it" in line) == (1, True), line
    for topic in ("reviews", "reviews.out", "reviews.dead"):
        operations = ("READ", "WRITE", "CREATE", "DESCRIBE", "DESCRIBE_CONFIGS")
        await allow(secured, "TOPIC", topic, *operations)
    code, line = await asyncio.to_thread(said, "worker", kafka=login, group="not-ours")
    assert (code, "--group not-ours" in line) == (1, True), line
    plain = {"kafka": {"session_timeout_s": 100}, "address": "PLAINTEXT"}
    code, line = await asyncio.to_thread(said, "worker", **plain)
    assert (code, "group.max.session.timeout.ms" in line) == (1, True), line
    async with other_member(secured.bootstrap, "connectors", "connect"):
        plain = {"kafka": {}, "address": "PLAINTEXT", "group": "connectors"}
        code, line = await asyncio.to_thread(said, "worker", **plain)
    assert (code, "'connect'" in line) == (1, True), line


async def test_tail_of_a_topic_that_may_be_seen_and_not_read_is_one_line(secured, said):
    await create_topic(secured.bootstrap, "seen", 2)
    await allow(secured, "TOPIC", "seen", "DESCRIBE")
    login = {**LOGIN, "ssl_cafile": secured.ca}
    for options in (["--count", "1"], ["--json"], ["--from", "latest"]):
        code, line = await asyncio.to_thread(said, "tail", "seen", *options, kafka=login)
        assert code == 1
        assert line.startswith("error: user reviews may not read the topic seen: grant it Read"), (
            line
        )


async def test_settings_that_may_not_be_seen_are_told_and_what_the_sink_refuses_holds_nobody(
    secured, tmp_path
):
    """Before, the compacted sink was taken for a plain one, and a batch with a record without a key
    was offered for ever."""
    await create_topic(secured.bootstrap, "orders", 1)
    await create_topic(secured.bootstrap, "orders.out", 1, cleanup_policy="compact")
    await create_topic(secured.bootstrap, "orders.dead", 1)
    await allow(secured, "TOPIC", "orders", "DESCRIBE", "READ")
    await allow(secured, "TOPIC", "orders.out", "DESCRIBE", "WRITE")
    await allow(secured, "GROUP", "orders-group", "READ")
    login = {f"STREAMS_KAFKA__{key.upper()}": value for key, value in LOGIN.items()}
    login["STREAMS_KAFKA__SSL_CAFILE"] = str(secured.ca)
    login["STREAMS_KAFKA__SASL_PASSWORD"] = USERS["reviews"]
    records = [(b"k" if n % 2 else None, item(n), 0) for n in range(10)]
    await publish(secured.bootstrap, "orders", records)
    door = SimpleNamespace(bootstrap=secured.addresses["SASL_SSL"])
    grant = (
        "user reviews may not see the settings of topic {}: grant it DescribeConfigs on topic {}"
    )

    await allow(secured, "TOPIC", "orders.dead", "DESCRIBE", "WRITE")
    with worker(door, "orders", **login) as process:
        await done(secured, process, "orders", [10])
        assert process.stop() == 0, process.log
        names = "orders, orders.dead, orders.out"
        assert grant.format(names, names) in process.log
    found = await read(secured.bootstrap, ["orders.out", "orders.dead"])
    results = [each.key for each in found if each.topic == "orders.out"]
    dead = [dict(each.headers) for each in found if each.topic == "orders.dead"]
    assert results == [b"k"] * 5
    assert [each["streams-source-offset"] for each in dead] == [b"%d" % n for n in range(0, 10, 2)]
    assert {each["streams-error-code"] for each in dead} == {b"refused_by_sink"}

    config = tmp_path / "orders.toml"
    task = TASK.replace('"reviews', '"orders').format(group="orders-group")
    config.write_text(f'[kafka]\nbootstrap_servers = "{door.bootstrap}"\n{task}')
    login["ANTHROPIC_API_KEY"] = "none"
    checked = await asyncio.to_thread(
        streams, "check", "--connect", "--config", config, variables=login
    )
    assert checked.code == 1
    for name in ("orders", "orders.out", "orders.dead"):
        assert grant.format(name, name) in checked.err
    missing = config.with_name("missing.toml")
    missing.write_text(config.read_text().replace('"orders.out"', '"orders.more"'))
    await allow(secured, "CLUSTER", "kafka-cluster", "CREATE")
    started = await asyncio.to_thread(streams, "worker", "--config", missing, variables=login)
    assert started.code == 1
    line = started.err.splitlines()[-1]
    assert "orders.more is missing, and cannot be created with the settings of orders" in line
    assert grant.format("orders", "orders") in line
