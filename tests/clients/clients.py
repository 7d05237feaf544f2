#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real clients through each door of a real worker, in a network namespace of their own.

    clients.py [--size BYTES] [--list] [CLIENT...]

Each row says what a client must print and by which door it must have come: the log tells. No name can be looked up and
no origin found but through the proxy.
"""
import argparse
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'proxy')]
import harness  # noqa: E402
import origin  # noqa: E402

NAMES = ['origin.test', 'h2.test']
POLICY = {'allow': [*NAMES, 'h2.test:8443'], 'networks': harness.ORIGINS}
NODE = os.environ.get('OCI_EGRESS_NODE', 'node')
FETCH = ['/usr/bin/python3', os.path.join(HERE, 'fetch.py')]


class Place:
    """The origin, the proxy, and what clients are told of both."""

    def __init__(self, directory, size):
        self.directory, self.size = directory, size
        self.files = os.path.join(directory, 'files')
        os.mkdir(self.files)
        harness.enter_namespace()
        origin.make_certificate(directory)
        origin.serve(harness.SERVED, self.files, directory)
        names = harness.Names()
        names.answers.update({name: [harness.SERVED] for name in NAMES})
        self.worker = harness.Worker(POLICY)
        self.proxy = f'{harness.PROXY}:{self.worker.port}'
        self.ca = os.path.join(directory, 'ca.pem')
        # the machine's own resolv.conf names servers that are not there: nothing is ever asked of them
        home = os.path.join(directory, 'home')
        os.mkdir(home)
        self.environment = {'PATH': os.environ['PATH'], 'HOME': home, 'SSL_CERT_FILE': self.ca, 'CURL_CA_BUNDLE': self.ca,
                            'REQUESTS_CA_BUNDLE': self.ca, 'GIT_SSL_CAINFO': self.ca, 'NODE_EXTRA_CA_CERTS': self.ca,
                            'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH': self.ca, 'GIT_TERMINAL_PROMPT': '0', 'LC_ALL': 'C',
                            'NODE_PATH': os.environ.get('NODE_PATH', '')}
        for name in ('http_proxy', 'https_proxy', 'all_proxy'):
            self.environment[name] = self.environment[name.upper()] = f'http://{self.proxy}'
        del self.environment['HTTP_PROXY']  # as many clients take it for a header of CGI

    def run(self, command, status=0, **variables):
        environment = {**self.environment, **variables}
        done = subprocess.run(command, env=environment, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=900)
        if done.returncode != status:
            raise AssertionError(f'exit status {done.returncode}: {done.stderr.decode(errors="replace").strip()[-600:]}')
        return done.stdout

    def lines(self):
        """Log lines of the connections that have ended; the first is waited for."""
        lines = [self.worker.line()]
        while self.worker.has_line():
            lines.append(self.worker.line())
        return lines


def expect(place, door, text, command, **options):
    output = place.run(command, **options)
    if text is not None and output != text.encode():
        raise AssertionError(f'printed {output[-300:]!r}, expected {text!r}')
    line = place.lines()[-1]
    if (line['via'], line['verdict']) != (door, 'allowed'):
        raise AssertionError(f'logged {line}, expected to come by {door}')


HELLO = 'hello'
S, C, X, K = 'https://origin.test/hello', 'connect', 'http://origin.test/hello', 'socks5'


def fetching(door, *command, **variables):
    return lambda place: expect(place, door, HELLO, [word.replace('PROXY', place.proxy) for word in command], **variables)


def go(door, url, scheme='http'):
    def run(place):
        program = os.path.join(place.directory, 'fetch')
        if not os.path.exists(program):
            subprocess.run(['go', 'build', '-o', program, os.path.join(HERE, 'fetch.go')], check=True,
                           env={'PATH': os.environ['PATH'], 'HOME': place.directory, 'GO111MODULE': 'off'})
        proxy = f'{scheme}://{place.proxy}'
        expect(place, door, HELLO, [program, url], HTTP_PROXY=proxy, HTTPS_PROXY=proxy, http_proxy=proxy, https_proxy=proxy)
    return run


def busybox_https(place):
    """It sends GET https://, which is answered with what to do instead."""
    place.run(['busybox', 'wget', '-q', '-O', '-', S], status=1)
    line = place.lines()[-1]
    if line['verdict'] != 'bad-request':
        raise AssertionError(f'logged {line}')


def make_repository(place):
    work, bare = os.path.join(place.directory, 'work'), os.path.join(place.files, 'repo.git')
    if os.path.exists(bare):
        return
    user = ['-c', 'user.name=n', '-c', 'user.email=e@test', '-c', 'init.defaultBranch=main']
    place.run(['git', *user, 'init', '-q', work])
    with open(os.path.join(work, 'file'), 'w') as f:
        f.write(HELLO)
    place.run(['git', '-C', work, 'add', 'file'])
    place.run(['git', *user, '-C', work, 'commit', '-q', '-m', 'one'])
    place.run(['git', 'clone', '-q', '--bare', work, bare])
    place.run(['git', '-C', bare, 'update-server-info'])


