"""How every Kafka client of this program is built and connected.

`connected` is the one way in for commands: it waits for a broker for at most `CONNECT_WITHIN_S` and
turns whatever aiokafka says into one `BrokerError` with the reason and what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import ssl
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from streams.errors import BrokerError, ConfigError, UsageError

if TYPE_CHECKING:
    from streams.kafka.contacts import Contacts
    from streams.settings import KafkaSettings

# At DEBUG it logs whole requests, also the one with the password; the program around us may log
# everything at DEBUG.
logging.getLogger("aiokafka.conn").setLevel(logging.INFO)

CONNECT_WITHIN_S = 8.0
"""How long a broker may take to answer; the whole command must fail within 15 s."""


METADATA_EVERY_S = 0.1
"""How often a client may ask for metadata (aiokafka's own pause between two tries)."""

SILENCE_S = 10.0
"""How long a broker may leave a batch without an answer."""

QUIET_S = 5.0
"""How long a request is without an answer before any node is asked for one."""

ANY_WITHIN_S = 5.0
"""And how long all nodes may then be silent."""

LEADER_WITHIN_S = 30.0
"""How long one node may be silent while others answer: a cluster takes some 10 s to find out, and
gives what the node led to others."""


class Client(Protocol):
    """An aiokafka client before `start`."""

    async def start(self) -> None: ...


AnyClient = TypeVar("AnyClient", bound=Client)
T = TypeVar("T")


def pace_metadata(client: Any) -> None:
    """Let an `AIOKafkaClient` ask for metadata at most every `METADATA_EVERY_S`. While what it has
    to send or fetch has no leader, aiokafka asks again after each answer, without a pause."""
    send_update, last_update_at = client._metadata_update, -math.inf

    async def update(*arguments: Any) -> bool:
        nonlocal last_update_at
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(last_update_at + METADATA_EVERY_S - clock())
        last_update_at = clock()
        broker_answer: bool = await send_update(*arguments)
        return broker_answer

    client._metadata_update = update


def client_arguments(kafka: KafkaSettings) -> dict[str, Any]:
    """The keywords that aiokafka's producer, consumer, admin and bare client have in common.

    Raises `UsageError` for "embedded", which has no address until a command has started that
    broker, and `ConfigError` for certificates that cannot be used.
    """
    if kafka.bootstrap_servers == "embedded":
        raise UsageError(
            'kafka.bootstrap_servers: "embedded" starts a broker with the worker; there is none to'
            " connect to here: start one with `streams broker` and give its address with --broker"
        )
    arguments: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "security_protocol": kafka.security_protocol,
        "client_id": "streams",
    }
    context = ssl_context(kafka)
    if context is not None:
        arguments["ssl_context"] = context
    if kafka.sasl_mechanism is not None:
        arguments |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": _plain(kafka.sasl_password),
        }
    return arguments


def ssl_context(kafka: KafkaSettings) -> ssl.SSLContext | None:
    """TLS with the broker's name and certificate checked; None where the protocol has no TLS."""
    if kafka.security_protocol not in {"SSL", "SASL_SSL"}:
        return None
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_cafile)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"kafka.ssl_cafile: holds no certificate: {error}"]) from None
    if kafka.ssl_certfile is not None:
        # An empty password rather than none: OpenSSL would ask for it on the terminal.
        password = _plain(kafka.ssl_password) or ""
        try:
            context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile, password)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                [f"kafka.ssl_certfile: no certificate with its key, or a wrong password: {error}"]
            ) from None
    return context


def _plain(secret: Any) -> str | None:
    return None if secret is None else secret.get_secret_value()


@contextlib.asynccontextmanager
async def connected(
    client: AnyClient, servers: str, *, within_s: float = CONNECT_WITHIN_S
) -> AsyncIterator[AnyClient]:
    """Start the client, hand it over, and close it. Raises `BrokerError` if no broker answers."""
    await connect(client, servers, within_s=within_s)
    try:
        yield client
    finally:
        await _close(client)


