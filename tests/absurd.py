#!/usr/bin/env python3
"""Makes media files whose numbers no sane writer would write, for the robustness tests.

    tests/absurd.py --out DIR [--only NAME...] [--without NAME...]

Prints a JSON list of the files with what is wrong with each and what vproc owes:
    exact     every frame comes out with its time (`frames`, and `first` and `last` in seconds as "n/d", where known)
    refused   one line, exit status 4, no output
    either    one of the two; never a crash, a hang, a loop over a gap or memory beyond the budget
`frames` is the number of pictures coded in the file; an "exact" file gives all of them.
No file is larger than 1 MB. Needs Python's standard library and the ffmpeg command.
"""
import argparse
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

from boxes import Box, Mp4, cluster, element, matroska, video_track

INT64_MIN = -(1 << 63)
MADE = {}


def case(group, expect, **facts):
    """Registers a maker: a function of the file to write, named name__extension."""
    def register(make):
        name, extension = make.__name__.rsplit("__", 1)
        MADE[name] = (f"{name}.{extension}", group, expect, " ".join(make.__doc__.split()), facts, make)
        return make
    return register


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-y", "-nostdin", "-loglevel", "error", "-threads", "1", *map(str, arguments)], check=True)


def picture(size="64x64", frames=10, rate="25"):
    return ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}", "-frames:v", str(frames)]


X264 = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-bitexact"]


def clip(out, *more, source=None):
    ffmpeg(*(source or picture()), *X264, *more, out)


def patched(out, change, *more, source=None):
    """A sound ten-frame mp4 with `change` done to its boxes."""
    clip(out, *more, source=source)
    mp4 = Mp4(out.read_bytes())
    change(mp4)
    out.write_bytes(mp4.to_bytes())


# ---- time: mp4 ------------------------------------------------------------------
@case("time", "exact", frames=10, first="0/1", last="773094113/2147483647")
def timebase_of_2_31__mp4(out):
    """A track of 1/(2^31-1) seconds a tick, 25 frames a second."""
    clip(out, "-video_track_timescale", 2147483647, "-bf", 0)


@case("time", "either", frames=10)
def timebase_claims_2_31__mp4(out):
    """The tick is declared 1/(2^31-1): ten frames within 2.2 microseconds."""
    patched(out, lambda m: m.track().find("mdia/mdhd").put(12, ">I", 2147483647))


@case("time", "either", frames=10)
def timebase_of_2_32__mp4(out):
    """The tick is declared 1/(2^32-1): negative for a reader with signed numbers."""
    patched(out, lambda m: m.track().find("mdia/mdhd").put(12, ">I", 0xFFFFFFFF))


@case("time", "either", frames=10)
def timebase_zero__mp4(out):
    """The track's time scale is 0."""
    patched(out, lambda m: m.track().find("mdia/mdhd").put(12, ">I", 0))


@case("time", "either", frames=10)
def movie_timebase_zero__mp4(out):
    """The movie's time scale is 0; the edit list is counted in it."""
    patched(out, lambda m: m.moov.find("mvhd").put(12, ">I", 0))


@case("time", "either", frames=10)
def durations_negative__mp4(out):
    """Movie, track and media last 2^32-1 ticks, which is -1 for a reader with signed numbers."""
    def change(m):
        m.moov.find("mvhd").put(16, ">I", 0xFFFFFFFF)
        m.track().find("tkhd").put(20, ">I", 0xFFFFFFFF)
        m.track().find("mdia/mdhd").put(16, ">I", 0xFFFFFFFF)
    patched(out, change)


@case("time", "either", frames=10)
def edit_at_int64_min__mp4(out):
    """The edit list starts at the tick INT64_MIN and lasts 2^63-1."""
    def change(m):
        m.track().find("edts/elst").data = bytearray(struct.pack(">BxxxIqqhh", 1, 1, (1 << 63) - 1, INT64_MIN, 1, 0))
    patched(out, change)


@case("time", "either", frames=10)
def edits_without_end__mp4(out):
    """50,000 edits, each of one tick: a reader that acts on each builds a large table."""
    def change(m):
        m.track().find("edts/elst").data = bytearray(struct.pack(">BxxxI", 0, 50000) + struct.pack(">IiHH", 1, 0, 1, 0) * 50000)
    patched(out, change)


