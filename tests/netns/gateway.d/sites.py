"""
Two gateways of a lab, started, configured, killed and asked as the cases of gateway_test need.

  Site    one gateway: lib.Tandem with its configuration as values, its processes, its host
  Case    what a case gets: checks of its own, labs and sites that are gone when it ends
"""

import json
import os
import re
import signal
import socket
import time

import lib

OUTSIDE = {"a": ("198.51.100.1", "203.0.113.1"), "b": ("198.51.100.5", "203.0.113.5")}
OUTSIDE6 = {"a": ("2001:db8:1:a::1", "2001:db8:2:a::1"), "b": ("2001:db8:1:b::1", "2001:db8:2:b::1")}
ROUTER = {"a": ("198.51.100.6", "203.0.113.6"), "b": ("198.51.100.2", "203.0.113.2")}
LANS = {"a": ["10.1.0.0/24", "fd00:a::/64"], "b": ["10.2.0.0/24", "fd00:b::/64"]}
FAR = {"a": "b", "b": "a"}
DEVICE = {"a": "td-to-b", "b": "td-to-a"}
PROTO = "125"           # of our routes
SECRET = b"a shared secret of sixty characters, the same at both ends\n"


def yaml(value, indent):
    """Text of nested dicts, lists of dicts and words."""
    pad, text = "  " * indent, ""
    for key, v in value.items():
        if isinstance(v, dict):
            text += f"{pad}{key}:\n" + yaml(v, indent + 1)
        elif isinstance(v, list) and v and isinstance(v[0], dict):
            text += f"{pad}{key}:\n"
            for item in v:
                text += pad + "  - " + yaml(item, indent + 2).lstrip()
        elif isinstance(v, list):
            text += f"{pad}{key}: [{', '.join(repr(str(x)) for x in v)}]\n"
        else:
            text += f"{pad}{key}: '{v}'\n"
    return text


def connection(side, ipv6=False, number=0, nat="", **keys):
    """
    The connection of a site to the other as a dict.  `number` makes more than one possible: other
    inside addresses, networks and ports do not collide.  `nat`: sides hidden by --nat.
    """
    far = FAR[side]
    mine, theirs = (OUTSIDE6 if ipv6 else OUTSIDE)[side], (OUTSIDE6 if ipv6 else OUTSIDE)[far]
    tunnels = []
    for i in (0, 1):
        t = {"local": mine[i], "remote": ROUTER[far][i] if far in nat else theirs[i],
             "inside": f"169.254.{10 * (i + 1) + number // 64}.{number % 64 * 4 + (1 if side == 'a' else 2)}/30",
             "psk-file": "psk"}
        if nat or number:
            tag = f".{number}" if number else ""
            t["local-id"] = f"keyid:{side}{i + 1}{tag}"
            t["remote-id"] = f"keyid:{far}{i + 1}{tag}"
        tunnels.append(t)
    networks = LANS[far] if number == 0 else [f"10.{2 if side == 'a' else 1}.{number}.0/24"]
    return {"preset": "tandem", "networks": networks, **keys, "tunnels": tunnels}


def config(side, top=None, **keys):
    """The text of a configuration with the one connection `to-b` (at a) or `to-a` (at b)."""
    return yaml({**(top or {}), "connections": {f"to-{FAR[side]}": connection(side, **keys)}}, 0)


class Site(lib.Tandem):
    """One gateway.  `text`: its configuration; `argv0`: words before the binary, such as prlimit."""

    def __init__(self, lab, side, text, binary=None):
        self.side = side
        super().__init__(lab, f"gw-{side}", text, {"psk": SECRET}, binary)

    # ---- its answers: by the socket itself, which is quicker than a process for each ----

    def ask(self, verb, **fields):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            try:
                s.connect(self.socket)
                s.sendall(json.dumps({"verb": verb, **fields}).encode() + b"\n")
                data = b""
                while not data.endswith(b"\n"):
                    piece = s.recv(1 << 16)
                    if not piece:
                        raise lib.Trouble(f"gateway {self.side} hung up (log: {self.log})")
                    data += piece
            except OSError as e:
                raise lib.Trouble(f"gateway {self.side} does not answer: {e} (log: {self.log})")
        return json.loads(data)

    def answers(self):
        if self.child.poll() is not None:
            raise lib.Trouble(f"gateway {self.side} ended with {self.child.returncode}: "
                              f"{self.log_text().strip()[-800:]}")
        try:
            return self.ask("version")
        except lib.Trouble:
            return None

    def status(self):
        return self.ask("status")

    def conn(self, name=None):
        return next(c for c in self.status()["connections"] if name in (None, c["name"]))

    def tunnel(self, index, name=None):
        return self.conn(name)["tunnels"][index - 1]

    def live(self, name=None):
        """The tunnels that carry traffic: [1], [1, 2], []."""
        return [t["index"] for t in self.conn(name)["tunnels"] if t["live"]]

    def up(self, name=None):
        return [t["index"] for t in self.conn(name)["tunnels"] if t["state"] == "up"]

    def well(self):
        return all(t["state"] == "up" and t["verdict"] in ("up", "held")
                   for c in self.status()["connections"] for t in c["tunnels"])

    def command(self, *words, timeout=60):
        """`tandem WORDS`: exit code, standard output, standard error."""
        tail = ["--config", self.config] if words[0] == "check" else []
        argv = [self.binary, *words, *tail, "--socket", self.socket]
        done = self.lab.run(self.ns, *argv, check=False, timeout=timeout)
        return done.returncode, done.stdout, done.stderr

    # ---- its processes ----

    def launch(self, *before):
        """Start without waiting; `before`: a command that becomes it, such as prlimit --nofile=64."""
        import subprocess
        with open(self.log, "a") as log:
            self.child = subprocess.Popen(
                self.lab.argv(self.ns, *before, self.binary, "run", "--config", self.config,
                              "--socket", self.socket),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **(self.env or {})})
        return self

    def start(self, wait=15):
        self.launch()
        lib.wait_for(f"gateway {self.side} to answer (log: {self.log})", self.answers, wait)
        return self

    def engine(self):
        """The process id of the engine, None while there is none."""
        try:
            with open(f"/proc/{self.child.pid}/task/{self.child.pid}/children") as f:
                words = f.read().split()
        except OSError:
            return None
        return int(words[0]) if words else None

    def kill_engine(self):
        pid = self.engine()
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_broker(self):
        self.child.kill()
        self.child.wait()

    # ---- its host ----

    def ip(self, *words):
        return self.lab.run(self.ns, "ip", *words, check=False).stdout

    def routes(self):
        """Our routes of both families: {(prefix, "guard" or device)}."""
        found = set()
        for six in ("-4", "-6"):
            for line in self.ip(six, "route", "show", "proto", PROTO).split("\n"):
                words = line.split()
                if words and words[0] == "unreachable":
                    found.add((words[1], "guard"))
                elif words:
                    found.add((words[0], words[words.index("dev") + 1]))
        return found

    def guards(self):
        return {p for p, what in self.routes() if what == "guard"}

    def device(self, name=None):
        """Index of a device, None if there is none."""
        m = re.match(r"(\d+):", self.ip("-o", "link", "show", "dev", name or DEVICE[self.side]))
        return int(m[1]) if m else None

    def sysctl(self, name, value=None):
        if value is not None:
            self.lab.run(self.ns, "sysctl", "-q", "-w", f"{name}={value}")
        return self.lab.run(self.ns, "sysctl", "-n", name).stdout.strip()


