"""
The rows: what is measured of a contender, each a function of (contender, tools, seconds) that
returns a dict of plain figures.  Units are in the names: gbit, pps (packets a second), cpu_ns_byte
(nanoseconds of gateway processor for each payload byte), us (microseconds), kb.

A figure that could not be had is a lib.Trouble with a sentence.
"""

import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import threading
import time

import lib
from meter import Meter, memory_kb
from net import HOST, congestion

LOSS_MAX = 0.005
CLOSE = 1.05                    # the search ends when what fails is this near to what passes
STEPS = 12


# ---- the tools: iperf3 and flood, kept running at the far host where they can --------------------

class Tools:
    """The load generators of one contender."""

    def __init__(self, net):
        self.net, self.flood, self.sink, self.run_id = net, lib.build("netns/flood"), None, 0

    def iperf3(self, seconds, *options):
        """One run of iperf3 from host-a to host-b: its report as a dict."""
        # Without reports by the second: nobody reads them, and a full pipe would stop the server.
        server = self.net.popen("host-b", "iperf3", "-s", "-1", "-i", 0, "--forceflush")
        try:
            self.listening(server)
            argv = self.net.argv("host-a", "iperf3", "-c", HOST["b"], "-t", seconds, "-J",
                                 "-C", congestion(), "--connect-timeout", 5000, *options)
            said = lib.run(argv, check=False, timeout=seconds + 20).stdout
        finally:
            lib.end(server)
            self.net.children.remove(server)
        try:
            report = json.loads(said)
        except ValueError:
            raise lib.Trouble(f"iperf3 said: {said.strip()[-200:] or 'nothing'}")
        if "error" in report:
            raise lib.Trouble(f"iperf3: {report['error']}")
        return report["end"]

    @staticmethod
    def listening(server):
        timer = threading.Timer(10, server.kill)
        timer.start()
        try:
            for line in server.stdout:
                if "listening" in line:
                    return
        finally:
            timer.cancel()
        raise lib.Trouble("the iperf3 server did not start")

    def sink_up(self):
        if self.sink is None or self.sink.poll() is not None:
            self.sink = self.net.popen("host-b", self.flood, "sink", stdin=subprocess.PIPE)
            if self.sink.stdout.readline().strip() != "ready":
                raise lib.Trouble("the sink did not start")

    def send(self, size, rate, seconds, gso=False):
        """One burst of datagrams: (what the source says, what the sink says, the gateways' time)."""
        self.sink_up()
        self.run_id += 1
        meter = Meter(self.net)
        said = self.net.run("host-a", self.flood, "source", "--to", HOST["b"], "--size", size,
                            "--rate", int(rate), "--time", seconds, "--run", self.run_id,
                            *(["--gso"] if gso else []), timeout=seconds + 20).stdout
        self.sink.stdin.write("?\n")
        self.sink.stdin.flush()
        heard = self.sink.stdout.readline()
        spent = meter.done()
        try:
            sent, heard = json.loads(said), json.loads(heard)
        except ValueError:
            raise lib.Trouble(f"flood said: {(said + heard).strip()[-200:]}")
        if heard["run"] != self.run_id:
            heard = {"received": 0, "reordered": 0, "seconds": 0.0}
        return sent, heard, spent


# ---- TCP -----------------------------------------------------------------------------------------

def per(spent, amount, unit=1e9):
    """Processor time of either gateway and of both for each of `amount`, in `unit`ths of a second."""
    if not amount or spent["a"] is None or spent["b"] is None:
        return {"out": None, "in": None, "both": None}
    return {"out": spent["a"] / amount * unit, "in": spent["b"] / amount * unit,
            "both": (spent["a"] + spent["b"]) / amount * unit}


def tcp_figures(spent, gbit, octets, retransmits):
    cost = per(spent, octets)
    return {"gbit": gbit, "cpu_ns_byte": cost["both"], "cpu_out_ns_byte": cost["out"],
            "cpu_in_ns_byte": cost["in"], "machine_ns_byte": spent["machine"] / octets * 1e9,
            "bytes": octets, "retransmits": retransmits}


def tcp(contender, tools, seconds, *options):
    meter = Meter(contender.net)
    end = tools.iperf3(seconds, *options)
    spent = meter.done()
    got = end["sum_received"]
    if not got["bytes"]:
        raise lib.Trouble("iperf3 moved nothing")
    return tcp_figures(spent, got["bits_per_second"] / 1e9, got["bytes"],
                       end["sum_sent"].get("retransmits"))


