"""The topology: six namespaces, their links, addresses and routes.  The drawing is in scripts/lab."""

import path

LAN = {"a": ("10.1.0", "fd00:a:"), "b": ("10.2.0", "fd00:b:")}
PATH4 = {"1": "198.51.100", "2": "203.0.113"}
OUTSIDE4 = {"a": ("1", "2"), "b": ("5", "6")}        # the gateway's, the router's last byte


def outside(side, p, family=4):
    """(gateway's, router's) address on path `p` at site `side`, without the prefix length."""
    if family == 4:
        return tuple(f"{PATH4[p]}.{host}" for host in OUTSIDE4[side])
    return tuple(f"2001:db8:{p}:{side}::{host}" for host in "12")


def addresses():
    """What --json shows: who has which address."""
    table = {}
    for side in "ab":
        v4, v6 = LAN[side]
        table[f"lan-{side}"] = {"eth0": [f"{v4}.2", f"{v6}:2"]}
        gw = table[f"gw-{side}"] = {"lan": [f"{v4}.1", f"{v6}:1"]}
        for p in "12":
            gw[f"path{p}"] = [outside(side, p)[0], outside(side, p, 6)[0]]
            router = table.setdefault(f"path-{p}", {})
            router[f"to-{side}"] = [outside(side, p)[1], outside(side, p, 6)[1]]
    return table


def sysctls(lab, short):
    """Set before any device exists, so that devices are born with them."""
    values = {"net.ipv6.conf.all.accept_dad": 0, "net.ipv6.conf.default.accept_dad": 0,
              "net.ipv6.conf.default.accept_ra": 0, "net.ipv6.conf.all.keep_addr_on_down": 1,
              "net.ipv6.conf.default.keep_addr_on_down": 1,
              "net.ipv4.conf.all.send_redirects": 0, "net.ipv4.conf.default.send_redirects": 0}
    if not short.startswith("lan"):
        values.update({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})
    loose = 0 if short.startswith("path") else 2
    values.update({"net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.default.rp_filter": loose})
    lab.run(["sysctl", "-q", "-w"] + [f"{k}={v}" for k, v in values.items()], ns=short)
    # bbr without fq runs at a fraction of the speed; cubic where a namespace may choose it.
    allowed = lab.run(["sysctl", "-n", "net.ipv4.tcp_allowed_congestion_control"], ns=short)
    control = "cubic" if "cubic" in allowed.split() else "reno"
    lab.run(["sysctl", "-q", "-w", f"net.ipv4.tcp_congestion_control={control}"], ns=short)


def links(lab):
    lines = []
    for side in "ab":
        lan, gw = lab.ns(f"lan-{side}"), lab.ns(f"gw-{side}")
        lines.append(f"link add eth0 netns {lan} type veth peer name lan netns {gw}")
        for p in "12":
            router = lab.ns(f"path-{p}")
            lines.append(f"link add path{p} netns {gw} type veth "
                         f"peer name to-{side} netns {router}")
    lab.ip(None, lines)


def lan_host(lab, side):
    v4, v6 = LAN[side]
    lab.ip(f"lan-{side}", ["link set lo up", "link set eth0 up", f"addr add {v4}.2/24 dev eth0",
                           f"addr add {v6}:2/64 dev eth0 nodad", f"route add default via {v4}.1",
                           f"-6 route add default via {v6}:1"])
    if lab.state["options"]["no_offload"]:
        lab.run(["ethtool", "-K", "eth0", "tx", "off"], ns=f"lan-{side}")


def gateway(lab, side):
    v4, v6 = LAN[side]
    options = lab.state["options"]
    other = "b" if side == "a" else "a"
    lines = ["link set lo up", "link set lan up", f"addr add {v4}.1/24 dev lan",
             f"addr add {v6}:1/64 dev lan nodad"]
    for p in "12":
        mtu = f" mtu {options['mtu']}" if options["mtu"] else ""
        mine4, router4 = outside(side, p)
        mine6, router6 = outside(side, p, 6)
        lines += [f"link set path{p}{mtu} up", f"addr add {mine4}/30 dev path{p}",
                  f"addr add {mine6}/64 dev path{p} nodad",
                  f"route add {PATH4[p]}.{'4' if side == 'a' else '0'}/30 via {router4} src {mine4}",
                  f"-6 route add 2001:db8:{p}:{other}::/64 via {router6} src {mine6}"]
    if options["leaky"]:
        lines += [f"route add default via {outside(side, '1')[1]}",
                  f"-6 route add default via {outside(side, '1', 6)[1]}"]
    lab.ip(f"gw-{side}", lines)
    for p in "12":
        if options["strict"]:
            lab.run(["sysctl", "-q", "-w", f"net.ipv4.conf.path{p}.rp_filter=1"], ns=f"gw-{side}")
        if not options["offload"]:
            # A path acts on packets one by one, so no trains of them on the wire.
            lab.run(["ethtool", "-K", f"path{p}", "tso", "off", "gso", "off",
                     "tx-udp-segmentation", "off"], ns=f"gw-{side}")


def router(lab, p):
    options = lab.state["options"]
    mtu = f" mtu {options['mtu']}" if options["mtu"] else ""
    lines = ["link set lo up"]
    for side in "ab":
        lines += [f"link set to-{side}{mtu} up", f"addr add {outside(side, p)[1]}/30 dev to-{side}",
                  f"addr add {outside(side, p, 6)[1]}/64 dev to-{side} nodad"]
        # What a relay holds has not arrived yet: the detour comes before "is it for me?".
        mark, table = path.MARK[side], path.TABLE[side]
        lines += [f"{six} rule add fwmark {mark} lookup {table} pref 10" for six in ("-4", "-6")]
    for six in ("-4", "-6"):
        lines += [f"{six} rule add lookup local pref 100", f"{six} rule del lookup local pref 0"]
    lab.ip(f"path-{p}", lines)
    path.nat(lab, p)
    path.routes(lab, p, "a")
    path.routes(lab, p, "b")


def build(lab):
    for short, name in lab.all_ns().items():
        lab.run(["ip", "netns", "add", name])
        sysctls(lab, short)
    links(lab)
    for side in "ab":
        lan_host(lab, side)
        gateway(lab, side)
    for p in "12":
        router(lab, p)
