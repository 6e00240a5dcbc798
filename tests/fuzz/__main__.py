"""Replies by the million, broken in every way that is known here.

    python -m tests.fuzz [--replies N] [--seed N] [--round SEED]

Prints how many there were, what items came to and what calls came to. A failure names its round;
`--round` plays that one again. Exit code 1 where one failed.
"""

from __future__ import annotations

import argparse
import sys
import time
from random import SystemRandom

from tests.fuzz.rounds import Subject

REPLIES_PER_ROUND = 60
SAY_EVERY_S = 10.0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replies", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one")
    parser.add_argument("--round", default=None, help="play one round again")
    given = parser.parse_args()
    subject = Subject()
    if given.round is not None:
        say(f"{subject.round(given.round, REPLIES_PER_ROUND)} replies; nothing failed")
        return 0
    seed = SystemRandom().randrange(2**32) if given.seed is None else given.seed
    say(f"seed: {seed}")
    try:
        replies, rounds = play(subject, seed, given.replies)
    except AssertionError as error:
        say(str(error))
        return 1
    say(f"{replies:,} replies in {rounds:,} rounds; {subject.items:,} items, one outcome each")
    say(f"{subject.right:,} answers were right, and none of them was refused or changed")
    say("items: " + ", ".join(f"{code} {n:,}" for code, n in subject.outcomes.most_common()))
    say("calls: " + ", ".join(f"{fault} {n:,}" for fault, n in subject.faults.most_common()))
    return 0


def play(subject: Subject, seed: int, least: int) -> tuple[int, int]:
    """Rounds until there were so many replies; how many of both."""
    began = said = time.monotonic()
    replies = rounds = 0
    while replies < least:
        replies += subject.round(f"{seed}/{rounds}", REPLIES_PER_ROUND)
        rounds += 1
        now = time.monotonic()
        if now - said > SAY_EVERY_S:
            said = now
            sys.stderr.write(f"{replies:,} replies, {replies / (now - began):,.0f} a second" + "\n")
    return replies, rounds


if __name__ == "__main__":
    sys.exit(main())
