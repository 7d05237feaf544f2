# SPDX-License-Identifier: Apache-2.0
"""oci-egress-runtime in front of a runtime, as an engine would call it."""
import json
import os
import shlex
import shutil

import harness
from harness import KEEPER, PROGRAM, Runtime


def wrapper(world, runtime, *options):
    """A program that stands for oci-egress-runtime, with this world's places. Its path."""
    real = os.path.realpath(shutil.which(runtime))
    config = world.write(f"{os.path.basename(runtime)}.json", json.dumps({"runtime": real}))
    words = [PROGRAM, "runtime", "--policies", world.policies, "--run", world.run, "--log", world.log, "--config", config,
             "--state", world.state, "--keeper", KEEPER, *options]
    name = f"wrapper-{next(harness.number)}"
    return world.write(name, f"#!/bin/sh\nexec {shlex.join(words)} -- \"$@\"\n", 0o755)


class Wrapped(Runtime):
    def __init__(self, world, name, *options):
        super().__init__(world, name)
        self.wrapper = wrapper(world, name, *options)

    def command(self, *argv):
        return [self.wrapper if word == self.name else word for word in super().command(*argv)]
