"""The connection's secrets as Faust takes them, for the agents and topics of the same app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import faust

from streams.kafka.client import ssl_context

if TYPE_CHECKING:
    from streams.settings import KafkaSettings


def faust_credentials(kafka: KafkaSettings) -> Any:
    """Faust's `broker_credentials`; None where the broker asks for nothing."""
    context = ssl_context(kafka)
    if kafka.sasl_mechanism is not None:
        password = kafka.sasl_password
        return faust.SASLCredentials(
            mechanism=kafka.sasl_mechanism,
            username=kafka.sasl_username,
            password=None if password is None else password.get_secret_value(),
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)
