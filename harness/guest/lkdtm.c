// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the kernel's own scripts for LKDTM, as they are, for the types that write
 * to read-only memory, protected memory above all: lkdtm. Each type is one case.
 *
 * The scripts are copies of one script, which finds its type in its name.
 */
#include <sys/wait.h>

#include "ktap.h"

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

/* Runs ./NAME; returns its exit status, or -1. */
static int run_script(const char *name, char *output, int size)
{
	int pipes[2], status, len = 0, ret;
	char path[256];
	pid_t pid;

	snprintf(path, sizeof(path), "./%s", name);
	output[0] = 0;
	if (pipe(pipes))
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (!pid) {
		close(pipes[0]);
		dup2(pipes[1], STDOUT_FILENO);
		dup2(pipes[1], STDERR_FILENO);
		execl(path, path, NULL);
		printf("%s: %s\n", path, strerror(errno));
		_exit(127);
	}
	close(pipes[1]);
	while (len < size - 1) {
		ret = read(pipes[0], output + len, size - 1 - len);
		if (ret <= 0)
			break;
		len += ret;
	}
	output[len] = 0;
	close(pipes[0]);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
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
	char script[128], *last;
	int status;

	snprintf(script, sizeof(script), "%s.sh", type);
	if (symlink("run.sh", script)) {
		ktap_ok(0, type, "%s: %s", script, strerror(errno));
		return;
	}
	status = run_script(script, output, sizeof(output));
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
