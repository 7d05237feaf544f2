# SPDX-License-Identifier: Apache-2.0
"""Ways out of a network namespace for a process that has at most NET_RAW there, and no seccomp filter.

    wayout.py OWN GATEWAY GATEWAY_MAC TARGET TARGET6 [WAY...]

Tries each but the WAYs named, whatever becomes of it, and writes one JSON object: for each way "sent", or the error that met it. Who
watches from outside says what got through."""
import ctypes
import errno
import json
import mmap
import os
import socket
import struct
import subprocess
import sys

OWN, GATEWAY, GATEWAY_MAC, TARGET, TARGET6 = sys.argv[1:6]
DEVICE = "eth0"
INDEX = socket.if_nametoindex(DEVICE)
libc = ctypes.CDLL(None, use_errno=True)
SO_MARK, SO_PRIORITY, SO_BINDTODEVICE, SO_RCVMARK = 36, 12, 25, 75
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20
WAYS = []


def way(fn):
    WAYS.append(fn)
    return fn


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def mac(device=DEVICE):
    with open(f"/sys/class/net/{device}/address", encoding="ascii") as file:
        return bytes.fromhex(file.read().strip().replace(":", ""))


def ip4(payload, proto, source=OWN, target=TARGET, fragment=0, options=b""):
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | (5 + len(options) // 4), 0, 20 + len(options) + len(payload), 7, fragment, 64,
                       proto, 0, socket.inet_aton(source), socket.inet_aton(target)) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(payload, proto, source, target):
    return struct.pack("!IHBB", 0x60000000, len(payload), proto, 255) + socket.inet_pton(socket.AF_INET6, source) + \
        socket.inet_pton(socket.AF_INET6, target) + payload


def udp(sport=4444, dport=4444, data=b"wayout"):
    return struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data


def tcp(sport, dport, flags=2, source=OWN, target=TARGET):
    segment = struct.pack("!HHIIBBHHH", sport, dport, 1, 1, 0x50, flags, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, 6, len(segment))
    return segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]


def echo(data=b"wayout"):
    head = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + data
    return head[:2] + struct.pack("!H", checksum(head)) + head[4:]


def raw(packet, target=TARGET, *options):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
        for option in options:
            s.setsockopt(*option)
        s.sendto(packet, (target, 0))


def frame(payload, kind=0x0800, to=GATEWAY_MAC, options=(), source=None):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        for option in options:
            s.setsockopt(*option)
        s.bind((DEVICE, kind))
        s.send(bytes.fromhex(to.replace(":", "")) + (source or mac()) + struct.pack("!H", kind) + payload)


def datagram(target, port=4444, *options, family=socket.AF_INET, kind=socket.SOCK_DGRAM, proto=0, source=None, data=b"wayout"):
    with socket.socket(family, kind, proto) as s:
        for option in options:
            s.setsockopt(*option)
        if source:
            s.bind((source, 0))
        s.sendto(data, (target, port))


def connect(target, port, *options, family=socket.AF_INET, fast=False):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(0.3)
        for option in options:
            s.setsockopt(*option)
        if fast:
            s.sendto(b"wayout", socket.MSG_FASTOPEN, (target, port))
        else:
            s.connect((target, port))


