# SPDX-License-Identifier: Apache-2.0
"""The clients of a soak, inside the container's network: decent ones and others, through every door.

    talker.py HOST PORT SECONDS CLIENTS SEED

Ends with one line of JSON: how often each scenario had which outcome. An outcome that begins with "!" is a finding.
"killed" on stdin means that the worker is killed now and then: connections may then be cut, but never go wrong.
"""
import asyncio
import collections
import json
import random
import socket
import struct
import sys
import threading

from partner import PIECE, pieces

DEADLINE = 40
A_WHILE_S = .5
HOST, PORT = sys.argv[1], int(sys.argv[2])
CUT = (ConnectionError, asyncio.IncompleteReadError)


class Finding(Exception):
    pass


class Outcome(Exception):
    """Not what a decent client hopes for, but what this scenario permits."""


def require(truth, what):
    if not truth:
        raise Finding(what)


async def connect():
    try:
        return await asyncio.open_connection(HOST, PORT, limit=1 << 18)
    except ConnectionRefusedError as error:
        raise Finding('refused') from error


async def open_by_connect(host, port=443):
    reader, writer = await connect()
    writer.write(f'CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n'.encode())
    head = await reader.readuntil(b'\r\n\r\n')
    return reader, writer, int(head.split()[1])


async def open_by_socks(host, port=443):
    reader, writer = await connect()
    writer.write(b'\5\1\0\5\1\0\3' + bytes((len(host),)) + host.encode() + struct.pack('!H', port))
    require(await reader.readexactly(2) == b'\5\0', 'method')
    reply = (await reader.readexactly(10))[1]
    return reader, writer, {0: 200, 2: 403, 1: 503}.get(reply, 502)


async def receive(reader, seed, size):
    for piece in pieces(seed, size):
        require(await reader.readexactly(len(piece)) == piece, 'changed bytes')


async def send(writer, seed, size):
    for piece in pieces(seed, size):
        writer.write(piece)
        await writer.drain()


def abort(writer):
    try:
        writer.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    except OSError:
        pass  # the other side was faster
    writer.transport.abort()


class Talk:
    def __init__(self, chance):
        self.chance = chance
        self.open = chance.choice((open_by_connect, open_by_socks))
        self.seed, self.writer = chance.randrange(1 << 30), None

    def size(self):
        return self.chance.choice((0, 1, 1000, 100000, 100000, 4000000))

    async def begin(self, verb, up=0, down=0, host='soak.test'):
        reader, self.writer, status = await self.open(host)
        require(status == 200, f'status {status}')
        self.writer.write(f'{verb} {self.seed} {up} {down}\n'.encode())
        return reader, self.writer

    async def tunnel(self):
        """Both ways at once, each byte compared at both ends."""
        up, down = self.size(), self.size()
        reader, writer = await self.begin('echo', up, down)

        async def sending():
            await send(writer, self.seed, up)
            writer.write_eof()
        await asyncio.gather(sending(), receive(reader, self.seed + 1, down))
        require(await reader.read() == b'right', 'the origin read other bytes')

    async def origin_resets(self):
        reader, _ = await self.begin('reset', 0, 100000)
        while await reader.read(PIECE):
            pass
        raise Finding('the reset came as an end')

    async def origin_half_closes(self):
        reader, writer = await self.begin('half')
        require(await reader.read() == b'', 'bytes')
        await send(writer, self.seed, 100000)

    async def origin_stalls(self):
        _, writer = await self.begin('stall')
        await asyncio.wait_for(send(writer, self.seed, 1 << 26), 3)

    async def origin_drips(self):
        reader, _ = await self.begin('drip')
        require(await reader.read() == b'.' * 20, 'not every drop')

    async def client_vanishes(self):
        reader, writer = await self.begin('echo', 1000000, 1000000)
        await reader.read(self.chance.choice((1, 1000)))
        abort(writer)

    async def client_reads_nothing(self):
        await self.begin('echo', 0, 1 << 24)
        await asyncio.sleep(A_WHILE_S)

    async def half_a_request(self):
        _, self.writer = await connect()
        self.writer.write(self.chance.choice((b'CONNECT soak.te', b'\5\1', b'GET http://soak.test/ HTTP/1.1\r\n', b'')))
        await asyncio.sleep(A_WHILE_S)
        abort(self.writer)

    async def denied(self):
        _, self.writer, status = await self.open('other.test')
        require(status == 403, f'status {status}')

    async def now_and_then_allowed(self):
        _, self.writer, status = await self.open('flip.test')
        require(status in (200, 403), f'status {status}')
        raise Outcome(str(status))

    async def name_server_is_silent(self):
        _, self.writer, status = await self.open(f'n{self.chance.randrange(10)}.silent.test')
        require(status in (502, 503, 504), f'status {status}')

    async def nobody_listens(self):
        _, self.writer, status = await self.open('soak.test', 444)
        require(status in (502, 504), f'status {status}')

    async def http(self):
        """A few requests on one connection."""
        reader, self.writer = await connect()
        for _ in range(self.chance.choice((1, 3))):
            verb = self.chance.choice(('echo', 'echo', 'chunked'))
            up, down = self.size() // 10, self.size() // 10
            self.writer.write(f'POST http://soak.test/{verb}/{self.seed}/{down} HTTP/1.1\r\nHost: soak.test\r\n'
                              f'Content-Length: {up}\r\n\r\n'.encode())
            await send(self.writer, self.seed, up)
            fields = (await reader.readuntil(b'\r\n\r\n')).lower()
            require(b' 200 ' in fields, fields.decode('latin-1'))
            if b'content-length:' in fields:
                await receive(reader, self.seed + 1, int(fields.split(b'content-length:')[1].split()[0]))
            else:
                await self.receive_chunked(reader, down)

    async def receive_chunked(self, reader, size):
        content = b''
        while True:
            piece = await reader.readexactly(int(await reader.readline(), 16) + 2)
            if len(piece) == 2:
                break
            content += piece[:-2]
        require(content == b''.join(pieces(self.seed + 1, size)), 'changed bytes')

    async def http_origin_misbehaves(self):
        verb = self.chance.choice(('close', 'short', 'lie', 'reset'))
        reader, self.writer = await connect()
        self.writer.write(f'GET http://soak.test/{verb}/{self.seed}/1000 HTTP/1.1\r\nHost: soak.test\r\n'
                          'Connection: close\r\n\r\n'.encode())
        answer = await reader.read()
        require(answer.startswith(b'HTTP/1.1 '), 'no answer')
        status = int(answer.split()[1])
        require(status == (200 if verb in ('close', 'short') else 502), f'{verb}: status {status}')
        if verb == 'close':
            require(b''.join(pieces(self.seed + 1, 1000)) in answer or b'chunked' in answer.lower(), 'content')


