// SPDX-License-Identifier: GPL-2.0
/*
 * Has IMA measure files of all kinds, and what is in none, with the templates ima-ng, ima-sig and ima-buf, and then
 * compares its list with what was done. One thread, and nothing that depends on time or chance: the same calls make
 * the same list, bit for bit, on every kernel.
 *
 * ima_files[:N]	N files of the common kind, 2100 unless told
 *
 * The kernel must be booted with ima_policy=tcb|critical_data.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/kexec.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "ima.h"

#define TMPFS "/t"
#define SIGNED 160
#define VIOLATIONS 12
#define AGAIN 200
#define MEMFDS 6
#define MEMFD_NAME 249	/* with "memfd:", as long as a name can be */
#define ORDINARY "ima-ng"

/* What has to be in the list. */
struct expected {
	char *name;
	const char *template;
	unsigned char *last;	/* NULL: not compared */
	int last_len;
	int records, violations;
	int found, found_violations;
};

static struct expected *table;
static int entries, room, wrong_opens;

static struct expected *expect(const char *name, const char *template, int records, int violations)
{
	struct expected *new;
	char *c;

	if (entries == room) {
		room = room ? 2 * room : 4096;
		table = realloc(table, room * sizeof(*table));
	}
	new = &table[entries++];
	memset(new, 0, sizeof(*new));
	new->name = strdup(name);
	/* The list shall be easy to split into words. */
	for (c = new->name; *c; c++)
		if (*c == ' ')
			*c = '_';
	new->template = template;
	new->records = records;
	new->violations = violations;
	return new;
}

static void measure_ok(const char *path)
{
	int ret = measure(path);

	if (ret && !wrong_opens++)
		printf("# open(%.60s...), %zu characters: %s\n", path, strlen(path), strerror(-ret));
}

static size_t size_of(int number)
{
	/* Borders of SHA's blocks and of pages. */
	static const size_t sizes[] = {
		0, 1, 15, 16, 17, 54, 55, 56, 63, 64, 65, 119, 120, 127, 128, 129, 500, 1000, 2047, 4095, 4096, 4097,
		8191, 8192, 8193, 12288,
	};

	if (number % 64 == 63)
		return number * 7919 % 300000;
	return sizes[number % (sizeof(sizes) / sizeof(sizes[0]))];
}

static uint32_t seed_of(int number)
{
	/* Some have equal contents. */
	return number % 10 == 9 ? 7 : number;
}

static void fill(char *text, char c, int len)
{
	memset(text, c, len);
	text[len] = 0;
}

/* The path of the common file of this number. */
static void path_of(int number, char *path)
{
	int len = sprintf(path, RAMFS "/d%d/", number % 37), rest;
	char *name = path + len;

	mkdir(path, 0755);
	switch (number % 8) {
	case 0:
		sprintf(name, "file%d", number);
		break;
	case 1:
		rest = sprintf(name, "%d", number);
		fill(name + rest, 'x', NAME_MAX - rest);
		break;
	case 2:
		sprintf(name, " a b  c %d ", number);
		break;
	case 3:
		sprintf(name, "\xc3\xbc-\xce\xa9-\xe8\xaa\x9e-\xf0\x9f\x90\xa7-%d", number);
		break;
	case 4:
		sprintf(name, "first\n" SECOND_LINE "%d", number);
		break;
	case 5:
		sprintf(name, "%%s%%n%%p %%%dd", number);
		break;
	case 6:
		/* One character, so one folder for each. */
		name += sprintf(name, "o%d/", number);
		mkdir(path, 0755);
		strcpy(name, "f");
		break;
	default:
		sprintf(name, "\x01\t\x7f\xff\\'\"%d", number);
	}
}

static void common_files(int count)
{
	char path[PATH_MAX];
	int i;

	for (i = 0; i < count; i++) {
		path_of(i, path);
		make_file(path, size_of(i), seed_of(i));
		measure_ok(path);
		expect(path, ORDINARY, 1, 0);
	}
	/* Nothing about them has changed: no new entries. */
	for (i = 0; i < count; i += 7) {
		path_of(i, path);
		measure_ok(path);
	}
	/* New files with the same paths and contents: measured, and found in the list. */
	for (i = 0; i < AGAIN && i < count; i++) {
		path_of(i, path);
		unlink(path);
		make_file(path, size_of(i), seed_of(i));
		measure_ok(path);
	}
}

