// SPDX-License-Identifier: GPL-2.0
/*
 * The user side of "make bench", run as root in the guest:
 *
 *   bench_run [ROW+ROW...]
 *
 * runs the named rows, or all that this kernel has, on the first CPU, and prints
 * a line for each. The counting itself is done outside of the guest by the
 * plugin; what is printed here is what only the guest knows: that a row has run
 * to its end, IPIs, bytes, and time stamps for an emulator without plugins.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "marker.h"

#define ROUNDS	2000
#define PAGE	4096L

static void die(const char *what)
{
	printf("bench: failed: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool is_there(const char *path)
{
	return !access(path, F_OK);
}

static unsigned int round_tsc[ROUNDS];

static unsigned long long rdtsc(void)
{
	unsigned int low, high;

	__asm__ __volatile__("rdtsc" : "=a" (low), "=d" (high));
	return (unsigned long long)high << 32 | low;
}

/* Exactly 100 instructions: a count that is off by one is a broken plugin. */
static void selftest_100_nops(void)
{
	__asm__ __volatile__(MARKER_ASM(nr, 0)
			     ".rept 100\n\tnop\n\t.endr\n\t"
			     MARKER_ASM(nr, 1)
			     : : [nr] "i" (MARKER_BENCH(NR_SELFTEST_100_NOPS)));
}

/* The cheapest way into the kernel and back. */
static void getppid_round(void)
{
	long ret = SYS_getppid;

	__asm__ __volatile__(MARKER_ASM(nr, 0)
			     "syscall\n\t"
			     MARKER_ASM(nr, 1)
			     : "+a" (ret)
			     : [nr] "i" (MARKER_BENCH(NR_GETPPID))
			     : "rcx", "r11", "memory");
}

static const struct {
	const char *name;
	void (*round)(void);
} user_rows[] = {
	{ "selftest_100_nops", selftest_100_nops },
	{ "getppid", getppid_round },
};

