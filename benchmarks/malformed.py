"""Malformed requests for the served model, drawn by a seed; each must get a 4xx status.

A request is the bytes of an HTTP/1.1 message, so that its framing can be malformed, too.
"""

import base64
import io
import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from hpa.vocabulary import hpa2018
from hpa.vocabulary.channels import PROTEIN

JSON = "application/json"
MAX_IMAGES = 64
CHANNELS = list(hpa2018.CHANNELS.channels)
"""Channels of the served model; `benchmarks/serving.py` sets others."""
Draw = random.Random
Request = tuple[str, bytes]
"""Kind of fault, and bytes."""


def draw_request(draw: Draw, max_bytes: int) -> Request:
    """Draw one malformed request.

    Args:
        draw: random number generator.
        max_bytes: limit of a body on the server.
    """
    kind = draw.choice(list(KINDS))
    return kind, KINDS[kind](draw, max_bytes)


def post(body: bytes, content_type: str | None = JSON, **headers: str) -> bytes:
    """Encode a POST to /invocations; `headers` replace or extend the default ones."""
    return message("POST", "/invocations", body, content_type, **headers)


def message(
    method: str, path: str, body: bytes, content_type: str | None = JSON, **headers: str
) -> bytes:
    """Encode an HTTP/1.1 request that closes its connection."""
    lines = {"Host": "localhost", "Connection": "close", "Content-Length": str(len(body))}
    if content_type:
        lines["Content-Type"] = content_type
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def png(draw: Draw, size: int = 64) -> bytes:
    """Draw a greyscale PNG of noise with a single IDAT chunk."""
    pixels = np.frombuffer(draw.randbytes(size * size), np.uint8).reshape(size, size)
    return _png(size, size, zlib.compress(b"".join(b"\0" + bytes(row) for row in pixels)))


def image(draw: Draw, size: int = 64) -> dict[str, Any]:
    """Draw the channels of an image as base64 PNGs."""
    return {channel.name: _text(png(draw, size)) for channel in CHANNELS}


def protein() -> str:
    """Return the name of the channel that no request may lack."""
    return next(channel.name for channel in CHANNELS if channel.role == PROTEIN)


