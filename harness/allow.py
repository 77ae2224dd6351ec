# SPDX-License-Identifier: GPL-2.0
"""The lists of what is allowed although a check would refuse it: one line each, with the reason.

A line that begins with # is a comment, and so is nothing else. What a line has before its reason is up to the list;
but no line is without a reason, and nothing is allowed twice.
"""

from .common import HarnessError


def read(path, split):
    """{key: what @split makes of the rest} of the list in @path.

    @split gets a line and returns its key and the rest, which ends with the reason; it raises ValueError with what is
    wrong with the line.
    """
    found = {}
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        try:
            key, rest = split(line)
            if key in found:
                raise ValueError("is there twice")
        except ValueError as err:
            raise HarnessError(f"{path.name}: {err}: {line}") from None
        found[key] = rest
    return found


def words(keys, fields=0):
    """For lines "KEY... FIELD... reason": the key is a tuple of @keys words, the rest one of @fields words and the reason."""
    def split(line):
        found = line.split(None, keys + fields)
        if len(found) <= keys + fields:
            raise ValueError("has no reason" if len(found) == keys + fields else "lacks a word")
        return tuple(found[:keys]), (*found[keys:keys + fields], found[-1].strip())
    return split


def regex(line):
    """For lines "regex ## reason"."""
    found, _, reason = line.partition(" ## ")
    if not found.strip():
        raise ValueError("has no regex, and so would allow everything")
    if not reason.strip():
        raise ValueError("has no reason")
    return found, (reason.strip(),)