def balance(status):
    """What status says of packets and drops must add up: (out holds, in holds, words)."""
    p, drops = status["packets"], status["drops"]
    lost = {way: sum(n for k, n in drops.items() if k.startswith(way)) for way in ("out-", "in-")}
    out = p["out"] + p["out_made"] - p["out_sent"] - lost["out-"]
    into = p["in"] + p["in_made"] - p["in_delivered"] - p["in_answered"] - lost["in-"]
    return out == 0 and into == 0, f"out {out:+d}, in {into:+d} of {p} and {drops}"


class Case:
    """Checks and things of one case.  Its lines are kept, so that cases may run side by side."""

    def __init__(self, name, prefix):
        self.name, self.prefix = name, prefix
        self.lines, self.figures, self.labs, self.sites = [], {}, [], []
        self.passed = self.failed = self.skipped = 0
        self.began = time.monotonic()

    def check(self, holds, what, detail=""):
        self.passed += bool(holds)
        self.failed += not holds
        self.lines.append(f"{'ok  ' if holds else 'FAIL'} {what}" + (f": {detail}" if detail != "" else ""))
        return bool(holds)

    def say(self, text):
        self.lines.append(f"     {text}")

    def skip(self, what, why):
        self.skipped += 1
        self.lines.append(f"skip {what}: {why}")

    def figure(self, **values):
        self.figures.update(values)

    def lab(self, **options):
        lab = lib.Lab(f"{self.prefix}-{self.name}"[:28].rstrip("-") + f"{len(self.labs)}", **options)
        lab.down()
        lab.up(**options)
        self.labs.append(lab)
        return lab

    def site(self, lab, side, text=None, binary=None, **keys):
        site = Site(lab, side, text if text is not None else config(side, **keys), binary)
        self.sites.append(site)
        return site

    def pair(self, lab, binary=None, start=True, **keys):
        """Both gateways with the same keys, started and well."""
        a, b = (self.site(lab, side, binary=binary, **keys) for side in "ab")
        if start:
            b.start()
            a.start()
            self.wait_well(a, b)
        return a, b

    def wait_well(self, *sites, timeout=20):
        lib.wait_for(f"all tunnels of {self.name} to be well", lambda: all(s.well() for s in sites),
                     timeout, 0.05)

    def eventually(self, what, test, timeout=10.0, detail=lambda: ""):
        """A check of something that becomes true; returns how many seconds that took."""
        began = time.monotonic()
        try:
            lib.wait_for(what, test, timeout, 0.03)
            good = True
        except lib.Trouble:
            good = False
        took = time.monotonic() - began
        self.check(good, what, f"after {took:.2f} s" if good else f"not within {timeout} s {detail()}")
        return took

    def stays(self, what, test, seconds):
        """A check that something stays true for so long."""
        until = time.monotonic() + seconds
        while test():
            if time.monotonic() > until:
                return self.check(True, what, f"for {seconds} s")
            time.sleep(0.1)
        return self.check(False, what, f"not after {seconds - (until - time.monotonic()):.1f} s")

    def pings(self, what, lab, to="10.2.0.2", ns="lan-a", **options):
        got, _ = lab.ping(ns, to, **options)
        return self.check(got > 0, what, f"{got} answers")

    def end(self):
        """Everything that the case started goes, with complaints as failures."""
        for site in self.sites:
            if site.child and site.child.poll() is None:
                site.stop()
            if not self.failed:
                lib.run(["rm", "-rf", site.dir], check=False)
        for lab in self.labs:
            for child in lab.children:
                lib.end(child)
            lab.down()
