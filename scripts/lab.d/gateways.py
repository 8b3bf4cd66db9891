"""`lab up --tandem BINARY`: a gateway at each site, two tunnels, one over each path."""

import base64
import os
import time

import path
import site_ab
from host import Failure

INSIDE = {"1": "169.254.10", "2": "169.254.20"}

CONNECTION = """\
# Written by `lab up --tandem`: site {side} of lab {name}.
connections:
  to-{far}:
{settings}    tunnels:
"""


def mode(side, hidden):
    """Who may begin: not the one whose peer is hidden, unless both are (then ports are forwarded)."""
    return "add" if hidden == path.other(side) else "start"


def seen_as(side, p, hidden, family):
    """The outside address by which the other site knows this one: under NAT the router's far one."""
    if hidden in (side, "both"):
        return site_ab.outside(path.other(side), p, family)[1]
    return site_ab.outside(side, p, family)[0]


def configuration(lab, side, ipv6, settings):
    hidden, far, family = lab.state["options"]["nat"], path.other(side), 6 if ipv6 else 4
    v4, v6 = site_ab.LAN[far]
    keys = {"preset": "tandem", "mode": mode(side, hidden), "networks": f"[{v4}.0/24, '{v6}:/64']",
            **dict(s.split("=", 1) for s in settings)}
    text = CONNECTION.format(side=side, far=far, name=lab.name,
                             settings="".join(f"    {k}: {v}\n" for k, v in keys.items()))
    for p in "12":
        mine, theirs = site_ab.outside(side, p, family)[0], site_ab.outside(far, p, family)[0]
        text += (f"      - local: '{mine}'\n"
                 f"        remote: '{seen_as(far, p, hidden, family)}'\n"
                 f"        inside: {INSIDE[p]}.{1 if side == 'a' else 2}/30\n"
                 f"        psk-file: psk-{p}\n")
        if hidden != "none":
            text += f"        local-id: '{mine}'\n        remote-id: '{theirs}'\n"
    return text


def write(lab, side, ipv6, settings):
    file = os.path.join(lab.dir, side + ".yaml")
    with open(file, "w") as f:
        f.write(configuration(lab, side, ipv6, settings))
    return file


def secrets(lab):
    for p in "12":
        file = os.path.join(lab.dir, f"psk-{p}")
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
            f.write(base64.b32encode(os.urandom(20)) + b"\n")


def start(lab, binary, ipv6, settings):
    """Start both, return when both control sockets are there; the tunnels come a moment later."""
    binary = os.path.abspath(binary)
    if not os.access(binary, os.X_OK):
        raise Failure(f"{binary} is no program: `make`, then give --tandem build/plain/tandem")
    secrets(lab)
    lab.state["tandem"] = {}
    for side in "ab":
        config = write(lab, side, ipv6, settings)
        socket, log = (os.path.join(lab.dir, side + end) for end in (".sock", ".log"))
        lab.state["tandem"][f"gw-{side}"] = {"config": config, "socket": socket, "log": log}
        lab.spawn(f"gw-{side}", f"tandem {side}",
                  [binary, "run", "--config", config, "--socket", socket], log)
    for side in "ab":
        wait(lab, side, 10)


def wait(lab, side, seconds):
    gateway = lab.state["tandem"][f"gw-{side}"]
    until = time.monotonic() + seconds
    while not os.path.exists(gateway["socket"]):
        dead = not lab.process(f"tandem {side}")
        if dead or time.monotonic() > until:
            with open(gateway["log"], errors="replace") as f:
                said = " / ".join(f.read().strip().split("\n")[-5:])
            what = "ended at once" if dead else f"opened no control socket within {seconds} s"
            raise Failure(f"the gateway in gw-{side} {what}; its log says: {said or 'nothing'}")
        time.sleep(0.02)
