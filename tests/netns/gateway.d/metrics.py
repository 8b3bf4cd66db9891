"""`tandem metrics`: the text is of the format, moves with the traffic, and says what status says."""

import json
import re
import time

import lib
from sites import config

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? '
                    r'([-+]?(?:[0-9.]+(?:e[-+]?[0-9]+)?|Inf))')
# metric of a tunnel: where status has it
TUNNEL = {"tandem_tunnel_packets_total{direction=in}": "packets_in",
          "tandem_tunnel_packets_total{direction=out}": "packets_out",
          "tandem_tunnel_bytes_total{direction=in}": "bytes_in",
          "tandem_tunnel_bytes_total{direction=out}": "bytes_out",
          "tandem_tunnel_rekeys_total{sa=child}": "rekeys",
          "tandem_tunnel_sequence_gaps_total": "sequence_gaps",
          "tandem_tunnel_drops_total": "drops", "tandem_tunnel_live": "live"}


def parsed(text):
    """{(name, frozenset of label=value)}: value; raises Trouble for a line that is wrong."""
    found, typed = {}, None
    for line in text.split("\n")[:-1]:
        if line.startswith("# TYPE "):
            typed = line.split()[2]
        if line.startswith("#"):
            continue
        m = SAMPLE.fullmatch(line)
        if not m or not typed or not m[1].startswith(typed):
            raise lib.Trouble(f"not of the format (in {typed}): {line}")
        labels = frozenset(re.findall(r'(\w+)="([^"]*)"', m[2] or ""))
        if (m[1], labels) in found:
            raise lib.Trouble(f"twice: {line}")
        found[m[1], labels] = float(m[3])
    return found


def of_tunnel(found, connection, key, tunnel):
    name, _, label = key.rstrip("}").partition("{")
    more = [tuple(label.split("="))] if label else []
    return found[name, frozenset([("connection", connection), ("tunnel", str(tunnel))] + more)]


def total(found, name, **labels):
    """The sum of all series of that name with these labels."""
    return sum(v for (n, have), v in found.items() if n == name and have >= set(labels.items()))


def look(t, site):
    """Metrics between two looks at the status: whatever is a counter lies between them."""
    before = site.status()
    code, out, err = site.command("metrics")
    after = site.status()
    t.check(code == 0 and not err, "tandem metrics: exit code 0", err)
    found = parsed(out)
    wrong, name = [], before["connections"][0]["name"]
    for i, (old, new) in enumerate(zip(before["connections"][0]["tunnels"],
                                       after["connections"][0]["tunnels"])):
        for key, where in TUNNEL.items():
            if not old[where] <= of_tunnel(found, name, key, i + 1) <= new[where]:
                wrong.append((key, i + 1, old[where], of_tunnel(found, name, key, i + 1), new[where]))
    for stage in before["packets"]:
        value = total(found, "tandem_packets_total", stage=stage)
        if not before["packets"][stage] <= value <= after["packets"][stage]:
            wrong.append((stage, before["packets"][stage], value, after["packets"][stage]))
    for (series, labels), value in found.items():
        reason = dict(labels).get("reason")
        if series == "tandem_drops_total" and not (before["drops"].get(reason, 0) <= value <=
                                                 after["drops"].get(reason, 0)):
            wrong.append((reason, before["drops"], value))
    t.check(not wrong, "metrics agree with status --json", wrong or f"{len(found)} series")
    return found


