"""
The contenders: how each is started between gw-a and gw-b, and ended.

A contender is a class with start() and stop(); start() raises lib.Trouble with a sentence when it
cannot be had here.  Each has its own wires (net.py), so all of them can be up at once and rows of
measurements can alternate between them.  TABLE at the end says which there are.
"""

import base64
import os
import re
import shutil
import socket
import subprocess
import tempfile

import fetch
import lib
from net import HOST, LAN, UP1, UP2, other

FETCH_S = {True: 40, False: 180}        # with --quick and without
KEEP_LOG = 1500


class Contender:
    """Wires without a VPN: the kernel routes.  What the machine and the load generators can do."""

    what = "no VPN: the kernel routes between the veths"

    def __init__(self, net, tag, options):
        self.net, self.tag, self.options = net, tag, options
        self.version = None
        self.dir = None

    def open(self):
        """Wires and gateways up, echoes answered."""
        self.dir = tempfile.mkdtemp(prefix=f"tandem-{self.net.name}-")
        self.need()
        self.net.up()
        self.start()
        lib.wait_for(f"an echo from host to host through {self.tag}", self.answers, 30, 0.1)

    def answers(self):
        return self.net.run("host-a", "ping", "-n", "-c", 1, "-W", 1, HOST["b"],
                            check=False).returncode == 0

    def need(self):
        """Look for what has to be there before anything is built."""

    def start(self):
        for side in "ab":
            self.net.ip(f"gw-{side}", f"route add {LAN[other(side)]} via {UP1[other(side)]}")

    def stop(self):
        pass

    def close(self):
        try:
            self.stop()
        finally:
            self.net.down()
            if self.dir:
                shutil.rmtree(self.dir, ignore_errors=True)

    def log_of(self, side):
        """A file for the words of a gateway."""
        return open(os.path.join(self.dir, f"{side}.log"), "ab")

    def words(self, side):
        try:
            with open(os.path.join(self.dir, f"{side}.log"), errors="replace") as f:
                return " / ".join(f.read().strip()[-KEEP_LOG:].split("\n")) or "nothing"
        except OSError:
            return "nothing"


# ---- Tandem --------------------------------------------------------------------------------------

TANDEM = """\
connections:
  far:
    preset: tandem
    mode: {mode}
    networks: [{far}]
    esp: {esp}
    workers: {workers}
    tunnels:
      - {{local: {up1}, remote: {peer1}, inside: 169.254.10.{n}/30, psk-file: psk}}
      - {{local: {up2}, remote: {peer2}, inside: 169.254.20.{n}/30, psk-file: psk}}
"""


def program_of(given, name):
    """A program by path, or our own: made anew when its sources have changed."""
    if given:
        if not os.access(given, os.X_OK):
            raise lib.Trouble(f"{given} is no program")
        return os.path.abspath(given)
    path = f"build/plain/{name}"
    lib.run(["make", "-s", "-C", lib.ROOT, path], timeout=900)
    return os.path.join(lib.ROOT, path)


class Tandem(Contender):
    suite, binary, workers = "aes256gcm16", None, 1
    what = "Tandem, AES-256-GCM"

    def need(self):
        self.binary = program_of(self.options.tandem, "tandem")

    def configuration(self, side):
        far = other(side)
        return TANDEM.format(mode="start" if side == "a" else "add", far=LAN[far],
                             esp=f"{self.suite}-curve25519", workers=self.workers,
                             n=1 if side == "a" else 2, up1=UP1[side], up2=UP2[side],
                             peer1=UP1[far], peer2=UP2[far])

    def start(self):
        key = {"psk": base64.b32encode(os.urandom(20)) + b"\n"}
        self.gateways = {}
        for side, k in (("b", key), ("a", key)):
            self.gateways[side] = lib.Tandem(self.net, f"gw-{side}", self.configuration(side), k,
                                             self.binary)
            self.gateways[side].start()
        lib.wait_for("both tunnels of both gateways",
                     lambda: all(self.well(g) for g in self.gateways.values()), 30, 0.1)
        status = self.gateways["a"].status()
        self.version = status["version"]
        chosen = status["connections"][0]["tunnels"][0]["esp"]
        if not chosen.startswith(self.suite):
            raise lib.Trouble(f"the gateways agreed on {chosen}, not on {self.suite}")
        self.ciphers = status.get("ciphers")

    @staticmethod
    def well(gateway):
        tunnels = gateway.status()["connections"][0]["tunnels"]
        return all(t["state"] == "up" and t["verdict"] in ("up", "held") for t in tunnels)

    def drops(self):
        """What either gateway has dropped until now, by reason."""
        return {side: g.status()["drops"] for side, g in self.gateways.items()}

    def stop(self):
        for gateway in getattr(self, "gateways", {}).values():
            gateway.stop()
            shutil.rmtree(gateway.dir, ignore_errors=True)


