"""What a picture file remembers of how it was made: in a gif's comment, a webp's XMP, a png's text chunks.

A gif's comment is the metadata as JSON. A webp has it as JSON in XMP's `tenku:made`, with the prompt as
`dc:description`, which other programs show. A png has a chunk iTXt for each entry.
"""

import json
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from PIL import Image
from PIL.PngImagePlugin import PngInfo

LONGEST = 100_000  # characters that are read
NAMESPACE = "urn:tenku"
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tenku="{namespace}">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{prompt}</rdf:li></rdf:Alt></dc:description>
<tenku:made>{made}</tenku:made>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def to_save(kind: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What Pillow's `save` takes to write texts into a picture; kind: "GIF", "WEBP" or "PNG"."""
    if not metadata:
        return {}
    if kind == "PNG":
        chunks = PngInfo()
        for key, value in metadata.items():
            chunks.add_itxt(key, value)
        return {"pnginfo": chunks}
    made = json.dumps(dict(metadata), ensure_ascii=False)
    if kind == "GIF":
        return {"comment": made.encode()}
    prompt = escaped(metadata.get("prompt", ""))
    return {"xmp": XMP.format(namespace=NAMESPACE, prompt=prompt, made=escaped(made)).encode()}


def escaped(text: str) -> str:
    """For XML, without the control characters that it cannot hold."""
    return escape("".join(sign for sign in text if sign >= " " or sign in "\t\n\r"))


def from_picture(picture: Image.Image) -> dict[str, str]:
    """The texts that a picture remembers, of tenku or another program; empty where there are none, or broken ones."""
    if picture.format == "PNG":
        texts = getattr(picture, "text", {})
        return {str(key): str(value)[:LONGEST] for key, value in texts.items()}
    if picture.format == "GIF":
        return parsed(picture.info.get("comment", b""))
    xmp = picture.info.get("xmp", b"") if picture.format == "WEBP" else b""
    if not isinstance(xmp, bytes) or not 0 < len(xmp) <= 4 * LONGEST or b"<!" in xmp:  # no DTD, no entities
        return {}
    try:
        made = ElementTree.fromstring(xmp.decode("utf-8", "replace").lstrip("\ufeff")).find(f".//{{{NAMESPACE}}}made")
    except (ElementTree.ParseError, ValueError):
        return {}
    return {} if made is None else parsed((made.text or "").encode())


def parsed(made: Any) -> dict[str, str]:
    """Texts of a JSON object; a comment that is none stands by itself."""
    text = bytes(made)[: 4 * LONGEST].decode("utf-8", "replace") if isinstance(made, bytes | bytearray) else ""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        return {"comment": text} if text.strip() else {}
    return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
