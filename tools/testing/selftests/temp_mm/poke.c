// SPDX-License-Identifier: GPL-2.0
/* Text poking by every way, for some seconds: poke[:SECONDS] */
#include "poking.h"

int main(int argc, char **argv)
{
	double budget = argc > 1 && argv[1] ? atof(argv[1]) : 2, end;
	const char *why = "";
	int i, rounds, ret;

	ksft_print_header();
	if (access(TRACING "kprobe_events", W_OK))
		ksft_exit_skip("needs root, tracefs at " TRACING ", and what config says\n");
	for (i = 0; i < POKE_WAYS; i++) {
		end = seconds_now() + budget / POKE_WAYS;
		rounds = 0;
		do {
			ret = poke_ways[i].way(&why);
			rounds++;
		} while (!ret && (seconds_now() < end || rounds < 2));
		printf("# %d rounds\n", rounds);
		ktap_ok(!ret, poke_ways[i].name, "%s: %s", why, strerror(-ret));
	}
	return ktap_end();
}
