# SPDX-License-Identifier: GPL-2.0
"""The floors of a part: what counts as a use of a file above."""

import unittest

from .. import layers

HEADER = "/*\n * Shared. Each file uses only those before it: x_low.c, x_mid.c,\n * x.c.\n */\n#define __mine __section(\"mine\")\n"


class Layers(unittest.TestCase):
    def wrong(self, low="", mid="", top="", header=HEADER, **more):
        return layers.wrong({"mm/x.h": header, "mm/x_low.c": low, "mm/x_mid.c": mid, "mm/x.c": top, **more})

    def test_down(self):
        self.assertEqual(self.wrong(low="int low(void)\n{\n}\n", mid="int mid(void)\n{\n\treturn low();\n}\n", top="int v;\nint t(void)\n{\n\tmid();\n}\n"),
                         [])

    def test_up(self):
        for text, name in (("int mid(void)\n{\n}\n", "mid"), ("struct page *mid(int a,\n\t\tint b)\n{\n}\n", "mid"), ("bool mid __ro_after_init;\n", "mid"),
                           ("struct s mid[2][3] __mine;\n", "mid"), ("DEFINE_MUTEX(mid);\n", "mid"), ("LIST_HEAD(mid);\n", "mid"),
                           ("DEFINE_PER_CPU(struct s, mid);\n", "mid"), ("DEFINE_STATIC_KEY_FALSE(mid);\n", "mid"),
                           ("DEFINE_SRCU(mid);\n", "mid"), ("DECLARE_BITMAP(mid, 64);\n", "mid"), ("DEFINE_WR_CACHE(mid, struct s);\n", "mid"),
                           ("__printf(1, 2) void mid(int a)\n{\n}\n", "mid"),
                           ("noinline __cold int mid(void)\n{\n}\n", "mid"), ("const struct ops mid = {\n};\n", "mid")):
            self.assertEqual(self.wrong(low="int low(void)\n{\n\tuse(mid);\n}\n", mid=text),
                             [f"mm/x_low.c uses {name} of x_mid.c, which is above it"], text)

    def test_two_floors_up(self):
        self.assertEqual(self.wrong(low="int low(void)\n{\n\treturn top();\n}\n", top="int top(void)\n{\n}\n"),
                         ["mm/x_low.c uses top of x.c, which is above it"])

    def test_by_a_header(self):
        for text in ("static __always_inline bool leave(void)\n{\n\treturn mid();\n}\n", "#define leave()\t\\\n\tmid()\n",
                     "static inline void other(void)\n{\n\tmid();\n}\n#define leave() other()\n",
                     "DEFINE_LOCK_GUARD_0(leave, _T->was = mid(),\n\t\t    go(_T->was), bool was)\n"):
            self.assertEqual(self.wrong(low="int low(void)\n{\n\tguard(leave)();\n}\n", mid="int mid(void)\n{\n}\n", **{"asm/x.h": text}),
                             ["mm/x_low.c uses mid of x_mid.c, which is above it"], text)
            self.assertEqual(self.wrong(low="int low(void)\n{\n}\n", mid="int mid(void)\n{\n}\n", **{"asm/x.h": text}), [], text)

    def test_what_is_no_use(self):
        for text in ("static int mid(void)\n{\n}\n", "static bool mid;\n", "static DEFINE_MUTEX(mid);\n", "int mid(void);\n", "extern int mid;\n",
                     "DEFINE_SHOW_ATTRIBUTE(mid);\n", "struct s other __mine;\n"):
            self.assertEqual(self.wrong(low="int v __mine;\nint low(void)\n{\n\tuse(mid);\n}\n", mid=text), [], text)
        self.assertEqual(self.wrong(low="/* mid() */\nchar *s = \"mid\";\n", mid="int mid(void)\n{\n}\n"), [])

    def test_the_order_has_all(self):
        self.assertEqual(self.wrong(**{"mm/x_new.c": ""}), ["mm/x.h does not say where x_new.c is in the order of its files"])
        self.assertEqual(layers.wrong({"mm/x.h": HEADER, "mm/x_low.c": "", "mm/x.c": ""}), ["mm/x.h names x_mid.c, which is not there"])
        self.assertEqual(self.wrong(header="/* none */\n"), ["no header says the order of its files"])


if __name__ == "__main__":
    unittest.main()
