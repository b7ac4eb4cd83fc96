"""Pictures for people: points, class maps, depth and normals in colour, captions, legends and sheets of them.

Every picture here is an array (H,W,3) uint8 sRGB. Coordinates are continuous pixels, pixel centres at i + 0.5.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from ..core.schemas import CLASS_SCHEMAS, IGNORE, POINT_SCHEMAS

Colour = tuple[int, int, int]

BACKGROUND, TEXT, MARK = (24, 24, 28), (225, 225, 230), (255, 160, 60)
SIGNATURE = "synthforge show"
TRUTH, PREDICTION = (70, 220, 120), (255, 80, 60)
# One colour a region of the point schemas, told apart on skin and with the common kinds of colour blindness.
REGIONS: dict[str, Colour] = {
    "jaw": (86, 180, 233),
    "brows": (240, 228, 66),
    "nose": (0, 200, 140),
    "eyes": (255, 255, 255),
    "mouth": (255, 110, 180),
}
# Anchors of the colour map viridis (van der Walt & Smith, CC0), dark to bright, evenly spaced.
_VIRIDIS = np.array(
    [
        *([68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129]),
        *([92, 200, 99], [170, 220, 50], [253, 231, 37]),
    ],
    np.float64,
)


@dataclass(frozen=True)
class Points:
    """Points to draw. at: (N,2) pixels, those that are not finite are left out; schema: name, for edges and colours.

    colour: of all of them, None for one a region; visible: (N,) bool, hidden ones are hollow; radius: pixels.
    """

    at: np.ndarray
    schema: str = ""
    colour: Colour | None = None
    visible: np.ndarray | None = None
    radius: float = 1.5


@dataclass(frozen=True)
class Mark:
    """Dots, rings (points that are hidden) or lines of one colour over a picture, in its pixels.

    at: dots and rings hold one array of points (N,2), lines an array (K,2) for each line. size: the radius of dots and
    rings, the width of lines, in pixels.
    """

    shape: Literal["dots", "rings", "lines"]
    colour: Colour
    at: Sequence[np.ndarray]
    size: float = 1.5

    def scaled(self, factor: float, thicker: float) -> Mark:
        """The mark on a picture `factor` times as large, its dots and lines `thicker` times as large."""
        return Mark(self.shape, self.colour, [points * factor for points in self.at], self.size * thicker)


def draw_points(image: np.ndarray, layers: Iterable[Points], fine: int = 4) -> np.ndarray:
    """Points with the edges of their schema over a picture, see `draw_marks`."""
    return draw_marks(image, [mark for layer in layers for mark in marks_of(layer)], fine)


def marks_of(layer: Points) -> list[Mark]:
    """The lines of points' edges, then dots, or rings where they are hidden."""
    known = POINT_SCHEMAS.get(layer.schema)
    colours = [layer.colour or MARK] * len(layer.at)
    if layer.colour is None and known is not None:
        for name, members in known.regions.items():
            for index in members:
                colours[index] = REGIONS.get(name, MARK)
    at, there = np.asarray(layer.at, np.float64), np.isfinite(layer.at).all(axis=-1)
    seen = np.ones(len(at), np.bool_) if layer.visible is None else np.asarray(layer.visible, np.bool_)
    lines: dict[Colour, list[np.ndarray]] = {}
    for a, b in known.edges if known is not None else ():
        if there[a] and there[b]:
            lines.setdefault(colours[a], []).append(at[[a, b]])
    marks = [Mark("lines", colour, found, 0.75) for colour, found in lines.items()]
    for colour in dict.fromkeys(colours):
        of_colour = there & np.array([each == colour for each in colours])
        for shape, which in (("dots", of_colour & seen), ("rings", of_colour & ~seen)):
            if which.any():
                marks.append(Mark(shape, colour, [at[which]], layer.radius))  # type: ignore[arg-type]
    return marks


