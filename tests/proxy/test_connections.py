# SPDX-License-Identifier: Apache-2.0
"""Plain HTTP through a real worker: what becomes of connections that are kept, left, filled or upgraded."""
import os
import socket
import threading
import time

import forwarding
import harness
from forwarding import OK, Case, Replay, read_message, read_request
from harness import read_all, read_exactly, read_head


class Connections(Case):
    def test_one_origin_after_the_other(self):
        self.start()
        with self.worker.connect() as client:
            first, _, _ = self.exchange(client, None)
            self.exchange(client, first)
            self.url, self.host = self.url.replace(b'origin', b'other'), self.host.replace(b'origin', b'other')
            second, _, _ = self.exchange(client, None)
            self.assertEqual(first.recv(1), b'')
            with self.worker.connect() as other:  # nobody else's
                self.exchange(other, None)[0].close()
            self.exchange(client, second)
            first.close()
            second.close()
        self.assertEqual([self.worker.line()['host'] for _ in range(5)],
                         ['origin.test', 'origin.test', 'other.test', 'other.test', 'other.test'])

    def test_refused_on_a_kept_connection(self):
        self.start()
        with self.worker.connect() as client:
            server, _, _ = self.exchange(client, None)
            client.sendall(b'GET http://evil.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n' + self.head())
            self.assertEqual(read_message(client)[0], 403)
            self.assertEqual(client.recv(1), b'')
            self.assertEqual(read_all(server), b'')
            server.close()
        self.assertEqual([self.worker.line()['verdict'] for _ in range(2)], ['allowed', 'denied'])
        self.assertNotIn('evil.test', forwarding.NAMES.asked)

    def test_other_protocols_on_a_kept_connection(self):
        self.start()
        for data, status in ((b'\x05\x01\x00', 400),
                             (b'CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n', 403)):
            with self.worker.connect() as client:
                server, _, _ = self.exchange(client, None)
                client.sendall(data)
                self.assertEqual(read_message(client)[0], status)
                server.close()
        with self.worker.connect() as client:
            first, _, _ = self.exchange(client, None)
            client.sendall(harness.connect_request(self.host) + b'tunnel')
            second = self.origin.accept()  # what was used for HTTP never becomes a tunnel
            self.assertEqual(read_head(client)[0], 200)
            self.assertEqual(read_exactly(second, 6), b'tunnel')
            self.assertEqual(read_all(first), b'')
            first.close()
            second.close()

    def test_an_origin_that_ended_a_kept_connection(self):
        self.start()
        with self.worker.connect() as client:
            first, _, _ = self.exchange(client, None)
            self.ask(client)
            read_request(first)
            first.close()  # as one that closes just when the request comes
            second = self.origin.accept()
            read_request(second)
            second.sendall(OK)
            self.assertEqual(read_message(client)[2], b'ok')
            self.ask(client, method=b'POST')  # must not be sent twice
            read_request(second)
            second.close()
            self.assertEqual(read_message(client)[0], 502)
        self.assertEqual([self.worker.line()['reason'] for _ in range(3)], ['allowed', 'allowed', 'origin-closed'])

    def test_a_new_connection_is_not_tried_again(self):
        self.start()
        with self.worker.connect() as client:
            self.ask(client)
            server = self.origin.accept()
            read_request(server)
            server.close()
            self.assertEqual(read_message(client)[0], 502)

    def test_a_client_that_leaves(self):
        self.start()
        with self.worker.connect() as client:
            self.ask(client)
            server = self.origin.accept()
            read_request(server)
            server.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n')
            read_head(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        with self.assertRaises(ConnectionError):
            while True:
                server.sendall(b'x' * 65536)
        server.close()
        self.assertEqual(self.worker.line()['reason'], 'client-reset')

    def test_a_client_that_half_closes(self):
        self.start()
        with self.worker.connect() as client:
            self.ask(client)
            client.shutdown(socket.SHUT_WR)
            server = self.origin.accept()
            read_request(server)
            server.sendall(OK)
            self.assertEqual(read_message(client)[2], b'ok')
            self.assertEqual(read_all(client), b'')
            server.close()

    def test_idle(self):
        self.start(limits={'idle_timeout_ms': 1000})
        with self.worker.connect() as client:
            server, _, _ = self.exchange(client, None)
            self.worker.line()
            self.assertEqual(read_all(client), b'')
            self.assertEqual(read_all(server), b'')
            server.close()
        self.assertFalse(self.worker.has_line())

    def test_a_reset_of_an_idle_connection_is_no_request(self):
        self.start()
        with self.worker.connect() as client:
            server, _, _ = self.exchange(client, None)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        self.assertEqual(read_all(server), b'')
        server.close()
        with self.worker.connect() as client:
            client.sendall(b'?\r\n\r\n')
            self.assertEqual(read_message(client)[0], 400)
        self.assertEqual([self.worker.line()['reason'] for _ in range(2)], ['allowed', 'bad-request'])
        self.assertFalse(self.worker.has_line())

    def test_head_deadline_counts_from_the_first_byte(self):
        self.start(limits={'head_timeout_ms': 1000})
        with self.worker.connect() as client:
            server, _, _ = self.exchange(client, None)
            self.worker.line()
            client.sendall(b'G')
            self.assertEqual(read_message(client)[0], 408)
            server.close()
        self.assertEqual(self.worker.line()['reason'], 'head-timeout')

    def bulk(self, chunked):
        self.start()
        size = 8 << 20
        block = os.urandom(1 << 16)
        blocks = size // len(block)
        framed = b'%x\r\n%s\r\n' % (len(block), block) if chunked else block
        fields = b'Transfer-Encoding: chunked\r\n' if chunked else b'Content-Length: %d\r\n' % size
        end = b'0\r\n\r\n' if chunked else b''

        def send(sock):
            for _ in range(blocks):
                sock.sendall(framed)
            sock.sendall(end)

        def check(sock):
            if chunked:
                content = read_message(Replay(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', sock))[2]
            else:
                content = read_exactly(sock, size)
            self.assertEqual(content, block * blocks)

        with self.worker.connect() as client:
            self.ask(client, method=b'POST', fields=fields)
            up = threading.Thread(target=send, args=(client,))
            up.start()
            server = self.origin.accept()
            read_head(Replay(b'HTTP/1.1 200 ', server))
            check(server)
            up.join()
            server.sendall(b'HTTP/1.1 200 OK\r\n%s\r\n' % fields)
            down = threading.Thread(target=send, args=(server,))
            down.start()
            read_head(client)
            check(client)
            down.join()
            self.exchange(client, server)
            server.close()
        line = self.worker.line()
        self.assertGreaterEqual(min(line['bytes_up'], line['bytes_down']), size)

    def test_bulk(self):
        self.bulk(False)

    def test_bulk_in_chunks(self):
        self.bulk(True)

    def test_backpressure(self):
        """What the client does not read stays at the origin."""
        self.start()
        with self.worker.connect() as client:
            self.ask(client)
            server = self.origin.accept()
            read_request(server)
            server.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n')
            server.settimeout(1)
            with self.assertRaises(TimeoutError):
                server.sendall(b'x' * 100000000)
            with open(f'/proc/{self.worker.process.pid}/statm') as f:
                pages = int(f.read().split()[1])
            self.assertLess(pages * 4096, 200 << 20)
            server.close()

    def test_bytes_per_second(self):
        self.start(limits={'bytes_per_second_down': 100000})
        with self.worker.connect() as client:
            start = time.monotonic()
            response = b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n' + b'x' * 100000
            server, _, message = self.exchange(client, None, response)
            self.assertEqual(len(message[2]), 100000)
            self.assertGreater(time.monotonic() - start, .5)
            server.close()


class WebSocket(Case):
    UPGRADE = b'Connection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n'

    def test_tunnel(self):
        self.start()
        with self.worker.connect() as client:
            self.ask(client, fields=self.UPGRADE)
            server = self.origin.accept()
            request = read_request(server)
            self.assertIn(b'\r\nConnection: upgrade\r\nUpgrade: websocket\r\n', request)
            self.assertIn(b'\r\nSec-WebSocket-Key: x\r\n', request)
            server.sendall(b'HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                           b'Sec-WebSocket-Accept: y\r\n\r\nfirst')
            status, head = read_head(client)
            self.assertEqual(status, 101)
            self.assertIn(b'\r\nSec-WebSocket-Accept: y\r\n', head)
            self.assertIn(b'\r\nConnection: upgrade\r\nUpgrade: websocket\r\n', head)
            self.assertEqual(read_exactly(client, 5), b'first')
            client.sendall(b'GET / HTTP/1.1\r\n\r\n')
            self.assertEqual(read_exactly(server, 18), b'GET / HTTP/1.1\r\n\r\n')
            server.sendall(b'second')
            self.assertEqual(read_exactly(client, 6), b'second')
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(server), b'')
            server.close()
            self.assertEqual(read_all(client), b'')
        line = self.worker.line()
        self.assertEqual((line['via'], line['verdict'], line['bytes_up']), ('http', 'allowed', len(request) + 18))

    def test_not_granted(self):
        self.start()
        with self.worker.connect() as client:
            server, _, message = self.exchange(client, None, fields=self.UPGRADE)
            self.assertEqual(message[2], b'ok')
            self.exchange(client, server)
            server.close()

    def test_other_upgrades(self):
        self.start()
        with self.worker.connect() as client:
            server = None
            for fields in (self.UPGRADE.replace(b'WebSocket\r', b'websocket, h2c\r'),
                           self.UPGRADE.replace(b'WebSocket\r', b'h2c\r'), b'Upgrade: websocket\r\n',
                           self.UPGRADE + b'Upgrade: h2c\r\n', self.UPGRADE + b'Content-Length: 0\r\n'):
                server, request, _ = self.exchange(client, server, fields=fields)
                self.assertNotIn(b'pgrade', request)
            server.close()

    def test_wrong_switch(self):
        self.start()
        for head in (b'Upgrade: h2c\r\nConnection: Upgrade\r\n', b'Upgrade: websocket\r\n', b''):
            with self.worker.connect() as client:
                server, _, message = self.exchange(client, None, b'HTTP/1.1 101 Go\r\n' + head + b'\r\n',
                                                   fields=self.UPGRADE)
                self.assertEqual(message[0], 502)
                server.close()


if __name__ == '__main__':
    forwarding.main()
