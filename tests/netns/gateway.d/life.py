"""Starts, kills and stops: what stays on the host, what goes, and that no clear text leaves."""

import os
import signal
import subprocess
import time

import lib
from sites import DEVICE, PROTO, Site, config

CLEAR = "not arp and not icmp6 and net 10.0.0.0/8"       # what belongs inside, seen outside


def engine(t):
    """kill -9 of the engine: everything on the host stays and a new one takes over."""
    lab = t.lab()
    a, b = t.pair(lab)
    lab.stream_server("lan-b")
    load = lab.stream("lan-a", "udp", "10.2.0.2", rate=200, time=4)
    time.sleep(1)
    before, device = a.routes(), a.device()
    dead = a.kill_engine()
    lib.wait_for("the engine to be gone", lambda: a.engine() != dead)
    t.check(a.routes() == before and a.guards() == {"10.2.0.0/24", "fd00:b::/64"},
            "engine killed: routes and guards stay", sorted(a.routes()))
    t.check(a.device() == device, "engine killed: the device is the same one", f"index {device}")
    t.eventually("a new engine negotiates anew", lambda: a.engine() not in (None, dead) and
                 a.answers() and a.well() and b.well(), 10)
    result = lib.stream_result(load)
    gap = max(result["out"]["gap_ms_max"], result["back"]["gap_ms_max"])
    t.check(0 < gap < 3000, "engine killed: traffic comes back", f"gap {gap:.0f} ms")
    t.figure(engine_killed_gap_ms=round(gap, 1))
    t.eventually("the peer keeps no SA of the dead engine",
                 lambda: b.status()["ike"]["ike_sas"] == 2 and b.status()["ike"]["child_sas"] == 2, 8,
                 lambda: b.status()["ike"])
    t.check(a.device() == device and a.routes() == before, "routes and device are as before")


