// SPDX-License-Identifier: GPL-2.0
/*
 * Protected memory under load, by the module of the same name: prmem_load[:HOW]
 *
 *   SECONDS   writes of all kinds
 *   hotplug   the same while CPUs go and come
 *   oom       allocations while another process takes all memory, and is killed
 *   pieces    allocations when no 2 MiB of memory are in one piece
 *   crumbs    the same when what is left is too small for anything
 *   static    a module that has a write-rare variable, which must not load
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>

#include "kernel.h"

#define STATS DEBUGFS "prmem/stats"
/* Pieces of 2 MiB and more: the orders of /proc/buddyinfo from this one on. */
#define BLOCK_ORDER 9

/* One run of the module, as one case; the reasons of a failure are in the log. */
static void stress(const char *name, const char *params)
{
	int ret = load_module("prmem_load", params);

	ktap_ok(!ret, name, "prmem_load %s: %s", params, strerror(-ret));
	if (!ret)
		unload_module("prmem_load");
}

static long stat_of(const char *name)
{
	return number_in_file(STATS, name);
}

/* For as long as it takes to have all CPUs down and up some times. */
static void writes(const int *enough)
{
	int ret;

	do {
		/* It fails unless its threads have written in each way. */
		ret = load_module("prmem_load", "seconds=12");
		if (ret)
			fprintf(stderr, "prmem_load: %s\n", strerror(-ret));
		else
			unload_module("prmem_load");
	} while (!ret && !__atomic_load_n(enough, __ATOMIC_RELAXED));
	_exit(!!ret);
}

static void hotplug(void)
{
	int *enough = mmap(NULL, sizeof(*enough), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int rounds = 0, cpu = 0, ret = 0, status = 0;
	pid_t pid;

	if (enough == MAP_FAILED) {
		ktap_ok(0, "offline_online", "no memory");
		return;
	}
	pid = fork();
	if (!pid)
		writes(enough);
	/* With all CPUs down and up again, or the test ends in the middle of it. */
	while (!ret && !waitpid(pid, &status, WNOHANG)) {
		ret = set_all_online(0, &cpu);
		ret = ret ?: set_all_online(1, &cpu);
		__atomic_store_n(enough, ++rounds >= 3, __ATOMIC_RELAXED);
	}
	if (ret) {
		__atomic_store_n(enough, 1, __ATOMIC_RELAXED);
		waitpid(pid, &status, 0);
	}
	ktap_ok(!ret, "offline_online", "round %d, CPU %d: %s", rounds, cpu, strerror(-ret));
	ktap_ok(rounds >= 3, "rounds", "only %d", rounds);
	ktap_ok(!status, "writes_meanwhile", "status %#x", status);
	unload_module("prmem_load");
	/* On CPUs that are new. */
	stress("writes_afterwards", "seconds=2");
}

static void set_oom_score(const char *score)
{
	write_file("/proc/self/oom_score_adj", score);
}

/* Take memory until killed, again and again; returns how often, when told to stop. */
static int eat(int stop)
{
	int kills = 0, status;
	char byte;
	pid_t pid;

	while (read(stop, &byte, 1) < 0) {
		pid = fork();
		if (!pid) {
			size_t size = 1UL << 20;
			char *memory;

			set_oom_score("1000");
			for (;;) {
				memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
					      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
				if (memory != MAP_FAILED)
					memset(memory, 1, size);
			}
		}
		waitpid(pid, &status, 0);
		kills += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	}
	return kills;
}

/* A process that can be killed when all memory is used up by the kernel; returns its pid. */
static pid_t victim(void)
{
	size_t size = 16UL << 20;
	pid_t pid = fork();
	char *memory;

	if (!pid) {
		set_oom_score("1000");
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory != MAP_FAILED)
			memset(memory, 1, size);
		for (;;)
			pause();
	}
	return pid;
}

