// SPDX-License-Identifier: GPL-2.0
/*
 * What a Debian does, beside domains that are entered on all CPUs:
 *
 *   debian:systemd          has it come up, with no service that failed?
 *   debian:build            a kernel, by tinyconfig, from the base's source
 *   debian:stress=CLASS+... stress-ng: each stressor of these classes for a second, one after the other
 */
#include <sys/stat.h>

#include "kernel.h"

#define BUILT		"/var/tmp/tiny/arch/x86/boot/bzImage"
/* Of tinyconfig; what has no code would be smaller. */
#define KERNEL_MIN	(200 * 1024)

static int shell(const char *command)
{
	static char line[512];
	char *argv[] = { "sh", "-c", line, NULL };
	int status = -1;
	pid_t pid;

	snprintf(line, sizeof(line), "%s", command);
	pid = fork();
	if (!pid) {
		/* Standard output is for the results; this goes to the console. */
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execv("/bin/sh", argv);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static void test_systemd(void)
{
	char output[64];
	int status = shell("systemctl is-system-running --wait >/run/state");

	/* It ends with 0 only where the state is "running". */
	read_file("/run/state", output, sizeof(output));
	ktap_ok(!status, "running", "wait status %#x: %s", status, output);
	if (status)
		shell("systemctl --failed --no-pager --no-legend");
}

static void test_build(void)
{
	struct stat built = {};
	int status;

	status = shell("cd /usr/src/linux && make -s O=/var/tmp/tiny tinyconfig");
	ktap_ok(!status, "tinyconfig", "wait status %#x", status);
	/* It takes long: the console shows where it is. */
	status = shell("cd /usr/src/linux && make -j$(nproc) O=/var/tmp/tiny bzImage");
	ktap_ok(!status, "build", "wait status %#x", status);
	ktap_ok(!stat(BUILT, &built) && built.st_size > KERNEL_MIN, "kernel", BUILT " has %ld bytes", (long)built.st_size);
}

static void test_class(const char *class)
{
	char command[256];
	int status, good;

	snprintf(command, sizeof(command),
		 "stress-ng --class %s --sequential $(nproc) --timeout 1s --temp-path /var/tmp --verify --oomable", class);
	status = shell(command);
	/* 3, 4 and 7: this machine lacks something that one of them wants, or it was too slow to count. */
	good = WIFEXITED(status) && memchr("\0\3\4\7", WEXITSTATUS(status), 4);
	ktap_ok(good, class, "wait status %#x", status);
}

int main(int argc, char **argv)
{
	char *arg = argc > 1 ? argv[1] : "", *class, *save = NULL;

	if (!strcmp(arg, "systemd")) {
		test_systemd();
	} else if (!strcmp(arg, "build")) {
		test_build();
	} else if (!strncmp(arg, "stress=", 7)) {
		for (class = strtok_r(arg + 7, "+", &save); class; class = strtok_r(NULL, "+", &save))
			test_class(class);
	} else {
		fprintf(stderr, "usage: debian:systemd, debian:build, debian:stress=CLASS+...\n");
		return 2;
	}
	return ktap_end();
}
