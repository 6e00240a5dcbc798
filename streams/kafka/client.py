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
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from streams.errors import BrokerError, ConfigError, UsageError

if TYPE_CHECKING:
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

    Raises `BrokerError` if no broker answers; the client is closed then.
    """
    from aiokafka.errors import KafkaConnectionError, KafkaError

    with _logged_reasons() as reasons:
        try:
            await asyncio.wait_for(client.start(), within_s)
        except BaseException as error:
            await _close(client)
            if isinstance(error, TimeoutError):
                reason = f"no answer within {within_s:g} s"
            elif isinstance(error, KafkaConnectionError):
                reason = reasons[-1] if reasons else "no connection"
            elif isinstance(error, (KafkaError, OSError)):
                reason = f"{type(error).__name__} {error}".strip()
            else:
                raise
            raise no_broker(servers, reason) from error


async def broker_answer(request: Awaitable[T]) -> T:
    """Await a request to the broker. Raises BrokerError where it refuses or does not answer."""
    from aiokafka.errors import KafkaError

    try:
        return await asyncio.wait_for(request, SILENCE_S)
    except (TimeoutError, KafkaError) as error:
        reason = f"{type(error).__name__} {error}".strip()
        raise BrokerError(f"the broker refuses or does not answer: {reason}") from None


def no_broker(servers: str, reason: str) -> BrokerError:
    """The one line about a broker that does not answer."""
    return BrokerError(
        f"no broker answers at {servers}: {reason}; is it running, and is the address right?"
        " (--broker HOST:PORT, or kafka.bootstrap_servers)"
    )


async def _close(client: Any) -> None:
    """Close the client if there is one; a broker that hangs must not keep us."""
    close = getattr(client, "stop", None) or client.close
    with contextlib.suppress(Exception):
        await asyncio.wait_for(close(), 2.0)


@contextlib.contextmanager
def _logged_reasons() -> Any:
    """Collects why aiokafka could not connect: it logs the reason and raises without it."""
    reasons: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if isinstance(record.args, tuple) and record.args:
                reasons.append(_reason(record.args[-1]))

    listener = Listener(logging.WARNING)
    logger = logging.getLogger("aiokafka")
    logger.addHandler(listener)
    try:
        yield reasons
    finally:
        logger.removeHandler(listener)


def _reason(error: Any) -> str:
    while isinstance(error, BaseException) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return "connection refused"
    if isinstance(error, (TimeoutError, asyncio.CancelledError)):
        return "no answer"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