/* A folder so deep that the path of a file in it is as long as can be. Returns the length with the last slash. */
static int deep_folder(const char *top, char *path)
{
	int len = strlen(top);

	strcpy(path, top);
	while (len + 1 + NAME_MAX < PATH_MAX - 2) {
		path[len++] = '/';
		fill(path + len, 'd', NAME_MAX);
		len += NAME_MAX;
		mkdir(path, 0755);
	}
	path[len++] = '/';
	return len;
}

/* Paths of up to PATH_MAX, with the NUL; longer ones can be reached too, but IMA has only their last name. */
static void deep_files(void)
{
	char path[2 * PATH_MAX], name[NAME_MAX + 1];
	int len = deep_folder(RAMFS, path), here, i;

	for (i = 0; i < 20; i++) {
		fill(path + len, 'e', PATH_MAX - 1 - len - i);
		make_file(path, i, i);
		measure_ok(path);
		expect(path, ORDINARY, 1, 0);
	}
	path[len] = 0;
	here = open(".", O_RDONLY | O_DIRECTORY);
	fill(name, 'g', NAME_MAX);
	if (chdir(path) || mkdir(name, 0755) || chdir(name))
		printf("# folder that is deeper than PATH_MAX: %s\n", strerror(errno));
	for (i = 0; i < 5; i++) {
		sprintf(name, "deeper than PATH_MAX %d", i);
		make_file(name, 100, i);
		measure_ok(name);
		expect(name, ORDINARY, 1, 0);
	}
	if (fchdir(here))
		printf("# back: %s\n", strerror(errno));
	close(here);
}

/* Entries that are equal although the files are not the same, and the other way round. */
static void equal_files(void)
{
	char path[64], other[64];
	int i;

	for (i = 0; i < 20; i++) {
		/* The same name in the list, and the same contents: one entry. */
		sprintf(path, RAMFS "/same name %d", i);
		sprintf(other, RAMFS "/same_name_%d", i);
		make_file(path, 300, i);
		make_file(other, 300, i);
		measure_ok(path);
		measure_ok(other);
		expect(path, ORDINARY, 1, 0);
		/* The same name, new contents: two. */
		sprintf(path, RAMFS "/changed%d", i);
		make_file(path, 300, i);
		measure_ok(path);
		make_file(path, 300, i + 1000);
		measure_ok(path);
		expect(path, ORDINARY, 2, 0);
		/* Another name of a file that is measured: none. */
		sprintf(other, RAMFS "/link%d", i);
		if (link(path, other))
			printf("# link: %s\n", strerror(errno));
		measure_ok(other);
	}
}

static int copy(const char *from, const char *to)
{
	char block[65536];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT, 0755);
	ssize_t len = -1;

	while (in >= 0 && out >= 0 && (len = read(in, block, sizeof(block))) > 0)
		if (write(out, block, len) != len)
			break;
	close(in);
	close(out);
	return len;
}

/* Files that are run, not read. Returns how many did not run. */
static int programs(void)
{
	char path[64], *argv[] = { "true", NULL };
	int i, status, failed = 0;

	for (i = 0; i < 6; i++) {
		sprintf(path, RAMFS "/program%d", i);
		if (i < 4) {
			failed += copy("/bin/busybox", path) != 0;
		} else {
			int fd = open(path, O_WRONLY | O_CREAT, 0755);

			failed += dprintf(fd, "#!/bin/true\n# %d\n", i) < 0;
			close(fd);
		}
		expect(path, ORDINARY, 1, 0);
		argv[0] = "true";
		if (!fork()) {
			execv(path, argv);
			_exit(127);
		}
		status = -1;
		wait(&status);
		failed += status != 0;
	}
	return failed;
}

