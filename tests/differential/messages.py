# SPDX-License-Identifier: Apache-2.0
"""Random HTTP/1 requests to a proxy: well-formed ones, and ones that were damaged where parsers are known to differ."""

HOSTS = ['a.test', 'b.test', 'A.TEST', 'a.test:80', 'a.test.', 'c.test:8080']
METHODS = ['GET'] * 8 + ['POST'] * 8 + ['PUT', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH', 'PROPFIND', 'REPORT']
PATHS = ['', '/', '/a', '/a/b?c=d', '/%2e/', '//x', '/a;b', '?q', '/' + 'x' * 300]
FIELDS = ['Accept: */*', 'Accept-Encoding: gzip, deflate', 'User-Agent: probe/1.0', 'Cookie: a=b; c=d', 'X-Empty:',
          'Cache-Control: no-cache', 'X-Long: ' + 'y' * 500, 'Authorization: Basic YTpi', 'Referer: http://a.test/',
          'X-Utf8: \u00c3\u00a9', 'X-Tab:\tvalue\t', 'Via: 1.1 other', 'Max-Forwards: 5', 'Range: bytes=0-1']
HOP = ['Connection: keep-alive', 'Connection: close', 'Connection: X-Named', 'Proxy-Connection: keep-alive', 'TE: trailers',
       'Keep-Alive: timeout=5', 'Connection: X-Named, keep-alive', 'Upgrade: h2c', 'Proxy-Authorization: Basic YTpi',
       'X-Named: named', 'Connection: Content-Length', 'Connection: Transfer-Encoding', 'Connection: Host',
       'Trailer: X-End', 'Expect: 100-continue']
CODINGS = ['chunked', 'Chunked', 'chunked ', ' chunked', 'gzip, chunked', 'chunked, chunked', 'identity', 'chunked, identity',
           'xchunked', '"chunked"', 'chunked\t', '\x0bchunked', ',chunked', 'chunked;a=b', '']
LENGTHS = ['0', '5', '05', '+5', '-5', '5,5', '5, 5', '5,6', '0x5', '5 ', '5\t', '5.0', '', '99999999999999999999', '1_0', '4']
NAMES = ['Transfer-Encoding', 'transfer-encoding', 'Content-Length', 'content-length', 'Transfer_Encoding', 'Content-Length ',
         ' Content-Length', 'Transfer-Encoding\t', 'Content\x00-Length', 'Host']
SIZES = ['5', '05', '0005', '5;a', '5;a=b', '5;a="b;c"', '5 ', ' 5', '+5', '0x5', '-1', '5\t', 'g', '', '5;\n', 'ffffffffffffffff5',
         '10000000000000005', '5;a="\r\n0\r\n\r\n"']
ENDS = ['\r\n'] * 30 + ['\n', '\r', '\r\r\n', ' \r\n', '\n\r', '\x0b\r\n']
BYTES = [b'\r', b'\n', b'\r\n', b' ', b'\t', b':', b'\x00', b'\xff', b'0', b';', b',', b'\x0b', b'GET http://b.test/ HTTP/1.1\r\n\r\n']


class Messages:
    """damaged: the share of requests, from 0 to 1, in which something is wrong on purpose."""

    def __init__(self, random, damaged):
        self.random, self.damaged = random, damaged

    def content(self):
        size = self.random.choice([0, 0, 1, 5, 5, 17, 100, 3000])
        return self.random.randbytes(size) if self.random.random() < .5 else (b'GET /inner HTTP/1.1\r\n\r\n' * 150)[:size]

    def chunks(self, content, wrong):
        out, at = b'', 0
        while at < len(content):
            n = min(self.random.choice([1, 5, 16, 1000]), len(content) - at)
            size = '%x' % n
            if wrong and self.random.random() < .5:
                size = self.random.choice(SIZES)
            elif self.random.random() < .2:
                size = self.random.choice(['0', '00', '']) + size + self.random.choice(['', ';ext', ';a=b', ';a="b"'])
            out += size.encode('latin-1') + self.end(wrong) + content[at:at + n] + self.end(wrong)
            at += n
        trailers = self.random.choice([b'', b'', b'', b'X-End: 1\r\n', b'Content-Length: 5\r\n', b'Transfer-Encoding: chunked\r\n'])
        return out + self.random.choice(['0', '0', '000', '0;x']).encode() + self.end(wrong) + trailers + self.end(wrong)

    def end(self, wrong):
        return self.random.choice(ENDS).encode('latin-1') if wrong else b'\r\n'

    def framing(self, wrong):
        """Field lines, and the content that goes with them."""
        content = self.content()
        kind = self.random.random()
        if wrong and kind < .5:
            lines = []
            for _ in range(self.random.choice([1, 1, 2, 2, 3])):
                name = self.random.choice(NAMES)
                value = self.random.choice(CODINGS if 'ransfer' in name else LENGTHS)
                lines.append(f'{name}:{self.random.choice(["", " "])}{value}')
            content = self.chunks(content, wrong) if self.random.random() < .5 else content
            return lines, content
        if kind < .4 or (wrong and kind < .7):
            return [f'Content-Length: {len(content)}'], content
        if kind < .8:
            return ['Transfer-Encoding: chunked'], self.chunks(content, wrong)
        return [], b''

    def request(self, mark):
        wrong = self.random.random() < self.damaged
        method, host = self.random.choice(METHODS), self.random.choice(HOSTS)
        framing, content = ([], b'') if method in ('HEAD', 'OPTIONS') else self.framing(wrong)
        lines = [f'Host: {host if self.random.random() < .9 else "z.test"}', f'X-Mark: {mark}', *framing]
        for pool, most in ((FIELDS, 4), (HOP, 2)):
            lines += self.random.sample(pool, self.random.randrange(most + 1))
        if self.random.random() < .3:
            self.random.shuffle(lines)
        version = 'HTTP/1.1' if self.random.random() < .9 else 'HTTP/1.0'
        data = f'{method} http://{host}{self.random.choice(PATHS)} {version}'.encode() + self.end(wrong)
        for line in lines:
            data += line.encode('latin-1') + self.end(wrong)
        data += self.end(wrong) + content
        return self.damage(data) if wrong and self.random.random() < .5 else data

    def damage(self, data):
        for _ in range(self.random.choice([1, 1, 1, 2, 3])):
            at = self.random.randrange(len(data) + 1)
            to = min(len(data), at + self.random.choice([0, 0, 1, 1, 2, 8]))
            data = data[:at] + self.random.choice(BYTES + [b'', b'', data[at:to] * 2]) + data[to:]
        return data

    def connection(self, number):
        """What one client sends in all."""
        return b''.join(self.request(f'{number}.{i}') for i in range(self.random.choice([1, 1, 2, 3, 5])))
