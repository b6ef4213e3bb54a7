"""A face for everybody: a disc in one's own colour with the first letter, a tick for the bot."""

from io import BytesIO
from pathlib import Path

import simcord.preview
from PIL import Image, ImageDraw, ImageFont

SIZE = 256
SMOOTH = 4
"""Drawn larger and scaled down, since Pillow's shapes have hard edges."""
FONT = Path(simcord.preview.__file__).parent / "static" / "fonts" / "noto-sans-latin-v2.015.ttf"
PALETTE = ("#3b82f6", "#8b5cf6", "#d97706", "#db2777", "#64748b", "#0d9488")
TICK = ((0.29, 0.53), (0.44, 0.68), (0.72, 0.35))


def colour(index: int) -> str:
    """The colour of the index-th person, as #rrggbb."""
    return PALETTE[index % len(PALETTE)]


def person(name: str, background: str) -> bytes:
    """A PNG with the first letter of `name`."""
    image = Image.new("RGB", (SIZE, SIZE), background)
    font = ImageFont.truetype(str(FONT), SIZE * 5 // 9)
    ImageDraw.Draw(image).text((SIZE / 2, SIZE / 2), name[:1].upper(), fill="white", font=font, anchor="mm")
    return _png(image)


def bot() -> bytes:
    """A PNG with a tick on green."""
    wide = SIZE * SMOOTH
    image = Image.new("RGB", (wide, wide), "#23a55a")
    points = [(x * wide, y * wide) for x, y in TICK]
    draw = ImageDraw.Draw(image)
    draw.line(points, fill="white", width=wide // 9, joint="curve")
    for x, y in points:
        radius = wide // 18
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill="white")
    return _png(image.resize((SIZE, SIZE), Image.Resampling.LANCZOS))


def _png(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()
