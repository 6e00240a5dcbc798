"""The demo: broker, API simulator and worker in one go, and a judgement of what came out.

Read `run` (start, publish, wait, judge), then `texts` (what is published) and `view` (what a person
sees).
"""

from streams.demo.run import run

__all__ = ["run"]
