"""A simulated Puloon LCDM-4000 cash dispenser: electronics and wire. Sans-I/O; time is an argument.

The mechanics are in `dispenser_physics`, the wire in `dispenser_wire` and `dispenser_link`, line faults in `dispenser_faults`, what people
do to the machine in `dispenser_hands`, the state file in `dispenser_store`. Own readings where the description is silent: a busy unit
does not hear commands (but RESET); RESET and the loss of power forget the result of the last movement unless configured otherwise.

    python -m simulators.devices.dispenser --link /tmp/dispenser --control /tmp/dispenser.control [--cassettes JSON] [--state FILE]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simulators.devices import dispenser_wire as wire
from simulators.devices.dispenser_hands import do_by_hand
from simulators.devices.dispenser_link import Link
from simulators.devices.dispenser_physics import CASSETTES, Cassette, Counts, Mechanics, PowerLost, Run

HISTORY = 1000
BAD_COMMAND, BAD_PARAMETER, NO_REJECT_TRAY = 0x30, 0x31, 0x26
FACTORY = {"opacities": [100] * CASSETTES, "lengths": [98] * CASSETTES, "order": [1, 2, 3, 4]}
SURVIVES = ("nothing", "reset", "power", "finished", "dispensed")
MOVEMENTS = (wire.PURGE, wire.DISPENSE, wire.TEST_DISPENSE, wire.SENSOR_DIAGNOSTICS)


@dataclass(slots=True)
class Options:
    """`last_status_survives`: nothing, reset, power (which includes reset); finished: over everything, but an account is kept only when
    its movement has ended, so that after a cut the one before comes back; or dispensed: nothing, but after a cut the last dispense that
    ended comes back, also one from before a RESET. `reset_replies`: 0, 1 or 2 by model. `latency`: see Link."""

    speed: float = 1.0
    boot_s: float = 2.0
    reset_replies: int = 0
    last_status_survives: str = "nothing"
    serial_number: int = 7
    latency: float = 1.0

    def check(self) -> None:
        if not self.speed > 0 or self.boot_s < 0 or self.latency < 0:
            raise ValueError("speed must be positive, boot_s and latency not negative")
        if self.reset_replies not in (0, 1, 2):
            raise ValueError(f"reset_replies {self.reset_replies}: 0, 1 or 2")
        if self.last_status_survives not in SURVIVES:
            raise ValueError(f"last_status_survives {self.last_status_survives!r}: one of {', '.join(SURVIVES)}")


class Dispenser:
    """The electronics. `mechanics` survives everything; the rest is RAM, except `eeprom`."""

    def __init__(self, cassettes: Sequence[Cassette], options: Options | None = None) -> None:
        self.options = options or Options()
        self.options.check()
        self.mechanics = Mechanics(cassettes)
        self.mechanics.on_step = self._step_done
        self.link = Link(self.options.latency)
        self.eeprom: dict[str, list[int]] = {key: list(value) for key, value in FACTORY.items()}
        self.eeprom_damaged = False
        self.powered = True
        self.last: Counts | None = None
        self._finished: Counts | None = None
        self._dispensed: Counts | None = None
        self.history: deque[dict[str, Any]] = deque(maxlen=HISTORY)
        self.totals: dict[str, int] = {}
        self.cut_at: tuple[int, str] | None = None  # after so many passed notes in all, when the next one is at this place
        self._boot_until = 0.0
        self._run: Run | None = None
        self._counts: Counts | None = None
        self._due = 0.0

    # ---- time and the wire ----

    def feed(self, data: bytes, now: float) -> None:
        self._advance(now)
        if not self.powered or now < self._boot_until:
            self.link.deafen()
            return
        for heard in self.link.hear(data, now):
            self._command(heard.code, heard.data, now)

    def take_output(self, now: float) -> bytes:
        self._advance(now)
        return self.link.take(now)

    def next_wakeup(self) -> float | None:
        moments = (self.link.next_output(), self.link.next_event(), self._due if self._run else None)
        return min((at for at in moments if at is not None), default=None)

    def _advance(self, now: float) -> None:
        """Everything that happens by itself up to `now`, in its order."""
        while True:
            step = self._due if self._run else None
            event = self.link.next_event()
            moment = min((at for at in (step, event) if at is not None), default=None)
            if moment is None or moment > now:
                return
            if moment == step:
                self._step(moment)
            else:
                self.link.run_event(moment)

    @property
    def busy(self) -> bool:
        return self._run is not None or self.link.answering

    def _command(self, code: int, data: bytes, now: float) -> None:
        deaf = (self.busy and code != wire.RESET) or self.link.faults.take("silent", code) is not None
        refused = not deaf and self.link.faults.take("nak", code) is not None
        executed = not deaf and not refused
        key = f"{code:02x}"
        self.history.append({"at": now, "command": key, "data": data.hex(), "executed": executed})
        self.totals[key] = self.totals.get(key, 0) + 1
        if refused:
            self.link.say(wire.NAK, now + self.link.ack_delay_s)
        elif executed and code == wire.RESET:
            self._reset(now)
        elif executed:
            at = self.link.accept(code, now)
            if code not in MOVEMENTS or not self._start(code, data, at):
                self.link.answer(code, self._immediate(code, data), at)

    # ---- commands ----

    def _types(self) -> list[int]:
        return [c.type if c.present else 0 for c in self.mechanics.cassettes]

    def _start(self, code: int, data: bytes, at: float) -> bool:
        """Begin a movement. False: the parameters are wrong and nothing moves."""
        counts = Counts(code)
        if code == wire.PURGE:
            run = self.mechanics.purge(counts)
        elif code == wire.SENSOR_DIAGNOSTICS:
            if len(data) != 1 or not 0x31 <= data[0] <= 0x34:
                return False
            quantities = [0] * CASSETTES
            quantities[self.mechanics.cassettes[data[0] - 0x31].type - 1] = 5
            run = self.mechanics.dispense(quantities, self.eeprom["order"], counts, to_reject=True)
        else:
            wanted = wire.quantities_of(data)
            if wanted is None:
                return False
            run = self.mechanics.dispense(wanted, self.eeprom["order"], counts, to_reject=code == wire.TEST_DISPENSE)
        self._run, self._counts, self._due = run, counts, at
        if code != wire.SENSOR_DIAGNOSTICS:
            self.last = counts  # counted up from here: what survives a cut is what had been counted
        return True

    def _step(self, moment: float) -> None:
        run, counts = self._run, self._counts
        if run is None or counts is None:
            return
        try:
            self._due = moment + next(run) / self.options.speed
        except StopIteration:
            self._run = None
            if counts is self.last:
                self._finished = counts
                self._dispensed = counts if counts.command == wire.DISPENSE else self._dispensed
            self._finish(counts, moment)
        except PowerLost:
            self.lose_power()

    def _step_done(self, place: str) -> None:
        if self.cut_at is not None and self.mechanics.passed >= self.cut_at[0] and place == self.cut_at[1]:
            self.cut_at = None
            raise PowerLost

    def _finish(self, counts: Counts, at: float) -> None:
        if counts.command == wire.SENSOR_DIAGNOSTICS:
            rejects = sum(counts.rejects)
            reference = 100 if rejects else 0
            data = (wire.error_byte(counts.error), 0x20 + reference, 0x20 + (98 if rejects else 0), 0x20 + 20, wire.counted(rejects))
            reply = wire.answer(counts.command, *data)
        else:
            reply = wire.movement_answer(counts, self._types())
        self.link.answer(counts.command, reply, at)

    def _immediate(self, code: int, data: bytes) -> bytes:
        """The answer of a command that moves nothing, or of a movement with wrong parameters."""
        ok, bad = wire.error_byte(0), wire.error_byte(BAD_PARAMETER)
        if code in (wire.DISPENSE, wire.TEST_DISPENSE):
            return wire.movement_answer(Counts(code, BAD_PARAMETER), self._types())
        if code == wire.SENSOR_DIAGNOSTICS:
            return wire.answer(code, bad, 0x20, 0x20, 0x20, 0x20)
        if code == wire.STATUS:
            return self._status()
        if code == wire.LAST_STATUS:
            return wire.last_status_answer(self.last, self._types())
        if code == wire.GET_SERIAL:
            return wire.answer(code, ok, wire.counted(self.options.serial_number))
        if code in (wire.GET_OPACITIES, wire.GET_LENGTHS):
            return wire.answer(code, ok, *wire.halves(self.eeprom["opacities" if code == wire.GET_OPACITIES else "lengths"]))
        if code == wire.GET_ORDER:
            return wire.answer(code, ok, *(0x30 + kind for kind in self.eeprom["order"]))
        if code in (wire.SET_OPACITIES, wire.SET_LENGTHS, wire.SET_ORDER):
            return wire.answer(code, ok if self._store(code, data) else bad)
        return wire.answer(code, wire.error_byte(BAD_COMMAND))

    def _store(self, code: int, data: bytes) -> bool:
        if code == wire.SET_ORDER:
            if sorted(data) != [0x31, 0x32, 0x33, 0x34]:
                return False
            self.eeprom["order"] = [byte - 0x30 for byte in data]
            return True
        values = wire.whole_bytes(data)
        if values is None:
            return False
        key = "opacities" if code == wire.SET_OPACITIES else "lengths"
        self.eeprom[key] = [new or old for new, old in zip(values, self.eeprom[key], strict=True)]
        return True

    def _status(self) -> bytes:
        blocked = {note.place for note in self.mechanics.path}
        disp = sum(bit for bit, place in ((3, "dvt"), (4, "ejt"), (8, "exit"), (16, "rjt")) if place in blocked)
        data = [wire.error_byte(0 if self.mechanics.reject_bin_present else NO_REJECT_TRAY), 0x20 | disp]
        for slot, cassette in enumerate(self.mechanics.cassettes):
            near_end = 0x08 if cassette.present and cassette.near_end else 0
            kind = cassette.type if cassette.present else 0
            data += [0x30 | near_end, 0x30 + kind]
            data += [wire.counted(self.eeprom["opacities"][slot]), wire.counted(self.eeprom["lengths"][slot])]
        return wire.answer(wire.STATUS, *data)

    # ---- power ----

    def _reset(self, now: float) -> None:
        ready = now + self.options.boot_s / self.options.speed
        kept = {"reset": self.last, "power": self.last, "finished": self._finished}
        self._forget(kept.get(self.options.last_status_survives))
        self._boot_until = ready
        if self.options.reset_replies:
            self.link.say(wire.ACK, now + self.link.ack_delay_s)
            self.link.say(wire.answer(wire.RESET), now + self.link.ack_delay_s + self.link.answer_delay_s)
        if self.options.reset_replies == 2:
            self.link.say(wire.answer(wire.RESET), max(ready - 0.1, now + 0.1))

    def lose_power(self) -> None:
        """Silent from this moment. Notes stay where they are."""
        self.powered = False
        self._forget(self.kept_without_power)

    def restore_power(self, now: float) -> None:
        if self.powered:
            return
        self.powered = True
        self._boot_until = now + self.options.boot_s / self.options.speed
        if self.eeprom_damaged:
            self.eeprom_damaged = False
            self.eeprom = {key: list(value) for key, value in FACTORY.items()}

    @property
    def kept_without_power(self) -> Counts | None:
        """What LAST STATUS will show when the power comes back."""
        kept = {"power": self.last, "finished": self._finished, "dispensed": self._dispensed}
        return kept.get(self.options.last_status_survives)

    def remember(self, account: Counts | None) -> None:
        """As left by the one that ran here before (a state file)."""
        self.last = self._finished = self._dispensed = account

    def _forget(self, last: Counts | None) -> None:
        self._run = self._counts = None
        self.link.forget()
        self.last = last

    # ---- people ----

    def control(self, do: str, arguments: dict[str, Any], now: float) -> Any:
        self._advance(now)
        result = do_by_hand(self, do, arguments, now)
        self.mechanics.check()
        return result

    def snapshot(self, now: float) -> dict[str, Any]:
        """The physical truth and what the electronics know."""
        self._advance(now)
        last = self.last
        return {
            **self.mechanics.snapshot(),
            "power": "off" if not self.powered else "booting" if now < self._boot_until else "on",
            "busy": self.busy,
            "last_status": None if last is None else {"command": f"{last.command:02x}", "error": last.error, "exits": last.exits},
            "eeprom": {key: list(value) for key, value in self.eeprom.items()},
            "faults": self.link.faults.state(),
        }


if __name__ == "__main__":
    from simulators.devices.dispenser_store import main

    main()
