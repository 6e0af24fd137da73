"""What can go wrong between a verb and a device, and whose fault it is.

The type says what the caller may do next; the fields say which device, which code. Nobody parses the text.

==================  =====================================================  =====================
error               meaning                                                may the verb be sent again?
==================  =====================================================  =====================
LinkError           the wire: port gone, nothing came by the deadline      only verbs that move nothing
ProtocolError       bytes came, but they are not what the standard allows  only verbs that move nothing
DeviceFault         the device answered, and its answer is "no" (`code`)   when `retryable`
OutcomeUnknown      the verb moves money or a card and its answer is lost  NEVER
==================  =====================================================  =====================
"""

from __future__ import annotations


class DeviceError(Exception):
    """The common root. `device` is the name in the configuration, filled in by whoever knows it."""

    retryable = False

    def __init__(self, text: str, *, device: str = "") -> None:
        super().__init__(text)
        self.device = device


class LinkError(DeviceError):
    """The wire failed: the port is gone, a write did not go out, or nothing came by the deadline."""

    retryable = True


class LinkTimeout(LinkError):
    """Nothing (or not enough) came by the deadline."""


class ProtocolError(DeviceError):
    """Bytes came that the protocol does not allow here: bad checksum, bad length, wrong answer."""

    retryable = True


class DeviceFault(DeviceError):
    """The device answered with an error.

    `code` is the device's own number, `name` the constant of the driver's enum in camelCase (``cassetteEmpty``).
    """

    def __init__(self, text: str, *, code: int, name: str, device: str = "", retryable: bool = False) -> None:
        super().__init__(text, device=device)
        self.code = code
        self.name = name
        self.retryable = retryable


class OutcomeUnknown(DeviceError):
    """A verb that moves money or a card was sent and its answer is lost. Ask the device what happened; never send again."""


class ConfigurationFault(DeviceError):
    """The device or its port cannot be used as configured (no such port, wrong key, unsupported model)."""
