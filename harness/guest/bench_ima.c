// SPDX-License-Identifier: GPL-2.0
/*
 * The rows of "make bench" about IMA, run as root in the guest after bench_run:
 * files on a file system of their own are opened under a policy that measures
 * each. What is counted is the one system call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "marker.h"

#define ROUNDS		1500
#define FOOTPRINT	10000
#define DIR		"/tmp/bench_ima"
#define SECURITYFS	"/sys/kernel/security"
#define PRMEM_STATS	"/sys/kernel/debug/prmem/stats"

static void die(const char *what)
{
	printf("bench: failed: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* One system call between the markers of a row. */
#define COUNTED(_row, _nr, _a, _b, _c, _d)				\
({									\
	long __ret = (_nr);						\
	register long __d asm("r10") = (_d);				\
									\
	__asm__ __volatile__(MARKER_ASM(nr, 0)				\
			     "syscall\n\t"				\
			     MARKER_ASM(nr, 1)				\
			     : "+a" (__ret)				\
			     : "D" (_a), "S" (_b), "d" (_c), "r" (__d),	\
			       [nr] "i" (MARKER_BENCH(_row))		\
			     : "rcx", "r11", "memory");			\
	if (__ret < 0) {						\
		errno = -__ret;						\
		die(#_row);						\
	}								\
	__ret;								\
})

static void put(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		die(path);
	close(fd);
}

/* The number after @key at the start of a line of @path, which must be there. */
static long value_of(const char *path, const char *key)
{
	size_t len = strlen(key);
	char line[256], *end;
	FILE *f = fopen(path, "r");

	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, len)) {
			long value = strtol(line + len, &end, 10);

			if (end != line + len) {
				fclose(f);
				return value;
			}
		}
	}
	errno = ENOKEY;
	die(path);
	return 0;
}

static long entries(void)
{
	return value_of(SECURITYFS "/ima/runtime_measurements_count", "");
}

static void row(const char *name)
{
	printf("bench: %s rounds %d\n", name, ROUNDS);
}

/* A file that nobody has opened before, and the same one again. */
static void measure_rows(void)
{
	long before = entries();
	char path[64];

	for (int i = 0; i < ROUNDS; i++) {
		snprintf(path, sizeof(path), DIR "/file%04d", i);
		put(path, &i, sizeof(i));
		close(COUNTED(NR_IMA_MEASURE, SYS_openat, AT_FDCWD, path, O_RDONLY, 0));
		close(COUNTED(NR_IMA_LOOKUP, SYS_openat, AT_FDCWD, path, O_RDONLY, 0));
	}
	if (entries() != before + ROUNDS)
		die("not one entry a file");
	row("ima_measure");
	row("ima_lookup");

	/* Written anew with what it has had: hashed again, and then found in the table. */
	for (int i = 0; i < ROUNDS; i++) {
		snprintf(path, sizeof(path), DIR "/file%04d", i);
		put(path, &i, sizeof(i));
		close(COUNTED(NR_IMA_LOOKUP_TABLE, SYS_openat, AT_FDCWD, path, O_RDONLY, 0));
	}
	if (entries() != before + ROUNDS)
		die("an entry twice");
	row("ima_lookup_table");
}

/* As many entries as fit into a page, from the beginning of the list. */
#define READ_ROW(_row, _path)						\
do {									\
	static char page[4096];						\
	int fd = open(SECURITYFS "/ima/" _path, O_RDONLY);		\
									\
	for (int i = 0; i < ROUNDS; i++)				\
		COUNTED(_row, SYS_pread64, fd, page, sizeof(page), 0);	\
	close(fd);							\
} while (0)

/* Pages in use, but for those that protected memory has and nobody has got from it. */
static long pages_in_use(void)
{
	long pages = value_of("/proc/bench_memory", "pages_in_use ");

	if (!access(PRMEM_STATS, F_OK))
		pages -= value_of(PRMEM_STATS, "pages_free ");
	return pages;
}

/* Memory that is gone when one file has had so many contents. */
static void footprint_row(void)
{
	long before = 0, first = 0;

	/* The first few fill what slabs and lists have left over. */
	for (int i = -2000; i < FOOTPRINT; i++) {
		long content = i + 1000000;

		if (!i) {
			before = pages_in_use();
			first = entries();
		}
		put(DIR "/changing", &content, sizeof(content));
		close(open(DIR "/changing", O_RDONLY));
	}
	before = pages_in_use() - before;
	if (entries() != first + FOOTPRINT)
		die("not one entry a content");
	printf("bench: ima_footprint_10k bytes %ld\n", before * 4096);
}

int main(void)
{
	static const char policy[] = "measure func=FILE_CHECK mask=MAY_READ fsmagic=0x858458f6 uid=0\n";
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	if (sched_setaffinity(0, sizeof(cpu), &cpu))
		die("sched_setaffinity");
	mount("securityfs", SECURITYFS, "securityfs", 0, NULL);
	mkdir(DIR, 0700);
	/* Whether reading a file changes its time would depend on when it was written. */
	if (mount("ramfs", DIR, "ramfs", MS_NOATIME, NULL))
		die("mount ramfs");
	put(SECURITYFS "/ima/policy", policy, strlen(policy));

	measure_rows();
	READ_ROW(NR_IMA_READ_LIST, "ascii_runtime_measurements");
	row("ima_read_list");
	READ_ROW(NR_IMA_READ_LIST_BINARY, "binary_runtime_measurements");
	row("ima_read_list_binary");
	footprint_row();
	printf("bench: done\n1..0\n");
	return 0;
}
