"""Contact sheets: many clips on one picture, a row for each."""

import textwrap
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tenku.media.video import check_frames

FONTS = ("NotoSansCJK", "NotoSansSC", "SourceHanSans", "wqy-", "DroidSansFallback", "PingFang", "msyh", "Unifont")
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "/System/Library/Fonts", "C:/Windows/Fonts")
LABEL_HEIGHT = 18


def contact_sheet(
    clips: Sequence[np.ndarray], columns: int = 8, labels: Sequence[str] | None = None, gap: int = 2
) -> np.ndarray:
    """uint8 H W 3: a row for each clip (uint8 T H W 3), its frames evenly spread, a label above the row.

    A clip with fewer frames than `columns` shows each once. ValueError without a clip, or when the labels
    are not as many as the clips.
    """
    if not len(clips):
        raise ValueError("a contact sheet needs at least one clip")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    if labels is not None and len(labels) != len(clips):
        raise ValueError(f"{len(labels)} labels for {len(clips)} clips")
    clips = [check_frames(clip) for clip in clips]
    columns = min(columns, max(len(clip) for clip in clips))
    height, width = (max(clip.shape[axis] for clip in clips) for axis in (1, 2))
    head = LABEL_HEIGHT if labels else 0
    row_height = head + height + gap
    sheet = Image.new("RGB", (columns * (width + gap) - gap, len(clips) * row_height - gap), "white")
    draw = ImageDraw.Draw(sheet)
    for row, clip in enumerate(clips):
        top = row * row_height
        if labels:
            _draw_label(draw, labels[row], top, sheet.width)
        shown = np.linspace(0, len(clip) - 1, min(columns, len(clip))).round().astype(int)
        for column, index in enumerate(shown):
            sheet.paste(Image.fromarray(clip[index]), (column * (width + gap), top + head))
    return np.asarray(sheet)


def _draw_label(draw: ImageDraw.ImageDraw, label: str, top: int, width: int) -> None:
    """One line, cut to the sheet's width. Without a font that has its signs, some show as boxes."""
    line = textwrap.shorten(" ".join(label.split()), 400, placeholder=" …") if label.strip() else ""
    font = _font(any(ord(sign) > 0x2E7F for sign in line))
    try:
        while line and draw.textlength(line, font=font) > width - 4:
            line = line[:-2]
        draw.text((2, top + 2), line, fill="black", font=font)
    except UnicodeEncodeError:  # Pillow built without FreeType knows Latin letters only
        draw.text((2, top + 2), line.encode("latin-1", "replace").decode("latin-1"), fill="black", font=font)


@lru_cache(maxsize=2)
def _font(chinese: bool) -> Any:
    """Pillow's own font, or a system font with Chinese signs where one is needed and installed."""
    if chinese:
        for folder in map(Path, FONT_FOLDERS):
            for path in sorted(folder.rglob("*.[to]t[fc]")) if folder.is_dir() else []:
                if path.name.startswith(FONTS):
                    try:
                        return ImageFont.truetype(str(path), LABEL_HEIGHT - 5)
                    except OSError:
                        continue
    return ImageFont.load_default(LABEL_HEIGHT - 5)