static void oom(void)
{
	long before, after;
	int stop[2], status;
	pid_t pid;

	set_oom_score("-1000");
	if (pipe2(stop, O_NONBLOCK)) {
		ktap_ok(0, "pipe", "%s", strerror(errno));
		return;
	}
	pid = fork();
	if (!pid) {
		close(stop[1]);
		_exit(eat(stop[0]));
	}
	stress("fill_while_others_do", "fill=16384 bursts=2");
	close(stop[1]);
	waitpid(pid, &status, 0);
	ktap_ok(WIFEXITED(status) && WEXITSTATUS(status) > 0, "killed", "nobody, status %#x", status);

	before = stat_of("no_memory");
	pid = victim();
	stress("fill_all_memory", "fill=1000000");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	after = stat_of("no_memory");
	ktap_ok(after > before, "failed_allocations", "before %ld, after %ld", before, after);

	/* There is memory again, and nothing is broken. */
	stress("fill_afterwards", "fill=2048 need=2048");
	stress("writes_afterwards", "seconds=2");
}

/* How many free pieces of at least 2 << @order pages /proc/buddyinfo has. */
static long free_pieces(int order)
{
	char text[8192], *line, *save = NULL, *word, *next;
	long sum = 0;
	int i;

	if (read_file("/proc/buddyinfo", text, sizeof(text)) <= 0)
		return -1;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		fprintf(stderr, "prmem_load: %s\n", line);
		word = strstr(line, "zone");
		if (!word)
			continue;
		/* The name of the zone, then the numbers. */
		word += strlen("zone") + strspn(word + strlen("zone"), " ");
		word += strcspn(word, " ");
		for (i = 0; ; i++, word = next) {
			long n = strtol(word, &next, 10);

			if (next == word)
				break;
			if (i >= order)
				sum += n;
		}
	}
	return sum;
}

static void pieces(void)
{
	long small = stat_of("block_small"), splits = stat_of("splits_2m"), bytes, n;

	stress("before", "fill=2048 need=2048");
	bytes = stat_of("block_bytes");
	n = load_module("fragment", "every=64");
	ktap_ok(!n, "fragment", "%s", strerror(-n));
	n = free_pieces(BLOCK_ORDER);
	ktap_ok(!n, "no_free_block", "%ld of them", n);
	stress("fill", "fill=2048 need=2048");
	small = stat_of("block_small") - small;
	splits = stat_of("splits_2m") - splits;
	fprintf(stderr, "prmem_load: %ld small pieces, %ld splits\n", small, splits);
	ktap_ok(small > 0, "small_pieces", "%ld", small);
	/* Each is a split, unless it is where one has been before; none is worse than that. */
	ktap_ok(splits > 0 && splits <= small, "splits", "%ld of %ld pieces", splits, small);
	stress("writes", "seconds=3");
	ktap_ok(stat_of("block_bytes") <= bytes, "given_back", "%ld bytes, before %ld",
		stat_of("block_bytes"), bytes);
	unload_module("fragment");
}

static void crumbs(void)
{
	long before = stat_of("no_memory"), n = load_module("fragment", "every=8");

	ktap_ok(!n, "fragment", "%s", strerror(-n));
	n = free_pieces(4);
	fprintf(stderr, "prmem_load: %ld free pieces of 64 KiB or more\n", n);
	/* What is free already may be used up; then there is no more. */
	stress("fill", "fill=1000000");
	ktap_ok(stat_of("no_memory") > before, "failed_allocations", "before %ld, after %ld", before,
		stat_of("no_memory"));
	unload_module("fragment");
	stress("fill_afterwards", "fill=2048 need=2048");
}

static void static_module(void)
{
	int ret = load_module("prmem_static", "");

	ktap_ok(ret == -ENOEXEC, "refused", "%s", ret ? strerror(-ret) : "it loads");
	ktap_ok(in_kernel_log("prmem_static: has __wr_after_init data"), "message", "not in the log");

	/* Of which it has nothing else. */
	ret = load_module("prmem_static_cache", "");
	ktap_ok(ret == -ENOEXEC, "cache_refused", "%s", ret ? strerror(-ret) : "it loads");
	ktap_ok(in_kernel_log("prmem_static_cache: has __wr_after_init data"), "cache_message",
		"not in the log");
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 && argv[1] ? argv[1] : "5";
	char params[64];

	if (!strcmp(how, "hotplug")) {
		hotplug();
	} else if (!strcmp(how, "oom")) {
		oom();
	} else if (!strcmp(how, "pieces")) {
		pieces();
	} else if (!strcmp(how, "crumbs")) {
		crumbs();
	} else if (!strcmp(how, "static")) {
		static_module();
	} else {
		snprintf(params, sizeof(params), "seconds=%d", atoi(how));
		stress("writes", params);
	}
	return ktap_end();
}
