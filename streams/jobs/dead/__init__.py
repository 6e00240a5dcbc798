"""Dead letters, looked at and sent again: `streams dead`.

    tail ─► letters ─► choice ─► plan (lookup) ─► redrive ─► acknowledged ─► memory
                          └────► letter_views

Read `letters` (what a dead letter says), `memory` (what has been sent again), `plan` (what is to be
sent, and where to; `lookup` finds the source's record), then `redrive`. `letter_views` is what a
person sees.
"""