def git(door, url, *options):
    def run(place):
        make_repository(place)
        to = tempfile.mkdtemp(dir=place.directory)
        expect(place, door, None, ['git', *(word.replace('PROXY', place.proxy) for word in options), 'clone', '-q', url, to])
        with open(os.path.join(to, 'file')) as f:
            assert f.read() == HELLO
    return run


def apt(door, url):
    def run(place):
        repository = os.path.join(place.files, 'debian')
        if not os.path.exists(repository):
            package = os.path.join(place.directory, 'package')
            os.makedirs(os.path.join(package, 'DEBIAN'))
            with open(os.path.join(package, 'DEBIAN', 'control'), 'w') as f:
                f.write('Package: hello-test\nVersion: 1\nArchitecture: all\nMaintainer: n <e@test>\nDescription: hello\n')
            os.makedirs(repository)
            place.run(['dpkg-deb', '--root-owner-group', '--build', package, os.path.join(repository, 'hello-test_1_all.deb')])
            with open(os.path.join(repository, 'Packages'), 'wb') as f:
                f.write(subprocess.run(['apt-ftparchive', 'packages', '.'], cwd=repository, check=True,
                                       stdout=subprocess.PIPE).stdout)
        root = tempfile.mkdtemp(dir=place.directory)
        os.chmod(place.directory, 0o755)
        os.chmod(root, 0o755)
        for name in ('etc/apt/preferences.d', 'etc/apt/apt.conf.d', 'var/lib/apt/lists/partial', 'var/cache/apt/archives/partial',
                     'var/lib/dpkg'):
            os.makedirs(os.path.join(root, name))
        open(os.path.join(root, 'var/lib/dpkg/status'), 'w').close()
        with open(os.path.join(root, 'etc/apt/sources.list'), 'w') as f:
            f.write(f'deb [trusted=yes] {url} ./\n')
        options = ['-o', f'Dir={root}', '-o', f'Dir::State::status={root}/var/lib/dpkg/status', '-o', 'APT::Sandbox::User=root',
                   '-o', f'Acquire::https::CaInfo={place.ca}', '-q']
        place.run(['apt-get', *options, 'update'])
        lines = place.lines()
        assert all((line['via'], line['verdict']) == (door, 'allowed') for line in lines), lines
        subprocess.run(['apt-get', *options, 'download', 'hello-test'], cwd=root, env=place.environment, check=True,
                       stdout=subprocess.DEVNULL)
        assert os.path.exists(os.path.join(root, 'hello-test_1_all.deb'))
        assert place.lines()[-1]['via'] == door
    return run