class TandemAes128(Tandem):
    suite = "aes128gcm16"
    what = "Tandem, AES-128-GCM"


class TandemChacha(Tandem):
    suite = "chacha20poly1305"
    what = "Tandem, ChaCha20-Poly1305"


class TandemWorkers(Tandem):
    workers = 2
    what = "Tandem with two workers for the connection"


class TandemNull(Tandem):
    """The same program but for the cipher, which copies.  It lives in the bench only."""

    what = "the ceiling: Tandem's data plane with a copy for a cipher"

    def need(self):
        self.binary = program_of(self.options.null, "tandem-bench")


class TandemCrowd(Tandem):
    """The same with so many more tunnels, up and idle, in pairs between the second uplinks."""

    tunnels = 0
    here = "198.18.0.1"

    @staticmethod
    def there(n):
        return f"198.19.{n // 200 + 1}.{n % 200 + 1}"

    def configuration(self, side):
        """Tunnel n of the crowd: from its own address at b, which opens, to the one at a: what
        comes from one source at once has a quota."""
        text = [super().configuration(side)]
        for c in range(self.tunnels // 2):
            net = f"172.{(16 if side == 'b' else 24) + c // 256}.{c % 256}.0/24"
            text.append(f"  idle{c}:\n    preset: tandem\n    mode: {'start' if side == 'b' else 'add'}\n"
                        f"    retry-max: 2s\n    networks: [{net}]\n    tunnels:\n")
            for n in (2 * c, 2 * c + 1):
                mine, theirs = (self.here, self.there(n))[::1 if side == "a" else -1]
                inside = f"169.254.{100 + n // 64}.{n % 64 * 4 + (1 if side == 'a' else 2)}/30"
                text.append(f"      - {{local: {mine}, remote: {theirs}, inside: {inside}, "
                            "psk-file: psk}\n")
        return "".join(text)

    def start(self):
        # Behind one neighbour: the kernel keeps 1,024 of them for all namespaces together.
        self.net.ip("gw-a", f"addr add {self.here}/32 dev lo", f"route add 198.19.0.0/16 via {UP2['b']}")
        self.net.ip("gw-b", f"route add {self.here}/32 via {UP2['a']}",
                    *(f"addr add {self.there(n)}/32 dev lo" for n in range(self.tunnels)))
        super().start()
        lib.wait_for(f"all {self.tunnels} idle tunnels", lambda: all(
            t["state"] == "up" for g in self.gateways.values()
            for c in g.status()["connections"] for t in c["tunnels"]), 60, 0.5)


class Tandem100(TandemCrowd):
    tunnels = 98
    what = "Tandem with 100 tunnels in all"


class Tandem1000(TandemCrowd):
    tunnels = 1000
    what = "Tandem with 1,000 idle tunnels beside the busy one"


# ---- WireGuard in userspace ----------------------------------------------------------------------

def x25519():
    """(private, public) as raw bytes; they are the last 32 of what openssl writes."""
    private = subprocess.run(["openssl", "genpkey", "-algorithm", "X25519", "-outform", "DER"],
                             capture_output=True, check=True).stdout
    public = subprocess.run(["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"],
                            input=private, capture_output=True, check=True).stdout
    return private[-32:], public[-32:]


class WireGuard(Contender):
    """wireguard-go by path.  Each gets a /run of its own, since its control socket has one place."""

    what = "wireguard-go as given by --wireguard-go"

    def binary_of(self):
        if not self.options.wireguard_go:
            raise lib.Trouble("say which by --wireguard-go PATH")
        return program_of(self.options.wireguard_go, None), None

    def need(self):
        self.binary, self.version = self.binary_of()
        if not self.version:
            self.version = (lib.run([self.binary, "--version"], check=False).stdout or "?").split("\n")[0]

    def start(self):
        keys = {s: x25519() for s in "ab"}
        self.running = {}
        for side in "ab":
            run = os.path.join(self.dir, side)
            os.makedirs(os.path.join(run, "wireguard"))
            inside = 'mount --make-rprivate / && mount --bind "$1" /run && exec "$2" -f wg0'
            with self.log_of(side) as log:
                self.running[side] = self.net.popen(
                    f"gw-{side}", "sh", "-c", inside, "sh", run, self.binary,
                    stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                    env={**os.environ, "LOG_LEVEL": "error"})
        for side in "ab":
            self.configure(side, keys[side][0], keys[other(side)][1])

    def configure(self, side, private, public):
        path = os.path.join(self.dir, side, "wireguard/wg0.sock")

        def there():
            if self.running[side].poll() is not None:
                raise lib.Trouble(f"wireguard-go ended at once; it said: {self.words(side)}")
            return os.path.exists(path)
        lib.wait_for("wireguard-go's control socket", there)
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(path)
            s.sendall(f"set=1\nprivate_key={private.hex()}\nlisten_port=51820\n"
                      f"public_key={public.hex()}\nendpoint={UP1[other(side)]}:51820\n"
                      f"allowed_ip={LAN[other(side)]}\n\n".encode())
            answer = s.recv(4096).decode()
        if "errno=0" not in answer:
            raise lib.Trouble(f"wireguard-go refused its configuration: {answer.strip()}")
        self.net.ip(f"gw-{side}", "link set wg0 up", f"route add {LAN[other(side)]} dev wg0")

    def stop(self):
        for child in getattr(self, "running", {}).values():
            lib.end(child)


class WireGuard13(WireGuard):
    what = "wireguard-go of Debian 13 (segmentation offloads)"
    suite = "trixie"

    def binary_of(self):
        path, version = fetch.program(self.suite, "wireguard-go", "usr/bin/wireguard-go",
                                      FETCH_S[self.options.quick])
        return path, f"wireguard-go {version}"


class WireGuard12(WireGuard13):
    what = "wireguard-go of Debian 12"
    suite = "bookworm"


# ---- strongSwan ----------------------------------------------------------------------------------

class StrongSwan(Contender):
    what = "strongSwan with kernel-libipsec, AES-256-GCM"

    def need(self):
        if not os.access("/usr/sbin/charon-systemd", os.X_OK):
            raise lib.Trouble("strongSwan is not installed: scripts/deps --bench")
        said = lib.run(["swanctl", "--version"], check=False)
        found = re.search(r"strongSwan \d+\.\d+(\.\d+)?", said.stdout + said.stderr)
        self.version = found[0] if found else "strongSwan"

    def start(self):
        # libipsec would tunnel checksums that the host left to its (virtual) card.
        for side in "ab":
            self.net.run(f"host-{side}", "ethtool", "-K", "eth0", "tx", "off")
        self.running = []
        for side in "ba":
            far = other(side)
            peer = lib.StrongSwan(self.net, f"gw-{side}", {"connections": {"far": {
                "local": UP1[side], "remote": UP1[far], "psk": "only for a benchmark",
                "esp": "aes256gcm16", "local_ts": [LAN[side]], "remote_ts": [LAN[far]]}}})
            self.running.append(peer)
            peer.start()
        self.running[-1].initiate("far")

    def stop(self):
        for peer in getattr(self, "running", []):
            peer.stop()


# ---- OpenVPN -------------------------------------------------------------------------------------

class OpenVpn(Contender):
    """Peer to peer with TLS keys: with a static key it has no AEAD.  Its data path in userspace."""

    what = "OpenVPN, AES-256-GCM"
    # 24 bytes of its own, 28 of UDP and IP: no packet of 1,440 needs two on a wire of 1,500.
    mtu = 1440

    def need(self):
        if not shutil.which("openvpn"):
            raise lib.Trouble("OpenVPN is not installed: scripts/deps --bench")
        said = lib.run(["openvpn", "--version"], check=False).stdout.split()
        self.version = " ".join(said[:2])

    def certificate(self, side):
        key, cert = (os.path.join(self.dir, f"{side}.{end}") for end in ("key", "crt"))
        lib.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={side}",
                 "-keyout", key, "-out", cert])
        said = lib.run(["openssl", "x509", "-in", cert, "-noout", "-fingerprint", "-sha256"]).stdout
        return key, cert, said.strip().split("=")[1]

    def start(self):
        certs = {s: self.certificate(s) for s in "ab"}
        inside = {"a": "169.254.10.1", "b": "169.254.10.2"}
        self.running = {}
        for side in "ab":
            far = other(side)
            key, cert, _ = certs[side]
            argv = ["openvpn", "--dev", "tun0", "--dev-type", "tun", "--proto", "udp4",
                    "--local", UP1[side], "--remote", UP1[far], "--port", "1194",
                    "--ifconfig", inside[side], inside[far], "--route", LAN[far].split("/")[0],
                    "255.255.255.0", "--key", key, "--cert", cert,
                    "--peer-fingerprint", certs[far][2], "--cipher", "AES-256-GCM",
                    "--data-ciphers", "AES-256-GCM", "--tun-mtu", self.mtu, "--txqueuelen", "1000",
                    "--tmp-dir", self.dir, "--sndbuf", "4194304", "--rcvbuf", "4194304",
                    "--fast-io", "--verb", "1"]
            argv += ["--tls-server", "--dh", "none"] if side == "a" else ["--tls-client"]
            with self.log_of(side) as log:
                self.running[side] = self.net.popen(f"gw-{side}", *argv, *self.no_dco(), stdout=log,
                                                    stderr=log, stdin=subprocess.DEVNULL)
        for side in "ab":
            lib.wait_for(f"OpenVPN's device in gw-{side}", lambda: self.there(side), 20, 0.05)

    @staticmethod
    def no_dco():
        """Its kernel module would take the data path out of userspace, where it is built in."""
        said = lib.run(["openvpn", "--help"], check=False).stdout
        return ["--disable-dco"] if "--disable-dco" in said else []

    def there(self, side):
        if self.running[side].poll() is not None:
            raise lib.Trouble(f"openvpn ended; it said: {self.words(side)}")
        return "Initialization Sequence Completed" in self.words(side)

    def stop(self):
        for child in getattr(self, "running", {}).values():
            lib.end(child)


# ---- which there are -----------------------------------------------------------------------------

TABLE = {
    "none": Contender,
    "null": TandemNull,
    "tandem": Tandem,
    "tandem-aes128": TandemAes128,
    "tandem-chacha": TandemChacha,
    "tandem-workers": TandemWorkers,
    "tandem-100": Tandem100,
    "tandem-1000": Tandem1000,
    "wireguard-go-13": WireGuard13,
    "wireguard-go-12": WireGuard12,
    "wireguard-go": WireGuard,
    "strongswan": StrongSwan,
    "openvpn": OpenVpn,
}
# Names of namespaces and devices are short.
TAG = {"tandem-aes128": "t128", "tandem-chacha": "tcha", "tandem-workers": "tw2", "tandem-100": "t100",
       "tandem-1000": "t1k", "wireguard-go-13": "wg13", "wireguard-go-12": "wg12",
       "wireguard-go": "wg", "strongswan": "swan", "openvpn": "ovpn"}


def describe():
    return "\n".join(f"  {name:16} {c.what}" for name, c in TABLE.items())

