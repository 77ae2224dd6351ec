/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What several guest programs want of the kernel: a number by its name, CPUs, modules, its log, other programs.
 */
#ifndef HARNESS_KERNEL_H
#define HARNESS_KERNEL_H

#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "report.h"

extern char *program_invocation_short_name;	/* of the C library, which hides it from some */

/* The end of a process whose exit status is looked at, with the reason on the console. */
static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	_exit(1);
}

static inline long available_kb(void)
{
	return number_in_file("/proc/meminfo", "MemAvailable:");
}

/* The command line of this kernel for the next one, but for the words that begin as one of @ours: " one= two= ". */
static inline void inherit_words(char *line, const char *ours)
{
	char text[2048], start[64], *word, *save = NULL;

	line[0] = 0;
	read_file("/proc/cmdline", text, sizeof(text));
	for (word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		snprintf(start, sizeof(start), " %.*s= ", (int)strcspn(word, "="), word);
		if (!strstr(ours, start))
			sprintf(line + strlen(line), "%s ", word);
	}
}

/* Load the kernel in /boot, to be started with this command line. Returns 0 or -errno. */
static inline int load_kernel(const char *line, unsigned long flags)
{
	int kernel = open("/boot/bzImage", O_RDONLY), initramfs = open("/boot/initramfs", O_RDONLY), ret;

	ret = syscall(SYS_kexec_file_load, kernel, initramfs, strlen(line) + 1, line, flags) ? -errno : 0;
	close(kernel);
	close(initramfs);
	return ret;
}

/* Take a CPU away or bring it back; returns 0 or -errno. */
static inline int set_online(int cpu, int online)
{
	char path[80], text[8];
	int ret;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	ret = write_file(path, online ? "1" : "0");
	if (ret)
		return ret;
	read_file(path, text, sizeof(text));
	return text[0] == '0' + online ? 0 : -EINVAL;
}

/* All but the first, one after the other; stops at the first error, with that CPU in *@cpu. */
static inline int set_all_online(int online, int *cpu)
{
	int cpus = sysconf(_SC_NPROCESSORS_CONF), ret = 0;

	for (*cpu = 1; *cpu < cpus; ++*cpu) {
		ret = set_online(*cpu, online);
		if (ret)
			break;
	}
	return ret;
}

/* Returns 0 or -errno. */
static inline int load_module(const char *name, const char *params)
{
	char path[128];
	int fd, ret;

	snprintf(path, sizeof(path), "/lib/modules/%s.ko", name);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, params, 0) ? -errno : 0;
	close(fd);
	return ret;
}

static inline int unload_module(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

/*
 * Runs a program with one argument, or none. What it prints goes into @output, from its stderr only if @both.
 * Returns its wait status, or -1.
 */
static inline int run_program(const char *path, char *arg, bool both, char *output, int size)
{
	char *argv[] = { (char *)path, arg, NULL };
	int pipes[2], status, len = 0, ret;
	pid_t pid;

	output[0] = 0;
	if (pipe(pipes))
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (!pid) {
		dup2(pipes[1], STDOUT_FILENO);
		if (both)
			dup2(pipes[1], STDERR_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		execv(path, argv);
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
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

#endif
