"""How kinds of files are told by their first bytes, the file's head."""

import re
import struct
from collections.abc import Callable

HEAD = 512  # bytes that tell every kind
INDEX = ".index.json"  # ends the name of what lists the pieces of a model
PIECE = re.compile(r"[^/\\]+-\d{5}-of-\d{5}\.safetensors")  # the name of one
PRINTABLE = bytes(range(32, 256)) + b"\t\n\r\f"

Tell = Callable[[bytes], bool]


def starts(*magics: bytes, at: int = 0) -> Tell:
    """One of these bytes at a place."""
    return lambda head: head[at:].startswith(magics)


def brand(*brands: bytes) -> Tell:
    """ISO media files, as of MP4 and HEIC, say what they are in the box at their start."""
    return lambda head: head[4:8] == b"ftyp" and head[8:12].startswith(brands)


def riff(*kinds: bytes) -> Tell:
    """Files of Microsoft's RIFF, as WAV and AVI."""
    return lambda head: head[:4] == b"RIFF" and head[8:12].startswith(kinds)


def zipped(*endings: str) -> Tell:
    """A zip file whose first entry has one of these names or endings."""
    return lambda head: head.startswith(b"PK\3\4") and _first_entry(head).endswith(endings)


def _first_entry(head: bytes) -> str:
    length = int.from_bytes(head[26:28], "little")
    return head[30 : 30 + length].decode("utf-8", "replace")


def text(*beginnings: bytes) -> Tell:
    """A text that begins so in small or capital letters, behind blanks."""
    return lambda head: _stripped(head).lower().startswith(beginnings)


def _stripped(head: bytes) -> bytes:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()


def is_safetensors(head: bytes) -> bool:
    """Eight bytes of a sensible length, and JSON."""
    return head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= 10**8


def is_raw_photograph(head: bytes) -> bool:
    """A TIFF of Canon or Nikon with the sensor's own values."""
    return head[:4] in (b"II*\0", b"MM\0*") and (head[8:10] == b"CR" or b"NIKON" in head)


def is_pickle(head: bytes) -> bool:
    """Protocols 2 to 5; the older ones are text."""
    return head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5")


def is_bitmap(head: bytes) -> bool:
    """BM, four bytes of length and four zeros."""
    return head[:2] == b"BM" and head[6:10] == bytes(4)


def is_onnx(head: bytes) -> bool:
    """A protocol buffer: the version of the format, then a name or more."""
    return head[:1] == b"\x08" and head[1:2] < b"\x20" and head[2:3] in (b"\x12", b"\x1a", b":")


def is_msgpack(head: bytes) -> bool:
    """A small map whose first key is a short text."""
    return b"\x81" <= head[:1] <= b"\x8f" and b"\xa1" <= head[1:2] <= b"\xbf"


def is_tfrecord(head: bytes) -> bool:
    """A length, its check sum, then a protocol buffer."""
    return head[:4] != bytes(4) and head[4:8] == bytes(4) and head[12:13] == b"\n"


def is_json_lines(head: bytes) -> bool:
    """A JSON object a line."""
    return _stripped(head)[:1] == b"{" and _stripped(head).split(b"\n")[0].rstrip()[-1:] == b"}"


def is_yaml(head: bytes) -> bool:
    """A first line `key: value` or `key:`."""
    lines = [line for line in _stripped(head).splitlines() if not line.startswith(b"#")]
    first = next(filter(bytes.strip, lines), b"")
    key, colon, rest = first.partition(b":")
    is_plain = key.strip(b"- ").replace(b"_", b"").isalnum() and rest[:1].strip() == b""
    return first.strip() == b"---" or (bool(colon) and is_plain and b"=" not in first)


def is_text(head: bytes) -> bool:
    """Some letters in UTF-8, which may be cut at the end, and nothing that cannot be printed."""
    whole = head.decode("utf-8", "ignore").encode()
    return len(head) > 3 and head.startswith(whole[:-3]) and not head.translate(None, PRINTABLE)


def is_arrow(head: bytes) -> bool:
    """A file of Apache Arrow, or a stream: a mark, then the length of a short header."""
    return head.startswith(b"ARROW1") or (head[:4] == b"\xff" * 4 and head[6:8] == b"\0\0")
