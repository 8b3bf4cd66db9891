"""
A bench for tests against strangers: one Tandem in gw-a, one strongSwan in gw-b, path 1 between them.

  ours(...)     the text of Tandem's configuration, theirs(...) the specification of the peer: what
                they say by default fits together, a test names what it wants different
  Bench         both processes and what a test does with them

A connection has two tunnels; the second goes over path 2, where nobody answers.  JSON is YAML, so
the configuration is written as JSON.
"""

import json
import os
import re
import shutil
import time

import lib

PSK = "correct horse battery staple"
A = {"1": "198.51.100.1", "2": "203.0.113.1", "6": "2001:db8:1:a::1"}
B = {"1": "198.51.100.5", "2": "203.0.113.5", "6": "2001:db8:1:b::1"}
LAN = {"a": "10.1.0.2", "b": "10.2.0.2", "a6": "fd00:a::2", "b6": "fd00:b::2"}
INSIDE = {"a": "169.254.10.1", "b": "169.254.10.2"}
IKE, ESP = "aes256gcm16-prfsha256-curve25519", "aes256gcm16-curve25519"


def merged(base, changes):
    """`base` with `changes`; a change to None takes the key away."""
    return {k: v for k, v in {**base, **(changes or {})}.items() if v is not None}


def ours(tunnel=None, **connection):
    """Tandem's configuration: keys of tunnel 1, and of the connection with '_' for '-'."""
    first = {"local": A["1"], "remote": B["1"], "inside": INSIDE["a"] + "/30", "psk-file": "psk"}
    second = {"local": A["2"], "remote": B["2"], "inside": "169.254.20.1/30", "psk-file": "psk"}
    connection = {k.replace("_", "-"): v for k, v in connection.items()}
    base = {"networks": ["10.2.0.0/24"], "mode": "add", "ike": [IKE], "esp": [ESP],
            "retry-max": "2s", "tunnels": [merged(first, tunnel), second]}
    return json.dumps({"log": "debug", "connections": {"site": merged(base, connection)}}, indent=1)


def theirs(top=None, **connection):
    """The peer's specification: keys of its connection, and in `top` those of the charon."""
    base = {"local": B["1"], "remote": A["1"], "psk": PSK, "proposals": IKE, "esp": ESP,
            "local_ts": ["10.2.0.0/24", INSIDE["b"] + "/32"],
            "remote_ts": ["10.1.0.0/24", INSIDE["a"] + "/32"]}
    return merged({"connections": {"site": merged(base, connection)},
                   "addresses": [INSIDE["b"] + "/32"]}, top)


