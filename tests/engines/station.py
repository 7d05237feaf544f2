# SPDX-License-Identifier: Apache-2.0
"""Somebody in a network namespace: makes one for itself, and does there what the harness says.

    station.py [mounts RESOLV_CONF HOSTS]

With "mounts" it has a mount namespace too: those two files lie over /etc/resolv.conf and /etc/hosts, and /dev/log is
its own. Commands come as JSON lines on stdin, {"op": NAME, ...}; each gets one line. It ends at the end of stdin, and
the namespaces with it."""
import ctypes
import json
import os
import selectors
import socket
import struct
import subprocess
import sys

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MARKER_PORT = 9  # RFC 863; a datagram to it says: everything that was sent before me has been seen
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_STATISTICS = 263, 6
libc = ctypes.CDLL(None, use_errno=True)


def sh(*argv):
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def private_mounts(resolv_conf, hosts):
    sh("mount", "--make-rprivate", "/")
    sh("mount", "--bind", resolv_conf, "/etc/resolv.conf")
    sh("mount", "--bind", hosts, "/etc/hosts")
    # The machine's /dev may have no log, and is not ours to put one into: another tmpfs over it, with the same things.
    old = os.open("/dev", os.O_PATH)
    names = [n for n in os.listdir("/dev") if n != "log" and os.path.exists("/dev/" + n)]
    kinds = {n: ("link", os.readlink("/dev/" + n)) if os.path.islink("/dev/" + n)
             else ("dir" if os.path.isdir("/dev/" + n) else "file", None) for n in names}
    sh("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/dev")
    for name, (kind, target) in kinds.items():
        new = "/dev/" + name
        if kind == "link":
            os.symlink(target, new)
            continue
        os.mkdir(new) if kind == "dir" else os.close(os.open(new, os.O_CREAT | os.O_WRONLY, 0o666))
        if libc.mount(f"/proc/self/fd/{old}/{name}".encode(), new.encode(), None, 0x5000, None):  # MS_BIND | MS_REC
            raise OSError(ctypes.get_errno(), "bind " + new)
    os.close(old)


def describe(interface, outgoing, kind, data):
    """What a rule can match of a packet: None where a field is not there."""
    p = dict.fromkeys(("src", "dst", "proto", "sport", "dport"))
    p.update({"if": interface, "out": outgoing, "type": f"{kind:#06x}"})
    rest = None
    if kind == 0x0800 and len(data) >= 20:
        p["src"], p["dst"] = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
        p["proto"], rest = data[9], data[(data[0] & 15) * 4:]
    elif kind == 0x86dd and len(data) >= 40:
        p["src"], p["dst"] = (socket.inet_ntop(socket.AF_INET6, data[i:i + 16]) for i in (8, 24))
        p["proto"], rest = data[6], data[40:]
    elif kind == 0x0806 and len(data) >= 28:
        p["src"], p["dst"] = socket.inet_ntoa(data[14:18]), socket.inet_ntoa(data[24:28])
    if p["proto"] in (6, 17) and rest is not None and len(rest) >= 8:
        p["sport"], p["dport"] = struct.unpack("!HH", rest[:4])
    return p, rest


