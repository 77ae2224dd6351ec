/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of temporary mms, protected memory and address space isolation share:
 * cases with a reason for their failure, files, and what the kernel tells of itself.
 *
 * The plan comes last, so that a test need not count its cases beforehand.  One that dies
 * early prints none.
 */
#ifndef SELFTESTS_TEMP_MM_REPORT_H
#define SELFTESTS_TEMP_MM_REPORT_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <unistd.h>

#include "../kselftest.h"

#ifndef DEBUGFS
#define DEBUGFS "/sys/kernel/debug/"
#endif

/* One case; the reason is printed before a failure.  Returns @good. */
static inline __printf(3, 4) int ktap_ok(int good, const char *name, const char *why, ...)
{
	va_list args;

	if (!good) {
		printf("# ");
		va_start(args, why);
		vprintf(why, args);
		va_end(args);
		printf("\n");
	}
	ksft_test_result(good, "%s\n", name);
	fflush(stdout);
	return good;
}

static inline void ktap_skip(const char *name, const char *why)
{
	ksft_test_result_code(KSFT_SKIP, name, "%s", why);
	fflush(stdout);
}

/* Returns what main() is to return. */
static inline int ktap_end(void)
{
	ksft_set_plan(ksft_test_num());
	ksft_print_cnts();
	fflush(stdout);
	return ksft_get_fail_cnt() ? KSFT_FAIL : KSFT_PASS;
}

static inline int write_with(int flags, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | flags);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ret = errno ? -errno : -EIO;
	close(fd);
	return ret;
}

/* Returns 0 or -errno. */
static inline int write_file(const char *path, const char *text)
{
	return write_with(O_TRUNC, path, text);
}

/* As write_file(), for files of the kernel that forget what they have when they are truncated. */
static inline int append_file(const char *path, const char *text)
{
	return write_with(O_APPEND, path, text);
}

/* Returns the length read, or -errno; the text is always terminated. */
static inline int read_file(const char *path, char *text, int size)
{
	int fd = open(path, O_RDONLY);
	int len = 0, ret;

	text[0] = 0;
	if (fd < 0)
		return -errno;
	/* Some files of the kernel give one line a read. */
	do {
		ret = read(fd, text + len, size - 1 - len);
		if (ret > 0)
			len += ret;
	} while (ret > 0 && len < size - 1);
	ret = ret < 0 ? -errno : len;
	text[len] = 0;
	close(fd);
	return ret;
}

/* What follows "@key " at the start of a line of @text; NULL: there is none. */
static inline char *value_in(const char *text, const char *key)
{
	size_t len = strlen(key);

	while (text && *text) {
		if (!strncmp(text, key, len) && text[len] == ' ')
			return (char *)text + len + 1;
		text = strchr(text, '\n');
		text += !!text;
	}
	return NULL;
}

/* -1: there is none. */
static inline long number_in(const char *text, const char *key)
{
	const char *value = value_in(text, key);

	return value ? strtol(value, NULL, 0) : -1;
}

static inline long number_in_file(const char *path, const char *key)
{
	char text[8192];

	return read_file(path, text, sizeof(text)) > 0 ? number_in(text, key) : -1;
}

static inline bool in_kernel_log(const char *line)
{
	static char log[1 << 20];
	int len = klogctl(3, log, sizeof(log) - 1);	/* SYSLOG_ACTION_READ_ALL */

	log[len > 0 ? len : 0] = 0;
	return strstr(log, line);
}

#endif
