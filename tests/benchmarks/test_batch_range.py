"""Batch mode over a range holds its bars; `python -m benchmarks.batch_range` has more items."""

from __future__ import annotations

import json
import subprocess
import sys


def test_a_range_in_batch_mode_takes_little_memory_and_leaves_the_loop_free() -> None:
    command = [sys.executable, "-m", "benchmarks.batch_range", "--items", "60000", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout)