def tcp1(contender, tools, seconds):
    return tcp(contender, tools, seconds)


def tcp4(contender, tools, seconds):
    return tcp(contender, tools, seconds, "-P", 4)


def bidir(contender, tools, seconds):
    """Both directions at once: the sum, and each.  Either gateway seals and opens."""
    meter = Meter(contender.net)
    end = tools.iperf3(seconds, "--bidir")
    spent = meter.done()
    there, back = end["sum_received"], end["sum_received_bidir_reverse"]
    octets = there["bytes"] + back["bytes"]
    if not octets:
        raise lib.Trouble("iperf3 moved nothing")
    gbit = (there["bits_per_second"] + back["bits_per_second"]) / 1e9
    figures = tcp_figures(spent, gbit, octets, end["sum_sent"].get("retransmits"))
    return {**figures, "gbit_out": there["bits_per_second"] / 1e9,
            "gbit_back": back["bits_per_second"] / 1e9}


# ---- UDP -----------------------------------------------------------------------------------------

class Search:
    """The highest rate at which less than LOSS_MAX is lost.  Each try is a burst of its own."""

    def __init__(self, tools, size, seconds, steps, gso=False):
        self.tools, self.size, self.gso = tools, size, gso
        self.steps, self.seconds = steps, seconds
        self.best, self.tries = None, []

    def attempt(self, rate):
        """Returns what one try at `rate` (0: as fast as the source can) came to, and keeps the best."""
        sent, heard, spent = self.tools.send(self.size, rate, self.seconds, self.gso)
        if not sent["sent"]:
            raise lib.Trouble("the source could send nothing")
        # What queues held back at the end is not rate: the longer of the two times counts.
        lasted = max(sent["seconds"], heard["seconds"])
        one = {"asked": rate, "offered": sent["sent"] / sent["seconds"],
               "pps": heard["received"] / lasted, "loss": 1 - heard["received"] / sent["sent"],
               "reordered": heard["reordered"], "spent": spent, "received": heard["received"]}
        one["passes"] = one["loss"] <= LOSS_MAX and heard["received"] > 0
        self.tries.append(one)
        if one["passes"] and (self.best is None or one["pps"] > self.best["pps"]):
            self.best = one
        return one

    def run(self, guess):
        """
        `guess`: where to begin, such as the last round's answer; None for what came through when
        the source sent as fast as it could, which is tried first in any case.  Strides away from
        there double until a rate passes below one that fails; then the middle of the two is next.
        """
        flood = self.attempt(0)
        if flood["passes"]:
            return flood
        low, high, stride = None, flood["offered"], 1.2
        rate = max(1000, min(guess or flood["pps"], high * 0.97))
        for _ in range(self.steps):
            if self.attempt(rate)["passes"]:
                low = rate
            else:
                high = rate
            if low is not None and high / low < CLOSE:
                break
            rate = rate / stride if low is None else min(low * stride, math.sqrt(low * high))
            stride *= stride
        return flood


def udp(contender, tools, seconds, size, gso=False):
    """
    Packets a second at under 0.5 % loss, and what arrives when the source sends as fast as it can.
    `size` is that of the inner IP packet.
    """
    quick = seconds < 3
    search = Search(tools, size, max(0.4, seconds / 4), 5 if quick else STEPS, gso)
    key = f"guess-{size}-{gso}"
    flood = search.run(getattr(contender, "guesses", {}).get(key))
    best = search.best
    if best is None:
        least = min(search.tries, key=lambda t: t["loss"])
        raise lib.Trouble(f"no rate of {len(search.tries)} tried stayed under "
                          f"{LOSS_MAX * 100:g} % loss; the least was {least['loss'] * 100:.1f} % at "
                          f"{least['offered']:.0f} packets a second")
    contender.guesses = {**getattr(contender, "guesses", {}), key: best["pps"]}
    cost = per(best["spent"], best["received"])
    return {"pps": best["pps"], "gbit": best["pps"] * size * 8 / 1e9, "loss": best["loss"],
            "cpu_ns_packet": cost["both"], "cpu_out_ns_packet": cost["out"],
            "cpu_in_ns_packet": cost["in"], "reordered": best["reordered"],
            "machine_ns_packet": best["spent"]["machine"] / best["received"] * 1e9,
            "flood_pps": flood["pps"], "flood_offered_pps": flood["offered"],
            "source_is_limit": best is flood, "tries": len(search.tries)}


