"""What an error of a connection or a refusal means, and what to do about it, in one line. Pure.

    the error of one address ──► refusal(...)    the broker is there and says no: its own line
                             └─► reason(...)     nobody answers: a few words
    the errors of all addresses ──► unreachable(...) ──► one line

The forms of the errors are measured on aiokafka 0.14 and Apache Kafka 4.4
(`tests/faults/test_secured_broker.py`).
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka import errors

ASK = "is it running, and is the address right? (--broker HOST:PORT, or kafka.bootstrap_servers)"

TLS_ALERT = 0x15
"""The first byte of what a TLS port answers to plain text; read as a frame, it is a huge length."""

WRONG_NAME = {62, 64}
UNTRUSTED = {2, 18, 19, 20, 21}
NOT_NOW = {9, 10}
"""OpenSSL's codes of a certificate that it refuses (`X509_V_ERR_...`)."""

CLIENT_CERTIFICATE = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE")


class Entry(NamedTuple):
    """How a client asks to come in, with the words of `[kafka]`."""

    protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    user: str | None = None

    @property
    def tls(self) -> bool:
        return self.protocol in {"SSL", "SASL_SSL"}

    @property
    def sasl(self) -> bool:
        return self.protocol.startswith("SASL_")


def unreachable(servers: str, failures: Mapping[str, BaseException | None], entry: Entry) -> str:
    """The line about a cluster that could not be used. `failures`: the last error of each address,
    None where no answer came."""
    for address, error in failures.items():
        if error is not None and (line := refusal(error, address, entry)):
            return line
    given = servers.split(",")
    told = {address: error for address, error in failures.items() if address not in given}
    if told:
        what = "; ".join(f"{address}: {reason(error)}" for address, error in told.items())
        return (
            f"the broker at {servers} answers, and says to go on at an address where no broker"
            f" answers: {what}; correct its advertised.listeners, or make that address reachable"
            " from here"
        )
    reasons = dict.fromkeys(reason(error) for error in failures.values())
    return no_answer(servers, " and ".join(reasons) or "no answer")


def partly(failures: Mapping[str, BaseException | None]) -> str:
    """Which nodes do not answer while others do."""
    what = "; ".join(f"{address}: {reason(error)}" for address, error in failures.items())
    return f"a node does not answer ({what or 'no answer'}), and no other has taken over from it"


def no_answer(servers: str, why: str) -> str:
    """The line about a broker that does not answer."""
    return f"no broker answers at {servers}: {why}; {ASK}"


def reason(error: BaseException | None) -> str:
    """Why nobody answers, in a few words."""
    root = _root(error)
    if root is None or isinstance(root, TimeoutError | asyncio.CancelledError):
        return "no answer"
    if isinstance(root, ConnectionRefusedError) or "Connect call failed" in str(root):
        return "connection refused"
    if isinstance(root, socket.gaierror | UnicodeError):
        return "its name is not found"
    text = " ".join(str(root).split())
    return f"{type(root).__name__}: {text}" if text else type(root).__name__


def refusal(error: BaseException, address: str, entry: Entry) -> str | None:
    """The line where somebody is there and does not let us in; None: nobody answers."""
    root = _root(error)
    at = f"the broker at {address}"
    if isinstance(error, errors.KafkaError) and (line := _of_login(error, at, entry)):
        return line
    if isinstance(root, ssl.SSLCertVerificationError):
        return _of_certificate(root, at)
    if isinstance(root, asyncio.IncompleteReadError):
        return _of_answer(root, at, entry)
    if isinstance(root, ssl.SSLError):
        return _of_tls(root, at)
    if isinstance(root, ConnectionResetError | BrokenPipeError):
        return _closed(at, entry, handshake=not isinstance(error, errors.KafkaError))
    if isinstance(root, OSError) and root.errno in {errno.EMFILE, errno.ENFILE}:
        return "too many open files: raise the limit of open files (ulimit -n) of this process"
    return None


def _root(error: BaseException | None) -> BaseException | None:
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    return error


def _of_login(error: errors.KafkaError, at: str, entry: Entry) -> str | None:
    if isinstance(error, errors.SaslAuthenticationFailed | errors.AuthenticationFailedError):
        return (
            f"{at} does not let user {entry.user} in: wrong name or password; check"
            " kafka.sasl_username and its password (STREAMS_KAFKA__SASL_PASSWORD or"
            " kafka.sasl_password_file)"
        )
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        return (
            f"{at} does not offer {entry.mechanism}: set kafka.sasl_mechanism to one of those that"
            " it has enabled (sasl.enabled.mechanisms)"
        )
    if isinstance(error, errors.IllegalSaslStateError):
        return (
            f"{at} takes no passwords at this port: set kafka.security_protocol to"
            f' "{"SSL" if entry.tls else "PLAINTEXT"}", or take its port for {entry.protocol}'
        )
    if isinstance(error, errors.UnsupportedVersionError | errors.IncompatibleBrokerVersion):
        return f"{at} speaks none of our versions of the protocol: it is too old, or too new"
    return None


