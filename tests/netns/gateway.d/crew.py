"""Several workers: connections on workers of their own, and what moves between sockets."""

import lib
from sites import OUTSIDE, connection, yaml


def more_lan(lab):
    """A second network behind either gateway, for the second connection."""
    for side, net, far in (("a", "10.1.1", "10.2.1"), ("b", "10.2.1", "10.1.1")):
        lab.run(f"gw-{side}", "ip", "addr", "add", f"{net}.1/24", "dev", "lan")
        lab.run(f"lan-{side}", "ip", "addr", "add", f"{net}.2/24", "dev", "eth0")
        lab.run(f"lan-{side}", "ip", "route", "add", f"{far}.0/24", "via", f"{net}.1", "src", f"{net}.2")


def homes(site):
    return [c["worker"] for c in site.status()["connections"]]


def spi_homes(site):
    """The worker of each inbound SPI, connection by connection."""
    n = site.status()["workers"]
    return [sorted({int(t["spi_in"], 16) % n for t in c["tunnels"]})
            for c in site.status()["connections"]]


def crowd(t):
    """Two connections on two of three workers: rekeys and a failover under load on both."""
    lab = t.lab()
    more_lan(lab)
    text = {s: yaml({"workers": 3, "connections": {
        f"to-{'b' if s == 'a' else 'a'}": connection(s, hold="1s"),
        "more": connection(s, number=1, hold="1s")}}, 0) for s in "ab"}
    a, b = (t.site(lab, s, text[s]).start() for s in "ab")
    t.wait_well(a, b)
    t.check(a.status()["workers"] == 3, "three workers", a.status()["workers"])
    t.check(homes(a) == [0, 1], "each connection has a worker of its own", homes(a))
    lab.stream_server("lan-b")
    loads = [lab.stream("lan-a", "udp", to, rate=1000, time=6) for to in ("10.2.0.2", "10.2.1.2")]
    for _ in range(6):
        for name in ("to-b", "more"):
            a.command("rekey", name)
            a.command("rekey", name, "--ike")
        lib.wait_for("the rekeys to be over", a.well, 5, 0.05)
        t.check(spi_homes(a) == [[0], [1]], "a rekey stays with the worker", spi_homes(a))
    for name in ("to-b", "more"):
        a.command("failover", name)
    t.eventually("traffic moves", lambda: a.live("more") == [2] and a.live("to-b") == [2], 3)
    for load, name in zip(loads, ("first", "second")):
        r = lib.stream_result(load)
        for way in ("out", "back"):
            t.check(r[way]["lost"] == 0 and r[way]["reordered"] == 0,
                    f"{name} connection, {way}: nothing lost, nothing out of order",
                    f"{r[way]['sent']} sent, {r[way]['lost']} lost, {r[way]['reordered']} late")
    drops = {**a.status()["drops"], **b.status()["drops"]}
    t.check(not any(k in drops for k in ("in-no-sa", "in-replay", "in-no-buffer")), "no drop of the data plane",
            drops)
    restart(t, lab, a, b, text)


def restart(t, lab, a, b, text):
    """Another number of workers after a restart of one side; then its engine dies."""
    a.stop()
    a.configure(text["a"].replace("workers: '3'", "workers: '2'"))
    a.start()
    t.eventually("with two workers all is well again", lambda: a.well() and b.well(), 30)
    t.check(a.status()["workers"] == 2, "two workers", a.status()["workers"])
    a.configure(text["a"].replace("workers: '3'", "workers: '4'"))
    dead = a.kill_engine()
    t.eventually("an engine with four takes over: the sockets are new ones",
                 lambda: a.engine() not in (None, dead) and a.answers() and
                 a.status()["workers"] == 4 and a.well() and b.well(), 30)
    t.pings("the first connection carries", lab)
    t.pings("the second too", lab, "10.2.1.2")


