"""Reload: what changed is touched, nothing else; mistakes change nothing; tandem check."""

import json
import os

import lib
from sites import config, connection, yaml


def text_of(connections, top=None):
    return yaml({**(top or {}), "connections": connections}, 0)


def spis(site, name):
    return [(t["spi_in"], t["spi_out"], t["ike_spi_i"]) for t in site.conn(name)["tunnels"]]


def names(site):
    return [c["name"] for c in site.status()["connections"]]


def reload(t, site, text, what, good=True):
    site.configure(text)
    answer = site.ask("reload")
    t.check(answer["ok"] == good, f"reload: {what}", answer.get("what", answer.get("error")))
    return answer


def touched(t):
    """Add, change and remove connections beside one that is under load."""
    lab = t.lab()
    first = {s: {f"to-{'b' if s == 'a' else 'a'}": connection(s, hold="1s")} for s in "ab"}
    a, b = (t.site(lab, s, text_of(first[s])).start() for s in "ab")
    t.wait_well(a, b)
    lab.stream_server("lan-b")
    load = lab.stream("lan-a", "udp", "10.2.0.2", rate=500, time=6)
    before = spis(a, "to-b"), spis(b, "to-a")
    second = {s: {"more": connection(s, number=1), **first[s]} for s in "ab"}
    for site in (b, a):
        reload(t, site, text_of(second[site.side]), "a connection is added")
    t.check(names(a) == ["more", "to-b"], "status has the order of the file", names(a))
    t.eventually("the new connection comes up", lambda: a.well() and b.well(), 5)
    t.check("10.2.1.0/24" in a.guards(), "with its guard", sorted(a.guards()))
    added = spis(a, "more")
    changed = {s: {**first[s], "more": connection(s, number=1, lifetime="20m")} for s in "ab"}
    reload(t, a, text_of(changed["a"]), "its lifetime changes: it is rekeyed")
    t.check(names(a) == ["to-b", "more"], "and the new order of the file is that of status", names(a))
    t.eventually("its SAs are new ones", lambda: a.well() and all(
        new[0] != old[0] for new, old in zip(spis(a, "more"), added)), 5)
    removal(t, a, b, first)
    result = lib.stream_result(load)
    lost = result["out"]["lost"] + result["back"]["lost"]
    t.check((spis(a, "to-b"), spis(b, "to-a")) == before, "the other connection has its SAs still")
    t.check(lost == 0, "and traffic on it lost nothing", f"{lost} of {result['out']['sent']}")
    t.check(a.device("td-to-b") is not None and a.device("td-more") is None, "devices as configured")


def removal(t, a, b, first):
    reload(t, a, text_of(first["a"]), "it is removed")
    t.check(names(a) == ["to-b"], "it is gone from status")
    t.eventually("its device, routes and guards are gone", lambda: a.device("td-more") is None and
                 not any(p == "10.2.1.0/24" for p, _ in a.routes()), 3, lambda: a.routes())
    t.eventually("the peer is told", lambda: b.up("more") == [], 3)
    reload(t, b, text_of(first["b"]), "at the peer too")


def live(t):
    """Each class of change: live, rekey, restart; nothing of it lets clear text out."""
    lab = t.lab(leaky=True)
    a, b = t.pair(lab, hold="1s")
    file = f"/dev/shm/{lab.name}.pcap"
    lab.capture("gw-a", file, dev="path1", filter="not arp and not icmp6 and net 10.0.0.0/8")
    ping = lab.popen("lan-a", "ping", "-n", "-i", "0.005", "-W", "0.1", "10.2.0.2")
    spi = spis(a, None)
    reload(t, a, config("a", hold="1s", policy="active-active"), "policy, live")
    t.check(a.live() == [1, 2] and spis(a, None) == spi, "active-active now, with the same SAs", a.live())
    wider = connection("a", hold="1s")
    wider["networks"] = ["10.2.0.0/24", "10.2.8.0/24"]
    reload(t, a, text_of({"to-b": wider}), "networks, live")
    t.eventually("routes and guards follow", lambda: a.guards() == {"10.2.0.0/24", "10.2.8.0/24"} and
                 ("10.2.8.0/24", "td-to-b") in a.routes(), 3, lambda: a.routes())
    t.check(spis(a, None) == spi, "with the same SAs")
    reload(t, a, config("a", hold="1s", metric=50), "metric, live")
    t.eventually("the route has it", lambda: "metric 50" in a.ip("route"), 3)
    reload(t, a, config("a", hold="1s", device="td-other"), "another device: negotiated anew")
    t.eventually("it is there, the old one is gone", lambda: a.device("td-other") is not None and
                 a.device() is None, 3)
    t.eventually("all is well again", lambda: a.well() and b.well(), 10)
    for keys in ({"device": "td-third"}, {"device": "td-to-b"}):
        reload(t, a, config("a", hold="1s", **keys), "once more")
        t.eventually("all is well again", lambda: a.well() and b.well(), 10)
    lib.end(ping)
    lab.capture("--stop", "gw-a")
    leaked = lib.run(["tcpdump", "-n", "-r", file], check=False).stdout.strip()
    os.unlink(file)
    t.check(leaked == "", "no clear text left meanwhile", leaked[:200])


