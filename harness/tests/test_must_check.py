# SPDX-License-Identifier: GPL-2.0
"""Whoever ignores an error of the interface of protected memory is warned, by gcc and by clang, with the option and without it.
Whoever stores to an object of a cache is stopped by them.

The headers are compiled as they are, over the few words of the kernel that they use: no kernel has to be configured for that.
"""

import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from ..common import ROOT

HEADERS = ("prmem.h", "pratomic.h", "prlist.h")

# What the headers include, all in one.
KERNEL = """\
#ifndef KERNEL
#define KERNEL
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32, gfp_t;
typedef unsigned long u64, size_t;
typedef _Bool bool;
typedef struct { int counter; } atomic_t;
typedef struct { long counter; } atomic64_t;
struct list_head { struct list_head *next, *prev; };
struct hlist_node { struct hlist_node *next, **pprev; };
struct hlist_head { struct hlist_node *first; };
struct rcu_head { void *next[2]; };
struct module;
#define THIS_MODULE ((struct module *)0)
#define true 1
#define false 0
#define NULL ((void *)0)
#define __GFP_ZERO 0x100u
#define ARCH_KMALLOC_MINALIGN 8
#define __rcu
#define inline __inline__
#define typeof __typeof__
#define static_assert(expr, ...) _Static_assert(expr, "")
#define __must_check __attribute__((__warn_unused_result__))
#define __always_inline inline __attribute__((__always_inline__))
#define __section(name) __attribute__((__section__(name)))
#define __aligned(x) __attribute__((__aligned__(x)))
#define BUILD_BUG_ON_ZERO(e) ((int)sizeof(struct { int: -!!(e); }))
#define unlikely(x) (x)
#define __same_type(a, b) __builtin_types_compatible_p(typeof(a), typeof(b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define rcu_check_sparse(p, space)
#define rcu_assign_pointer(p, v) do { (p) = (v); } while (0)
#define smp_store_release(p, v) do { *(p) = (v); } while (0)
#define size_mul(a, b) ((a) * (b))
#define roundup_pow_of_two(x) (x)
#define __DEFINE_CLASS_IS_CONDITIONAL(name, is)
#define DEFINE_CLASS(name, type, exit, init, args...) typedef type class_##name##_t;
#define memcpy __builtin_memcpy
#define memset __builtin_memset
#define xchg(p, v) ({ typeof(*(p)) x = *(p); *(p) = (v); x; })
#define try_cmpxchg(p, o, v) (*(p) == *(o) ? (*(p) = (v), 1) : 0)
void *kmalloc(size_t size, gfp_t gfp);
void kfree(const void *p);
void kvfree_call_rcu(void *head, void *p);
%s
#endif
"""
ATOMICS = [f"{kind}_{op}" for kind in ("atomic", "atomic64") for op in
           ("add", "sub", "and", "or", "fetch_add", "fetch_sub", "fetch_and", "fetch_or", "add_return", "sub_return")]
ONES = [f"{kind}_{op}" for kind in ("atomic", "atomic64") for op in ("inc", "dec")]
LISTS = ["INIT_LIST_HEAD(h)", "list_add(e, h)", "list_add_tail(e, h)", "list_add_rcu(e, h)", "list_add_tail_rcu(e, h)",
         "list_del(e)", "list_del_init(e)", "list_del_rcu(e)", "list_replace_init(e, h)", "list_replace_rcu(e, h)",
         "list_move(e, h)", "list_move_tail(e, h)", "list_splice_init(e, h)", "INIT_HLIST_HEAD(h)", "hlist_add_head(n, h)",
         "hlist_add_head_rcu(n, h)", "hlist_add_before(n, m)", "hlist_add_before_rcu(n, m)", "hlist_add_behind(n, m)",
         "hlist_add_behind_rcu(n, m)", "hlist_del(n)", "hlist_del_init(n)", "hlist_del_rcu(n)", "hlist_replace_rcu(n, m)"]

# A call of each, by the beginning of its name where several take the same.
OBJECT = "struct object { unsigned long field; struct object *next; } *obj, copy; unsigned long old; unsigned int flags;\n" \
         "atomic_t number; atomic64_t big; int result; struct list_head list, entry; struct hlist_head bucket;\n" \
         "struct hlist_node node, other; struct wr_cache *cache; void *where; struct pmalloc_pool *pool;\n"
# The same, as somebody has them who does not want to forget any.
CONST = "struct object { unsigned long field; const struct object *next; }; const struct object *obj; struct object copy;\n" \
        "unsigned long old; unsigned int flags; const atomic_t number; const atomic64_t big; int result;\n" \
        "const struct list_head list, entry; const struct hlist_head bucket; const struct hlist_node node, other;\n" \
        "struct wr_cache *cache; const void *where; struct pmalloc_pool *pool;\n"
