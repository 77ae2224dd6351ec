# SPDX-License-Identifier: GPL-2.0
"""Entry point: python3 -m harness COMMAND; the Makefile has one target a command."""

import importlib
import sys

from .common import HarnessError, say

# command: (module, function)
COMMANDS = {
    "run": ("story", "cmd_run"),
    "shell": ("story", "cmd_shell"),
    "test": ("test", "cmd_test"),
    "check": ("check", "cmd_check"),
    "series": ("series", "cmd_series"),
    "tree": ("series", "cmd_tree"),
    "export": ("series", "cmd_export"),
    "refresh": ("series", "cmd_refresh"),
    "bench": ("bench", "cmd_bench"),
    "mutants": ("mutants", "cmd_mutants"),
    "soak": ("test", "cmd_soak"),
    "expected": ("expected", "cmd_expected"),
    "clean": ("series", "cmd_clean"),
}


def main(argv):
    if len(argv) < 2 or argv[1] not in COMMANDS:
        print("usage: python3 -m harness " + "|".join(COMMANDS), file=sys.stderr)
        return 2
    module, function = COMMANDS[argv[1]]
    try:
        return getattr(importlib.import_module("." + module, __package__), function)(argv[2:]) or 0
    except HarnessError as err:
        say(f"error: {err}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


sys.exit(main(sys.argv))
