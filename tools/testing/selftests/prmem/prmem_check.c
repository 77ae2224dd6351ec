// SPDX-License-Identifier: GPL-2.0
/*
 * Has the kernel walk all page tables and say whether one of them maps protected
 * memory as it must not: prmem_check, or prmem_check off where nothing is protected.
 * What protected memory takes is the same in debugfs and where others look for it.
 */
#include <time.h>

#include "../temp_mm/report.h"

#define CHECK DEBUGFS "prmem/check"

/* /proc/vmstat is longer than what number_in_file() reads. */
static long number_in_vmstat(const char *key)
{
	static char text[1 << 16];

	return read_file("/proc/vmstat", text, sizeof(text)) > 0 ? number_in(text, key) : -1;
}

static void test_vmstat(void)
{
	long before, pages, after, tries = 100;

	/* Blocks may come and go meanwhile. */
	do {
		before = number_in_file(DEBUGFS "prmem/stats", "block_bytes");
		pages = number_in_vmstat("nr_wr_block");
		after = number_in_file(DEBUGFS "prmem/stats", "block_bytes");
	} while (before != after && --tries);
	ktap_ok(before > 0 && pages * sysconf(_SC_PAGESIZE) == before, "vmstat",
		"nr_wr_block %ld, block_bytes %ld", pages, before);
}

int main(int argc, char **argv)
{
	int off = argc > 1 && argv[1] && !strcmp(argv[1], "off");
	struct timespec begin, end;
	char text[4096], *line, *save = NULL;
	int ret;

	ksft_print_header();
	if (access(CHECK, R_OK))
		ksft_exit_skip("needs root, " CHECK ", and what config says\n");
	clock_gettime(CLOCK_MONOTONIC, &begin);
	ret = read_file(CHECK, text, sizeof(text));
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (off) {
		ktap_ok(ret > 0 && !strcmp(text, "off\n"), "off", CHECK ": %s",
			ret < 0 ? strerror(-ret) : text);
		return ktap_end();
	}
	if (!strcmp(text, "off\n"))
		ksft_exit_skip("prmem=off protects nothing\n");
	ktap_ok(ret > 0, "read", CHECK ": %s", strerror(-ret));
	ktap_ok(number_in(text, "tables") > 2, "tables", "walked %ld page tables",
		number_in(text, "tables"));
	ktap_ok(number_in(text, "leaves") > 1, "leaves", "%ld entries map protected memory",
		number_in(text, "leaves"));
	ktap_ok(!number_in(text, "violations"), "violations", "%ld, the first at %#lx",
		number_in(text, "violations"), number_in(text, "first_address"));

	test_vmstat();

	fprintf(stderr, "prmem_check: %ld ms\n", (end.tv_sec - begin.tv_sec) * 1000 +
		(end.tv_nsec - begin.tv_nsec) / 1000000);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		fprintf(stderr, "prmem_check: %s\n", line);

	return ktap_end();
}
