"""The picture of a comparison: a bar a class, to the right where the second result is better. Pillow alone draws it."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from relact.errors import InputError
from relact.interop.files import atomic_path
from relact.metrics.compare import Comparison, Difference

WIDTH, ROW, MARGIN, NAMES, VALUES = 1120, 26, 28, 330, 190
BETTER, WORSE = (0, 158, 115), (213, 94, 0)  # Okabe and Ito: apart for the colour-blind
INK, FAINT, LINE, PAPER, ALARM = (28, 30, 34), (110, 114, 120), (222, 224, 228), (255, 255, 255), (176, 32, 32)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw(comparison: Comparison, path: str | Path, *, most: int = 60) -> None:
    """Writes a PNG of the `most` classes that differ most. Raises InputError where no class is in both results."""
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{path}: the plot is a picture; expected a name ending in .png")
    rows = [entry for entry in comparison.classes if entry.gain is not None][:most]
    if not rows:
        raise InputError("nothing to draw: no class has ground truth in both results")
    rows.sort(key=lambda entry: -(entry.gain or 0.0))
    title, text, small = _fonts()
    head = _heading(comparison, len(rows))
    top = MARGIN + 40 + 22 * len(head) + 24
    image = Image.new("RGB", (WIDTH, top + ROW * len(rows) + MARGIN + 30), PAPER)
    pen = ImageDraw.Draw(image)
    pen.text((MARGIN, MARGIN), f"{comparison.measure}: B - A by class", font=title, fill=INK)
    for k, (words, colour) in enumerate(head):
        pen.text((MARGIN, MARGIN + 40 + 22 * k), _cut(pen, words, text, WIDTH - 2 * MARGIN), font=text, fill=colour)
    _bars(pen, rows, top, text, small)
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")


def _fonts() -> tuple[Font, Font, Font]:
    return ImageFont.load_default(24), ImageFont.load_default(15), ImageFont.load_default(12)


def _heading(comparison: Comparison, shown: int) -> list[tuple[str, tuple[int, int, int]]]:
    lines = [(f"A  {comparison.a}", FAINT), (f"B  {comparison.b}", FAINT)]
    lines += [
        (f"{mean.name}  {_value(mean.a)} -> {_value(mean.b)}  ({_gain(mean.gain)})", INK) for mean in comparison.means
    ]
    lines += [
        (f"PROTOCOLS DIFFER in {name}: {ours} against {theirs}", ALARM)
        for name, (ours, theirs) in comparison.protocol.items()
    ]
    known = sum(entry.gain is not None for entry in comparison.classes)
    if known > shown:
        lines.append((f"the {shown} of {known} classes that differ most", FAINT))
    return lines


def _bars(pen: ImageDraw.ImageDraw, rows: list[Difference], top: int, text: Font, small: Font) -> None:
    left, right = MARGIN + NAMES, WIDTH - MARGIN - VALUES
    gains = [entry.gain or 0.0 for entry in rows]
    low, high = min(0.0, *gains, -1e-9), max(0.0, *gains, 1e-9)
    scale = (right - left) / (high - low)
    zero = round(left - low * scale)
    bottom = top + ROW * len(rows)
    for mark in _marks(low, high):
        x = round(zero + mark * scale)
        pen.line([(x, top), (x, bottom)], fill=LINE)
        pen.text((x, bottom + 6), f"{mark:+.3g}" if mark else "0", font=small, fill=FAINT, anchor="ma")
    for k, (entry, gain) in enumerate(zip(rows, gains, strict=True)):
        middle = top + ROW * k + ROW // 2
        name = _cut(pen, entry.name, text, NAMES - 14)
        pen.text((left - 12, middle), name, font=text, fill=INK, anchor="rm")
        end = round(zero + gain * scale)
        low_x, high_x = sorted((zero, end))
        pen.rectangle([low_x, middle - 8, max(high_x, low_x + 1), middle + 8], fill=BETTER if gain >= 0 else WORSE)
        values = f"{_value(entry.a)} -> {_value(entry.b)}  {_gain(gain)}"
        pen.text((right + 14, middle), values, font=small, fill=FAINT, anchor="lm")
    pen.line([(zero, top), (zero, bottom)], fill=INK)


def _marks(low: float, high: float) -> list[float]:
    """Round values from low to high, some five of them."""
    wanted = (high - low) / 5
    power = 10.0 ** len(str(int(1 / wanted))) if wanted < 1 else 1.0
    step = next((n / power for n in (1, 2, 5, 10, 20, 50) if n / power >= wanted), wanted)
    first, last = -int(-low / step + 1e-9), int(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)]


def _cut(pen: ImageDraw.ImageDraw, words: str, font: Font, width: int) -> str:
    if pen.textlength(words, font=font) <= width:
        return words
    while len(words) > 1 and pen.textlength(words + " …", font=font) > width:
        words = words[:-1]
    return words + " …"


def _value(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _gain(gain: float | None) -> str:
    return "none" if gain is None else f"{gain:+.4f}"
