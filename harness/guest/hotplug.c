// SPDX-License-Identifier: GPL-2.0
/*
 * CPUs go and come while another process makes the kernel write its text:
 * hotplug[:ROUNDS]. One round takes every CPU but the first down and up again.
 */
#include "kernel.h"
#include "poking.h"

/* A few times each way. */
#define POKES 9

/* What was poked while CPUs went or came, and while they were away. */
static long meanwhile, away;

static int go_round(struct poker *poker, int *cpu)
{
	long begin = pokes_of(poker), down, up;
	int ret = set_all_online(0, cpu);

	down = pokes_of(poker);
	if (!ret && !wait_for_pokes(poker, POKES))
		return -ETIME;
	up = pokes_of(poker);
	ret = ret ?: set_all_online(1, cpu);
	away += up - down;
	meanwhile += down - begin + pokes_of(poker) - up;
	return ret;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 && argv[1] ? atoi(argv[1]) : 5, round, cpu = 1, ret = 0;
	struct poker poker;
	const char *why = "";
	bool lived;

	if (sysconf(_SC_NPROCESSORS_CONF) < 2) {
		ktap_skip("offline_online", "the machine has one CPU");
		return ktap_end();
	}
	if (!start_poker(&poker, false))
		ret = -ETIME;
	for (round = 0; round < rounds && !ret; round++)
		ret = go_round(&poker, &cpu);
	lived = stop_poker(&poker);
	printf("# %ld pokes while CPUs went and came, %ld while only one was there\n", meanwhile, away);
	ktap_ok(!ret, "offline_online", "round %d, CPU %d: %s", round, cpu, strerror(-ret));
	ktap_ok(lived && meanwhile > 0 && away >= rounds * POKES, "poke_meanwhile",
		"%ld and %ld pokes in %d rounds, the process ended with %#x", meanwhile, away, rounds, poker.status);
	/* The new CPUs must be able to do it, too. */
	ret = poke_static_key(&why);
	ktap_ok(!ret, "poke_afterwards", "%s", why);
	return ktap_end();
}
