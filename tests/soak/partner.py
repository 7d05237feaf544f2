# SPDX-License-Identifier: Apache-2.0
"""The origins of a soak: what a client asks of one in its first line it does, decent or not.

    partner.py ADDRESS

On port 443 the first line is "VERB SEED UP DOWN"; on port 80 it is an HTTP request whose path says the same.
"""
import asyncio
import os
import random
import socket
import struct
import sys

PIECE = 1 << 16
LONG_S, DROP_S = 60, .05


def pieces(seed, size):
    chance = random.Random(seed)
    for at in range(0, size, PIECE):
        yield chance.randbytes(min(PIECE, size - at))


def reset(writer):
    writer.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    writer.transport.abort()


async def send(writer, seed, size):
    for piece in pieces(seed, size):
        writer.write(piece)
        await writer.drain()


async def matches(reader, seed, size):
    """Are these the bytes that come next?"""
    for piece in pieces(seed, size):
        if await reader.readexactly(len(piece)) != piece:
            return False
    return True


async def tunnel(reader, writer):
    verb, *numbers = (await reader.readline()).decode().split()
    seed, up, down = map(int, numbers)
    if verb == 'echo':
        right, _ = await asyncio.gather(matches(reader, seed, up), send(writer, seed + 1, down))
        writer.write(b'right' if right and await reader.read() == b'' else b'wrong')
    elif verb == 'reset':
        await send(writer, seed + 1, down // 2)
        reset(writer)
        return
    elif verb == 'half':  # ends its own half at once, and takes all the same
        writer.write_eof()
        while await reader.read(PIECE):
            pass
    elif verb == 'stall':  # reads nothing, says nothing
        await asyncio.sleep(LONG_S)
    elif verb == 'drip':
        for piece in range(20):
            writer.write(b'.')
            await writer.drain()
            await asyncio.sleep(DROP_S)


async def http(reader, writer):
    while True:
        line = (await reader.readline()).decode().split()
        if not line:
            return
        fields = {}
        while True:
            field = (await reader.readline()).decode().strip()
            if not field:
                break
            name, value = field.split(':', 1)
            fields[name.lower()] = value.strip()
        verb, seed, down = line[1][1:].split('/')
        seed, down, up = int(seed), int(down), int(fields.get('content-length', 0))
        right = await matches(reader, seed, up)
        if verb == 'echo':
            writer.write(b'HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n' % (b'200 OK' if right else b'400 Wrong', down))
            await send(writer, seed + 1, down)
        elif verb == 'chunked':
            writer.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
            for piece in pieces(seed + 1, down):
                writer.write(b'%x\r\n%s\r\n' % (len(piece), piece))
                await writer.drain()
            writer.write(b'0\r\n\r\n')
        elif verb == 'close':
            writer.write(b'HTTP/1.0 200 OK\r\n\r\n')
            await send(writer, seed + 1, down)
            return
        elif verb == 'short':  # less than it promised
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % (down + 10))
            await send(writer, seed + 1, down)
            return
        elif verb == 'lie':
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef')
        elif verb == 'reset':
            reset(writer)
            return
        await writer.drain()


async def serve(handler, reader, writer):
    try:
        await asyncio.wait_for(handler(reader, writer), LONG_S)
        if writer.can_write_eof():
            writer.write_eof()
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.TimeoutError):
        pass
    writer.close()


async def main():
    for port, handler in ((443, tunnel), (80, http)):
        await asyncio.start_server(lambda reader, writer, handler=handler: serve(handler, reader, writer), sys.argv[1], port,
                                   backlog=1024)
    print('ready', flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)  # with whatever is open


if __name__ == '__main__':
    asyncio.run(main())
