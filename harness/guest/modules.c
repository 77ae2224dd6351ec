// SPDX-License-Identifier: GPL-2.0
/*
 * Modules come and go, with code that is patched as it is loaded, while another process makes the kernel write its
 * text and a third one switches the tracer of all functions: modules[:ROUNDS]
 */
#include "kernel.h"
#include "poking.h"

/* The second one has static keys of the first. */
#define BASE	"test_static_key_base"
#define USER	"test_static_keys"

static long rounds_done, *traces;

static int go_round(const char **what)
{
	int ret;

	*what = "load " BASE;
	ret = load_module(BASE, "");
	if (ret)
		return ret;
	*what = "load " USER;
	ret = load_module(USER, "");
	if (!ret) {
		*what = "unload " USER;
		ret = unload_module(USER);
	}
	if (!ret) {
		*what = "unload " BASE;
		ret = unload_module(BASE);
	}
	rounds_done += !ret;
	return ret;
}

static void trace_forever(void)
{
	for (;;) {
		if (write_file(TRACING "current_tracer", "function") || write_file(TRACING "current_tracer", "nop"))
			_exit(1);
		__atomic_add_fetch(traces, 1, __ATOMIC_RELAXED);
		/* It has the lock that the others need for some seconds each time. */
		usleep(500000);
	}
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 && argv[1] ? atoi(argv[1]) : 30, round, ret = 0, status = 0;
	struct poker poker;
	const char *what = "";
	long poked, traced;
	pid_t tracer;
	bool lived;

	traces = mmap(NULL, sizeof(*traces), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (traces == MAP_FAILED || !start_poker(&poker, false)) {
		ktap_ok(0, "begin", "no poker");
		return ktap_end();
	}
	tracer = fork();
	if (!tracer)
		trace_forever();
	poked = pokes_of(&poker);
	for (round = 0; round < rounds && !ret; round++)
		ret = go_round(&what);
	/* The tracer waits for grace periods; it gets its turn. */
	for (round = 0; round < 200 && !__atomic_load_n(traces, __ATOMIC_RELAXED); round++)
		usleep(100000);
	poked = pokes_of(&poker) - poked;
	lived = stop_poker(&poker);
	if (tracer <= 0 || waitpid(tracer, &status, WNOHANG))
		traced = -1;
	else
		traced = *traces;
	if (tracer > 0 && traced >= 0) {
		kill(tracer, SIGKILL);
		waitpid(tracer, &status, 0);
	}
	write_file(TRACING "current_tracer", "nop");
	printf("# %ld rounds, %ld pokes, %ld times the tracer\n", rounds_done, poked, traced);
	ktap_ok(!ret && rounds_done == rounds, "load_unload", "round %ld, %s: %s", rounds_done, what, strerror(-ret));
	ktap_ok(lived && poked > 0, "poke_meanwhile", "%ld pokes, status %#x", poked, poker.status);
	ktap_ok(traced > 0, "trace_meanwhile", "%ld times, status %#x", traced, status);
	/* No int3 was left behind: what was poked still does what it did. */
	ret = poke_static_key(&what);
	ktap_ok(!ret, "poke_afterwards", "%s", what);
	return ktap_end();
}
