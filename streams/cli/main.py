"""`streams`: finds the command, runs it, and turns its result or error into an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from streams.cli import broker_command as broker
from streams.cli import check_command as check
from streams.cli import dead_command as dead
from streams.cli import demo_command as demo
from streams.cli import diff_command as differing
from streams.cli import later
from streams.cli import map_command as mapping
from streams.cli import publish_command as publish
from streams.cli import replay_command as replaying
from streams.cli import simulate_command as simulate
from streams.cli import tail_command as tail
from streams.cli import worker_command as worker
from streams.cli.options import Debug, Session
from streams.cli.printing import fail
from streams.errors import ConfigError, StreamsError, UsageError

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="streams",
    help="Kafka microbatches for AI APIs: items in, one API call per microbatch, results in order.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        sys.stdout.write(f"streams {version('streams-microbatch')}\n")
        raise typer.Exit


@app.callback()
def _streams(
    debug: Debug = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command("demo")(demo.demo)
app.command("worker")(worker.worker)
app.command("publish")(publish.publish)
app.command("tail")(tail.tail)
app.command("map")(mapping.map_rows)
app.command("replay")(replaying.replay)
app.add_typer(dead.app, name="dead")
app.command("diff")(differing.diff)
app.command("check")(check.check)
app.command("broker")(broker.broker)
# What follows COMMAND is its own.
app.command("simulate", context_settings={"allow_interspersed_args": False})(simulate.simulate)
later.add_to(app)


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code. Never raises."""
    session = Session()
    code = DONE
    try:
        code = _invoke(list(arguments), session)
        sys.stdout.flush()
        return code
    except ConfigError as error:
        for problem in error.problems:
            fail(problem)
        return _after(session, WRONG)
    except UsageError as error:
        fail(str(error))
        return _after(session, WRONG)
    except StreamsError as error:
        fail(str(error))
        return _after(session, FAILED)
    except BrokenPipeError:
        return code  # the reader of our output has enough, as `head` has
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        fail(f"{type(error).__name__}: {error} (--debug shows where)")
        return _after(session, FAILED)


def _invoke(arguments: list[str], session: Session) -> int:
    """Typer's own `main` would print boxes, and end with 1 on a broken pipe."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("streams", arguments, obj=session) as context:
            code = command.invoke(context)
            return code if isinstance(code, int) else DONE
    except Exception as error:
        if hasattr(error, "exit_code") and not hasattr(error, "format_message"):
            return int(error.exit_code)  # Exit: after --help and --version
        if hasattr(error, "format_message"):
            raise _usage_error(error) from None
        raise


def _usage_error(error: Exception) -> UsageError:
    """Typer's usage error as one line that says where to look."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "streams"
    if type(error).__name__ == "NoArgsIsHelpError":
        return UsageError(f"no command given; see {path} --help")
    message = str(error.format_message()).strip().rstrip(".")  # type: ignore[attr-defined]
    return UsageError(f"{message}; see {path} --help")


def _after(session: Session, code: int) -> int:
    if session.debug:
        import traceback

        traceback.print_exc()
    return code