def draw_marks(image: np.ndarray, marks: Iterable[Mark], fine: int = 4) -> np.ndarray:
    """Marks over a picture.

    Drawn at `fine` times the size and reduced, so that lines are smooth and sub-pixel places show.
    """
    height, width = image.shape[:2]
    canvas = Image.fromarray(image)
    if fine > 1:
        canvas = canvas.resize((width * fine, height * fine), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(canvas)
    for mark in marks:
        size = mark.size * fine
        for points in mark.at:
            places = np.asarray(points, np.float64) * fine - 0.5  # Pillow draws around pixel centres
            if mark.shape == "lines":
                pen.line([*map(tuple, places.tolist())], fill=mark.colour, width=max(1, round(size)), joint="curve")
                continue
            style: dict[str, Any] = (
                {"fill": mark.colour} if mark.shape == "dots" else {"outline": mark.colour, "width": max(1, fine // 2)}
            )
            for x, y in places.tolist():
                pen.ellipse((x - size, y - size, x + size, y + size), **style)
    return np.array(canvas.resize((width, height), Image.Resampling.BOX) if fine > 1 else canvas)


def draw_boxes(
    image: np.ndarray, boxes: Sequence[Sequence[float]], names: Sequence[str] = (), size: int = 13, width: int = 2
) -> np.ndarray:
    """Boxes (x0, y0, x1, y1) over a picture, their names in the upper left corner."""
    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    for i, box in enumerate(boxes):
        x0, y0, x1, y1 = (float(value) - 0.5 for value in box)
        pen.rectangle((x0, y0, x1, y1), outline=MARK, width=width)
        if i < len(names):
            pen.text((x0 + 4, y0 + 2), names[i], MARK, font(size), stroke_width=2, stroke_fill=(0, 0, 0))
    return np.array(canvas)


def write_over(image: np.ndarray, text: str, at: tuple[float, float], size: int, colour: Colour = TEXT) -> np.ndarray:
    """Words over a picture, their upper left corner at `at` in pixels; size: of the letters in pixels."""
    canvas = Image.fromarray(image)
    ImageDraw.Draw(canvas).text(at, text, colour, font(size), stroke_width=2, stroke_fill=(0, 0, 0))
    return np.array(canvas)


def write_numbers(image: np.ndarray, name: str, value: np.ndarray, size: int) -> np.ndarray:
    """A value that has no picture of its own in words over a picture: its name and its first rows of numbers."""
    rows = np.atleast_2d(np.asarray(value, np.float64))
    lines = [name, *(" ".join(f"{number:+.3g}" for number in row[:6]) for row in rows.reshape(-1, rows.shape[-1])[:6])]
    for number, line in enumerate(lines):
        image = write_over(image, line, (6, 4 + 1.4 * size * number), size)
    return image


def draw_numbers(image: np.ndarray, numbers: Mapping[str, float], size: int) -> np.ndarray:
    """Numbers by name as bars over a darkened picture; the largest of them where there is no room for all."""
    height, width = image.shape[:2]
    line = int(1.5 * size)
    room = max(1, (height - 4) // line)
    chosen = sorted(numbers, key=lambda name: -abs(numbers[name]))[:room] if len(numbers) > room else list(numbers)
    widest = max([abs(numbers[name]) for name in chosen] + [1.0])
    canvas = Image.fromarray((image * 0.3).astype(np.uint8))
    pen = ImageDraw.Draw(canvas)
    for number, name in enumerate(chosen):
        top = 4 + number * line
        pen.rectangle((0, top + line - 4, width * abs(numbers[name]) / widest, top + line - 3), fill=MARK)
        text = f"{numbers[name]:.3g}"
        pen.text((width - 4 - font(size).getlength(text), top), text, TEXT, font(size))
        pen.text((4, top), name, TEXT, font(size), stroke_width=1, stroke_fill=(0, 0, 0))
    return np.array(canvas)


def palette(schema: str) -> np.ndarray:
    """Colours (256,3) uint8 of a class schema; of an unknown one, colours that differ between neighbouring ids."""
    if schema in CLASS_SCHEMAS:
        return CLASS_SCHEMAS[schema].palette
    ids = np.arange(256)
    return np.stack([ids * 67 % 256, ids * 131 % 256, ids * 197 % 256], axis=-1).astype(np.uint8)


def class_name(schema: str, index: int) -> str:
    """The name of a class; its number where the schema is unknown or has no such class."""
    known = CLASS_SCHEMAS.get(schema)
    return known.classes[index] if known is not None and index < len(known) else str(index)


def draw_labels(label: np.ndarray, schema: str, over: np.ndarray | None = None, opacity: float = 0.6) -> np.ndarray:
    """A class map (H,W) uint8 in the colours of its schema.

    over: a picture of the same size to blend with; it shows through unchanged where the map says nothing (255).
    """
    return _over(palette(schema)[label], label != IGNORE if over is not None else None, over, opacity)


def draw_differences(a: np.ndarray, b: np.ndarray, over: np.ndarray) -> np.ndarray:
    """A grey picture with those pixels in red where two class maps (H,W) differ, 255 in either aside."""
    grey = (over.mean(axis=2, keepdims=True).repeat(3, axis=2) * 0.6).astype(np.uint8)
    return _over(np.broadcast_to(PREDICTION, over.shape), (a != b) & (a != IGNORE) & (b != IGNORE), grey, 0.7)


def depth_span(depth: np.ndarray, there: np.ndarray, cut: float = 0.0) -> tuple[float, float]:
    """Nearest and farthest depth where `there`, `cut` percent left out at either end; (0, 0) where there is none."""
    if not there.any():
        return 0.0, 0.0
    near, far = np.percentile(depth[there], (cut, 100 - cut))
    return float(near), float(far)


def draw_depth(
    depth: np.ndarray,
    there: np.ndarray,
    span: tuple[float, float],
    over: np.ndarray | None = None,
    opacity: float = 0.75,
) -> np.ndarray:
    """Depth (H,W) by the colour map viridis, near bright and far dark, black (or `over`) where not `there`.

    span: the depths of the two ends of the colour map, see `depth_span`.
    """
    near, far = span
    level = (far - np.where(there, depth, far)) / max(far - near, 1e-9)
    return _over(viridis(level), there, over, opacity)


def viridis(level: np.ndarray) -> np.ndarray:
    """The colours (...,3) uint8 of levels (...,) from 0, dark violet, to 1, bright yellow."""
    place = np.clip(level, 0, 1) * (len(_VIRIDIS) - 1)
    channels = [np.interp(place, np.arange(len(_VIRIDIS)), _VIRIDIS[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def draw_normals(normals: np.ndarray, over: np.ndarray | None = None, opacity: float = 0.75) -> np.ndarray:
    """Unit normals (H,W,3) as colours (n + 1) / 2; black (or `over`) where a normal is zero."""
    return _over(((np.clip(normals, -1, 1) + 1) * 127.5).astype(np.uint8), np.any(normals, axis=-1), over, opacity)


def draw_flow(flow: np.ndarray) -> tuple[np.ndarray, float]:
    """Flow (H,W,2) as colours: its direction as hue, its length as saturation; black where there is none. Also the
    length in pixels that is drawn at full strength."""
    there = np.isfinite(flow).all(-1)
    x, y = np.moveaxis(np.where(there[..., None], flow, 0), -1, 0)
    length = np.hypot(x, y)
    most = max(float(np.percentile(length[there], 99)), 1e-3) if there.any() else 0.0
    hue = ((np.arctan2(y, x) / (2 * np.pi)) % 1) * 255
    strength = np.clip(length / max(most, 1e-9), 0, 1) * 255
    planes = [Image.fromarray(plane.astype(np.uint8)) for plane in (hue, strength, np.where(there, 255, 0))]
    return np.array(Image.merge("HSV", planes).convert("RGB")), most


def _over(colours: np.ndarray, where: np.ndarray | None, over: np.ndarray | None, opacity: float) -> np.ndarray:
    """Colours blended into a picture, or put on black, where `where`."""
    mixed = colours if over is None else ((1 - opacity) * over + opacity * colours).astype(np.uint8)
    if where is None:
        return mixed
    return np.where(where[..., None], mixed, 0 if over is None else over).astype(np.uint8)


def fit(image: np.ndarray, side: int, smooth: bool = True) -> np.ndarray:
    """A picture scaled so that its longer side has `side` pixels; not smooth: maps keep hard edges when they grow."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    method = Image.Resampling.LANCZOS if smooth else Image.Resampling.BOX if factor < 1 else Image.Resampling.NEAREST
    return resize(image, max(1, round(width * factor)), max(1, round(height * factor)), method)


def resize(image: np.ndarray, width: int, height: int, method: int = Image.Resampling.LANCZOS) -> np.ndarray:
    """A picture at another size in pixels."""
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling(method)))


def stack(pictures: Sequence[np.ndarray], across: bool = False, gap: int = 0) -> np.ndarray:
    """Pictures one below the other, or side by side, with `gap` pixels between them."""
    axis, other = (1, 0) if across else (0, 1)
    size = [0, 0]
    size[axis] = sum(p.shape[axis] for p in pictures) + gap * (len(pictures) - 1)
    size[other] = max(p.shape[other] for p in pictures)
    sheet, at = _blank(size[1], size[0]), 0
    for picture in pictures:
        place = sheet if across else sheet.swapaxes(0, 1)
        source = picture if across else picture.swapaxes(0, 1)
        place[: source.shape[0], at : at + source.shape[1]] = source
        at += picture.shape[axis] + gap
    return sheet


def pad(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture in the upper left corner of a square of `side` pixels."""
    sheet = _blank(side, side)
    sheet[: picture.shape[0], : picture.shape[1]] = picture
    return sheet


def frame(picture: np.ndarray, gap: int, width: int = 0) -> np.ndarray:
    """A picture with `gap` pixels around it, in the middle of `width` pixels where it is narrower."""
    side = max(gap, (width - picture.shape[1]) // 2)
    sheet = _blank(max(width, picture.shape[1] + 2 * side), picture.shape[0] + 2 * gap)
    sheet[gap : gap + picture.shape[0], side : side + picture.shape[1]] = picture
    return sheet


def caption(text: str, width: int, size: int) -> np.ndarray:
    """A strip of text `width` pixels wide and one and a half lines high; size: of the letters in pixels."""
    strip = Image.fromarray(_blank(width, int(size * 1.5)))
    ImageDraw.Draw(strip).text((0, size // 4), text, TEXT, font(size))
    return np.array(strip)


def legend(entries: Sequence[tuple[Colour, str]], width: int, size: int, dots: bool = False) -> np.ndarray:
    """Rows of swatches (or dots) with their names, `width` pixels wide; size: of the letters in pixels."""
    line, x, y = int(size * 1.6), 0, 0
    places = []
    for colour, name in entries:
        step = int(font(size).getlength(name) + size * 2.2)
        if x and x + step > width:
            x, y = 0, y + line
        places.append((x, y, colour, name))
        x += step
    picture = Image.fromarray(_blank(width, y + line if entries else 0))
    pen = ImageDraw.Draw(picture)
    for x, y, colour, name in places:
        (pen.ellipse if dots else pen.rectangle)((x, y + 1, x + size, y + 1 + size), colour, outline=TEXT)
        pen.text((x + 1.3 * size, y), name, TEXT, font(size))
    return np.array(picture)


def class_legend(labels: Iterable[np.ndarray], schema: str, width: int, size: int) -> np.ndarray:
    """The legend of the classes that occur in class maps."""
    ids = sorted({int(i) for label in labels for i in np.unique(label)})
    colours = palette(schema)
    return legend([((*map(int, colours[i]),), class_name(schema, i)) for i in ids], width, size)  # type: ignore[misc]


def encoded(picture: np.ndarray | Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """A picture as the bytes of a file; options: Pillow's for that kind."""
    buffer = io.BytesIO()
    (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(buffer, kind, **options)
    return buffer.getvalue()


def marked(picture: np.ndarray) -> bytes:
    """A picture as a PNG that `written_here` knows again."""
    about = PngInfo()
    about.add_text("Software", SIGNATURE)
    return encoded(picture, "PNG", pnginfo=about)


def written_here(path: Path) -> bool:
    """Whether a picture or page says at its start that `synthforge show` wrote it."""
    with path.open("rb") as file:
        return SIGNATURE.encode() in file.read(1000)


@lru_cache(maxsize=8)
def font(size: int) -> Any:
    """Pillow's own font; size: pixels."""
    return ImageFont.load_default(size)


def _blank(width: int, height: int) -> np.ndarray:
    return np.array(Image.new("RGB", (width, height), BACKGROUND))
