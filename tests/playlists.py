#!/usr/bin/env python3
"""Makes files that point at other files and at the network, for the test that vproc opens neither.

    tests/playlists.py --out DIR [--host 127.0.0.1:9]

In DIR/in lie the hostile files, in DIR/outside a sound clip and a key that they point at, which
nothing may open. Prints a JSON list: `file`, `kind`, `expect`, and `canaries`, pieces of text that
must appear in no open or connect of `strace -f -e trace=%file,%network vproc FILE ...`
(for a host, its port too).
    refused      one line, exit status 4: the file is a playlist or a script, whatever its name is
    itself       the file is sound without what it points at; its own frames come out
    either       one of the two
Needs Python's standard library and the ffmpeg command.
"""
import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from boxes import Mp4, cluster, element, matroska, video_track

MADE = []


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-y", "-nostdin", "-loglevel", "error", "-threads", "1", *map(str, arguments)], check=True)


class Place:
    def __init__(self, root, host):
        self.inside, self.outside, self.host = root / "in", root / "outside", host
        shutil.rmtree(self.inside, ignore_errors=True)
        self.inside.mkdir(parents=True)
        self.outside.mkdir(parents=True, exist_ok=True)
        self.clip = (self.outside / "canary.mp4").resolve()
        self.ts = (self.outside / "canary.ts").resolve()
        self.key = (self.outside / "canary.key").resolve()
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=25", "-frames:v", 10, "-pix_fmt", "yuv420p", "-c:v", "libx264",
               "-preset", "ultrafast", "-bitexact", self.clip)
        ffmpeg("-i", self.clip, "-c", "copy", "-bitexact", self.ts)
        self.key.write_bytes(bytes(range(16)))
        self.link = os.path.relpath(self.ts, self.inside)
        self.link_mp4 = os.path.relpath(self.clip, self.inside)

    def add(self, name, content, expect, *canaries):
        """One hostile file; what it points at outside is a canary always."""
        file = self.inside / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        MADE.append({"file": str(file), "kind": name, "expect": expect, "canaries": ["canary.", self.host, *canaries]})


def hls(*lines):
    return "\n".join(["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:1", "#EXT-X-MEDIA-SEQUENCE:0", *lines, "#EXT-X-ENDLIST", ""])


def hls_files(p):
    p.add("relative.m3u8", hls("#EXTINF:0.4,", p.link), "refused")
    p.add("absolute.m3u8", hls("#EXTINF:0.4,", str(p.ts)), "refused")
    p.add("file_url.m3u8", hls("#EXTINF:0.4,", f"file://{p.ts}"), "refused")
    p.add("http.m3u8", hls("#EXTINF:0.4,", f"http://{p.host}/a.ts"), "refused")
    p.add("key.m3u8", hls(f'#EXT-X-KEY:METHOD=AES-128,URI="{p.key}"', "#EXTINF:0.4,", p.link), "refused")
    p.add("map.m3u8", hls(f'#EXT-X-MAP:URI="{p.link_mp4}"', "#EXTINF:0.4,", p.link_mp4), "refused")
    p.add("concat_protocol.m3u8", hls("#EXTINF:0.4,", f"concat:{p.ts}|{p.ts}"), "refused")
    p.add("master.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nrelative.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\n"
          f"http://{p.host}/b.m3u8\n", "refused", "relative.m3u8")
    for name in ("hls_named.mp4", "hls_named.mkv", "hls_named.ts", "hls_named.y4m"):
        p.add(name, hls("#EXTINF:0.4,", p.link), "refused")
    p.add("plain.m3u", f"{p.clip}\nhttp://{p.host}/c.mp4\n", "refused")


