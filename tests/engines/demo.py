# SPDX-License-Identifier: Apache-2.0
"""The demonstration behind tests/demo: one container, one policy, what gets out and what does not, and the log."""
import json
import sys

from harness import ALLOWED, DIRECT, Bundle, Runtime, World

STEPS = (
    ("allowed.test is listed", "fetch allowed.test:443", True),
    ("other.test is not listed", "fetch other.test:443", False),
    ("around the proxy, TCP to an address of the Internet", f"connect {DIRECT} 443", False),
    ("around the proxy, TCP to the listed host itself", f"connect {ALLOWED} 443", False),
    ("around the proxy, UDP to a name server", f"udp {DIRECT} 53", False),
)


def outcome(result):
    if "status" in result:
        head, _, rest = result["head"].partition("\r\n\r\n")
        proxy_status = [line for line in head.splitlines() if line.startswith("Proxy-Status")]
        text = (result["body"].partition("\r\n\r\n")[2] if result["ok"] else rest).strip()
        return "\n        ".join([head.splitlines()[0], *proxy_status, text])
    return f"{result['errno']} at {result['stage']}() after {result['ms']:.2f} ms"


def main(name):
    with World() as world:
        policy = world.policy("demo", '{\n\t"allow": ["allowed.test"],\n\t// the demonstration\'s Internet lies in a range '
                              'for documentation\n\t"networks": ["198.51.100.0/24"],\n\t"on_failure": "closed"\n}\n')
        bundle = Bundle(world, policy="demo")
        print(f"\nA container of {name}'s with the annotation oci-egress.policy=demo, and this policy:\n")
        with open(policy, encoding="utf-8") as file:
            print(file.read())
        good = True
        with Runtime(world, name).start(bundle) as container:
            for what, command, works in STEPS:
                result = container.ask(command)
                good = good and result["ok"] == works
                print(f"{'works ' if result['ok'] else 'FAILS '}  {what}\n        {outcome(result)}\n")
            container.end()
        print("What the log says of it, a line per connection that reached the proxy:\n")
        for line in world.log_lines(bundle.id, 2):
            print(json.dumps(line))
        internet, host = world.seen()
        print(f"\nPackets seen on the Internet or in the host's stack that were not the proxy's own: {len(internet) + len(host)}")
        left = world.wait_clean()
        print(f"Left behind after the container's end: {', '.join(left) or 'nothing'}")
        good = good and not internet and not host and not left
        print("\nAs it should be." if good else "\nNOT as it should be.")
        return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "runc"))