async def connect(client: Client, servers: str, *, within_s: float = CONNECT_WITHIN_S) -> None:
    """Start the client within `within_s` seconds.

    Raises `BrokerError` if no broker answers, or none lets us in; the client is closed then.
    """
    from aiokafka.errors import KafkaConnectionError, KafkaError

    from streams.kafka.contacts import CONNECTING
    from streams.kafka.nodes import adopt

    adopt(client)
    connecting: list[Contacts] = []
    token = CONNECTING.set(connecting)
    try:
        await asyncio.wait_for(client.start(), within_s)
    except BaseException as error:
        await _close(client)
        if not isinstance(error, TimeoutError | KafkaError | OSError):
            raise
        if line := _why_not(connecting, servers):
            raise BrokerError(line) from error
        if isinstance(error, TimeoutError | KafkaConnectionError):
            raise no_broker(servers, f"no answer within {within_s:g} s") from error
        raise broker_error(error, servers) from error
    finally:
        CONNECTING.reset(token)


def _why_not(connecting: Sequence[Contacts], servers: str) -> str | None:
    """What these clients met at the addresses that they could not use; None: nothing."""
    from streams.kafka.remedies import unreachable

    for nodes in reversed(connecting):
        if nodes.unreachable:
            return unreachable(servers, nodes.unreachable, nodes.entry)
    return None


async def broker_answer(request: Awaitable[T], client: Any, within_s: float = LEADER_WITHIN_S) -> T:
    """Await a request of this aiokafka client to the broker. A node that is silent, the leader of a
    partition or the coordinator of a group, is waited for as long as others answer, at most
    `within_s`. Raises BrokerError where the broker refuses or does not answer."""
    from aiokafka.errors import KafkaError

    from streams.kafka.nodes import adopt

    nodes = adopt(client)
    asking = asyncio.ensure_future(request)
    clock = asyncio.get_running_loop().time
    ends = clock() + within_s
    try:
        while True:
            done, _ = await asyncio.wait((asking,), timeout=QUIET_S)
            if done:
                return asking.result()
            if clock() > ends or (nodes is not None and not await nodes.answers(ANY_WITHIN_S)):
                raise TimeoutError
    except (TimeoutError, KafkaError) as error:
        raise broker_error(error, client=client) from None
    finally:
        asking.cancel()


def broker_error(error: BaseException, servers: str = "", client: Any = None) -> BrokerError:
    """One line about an error of aiokafka, with what to do where that is clear."""
    from aiokafka.errors import KafkaTimeoutError, NodeNotReadyError, RequestTimedOutError

    from streams.kafka.nodes import adopt, entry_of
    from streams.kafka.remedies import missing_permission, partly, refusal, unreachable

    nodes, entry = adopt(client), entry_of(client)
    silent = isinstance(
        error, TimeoutError | KafkaTimeoutError | NodeNotReadyError | RequestTimedOutError
    )
    if line := missing_permission(error, entry) or refusal(error, servers, entry):
        return BrokerError(line)
    if silent and nodes is not None and nodes.answered_within(SILENCE_S):
        return BrokerError(f"{partly(nodes.unreachable)}: try again, or see after that node")
    if silent and nodes is not None and nodes.unreachable:
        return BrokerError(unreachable(nodes.servers, nodes.unreachable, entry))
    reason = f"{type(error).__name__} {error}".strip()
    at = f" at {servers}" if servers else ""
    return BrokerError(f"the broker{at} refuses or does not answer: {reason}")


def no_broker(servers: str, why: str) -> BrokerError:
    """The one line about a broker that does not answer."""
    from streams.kafka.remedies import no_answer

    return BrokerError(no_answer(servers, why))


async def _close(client: Any) -> None:
    """Close the client if there is one; a broker that hangs must not keep us."""
    close = getattr(client, "stop", None) or client.close
    with contextlib.suppress(Exception):
        await asyncio.wait_for(close(), 2.0)
