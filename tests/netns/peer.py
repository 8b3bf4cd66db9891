"""
strongSwan as a peer: one charon in one namespace, ESP in userspace (plugin kernel-libipsec).

A specification is a dict (or the same as JSON):

  {"connections": {NAME: {
      "local": ADDRESS, "remote": ADDRESS or "%any",
      "local_id": ..., "remote_id": ...,        default: the addresses
      "psk": "text",
      "proposals": "aes256gcm16-prfsha256-x25519", "esp": "aes256gcm16",
      "local_ts": ["10.2.0.0/24"], "remote_ts": ["10.1.0.0/24"],
      "initiate": true or false,                begin by itself, or wait (default)
      "rekey": s, "esp_rekey": s,               0 (default): never by itself
      "dpd": s,                                 0 (default): none
      "local_port": ..., "remote_port": ...}},  default 500
   "addresses": ["169.254.10.2/32"],            put on lo, to answer echoes
   "retransmit_timeout": 1.0, "retransmit_tries": 3,
   "port": 500, "port_nat_t": 4500,             0 for a random one
   "log": 1}                                    level 0 to 4

libipsec always encapsulates ESP in UDP and pretends a NAT for that.  Its device is ipsec0 with MTU 1400.
It offers no ESN.  Two tunnels with the selectors 0.0.0.0/0 need two charons.
"""

import base64
import os
import shutil
import socket
import struct
import subprocess
import tempfile

import lib

PLUGINS = ("random nonce openssl aes sha1 sha2 hmac kdf gcm curve25519 chapoly ctr ccm drbg mgf1 x509 "
           "revocation constraints pubkey pkcs1 pkcs8 pem kernel-libipsec kernel-netlink socket-default "
           "vici updown counters error-notify")

STRONGSWAN_CONF = """\
charon {{
  load = {plugins}
  port = {port}
  port_nat_t = {port_nat_t}
  retransmit_timeout = {retransmit_timeout}
  retransmit_tries = {retransmit_tries}
  retransmit_base = 1.3
  make_before_break = yes
  install_virtual_ip = no
{prio}
  plugins {{
    kernel-libipsec {{ allow_peer_ts = yes }}
    kernel-netlink {{ fwmark = !0x42 }}
    socket-default {{ fwmark = 0x42 }}
    vici {{ socket = unix://{dir}/run/charon.vici }}
  }}
  filelog {{
    file {{
      path = {dir}/charon.log
      default = {log}
      flush_line = yes
      time_format = %T
      time_add_ms = yes
    }}
  }}
}}
charon-systemd {{
  journal {{ default = -1 }}
}}
"""

CONNECTION = """\
  {name} {{
    version = 2
    local_addrs = {local}
    remote_addrs = {remote}
    local_port = {local_port}
    remote_port = {remote_port}
    proposals = {proposals}
    rekey_time = {rekey}s
    over_time = 60s
    reauth_time = 0s
    dpd_delay = {dpd}s
    mobike = no
    keyingtries = 0
    local {{
      auth = psk
      id = {local_id}
    }}
    remote {{
      auth = psk
      id = {remote_id}
    }}
    children {{
      {name} {{
        local_ts = {local_ts}
        remote_ts = {remote_ts}
        esp_proposals = {esp}
        rekey_time = {esp_rekey}s
        life_time = {esp_life}s
        start_action = {start}
        dpd_action = {dpd_action}
        close_action = {dpd_action}
      }}
    }}
  }}
"""

SECRET = """\
  ike-{name} {{
    secret = 0s{secret}
    id-1 = {local_id}
    id-2 = {remote_id}
  }}
"""


