# SPDX-License-Identifier: Apache-2.0
"""What a host, an authority and a decision are, stated a second time and in another way than base/ and proxy/ do it: by
regular expressions and sets, on Python's ipaddress. The tests hold the C code against it.

Byte strings are Latin-1: one character, one byte."""
import ipaddress
import re

ALLOW, DENY, BAD = "allow", "deny", "bad_request"
PUBLIC = ("93.184.216.34",)

FLOOR = [ipaddress.ip_network(text) for text in """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
    192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    ::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001:db8::/32
    2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8""".split()]

LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
NAME = re.compile(rf"({LABEL}(?:\.{LABEL})*)\.?")
QUAD = re.compile(rf"{OCTET}(?:\.{OCTET}){{3}}")
NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)")
PORT = re.compile(r"[1-9][0-9]{0,4}")
AUTHORITY = re.compile(r"(?:\[([^]]*)\]|([^:]*))(?::(.*))?", re.DOTALL)


def parse_host(text):
    """A name in lower case, an ipaddress, or None."""
    match = NAME.fullmatch(text)
    if not match or len(match[1]) > 253:
        return None
    if NUMBER.fullmatch(match[1]):
        return ipaddress.IPv4Address(text) if QUAD.fullmatch(text) else None
    return match[1].lower()


def parse_bracketed(text):
    try:
        return None if "%" in text else ipaddress.IPv6Address(text)
    except ValueError:
        return None


def parse_port(text):
    return int(text) if PORT.fullmatch(text) and int(text) < 65536 else None


def parse_authority(text, default_port=0):
    """(host, port), or None. A default port: it may be missing."""
    match = AUTHORITY.fullmatch(text)
    if not match:
        return None
    bracketed, bare, port_text = match.groups()
    port = parse_port(port_text) if port_text is not None else default_port
    if not port:
        return None
    host = parse_host(bare) if bracketed is None else parse_bracketed(bracketed)
    return None if host is None else (host, port)


class Policy:
    def __init__(self, policy):
        self.ports = set(policy.get("ports") or (80, 443))
        self.allow = {self._entry(text) for text in policy.get("allow", [])}
        self.deny = {self._entry(text) for text in policy.get("deny", [])}
        self.networks = [ipaddress.ip_network(text) for text in policy.get("networks", [])]

    @staticmethod
    def _entry(text):
        """(what, port): what is a name, a name with "*." before it, or an address; port 0 is none."""
        star = "*." if text.startswith("*.") else ""
        host, port = parse_authority(text[len(star):], -1)
        return (star + host if star else host), max(port, 0)

    @staticmethod
    def _spellings(host):
        if not isinstance(host, str):
            return [host]
        _, dot, above = host.partition(".")
        return [host, "*." + above] if dot else [host]

    def lists(self, host, port):
        what = self._spellings(host)
        if any((w, p) in self.deny for w in what for p in (0, port)):
            return False
        return any((w, port) in self.allow or (port in self.ports and (w, 0) in self.allow) for w in what)

    def may_dial(self, address):
        address = ipaddress.ip_address(address)
        if not any(address in network for network in FLOOR):
            return True
        if address.version == 6 and address.ipv4_mapped is not None:
            return False
        return any(address in network for network in self.networks)

    def is_futile(self):
        """Does it allow an address that no connection can be made to? The compiler refuses that, as a mistake."""
        return not all(self.may_dial(what) for what, _ in self.allow if not isinstance(what, str))

    def decide(self, host, port, answers=PUBLIC):
        if not self.lists(host, port):
            return DENY
        return ALLOW if all(map(self.may_dial, answers if isinstance(host, str) else [host])) else DENY

    def decide_authority(self, text, default_port=0, answers=PUBLIC):
        target = parse_authority(text, default_port)
        return self.decide(*target, answers) if target else BAD

    def decide_host(self, text, port, answers=PUBLIC):
        host = parse_host(text)
        return BAD if host is None else self.decide(host, port, answers)
