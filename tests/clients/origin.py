# SPDX-License-Identifier: Apache-2.0
"""What clients talk to: files, bytes in any number, uploads by their hash, a WebSocket echo; in the clear and over TLS."""
import base64
import hashlib
import http.server
import os
import ssl
import subprocess
import threading

BLOCK = hashlib.sha512(b'block').digest() * (1 << 14)  # 1 MiB


def stream_hash(size):
    """Of the bytes that /bytes/SIZE gives."""
    digest = hashlib.sha256()
    for at in range(0, size, len(BLOCK)):
        digest.update(BLOCK[:size - at])
    return digest.hexdigest()


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def answer(self, content):
        self.send_response(200)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        if self.headers.get('Upgrade', '').lower() == 'websocket':
            self.web_socket()
        elif self.path == '/hello':
            self.answer(b'hello')
        elif self.path.startswith('/bytes/'):
            self.stream(int(self.path[7:]))
        else:
            super().do_GET()

    def stream(self, size):
        self.send_response(200)
        self.send_header('Content-Length', str(size))
        self.end_headers()
        for at in range(0, size, len(BLOCK)):
            self.wfile.write(BLOCK[:size - at])

    def do_PUT(self):
        if self.headers.get('Expect', '').lower() == '100-continue':
            self.wfile.write(b'HTTP/1.1 100 Continue\r\n\r\n')
        digest = hashlib.sha256()
        for part in self.chunks() if self.headers.get('Transfer-Encoding') else self.counted():
            digest.update(part)
        self.answer(digest.hexdigest().encode())

    do_POST = do_PUT

    def handle_expect_100(self):
        return True

    def counted(self):
        left = int(self.headers.get('Content-Length') or 0)
        while left:
            part = self.rfile.read(min(left, 1 << 20))
            if not part:
                return
            left -= len(part)
            yield part

    def chunks(self):
        while True:
            left = int(self.rfile.readline().split(b';')[0], 16)
            if left == 0:
                break
            while left:
                part = self.rfile.read(min(left, 1 << 20))
                left -= len(part)
                yield part
            self.rfile.readline()
        while self.rfile.readline() not in (b'\r\n', b''):
            pass

    def web_socket(self):
        """RFC 6455: sends back each frame, of at most 125 bytes, until the client closes."""
        key = self.headers['Sec-WebSocket-Key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
        self.wfile.write(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                         b'Sec-WebSocket-Accept: ' + base64.b64encode(hashlib.sha1(key.encode()).digest()) + b'\r\n\r\n')
        while True:
            head = self.rfile.read(6)
            if len(head) < 6:
                break
            data = bytes(byte ^ head[2 + i % 4] for i, byte in enumerate(self.rfile.read(head[1] & 0x7f)))
            self.wfile.write(bytes((head[0], len(data))) + data)
            if head[0] & 0xf == 8:
                break
        self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


def make_certificate(directory):
    """A CA in DIRECTORY/ca.pem, and a certificate of the origins that it has signed."""
    def openssl(*words):
        subprocess.run(['openssl', *words], cwd=directory, check=True, stderr=subprocess.DEVNULL)
    with open(os.path.join(directory, 'extensions'), 'w') as f:
        f.write('subjectAltName=DNS:origin.test,DNS:h2.test\n')
    openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=ca of the tests',
            '-keyout', 'ca.key', '-out', 'ca.pem', '-addext', 'basicConstraints=critical,CA:TRUE')
    openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=origin.test', '-keyout', 'key.pem', '-out', 'request.pem')
    openssl('x509', '-req', '-in', 'request.pem', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2',
            '-extfile', 'extensions', '-out', 'cert.pem')


def serve(address, directory, certificates):
    """Serves DIRECTORY's files and the rest, on ports 80 and 443."""
    def handler(*arguments):
        return Handler(*arguments, directory=directory)
    for port in (80, 443):
        server = Server((address, port), handler)
        if port == 443:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(os.path.join(certificates, 'cert.pem'), os.path.join(certificates, 'key.pem'))
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
