"""Colours of people: stable for an id, apart for the colour-blind, and never at an end."""

import colorsys
import functools

Colour = tuple[int, int, int]

OKABE_ITO: tuple[Colour, ...] = (
    (86, 180, 233),  # sky blue
    (230, 159, 0),  # orange
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (213, 94, 0),  # vermillion
    (204, 121, 167),  # reddish purple
    (0, 114, 178),  # blue
)
"""Okabe and Ito, "Color Universal Design" (2008), without black, which drowns in dark pictures."""

_GOLDEN = 0.618033988749895
_TONES = ((0.95, 0.55), (0.80, 0.85), (1.00, 0.35), (0.65, 0.60))  # (value, saturation)


@functools.lru_cache(maxsize=4096)
def colour(person: int) -> Colour:
    """The colour of a person's id (from 1): seven chosen, then hues by the golden ratio in four tones."""
    if 1 <= person <= len(OKABE_ITO):
        return OKABE_ITO[person - 1]
    value, saturation = _TONES[person % len(_TONES)]
    red, green, blue = colorsys.hsv_to_rgb(person * _GOLDEN % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def ink(background: Colour) -> Colour:
    """Black or white, whichever reads better on a colour (WCAG relative luminance)."""
    linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)
