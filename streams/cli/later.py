"""Commands that have a name but do not exist yet: refused, never silently accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from streams.errors import UsageError

COMMANDS = {
    "top": "Watch running workers",
}
_ANYTHING = {"ignore_unknown_options": True, "allow_extra_args": True}


def add_to(app: typer.Typer) -> None:
    for name, help in COMMANDS.items():
        text = f"{help} (not available in this version)."
        app.command(name, help=text, context_settings=_ANYTHING)(_refusing_command(name))


def _refusing_command(name: str) -> Callable[..., int]:
    def command(arguments: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> int:
        raise UsageError(f"{name} is not available in this version")

    return command
