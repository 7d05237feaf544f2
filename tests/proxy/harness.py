# SPDX-License-Identifier: Apache-2.0
"""A real worker in a network namespace of its own, with name servers and origins to talk to.

Everything is an event: what a test waits for arrives on a socket or as the end of a process, within WAIT seconds.
"""
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

# The numbers that a worker finds its descriptors at are nobody else's here, not even the pipe of subprocess.
while os.open('/dev/null', os.O_RDONLY) < 12:
    pass

WAIT = 20
KEEPER = os.environ.get('OCI_EGRESS_KEEPER', '')
COMPILE = os.environ.get('OCI_EGRESS_COMPILE', '')
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG = 1

F_ADD_SEALS, SEALS = 1033, 0xf
FD_LISTENER, FD_IMAGE, FD_LOG, FD_RESOLV_CONF, FD_HOSTS, FD_SCOREBOARD, FD_CHANNEL, FD_ROOT, FD_CONTAINER = range(3, 12)
CHANNEL_READY, CHANNEL_PROBE_ACK, CHANNEL_PROBED, CHANNEL_LOG_FULL, CHANNEL_PROBE, CHANNEL_LOG, CHANNEL_LISTEN = range(1, 8)
LISTENER_CLOSED = 3

PROXY = '198.18.0.2'
SERVED = '198.51.100.7'    # origins listen here
SILENT = '198.51.100.66'   # drops what it gets
SERVED6, SILENT6 = '2001:db8:7::7', '2001:db8:7::66'
ORIGINS = ['198.51.100.0/24', '2001:db8:7::/48']


