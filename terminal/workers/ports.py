"""Serial port settings of a worker -> an open port. The settings are the configuration's section as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from drivers.transports.base import ByteStream, Clock
from drivers.transports.serial_port import SerialPort

OpenStream = Callable[[], ByteStream]


def serial_opener(settings: Mapping[str, Any], clock: Clock) -> OpenStream:
    """What a service calls to (re)open its port."""

    def open_port() -> ByteStream:
        return SerialPort(
            settings["port"],
            settings["baudrate"],
            settings["parity"],
            settings["stop_bits"],
            settings["data_bits"],
            clock=clock,
        )

    return open_port
