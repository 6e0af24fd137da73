"""A network of two layers as an ONNX file, written by hand: the mean of each of the three channels. No package, no weights.

The bytes are protocol buffers after the public onnx.proto: ModelProto(ir_version, graph, opset_import), GraphProto(node, name, input,
output), NodeProto(input, output, op_type), ValueInfoProto(name, type).
"""

from __future__ import annotations


def _varint(value: int) -> bytes:
    out = b""
    while True:
        value, low = value >> 7, value & 0x7F
        out += bytes([low | (0x80 if value else 0)])
        if not value:
            return out


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _node(kind: str, source: str, goal: str) -> bytes:
    return _field(1, source) + _field(2, goal) + _field(4, kind)


def _tensor(name: str, shape: tuple[int, ...]) -> bytes:
    sizes = b"".join(_field(1, _field(1, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, sizes)))


def channel_means(side: int) -> bytes:
    """Input 1 x 3 x side x side, output 1 x 3."""
    graph = _field(1, _node("GlobalAveragePool", "input", "pooled")) + _field(1, _node("Flatten", "pooled", "output"))
    graph += _field(2, "means") + _field(11, _tensor("input", (1, 3, side, side))) + _field(12, _tensor("output", (1, 3)))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))
