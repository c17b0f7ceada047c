"""Files that are no honest recordings: cut off, damaged, lying about themselves, or something else altogether."""

import io
import random
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.recordings import (
    AUSTEN_SHORT,
    CONTAINERS,
    NOT_RECORDINGS,
    hours_of_silence,
    noise,
    recorded_as,
    silence,
    video,
)

from .request import Attack, raw, upload

CUTS = (0.0005, 0.01, 0.05, 0.3, 0.7, 0.99)  # how much is left: within the header, after it, within the sound
DAMAGES = 5  # of each container, by seed


class Sound(NamedTuple):
    """What `recorded_as` wraps: a file."""

    path: Path


def noises() -> dict[str, bytes]:
    """A second of noise in every container: decoded like any other, and quickly found to hold no speech."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        file.write(noise(1.0))
        file.flush()
        return {name: recorded_as(name, Sound(Path(file.name))) for name in CONTAINERS}  # type: ignore[arg-type]


def attacks() -> Iterator[Attack]:
    """Every hostile file, as a form's or as the body."""
    whole = noises()
    for container, content in whole.items():
        for cut in CUTS:
            yield Attack(
                "cut off", f"{container} at {cut}", upload(content[: max(1, int(len(content) * cut))])
            )
        for seed in range(DAMAGES):
            yield Attack("damaged", f"{container} seed {seed}", upload(damaged(content, seed)))
        yield Attack("damaged", f"{container} header", upload(damaged(content, 99, end=200)))
    for container in ("webm_chrome", "m4a_phone", "mp3", "ogg_firefox", "flac", "wav"):
        speech = recorded_as(container, AUSTEN_SHORT)
        yield Attack("damaged", f"speech in {container}", upload(damaged(speech, 1, begin=len(speech) // 2)))
    for family, files in {
        "lying": lying(whole),
        "bomb": bombs(),
        "reference": references(),
        "polyglot": polyglots(whole),
        "no recording": {name: make() for name, make in NOT_RECORDINGS.items()},
    }.items():
        for name, content in files.items():
            yield Attack(family, name, upload(content, name.encode()))
    for name, content in references().items():
        yield Attack("reference", f"{name} as the body", raw(content, "application/vnd.apple.mpegurl"))


def damaged(content: bytes, seed: int, *, begin: int = 0, end: int | None = None) -> bytes:
    """*content* with a bit in a hundred bytes flipped."""
    drawn = random.Random(seed)
    found = bytearray(content)
    area = range(begin, min(end or len(found), len(found)))
    for place in drawn.sample(area, max(1, len(area) // 100)):
        found[place] ^= 1 << drawn.randrange(8)
    return bytes(found)


def lying(whole: dict[str, bytes]) -> dict[str, bytes]:
    """Headers that claim what is not so."""
    honest = silence(0.5)

    def claiming(offset: int, form: str, value: int) -> bytes:
        written = bytearray(honest)
        struct.pack_into(form, written, offset, value)
        return bytes(written)

    found = {}
    # Where a WAV says how large it is, in what codec, channels, rate, bytes a second and a frame, bits, and its data
    for field, offset, form in (
        ("size", 4, "<I"), ("fmt", 16, "<I"), ("codec", 20, "<H"), ("channels", 22, "<H"), ("rate", 24, "<I"),
        ("byte rate", 28, "<I"), ("frame", 32, "<H"), ("bits", 34, "<H"), ("data", 40, "<I"),
    ):  # fmt: skip
        most = (1 << 8 * struct.calcsize(form)) - 1
        for value in (0, 1, 255, most >> 1, most):
            found[f"wav {field} {value}.wav"] = claiming(offset, form, value)
    flac = bytearray(whole["flac"])
    for offset in range(8, 42, 3):  # STREAMINFO: block and frame sizes, rate, channels, bits, samples, MD5
        found[f"flac streaminfo {offset}.flac"] = bytes(flac[:offset] + b"\xff\xff\xff" + flac[offset + 3 :])
    for container in ("m4a_phone", "mp4_safari", "3gp_phone"):
        for box in (b"moov", b"mvhd", b"trak", b"mdhd", b"stsd", b"stts", b"stsz", b"stsc", b"stco", b"esds"):
            for value in (0, 1, 0xFFFFFFFF):
                if (changed := box_size(whole[container], box, value)) is not None:
                    found[f"{container} {box.decode()} size {value}.mp4"] = changed
    for container in ("m4a_phone",):
        for box, offset in ((b"stts", 12), (b"stts", 16), (b"stsz", 8), (b"stsz", 12), (b"stsc", 8), (b"stsc", 16),
                            (b"stco", 8), (b"stco", 12), (b"stsd", 8), (b"mdhd", 16), (b"mvhd", 16)):  # fmt: skip
            found[f"{container} {box.decode()}+{offset}.mp4"] = after(
                whole[container], box, offset, 0x7FFFFFFF
            )
    webm = whole["webm_chrome"]
    for number, identity in enumerate(
        (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\x1f\x43\xb6\x75")
    ):
        place = webm.find(identity) + 4  # EBML header, segment, tracks, cluster: their sizes follow
        found[f"webm element {number} endless.webm"] = webm[:place] + b"\xff" + webm[place + 1 :]
        found[f"webm element {number} huge.webm"] = webm[:place] + b"\x01" + b"\x7f" * 7 + webm[place + 8 :]
    ogg = whole["ogg_firefox"]
    head = ogg.find(b"OpusHead")
    for channels in (0, 255):
        found[f"opus with {channels} channels.ogg"] = ogg[: head + 9] + bytes([channels]) + ogg[head + 10 :]
    found["ogg with a far granule.ogg"] = ogg[:6] + b"\xff" * 7 + b"\x7f" + ogg[14:]
    return found


def box_size(content: bytes, box: bytes, size: int) -> bytes | None:
    """*content* with another size for the first *box*; None without one."""
    place = content.find(box) - 4
    return None if place < 0 else content[:place] + struct.pack(">I", size) + content[place + 4 :]


def after(content: bytes, box: bytes, offset: int, value: int) -> bytes:
    """*content* with another number *offset* bytes after the beginning of *box*'s content."""
    place = content.find(box) + 4 + offset - 4
    return content[:place] + struct.pack(">I", value) + content[place + 4 :]


def bombs() -> dict[str, bytes]:
    """Little that becomes much."""
    return {
        "ten hours.flac": hours_of_silence(10),
        "index of samples that are not there.mp4": index_bomb(recorded_as("m4a_phone")),
        "a gigabyte said to follow.wav": wav_header(data=1 << 30),
        "one sample a second.wav": wav_header(rate=1) + bytes(200_000),
        "384001 samples a second.wav": wav_header(rate=384_001) + bytes(1 << 20),
        "255 channels.wav": wav_header(channels=255) + bytes(255 * 2 * 16_000),
        "65535 channels.wav": wav_header(channels=65_535) + bytes(65_535 * 2 * 16),
        "tag of 200 MB.mp3": b"ID3\x04\0\0" + b"\x60\0\0\0" + bytes(4096),
        "chapters.wav": wav_header()
        + bytes(3200)
        + (b"cue " + struct.pack("<II", 0xFFFFFFF, 0xFFFFFFF)) * 20_000,
        "a million chunks.wav": b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * 500_000,
        "boxes in boxes.mp4": nested_boxes(2000),
        "half a million boxes.mp4": b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x08free" * 500_000,
        "a thousand tracks.mp4": tracks(1000),
        "frames without sound.mp3": b"\xff\xfb\x90\xc4" * 300_000,
        "headers only.aac": b"\xff\xf1\x50\x80\x00\xff\xfc" * 200_000,
        "pages without packets.ogg": (b"OggS\0\0" + bytes(20) + b"\0") * 100_000,
    }


def wav_header(*, channels: int = 1, rate: int = 16_000, data: int = 0x7FFFFFFF) -> bytes:
    """The beginning of a WAV that claims *data* bytes of sound."""
    frame = 2 * channels % 65_536
    described = struct.pack("<HHIIHH", 1, channels, rate, rate * frame % (1 << 32), frame, 16)
    return b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0" + described + b"data" + struct.pack("<I", data)


def index_bomb(content: bytes, samples: int = 1 << 27) -> bytes:
    """An MP4 whose index, once unfolded, has *samples* entries of 24 bytes each."""
    content = after(content, b"stsz", 8, 1)  # all samples have one byte
    content = after(content, b"stsz", 12, samples)
    content = after(content, b"stts", 12, samples)
    return after(content, b"stsc", 16, samples)  # all in the first chunk


def nested_boxes(depth: int) -> bytes:
    """moov boxes, one within the other."""
    content = b""
    for _ in range(depth):
        content = struct.pack(">I", len(content) + 8) + b"moov" + content
    return b"\0\0\0\x10ftypisom\0\0\0\0" + content


def tracks(count: int) -> bytes:
    """An MP4 with *count* times its track."""
    whole = recorded_as("m4a_fast_start")
    begin = whole.find(b"trak") - 4
    (size,) = struct.unpack_from(">I", whole, begin)
    moov = whole.find(b"moov") - 4
    (length,) = struct.unpack_from(">I", whole, moov)
    track = whole[begin : begin + size]
    longer = struct.pack(">I", length + (count - 1) * size) + whole[moov + 4 : begin] + track * (count - 1)
    return whole[:moov] + longer + whole[begin:]


def references() -> dict[str, bytes]:
    """Files that name others: a player would open them."""
    secret = b"/etc/hostname"
    here = bytes(AUSTEN_SHORT.path)
    mov = recorded_as("m4a_phone")
    outside = mov.replace(b"url \0\0\0\x01", b"url \0\0\0\0", 1)  # the data is elsewhere
    return {
        "file.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://" + here + b"\n#EXT-X-ENDLIST\n",
        "http.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "key.m3u8": b'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="file://' + secret + b'"\n#EXTINF:1,\na.ts\n',
        "concat protocol.m3u8": b"#EXTM3U\n#EXTINF:1,\nconcat:" + secret + b"|" + here + b"\n",
        "subfile.m3u8": b"#EXTM3U\n#EXTINF:1,\nsubfile,,start,0,end,9,,:" + secret + b"\n",
        "data.m3u8": b"#EXTM3U\n#EXTINF:1,\ndata:audio/wav;base64,UklGRg==\n",
        "list.m3u": here + b"\n",
        "list.pls": b"[playlist]\nFile1=" + here + b"\nNumberOfEntries=1\n",
        "script.ffconcat": b"ffconcat version 1.0\nfile '" + here + b"'\n",
        "unsafe.ffconcat": b"ffconcat version 1.0\nfile '/etc/passwd'\nduration 99999999\n",
        "description.mpd": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        b"<AdaptationSet mimeType='audio/mp4'><Representation><BaseURL>file://" + here + b"</BaseURL>"
        b"</Representation></AdaptationSet></Period></MPD>",
        "session.sdp": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 5004 RTP/AVP 0\r\n",
        "list.asx": b'<asx version="3.0"><entry><ref href="file://' + here + b'"/></entry></asx>',
        "list.xspf": b"<playlist><trackList><track><location>file://"
        + here
        + b"</location></track></trackList></playlist>",
        "entity.svg": b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file://' + secret + b'">]><svg>&x;</svg>',
        "laughs.xml": b"<!DOCTYPE l [<!ENTITY a 'ha'>" + b"".join(
            b"<!ENTITY %c '%s'>" % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)) + b"]><l>&j;</l>",
        "data elsewhere.mov": outside,
        "alias.mov": outside.replace(b"url ", b"alis", 1),
        "linked.mkv": b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff\x15\x49\xa9\x66\x93\x3c\xb9\x23\x90" + bytes(16),
        "script.avs": b'DirectShowSource("' + secret + b'")\n',
        "filter.txt": b"amovie=" + here + b"\n",
        "picture.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x06\0\0\0",
        "picture.gif": b"GIF89a\xff\xff\xff\xff\x80\0\0",
        "magick.mvg": b"push graphic-context\nimage over 0,0 0,0 'file://" + secret + b"'\npop graphic-context\n",
        "link.lnk": b"L\0\0\0\x01\x14\x02\0" + secret,
    }  # fmt: skip


def polyglots(whole: dict[str, bytes]) -> dict[str, bytes]:
    """Two kinds of file in one."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../etc/cron.d/x", bytes(10 << 20))
    page = b"<html><script>alert(1)</script></html>\n"
    archived = packed.getvalue()
    return {
        "sound, then an archive.wav": whole["wav"] + archived,
        "an archive, then sound.wav": archived + whole["wav"],
        "a page, then sound.mp3": page + whole["mp3"],
        "a page in a tag.mp3": b"ID3\x04\0\0\0\0\0" + bytes([len(page)]) + page + whole["mp3"],
        "a playlist, then sound.ogg": b"#EXTM3U\nfile:///etc/passwd\n" + whole["ogg_firefox"],
        "a program.flac": b"\x7fELF" + bytes(60) + whole["flac"],
        "a script.mp3": b"#!/bin/sh\nid\n" + whole["mp3"],
        "wav, then mp3.wav": whole["wav"][:44] + whole["mp3"],
        "two streams.ogg": whole["ogg_firefox"] + whole["ogg_firefox"],
        "flac in front of mp4.flac": whole["flac"][:42] + whole["m4a_phone"],
        "a film.mp4": video(sound=False),
        "php.wav": whole["wav"][:36] + b"<?php system($_GET[0]); ?>" + whole["wav"][36:],
    }
