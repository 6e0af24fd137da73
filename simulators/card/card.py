"""A whole simulated card, sans-I/O: `transmit(apdu) -> bytes`. ISO/IEC 7816-3 and -4, EMV 4.3 Books 1 to 3.

A T=0 card answers as one: data in waits behind 61xx for GET RESPONSE, a wrong length gets 6Cxx.
"""

from __future__ import annotations

from simulators.card.application import CardApplication, Refusal, State
from simulators.card.keys import CardKeys, load_card_keys
from simulators.card.personalise import PSE, directory, directory_fci, personalise
from simulators.card.profiles import Profile
from simulators.crypto.emv import IssuerKeys, load_issuer_keys

BLOCKED_WARNING = 0x6283
HISTORICAL = b"SMART BRANCH"  # twelve historical bytes
SCRIPTS = (0x1E, 0x18, 0x24)


def answer_to_reset(t0: bool) -> bytes:
    """EMV 4.3 Book 1, 8.2: basic answers to reset for T=0 and T=1."""
    count = len(HISTORICAL)
    if t0:
        return bytes([0x3B, 0x60 | count, 0x00, 0x00]) + HISTORICAL
    body = bytes([0xE0 | count, 0x00, 0x00, 0x81, 0x31, 0xFE, 0x45]) + HISTORICAL
    check = 0
    for value in body:
        check ^= value
    return b"\x3b" + body + bytes([check])