def _of_certificate(error: ssl.SSLCertVerificationError, at: str) -> str:
    why = error.verify_message.rstrip(".")
    if error.verify_code in WRONG_NAME:
        return (
            f"{at} has a certificate for another name ({why}): use a name that the certificate has,"
            " in kafka.bootstrap_servers and in the broker's advertised.listeners"
        )
    if error.verify_code in UNTRUSTED:
        return (
            f"{at} has a certificate that is not trusted here ({why}): set kafka.ssl_cafile to the"
            " certificate of the authority that signed it"
        )
    if error.verify_code in NOT_NOW:
        return f"{at} has a certificate that is not valid now ({why}): renew it, or set the clock"
    return f"{at} has a certificate that is refused here: {why}"


def _of_tls(error: ssl.SSLError, at: str) -> str:
    what = error.reason or ""
    if what == "WRONG_VERSION_NUMBER" or "HTTP_REQUEST" in what:
        return _no_tls(at)
    if any(each in what for each in CLIENT_CERTIFICATE):
        return (
            f"{at} refuses our certificate ({what}): set kafka.ssl_certfile and kafka.ssl_keyfile"
            " to one that it trusts (ssl.client.auth)"
        )
    if "EOF" in what:
        return _no_tls(at)
    return f"{at} and this client agree on no TLS ({what}): compare ssl.enabled.protocols"


def _no_tls(at: str) -> str:
    return (
        f"{at} does not speak TLS at this port: take its TLS port, or set kafka.security_protocol"
        ' to "PLAINTEXT" or "SASL_PLAINTEXT"'
    )


def _of_answer(error: asyncio.IncompleteReadError, at: str, entry: Entry) -> str:
    """The connection ended within an answer: `expected` is a length that was read, or the four
    bytes of one."""
    length = (error.expected or 0).to_bytes(8, "big")[-4:]
    if length[0] == TLS_ALERT and not entry.tls:
        secure = "SASL_SSL" if entry.sasl else "SSL"
        return (
            f"{at} speaks TLS at this port: set kafka.security_protocol to"
            f' "{secure}"{"" if entry.sasl else " (SASL_SSL if it asks for a password)"},'
            " or take its port without TLS"
        )
    if all(0x20 <= byte < 0x7F or byte in b"\r\n" for byte in length):
        return f"what answers at {at.removeprefix('the broker at ')} is no Kafka broker; {ASK}"
    return _closed(at, entry)


def _closed(at: str, entry: Entry, *, handshake: bool = False) -> str:
    if entry.tls and handshake:
        return _no_tls(at)
    if entry.sasl:
        return (
            f"{at} closes the connection before it lets user {entry.user} in: compare"
            " kafka.security_protocol and kafka.sasl_mechanism with its listener"
        )
    wanted = "SASL_SSL" if entry.tls else "SASL_PLAINTEXT"
    also = ", or a client certificate (kafka.ssl_certfile)" if entry.tls else ""
    return (
        f"{at} closes the connection at the first request: it may want a password"
        f' (kafka.security_protocol = "{wanted}"){also}, or nobody listens behind that port'
    )


def missing_permission(error: BaseException, entry: Entry, *, group: str = "") -> str | None:
    """The line about an operation that the user may not do, with the ACL to grant; None: the error
    is another one."""
    user = entry.user or "of this client"
    names = ", ".join(str(name) for name in _names(error))
    if isinstance(error, errors.TopicAuthorizationFailedError):
        what, grant = f"topic {names}".strip(), f"--topic {names or 'NAME'}"
        return _grant(user, what, "Describe, and Read or Write", grant)
    if isinstance(error, errors.GroupAuthorizationFailedError):
        name = group or names
        return _grant(user, f"group {name}", "Read", f"--group {name or 'NAME'}")
    if isinstance(error, errors.TransactionalIdAuthorizationFailed):
        return _grant(user, f"transactional id {names}".strip(), "Write and Describe",
                      "--transactional-id NAME")  # fmt: skip
    if isinstance(error, errors.ClusterAuthorizationFailedError):
        return _grant(user, "cluster", "Create, or IdempotentWrite", "--cluster")
    return None


def hidden_settings(topics: Sequence[str], entry: Entry) -> str:
    """The line about topics whose settings the user may not see."""
    names = ", ".join(topics)
    user = entry.user or "ANONYMOUS"
    return (
        f"user {user} may not see the settings of topic {names}: grant it DescribeConfigs on topic "
        f"{names} (kafka-acls --add --allow-principal User:{user} --topic {topics[0]} --operation "
        "DescribeConfigs)"
    )


def may_not_read(topic: object, entry: Entry) -> str:
    """The line about a topic that the user may see and not read."""
    user = entry.user or "ANONYMOUS"
    return (
        f"user {user} may not read the topic {topic}: grant it Read (kafka-acls --add "
        f"--allow-principal User:{user} --topic {topic} --operation Read)"
    )


def or_hidden(entry: Entry) -> str:
    """To be added to a line about a topic that is missing: the broker hides what a user may not
    see."""
    if entry.user is None:
        return ""
    return f"; or let user {entry.user} see it (an ACL for Describe, or Read, or Write)"


def _names(error: BaseException) -> list[object]:
    found: list[object] = []
    for each in error.args:
        found += each if isinstance(each, set | frozenset | list | tuple) else [each]
    return [each for each in found if each]


def _grant(user: str, what: str, operations: str, option: str) -> str:
    return (
        f"user {user} has no permission for the {what}: grant it {operations}"
        f" (kafka-acls --add --allow-principal User:{user} {option} --operation ...)"
    )
