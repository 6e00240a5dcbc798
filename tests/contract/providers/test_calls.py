"""Calls that go well: through the unmodified SDKs, against the simulator."""

from __future__ import annotations

import asyncio
import json
import logging
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from streams.codec.fingerprint import fingerprint
from streams.errors import CallError, ConfigError, Fault
from streams.model import Reply
from streams.operations import Completion, Prompt
from streams.providers import make_caller, register_provider, registry
from tests.contract.providers.conftest import ITEMS, KEYS, LABELS, TEXTS, task_of
from tests.contract.providers.http_proxy import pump
from tests.operations.conftest import items_of
from tests.serving import serving


def shape_of(operation: str, answer: Any) -> bool:
    """Whether this is a result of the operation."""
    if operation == "classify":
        return set(answer) == {"label"} and answer["label"] in LABELS
    if operation == "generate":
        return set(answer) == {"text"} and isinstance(answer["text"], str)
    if operation == "embed":
        return len(answer["embedding_f32"]) == 256 * 4 and answer["dim"] == 256
    return set(answer) <= {"product"}


@pytest.mark.parametrize("operation", ["classify", "extract", "generate", "embed"])
async def test_one_call_answers_every_item(operation, simulate, call):
    simulator = await simulate()
    reply = await call(task_of(operation), simulator)(ITEMS)
    assert len(reply.answers) == len(ITEMS)
    assert all(shape_of(operation, answer) for answer in reply.answers)
    assert simulator.state()["calls"] == 1


@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_tokens_and_cost_are_those_of_the_bill(operation, simulate, call):
    simulator = await simulate()
    usage = (await call(task_of(operation), simulator)(ITEMS)).usage
    state = simulator.state()
    assert usage is not None
    assert usage.input_tokens == state["input_tokens"]
    assert usage.output_tokens == state["output_tokens"]
    assert usage.cost_nano_usd == round(state["cost_usd"] * 1e9)


@pytest.mark.parametrize(
    "model",
    ["claude-haiku-5-5", "claude-haiku-4-5", "claude-sonnet-5-5", "claude-opus-5-5",
     "claude-fable-5-1", "claude-sonnet-4-6", "claude-opus-4-8", "claude-sonnet-5"],
)  # fmt: skip
async def test_every_model_is_asked_in_a_way_that_it_allows(model, simulate, call):
    """Thinking off or low where it can be; room for it where it cannot."""
    reply = await call(task_of("classify", model=model), await simulate())(ITEMS)
    assert all(shape_of("classify", answer) for answer in reply.answers)


async def test_a_long_system_prompt_is_cached_and_its_reads_are_priced(simulate, call):
    task = task_of("classify", instructions="Judge the writer's opinion of the product. " * 200)
    caller = call(task, await simulate())
    written, read = (await caller(ITEMS)).usage, (await caller(ITEMS)).usage
    assert written is not None
    assert read is not None
    assert read.input_tokens == written.input_tokens
    assert read.cost_nano_usd < written.cost_nano_usd / 2


async def test_vectors_belong_to_their_texts(simulate, call):
    """The same text has the same vector, alone or among others, and another text another."""
    caller = call(task_of("embed"), await simulate())
    together = (await caller(ITEMS)).answers
    alone = (await caller(ITEMS[2:3])).answers
    assert together[2] == alone[0]
    assert together[0] != together[1]
    assert any(struct.unpack("<256f", together[0]["embedding_f32"]))


async def test_a_text_too_long_for_the_model_is_refused_not_cut_in_silence(simulate, call):
    """A vector of its first half would be a wrong answer that looks right."""
    with pytest.raises(CallError) as caught:
        await call(task_of("embed"), await simulate())(items_of(["word " * 60_000]))
    assert caught.value.fault in (Fault.TOO_LARGE, Fault.REJECTED)


async def test_hostile_texts_are_answered_like_any_other(simulate, call):
    texts = ['"}]', '[{"id": "1"}]', "\u2028\x00\x7f", "\ud800", "{", "]" * 50, "🙂", " "]
    simulator = await simulate()
    for operation in ("classify", "embed"):
        reply = await call(task_of(operation), simulator)(items_of(texts))
        assert all(shape_of(operation, answer) for answer in reply.answers)


@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_calls_run_side_by_side_and_each_gets_its_own_answers(operation, simulate, call):
    """The delay is longer than a busy machine takes to send all forty."""
    simulator = await simulate({"fault": "delay", "delay_ms": 500, "calls": "2-"})
    caller = call(task_of(operation), simulator)
    alone = (await caller(ITEMS)).answers
    replies = await asyncio.gather(*(caller(ITEMS[n % 4 : n % 4 + 1]) for n in range(40)))
    assert [reply.answers for reply in replies] == [[alone[n % 4]] for n in range(40)]
    assert simulator.state()["max_concurrent"] == 40


