"""What tshark and tcpdump, whom nobody here wrote, say about a capture."""

import re

import lib

# Outer packets with an address that exists only inside: what a VPN must not let out.
CLEAR = "net 10.0.0.0/8 or net 169.254.0.0/16 or ip6 net fd00::/8"


def tshark(file, *args):
    done = lib.run(["tshark", "-n", "-r", file, *args], timeout=300)
    return [line for line in done.stdout.split("\n") if line]


def clear_text(file):
    """The first lines, and the number, of packets that left in clear."""
    lines = [line for line in lib.run(["tcpdump", "-n", "-r", file, CLEAR]).stdout.split("\n") if line]
    return lines[:3], len(lines)


def capture(file):
    """Frames, how many are IKE and ESP, how many malformed or in clear, and examples of the latter."""
    fields = tshark(file, "-T", "fields", "-e", "_ws.malformed", "-e", "isakmp.ispi", "-e", "esp.spi",
                    "-e", "frame.number", "-E", "separator=|")
    rows = [line.split("|") for line in fields]
    bad = [r[3] for r in rows if r[0]]
    examples, clear = clear_text(file)
    return {"frames": len(rows), "ike": sum(bool(r[1]) for r in rows), "esp": sum(bool(r[2]) for r in rows),
            "malformed": len(bad), "clear": clear,
            "examples": examples + [f"frame {n} is malformed" for n in bad[:3]]}


def ike_keys(log):
    """
    The keys of the IKE SAs that a charon logged at level 4, in order: [{"sk_ei", "sk_er", "sk_ai",
    "sk_ar"}], hexadecimal.  The dump of a key follows the line that names it, 16 bytes a line.
    """
    found, name, left, here = [], None, 0, {}
    for line in log.split("\n"):
        start = re.search(r"(S[kK]_[ea][ir]) secret => (\d+) bytes", line)
        if start:
            name, here[start[1].lower()] = start[1].lower(), ""
            left = int(start[2])
            continue
        dump = re.search(r"\s+\d+: ((?:[0-9A-F]{2} ){1,16})", line) if name else None
        if dump:
            here[name] += dump[1].replace(" ", "")[:2 * left]
            left -= len(dump[1].split())
            if left <= 0:
                name = None
            if name is None and len(here) == 4:
                found.append(here)
                here = {}
    return found


def decrypted(file, keys):
    """How many IKE messages are encrypted, how many of them tshark could not open, how many malformed."""
    first = tshark(file, "-Y", "isakmp.exchangetype == 34 && isakmp.rspi != 0", "-T", "fields",
                   "-e", "isakmp.ispi", "-e", "isakmp.rspi")
    spi_i, spi_r = first[-1].split("\t")
    k = keys[0]
    table = (f'uat:ikev2_decryption_table:{spi_i},{spi_r},{k["sk_ei"]},{k["sk_er"]},'
             f'"AES-CBC-256 [RFC3602]",{k["sk_ai"]},{k["sk_ar"]},"HMAC_SHA2_256_128 [RFC4868]"')
    rows = tshark(file, "-o", table, "-Y", "isakmp.exchangetype > 34", "-T", "fields", "-e",
                  "isakmp.enc.decrypted", "-e", "_ws.malformed", "-e", "_ws.expert.message",
                  "-E", "separator=|")
    rows = [r.split("|") for r in rows]
    return {"encrypted": len(rows), "opaque": sum(not r[0] for r in rows),
            "malformed": sum(bool(r[1]) for r in rows),
            "complaints": sorted({r[2] for r in rows if r[2]})[:3]}
