# SPDX-License-Identifier: Apache-2.0
"""The proxies that are measured: how each is configured and started. All log nothing, cache nothing, allow everything;
ours has its policy, and writes its log to /dev/null."""
import json
import os

HOST, CLIENT, PREFIX = "198.18.77.1", "198.18.77.2", 30
ORIGIN = 9000           # first port of the origin; peers.SERVICES of them
STOPPED = 8             # the second origin's ports begin so many further on
SERVICES = 5
PORTS = [ORIGIN + base + service for base in (0, STOPPED) for service in range(SERVICES)]
CONNECTIONS = 9900

TUNNELS = ("bulk", "tunnels", "exchanges", "idle", "trouble")
ALL = TUNNELS + ("requests",)


class Peer:
    """door: how clients ask. tests: what it can do."""

    def __init__(self, name, door, port, command, tests, files=None, package=None, user=None):
        self.name, self.door, self.port, self.command, self.tests = name, door, port, command, tests
        self.files, self.package, self.user = files or {}, package, user

    def prepare(self, top):
        """Writes the configuration below the directory top; returns the command."""
        place = os.path.join(top, self.name)
        os.makedirs(place, exist_ok=True)
        if self.user:
            os.chmod(place, 0o777)  # some give up their privileges before they write their pid
        names = {"place": place, "host": HOST, "port": self.port}
        for file, text in self.files.items():
            with open(os.path.join(place, file), "w", encoding="ascii") as out:
                out.write(text.replace("@PLACE@", place).replace("@HOST@", HOST).replace("@PORT@", str(self.port)))
        return [part.format(**names) for part in self.command]


def haproxy():
    lines = ["global", "nbthread 1", "maxconn 9700", "maxpipes 64", "no log", "defaults", "mode tcp", "timeout connect 10s",
             "timeout client 600s", "timeout server 600s", "option splice-request", "option splice-response"]
    for number in PORTS:
        lines += [f"listen p{number}", f"bind @HOST@:{3030 + number - ORIGIN}", f"server s @HOST@:{number}"]
    return "\n".join(lines) + "\n"


SQUID = """http_port @HOST@:@PORT@
http_access allow all
access_log none
cache_log @PLACE@/cache.log
cache_store_log none
cache deny all
cache_mem 8 MB
workers 1
max_filedescriptors 19900
pid_filename @PLACE@/squid.pid
coredump_dir @PLACE@
pinger_enable off
shutdown_lifetime 0 seconds
cache_effective_user proxy
dns_nameservers 127.0.0.1
half_closed_clients on
client_db off
visible_hostname bench
netdb_filename none
"""

TINYPROXY = "Port @PORT@\nListen @HOST@\nTimeout 600\nMaxClients 12000\nLogLevel Critical\nLogFile \"/dev/null\"\nDisableViaHeader Yes\n" + \
    "".join(f"ConnectPort {number}\n" for number in PORTS)

PRIVOXY = """confdir /etc/privoxy
logdir @PLACE@
actionsfile @PLACE@/actions
listen-address @HOST@:@PORT@
toggle 1
enable-remote-toggle 0
enable-edit-actions 0
keep-alive-timeout 600
default-server-timeout 600
connection-sharing 1
max-client-connections 12000
socket-timeout 600
listen-backlog 4096
"""

APACHE = """ServerRoot /etc/apache2
ServerName bench
Listen @HOST@:@PORT@
PidFile @PLACE@/pid
DefaultRuntimeDir @PLACE@
Mutex file:@PLACE@ default
User nobody
Group nogroup
ErrorLog @PLACE@/error.log
LogLevel error
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule proxy_connect_module /usr/lib/apache2/modules/mod_proxy_connect.so
ServerLimit 100
ThreadLimit 100
ThreadsPerChild 100
StartServers 2
MinSpareThreads 64
MaxSpareThreads 400
MaxRequestWorkers 10000
MaxConnectionsPerChild 0
MaxKeepAliveRequests 0
KeepAliveTimeout 600
Timeout 600
ProxyRequests On
AllowCONNECT 9000-9099
<Proxy "*">
  Require all granted
</Proxy>
"""

DANTE = """logoutput: /dev/null
internal: @HOST@ port = @PORT@
external: @HOST@
clientmethod: none
socksmethod: none
user.unprivileged: nobody
client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
"""

# $http_host names the origin: an upstream of that name keeps connections to it, and needs no resolver.
NGINX = """user nobody nogroup;
daemon off;
worker_processes 1;
worker_rlimit_nofile 19900;
pid @PLACE@/pid;
error_log /dev/null crit;
events { worker_connections 19000; }
http {
  access_log off;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  client_body_temp_path @PLACE@/body;
  proxy_temp_path @PLACE@/proxy;
  fastcgi_temp_path @PLACE@/fastcgi;
  uwsgi_temp_path @PLACE@/uwsgi;
  scgi_temp_path @PLACE@/scgi;
  upstream origin { server @HOST@:9003; keepalive 256; keepalive_requests 1000000000; }
  map $http_host $to { "@HOST@:9003" origin; }
  server {
    listen @HOST@:@PORT@ backlog=4096;
    location / {
      proxy_pass http://$to$request_uri;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_buffering off;
    }
  }
}
"""


def ours(program, keeper):
    policy = {"allow": [f"{HOST}:{number}" for number in PORTS], "networks": [f"{HOST}/32"],
              "limits": {"connections": CONNECTIONS, "connections_per_second": 0, "head_timeout_ms": 120000}}
    return Peer("oci-egress", "connect", 3150, [program, "proxy", "--keeper", keeper, "--policy", "{place}/policy.json", "--listen", "{host}:{port}"],
                ALL, {"policy.json": json.dumps(policy, indent=1)})


def all_peers(program, keeper):
    # squid's shared memory has names of the machine's: in a place of its own they meet nobody's
    peers = [
        Peer("direct", "direct", ORIGIN, [], ("bulk", "tunnels", "exchanges", "requests")),
        ours(program, keeper),
        Peer("haproxy", "direct", 3030, ["haproxy", "-db", "-f", "{place}/cfg"], TUNNELS, {"cfg": haproxy()}, "haproxy"),
        Peer("squid", "connect", 3001, ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /dev/shm && exec squid -N -f $0", "{place}/conf"], ALL, {"conf": SQUID}, "squid", "proxy"),
        Peer("tinyproxy", "connect", 3003, ["tinyproxy", "-d", "-c", "{place}/conf"], TUNNELS, {"conf": TINYPROXY}, "tinyproxy-bin"),
        Peer("privoxy", "connect", 3006, ["privoxy", "--no-daemon", "{place}/conf"], ALL,
             {"conf": PRIVOXY, "actions": "{ +limit-connect{1-} }\n/\n"}, "privoxy"),
        Peer("apache", "connect", 3005, ["apache2", "-D", "FOREGROUND", "-f", "{place}/conf"], ALL, {"conf": APACHE}, "apache2-bin", "nobody"),
        Peer("microsocks", "socks5", 3004, ["microsocks", "-i", "{host}", "-p", "{port}"], TUNNELS, {}, "microsocks"),
        Peer("dante", "socks5", 3007, ["danted", "-f", "{place}/conf"], TUNNELS, {"conf": DANTE}, "dante-server"),
        Peer("nginx", "connect", 3008, ["nginx", "-c", "{place}/conf"], ("requests",), {"conf": NGINX}, "nginx-light", "nobody"),
    ]
    return {peer.name: peer for peer in peers}