/* Files that are read and written at the same time. */
static void violations(void)
{
	char path[64];
	int i, one, two;

	for (i = 0; i < VIOLATIONS; i++) {
		/* Time of measure, time of use. */
		sprintf(path, RAMFS "/written while open for reading %d", i);
		make_file(path, 100, i);
		one = open(path, O_RDONLY);
		two = open(path, O_WRONLY);
		close(two);
		close(one);
		expect(path, ORDINARY, 1, 1);
		/* Open writers. The second reader changes nothing. */
		sprintf(path, RAMFS "/read while open for writing %d", i);
		make_file(path, 100, i);
		one = open(path, O_RDWR);
		measure_ok(path);
		measure_ok(path);
		close(one);
		expect(path, ORDINARY, 1, 1);
	}
}

static int load_policy(void)
{
	static const char * const rules[] = {
		"measure func=FILE_CHECK mask=^MAY_READ fsmagic=0x01021994 fowner=1000 template=ima-sig\n",
		"measure func=FILE_CHECK mask=^MAY_READ fsmagic=0x858458f6\n",
		"measure func=BPRM_CHECK fsmagic=0x858458f6\n",
		/* A memfd is on tmpfs, too, and so may be the root folder, of which nothing else shall be measured. */
		"measure func=BPRM_CHECK fsmagic=0x01021994 fowner=1001\n",
		"measure func=MODULE_CHECK fsmagic=0x01021994 fowner=1001\n",
		"measure func=KEXEC_CMDLINE template=ima-buf\n",
	};
	int fd = open(IMA "policy", O_WRONLY), ret = 0;
	unsigned int i;

	if (fd < 0)
		return -errno;
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (!ret && write(fd, rules[i], strlen(rules[i])) < 0)
			ret = -errno;
	close(fd);
	return ret;
}

/* Files with a signature, or what looks like one. Returns 0 or -errno. */
static int signed_files(void)
{
	struct expected *new;
	char path[PATH_MAX];
	int i, j, len, ret = 0;

	mkdir(TMPFS, 0755);
	if (mount("tmpfs", TMPFS, "tmpfs", 0, NULL))
		return -errno;
	for (i = 0; i < SIGNED; i++) {
		unsigned char *sig = calloc(1, 4096);

		/* The last has a record as long as can be: a signature of a page, and a path of another one. */
		sprintf(path, TMPFS "/signed file %d", i);
		if (i == SIGNED - 1) {
			len = deep_folder(TMPFS, path);
			fill(path + len, 's', PATH_MAX - 1 - len);
		}
		make_file(path, size_of(i), i);
		len = i == SIGNED - 1 ? 4096 : i * 13 % 1200;
		for (j = 0; j < len; j++)
			sig[j] = j * i + j / 7;
		if (len > 0)
			sig[0] = 3;	/* EVM_IMA_XATTR_DIGSIG */
		if (len > 2) {
			sig[1] = 2;	/* the version that says */
			sig[2] = i % 3 ? 4 : 2;	/* that the digest is SHA-256 or SHA-1 */
		}
		if (len && setxattr(path, "security.ima", sig, len, 0) && !ret)
			ret = -errno;
		if (chown(path, 1000, 0) && !ret)
			ret = -errno;
		measure_ok(path);
		new = expect(path, "ima-sig", 1, 0);
		new->last = sig;
		new->last_len = len;
	}
	return ret;
}

/* The name of a memfd, as long as can be, with what the name of a file seldom has. */
static void memfd_name(char *name, int number)
{
	static const char odd[] = " kernel a\xff\xc3\xbc%s\x01'\"(deleted)";
	int len = sprintf(name, "%d\n" SECOND_LINE, number);

	while (len + (int)sizeof(odd) < MEMFD_NAME)
		len += sprintf(name + len, "%s", odd);
	fill(name + len, 'm', MEMFD_NAME - len);
}

