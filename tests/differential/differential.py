#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Is there one reading of every byte that the proxy forwards?

Sends random requests, well-formed and damaged, through a worker to an origin that keeps what arrives; then has other
implementations read the same bytes: each must see the same requests with the same content. What one refuses is not
misread, but counted.

    differential.py [--messages N] [--seed N] [--readers NAME,...] [--keep FILE]
"""
import argparse
import collections
import ctypes
import json
import os
import random
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'proxy')]
import harness  # noqa: E402
import readers  # noqa: E402
from messages import Messages  # noqa: E402
from recorder import Recorder, parse_request  # noqa: E402

CLIENTS = 16
BACKEND = ('127.0.0.1', 8100)
POLICY = {'allow': ['a.test', 'b.test', 'c.test:8080'], 'networks': harness.ORIGINS,
          'limits': {'connections_per_second': 0, 'connections': 1000}}


class Clients:
    """Sends each stream on a connection of its own, a few at a time, and counts the answers with status 200."""

    def __init__(self, worker, streams):
        self.worker, self.streams, self.selector, self.answered = worker, streams, selectors.DefaultSelector(), 0

    def start(self):
        stream = next(self.streams, None)
        if stream is None:
            return False
        sock = self.worker.connect()
        sock.setblocking(False)
        self.selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, {'left': stream, 'answers': b''})
        return True

    def run(self):
        open_now = sum(self.start() for _ in range(CLIENTS))
        while open_now:
            for key, events in self.selector.select(harness.WAIT):
                if not self.step(key.fileobj, key.data, events):
                    self.answered += key.data['answers'].count(b'HTTP/1.1 200 OK\r\n')
                    self.selector.unregister(key.fileobj)
                    key.fileobj.close()
                    open_now += self.start() - 1

    def step(self, sock, state, events):
        """Returns whether the connection goes on."""
        try:
            if events & selectors.EVENT_WRITE:
                state['left'] = state['left'][sock.send(state['left']):] if state['left'] else b''
                if not state['left']:
                    sock.shutdown(socket.SHUT_WR)
                    self.selector.modify(sock, selectors.EVENT_READ, state)
            if events & selectors.EVENT_READ:
                more = sock.recv(65536)
                state['answers'] += more
                return bool(more)
        except ConnectionError:
            return False
        except BlockingIOError:
            pass
        return True


def record(messages, seed, keeper):
    """Sends them all; returns what arrived, (bytes, requests, problem) of each connection to the origin."""
    names = harness.Names()
    names.answers.update({f'{letter}.test': [harness.SERVED] for letter in 'abc'})
    kept = []
    stop, stopped = socket.socketpair()
    threads = [threading.Thread(target=Recorder(harness.listen(harness.SERVED, port), lambda *of: kept.append(of)).serve,
                                args=(stopped,)) for port in (80, 8080)]
    for thread in threads:
        thread.start()
    worker = harness.Worker(POLICY)
    threading.Thread(target=lambda: collections.deque(iter(lambda: os.read(worker.log, 1 << 16), b''), 0), daemon=True).start()

    sent = 0

    def streams():
        nonlocal sent
        chance = random.Random(seed)
        source = Messages(chance, .5)
        number = 0
        while sent < messages:
            stream = source.connection(number)
            sent += stream.count(b'X-Mark:') or 1
            number += 1
            yield stream

    clients = Clients(worker, streams())
    clients.run()
    worker.process.send_signal(signal.SIGTERM)
    if worker.process.wait(harness.WAIT) != 0:
        raise SystemExit('the worker failed')
    stop.close()
    for thread in threads:
        thread.join()
    print(f'{sent} requests sent, {sum(len(of[1]) for of in kept)} arrived on {len(kept)} connections', flush=True)
    return kept, clients.answered


class BackEnd:
    """Behind a web server: answers each request with what was read of it."""

    def __init__(self):
        self.listener = harness.listen(*BACKEND)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            sock, _ = self.listener.accept()
            threading.Thread(target=self.answer, args=(sock,), daemon=True).start()

    @staticmethod
    def answer(sock):
        data, asked = b'', False
        with sock:
            while True:
                more = sock.recv(1 << 18)
                if not more:
                    return
                data += more
                while True:
                    request = parse_request(data, 0)
                    if not request:
                        break
                    end, method, _, content = request
                    data, asked = data[end:], False
                    text = json.dumps([method.decode(), None, len(content), zlib.crc32(content)]).encode()
                    sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Read: %s\r\n\r\n' % text)
                # Apache waits for it before it hands on the content
                if not asked and b'\r\n\r\n' in data and b'100-continue' in data.split(b'\r\n\r\n')[0]:
                    asked = True
                    sock.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')


def start_server(command, address):
    process = subprocess.Popen(command, preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL))
    harness.until(lambda: socket.socket().connect_ex(address) == 0, f'{command[0]} does not listen')
    return process


def start_nginx(directory):
    configuration = f"""daemon off; master_process off; error_log /dev/null; pid {directory}/nginx.pid;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {directory}/nb; proxy_temp_path {directory}/np; fastcgi_temp_path {directory}/nf;
  uwsgi_temp_path {directory}/nu; scgi_temp_path {directory}/ns; keepalive_requests 100000; merge_slashes off;
  upstream b {{ server {BACKEND[0]}:{BACKEND[1]}; keepalive 8; }}
  server {{ listen 127.0.0.1:8101; client_max_body_size 0; underscores_in_headers on;
    location / {{ proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_ignore_client_abort on; }} }}
}}"""
    path = os.path.join(directory, 'nginx.conf')
    with open(path, 'w') as f:
        f.write(configuration)
    return start_server(['nginx', '-c', path, '-p', directory, '-e', '/dev/null'], ('127.0.0.1', 8101))


def start_apache(directory):
    modules = ''.join(f'LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n'
                      for name in ('mpm_event', 'authz_core', 'proxy', 'proxy_http'))
    configuration = f"""{modules}ServerRoot {directory}
