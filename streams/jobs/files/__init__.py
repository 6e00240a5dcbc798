"""Reads files of records: CSV, TSV, JSON lines, Parquet, text.

    blocks ─► lines | columns | parquet ─► Records ─► a job
                    └──────────────────────┴─► rejects: what is not valid, with its line and reason

Read `formats` first: it chooses the reader (`lines`, `columns` for CSV, or `parquet` with its
`cells`); `rows` is what every reader returns, `rejects` reports what is not valid, `ahead` reads in
a thread, `text_field` says which part of a record is the text.
"""
