# SPDX-License-Identifier: GPL-2.0
"""What a patch opens, it closes: what is counted, and that each prefix is asked."""

import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from .. import brackets, model


SPDX = b"// SPDX-License-Identifier: GPL-2.0\n"


class Counts(unittest.TestCase):
    def test_what_is_no_code(self):
        text = b"/* ( { */ char *s = \"({\\\"(\", c = '{', d = '\\''; // {\nint f(void) { return 0; }\n"
        self.assertEqual(brackets.counts(text), (0, 0, 0))

    def test_each_kind(self):
        self.assertEqual(brackets.counts(b"int f(void) {\n"), (1, 0, 0))
        self.assertEqual(brackets.counts(b"f(g(1);\n"), (0, 1, 0))
        self.assertEqual(brackets.counts(b"#ifdef A\n# if B\n#endif\n"), (0, 0, 1))
        self.assertEqual(brackets.counts(b"#endif\n}\n)\n"), (-1, -1, -1))


class Prefixes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kas-brackets.")
        self.addCleanup(folder.cleanup)
        self.base = Path(folder.name)
        (self.base / "old.c").write_bytes(b"#if A\nint f(void) {\n#else\nint f(int a) {\n#endif\n}\n")

    def unbalanced(self, steps, parts):
        """@parts: {part: needs}; @steps: {part: [(patch, {path: text})]}, "" for the whole series."""
        def compose(_stored, _base, names):
            chosen = steps["" if set(names) == set(parts) else names[-1]]
            return ([SimpleNamespace(where=f"series/{name}") for name, _ in chosen],
                    [{path: model.Text(text, False) for path, text in step.items()} for _, step in chosen])
        with mock.patch.object(model, "compose_parts", compose):
            return brackets.unbalanced(SimpleNamespace(parts=parts), self.base)

    def test_a_state_between(self):
        open_text, whole = SPDX + b"int g(void)\n{\n", SPDX + b"int g(void)\n{\n}\n"
        steps = [("one", {"new.c": open_text, "doc.rst": b"(("}), ("two", {"new.c": whole})]
        bad = self.unbalanced({"": steps, "a": steps, "b": steps[1:]}, {"a": [], "b": []})
        self.assertEqual([line.split(":")[0] for line in bad], ["series/one", "series/one, of a alone"])
        self.assertIn("new.c has +1 braces, +0 parentheses, +0 #if", bad[0])

    def test_a_part_alone(self):
        whole, cut = SPDX + b"int g(void) { }\n", SPDX + b"int g(void) }\n"
        bad = self.unbalanced({"": [("one", {"new.c": whole})], "a": [("one", {"new.c": whole})], "b": [("one", {"new.c": cut})]},
                              {"a": [], "b": []})
        self.assertEqual([line.split(":")[0] for line in bad], ["series/one, of b alone"])

    def test_a_piece_of_a_file(self):
        """Balanced, but without its beginning; a header has that in another form."""
        whole = {"new.c": SPDX + b"int g;\n", "new.h": b"/* SPDX-License-Identifier: GPL-2.0 */\n"}
        steps = [("one", {"new.c": b"int g;\n"}), ("two", whole)]
        bad = self.unbalanced({"": steps, "a": steps[1:], "b": []}, {"a": [], "b": []})
        self.assertEqual(bad, ["series/one: new.c does not begin with its licence"])

    def test_as_the_base_has_it(self):
        """An #else between two beginnings of a function is one brace too many, before and after."""
        text = (self.base / "old.c").read_bytes()
        steps = [("one", {"old.c": text + b"int h;\n"})]
        self.assertEqual(self.unbalanced({"": steps, "a": steps, "b": steps}, {"a": [], "b": []}), [])
        steps = [("one", {"old.c": text + b"}\n"})]
        self.assertEqual(len(self.unbalanced({"": steps, "a": [], "b": []}, {"a": [], "b": []})), 1)