ServerName a.test
Listen 127.0.0.1:8102
PidFile {directory}/apache.pid
ErrorLog /dev/null
DefaultRuntimeDir {directory}
Mutex sem
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MaxRequestWorkers 16
MaxKeepAliveRequests 0
AllowEncodedSlashes NoDecode
ProxyPass / http://{BACKEND[0]}:{BACKEND[1]}/ nocanon
"""
    path = os.path.join(directory, 'apache.conf')
    with open(path, 'w') as f:
        f.write(configuration)
    return start_server(['apache2', '-D', 'FOREGROUND', '-f', path], ('127.0.0.1', 8102))


def build_go(directory):
    target = os.path.join(directory, 'reader')
    subprocess.run(['go', 'build', '-o', target, os.path.join(HERE, 'reader.go')], check=True,
                   env={'PATH': os.environ['PATH'], 'HOME': directory, 'GO111MODULE': 'off'})
    return target


def open_readers(names, directory):
    """The readers by name, and the servers to be ended."""
    opened, servers = {}, []
    for name in names:
        if name == 'h11':
            opened[name] = readers.read_with_h11
        elif name == 'http.server':
            opened[name] = readers.read_with_http_server
        elif name == 'go':
            opened[name] = readers.Program(build_go(directory), unseen=[['OPTIONS', '*']])
        elif name == 'node':
            opened[name] = readers.Program('node', os.path.join(HERE, 'reader.js'))
        elif name in ('nginx', 'apache'):
            if not any(isinstance(of, readers.Server) for of in opened.values()):
                BackEnd()
            servers.append((start_nginx if name == 'nginx' else start_apache)(directory))
            opened[name] = readers.Server(('127.0.0.1', 8101 if name == 'nginx' else 8102))
        else:
            raise SystemExit(f'no reader {name}')
    return opened, servers


def same(seen, expected):
    """A server in front may write the target in another way: nothing is said of it."""
    return (seen[0], seen[2], seen[3]) == (expected[0], expected[2], expected[3]) and seen[1] in (None, expected[1])


def judge(read, stream, requests, problem):
    """'', 'refused', or what was read in another way."""
    seen, end = read(stream)
    expected = [readers.message(*of) for of in requests if list(of[:2]) not in getattr(read, 'unseen', ())]
    for i, message in enumerate(seen):
        if i >= len(expected):
            return '' if problem else f'one request more: {message}'
        if not same(message, expected[i]):
            return f'request {i}: {message}, expected {expected[i]}'
    if len(seen) < len(expected):
        return 'refused' if end == 'refused' else f'{len(seen)} requests of {len(expected)}, {end}'
    return ''


def compare(kept, names, directory):
    findings = 0
    opened, servers = open_readers(names, directory)
    for name, read in opened.items():
        counts = collections.Counter()
        samples = collections.Counter()
        for stream, requests, problem in kept:
            if problem == 'torn' and not requests:
                continue
            verdict = judge(read, stream, requests, problem)
            counts['same' if verdict == '' else 'refused' if verdict == 'refused' else 'differ'] += 1
            if verdict not in ('', 'refused'):
                findings += 1
                if counts['differ'] <= 5:
                    print(f'{name}: {verdict}\n  {stream!r}')
            elif verdict == 'refused':
                samples[stream] += 1
        print(f'{name}: {counts["same"]} connections read alike, {counts["refused"]} refused, {counts["differ"]} read otherwise',
              flush=True)
        for stream in list(samples)[:3]:
            print(f'  refused, for example: {stream[:400]!r}')
    for server in servers:
        server.terminate()
        server.wait()
    return findings


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--messages', type=int, default=20000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--readers', default='h11,http.server,go,node,nginx,apache')
    options = parser.parse_args()
    harness.enter_namespace()
    directory = tempfile.mkdtemp()
    try:
        kept, answered = record(options.messages, options.seed, harness.KEEPER)
        findings = 0
        for stream, requests, problem in kept:
            if problem and problem.startswith('malformed'):
                findings += 1
                print(f'{problem}\n  {stream!r}')
        arrived = sum(len(of[1]) for of in kept)
        if answered > arrived:
            findings += 1
            print(f'{answered} answers for {arrived} requests')
        if arrived == 0:
            raise SystemExit('nothing was forwarded')
        findings += compare(kept, options.readers.split(','), directory)
    finally:
        shutil.rmtree(directory)
    print(f'{findings} findings')
    return findings > 0


if __name__ == '__main__':
    sys.exit(main())
