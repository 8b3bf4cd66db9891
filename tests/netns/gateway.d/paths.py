"""What lies between and below the tunnels: late addresses and peers, NAT, IPv6, MTU, bad paths."""

import time

import lib
from sites import OUTSIDE, ROUTER, balance, config, connection, yaml

LAN_B, LAN_B6 = "10.2.0.2", "fd00:b::2"


def modes(t):
    """Who opens: add waits, up opens by hand; a late peer is reached by retry."""
    lab = t.lab()
    a = t.site(lab, "a", mode="add", hold="1s").start()
    b = t.site(lab, "b", mode="add", hold="1s").start()
    t.stays("mode: add at both ends: nobody opens", lambda: a.up() == b.up() == [], 1)
    t.check(a.command("status")[0] == 4, "status: exit code 4")
    a.ask("up", target="to-b")
    t.eventually("up opens it by hand", lambda: a.well() and b.well(), 5)
    a.configure(config("a", mode="start", hold="1s"))
    a.ask("reload")
    b.stop()
    t.eventually("the peer has stopped: down here too", lambda: a.up() == [], 5)
    t.stays("and stays down while it is away", lambda: a.up() == [], 2)
    reason = a.tunnel(1)["reason"]
    t.check(reason != "", "status says why", reason)
    b.start()
    t.eventually("mode: start: comes back when the peer is there", lambda: a.well() and b.well(), 20)


def late(t):
    """A peer that is started late is reached by retry, capped and endless."""
    lab = t.lab()
    a = t.site(lab, "a", **{"retry-max": "2s"}).start()
    b = t.site(lab, "b", mode="add")
    time.sleep(8)
    text = a.command("status")[1]
    t.check("no answer" in text, "status says that nobody answers",
            next((line.strip() for line in text.split("\n") if "no answer" in line), text[:400]))
    b.start()
    took = t.eventually("a peer started late is reached by retry", lambda: a.well() and b.well(), 10)
    t.figure(late_peer_s=round(took, 2))


def address(t):
    """An outside address that is not there at start, and one that goes and comes."""
    lab = t.lab()
    lab.run("gw-a", "ip", "addr", "del", "198.51.100.1/30", "dev", "path1")
    b = t.site(lab, "b", hold="1s").start()
    a = t.site(lab, "a", hold="1s").start()
    t.eventually("the tunnel whose address is there is up", lambda: a.up() == [2], 5)
    said = a.tunnel(1)
    t.check(not said["address_present"] and "waiting" in said["reason"], "the other waits and says so",
            said["reason"])
    t.check(a.command("status")[0] == 3, "status: exit code 3")
    restore_address(lab)
    t.eventually("the address comes: it is used at once", lambda: a.well() and b.well(), 5)
    lab.run("gw-a", "ip", "addr", "del", "198.51.100.1/30", "dev", "path1")
    t.eventually("the address goes: traffic moves", lambda: a.live() == [2], 3)
    t.pings("traffic flows", lab)
    restore_address(lab)
    t.eventually("it comes back: all is well", lambda: a.well() and b.well(), 30)


def unwritten(t):
    """No `local` in the configuration: the address is that of the route, identities are named."""
    lab = t.lab()
    sites = []
    for side in "ba":
        c = connection(side, hold="1s")
        for tunnel in c["tunnels"]:
            tunnel["local-id"] = tunnel.pop("local")
        sites.append(t.site(lab, side, yaml({"connections": {"site": c}}, 0)).start())
    t.wait_well(*sites)
    t.check([x["local"] for x in sites[1].conn()["tunnels"]] ==
            [f"{ip}:4500" for ip in OUTSIDE["a"]], "the local addresses are those of the routes")
    t.pings("LAN to LAN", lab)
    lab.carrier("1", side="a", down=True)
    t.eventually("an uplink without carrier is seen", lambda: sites[1].live() == [2], 2)


