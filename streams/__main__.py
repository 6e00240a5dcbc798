"""`python -m streams` is the command `streams`."""

from streams.cli.main import run

run()