/* A program and a module that are in no file, as containers start them. Returns 0 or -errno. */
static int memfds(void)
{
	char name[MEMFD_NAME + 1], path[MEMFD_NAME + 32], self[32], *argv[] = { "true", NULL }, *envp[] = { NULL };
	int i, fd, ro, status, ret = 0;

	for (i = 0; i < MEMFDS; i++) {
		memfd_name(name, i);
		fd = memfd_create(name, 0);
		if (fd < 0 || fchown(fd, 1001, -1))
			return -errno;
		/* There is no path, so the list has the name alone, without the last of its 255 characters. */
		sprintf(path, "memfd:%s", name);
		path[NAME_MAX - 1] = 0;
		expect(path, ORDINARY, 1, 0);
		sprintf(self, "/proc/self/fd/%d", fd);
		/* Of several, some are programs. What is no module is measured, and refused after that. */
		if (i % 2) {
			dprintf(fd, "no module %d", i);
			if (!syscall(SYS_finit_module, fd, "", 0) || errno != ENOEXEC)
				ret = ret ?: -EINVAL;
		} else if (copy("/bin/busybox", self)) {
			ret = ret ?: -EIO;
		} else {
			/* One more byte for each, or they would be equal. */
			lseek(fd, 0, SEEK_END);
			dprintf(fd, "%d", i);
			/* By a descriptor that only reads, as from a file. */
			ro = open(self, O_RDONLY);
			close(fd);
			fd = ro;
			if (!fork()) {
				fexecve(fd, argv, envp);
				_exit(127);
			}
			status = -1;
			wait(&status);
			if (status)
				ret = ret ?: -ECHILD;
		}
		close(fd);
	}
	return ret;
}

/* Command lines of a next kernel. Returns 0 or -errno. */
static int buffers(void)
{
	/* The kernel takes 2047 with the NUL, but 30 are for a word that a crash kernel would need. */
	static const int lengths[] = { 1, 2, 31, 255, 256, 1000, 1023, 2016 };
	int kernel = open("/boot/bzImage", O_RDONLY), len, ret = 0;
	struct expected *new;
	unsigned int i;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		char *line = calloc(1, 2048);

		for (len = 0; len < lengths[i]; len++)
			line[len] = 'a' + (len + i) % 26;
		if (syscall(SYS_kexec_file_load, kernel, -1, len + 1, line, KEXEC_FILE_NO_INITRAMFS) && !ret)
			ret = -errno;
		new = expect("kexec-cmdline", "ima-buf", 1, 0);
		new->last = (unsigned char *)line;
		new->last_len = len;
	}
	if (syscall(SYS_kexec_file_load, -1, -1, 0, NULL, KEXEC_FILE_UNLOAD) && !ret)
		ret = -errno;
	close(kernel);
	return ret;
}

/* Some have the same name, but then the lengths of their ends differ. */
static int compare(const void *one, const void *two)
{
	const struct expected *a = one, *b = two;
	int ret = strcmp(a->name, b->name);

	return ret ? ret : a->last_len - b->last_len;
}

/* Count what is in the list, entry by entry. Returns how many are not as expected. */
static int compare_list(const unsigned char *data, size_t len, int *templates, int *zero, long *largest)
{
	const unsigned char *at = data, *end = data + len;
	struct expected key, *want;
	struct record record;
	int wrong = 0, i;

	while (at < end && (at = take_record(at, end, SHA1_SIZE, &record))) {
		templates[0] += is_template(&record, ORDINARY);
		templates[1] += is_template(&record, "ima-sig");
		templates[2] += is_template(&record, "ima-buf");
		*zero += is_violation(&record);
		if (at - record.digest > *largest)
			*largest = at - record.digest;
		/* From before the first process. */
		if (!strcmp(record.name, "boot_aggregate") || !strcmp(record.name, "kernel_version"))
			continue;
		key.name = (char *)record.name;
		key.last_len = record.last_len;
		want = bsearch(&key, table, entries, sizeof(*table), compare);
		if (want && is_violation(&record))
			want->found_violations++;
		else if (want && is_template(&record, want->template) &&
			 (!want->last || !memcmp(want->last, record.last, record.last_len)))
			want->found++;
		else if (wrong++ < 5)
			printf("# not expected: %.*s %.100s\n", record.template_len, record.template, record.name);
	}
	for (i = 0; i < entries; i++)
		if (table[i].found != table[i].records || table[i].found_violations != table[i].violations)
			if (wrong++ < 5)
				printf("# %d entries and %d violations, not %d and %d: %.100s\n", table[i].found,
				       table[i].found_violations, table[i].records, table[i].violations, table[i].name);
	return wrong;
}