def restore_address(lab):
    lab.run("gw-a", "ip", "addr", "add", OUTSIDE["a"][0] + "/30", "dev", "path1")
    lab.run("gw-a", "ip", "route", "replace", "198.51.100.4/30", "via", "198.51.100.2",
            "src", OUTSIDE["a"][0], check=False)


def outside6(t):
    """IPv6 outside, both families inside."""
    lab = t.lab()
    a, b = t.pair(lab, ipv6=True, hold="1s")
    t.pings("IPv4 in IPv6", lab)
    t.pings("IPv6 in IPv6", lab, LAN_B6)
    t.check(a.tunnel(1)["remote"].startswith("[2001:db8:1:b::1]"), "by the IPv6 address",
            a.tunnel(1)["remote"])
    t.check(a.conn()["mtu"] == 1418, "inside MTU of AES-GCM over IPv6", a.conn()["mtu"])
    too_big(t, lab, 1418)
    child = lab.popen("lan-a", "ping", "-n", "-i", "0.02", LAN_B)
    lab.cut("1")
    t.eventually("failover over IPv6", lambda: a.live() == [2] and b.live() == [2], 3)
    child.terminate()


def too_big(t, lab, mtu):
    """Packets that must not be fragmented get packet-too-big with the inside MTU, both families."""
    for to, head in ((LAN_B, 28), (LAN_B6, 48)):
        fits = lab.run("lan-a", "ping", "-n", "-c", 1, "-W", 1, "-M", "do", "-s", mtu - head, to, check=False)
        over = lab.run("lan-a", "ping", "-n", "-c", 1, "-W", 1, "-M", "do", "-s", mtu - head + 1, to, check=False)
        t.check(fits.returncode == 0, f"{mtu} bytes to {to} pass", fits.stdout[-200:] if fits.returncode else "")
        t.check(over.returncode != 0 and f"mtu={mtu}" in over.stdout.replace("mtu = ", "mtu="),
                f"one byte more: packet too big with MTU {mtu}",
                [line for line in over.stdout.split("\n") if "mtu" in line])
        lab.run("lan-a", "ip", "route", "flush", "cache", check=False)


def mtu(t):
    """Smaller outer MTU: the device follows, TCP gets through, the key `mtu` works."""
    lab = t.lab(mtu=1400)
    a, b = t.pair(lab)
    t.check(a.conn()["mtu"] == 1338, "uplinks of 1,400 bytes: inside MTU", a.conn()["mtu"])
    too_big(t, lab, 1338)
    t.check(bulk(lab) > 0, "TCP gets through", f"{bulk(lab):.0f} Mbit/s")
    lab.run("gw-a", "ip", "link", "set", "path1", "mtu", "1300")
    t.eventually("the uplink shrinks to 1,300: the device follows", lambda: a.conn()["mtu"] == 1238, 3,
                 lambda: a.conn()["mtu"])
    t.check(bulk(lab) > 0, "TCP gets through")
    hole(t, lab, a, b)


def hole(t, lab, a, b):
    """A path that swallows large packets without a word, and `mtu` set by hand for it."""
    lab.mtu("all", 1290)
    for site in (a, b):
        site.configure(config(site.side, mtu=1290))
        site.ask("reload")
    t.eventually("mtu: 1290: the device follows", lambda: a.conn()["mtu"] == 1226, 2)
    t.check(bulk(lab) > 0, "TCP gets through a path that swallows more")
    t.check(*balanced(a))


def bulk(lab, seconds=1):
    """Mbit/s of TCP from LAN to LAN; 0 where nothing arrives."""
    server = lab.popen("lan-b", "iperf3", "-s", "-1", "-i", "0")
    time.sleep(0.3)
    done = lab.run("lan-a", "iperf3", "-c", LAN_B, "-t", seconds, "-i", "0", "-f", "m",
                   "--connect-timeout", "3000", check=False)
    lib.end(server)
    lines = [line.split() for line in done.stdout.split("\n") if "receiver" in line]
    return float(lines[0][lines[0].index("Mbits/sec") - 1]) if lines else 0


