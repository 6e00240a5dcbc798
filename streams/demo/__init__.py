"""The demo: broker, API simulator and worker in one go, and a judgement of what came out.

    items ─► run ─► findings ─► view
    items.py  run.py  findings.py  view.py          texts.py has docstrings for items

Start with `run.py`.
"""

from streams.demo.items import Input
from streams.demo.run import Question, run

__all__ = ["Input", "Question", "run"]
