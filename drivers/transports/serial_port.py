"""A serial port (RS-232, USB adapter, or a pty) as a ByteStream. The only file that names pyserial.

Raw 8-bit line, no flow control, opened exclusively. On a pty the speed and the parity are accepted and mean nothing, and there are
no modem lines.
"""

from __future__ import annotations

import contextlib

import serial

from drivers.errors import ConfigurationFault, LinkError, LinkTimeout
from drivers.transports.base import Clock, Deadline

try:
    from termios import error as _TermiosError  # noqa: N812 (a class with a lower-case name)
except ImportError:  # not a POSIX system
    _TermiosError = OSError  # type: ignore[assignment,misc]

PORT_ERRORS = (OSError, serial.SerialException, _TermiosError, TypeError)  # pyserial: TypeError when the port was closed under it
SHORTEST_WAIT_S = 0.001  # 0 would mean "do not block" to pyserial, and a write might then be partial


class SerialPort:
    """Opens at once: LinkError when the port is not there or another process has it, ConfigurationFault for impossible settings.

    `parity` is N, E, O, M or S, `stop_bits` 1, 1.5 or 2. `path` may be a symbolic link.
    """

    def __init__(
        self, path: str, baudrate: int = 9600, parity: str = "N", stop_bits: float = 1, data_bits: int = 8, *, clock: Clock
    ) -> None:
        self._path = path
        self._clock = clock
        try:
            self._port = serial.Serial(
                path, baudrate, bytesize=data_bits, parity=parity, stopbits=stop_bits, timeout=0, write_timeout=1, exclusive=True
            )
        except ValueError as error:
            raise ConfigurationFault(f"{path}: {error}") from error
        except PORT_ERRORS as error:
            raise LinkError(f"{path} cannot be opened: {error}") from error

    def write(self, data: bytes, deadline: Deadline) -> None:
        if deadline.expired:
            raise LinkTimeout(f"{self._path}: no time left to write")
        try:
            self._port.write_timeout = max(deadline.remaining(), SHORTEST_WAIT_S)
            written = self._port.write(data)
        except serial.SerialTimeoutException as error:
            raise LinkTimeout(f"{self._path}: the line did not take {len(data)} bytes by the deadline") from error
        except PORT_ERRORS as error:
            raise self._gone(error) from error
        if written != len(data):
            raise LinkError(f"{self._path}: only {written} of {len(data)} bytes went out")

    def read(self, deadline: Deadline) -> bytes:
        try:
            self._port.timeout = deadline.remaining()
            first: bytes = self._port.read(1)
            if not first:
                return b""
            waiting = self._port.in_waiting
            rest: bytes = self._port.read(waiting) if waiting else b""
        except PORT_ERRORS as error:
            raise self._gone(error) from error
        return first + rest

    def discard_input(self) -> bytes:
        discarded = b""
        try:
            self._port.timeout = 0
            while waiting := self._port.in_waiting:
                discarded += self._port.read(waiting)
                if len(discarded) > 1 << 20:  # a device that never stops talking must not hold us here
                    break
        except PORT_ERRORS as error:
            raise self._gone(error) from error
        return discarded

    def close(self) -> None:
        with contextlib.suppress(*PORT_ERRORS):
            self._port.close()

    def _gone(self, error: BaseException) -> LinkError:
        return LinkError(f"{self._path} is gone: {error}")
