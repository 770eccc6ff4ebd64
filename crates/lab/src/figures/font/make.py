"""Makes the fonts of the pictures: DejaVu Sans, its bold face and DejaVu Sans Mono, cut down to what figures need.

    pip install fonttools brotli
    python src/figures/font/make.py [folder of DejaVuSans.ttf, DejaVuSans-Bold.ttf, DejaVuSansMono.ttf]

Hints, kerning and ligatures go: widths of words are then sums of advances, in the program as in a browser. Characters
stay as they are drawn. The licence (LICENSE) allows it; the faces keep their names.
"""

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

HERE = Path(__file__).parent
SOURCE = Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/fonts/truetype/dejavu")


def span(text):
    """`20-7e a0` -> code points."""
    points = []
    for part in text.split():
        low, _, high = part.partition("-")
        points += range(int(low, 16), int(high or low, 16) + 1)
    return points


LATIN = span("20-7e a0-ff 131 141-142 152-153 160-161 178 17d-17e")
GREEK = span("391-3a1 3a3-3a9 3b1-3c9 3d1 3d5 3f5")
SIGNS = span("2010-2016 2018-201a 201c-201e 2020-2022 2026 2030 2032-2033 2039-203a 2044")
RAISED = span("2070-2071 2074-208e 2090-209c 1d40 1d48 1d4f-1d50 1d57 1d62-1d65 2c7c")
MATHS = span(
    "2102 2113 2115 211d 2124 2190-2195 2196-2199 21a6 21d0-21d4 2200-2203 2205-2209 220f 2211-2213 2215 2217-221a "
    "221d-221e 2225 2227-222b 2248 2254 2260-2265 226a-226b 2282-2287 2295-2299 22a4-22a5 22c5-22c6 2308-230b "
    "25a0-25a1 25b2-25b3 25b6 25bc 25c6-25c7 25cb 25cf 2713 2717 27e8-27e9 fffd"
)

FACES = [
    ("DejaVuSans.ttf", "sans", LATIN + GREEK + SIGNS + RAISED + MATHS),
    ("DejaVuSans-Bold.ttf", "bold", span("20-7e b1 b2-b3 b5 b7 b9 d7") + GREEK + span("2013-2014 2026 2070 2074-2089 2190-2193 2212")),
    ("DejaVuSansMono.ttf", "mono", span("20-7e a0 b1 b5 b7 d7 3b1-3c9 2026 2190-2193 2212 25cf")),
]

for source, name, points in FACES:
    font = TTFont(SOURCE / source, recalcTimestamp=False)
    options = subset.Options()
    options.hinting = False
    options.layout_features = []
    options.glyph_names = False
    options.notdef_outline = True
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.drop_tables += ["GPOS", "GSUB", "GDEF", "kern", "FFTM", "gasp"]
    cut = subset.Subsetter(options)
    cut.populate(unicodes=points)
    cut.subset(font)
    missing = [f"{p:x}" for p in points if p not in font.getBestCmap()]
    font.save(HERE / f"{name}.ttf")
    font.flavor = "woff2"
    font.save(HERE / f"{name}.woff2")
    sizes = [(HERE / f"{name}.{end}").stat().st_size for end in ("ttf", "woff2")]
    print(name, len(points) - len(missing), "characters,", *sizes, "bytes; not in the face:", *missing)
