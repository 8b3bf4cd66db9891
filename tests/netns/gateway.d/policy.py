"""Which tunnel carries traffic, and what the verbs do and say."""

import json
import time

import lib
from sites import config

HOLD = 1.0


def exit_code(site):
    return site.command("status")[0]


def watching(t, lab, site):
    """`tandem watch --json` from now on; its events come by events()."""
    child = lab.popen(site.ns, site.binary, "watch", "--json", "--socket", site.socket)
    t.check(json.loads(child.stdout.readline()).get("event") == "watching", "watch --json begins")
    return child


def events(child):
    child.terminate()
    return [json.loads(line) for line in child.communicate(timeout=5)[0].split("\n") if line]


def standby(t):
    """active-standby: failover, return after the hold time, and what status and watch say of it."""
    lab = t.lab()
    a, b = t.pair(lab, hold="1s", liveness="2s")
    t.check(a.live() == [1] and b.live() == [1], "the first tunnel carries traffic", a.live())
    t.check(exit_code(a) == 0, "status: exit code 0 when all is well")
    watch = watching(t, lab, a)
    child = lab.popen("lan-a", "ping", "-n", "-i", "0.02", "10.2.0.2")
    lab.cut("1")
    t.eventually("tunnel 1 cut: traffic goes by tunnel 2, at both ends",
                 lambda: a.live() == [2] and b.live() == [2], 3)
    t.eventually("status: exit code 3 while one tunnel is dead", lambda: exit_code(a) == 3, 3)
    text = a.command("status")[1]
    t.check("degraded" in text and "no answer" in text, "status says why in a person's words",
            next((line.strip() for line in text.split("\n") if "no answer" in line), text[:300]))
    t.pings("LAN to LAN by tunnel 2", lab)
    lab.cut("2")
    t.eventually("both cut: exit code 4", lambda: exit_code(a) == 4, 20, lambda: a.command("status")[1])
    lab.restore("all")
    t.eventually("both back: traffic flows", lambda: lab.ping("lan-a", "10.2.0.2", 1)[0], 15)
    took = t.eventually("and goes by tunnel 1 again after the hold time",
                        lambda: a.live() == [1] and b.live() == [1], 15)
    t.figure(both_back_s=round(took, 2))
    t.eventually("status: exit code 0 again", lambda: exit_code(a) == 0, 5)
    child.terminate()
    heard = events(watch)
    kinds = {e.get("event") for e in heard}
    t.check({"select", "verdict"} <= kinds and all("time" in e and "what" in e and "connection" in e
                                                   for e in heard), "watch --json shows the events",
            f"{len(heard)}: {sorted(kinds)}")


def by_hand(t):
    """failover, --auto, down, up, rekey; each with --json; wrong names and wrong use."""
    lab = t.lab()
    a, b = t.pair(lab, hold="1s")
    ups = [line for line in a.log_text().split("\n") if "tunnel-up" in line]
    t.check(len(ups) == 2, "the log says once of each tunnel that it is up", ups)
    verbs = Verbs(t, a)
    verbs.well("failover", "to-b")
    t.eventually("failover: the other tunnel carries traffic", lambda: a.live() == [2], 2)
    t.stays("and goes on so", lambda: a.live() == [2], 1.5)
    t.pings("traffic flows", lab)
    verbs.well("failover", "to-b/1")
    t.eventually("failover NAME/1: tunnel 1", lambda: a.live() == [1], 2)
    verbs.well("failover", "to-b/2")
    t.eventually("failover NAME/2: tunnel 2", lambda: a.live() == [2], 2)
    verbs.well("failover", "to-b", "--auto")
    t.eventually("failover --auto: as configured again", lambda: a.live() == [1], 4)
    downs(t, verbs, a, b)
    rekeys(t, verbs, a)
    refusals(t, verbs, a)