class Vici:
    """strongSwan's control socket: requests as dicts of str, list and dict."""

    REQUEST, RESPONSE, UNKNOWN, REGISTER, UNREGISTER, CONFIRM, NO_EVENT, EVENT = range(8)

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(path)

    def close(self):
        self.sock.close()

    @staticmethod
    def pack(message):
        out = b""
        for key, value in message.items():
            name = bytes([len(key)]) + key.encode()
            if isinstance(value, dict):
                out += b"\1" + name + Vici.pack(value) + b"\2"
            elif isinstance(value, list):
                out += b"\4" + name
                out += b"".join(b"\5" + struct.pack("!H", len(v)) + v.encode() for v in value) + b"\6"
            else:
                value = str(value).encode()
                out += b"\3" + name + struct.pack("!H", len(value)) + value
        return out

    @staticmethod
    def unpack(data):
        top, stack, items, at = {}, [], None, 0
        here = top

        def name():
            nonlocal at
            n = data[at]
            at += 1 + n
            return data[at - n:at].decode()

        def value():
            nonlocal at
            n = struct.unpack_from("!H", data, at)[0]
            at += 2 + n
            return data[at - n:at].decode(errors="replace")

        while at < len(data):
            kind = data[at]
            at += 1
            if kind == 1:
                stack.append(here)
                here = here.setdefault(name(), {})
            elif kind == 2:
                here = stack.pop()
            elif kind == 3:
                key = name()
                here[key] = value()
            elif kind == 4:
                items = here.setdefault(name(), [])
            elif kind == 5:
                items.append(value())
        return top

    def send(self, kind, name, message=None):
        body = bytes([kind, len(name)]) + name.encode() + self.pack(message or {})
        self.sock.sendall(struct.pack("!I", len(body)) + body)

    def receive(self):
        def exactly(n):
            got = b""
            while len(got) < n:
                more = self.sock.recv(n - len(got))
                if not more:
                    raise lib.Trouble("charon closed its control socket")
                got += more
            return got
        body = exactly(struct.unpack("!I", exactly(4))[0])
        if body[0] == self.EVENT:
            return body[0], self.unpack(body[2 + body[1]:])
        return body[0], self.unpack(body[1:])

    def request(self, name, message=None, event=None):
        """The answer, and the list of what `event` brought meanwhile."""
        events = []
        if event:
            self.send(self.REGISTER, event)
            self.receive()
        self.send(self.REQUEST, name, message)
        while True:
            kind, body = self.receive()
            if kind == self.EVENT:
                events.append(body)
            elif kind == self.RESPONSE:
                return body, events
            else:
                raise lib.Trouble(f"charon does not know the command {name}")