def dash_files(p):
    def mpd(base, media="canary.mp4"):
        return ('<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT0.4S" '
                'minBufferTime="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">'
                f'<Representation id="1" bandwidth="1000" codecs="avc1.42c00a" width="64" height="64"><BaseURL>{base}</BaseURL>'
                f'<SegmentList duration="1"><SegmentURL media="{media}"/></SegmentList></Representation></AdaptationSet></Period></MPD>\n')
    p.add("file.mpd", mpd(os.path.relpath(p.outside, p.inside) + "/"), "refused")
    p.add("http.mpd", mpd(f"http://{p.host}/"), "refused")
    p.add("dash_named.mp4", mpd(os.path.relpath(p.outside, p.inside) + "/"), "refused")
    p.add("entity.mpd", '<?xml version="1.0"?>\n<!DOCTYPE MPD [<!ENTITY e SYSTEM "file://' + str(p.key) + '">]>\n' + mpd("&e;").split("\n", 1)[1], "refused")


def concat_files(p):
    p.add("relative.ffconcat", f"ffconcat version 1.0\nfile {p.link_mp4}\n", "refused")
    p.add("absolute.ffconcat", f"ffconcat version 1.0\nfile '{p.clip}'\nfile 'http://{p.host}/e.mp4'\n", "refused")
    p.add("concat_named.mp4", f"ffconcat version 1.0\nfile '{p.clip}'\n", "refused")


def network_files(p):
    ip, port = p.host.rsplit(":", 1)
    sdp = f"v=0\no=- 0 0 IN IP4 {ip}\ns=x\nc=IN IP4 {ip}\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    p.add("session.sdp", sdp, "refused")
    p.add("sdp_named.mp4", sdp, "refused")
    p.add("redirect.rtsp", f"rtsp://{p.host}/f\r\n", "refused")
    p.add("stream.asx", f'<asx version="3.0"><entry><ref href="http://{p.host}/g.wmv"/></entry></asx>\n', "refused")
    p.add("stream.pls", f"[playlist]\nFile1=http://{p.host}/h.mp4\nNumberOfEntries=1\n", "refused")


def quicktime_files(p):
    """A sound mp4 whose track says that its samples lie in another file, and reference movies."""
    def with_dref(entry):
        mp4 = Mp4(p.clip.read_bytes())
        mp4.track().find("mdia/minf/dinf/dref").data = bytearray(struct.pack(">II", 0, 1) + entry)
        return mp4.to_bytes()

    def url(text):
        body = struct.pack(">I", 0) + text.encode() + b"\0"
        return struct.pack(">I4s", len(body) + 8, b"url ") + body

    def alias(path):
        """The record of a Macintosh alias, version 2, as QuickTime wrote it: volume, name, then the whole path."""
        name = path.name.encode()[:63]
        record = bytearray(150)
        struct.pack_into(">4sHHH", record, 0, b"\0\0\0\0", 150, 2, 0)
        record[10:11 + 4] = bytes([4]) + b"root"
        record[50:51 + len(name)] = bytes([len(name)]) + name
        struct.pack_into(">hh", record, 130, 2, 2)   # one folder up, then down to the last two names of the path
        for kind, text in ((2, str(path)), (18, str(path))):
            data = text.encode()
            record += struct.pack(">hH", kind, len(data)) + data + b"\0" * (len(data) % 2)
        record += struct.pack(">hH", -1, 0)
        body = struct.pack(">I", 0) + bytes(record)
        return struct.pack(">I4s", len(body) + 8, b"alis") + body

    p.add("dref_url.mov", with_dref(url(f"file://{p.clip}")), "either")
    p.add("dref_http.mov", with_dref(url(f"http://{p.host}/i.mov")), "either")
    p.add("dref_alias.mov", with_dref(alias(p.clip)), "either")

    def reference(text):
        body = struct.pack(">I4sI", 0, b"url ", len(text) + 1) + text.encode() + b"\0"
        rdrf = struct.pack(">I4s", len(body) + 8, b"rdrf") + body
        rmda = struct.pack(">I4s", len(rdrf) + 8, b"rmda") + rdrf
        rmra = struct.pack(">I4s", len(rmda) + 8, b"rmra") + rmda
        moov = struct.pack(">I4s", len(rmra) + 8, b"moov") + rmra
        return struct.pack(">I4s4sI4s", 20, b"ftyp", b"qt  ", 512, b"qt  ") + moov

    p.add("reference.mov", reference(str(p.clip)), "refused")
    p.add("reference_http.mov", reference(f"http://{p.host}/j.mov"), "refused")


