"""
What the tests with real processes share.

  Lab         scripts/lab as an object: up, down, its verbs, running things in its namespaces
  Stream      the load and gap meter (stream.c): a server and its clients
  Tandem      a gateway process and its command line
  StrongSwan  a foreign peer (in peer.py)
  Report      one line a check, and the line and the exit code at the end

Nothing here prints but Report.  What goes wrong raises Trouble with a sentence.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True


class Trouble(Exception):
    """Something that a test needs did not work."""


def run(argv, check=True, timeout=60, stdin=None):
    """Run to the end; returns the CompletedProcess with text.  `check`: a failure raises Trouble."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, input=stdin)
    except subprocess.TimeoutExpired:
        raise Trouble(f"`{' '.join(argv)}` was not done after {timeout} s")
    except FileNotFoundError:
        raise Trouble(f"{argv[0]} not found: run scripts/deps --test")
    if check and done.returncode != 0:
        raise Trouble(f"`{' '.join(argv)}` ended with {done.returncode}: "
                      f"{(done.stderr or done.stdout).strip()[-500:]}")
    return done


def wait_for(what, test, timeout=10.0, step=0.02):
    """Call `test` until it returns something true, and return that; after `timeout` seconds Trouble."""
    until = time.monotonic() + timeout
    while True:
        value = test()
        if value:
            return value
        if time.monotonic() > until:
            raise Trouble(f"waited {timeout} s in vain for {what}")
        time.sleep(step)


def end(proc, sig=signal.SIGTERM, timeout=10):
    """End a child that we started and wait for it; by force after `timeout`.  Its exit code."""
    if proc.poll() is None:
        proc.send_signal(sig)
        try:
            proc.wait(timeout)
        except subprocess.TimeoutExpired:
            proc.kill()
            proc.wait()
    return proc.returncode


def build(target, variant="plain"):
    """
    The path of a built program ("netns/stream", "tandem").  Our small tools are made when they are
    missing or older than their source, a gateway only when it is missing.
    """
    path = os.path.join(ROOT, "build", variant, target)
    stale = not os.path.exists(path)
    if target.startswith("netns/") and not stale:
        stem = os.path.join(HERE, os.path.basename(target))
        sources = [stem + ".c"] + ([os.path.join(stem, f) for f in os.listdir(stem)]
                                   if os.path.isdir(stem) else [])
        stale = os.path.getmtime(path) < max(os.path.getmtime(f) for f in sources)
    if stale:
        san = {"plain": [], "address-undefined": ["SAN=address,undefined"], "thread": ["SAN=thread"]}
        run(["make", "-s", "-C", ROOT] + san[variant] + [f"build/{variant}/{target}"], timeout=900)
    return path


# ---- the lab -------------------------------------------------------------------------------------

class Lab:
    """
    One lab, taken down when a `with` block ends.  Options of `up` as keywords: nat="a", leaky=True...
    A verb is a method: lab.verb("cut", "1", direction="a") or lab.cut("1").  Each returns the parsed
    answer; a verb that fails raises Trouble.
    """

    def __init__(self, name="labtest", **options):
        self.name, self.options, self.children = name, options, []

    def __enter__(self):
        self.down()
        return self.up(**self.options)

    def __exit__(self, *exc):
        for child in self.children:
            end(child)
        self.down()

    def verb(self, verb, *args, check=True, **options):
        argv = [os.path.join(ROOT, "scripts/lab"), verb, "--name", self.name, "--json"]
        for key, value in options.items():
            flag = "--" + key.replace("_", "-")
            for one in value if isinstance(value, list) else [value]:
                argv += [flag] if one is True else [] if one in (None, False) else [flag, str(one)]
        done = run(argv + [str(a) for a in args], check=False, timeout=300)
        try:
            answer = json.loads(done.stdout.strip().split("\n")[-1])
        except ValueError:
            raise Trouble(f"lab {verb}: {done.stderr.strip() or done.stdout.strip()}")
        if check and not answer["ok"]:
            raise Trouble(f"lab {verb}: {answer.get('error')}")
        return answer

    def up(self, **options):
        self.verb("up", **options)
        return self

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **options: self.verb(name.replace("_", "-"), *args, **options)

    def argv(self, ns, *command):
        return ["ip", "netns", "exec", f"{self.name}-{ns}"] + [str(c) for c in command]

    def run(self, ns, *command, check=True, timeout=60):
        return run(self.argv(ns, *command), check, timeout)

    def popen(self, ns, *command, **kw):
        """A child in a namespace, ended when the lab goes down."""
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.STDOUT)
        child = subprocess.Popen(self.argv(ns, *command), text=True, **kw)
        self.children.append(child)
        return child

    def ping(self, ns, to, count=3, interval=0.02, wait=1, source=None):
        """How many of `count` echoes were answered, and the round trips in ms."""
        done = self.run(ns, "ping", "-n", "-c", count, "-i", interval, "-W", wait,
                        *(["-I", source] if source else []), to, check=False)
        times = [float(line.split("time=")[1].split()[0])
                 for line in done.stdout.split("\n") if "time=" in line]
        return len(times), times

    def stream_server(self, ns, port=7000, bind=None):
        """Start `stream server` there and return when it listens."""
        child = self.popen(ns, build("netns/stream"), "server", "--port", port,
                           *(["--bind", bind] if bind else []))
        if child.stdout.readline().strip() != "ready":
            raise Trouble(f"stream server in {ns} did not start: {child.stdout.read()}")
        return child

    def stream(self, ns, kind, to, **options):
        """Start `stream udp` or `stream tcp`; read it with stream_result()."""
        flags = [w for k, v in options.items() for w in (f"--{k}", str(v))]
        return self.popen(ns, build("netns/stream"), kind, "--to", to, *flags)