@case("time", "exact", frames=10, first="0/1", last="19327352823/10")
def frames_six_years_apart__mp4(out):
    """Each frame lasts 2^31-1 ticks of 1/10 s, six years and ten months."""
    def change(m):
        m.track().find("mdia/mdhd").put(12, ">I", 10)
        m.table("stts").data = bytearray(struct.pack(">IIII", 0, 1, 10, 0x7FFFFFFF))
        m.track().children = [c for c in m.track().children if c.kind != b"edts"]
    patched(out, change, "-bf", 0)


@case("time", "either", frames=10)
def frames_all_at_once__mp4(out):
    """Every frame lasts 0 ticks: ten frames with the time 0."""
    patched(out, lambda m: m.table("stts").put(8, ">II", 10, 0), "-bf", 0)


@case("time", "either", frames=10)
def frames_go_back__mp4(out):
    """Every frame lasts 2^32-1 ticks, which is -1 for a reader with signed numbers."""
    patched(out, lambda m: m.table("stts").put(8, ">II", 10, 0xFFFFFFFF), "-bf", 0)


@case("time", "either", frames=10)
def offsets_of_int32_min__mp4(out):
    """Presentation lies INT32_MIN and INT32_MAX ticks from decoding, by turns."""
    def change(m):
        rows = b"".join(struct.pack(">Ii", 1, -0x80000000 if n % 2 else 0x7FFFFFFF) for n in range(10))
        m.table("ctts").data = bytearray(struct.pack(">BxxxI", 1, 10) + rows)
    patched(out, change, "-bf", 2, "-preset", "fast")


@case("time", "exact", frames=10, first="0/1", last="9/1000000")
def million_frames_a_second__mp4(out):
    """1,000,000 frames a second, and truly so."""
    clip(out, "-video_track_timescale", 1000000, "-bf", 0, source=picture(rate="1000000"))


@case("time", "exact", frames=5, first="0/1", last="345600/1")
def frame_a_day__mp4(out):
    """One frame a day; five days."""
    clip(out, "-video_track_timescale", 1, "-bf", 0, source=picture(frames=5, rate="1/86400"))


@case("time", "either", frames=10)
def fragment_at_int64_min__mp4(out):
    """A fragmented mp4 whose fragment decodes at the tick INT64_MIN."""
    def change(m):
        m.root.find("moof/traf/tfdt").put(4, ">q", INT64_MIN)
    patched(out, change, "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-bf", 0)


@case("time", "either", frames=10)
def fragment_at_int64_max__mp4(out):
    """A fragmented mp4 whose ten frames run over the tick INT64_MAX."""
    def change(m):
        m.root.find("moof/traf/tfdt").put(4, ">q", (1 << 63) - 1000)
    patched(out, change, "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-bf", 0)


# ---- time: others ---------------------------------------------------------------
@case("time", "exact", frames=100)
def over_the_wrap__ts(out):
    """MPEG-TS whose time stamps pass 2^33 in the middle."""
    clip(out, "-bf", 0, "-muxdelay", 0, "-muxpreload", 0, "-mpegts_copyts", 1, "-output_ts_offset", "95441.717689", source=picture(frames=100))


@case("time", "exact", frames=10, first="0/1", last="31536000036/100")
def gap_of_ten_years__mkv(out):
    """Five frames, ten years of nothing, five frames."""
    frame = bytes(384)
    out.write_bytes(matroska([video_track(16, 16)], [
        cluster(0, [(40 * n, frame) for n in range(5)]),
        cluster(315360000000 + 200, [(40 * n, frame) for n in range(5)])]))


@case("time", "either", frames=3)
def clusters_at_int64__mkv(out):
    """Clusters at 0, 2^62 and 2^64-1 milliseconds."""
    frame = bytes(384)
    out.write_bytes(matroska([video_track(16, 16)], [
        cluster(0, [(0, frame)]), cluster(1 << 62, [(0, frame)]), element(0x1F43B675, [
            element(0xE7, b"\xff" * 8), element(0xA3, b"\x81\x00\x00\x80" + frame)])]))


@case("time", "either", frames=5)
def tick_of_zero__mkv(out):
    """Matroska's tick is 0 nanoseconds."""
    out.write_bytes(matroska([video_track(16, 16)], [cluster(0, [(40 * n, bytes(384)) for n in range(5)])], scale=0))


