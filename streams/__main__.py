"""`python -m streams` is the command `streams`."""

from streams.cli.entry import run

run()
