"""What the lab keeps on this machine: its state file, its namespaces, its processes."""

import errno
import json
import os
import shutil
import signal
import subprocess
import time

RUN = "/run/tandem-lab"
NETNS = "/run/netns"
SHORT = ["lan-a", "gw-a", "path-1", "path-2", "gw-b", "lan-b"]
INSTALL = {"ip": "iproute2", "tc": "iproute2", "nft": "nftables", "sysctl": "procps",
           "ethtool": "ethtool", "tcpdump": "tcpdump", "conntrack": "conntrack", "make": "make"}


class Failure(Exception):
    """Something did not work; the text is a sentence for the person at the keyboard."""


class Usage(Failure):
    """The command line asks for what cannot be."""


def need_tools(*names):
    missing = [n for n in names if not shutil.which(n)]
    if missing:
        packages = sorted({INSTALL.get(n, n) for n in missing})
        raise Failure(f"{' and '.join(missing)} not found: apt-get install {' '.join(packages)}")


def namespaces():
    try:
        return sorted(os.listdir(NETNS))
    except FileNotFoundError:
        return []


def start_time(pid):
    """The kernel's start tick of a process: with the pid it names one process for good, else None."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def end_process(proc, first=signal.SIGTERM, patience=5.0):
    """End a recorded process, by force if it does not go.  True if it was alive."""
    if start_time(proc["pid"]) != proc["start"]:
        return False
    for sig in (first, signal.SIGKILL):
        try:
            os.kill(proc["pid"], sig)
        except ProcessLookupError:
            return True
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if start_time(proc["pid"]) != proc["start"]:
                return True
            time.sleep(0.01)
    raise Failure(f"process {proc['pid']} ({proc['what']}) does not end, not even by SIGKILL")


class Lab:
    def __init__(self, name):
        self.name = name
        self.file = os.path.join(RUN, name + ".json")
        self.dir = os.path.join(RUN, name)
        self.state = None

    # ---- names ----

    def ns(self, short):
        if short not in SHORT:
            raise Failure(f"there is no namespace {short!r} in a lab: {', '.join(SHORT)}")
        return f"{self.name}-{short}"

    def all_ns(self):
        return {s: self.ns(s) for s in SHORT}

    def existing(self):
        return [n for n in namespaces() if n in self.all_ns().values()]

    # ---- state ----

    def create(self, options):
        import path
        os.makedirs(self.dir, mode=0o700, exist_ok=True)
        self.state = {"version": 1, "name": self.name, "created": int(time.time()),
                      "options": options, "paths": {"1": path.fresh(), "2": path.fresh()},
                      "processes": []}
        self.save()

    def load(self):
        try:
            with open(self.file) as f:
                self.state = json.load(f)
        except FileNotFoundError:
            left = self.existing()
            if left:
                raise Failure(f"lab {self.name!r} was only half built or half removed "
                              f"({', '.join(left)}): `lab down --name {self.name}`, then `lab up`")
            raise Failure(f"there is no lab {self.name!r}: "
                          f"build it with `lab up --name {self.name}`")
        except ValueError:
            raise Failure(f"{self.file} is damaged: `lab down --name {self.name}` clears it away")

    def save(self):
        """Whole or not at all: a crash or a full disk leaves the old file."""
        new = self.file + ".new"
        try:
            with open(new, "w") as f:
                json.dump(self.state, f, indent=1)
                f.flush()
                os.fsync(f.fileno())
            os.rename(new, self.file)
        except OSError:
            try:
                os.unlink(new)
            except OSError:
                pass
            raise

    # ---- running things ----

    def popen_wait(self, argv, stdin=None):
        try:
            return subprocess.run(argv, input=stdin, capture_output=True, text=True)
        except FileNotFoundError:
            need_tools(argv[0])
            raise

    def run(self, argv, ns=None, stdin=None):
        """Run to the end and return standard output; what fails is a Failure with the tool's words."""
        if ns:
            argv = ["ip", "netns", "exec", self.ns(ns)] + argv
        done = self.popen_wait(argv, stdin)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().split("\n")[0]
            raise Failure(f"`{' '.join(argv)}` failed: {said or 'exit ' + str(done.returncode)}")
        return done.stdout

    def ip(self, ns, lines):
        """
        Several `ip` commands in one namespace (None: here), stopping at the first that fails.  A line
        that begins with -4 or -6 is of that family; those come after the others, in their order.
        """
        for family in ("", "-4", "-6"):
            mine = [line[len(family):] for line in lines
                    if (line[:2] if line[0] == "-" else "") == family]
            if mine:
                argv = ["ip"] + ([family] if family else []) + (["-n", self.ns(ns)] if ns else [])
                self.run(argv + ["-batch", "-"], stdin="\n".join(mine) + "\n")

    def spawn(self, ns, what, argv, log):
        """
        Start a process that outlives us.  It waits for a line on its standard input before it becomes
        `argv`, and that line is sent only when the state file knows it: if we die in between, it
        goes too.
        """
        with open(log, "ab", buffering=0) as out:
            child = subprocess.Popen(
                ["ip", "netns", "exec", self.ns(ns), "/bin/sh", "-c",
                 'read -r go && [ "$go" = go ] && exec "$@" </dev/null', "sh"] + argv,
                stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True)
        proc = {"pid": child.pid, "start": start_time(child.pid), "ns": ns, "what": what,
                "log": log}
        others = [p for p in self.state["processes"] if p["what"] != what]
        self.state["processes"] = others + [proc]
        self.save()
        child.stdin.write(b"go\n")
        child.stdin.close()
        child.returncode = 0            # ours no longer: it stays when we go
        return proc

    def process(self, what):
        """The recorded process of that description if it is alive, else None."""
        for p in self.state["processes"]:
            if p["what"] == what and start_time(p["pid"]) == p["start"]:
                return p
        return None

    # ---- captures ----

    def capture(self, ns, dev, file, expression):
        what = f"capture {file}"
        if self.process(what):
            raise Failure(f"a capture into {file} is running: `lab capture --stop` first")
        log = os.path.join(self.dir, f"capture-{ns}-{dev}.log")
        with open(log, "w"):
            pass
        proc = self.spawn(ns, what, ["tcpdump", "-Z", "root", "-U", "--immediate-mode", "-n",
                                     "-i", dev, "-w", file] + expression.split(), log)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with open(log) as f:
                said = f.read()
            if "listening on" in said:
                return {"file": file, "pid": proc["pid"]}
            if not self.process(what):
                break
            time.sleep(0.02)
        raise Failure(f"tcpdump did not start: {said.strip() or 'it said nothing for 10 s'}")

    def capture_stop(self, ns):
        chosen = [p for p in self.state["processes"]
                  if p["what"].startswith("capture ") and ns in (None, p["ns"])]
        if not chosen:
            raise Failure("no capture is running")
        for p in chosen:
            end_process(p, signal.SIGINT)
        self.state["processes"] = [p for p in self.state["processes"] if p not in chosen]
        self.save()
        return [p["what"].split(" ", 1)[1] for p in chosen]

    # ---- taking it down ----

    def remove(self):
        """Everything of this name, whatever state it is in.  Doing it twice does no harm."""
        notes, removed = [], []
        try:
            self.load()
            processes = self.state["processes"]
        except Failure:
            processes = []
        for p in sorted(processes, key=lambda p: not p["what"].startswith("tandem")):
            if end_process(p):
                removed.append(f"process {p['pid']} ({p['what']})")
        for name in self.existing():
            strangers = self.strangers(name, 2.0 if removed else 0)
            if strangers:
                notes.append(f"in {name} still run processes that the lab did not start: "
                             f"{' '.join(strangers)}; the namespace, nameless now, goes with them")
            self.run(["ip", "netns", "del", name])
            removed.append(f"namespace {name}")
        shutil.rmtree(self.dir, ignore_errors=True)
        for f in (self.file, self.file + ".new"):
            if os.path.exists(f):
                os.unlink(f)
                removed.append(f)
        return {"removed": removed, "notes": notes}

    def strangers(self, name, patience):
        """Who is left in a namespace; children of what was just ended have a moment to go."""
        until = time.monotonic() + patience
        while True:
            left = self.popen_wait(["ip", "netns", "pids", name]).stdout.split()
            if not left or time.monotonic() >= until:
                return left
            time.sleep(0.02)

    # ---- telling ----

    def processes(self):
        return [{"what": p["what"], "ns": p["ns"], "pid": p["pid"],
                 "alive": start_time(p["pid"]) == p["start"]} for p in self.state["processes"]]

    def status(self):
        missing = [n for n in self.all_ns().values() if n not in namespaces()]
        dead = [p["what"] for p in self.processes() if not p["alive"]]
        return {"whole": not missing and not dead, "missing": missing, "dead": dead,
                "options": self.state["options"], "paths": self.state["paths"],
                "processes": self.processes()}

    def summary(self):
        try:
            self.load()
        except Failure as e:
            return {"name": self.name, "whole": False, "why": str(e)}
        return {"name": self.name, "whole": self.status()["whole"],
                "created": self.state["created"]}

    def explain(self, e):
        if isinstance(e, Failure):
            return str(e)
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"no space left for {e.filename or self.file}: make room in {RUN} and try again"
        return f"{e.filename or RUN}: {e.strerror}"