def run(*argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    if done.returncode:
        raise PermissionError(errno.EPERM, done.stderr.strip()[-60:])


BIND = (socket.SOL_SOCKET, SO_BINDTODEVICE, DEVICE.encode())
MARK = (socket.SOL_SOCKET, SO_MARK, 0x12345678)
PRIORITY = (socket.SOL_SOCKET, SO_PRIORITY, 0x7ffffffe)
BROADCAST = (socket.SOL_SOCKET, socket.SO_BROADCAST, 1)

for name, fn in {
    "tcp": lambda: connect(TARGET, 443),
    "tcp, bound to the device": lambda: connect(TARGET, 443, BIND),
    "tcp, marked": lambda: connect(TARGET, 443, MARK),
    "tcp, to the gateway": lambda: connect(GATEWAY, 22),
    "tcp, mapped": lambda: connect("::ffff:" + TARGET, 443, family=socket.AF_INET6),
    "tcp, IPv6": lambda: connect(TARGET6, 443, family=socket.AF_INET6),
    "tcp, metadata": lambda: connect("169.254.169.254", 80, BIND),
    "tcp, fast open": lambda: connect(TARGET, 443, fast=True),
    "udp": lambda: datagram(TARGET),
    "udp, a name server": lambda: datagram(GATEWAY, 53),
    "udp, bound to the device": lambda: datagram(TARGET, 4444, BIND),
    "udp, marked": lambda: datagram(TARGET, 4444, MARK),
    "udp, with a priority": lambda: datagram(TARGET, 4444, PRIORITY),
    "udp, IPv6": lambda: datagram(TARGET6, family=socket.AF_INET6),
    "udp, from another's address": lambda: datagram(TARGET, 4444, (0, 19, 1), source=GATEWAY),  # IP_TRANSPARENT
    "udp, source route": lambda: datagram(TARGET, 4444, (0, 4, b"\x83\x07\x04" + socket.inet_aton(GATEWAY) + b"\0")),
    "udp, one datagram, many segments": lambda: datagram(TARGET, 4444, (17, 103, 512), data=b"x" * 4096),
    "udp, larger than a frame": lambda: datagram(TARGET, 4444, (0, 10, 0), data=b"x" * 9000),
    "udp, broadcast": lambda: datagram("255.255.255.255", 4444, BROADCAST, BIND),
    "udp, broadcast in the network": lambda: datagram(OWN.rpartition(".")[0] + ".255", 4444, BROADCAST),
    "udp, multicast": lambda: datagram("224.0.0.251", 5353, (0, 32, socket.inet_aton(OWN))),
    "udp, IPv6 multicast": lambda: datagram("ff02::1%" + DEVICE, family=socket.AF_INET6),
    "udp, IPv6 link-local": lambda: datagram("fe80::1%" + DEVICE, family=socket.AF_INET6),
    "udplite": lambda: datagram(TARGET, proto=136),
    "sctp": lambda: raw(ip4(b"\0" * 12, 132)),
    "ping": lambda: datagram(TARGET, 0, proto=1, data=echo()),
    "raw icmp": lambda: datagram(TARGET, 0, kind=socket.SOCK_RAW, proto=1, data=echo()),
    "raw icmp, IPv6": lambda: datagram(TARGET6, 0, family=socket.AF_INET6, kind=socket.SOCK_RAW, proto=58,
                                       data=b"\x80\0\0\0\0\1\0\1wayout"),
    "raw udp": lambda: raw(ip4(udp(), 17)),
    "raw udp, from another": lambda: raw(ip4(udp(), 17, source="10.99.0.1")),
    "raw udp, from the gateway": lambda: raw(ip4(udp(), 17, source=GATEWAY)),
    "raw udp, marked": lambda: raw(ip4(udp(), 17), TARGET, MARK),
    "raw udp, bound to the device": lambda: raw(ip4(udp(), 17), TARGET, BIND),
    "raw udp, to the gateway first": lambda: raw(ip4(udp(), 17), GATEWAY),
    "raw syn": lambda: raw(ip4(tcp(4444, 443), 6)),
    "raw syn ack": lambda: raw(ip4(tcp(80, 443, 0x12), 6)),
    "raw rst": lambda: raw(ip4(tcp(80, 443, 0x04), 6)),
    "raw first fragment": lambda: raw(ip4(udp()[:8], 17, fragment=0x2000)),
    "raw later fragment": lambda: raw(ip4(b"x" * 64, 17, fragment=1)),
    "raw source route": lambda: raw(ip4(udp(), 17, target=GATEWAY, options=b"\x83\x07\x04" + socket.inet_aton(TARGET) + b"\0"), GATEWAY),
    "raw tunnel": lambda: raw(ip4(ip4(udp(), 17), 4)),
    "raw tunnel of IPv6": lambda: raw(ip4(ip6(udp(), 17, "2001:db8::1", TARGET6), 41)),
    "raw gre": lambda: raw(ip4(b"\0\0\x08\0" + ip4(udp(), 17), 47)),
    "raw esp": lambda: raw(ip4(b"\0" * 32, 50)),
    "raw igmp": lambda: raw(ip4(b"\x16\0\xf9\xfd\xe0\0\0\2", 2, target="224.0.0.2"), "224.0.0.2", BIND),
    "raw icmp error": lambda: raw(ip4(b"\3\1\0\0\0\0\0\0" + ip4(udp(), 17, source=TARGET, target=OWN), 1)),
    "packet": lambda: frame(ip4(udp(), 17)),
    "packet, no queue": lambda: frame(ip4(udp(), 17), options=[(SOL_PACKET, PACKET_QDISC_BYPASS, 1)]),
    "packet, marked": lambda: frame(ip4(udp(), 17), options=[MARK, PRIORITY]),
    "packet, broadcast": lambda: frame(ip4(udp(), 17), to="ff:ff:ff:ff:ff:ff"),
    "packet, another's address": lambda: frame(ip4(udp(), 17, source=GATEWAY), source=b"\2\0\0\0\0\1"),
    "packet, ARP": lambda: frame(struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, mac(), socket.inet_aton(OWN), b"\0" * 6,
                                             socket.inet_aton(GATEWAY)), 0x0806, "ff:ff:ff:ff:ff:ff"),
    "packet, ARP for another": lambda: frame(struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 2, mac(), socket.inet_aton(GATEWAY),
                                                         mac(), socket.inet_aton("10.88.0.9")), 0x0806, "ff:ff:ff:ff:ff:ff"),
    "packet, IPv6": lambda: frame(ip6(udp(), 17, "2001:db8::1", TARGET6), 0x86dd),
    "packet, VLAN": lambda: frame(b"\0\5\x08\0" + ip4(udp(), 17), 0x8100),
    "packet, LLC": lambda: frame(b"\xaa\xaa\3\0\0\0\x08\0" + ip4(udp(), 17), 0x0100),
    "packet, a type of nobody's": lambda: frame(b"wayout", 0x88b5),
    "neighbour solicitation": lambda: datagram("ff02::1%" + DEVICE, 0, (41, 18, 255), family=socket.AF_INET6,
                                               kind=socket.SOCK_RAW, proto=58,
                                               data=b"\x87\0\0\0\0\0\0\0" + socket.inet_pton(socket.AF_INET6, TARGET6)),
    "neighbour advertisement": lambda: datagram("fe80::1%" + DEVICE, 0, (41, 16, 255), family=socket.AF_INET6,
                                                kind=socket.SOCK_RAW, proto=58,
                                                data=b"\x88\0\0\0\x20\0\0\0" + socket.inet_pton(socket.AF_INET6, TARGET6)),
    "route": lambda: run("ip", "route", "add", TARGET, "via", GATEWAY),
    "address": lambda: run("ip", "addr", "add", "10.88.0.77/24", "dev", DEVICE),
    "neighbour": lambda: run("ip", "neigh", "replace", TARGET, "lladdr", GATEWAY_MAC, "dev", DEVICE),
    "interface": lambda: run("ip", "link", "add", "veth9", "type", "veth", "peer", "name", "veth8"),
    "tunnel": lambda: run("ip", "tunnel", "add", "tun9", "mode", "ipip", "remote", TARGET, "local", OWN),
    "rename": lambda: run("ip", "link", "set", DEVICE, "name", "oe0"),
    "flush the rules": lambda: run("nft", "flush", "ruleset"),
    "another table": lambda: run("nft", "add", "table", "inet", "mine"),
    "a user namespace's rules": lambda: run("unshare", "-Ur", "nft", "flush", "ruleset"),
    "a user namespace's route": lambda: run("unshare", "-Ur", "ip", "route", "add", TARGET, "via", GATEWAY),
    "the interface into a user namespace": lambda: run("unshare", "-Urn", "sh", "-c", "ip link set dev eth0 netns $$"),
    "back from a user namespace": lambda: run("unshare", "-Urn", "nsenter", f"--net=/proc/{os.getpid()}/ns/net", "ip", "route"),
}.items():
    fn.__doc__ = name
    WAYS.append(fn)