CALLS = {
    "wr_assign": "wr_assign(obj->field, 1)", "wr_rcu_assign_pointer": "wr_rcu_assign_pointer(obj->next, obj)",
    "wr_set_field": "wr_set_field(cache, obj, field, 1)", "wr_update": "wr_update(cache, obj, &copy)",
    "wr_edit": "wr_edit(cache, obj)", "wr_edit_bytes": "wr_edit_bytes(where, 8)",
    "wr_xchg": "wr_xchg(&obj->field, 1, &old)", "wr_cmpxchg": "wr_cmpxchg(&obj->field, &old, 1)",
    "wr_memcpy": "wr_memcpy(where, &copy, 8)", "wr_memset": "wr_memset(where, 0, 8)", "wr_begin": "wr_begin()",
    "wr_cache_alloc": "wr_cache_alloc(cache, 0)", "wr_cache_zalloc": "wr_cache_zalloc(cache, 0)",
    "wr_cache_free": "wr_cache_free(cache, where)", "wr_cache_free_rcu": "wr_cache_free_rcu(cache, where)",
    "wr_cache_seal": "wr_cache_seal(cache, where)",
    "pratomic_inc": "pratomic_inc(&big)", "pratomic_dec": "pratomic_dec(&number)", "pratomic_set": "pratomic_set(&number, 1)",
    "prlist_init": "prlist_init(&list)", "prhlist_init": "prhlist_init(&bucket)",
    "prhlist_del": "prhlist_del(&node)", "prhlist_del_init": "prhlist_del_init(&node)", "prhlist_del_rcu": "prhlist_del_rcu(&node)",
    "prhlist_add_head": "prhlist_add_head(&node, &bucket)", "prhlist_add_head_rcu": "prhlist_add_head_rcu(&node, &bucket)",
    "prlist_del": "prlist_del(&entry)", "prlist_del_init": "prlist_del_init(&entry)", "prlist_del_rcu": "prlist_del_rcu(&entry)",
}
# Those that exist with the option only.
PROTECTED = {
    "wr_cache_create": 'wr_cache_create("", 8, 8, 0, 0)', "wr_cache_destroy": "wr_cache_destroy(cache)",
    "pmalloc_create_custom_pool": "pmalloc_create_custom_pool(0, 0, 0)", "pmalloc_create_pool": "pmalloc_create_pool(0)",
    "pmalloc": "pmalloc(pool, 8)", "pmalloc_nowait": "pmalloc_nowait(pool, 8)", "pmalloc_reserve": "pmalloc_reserve(pool, 8)",
    "pstrdup": 'pstrdup(pool, "")', "pzalloc": "pzalloc(pool, 8)", "pmalloc_array": "pmalloc_array(pool, 1, 8)",
    "pcalloc": "pcalloc(pool, 1, 8)", "pmalloc_protect_pool": "pmalloc_protect_pool(pool)",
    "pmalloc_make_pool_ro": "pmalloc_make_pool_ro(pool)", "pmalloc_destroy_pool": "pmalloc_destroy_pool(pool)",
}
# What has nothing to say, or answers a question.
SILENT = {"wr_put", "wr_end", "wr_relax", "is_pmalloc_object", "is_pmalloc_ro_object", "is_pmalloc_wr_object", "prmem_check_usercopy",
          "prmem_mark_readonly", "prmem_show_fault", "wr_batch_guard_end"}
# clang does not see a result that is ignored behind a cast. But without it the batch is of no use to its caller.
CAST = {"clang": {"wr_edit"}, "gcc": set()}


def call_of(name):
    """A call of @name, whose result nobody looks at."""
    known = {**CALLS, **PROTECTED}
    if name in known:
        return known[name]
    if name.startswith("pratomic_"):
        counter, operand = ("&big", "1, ") if name.endswith(("add", "return")) else ("&number", "1, ")
        result = ", &result" if "fetch" in name or "return" in name else ""
        return f"{name}({'' if 'inc' in name or 'dec' in name else operand}{counter}{result})"
    return f"{name}(&node, &other)" if name.startswith("prhlist") else f"{name}(&entry, &list)"


def names(protected):
    """All that the headers offer, as macros and as functions."""
    found = set()
    for header in HEADERS:
        text = (ROOT / "include" / "linux" / header).read_text()
        both, protection, none = re.split(r"^#ifdef CONFIG_PRMEM$|^#else /\* !CONFIG_PRMEM \*/$", text, flags=re.M)
        text = both + (protection if protected else none)
        found |= set(re.findall(r"^#define ((?:wr|pr|pmalloc|pstr|pz|pc)\w+)(?:\(|\t+pr)", text, re.M))
        found |= set(re.findall(r"^(?:static inline )?[a-z][\w \*]*?[ \*]((?:wr|pr|p[a-z]*alloc|pstrdup|is_pmalloc)\w*)\(", text, re.M))
    return sorted(found)


