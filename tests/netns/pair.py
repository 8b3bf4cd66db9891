"""Two of our gateways in the lab, as `lab up --tandem` starts them, and what tests do with them."""

import json
import subprocess

import lib

LAN_B = "10.2.0.2"


class Gateway:
    """One of the two: its command line from inside its namespace."""

    def __init__(self, lab, side, where):
        self.lab, self.side = lab, side
        self.socket, self.log, self.config = where["socket"], where["log"], where["config"]

    def argv(self, verb, *args):
        return self.lab.argv(f"gw-{self.side}", lib.build("tandem"), verb, *args,
                             "--socket", self.socket)

    def cli(self, verb, *args):
        done = lib.run(self.argv(verb, *args, "--json"), check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise lib.Trouble(f"tandem {verb} on gateway {self.side}: "
                              f"{(done.stderr or done.stdout).strip()[-300:]} (log: {self.log})")

    def show(self, to):
        subprocess.run(self.argv("status"), stdout=to)

    def connection(self):
        return self.cli("status")["connections"][0]

    def tunnels(self):
        return self.connection()["tunnels"]

    def live(self):
        """1 or 2: the tunnel that carries traffic; None."""
        return next((t["index"] for t in self.tunnels() if t["live"]), None)

    def well(self):
        """Every tunnel is up and none is within its hold time: nothing will move by itself."""
        return all(t["state"] == "up" and t["verdict"] == "up" for t in self.tunnels())


class Pair:
    """Both gateways of a lab that is up."""

    def __init__(self, lab):
        shown = lab.show()["tandem"]
        self.lab = lab
        self.a, self.b = (Gateway(lab, side, shown[f"gw-{side}"]) for side in "ab")

    def wait_well(self, timeout=30):
        lib.wait_for("all tunnels to be well on both gateways",
                     lambda: self.a.well() and self.b.well() and
                     self.a.live() == self.b.live() and self.a.live(), timeout, 0.1)

    def choose(self, index):
        """Both ends send by tunnel `index` until that dies."""
        for gateway in (self.a, self.b):
            answer = gateway.cli("failover", f"{gateway.connection()['name']}/{index}")
            if not answer["ok"]:
                raise lib.Trouble(f"failover to {index}: {answer['error']}")
        lib.wait_for(f"both ends to send by tunnel {index}",
                     lambda: self.a.live() == index and self.b.live() == index, 5)

    def wreck(self, report, lines=40):
        """What a person wants to see when a test has failed: both states and the ends of both logs."""
        for gateway in (self.a, self.b):
            report.say(f"     ---- gateway {gateway.side}")
            try:
                state = gateway.cli("status")
                report.say(f"     {json.dumps(state['ike'])}")
                for t in state["connections"][0]["tunnels"]:
                    report.say("     " + json.dumps({k: t.get(k) for k in (
                        "name", "state", "live", "verdict", "verdict_reason", "reason", "ike_state",
                        "spi_in", "spi_out", "rekeys", "ike_rekeys", "rtt_ms", "loss_percent")}))
            except lib.Trouble as trouble:
                report.say(f"     {trouble}")
            with open(gateway.log) as log:
                report.say("".join("     " + line for line in log.readlines()[-lines:]))

    def load(self, seconds, connections=50, rate=1000):
        """Numbered datagrams both ways and TCP lines, LAN to LAN.  Returns what settle() wants."""
        udp = self.lab.stream("lan-a", "udp", LAN_B, rate=rate, time=seconds)
        tcp = self.lab.stream("lan-a", "tcp", LAN_B, connections=connections, every=50, time=seconds)
        return udp, tcp

    def settle(self, load):
        """The figures of one load: gaps each way, losses, TCP connections that did not live."""
        u, t = (lib.stream_result(child) for child in load)
        for child in load:
            self.lab.children.remove(child)
        return {"gap_ms_ab": u["out"]["gap_ms_max"], "gap_ms_ba": u["back"]["gap_ms_max"],
                "lost": u["out"]["lost"] + u["back"]["lost"],
                "sent": u["out"]["sent"] + u["back"]["sent"],
                "late_ms": max(u["late_ms_max"], u["server_late_ms_max"]),
                "tcp_resets": t["resets"] + t["ended"] + t["failed"],
                "tcp_stall_ms": t["stall_ms_max"]}
