// SPDX-License-Identifier: GPL-2.0
/*
 * What is measured while protected memory is full is on the list all the same, and is protected later.
 *
 *   ima_full:begin    takes all protected memory, by a module, and has files measured
 *   ima_full:end      gives it back, and has one more file measured
 *   ima_full:pieces   has files measured while there is no free memory in one piece of 64 KiB or more
 *   ima_full:grow     has 100,000 small files measured, as a machine with many containers does in the end
 *   ima_full:many     has more files measured than 1 GiB has room for, by their names: each is unlinked at once
 */
#define _GNU_SOURCE
#include <limits.h>

#include "ima.h"
#include "kernel.h"

#define COUNT IMA "runtime_measurements_count"
#define UNPROTECTED IMA "runtime_measurements_unprotected"
#define FILES 300
/* IMA protects 64 of those that it has not protected yet with each measurement. */
#define ROUNDS (FILES / 64 + 2)
#define MANY 262000
#define GROW 100000
#define STATS DEBUGFS "prmem/stats"

/* File @number of the step @what, with a name that is as long as it can be for some. */
static int new_file(const char *what, int number)
{
	char path[PATH_MAX];
	int len = sprintf(path, RAMFS "/%s%d-", what, number), ret;

	if (number % 3 == 0) {
		memset(path + len, 'x', NAME_MAX - len);
		path[NAME_MAX] = 0;
	}
	ret = make_file(path, 100 + number, 0x1234 + number * 77 + what[0]);
	return ret ?: measure(path);
}

/* How many of the files of the step @what the list has, in the order in which they were measured. */
static int listed(const char *what, int count)
{
	size_t len;
	unsigned char *data = read_whole(BINARY_LIST, &len);
	const unsigned char *at = data, *end = data + len;
	struct record record;
	int found = 0;
	char name[64];

	while (at && at < end && found < count) {
		at = take_record(at, end, SHA1_SIZE, &record);
		snprintf(name, sizeof(name), RAMFS "/%s%d-", what, found);
		found += at && !strncmp(record.name, name, strlen(name));
	}
	free(data);
	return found;
}

static long measure_all(const char *what, int count)
{
	long before = read_number(COUNT);
	int i, ret = 0;

	for (i = 0; i < count && !ret; i++)
		ret = new_file(what, i);
	ktap_ok(!ret, "open", "file %d: %s", i, strerror(-ret));
	ktap_ok(read_number(COUNT) - before == count, "counted", "%ld and then %ld", before, read_number(COUNT));
	ret = listed(what, count);
	ktap_ok(ret == count, "listed", "%d of %d", ret, count);
	return read_number(UNPROTECTED);
}

static void begin(void)
{
	long left;
	int ret = load_module("prmem_drought", "");

	ktap_ok(!ret, "module", "prmem_drought: %s", strerror(-ret));
	left = measure_all("full", FILES);
	ktap_ok(left == FILES, "unprotected", "%ld of %d", left, FILES);
	ktap_ok(in_kernel_log("a measurement can't be protected yet"), "message", "not in the log");
}

static void end(void)
{
	long left = -1;
	int i;

	unload_module("prmem_drought");
	for (i = 0; i < ROUNDS; i++)
		new_file("end", i);
	left = read_number(UNPROTECTED);
	ktap_ok(!left, "all_protected", "%ld are not", left);
	ktap_ok(listed("full", FILES) == FILES, "still_listed", "%d of %d", listed("full", FILES), FILES);
	ktap_ok(listed("end", ROUNDS) == ROUNDS, "listed", "%d of %d", listed("end", ROUNDS), ROUNDS);
}

static void pieces(void)
{
	long left;
	int ret = load_module("fragment", "every=8");

	ktap_ok(!ret, "fragment", "%s", strerror(-ret));
	left = measure_all("pieces", 4 * FILES);
	ktap_ok(!left, "protected", "%ld of %d are not", left, 4 * FILES);
	unload_module("fragment");
}

/* Files whose names are nearly as long as can be: their records take more than 1 GiB. */
static void many(void)
{
	char path[PATH_MAX] = RAMFS;
	long before = read_number(COUNT), i, left;
	int len = strlen(path), ret = 0;
	FILE *file;

	while (len + 200 + 32 < PATH_MAX) {
		path[len++] = '/';
		memset(path + len, 'x', 200);
		len += 200;
		path[len] = 0;
		mkdir(path, 0755);
	}
	for (i = 0; i < MANY && !ret; i++) {
		sprintf(path + len, "/%ld", i);
		file = fopen(path, "w");
		ret = !file || fprintf(file, "%ld", i) < 0 || fclose(file) || measure(path) || unlink(path) ? errno : 0;
	}
	ktap_ok(!ret, "open", "file %ld: %s", i, strerror(ret));
	ktap_ok(read_number(COUNT) - before == MANY, "counted", "%ld and then %ld", before, read_number(COUNT));
	left = read_number(UNPROTECTED);
	ktap_ok(!left, "protected", "%ld are not", left);
	ktap_ok(!new_file("last", 0) && read_number(COUNT) - before == MANY + 1, "one_more", "%ld",
		read_number(COUNT) - before);
}

/* The pages that the list takes, and those of free slots and metadata beside it. */
static long pages_taken(void)
{
	return number_in_file(STATS, "pages") - number_in_file(STATS, "pages_free");
}

static void grow(void)
{
	long before = read_number(COUNT), taken, last = pages_taken(), first = 0, least = LONG_MAX, most = 0, i, left;
	char path[64];
	int ret = 0;

	for (i = 0; i < GROW && !ret; i++) {
		sprintf(path, RAMFS "/container/layer/%ld", i);
		if (!i) {
			mkdir(RAMFS "/container", 0755);
			mkdir(RAMFS "/container/layer", 0755);
		}
		ret = make_file(path, 32, i) ?: measure(path);
		/* What is measured is the list, not the files. */
		unlink(path);
		if ((i + 1) % (GROW / 10))
			continue;
		taken = pages_taken();
		printf("# %ld: %ld pages\n", i + 1, taken - last);
		least = taken - last < least ? taken - last : least;
		most = taken - last > most ? taken - last : most;
		first = first ?: taken - last;
		last = taken;
	}
	ktap_ok(!ret, "open", "file %ld: %s", i, strerror(-ret));
	ktap_ok(read_number(COUNT) - before == GROW, "counted", "%ld and then %ld", before, read_number(COUNT));
	/* 452 when this was written, with all metadata; make bench compares with the base. */
	ktap_ok(first > 0 && most * 4096 / (GROW / 10) < 470, "bytes_of_a_record", "%ld", most * 4096 / (GROW / 10));
	/* An area more or less. */
	ktap_ok(most - least <= 32, "linear", "%ld to %ld pages for as many files", least, most);
	left = read_number(UNPROTECTED);
	ktap_ok(!left, "protected", "%ld are not", left);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";

	ima_mounts();
	if (!strcmp(how, "begin"))
		begin();
	else if (!strcmp(how, "end"))
		end();
	else if (!strcmp(how, "pieces"))
		pieces();
	else if (!strcmp(how, "grow"))
		grow();
	else if (!strcmp(how, "many"))
		many();
	else
		ktap_ok(0, "argument", "begin, end, pieces, grow or many, not %s", how);
	return ktap_end();
}
