"""Everything once under the sanitizers: no report, no leak, in daemon and command line."""

import os

import lib
from sites import config, connection, yaml

def whole_life(variant):
    def case(t):
        lib.run(["make", "-s", "-C", lib.ROOT, "SAN=" + variant.replace("-", ","),
                 f"build/{variant}/tandem"], timeout=900)
        binary = os.path.join(lib.ROOT, "build", variant, "tandem")
        lab = t.lab()
        a, b = t.pair(lab, binary=binary, hold="1s", workers=2)
        said = []

        def call(site, *words):
            code, out, err = site.command(*words)
            said.extend(lib.sanitizer_reports(out + err))
            return code, out

        lab.stream_server("lan-b")
        load = lab.stream("lan-a", "udp", "10.2.0.2", rate=300, time=6)
        tcp = lab.stream("lan-a", "tcp", "10.2.0.2", connections=10, every=20, time=6)
        verbs(t, a, call)
        for stream in (load, tcp):
            lib.stream_result(stream)
        stop(t, (a, b))
        logs = lib.sanitizer_reports(a.log_text() + b.log_text()) + said
        t.check(logs == [], f"{variant}: no report of a sanitizer in start, traffic, rekey, reload, stop",
                logs[:3])
    case.__doc__ = f"Both gateways and the command line built with {variant}."
    return case


def verbs(t, a, call):
    """What a gateway is ever told, in six seconds of traffic."""
    for words in (["status"], ["status", "--json"], ["check"], ["rekey", "to-b"], ["rekey", "to-b", "--ike"],
                  ["failover", "to-b"], ["failover", "to-b", "--auto"], ["down", "to-b/2"], ["up", "to-b/2"],
                  ["status", "nobody"], ["version"]):
        call(a, *words)
    more = {"connections": {"to-b": connection("a", hold="1s", workers=2, policy="active-active"),
                            "more": connection("a", number=1)}}
    for text in (yaml(more, 0), "nonsense: [", config("a", hold="1s", workers=2), config("a", hold="1s", workers=2, esp="aes256-sha256")):
        a.configure(text)
        call(a, "reload")
    a.configure(config("a", hold="1s", workers=2))
    call(a, "reload")
    a.lab.cut("1")
    t.eventually("a cut is survived", lambda: a.live() == [2], 4)
    a.lab.restore("1")
    t.wait_well(a)
    call(a, "status")


def stop(t, sites):
    for site in sites:
        code = site.stop()
        t.check(code == 0, f"gateway {site.side} stops with exit code 0",
                code if code == 0 else site.log_text()[-2500:])
        t.check(site.routes() == set(), "and leaves nothing", sorted(site.routes()))


CASES = {"sanitizers-address": whole_life("address-undefined"), "sanitizers-thread": whole_life("thread")}
