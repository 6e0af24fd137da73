"""Which sequence numbers of one (terminal, class, epoch) have come: closed ranges, ascending, never touching. Pure.

Usually one range from 1 on; a number that overtook another makes a second one until the gap is filled. The acknowledgement is the
end of the range that begins at 1. Deduplication by these ranges needs no row for each message, so messages can be thrown away
after their time without ever being applied again.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

MOST = 256


class TooManyGaps(Exception):
    """More gaps than are kept; the message is not taken, the sender resends it."""


@dataclass(slots=True)
class Ranges:
    firsts: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> Ranges:
        """``1-17,19-20`` as `str` wrote it."""
        pairs = [part.split("-") for part in text.split(",")] if text else []
        return cls([int(first) for first, _ in pairs], [int(last) for _, last in pairs])

    def __str__(self) -> str:
        return ",".join(f"{first}-{last}" for first, last in zip(self.firsts, self.lasts, strict=True))

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.firsts, number) - 1
        return at >= 0 and number <= self.lasts[at]

    def add(self, number: int, *, squeeze: bool = False) -> bool:
        """True when it is new. With `squeeze` the oldest gap is given up when there are too many; else TooManyGaps."""
        firsts, lasts = self.firsts, self.lasts
        at = bisect_right(firsts, number) - 1
        if at >= 0 and number <= lasts[at]:
            return False
        after_left = at >= 0 and lasts[at] == number - 1
        before_right = at + 1 < len(firsts) and firsts[at + 1] == number + 1
        if after_left and before_right:
            lasts[at] = lasts.pop(at + 1)
            firsts.pop(at + 1)
        elif after_left:
            lasts[at] = number
        elif before_right:
            firsts[at + 1] = number
        else:
            if len(firsts) >= MOST:
                if not squeeze:
                    raise TooManyGaps
                if at < 0:
                    return False  # older than everything that is kept: given up before
                lasts.pop(0)
                firsts.pop(1)
                return self.add(number, squeeze=True)
            firsts.insert(at + 1, number)
            lasts.insert(at + 1, number)
        return True

    @property
    def upto(self) -> int:
        """The end of the unbroken run from 1 on; 0 while 1 is missing."""
        return self.lasts[0] if self.firsts and self.firsts[0] == 1 else 0

    @property
    def top(self) -> int:
        return self.lasts[-1] if self.lasts else 0

    @property
    def gap(self) -> tuple[int, int] | None:
        """The first numbers that are missing below one that came."""
        if not self.firsts:
            return None
        if self.firsts[0] > 1:
            return 1, self.firsts[0] - 1
        return (self.lasts[0] + 1, self.firsts[1] - 1) if len(self.firsts) > 1 else None

    def fill_gap(self) -> tuple[int, int] | None:
        """Declare the first gap lost, and return it."""
        missing = self.gap
        if missing is None:
            return None
        if missing[0] == 1:
            self.firsts[0] = 1
        else:
            self.lasts[0] = self.lasts.pop(1)
            self.firsts.pop(1)
        return missing