class MustCheck(unittest.TestCase):
    maxDiff = None

    def say(self, compiler, protected, objects, statements):
        """What the compiler says of a function with these statements: exit status, text, where the first one is."""
        with tempfile.TemporaryDirectory(prefix="kas-must.") as tmp:
            linux = Path(tmp) / "linux"
            linux.mkdir()
            stubs = [f"long {name}(long i, void *v);" for name in ATOMICS] + [f"void {name}(void *v);" for name in ONES]
            stubs += [re.sub(r"(\w+)([,)])", r"void *\1\2", f"void {text};") for text in LISTS]
            (linux / "kernel.h").write_text(KERNEL % "\n".join(stubs))
            for header in HEADERS:
                text = (ROOT / "include" / "linux" / header).read_text()
                (linux / header).write_text(text)
                for name in re.findall(r"#include <linux/(\w+\.h)>", text):
                    if name not in HEADERS:
                        (linux / name).write_text("#include <linux/kernel.h>\n")
            lines = [f"#define CONFIG_PRMEM {int(protected)}" if protected else "", "#include <linux/prlist.h>",
                     "#include <linux/pratomic.h>", objects.replace("\n", " "), "void test(void)", "{"]
            source = Path(tmp) / "test.c"
            source.write_text("\n".join([*lines, *[text + ";" for text in statements], "}", ""]))
            proc = subprocess.run([compiler, "-std=gnu11", "-S", "-o", "/dev/null", "-I", tmp, str(source)],
                                  text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"})
        return proc.returncode, proc.stdout, len(lines) + 1

    def compile(self, compiler, protected, statements, objects=OBJECT):
        """Which of the statements it warns of, by their number."""
        status, text, first = self.say(compiler, protected, objects, statements)
        self.assertEqual(status, 0, text)
        # A warning in a macro is one in the line that uses it.
        return {int(number) - first for number in re.findall(r"test\.c:(\d+):\d+: (?:warning|note):", text)}

    def ask(self, compiler):
        if not shutil.which(compiler):
            self.skipTest(f"there is no {compiler}")
        for protected in (True, False):
            offered = [name for name in names(protected) if name not in SILENT | CAST[compiler]]
            self.assertGreater(len(offered), 50)
            calls = [call_of(name) for name in offered]
            said = self.compile(compiler, protected, calls)
            quiet = [text for number, text in enumerate(calls) if number not in said]
            self.assertEqual(quiet, [], f"{compiler} says nothing, with{'' if protected else 'out'} CONFIG_PRMEM")
            # Who looks at the result is not told anything.
            used = self.compile(compiler, protected, [f"if ({text}) result = 1" for text in calls])
            self.assertEqual(used, set())
            # What is written to may be reached through a pointer to const.
            used = self.compile(compiler, protected, [f"if ({text}) result = 1" for text in calls], CONST)
            self.assertEqual([calls[number] for number in used], [])

    def ask_about_stores(self, compiler, refusal, warning):
        if not shutil.which(compiler):
            self.skipTest(f"there is no {compiler}")
        for protected in (True, False):
            for store in ("obj->field = 1", "edit->field = 1", "obj->next = &copy", "list.next = NULL", "memset((edit), 0, 8)"):
                lines = ["obj = wr_cache_zalloc(cache, 0)", "__auto_type edit = wr_edit(cache, obj)"]
                self.assertEqual(self.say(compiler, protected, CONST, lines)[:2], (0, ""))
                status, text, _ = self.say(compiler, protected, CONST, [*lines, store])
                if store.startswith("memset"):
                    self.assertIn(warning, text, store)
                else:
                    self.assertIn(refusal, text, store)
                    self.assertNotEqual(status, 0, store)
            status, text, _ = self.say(compiler, protected, OBJECT, ["obj = wr_cache_alloc(cache, 0)"])
            self.assertIn(warning, text)

    def test_what_there_is_without_the_option(self):
        self.assertEqual(set(names(True)) - set(names(False)), set(PROTECTED))
        self.assertLessEqual({"is_pmalloc_object", "wr_end", "wr_put"}, set(names(False)))

    def test_gcc(self):
        self.ask("gcc")

    def test_clang(self):
        self.ask("clang")

    def test_of_no_known_size(self):
        """A pointer to void leads to an object of one byte, as far as the compiler knows."""
        for protected in (True, False):
            for text in ("if (wr_update(cache, where, where)) result = 1", "if (wr_edit(cache, where)) result = 1"):
                for objects in (OBJECT, CONST):
                    status, said, _ = self.say("gcc", protected, objects, [text])
                    self.assertNotEqual(status, 0, f"{text}, {protected}")
                    self.assertIn("static assertion failed", said)

    def test_stores_gcc(self):
        self.ask_about_stores("gcc", "read-only object", "discards 'const' qualifier")

    def test_stores_clang(self):
        self.ask_about_stores("clang", "const-qualified", "discards qualifiers")


if __name__ == "__main__":
    unittest.main()