@way
def conntrack_udp():
    """a connection that seems to have come in"""
    raw(ip4(udp(443, 7777), 17, source=TARGET, target=OWN), OWN)  # through lo
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((OWN, 7777))
        s.sendto(b"wayout", (TARGET, 443))


@way
def conntrack_tcp():
    """a TCP connection that seems to have come in"""
    raw(ip4(tcp(443, 7778, 2, TARGET, OWN), 6, source=TARGET, target=OWN), OWN)
    raw(ip4(tcp(7778, 443, 0x12, OWN, TARGET), 6))


@way
def conntrack_broadcast():
    """one that comes back from the device's own broadcasts"""
    raw(ip4(udp(443, 7779), 17, source=TARGET, target="255.255.255.255"), "255.255.255.255", BIND, BROADCAST)
    raw(ip4(udp(7779, 443), 17, source="255.255.255.255"))


@way
def old_packet():
    """the packet socket of old"""
    s = libc.socket(socket.AF_INET, 10, socket.htons(0x0800))
    if s < 0:
        raise OSError(ctypes.get_errno(), "socket")
    data = bytes.fromhex(GATEWAY_MAC.replace(":", "")) + mac() + b"\x08\0" + ip4(udp(), 17)
    to = struct.pack("H14sH", socket.AF_INET, DEVICE.encode(), socket.htons(0x0800))
    if libc.sendto(s, data, len(data), 0, to, len(to)) < 0:
        raise OSError(ctypes.get_errno(), "sendto")
    os.close(s)


