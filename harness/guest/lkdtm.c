// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the kernel's own scripts for LKDTM, as they are, for the types that write
 * to read-only memory, protected memory above all: lkdtm. Each type is one case.
 *
 * The scripts are copies of one script, which finds its type in its name.
 */
#include "kernel.h"

#define FOLDER "/tools/testing/selftests/lkdtm"
#define SKIPPED 4

static const char * const prefixes[] = {
	"WRITE_RO", "WRITE_WR", "WRITE_AUTO_", "WRITE_START_", "PRMEM_",
};

static int is_wanted(const char *type)
{
	unsigned int i;

	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (!strncmp(type, prefixes[i], strlen(prefixes[i])))
			return 1;
	return 0;
}

/* The line that says how the kernel saw it, for those who read the results. */
static void print_evidence(const char *type, char *output)
{
	static const char * const signs[] = { "BUG: ", "usercopy: ", "lkdtm: ok: " };
	char *line, *save = NULL, *found;
	unsigned int i;

	for (line = strtok_r(output, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		for (i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
			found = strstr(line, signs[i]);
			if (found) {
				printf("# %s: %s\n", type, found);
				return;
			}
		}
	}
}

static void run_type(const char *type)
{
	static char output[64 * 1024];
	char script[128], path[130], *last;
	int status;

	snprintf(script, sizeof(script), "%s.sh", type);
	if (symlink("run.sh", script)) {
		ktap_ok(0, type, "%s: %s", script, strerror(errno));
		return;
	}
	snprintf(path, sizeof(path), "./%s", script);
	status = run_program(path, NULL, true, output, sizeof(output));
	status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	fprintf(stderr, "lkdtm: %s: exit status %d\n", script, status);

	/* The verdict of the script is its last line. */
	last = output + strlen(output);
	while (last > output && last[-1] == '\n')
		*--last = 0;
	last = strrchr(output, '\n');
	last = last ? last + 1 : output;

	if (status == SKIPPED) {
		ktap_skip(type, last);
		return;
	}
	if (status) {
		ktap_ok(0, type, "exit status %d: %s", status, last);
		return;
	}
	print_evidence(type, output);
	ktap_ok(1, type, " ");
}

int main(void)
{
	static char list[64 * 1024];
	char *line, *save = NULL;
	int ret;

	if (chdir(FOLDER)) {
		ktap_ok(0, "tests.txt", FOLDER ": %s", strerror(errno));
		return ktap_end();
	}
	ret = read_file("tests.txt", list, sizeof(list));
	if (ret <= 0) {
		ktap_ok(0, "tests.txt", FOLDER "/tests.txt: %s", strerror(-ret));
		return ktap_end();
	}
	for (line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		line[strcspn(line, " ")] = 0;
		if (is_wanted(line))
			run_type(line);
	}
	return ktap_end();
}