class Bench:
    """`with Bench(...) as b`: both run; at the end both are stopped and their files removed."""

    def __init__(self, lab, report, here=None, there=None, binary=None, env=None):
        self.lab, self.report = lab, report
        binary = binary or lib.build("tandem", os.environ.get("TANDEM_BUILD", "plain"))
        self.here = here or ours()
        self.tandem = lib.Tandem(lab, "gw-a", self.here, {"psk": PSK.encode() + b"\n"},
                                 binary=binary, env=env)
        self.charon = lib.StrongSwan(lab, "gw-b", there or theirs())
        self.failed_before = report.failed

    def __enter__(self):
        try:
            self.charon.start()
            self.tandem.start()
        except lib.Trouble:
            self.tails()
            self.__exit__()
            raise
        return self

    def __exit__(self, kind=None, trouble=None, trace=None):
        if kind or self.report.failed > self.failed_before:
            self.tails()
        self.tandem.stop()
        self.charon.stop()
        shutil.rmtree(self.tandem.dir, ignore_errors=True)

    def check(self, holds, what, detail=""):
        return self.report.check(holds, what, detail)

    def tails(self, n=30):
        for who, text in (("tandem", self.tandem.log_text()), ("strongSwan", self.charon.log_text())):
            self.report.say(f"     ---- the last lines of {who}")
            for line in text.strip().split("\n")[-n:]:
                self.report.say("     " + line[:400])

    # ---- other configurations, while both run ----

    def change(self, here=None, there=None, psk=None):
        if there:
            self.charon.load(there)
        self.here = here or self.here
        self.tandem.configure(self.here, {"psk": (psk or PSK).encode() + b"\n"})
        answer = self.tandem.cli("reload")
        if not answer["ok"]:
            raise lib.Trouble(f"reload: {answer['error']} {answer['errors']}")
        lib.wait_for("the device to be there again", lambda: "dev td-site" in self.lab.run(
            "gw-a", "ip", "route", "show", "10.2.0.0/24").stdout, 5)

    # ---- what is ----

    def connection(self):
        return self.tandem.status()["connections"][0]

    def tunnel(self):
        return self.connection()["tunnels"][0]

    def up(self):
        return self.tunnel()["state"] == "up" and self.charon.up("site")

    def wait_up(self, timeout=10):
        lib.wait_for("the tunnel to be up at both", self.up, timeout, 0.05)

    def at_peer(self):
        """The peer's IKE SAs with us, without openings that nobody finished."""
        return [sa for sa in self.charon.list_sas() if sa["name"] == "site"]

    def wait_down(self, timeout=10):
        """Gone at both, and each has heard it."""
        lib.wait_for("the tunnel to be gone at both", lambda: self.tunnel()["state"] == "down" and
                     self.at_peer() == [], timeout, 0.05)

    def sas(self):
        """(IKE SAs, Child SAs) at Tandem, the same at the peer (only those that carry)."""
        status, there = self.tandem.status(), self.at_peer()
        carrying = [c for sa in there for c in sa["children"] if c["state"] == "INSTALLED"]
        here = status["ike"]
        trying = status["connections"][0]["tunnels"][1]["ike_spi_i"] is not None    # tunnel 2, in vain
        return (here["ike_sas"] - trying, here["child_sas"]), (len(there), len(carrying))

    def one_of_each(self, timeout=12):
        """Wait until nothing superfluous is left; True if that came."""
        try:
            lib.wait_for("one SA of each kind", lambda: self.sas() == ((1, 1), (1, 1)), timeout, 0.1)
        except lib.Trouble:
            return False
        return True

    # ---- logs ----

    def mark(self):
        """Where the logs are now: hand it to said() and heard()."""
        return len(self.tandem.log_text()), len(self.charon.log_text())

    def said(self, pattern, mark=(0, 0), timeout=5):
        """Tandem's first log line since `mark` that matches, or None."""
        return self.find(lambda: self.tandem.log_text()[mark[0]:], pattern, timeout)

    def heard(self, pattern, mark=(0, 0), timeout=5):
        """The peer's."""
        return self.find(lambda: self.charon.log_text()[mark[1]:], pattern, timeout)

    def find(self, text, pattern, timeout):
        def look():
            return next((line for line in text().split("\n") if re.search(pattern, line)), None)
        try:
            return lib.wait_for(pattern, look, timeout, 0.05)
        except lib.Trouble:
            return None

    # ---- doing ----

    def open_ours(self):
        self.tandem.cli("up", "site/1")
        self.wait_up()

    def open_theirs(self):
        self.charon.initiate("site")
        self.wait_up()

    def open(self, who):
        self.open_ours() if who == "tandem" else self.open_theirs()

    def close_ours(self):
        self.tandem.cli("down", "site/1")
        self.wait_down()

    def close_theirs(self):
        self.charon.terminate("site")
        self.wait_down()

    def rekey(self, who, ike=False):
        """One rekey, begun by "tandem" or "strongswan"; returns when Tandem counts it."""
        key = "ike_rekeys" if ike else "rekeys"
        before = self.tunnel()[key]
        if who == "tandem":
            self.tandem.cli("rekey", "site/1", *(["--ike"] if ike else []))
        else:
            self.charon.rekey("site", child=not ike)
        lib.wait_for(f"{who}'s rekey of the {'IKE' if ike else 'Child'} SA",
                     lambda: self.tunnel()[key] > before, 8, 0.02)
        time.sleep(0.2)                 # the delete of the old one

    def pings(self, there, back, sizes):
        lost = []
        for ns, to in (("lan-a", there), ("lan-b", back)):
            for size in sizes:
                done = self.lab.run(ns, "ping", "-n", "-c", 3, "-i", 0.01, "-W", 1, "-s", size, to,
                                    check=False).stdout
                if " 0% packet loss" not in done:
                    lost.append(f"{ns} to {to}, {size} bytes")
        return lost

    def passes(self, six=False, sizes=(64, 1300)):
        """What did not pass, of echoes both ways and of some sizes: an empty list is well."""
        end = "6" if six else ""
        return self.pings(LAN["b" + end], LAN["a" + end], sizes)

    def check_passes(self, what, six=False, sizes=(64, 1300)):
        lost = self.passes(six, sizes)
        return self.check(not lost, what, ", ".join(lost))

    def load(self, seconds, rate=1000):
        """Numbered datagrams both ways for so long; read them with settle()."""
        return self.lab.stream("lan-a", "udp", LAN["b"], rate=rate, time=seconds)

    def settle(self, load):
        figures = lib.stream_result(load)
        self.lab.children.remove(load)
        return figures
