// SPDX-License-Identifier: GPL-2.0
/*
 * samples/temp_mm and samples/prmem, what is built in: limits that change in windows. Then somebody stores to each as to
 * any memory, dies, and has changed nothing. With sample_limits:off, where caches are not protected, that works for the
 * object of the cache, as for any memory.
 */
#include "kernel.h"

#define TEMP_MM	DEBUGFS "temp_mm_limits"
#define PRMEM	DEBUGFS "prmem_limits"
#define ROUNDS	50

static bool is(const char *path, const char *what)
{
	char text[256];

	read_file(path, text, sizeof(text));
	return !strcmp(text, what);
}

/* This process would die of it, so a child does it. */
static void forget(const char *path, const char *name, const char *off)
{
	char before[256], what[64];
	int status = 0;
	pid_t pid;

	read_file(path, before, sizeof(before));
	pid = fork();
	if (!pid)
		_exit(!!write_file(path, "forget 300"));
	waitpid(pid, &status, 0);
	snprintf(what, sizeof(what), "%s_forgotten_store_dies", name);
	if (off) {
		ktap_ok(pid > 0 && !status && is(path, off), "off_store", "wait status %#x", status);
		return;
	}
	ktap_ok(pid > 0 && WIFSIGNALED(status), what, "wait status %#x", status);
	snprintf(what, sizeof(what), "%s_forgotten_store_changes_nothing", name);
	ktap_ok(is(path, before), what, "it does");
}

int main(int argc, char **argv)
{
	const char *off = argc > 1 && argv[1] && !strcmp(argv[1], "off") ?
		"users 300\nfiles 300\ndefault 400\nchanges 5\n" : NULL;
	int err, i;

	ktap_ok(is(TEMP_MM, "users 100\nfiles 1000\nchanges 0\n"), "temp_mm_at_first", "it is something else");
	err = write_file(TEMP_MM, "users 200");
	ktap_ok(!err && is(TEMP_MM, "users 200\nfiles 1000\nchanges 1\n"), "temp_mm_copy", "%s", strerror(-err));
	err = write_file(TEMP_MM, "exchange");
	ktap_ok(!err && is(TEMP_MM, "users 1000\nfiles 200\nchanges 2\n"), "temp_mm_open_window", "%s", strerror(-err));
	/* An even number, on one CPU or another. */
	for (err = 0, i = 0; i < ROUNDS; i++)
		err = err ?: write_file(TEMP_MM, "exchange");
	ktap_ok(!err && is(TEMP_MM, "users 1000\nfiles 200\nchanges 52\n"), "temp_mm_many", "%s", strerror(-err));
	err = write_file(TEMP_MM, "else 1");
	ktap_ok(err == -EINVAL && is(TEMP_MM, "users 1000\nfiles 200\nchanges 52\n"), "temp_mm_bad_input", "%s", strerror(-err));
	forget(TEMP_MM, "temp_mm", NULL);

	ktap_ok(is(PRMEM, "users 0\nfiles 0\ndefault 100\nchanges 0\n"), "prmem_at_first", "it is something else");
	err = write_file(PRMEM, "users 200") ?: write_file(PRMEM, "files 2000");
	ktap_ok(!err && is(PRMEM, "users 200\nfiles 2000\ndefault 100\nchanges 2\n"), "prmem_object", "%s", strerror(-err));
	err = write_file(PRMEM, "both 300");
	ktap_ok(!err && is(PRMEM, "users 300\nfiles 300\ndefault 100\nchanges 3\n"), "prmem_fields", "%s", strerror(-err));
	err = write_file(PRMEM, "default 400");
	ktap_ok(!err && is(PRMEM, "users 300\nfiles 300\ndefault 400\nchanges 4\n"), "prmem_variable", "%s", strerror(-err));
	err = write_file(PRMEM, "else 1");
	ktap_ok(err == -EINVAL && is(PRMEM, "users 300\nfiles 300\ndefault 400\nchanges 4\n"), "prmem_bad_input", "%s", strerror(-err));
	forget(PRMEM, "prmem", off);
	return ktap_end();
}
