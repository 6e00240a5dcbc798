"""What the project promises in figures, and the commands that show them.

    python -m benchmarks              every bar, one table
    python -m benchmarks.throughput   the worker beside a bare echo and a Faust agent
    python -m benchmarks.waiting      the worker with a function that waits, and with an API
    python -m benchmarks.memory       the worker with a million items in the backlog
    python -m benchmarks.replay_size  a replay of a million items in batches
    python -m benchmarks.replay_kills    a replay under `kill -9`, live or `--mode batch`
    python -m benchmarks.budget_kills    a budget for four workers under `kill -9`
    python -m benchmarks.limit_workers   one limit of an API for four workers, one is killed
    python -m benchmarks.replay_beside_live    live traffic while a replay uses its account
    python -m benchmarks.flush_by     items that say when their result is to be back

    python -m benchmarks.poison       what bad items cost, in calls (no broker, unless `--kafka`)
    python -m benchmarks.outage       an API that is down for ten minutes
    python -m benchmarks.limits       how much of an API's limits is used (no broker)
    python -m benchmarks.map_kills    `streams map` under `kill -9` (no broker)
    python -m benchmarks.map_batch_kills    the same in Message Batches (no broker)
    python -m benchmarks.batch_api    Message Batches: whether the loop stays free (no broker)
    python -m benchmarks.diff         `streams diff` of two topics of a million results
    python -m benchmarks.uses         the doors without Kafka, each in its use (no broker)

They need a broker: `--broker HOST:PORT`, else `STREAMS_TEST_BROKER`, else the best there is. Each
makes its own topics and deletes them. `engine` and `records` measure two rooms without a broker.
"""
