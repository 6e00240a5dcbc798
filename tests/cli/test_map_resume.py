"""`streams map --resume`: what was answered is paid for once, and the output is the same."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from benchmarks import map_kills
from tests import forked
from tests.cli.map_runs import Api, labelled, mapped, simulated_api, stopped_in_the_middle

ROWS = 400


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with simulated_api(tmp_path, "--latency-ms", "50") as found:
        yield found


def write_csv(path: Path, rows: int = ROWS) -> None:
    path.write_text("id,text\n" + "".join(f"{n},text {n}\n" for n in range(rows)))


def journal(tmp_path: Path) -> Path:
    return tmp_path / "out.csv.journal"


def stop(api: Api, number: int = signal.SIGKILL, *more: str, answers: int = 1) -> int:
    """Begins in.csv -> out.csv, and stops it; returns the exit code."""
    question = ("in.csv", "--labels", "good,bad", *more)
    done = stopped_in_the_middle(
        api, *question, out="out.csv", signal_number=number, answers=answers
    )
    return done.code


def go_on(api: Api, *more: str) -> tuple[int, str]:
    done = mapped(api, "in.csv", "--labels", "good,bad", "--out", "out.csv", "--resume", *more)
    return done.code, done.err


def undisturbed(api: Api, tmp_path: Path) -> bytes:
    assert mapped(api, "in.csv", "--labels", "good,bad", "--out", "whole.csv").code == 0
    return (tmp_path / "whole.csv").read_bytes()


def test_killed_at_random_it_goes_on_and_pays_for_no_answer_twice(
    tmp_path: Path, seed: int
) -> None:
    """2,000 rows, three times `kill -9`; `python -m benchmarks.map_kills` is the full one."""
    found = map_kills.run(tmp_path, 2000, 3, Random(seed), 50.0, launch=forked.started)
    assert found.same
    assert found.again == 0
    assert found.kills
    assert found.asked - 2000 <= 100 * len(found.kills)
    assert found.summary["resumed"] + 20 * found.summary["calls"] >= 2000


def test_ctrl_c_ends_it_with_130_and_says_how_to_go_on(api: Api, tmp_path: Path) -> None:
    write_csv(tmp_path / "in.csv")
    done = stopped_in_the_middle(
        api, "in.csv", "--labels", "good,bad", out="out.csv", signal_number=signal.SIGINT
    )
    assert done.code == 130
    assert "interrupted: " in done.err
    assert "--resume goes on" in done.err
    code, err = go_on(api)
    assert code == 0
    assert "rows are answered already" in err
    assert (tmp_path / "out.csv").read_bytes() == undisturbed(api, tmp_path)
    assert not journal(tmp_path).exists()


def test_sigterm_ends_it_as_ctrl_c_does(api: Api, tmp_path: Path) -> None:
    write_csv(tmp_path / "in.csv")
    assert stop(api, signal.SIGTERM) == 130
    assert go_on(api)[0] == 0


def test_a_journal_or_an_output_that_is_there_is_never_overwritten_by_chance(
    api: Api, tmp_path: Path
) -> None:
    write_csv(tmp_path / "in.csv")
    stop(api)
    paid = journal(tmp_path).read_bytes()
    done = labelled(api, "in.csv", "--out", "out.csv")
    assert (done.code, "--resume goes on with it" in done.err) == (2, True)
    assert journal(tmp_path).read_bytes() == paid
    assert go_on(api)[0] == 0
    whole = (tmp_path / "out.csv").read_bytes()
    for more in ([], ["--resume"]):
        done = labelled(api, "in.csv", "--out", "out.csv", *more)
        assert (done.code, "--force replaces it" in done.err) == (2, True)
    assert (tmp_path / "out.csv").read_bytes() == whole
    assert labelled(api, "in.csv", "--out", "out.csv", "--force").code == 0


def test_resume_begins_what_was_never_begun(api: Api, tmp_path: Path) -> None:
    write_csv(tmp_path / "in.csv", 5)
    assert go_on(api)[0] == 0
    assert (tmp_path / "out.csv").read_bytes().count(b"\n") == 6


OTHERS = [
    (["--model", "claude-sonnet-5-5"], "another model (claude-haiku-5-5, now claude-sonnet-5-5)"),
    (["--instructions", "Be kind."], "other labels, instructions or another schema"),
    (["--text", "id"], "another --text (/text, now /id)"),
    (["--prefix", "x_"], "another --prefix (none, now x_)"),
    (["--simulate"], "and without --simulate"),
]


def test_it_goes_on_with_the_same_question_alone(api: Api, tmp_path: Path) -> None:
    """Another one would mix two kinds of answers in one file."""
    write_csv(tmp_path / "in.csv")
    stop(api)
    paid, asked = journal(tmp_path).read_bytes(), api.asked
    for more, message in OTHERS:
        code, err = go_on(api, *more)
        assert (code, message in err) == (2, True), err
    write_csv(tmp_path / "in.csv", ROWS + 1)
    code, err = go_on(api)
    assert (code, "another input" in err) == (2, True)
    assert (journal(tmp_path).read_bytes(), api.asked) == (paid, asked)


def test_a_row_that_has_changed_since_is_found(api: Api, tmp_path: Path) -> None:
    """The file is as long as before, and begins as before."""
    filler = "x" * 6000
    lines = [f"{n},text {n} {filler}\n" for n in range(ROWS)]
    (tmp_path / "in.csv").write_text("id,text\n" + "".join(lines))
    stop(api, signal.SIGKILL, "--max-items", "1", "--max-in-flight", "40", answers=300)
    lines[250] = lines[250].replace("text", "word")
    (tmp_path / "in.csv").write_text("id,text\n" + "".join(lines))
    code, err = go_on(api)
    assert code == 2
    assert "line 252 of in.csv is not what it was" in err


@pytest.mark.parametrize("torn", [b'{"row":399,"text":"0123', b"\0" * 100, b"{}\n"])
def test_a_torn_end_of_the_journal_and_of_the_output_is_cut_off(
    torn: bytes, api: Api, tmp_path: Path
) -> None:
    write_csv(tmp_path / "in.csv")
    stop(api)
    for path in (journal(tmp_path), tmp_path / "out.csv"):
        with path.open("ab") as file:
            file.write(torn)
    assert go_on(api)[0] == 0
    assert (tmp_path / "out.csv").read_bytes() == undisturbed(api, tmp_path)


def test_a_file_that_is_no_journal_is_left_alone(api: Api, tmp_path: Path) -> None:
    write_csv(tmp_path / "in.csv")
    journal(tmp_path).write_text("mine\n")
    code, err = go_on(api)
    assert (code, "is no journal of streams map" in err) == (2, True)
    assert journal(tmp_path).read_text() == "mine\n"


def test_two_at_once_do_not_write_one_file(api: Api, tmp_path: Path) -> None:
    write_csv(tmp_path / "in.csv")
    stop(api)
    with journal(tmp_path).open("ab") as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        code, err = go_on(api)
    assert (code, "another streams map writes" in err) == (2, True)
    assert go_on(api)[0] == 0


def test_a_parquet_file_goes_on_to_the_same_bytes(api: Api, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"text": [f"text {n}" for n in range(ROWS)]})
    parquet.write_table(table, tmp_path / "in.parquet")
    question = ("in.parquet", "--operation", "embed", "--dimension", "256", "--max-items", "20")
    stopped_in_the_middle(api, *question, out="out.parquet", signal_number=signal.SIGKILL)
    done = mapped(api, *question, "--out", "out.parquet", "--resume", "--json")
    assert done.code == 0
    assert done.lines[0]["resumed"] > 0
    assert mapped(api, *question, "--out", "whole.parquet").code == 0
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