def stream_result(child, timeout=120):
    """Wait for a stream client and return its JSON object."""
    try:
        out, _ = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Trouble(f"stream was not done after {timeout} s")
    try:
        return json.loads(out.strip().split("\n")[-1])
    except ValueError:
        raise Trouble(f"stream said: {out.strip()[-300:]}")


# ---- our gateway ---------------------------------------------------------------------------------

class Tandem:
    """
    A gateway in a namespace of a lab.  `config` is the text of its configuration; secrets are
    {file name: bytes}, put beside it with mode 0600.
    """

    def __init__(self, lab, ns, config, secrets=None, binary=None, env=None):
        self.lab, self.ns, self.env = lab, ns, env
        self.binary = binary or build("tandem")
        self.dir = tempfile.mkdtemp(prefix=f"tandem-{lab.name}-{ns}-")
        self.config = os.path.join(self.dir, "tandem.yaml")
        self.socket = os.path.join(self.dir, "sock")
        self.log = os.path.join(self.dir, "log")
        self.child = None
        self.configure(config, secrets)

    def configure(self, config, secrets=None):
        """Write the configuration anew; a running gateway takes it at cli("reload")."""
        for name, secret in (secrets or {}).items():
            path = os.path.join(self.dir, name)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
                f.write(secret)
        with open(self.config, "w") as f:
            f.write(config)

    def start(self, wait=10):
        self.started = time.monotonic()
        with open(self.log, "a") as log:
            self.child = subprocess.Popen(
                self.lab.argv(self.ns, self.binary, "run", "--config", self.config,
                              "--socket", self.socket),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, **(self.env or {})})
        wait_for(f"the gateway in {self.ns} to answer (log: {self.log})", self.answers, wait)
        return self

    def answers(self):
        if self.child.poll() is not None:
            with open(self.log) as f:
                raise Trouble(f"the gateway in {self.ns} ended with {self.child.returncode}: "
                              f"{f.read().strip()[-1500:]}")
        if not os.path.exists(self.socket):
            return False
        # One that was killed a moment ago may have left its socket, or still answer there.
        answer = self.cli("status", check=False) or {"ok": False}
        return answer["ok"] and answer["uptime_s"] <= time.monotonic() - self.started

    def cli(self, verb, *args, check=True):
        """`tandem VERB --json`: the parsed answer.  With check=False None if there is none."""
        done = self.lab.run(self.ns, self.binary, verb, *args, "--socket", self.socket, "--json",
                            check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            if check:
                raise Trouble(f"tandem {verb}: {(done.stderr or done.stdout).strip()[-500:]}")
            return None

    def status(self):
        return self.cli("status")

    def log_text(self):
        with open(self.log) as f:
            return f.read()

    def stop(self, sig=signal.SIGTERM):
        return end(self.child, sig) if self.child else None


def sanitizer_reports(text):
    """The lines of a log in which a sanitizer speaks."""
    return [line for line in text.split("\n")
            if any(word in line for word in ("Sanitizer", "runtime error", "SUMMARY"))]


# ---- telling -------------------------------------------------------------------------------------

class Report:
    """
    Counts checks.  Each is one line; the last line is `N passed, N failed, N skipped`, or with
    `--json` among the arguments one JSON object with `ok` and the figures.
    """

    def __init__(self, argv=()):
        self.json = "--json" in argv
        self.passed = self.failed = self.skipped = 0
        self.figures = {}

    def say(self, text):
        print(text, file=sys.stderr if self.json else sys.stdout, flush=True)

    def check(self, holds, what, detail=""):
        self.passed += bool(holds)
        self.failed += not holds
        self.say(f"{'ok  ' if holds else 'FAIL'} {what}" + (f": {detail}" if detail != "" else ""))
        return bool(holds)

    def skip(self, what, why):
        self.skipped += 1
        self.say(f"skip {what}: {why}")

    def figure(self, **values):
        self.figures.update(values)

    def finish(self):
        """Print the last line and return the exit code."""
        line = f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
        self.say(line)
        if self.json:
            print(json.dumps({"ok": self.failed == 0, "passed": self.passed, "failed": self.failed,
                              "skipped": self.skipped, **self.figures}))
        return 0 if self.failed == 0 and self.passed > 0 else 1


from peer import StrongSwan                                     # noqa: E402,F401