class SimulatedCard:
    """One card with its chip memory. `reset()` is the power cut: everything that is not in EEPROM goes."""

    def __init__(self, profile: Profile, keys: CardKeys | None = None, issuer: IssuerKeys | None = None) -> None:
        keys, issuer = keys or load_card_keys(), issuer or load_issuer_keys()
        self.profile = profile
        self.atr = answer_to_reset(profile.t0)
        self.card_blocked = False
        self.applications = [CardApplication(personalise(profile, one, keys), profile, keys, issuer) for one in profile.applications]
        self._directory = (directory_fci(profile), directory(profile)) if profile.applications else None
        self.reset()

    def reset(self) -> bytes:
        """Power up; the answer to reset."""
        self._selected: CardApplication | None = None
        self._in_directory = False
        self._waiting = b""
        for application in self.applications:
            application.select()
        return self.atr

    def transmit(self, apdu: bytes) -> bytes:
        """One command, one answer with its status word; whatever comes in, no exception goes out."""
        if len(apdu) < 4:
            return b"\x67\x00"
        try:
            return self._t0(apdu) if self.profile.t0 else self._t1(apdu)
        except Refusal as refusal:
            return refusal.sw.to_bytes(2, "big")
        except ValueError:
            return b"\x6a\x80"

    def _t1(self, apdu: bytes) -> bytes:
        data = b""
        if len(apdu) > 5:
            data = apdu[5 : 5 + apdu[4]]
            if len(data) != apdu[4] or len(apdu) > 6 + apdu[4]:
                return b"\x67\x00"
        answer, sw = self._dispatch(apdu[:4], data)
        return answer + sw.to_bytes(2, "big")

    def _t0(self, apdu: bytes) -> bytes:
        """P3 is the length of what comes in, or of what the terminal wants: the instruction says which."""
        apdu = apdu + b"\x00" if len(apdu) == 4 else apdu
        header, p3 = apdu[:4], apdu[4]
        waiting, self._waiting = self._waiting, b""
        if header[1] == 0xC0:
            if not waiting:
                return b"\x69\x85"
            if p3 != len(waiting) % 256:
                self._waiting = waiting
                return bytes([0x6C, len(waiting) % 256])
            return waiting + b"\x90\x00"
        if header[1] in (0xB2, 0xCA, 0x84):
            answer, sw = self._dispatch(header, b"")
            if answer and p3 != len(answer) % 256:
                return bytes([0x6C, len(answer) % 256])
            return answer + sw.to_bytes(2, "big")
        data = apdu[5 : 5 + p3]
        if len(data) != p3:
            return b"\x67\x00"
        answer, sw = self._dispatch(header, data)
        if answer and sw == 0x9000:
            self._waiting = answer
            return bytes([0x61, len(answer) % 256])
        if answer:  # a warning with data: the terminal fetches it after the warning (EMV Book 1, 9.3.1.2)
            self._waiting = answer
        return sw.to_bytes(2, "big")

    def _dispatch(self, header: bytes, data: bytes) -> tuple[bytes, int]:
        class_, instruction, p1, p2 = header
        if (class_, instruction) == (0x00, 0xA4):
            return self._select(p1, p2, data)
        if (class_, instruction) == (0x00, 0xB2):
            return self._read_record(p1, p2), 0x9000
        if (class_, instruction) == (0x00, 0x84):
            return self._challenge(), 0x9000
        if (class_, instruction) == (0x84, 0x16):
            self._application().script(header + bytes([len(data)]), data)
            self.card_blocked = True
            return b"", 0x9000
        if class_ == 0x84 and instruction in SCRIPTS:
            self._application().script(header + bytes([len(data)]), data)
            return b"", 0x9000
        return self._payment(class_, instruction, p1, p2, data)

    def _payment(self, class_: int, instruction: int, p1: int, p2: int, data: bytes) -> tuple[bytes, int]:
        if class_ not in (0x00, 0x80, 0x84):
            raise Refusal(0x6E00)
        match class_, instruction:
            case 0x80, 0xA8:
                return self._application().get_processing_options(data), 0x9000
            case 0x80, 0xCA:
                return self._application().get_data(f"{p1:02X}{p2:02X}"), 0x9000
            case 0x80, 0xAE:
                return self._application().generate_ac(p1, data), 0x9000
            case 0x00, 0x88:
                return self._application().internal_authenticate(data), 0x9000
            case 0x00, 0x82:
                self._application().external_authenticate(data)
                return b"", 0x9000
        raise Refusal(0x6D00)  # VERIFY among others: this card checks no PIN itself

    def _application(self) -> CardApplication:
        if self._selected is None:
            raise Refusal(0x6985)
        return self._selected

    def _challenge(self) -> bytes:
        application = self._application()
        return application.atc.to_bytes(2, "big") + bytes(6)

    def _select(self, p1: int, p2: int, name: bytes) -> tuple[bytes, int]:
        if self.card_blocked:
            raise Refusal(0x6A81)
        if p1 != 0x04 or p2 not in (0x00, 0x02):
            raise Refusal(0x6A86)
        if name == PSE and self._directory:
            self._selected, self._in_directory = None, True
            return self._directory[0], 0x9000
        matching = [one for one in self.applications if one.files.profile.aid.startswith(name)] if len(name) >= 5 else []
        if p2 == 0x02:
            here = matching.index(self._selected) if self._selected in matching else len(matching)
            matching = matching[here + 1 :]
        if not matching:
            raise Refusal(0x6A82)
        self._selected, self._in_directory = matching[0], False
        self._selected.select()
        return self._selected.files.fci, BLOCKED_WARNING if self._selected.blocked else 0x9000

    def _read_record(self, number: int, p2: int) -> bytes:
        if p2 & 7 != 4:
            raise Refusal(0x6A86)
        if self._in_directory and self._directory:
            if p2 >> 3 != 1:
                raise Refusal(0x6A82)
            if number != 1:
                raise Refusal(0x6A83)
            return self._directory[1]
        return self._application().read_record(p2 >> 3, number)

    def state(self) -> dict[str, object]:
        """For the person at the bench. No card number, no key."""
        return {
            "profile": self.profile.name,
            "blocked": self.card_blocked,
            "applications": [
                {
                    "aid": one.files.profile.aid.hex().upper(),
                    "atc": one.atc,
                    "blocked": one.blocked,
                    "pin_tries": one.pin_tries,
                    "state": one.state.value,
                    "finished": one.state is State.DONE,
                }
                for one in self.applications
            ],
        }
