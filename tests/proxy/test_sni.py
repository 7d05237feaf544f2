# SPDX-License-Identifier: Apache-2.0
"""The name inside a tunnel, through the real worker: the ClientHellos of the corpus, real TLS, and what is no TLS."""
import json
import os
import select
import socket
import ssl
import struct
import subprocess
import tempfile
import time
import unittest

import harness
from harness import ORIGINS, SERVED, Origin, Worker, connect_request, read_all, read_exactly, read_head

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'corpus', 'sni.jsonl')
NAMES = None
ALERT = bytes([21, 3, 3, 0, 2, 2, 112])  # unrecognized_name, fatal
POLICY = {'allow': ['api.example.com', '*.cdn.example.com', SERVED], 'ports': [443], 'networks': ORIGINS}
# Rows of a capture without CONNECT, where no name means no destination: here it is known, and these are no TLS.
NO_TLS = {'http-on-443', 'ssh-on-443'}


def vector(data, length):
    return len(data).to_bytes(length, 'big') + data


def server_name(*names):
    return vector(b''.join(b'\0' + vector(name, 2) for name in names), 2)


def hello(*extensions):
    """A record with a ClientHello that has these (type, content)."""
    body = b'\3\3' + bytes(32) + vector(b'', 1) + b'\0\4\x13\1\xc0\x2f' + b'\1\0'
    body += vector(b''.join(struct.pack('!H', kind) + vector(data, 2) for kind, data in extensions), 2)
    message = b'\1' + vector(body, 3)
    return b''.join(b'\x16\3\1' + vector(message[at:at + 16384], 2) for at in range(0, len(message), 16384))


