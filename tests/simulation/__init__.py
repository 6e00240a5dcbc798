"""A deterministic simulation: the real engine, shells and writers under virtual time.

    schedule ──► world ──► members: Worker, TaskShell, Outcomes, Sink, writers (the real ones)
      │            │          │  consumer.py: the transport replayed around the real LaneReader
      │            ├── group (generations, sessions, commits)   ├── sinks (acknowledgements)
      │            ├── api (latency, faults, bad replies)       ├── records (the source)
      │            │                                            └── call_ledger (paid answers)
      │            └── transactional ──► answers ──► coordinator (fencing, transactions, a reader)
      └── parameters: what a seed stands for            ledger: what the promises are held against

    $ .venv/bin/python -m tests.simulation --schedules 10000
    $ .venv/bin/python -m tests.simulation --seed 4711          # one schedule, with its whole story

A schedule is a seed: sizes, latencies and a timed list of troubles. While they last, everything may
go wrong; afterwards all must be done in time (no partition with lag may stand still), everybody
stops in order, and nothing is held. Every record that is written and every commit is held against
the ledger at once: nothing lost (G1, G3), first copies in order (G2), a record twice only where a
process was killed, put out of the group, or kept from finishing by the broker (G1), at most
`max_in_flight` calls (G4), no microbatch above its limits and no item that waits in a window longer
than it must (G5), no item paid again for nothing, and no dead letter that the API's answers do not
explain (contract, section 2).

Two seeds of five are `exactly_once`: the real `Transactions` over aiokafka's own transactional
producer, whose requests are answered as Kafka's coordinators and leaders would. What counts as
written there is what a `read_committed` reader sees: every item once, in order, and the source's
offset moves with it in one step, whoever is killed, fenced, out of time, or never told.

One seed of three has a call ledger: what is answered is recorded soon, where the ledger can be
written, and whoever is assigned a partition pays for nothing that had been recorded by then, where
it can be read.

One seed of six is a pipeline (`piped.py`): parts that are gathered again, then the API, behind one
task; the limits of calls are those of its stage, all other promises those of any task.

What is not simulated: sockets, aiokafka's plain producer and its consumer's protocol (rules in
`sinks.py` and `consumer.py`), threads (two ends of a queue), signals. Those are tested on Apache
Kafka.
"""