def share(t):
    """One SA by two workers, as the peer has one: order within each flow, rekeys, failover."""
    lab = t.lab()
    text = {s: yaml({"workers": 2, "connections": {
        f"to-{'b' if s == 'a' else 'a'}": connection(s, hold="1s", **({"workers": 2} if s == "a" else {}))}}, 0)
        for s in "ab"}
    a, b = (t.site(lab, s, text[s]).start() for s in "ab")
    t.wait_well(a, b)
    t.eventually("the peer is Tandem, its window is wide: two workers share it",
                 lambda: a.conn()["workers"] == 2 and b.conn()["workers"] == 1, 3)
    lab.stream_server("lan-b")
    loads = [lab.stream("lan-a", "udp", "10.2.0.2", rate=500, time=6) for _ in range(8)]
    tcp = lab.stream("lan-a", "tcp", "10.2.0.2", connections=20, every=20, time=6)
    for _ in range(5):
        a.command("rekey", "to-b")
        b.command("rekey", "to-a")
        lib.wait_for("the rekeys to be over", lambda: a.well() and b.well(), 5, 0.05)
    a.command("failover", "to-b")
    results = [lib.stream_result(load) for load in loads]
    ways = [r[way] for r in results for way in ("out", "back")]
    t.check(not any(w["lost"] or w["reordered"] for w in ways), "eight flows: nothing lost, nothing out of order",
            [(w["sent"], w["lost"], w["reordered"]) for w in ways])
    t.check(lib.stream_result(tcp)["resets"] == 0, "no TCP connection is lost")
    t.check(min(busy(a)) > 2000, "both workers had their part", busy(a))
    t.check(all(len(x["sas"]) == 2 for x in a.conn()["tunnels"]), "by one Child SA",
            [x["sas"] for x in a.conn()["tunnels"]])
    drops = {**a.status()["drops"], **b.status()["drops"]}
    t.check("in-replay" not in drops and "in-no-sa" not in drops, "no drop for it", drops)
    narrow = text["a"].replace("workers: '2'\n    tunnels", "workers: '2'\n    peer-window: '64'\n    tunnels")
    a.configure(narrow)
    a.command("reload")
    t.eventually("a peer with a small window: one worker", lambda: a.conn()["workers"] == 1, 3)
    before = busy(a)
    t.check(lib.stream_result(lab.stream("lan-a", "udp", "10.2.0.2", rate=500, time=1))["out"]["lost"] == 0,
            "and nothing is lost")
    after = busy(a)
    t.check(sum(x == y for x, y in zip(before, after)) == 1, "the other one rests", (before, after))
    a.kill_engine()
    t.eventually("a new engine takes the queues over", lambda: a.engine() is not None and a.answers() and
                 a.well() and b.well(), 10)
    t.pings("traffic flows", lab)


def sent_by(site):
    """Packets out of the live tunnel by resource, of the Child SAs that are there now."""
    tunnel = site.tunnel(site.live()[0])
    count = {}
    for sa in tunnel["sas"]:
        count.setdefault(sa["direction"], {}).setdefault(sa["resource"], 0)
        count[sa["direction"]][sa["resource"]] += sa["packets"]
    return count


def settled(site):
    """Each tunnel has one Child SA for each of two workers, no more."""
    return all(sorted(sa["resource"] for sa in t["sas"] if sa["direction"] == way) == [0, 1]
               for t in site.conn()["tunnels"] for way in ("in", "out"))