class Case(unittest.TestCase):
    def setUp(self):
        NAMES.answers.clear()
        for name in ('api.example.com', 'a.cdn.example.com'):
            NAMES.answers[name] = [SERVED]
        self.origin = Origin(port=443)
        self.worker = None

    def tearDown(self):
        self.origin.close()
        if self.worker:
            self.worker.stop()

    def start(self, **policy):
        self.worker = Worker({**POLICY, **policy})

    def tunnel(self, host='api.example.com', early=b''):
        client = self.worker.connect()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(connect_request(f'{host}:443') + early)
        self.assertEqual(read_head(client)[0], 200)
        return client, self.origin.accept()

    def socks_tunnel(self, host):
        client = self.worker.connect()
        client.sendall(b'\5\1\0\5\1\0\3' + vector(host.encode(), 1) + b'\1\xbb')
        self.assertEqual(read_exactly(client, 12), b'\5\0\5\0\0\1' + bytes(6))
        return client, self.origin.accept()

    def passes(self, pair, data, send=None):
        client, origin = pair
        (send or client.sendall)(data)
        self.assertEqual(read_exactly(origin, len(data)), data)
        origin.sendall(b'down')
        self.assertEqual(read_exactly(client, 4), b'down')
        client.sendall(b'up' * 50000)
        self.assertEqual(read_exactly(origin, 100000), b'up' * 50000)
        client.close(), origin.close()
        line = self.worker.line()
        self.assertEqual((line['verdict'], line['reason'], line['bytes_up'], line['bytes_down']),
                         ('allowed', 'allowed', len(data) + 100000, 4))
        return line

    def refused(self, pair, data, send=None, reason='sni-mismatch', verdict='denied'):
        """The client is told, and the origin gets nothing but an end."""
        client, origin = pair
        try:
            (send or client.sendall)(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assertEqual(read_all(client), ALERT)
        self.assertEqual(read_all(origin), b'')
        client.close(), origin.close()
        line = self.worker.line()
        self.assertEqual((line['verdict'], line['reason'], line['bytes_up'], line['bytes_down']),
                         (verdict, reason, 0, 0))
        self.assertEqual(line['address'], SERVED)
        return line


class Rows(Case):
    def test_rows(self):
        self.start()
        with open(CORPUS) as f:
            rows = [json.loads(line) for line in f]
        n = passed = 0
        for row in rows:
            if row['mode'] not in ('connect', 'transparent'):
                continue  # what a proxy that sees into TLS would do
            writes = [bytes.fromhex(data) for data in row['writes']]
            host = 'a.cdn.example.com' if row['name'] == 'ok-wildcard' else 'api.example.com'
            passes = row['expect'] == 'allow' or row['name'] in NO_TLS or 'ech' in row['name']
            if passes and row['name'] not in NO_TLS:
                self.assertIn('allow', [row['expect'], *row.get('also_ok', [])])
            for tunnel in (self.tunnel, self.socks_tunnel):
                with self.subTest(row['id'], why=row['why'], door=tunnel.__name__):
                    pair = tunnel(host)
                    send = lambda _, to=pair[0]: [to.sendall(data) for data in writes]  # noqa: E731
                    (self.passes if passes else self.refused)(pair, b''.join(writes), send)
                    n += 1
                    passed += passes
        self.assertGreater(n, 50)
        self.assertGreater(passed, 20)


class Names(Case):
    def test_as_hosts_are_compared(self):
        self.start()
        for name in (b'api.example.com', b'API.Example.COM', b'api.example.com.'):
            self.passes(self.tunnel('Api.Example.com'), hello((0, server_name(name))))
            self.passes(self.tunnel('api.example.com.'), hello((0, server_name(name))))
        for name in (b'a.cdn.example.com', b'b.cdn.example.com', b'example.com', b'xapi.example.com', b'*.example.com',
                     b'api.example.com\0', b'api.example.com..', b'', SERVED.encode()):
            self.refused(self.tunnel(), hello((0, server_name(name))))
        self.refused(self.tunnel('a.cdn.example.com'), hello((0, server_name(b'b.cdn.example.com'))))

    def test_address(self):
        """It has no name: the hello has none, too (RFC 6066 section 3)."""
        self.start()
        self.passes(self.tunnel(SERVED), hello())
        self.passes(self.tunnel(SERVED), hello((0, server_name(SERVED.encode()))))
        self.refused(self.tunnel(SERVED), hello((0, server_name(b'api.example.com'))))
        self.refused(self.tunnel(SERVED), hello((0, server_name(b'198.51.100.8'))))

    def test_off(self):
        self.start(sni='off')
        self.passes(self.tunnel(), hello((0, server_name(b'evil.test'))))
        self.passes(self.tunnel(), b'\x16')

    def test_in_the_same_segment_as_the_request(self):
        self.start()
        good, bad = hello((0, server_name(b'api.example.com'))), hello((0, server_name(b'evil.test')))
        client, origin = self.tunnel(early=good)
        self.passes((client, origin), good, lambda _: None)
        self.refused(self.tunnel(early=bad), bad, lambda _: None)


class Pieces(Case):
    def test_byte_by_byte(self):
        self.start()
        for name, judge in ((b'api.example.com', self.passes), (b'evil.test', self.refused)):
            pair = self.tunnel()
            judge(pair, hello((0, server_name(name))),
                  lambda data, to=pair[0]: [to.sendall(data[i:i + 1]) for i in range(len(data))])

    def test_large(self):
        """Post-quantum key shares, and the largest record; the name in front, and at the very end."""
        self.start()
        for size in (1700, 4000, 16000, 16384 - 100, 30000):
            padding = (21, bytes(size))
            for name, judge in ((b'api.example.com', self.passes), (b'evil.test', self.refused)):
                for extensions in ([(0, server_name(name)), padding], [padding, (0, server_name(name))]):
                    judge(self.tunnel(), hello(*extensions))
                    pair = self.tunnel()
                    judge(pair, hello(*extensions), lambda data, to=pair[0]: [
                        to.sendall(data[i:i + 1111]) for i in range(0, len(data), 1111)])

    def test_too_large(self):
        self.start()
        self.refused(self.tunnel(), hello((21, bytes(33000)), (0, server_name(b'api.example.com'))))

    def test_deadline(self):
        """From the first byte on, and for a hello only."""
        self.start(limits={'head_timeout_ms': 300})
        data = hello((0, server_name(b'api.example.com')))
        for n in (1, 2, 6, len(data) - 1):
            started = time.monotonic()
            self.refused(self.tunnel(), data[:n], reason='sni-timeout', verdict='failed')
            self.assertGreater(time.monotonic() - started, 0.25)
        pair = self.tunnel()
        self.assertFalse(select.select(pair, [], [], 0.5)[0], 'a client may be silent')
        self.passes(pair, data)

    def test_deadline_ends_with_the_hello(self):
        """Behind one that came in pieces the tunnel's own holds again."""
        self.start(limits={'head_timeout_ms': 60000, 'idle_timeout_ms': 1000})
        data = hello((0, server_name(b'api.example.com')))
        client, origin = self.tunnel()
        client.sendall(data[:50])
        origin.sendall(b'x')
        self.assertEqual(read_exactly(client, 1), b'x')  # so the worker has seen what came before
        client.sendall(data[50:])
        self.assertEqual(read_exactly(origin, len(data)), data)
        self.assertEqual(read_all(client), b'')
        client.close(), origin.close()
        line = self.worker.line()
        self.assertEqual((line['reason'], line['verdict']), ('idle-timeout', 'allowed'))


class Others(Case):
    def test_what_is_no_tls(self):
        self.start()
        for data in (b'GET / HTTP/1.1\r\n\r\n', b'SSH-2.0-x\r\n', b'\0\0\0\x08\4\xd2\x16\x2f', b'\x82\x85\2\3\4\5\6',
                     b'\x16\x16\x16', b'P', b'\x16\0\0\0\x05\x02'):
            self.passes(self.tunnel(), data)

    def test_one_byte_and_an_answer(self):
        """Nothing but the beginning of a hello is held up."""
        self.start()
        for byte in range(256):
            if byte & 0x80 or 20 <= byte <= 23:
                continue
            client, origin = self.tunnel()
            client.sendall(bytes([byte]))
            self.assertEqual(read_exactly(origin, 1), bytes([byte]))
            client.close(), origin.close()
            self.assertEqual(self.worker.line()['reason'], 'allowed')

    def test_server_speaks_first(self):
        """While the client is silent, and while it is not known what it begins with."""
        self.start()
        data = hello((0, server_name(b'api.example.com')))
        for first in (b'', data[:1], data[:50]):
            client, origin = self.tunnel()
            client.sendall(first)
            origin.sendall(b'SSH-2.0-server\r\n' * 20000)
            self.assertEqual(read_exactly(client, 320000), b'SSH-2.0-server\r\n' * 20000)
            self.assertFalse(select.select([origin], [], [], 0)[0], 'the beginning of a hello was passed on')
            client.sendall(data[len(first):])
            self.assertEqual(read_exactly(origin, len(data)), data)
            client.close(), origin.close()
            self.assertEqual(self.worker.line()['bytes_down'], 320000)
        client, origin = self.tunnel()
        origin.sendall(b'banner')
        self.assertEqual(read_exactly(client, 6), b'banner')
        client.sendall(hello((0, server_name(b'evil.test'))))
        self.assertEqual(read_all(client), b'', 'an alert in the middle of something')
        self.assertEqual(read_all(origin), b'')
        client.close(), origin.close()
        line = self.worker.line()
        self.assertEqual((line['reason'], line['bytes_down']), ('sni-mismatch', 6))

    def test_ends(self):
        """An end of file before and in the middle of a hello, which is none then; resets, of both sides."""
        self.start()
        data = hello((0, server_name(b'evil.test')))
        for first in (b'', data[:1], data[:60]):
            client, origin = self.tunnel()
            client.sendall(first)
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(origin), first)
            origin.sendall(b'late')
            origin.close()
            self.assertEqual(read_all(client), b'late')
            client.close()
            self.assertEqual(self.worker.line()['reason'], 'allowed')
        for first in (b'', data[:60]):
            for end, reason in ((0, 'client-reset'), (1, 'origin-reset')):
                pair = self.tunnel()
                pair[0].sendall(first)
                pair[end].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                pair[end].close()
                self.assertIn(read_all(pair[1 - end]), (b'', first))
                pair[1 - end].close()
                self.assertEqual(self.worker.line()['reason'], reason)

    def test_origin_ends_first(self):
        self.start()
        data = hello((0, server_name(b'api.example.com')))
        client, origin = self.tunnel()
        origin.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(client), b'')
        client.sendall(data)
        self.assertEqual(read_exactly(origin, len(data)), data)
        client.close()
        self.assertEqual(read_all(origin), b'')
        origin.close()
        self.assertEqual(self.worker.line()['reason'], 'allowed')

    def test_urgent_data_hides_nothing(self):
        """Bytes behind an urgent mark, tcp(7), are looked at like any others."""
        self.start(limits={'head_timeout_ms': 500})
        data = hello((0, server_name(b'evil.test')))
        for mark in (1, 5, 20):
            client, origin = self.tunnel()
            client.send(data[:mark], socket.MSG_OOB)
            client.sendall(data[mark:])
            self.assertEqual(read_all(origin), b'')
            client.close(), origin.close()
            self.assertIn(self.worker.line()['reason'], ('sni-mismatch', 'sni-timeout'))

    def test_urgent_data_and_an_end_hide_nothing(self):
        """One look goes up to an urgent mark: that no more bytes come does not mean that they were all seen."""
        self.start()
        data = hello((0, server_name(b'evil.test')))
        for mark in (1, 2, 5, 20, len(data)):
            client, origin = self.tunnel()
            client.send(data[:mark], socket.MSG_OOB)
            client.sendall(data[mark:])
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(origin), b'')
            client.close(), origin.close()
            self.assertEqual(self.worker.line()['reason'], 'sni-mismatch')


