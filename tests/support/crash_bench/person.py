"""The member of staff: counts, clears the path, reconciles and refills with the terminal's own commands. Only when the terminal asks."""

from __future__ import annotations

import subprocess
import sys

from crash_bench.branch import FULL, Branch, Stuck
from crash_bench.observation import Observation, asked, latch_of

BY = "bench"


def sets_right(branch: Branch, seen: Observation) -> None:
    """With the agent stopped: open the latch with what was counted, fill what is no longer accurate, start again."""

    def work() -> None:
        branch.hand("dispenser", "clear_jam")
        latch = latch_of(branch)
        if latch is not None and latch["reason"] == "outcomeUnknown":
            _cash(branch, "reconcile", "--transaction", latch["transactionId"], "--presented-minor", str(seen.out_minor))
        elif latch is not None:
            _cash(branch, "release")
        for unit in seen.units:
            if not unit.accurate or unit.tampered:
                asked(branch, "dispenser", "set_cassette", unit=int(unit.unit), count=FULL)
                _cash(branch, "exchange", "--unit", unit.unit, "--count", str(FULL))

    branch.tell("person", f"sets the terminal right: counted {seen.out_minor}")
    branch.renew_agent(work)


def is_needed(seen: Observation) -> bool:
    return seen.latch is not None or any(not unit.accurate or unit.tampered for unit in seen.units)


def reads_the_journal(branch: Branch) -> str:
    """`branch-terminal journal verify`, as a person types it: what it finds wrong."""
    done = branch.stage.journal("verify", "--json")
    return "" if done.returncode == 0 else f"journal verify: {done.stdout.strip() or done.stderr.strip()}"


def _cash(branch: Branch, *arguments: str) -> None:
    command = [sys.executable, "-m", "terminal", "cash", *arguments, "--by", BY, "--config", str(branch.folder / "terminal.toml")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Stuck(f"cash {' '.join(arguments)}: {done.stderr.strip()}")
