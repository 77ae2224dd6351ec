// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the kernel's own tests, which the scenario names: all of /selftests, in the order of their names.
 * One may need more than the machine has: then it says so by its exit status.
 */
#define _GNU_SOURCE
#include <ftw.h>

#include "kernel.h"

#define OUTPUT_MAX	(256 * 1024)
#define KSFT_SKIP	4

static char output[OUTPUT_MAX];
static char names[64][64];
static int nr;

static int found(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_F && nr < 64)
		snprintf(names[nr++], sizeof(names[0]), "%s", path);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

int main(void)
{
	int i, status;

	/* Some map gigabytes, of which they touch a few pages. */
	write_file("/proc/sys/vm/overcommit_memory", "1");
	nftw("/selftests", found, 8, FTW_PHYS);
	qsort(names, nr, sizeof(names[0]), by_name);
	for (i = 0; i < nr; i++) {
		const char *name = names[i] + strlen("/selftests/");

		status = run_program(names[i], NULL, true, output, OUTPUT_MAX);
		fprintf(stderr, "%s: %s\n", name, output);
		if (WIFEXITED(status) && WEXITSTATUS(status) == KSFT_SKIP)
			ktap_skip(name, "says the test");
		else
			ktap_ok(!status, name, "wait status %#x; its output is on the console", status);
	}
	ktap_ok(nr > 0, "there_are_some", "/selftests is empty");
	return ktap_end();
}