@case("time", "either", frames=5)
def tick_of_centuries__mkv(out):
    """Matroska's tick is 2^63-1 nanoseconds, 292 years."""
    out.write_bytes(matroska([video_track(16, 16)], [cluster(0, [(40 * n, bytes(384)) for n in range(5)])], scale=(1 << 63) - 1))


@case("time", "either", frames=5)
def duration_not_a_number__mkv(out):
    """The duration is NaN, a frame's default duration 2^64-1 nanoseconds."""
    out.write_bytes(matroska([video_track(16, 16, more=[element(0x23E383, b"\xff" * 8)])],
                             [cluster(0, [(40 * n, bytes(384)) for n in range(5)])], duration=float("nan")))


@case("time", "either", frames=5)
def duration_negative__mkv(out):
    """The duration is -1e300 milliseconds."""
    out.write_bytes(matroska([video_track(16, 16)], [cluster(0, [(40 * n, bytes(384)) for n in range(5)])], duration=-1e300))


@case("time", "either", frames=10)
def rate_of_nothing__avi(out):
    """AVI whose scale and rate are 0 and whose header promises 2^32-1 frames of 0 microseconds."""
    ffmpeg(*picture(), "-c:v", "mpeg4", "-bitexact", out)
    data = bytearray(out.read_bytes())
    avih, strh = data.index(b"avih") + 8, data.index(b"strh") + 8
    struct.pack_into("<I", data, avih, 0)
    struct.pack_into("<I", data, avih + 16, 0xFFFFFFFF)
    struct.pack_into("<II", data, strh + 20, 0, 0)
    struct.pack_into("<I", data, strh + 32, 0xFFFFFFFF)
    out.write_bytes(data)


