"""Classify the rows of a CSV in ten lines: one call for 20 rows, 5 calls at once, rows in order.

    python examples/classify_csv.py > labelled.csv      # needs ANTHROPIC_API_KEY
    streams simulate python examples/classify_csv.py    # needs no key: a simulator answers

A row that has no answer gets the reason in its place. Without code: `streams map` (docs/map.md).
"""

import asyncio
import csv
import sys
from pathlib import Path

import streams

label = streams.classify(
    ["positive", "negative", "neutral"],
    instructions="Judge the reviewer's opinion of the product.",
    text="/review",
)

with Path(__file__).with_name("reviews.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
labels = asyncio.run(streams.map_batches(label, rows, max_items=20, max_in_flight=5))
output = csv.DictWriter(sys.stdout, [*rows[0], "label"])
output.writeheader()
output.writerows({**row, "label": found} for row, found in zip(rows, labels, strict=True))

print(label.usage, file=sys.stderr)
