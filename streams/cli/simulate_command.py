"""`streams simulate`: the API simulator alone, or beside one program, for one's own tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.options import Debug, Json


def simulate(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMAND ...]", help="A program to run: the simulator answers its calls."
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="0: a free one.")] = 0,
    latency_ms: Annotated[float, typer.Option(help="Of each call.")] = 200.0,
    jitter_ms: Annotated[float, typer.Option(help="Added at random, from 0 to this.")] = 0.0,
    ms_per_token: Annotated[float, typer.Option(help="Added for each token of output.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    script: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Faults to play: JSON or TOML.")
    ] = None,
    rpm: Annotated[int | None, typer.Option(metavar="N", help="Requests per minute.")] = None,
    itpm: Annotated[int | None, typer.Option(metavar="N", help="Input tokens per minute.")] = None,
    otpm: Annotated[int | None, typer.Option(metavar="N", help="Output tokens per minute.")] = None,
    voyage_rpm: Annotated[int | None, typer.Option(metavar="N", help="Voyage's requests.")] = None,
    voyage_tpm: Annotated[int | None, typer.Option(metavar="N", help="Voyage's tokens.")] = None,
    burst_s: Annotated[float, typer.Option(help="Seconds of a limit usable at once.")] = 60.0,
    request_burst_s: Annotated[
        float | None, typer.Option(metavar="S", help="The same, of requests alone.")
    ] = None,
    limits_at: Annotated[
        list[str] | None,
        typer.Option(metavar="S:FACTOR", help="Limits from S seconds after the first call on."),
    ] = None,
    others_share: Annotated[float, typer.Option(help="Of the limits, taken by others.")] = 0.0,
    acceleration: Annotated[
        float | None, typer.Option(metavar="FACTOR", help="Refuse sharper increases of use.")
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(metavar="N", help="Calls at once; more get 529.")
    ] = None,
    limit_headers: Annotated[
        str, typer.Option(help="Of the moment of the answer, the arrival, or none.")
    ] = "answer",
    ledger: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Takes a JSON line for each request.")
    ] = None,
    answers: Annotated[str, typer.Option(help="auto, offline or hash.")] = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Run the simulator of the Anthropic and the Voyage API until Ctrl-C, or until COMMAND ends.

    COMMAND finds its addresses and a key in the environment; its exit code is ours.
    """
    from streams.errors import UsageError
    from streams.simulator import SimulatorSettings, run, run_program
    from streams.simulator.simulator_settings import changes_of

    settings = SimulatorSettings(
        port=port,
        latency_ms=latency_ms,
        jitter_ms=jitter_ms,
        ms_per_token=ms_per_token,
        seed=seed,
        script=script,
        requests_per_minute=rpm,
        input_tokens_per_minute=itpm,
        output_tokens_per_minute=otpm,
        voyage_requests_per_minute=voyage_rpm,
        voyage_tokens_per_minute=voyage_tpm,
        burst_s=burst_s,
        request_burst_s=request_burst_s,
        limit_changes=changes_of(limits_at),
        others_share=others_share,
        acceleration=acceleration,
        max_concurrent=max_concurrent,
        limit_headers=limit_headers,  # type: ignore[arg-type]  # checked there
        ledger_path=ledger,
        answers=answers,  # type: ignore[arg-type]  # checked there
    )
    if command:
        if as_json:
            raise UsageError("--json says where the simulator listens: give no COMMAND with it")
        return run_program(settings, command)
    return run(settings, as_json=as_json)