def web_socket_in_absolute_form(place):
    with place.worker.connect() as sock:
        sock.sendall(b'GET http://origin.test/ws HTTP/1.1\r\nHost: origin.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
                     b'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
        status, head = harness.read_head(sock)
        assert status == 101 and b's3pPLMBiTxaQ9kYGzzhZRbK+xOo=' in head, head
        for opcode, text in ((0x81, b'hello'), (0x88, b'')):
            sock.sendall(bytes((opcode, 0x80 | len(text), 0, 0, 0, 0)) + text)
            assert harness.read_exactly(sock, 2 + len(text)) == bytes((opcode, len(text))) + text
    line = place.lines()[-1]
    assert (line['via'], line['verdict']) == ('http', 'allowed'), line


def download(door, scheme, *options):
    def run(place):
        command = ['curl', '-sS', '-f', *(word.replace('PROXY', place.proxy) for word in options),
                   f'{scheme}://origin.test/bytes/{place.size}']
        curl = subprocess.Popen(command, env=place.environment, stdout=subprocess.PIPE)
        digest, got = hashlib.sha256(), 0
        for part in iter(lambda: curl.stdout.read(1 << 20), b''):
            digest.update(part)
            got += len(part)
        assert curl.wait() == 0, curl.returncode
        assert digest.hexdigest() == origin.stream_hash(place.size), f'{got} bytes'
        assert place.lines()[-1]['via'] == door
    return run


def upload(door, scheme, *options):
    def run(place):
        command = ['curl', '-sS', '-f', *(word.replace('PROXY', place.proxy) for word in options), '-T', '-',
                   f'{scheme}://origin.test/up']
        curl = subprocess.Popen(command, env=place.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for at in range(0, place.size, len(origin.BLOCK)):
            curl.stdin.write(origin.BLOCK[:place.size - at])
        output = curl.communicate()[0]
        assert curl.returncode == 0 and output.decode() == origin.stream_hash(place.size), output
        assert place.lines()[-1]['via'] == door
    return run


def h2(place):
    if not hasattr(place, 'nghttpd'):
        with open(os.path.join(place.files, 'hello'), 'w') as f:
            f.write(HELLO)
        place.nghttpd = subprocess.Popen(['nghttpd', '-a', harness.SERVED, '-d', place.files, '8443',
                                          os.path.join(place.directory, 'key.pem'), os.path.join(place.directory, 'cert.pem')])
        harness.until(lambda: socket.socket().connect_ex((harness.SERVED, 8443)) == 0, 'nghttpd does not listen')
    try:
        expect(place, C, 'hello2', ['curl', '-sS', '--http2', '-w', '%{http_version}', 'https://h2.test:8443/hello'])
    finally:
        place.nghttpd.kill()
        place.nghttpd.wait()


def grpc_echo(place):
    import concurrent.futures
    import grpc

    class Echo(grpc.GenericRpcHandler):
        def service(self, _):
            return grpc.unary_unary_rpc_method_handler(lambda request, _: request)

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=[Echo()])
    with open(os.path.join(place.directory, 'key.pem'), 'rb') as key, open(os.path.join(place.directory, 'cert.pem'), 'rb') as cert:
        credentials = grpc.ssl_server_credentials([(key.read(), cert.read())])
    server.add_secure_port(f'{harness.SERVED}:8443', credentials)
    server.start()
    try:
        expect(place, C, HELLO, [*FETCH, 'grpc', 'h2.test:8443'], grpc_proxy=f'http://{place.proxy}')
    finally:
        server.stop(None).wait()


CLIENTS = {
    'curl-http': fetching('http', 'curl', '-sS', '-x', 'http://PROXY', X),
    'curl-https': fetching(C, 'curl', '-sS', '-x', 'http://PROXY', S),
    'curl-tunnel-http': fetching(C, 'curl', '-sS', '-p', '-x', 'http://PROXY', X),
    'curl-socks-http': fetching(K, 'curl', '-sS', '--socks5-hostname', 'PROXY', X),
    'curl-socks-https': fetching(K, 'curl', '-sS', '--socks5-hostname', 'PROXY', S),
    'wget-http': fetching('http', 'wget', '-q', '-O', '-', X),
    'wget-https': fetching(C, 'wget', '-q', '-O', '-', S, '--ca-certificate=ca.pem'),
    'busybox-wget-http': fetching('http', 'busybox', 'wget', '-q', '-O', '-', X),
    'busybox-wget-https': busybox_https,
    'git-https': git(C, 'https://origin.test/repo.git'),
    'git-http': git('http', 'http://origin.test/repo.git'),
    'git-socks': git(K, 'https://origin.test/repo.git', '-c', 'http.proxy=socks5h://PROXY'),
    'apt-http': apt('http', 'http://origin.test/debian'),
    'apt-https': apt(C, 'https://origin.test/debian'),
    'undici-https': fetching(C, NODE, os.path.join(HERE, 'fetch.js'), S),
    'node-fetch-https': fetching(C, NODE, os.path.join(HERE, 'fetch.js'), '--fetch', S, NODE_USE_ENV_PROXY='1'),
    'node-fetch-http': fetching(C, NODE, os.path.join(HERE, 'fetch.js'), '--fetch', X, NODE_USE_ENV_PROXY='1'),
    'requests-http': fetching('http', *FETCH, 'requests', X),
    'requests-https': fetching(C, *FETCH, 'requests', S),
    'httpx-http': fetching('http', *FETCH, 'httpx', X),
    'httpx-https': fetching(C, *FETCH, 'httpx', S),
    'urllib-http': fetching('http', *FETCH, 'urllib', X),
    'urllib-https': fetching(C, *FETCH, 'urllib', S),
    'go-http': go('http', X),
    'go-https': go(C, S),
    'go-socks': go(K, S, 'socks5'),
    'websocket-ws': fetching(C, *FETCH, 'websocket', 'ws://origin.test/ws'),
    'websocket-wss': fetching(C, *FETCH, 'websocket', 'wss://origin.test/ws'),
    'websocket-absolute-form': web_socket_in_absolute_form,
    'h2': h2,
    'grpc': grpc_echo,
    'download-http': download('http', 'http', '-x', 'http://PROXY'),
    'download-https': download(C, 'https', '-x', 'http://PROXY'),
    'download-socks': download(K, 'http', '--socks5-hostname', 'PROXY'),
    'upload-http': upload('http', 'http', '-x', 'http://PROXY'),
    'upload-https': upload(C, 'https', '-x', 'http://PROXY'),
    'upload-socks': upload(K, 'http', '--socks5-hostname', 'PROXY'),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--size', type=int, default=64 << 20, help='bytes of a download and of an upload')
    parser.add_argument('--list', action='store_true')
    parser.add_argument('client', nargs='*')
    options = parser.parse_args()
    if options.list:
        print('\n'.join(CLIENTS))
        return 0
    unknown = set(options.client) - set(CLIENTS)
    if unknown:
        parser.error(f'no client {", ".join(sorted(unknown))}')
    directory = tempfile.mkdtemp()
    failed = []
    try:
        place = Place(directory, options.size)
        for name in options.client or CLIENTS:
            try:
                CLIENTS[name](place)
                print(f'ok      {name}', flush=True)
            except Exception as error:  # each client is a test of its own
                failed.append(name)
                print(f'FAILED  {name}: {type(error).__name__}: {error}', flush=True)
                while place.worker.has_line():
                    print(f'        {place.worker.line()}')
    finally:
        shutil.rmtree(directory)
    print(f'{len(options.client or CLIENTS) - len(failed)} clients passed, {len(failed)} failed')
    return len(failed) > 0


if __name__ == '__main__':
    sys.exit(main())
