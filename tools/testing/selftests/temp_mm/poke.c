// SPDX-License-Identifier: GPL-2.0
/* Text poking by every way, for some seconds: poke [SECONDS] */
#include "poking.h"

#define SCHEDSTATS "/proc/sys/kernel/sched_schedstats"

/* What says that there is no such way on this machine. */
static bool is_missing(int err)
{
	return err == -ENOENT || err == -EPERM || err == -EACCES || err == -EBUSY ||
		err == -EOPNOTSUPP;
}

int main(int argc, char **argv)
{
	double budget = argc > 1 && argv[1] ? atof(argv[1]) : 2, end;
	const char *why = "";
	char reason[256], stats[16];
	int i, rounds, ret;

	ksft_print_header();
	if (access(TRACING "kprobe_events", W_OK))
		ksft_exit_skip("needs root, tracefs at " TRACING ", and what config says\n");
	read_file(SCHEDSTATS, stats, sizeof(stats));
	for (i = 0; i < POKE_WAYS; i++) {
		end = seconds_now() + budget / POKE_WAYS;
		rounds = 0;
		do {
			ret = poke_ways[i].way(&why);
			rounds++;
		} while (!ret && (seconds_now() < end || rounds < 2));
		printf("# %d rounds\n", rounds);
		snprintf(reason, sizeof(reason), "%s: %s", why, strerror(-ret));
		if (rounds == 1 && is_missing(ret))
			ktap_skip(poke_ways[i].name, reason);
		else
			ktap_ok(!ret, poke_ways[i].name, "%s", reason);
	}
	/* As it was before. */
	write_file(SCHEDSTATS, stats);
	append_file(TRACING "kprobe_events", "-:poking/test_poke");
	return ktap_end();
}