def body(*images: Any) -> bytes:
    """Encode images as the body of a request to /invocations."""
    return json.dumps({"dataframe_records": list(images)}).encode()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _png(
    width: int, height: int, data: bytes, extra: bytes = b"", samples: tuple[int, int] = (8, 0)
) -> bytes:
    """Encode a PNG; `samples` are bits per sample and colour type."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        digest = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", digest)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *samples, 0, 0, 0))
    parts = header + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _protein(draw: Draw, value: Any) -> bytes:
    """Replace the protein channel of a valid request."""
    return post(body(image(draw) | {protein(): value}))


def _cut_json(draw: Draw, _: int) -> bytes:
    whole = body(image(draw))
    return post(whole[: draw.randrange(len(whole))])


def _mutated_json(draw: Draw, _: int) -> bytes:
    """Replace a structural character of a valid body."""
    whole = bytearray(body(image(draw)))
    structure = [place for place, byte in enumerate(whole) if byte in b'{}[]":,']
    place = draw.choice(structure)
    others = [b"", b"\0", b"\x1f", b"\xff\xfe", b"{", b"\\"]
    whole[place : place + 1] = draw.choice(
        [each for each in others if each != whole[place : place + 1]]
    )
    return post(bytes(whole))


def _random_bytes(draw: Draw, _: int) -> bytes:
    return post(draw.randbytes(draw.randrange(1, 5000)))


def _wrong_document(draw: Draw, _: int) -> bytes:
    one = image(draw)
    choices: list[Any] = [
        None, 7, "text", [], {}, [one], {"records": [one]}, {"inputs": 3}, {"instances": "a"},
        {"dataframe_records": one | {protein(): 1}}, {"dataframe_records": 3},
        {"dataframe_records": None}, {"dataframe_records": ["a", 1]}, {"dataframe_records": []},
        {"dataframe_records": [[]]}, {"dataframe_split": {"columns": [protein()], "data": [[1]]}},
        {"dataframe_split": {"columns": 3}}, {"dataframe_split": []}, {"messages": [{"role": "a"}]},
        {"dataframe_records": [one], "inputs": [one]}, {"dataframe_records": [{}]},
        {"dataframe_records": [{"purple": one[protein()]}]}, {"prompt": "x"}, {"input": {"a": 1}},
        {"dataframe_records": [one] * (MAX_IMAGES + 1)},
    ]  # fmt: skip
    return post(json.dumps(draw.choice(choices)).encode())


def _wrong_type(draw: Draw, _: int) -> bytes:
    row = [0] * 8
    choices: list[Any] = [
        None, 3, 2.5, True, {}, {"a": 1}, [], [[]], [row, row[:3]], [[row] * 8], ["a"], [["a"]],
        [[None] * 8] * 8, [[-1] * 8] * 8, [[256] * 8] * 8, [[0.5] * 8] * 8, [[10**400] * 8] * 8,
        [[{}] * 8] * 8, [row] * 4, [[0] * 5000], row, [[True, "1"]], [["1", "2"], ["3", "4"]],
    ]  # fmt: skip
    return _protein(draw, draw.choice(choices))


def _no_number(draw: Draw, _: int) -> bytes:
    word = draw.choice(["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
    rows = ", ".join(["[" + ", ".join([word] * 64) + "]"] * 64)
    whole = body(image(draw) | {protein(): "HERE"}).decode()
    return post(whole.replace('"HERE"', f"[{rows}]").encode())


def _deep(draw: Draw, _: int) -> bytes:
    depth = draw.randrange(2_000, 100_000)
    return post(draw.choice([b"[", b'{"a":', b'{"dataframe_records":[']) * depth)


def _bad_base64(draw: Draw, _: int) -> bytes:
    text = draw.choice(["", "###", "a", "QUJD*", "data:image/png;base64,!", " \n", "ÄÖÜ", "\ud800"])
    return _protein(draw, text)


def _no_image(draw: Draw, _: int) -> bytes:
    whole = bytearray(png(draw))
    action = draw.randrange(4)
    if action == 0:
        whole = whole[: draw.randrange(len(whole) - 40)]
    elif action == 1:
        whole[draw.randrange(16)] ^= 1 + draw.randrange(255)
    elif action == 2:
        whole[60 + draw.randrange(len(whole) - 120)] ^= 1 + draw.randrange(255)
    else:
        whole = bytearray(draw.randbytes(draw.randrange(400)))
    return _protein(draw, _text(bytes(whole)))


def _other_image(draw: Draw, _: int) -> bytes:
    """Send an image of an unsupported format, depth, mode or shape."""
    content = io.BytesIO()
    mode, kind, size = draw.choice(
        [
            ("RGBA", "PNG", (64, 64)), ("1", "PNG", (64, 64)), ("CMYK", "TIFF", (64, 64)),
            ("L", "BMP", (64, 64)), ("L", "GIF", (64, 64)), ("RGBA", "TIFF", (64, 64)),
            ("CMYK", "JPEG", (64, 64)), ("L", "PNG", (64, 32)), ("L", "PNG", (32, 32)),
            ("L", "WEBP", (64, 64)), ("L", "PPM", (64, 64)), ("LA", "PNG", (64, 64)),
            ("P", "PNG", (64, 64)),
        ]
    )  # fmt: skip
    Image.new(mode, size).save(content, kind)
    return _protein(draw, _text(content.getvalue()))


def _other_samples(draw: Draw, _: int) -> bytes:
    """Send a whole PNG of another depth or number of samples, or a composite of three colours."""
    depth, colour_type, n_samples = draw.choice([(16, 2, 3), (16, 4, 2), (4, 0, 1), (8, 2, 3)])
    n_bytes = 64 * n_samples * depth // 8
    rows = b"".join(b"\0" + draw.randbytes(n_bytes) for _ in range(64))
    content = _png(64, 64, zlib.compress(rows), samples=(depth, colour_type))
    return _protein(draw, _text(content))


def _bomb(draw: Draw, _: int) -> bytes:
    """Send few bytes that announce, or decompress to, many."""
    side = draw.choice([4097, 10_000, 30_000, 2**31 - 1])
    flood = zlib.compress(bytes(50_000_000), 9)
    text = b"tEXt" if draw.random() < 0.5 else b"zTXt"
    content = b"comment\0\0" + flood
    extra = struct.pack(">I", len(content)) + text + content
    extra += struct.pack(">I", zlib.crc32(text + content))
    choices = [
        _png(side, side, zlib.compress(bytes(64))),
        _png(1, side, zlib.compress(bytes(64))),
        _png(4096, 4096, zlib.compress(bytes(64))),
        _png(64, 64, zlib.compress(bytes(64)), extra),
    ]
    return _protein(draw, _text(draw.choice(choices)))


def _compressed(draw: Draw, _: int) -> bytes:
    return post(zlib.compress(bytes(10_000_000)), Content_Encoding="gzip")


def _too_large(draw: Draw, max_bytes: int) -> bytes:
    """Send a body above the limit: announced, or in chunks."""
    if draw.random() < 0.5:
        return post(b"{", Content_Length=str(max_bytes + draw.randrange(1, 10**12)))
    piece = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    head = post(b"", Content_Length="", Transfer_Encoding="chunked")
    return head + piece * (max_bytes // 2**20 + 2) + b"0\r\n\r\n"


def _giant_header(draw: Draw, _: int) -> bytes:
    n_bytes = draw.choice([100_000, 1_000_000])
    if draw.random() < 0.5:
        return post(body(image(draw)), Cookie="a" * n_bytes)
    return message("POST", f"/invocations?{'a' * n_bytes}", body(image(draw)))


def _wrong_content_type(draw: Draw, _: int) -> bytes:
    kinds = [
        None, "text/csv", "text/plain", "application/x-parquet", "multipart/form-data", "json",
        "application/octet-stream", "image/png", "\xff\xfe", "application/x-www-form-urlencoded",
    ]  # fmt: skip
    return post(body(image(draw)), draw.choice(kinds))


def _wrong_method(draw: Draw, _: int) -> bytes:
    method = draw.choice(["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "NONSENSE"])
    return message(method, "/invocations", b"" if method in ("GET", "HEAD") else body(image(draw)))


def _wrong_path(draw: Draw, _: int) -> bytes:
    paths = ["/", "/invocation", "/invocations/1", "/../../etc/passwd", "/%00", "/a" * 500, "//"]
    return message(draw.choice(["GET", "POST"]), draw.choice(paths), body(image(draw)))


def _wrong_length(draw: Draw, _: int) -> bytes:
    whole = body(image(draw))
    length = draw.choice(["-1", "abc", "1e3", "0x10", "", str(len(whole) // 2), "9" * 30])
    return post(whole, Content_Length=length or "0")


def _wrong_chunks(draw: Draw, _: int) -> bytes:
    size = draw.choice([b"zz", b"-5", b"", b"fffffffffffffffffff", b"5;" + b"a" * 100_000])
    head = post(b"", Content_Length="", Transfer_Encoding="chunked")
    return head + size + b"\r\n" + draw.randbytes(20) + b"\r\n0\r\n\r\n"


def _no_http(draw: Draw, _: int) -> bytes:
    choices = [
        draw.randbytes(200) + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /invocations HTTP/9.9\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nno colon\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # a TLS ClientHello
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]
    return draw.choice(choices)


KINDS: dict[str, Callable[[Draw, int], bytes]] = {
    "cut JSON": _cut_json,
    "mutated JSON": _mutated_json,
    "random bytes": _random_bytes,
    "another document": _wrong_document,
    "a wrong type": _wrong_type,
    "NaN or infinite": _no_number,
    "nested too deeply": _deep,
    "bad base64": _bad_base64,
    "not an image": _no_image,
    "unsupported image": _other_image,
    "unsupported samples": _other_samples,
    "decompression bomb": _bomb,
    "a compressed body": _compressed,
    "too large": _too_large,
    "giant header": _giant_header,
    "wrong content type": _wrong_content_type,
    "wrong method": _wrong_method,
    "wrong path": _wrong_path,
    "wrong length": _wrong_length,
    "wrong chunks": _wrong_chunks,
    "not HTTP": _no_http,
}
"""Kinds of fault, each with a function that draws a request."""
