"""The states of a remote command, as a table. Pure.

Truthful: `sent` means that the broker has it; only the terminal's own message makes it `delivered` or more. What the terminal says
last wins over what was concluded here without it: `timedOut`, since a result may come late, and `withdrawn`, since the command may have
been on its way already.
"""

from __future__ import annotations

AWAITING, QUEUED, SENT, DELIVERED = "awaitingApproval", "queued", "sent", "delivered"
SUCCEEDED, FAILED, REFUSED, CANCELLED, EXPIRED = "succeeded", "failed", "refused", "cancelled", "expired"
TIMED_OUT, REJECTED, WITHDRAWN = "timedOut", "rejected", "withdrawn"
STATES = (AWAITING, QUEUED, SENT, DELIVERED, SUCCEEDED, FAILED, REFUSED, CANCELLED, EXPIRED, TIMED_OUT, REJECTED, WITHDRAWN)
OPEN = (AWAITING, QUEUED, SENT, DELIVERED)
_RANK = {AWAITING: 0, QUEUED: 1, WITHDRAWN: 1, SENT: 2, DELIVERED: 3, TIMED_OUT: 4}
_FINAL = 5
_SAID = {"received": DELIVERED, "waiting": DELIVERED, "executing": DELIVERED}


def advance(state: str, reason: str | None, said: str, said_reason: str | None) -> str | None:
    """The state after the terminal's word; None when it changes nothing.

    A second copy of a command is refused as `replayed`: that says nothing of the first copy, and yields to what is said of it.
    """
    to = _SAID.get(said, said)
    echo = said == REFUSED and said_reason == "replayed"
    now, then = _RANK.get(state, _FINAL), _RANK.get(to, _FINAL)
    if state == REFUSED and reason == "replayed" and not echo:
        return to
    if echo and now >= _RANK[DELIVERED] and state != TIMED_OUT:
        return None
    if to == DELIVERED and state == TIMED_OUT:
        return None
    return to if then > now else to if state == DELIVERED and to == DELIVERED else None