def shared(t):
    """Two connections to one network: the guard stays until the last of them goes."""
    lab = t.lab()
    backup = connection("a", number=1, metric=200)
    backup["networks"] = ["10.2.0.0/24", "fd00:b::/64"]
    a = t.site(lab, "a", text_of({"to-b": connection("a"), "backup": backup}))
    a.start()
    lib.wait_for("both devices", lambda: a.device("td-backup") is not None and a.device() is not None)
    reload(t, a, text_of({"to-b": connection("a")}), "the backup is removed")
    lib.wait_for("its device to go", lambda: a.device("td-backup") is None, 3)
    t.stays("the guards and routes of the other stay", lambda: a.guards() ==
            {"10.2.0.0/24", "fd00:b::/64"} and ("10.2.0.0/24", "td-to-b") in a.routes(), 0.5)
    always = connection("a", guard="always")
    backup["guard"] = "on"
    reload(t, a, text_of({"backup": backup, "to-b": always}), "both, one of them with guard: always")
    a.stop()
    t.check(a.guards() == {"10.2.0.0/24", "fd00:b::/64"}, "a clean stop leaves what one wants always",
            sorted(a.routes()))


BAD = """\
log: loud
connections:
  to-b:
    preset: tandem
    networks: [10.2.0.0/24, 10.2.0.0/16]
    holt: 3s
    tunnels:
      - {local: 198.51.100.1, remote: 198.51.100.5, inside: 169.254.10.1/30, psk-file: nowhere}
      - {local: 203.0.113.1, remote: 203.0.113.5, inside: 169.254.10.1/30, psk-file: psk}
"""


def mistakes(t):
    """A file with mistakes changes nothing, and each is named with its place."""
    lab = t.lab()
    a, b = t.pair(lab)
    before, routes = spis(a, None), a.routes()
    answer = reload(t, a, BAD, "refused", good=False)
    said = "\n".join(answer["errors"])
    t.say(said.replace("\n", "\n     "))
    for place, word in (("1:", "log"), ("6:", "hold"), ("8:", "nowhere"), ("9:", "inside")):
        t.check(any(f"tandem.yaml:{place}" in line and word in line for line in answer["errors"]),
                f"line {place} {word}")
    t.check(spis(a, None) == before and a.routes() == routes, "what was running stays")
    t.pings("and carries traffic", lab)
    code, out, err = a.command("reload")
    t.check(code == 1 and "tandem.yaml:6:" in err, "the verb says the same, exit code 1")
    a.configure("connections: {to-b: [")
    t.check(a.ask("reload")["ok"] is False, "broken YAML: refused", a.ask("reload").get("errors"))
    os.unlink(a.config)
    t.check(a.ask("reload")["ok"] is False, "no file: refused", a.ask("reload").get("errors"))
    t.check(a.well(), "what was running still goes on")
    a.configure(config("a"))
    t.check(a.ask("reload")["ok"] is True, "the good file again: taken")
    t.check(spis(a, None) == before, "and nothing is touched")
    checks(t, a)


def checks(t, a):
    code, out, err = a.command("check")
    t.check(code == 0 and "td-to-b" in out, "check of a good file: exit code 0, effective values",
            err.strip()[-200:])
    a.configure(BAD)
    code, out, err = a.command("check")
    t.check(code == 1 and all(f"tandem.yaml:{n}:" in err for n in (1, 6, 8, 9)),
            "check of a bad file: exit code 1, every mistake", err.strip().split("\n")[-1])
    code, out, _ = a.command("check", "--json")
    answer = json.loads(out)
    t.check(code == 1 and answer["ok"] is False and len(answer["errors"]) >= 4,
            "check --json: the same as a list", f"{len(answer['errors'])} errors")
    a.configure(config("a"), {"psk": b"short\n"})
    code, _, err = a.command("check")
    t.check(code == 1 and "psk" in err, "a secret that is too short", err.strip()[:200])
    a.configure(config("a"), {"psk": b"long enough for a key of this kind\n"})
    os.chmod(os.path.join(a.dir, "psk"), 0o644)
    code, _, err = a.command("check")
    t.check(code == 1 and "chmod 600" in err, "a secret that others may read", err.strip()[:200])


def gateway_keys(t):
    """Keys of the gateway: what is live is live beside what takes a restart, which is said while it differs."""
    lab = t.lab()
    a = t.site(lab, "a").start()
    answer = reload(t, a, config("a", top={"log": "warn", "port": "501"}), "log and port")
    t.check(answer["what"] == "gateway: changed in place (log); gateway: needs a restart of the daemon (port)",
            "each by its class", answer["what"])
    t.check("notice reloaded" not in a.log_text(), "log: warn is in force")
    answer = reload(t, a, config("a", top={"log": "warn", "port": "501"}), "the same again")
    t.check("needs a restart" in answer["what"], "still to come", answer["what"])
    answer = reload(t, a, config("a", top={"log": "warn"}), "the port as it runs")
    t.check(answer["what"] == "nothing changed", "nothing to come", answer["what"])


CASES = {"gateway-keys": gateway_keys, "reload-touched": touched, "reload-live": live, "shared-guard": shared, "mistakes": mistakes}
