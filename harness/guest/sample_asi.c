// SPDX-License-Identifier: GPL-2.0
/*
 * samples/asi: a parser in a domain. With each fault policy it parses, and is then led beyond its input. With
 * sample_asi:off there are no domains, and the module says so.
 */
#include "kernel.h"

#define MODULE	"asi_parser"
#define PARSER	"/sys/kernel/debug/asi_parser"

static bool sum_is(const char *what)
{
	char text[64];

	read_file(PARSER, text, sizeof(text));
	return !strcmp(text, what);
}

/* Two strings, of one byte and of two. */
static int parse(void)
{
	return write_file(PARSER, "\001\005\002\001\001");
}

/* A string that says of itself that it is longer than it is. */
static int lead_astray(void)
{
	return write_file(PARSER, "\377\001");
}

/* The policies under which the parser gets an error. */
static void try_policy(const char *name, const char *parameter)
{
	int err = load_module(MODULE, parameter);
	char what[64];

	err = err ?: parse();
	snprintf(what, sizeof(what), "%s_parses", name);
	ktap_ok(!err && sum_is("7\n"), what, "%s", strerror(-err));
	err = lead_astray();
	snprintf(what, sizeof(what), "%s_led_astray", name);
	ktap_ok(err == -EFAULT && sum_is("7\n"), what, "%s", strerror(-err));
	err = parse();
	snprintf(what, sizeof(what), "%s_parses_again", name);
	ktap_ok(!err && sum_is("7\n"), what, "%s", strerror(-err));
	err = unload_module(MODULE);
	snprintf(what, sizeof(what), "%s_unload", name);
	ktap_ok(!err, what, "%s", strerror(-err));
}

int main(int argc, char **argv)
{
	int err, status = 0;
	pid_t pid;

	if (argc > 1 && argv[1] && !strcmp(argv[1], "off")) {
		err = load_module(MODULE, "");
		ktap_ok(err == -EOPNOTSUPP, "off", "%s", strerror(-err));
		return ktap_end();
	}

	err = load_module(MODULE, "fault=3");
	ktap_ok(err == -EINVAL, "bad_policy", "%s", strerror(-err));
	try_policy("abort", "fault=0");
	try_policy("preserve", "fault=1");
	err = load_module(MODULE, "fault=2") ?: parse();
	ktap_ok(!err && sum_is("7\n"), "kill_parses", "%s", strerror(-err));
	/* This process would die of it, so a child does. */
	pid = fork();
	if (!pid)
		_exit(!!lead_astray());
	waitpid(pid, &status, 0);
	ktap_ok(pid > 0 && WIFSIGNALED(status), "kill_led_astray", "wait status %#x", status);
	err = parse();
	ktap_ok(!err && sum_is("7\n"), "kill_parses_again", "%s", strerror(-err));
	return ktap_end();
}
