"""How a card fails a terminal, where the terminal must tell the ways apart."""

from __future__ import annotations

from enum import StrEnum, unique

from drivers.errors import DeviceFault


@unique
class CardFaultName(StrEnum):
    """Values of `CardFault.name`."""

    NO_APPLICATION = "noApplication"
    APPLICATION_BLOCKED = "applicationBlocked"
    CARD_BLOCKED = "cardBlocked"
    MISSING_DATA = "missingData"
    INVALID_DATA = "invalidData"
    REFUSED = "refused"
    MUTE = "mute"


class CardFault(DeviceFault):
    """The card answered, and with it no transaction is possible. `code` is the status word, 0 when it was not the reason."""

    def __init__(self, text: str, name: CardFaultName, *, code: int = 0) -> None:
        super().__init__(text, code=code, name=name.value, retryable=False)
