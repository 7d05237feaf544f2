# SPDX-License-Identifier: Apache-2.0
"""Plain HTTP through a real worker: the responses corpus, and what requests and responses may be."""
import json
import os
import re
import socket

import forwarding
import harness
from forwarding import OK, Case, read_message, read_request, read_until
from harness import SERVED, read_all, read_exactly, read_head

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(HERE, '..', 'corpus', 'responses')


class Corpus(Case):
    """Each row's bytes as an origin's answer."""

    def classify(self, row, data):
        method = b'HEAD' if row['request'] == 'HEAD' else b'GET'
        with self.worker.connect() as client:
            self.ask(client, method=method)
            with self.origin.accept() as server:
                read_request(server)
                step = 1 if 'timing' in row else len(data)
                try:
                    for i in range(0, len(data), step):
                        server.sendall(data[i:i + step])
                except ConnectionError:
                    pass  # it has read enough
                if row.get('then') == 'FIN':
                    server.close()
                try:
                    status, head, content = read_message(client, method)
                except EOFError:
                    return 'close', b'', b''
                return ('relay' if status == int(data[9:12]) else str(status)), head, content

    def test_rows(self):
        self.start()
        with open(os.path.join(CORPUS, 'index.jsonl')) as f:
            corpus = [json.loads(line) for line in f]
        wanted = {'p003': b'hi', 'p007': b'hi', 'p029': b'hi'}
        for row in corpus:
            if row['request'] == 'none':
                continue
            with open(os.path.join(CORPUS, row['file']), 'rb') as f:
                data = f.read()
            with self.subTest(row['id'], why=row['why']):
                got, head, content = self.classify(row, data)
                self.assertIn(got, [row['expect'], *row.get('also_ok', [])])
                if got == 'relay':
                    self.assertEqual(content, wanted.get(row['id'], b''))
                    self.assertNotIn(b'Proxy-', head)
                    self.assertNotRegex(head.replace(b'\r\n', b''), b'[\r\n]')
                line = self.worker.line()
                self.assertEqual(line['verdict'], 'failed' if got == '502' else 'allowed')
        self.assertGreater(len(corpus), 10)

    def test_unsolicited(self):
        """An answer before its request is none."""
        self.start()
        with open(os.path.join(CORPUS, '008-unsolicited.resp'), 'rb') as f:
            evil = f.read()
        with self.worker.connect() as client:
            first, _, _ = self.exchange(client, None)
            first.sendall(evil)
            harness.until(lambda: self.is_read(first), 'the word that nobody asked for was taken back')
            second, _, message = self.exchange(client, None)
            self.assertEqual(message[2], b'ok')
            first.close()
            second.close()

    @staticmethod
    def is_read(sock):
        """The other side has closed its end."""
        try:
            return sock.recv(1, socket.MSG_DONTWAIT) == b''
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def test_poisoned_queue(self):
        """What follows a response does not answer the next request."""
        self.start()
        for response in (OK + b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil',
                         b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n' + OK,
                         b'HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil',
                         b'HTTP/1.1 204 No Content\r\n\r\n' + OK):
            with self.worker.connect() as client:
                first, _, _ = self.exchange(client, None, response)
                second, _, message = self.exchange(client, None)
                self.assertEqual((message[0], message[2]), (200, b'ok'))
                first.close()
                second.close()


