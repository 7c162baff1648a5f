"""Conversion of text subtitles between codecs."""

import html
import re

# Header of a mov_text track: default style, positions in 384x288.
ASS_HEADER = (
    b"[Script Info]\r\nScriptType: v4.00+\r\nPlayResX: 384\r\nPlayResY: 288\r\n\r\n"
    b"[V4+ Styles]\r\nFormat: Name, Fontname, Fontsize, PrimaryColour, "
    b"SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, "
    b"ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, "
    b"MarginL, MarginR, MarginV, Encoding\r\n"
    b"Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,"
    b"10,10,10,1\r\n\r\n[Events]\r\n"
    b"Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"
    b"\r\n"
)

TEXT_CODECS = ("subrip", "srt", "text", "ass", "ssa", "webvtt", "mov_text")

# Tags of HTML and WebVTT, and overrides of ASS; a lone "<" is text.
_TAGS = re.compile(r"</?[A-Za-z][^<>\n]{0,400}>|<\d[\d:.]*>|\{\\[^{}\n]*\}")


def subtitle_text(codec: str, data: bytes) -> str:
    """The plain text of a packet of one of `TEXT_CODECS`; styles are dropped."""
    if codec == "mov_text":
        length = int.from_bytes(data[:2], "big")
        return data[2 : 2 + length].decode("utf-8", "replace")
    text = data.decode("utf-8", "replace").rstrip("\0\r\n")
    if codec in ("ass", "ssa"):
        # ReadOrder, Layer, Style, Name, three margins, Effect, Text
        text = text.split(",", 8)[-1].replace("\\N", "\n").replace("\\n", "\n")
    text = _TAGS.sub("", text)
    return html.unescape(text) if codec == "webvtt" else text


def subtitle_payload(codec: str, text: str) -> bytes:
    """The data of a `mov_text`, `subrip` or `webvtt` packet for `text`."""
    data = text.encode()
    if codec == "mov_text":
        data = data[:0xFFFF]
        return len(data).to_bytes(2, "big") + data
    return data