def balanced(site):
    """Both gateways must account for every packet; counters move, so two looks may be needed."""
    for _ in range(10):
        good, words = balance(site.status())
        if good:
            break
        time.sleep(0.05)
    return good, f"gateway {site.side}: in and out balance with the drops", "" if good else words


def nat(side):
    def case(t):
        # Whether the peer is hidden cannot be told: a Tandem's own hash is falsified.
        lab = t.lab(nat=side)
        hidden = {"a": "a", "b": "b", "both": "ab"}[side]
        sites = {}
        for s in "ba":
            far = "b" if s == "a" else "a"
            mode = "add" if far in hidden and len(hidden) == 1 else "start"
            sites[s] = t.site(lab, s, nat=hidden, mode=mode, hold="1s").start()
        a, b = sites["a"], sites["b"]
        t.wait_well(a, b)
        seen = {s: sites[s].tunnel(1)["nat_local"] for s in "ab"}
        t.check(seen == {s: s in hidden for s in "ab"}, "each end knows whether it is behind a NAT", seen)
        t.pings("LAN A to LAN B", lab)
        t.pings("LAN B to LAN A", lab, "10.1.0.2", "lan-b")
        rebind(t, lab, a, b, hidden)
    case.__doc__ = f"NAT in front of {side}; it forgets its mappings under traffic."
    return case


def rebind(t, lab, a, b, hidden):
    lab.stream_server("lan-b")
    load = lab.stream("lan-a", "udp", LAN_B, rate=200, time=5)
    time.sleep(1)
    seer = b if "a" in hidden else a
    before = seer.tunnel(1)["remote"]
    lab.rebind("all")
    time.sleep(1)
    result = lib.stream_result(load)
    if result["out"] and result["back"]:
        gap = max(result["out"]["gap_ms_max"], result["back"]["gap_ms_max"])
    else:
        gap = 99999
    after = seer.tunnel(1)["remote"]
    t.check(gap < 2500, "the NAT forgets its mappings: traffic goes on", f"gap {gap:.0f} ms, peer seen "
            f"at {before}, then {after}")
    t.figure(**{f"rebind_{hidden}_gap_ms": round(gap, 1)})
    t.check(after != before or ROUTER["a"] == ROUTER["b"], "its new port is followed", after)
    t.eventually("all is well after that", lambda: a.well() and b.well(), 10)


def bad(t):
    """Loss, duplicates, corruption and reordering: traffic flows and counters name them."""
    lab = t.lab()
    a, b = t.pair(lab)
    lab.stream_server("lan-b")
    for verb, share, counter in (("drop", "5%", None), ("duplicate", "20%", "in-replay"),
                                 ("corrupt", "5%", "in-auth"), ("reorder", "20%", None)):
        before = b.status()["drops"]
        getattr(lab, verb)("all", share)
        r = lib.stream_result(lab.stream("lan-a", "udp", LAN_B, rate=500, time=1.5))
        lab.clear("all")
        out, drops = r["out"], b.status()["drops"]
        good = out["received"] > 0.85 * out["sent"] and out["corrupted"] == 0 and out["duplicated"] == 0
        t.check(good, f"{verb} {share}: traffic flows, whole and once",
                f"{out['received']} of {out['sent']}, {out['reordered']} reordered")
        if counter:
            n = drops.get(counter, 0) - before.get(counter, 0)
            t.check(n > 10, f"{verb}: counted as {counter}", n)
    t.check(a.live() == [1] or a.live() == [2], "a tunnel carries traffic", a.live())
    for site in (a, b):
        t.check(*balanced(site))


CASES = {"modes": modes, "late-peer": late, "address": address, "no-local": unwritten, "outside6": outside6, "mtu": mtu,
         "nat-a": nat("a"), "nat-b": nat("b"), "nat-both": nat("both"), "bad-paths": bad}
