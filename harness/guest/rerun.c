// SPDX-License-Identifier: GPL-2.0
/*
 * Runs a KUnit suite once more, through debugfs: rerun:SUITE. At boot the suites
 * run before .rodata is read-only and before anybody can set up fault injection;
 * now there is user space, and both have been done.
 */
#include "kernel.h"

int main(int argc, char **argv)
{
	static char text[256 * 1024];
	char path[256], *line, *save = NULL;
	int number, planned = 0, cases = 0, bad = 0, ret;

	if (argc < 2 || !argv[1])
		return 1;
	/* Allocations that may sleep are to fail as well when a test asks for it. */
	write_file(DEBUGFS "failslab/ignore-gfp-wait", "N");
	write_file(DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N");
	write_file(DEBUGFS "fail_page_alloc/min-order", "0");
	/* The splat of an injected failure is not what the tests are after. */
	write_file(DEBUGFS "failslab/verbose", "0");
	write_file(DEBUGFS "fail_page_alloc/verbose", "0");

	snprintf(path, sizeof(path), DEBUGFS "kunit/%s/run", argv[1]);
	ret = write_file(path, "run");
	if (ret) {
		fprintf(stderr, "rerun: %s: %s\n", path, strerror(-ret));
		return 1;
	}
	snprintf(path, sizeof(path), DEBUGFS "kunit/%s/results", argv[1]);
	read_file(path, text, sizeof(text));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		/* Cases are indented; what is not is the verdict on the suite. */
		if (*line != ' ' || strstr(line, "# Subtest:") || strstr(line, "KTAP version"))
			continue;
		line += strspn(line, " ");
		if (sscanf(line, "ok %d", &number) == 1 || sscanf(line, "not ok %d", &number) == 1) {
			cases++;
			bad |= *line == 'n';
		}
		/* The plan is of the suite itself, whatever of its results is there. */
		if (!planned)
			sscanf(line, "1..%d", &planned);
		printf("%s\n", line);
	}
	if (cases != planned)
		printf("# %d cases, and the suite has %d\n", cases, planned);
	return bad || !cases || cases != planned;
}
