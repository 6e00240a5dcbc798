"""Keeps a broker running for one's own tests: `python -m tests.brokers java [--nodes 3]`.

Prints one line of JSON, `{"bootstrap": "127.0.0.1:..."}`, when it answers; stops on SIGTERM or
SIGINT. Use it with `STREAMS_TEST_BROKER=127.0.0.1:...`.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from tests.brokers.choose import start
from tests.brokers.features import UnavailableError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.brokers", description=__doc__)
    parser.add_argument("kind", choices=["java", "docker", "embedded"])
    parser.add_argument("--nodes", type=int, choices=[1, 3], default=1)
    parser.add_argument("--port", type=int, help="of the first node; the others follow")
    chosen = parser.parse_args()
    asked_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: asked_to_stop.set())
    try:
        broker = start(chosen.kind, nodes=chosen.nodes, port=chosen.port, fast_start=False)
    except UnavailableError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    try:
        line = {"bootstrap": broker.bootstrap, "broker": broker.description}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        asked_to_stop.wait()
    finally:
        broker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
