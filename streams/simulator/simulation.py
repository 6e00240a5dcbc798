"""The state of one running simulator: clocks, limits, cache, plans, script, journal."""

from __future__ import annotations

import time
from typing import Any

from streams.simulator.account_limits import AccountLimits
from streams.simulator.batches import Batches
from streams.simulator.cache import PromptCache
from streams.simulator.calls import Call
from streams.simulator.encoder import HASH, choose_encoder, digest
from streams.simulator.journal import Journal
from streams.simulator.script import load_script
from streams.simulator.simulator_settings import SimulatorSettings
from streams.simulator.submissions import Submissions
from streams.simulator.synthesis import Plans


class Simulation:
    """The state that all requests share. Raises UsageError for a script that cannot be used.

    `now`: seconds of a clock that only goes forward; `wall`: seconds since the epoch.
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.seed = settings.seed
        self.now = time.monotonic
        self.wall = time.time
        self.script = load_script(settings.script or (), settings.seed)
        self.encoder = choose_encoder(settings.answers)
        self.plans = Plans()
        self.cache = PromptCache()
        self.batches = Batches(settings.batch_queue)
        self.submissions = Submissions()
        self.journal = Journal(settings.ledger_size, settings.ledger_path, settings.count_items)
        self.limits = AccountLimits(settings)

    def start(self) -> None:
        """Starts loading the encoder."""
        if self.encoder is not None:
            self.encoder.start()

    def close(self) -> None:
        """Ends background work and closes the journal's file."""
        self.batches.stop()
        if self.encoder is not None:
            self.encoder.stop()
        self.journal.close()

    def due_s(self, call: Call) -> float:
        """How long the call takes in all, in seconds: the latency model and the script's delay."""
        settings = self.settings
        took_ms = settings.latency_ms + settings.ms_per_token * call.output_tokens
        if settings.jitter_ms:
            took_ms += settings.jitter_ms * digest(self.seed, "jitter", str(call.n)) / 2**64
        return took_ms / 1000 + call.delay_s

    def request_id(self, n: int) -> str:
        """The request id of request number `n`: the same in every run with the same seed."""
        return f"req_sim{self.seed:x}n{n:08d}"

    def state(self) -> dict[str, Any]:
        """What `GET /simulator/state` shows."""
        return {
            "answers": HASH if self.encoder is None else self.encoder.name,
            "seed": self.seed,
            **self.journal.state(),
            "batches": self.submissions.state(),
            "script": self.script.played(),
        }

    def reset(self) -> None:
        """Back to the start: counts, limits, cache, batches and the script's numbers; the journal's
        file and the script's rules stay."""
        self.journal.reset()
        self.script.restart()
        self.cache.forget()
        self.batches.stop()
        self.batches = Batches(self.settings.batch_queue)
        self.submissions = Submissions()
        self.limits = AccountLimits(self.settings)
