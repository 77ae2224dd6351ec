# SPDX-License-Identifier: GPL-2.0
"""Entry point: python3 -m harness COMMAND; the Makefile has one target a command."""

import importlib
import sys

from .common import HarnessError, Stopped, explain, say
from .session import Session

# command: (module, function)
COMMANDS = {
    "run": ("story", "cmd_run"),
    "shell": ("story", "cmd_shell"),
    "debug": ("story", "cmd_debug"),
    "test": ("test", "cmd_test"),
    "check": ("check", "cmd_check"),
    "series": ("series", "cmd_series"),
    "tree": ("series", "cmd_tree"),
    "export": ("series", "cmd_export"),
    "refresh": ("series", "cmd_refresh"),
    "bench": ("bench", "cmd_bench"),
    "mutants": ("mutants", "cmd_mutants"),
    "soak": ("test", "cmd_soak"),
    "tlb": ("test", "cmd_tlb"),
    "prefixes": ("prefixes", "cmd_prefixes"),
    "expected": ("expected", "cmd_expected"),
    "clean": ("series", "cmd_clean"),
}


def main(argv):
    if len(argv) < 2 or argv[1] not in COMMANDS:
        print("usage: python3 -m harness " + "|".join(COMMANDS), file=sys.stderr)
        return 2
    module, function = COMMANDS[argv[1]]
    try:
        with Session("make " + argv[1]) as session:
            command = getattr(importlib.import_module("." + module, __package__), function)
            if argv[1] in ("shell", "debug"):
                return command(argv[2:], session) or 0
            return command(argv[2:]) or 0
    except HarnessError as err:
        say(f"error: {err}")
        return 1
    except OSError as err:
        if not explain(err):
            raise
        say(f"error: {explain(err)}")
        return 1
    except Stopped as stopped:
        say(f"ended by {stopped}")
        return 128 + stopped.number


if __name__ == "__main__":
    sys.exit(main(sys.argv))