def each(t):
    """Small replay windows: each worker has a Child SA of its own to the peer (RFC 9611)."""
    lab = t.lab()
    keys = {"workers": 2, "replay-window": 64, "peer-window": 64, "hold": "1s"}
    text = {s: yaml({"workers": 2, "connections": {
        f"to-{'b' if s == 'a' else 'a'}": connection(s, **keys)}}, 0) for s in "ab"}
    a, b = (t.site(lab, s, text[s]).start() for s in "ab")
    t.wait_well(a, b)
    t.eventually("one for each worker of either side: both take part",
                 lambda: a.conn()["workers"] == b.conn()["workers"] == 2 and settled(a) and settled(b), 8,
                 lambda: [x["sas"] for x in a.conn()["tunnels"]])
    t.check(all(int(sa["spi"], 16) % 2 == (a.conn()["worker"] + sa["resource"]) % 2
                for x in a.conn()["tunnels"] for sa in x["sas"] if sa["direction"] == "in"),
            "an inbound SPI names the worker of its resource")
    lab.stream_server("lan-b")
    loads = [lab.stream("lan-a", "udp", "10.2.0.2", rate=1000, time=8) for _ in range(8)]
    tcp = lab.stream("lan-a", "tcp", "10.2.0.2", connections=20, every=20, time=8)
    for _ in range(4):
        before = {sa["spi"] for x in a.conn()["tunnels"] for sa in x["sas"]}
        a.command("rekey", "to-b")
        b.command("rekey", "to-a")
        lib.wait_for("the rekeys to be over", lambda: a.well() and settled(a) and settled(b) and
                     not before & {sa["spi"] for x in a.conn()["tunnels"] for sa in x["sas"]}, 8, 0.05)
    a.command("rekey", "to-b", "--ike")
    # The newest of them are some milliseconds old, and one flow may be all that a worker has.
    t.eventually("all Child SAs of the live tunnel carry, both ways",
                 lambda: all(min(c[way].values()) > 0 and len(c[way]) == 2 for c in map(sent_by, (a, b))
                             for way in ("in", "out")), 2, lambda: [sent_by(site) for site in (a, b)])
    a.command("failover", "to-b")
    t.eventually("traffic moves", lambda: a.live() == [2], 3)
    results = [lib.stream_result(load) for load in loads]
    ways = [r[way] for r in results for way in ("out", "back")]
    t.check(not any(w["lost"] or w["reordered"] for w in ways), "eight flows: nothing lost, nothing out of order",
            [(w["sent"], w["lost"], w["reordered"]) for w in ways])
    t.check(lib.stream_result(tcp)["resets"] == 0, "no TCP connection is lost")
    t.check(min(busy(a)) > 2000 and min(busy(b)) > 2000, "both workers of either side had their part",
            (busy(a), busy(b)))
    drops = {**a.status()["drops"], **b.status()["drops"]}
    t.check("in-replay" not in drops and "in-no-sa" not in drops, "no drop for it", drops)
    t.check(a.conn()["workers"] == b.conn()["workers"] == 2, "both still take part")
    a.kill_engine()
    t.eventually("a new engine has them again", lambda: a.engine() is not None and a.answers() and
                 a.well() and b.well() and settled(a) and settled(b) and a.conn()["workers"] == 2, 20)
    t.pings("traffic flows", lab)


def busy(site):
    """Packets that each worker took from devices."""
    return [w["out"] for w in site.status()["by_worker"]]


TRAIN = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(17, 103, 100)                      # UDP_SEGMENT
words = [int(w) for w in sys.argv[2:]]
s.sendto(b"".join(struct.pack(">I", w) + bytes([1]) * 96 for w in words), (sys.argv[1], 4500))
"""


def strays(t):
    """Trains of a stranger that mix: each datagram comes to its worker by way of control."""
    lab = t.lab()
    a = t.site(lab, "a", yaml({"workers": 3, "connections": {"to-b": connection("a", mode="add")}}, 0)).start()
    # By loopback, where trains stay whole.  The workers of 1000, 1001, 1002 are 1, 2, 0.
    for words, want in (([0, 1000, 1001, 1002, 1002, 0], [2, 1, 1]), ([1001, 0, 1000, 1002, 1001], [3, 2, 3])):
        lab.run("gw-a", "python3", "-c", TRAIN, OUTSIDE["a"][0], *map(str, words))
        t.eventually(f"{words}: each worker had its own",
                     lambda: [w["in"] for w in a.status()["by_worker"]] == want, 3,
                     lambda: [w["in"] for w in a.status()["by_worker"]])
    t.check(a.status()["drops"].get("in-no-sa") == 8, "eight of no SA", a.status()["drops"])
    t.check(a.status()["ike"]["datagrams_in"] == 3, "three for IKE", a.status()["ike"])


CASES = {"workers": crowd, "shared": share, "each": each, "strays": strays}
