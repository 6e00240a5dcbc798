"""Makes a plan happen, and judges what came of it."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.chaos.scene import Scene
from tests.chaos.schedule import Plan, Step
from tests.chaos.simulator import SimulatorProcess

NEW_ITEMS = 30


async def carry_out(broker: Any, plan: Plan, simulator: SimulatorProcess) -> dict[str, Any]:
    """The figures of the run. Raises AssertionError with the plan, the histories of the items that
    break a promise, and the workers' logs."""
    work = plan.work
    always = {"fault": "delay", "delay_ms": work.latency_ms}
    simulator.begin([always, *plan.rules])
    scene = Scene(broker, work, simulator, f"chaos-{plan.seed}-{plan.nodes}")
    scene.may_stop_with_1 = any(step.what.startswith("node") for step in plan.steps)
    try:
        async with scene:
            await _play(scene, broker, plan)
    except AssertionError as error:
        replay = f"--seed {plan.seed} --runs 1 --guarantee {work.guarantee} --nodes {plan.nodes}"
        command = f".venv/bin/python -m pytest tests/chaos/test_runs.py {replay}"
        raise AssertionError(f"replay: {command}\n{plan}\n{error}") from None
    return {
        "seed": plan.seed,
        "guarantee": work.guarantee,
        "nodes": plan.nodes,
        "with_api": work.with_api,
        "faults": [f"{step.what} {step.who}" for step in plan.steps],
        **scene.account.figures(),
        "longest_stand_s": round(scene.longest_stand_s, 1),
        "looks": scene.watch.looks,
        "seconds": round(scene.now(), 1),
    }


async def _play(scene: Scene, broker: Any, plan: Plan) -> None:
    first = plan.items if not plan.publish_s else plan.items // 10
    await scene.publish(first)
    for _ in range(plan.workers):
        scene.fleet.start()
    publishing = [asyncio.ensure_future(scene.publish_over(plan.items - first, plan.publish_s))]
    try:
        await scene.begun()
        zero = scene.now()
        for step in plan.steps:
            await asyncio.sleep(max(0.0, zero + step.at_s - scene.now()))
            scene.say(f"{step.what} {step.who}")
            if step.what == "grow":  # waits for a node that a later step brings back
                publishing.append(asyncio.ensure_future(scene.grow(NEW_ITEMS)))
            else:
                await _take(scene, broker, step)
            scene.say(f"{step.what} {step.who} done")
        await asyncio.gather(*publishing)
        if not scene.fleet.living():
            scene.fleet.start()
        await scene.finish()
    finally:
        for task in publishing:
            task.cancel()


async def _take(scene: Scene, broker: Any, step: Step) -> None:
    """Carry out one step."""
    who = step.who
    match step.what:
        case "start":
            scene.fleet.start()
        case "kill":
            await scene.kill(who)
        case "stop":
            await scene.stop(who)
        case "freeze":
            await scene.freeze(who)
        case "thaw":
            scene.thaw(who)
        case "node_freeze":
            scene.cut_off()
            broker.nodes[who].freeze()
        case "node_kill":
            scene.cut_off()
            await asyncio.to_thread(broker.nodes[who].kill)
        case "node_thaw":
            broker.nodes[who].thaw()
            scene.reached()
        case "node_start":
            await asyncio.to_thread(broker.nodes[who].start)
            scene.reached()
