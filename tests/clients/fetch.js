// SPDX-License-Identifier: Apache-2.0
// Prints what undici, or with --fetch node's own fetch, gets from a URL.
'use strict';
async function main() {
	if (process.argv[2] === '--fetch')
		return (await fetch(process.argv[3])).text();
	const { ProxyAgent, request } = require('undici');
	const answer = await request(process.argv[2], { dispatcher: new ProxyAgent(process.env.http_proxy) });
	return answer.body.text();
}
main().then((text) => process.stdout.write(text), (error) => {
	console.error(error);
	process.exitCode = 1;
});
