"""How the settings become a Kafka client's keywords."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from streams.errors import ConfigError, UsageError
from streams.kafka.client import client_arguments, ssl_context
from streams.settings import KafkaSettings


def test_a_plain_broker_needs_its_address_only() -> None:
    assert client_arguments(KafkaSettings(bootstrap_servers="a:1,b:2")) == {
        "bootstrap_servers": "a:1,b:2",
        "security_protocol": "PLAINTEXT",
        "client_id": "streams",
    }


def test_sasl_over_tls_has_user_password_and_a_context_that_checks_names() -> None:
    raw: dict[str, Any] = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": "me",
        "sasl_password": "hush",
    }
    arguments = client_arguments(KafkaSettings.model_validate(raw))
    context = arguments.pop("ssl_context")
    assert arguments == {
        "bootstrap_servers": "localhost:9092",
        "security_protocol": "SASL_SSL",
        "client_id": "streams",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": "hush",
    }
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("key", ["ssl_cafile", "ssl_certfile"])
def test_a_file_that_holds_no_certificate_is_a_configuration_error(
    key: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.pem"
    file.write_text("nothing")
    kafka = KafkaSettings.model_validate({"security_protocol": "SSL", key: str(file)})
    with pytest.raises(ConfigError, match=rf"^kafka\.{key}: "):
        ssl_context(kafka)


def test_there_is_no_address_of_an_embedded_broker_that_nobody_started() -> None:
    with pytest.raises(UsageError, match="streams broker"):
        client_arguments(KafkaSettings(bootstrap_servers="embedded"))
