"""Contact sheets: many clips on one picture, a row for each."""

import textwrap
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tenku.media.writer import check_frames

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
    """One line, its ink within the row and the sheet's width. Without a font that has its signs, some show as boxes."""
    line = textwrap.shorten(" ".join(label.split()), 400, placeholder=" …")
    chinese = any(ord(sign) > 0x2E7F for sign in line)
    for size in range(LABEL_HEIGHT - 5, 0, -1):
        font = _font(chinese, size)
        if not isinstance(font, ImageFont.FreeTypeFont):  # Pillow built without FreeType knows Latin letters only
            line = line.encode("latin-1", "replace").decode("latin-1")
        while line and font.getlength(line) > width - 4:
            line = line[:-2]
        _, above, _, below = font.getbbox(line)  # of the ink: where it lies under its place differs by font
        if below - above <= LABEL_HEIGHT:
            break
    draw.text((2, top + max(-above, min(2, LABEL_HEIGHT - below))), line, fill="black", font=font)


@lru_cache(maxsize=32)
def _font(chinese: bool, size: int) -> Any:
    """Pillow's own font, or a system font with Chinese signs where one is needed and installed; size in pixels."""
    if chinese:
        for folder in map(Path, FONT_FOLDERS):
            for path in sorted(folder.rglob("*.[to]t[fc]")) if folder.is_dir() else []:
                if path.name.startswith(FONTS):
                    try:
                        return ImageFont.truetype(str(path), size)
                    except OSError:
                        continue
    return ImageFont.load_default(size)
