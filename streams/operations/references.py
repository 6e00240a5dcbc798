"""References inside a JSON Schema."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote


def resolve(root: Any, reference: str) -> Any:
    """What a reference of the form `#/a/b` names in `root`; None: nothing, or not in `root`."""
    if not reference.startswith("#/"):
        return None
    target = root
    for step in reference[2:].split("/"):
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(target, dict) and name in target:
            target = target[name]
        elif isinstance(target, list) and name.isdecimal() and int(name) < len(target):
            target = target[int(name)]
        else:
            return None
    return target
