"""Half a million lines of other people's text through `publish` and a worker: is any of it lost?

    python -m benchmarks.corpus --broker HOST:PORT [--lines N]

The text is whatever the machine has: documentation, package descriptions, source. Half of it goes
in as raw lines (`--format text`), half as JSON lines with further fields, among them lines that are
broken on purpose. Every line is accounted for: a result with the text's own checksum, a reject with
its line number, or a dead letter with its reason.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

PLACES = ("/usr/share", "/usr/lib/python3", sys.prefix, sys.base_prefix)
LONGEST_BYTES = 100_000
PARTITIONS = 8
BROKEN = (b'{"id": 1, "text": "cut', b"[1, 2]", b'{"n": NaN}', b"\xff\xfe", b"\xef\xbb\xbf{}", b"7")
WITHIN_S = 900.0


def found_lines() -> Iterator[bytes]:
    """Lines of text files, as their bytes are: any encoding, 1 byte to 100 kB, none blank."""
    for place in PLACES:
        for directory, folders, names in os.walk(place):
            folders.sort()
            for name in sorted(names):
                if not name.endswith((".txt", ".md", ".rst", ".py", ".html", ".json", ".js",
                                      ".css", ".c", ".h", ".pem", ".po", "METADATA", "copyright",
                                      ".xml", ".svg", ".1", ".pyi", ".csv", ".toml")):  # fmt: skip
                    continue
                try:
                    content = (Path(directory) / name).read_bytes()
                except OSError:
                    continue
                for line in content.split(b"\n"):
                    line = line.rstrip(b"\r")
                    if line.strip() and len(line) <= LONGEST_BYTES:
                        yield line


def write_inputs(directory: Path, count: int) -> tuple[Path, Path]:
    """Two files with `count` lines together; every thousandth JSON line is broken on purpose."""
    raw, json_lines = directory / "lines.txt", directory / "items.jsonl"
    with raw.open("wb") as text, json_lines.open("wb") as items:
        for number, line in zip(range(count), found_lines(), strict=False):
            if number % 2:
                text.write(line + b"\n")
            elif number % 1000 == 0:
                items.write(BROKEN[number // 1000 % len(BROKEN)] + b"\n")
            else:
                decoded = line.decode("utf-8", "surrogateescape").encode("utf-8", "replace")
                item = {"id": number, "text": decoded.decode(), "more": {"line": [number, None]}}
                items.write(orjson.dumps(item) + b"\n")
    return raw, json_lines


def publish(broker: str, topic: str, path: Path, kind: str, rejects: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "streams", "publish", topic, str(path), "--format", kind]
    command += ["--broker", broker, "--rejects", str(rejects), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


async def create(broker: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    finally:
        await admin.close()


def worker(broker: str, topic: str, directory: Path) -> subprocess.Popen[bytes]:
    config = directory / "streams.toml"
    config.write_text(
        f'[kafka]\nbootstrap_servers = "{broker}"\n[worker]\nid = "{topic}"\nweb = ""\n'
    )
    environ = {**os.environ, "STREAMS_CONFIG": str(config), "CORPUS_TOPIC": topic}
    command = [sys.executable, "-m", "streams", "worker", "--app", "benchmarks.programs.corpus:app"]
    return subprocess.Popen(command, env=environ)


async def read_back(broker: str, topic: str, expected: int) -> dict[str, Any]:
    """Compare the sink with the source, record by record, until all are there or time is up."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
    await consumer.start()
    checksums: dict[tuple[int, int], int] = {}
    results: Counter[tuple[int, int]] = Counter()
    dead: Counter[str] = Counter()
    wrong = 0
    last: dict[tuple[str, int], int] = {}
    out_of_order = 0
    deadline = time.monotonic() + WITHIN_S
    names = [topic, f"{topic}.out", f"{topic}.dead"]
    consumer.assign([TopicPartition(name, p) for name in names for p in range(PARTITIONS)])
    await consumer.seek_to_beginning()
    pending: list[tuple[tuple[int, int], int]] = []
    try:
        while time.monotonic() < deadline:
            outcomes = len(results) + sum(dead.values())
            if len(checksums) >= expected and outcomes >= expected:
                break
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    if record.topic == topic:
                        text = json.loads(record.value)["text"]
                        checksums[record.partition, record.offset] = zlib.crc32(text.encode())
                    elif record.topic.endswith(".dead"):
                        dead[dict(record.headers)["streams-error-code"].decode()] += 1
                    else:
                        found = orjson.loads(record.value)
                        position = found["source"]["partition"], found["source"]["offset"]
                        results[position] += 1
                        pending.append((position, found["result"]["crc32"]))
                        place = record.topic, record.partition
                        out_of_order += position[1] < last.get(place, -1)
                        last[place] = max(position[1], last.get(place, -1))
    finally:
        await consumer.stop()
    wrong = sum(checksums.get(position) != crc for position, crc in pending)
    return {
        "published": len(checksums),
        "results": len(results),
        "duplicated": sum(results.values()) - len(results),
        "dead_letters": dict(dead),
        "lost": len(checksums) - len(results) - sum(dead.values()),
        "out_of_order": out_of_order,
        "wrong_content": wrong,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--broker", required=True, metavar="HOST:PORT")
    parser.add_argument("--lines", type=int, default=500_000)
    given = parser.parse_args()
    topic = f"corpus-{secrets.token_hex(4)}"
    asyncio.run(create(given.broker, topic))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        began = time.monotonic()
        raw, json_lines = write_inputs(directory, given.lines)
        print(f"wrote inputs in {time.monotonic() - began:.1f} s")
        summaries = [
            publish(given.broker, topic, raw, "text", directory / "rejects.txt"),
            publish(given.broker, topic, json_lines, "jsonl", directory / "rejects.jsonl"),
        ]
        rejects = Counter(
            json.loads(line)["reason"].split(":")[0][:60]
            for path in (directory / "rejects.txt", directory / "rejects.jsonl")
            if path.exists()
            for line in path.read_bytes().splitlines()
        )
        process = worker(given.broker, topic, directory)
        try:
            published = sum(summary["published"] for summary in summaries)
            report = asyncio.run(read_back(given.broker, topic, published))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    report["publish"] = summaries
    report["rejects"] = dict(rejects)
    print(json.dumps(report, indent=2))
    held = not (report["lost"] or report["out_of_order"] or report["wrong_content"])
    print("held" if held else "MISSED")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