@pytest.fixture
async def counted() -> AsyncIterator[Callable[[int], Any]]:
    """A door to a port that counts the connections through it."""
    stack = AsyncExitStack()

    async def open_door(port: int) -> Any:
        door = SimpleNamespace(connections=0, port=0)

        async def passed(reader: Any, writer: Any) -> None:
            door.connections += 1
            inside, outside = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, outside), pump(inside, writer))

        door.port = await stack.enter_async_context(serving(passed))
        return door

    async with stack:
        yield open_door


@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_twenty_calls_in_a_row_share_one_connection(operation, simulate, call, counted):
    """The Voyage SDK opens one for each of its calls."""
    simulator = await simulate()
    door = await counted(simulator.port)
    path = "/v1" if operation == "embed" else ""
    caller = call(task_of(operation), f"http://127.0.0.1:{door.port}{path}")
    for _ in range(20):
        await asyncio.create_task(caller(ITEMS[:1]))
    assert door.connections == 1
    await caller.aclose()


@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_nobody_listening_is_a_connection_fault(operation, simulate, call):
    simulator = await simulate()
    caller = call(task_of(operation), simulator)
    await simulator.stop()
    with pytest.raises(CallError) as caught:
        await caller(ITEMS)
    assert caught.value.fault is Fault.CONNECTION


@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_a_call_that_hangs_ends_with_the_shells_timeout_and_the_next_one_works(
    operation, simulate, call
):
    """The shell's timeout is a cancellation, and passes through as one."""
    simulator = await simulate({"fault": "hang", "calls": 1})
    caller = call(task_of(operation), simulator)
    hanging = asyncio.create_task(caller(ITEMS))
    async with asyncio.timeout(30):
        while not simulator.state()["open"]:  # noqa: ASYNC110  nothing tells us
            await asyncio.sleep(0.01)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert len((await caller(ITEMS)).answers) == len(ITEMS)


@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_without_a_shell_the_sdks_own_timeout_fires_soon_after(operation, simulate, call):
    task = task_of(operation, calls=SimpleNamespace(timeout_s=0.01))
    with pytest.raises(CallError) as caught:
        await call(task, await simulate({"fault": "hang"}))(ITEMS)
    assert caught.value.fault is Fault.TIMEOUT


@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_nothing_is_retried_by_the_sdk(operation, simulate, call):
    simulator = await simulate({"fault": "rate_limited", "retry_after_ms": 1, "should_retry": True})
    with pytest.raises(CallError):
        await call(task_of(operation), simulator)(ITEMS)
    assert simulator.state()["calls"] == 1


@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_no_log_line_holds_a_key_at_any_level_nor_a_text_above_debug(
    operation, simulate, call, caplog
):
    caplog.set_level(logging.DEBUG)
    rule = {"fault": "unauthorized", "calls": 2, "message": f"bad key {list(KEYS.values())}"}
    caller = call(task_of(operation), await simulate(rule))
    await caller(ITEMS)
    with pytest.raises(CallError) as caught:
        await caller(ITEMS)
    shown = "\n".join(record.getMessage() + (record.exc_text or "") for record in caplog.records)
    above = "\n".join(r.getMessage() for r in caplog.records if r.levelno > logging.DEBUG)
    assert caplog.records
    for key in KEYS.values():
        assert key not in shown + repr(caught.value) + str(caught.value)
    for text in TEXTS:
        assert text not in above


@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_a_message_that_quotes_an_item_is_not_passed_on(operation, simulate, call):
    rule = {"fault": "bad_request", "message": f"cannot read '{TEXTS[1]}'"}
    with pytest.raises(CallError) as caught:
        await call(task_of(operation), await simulate(rule))(ITEMS)
    assert "broke" not in str(caught.value)
    assert caught.value.fault is Fault.REJECTED


@pytest.mark.parametrize("operation", ["classify", "extract", "generate", "embed"])
async def test_descriptions_tell_tasks_with_other_results_apart(operation, simulate, call):
    simulator = await simulate()
    tasks = [task_of(operation), task_of(operation, model="claude-sonnet-5-5")]
    if operation == "embed":
        tasks = [*tasks, task_of(operation, dimension=512), task_of(operation, input_type="query")]
    else:
        tasks.append(task_of(operation, instructions="Be kind."))
    prints = [fingerprint(**call(task, simulator).describe()) for task in tasks]
    assert len(set(prints)) == len(prints)
    again = call(task_of(operation), simulator).describe()
    assert fingerprint(**again) == prints[0]
    assert "127.0.0.1" not in json.dumps(again)  # where the API stands changes no result


async def test_no_items_are_no_call(simulate, call):
    simulator = await simulate()
    assert await call(task_of("classify"), simulator)([]) == Reply([])
    assert simulator.state()["calls"] == 0


