"""Dead letters, looked at and sent again: `streams dead`.

    tail ─► letters ─► choice ─► plan (lookup) ─► redrive ─► acknowledged ─► memory (keeper)
                          └────► letter_views

Read `letters` (what a dead letter says), `redrive_job` and `plan` (what is to be sent, and where
to; `lookup` finds the source's record), `memory` and `keeper` (what has been sent), then `redrive`.
`letter_views` is what a person sees.
"""
