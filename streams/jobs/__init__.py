"""Commands that work on topics and end: `publish`, `dead`; `judge` says what a run has lost.

Each is a room of its own; read `publish.publication` or `dead.redrive` first.
"""