@way
def xdp():
    """a ring past the stack"""
    area = mmap.mmap(-1, 8192)
    data = bytes.fromhex(GATEWAY_MAC.replace(":", "")) + mac() + b"\x08\0" + ip4(udp(), 17)
    area[:len(data)] = data
    at = ctypes.addressof(ctypes.c_char.from_buffer(area))
    s = socket.socket(44, socket.SOCK_RAW, 0)
    s.setsockopt(283, 4, struct.pack("QQIIII", at, 8192, 4096, 0, 0, 0)[:28] + b"\0" * 4)  # XDP_UMEM_REG
    for ring in (5, 6, 3):  # fill, completion, TX
        s.setsockopt(283, ring, struct.pack("i", 8))
    offsets = struct.unpack("16Q", s.getsockopt(283, 1, 128))
    ring = mmap.mmap(s.fileno(), offsets[6] + 8 * 16, offset=0x80000000)
    address = struct.pack("HHIII", 44, 2, INDEX, 0, 0)  # XDP_COPY
    if libc.bind(s.fileno(), address, len(address)) < 0:
        raise OSError(ctypes.get_errno(), "bind")
    ring[offsets[6]:offsets[6] + 16] = struct.pack("QII", 0, len(data), 0)
    ring[offsets[4]:offsets[4] + 4] = struct.pack("I", 1)
    if libc.sendto(s.fileno(), None, 0, socket.MSG_DONTWAIT, None, 0) < 0:
        raise OSError(ctypes.get_errno(), "sendto")


def main():
    results = {}
    for fn in (w for w in WAYS if w.__doc__ not in sys.argv[6:]):
        try:
            fn()
            results[fn.__doc__] = "sent"
        except (OSError, subprocess.TimeoutExpired) as e:
            results[fn.__doc__] = errno.errorcode.get(getattr(e, "errno", None), str(e))
    json.dump(results, sys.stdout)


main()
