"""Compares two enrichments of the same items: `streams diff`.

    A ─► lanes ─┐
                ├─► sorting (a survey) ─► join ─► comparison ─► summary ─► table, page
    B ─► lanes ─┘

Read `diffing` first: it is the whole process. `enriched` is one result; `item_places` and `survey`
say which record of an item counts, `sorting` takes these, `join` brings the two together,
`comparison` adds up `sections` of `differences` with `samples` of them, `example_sources` looks up
the texts of these. `diff_summary` is the outcome as JSON; `diff_table` and `diff_page` (with
`diff_charts`) show its `diff_figures`.
"""

from streams.jobs.diff.diff_page import page
from streams.jobs.diff.diff_summary import summary
from streams.jobs.diff.diff_table import table
from streams.jobs.diff.diffing import Diff, DiffProgress
from streams.jobs.diff.diffing import diff as compare
from streams.jobs.diff.survey import Selection

__all__ = ["Diff", "DiffProgress", "Selection", "compare", "page", "summary", "table"]