def sums(t, found):
    """What is counted in two places is the same."""
    sent = total(found, "tandem_packets_total", stage="out_sent") + \
        total(found, "tandem_drops_total", reason="out-send")
    t.check(abs(total(found, "tandem_batch_datagrams_sum", direction="out") - sent) <= 5 and sent > 100,
            "the histogram's sum is the packets sent", sent)
    for way in ("in", "out"):
        sas = total(found, "tandem_sa_packets_total", direction=way)
        tunnels = total(found, "tandem_tunnel_packets_total", direction=way)
        t.check(abs(sas - tunnels) <= 5 and sas > 100, f"before a rekey the SAs carried all, {way}",
                f"{sas:.0f} of {tunnels:.0f}")
    t.check(total(found, "tandem_process_memory_bytes") > 1 << 20, "memory of the process",
            total(found, "tandem_process_memory_bytes"))
    reasons = sum(n == "tandem_drops_total" for n, _ in found)
    t.check(reasons > 20, "drops by reason, the zero ones too", f"{reasons} reasons")


def gaps(t, lab, a, b):
    """What the path loses is what the far end misses, once the SA has ended; a rekey loses nothing."""
    lab.drop("1", "5", direction="a")
    lab.stream_server("lan-b")
    load = lib.stream_result(lab.stream("lan-a", "udp", "10.2.0.2", rate=500, time=3))
    lab.clear("1")
    lost = load["out"]["lost"]
    t.check(lost > 20, "the path lost packets", lost)
    lab.ping("lan-a", "10.2.0.2", count=3)
    a.ask("rekey", target="to-b/1")

    def missing():
        here, there = a.tunnel(1), b.tunnel(1)
        return here["packets_out"] - there["packets_in"], there["sequence_gaps"]
    t.eventually("sequence gaps at the far end are what was sealed and never opened",
                 lambda: missing()[0] == missing()[1] >= lost, 10, missing)
    t.check(a.tunnel(1)["sequence_gaps"] == 0, "nothing is missing the other way")
    before = missing()[1]
    load = lab.stream("lan-a", "udp", "10.2.0.2", rate=500, time=3)
    time.sleep(1)
    a.ask("rekey", target="to-b/1")
    two = b.tunnel(1)["sas"]
    load = lib.stream_result(load)
    time.sleep(6)
    t.check(load["out"]["lost"] == 0 and missing()[1] == before, "a rekey under traffic leaves no gap",
            f"{missing()[1] - before} gaps, {load['out']['lost']} lost")
    t.check({sa["direction"] for sa in two} == {"in", "out"} and len(b.tunnel(1)["sas"]) == 2,
            "status has the SAs of each direction", b.tunnel(1)["sas"])


def failures(t, a, b):
    """A peer that comes back with another key is seen in the counters of IKE."""
    b.stop()
    b.configure(config("b"), {"psk": b"not the secret of the other end, but as long as that one\n"})
    b.start()
    t.eventually("the peer refuses us", lambda: a.status()["ike"]["openings_failed"] > 0, 15)
    found = {site: look(t, site) for site in (a, b)}
    t.check(total(found[a], "tandem_ike_failures_total", reason="opening") >= 1 and
            total(found[a], "tandem_tunnel_up") == 0, "tunnels are down, failures are there")
    t.check(sum(total(f, "tandem_ike_failures_total", reason="authentication")
                for f in found.values()) >= 1, "and why: the key")


def metrics(t):
    lab = t.lab()
    a, b = t.pair(lab)
    first = look(t, a)
    t.pings("LAN to LAN", lab, count=100, interval=0.005)
    lab.ping("lan-a", "10.2.0.2", count=100, interval=0.005)
    second = look(t, a)
    t.check(total(second, "tandem_tunnel_packets_total", direction="out") >=
            total(first, "tandem_tunnel_packets_total", direction="out") + 200, "counters move")
    sums(t, second)
    answer = json.loads(a.command("metrics", "--json")[1])
    t.check(answer["ok"] and {m["name"] for m in answer["metrics"]} >=
            {n.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for n, _ in second},
            "--json has the same metrics")
    gaps(t, lab, a, b)
    failures(t, a, b)
    a.stop()
    code, out, err = a.command("metrics")
    t.check(code == 1 and out == "" and "no daemon" in err, "without a daemon: exit code 1, no output", err)


CASES = {"metrics": metrics}
