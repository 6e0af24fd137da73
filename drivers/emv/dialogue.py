"""The commands of EMV as a terminal sends them (EMV 4.3 Book 3, section 6), over an injected channel."""

from __future__ import annotations

from collections.abc import Callable

from drivers.emv.faults import CardFault, CardFaultName
from drivers.errors import LinkTimeout
from drivers.protocols.apdu import STATUS_WORDS, Command, Ins, Response, masked_apdu
from drivers.protocols.emv_tags import Tag
from drivers.protocols.tlv import encode
from drivers.transports.base import CardChannel, Deadline


def refusal(what: str, sw: int, name: CardFaultName = CardFaultName.REFUSED) -> CardFault:
    """A fault with the status word in words."""
    words = STATUS_WORDS.get(sw, "")
    return CardFault(f"{what}: the card answered {sw:04X}{f' ({words})' if words else ''}", name, code=sw)


class CardDialogue:
    """One method a command. Status words are the caller's to judge. Nothing is sent twice.

    `trace` gets one masked line for each exchange.
    """

    def __init__(self, channel: CardChannel, trace: Callable[[str], None] | None = None) -> None:
        self._channel = channel
        self._trace = trace

    def send(self, command: Command, deadline: Deadline) -> Response:
        """CardFault(mute) when no answer came by the deadline, LinkError when the card is gone."""
        if deadline.expired:
            raise LinkTimeout("the time for the card ran out before the command was sent")
        apdu = command.encode()
        try:
            answer = self._channel.transmit(apdu, deadline)
        except LinkTimeout as error:
            raise CardFault(f"the card did not answer instruction {command.ins:02X} in time", CardFaultName.MUTE) from error
        response = Response.decode(answer)
        if self._trace:
            self._trace(masked_apdu(apdu, answer))
        return response

    def select(self, name: bytes, deadline: Deadline, *, next_occurrence: bool = False) -> Response:
        return self.send(Command(0x00, Ins.SELECT, 0x04, 0x02 if next_occurrence else 0x00, name, 0), deadline)

    def read_record(self, sfi: int, number: int, deadline: Deadline) -> Response:
        return self.send(Command(0x00, Ins.READ_RECORD, number, sfi << 3 | 4, le=0), deadline)

    def get_processing_options(self, pdol_data: bytes, deadline: Deadline) -> Response:
        data = encode(Tag.COMMAND_TEMPLATE, pdol_data)
        return self.send(Command(0x80, Ins.GET_PROCESSING_OPTIONS, 0x00, 0x00, data, 0), deadline)

    def internal_authenticate(self, data: bytes, deadline: Deadline) -> Response:
        return self.send(Command(0x00, Ins.INTERNAL_AUTHENTICATE, 0x00, 0x00, data, 0), deadline)

    def external_authenticate(self, data: bytes, deadline: Deadline) -> Response:
        return self.send(Command(0x00, Ins.EXTERNAL_AUTHENTICATE, 0x00, 0x00, data), deadline)

    def generate_ac(self, reference: int, data: bytes, deadline: Deadline) -> Response:
        return self.send(Command(0x80, Ins.GENERATE_AC, reference, 0x00, data, 0), deadline)
