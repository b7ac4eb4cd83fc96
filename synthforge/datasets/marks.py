"""Provenance marks: what made a picture, as metadata in its file that other programs read.

An XMP packet with IPTC's DigitalSourceType, in a PNG's iTXt chunk or a JPEG's APP1 segment; no pixel changes.
Sources: IPTC Photo Metadata Standard 2023.2, "Digital Source Type"; XMP Specification Part 3 (embedding in files).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

from ..core.errors import DataError

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
#: by a network that learned from pictures; by a program alone
TRAINED, ALGORITHMIC = "trainedAlgorithmicMedia", "algorithmicMedia"
#: key of `Generator.provenance` that names the type
SOURCE_TYPE = "digital_source_type"

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = 8 + 25  # signature and IHDR, which has to come first
_APP1 = b"http://ns.adobe.com/xap/1.0/\0"
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="SynthForge"
 Iptc4xmpExt:DigitalSourceType="{type}"/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def source_type(manifest: Mapping[str, Any]) -> str:
    """The IPTC source type of a dataset's pictures: what its generator says, else that a program alone made them.

    Of a replayed dataset, what the original says; empty, for no mark, where the generator says that it is unknown.
    """

    def said(record: Mapping[str, Any]) -> str | None:
        if isinstance(record.get(SOURCE_TYPE), str):
            return str(record[SOURCE_TYPE])
        inner = (said(each) for each in record.values() if isinstance(each, Mapping))
        return next((found for found in inner if found is not None), None)

    found = said(manifest.get("provenance", {}))
    return ALGORITHMIC if found is None else found


def marked(data: bytes, type_: str) -> bytes:
    """A PNG or JPEG file with the mark in it. Raises DataError for another file."""
    packet = _PACKET.format(type=VOCABULARY + type_).encode()
    if data.startswith(_PNG):
        text = b"XML:com.adobe.xmp\0\0\0\0\0" + packet
        chunk = struct.pack(">I", len(text)) + b"iTXt" + text + struct.pack(">I", zlib.crc32(b"iTXt" + text))
        return data[:_PNG_HEADER] + chunk + data[_PNG_HEADER:]
    if data.startswith(b"\xff\xd8"):
        # behind JFIF's own segment, which has to come first
        end = 4 + int.from_bytes(data[4:6], "big") if data[2:4] == b"\xff\xe0" else 2
        body = _APP1 + packet
        return data[:end] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[end:]
    raise DataError("a picture is neither PNG nor JPEG: it cannot carry a provenance mark")
