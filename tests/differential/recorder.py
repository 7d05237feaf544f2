# SPDX-License-Identifier: Apache-2.0
"""The origin behind the proxy: keeps every byte that arrives, and answers each request that it can read.

It reads strictly, as nothing but the form that a proxy should send: what is not of that form is a finding by itself.
"""
import re
import selectors

LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.1")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)")
SIZE = re.compile(rb'[0-9a-fA-F]{1,8}')
NEVER = {b'proxy-connection', b'proxy-authorization', b'keep-alive', b'te', b'trailer', b'x-named'}


class Malformed(Exception):
    pass


def parse_head(head):
    """The request's method, target and framing: a length, or None for chunked."""
    line, *fields = head.split(b'\r\n')
    start = LINE.fullmatch(line)
    if not start:
        raise Malformed(f'request line {line!r}')
    lengths, codings, hosts = [], [], 0
    for field in fields:
        match = FIELD.fullmatch(field)
        if not match:
            raise Malformed(f'field line {field!r}')
        name, value = match[1].lower(), match[2].strip(b' \t')
        if name in NEVER - {b'x-named'}:
            raise Malformed(f'field of the hop {field!r}')
        hosts += name == b'host'
        if name == b'content-length':
            lengths.append(value)
        elif name == b'transfer-encoding':
            codings.append(value)
    if hosts != 1:
        raise Malformed(f'{hosts} Host fields')
    if len(lengths) + len(codings) > 1:
        raise Malformed(f'framed twice: {lengths} {codings}')
    if codings and codings != [b'chunked']:
        raise Malformed(f'coding {codings}')
    if lengths and not re.fullmatch(rb'[0-9]{1,15}', lengths[0]):
        raise Malformed(f'length {lengths}')
    return start[1], start[2], None if codings else int(lengths[0]) if lengths else 0


def parse_chunks(data, at):
    """Where the chunked content that begins at at has ended, and the content; None: there is more to come."""
    content = b''
    while True:
        end = data.find(b'\r\n', at)
        if end < 0:
            if len(data) - at > 64:
                raise Malformed('chunk size line')
            return None
        if not SIZE.fullmatch(data[at:end]):
            raise Malformed(f'chunk size {data[at:end]!r}')
        size = int(data[at:end], 16)
        at = end + 2
        if len(data) < at + size + 2:
            return None
        if data[at + size:at + size + 2] != b'\r\n':
            raise Malformed('trailer' if size == 0 else 'chunk end')
        content += data[at:at + size]
        at += size + 2
        if size == 0:
            return at, content


def parse_request(data, at):
    """(end, method, target, content) of the request that begins at at; None: there is more to come."""
    end = data.find(b'\r\n\r\n', at)
    if end < 0:
        return None
    method, target, length = parse_head(data[at:end])
    end += 4
    if length is None:
        chunks = parse_chunks(data, end)
        return chunks and (chunks[0], method, target, chunks[1])
    return (end + length, method, target, data[end:end + length]) if len(data) >= end + length else None


class Recorder:
    """Serves a listening socket until told to stop; each connection's bytes go to keep(bytes, requests, problem)."""

    def __init__(self, listener, keep):
        self.listener, self.keep = listener, keep
        self.selector = selectors.DefaultSelector()
        listener.setblocking(False)
        self.selector.register(listener, selectors.EVENT_READ)

    def serve(self, stop):
        self.selector.register(stop, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is stop:
                    return
                if key.fileobj is self.listener:
                    self.accept()
                else:
                    self.read(key.fileobj, key.data)

    def accept(self):
        sock, _ = self.listener.accept()
        self.selector.register(sock, selectors.EVENT_READ, {'data': bytearray(), 'at': 0, 'requests': []})

    def read(self, sock, state):
        try:
            more = sock.recv(1 << 18)
        except ConnectionError:
            more = b''
        state['data'] += more
        problem = '' if more else 'torn' if state['at'] < len(state['data']) else None
        while more:
            try:
                request = parse_request(bytes(state['data']), state['at'])
            except Malformed as malformed:
                problem = f'malformed: {malformed}'
                break
            if not request:
                break
            state['at'], method, target, content = request
            state['requests'].append((method.decode(), target.decode('latin-1'), content))
            try:
                sock.send(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n' + (b'' if method == b'HEAD' else b'ok'))
            except ConnectionError:
                pass
        if problem != '':
            self.selector.unregister(sock)
            sock.close()
            self.keep(bytes(state['data']), state['requests'], problem)
