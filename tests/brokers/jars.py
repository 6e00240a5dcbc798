"""Apache Kafka's jars, fetched once by Maven, and the Java that runs them."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.brokers.features import UnavailableError

HERE = Path(__file__).parent
POM = HERE / "pom.xml"
CHECKOUT = HERE.parent.parent
OLDEST_JAVA = 17


def kafka_version() -> str:
    """The version that `pom.xml` pins."""
    found = re.search(r"<kafka.version>(.+?)<", POM.read_text())
    assert found, f"{POM} names no kafka.version"
    return found.group(1)


@functools.cache
def jars() -> Path:
    """The directory with Kafka's jars (46 MB), fetched by Maven the first time, in
    `$STREAMS_TEST_KAFKA_CACHE` or `.kafka/lib`. Two processes that ask at once fetch once; a fetch
    that was cut leaves nothing behind; another `pom.xml` gets another directory."""
    root = Path(os.environ.get("STREAMS_TEST_KAFKA_CACHE") or CHECKOUT / ".kafka" / "lib")
    ready = root / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    if ready.is_dir():
        return ready
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root / ".lock"):
        if not ready.is_dir():
            _fetch(ready)
    return ready


def _fetch(ready: Path) -> None:
    if shutil.which("mvn") is None:
        raise UnavailableError("Apache Kafka's jars are not here and Maven (mvn) is not installed")
    with tempfile.TemporaryDirectory(dir=ready.parent) as directory:
        target = Path(directory) / "lib"
        command = ["mvn", "-q", "-B", "-C", "-f", str(POM), "dependency:copy-dependencies"]
        command += [f"-DoutputDirectory={target}", "-DincludeScope=runtime"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnavailableError(f"Maven could not fetch Apache Kafka:\n{done.stdout[-2000:]}")
        target.rename(ready)


@functools.cache
def java_banner() -> str:
    """What `java -version` says; empty without a Java."""
    with contextlib.suppress(OSError):
        return subprocess.run(
            [java_path(), "-version"], capture_output=True, text=True, check=False
        ).stderr
    return ""


def missing() -> str | None:
    """Why Kafka's jars cannot run here; None: they can. Fetches them the first time."""
    found = re.search(r'version "(?:1\.)?(\d+)', java_banner())
    if found is None or int(found.group(1)) < OLDEST_JAVA:
        return f"needs Java {OLDEST_JAVA} or newer, found {found.group(1) if found else 'none'}"
    try:
        jars()
    except UnavailableError as error:
        return str(error)
    return None


def java_path() -> str:
    """`$JAVA_HOME/bin/java`, else the one on the path."""
    home = os.environ.get("JAVA_HOME")
    path = Path(home, "bin", "java") if home else None
    return str(path) if path and path.exists() else (shutil.which("java") or "/usr/bin/java")


def java_command(heap: str, *, fast_start: bool, archive_into: Path | None = None) -> list[str]:
    """How to run a class of Kafka: append its name and arguments.

    `heap`: the largest heap, as `-Xmx` takes it. `fast_start`: compile lightly; starts in half the
    CPU time, for tests; a broker that is measured wants the full compiler. `archive_into`: write
    the class archive (see `class_archive`) there at exit.
    """
    command = [java_path(), f"-Xmx{heap}", f"-Dlog4j2.configurationFile={HERE}/log4j2.properties"]
    if fast_start:
        command += ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    else:
        command += ["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]
    archive = class_archive()
    if archive_into is not None:
        command.append(f"-XX:ArchiveClassesAtExit={archive_into}")
    elif archive.exists():
        command += ["-Xshare:auto", f"-XX:SharedArchiveFile={archive}"]
    return [*command, "-cp", ":".join(str(path) for path in sorted(jars().glob("*.jar")))]


def class_archive() -> Path:
    """Where the JVM's archive of loaded classes belongs: with it a node starts in 40 % less CPU
    time. It fits one Java only; the first broker that is closed writes it."""
    fits = hashlib.sha256(java_banner().encode()).hexdigest()[:8]
    return jars() / f"classes-{fits}.jsa"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.2)
        yield
