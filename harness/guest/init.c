// SPDX-License-Identifier: GPL-2.0
/*
 * The first process of the guest: mounts, runs the steps of the scenario, writes
 * their results to a serial port of their own and powers off.
 *
 * Under systemd it is a service: all is mounted then, and nobody is waited for but its own children.
 *
 * From the kernel command line:
 *   steps=NAME[:ARG],...   programs of /bin, or modules of /lib/modules, in this order
 *   results=/dev/ttyS1     where the KTAP goes; default: the console
 *   steps_done=N           an earlier kernel, which has started this one, did the first N steps
 *
 * A step that leaves a kernel loaded for kexec wants the rest to run in that. It has it in its
 * environment: steps_left and steps_done are for the command line of that kernel.
 *
 * What a step prints on stdout is its KTAP; stderr is the console. The plan of a
 * step may come last, so the output of a step is held back until it ends.
 */
#define _GNU_SOURCE
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>

#include "kernel.h"

#define OUTPUT_MAX (256 * 1024)

static FILE *results;
static char output[OUTPUT_MAX];

static void mount_all(void)
{
	static const struct { const char *type, *dir; } table[] = {
		{ "proc", "/proc" }, { "sysfs", "/sys" }, { "devtmpfs", "/dev" },
		{ "tmpfs", "/tmp" }, { "debugfs", "/sys/kernel/debug" },
		{ "tracefs", "/sys/kernel/tracing" },
		{ "efivarfs", "/sys/firmware/efi/efivars" },
	};
	unsigned int i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		mkdir(table[i].dir, 0755);
		/* efivarfs only exists on EFI machines: nothing to report. */
		mount(table[i].type, table[i].dir, table[i].type, 0, NULL);
	}
}

static void open_results(void)
{
	const char *path = getenv("results");
	struct termios mode;
	int fd = open(path ? path : "/dev/console", O_WRONLY | O_NOCTTY);

	if (fd < 0)
		fd = dup(STDERR_FILENO);
	if (!tcgetattr(fd, &mode)) {
		cfmakeraw(&mode);
		tcsetattr(fd, TCSANOW, &mode);
	}
	results = fdopen(fd, "w");
	setvbuf(results, NULL, _IOLBF, 0);
}

static int is_plan(const char *line)
{
	return !strncmp(line, "1..", 3);
}

/* A nested KTAP: version, name, plan, then the lines of the step. */
static void print_nested(const char *name)
{
	char *line, *save = NULL, *copy = strdup(output);
	const char *plan = NULL;

	for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (is_plan(line))
			plan = line;
	/* No plan: the step died. One that can never be met makes it a failure. */
	fprintf(results, "    KTAP version 1\n    # Subtest: %s\n    %s\n", name, plan ? plan : "1..999");
	save = NULL;
	for (line = strtok_r(output, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (!is_plan(line) && strncmp(line, "KTAP version", 12) && strncmp(line, "TAP version", 11))
			fprintf(results, "    %s\n", line);
	free(copy);
}

static void run_step(int number, char *name)
{
	char *arg = strchr(name, ':');
	char path[128];
	int status = 0, good;
	struct timespec now;

	if (arg)
		*arg++ = 0;
	/* Where the time of a boot goes can be read on its console. */
	clock_gettime(CLOCK_BOOTTIME, &now);
	fprintf(stderr, "init: step %s, %ld s after the start\n", name, (long)now.tv_sec);
	snprintf(path, sizeof(path), "/bin/%s", name);
	if (!access(path, X_OK)) {
		status = run_program(path, arg, false, output, OUTPUT_MAX);
		good = status == 0;
		print_nested(name);
		if (!good)
			fprintf(results, "# %s: wait status %#x\n", name, status);
	} else {
		status = load_module(name, "");
		good = status == 0;
		/* A step is always a suite, so that its name is found in the report. */
		fprintf(results, "    KTAP version 1\n    # Subtest: %s\n    1..1\n", name);
		if (!good)
			fprintf(results, "    # neither a program nor a module that loads: %s\n",
				strerror(-status));
		fprintf(results, "    %s 1 - load\n", good ? "ok" : "not ok");
	}
	fprintf(results, "%s %d - %s\n", good ? "ok" : "not ok", number, name);
}

static void shell(void)
{
	pid_t pid = fork();
	int fd;

	if (!pid) {
		/* The console is no terminal that can send signals; the port behind it is. */
		setsid();
		fd = open("/dev/ttyS0", O_RDWR);
		if (fd >= 0) {
			ioctl(fd, TIOCSCTTY, 1);
			dup2(fd, STDIN_FILENO);
			dup2(fd, STDOUT_FILENO);
			dup2(fd, STDERR_FILENO);
		}
		execl("/bin/sh", "sh", "-l", NULL);
		_exit(127);
	}
	while (wait(NULL) != pid)
		;
}

/* Go on in the kernel that the last step has loaded, if it has; returns if there is none. */
static void next_kernel(void)
{
	char loaded[8];

	if (read_file("/sys/kernel/kexec_loaded", loaded, sizeof(loaded)) <= 0 || loaded[0] != '1')
		return;
	fflush(results);
	tcdrain(fileno(results));
	sync();
	reboot(RB_KEXEC);
	fprintf(results, "# the loaded kernel does not start: %s\n", strerror(errno));
}

static void run_steps(char *list)
{
	const char *done = getenv("steps_done");
	int number = done ? atoi(done) : 0, count = number;
	char *name, text[16];

	for (name = list; *name; name++)
		count += *name == ',';
	count += *list != 0;
	if (!number)
		fprintf(results, "KTAP version 1\n1..%d\n", count);
	while ((name = strsep(&list, ",")) && *name) {
		snprintf(text, sizeof(text), "%d", ++number);
		setenv("steps_done", text, 1);
		setenv("steps_left", list ? list : "", 1);
		run_step(number, name);
		next_kernel();
	}
	/* Proof that nothing was cut off. */
	fprintf(results, "# end of results\n");
	fflush(results);
	tcdrain(fileno(results));
}

int main(void)
{
	const char *steps = getenv("steps");
	char *list = strdup(steps ? steps : "");

	if (getpid() == 1)
		mount_all();
	setenv("PATH", "/bin:/sbin", 1);
	setenv("HOME", "/", 1);
	setenv("PS1", "guest# ", 1);
	/* Every message reaches the console, whatever the level was at boot. */
	write_file("/proc/sys/kernel/printk", "8");
	if (!strcmp(list, "shell")) {
		shell();
	} else {
		open_results();
		run_steps(list);
	}
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