/* How many entries share their bucket of IMA's hash table, which goes by the digest of the default algorithm. */
static int collisions(void)
{
	unsigned short bucket[1024] = { 0 };
	const unsigned char *at, *end;
	struct record record;
	int shared = 0, i;
	size_t len;

	at = read_whole(BINARY_LIST "_sha256", &len);
	end = at + len;
	while (at < end && (at = take_record(at, end, SHA256_SIZE, &record)))
		bucket[(record.digest[0] | record.digest[1] << 8) % 1024]++;
	for (i = 0; i < 1024; i++)
		if (bucket[i] > 1)
			shared += bucket[i];
	return shared;
}

/* Lines of an ascii list, without those that are the second half of a name; -1 if one is not well formed. */
static int ascii_lines(const char *path)
{
	size_t len;
	char *line = (char *)read_whole(path, &len), *next;
	int lines = 0;

	for (; *line; line = next + 1) {
		next = strchr(line, '\n');
		if (!next || !good_line(line, next - line)) {
			printf("# not well formed: %.200s\n", line);
			return -1;
		}
		lines += strncmp(line, SECOND_LINE, strlen(SECOND_LINE)) != 0;
	}
	return lines;
}

static void judge(void)
{
	int templates[3] = { 0 }, zero = 0, wrong, shared;
	long count = read_number(IMA "runtime_measurements_count"), found, largest = 0;
	unsigned char *data;
	size_t len;

	data = read_whole(BINARY_LIST, &len);
	found = count_records(data, len, SHA1_SIZE);
	ktap_ok(found == count, "files_binary_list_is_whole", "%ld records, but a count of %ld", found, count);
	found = ascii_lines(ASCII_LIST);
	ktap_ok(found == count, "files_ascii_list_is_whole", "%ld lines, but a count of %ld", found, count);
	found = ascii_lines(ASCII_LIST "_sha256");
	ktap_ok(found == count, "files_ascii_list_of_sha256_is_whole", "%ld lines, but a count of %ld", found, count);
	qsort(table, entries, sizeof(*table), compare);
	wrong = compare_list(data, len, templates, &zero, &largest);
	ktap_ok(largest > 2 * 4096, "files_record_of_more_than_two_pages", "the largest has %ld bytes", largest);
	ktap_ok(!wrong, "files_each_is_in_the_list_once", "%d are not", wrong);
	found = read_number(IMA "violations");
	ktap_ok(found == zero && zero == 2 * VIOLATIONS, "files_violations_agree",
		"%d in the list, a count of %ld, %d were made", zero, found, 2 * VIOLATIONS);
	ktap_ok(templates[0] && templates[1] >= SIGNED && templates[2] >= 5, "files_all_templates",
		"%d ima-ng, %d ima-sig, %d ima-buf", templates[0], templates[1], templates[2]);
	shared = collisions();
	ktap_ok(shared >= (count > 1000 ? 1000 : 100), "files_share_buckets", "only %d of %ld", shared, count);
	printf("# %ld entries: %d ima-ng, %d ima-sig, %d ima-buf; %d violations; %d share a bucket\n", count,
	       templates[0], templates[1], templates[2], zero, shared);
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 2100, ret;

	ima_mounts();
	common_files(count);
	deep_files();
	equal_files();
	ret = programs();
	ktap_ok(!ret, "files_programs_run", "%d did not", ret);
	violations();
	ret = load_policy();
	ktap_ok(!ret, "files_policy", "%s", strerror(-ret));
	ret = signed_files();
	ktap_ok(!ret, "files_signed", "%s", strerror(-ret));
	ret = memfds();
	ktap_ok(!ret, "files_memfds", "%s", strerror(-ret));
	ret = buffers();
	ktap_ok(!ret, "files_command_lines", "kexec_file_load: %s", strerror(-ret));
	ktap_ok(!wrong_opens, "files_open", "%d did not", wrong_opens);
	judge();
	return ktap_end();
}