class Requests(Case):
    def test_the_head_is_written_anew(self):
        self.start()
        with self.worker.connect() as client:
            server, request, _ = self.exchange(
                client, None, path=b'a/b?c=d', fields=b'Cookie: secret\r\nX-Empty:\r\nX-Named: 1\r\n'
                b'Connection: x-named, keep-alive, Host, Content-Length\r\nProxy-Authorization: Basic c2VjcmV0\r\n'
                b'Proxy-Connection: x\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nVia: 1.1 a\r\n'
                b'X: \x80\r\n')
            self.assertEqual(request, b'GET /a/b?c=d HTTP/1.1\r\nHost: %s\r\nCookie: secret\r\nX-Empty: \r\n'
                             b'Via: 1.1 a\r\nX: \x80\r\nVia: 1.1 oci-egress\r\n\r\n' % self.host)
            server.close()
        line = self.worker.line()
        self.assertEqual((line['via'], line['host'], line['verdict'], line['reason'], line['address']),
                         ('http', 'origin.test', 'allowed', 'allowed', SERVED))
        self.assertEqual(line['bytes_up'], len(request))
        self.assertNotIn('secret', json.dumps(line))
        self.assertFalse(self.worker.has_line())

    def test_targets(self):
        self.start()
        with self.worker.connect() as client:
            server = None
            for method, target, wanted in ((b'GET', b'', b'/'), (b'GET', b'?a=b', b'/?a=b'), (b'OPTIONS', b'', b'*'),
                                           (b'OPTIONS', b'/', b'/'), (b'GET', b'//x', b'//x'),
                                           (b'BREW', b'/|^{}"', b'/|^{}"')):
                client.sendall(b'%s HTTP://ORIGIN.test.:%d%s HTTP/1.1\r\nHost: evil.test\r\n\r\n'
                               % (method, self.origin.port, target))
                server = server or self.origin.accept()
                request = read_request(server)
                start = b'%s %s HTTP/1.1\r\nHost: %s\r\n' % (method, wanted, self.host)
                self.assertTrue(request.startswith(start), request)
                server.sendall(OK)
                self.assertEqual(read_message(client)[2], b'ok')
            server.close()

    def test_max_forwards(self):
        self.start()
        with self.worker.connect() as client:
            server, request, _ = self.exchange(client, None, method=b'OPTIONS', fields=b'Max-Forwards: 7\r\n')
            self.assertIn(b'\r\nMax-Forwards: 6\r\n', request)
            server, request, _ = self.exchange(client, server, fields=b'Max-Forwards: 0\r\n')
            self.assertIn(b'\r\nMax-Forwards: 0\r\n', request)  # of GET it says nothing
            self.ask(client, method=b'OPTIONS', fields=b'Max-Forwards: 0\r\n')
            self.assertEqual(read_message(client)[0], 200)
            self.assertEqual(read_all(client), b'')
            self.assertEqual(server.recv(1), b'')
            server.close()
        lines = [self.worker.line() for _ in range(3)]
        self.assertEqual([line['verdict'] for line in lines], ['allowed'] * 3)
        self.assertEqual(lines[2]['bytes_up'], 0)

    def test_refused(self):
        self.start()
        for fields, status, reason in ((b'Via: 1.0 x, 1.1 OCI-Egress (y)\r\n', 508, 'loop'),
                                       (b'Expect: 200-ok\r\n', 417, 'expectation'),
                                       (b'Connection: a b\r\n', 400, 'bad-request'),
                                       (b'Content-Length: 1\r\nTransfer-Encoding: chunked\r\n', 400, 'bad-request')):
            with self.worker.connect() as client:
                self.ask(client, fields=fields)
                self.assertEqual(read_message(client)[0], status)
                self.assertEqual(read_all(client), b'')
            line = self.worker.line()
            self.assertEqual((line['reason'], line['verdict'], line['via']), (reason, 'bad-request', 'http'))
        with self.worker.connect() as client:
            client.sendall(b'GET https://origin.test/ HTTP/1.1\r\nHost: x\r\n\r\n')
            status, _, content = read_message(client)
            self.assertEqual(status, 400)
            self.assertIn(b'CONNECT', content)

    def test_content_is_framed_anew(self):
        self.start()
        chunked = b'Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n'
        with self.worker.connect() as client:
            self.ask(client, method=b'POST', fields=chunked)
            client.sendall(b'00002;a="b";c\r\nhe\r\n3\r\nllo\r\n0;x\r\nX-Sum: 1\r\n\r\n')
            server = self.origin.accept()
            self.assertEqual(read_until(server, b'0\r\n\r\n').split(b'\r\n\r\n', 1),
                             [b'POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n'
                              b'Via: 1.1 oci-egress' % self.host, b'5\r\nhello\r\n0\r\n\r\n'])
            server.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nTrailer: Y\r\n\r\n')
            self.assertEqual(read_head(client)[1],
                             b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nVia: 1.1 oci-egress\r\n\r\n')
            for byte in b'05;a=b\r\nhello\r\n0\r\nY: 1\r\n\r\n':
                server.sendall(bytes([byte]))
            data = read_until(client, b'0\r\n\r\n')
            self.assertEqual(b''.join(re.findall(rb'[0-9a-f]+\r\n([a-z]+)\r\n', data)), b'hello')
            client.sendall(self.head(method=b'POST', fields=b'Content-Length: 007\r\n') + b'content')
            self.assertTrue(read_until(server, b'content').endswith(
                b'\r\nContent-Length: 7\r\nVia: 1.1 oci-egress\r\n\r\ncontent'))
            server.sendall(OK)
            self.assertEqual(read_message(client)[2], b'ok')
            server.close()

    def test_a_request_that_is_malformed_from_the_start_is_not_begun(self):
        self.start()
        with self.worker.connect() as client:
            head = self.head(method=b'POST', fields=b'Transfer-Encoding: chunked\r\n')
            client.sendall(head + b'5\r\nhelloXX0\r\n\r\n')
            self.assertEqual(read_message(client)[0], 400)
            server = self.origin.accept()
            self.assertEqual(read_all(server), b'')
            server.close()
        self.assertEqual(self.worker.line()['reason'], 'bad-request')

    def test_continue(self):
        self.start()
        with self.worker.connect() as client:
            self.ask(client, method=b'PUT', fields=b'Content-Length: 5\r\nExpect: 100-Continue\r\n')
            server = self.origin.accept()
            self.assertIn(b'\r\nExpect: 100-continue\r\n', read_request(server))
            server.sendall(b'HTTP/1.1 100 Continue\r\nContent-Length: 9\r\n\r\n')
            self.assertEqual(read_head(client)[1], b'HTTP/1.1 100 Continue\r\nVia: 1.1 oci-egress\r\n\r\n')
            client.sendall(b'hello')
            self.assertEqual(read_exactly(server, 5), b'hello')
            server.sendall(OK)
            self.assertEqual(read_message(client)[2], b'ok')
            self.exchange(client, server)
            server.close()

    def test_pipeline(self):
        self.start()
        n = 50
        with self.worker.connect() as client:
            client.sendall(b''.join(self.head(path=b'%d' % i) for i in range(n)))
            server = self.origin.accept()
            for i in range(n):
                request = read_request(server)
                self.assertTrue(request.startswith(b'GET /%d HTTP' % i), request)
                self.assertEqual(request.count(b'\r\n\r\n'), 1)  # one at a time
                server.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n%03d' % i)
            for i in range(n):
                self.assertEqual(read_message(client)[2], b'%03d' % i)
            server.close()
        for _ in range(n):
            self.worker.line()

    def test_a_request_in_every_two_pieces(self):
        self.start()
        data = self.head(method=b'POST', fields=b'Transfer-Encoding: chunked\r\n') + b'1\r\na\r\n10\r\n' + b'b' * 16 + \
            b'\r\n0\r\nX: 1\r\n\r\n'
        with self.worker.connect() as client:
            server = None
            for cut in range(1, len(data)):
                client.sendall(data[:cut])
                client.sendall(data[cut:] + self.head()[:1])  # and the next one has begun
                server = server or self.origin.accept()
                content = read_until(server, b'0\r\n\r\n').split(b'\r\n\r\n', 1)[1]
                self.assertEqual(re.sub(rb'[0-9a-f]+\r\n([ab]*)\r\n', rb'\1', content), b'a' + b'b' * 16, cut)
                server.sendall(OK)
                self.assertEqual(read_message(client)[2], b'ok')
                client.sendall(self.head()[1:])
                self.assertTrue(read_request(server).startswith(b'GET / '))
                server.sendall(OK)
                self.assertEqual(read_message(client)[2], b'ok')
                self.assertEqual([self.worker.line()['reason'] for _ in range(2)], ['allowed'] * 2)
            server.close()


class Responses(Case):
    def fails(self, response, status, reason, fields=b'', method=b'GET'):
        with self.worker.connect() as client:
            self.ask(client, fields=fields, method=method)
            with self.origin.accept() as server:
                read_request(server)
                try:
                    server.sendall(response)
                except ConnectionError:
                    pass
                got, head, _ = read_message(client)
                self.assertEqual(got, status, response[:80])
                self.assertIn(b'Proxy-Status: ', head)
                self.assertEqual(read_all(client), b'')
        line = self.worker.line()
        self.assertEqual((line['reason'], line['verdict']), (reason, 'failed'))

    def test_bad(self):
        self.start(limits={'response_head_bytes': 4096})
        for response in (b'HTTP/2 200 OK\r\n\r\n', b'ICY 200 OK\r\n\r\n', b'HTTP/1.1 20 OK\r\n\r\n',
                         b'HTTP/1.1 2000 OK\r\n\r\n',
                         b'HTTP/1.1 200 O\x00K\r\n\r\n', b'HTTP/1.1 200 OK\n\n', b'\r\nHTTP/1.1 200 OK\r\n\r\n',
                         b'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n', b'HTTP/1.1 200 OK\r\nA : b\r\n\r\n',
                         b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok',
                         b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
                         b'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n',
                         b'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
                         b'HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n',
                         b'HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n',
                         b'HTTP/1.1 204 No\r\nContent-Length: x\r\n\r\n'):
            self.fails(response, 502, 'bad-response')
        self.fails(b'HTTP/1.1 200 OK\r\nX: ' + b'y' * 5000, 502, 'response-too-large')
        self.fails(b'HTTP/1.1 200 OK\r\n' + b'X: y\r\n' * 101, 502, 'response-too-large')

    def test_silence(self):
        self.start(limits={'idle_timeout_ms': 1000})
        self.fails(b'HTTP/1.1 200', 504, 'response-timeout')
        self.fails(b'', 504, 'response-timeout')
        self.fails(b'', 408, 'content-timeout', fields=b'Content-Length: 5\r\n', method=b'POST')

    def test_interim(self):
        self.start()
        with self.worker.connect() as client:
            self.ask(client)
            server = self.origin.accept()
            read_request(server)
            server.sendall(b'HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 102 P\r\n\r\n' + OK)
            self.assertIn(b'\r\nLink: x\r\n', read_message(client)[1])
            self.assertEqual([read_message(client)[0], read_message(client)[2]], [102, b'ok'])
            self.ask(client)
            read_request(server)
            server.sendall(b'HTTP/1.1 102 P\r\n\r\n' * 1000)
            self.assertEqual([read_message(client)[0] for _ in range(9)], [102] * 8 + [502])
            server.close()
        with self.worker.connect() as client:  # HTTP/1.0 knows none
            self.ask(client, version=b'1.0')
            server = self.origin.accept()
            read_request(server)
            server.sendall(b'HTTP/1.1 102 P\r\n\r\n' + OK)
            self.assertEqual(read_message(client)[::2], (200, b'ok'))
            server.close()

    def test_without_content(self):
        self.start()
        with self.worker.connect() as client:
            server, _, message = self.exchange(client, None, b'HTTP/1.1 200\r\nContent-Length: 12345\r\n\r\n',
                                               method=b'HEAD')
            self.assertEqual(message[1], b'HTTP/1.1 200 \r\nContent-Length: 12345\r\nVia: 1.1 oci-egress\r\n\r\n')
            for head, wanted in ((b'304 Not\r\nContent-Length: 5\r\n', b'304 Not\r\nContent-Length: 5\r\n'),
                                 (b'204 No\r\nContent-Length: 5\r\n', b'204 No\r\n'),
                                 (b'304 Not\r\nTransfer-Encoding: chunked\r\n', b'304 Not\r\n')):
                _, _, message = self.exchange(client, server, b'HTTP/1.1 %s\r\n' % head)
                self.assertEqual(message[1], b'HTTP/1.1 %sVia: 1.1 oci-egress\r\n\r\n' % wanted)
            server.close()

    def test_fields_of_the_hop(self):
        self.start()
        with self.worker.connect() as client:
            server, _, message = self.exchange(
                client, None,
                b'HTTP/1.1 200 OK\r\nConnection: close, X-A, content-length\r\nX-A: 1\r\nKeep-Alive: x\r\n'
                b'Set-Cookie: a\r\nSet-Cookie: b\r\nProxy-Authenticate: Basic\r\nProxy-Status: evil\r\nUpgrade: h2\r\n'
                b'Content-Length: 0\r\n\r\n')
            self.assertEqual(message[1], b'HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n'
                             b'Via: 1.1 oci-egress\r\n\r\n')
            self.assertEqual(server.recv(1), b'')  # close was of this hop
            server.close()
            self.exchange(client, None)[0].close()

    def test_until_close(self):
        self.start()
        for version in (b'1.1', b'1.0'):
            with self.worker.connect() as client:
                self.ask(client, version=version)
                server = self.origin.accept()
                read_request(server)
                server.sendall(b'HTTP/1.0 200 OK\r\n\r\n' + b'x' * 100000)
                server.close()
                status, head, content = read_message(client)
                self.assertEqual((status, content), (200, b'x' * 100000))
                self.assertIn(b'\r\nConnection: close\r\n', head)
                self.assertEqual(b'chunked' in head, version == b'1.1')
                self.assertEqual(read_all(client), b'')

    def test_chunks_for_an_old_client(self):
        self.start()
        with self.worker.connect() as client:
            self.ask(client, version=b'1.0')
            server = self.origin.accept()
            read_request(server)
            server.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n')
            self.assertEqual(read_all(client),
                             b'HTTP/1.1 200 OK\r\nVia: 1.1 oci-egress\r\nConnection: close\r\n\r\nhello')
            server.close()

    def test_what_is_cut_off_shows(self):
        self.start()
        for head in (b'Content-Length: 100', b'Transfer-Encoding: chunked'):
            for version in (b'1.1', b'1.0'):
                with self.worker.connect() as client:
                    self.ask(client, version=version)
                    server = self.origin.accept()
                    read_request(server)
                    server.sendall(b'HTTP/1.1 200 OK\r\n%s\r\n\r\n5\r\nhello\r\n' % head)
                    server.close()
                    _, head_out = read_head(client)
                    if b'Content-Length' in head_out:
                        self.assertEqual(read_all(client), b'5\r\nhello\r\n')
                    elif b'chunked' in head_out:
                        self.assertEqual(read_all(client), b'5\r\nhello\r\n')
                    else:
                        with self.assertRaises(ConnectionResetError):
                            while client.recv(65536):
                                pass
                line = self.worker.line()
                self.assertEqual((line['reason'], line['verdict']), ('origin-closed', 'allowed'))

    def test_early(self):
        """The response to a request that is still on its way goes through; then the connection ends."""
        self.start()
        with self.worker.connect() as client:
            self.ask(client, method=b'POST', fields=b'Content-Length: 1000\r\n')
            server = self.origin.accept()
            read_request(server)
            server.sendall(b'HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno')
            status, head, content = read_message(client)
            self.assertEqual((status, content), (413, b'no'))
            self.assertIn(b'\r\nConnection: close\r\n', head)
            self.assertEqual(client.recv(1), b'')
            server.close()

    def test_both_at_once(self):
        """Request and response flow side by side."""
        self.start()
        with self.worker.connect() as client:
            self.ask(client, method=b'POST', fields=b'Transfer-Encoding: chunked\r\n')
            server = self.origin.accept()
            read_request(server)
            server.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
            self.assertEqual(read_head(client)[0], 200)
            for i in range(20):
                client.sendall(b'1\r\n%c\r\n' % (97 + i))
                data = read_until(server, b'%c' % (97 + i))
                server.sendall(b'1\r\n%c\r\n' % data.strip()[-1])
                read_until(client, b'%c' % (97 + i))
            client.sendall(b'0\r\n\r\n')
            read_until(server, b'0\r\n\r\n')
            server.sendall(b'0\r\n\r\n')
            self.assertEqual(read_until(client, b'0\r\n\r\n')[-5:], b'0\r\n\r\n')
            server.close()


if __name__ == '__main__':
    forwarding.main()