static int by_value(const void *a, const void *b)
{
	const unsigned int *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void user_row(const char *name, void (*round)(void))
{
	for (int i = 0; i < ROUNDS; i++) {
		unsigned long long begin = rdtsc();

		round();
		round_tsc[i] = rdtsc() - begin;
	}
	qsort(round_tsc, ROUNDS, sizeof(round_tsc[0]), by_value);
	printf("bench: %s rounds %d tsc_min %u tsc_median %u tsc_max %u\n", name, ROUNDS, round_tsc[0],
	       round_tsc[ROUNDS / 2], round_tsc[ROUNDS - 1]);
}

/* The whole of a small file in /proc or /sys. */
static const char *slurp(const char *path)
{
	static char text[8192];
	int fd = open(path, O_RDONLY);
	ssize_t n, at = 0;

	if (fd < 0)
		die(path);
	while ((n = read(fd, text + at, sizeof(text) - 1 - at)) > 0)
		at += n;
	if (n < 0)
		die(path);
	close(fd);
	text[at] = 0;
	return text;
}

static void load_module(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
		die(path);
	close(fd);
}

/* The rows of what is new are in modules that only some kernels have. */
static void load_modules(void)
{
	static const char * const more[] = {
		"/lib/modules/prmem_bench.ko", "/lib/modules/asi_bench.ko",
	};

	load_module("/lib/modules/bench.ko");
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		if (is_there(more[i]))
			load_module(more[i]);
}

/* Ask the module to do something; the rounds, or how many. */
static void request(const char *name, int count)
{
	char text[64];
	int fd = open("/proc/bench", O_WRONLY);
	int len = snprintf(text, sizeof(text), "%s %d", name, count);

	if (fd < 0 || write(fd, text, len) != len)
		die(name);
	close(fd);
}

/* The number after @key at the start of a line of @path, which must be there. */
static long value_of(const char *path, const char *key)
{
	size_t len = strlen(key);
	char *end;

	for (const char *text = slurp(path); text; text = strchr(text, '\n')) {
		text += *text == '\n';
		if (!strncmp(text, key, len)) {
			long value = strtol(text + len, &end, 10);

			if (end != text + len)
				return value;
		}
	}
	errno = ENOKEY;
	die(key);
	return 0;
}

/* 2 MiB leaves of the direct map that became 4 KiB leaves, by the architecture's account. */
static long splits(void)
{
	return value_of("/proc/meminfo", "DirectMap4k:") / 2048;
}

static const char asi_stats[] = "/sys/kernel/debug/asi/stats";

/* Loads of a domain's page table that flushed what the TLB had of it; without domains, none. */
static long asi_flushes(void)
{
	return is_there(asi_stats) ? value_of(asi_stats, "flush ") : 0;
}

static void kernel_row(const char *name)
{
	long before = splits(), flushes = asi_flushes();
	char *answer;

	request(name, ROUNDS);
	answer = strdup(slurp("/proc/bench"));
	answer[strcspn(answer, "\n")] = 0;
	printf("bench: %s splits %ld", answer, splits() - before);
	if (is_there(asi_stats))
		printf(" flushes %ld", asi_flushes() - flushes);
	printf("\n");
	free(answer);
}

static long pages_in_use(void)
{
	return value_of("/proc/bench_memory", "pages_in_use ");
}

/* Memory that @n objects take which the module gets by the way of @hold, beside @from of them. */
static long taken(const char *hold, int from, int n)
{
	long before;

	request(hold, from);
	before = pages_in_use();
	request(hold, from + n);
	return PAGE * (pages_in_use() - before);
}

/* A known number of pages: a count that is off by one is a count of something else as well. */
static void selftest_memory(void)
{
	/* What is allocated the first time that somebody counts is no part of it. */
	pages_in_use();
	printf("bench: selftest_memory bytes %ld\n", taken("hold_pages", 0, 1000));
	request("hold_pages", 0);
}

/*
 * Memory of one temporary mm, by the kernel's own account and by the pages that
 * are in use. The first round lets slabs and lists settle.
 */
static void memory_rows(void)
{
	const char *stats = "/sys/kernel/debug/temp_mm/stats";
	const int n = 255;
	long bytes, pages;

	if (!is_there(stats))
		return;
	request("hold", n + 1);
	request("hold", 1);
	bytes = value_of(stats, "bytes ");
	pages = taken("hold", 1, n);
	bytes = value_of(stats, "bytes ") - bytes;
	request("hold", 1);
	printf("bench: temp_mm_percpu_bytes bytes %ld\n", bytes / n);
	printf("bench: temp_mm_percpu_pages bytes %ld\n", pages / n);
}

/*
 * 100,000 objects of 64 bytes: pages of their cache, all metadata, the section that
 * has the descriptors, page tables and mms of the window. What is there whether
 * there are objects or not counts too, even mms that are for others.
 */
static void footprint_rows(void)
{
	const char *stats = "/sys/kernel/debug/prmem/stats";
	const char *pools = "/sys/kernel/debug/prmem/pools";
	const char *mms = "/sys/kernel/debug/temp_mm/stats";
	/* The first few of the others fill what slabs and lists have left over. */
	const int n = 100000, few = 2000;
	long split = splits(), blocks, taken_bytes, bytes;

	if (!is_there(stats))
		return;
	blocks = value_of(stats, "block_bytes ");
	taken_bytes = taken("hold_wr", 1, n - 1);
	/* The static section has a page table, and so has each piece that is no whole block. */
	bytes = PAGE * value_of(pools, "cache bench_held size 64 pages ") +
		PAGE * value_of(stats, "pages_metadata ") + value_of(stats, "static_bytes ") +
		PAGE * (1 + value_of(stats, "block_small ")) + value_of(mms, "bytes ");
	printf("bench: footprint_100k_64 bytes %ld splits %ld\n", bytes, splits() - split);
	printf("bench: footprint_100k_64_blocks bytes %ld\n", value_of(stats, "block_bytes ") - blocks);
	printf("bench: footprint_100k_64_free bytes %ld\n", taken_bytes);
	request("hold_wr", 0);

	printf("bench: footprint_100k_64_kmalloc bytes %ld\n", taken("hold_kmalloc", few, n));
	request("hold_kmalloc", 0);
	printf("bench: footprint_100k_64_vmalloc bytes %ld\n", taken("hold_vmalloc", few, n));
	request("hold_vmalloc", 0);
}

/*
 * Page tables of a domain that maps what each must, and of 2 MiB more, by the kernel's
 * own account: pages of tables, and two for the top level.
 */
static long domain_bytes(const char *hold)
{
	const char *stats = "/sys/kernel/debug/pg_table/stats";
	const long n = 64;
	long tables, before;

	request(hold, 0);
	/* What is given up is freed after a while. */
	tables = value_of(stats, "tables ");
	do {
		before = tables;
		sleep(1);
		tables = value_of(stats, "tables ");
	} while (tables != before);
	request(hold, n);
	tables = value_of(stats, "tables ") - tables;
	request(hold, 0);
	return PAGE * (tables / n + 2);
}

static void domain_rows(void)
{
	long domain, more;

	if (!is_there(asi_stats))
		return;
	domain = domain_bytes("hold_asi");
	more = domain_bytes("hold_asi_2m") - domain;
	printf("bench: asi_create_bytes bytes %ld\n", domain);
	printf("bench: asi_map_2M_bytes bytes %ld\n", more);
}

/* Is @name one of @list, "a+b+c"? Without a list, and for what tests the counting, yes. */
static bool wanted(const char *name, const char *list)
{
	size_t len = strlen(name);

	if (!list || !strcmp(name, "empty") || !strncmp(name, "selftest_", 9))
		return true;
	while (list) {
		if (!strncmp(list, name, len) && (!list[len] || list[len] == '+'))
			return true;
		list = strchr(list, '+');
		list += !!list;
	}
	return false;
}

int main(int argc, char **argv)
{
	const char *list = argc > 1 ? argv[1] : NULL;
	char rows[4096] = "";
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	if (sched_setaffinity(0, sizeof(cpu), &cpu))
		die("sched_setaffinity");

	for (size_t i = 0; i < sizeof(user_rows) / sizeof(user_rows[0]); i++)
		if (wanted(user_rows[i].name, list))
			user_row(user_rows[i].name, user_rows[i].round);

	load_modules();
	strncpy(rows, slurp("/proc/bench"), sizeof(rows) - 1);
	for (char *name = strtok(rows, "\n"); name; name = strtok(NULL, "\n"))
		if (wanted(name, list))
			kernel_row(name);

	/* What other CPUs do meanwhile is counted as well: so only with all rows, on one. */
	if (!list)
		selftest_memory();
	if (wanted("temp_mm_percpu_bytes", list))
		memory_rows();
	if (wanted("footprint_100k_64", list))
		footprint_rows();
	if (wanted("asi_create", list))
		domain_rows();
	printf("bench: done\n1..0\n");
	return 0;
}
