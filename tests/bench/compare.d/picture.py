"""The result as a picture: bars, by hand in SVG, readable on a light and on a dark page."""

from result import figure
from show import NAMES, order, plain, short

# title, row, figure, how it reads
PANELS = (
    ("TCP, one stream, Gbit/s", "tcp1", "gbit", short),
    ("TCP, both directions at once, Gbit/s", "bidir", "gbit", short),
    ("UDP, 64-byte packets, thousands a second", "udp64", "pps", plain(0, 1e-3)),
    ("UDP, 1,400-byte packets, thousands a second", "udp1400", "pps", plain(0, 1e-3)),
    ("Processor time of both gateways, seconds for each GB (less is better)", "tcp1",
     "cpu_ns_byte", short),
)
WIDTH, LABEL, BAR, GAP, HEAD, EDGE = 780, 222, 18, 6, 34, 20
COLOURS = {"tandem": "#0b6e4f", "null": "#b7c9c2"}
OURS, THEIRS = "#5aa287", "#9aa3ad"
STYLE = ("<style>text{font:13px system-ui,sans-serif;fill:#222}"
         ".h{font-weight:600}.s{font-size:11px;fill:#555}</style>")


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def colour(contender):
    return COLOURS.get(contender) or (OURS if contender.startswith("tandem") else THEIRS)


def panel(middle, y, spec):
    """One block of bars from `y` down: (lines of SVG, height); nothing where nothing was measured."""
    title, row, key, text = spec
    bars = [(c, figure(middle, c, row, key)) for c in order(middle) if c != "none"]
    bars = [(c, v) for c, v in bars if v]
    if len(bars) < 2:
        return [], 0
    most, room = max(v for _, v in bars), WIDTH - LABEL - EDGE - 70
    lines = [f'<text class="h" x="{EDGE}" y="{y + 20}">{escape(title)}</text>']
    at = y + HEAD
    for contender, value in bars:
        length = max(1.0, value / most * room)
        lines += [f'<text x="{LABEL - 8}" y="{at + 13}" text-anchor="end">'
                  f'{escape(NAMES[contender])}</text>',
                  f'<rect x="{LABEL}" y="{at}" width="{length:.1f}" height="{BAR}" rx="2" '
                  f'fill="{colour(contender)}"/>',
                  f'<text x="{LABEL + length + 6:.1f}" y="{at + 13}">{text(value)}</text>']
        at += BAR + GAP
    return lines, at - y + 10


def svg(result, note):
    """The whole picture; None where there is nothing to draw."""
    lines, y = [], 8
    for spec in PANELS:
        block, height = panel(result["medians"], y, spec)
        lines += block
        y += height
    if not lines:
        return None
    words, rows = note.split(" "), [""]
    for word in words:
        if len(rows[-1]) + len(word) > 120:
            rows.append("")
        rows[-1] += word + " "
    for line in rows:
        y += 15
        lines.append(f'<text class="s" x="{EDGE}" y="{y}">{escape(line.strip())}</text>')
    height = y + 14
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
                      f'viewBox="0 0 {WIDTH} {height}" role="img">',
                      "<title>Tandem beside other VPNs in userspace</title>", STYLE,
                      f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff"/>', *lines,
                      "</svg>", ""])
