"""What on the host is in the way: findings and their commands, full disks, few descriptors."""

import json
import os
import signal
import sys

import lib
from sites import DEVICE, config, connection, yaml

TAKE = "import socket,time; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); " \
       "s.bind(('0.0.0.0', 500)); print('bound', flush=True); time.sleep(600)"
DROP = """
table inet fw {
  chain forward { type filter hook forward priority 0; policy drop; ct state established accept; }
}
"""


def findings(site, *words):
    """{code: [commands]} that check (or status) names."""
    _, out, err = site.command(*(words or ("check",)), "--json")
    found = {}
    for f in json.loads(out).get("findings", []):
        found.setdefault(f["code"], []).append(f["command"])
    return found


def in_the_way(t):
    """Each thing in the way is named by check, and gone after the very command that it names."""
    lab = t.lab(strict=True)
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        lab.run("gw-a", "sysctl", "-q", "-w", f"{key}=0")
    lib.run(lab.argv("gw-a", "nft", "-f", "-"), stdin=DROP)
    thief = lab.popen("gw-a", sys.executable, "-c", TAKE)
    thief.stdout.readline()
    a = t.site(lab, "a")
    found = findings(a)
    expected = ["forward4-off", "forward6-off", "rp-filter-strict", "filter-forward", "port-taken"]
    t.check(all(code in found for code in expected), "check names all of them", found)
    code, _, err = a.command("check")
    t.check(code == 1 and all(c in err for commands in found.values() for c in commands),
            "for people too, with the commands; exit code 1 with errors among them", code)
    a.configure(config("a", top={"host": "manage"}))
    t.check("forward4-off" not in findings(a), "forwarding is no matter with host: manage")
    a.configure(config("a"))
    taken(t, a)
    for code in expected:
        for command in found.get(code, []):
            lab.run("gw-a", "sh", "-c", command)
        t.eventually(f"{code}: gone after `{'; '.join(found.get(code, []))}`",
                     lambda: code not in findings(a), 2, lambda: findings(a).get(code))
    t.check(findings(a) == {}, "nothing is in the way any more", findings(a))
    lab.run("gw-a", "sysctl", "-q", "-w", "net.ipv4.conf.path1.rp_filter=1")
    t.check(list(findings(a)) == ["rp-filter-strict"] and a.command("check")[0] == 0,
            "a warning alone: exit code 0", findings(a))
    lab.run("gw-a", "sysctl", "-q", "-w", "net.ipv4.conf.path1.rp_filter=0")
    a.start()
    b = t.site(lab, "b").start()
    t.wait_well(a, b)
    t.pings("LAN A to LAN B, through the filter", lab)
    t.pings("LAN B to LAN A", lab, "10.1.0.2", "lan-b")
    t.check(findings(a, "status") == {}, "status names nothing")
    lab.run("gw-a", "sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
    t.check(list(findings(a, "status")) == ["forward4-off"], "status names what somebody changed since")


def taken(t, a):
    """A port that is taken: run ends with a sentence and leaves nothing."""
    a.launch()
    lib.wait_for("it to end", lambda: a.child.poll() is not None, 10)
    said = [line for line in a.log_text().split("\n") if "500" in line and "taken" in line]
    t.check(a.child.returncode == 1 and said, "run with port 500 taken: exit code 1 and a sentence",
            said[-1][25:220] if said else a.log_text()[-300:])
    t.check(a.device() is None and a.routes() == set(), "and nothing is left", sorted(a.routes()))
    codes = ("forward4-off", "rp-filter-strict", "filter-forward", "port-taken")
    t.check(all(f"code={c}" in a.log_text() for c in codes), "its log names all that is in the way")


def device_taken(t):
    """The name of the device is somebody else's: said, tried again, and used when it is free."""
    lab = t.lab()
    lab.run("gw-a", "ip", "link", "add", "td-to-b", "type", "veth")
    a, b = t.site(lab, "a").start(), t.site(lab, "b").start()
    t.wait_well(a, b)
    code, out, _ = a.command("status")
    t.check(code == 4 and "not ours" in out, "status: no traffic, and why",
            [line.strip() for line in out.split("\n") if "not ours" in line])
    lab.run("gw-a", "ip", "link", "del", "td-to-b")
    t.eventually("the name is free: the device opens by itself", lambda: a.command("status")[0] == 0, 10)
    t.check(a.conn()["device_error"] is None and "device-open" in a.log_text(), "and the error is gone")
    t.pings("LAN A to LAN B", lab)
    t.pings("the same by IPv6", lab, "fd00:b::2")
    t.check({("10.2.0.0/24", "td-to-b"), ("fd00:b::/64", "td-to-b")} <= a.routes(), "its routes are there",
            sorted(a.routes()))
    t.check(a.stop() == 0 and a.routes() == set() and a.device() is None, "a clean stop leaves nothing")


def full_disk(t):
    """State and socket on a file system without room."""
    lab = t.lab()
    for options, refused in (("size=4k,nr_inodes=1", True), ("size=8k,nr_inodes=2", True),
                             ("size=8k", False)):
        a = t.site(lab, "a", config("a", top={"host": "manage"}))
        lab.run("gw-a", "sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
        small = os.path.join(a.dir, "small")
        os.mkdir(small)
        lib.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", small])
        try:
            fill(small, options)
            a.socket = os.path.join(small, "sock")
            (no_room if refused else little_room)(t, a, options)
        finally:
            lib.run(["umount", "-l", small])


def fill(folder, options):
    try:
        with open(os.path.join(folder, "filler"), "wb", buffering=0) as f:
            while "size=8k" in options and "inodes" not in options:
                f.write(b"x" * 4096)
    except OSError:
        pass


def no_room(t, a, options):
    a.launch()
    lib.wait_for("it to end", lambda: a.child.poll() is not None, 10)
    said = a.log_text().strip().split("\n")[-1]
    t.check(a.child.returncode == 1 and "No space" in said, f"{options}: refused with a sentence", said[25:])
    t.check(a.device() is None and a.routes() == set(), "and nothing is left", sorted(a.routes()))


def little_room(t, a, options):
    a.start()
    t.eventually(f"{options}, full: it runs and says what it cannot keep",
                 lambda: "state-not-saved" in a.log_text() and a.status()["ok"], 5,
                 lambda: a.log_text()[-300:])
    t.check(a.stop() == 0 and a.sysctl("net.ipv4.ip_forward") == "0", "and stops cleanly")


def descriptors(t):
    """Few descriptors: what does not fit is said, nothing crashes."""
    lab = t.lab()
    many = {f"c{i}": connection("a", number=i) for i in range(1, 101)}
    for limit, connections in ((64, many), (24, {"to-b": connection("a")}), (8, {"to-b": connection("a")})):
        a = t.site(lab, "a", yaml({"connections": connections}, 0))
        a.launch("prlimit", f"--nofile={limit}:{limit}")
        ended = running(t, a)
        said = [line for line in a.log_text().split("\n") if " error " in line or " warn " in line]
        t.check("signal" not in a.log_text() and "Assert" not in a.log_text() and
                "engine-killed" not in a.log_text(), f"{limit} descriptors, {len(connections)} connections: "
                + ("ends without a crash" if ended else "runs"), f"{len(said)} complaints")
        t.check(bool(said) or limit == 24, "what does not fit is said", (said or ["nothing"])[0][25:220])
        if not ended:
            t.check(a.stop() == 0 and a.routes() == set(), "stops cleanly", a.child.returncode)


def running(t, a):
    """Wait until it is clear whether it runs; True: it has ended."""
    try:
        lib.wait_for("it to run or end", lambda: a.child.poll() is not None or a.answers(), 10)
    except lib.Trouble:
        return a.child.poll() is not None
    lib.time.sleep(1)
    return a.child.poll() is not None


def device_meddled(t):
    """What somebody does to a device of ours: set down and up, deleted, renamed."""
    lab = t.lab()
    a, b = t.pair(lab)
    name = DEVICE["a"]
    routes, index = a.routes(), a.device()
    address = inside(a)
    t.check(len(routes) == 4 and len(address) == 2, "routes, guards and addresses are there", sorted(routes))
    a.ip("link", "set", name, "down")
    t.eventually("set down: only the guards are left", lambda: len(a.routes()) == 2, 2, a.routes)
    t.stays("and it is left down", lambda: len(a.routes()) == 2 and "device-up" not in a.log_text(), 1)
    a.ip("link", "set", name, "up")
    t.eventually("up again: the routes are back", lambda: a.routes() == routes, 3, a.routes)
    t.pings("and carry traffic", lab)
    t.pings("IPv6 too", lab, "fd00:b::2")
    for i in range(3):
        lab.run("gw-a", "sh", "-c", f"ip link set {name} down; ip link set {name} up")
        t.eventually("down and up at once: the routes are back", lambda: a.routes() == routes, 3, a.routes)
    a.ip("link", "del", name)
    t.eventually("deleted: it is made anew", lambda: a.device() not in (None, index) and
                 a.routes() == routes and inside(a) == address, 3, a.routes)
    t.pings("and carries traffic", lab)
    t.pings("both ways", lab, "10.1.0.2", "lan-b")
    lab.run("gw-a", "sh", "-c", f"ip link set {name} down; ip link set {name} name stolen")
    t.eventually("renamed: it is made anew", lambda: a.device("stolen") is None and
                 a.routes() == routes and inside(a) == address, 3, a.routes)
    t.pings("and carries traffic", lab)
    t.check(a.well() and "host-refused" not in a.log_text(), "nothing was refused, all is well")
    count = {word: a.log_text().count(f" {word} ") for word in ("device-gone", "device-down", "device-up")}
    t.check(count == {"device-gone": 2, "device-down": 6, "device-up": 4},
            "nothing was made anew without need", count)
    t.check(a.stop() == 0 and a.routes() == set() and a.device() is None, "and it stops cleanly")


def devices_meddled(t, n=150):
    """The same of many at once: more news than the kernel keeps for us."""
    lab = t.lab()
    a = t.site(lab, "a", yaml({"connections": {f"c{i}": connection("a", number=i)
                                               for i in range(1, n + 1)}}, 0)).start(60)
    t.eventually(f"{n} connections: routes and guards are there", lambda: len(a.routes()) == 2 * n, 10)
    os.kill(a.engine(), signal.SIGSTOP)         # it does not read them meanwhile
    lab.run("gw-a", "sh", "-c", "ip link set group 125 down; ip link set group 125 up")
    os.kill(a.engine(), signal.SIGCONT)
    t.eventually("all down and up: the routes are back", lambda: len(a.routes()) == 2 * n, 10,
                 lambda: len(a.routes()))
    lab.run("gw-a", "ip", "link", "del", "group", "125")
    t.eventually("all deleted: they are made anew", lambda: len(a.routes()) == 2 * n and
                 a.log_text().count(" device-gone ") == n, 10, lambda: len(a.routes()))
    t.check(a.stop() == 0 and a.routes() == set(), "and it stops cleanly")


def low_ports(t):
    """Ports of the configuration may be privileged ones; one that it names later needs a restart."""
    lab = t.lab()
    a = t.site(lab, "a", config("a", top={"port": 501, "natt-port": 502})).start()
    listens = lab.run("gw-a", "ss", "-uln").stdout
    t.check(":501 " in listens and ":502 " in listens, "ports 501 and 502 are open")
    a.configure(config("a", top={"port": 503, "natt-port": 504}))
    a.kill_engine()
    t.eventually("others after that are refused", lambda: "UDP port 503 was not configured when" in a.log_text(), 5)
    t.check(a.stop() is not None and ":503 " not in lab.run("gw-a", "ss", "-uln").stdout, "and not opened")


def inside(site):
    """The inside addresses, without the lines about their life."""
    lines = site.ip("-o", "addr", "show", "dev", DEVICE[site.side]).split("\n")
    return sorted(line.split()[3] for line in lines if line)


CASES = {"device-meddled": device_meddled, "devices-meddled": devices_meddled,
         "low-ports": low_ports, "in-the-way": in_the_way, "device-taken": device_taken,
         "full-disk": full_disk, "descriptors": descriptors}
