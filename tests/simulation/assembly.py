"""The shells of one process, put together as `streams.assembly` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.codec.records import Decoder
from streams.codec.results import Encoder
from streams.core.limits import Limits
from streams.kafka.produce.transactions import Transactions
from streams.model import Caller
from streams.policies.retry import Backoff
from streams.running.pipeline_caller import CALL_BYTES, PipelineCaller
from streams.worker.call_ledger import Ledger, LedgerTask
from streams.worker.output import Route
from streams.worker.task_parts import TaskParts
from streams.worker.worker import Worker
from tests.simulation.call_ledger import WORKER_ID, LedgerConsumer, LedgerProducer
from tests.simulation.parameters import Parameters
from tests.simulation.piped import limits_of_pipeline
from tests.simulation.records import SOURCE
from tests.simulation.sinks import Producer
from tests.simulation.transactional import TransactionalProducer

if TYPE_CHECKING:
    from tests.simulation.member import Member
    from tests.simulation.world import World

LEDGER = "ledger"
"""The address under which the call ledger is written and read."""


def _producer(
    *,
    world: World,
    member: Member,
    bootstrap_servers: str = "",
    transactional_id: str | None = None,
    **keywords: Any,
) -> Producer | TransactionalProducer | LedgerProducer:
    if bootstrap_servers == LEDGER:
        return LedgerProducer(world, member)
    if transactional_id is None:
        return Producer(world, member)
    return TransactionalProducer(world, member, transactional_id=transactional_id, **keywords)


def _consumer(*, world: World, member: Member, **_: Any) -> LedgerConsumer:
    return LedgerConsumer(world, member)


CLIENTS = {AIOKafkaProducer: _producer, AIOKafkaConsumer: _consumer}
"""What the product makes instead of aiokafka's, of the keywords that it is given here."""


def make_transactions(
    parameters: Parameters,
    worker: Worker,
    on_lost: Callable[[Any], None],
    keywords: dict[str, Any],
) -> Transactions | None:
    """Where outcomes go in exactly_once; None: to the sink."""
    if parameters.guarantee != "exactly_once":
        return None
    return Transactions(
        keywords,
        worker_id=WORKER_ID,
        interval_s=parameters.commit_interval_s,
        committed=worker.committed,
        progress=lambda lane, slots: lane.task.progress(lane, slots),
        presses=worker.presses,
        on_lost=on_lost,
        on_defect=worker.on_defect,
    )


def make_ledger(
    parameters: Parameters, worker: Worker, parts: TaskParts, keywords: dict[str, Any]
) -> Ledger | None:
    """Where paid answers are recorded; None: nowhere."""
    if not parameters.recorded:
        return None
    return Ledger(
        WORKER_ID,
        {SOURCE: LedgerTask(parts.fingerprint, parameters.timeout_s)},
        {**keywords, "bootstrap_servers": LEDGER},
        end_of=worker.end,
        room_bytes=parameters.ledger_room_bytes,
        batch_bytes=parameters.batch_bytes,
    )


def task_limits(parameters: Parameters) -> Limits:
    return Limits(
        max_items=parameters.max_items,
        max_wait_s=parameters.max_wait_s,
        max_tokens=parameters.max_tokens,
        max_bytes=parameters.max_bytes,
        max_in_flight=parameters.max_in_flight,
        max_attempts=parameters.max_attempts,
        order=parameters.order,
        max_beyond_bytes=parameters.beyond_bytes,
        backoff=Backoff(0.5, 4.0),
        account_backoff=Backoff(2.0, 8.0),
    )


def task_parts(parameters: Parameters, caller: Caller) -> TaskParts:
    """`caller`: that of a pipeline has started."""
    pipeline = caller if isinstance(caller, PipelineCaller) else None
    limits = task_limits(parameters)
    if pipeline is not None:
        limits = limits_of_pipeline(parameters)
    return TaskParts(
        name="task",
        source=SOURCE,
        limits=limits,
        timeout_s=parameters.timeout_s if pipeline is None else None,
        decoder=Decoder(),
        encoder=Encoder(
            task="task", model=None, fingerprint="f", mode="result", embedding="floats"
        ),
        caller=caller,
        fingerprint="f",
        call_bytes=0 if pipeline is None else CALL_BYTES,
    )


def route(parameters: Parameters) -> Route:
    return Route(
        sink="sink",
        dead_letter="dead",
        source_partitions=parameters.partitions,
        sink_partitions=parameters.sink_partitions,
        dead_letter_partitions=parameters.dead_letter_partitions,
        sink_bytes=parameters.sink_bytes,
        dead_letter_bytes=parameters.sink_bytes,
    )
