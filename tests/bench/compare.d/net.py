"""
The wires of one contender, all on this machine:

    host-a             gw-a                          gw-b             host-b
  10.1.0.2 eth0 --- lan 10.1.0.1                10.2.0.1 lan --- eth0 10.2.0.2
                    up1 198.51.100.1 --- 198.51.100.2 up1
                    up2 203.0.113.1  --- 203.0.113.2  up2

Four namespaces NAME-CONTENDER-..., joined by veth with MTU 1500 and every offload that the kernel
gives it.  Only Tandem has a use for the second uplink: its second tunnel stands by there.
"""

import fcntl
import os
import subprocess
import time

import lib

NS = ("host-a", "gw-a", "gw-b", "host-b")
HOST = {"a": "10.1.0.2", "b": "10.2.0.2"}
LAN = {"a": "10.1.0.0/24", "b": "10.2.0.0/24"}
UP1 = {"a": "198.51.100.1", "b": "198.51.100.2"}
UP2 = {"a": "203.0.113.1", "b": "203.0.113.2"}


def other(side):
    return "b" if side == "a" else "a"


def lock(name):
    """Two runs of one name would take each other's namespaces for leftovers."""
    held = open(f"/run/tandem-{name}.lock", "w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise lib.Trouble(f"a run named {name!r} is under way: wait, or choose another --name")
    return held


def clear(prefix):
    """Remove what a run of that name left behind, processes too: nobody else uses its namespaces."""
    try:
        names = [n for n in os.listdir("/run/netns") if n.startswith(prefix + "-")
                 and n.endswith(tuple("-" + short for short in NS))]
    except FileNotFoundError:
        return
    remove(names)


def remove(names):
    """Namespaces of ours with all that still runs in them."""
    for name in names:
        for pid in lib.run(["ip", "netns", "pids", name], check=False).stdout.split():
            try:
                os.kill(int(pid), 9)
            except ProcessLookupError:
                pass
    for name in names:
        lib.run(["ip", "netns", "del", name], check=False)


class Net:
    """The namespaces of one contender, with what lib's peers want of a lab: argv, run, popen."""

    def __init__(self, prefix, tag):
        self.name, self.children = f"{prefix}-{tag}", []
        self.made = False

    def ns(self, short):
        return f"{self.name}-{short}"

    def argv(self, short, *command):
        return ["ip", "netns", "exec", self.ns(short)] + [str(c) for c in command]

    def run(self, short, *command, check=True, timeout=60):
        return lib.run(self.argv(short, *command), check, timeout)

    def popen(self, short, *command, **options):
        """A child in a namespace, out of reach of the terminal's Ctrl-C, ended with the wires."""
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.STDOUT)
        child = subprocess.Popen(self.argv(short, *command), text=True, start_new_session=True,
                                 **options)
        self.children.append(child)
        return child

    def ip(self, short, *lines):
        lib.run(["ip", "-n", self.ns(short), "-batch", "-"], stdin="\n".join(lines) + "\n")

    def pids(self, short):
        return [int(p) for p in lib.run(["ip", "netns", "pids", self.ns(short)]).stdout.split()]

    # ---- up and down ----

    def sysctls(self, short):
        values = {"net.ipv6.conf.default.accept_dad": 0, "net.ipv6.conf.default.accept_ra": 0,
                  "net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.default.rp_filter": 0}
        if short.startswith("gw"):
            values.update({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})
        self.run(short, "sysctl", "-q", "-w", *(f"{k}={v}" for k, v in values.items()))
        # bbr without fq runs at a fraction of the speed, over the bare veth too.
        self.run(short, "sysctl", "-q", "-w", f"net.ipv4.tcp_congestion_control={congestion()}")

    def up(self):
        self.made = True
        for short in NS:
            lib.run(["ip", "netns", "add", self.ns(short)])
            self.sysctls(short)
        lines = [f"link add eth0 netns {self.ns('host-' + s)} type veth "
                 f"peer name lan netns {self.ns('gw-' + s)}" for s in "ab"]
        lines += [f"link add {up} netns {self.ns('gw-a')} type veth "
                  f"peer name {up} netns {self.ns('gw-b')}" for up in ("up1", "up2")]
        lib.run(["ip", "-batch", "-"], stdin="\n".join(lines) + "\n")
        for s in "ab":
            gateway = LAN[s].replace(".0/24", ".1")
            self.ip(f"host-{s}", "link set lo up", "link set eth0 up",
                    f"addr add {HOST[s]}/24 dev eth0", f"route add default via {gateway}")
            self.ip(f"gw-{s}", "link set lo up", "link set lan up", f"addr add {gateway}/24 dev lan",
                    "link set up1 up", f"addr add {UP1[s]}/24 dev up1",
                    "link set up2 up", f"addr add {UP2[s]}/24 dev up2")
        return self

    def down(self):
        for child in reversed(self.children):
            lib.end(child)
        self.children = []
        if not self.made:
            return
        until = time.monotonic() + 3
        while any(self.pids(short) for short in NS) and time.monotonic() < until:
            time.sleep(0.02)
        remove([self.ns(short) for short in NS])
        self.made = False


def congestion():
    """What a namespace may choose here: reno or cubic."""
    with open("/proc/sys/net/ipv4/tcp_allowed_congestion_control") as f:
        return "cubic" if "cubic" in f.read().split() else "reno"