def test_importing_the_package_imports_no_sdk():
    """Together they take 2.7 s and 150 MB."""
    program = (
        "import sys, streams.providers, streams.operations;"
        "assert not {'anthropic', 'voyageai', 'numpy', 'httpx2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def refused(task: Any, environ: dict[str, str] = KEYS, settings: Any = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        make_caller(task, settings, environ=environ)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("operation", "module"), [("classify", "anthropic"), ("embed", "voyageai")]
)
def test_a_missing_sdk_is_told_with_the_way_to_get_it(operation, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    [problem] = refused(task_of(operation))
    assert problem.startswith("task.t.provider: ")
    assert f'pip install "streams-microbatch[{module.removesuffix("ai")}]"' in problem


@pytest.mark.parametrize(
    ("operation", "variable"), [("classify", "ANTHROPIC_API_KEY"), ("embed", "VOYAGE_API_KEY")]
)
@pytest.mark.parametrize("environ", [{}, {"ANTHROPIC_API_KEY": " ", "VOYAGE_API_KEY": ""}])
def test_a_missing_key_is_told_with_what_to_set(operation, variable, environ):
    [problem] = refused(task_of(operation), environ)
    assert variable in problem
    assert "api_key_file" in problem


async def test_a_key_from_a_file_comes_before_the_environment(tmp_path, simulate, call):
    path = tmp_path / "key"
    path.write_text("sk-ant-from-the-file\n")
    simulator = await simulate()
    settings = SimpleNamespace(base_url=simulator.url, api_key_file=path)
    caller = make_caller(task_of("classify"), settings, environ={})
    assert len((await caller(ITEMS)).answers) == len(ITEMS)
    await caller.aclose()


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff\xfe", b"k\xc3\xa9y", b"a\nb"])
def test_a_file_without_a_usable_key_is_a_problem_that_does_not_show_it(content, tmp_path):
    path = tmp_path / "key"
    path.write_bytes(content)
    settings = SimpleNamespace(base_url=None, api_key_file=path)
    [problem] = refused(task_of("classify"), settings=settings)
    assert problem.startswith("provider.anthropic.api_key_file: ")
    assert str(path) in problem
    assert "two words" not in problem


def test_a_missing_key_file_is_a_problem():
    settings = SimpleNamespace(base_url=None, api_key_file="/nowhere/key")
    [problem] = refused(task_of("embed"), settings=settings)
    assert "/nowhere/key" in problem


@pytest.mark.parametrize(
    ("operation", "provider", "said"),
    [
        ("embed", "anthropic", "anthropic does classify and extract and generate, not embed"),
        ("classify", "voyage", "voyage does embed, not classify"),
        ("classify", "nobody", "'nobody' is not one of anthropic"),
    ],
)
def test_a_provider_that_does_not_fit_the_operation_is_a_problem(operation, provider, said):
    [problem] = refused(task_of(operation, provider=provider))
    assert problem.startswith("task.t.provider: ")
    assert said in problem


def test_all_problems_are_told_at_once():
    found = refused(task_of("extract", schema={"type": "array"}), environ={})
    assert [problem.split(":")[0] for problem in found] == [
        "task.t.schema",
        "provider.anthropic.api_key_file",
    ]


class Parrot:
    """A provider of a user's own."""

    operations = frozenset({"generate"})

    async def send(self, request: Any, timeout_s: float) -> Completion:
        assert isinstance(request, Prompt)
        rows, _ = json.JSONDecoder().raw_decode(request.user)
        if rows[0]["text"] == "trip":
            raise RuntimeError("over " + rows[0]["text"])
        return Completion([{"type": "text", "text": json.dumps({"results": rows})}], "end_turn")

    def describe(self) -> dict[str, Any]:
        return {"provider": "parrot"}

    async def aclose(self) -> None:
        pass


async def test_a_provider_can_be_registered_once_and_its_defects_are_call_errors(monkeypatch):
    monkeypatch.setattr(registry, "_factories", {})  # other tests list the names
    register_provider("parrot", lambda task, settings, environ: Parrot())
    with pytest.raises(ValueError, match="parrot"):
        register_provider("parrot", lambda task, settings, environ: Parrot())
    caller = make_caller(task_of("generate", provider="parrot"), None, environ={})
    assert (await caller(ITEMS)).answers == [{"text": text} for text in TEXTS]
    with pytest.raises(CallError) as caught:
        await caller(items_of(["trip"]))
    assert caught.value.fault is Fault.BAD_REPLY
    assert caught.value.__context__ is None


def test_the_names_of_the_built_in_providers_are_taken():
    with pytest.raises(ValueError, match="voyage"):
        register_provider("voyage", lambda task, settings, environ: Parrot())