# How often each is played, and what may come of it besides success.
SCENARIOS = {
    'tunnel': (30, ()), 'http': (10, ()), 'denied': (5, ()), 'now_and_then_allowed': (5, (Outcome,)),
    'origin_resets': (4, CUT), 'origin_half_closes': (4, CUT), 'origin_stalls': (2, (*CUT, asyncio.TimeoutError)),
    'origin_drips': (3, ()), 'client_vanishes': (5, ()), 'client_reads_nothing': (2, ()), 'half_a_request': (5, CUT),
    'name_server_is_silent': (3, ()), 'nobody_listens': (3, ()), 'http_origin_misbehaves': (5, CUT),
}


class Clients:
    def __init__(self):
        self.counts, self.cut = collections.Counter(), False

    async def play(self, chance):
        name = chance.choices(list(SCENARIOS), [weight for weight, _ in SCENARIOS.values()])[0]
        permitted = SCENARIOS[name][1] + (CUT if self.cut else ())
        talk = Talk(chance)
        try:
            await asyncio.wait_for(getattr(talk, name)(), DEADLINE)
            outcome = 'ok'
        except Finding as finding:
            outcome = f'!{finding}'
        except Outcome as other:
            outcome = str(other)
        except Exception as error:  # whatever it is, it is counted
            outcome = ('' if isinstance(error, permitted) else '!') + type(error).__name__
        if talk.writer:
            talk.writer.close()
        self.counts[f'{name}: {outcome}'] += 1

    async def one(self, seed, end):
        chance, loop = random.Random(seed), asyncio.get_running_loop()
        while loop.time() < end:
            await self.play(chance)

    def listen_to_orders(self):
        for line in sys.stdin:
            self.cut = line.strip() == 'killed'

    async def main(self):
        seconds, clients, seed = map(int, sys.argv[3:])
        loop = asyncio.get_running_loop()
        threading.Thread(target=self.listen_to_orders, daemon=True).start()
        await asyncio.gather(*(self.one(seed * 10000 + i, loop.time() + seconds) for i in range(clients)))
        print(json.dumps(self.counts), flush=True)


if __name__ == '__main__':
    asyncio.run(Clients().main())
