"""Every decision of a run in batch mode: pure, given `now_ms`.

    Draw ─► Canary ─► Submit ─► Retrieve … ended ─► Fold ─► Submit again | GoLive ─► Emit

Read `chunk_record` (what moves and what is remembered) with `custom_ids` and `batch_packing`, then
`chunk_fold` (results become outcomes), then `run_actions` and `run_terms` (the language) and
`batch_machine` (when what is done) with its parts: `open_chunks`, `under_way` (what is at the API),
there `adoption` (creations whose outcome is unclear) and `polling` (how often to ask); `spending`
and `deadline`.
"""
