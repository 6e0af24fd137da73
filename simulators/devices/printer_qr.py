"""The dots of a QR code (ISO/IEC 18004), by the `qrcode` library that comes with python-escpos."""

from __future__ import annotations


def qr_dots(data: bytes, size: int, level: int) -> tuple[int, int, bytes]:
    """Width (a multiple of 8), height and dots of a QR code whose modules are `size` dots; level 48..51 = L, M, Q, H."""
    import qrcode  # type: ignore[import-untyped]

    corrections = (
        qrcode.constants.ERROR_CORRECT_L,
        qrcode.constants.ERROR_CORRECT_M,
        qrcode.constants.ERROR_CORRECT_Q,
        qrcode.constants.ERROR_CORRECT_H,
    )
    code = qrcode.QRCode(error_correction=corrections[level - 48 if 48 <= level <= 51 else 0], border=0)
    code.add_data(data)
    code.make(fit=True)
    rows: list[list[bool]] = code.get_matrix()
    stride = (len(rows) * size + 7) // 8
    lines = bytearray()
    for row in rows:
        line = bytearray(stride)
        for dot in range(len(row) * size):
            if row[dot // size]:
                line[dot // 8] |= 0x80 >> dot % 8
        lines += bytes(line) * size
    return stride * 8, len(rows) * size, bytes(lines)
