"""An error of a connection becomes the line that says what to do about it: each its own."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import pytest
from aiokafka import errors

from streams.kafka.remedies import Entry, missing_permission, no_answer, refusal, unreachable

AT = "kafka:9093"
PLAIN, TLS = Entry(), Entry("SSL")
LOGIN = Entry("SASL_SSL", "PLAIN", "reviews")
OPEN_LOGIN = Entry("SASL_PLAINTEXT", "PLAIN", "reviews")


def certificate(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


def closed(cause: BaseException) -> errors.KafkaConnectionError:
    """As aiokafka says that a connection ended."""
    error = errors.KafkaConnectionError(f"Connection at {AT} closed")
    error.__cause__ = cause
    return error


def cut(answer: bytes = b"") -> errors.KafkaConnectionError:
    """The connection ended after these bytes."""
    if len(answer) < 4:
        return closed(asyncio.IncompleteReadError(answer, 4))
    length = int.from_bytes(answer[:4], "big")
    return closed(asyncio.IncompleteReadError(answer[4:], length))


TLS_ALERT = b"\x15\x03\x03\x00\x02\x02\x50"

REFUSALS = [
    (errors.SaslAuthenticationFailed("no"), LOGIN, ["user reviews", "password"]),
    (errors.UnsupportedSaslMechanismError(), LOGIN, ["PLAIN", "kafka.sasl_mechanism"]),
    (errors.IllegalSaslStateError(), LOGIN, ["no passwords", '"SSL"']),
    (errors.IllegalSaslStateError(), OPEN_LOGIN, ["no passwords", '"PLAINTEXT"']),
    (errors.UnsupportedVersionError(), PLAIN, ["versions"]),
    (certificate(62, "Hostname mismatch"), TLS, ["another name", "advertised.listeners"]),
    (certificate(64, "IP address mismatch"), TLS, ["another name", "IP address mismatch"]),
    (certificate(18, "self-signed certificate"), TLS, ["not trusted", "kafka.ssl_cafile"]),
    (certificate(19, "self-signed in chain"), TLS, ["not trusted", "kafka.ssl_cafile"]),
    (certificate(20, "unable to get issuer"), TLS, ["not trusted", "kafka.ssl_cafile"]),
    (certificate(10, "certificate has expired"), TLS, ["not valid now", "renew"]),
    (certificate(9, "not yet valid"), TLS, ["not valid now", "clock"]),
    (certificate(68, "CA signature too weak"), TLS, ["refused here", "too weak"]),
    (tls("WRONG_VERSION_NUMBER"), TLS, ["does not speak TLS", '"PLAINTEXT"']),
    (tls("UNEXPECTED_EOF_WHILE_READING"), TLS, ["does not speak TLS"]),
    (ConnectionResetError(), TLS, ["does not speak TLS"]),
    (closed(tls("TLSV13_ALERT_CERTIFICATE_REQUIRED")), TLS, ["kafka.ssl_certfile"]),
    (tls("SSLV3_ALERT_HANDSHAKE_FAILURE"), TLS, ["kafka.ssl_certfile"]),
    (tls("UNSUPPORTED_PROTOCOL"), TLS, ["agree on no TLS", "UNSUPPORTED_PROTOCOL"]),
    (cut(TLS_ALERT), PLAIN, ["speaks TLS", '"SSL"', "SASL_SSL"]),
    (cut(TLS_ALERT), OPEN_LOGIN, ["speaks TLS", '"SASL_SSL"']),
    (cut(), PLAIN, ["closes the connection", "SASL_PLAINTEXT"]),
    (cut(), TLS, ["closes the connection", "SASL_SSL", "kafka.ssl_certfile"]),
    (cut(), LOGIN, ["before it lets user reviews in", "kafka.sasl_mechanism"]),
    (closed(ConnectionResetError()), PLAIN, ["closes the connection"]),
    (cut(b"HTTP/1.1 400"), PLAIN, ["no Kafka broker"]),
    (OSError(errno.EMFILE, "Too many open files"), PLAIN, ["ulimit -n"]),
]


@pytest.mark.parametrize(("error", "entry", "words"), REFUSALS)
def test_each_refusal_has_its_own_line_with_the_remedy(error, entry, words):
    line = refusal(error, AT, entry)
    assert line is not None
    assert "\n" not in line
    assert [word for word in words if word not in line] == [], line
    if not isinstance(error, OSError) or error.errno != errno.EMFILE:
        assert AT in line, "which of the brokers"


def test_the_lines_of_different_refusals_differ():
    lines = [refusal(error, AT, entry) for error, entry, _ in REFUSALS]
    once = {"speaks TLS", "does not speak TLS", "kafka.ssl_certfile", "closes the connection"}
    others = [line for line in lines if line and not any(words in line for words in once)]
    assert len(set(others)) == len(others)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
        (OSError("Multiple exceptions: Connect call failed"), "connection refused"),
        (TimeoutError(), "no answer"),
        (None, "no answer"),
        (socket.gaierror(-2, "Name or service not known"), "its name is not found"),
        (UnicodeError("label empty or too long"), "its name is not found"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "Network is unreachable"),
    ],
)
def test_where_nobody_answers_the_line_says_why(error, why):
    line = unreachable(AT, {AT: error}, PLAIN)
    assert line.startswith(f"no broker answers at {AT}: ")
    assert why in line
    assert "is it running" in line


def test_a_broker_that_refuses_says_more_than_one_that_is_silent():
    failures = {"one:1": None, "two:2": errors.SaslAuthenticationFailed("no")}
    assert "the broker at two:2 does not let user reviews in" in unreachable(
        "one:1,two:2", failures, LOGIN
    )


def test_hosts_that_fail_in_the_same_way_are_told_once():
    failures = dict.fromkeys(["one:1", "two:2"], ConnectionRefusedError())
    assert unreachable("one:1,two:2", failures, PLAIN) == no_answer(
        "one:1,two:2", "connection refused"
    )


def test_an_advertised_address_is_named_where_no_broker_answers_there():
    line = unreachable("here:1", {"there:2": ConnectionRefusedError()}, PLAIN)
    assert "there:2: connection refused" in line
    assert "here:1" in line
    assert "advertised.listeners" in line


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.TopicAuthorizationFailedError("reviews"), ["topic reviews", "--topic reviews"]),
        (errors.TopicAuthorizationFailedError({"reviews"}), ["--topic reviews"]),
        (errors.GroupAuthorizationFailedError("w"), ["group w", "Read", "--group w"]),
        (errors.TransactionalIdAuthorizationFailed(), ["transactional id", "Write and Describe"]),
        (errors.ClusterAuthorizationFailedError(), ["cluster", "--cluster"]),
    ],
)
def test_a_missing_permission_names_the_acl_to_grant(error, words):
    line = missing_permission(error, LOGIN)
    assert line is not None
    assert [word for word in [*words, "User:reviews"] if word not in line] == [], line


def test_other_errors_are_no_missing_permission():
    assert missing_permission(errors.UnknownError(), LOGIN) is None