class Verbs:
    """Each verb once with --json and judged as one object with `ok`."""

    def __init__(self, t, site):
        self.t, self.site = t, site

    def call(self, *words):
        code, out, err = self.site.command(*words, "--json")
        try:
            answer = json.loads(out)
        except ValueError:
            answer = {}
        self.t.check(isinstance(answer.get("ok"), bool), f"{' '.join(words)} --json is one object with ok",
                     "" if "ok" in answer else (out + err)[:200])
        return code, answer

    def well(self, *words):
        code, answer = self.call(*words)
        self.t.check(code == 0 and answer.get("ok") is True, f"{' '.join(words)}: well",
                     answer.get("what", answer.get("error")))
        return answer

    def fails(self, code, *words):
        got, answer = self.call(*words)
        self.t.check(got == code and answer.get("ok") is False and answer.get("error", "") != "",
                     f"{' '.join(words)}: exit code {code} and a sentence", answer.get("error"))


def downs(t, verbs, a, b):
    verbs.well("down", "to-b/1")
    t.eventually("down NAME/1: that tunnel closes, the other carries traffic",
                 lambda: a.up() == [2] and a.live() == [2] and b.up() == [2], 3, lambda: (a.up(), b.up()))
    t.pings("traffic flows by tunnel 2", a.lab)
    t.check(exit_code(a) == 3, "status: exit code 3")
    t.stays("what was closed stays closed, though the peer would open it", lambda: a.up() == [2], 3)
    verbs.fails(1, "failover", "to-b/1")
    verbs.well("up", "to-b/1")
    t.eventually("up NAME/1: it opens", lambda: a.up() == [1, 2] and b.up() == [1, 2], 5)
    t.eventually("and carries traffic after the hold time", lambda: a.live() == [1], 5)
    verbs.well("down", "to-b")
    t.eventually("down NAME: both close", lambda: a.up() == [] and a.live() == [], 3)
    t.check(exit_code(a) == 4, "status: exit code 4")
    t.check(a.lab.ping("lan-a", "10.2.0.2", count=2, wait=0.3)[0] == 0, "no traffic while down")
    verbs.well("up", "to-b")
    t.wait_well(a, b)
    t.eventually("up NAME: traffic flows", lambda: a.lab.ping("lan-a", "10.2.0.2", 1)[0], 5)


def rekeys(t, verbs, a):
    first = [a.tunnel(i)["spi_in"] for i in (1, 2)]
    verbs.well("rekey", "to-b/2")
    t.eventually("rekey NAME/2: new SPI of that tunnel only",
                 lambda: a.tunnel(2)["spi_in"] not in (first[1], None) and a.tunnel(1)["spi_in"] == first[0], 3)
    before = [a.tunnel(i)["ike_spi_i"] for i in (1, 2)]
    verbs.well("rekey", "to-b", "--ike")
    t.eventually("rekey --ike: new IKE SAs of both", lambda: all(
        a.tunnel(i)["ike_spi_i"] not in (before[i - 1], None) for i in (1, 2)), 3)
    t.check(all(a.tunnel(i)["ike_rekeys"] == 1 for i in (1, 2)), "and they are counted")
    t.pings("traffic flows after that", a.lab)


def refusals(t, verbs, a):
    verbs.well("status")
    verbs.well("status", "to-b")
    verbs.well("version")
    verbs.well("reload")
    verbs.well("check")
    for words in (["status", "nobody"], ["up", "nobody"], ["down", "to-b/3"], ["rekey", "to-b/0"],
                  ["failover", "to-b/x"], ["failover", "to-b/1", "--auto"], ["status", "to-b/1"]):
        verbs.fails(1, *words)
    began = time.monotonic()
    done = a.lab.run(a.ns, "sh", "-c", f"{a.binary} watch -s {a.socket} | head -2", check=False, timeout=20)
    t.check(done.stdout.startswith("tandem ") and time.monotonic() - began < 2,
            "watch | head: the status at once, and an end", f"{time.monotonic() - began:.1f} s")
    done = a.lab.run(a.ns, "sh", "-c", f"{a.binary} status -s {a.socket} > /dev/full", check=False)
    t.check(done.returncode == 1 and "No space" in done.stderr, "output to a full disk: exit code 1", done.stderr)
    for words in (["status", "--nonsense"], ["up"], ["dance"], ["status", "a", "b"], ["version", "--ike"]):
        code, out, err = a.command(*words)
        t.check(code == 2 and err != "", f"{' '.join(words)}: usage, exit code 2", err.split("\n")[0])
    socket, a.socket = a.socket, a.dir + "/nothing"
    for words in (["status"], ["up", "to-b"], ["watch"]):
        verbs.fails(1, *words)
    a.socket = socket


