"""`desired.json` beside the store: the last good configuration from afar, one on trial, and what became of the newest.

Written whole (rename, fsync). A version on trial is started at most twice; not confirmed by then, the good one is back. A file that
cannot be read is set aside: the terminal's own configuration alone always starts it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from terminal.adapters.store_file import sync_directory
from terminal.config import Config, ConfigError, checked, read_table
from terminal.fleet.desired import overlaid

NAME = "desired.json"
STARTS = 2
Verdict = Literal["applied", "pending", "rejected", "rolledBack"]


@dataclass(frozen=True, slots=True)
class Version:
    """`configuration` as it was desired."""

    version: int
    configuration: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Memory:
    """`newest`: the highest version seen, whatever became of it (`verdict`, `reason`). `before`: the reasons to be out of service
    when the trial began; it is good when there are no others. Of a version that waits only the number is here: the broker retains it,
    and it is verified again when it comes back."""

    good: Version = Version(0, {})
    trial: Version | None = None
    starts: int = 0
    before: tuple[str, ...] = ()
    newest: int = 0
    verdict: Verdict = "applied"
    reason: str = ""

    @property
    def active(self) -> Version:
        return self.trial or self.good

    def on_trial(self, version: Version, before: tuple[str, ...]) -> Memory:
        return replace(self, trial=version, starts=0, before=before, newest=version.version, verdict="pending", reason="")

    @property
    def waits(self) -> bool:
        """The newest has not been tried: a customer, another version's trial or a disk that does not write is in its way."""
        return self.verdict == "pending" and self.newest != self.active.version

    def proved(self) -> Memory:
        kept = replace(self, good=self.active, trial=None, starts=0)
        return kept if self.newest != self.active.version else replace(kept, verdict="applied", reason="")

    def rolled_back(self, reason: str) -> Memory:
        kept = replace(self, trial=None, starts=0)
        return kept if self.waits else replace(kept, verdict="rolledBack", reason=reason)


def path_of(config: Config) -> Path:
    return config.terminal.store.with_name(NAME)


def read(path: Path) -> Memory:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        good, trial = Version(**fields["good"]), fields["trial"]
        known = {**fields, "good": good, "trial": None if trial is None else Version(**trial), "before": tuple(fields["before"])}
        return Memory(**known)
    except FileNotFoundError:
        return Memory()
    except (OSError, ValueError, TypeError, KeyError) as error:
        sys.stderr.write(f"{path}: cannot be used ({type(error).__name__}) and is set aside; the terminal's own configuration holds\n")
        if path.exists():
            path.rename(path.with_name(f"{NAME}.damaged"))
        return Memory()


def write(path: Path, memory: Memory) -> None:
    """On disk when it returns. OSError."""
    fresh = path.with_name(f"{NAME}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(memory), file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    sync_directory(path.parent)


@dataclass(frozen=True, slots=True)
class Start:
    """What a start of the agent begins with. `table` and `base` are the terminal's own file, for the next overlay."""

    config: Config
    table: Mapping[str, Any]
    base: Path
    memory: Memory


def start(file: Path) -> Start:
    """The file's configuration with the active version over it; a trial is counted first. ConfigError only for the file itself."""
    table, base = read_table(file), file.resolve().parent
    try:
        own = checked(table, base)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
    path = path_of(own)
    memory = read(path)
    if memory.trial is not None:
        over = memory.starts >= STARTS
        memory = memory.rolled_back("didNotStay") if over else replace(memory, starts=memory.starts + 1)
        write(path, memory)
    while memory.active.version:
        try:
            return Start(overlaid(table, memory.active.configuration, base), table, base, memory)
        except ConfigError as error:  # the file was changed under it
            sys.stderr.write(f"{path}: version {memory.active.version} does not fit the file any more ({error})\n")
            memory = memory.rolled_back("doesNotFit") if memory.trial else replace(memory.rolled_back("doesNotFit"), good=Version(0, {}))
            write(path, memory)
    return Start(own, table, base, memory)
