// SPDX-License-Identifier: GPL-2.0
/*
 * Modules that forget what they have created: the kernel destroys what it can, keeps the rest, and says by name what
 * it was. Nobody who reads debugfs afterwards meets memory of theirs.
 *
 * leftovers:prmem	caches and pools
 * leftovers:asi	domains
 */
#include "asi.h"
#include "kernel.h"

#define POOLS		DEBUGFS "prmem/pools"
#define TOLD		"prmem: module prmem_left has left "
/* More than there are classes of types, which a domain that stays would take one by one. */
#define ROUNDS		9

static char log_text[1 << 20], text[1 << 16];

/* How often a line is in the log of the kernel. */
static int logged(const char *line)
{
	int len = klogctl(3, log_text, sizeof(log_text) - 1), n = 0;	/* SYSLOG_ACTION_READ_ALL */
	const char *at;

	log_text[len > 0 ? len : 0] = 0;
	for (at = log_text; (at = strstr(at, line)); at++)
		n++;
	return n;
}

/* Load and unload it, or have its loading fail. */
static int come_and_go(const char *name, bool fail)
{
	int ret = load_module(name, fail ? "fail=1" : "");

	if (fail)
		return ret == -ENODEV ? 0 : ret ?: -EEXIST;
	return ret ?: unload_module(name);
}

static int lines_in(const char *start)
{
	const char *at;
	int n = 0;

	read_file(POOLS, text, sizeof(text));
	for (at = text; (at = strstr(at, start)); at++)
		n++;
	return n;
}

static void expect_lines(const char *name, const char *start, int want)
{
	int got = lines_in(start);

	ktap_ok(got == want, name, "%d lines with \"%s\" in prmem/pools and not %d", got, start, want);
}

static void expect_logged(const char *name, const char *line, int want)
{
	int got = logged(line);

	ktap_ok(got == want, name, "\"%s\" is %d times in the log and not %d", line, got, want);
}

static void prmem_left(void)
{
	int ret, i;

	/* What stays is nobody's the next time, even if the next one is where the first one was. */
	for (i = 0, ret = 0; i < 3 && !ret; i++)
		ret = come_and_go("prmem_left", i == 1);
	ktap_ok(!ret, "prmem_load_unload", "%s", strerror(-ret));
	expect_lines("cache_with_objects_stays", "cache left_objects size 64 pages 1 objects 2 sealed 1\n", 3);
	expect_lines("cache_without_objects_goes", "cache left_empty ", 0);
	expect_lines("pool_with_memory_stays", "pool left_pool ", 3);
	expect_lines("pool_without_memory_goes", "pool left_empty_pool ", 0);
	expect_logged("cache_with_objects_is_told", TOLD "cache left_objects, objects 2, sealed 1: it stays\n", 3);
	expect_logged("cache_without_objects_is_told", TOLD "cache left_empty, objects 0, sealed 0: destroyed\n", 3);
	expect_logged("pool_with_memory_is_told", TOLD "pool left_pool, pages 1: it stays\n", 3);
	expect_logged("pool_without_memory_is_told", TOLD "pool left_empty_pool, pages 0: destroyed\n", 3);
}

static void asi_left(void)
{
	int ret, i;

	for (i = 0, ret = 0; i < ROUNDS && !ret; i++)
		ret = come_and_go("asi_left", i == 1);
	ktap_ok(!ret, "asi_load_unload", "round %d: %s", i, strerror(-ret));
	/* Without the type the kernel oopses here. */
	ktap_ok(wait_for_domains(0, text, sizeof(text)), "domains_go", "%s", text);
	expect_logged("first_domain_is_told", "asi: module asi_left has left domain left_one of type left_type: destroyed\n",
		      ROUNDS);
	expect_logged("second_domain_is_told", "asi: module asi_left has left domain left_two of type left_type: destroyed\n",
		      ROUNDS);
	ktap_ok(access(DEBUGFS "page_tables/left_one", F_OK) && access(DEBUGFS "page_tables/left_two", F_OK),
		"page_tables_go", "there is one");
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 && argv[1] ? argv[1] : "";

	if (!strcmp(what, "prmem")) {
		prmem_left();
		return ktap_end();
	}
	if (!strcmp(what, "asi")) {
		asi_left();
		return ktap_end();
	}
	fprintf(stderr, "leftovers: prmem or asi, not %s\n", what);
	return 2;
}
