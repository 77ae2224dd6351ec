/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every guest program needs: results as KTAP on stdout and small file helpers.
 *
 * The plan comes last, so that a program need not count its cases beforehand;
 * a program that dies early prints no plan, and init reports that.
 */
#ifndef HARNESS_KTAP_H
#define HARNESS_KTAP_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int ktap_cases, ktap_failures;

static inline void ktap_result(const char *verdict, const char *name, const char *suffix)
{
	printf("%s %d - %s%s\n", verdict, ++ktap_cases, name, suffix);
	fflush(stdout);
}

/* One case; the reason is printed before a failure. */
static inline int __attribute__((format(printf, 3, 4)))
ktap_ok(int good, const char *name, const char *why, ...)
{
	va_list args;

	if (!good) {
		ktap_failures++;
		printf("# ");
		va_start(args, why);
		vprintf(why, args);
		va_end(args);
		printf("\n");
	}
	ktap_result(good ? "ok" : "not ok", name, "");
	return good;
}

static inline void ktap_skip(const char *name, const char *why)
{
	char suffix[256];

	snprintf(suffix, sizeof(suffix), " # SKIP %s", why);
	ktap_result("ok", name, suffix);
}

static inline int ktap_end(void)
{
	printf("1..%d\n", ktap_cases);
	fflush(stdout);
	return ktap_failures ? 1 : 0;
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

/* The same for files of the kernel that forget what they have when they are truncated. */
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

#endif
