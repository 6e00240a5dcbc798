"""The demo: broker, API simulator and worker in one go, and a judgement of what came out.

    items ─► run ─► findings ─► view

Read `run` first (start, publish, wait), then `items` (what is published: `texts` has docstrings for
it), `findings` (what the topics say at the end) and `view` (what a person sees).
"""

from streams.demo.items import Input
from streams.demo.run import Question, run

__all__ = ["Input", "Question", "run"]
