"""The rooms are what the plan says: the pure ones stay pure, the map of the package is true."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import symtable
import sys
from pathlib import Path

import pytest

import streams
from tests import house
from tests.house import PACKAGE, imports_of

IMPURE = frozenset(
    re.findall(
        r"\w+",
        "asyncio time random os socket logging threading aiokafka faust anthropic voyageai aiohttp "
        "subprocess multiprocessing concurrent selectors signal datetime secrets uuid requests "
        "httpx prometheus_client",
    )
)
"""What gives a module a clock, chance, threads, files or the network."""

PURE_ROOMS = ("core", "policies", "operations", "batches/core")


def file_of(module: str) -> Path | None:
    """The file of one of our modules; None: it is no module of ours."""
    if module.split(".")[0] != "streams":
        return None
    path = PACKAGE.joinpath(*module.split(".")[1:])
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def impure_imports(source: str) -> set[str]:
    return {name for name in imports_of(source) if name.split(".")[0] in IMPURE}


def missing_names(source: str) -> list[str]:
    """What is imported from a module of ours and is not there, wherever the import stands."""
    return [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("streams.")
        for alias in node.names
        if not file_of(f"{node.module}.{alias.name}")
        and alias.name not in names_in(f"{node.module}")
    ]


def names_in(module: str) -> set[str]:
    """What a module of ours has, with what it makes when it is asked for it."""
    file = file_of(module)
    if file is None:
        return set()
    table = symtable.symtable(file.read_text(), file.name, "exec")
    made = set(streams.__all__) if module == "streams" else set()
    return made | {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported()
    }


def pure_files() -> list[Path]:
    """The modules of the pure rooms, and every other module of ours that they import."""
    todo = [file for room in PURE_ROOMS for file in sorted((PACKAGE / room).glob("**/*.py"))]
    seen: dict[Path, None] = {}
    while todo:
        file = todo.pop()
        if file not in seen:
            seen[file] = None
            todo += [found for name in imports_of(file.read_text()) if (found := file_of(name))]
    # `import streams.core` runs `streams/__init__.py`; that it imports later is not theirs.
    return [file for file in seen if file != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("file", pure_files(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_what_decides_imports_no_clock_no_chance_no_network_and_no_loop(file: Path) -> None:
    assert impure_imports(file.read_text()) == set()


def test_every_pure_room_is_there_to_be_looked_at() -> None:
    rooms = {file.relative_to(PACKAGE).parent.as_posix() for file in pure_files()}
    assert rooms >= set(PURE_ROOMS)


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os.path",
        "from asyncio import sleep",
        "from concurrent.futures import Future",
        "def late():\n    import random",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import aiohttp",
    ],
)
def test_the_rule_sees_an_import_that_breaks_it(source: str) -> None:
    assert impure_imports(source)


def test_the_core_knows_neither_kafka_nor_the_apis_nor_the_doors() -> None:
    allowed = {"core", "policies", "errors", "model"}
    for file in (PACKAGE / "core").glob("*.py"):
        ours = {name.split(".")[1] for name in imports_of(file.read_text()) if file_of(name)}
        assert ours <= allowed, file.name


TEXTS = house.texts()

UPWARD: dict[tuple[str, str], str] = {}
"""The imports of a higher room that are allowed, with the reason; three at most."""


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert house.circle(house.arrows(TEXTS)) == []


def test_a_circle_of_imports_is_found_also_where_an_import_is_for_types_alone() -> None:
    for_types = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import streams.core.engine"
    )
    seeded = {**TEXTS, "streams.core.limits": for_types}
    assert {"streams.core.engine", "streams.core.limits"} <= set(house.circle(house.arrows(seeded)))


def test_no_module_imports_a_higher_room() -> None:
    assert house.upward(house.arrows(TEXTS)) == set(UPWARD)
    assert len(UPWARD) <= 3


def test_an_import_of_a_higher_room_is_found() -> None:
    seeded = {**TEXTS, "streams.core.limits": "from streams.app import App"}
    assert ("streams.core.limits", "streams.app") in house.upward(house.arrows(seeded))


def test_every_import_finds_what_it_names_also_one_that_seldom_runs() -> None:
    """A move left `STREAMS_TEST_BROKER=embedded` with an import of a name that was gone."""
    for room in (PACKAGE, PACKAGE.parent / "tests", PACKAGE.parent / "benchmarks"):
        for file in room.rglob("*.py"):
            assert missing_names(file.read_text()) == [], file


def test_an_import_of_what_is_not_there_is_found() -> None:
    source = (
        "def late():\n  from streams.errors import Retry, Again\n  from streams.nowhere import it"
    )
    assert missing_names(source) == ["streams.errors.Again", "streams.nowhere.it"]


def test_a_room_without_a_floor_is_no_room() -> None:
    seeded = {**TEXTS, "streams.utils": "", "streams.core.limits": "import streams.utils"}
    with pytest.raises(ValueError, match="utils"):
        house.upward(house.arrows(seeded))
    assert {house.floor(name) for name in TEXTS} == set(range(len(house.FLOORS)))


def test_a_file_name_stands_once_in_the_package() -> None:
    assert house.shared_names(TEXTS) == {}


def test_a_second_file_of_a_name_is_found() -> None:
    seeded = {**TEXTS, "streams.kafka.engine": ""}
    assert house.shared_names(seeded) == {"engine": ["streams.core.engine", "streams.kafka.engine"]}


def test_no_module_has_more_than_300_lines_and_no_function_more_than_40() -> None:
    assert house.too_long(TEXTS) == []


def test_a_module_and_a_function_that_are_too_long_are_found() -> None:
    long = "def walk():\n" + "    pass\n" * 40
    assert house.too_long({"streams.core.long": long}) == ["streams.core.long.walk: 41 lines"]
    assert house.too_long({"streams.core.long": "\n" * 301}) == ["streams.core.long: 301 lines"]
    options = "def command(\n" + "    option,\n" * 40 + "):\n" + "    pass\n" * 40
    assert house.too_long({"streams.cli.command": options}) == []
    assert house.too_long({"streams.cli.command": options + "    pass\n"}) != []


def test_every_room_says_what_happens_in_it_and_in_which_order_to_read_it() -> None:
    assert house.rooms_without_order(TEXTS) == []


def test_a_room_that_does_not_name_a_module_is_found() -> None:
    seeded = {**TEXTS, "streams.core.forgotten": ""}
    assert house.rooms_without_order(seeded) == ["streams.core does not name forgotten"]
    silent = {**TEXTS, "streams.kafka.produce": ""}
    assert any("streams.kafka.produce" in line for line in house.rooms_without_order(silent))


def test_the_reading_order_names_modules_that_exist() -> None:
    named = set(re.findall(r"`(streams(?:\.\w+)+)`", streams.__doc__ or ""))
    assert len(named) >= 15
    missing = {name for name in named if importlib.util.find_spec(name) is None}
    assert missing == set()


def test_the_reading_order_names_every_room_that_does_the_work() -> None:
    text = streams.__doc__ or ""
    for room in (
        "core",
        "policies",
        "running",
        "worker",
        "kafka",
        "operations",
        "providers",
        "settings",
    ):
        assert f"streams.{room}" in text, room


def test_every_public_name_can_be_imported() -> None:
    for name in streams.__all__:
        assert getattr(streams, name).__name__ == name
    assert set(streams.__all__) <= set(dir(streams))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = streams.nothing_of_the_kind  # type: ignore[attr-defined]


HEAVY = {"faust", "aiokafka", "aiohttp", "orjson", "pydantic", "anthropic", "voyageai", "typer"}


def imported_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after the statement."""
    program = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def test_importing_the_package_imports_none_of_what_it_may_need_later() -> None:
    assert not imported_by("import streams") & {*HEAVY, "asyncio"}


def test_map_batches_needs_neither_kafka_nor_the_apis() -> None:
    assert not imported_by("from streams import map_batches") & HEAVY
