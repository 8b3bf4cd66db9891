"""
Processor time and memory of the gateways.

The processes of a gateway are all that live in its namespace (the load generators live in others).
Their time is read from the processes' own clocks: user and system time of all threads, ended ones
too, in nanoseconds.  What the kernel does for them in a softirq that interrupts them counts for
them on kernels without CONFIG_IRQ_TIME_ACCOUNTING; what it does in ksoftirqd, or while another
process runs, does not.  The machine's own tally (/proc/stat) is kept beside it for that reason.
"""

import os
import time


def cpu_ns(pid):
    """User and system time of a process with all its threads; None when it has gone."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)       # clock_getcpuclockid(3)
    except OSError:
        return None


def machine():
    """Seconds of all processors by kind since boot."""
    with open("/proc/stat") as f:
        ticks = [int(n) for n in f.readline().split()[1:9]]
    hz = os.sysconf("SC_CLK_TCK")
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    return {name: n / hz for name, n in zip(names, ticks)}


def memory_kb(pids):
    """(RSS, proportional set size) of some processes; pages shared by two count twice in the first."""
    rss = pss = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                fields = dict(line.split(":", 1) for line in f.read().split("\n")[1:] if line)
        except OSError:
            continue
        rss += int(fields["Rss"].split()[0])
        pss += int(fields["Pss"].split()[0])
    return rss, pss


class Meter:
    """Reads the clocks when made; done() gives what went by since."""

    def __init__(self, net):
        self.net = net
        self.before = {s: self.clocks(s) for s in "ab"}
        self.machine = machine()

    def clocks(self, side):
        return {pid: cpu_ns(pid) for pid in self.net.pids(f"gw-{side}")}

    def done(self):
        """
        {"a": s, "b": s, "machine": busy s of the whole machine, "softirq": s}.  A side without
        processes is None: the kernel alone was at work.
        """
        after = machine()
        spent = {}
        for side in "ab":
            now = self.clocks(side)
            total = sum((ns or 0) - (self.before[side].get(pid) or 0) for pid, ns in now.items())
            spent[side] = total / 1e9 if now else None
        gone = {k: after[k] - self.machine[k] for k in after}
        spent["machine"] = sum(gone.values()) - gone["idle"] - gone["iowait"]
        spent["softirq"] = gone["softirq"]
        return spent
