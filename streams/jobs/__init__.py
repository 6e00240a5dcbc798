"""Commands that work on topics and files, and end: `publish`, `dead`, `diff`, `map_file`, `replay`.

Each is a room of its own; read `publish.publication`, `dead.redrive`, `diff.diffing`,
`map_file.mapping` or `replay.replaying` first. `claim` lets one process at a time do a job, `files`
reads files for them, `judge` says what a run has lost, `call_estimate` what one would cost,
`own_simulator` starts the API simulator.
"""
