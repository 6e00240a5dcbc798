"""Apache Kafka with TLS, passwords and ACLs, for what a client is told when it may not enter.

A broker as `JavaBroker` is one, with more listeners: `addresses["SASL_SSL"]` and so on. Its plain
listener is the door of the test itself (User:ANONYMOUS is a super user). The certificate is for
`localhost` alone, so that 127.0.0.1 is a name that does not match. User `reviews` may do what an
ACL allows, nothing else; the password of each user is `USERS[user]`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from streams.kafka.broker.child import free_port
from tests.brokers.java import JavaBroker

USERS = {"admin": "admin-secret", "reviews": "reviews-secret"}
LISTENERS = ("SSL", "SASL_SSL", "SASL_PLAINTEXT")
SUPER_USERS = "User:ANONYMOUS;User:admin"
RESOURCES = {"TOPIC": 2, "GROUP": 3, "CLUSTER": 4, "TRANSACTIONAL_ID": 5}
OPERATIONS = {"READ": 3, "WRITE": 4, "CREATE": 5, "DESCRIBE": 8, "DESCRIBE_CONFIGS": 10}
LITERAL, ALLOW = 3, 3
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


class SecuredBroker(JavaBroker):
    """`addresses`: `localhost:port` by protocol, `PLAINTEXT` too. `ca`: what to trust."""

    def _place(self, count: int, port: int | None) -> None:
        super()._place(count, port)
        self.ca, keys = _certificates(self.directory)
        (node,) = self.nodes
        self.addresses = {name: f"localhost:{free_port()}" for name in LISTENERS}
        settings = node.settings
        for name, address in self.addresses.items():
            settings["listeners"] += f",{name}://{address.replace('localhost', '127.0.0.1')}"
            settings["advertised.listeners"] += f",{name}://{address}"
            settings["listener.security.protocol.map"] += f",{name}:{name}"
        self.addresses["PLAINTEXT"] = f"localhost:{node.port}"
        users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
        for name in ("sasl_ssl", "sasl_plaintext"):
            prefix = f"listener.name.{name}"
            settings[f"{prefix}.sasl.enabled.mechanisms"] = "PLAIN"
            settings[f"{prefix}.plain.sasl.jaas.config"] = f"{LOGIN} required {users};"
        settings |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keys),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": SUPER_USERS,
            "group.min.session.timeout.ms": "6000",
            "group.max.session.timeout.ms": "60000",
        }


def _certificates(directory: Path) -> tuple[Path, Path]:
    """A certificate for `localhost` that signs itself, and a file with it and its key."""
    certificate, key, both = (directory / name for name in ("ca.pem", "key.pem", "keys.pem"))
    directory.mkdir(parents=True, exist_ok=True)
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(key.read_text() + certificate.read_text())
    return certificate, both


async def allow(broker: SecuredBroker, kind: str, name: str, *operations: str) -> None:
    """Let user `reviews` do these operations (`READ`, ...) on a `TOPIC`, a `GROUP` or the
    `CLUSTER`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        for operation in operations:
            request = CreateAclsRequest(
                RESOURCES[kind], name, LITERAL, "User:reviews", "*", OPERATIONS[operation], ALLOW
            )
            answer = await admin._send_request(request)
            assert answer.creation_responses[0][0] == 0, answer
    finally:
        await admin.close()
