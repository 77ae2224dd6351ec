/* SPDX-License-Identifier: GPL-2.0 */
/*
 * IMA's measurement list as its files show it, for the programs that make entries and judge them.
 */
#ifndef HARNESS_IMA_H
#define HARNESS_IMA_H

#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "report.h"

#define IMA "/sys/kernel/security/ima/"
#define ASCII_LIST IMA "ascii_runtime_measurements"
#define BINARY_LIST IMA "binary_runtime_measurements"
#define RAMFS "/r"	/* the policy "tcb" leaves tmpfs out, but not ramfs */
#define SHA1_SIZE 20
#define SHA256_SIZE 32

/* A name may have a newline; what stands behind it begins so, and no line of the list does. */
#define SECOND_LINE "=second_line_"

/* One record of a binary list. Nothing is copied: it points into the list. */
struct record {
	const unsigned char *digest;
	const char *template;
	uint32_t template_len;
	const char *name;		/* with its NUL */
	const unsigned char *last;	/* signature or buffer, or NULL if the template has none */
	uint32_t last_len;
};

static inline uint32_t take_u32(const unsigned char **at)
{
	uint32_t value;

	memcpy(&value, *at, sizeof(value));
	*at += sizeof(value);
	return value;
}

/* Returns the field of @len bytes at @at and steps behind it, or NULL if it does not end within the list. */
static inline const unsigned char *take(const unsigned char **at, const unsigned char *end, uint32_t len)
{
	const unsigned char *field = *at;

	if ((size_t)(end - field) < len)
		return NULL;
	*at += len;
	return field;
}

/* Returns what is behind the record at @at, or NULL if there is none that is whole and right. */
static inline const unsigned char *take_record(const unsigned char *at, const unsigned char *end, int digest_size,
					       struct record *record)
{
	const unsigned char *data_end;
	uint32_t len;

	if (end - at < 4 + digest_size + 4 || take_u32(&at) != 10)
		return NULL;
	record->digest = take(&at, end, digest_size);
	record->template_len = take_u32(&at);
	record->template = (const char *)take(&at, end, record->template_len);
	if (!record->template || end - at < 4)
		return NULL;
	len = take_u32(&at);
	if (!take(&at, end, len))
		return NULL;
	data_end = at;
	at -= len;
	/* d-ng, n-ng, and of some templates one more. */
	if (data_end - at < 4)
		return NULL;
	len = take_u32(&at);
	if (!take(&at, data_end, len) || data_end - at < 4)
		return NULL;
	len = take_u32(&at);
	record->name = (const char *)take(&at, data_end, len);
	if (!record->name || !len || strnlen(record->name, len) != len - 1)
		return NULL;
	record->last = NULL;
	record->last_len = 0;
	if (at < data_end) {
		if (data_end - at < 4)
			return NULL;
		record->last_len = take_u32(&at);
		record->last = take(&at, data_end, record->last_len);
		if (!record->last)
			return NULL;
	}
	return at == data_end ? at : NULL;
}

static inline int is_template(const struct record *record, const char *name)
{
	return record->template_len == strlen(name) && !memcmp(record->template, name, record->template_len);
}

/* A violation is a record without a digest. */
static inline int is_violation(const struct record *record)
{
	static const unsigned char zero[SHA1_SIZE];

	return !memcmp(record->digest, zero, sizeof(zero));
}

/* Returns a whole file and its length, or ends the program. A list grows while it is read. */
static inline unsigned char *read_whole(const char *path, size_t *len)
{
	size_t room = 1 << 20;
	unsigned char *data = malloc(room + 1);
	int fd = open(path, O_RDONLY);
	ssize_t ret;

	*len = 0;
	while (fd >= 0 && data) {
		ret = read(fd, data + *len, room - *len);
		if (ret < 0)
			break;
		*len += ret;
		if (!ret) {
			close(fd);
			data[*len] = 0;
			return data;
		}
		if (*len == room)
			data = realloc(data, (room *= 2) + 1);
	}
	printf("# %s: %s\n", path, strerror(errno));
	exit(1);
}

static inline long read_number(const char *path)
{
	char text[64];

	return read_file(path, text, sizeof(text)) > 0 ? strtol(text, NULL, 10) : -1;
}

/* Returns the number of records, or -1 - the number of the one that is not whole. */
static inline long count_records(const unsigned char *data, size_t len, int digest_size)
{
	const unsigned char *at = data, *end = data + len;
	struct record record;
	long count = 0;

	while (at < end) {
		at = take_record(at, end, digest_size, &record);
		if (!at)
			return -1 - count;
		count++;
	}
	return count;
}

/*
 * Is this line of an ascii list whole? It has the register, a digest of one of the banks, the template and
 * the digest of the file. What follows is the name, which may be anything.
 */
static inline int good_line(const char *line, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t digits;

	if (len >= strlen(SECOND_LINE) && !memcmp(line, SECOND_LINE, strlen(SECOND_LINE)))
		return 1;
	if (len < 4 || strncmp(line, "10 ", 3))
		return 0;
	digits = strspn(line + 3, hex);
	line += 3 + digits;
	if (digits != 2 * SHA1_SIZE && digits != 2 * SHA256_SIZE)
		return 0;
	if (!strncmp(line, " ima-ng ", 8))
		line += 8;
	else if (!strncmp(line, " ima-sig ", 9) || !strncmp(line, " ima-buf ", 9))
		line += 9;
	else
		return 0;
	if (!strncmp(line, "sha256:", 7))
		return strspn(line + 7, hex) == 2 * SHA256_SIZE;
	/* A signature says which digest it is of. */
	return !strncmp(line, "sha1:", 5) && strspn(line + 5, hex) == 2 * SHA1_SIZE;
}

/* Mount what the programs need, unless an earlier step has. */
static inline void ima_mounts(void)
{
	mount("securityfs", "/sys/kernel/security", "securityfs", 0, NULL);
	if (!mkdir(RAMFS, 0755) && mount("ramfs", RAMFS, "ramfs", 0, NULL))
		printf("# cannot mount ramfs: %s\n", strerror(errno));
}

/* Returns 0 or -errno. The text of a file depends on @seed alone. */
static inline int make_file(const char *path, size_t size, uint32_t seed)
{
	static unsigned char block[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755), ret = 0;
	size_t part, i;

	if (fd < 0)
		return -errno;
	for (; size && !ret; size -= part) {
		part = size < sizeof(block) ? size : sizeof(block);
		for (i = 0; i < part; i++) {
			seed = seed * 1664525 + 1013904223;
			block[i] = seed >> 24;
		}
		if (write(fd, block, part) != (ssize_t)part)
			ret = errno ? -errno : -EIO;
	}
	close(fd);
	return ret;
}

/* Opening a file for reading measures it. Returns 0 or -errno. */
static inline int measure(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* A new file is measured; returns by how many entries the list has grown, or -1. */
static inline long measure_new(void)
{
	long before = read_number(IMA "runtime_measurements_count");
	static int number;
	char path[80];

	snprintf(path, sizeof(path), RAMFS "/%d-%d", getpid(), number);
	if (make_file(path, 100, 1000003 * getpid() + number++) || measure(path))
		return -1;
	return read_number(IMA "runtime_measurements_count") - before;
}

/* Run a program; returns its wait status. What it prints, both streams, goes into the file @output. */
static inline int run_to(const char *output, char *const argv[])
{
	pid_t pid = fork();
	int status, fd;

	if (!pid) {
		fd = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

#endif