def gone(pid):
    """Ended, even if nobody has asked for its exit code yet."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def would_leak(t, lab):
    """Without a gateway the packets do leave: else the captures after it would show nothing."""
    lab.capture("gw-a", "/dev/shm/%s-before.pcap" % lab.name, dev="path1", filter=CLEAR)
    lab.ping("lan-a", "10.2.0.2", count=3, wait=0.2)
    lab.capture("--stop", "gw-a")
    n = packets(lab, "/dev/shm/%s-before.pcap" % lab.name)
    t.check(n > 0, "without a gateway clear text does leave", f"{n} packets on path 1")


def packets(lab, file):
    done = lib.run(["tcpdump", "-n", "-r", file], check=False)
    os.unlink(file)
    return len([line for line in done.stdout.split("\n") if line])


def pinging(lab):
    """A stream that is there all the time, whatever happens."""
    return lab.popen("lan-a", "ping", "-n", "-i", "0.02", "-W", "0.1", "10.2.0.2",
                     stdout=subprocess.DEVNULL)


def broker(t):
    """kill -9 of the broker: engine and devices go, guards stay, nothing leaves in the clear."""
    lab = t.lab(leaky=True)
    would_leak(t, lab)
    a, b = t.pair(lab)
    foreign(lab)
    files = ["/dev/shm/%s-%d.pcap" % (lab.name, i) for i in (1, 2)]
    for i, file in enumerate(files):
        lab.capture("gw-a", file, dev=f"path{i + 1}", filter=CLEAR)
    pinging(lab)
    time.sleep(0.3)
    dead = a.engine()
    a.kill_broker()
    t.eventually("broker killed: the engine ends", lambda: gone(dead), 3)
    t.eventually("broker killed: the device goes", lambda: a.device() is None, 3)
    t.check(a.guards() == {"10.2.0.0/24", "fd00:b::/64"}, "broker killed: the guards stay",
            sorted(a.routes()))
    time.sleep(0.5)
    t.check(lab.ping("lan-a", "10.2.0.2", count=3)[0] == 0, "broker killed: no traffic meanwhile")
    a.configure(config("a", top={"log": "info"}))
    began = time.monotonic()
    a.start()
    t.wait_well(a, b)
    t.eventually("a start after that carries traffic again",
                 lambda: lab.ping("lan-a", "10.2.0.2", count=1)[0], 5)
    t.figure(broker_killed_start_s=round(time.monotonic() - began, 2))
    a.kill_engine()
    time.sleep(0.4)
    lib.wait_for("the new engine", lambda: a.answers() and a.well(), 10)
    lab.capture("--stop", "gw-a")
    t.check([packets(lab, f) for f in files] == [0, 0],
            "no clear text left through kill -9 of broker and engine, restart and all")
    foreign_is_there(t, lab)
    stop_is_clean(t, lab, a)


def foreign(lab):
    """Things of somebody else, as near to ours as can be."""
    lab.run("gw-a", "ip", "link", "add", "td-foreign", "type", "veth")
    lab.run("gw-a", "ip", "link", "set", "td-foreign", "up")
    lab.run("gw-a", "ip", "tuntap", "add", "dev", "td-other", "mode", "tun")
    for words in (["10.77.0.0/24", "dev", "td-foreign"], ["unreachable", "10.78.0.0/24"],
                  ["unreachable", "10.79.0.0/24", "metric", "4294967290", "proto", "static"]):
        lab.run("gw-a", "ip", "route", "add", *words)


def foreign_is_there(t, lab):
    routes = lab.run("gw-a", "ip", "route").stdout
    links = lab.run("gw-a", "ip", "-o", "link").stdout
    t.check(all(w in routes for w in ("10.77.0.0/24", "unreachable 10.78.0.0/24",
                                      "unreachable 10.79.0.0/24")) and
            "td-foreign" in links and "td-other" in links,
            "routes and devices of others are untouched")


def stop_is_clean(t, lab, a):
    t.check(a.stop() == 0, "SIGTERM: exit code 0", a.child.returncode)
    t.check(a.routes() == set() and a.device() is None and not os.path.exists(a.socket),
            "SIGTERM: routes, guards, device and socket are gone", sorted(a.routes()))
    foreign_is_there(t, lab)


def leftover(t):
    """A start after a crash with a smaller configuration leaves nothing of the larger one."""
    lab = t.lab()
    a = t.site(lab, "a").start()
    lib.wait_for("guards", lambda: len(a.guards()) == 2)
    a.kill_broker()
    text = config("a").replace("'10.2.0.0/24', ", "'10.2.9.0/24', ")
    a.configure(text)
    a.start()
    t.eventually("what the new configuration lacks is swept",
                 lambda: a.guards() == {"10.2.9.0/24", "fd00:b::/64"}, 5, lambda: a.routes())
    a.stop()


def stop(t):
    """host: manage changes the host and a clean stop restores it; guard: always and off."""
    lab = t.lab(strict=True)
    for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        lab.run("gw-a", "sysctl", "-q", "-w", f"{name}=0")
    a = t.site(lab, "a")
    before = sysctls(a)
    a.start()
    b = t.site(lab, "b").start()
    t.wait_well(a, b)
    t.check(sysctls(a) == before, "host: check changes nothing", sysctls(a))
    a.configure(config("a", top={"host": "manage"}))
    a.ask("reload")
    lib.wait_for("the sysctls to be set", lambda: sysctls(a) != before)
    t.check(sysctls(a) == ["1", "1", "2", "2"], "host: manage sets forwarding and loose filters",
            sysctls(a))
    t.pings("host: manage: the LANs reach one another", lab)
    second(t, lab, a)
    t.check(a.stop() == 0 and sysctls(a) == before, "a clean stop restores them", sysctls(a))
    t.check(" error " not in a.log_text(), "no error in the log of a good life",
            [line for line in a.log_text().split("\n") if " error " in line][:2])
    t.check(a.routes() == set() and a.device() is None, "a clean stop leaves nothing")
    t.eventually("the peer is told", lambda: b.up() == [], 3)
    crashed(t, a, before)
    guards(t, a)


def crashed(t, a, before):
    """What a killed daemon changed is restored by the next one's stop."""
    a.start()
    lib.wait_for("the sysctls to be set", lambda: sysctls(a) == ["1", "1", "2", "2"])
    a.kill_broker()
    t.check(sysctls(a) != before, "broker killed: sysctls stay changed")
    a.start()
    a.stop()
    t.check(sysctls(a) == before, "the next clean stop restores what the killed one found", sysctls(a))


