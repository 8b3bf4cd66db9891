#!/usr/bin/python3
"""IKE_SA_INIT by hand, for what no honest peer sends.

  rawike.py flood  --at ADDRESS --to ADDRESS [--count N] [--no-natt]   openings that are never finished
  rawike.py answer --at ADDRESS                     answers openings without NAT detection, until ended

The suite is aes256gcm16-prfsha256-curve25519.  Each prints one JSON object a line about what came.
"""

import argparse
import json
import os
import socket
import struct
import sys

SA, KE, NONCE, NOTIFY = 33, 34, 40, 41
INIT, REQUEST, RESPONSE = 34, 0x08, 0x20
NATT_SOURCE, NATT_DESTINATION, COOKIE = 16388, 16389, 16390


def transform(kind, number, last=False, key=None):
    attribute = struct.pack("!HH", 0x800e, key) if key else b""
    return struct.pack("!BBHBBH", 0 if last else 3, 0, 8 + len(attribute), kind, 0, number) + attribute


def security_association():
    transforms = transform(1, 20, key=256) + transform(2, 5) + transform(4, 31, last=True)
    return struct.pack("!BBHBBBB", 0, 0, 8 + len(transforms), 1, 1, 0, 3) + transforms


def message(spi_i, spi_r, flags, payloads):
    body = b""
    for i, (_, data) in enumerate(payloads):
        following = payloads[i + 1][0] if i + 1 < len(payloads) else 0
        body += struct.pack("!BBH", following, 0, 4 + len(data)) + data
    return spi_i + spi_r + struct.pack("!BBBBII", payloads[0][0], 0x20, INIT, flags, 0,
                                       28 + len(body)) + body


def opening(natt):
    payloads = [(SA, security_association()), (KE, struct.pack("!HH", 31, 0) + os.urandom(32)),
                (NONCE, os.urandom(32))]
    if natt:
        payloads += [(NOTIFY, struct.pack("!BBH", 0, 0, kind) + os.urandom(20))
                     for kind in (NATT_SOURCE, NATT_DESTINATION)]
    return payloads


def notifies(data):
    """The notify types of a message in clear."""
    found, kind, at = [], data[16], 28
    while kind and at + 4 <= len(data):
        following, _, size = struct.unpack_from("!BBH", data, at)
        if kind == NOTIFY:
            found.append(struct.unpack_from("!H", data, at + 6)[0])
        if size < 4:
            break
        kind, at = following, at + size
    return found


def bound(address, port):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, port))
    return s


def flood(args):
    s = bound(args.at, 0)
    s.settimeout(1)
    answers = cookies = 0
    for _ in range(args.count):
        s.sendto(message(os.urandom(8), bytes(8), REQUEST, opening(not args.no_natt)), (args.to, 500))
        try:
            data = s.recv(65535)
        except socket.timeout:
            continue
        answers += 1
        cookies += COOKIE in notifies(data)
    print(json.dumps({"sent": args.count, "answers": answers, "cookies": cookies}))


def answer(args):
    s = bound(args.at, 500)
    print("ready", flush=True)
    while True:
        data, sender = s.recvfrom(65535)
        if len(data) < 28 or data[18] != INIT or data[19] & RESPONSE:
            continue
        s.sendto(message(data[:8], os.urandom(8), RESPONSE, opening(False)), sender)
        print(json.dumps({"answered": sender[0]}), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("verb", choices=["flood", "answer"])
    p.add_argument("--at", required=True)
    p.add_argument("--to")
    p.add_argument("--count", type=int, default=1)
    p.add_argument("--no-natt", action="store_true")
    args = p.parse_args()
    return flood(args) if args.verb == "flood" else answer(args)


if __name__ == "__main__":
    sys.exit(main())
