# SPDX-License-Identifier: Apache-2.0
"""fetch.py LIBRARY URL: prints what a Python library gets through the proxy of the environment."""
import os
import sys
import urllib.parse

library, url = sys.argv[1:]
proxy = urllib.parse.urlsplit(os.environ['http_proxy'])

if library == 'requests':
    import requests
    print(requests.get(url, timeout=20).text, end='')
elif library == 'httpx':
    import httpx
    print(httpx.get(url, timeout=20).text, end='')
elif library == 'urllib':
    import urllib.request
    print(urllib.request.urlopen(url, timeout=20).read().decode(), end='')
elif library == 'websocket':
    import websocket
    options = {'ca_certs': os.environ['SSL_CERT_FILE']} if url.startswith('wss:') else None
    socket = websocket.create_connection(url, timeout=20, sslopt=options, http_proxy_host=proxy.hostname,
                                         http_proxy_port=proxy.port, proxy_type='http')
    socket.send('hello')
    print(socket.recv(), end='')
    socket.close()
elif library == 'grpc':
    import grpc
    with open(os.environ['SSL_CERT_FILE'], 'rb') as f:
        credentials = grpc.ssl_channel_credentials(f.read())
    channel = grpc.secure_channel(url, credentials)
    print(channel.unary_unary('/test.Echo/Say')(b'hello', timeout=20).decode(), end='')