def flows(lab, n, seconds):
    """Streams that hash to different tunnels: returns what to wait for."""
    return [lab.stream("lan-a", "udp", "10.2.0.2", rate=50, time=seconds) for _ in range(n)]


def active_active(t):
    """Both tunnels carry flows; when one is lost only its flows move, and they come home."""
    lab = t.lab()
    a, b = t.pair(lab, policy="active-active", hold="1s")
    t.check(a.live() == [1, 2], "both tunnels carry traffic", a.live())
    lab.stream_server("lan-b")
    load = flows(lab, 8, 4)
    time.sleep(1.5)
    lab.cut("1")
    gaps = [r[way]["gap_ms_max"] for r in map(lib.stream_result, load) for way in ("out", "back")]
    moved = [g for g in gaps if g > 200]
    t.check(0 < len(moved) < len(gaps), "one tunnel cut: only its flows have a gap",
            f"{len(moved)} of {len(gaps)}, {max(gaps):.0f} ms; the others at most "
            f"{max([g for g in gaps if g <= 200] or [0]):.0f} ms")
    t.check(max(gaps) <= 1000, "the gap is at most 1 s", f"{max(gaps):.0f} ms")
    t.figure(active_active_gap_ms=round(max(gaps), 1))
    out = [a.tunnel(i)["packets_out"] for i in (1, 2)]
    t.check(min(out) > 100, "both tunnels carried packets", out)
    t.check(a.live() == [2], "now all go by tunnel 2", a.live())
    lab.restore("1")
    t.eventually("restored: both carry traffic again", lambda: a.live() == [1, 2] == b.live(), 8)


def pinned(t):
    """pinned: that tunnel and no other, whatever happens."""
    lab = t.lab()
    a, b = t.pair(lab, policy="pinned", pin=2)
    t.check(a.live() == [2] and b.live() == [2], "pin: 2 carries traffic", a.live())
    Verbs(t, a).fails(1, "failover", "to-b/1")
    child = lab.popen("lan-a", "ping", "-n", "-i", "0.02", "10.2.0.2")
    lab.cut("2")
    t.stays("pinned tunnel cut: traffic does not move", lambda: a.live() == [2], 3)
    t.check(lab.ping("lan-a", "10.2.0.2", count=2, wait=0.3)[0] == 0, "no traffic by the other")
    lab.restore("2")
    t.eventually("restored: traffic flows", lambda: lab.ping("lan-a", "10.2.0.2", 1)[0], 8)
    child.terminate()
    a.configure(config("a", policy="pinned", pin=1))
    a.cli("reload")
    t.eventually("pin: 1 by reload: it moves", lambda: a.live() == [1], 3)


def one_story(t):
    """After a cut that is over, during the hold time, both ends say the same: exit code 0, not dead."""
    lab = t.lab()
    a, b = t.pair(lab, hold="6s")
    child = lab.popen("lan-a", "ping", "-n", "-i", "0.02", "10.2.0.2")
    lab.cut("1")
    t.eventually("tunnel 1 cut: exit code 3 at both ends", lambda: exit_code(a) == exit_code(b) == 3, 3)
    time.sleep(2)
    lab.restore("1")
    t.eventually("restored: exit code 0 at both ends, within the hold time",
                 lambda: exit_code(a) == exit_code(b) == 0, 4)
    t.check(a.live() == b.live() == [2], "while traffic still goes by tunnel 2", (a.live(), b.live()))
    said = [s.tunnel(1)["verdict"] for s in (a, b)]
    t.check(said == ["held", "held"], "both call tunnel 1 held", said)
    for site, name in ((a, "to-b/1"), (b, "to-a/1")):
        answer = site.ask("failover", target=name)
        t.eventually(f"gateway {site.side}: failover by hand ends its hold time",
                     lambda: site.live() == [1], 1, lambda: answer)
    t.stays("and both go on so", lambda: a.live() == b.live() == [1], 3)
    child.terminate()


CASES = {"one-story": one_story, "standby": standby, "by-hand": by_hand, "active-active": active_active, "pinned": pinned}
