"""What a path does to packets: rules, relays, rates, carrier, NAT."""

import fcntl
import os
import signal
import time

from host import Failure, need_tools

MARK = {"a": "0x7a01", "b": "0x7b01"}        # "take the detour through the relay"
TABLE = {"a": "7001", "b": "7002"}
COPY = "0xd0b1e"        # "this one was sent twice already"
ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", ".."))


def fresh():
    one = {"cut": False, "mtu": 0, "drop": 0, "corrupt": 0, "delay": 0, "jitter": 0,
           "reorder": 0, "by": 5, "duplicate": 0, "rate": 0, "queue": 100}
    return {"a": dict(one), "b": dict(one), "carrier": {"a": True, "b": True}}


def other(side):
    return "b" if side == "a" else "a"


def describe(want):
    """One direction in a person's words."""
    words = [w for w, on in (
        ("cut", want["cut"]), (f"drop {want['drop']}%", want["drop"]),
        (f"duplicate {want['duplicate']}%", want["duplicate"]),
        (f"corrupt {want['corrupt']}%", want["corrupt"]),
        (f"delay {want['delay']} ms +- {want['jitter']}", want["delay"]),
        (f"reorder {want['reorder']}% by {want['by']} ms", want["reorder"]),
        (f"rate {want['rate']} Mbit/s, queue {want['queue']} ms", want["rate"]),
        (f"mtu {want['mtu']}", want["mtu"])) if on]
    return ", ".join(words) or "clean"


def apply(lab, p):
    """Make path `p` do what the state says."""
    for d in "ab":
        if detour(lab, p, d):
            relay(lab, p, d)
    lab.run(["nft", "-f", "-"], ns=f"path-{p}", stdin=rules(lab, p))
    for d in "ab":
        rate(lab, p, d)


# ---- rules ----

def chance(share):
    return f"numgen random mod 1000000 < {round(share * 10000)}"


def detour(lab, p, d):
    want = lab.state["paths"][p][d]
    return want["delay"] > 0 or want["reorder"] > 0


def rules(lab, p):
    """
    The whole rule set of a path, put in place in one transaction.  Neighbour discovery stays out of it:
    a link whose neighbour is unknown is another fault than a path that loses packets.
    """
    relayed, wire, twice = [], [], ""
    for d in "ab":
        want = lab.state["paths"][p][d]
        came = f'iifname "to-{d}"'
        if detour(lab, p, d):
            relayed.append(f"{came} meta mark set {MARK[d]} notrack")
        if want["cut"]:
            wire.append(f"{came} counter drop")
        if want["mtu"]:
            wire.append(f"{came} meta length > {want['mtu']} counter drop")
        if want["drop"]:
            wire.append(f"{came} {chance(want['drop'])} counter drop")
        if want["corrupt"]:
            # Byte 48 behind the IP header is in the ciphertext of ESP in UDP and of IKE messages.
            wire.append(f"{came} {chance(want['corrupt'])} @th,384,32 set 0xdeadbeef counter")
        if want["duplicate"]:
            out = f"to-{other(d)}"
            twice += f"""table netdev lab {{
 chain out-{d} {{ type filter hook egress device "{out}" priority 0
  meta protocol {{ ip, ip6 }} meta mark != {COPY} {chance(want["duplicate"])} jump again-{d}
 }}
 chain again-{d} {{
  icmpv6 type {{ 133, 134, 135, 136, 137 }} accept
  meta mark set {COPY} dup to "{out}"
 }}
}}
"""
    nl = "\n  "
    return f"""
table inet lab
delete table inet lab
table netdev lab
delete table netdev lab
table inet lab {{
 chain relayed {{ type filter hook prerouting priority raw
  icmpv6 type {{ 133, 134, 135, 136, 137 }} accept
  ip6 daddr ff00::/8 accept
  ip daddr 224.0.0.0/4 accept
  {nl.join(relayed)}
 }}
 chain wire {{ type filter hook forward priority 0
  {nl.join(wire)}
 }}
}}
{twice}"""


# ---- relays ----

