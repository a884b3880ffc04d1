"""Takes MP4 files apart and puts them together, and writes Matroska, for absurd.py and playlists.py.

Knows containers only. An MP4 is a list of boxes; those that hold boxes have `children`, the rest
`data`. Files are expected to have their moov behind the mdat, so that it may change its size.
Standard library only.
"""
import struct

HOLDS_BOXES = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"edts", b"udta", b"mvex", b"moof", b"traf"}


class Box:
    def __init__(self, kind, data=b"", children=None):
        self.kind, self.data, self.children = kind, bytearray(data), children

    def to_bytes(self):
        inside = b"".join(c.to_bytes() for c in self.children) if self.children is not None else bytes(self.data)
        return struct.pack(">I4s", len(inside) + 8, self.kind) + inside

    def find(self, path):
        """The first box at a path such as "mdia/minf/stbl"."""
        box = self
        for kind in path.split("/"):
            box = next(c for c in box.children if c.kind == kind.encode())
        return box

    def put(self, at, form, *values):
        struct.pack_into(form, self.data, at, *values)


def parse(data):
    boxes, at = [], 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        size = size or len(data) - at
        inside = data[at + 8:at + size]
        boxes.append(Box(kind, children=parse(inside)) if kind in HOLDS_BOXES else Box(kind, inside))
        at += size
    return boxes


class Mp4:
    def __init__(self, data):
        self.root = Box(b"root", children=parse(data))

    @property
    def moov(self):
        return self.root.find("moov")

    def track(self, index=0):
        return [c for c in self.moov.children if c.kind == b"trak"][index]

    def table(self, kind):
        """A box of the first track's sample table."""
        return self.track().find("mdia/minf/stbl/" + kind)

    def to_bytes(self):
        return b"".join(c.to_bytes() for c in self.root.children)


# ---- Matroska -------------------------------------------------------------------
def element(ident, payload):
    """One EBML element; the payload is bytes, text, an integer, a float or a list of elements."""
    if isinstance(payload, list):
        payload = b"".join(payload)
    elif isinstance(payload, str):
        payload = payload.encode()
    elif isinstance(payload, int):
        payload = payload.to_bytes(8, "big", signed=payload < 0)
    elif isinstance(payload, float):
        payload = struct.pack(">d", payload)
    size = (1 << 56 | len(payload)).to_bytes(8, "big") if len(payload) > 126 else bytes([0x80 | len(payload)])
    return ident.to_bytes((ident.bit_length() + 7) // 8, "big") + size + payload


def video_track(width, height, number=1, more=()):
    return element(0xAE, [
        element(0xD7, number), element(0x73C5, number), element(0x83, 1), element(0x9C, 0), element(0x86, "V_UNCOMPRESSED"),
        element(0xE0, [element(0xB0, width), element(0xBA, height), element(0x2EB524, b"I420")]), *more])


def cluster(time, frames, track=1):
    """A cluster at `time` with SimpleBlocks of (offset, payload)."""
    blocks = [element(0xA3, bytes([0x80 | track]) + struct.pack(">hB", offset, 0x80) + payload) for offset, payload in frames]
    return element(0x1F43B675, [element(0xE7, time), *blocks])


def matroska(tracks, clusters, scale=1_000_000, duration=None, more=()):
    info = [element(0x2AD7B1, scale), element(0x4D80, "absurd"), element(0x5741, "absurd")]
    if duration is not None:
        info.append(element(0x4489, duration))
    head = element(0x1A45DFA3, [element(0x4286, 1), element(0x42F7, 1), element(0x42F2, 4), element(0x42F3, 8),
                                element(0x4282, "matroska"), element(0x4287, 4), element(0x4285, 2)])
    return head + element(0x18538067, [element(0x1549A966, info), element(0x1654AE6B, tracks), *more, *clusters])