def enter_namespace():
    """Leaves the machine's network for good. Exits with 77 (skipped) where that is not permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET if uid == 0 else CLONE_NEWNET | CLONE_NEWUSER) < 0:
        print('unshare: ' + os.strerror(ctypes.get_errno()), file=sys.stderr)
        sys.exit(77)
    if uid != 0:
        for name, text in (('setgroups', 'deny'), ('uid_map', f'0 {uid} 1'), ('gid_map', f'0 {gid} 1')):
            with open('/proc/self/' + name, 'w') as f:
                f.write(text)
    # this namespace's own: small queues, so that what a reader leaves is soon felt by the sender
    for name in ('tcp_rmem', 'tcp_wmem'):
        with open('/proc/sys/net/ipv4/' + name, 'w') as f:
            f.write('4096 65536 524288')
    for command in ('link set lo up', f'addr add {PROXY}/32 dev lo', f'addr add {SERVED}/32 dev lo',
                    'link add hole type veth peer name sink', 'link set hole up', 'link set sink up',
                    f'route add {SILENT}/32 dev hole',
                    f'neigh add {SILENT} lladdr 02:00:00:00:00:01 dev hole nud permanent',
                    f'addr add {SERVED6}/128 dev lo nodad', f'route add {SILENT6}/128 dev hole src {SERVED6}',
                    f'neigh add {SILENT6} lladdr 02:00:00:00:00:01 dev hole nud permanent'):
        subprocess.run(['ip', *command.split()], check=True)


def add_silent(address):
    """One more that drops what it gets."""
    for command in (f'route replace {address}/32 dev hole',
                    f'neigh replace {address} lladdr 02:00:00:00:00:01 dev hole nud permanent'):
        subprocess.run(['ip', *command.split()], check=True)


def connecting():
    """How many sockets of this namespace wait for an answer to their SYN, proc_net_tcp(5)."""
    n = 0
    for name in ('tcp', 'tcp6'):
        with open('/proc/self/net/' + name) as f:
            n += sum(line.split()[3] == '02' for line in f.readlines()[1:])
    return n


def memfd(content, seal=True):
    fd = os.memfd_create('test', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content) if content else None
    if seal:
        fcntl.fcntl(fd, F_ADD_SEALS, SEALS)
    return fd


def listen(address, port=0, backlog=512):
    sock = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(backlog)
    return sock


def compile_policy(policy):
    return subprocess.run([COMPILE], input=json.dumps(policy).encode(), stdout=subprocess.PIPE, check=True).stdout


def until(condition, what):
    """Polls what there is no event for."""
    end = time.monotonic() + WAIT
    poller = select.poll()
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        poller.poll(1)


class Names:
    """A name server. answers: name -> list of addresses, an rcode, or None (silence). All holds for ttl seconds; with 0
    nothing is remembered, so that the next connection gets the answer of then."""

    def __init__(self, address='127.0.0.1'):
        self.answers, self.asked, self.kinds, self.held, self.ttl = {}, [], [], [], 0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    @staticmethod
    def question(query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode('latin-1'))
            at += 1 + query[at]
        return '.'.join(labels), struct.unpack('!H', query[at + 1:at + 3])[0], query[12:at + 5]

    def serve(self):
        while True:
            query, client = self.sock.recvfrom(4096)
            name, kind, question = self.question(query)
            self.kinds.append(kind)
            self.asked.append(name)
            answer = self.answers.get(name.lower(), 3)
            if answer is None:
                self.held.append((query, client))
            else:
                self.reply(query, client, answer)

    def release(self, name, answer):
        """Answers what was asked of this name in silence."""
        held, self.held = self.held, []
        for query, client in held:
            if self.question(query)[0] == name:
                self.reply(query, client, answer)

    def reply(self, query, client, answer):
        name, kind, question = self.question(query)
        if isinstance(answer, bytes):
            self.sock.sendto(query[:2] + answer, client)
            return
        rcode = answer if isinstance(answer, int) else 0
        records = b''
        n = 0
        for address in answer if isinstance(answer, list) else []:
            family = socket.AF_INET6 if ':' in address else socket.AF_INET
            if kind == (28 if family == socket.AF_INET6 else 1):
                data = socket.inet_pton(family, address)
                records += b'\xc0\x0c' + struct.pack('!HHIH', kind, 1, self.ttl, len(data)) + data
                n += 1
        soa = b'' if n else b'\0' + struct.pack('!HHIHHIIIII', 6, 1, self.ttl, 22, 0, 1, 1, 1, 1, self.ttl)
        head = struct.pack('!HHHHH', 0x8180 | rcode, 1, n, bool(soa), 0)
        self.sock.sendto(query[:2] + head + question + records + soa, client)


class Origin:
    """Listens; each accepted connection is handed to the test by accept()."""

    def __init__(self, address=SERVED, port=0):
        self.sock = listen(address, port)
        self.sock.settimeout(WAIT)
        self.port = self.sock.getsockname()[1]

    def accept(self):
        sock, _ = self.sock.accept()
        sock.settimeout(WAIT)
        return sock

    def close(self):
        self.sock.close()


class Worker:
    """oci-egress-keeper worker, in the foreground or isolated, and its log."""

    def __init__(self, policy, hosts=None, resolv_conf=b'nameserver 127.0.0.1\n', role=('foreground',), fds=None,
                 nofile=None, env=None):
        self.listener = listen(PROXY)
        self.port = self.listener.getsockname()[1]
        self.log, log_end = os.pipe()
        given = {FD_LISTENER: self.listener.fileno(), FD_IMAGE: memfd(compile_policy(policy)), FD_LOG: log_end,
                 FD_RESOLV_CONF: memfd(resolv_conf) if resolv_conf is not None else None,
                 FD_HOSTS: memfd(hosts) if hosts is not None else None, **(fds or {})}
        self.process = subprocess.Popen([KEEPER, 'worker', *role], close_fds=False,
                                        preexec_fn=lambda: self.place(given, nofile), env=env)
        for fd, source in given.items():
            if source is not None and fd not in (fds or {}) and fd != FD_LISTENER:
                os.close(source)
        self.lines = b''

    @staticmethod
    def place(given, nofile):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a test that is killed leaves nothing
        parked = {fd: fcntl.fcntl(source, fcntl.F_DUPFD, 100) for fd, source in given.items() if source is not None}
        for fd in range(3, 12):
            try:
                os.close(fd)
            except OSError:
                pass
        for fd, source in parked.items():
            os.dup2(source, fd)
            os.close(source)
        if nofile:
            resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))

    def connect(self):
        return socket.create_connection((PROXY, self.port), timeout=WAIT)

    def line(self):
        """The next line of the log."""
        while b'\n' not in self.lines:
            if not select.select([self.log], [], [], WAIT)[0]:
                raise TimeoutError('no line in the log')
            more = os.read(self.log, 65536)
            if not more:
                raise EOFError('the log has ended')
            self.lines += more
        line, self.lines = self.lines.split(b'\n', 1)
        return json.loads(line)

    def has_line(self):
        return b'\n' in self.lines or bool(select.select([self.log], [], [], 0)[0])

    def cpu_ticks(self):
        with open(f'/proc/{self.process.pid}/stat') as f:
            fields = f.read().rsplit(')', 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def stop(self, status=0):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(WAIT)
        self.listener.close()
        os.close(self.log)
        if code != status:
            raise AssertionError(f'the worker ended with {code}')


def read_head(sock):
    """Status and text of an answer's head; not a byte more is read."""
    head = b''
    while not head.endswith(b'\r\n\r\n'):
        byte = sock.recv(1)
        if not byte:
            return 0, head
        head += byte
    return int(head.split(b' ')[1]), head


def read_exactly(sock, n):
    """MSG_WAITALL does not: Python's sockets with a time-out are non-blocking ones."""
    data = b''
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            raise EOFError(f'{len(data)} of {n} bytes')
        data += more
    return data


def read_all(sock):
    data = bytearray()
    while True:
        try:
            more = sock.recv(1 << 20)
        except ConnectionResetError:
            return bytes(data)
        if not more:
            return bytes(data)
        data += more


def connect_request(target, extra=b''):
    host = target.encode('latin-1') if isinstance(target, str) else target
    return b'CONNECT ' + host + b' HTTP/1.1\r\nHost: ' + host + b'\r\n' + extra + b'\r\n'