def relay_binary(lab):
    """build/plain/netns/relay, built if it is not there or older than its source."""
    binary = os.path.join(ROOT, "build/plain/netns/relay")
    source = os.path.join(ROOT, "tests/netns/relay.c")
    if not os.path.exists(binary) or os.path.getmtime(binary) < os.path.getmtime(source):
        need_tools("make", "gcc")
        os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
        with open(os.path.join(ROOT, "build/.lab-lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lab.run(["make", "-s", "-C", ROOT, "build/plain/netns/relay"])
    return binary


def routes(lab, p, d):
    """The detour's table: into the relay, or nowhere when it is not there (never past it)."""
    table = TABLE[d]
    lab.ip(f"path-{p}", [f"{six} route replace blackhole default metric 4000 table {table}"
                         for six in ("-4", "-6")])


def relay(lab, p, d):
    want = lab.state["paths"][p][d]
    what, dev = f"relay {p} {d}", f"relay-{d}"
    conf = os.path.join(lab.dir, f"relay-{p}-{d}.conf")
    with open(conf + ".new", "w") as f:
        f.write("delay %d jitter %d reorder %d by %d\n" % (
            want["delay"] * 1000, want["jitter"] * 1000, want["reorder"] * 10000,
            want["by"] * 1000))
    os.rename(conf + ".new", conf)
    proc = lab.process(what)
    if proc:
        os.kill(proc["pid"], signal.SIGHUP)
        return
    log = os.path.join(lab.dir, f"relay-{p}-{d}.log")
    lab.spawn(f"path-{p}", what, [relay_binary(lab), dev, conf], log)
    until = time.monotonic() + 5
    while lab.popen_wait(["ip", "-n", lab.ns(f"path-{p}"), "link", "show", dev]).returncode != 0:
        if time.monotonic() > until or not lab.process(what):
            with open(log) as f:
                raise Failure(f"the relay did not start: {f.read().strip() or 'it said nothing'}")
        time.sleep(0.01)
    lab.ip(f"path-{p}", [f"link set {dev} addrgenmode none",
                         f"link set {dev} mtu 65535 txqueuelen 5000 up",
                         f"-4 route replace default dev {dev} table {TABLE[d]}",
                         f"-6 route replace default dev {dev} metric 10 table {TABLE[d]}"])


# ---- rates and carrier ----

def rate(lab, p, d):
    """A token bucket on the way out; its queue holds `queue` milliseconds at that rate."""
    want = lab.state["paths"][p][d]
    dev, ns = f"to-{other(d)}", f"path-{p}"
    if not want["rate"]:
        if " tbf " in lab.run(["tc", "qdisc", "show", "dev", dev], ns=ns):
            lab.run(["tc", "qdisc", "del", "dev", dev, "root"], ns=ns)
        return
    # The bucket: 2 ms at full rate, but at least two full packets.
    burst = max(int(want["rate"] * 1e6 / 8 * 0.002), 3100)
    try:
        lab.run(["tc", "qdisc", "replace", "dev", dev, "root", "tbf", "rate", f"{want['rate']}mbit",
                 "burst", str(burst), "latency", f"{want['queue']}ms"], ns=ns)
    except Failure as e:
        if "kind is unknown" in str(e):
            raise Failure("no tbf in this kernel (module sch_tbf): load it or do without `rate`")
        raise


def carrier(lab, p, side, up):
    """The router's end goes down, so the gateway sees NO-CARRIER and keeps its addresses."""
    lab.ip(f"path-{p}", [f"link set to-{side} {'up' if up else 'down'}"])
    if up and lab.state["options"]["leaky"]:
        leak(lab, p, side)


def leak(lab, p, side):
    """Routes by which clear text would reach the LAN of `side`, were it ever sent."""
    import site_ab
    v4, v6 = site_ab.LAN[side]
    lab.ip(f"path-{p}", [
        f"-4 route replace {v4}.0/24 via {site_ab.outside(side, p)[0]}",
        f"-6 route replace {v6}:/64 via {site_ab.outside(side, p, 6)[0]}"])


# ---- NAT ----

def nat(lab, p):
    """
    A hidden side shares the router's address on the far link, its ports changed as a carrier's NAT
    does, and nobody from there reaches it first.  With both sides hidden each router forwards UDP 500
    and 4500 inward, as a person would have to: else nobody could begin.
    """
    import site_ab
    hidden = {"none": "", "a": "a", "b": "b", "both": "ab"}[lab.state["options"]["nat"]]
    if lab.state["options"]["leaky"]:
        for side in "ab":
            leak(lab, p, side)
    if not hidden:
        return
    post, pre, closed = [], [], []
    for side in hidden:
        far = other(side)
        came = f'iifname {{ "to-{far}", "relay-{far}" }}'
        goes = f'oifname "to-{far}"'
        post += [f"{goes} meta l4proto {{ tcp, udp }} masquerade to :20000-60000 random",
                 f"{goes} masquerade"]
        closed.append(f"{came} ct state new ct status ! dnat counter drop")
        if hidden == "ab":
            v4, v6 = site_ab.outside(side, p)[0], site_ab.outside(side, p, 6)[0]
            ike = f"udp dport {{ 500, 4500 }} fib daddr type local dnat"
            pre += [f"{came} meta nfproto ipv4 {ike} ip to {v4}",
                    f"{came} meta nfproto ipv6 {ike} ip6 to {v6}"]
    nl = "\n  "
    lab.run(["nft", "-f", "-"], ns=f"path-{p}", stdin=f"""
table inet labnat {{
 chain out {{ type nat hook postrouting priority srcnat
  {nl.join(post)}
 }}
 chain in {{ type nat hook prerouting priority dstnat
  {nl.join(pre)}
 }}
 chain closed {{ type filter hook forward priority 10
  {nl.join(closed)}
 }}
}}
""")
