"""Shows dead letters and sends them again: `streams dead`.

    tail ─► letters ─► choice ─► plan (lookup) ─► redrive ─► acknowledged ─► memory
                          └────► letter_views

Read `letters` (the content of a dead letter), `memory` (which letters are done), `plan` (what to
send, and where to; `lookup` finds the source's record), then `redrive`, which holds a claim
(`streams.jobs.claim`). `letter_views` prints letters for a person.
"""