def sysctls(site):
    return [site.sysctl(n) for n in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding",
                                     "net.ipv4.conf.path1.rp_filter", "net.ipv4.conf.path2.rp_filter")]


def second(t, lab, a):
    other = Site(lab, "a", config("a"))
    other.launch()
    code = lib.wait_for("the second to end", lambda: other.child.poll() is not None, 5) and \
        other.child.returncode
    said = other.log_text()
    t.check(code == 1 and "another Tandem" in said and str(a.child.pid) in said,
            "a second start is refused with a sentence", said.strip().split("\n")[-1][-120:])
    same = Site(lab, "b", config("b"))          # another namespace, the socket of the first
    same.socket, same.ns = a.socket, "lan-a"
    same.launch()
    lib.wait_for("it to end", lambda: same.child.poll() is not None, 5)
    t.check(same.child.returncode == 1 and "another" in same.log_text(),
            "so is one with the same socket", same.log_text().strip().split("\n")[-1][-120:])
    t.check(a.answers() and a.well(), "the first goes on")


def guards(t, a):
    a.configure(config("a", guard="always"))
    a.start()
    lib.wait_for("guards", lambda: len(a.guards()) == 2)
    a.stop()
    t.check(a.guards() == {"10.2.0.0/24", "fd00:b::/64"} and len(a.routes()) == 2,
            "guard: always stays after a clean stop", sorted(a.routes()))
    a.configure(config("a", guard="off"))
    a.start()
    t.eventually("guard: off sweeps the old ones and has none", lambda: a.routes() ==
                 {(p, DEVICE["a"]) for p in ("10.2.0.0/24", "fd00:b::/64")}, 5, lambda: a.routes())
    a.stop()
    t.check(a.routes() == set(), "guard: off: nothing is left", PROTO)


def foreground(t):
    """A second SIGTERM, ^C, and a stop while the peer is away."""
    lab = t.lab()
    a, b = t.pair(lab)
    lab.cut("all")
    began = time.monotonic()
    t.check(a.stop(signal.SIGINT) == 0, "SIGINT stops cleanly while no peer answers",
            f"{time.monotonic() - began:.1f} s")
    t.check(time.monotonic() - began < 3, "and does not wait for it for long")
    t.check(a.routes() == set() and a.device() is None, "nothing is left")


def forgotten(t):
    """A gateway that only answers crashes and is started again: its peer finds out by asking."""
    lab = t.lab()
    a = t.site(lab, "a", hold="1s")
    b = t.site(lab, "b", mode="add", hold="1s")
    b.start()
    a.start()
    t.wait_well(a, b)
    pinging(lab)
    for away in (1, 12):
        b.kill_broker()
        time.sleep(away)
        b.start()
        began = time.monotonic()
        t.eventually(f"crashed, started again {away} s later: traffic flows again",
                     lambda: lab.ping("lan-a", "10.2.0.2", count=1, wait=0.2)[0], 6)
        t.figure(**{f"forgotten_{away}s_gap_s": round(time.monotonic() - began, 2)})
        t.eventually("all is well", lambda: a.well() and b.well(), 10)
        t.eventually("with one IKE SA a tunnel at both ends",
                     lambda: a.status()["ike"]["ike_sas"] == b.status()["ike"]["ike_sas"] == 2, 20,
                     lambda: (a.status()["ike"], b.status()["ike"]))


CASES = {"forgotten": forgotten, "kill-engine": engine, "kill-broker": broker, "leftover": leftover, "stop": stop,
         "foreground": foreground}
