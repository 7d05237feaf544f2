# SPDX-License-Identifier: Apache-2.0
"""A container under load for a long time: decent and other clients, origins and name servers that misbehave, a policy
that changes every second; then a worker that is killed every twenty seconds.

    soak.py [--minutes 30] [--killing 10] [--clients 40] [--seed 1]

No byte may be lost or changed, nobody left waiting, no memory or descriptor kept. OCI_EGRESS_BUILD names the build.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'engines')]
import harness  # noqa: E402

KILL_EVERY = 20
PARTNER = '198.51.100.77'
POLICY = {'allow': ['soak.test', 'soak.test:444', '*.silent.test'], 'networks': ['198.51.100.0/24'], 'on_failure': 'closed',
          'limits': {'connections': 400, 'connections_per_second': 0, 'head_timeout_ms': 2000, 'resolve_timeout_ms': 1000,
                     'connect_timeout_ms': 2000, 'idle_timeout_ms': 5000, 'log_bytes': 1 << 26}}


class Soak:
    def __init__(self, world, options):
        self.world, self.options, self.findings, self.samples = world, options, [], []
        self.versions = 0
        world.host.names(names={'soak.test': [PARTNER], 'flip.test': [PARTNER],
                                **{f'n{i}.silent.test': None for i in range(10)}})
        self.write_policy()
        self.partner = subprocess.Popen(
            world.internet.enter(sys.executable, os.path.join(HERE, 'partner.py'), PARTNER, mounts=False),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.partner.stdout.readline()
        self.container = harness.Runtime(world, 'runc').start(harness.Bundle(world, policy='soak'))

    def write_policy(self):
        """Every version is another; flip.test is in every second one."""
        self.versions += 1
        allow = POLICY['allow'] + [f'v{self.versions}.test'] + (['flip.test'] if self.versions % 2 else [])
        self.world.write('policies/soak.json.new', json.dumps({**POLICY, 'allow': allow}))
        os.rename(self.world.path('policies/soak.json.new'), self.world.path('policies/soak.json'))

    def talk(self, seconds, killing):
        pid = self.container.pid
        talker = subprocess.Popen(
            ['nsenter', f'--net=/proc/{pid}/ns/net', sys.executable, os.path.join(HERE, 'talker.py'), harness.PROXY,
             str(harness.PORT), str(int(seconds)), str(self.options.clients), str(self.options.seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if killing:
            talker.stdin.write(b'killed\n')
        talker.stdin.flush()
        start, killed = time.monotonic(), time.monotonic()
        while True:
            try:
                talker.wait(1)
                break
            except subprocess.TimeoutExpired:
                self.write_policy()
            if killing and time.monotonic() - killed > KILL_EVERY and time.monotonic() - start < seconds:
                killed = time.monotonic()
                os.kill(self.worker(), signal.SIGKILL)
            self.sample()
        counts = json.loads(talker.stdout.read() or '{"!no result": 1}')
        for name, count in sorted(counts.items()):
            print(f'{count:8} {name}')
            if '!' in name:
                self.findings.append(f'{count} x {name}')
        return counts

    def worker(self):
        return int(self.container.keeper()['worker'][0])

    def sample(self):
        """Descriptors and memory of keeper and worker."""
        descriptors = memory = 0
        for role in ('keeper', 'worker'):
            for pid in self.container.keeper()[role]:
                try:
                    descriptors += len(os.listdir(f'/proc/{pid}/fd'))
                    with open(f'/proc/{pid}/smaps_rollup') as f:
                        memory += next(int(line.split()[1]) for line in f if line.startswith('Pss:'))
                except OSError:
                    continue  # killed just now
        self.samples.append((descriptors, memory))

    def judge_samples(self):
        """The last quarter has no more than the second one: what the first brings is there to stay."""
        quarter = len(self.samples) // 4
        for what, index, slack in (('descriptors', 0, 40), ('KiB', 1, 1024)):
            early = sorted(sample[index] for sample in self.samples[quarter:2 * quarter])
            late = sorted(sample[index] for sample in self.samples[-quarter:])
            if not early:
                continue
            a, b = early[len(early) // 2], late[len(late) // 2]
            print(f'{what}: {a} in the second quarter, {b} in the last (medians)')
            if b > a * 1.2 + slack:
                self.findings.append(f'{what} grow: {a}, then {b}')

    def judge_end(self):
        """With all clients gone, nothing is left but what an idle worker has; every connection has been accounted for."""
        def idle():
            status = self.world.status()[self.container.id]
            return status if status['open'] == 0 else None
        status = harness.wait_for(idle, timeout=20)
        if not status:
            self.findings.append('connections are left open')
            return
        print(json.dumps(status))
        self.sample()
        if self.samples[-1][0] > 80:
            self.findings.append(f'{self.samples[-1][0]} descriptors are left')

    def run(self):
        self.talk(self.options.minutes * 60, False)
        self.judge_samples()
        self.judge_end()
        if self.options.killing:
            self.talk(self.options.killing * 60, True)
            self.judge_end()

    def close(self):
        self.container.destroy()
        self.partner.stdin.close()
        self.partner.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--minutes', type=float, default=30)
    parser.add_argument('--killing', type=float, default=10)
    parser.add_argument('--clients', type=int, default=40)
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    with harness.World() as world:
        harness.sh(*world.internet.enter('ip', 'addr', 'add', PARTNER + '/24', 'dev', 'eth0', mounts=False))
        soak = Soak(world, options)
        try:
            soak.run()
        finally:
            soak.close()
        left = world.wait_clean()
        if left:
            soak.findings.append(f'left behind: {left}')
    for finding in soak.findings:
        print(f'FINDING: {finding}')
    print(f'{soak.versions} versions of the policy, {len(soak.findings)} findings')
    return len(soak.findings) > 0


if __name__ == '__main__':
    sys.exit(main())