def names_with_patterns(p):
    """Sound pictures whose names a sequence reader would take for patterns and open their neighbours."""
    picture = p.inside / "still%03d.png"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=16x16", "-frames:v", 1, "-update", 1, p.inside / "red.png")
    red = (p.inside / "red.png").read_bytes()
    (p.inside / "red.png").unlink()
    for n in range(3):
        (p.inside / f"still{n:03d}.png").write_bytes(red)
    p.add(picture.name, red, "either", "still000.png", "still001.png")
    p.add("still*.png", red, "either", "still000.png", "still001.png")
    p.add("movie%03d.mp4", p.clip.read_bytes(), "itself", "movie000.mp4")
    for n in range(2):
        shutil.copy(p.clip, p.inside / f"movie{n:03d}.mp4")


def others(p):
    # VobSub's index makes the reader open the .sub beside it, whatever that is a link to.
    (p.inside / "vobsub.sub").symlink_to(p.clip)
    p.add("vobsub.idx", "# VobSub index file, v7 (do not modify this line!)\nsize: 720x480\n"
          "id: en, index: 0\ntimestamp: 00:00:01:000, filepos: 000000000\n", "refused", "vobsub.sub")
    p.add("script.avs", f'AVISource("{p.clip}")\n', "refused")
    p.add("script_named.vpy", f'import vapoursynth\nopen("{p.key}").read()\n', "refused")
    # A composition of IMF: the reader looks for an ASSETMAP beside it and opens what that names.
    (p.inside / "ASSETMAP.xml").write_text(
        '<?xml version="1.0"?><AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM"><Id>urn:uuid:1</Id><AssetList><Asset>'
        '<Id>urn:uuid:8713c020-2489-45f5-a9f7-87be539e20b5</Id><ChunkList><Chunk>'
        f'<Path>{p.link_mp4}</Path></Chunk></ChunkList></Asset></AssetList></AssetMap>\n')
    p.add("CPL.xml", '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">'
          '<Id>urn:uuid:8713c020-2489-45f5-a9f7-87be539e20b5</Id><ContentTitle>x</ContentTitle><EditRate>25 1</EditRate>'
          '<SegmentList><Segment><Id>urn:uuid:1</Id><SequenceList></SequenceList></Segment></SegmentList></CompositionPlaylist>\n',
          "refused", "ASSETMAP.xml")
    # Matroska can say that its story goes on in another file.
    frame = bytes(384)
    data = matroska([video_track(16, 16)], [cluster(0, [(40 * n, frame) for n in range(5)])])
    link = element(0x3E83BB, str(p.clip)) + element(0x3C83AB, str(p.clip)) + element(0x3EB923, bytes(16))
    at = data.index(element(0x4D80, "absurd"))
    info = data.rindex(bytes.fromhex("1549A966"), 0, at)
    size = data[info + 4] & 0x7F   # one byte: the Info of boxes.py is short
    longer = element(0x1549A966, data[info + 5:info + 5 + size] + link)
    segment = data.index(bytes.fromhex("18538067"))
    rest = data[segment + 12:info] + longer + data[info + 5 + size:]
    p.add("linked_segments.mkv", data[:segment] + element(0x18538067, rest), "itself")
    # A subtitle that asks for a font and a picture by path, in a file that is sound.
    (p.inside / "pointing.ass").write_text(
        "[Script Info]\nScriptType: v4.00+\n[Events]\nFormat: Layer, Start, End, Style, Text\n"
        f"Dialogue: 0,0:00:00.00,0:00:00.30,Default,{{\\fn{p.key}\\1img({p.key})}}x\n")
    subtitled = p.inside / "subtitle_paths.mkv"
    ffmpeg("-i", p.clip, "-i", p.inside / "pointing.ass", "-map", "0:v", "-map", "1", "-c", "copy", "-bitexact", subtitled)
    p.add("subtitle_paths.mkv", subtitled.read_bytes(), "itself")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1:9", help="address and port that the files point at; nothing listens there")
    args = parser.parse_args()
    place = Place(args.out, args.host)
    for make in (hls_files, dash_files, concat_files, network_files, quicktime_files, names_with_patterns, others):
        make(place)
    json.dump(MADE, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