class StrongSwan:
    """A charon in namespace `ns` of `lab`.  Use start() and stop(), or a `with` block."""

    def __init__(self, lab, ns, spec, keep=None):
        self.lab, self.ns, self.spec = lab, ns, spec
        self.dir = keep or tempfile.mkdtemp(prefix=f"strongswan-{lab.name}-{ns}-")
        self.kept = keep is not None
        self.vici_path = os.path.join(self.dir, "run/charon.vici")
        self.log = os.path.join(self.dir, "charon.log")
        self.child = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    # ---- configuration ----

    def write(self):
        spec, secrets, connections = self.spec, "", ""
        everything = False
        for name, c in spec["connections"].items():
            full = {"local_id": c["local"], "remote_id": c["remote"], "local_port": 500,
                    "remote_port": 500, "proposals": "aes256gcm16-prfsha256-x25519",
                    "esp": "aes256gcm16", "rekey": 0, "esp_rekey": 0, "dpd": 0, **c, "name": name}
            everything |= any(ts.endswith("/0") for ts in c["remote_ts"])
            for key in ("local_ts", "remote_ts"):
                full[key] = ",".join(c[key])
            full["esp_life"] = full["esp_rekey"] * 2
            full["start"] = "start" if c.get("initiate") else "none"
            full["dpd_action"] = "start" if c.get("initiate") else "clear"
            full["secret"] = base64.b64encode(c["psk"].encode()).decode()
            connections += CONNECTION.format(**full)
            secrets += SECRET.format(**full)
        os.makedirs(os.path.join(self.dir, "run"), exist_ok=True)
        settings = {"port": 500, "port_nat_t": 4500, "retransmit_timeout": 1.0, "retransmit_tries": 3,
                    "log": 1, "plugins": PLUGINS, **{k: v for k, v in spec.items() if k != "connections"}}
        # A rule for 0.0.0.0/0 has to come after the routes to the peer.
        prio = "  routing_table_prio = 40000" if everything else ""
        with open(os.path.join(self.dir, "strongswan.conf"), "w") as f:
            f.write(STRONGSWAN_CONF.format(dir=self.dir, prio=prio, **settings))
        with open(os.open(os.path.join(self.dir, "swanctl.conf"),
                          os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(f"connections {{\n{connections}}}\nsecrets {{\n{secrets}}}\n")

    def environment(self):
        return {**os.environ, "STRONGSWAN_CONF": os.path.join(self.dir, "strongswan.conf"),
                "SWANCTL_DIR": self.dir}

    # ---- life ----

    def start(self):
        for tool in ("charon-systemd", "swanctl"):
            path = shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin")
            if not path:
                raise lib.Trouble(f"{tool} not found: run scripts/deps --test")
            # Under a name of its own no AppArmor profile of the distribution forbids our folder.
            shutil.copy(path, os.path.join(self.dir, tool))
        self.write()
        for address in self.spec.get("addresses", []):
            self.lab.run(self.ns, "ip", "addr", "replace", address, "dev", "lo")
        with open(os.path.join(self.dir, "stderr"), "w") as err:
            self.child = subprocess.Popen(
                self.lab.argv(self.ns, "/bin/sh", "-c",
                              'mount --make-rprivate / && mount --bind "$1/run" /run && '
                              'exec "$1/charon-systemd"', "sh", self.dir),
                stdout=err, stderr=err, stdin=subprocess.DEVNULL, env=self.environment())
        lib.wait_for(f"charon in {self.ns} (log: {self.log})", self.listens)
        self.load()
        return self

    def listens(self):
        if self.child.poll() is not None:
            raise lib.Trouble(f"charon in {self.ns} ended with {self.child.returncode}: "
                              f"{self.log_text()[-800:]}")
        try:
            Vici(self.vici_path).close()
            return True
        except OSError:
            return False

    def load(self, spec=None):
        """Load the connections and secrets, also anew with another specification."""
        if spec:
            self.spec = spec
            self.write()
        done = subprocess.run([os.path.join(self.dir, "swanctl"), "--load-all", "--noprompt", "--uri",
                               f"unix://{self.vici_path}"], capture_output=True, text=True,
                              env=self.environment(), timeout=30)
        if done.returncode != 0:
            raise lib.Trouble(f"swanctl --load-all: {done.stdout.strip()} {done.stderr.strip()}"[-800:])

    def stop(self, sig=15):
        if self.child:
            lib.end(self.child, sig)
            self.child = None
            for address in self.spec.get("addresses", []):
                self.lab.run(self.ns, "ip", "addr", "del", address, "dev", "lo", check=False)
        if not self.kept:
            shutil.rmtree(self.dir, ignore_errors=True)

    # ---- commands ----

    def request(self, name, message=None, event=None):
        vici = Vici(self.vici_path)
        try:
            answer, events = vici.request(name, message, event)
        finally:
            vici.close()
        return answer, events

    def command(self, name, message):
        answer, _ = self.request(name, message)
        if answer.get("success", "yes") != "yes":
            raise lib.Trouble(f"strongSwan {name}: {answer.get('errmsg', 'refused')}")
        return answer

    def initiate(self, name, timeout=10):
        """Bring a connection up and wait until it is."""
        return self.command("initiate", {"child": name, "ike": name, "timeout": int(timeout * 1000)})

    def terminate(self, name, child=False, force=False):
        return self.command("terminate", {"child" if child else "ike": name,
                                          "force": "yes" if force else "no", "timeout": 10000})

    def rekey(self, name, child=True):
        """Begin a rekey of the Child SA, or of the IKE SA."""
        return self.command("rekey", {"child" if child else "ike": name})

    def list_sas(self):
        """
        A list of IKE SAs: {"name", "state", "local-host", "remote-host", "encr-alg", ..., "children":
        [{"name", "state", "spi-in", "spi-out", "bytes-in", "encr-alg", "local-ts", ...}]}.
        """
        _, events = self.request("list-sas", event="list-sa")
        found = []
        for event in events:
            for name, sa in event.items():
                children = sa.pop("child-sas", {})
                found.append({"name": name, **sa, "children": list(children.values())})
        return found

    def up(self, name):
        """True if the IKE SA is established and a Child SA installed."""
        return any(sa["name"] == name and sa["state"] == "ESTABLISHED" and
                   any(c["state"] == "INSTALLED" for c in sa["children"]) for sa in self.list_sas())

    def wait_up(self, name, timeout=15):
        lib.wait_for(f"{name} to come up at strongSwan in {self.ns} (log: {self.log})",
                     lambda: self.up(name), timeout, 0.05)

    def log_text(self):
        text = ""
        for file in (os.path.join(self.dir, "stderr"), self.log):
            if os.path.exists(file):
                with open(file, errors="replace") as f:
                    text += f.read()
        return text
