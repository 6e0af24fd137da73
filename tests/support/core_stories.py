"""Withdrawals from the idle terminal to their end, and the restart that follows when one was cut short."""

from __future__ import annotations

from collections.abc import Sequence

from core_play import Make, play
from core_ways import (
    GOOD,
    TO_BANK,
    TO_CASH,
    TO_DISPENSING,
    TYPE_PIN,
    aac,
    account,
    approved,
    arqc,
    decided,
    dispensed,
    everything_online,
    initialised,
    last_status,
    pin_started,
    prepared,
    selected,
    start,
    tc,
    time_out,
)

from terminal.core import events as e
from terminal.core.cash import DispenserResult
from terminal.core.model import Device, Phase

Story = Sequence[e.Event | Make]

WHOLE: Story = [*TO_CASH, e.Pressed("finish"), time_out]
RETRIED: Story = [
    *TO_BANK,
    decided("DECL", "incorrectPin", ("PINR",)),
    aac,
    selected,
    pin_started,
    *TYPE_PIN,
    prepared,
    arqc,
    approved,
    tc,
    e.CardRemoved(),
    dispensed(GOOD),
    e.Pressed("finish"),
    time_out,
]
PARTIAL: Story = [*TO_DISPENSING, dispensed(account(1, 0, 0, 0, rejected=(0, 0, 0, 0), error=0x20)), e.Pressed("finish"), time_out]
DOUBTFUL: Story = [*TO_DISPENSING, dispensed(account(2, 0, 0, 0, error=0x07)), time_out]
REVERSED: Story = [*TO_BANK, approved, aac, e.CardRemoved(), time_out]
STORIES: dict[str, tuple[Story, DispenserResult]] = {
    "whole": (WHOLE, GOOD),
    "retried": (RETRIED, GOOD),
    "partial": (PARTIAL, account(1, 0, 0, 0, error=0x20)),
    "doubtful": (DOUBTFUL, account(2, 0, 0, 0, error=0x07)),
    "reversed": (REVERSED, GOOD),
}


def restarted(dead: play, says: DispenserResult) -> play:
    """The journal and the outbox are what is left; the dispenser keeps its LAST STATUS."""
    story = start(journal=dead.journal)
    story.outgoing = [*dead.outgoing, *story.outgoing]
    recovering = story.state.phase is Phase.RECOVERING
    story >> everything_online()[:-1]
    if recovering:
        story >> last_status(says)
    if Device.DISPENSER.value in story.state.pending:  # a latched one is not touched
        story >> initialised
    return story
