"""The tasks that `streams replay` may do again: those of a configuration, or of an application."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from streams.errors import UsageError
from streams.plans import Plan
from streams.settings import Settings, load_settings


class ReplayTasks(NamedTuple):
    """`plans`: by name; those that a function is missing for are not among them."""

    settings: Settings
    plans: dict[str, Plan]

    def plan(self, name: str | None) -> Plan:
        """The task of this name; None: the only one. Raises UsageError."""
        names = ", ".join(self.plans) or "none"
        if name is None:
            if len(self.plans) != 1:
                raise UsageError(f"--task says whose source is done again: {names}")
            return next(iter(self.plans.values()))
        if name not in self.plans:
            custom = any(task.name == name for task in self.settings.tasks)
            why = (
                "is a function: name its application with --app" if custom else "is not configured"
            )
            raise UsageError(f"--task: {name} {why}; there are {names}")
        return self.plans[name]


def tasks_of(app: str | None, config: Path | None, broker: str | None) -> ReplayTasks:
    """`app`: MODULE:ATTR, whose own configuration counts; None: the configuration alone. Raises
    ConfigError, UsageError."""
    if app is not None:
        return _of_app(app, config, broker)
    settings = load_settings(config, os.environ, broker=broker, need_tasks=True)
    _check_id(settings)
    plans = {task.name: Plan(task) for task in settings.tasks if task.operation != "custom"}
    return ReplayTasks(settings, plans)


def _of_app(app: str, config: Path | None, broker: str | None) -> ReplayTasks:
    if config is not None:
        os.environ["STREAMS_CONFIG"] = str(config)
    if broker is not None:
        os.environ["STREAMS_KAFKA__BOOTSTRAP_SERVERS"] = broker
    from streams.process import load_app

    loaded = load_app(app)
    _check_id(loaded.streams_settings)
    return ReplayTasks(loaded.streams_settings, {plan.task.name: plan for plan in loaded.plans})


def _check_id(settings: Settings) -> None:
    if not settings.worker.id:
        raise UsageError("worker.id: is missing; the runs of a worker id are in one topic")