class Tls(Case):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.key, cls.cert = (os.path.join(cls.folder.name, name) for name in ('key', 'cert'))
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                        '-keyout', cls.key, '-out', cls.cert, '-days', '2', '-subj', '/CN=api.example.com', '-addext',
                        'subjectAltName=DNS:api.example.com,DNS:a.cdn.example.com'], check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def handshake(self, pair, name, version):
        """Both sides, a step at a time. Returns the client's error, None where TLS stands."""
        contexts = (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        contexts[0].load_verify_locations(self.cert)
        contexts[0].minimum_version = contexts[0].maximum_version = version
        contexts[1].load_cert_chain(self.cert, self.key)
        ends = []
        for context, sock, client in zip(contexts, pair, (True, False)):
            sock.setblocking(False)
            ends.append(context.wrap_socket(sock, server_side=not client, do_handshake_on_connect=False,
                                            server_hostname=name if client else None))
        self.ends, waiting = ends, list(ends)
        while waiting:
            for end in list(waiting):
                try:
                    end.do_handshake()
                    waiting.remove(end)
                except ssl.SSLWantReadError:
                    pass
                except (ssl.SSLError, OSError) as error:
                    if end is ends[0]:
                        return error
                    waiting.remove(end)
            if waiting:
                self.assertTrue(select.select(waiting, [], [], harness.WAIT)[0])
        return None

    def close(self):
        for end in self.ends:
            end.close()

    def test_handshakes(self):
        self.start()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.assertIsNone(self.handshake(self.tunnel(), 'api.example.com', version))
            self.ends[0].send(b'question')
            select.select([self.ends[1]], [], [], harness.WAIT)
            self.assertEqual(self.ends[1].recv(8), b'question')
            self.close()
            self.assertEqual(self.worker.line()['verdict'], 'allowed')
            # a certificate that would do, and a name that is listed: not the one that was asked for
            error = self.handshake(self.tunnel(), 'a.cdn.example.com', version)
            self.assertIn('UNRECOGNIZED_NAME', str(error).upper().replace(' ', '_'))
            self.close()
            line = self.worker.line()
            self.assertEqual((line['reason'], line['verdict'], line['host']),
                             ('sni-mismatch', 'denied', 'api.example.com'))


if __name__ == '__main__':
    harness.enter_namespace()
    NAMES = harness.Names()
    unittest.main(warnings='ignore')
