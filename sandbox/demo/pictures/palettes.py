"""Palettes of colors for the demo's pictures."""

from typing import NamedTuple

from sandbox.demo.pictures.canvas import Color


class Palette(NamedTuple):
    """Five colors from dark to light, and one that stands out."""

    dark: Color
    deep: Color
    middle: Color
    bright: Color
    pale: Color
    accent: Color


PALETTES = {
    name: Palette(*(tuple(bytes.fromhex(code)) for code in codes.split()))
    for name, codes in {
        "ember": "1a0b1e 5c1339 c23b36 f28d42 ffe3b8 3fb6b2",
        "dusk": "15122e 3d2b6d 8d4b9d f17a8c ffd9b8 ffb347",
        "lagoon": "06202b 0b5563 1d9a8f 8ddcb4 f4f3d7 ff8a5b",
        "neon": "0c0a24 35109a 7a12c0 f72c87 ffd6ec 4cd2f0",
        "meadow": "11281f 2b5f41 79a95c f2c451 fff3d6 e8663d",
        "sea": "081a33 14487a 2b8cc4 8fd3e8 fdf6e3 ff7657",
        "rose": "2a0f1c 7c1f3f d8486a f7a69b fdf0e6 2f6f8f",
        "citrus": "2e1708 a3430f f08a24 ffcb4a fff4cf 1c7c8c",
        "clay": "2b1612 7d3c27 c8744c e9b884 f9ecd9 2f7f79",
        "aurora": "06121f 113a4c 1d8a78 7be5a0 dcfae9 c084fc",
        "berry": "1d0d2b 4b1a63 9b2f86 e86aa6 ffe3ea f9c74f",
        "sky": "10264a 2f5fb3 5fa3e6 b9dcf7 fffaf0 ffb02e",
        "plum": "190f24 43265c 7d4f9e c9a4df f7effa f2784b",
        "ice": "0d1b2a 274060 5b8db8 b8d8e8 f7fbff e4576f",
    }.items()
}
