// SPDX-License-Identifier: GPL-2.0
/*
 * Does kmemleak, which does not look into protected memory or page tables, take for lost what only these lead to?
 * To be run after other steps, on a kernel with kmemleak=on.
 */
#include "kernel.h"

#define FILE_	DEBUGFS "kmemleak"

/* In the names of functions of a backtrace. */
static const char * const ours[] = {
	"prmem", "wr_", "pmalloc", "prlist", "pstrdup", "temp_mm", "temporary_mm", "ima_", "asi_", "pg_table", "pg_entry",
};

static int is_ours(const char *report)
{
	unsigned int i;

	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strstr(report, ours[i]))
			return 1;
	return 0;
}

int main(void)
{
	static char text[1 << 20];
	char *report, *next;
	int i, ret = 0, reports = 0, bad = 0;

	/* What is found once is only suspected, and has to be old enough. */
	for (i = 0; i < 3 && !ret; i++) {
		sleep(i ? 6 : 0);
		ret = write_file(FILE_, "scan");
	}
	ktap_ok(!ret, "scan", FILE_ ": %s", strerror(-ret));
	ret = read_file(FILE_, text, sizeof(text));
	ktap_ok(ret >= 0, "read", FILE_ ": %s", strerror(-ret));
	for (report = strstr(text, "unreferenced object"); report; report = next) {
		next = strstr(report + 1, "unreferenced object");
		if (next)
			next[-1] = 0;
		fprintf(stderr, "kmemleak: %s\n", report);
		reports++;
		bad += is_ours(report);
	}
	printf("# %d reports\n", reports);
	ktap_ok(!bad, "none_of_ours", "%d of %d reports are about what protected memory leads to; see the log", bad, reports);
	return ktap_end();
}