class Station:
    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.expected = []
        self.unexpected, self.n_packets = [], 0
        self.connections = []
        self.syslog_lines = []
        self.names, self.queries = {}, []
        self.markers, self.waiting = set(), None
        self.sniffer = self.discard = None
        self.input = b""
        self.on(sys.stdin.fileno(), self.command)

    def on(self, file, fn, *args):
        self.selector.register(file, selectors.EVENT_READ, lambda: fn(*args))

    def loop(self):
        while True:
            for key, _ in self.selector.select():
                key.data()

    def answer(self, value=None):
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    def command(self):
        data = os.read(0, 65536)
        if not data:
            sys.exit(0)
        self.input += data
        while b"\n" in self.input:
            line, self.input = self.input.split(b"\n", 1)
            arguments = json.loads(line)
            try:
                result = getattr(self, "op_" + arguments.pop("op"))(**arguments)
            except OSError as e:
                result = {"error": str(e)}
            if result is not NotImplemented:  # answered later
                self.answer(result)

    # -- sockets that answer

    def op_listen(self, addr, port, mode="hello", name=""):
        s = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if s.family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((addr, port))
        s.listen(4096)
        s.setblocking(False)
        self.on(s, self.accept, s, mode, name)
        return s.getsockname()[1]

    def accept(self, listener, mode, name):
        while True:
            try:
                s, peer = listener.accept()
            except BlockingIOError:
                return
            self.connections.append({"at": listener.getsockname()[:2], "from": peer[:2], "name": name})
            s.setblocking(False)
            if mode != "sink":  # which keeps it, and reads nothing
                self.on(s, self.serve, s, mode, name, bytearray())

    def serve(self, s, mode, name, head):
        try:
            data = s.recv(65536)
            if mode == "echo" and data:
                s.setblocking(True)
                s.sendall(data)
                s.setblocking(False)
                return
            head += data
            if data and b"\r\n\r\n" not in head:
                return
            if data:
                body = f"hello from {name}\n".encode()
                s.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        except BlockingIOError:
            return
        except OSError:
            pass
        self.selector.unregister(s)
        s.close()

    def op_udp(self, addr, port):
        s = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((addr, port))
        self.on(s, lambda: s.sendto(*s.recvfrom(65536)))

    def op_dns(self, addr, port, names):
        self.names = names
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((addr, port))
        self.on(s, self.resolve, s)

    def op_names(self, names):
        self.names.update(names)

    def op_queries(self):
        queries, self.queries = self.queries, []
        return queries

    def resolve(self, s):
        """RFC 1035: A and AAAA; a name that is not known is NXDOMAIN, one whose value is null gets no answer. Nothing
        of it is to be remembered, not even that there is nothing (RFC 2308)."""
        query, client = s.recvfrom(4096)
        labels, at = [], 12
        while at < len(query) and query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
            at += 1 + query[at]
        end = at + 5
        kind = struct.unpack("!H", query[at + 1:at + 3])[0]
        name = ".".join(labels)
        self.queries.append({"id": struct.unpack("!H", query[:2])[0], "name": name, "type": kind, "from": client})
        addresses = self.names.get(name, [])
        if addresses is None:
            return
        family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
        records = [socket.inet_pton(family, a) for a in addresses if family and (":" in a) == (family == socket.AF_INET6)]
        rcode = 0 if name in self.names else 3
        head = query[:2] + struct.pack("!HHHHH", 0x8580 | rcode, 1, len(records), not records, 0)
        body = b"".join(struct.pack("!HHHIH", 0xc00c, kind, 1, 0, len(r)) + r for r in records)
        if not records:
            body = b"\0" + struct.pack("!HHIHHIIIII", 6, 1, 0, 22, 0, 1, 1, 1, 1, 0)  # SOA
        s.sendto(head + query[12:end] + body, client)

    def op_connections(self):
        connections, self.connections = self.connections, []
        return connections

    def op_syslog_open(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind("/dev/log")
        os.chmod("/dev/log", 0o666)
        self.on(s, lambda: self.syslog_lines.append(s.recv(65536).decode("latin-1")))

    def op_syslog(self):
        return self.syslog_lines

    # -- eyes

    def op_sniff(self, expected):
        """Watches every interface, also those that come later. A packet that matches no rule is unexpected."""
        self.expected = expected
        if self.sniffer is None:
            self.discard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.discard.bind(("", MARKER_PORT))  # never read: a marker must only not be answered
            self.sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
            self.sniffer.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
            self.sniffer.setblocking(False)
            self.on(self.sniffer, self.drain)

    def drain(self):
        while True:
            try:
                data, (interface, kind, direction, _, _) = self.sniffer.recvfrom(2048)
            except BlockingIOError:
                return
            packet, rest = describe(interface, direction == PACKET_OUTGOING, kind, data)
            if packet["proto"] == 17 and packet["dport"] == MARKER_PORT:
                if not packet["out"]:
                    self.marker_seen(rest[8:].decode("latin-1"))
                continue
            self.n_packets += 1
            if not any(all(packet[k] == v for k, v in rule.items()) for rule in self.expected):
                self.unexpected.append(packet)

    def marker_seen(self, token):
        if token == self.waiting:
            self.waiting = None
            self.answer(True)
        else:
            self.markers.add(token)

    def op_mark(self, addr, token):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(token.encode(), (addr, MARKER_PORT))

    def op_await_mark(self, token):
        if token in self.markers:
            return True
        self.waiting = token
        return NotImplemented

    def op_seen(self):
        """What came since the last time and should not have; lost: packets that the socket had no room for."""
        lost = struct.unpack("II", self.sniffer.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
        result = {"packets": self.n_packets, "unexpected": self.unexpected[:100], "n": len(self.unexpected), "lost": lost}
        self.unexpected, self.n_packets = [], 0
        return result


def main():
    mounts = sys.argv[1:] and sys.argv[1] == "mounts"
    if libc.unshare(CLONE_NEWNET | (CLONE_NEWNS if mounts else 0)):
        raise OSError(ctypes.get_errno(), "unshare")
    if mounts:
        private_mounts(*sys.argv[2:4])
    sh("ip", "link", "set", "lo", "up")
    station = Station()
    station.answer("ready")
    station.loop()


main()
