"""The decision log and the terminal's running results: what was decided, why, and nothing of the card's secrets."""

from __future__ import annotations

from drivers.protocols.emv_tags import TSI_BITS, TVR_BITS, Tsi, Tvr, bits_in_words


class DecisionLog:
    """One line a step: ``[EMV]`` what the card said, ``[ODA]`` offline data authentication, ``[TAL]`` the terminal's own decision."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def emv(self, text: str) -> None:
        self._lines.append(f"[EMV] {text}")

    def oda(self, text: str) -> None:
        self._lines.append(f"[ODA] {text}")

    def tal(self, text: str) -> None:
        self._lines.append(f"[TAL] {text}")

    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)


class Results:
    """Terminal verification results (TVR, 95) and transaction status information (TSI, 9B) as they grow."""

    def __init__(self) -> None:
        self._tvr = 0
        self._tsi = 0

    def set(self, *bits: Tvr | Tsi) -> None:
        for bit in bits:
            if isinstance(bit, Tvr):
                self._tvr |= bit
            else:
                self._tsi |= bit

    def has(self, bit: Tvr | Tsi) -> bool:
        return bool((self._tvr if isinstance(bit, Tvr) else self._tsi) & bit)

    @property
    def tvr(self) -> bytes:
        return self._tvr.to_bytes(5, "big")

    @property
    def tsi(self) -> bytes:
        return self._tsi.to_bytes(2, "big")

    def in_words(self) -> tuple[str, str]:
        """Both, for the log: hex and the meaning of every bit that is set."""
        tvr = "; ".join(bits_in_words(self.tvr, TVR_BITS)) or "nothing to report"
        tsi = "; ".join(bits_in_words(self.tsi, TSI_BITS)) or "nothing performed"
        return f"TVR {self.tvr.hex().upper()}: {tvr}", f"TSI {self.tsi.hex().upper()}: {tsi}"
