"""Smaller PNG files: one whose pixels need no more colours than a palette has gets one."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _chunks(data):
    at = len(SIGNATURE)
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8:at + 8 + size]
        at += size + 12


def _chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _paeth(a, b, c):
    near = a + b - c
    distance = (abs(near - a), abs(near - b), abs(near - c))
    return (a, b, c)[distance.index(min(distance))]


def _rows(raw, stride, step):
    """Lines of pixels without their filters (PNG, section 9.2)."""
    before = bytearray(stride)
    for at in range(0, len(raw), stride + 1):
        kind = raw[at]
        row = bytearray(raw[at + 1:at + 1 + stride])
        if kind == 2:
            row = bytearray((x + b) & 255 for x, b in zip(row, before))
        elif kind:
            for i, value in enumerate(row):
                a = row[i - step] if i >= step else 0
                c = before[i - step] if i >= step else 0
                guess = (a, before[i], (a + before[i]) // 2, _paeth(a, before[i], c))[kind - 1]
                row[i] = (value + guess) & 255
        yield bytes(row)
        before = row


def _nearest(colours, wanted):
    """A palette of at most so many colours, the commonest, and which of them stands for each."""
    by_count = sorted(colours, key=colours.get, reverse=True)
    palette = by_count[:wanted]
    places = {colour: i for i, colour in enumerate(palette)}
    for colour in by_count[wanted:]:
        places[colour] = min(range(len(palette)), key=lambda i: sum(
            (x - y) ** 2 for x, y in zip(palette[i], colour)))
    return palette, places


def compress(data):
    """The picture, 8 bits of RGB or RGBA without transparency, with at most 256 colours: rarer ones,
    of the edges of letters, become their nearest."""
    parts = list(_chunks(data))
    width, height, depth, kind, *_ = struct.unpack(">IIBBBBB", parts[0][1])
    if depth != 8 or kind not in (2, 6):
        return data
    step = 3 if kind == 2 else 4
    raw = zlib.decompress(b"".join(body for name, body in parts if name == b"IDAT"))
    rows = list(_rows(raw, width * step, step))
    colours = {}
    pixels = [[row[i:i + 3] for i in range(0, len(row), step)] for row in rows]
    for row in pixels:
        for colour in row:
            colours[colour] = colours.get(colour, 0) + 1
    palette, places = _nearest(colours, 256)
    packed = b"".join(b"\0" + bytes(places[colour] for colour in row) for row in pixels)
    return b"".join((
        SIGNATURE,
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        _chunk(b"PLTE", b"".join(palette)),
        _chunk(b"IDAT", zlib.compress(packed, 9)),
        _chunk(b"IEND", b"")))
