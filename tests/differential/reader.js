// SPDX-License-Identifier: Apache-2.0
// Reads connections with node's http server (llhttp); see readers.py.
'use strict';
const http = require('http');
const zlib = require('zlib');
const { Duplex } = require('stream');

let table;
function crc32(bytes) {
	if (zlib.crc32)
		return zlib.crc32(bytes);
	if (!table) {
		table = new Uint32Array(256);
		for (let i = 0; i < 256; i++) {
			let c = i;
			for (let k = 0; k < 8; k++)
				c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
			table[i] = c >>> 0;
		}
	}
	let c = ~0;
	for (const byte of bytes)
		c = table[(c ^ byte) & 255] ^ (c >>> 8);
	return ~c >>> 0;
}

// A connection that has sent all it ever will.
class Connection extends Duplex {
	constructor(stream) {
		super({ allowHalfOpen: true });
		this.stream = stream;
	}
	_read() {
		if (this.stream && this.stream.length)
			this.push(this.stream);
		this.stream = null;
		this.push(null);
	}
	_write(chunk, encoding, done) { done(); }
	setTimeout() { return this; }
	setNoDelay() {}
	setKeepAlive() {}
	ref() {}
	unref() {}
}

const server = http.createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 });
server.on('clientError', (error, socket) => {
	socket.refused = true;
	socket.destroy();
});
function take(request, answer) {
	const socket = request.socket;
	const parts = [];
	request.on('data', (part) => parts.push(part));
	request.on('end', () => {
		const content = Buffer.concat(parts);
		socket.seen.push([request.method, request.url, content.length, crc32(content)]);
		answer.end();
	});
	request.on('aborted', () => { socket.refused = true; });
}
server.on('request', take);
server.on('checkContinue', take);
server.on('upgrade', (request, socket) => { socket.refused = true; socket.destroy(); });

let input = Buffer.alloc(0);
let busy = false;
function next() {
	if (busy || input.length < 4 || input.length < 4 + input.readUInt32BE(0))
		return;
	const size = input.readUInt32BE(0);
	const connection = new Connection(Buffer.from(input.subarray(4, 4 + size)));
	input = input.subarray(4 + size);
	busy = true;
	connection.seen = [];
	connection.refused = false;
	connection.on('error', () => {});
	connection.on('close', () => {
		process.stdout.write(JSON.stringify([connection.seen, connection.refused ? 'refused' : 'complete']) + '\n');
		busy = false;
		setImmediate(next);
	});
	server.emit('connection', connection);
}
process.stdin.on('data', (part) => { input = Buffer.concat([input, part]); next(); });
