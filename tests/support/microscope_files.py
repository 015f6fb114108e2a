"""Small files as microscopes' makers lay them out: CZI by Zeiss's library, LIF and ND2 by hand."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def write_czi(
    path: Path,
    planes: np.ndarray,
    names: Sequence[str] = (),
    *,
    pixel_size_um: float | None = None,
    n_scenes: int = 1,
    tile_px: int | None = None,
) -> Path:
    """Write planes [C,Z,H,W]; scene s adds s to them. Tiles of `tile_px` make a mosaic."""
    from pylibCZIrw import czi

    metres = pixel_size_um * 1e-6 if pixel_size_um else None
    n_channels, n_slices, _, width = planes.shape
    step = tile_px or width
    with czi.create_czi(str(path), exist_ok=True) as file:
        for scene, c, z, x in np.ndindex(n_scenes, n_channels, n_slices, -(-width // step)):
            tile = planes[c, z, :, x * step : (x + 1) * step, None] + planes.dtype.type(scene)
            place = (x * step + scene * 2 * width, 0)
            file.write(tile, plane={"C": c, "Z": z}, scene=scene, location=place)
        file.write_metadata(
            "image",
            channel_names=dict(enumerate(names)) or None,
            scale_x=metres,
            scale_y=metres,
        )
    return path


LIF_DIMENSION = (
    '<DimensionDescription DimID="{id}" NumberOfElements="{n}" Origin="0" Length="{length}" '
    'Unit="m" BitInc="0" BytesInc="{step}"/>'
)
LIF_CHANNEL = (
    '<ChannelDescription DataType="0" ChannelTag="0" Resolution="{bits}" Min="0" Max="1" Unit="" '
    'NameOfMeasuredQuantity="" LUTName="Green" IsLUTInverted="0" BytesInc="{step}" BitInc="0">'
    "<ChannelProperty><Key>DyeName</Key><Value>{name}</Value></ChannelProperty>"
    "</ChannelDescription>"
)


def write_lif(
    path: Path,
    images: Mapping[str, np.ndarray],
    names: Sequence[str] = (),
    *,
    bits: int | None = None,
    pixel_size_um: float = 0.2,
) -> Path:
    """Write images [M,T,Z,C,H,W] by name: unsigned numbers of little end."""
    elements, blocks = "", b""
    for number, (name, pixels) in enumerate(images.items()):
        elements += _lif_element(name, number, pixels, names, bits, pixel_size_um)
        block = f"MemBlock_{number}".encode("utf-16-le")
        body = struct.pack("<BQBI", 0x2A, pixels.nbytes, 0x2A, len(block) // 2) + block
        blocks += struct.pack("<II", 0x70, len(body)) + body + pixels.tobytes()
    header = (
        f'<LMSDataContainerHeader Version="2"><Element Name="p"><Children>{elements}</Children>'
        "</Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    start = struct.pack("<IIBI", 0x70, len(header) + 5, 0x2A, len(header) // 2)
    path.write_bytes(start + header + blocks)
    return path


def _lif_element(
    name: str, number: int, pixels: np.ndarray, names: Sequence[str], bits: int | None, size: float
) -> str:
    steps = dict(zip("MTZCYX", pixels.strides, strict=True))
    ids = {"M": 10, "T": 4, "Z": 3, "Y": 2, "X": 1}
    sizes = dict(zip("MTZCYX", pixels.shape, strict=True))
    dimensions = "".join(
        LIF_DIMENSION.format(
            id=ids[axis],
            n=sizes[axis],
            length=(sizes[axis] - 1) * size * 1e-6,
            step=steps[axis],
        )
        for axis in "XYZTM"
        if axis in "XY" or sizes[axis] > 1
    )
    channels = "".join(
        LIF_CHANNEL.format(
            bits=bits or 8 * pixels.itemsize,
            step=c * steps["C"],
            name=names[c] if c < len(names) else "",
        )
        for c in range(sizes["C"])
    )
    return (
        f'<Element Name="{name}"><Data><Image><ImageDescription><Channels>{channels}</Channels>'
        f"<Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
        f'<Memory Size="{pixels.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
    )


def write_nd2(
    path: Path,
    planes: np.ndarray,
    names: Sequence[str] = (),
    *,
    bits: int = 12,
    pixel_size_um: float | None = 0.2,
    is_lossless: bool = False,
    edits: Mapping[str, Any] | None = None,
) -> Path:
    """Write planes [P,Z,C,H,W] as ND2 of version 3, its metadata as XML."""
    n_positions, n_slices, n_channels, height, width = planes.shape
    attributes = {
        "uiWidth": width,
        "uiHeight": height,
        "uiWidthBytes": width * n_channels * planes.itemsize,
        "uiComp": n_channels,
        "uiBpcInMemory": 8 * planes.itemsize,
        "uiBpcSignificant": bits,
        "uiSequenceCount": n_positions * n_slices,
        "eCompression": 0 if is_lossless else 2,
        **(edits or {}),
    }
    metadata = {
        "bCalibrated": pixel_size_um is not None,
        "dCalibration": pixel_size_um or 1.0,
        "sPicturePlanes": {
            "uiCount": n_channels,
            "sPlaneNew": {
                f"a{c}": {
                    "sDescription": names[c] if c < len(names) else "",
                    "uiCompCount": 1,
                    "pFluorescentProbe": {"m_sName": "probe"},
                }
                for c in range(n_channels)
            },
        },
    }
    stack = {"eType": 4, "uLoopPars": {"uiCount": n_slices, "dZStep": 1.0}}
    points = {f"p{i}": {"dPosX": 1.0 * i} for i in range(n_positions)}
    experiment = {
        "eType": 2,
        "uLoopPars": {"uiCount": n_positions, "Points": points},
        "ppNextLevelEx": {"a": stack},
    }
    frames = planes.transpose(0, 1, 3, 4, 2).reshape(n_positions * n_slices, -1)
    chunks = {
        "ImageAttributesLV!": _xml("SLxImageAttributes", attributes),
        "ImageMetadataSeqLV|0!": _xml("SLxPictureMetadata", metadata),
        "ImageMetadataLV!": _xml("SLxExperiment", experiment),
    }
    for i, frame in enumerate(frames):
        content = zlib.compress(frame.tobytes()) if is_lossless else frame.tobytes()
        chunks[f"ImageDataSeq|{i}!"] = bytes(8) + content
    path.write_bytes(_nd2(chunks))
    return path


def _nd2(chunks: Mapping[str, bytes]) -> bytes:
    content = _chunk("ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"), 32)
    listed = b""
    for name, body in chunks.items():
        listed += name.encode() + struct.pack("<QQ", len(content), len(body))
        content += _chunk(name, body)
    place, end = len(content), b"ND2 CHUNK MAP SIGNATURE 0000001!"
    listed += end + struct.pack("<QQ", place, place)
    return content + _chunk(
        "ND2 FILEMAP SIGNATURE NAME 0001!", listed + end + struct.pack("<Q", place)
    )


def _chunk(name: str, body: bytes, name_bytes: int = 4072) -> bytes:
    header = struct.pack("<IIQ", 0x0ABECEDA, name_bytes, len(body))
    return header + name.encode().ljust(name_bytes, b"\0") + body


XML_TYPES = {bool: "bool", int: "lx_int64", float: "double", str: "CLxStringW"}


def _xml(name: str, value: Any) -> bytes:
    return f"<variant>{_xml_node(name, value)}</variant>".encode()


def _xml_node(name: str, value: Any) -> str:
    if isinstance(value, dict):
        inner = "".join(_xml_node(key, each) for key, each in value.items())
        return f'<{name} runtype="CLxListVariant">{inner}</{name}>'
    text = str(value).lower() if isinstance(value, bool) else value
    return f'<{name} runtype="{XML_TYPES[type(value)]}" value="{text}"/>'