# ---- y4m ------------------------------------------------------------------------
def y4m(out, head, width, height, frames=3, cut=0):
    size = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
    data = b"YUV4MPEG2 " + head.encode() + b"\n" + (b"FRAME\n" + bytes(range(256)) * (size // 256) + bytes(size % 256)) * frames
    out.write_bytes(data[:len(data) - cut])


@case("time", "either", frames=3)
def rate_0_0__y4m(out):
    """F0:0, which the format calls unknown."""
    y4m(out, "W16 H16 F0:0 Ip A0:0 C420jpeg", 16, 16)


@case("time", "either", frames=3)
def rate_by_zero__y4m(out):
    """F25:0."""
    y4m(out, "W16 H16 F25:0 Ip C420jpeg", 16, 16)


@case("time", "exact", frames=3, first="0/1", last="2/2147483647")
def rate_of_2_31__y4m(out):
    """2^31-1 frames a second."""
    y4m(out, "W16 H16 F2147483647:1 Ip A1:1 C420jpeg", 16, 16)


@case("time", "either", frames=3)
def rate_beyond_64_bits__y4m(out):
    """A rate of twenty-four digits."""
    y4m(out, "W16 H16 F999999999999999999999999:1 Ip C420jpeg", 16, 16)


@case("size", "refused")
def size_0x0__y4m(out):
    """No width, no height."""
    y4m(out, "W0 H0 F25:1 Ip C420jpeg", 0, 0)


@case("size", "refused")
def size_negative__y4m(out):
    """W-16 H16."""
    y4m(out, "W-16 H16 F25:1 Ip C420jpeg", 16, 16)


@case("size", "refused")
def size_100000x100000__y4m(out):
    """Ten thousand million pixels promised, a few bytes there."""
    y4m(out, "W100000 H100000 F25:1 Ip C420jpeg", 16, 16)


@case("size", "refused")
def size_beyond_64_bits__y4m(out):
    """A width of twenty-four digits."""
    y4m(out, "W999999999999999999999999 H16 F25:1 Ip C420jpeg", 16, 16)


@case("size", "refused")
def head_without_end__y4m(out):
    """A first line of 900,000 letters."""
    out.write_bytes(b"YUV4MPEG2 W16 H16 F25:1 X" + b"X" * 900_000)


@case("size", "exact", frames=3)
def size_1x1__y4m(out):
    """One pixel; chroma is rounded up."""
    y4m(out, "W1 H1 F25:1 Ip C420jpeg", 1, 1)


@case("size", "exact", frames=3)
def size_1x4096__y4m(out):
    """A column."""
    y4m(out, "W1 H4096 F25:1 Ip C420jpeg", 1, 4096)


@case("size", "exact", frames=3)
def size_4097x1__y4m(out):
    """A row of odd length."""
    y4m(out, "W4097 H1 F25:1 Ip C420jpeg", 4097, 1)


@case("size", "either", frames=2)
def last_frame_short__y4m(out):
    """The last of three frames lacks 100 bytes: two frames and a damaged one."""
    y4m(out, "W16 H16 F25:1 Ip C420jpeg", 16, 16, cut=100)


# ---- size -----------------------------------------------------------------------
@case("size", "either", frames=60)
def black_8k__mp4(out):
    """60 black frames of 7680x4320 in some 60 KB of HEVC: 50,000 to one."""
    ffmpeg("-f", "lavfi", "-i", "color=black:s=7680x4320:r=25", "-frames:v", 60, "-c:v", "libx265", "-preset", "ultrafast",
           "-x265-params", "log-level=error:pools=1:frame-threads=1:rc-lookahead=0:bframes=0", "-tag:v", "hvc1", "-bitexact", out)


def png(out, width, height):
    """Grey, all black, packed as tightly as deflate can."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    pack, row = zlib.compressobj(9), bytes(1 + width)
    body = b"".join(pack.compress(row) for _ in range(height)) + pack.flush()
    out.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
                    + chunk(b"IDAT", body) + chunk(b"IEND", b""))


@case("size", "refused")
def size_20000x20000__png(out):
    """400 million pixels in 400 KB."""
    png(out, 20000, 20000)


@case("size", "refused")
def size_2_31__png(out):
    """The header promises (2^31-1) by (2^31-1)."""
    png(out, 16, 16)
    data = bytearray(out.read_bytes())
    struct.pack_into(">II", data, 16, 0x7FFFFFFF, 0x7FFFFFFF)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    out.write_bytes(data)


@case("size", "refused")
def size_65535x65535__gif(out):
    """A screen of 65535x65535 with pictures of 16x16 on it: 17 GB in RGBA."""
    ffmpeg(*picture("16x16", 3), out)
    data = bytearray(out.read_bytes())
    struct.pack_into("<HH", data, 6, 65535, 65535)
    out.write_bytes(data)


@case("size", "either", frames=20)
def grows_to_8k__h264(out):
    """Ten frames of 64x64, then ten of 7680x4320 in the same stream."""
    parts = []
    for size, colour in (("64x64", "gray"), ("7680x4320", "black")):
        ffmpeg("-f", "lavfi", "-i", f"color={colour}:s={size}:r=25", "-frames:v", 10, *X264, "-f", "h264", out)
        parts.append(out.read_bytes())
    out.write_bytes(b"".join(parts))


@case("size", "refused")
def size_beyond_32_bits__mkv(out):
    """A Matroska track of 2^40 by 2^40 pixels."""
    out.write_bytes(matroska([video_track(1 << 40, 1 << 40)], [cluster(0, [(0, bytes(384))])]))


@case("size", "either", frames=10)
def pixels_absurdly_shaped__mp4(out):
    """A pixel aspect of (2^32-1):1 and a display matrix of zeros."""
    def change(m):
        m.track().find("tkhd").data[40:76] = bytes(36)
        stsd = m.table("stsd")
        at = stsd.data.find(b"pasp")
        if at < 0:
            entry = struct.unpack_from(">I", stsd.data, 8)[0]
            stsd.data += struct.pack(">I4sII", 16, b"pasp", 0xFFFFFFFF, 1)
            stsd.put(8, ">I", entry + 16)
        else:
            stsd.put(at + 4, ">II", 0xFFFFFFFF, 1)
    patched(out, change)


@case("size", "either", frames=10)
def box_of_65535__mp4(out):
    """The container says 65535x65535, the stream 64x64."""
    patched(out, lambda m: m.table("stsd").put(40, ">HH", 65535, 65535))


# ---- counts ---------------------------------------------------------------------
@case("count", "either", frames=10)
def samples_2_31__mp4(out):
    """The sample table promises 2^31-1 samples of one size."""
    patched(out, lambda m: m.table("stsz").put(4, ">II", 100, 0x7FFFFFFF))


@case("count", "either", frames=10)
def times_2_32__mp4(out):
    """The time table promises 2^32-1 samples for ten."""
    patched(out, lambda m: m.table("stts").put(8, ">I", 0xFFFFFFFF))


@case("count", "either", frames=10)
def chunks_outside__mp4(out):
    """The samples lie at 4 GB, in a file of a few KB."""
    patched(out, lambda m: m.table("stco").put(8, ">I", 0xFFFFFF00))


@case("count", "either", frames=10)
def thousand_tracks__mp4(out):
    """1,000 video tracks, all of them the same samples."""
    def change(m):
        first = m.track().to_bytes()
        for number in range(2, 1001):
            copy = bytearray(first[8:])
            struct.pack_into(">I", copy, 8 + 12, number)
            m.moov.children.append(Box(b"trak", copy))
    patched(out, change)


def five(more=(), tracks=()):
    return matroska([video_track(16, 16), *tracks], [cluster(0, [(40 * n, bytes(384)) for n in range(5)])], more=more)


@case("count", "either", frames=5)
def thousands_of_streams__mkv(out):
    """One video and 5,000 subtitle tracks."""
    tracks = [element(0xAE, [element(0xD7, n), element(0x73C5, n), element(0x83, 17), element(0x86, "S_TEXT/UTF8")]) for n in range(2, 5002)]
    out.write_bytes(five(tracks=tracks))


@case("count", "either", frames=5)
def thousands_of_attachments__mkv(out):
    """5,000 attached fonts of 16 bytes."""
    files = [element(0x61A7, [element(0x466E, f"{n}.ttf"), element(0x4660, "font/ttf"), element(0x465C, bytes(16)), element(0x46AE, n + 1)]) for n in range(5000)]
    out.write_bytes(five(more=[element(0x1941A469, files)]))


@case("count", "either", frames=5)
def thousands_of_tags__mkv(out):
    """20,000 tags."""
    tags = [element(0x67C8, [element(0x45A3, f"TAG{n}"), element(0x4487, "x" * 20)]) for n in range(20000)]
    out.write_bytes(five(more=[element(0x1254C367, [element(0x7373, [element(0x63C0, []), *tags])])]))


@case("count", "either", frames=5)
def thousands_of_chapters__mkv(out):
    """10,000 chapters, the last 292 years on."""
    atoms = [element(0xB6, [element(0x73C4, n + 1), element(0x91, n * 922337203685477), element(0x80, [element(0x85, f"c{n}")])]) for n in range(10000)]
    out.write_bytes(five(more=[element(0x1043A770, [element(0x45B9, atoms)])]))


@case("count", "either", frames=5)
def nested_without_end__mkv(out):
    """Tags nested 2,000 deep."""
    inner = element(0x67C8, [element(0x45A3, "deepest"), element(0x4487, "x")])
    for _ in range(2000):
        inner = element(0x67C8, [element(0x45A3, "a"), inner])
    out.write_bytes(five(more=[element(0x1254C367, [element(0x7373, [element(0x63C0, []), inner])])]))


@case("count", "either", frames=5)
def sound_at_no_rate__mkv(out):
    """An audio track with a rate of NaN, 2^40 channels and 2^40 bits a sample."""
    track = element(0xAE, [element(0xD7, 2), element(0x73C5, 2), element(0x83, 2), element(0x86, "A_PCM/INT/LIT"),
                           element(0xE1, [element(0xB5, float("nan")), element(0x9F, 1 << 40), element(0x6264, 1 << 40)])])
    out.write_bytes(five(tracks=[track]))


@case("count", "either", frames=3)
def messages_without_end__h264(out):
    """Three frames, 15,000 user messages (SEI) before the second and again before the third."""
    ffmpeg(*picture(frames=3), *X264, "-x264-params", "keyint=1", "-f", "h264", out)
    message = b"\0\0\1\6\5\x14" + bytes(range(1, 17)) + b"abcd\x80"
    head, *frames = out.read_bytes().split(b"\0\0\1\x65")
    out.write_bytes(head + b"".join((message * 15000 if n else b"") + b"\0\0\1\x65" + frame for n, frame in enumerate(frames)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=sorted(MADE), metavar="NAME", default=list(MADE))
    parser.add_argument("--without", nargs="+", choices=sorted(MADE), metavar="NAME", default=[])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    made = []
    for name in args.only:
        if name in args.without:
            continue
        file, group, expect, what, facts, make = MADE[name]
        make(args.out / file)
        made.append({"file": str(args.out / file), "kind": name, "group": group, "expect": expect, "what": what,
                     "bytes": (args.out / file).stat().st_size, **facts})
    json.dump(made, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
