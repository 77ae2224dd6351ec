# SPDX-License-Identifier: GPL-2.0
"""Code in documents: what counts as a quotation."""

import unittest

from .. import quotes

SOURCE = {"a.c": "int f(void)\n{\n\tint err;\n\n\terr = g();\n\tif (err)\n\t\treturn err;\n\n\treturn h();\n}\n", "b.c": "int x;\n"}


def document(*lines, before="As here::"):
    return {"d.rst": "\n".join([before, "", *["\t" + line for line in lines], "", "More text; and more.", ""])}


class Quotes(unittest.TestCase):
    def wrong(self, *lines, **more):
        return quotes.wrong(document(*lines, **more), SOURCE)

    def test_quoted(self):
        self.assertEqual(self.wrong("err = g();", "if (err)", "\treturn err;", "return h();"), [])
        self.assertEqual(self.wrong("int err;", "...", "return h();"), [])
        self.assertEqual(self.wrong("err = g();", before="    A list item::"), [])

    def test_not_quoted(self):
        self.assertEqual(self.wrong("err = i();"), ["d.rst:1: no file of the series has this code: err = i();"])
        for lines in (["err = g();", "return h();"],        # something is left out without a word
                      ["int err;", "...", "int x;"],        # of two files
                      ["g();"],                             # a part of a line
                      ["return h();", "...", "int err;"],   # in another order
                      ["return h();", "err = h();"]):
            self.assertEqual(len(self.wrong(*lines)), 1, lines)

    def test_a_change(self):
        self.assertEqual(self.wrong(" int err;", "-return 0;", "+", "+err = g();", " if (err)"), [])
        self.assertEqual(len(self.wrong(" int err;", "+return 0;")), 1)

    def test_what_is_no_code(self):
        text = document("err = g();")["d.rst"] + document("echo > run")["d.rst"] + document("C litmus", "{ x = 0; }", "f();")["d.rst"]
        self.assertEqual(quotes.wrong({"d.rst": text}, SOURCE), [])

    def test_another_form(self):
        self.assertEqual(len(quotes.wrong({"d.rst": document("int err;")["d.rst"] + "\n.. code-block:: c\n\n   int y;\n"}, SOURCE)), 1)

    def test_none_at_all(self):
        self.assertEqual(self.wrong("echo > run"), ["no document has code"])


class Errors(unittest.TestCase):
    DOCUMENT = "=== ===\nError Counter\n=== ===\n-EPERM   cache    of another cache\n                  -EINVAL what else\nnone     batch    no batch\n"
    CODE = 'x[] = {\n\t[BAD_CACHE] = { -EPERM, "cache", "is" },\n\t[NO_BATCH] = { -EPERM, "batch", "is" },\n};\n'

    def test_agree(self):
        self.assertEqual(quotes.wrong_errors(self.DOCUMENT, [self.CODE, "enum x {\n\tNO_BATCH,\n};\n\t\tp_refuse(NO_BATCH, NULL);\n\treturn x &&\n\t\tp_frames_refuse(NO_BATCH);\n"
                                                             "\twhy == NO_BATCH ? a : b;\n"]), [])

    def test_a_row_is_missing(self):
        self.assertEqual(quotes.wrong_errors(self.DOCUMENT.replace("cache ", "other "), [self.CODE]),
                         ["cache: is not in the document", "other: no code counts it"])

    def test_two_rows(self):
        self.assertEqual(quotes.wrong_errors(self.DOCUMENT + "-EINVAL  cache    again\n-EPERM   cache    and again\n", [self.CODE]),
                         ["cache: has more than one row"])

    def test_another_error(self):
        self.assertEqual(quotes.wrong_errors(self.DOCUMENT, [self.CODE.replace("-EPERM, \"cache", "-EINVAL, \"cache")]),
                         ["cache: the document says -EPERM, the code -EINVAL"])

    def test_none_where_it_is_returned(self):
        for text in ("return p_refuse(NO_BATCH);", "return x ? 0 :\n\tp_refuse(NO_BATCH, y);", "\terr = p_refuse(NO_BATCH);",
                     "\twhy = NO_BATCH;"):
            self.assertEqual(quotes.wrong_errors(self.DOCUMENT, [self.CODE, text]),
                             ["batch: the document says none, the code -EPERM"])

    def test_no_code(self):
        self.assertEqual(quotes.wrong_errors(self.DOCUMENT, ["int x;"]), ["no file of the series has an array of errors"])


if __name__ == "__main__":
    unittest.main()
