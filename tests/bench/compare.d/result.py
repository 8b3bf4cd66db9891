"""From cells to a verdict: medians, spreads, ratios and goals.  Plain dicts in, plain dicts out."""

import statistics
import typing

US = "tandem"
WIREGUARD = ("wireguard-go-13", "wireguard-go-12", "wireguard-go")



class Goal(typing.NamedTuple):
    row: str
    figure: str
    against: str | None
    sense: str                  # ">=": at least `bound`, "<=": at most
    bound: float
    ours: str = US
    kind: str = "ratio"         # of ours to theirs; "more": than theirs; "value": ours alone


GOALS = tuple(Goal(*words) for words in (
    ("tcp1", "gbit", "wireguard-go-13", ">=", 6),
    ("tcp1", "gbit", "wireguard-go-12", ">=", 12),
    ("tcp1", "gbit", "strongswan", ">=", 30),
    ("tcp1", "gbit", "null", ">=", 0.76),
    ("tcp1", "cpu_ns_byte", "null", "<=", 1.45),
    ("tcp1", "cpu_ns_byte", "wireguard-go-13", "<=", 1 / 7),
    ("tcp4", "gbit", "wireguard-go-13", ">=", 6),
    ("tcp4", "gbit", "null", ">=", 0.72),
    ("bidir", "gbit", "wireguard-go-13", ">=", 6.5),
    ("udp64", "pps", "the better wireguard-go", ">=", 3.5),
    ("udp1400", "pps", "the better wireguard-go", ">=", 6),
    ("ping", "rtt_us", "null", "<=", 60, US, "more"),
    ("idle", "cpu_percent", None, "<=", 0.5, "tandem-100", "value"),
    ("tcp1", "gbit", US, ">=", 0.97, "tandem-1000"),
    ("tcp1", "cpu_ns_byte", US, "<=", 1.03, "tandem-1000"),
    ("udp1400", "pps", US, ">=", 0.97, "tandem-1000"),
    ("udp1400", "cpu_ns_packet", US, "<=", 1.03, "tandem-1000"),
))
# Where the load generator was the limit, this decides instead, by the goal's inverse.
INSTEAD = {"pps": "cpu_ns_packet"}


def numbers(cell):
    return {k: v for k, v in cell.items() if isinstance(v, (int, float)) and not isinstance(v, bool)
            and k not in ("at", "round")}


def medians(cells):
    """{contender: {row: {figure: median over the rounds that gave one}}}, and {"spread"} likewise."""
    groups, middle, spread = {}, {}, {}
    for cell in cells:
        if cell["ok"]:
            groups.setdefault((cell["contender"], cell["row"]), []).append(cell)
    for (contender, row), group in groups.items():
        figures = {}
        for cell in group:
            for key, value in numbers(cell).items():
                figures.setdefault(key, []).append(value)
        middle.setdefault(contender, {})[row] = {k: statistics.median(v) for k, v in figures.items()}
        spread.setdefault(contender, {})[row] = {k: [min(v), max(v), len(v)]
                                                 for k, v in figures.items()}
        flags = [cell["source_is_limit"] for cell in group if "source_is_limit" in cell]
        if flags:
            middle[contender][row]["source_is_limit"] = 2 * sum(flags) > len(flags)
    return middle, spread


def figure(middle, contender, row, key):
    return middle.get(contender, {}).get(row, {}).get(key)


def better_wireguard(middle, row, key):
    """Which of those measured has most packets."""
    return max((w for w in WIREGUARD if figure(middle, w, row, key)),
               key=lambda w: figure(middle, w, row, key), default=None)


def ratio(ours, theirs):
    return ours / theirs if ours is not None and theirs else None


def ratios(middle, main):
    """{row: {contender: our main figure divided by theirs}}."""
    table = {}
    for row, key in main.items():
        ours = figure(middle, US, row, key)
        for contender in middle:
            value = ratio(ours, figure(middle, contender, row, key))
            if value is not None and contender != US:
                table.setdefault(row, {})[contender] = value
    return table


def judged(middle, ours, whom, row, key, kind):
    """The value that a goal is about; None where one side has no figure."""
    mine = figure(middle, ours, row, key)
    if kind == "value":
        return mine
    theirs = figure(middle, whom, row, key)
    if kind == "more":
        return mine - theirs if mine is not None and theirs is not None else None
    return ratio(mine, theirs)


def one_goal(middle, goal):
    row, key, against, sense, bound, ours, kind = goal
    best = against is not None and against.startswith("the better")
    whom = better_wireguard(middle, row, key) if best else against
    if kind == "ratio" and key in INSTEAD and figure(middle, ours, row, "source_is_limit"):
        key, sense, bound = INSTEAD[key], "<=", 1 / bound
    value = judged(middle, ours, whom, row, key, kind)
    if value is None:
        return None
    met = value >= bound if sense == ">=" else value <= bound
    return {"row": row, "figure": key, "ours": ours, "against": whom, "kind": kind, "value": value,
            "sense": sense, "goal": bound, "met": met}


def goals(middle):
    """Those goals of which both sides were measured."""
    found = [one_goal(middle, g) for g in GOALS]
    return [g for g in found if g]


def failures(cells):
    """{(contender, row): [sentences]} of cells without figures."""
    table = {}
    for cell in cells:
        if not cell["ok"]:
            table.setdefault((cell["contender"], cell["row"]), []).append(cell["why"])
    return table
