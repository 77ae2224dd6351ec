// SPDX-License-Identifier: GPL-2.0
/*
 * samples/prmem: an access control table. It is used, unloaded and loaded again; then somebody stores to it as to any
 * memory, dies, and has changed nothing. With sample_prmem:off, where nothing is protected, the store works.
 */
#include "kernel.h"

#define MODULE	"prmem_acl"
#define TABLE	"/sys/kernel/debug/prmem_acl"
#define USERS	200

static int change(const char *format, int uid, const char *rights)
{
	char text[64];

	snprintf(text, sizeof(text), format, uid, rights);
	return write_file(TABLE, text);
}

static char table[65536];

static bool table_is(const char *what)
{
	read_file(TABLE, table, sizeof(table));
	return !strcmp(table, what);
}

/* The first line is how many there are. */
static long users(void)
{
	return read_file(TABLE, table, sizeof(table)) > 0 ? atol(table) : -1;
}

int main(int argc, char **argv)
{
	bool off = argc > 1 && argv[1] && !strcmp(argv[1], "off");
	int i, err, status = 0;
	pid_t pid;

	err = load_module(MODULE, "");
	ktap_ok(!err, "load", "%s", strerror(-err));
	err = change("allow %d %s", 1000, "1");
	ktap_ok(!err && table_is("1\n1000 1\n"), "allow", "%s", strerror(-err));
	err = change("allow %d %s", 1000, "2");
	ktap_ok(!err && table_is("1\n1000 2\n"), "allow_else", "%s", strerror(-err));
	err = change("revoke %d", 1001, "");
	ktap_ok(err == -ENOENT && table_is("1\n1000 2\n"), "revoke_nobody", "%s", strerror(-err));
	err = change("revoke %d", 1000, "");
	ktap_ok(!err && table_is("0\n"), "revoke", "%s", strerror(-err));
	for (err = 0, i = 0; i < USERS; i++)
		err = err ?: change("allow %d %s", i, "3");
	ktap_ok(!err && users() == USERS, "many", "%s, %ld users", strerror(-err), users());
	err = unload_module(MODULE);
	ktap_ok(!err, "unload_with_entries", "%s", strerror(-err));
	err = load_module(MODULE, "") ?: change("allow %d %s", 1000, "1");
	ktap_ok(!err && table_is("1\n1000 1\n"), "load_again", "%s", strerror(-err));

	/* The mistake: this process would die of it, so a child makes it. */
	pid = fork();
	if (!pid)
		_exit(!!change("forget %d", 7, ""));
	waitpid(pid, &status, 0);
	if (off) {
		ktap_ok(pid > 0 && !status && table_is("7\n1000 1\n"), "off_store", "wait status %#x", status);
		return ktap_end();
	}
	ktap_ok(pid > 0 && WIFSIGNALED(status), "forgotten_store_dies", "wait status %#x", status);
	ktap_ok(table_is("1\n1000 1\n"), "forgotten_store_changes_nothing", "it does");
	return ktap_end();
}
