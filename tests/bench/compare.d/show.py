"""The result for people: tables as text and as Markdown, and putting the latter into the README."""

import os

import lib
from result import US, figure

BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"

NAMES = {"none": "no VPN, kernel routing", "null": "Tandem, null cipher (ceiling)",
         "tandem": "Tandem, AES-256-GCM", "tandem-aes128": "Tandem, AES-128-GCM",
         "tandem-chacha": "Tandem, ChaCha20-Poly1305",
         "tandem-workers": "Tandem, two workers",
         "tandem-100": "Tandem, 100 tunnels", "tandem-1000": "Tandem, 1,000 idle tunnels",
         "wireguard-go-13": "wireguard-go, Debian 13", "wireguard-go-12": "wireguard-go, Debian 12",
         "wireguard-go": "wireguard-go", "strongswan": "strongSwan kernel-libipsec",
         "openvpn": "OpenVPN 2.6"}


def plain(digits, scale=1.0):
    def text(value):
        return f"{value * scale:,.{digits}f}"
    return text


def short(value):
    """Three digits that matter."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


# heading, row, figure, how it reads
COLUMNS = (
    ("TCP 1, Gbit/s", "tcp1", "gbit", short),
    ("TCP 4", "tcp4", "gbit", short),
    ("both ways", "bidir", "gbit", short),
    ("UDP 64 B, kpps", "udp64", "pps", plain(0, 1e-3)),
    ("512 B", "udp512", "pps", plain(0, 1e-3)),
    ("1400 B", "udp1400", "pps", plain(0, 1e-3)),
    ("GSO 1350 B", "gso1350", "pps", plain(0, 1e-3)),
    ("CPU s/GB out", "tcp1", "cpu_out_ns_byte", short),
    ("in", "tcp1", "cpu_in_ns_byte", short),
    ("ping, us", "ping", "rtt_us", plain(0)),
    ("RSS, MB", "memory", "rss_kb", plain(0, 1e-3)),
    ("idle, % of a core", "idle", "cpu_percent", plain(2)),
)


def order(middle):
    return [c for c in NAMES if c in middle]


def columns(middle):
    return [c for c in COLUMNS if any(c[1] in rows for rows in middle.values())]


def grid(middle):
    """Rows of words, the heading first."""
    chosen = columns(middle)
    lines = [[""] + [heading for heading, *_ in chosen]]
    for contender in order(middle):
        line = [NAMES[contender]]
        for _, row, key, text in chosen:
            value = figure(middle, contender, row, key)
            line.append("-" if value is None else text(value))
        lines.append(line)
    return lines


def ratio_grid(ratios, middle):
    chosen = [(h, row) for h, row, key, _ in COLUMNS if row in ratios
              and not key.startswith("cpu")]
    lines = [["Tandem divided by"] + [heading.split(",")[0] for heading, _ in chosen] + ["CPU/byte"]]
    ours = figure(middle, US, "tcp1", "cpu_ns_byte")
    for contender in order(middle):
        if contender == US or not any(contender in r for r in ratios.values()):
            continue
        cells = [ratios[row].get(contender) for _, row in chosen]
        theirs = figure(middle, contender, "tcp1", "cpu_ns_byte")
        cells.append(ours / theirs if ours and theirs else None)
        lines.append([NAMES[contender]] + ["-" if v is None else f"{v:.2f}" for v in cells])
    return lines


def text_table(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join([line[0].ljust(widths[0])] +
                               [w.rjust(n) for w, n in zip(line[1:], widths[1:])]).rstrip()
                     for line in lines)


def markdown_table(lines):
    head = "| " + " | ".join(lines[0]) + " |"
    rule = "|---|" + "---:|" * (len(lines[0]) - 1)
    return "\n".join([head, rule] + ["| " + " | ".join(line) + " |" for line in lines[1:]])


def goal_line(goal):
    sense, bound, kind = goal["sense"], goal["goal"], goal.get("kind", "ratio")
    value = goal["value"] if "value" in goal else goal["ratio"]
    wanted = f"1/{1 / bound:.3g}" if bound < 0.5 and kind == "ratio" else f"{bound:g}"
    who = f" of {goal['ours']}" if goal.get("ours", US) != US else ""
    words = {"ratio": f" against {goal['against']}", "more": f" above {goal['against']}", "value": ""}
    return (f"{'met   ' if goal['met'] else 'MISSED'} {goal['row']} {goal['figure']}{who}{words[kind]}: "
            f"{value:.2f}, goal {sense} {wanted}")


def conditions(result):
    e = result["environment"]
    return (f"{e['cpu']}, {e['processors']} processors, Linux {e['kernel']}; medians of "
            f"{result['rounds']} interleaved rounds of {result['seconds']:g} s; both gateways and both "
            f"hosts on it, veth with MTU 1500; {e['date']}")


def text(result):
    middle = result["medians"]
    parts = [text_table(grid(middle))]
    if result["ratios"]:
        parts.append(text_table(ratio_grid(result["ratios"], middle)))
    if result["goals"]:
        parts.append("\n".join(goal_line(g) for g in result["goals"]))
    parts += [f"skipped: {name}: {c['skipped']}" for name, c in result["contenders"].items()
              if c.get("skipped")]
    parts += [f"no figure: {f['contender']} {f['row']}, {f['times']} of {result['rounds']}: {f['why']}"
              for f in result["failures"]]
    if result["contenders"]:
        parts.append(conditions(result))
    return "\n\n".join(parts)


def markdown(result):
    skipped = [NAMES[name] for name, c in result["contenders"].items() if c.get("skipped")]
    lines = [BEGIN, markdown_table(grid(result["medians"])), "", conditions(result) + "."]
    if skipped:
        lines.append(f"Not measured in this run: {', '.join(skipped)}.")
    return "\n".join(lines + [END])


def whole(file, content):
    """Write a file whole or not at all."""
    with open(file + ".new", "w") as f:
        f.write(content)
    os.rename(file + ".new", file)


def into_readme(file, result):
    """Put the table between the markers of `file`; a file without them is left alone."""
    try:
        with open(file) as f:
            old = f.read()
    except OSError as e:
        raise lib.Trouble(f"{file}: {e.strerror}")
    before, found, rest = old.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise lib.Trouble(f"{file} has no lines `{BEGIN}` and `{END}`: put them where the table goes")
    whole(file, before + markdown(result) + after)
