"""The demo: broker, API simulator and worker in one go, and a judgement of what came out."""

from streams.demo.run import run

__all__ = ["run"]