def udp64(contender, tools, seconds):
    return udp(contender, tools, seconds, 64)


def udp512(contender, tools, seconds):
    return udp(contender, tools, seconds, 512)


def udp1400(contender, tools, seconds):
    return udp(contender, tools, seconds, 1400)


def gso1350(contender, tools, seconds):
    """A sender that hands its kernel whole trains."""
    return udp(contender, tools, seconds, 1350, gso=True)


# ---- round trip and memory -----------------------------------------------------------------------

SPIN = """
import os
os.sched_setaffinity(0, [PROCESSOR])
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while True:
    pass
"""


@contextlib.contextmanager
def awake():
    """
    Keep each processor from sleeping, by what gives way to anything else: to wake a virtual one
    takes longer than all that a packet needs, and not twice the same time.
    """
    spinners = [subprocess.Popen([sys.executable, "-c", SPIN.replace("PROCESSOR", str(n))])
                for n in sorted(os.sched_getaffinity(0))]
    try:
        time.sleep(0.2)
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def ping(contender, tools, seconds):
    """Round trip of single echoes through idle gateways, one each 10 ms: median and spread."""
    count = int(min(200, max(30, seconds * 50)))
    with awake():
        said = contender.net.run("host-a", "ping", "-n", "-c", count, "-i", 0.01, "-W", 1, HOST["b"],
                                 check=False, timeout=60).stdout
    times = [float(line.split("time=")[1].split()[0]) * 1000
             for line in said.split("\n") if "time=" in line]
    if len(times) < count / 2:
        raise lib.Trouble(f"{count - len(times)} of {count} echoes were not answered")
    cut = statistics.quantiles(times, n=20)
    return {"rtt_us": statistics.median(times), "rtt_us_p5": cut[0], "rtt_us_p95": cut[18],
            "unanswered": count - len(times)}


def memory(contender, tools, seconds):
    """Resident memory of the gateways, the mean of the two, after what ran before."""
    both = [memory_kb(contender.net.pids(f"gw-{side}")) for side in "ab"]
    if not any(rss for rss, _ in both):
        return {"rss_kb": None, "pss_kb": None}
    return {"rss_kb": sum(rss for rss, _ in both) / 2, "pss_kb": sum(pss for _, pss in both) / 2}


def idle(contender, tools, seconds):
    """Processor time of a gateway that carries nothing, in percent of a core: the worse of the two."""
    time.sleep(1)                       # what the row before has left
    meter, began = Meter(contender.net), time.monotonic()
    time.sleep(max(10, 3 * seconds))
    spent, lasted = meter.done(), time.monotonic() - began
    if spent["a"] is None or spent["b"] is None:
        return {"cpu_percent": None}
    return {"cpu_percent": 100 * max(spent["a"], spent["b"]) / lasted,
            "cpu_a_percent": 100 * spent["a"] / lasted, "cpu_b_percent": 100 * spent["b"] / lasted}


TABLE = {"tcp1": tcp1, "tcp4": tcp4, "bidir": bidir, "udp64": udp64, "udp512": udp512,
         "udp1400": udp1400, "gso1350": gso1350, "ping": ping, "memory": memory, "idle": idle}
USUAL = [name for name in TABLE if name not in ("gso1350", "idle")]

# What a row is read by: its main figure, and its processor time.
MAIN = {"tcp1": "gbit", "tcp4": "gbit", "bidir": "gbit", "udp64": "pps", "udp512": "pps",
        "udp1400": "pps", "gso1350": "pps", "ping": "rtt_us", "memory": "rss_kb", "idle": "cpu_percent"}


def measure(name, contender, tools, seconds):
    """One cell: figures and the moment, or the sentence why there are none."""
    began = time.time()
    try:
        figures = TABLE[name](contender, tools, seconds)
        return {"ok": True, "at": round(began, 1), **figures}
    except lib.Trouble as trouble:
        return {"ok": False, "at": round(began, 1), "why": str(trouble)}
    except KeyError as missing:
        return {"ok": False, "at": round(began, 1), "why": f"iperf3's report has no {missing}"}
