// SPDX-License-Identifier: GPL-2.0
/*
 * A process with much state that a switch of the mm could lose makes the kernel
 * write its text in the context of that process: an LDT, rdpmc, a watchpoint, and LAM,
 * which no emulator has that this was tried in: task[:ROUNDS]
 */
#define _GNU_SOURCE
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <setjmp.h>
#include <stdint.h>
#include "kernel.h"
#include "poking.h"

#define ARCH_ENABLE_TAGGED_ADDR 0x4002
/* Entry 0 of the LDT, privilege 3. */
#define LDT_SELECTOR 0x07

static volatile uint64_t watched;
static int rounds = 20;

/* Without the tracer: it takes seconds, and the poke program covers it. */
static int poke_all(const char **why)
{
	int i, round, ret = 0;

	for (round = 0; round < rounds && !ret; round++)
		for (i = 0; i < POKE_WAYS && !ret; i++)
			if (!poke_ways[i].slow)
				ret = poke_ways[i].way(why);
	return ret;
}

static uint32_t read_gs(void)
{
	uint32_t value;

	asm volatile("movl %%gs:0, %0" : "=r"(value) : : "memory");
	return value;
}

static void load_gs(uint16_t selector)
{
	asm volatile("movw %0, %%gs" : : "r"(selector) : "memory");
}

/* A segment of the LDT: still loaded after the pokes, and can be loaded anew. */
static void test_ldt(void)
{
	uint32_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	/* struct user_desc: number, base, limit, flags (a 32-bit segment, for user space). */
	uint32_t entry[4] = { 0, 0, 4095, 0x41 };
	const char *why = "";
	uint32_t kept, fresh;
	int ret;

	if (page == MAP_FAILED) {
		ktap_ok(0, "ldt", "no memory below 4 GiB");
		return;
	}
	*page = 0x5ca1ab1e;
	entry[1] = (uint32_t)(uintptr_t)page;
	if (syscall(SYS_modify_ldt, 1, entry, sizeof(entry))) {
		ktap_ok(0, "ldt", "modify_ldt: %s", strerror(errno));
		return;
	}
	load_gs(LDT_SELECTOR);
	ret = poke_all(&why);
	kept = read_gs();
	load_gs(0);
	load_gs(LDT_SELECTOR);
	fresh = read_gs();
	load_gs(0);
	ktap_ok(!ret && kept == *page && fresh == *page, "ldt", "poke: %s (%d), kept %#x, fresh %#x",
		why, ret, kept, fresh);
}

static int open_event(struct perf_event_attr *attr)
{
	attr->size = sizeof(*attr);
	attr->exclude_kernel = 1;
	return syscall(SYS_perf_event_open, attr, 0, -1, -1, 0);
}

static void test_watchpoint(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT, .bp_type = HW_BREAKPOINT_W,
		.bp_addr = (uintptr_t)&watched, .bp_len = HW_BREAKPOINT_LEN_8,
	};
	const char *why = "";
	uint64_t before = 0, after = 0;
	int fd = open_event(&attr), ret;

	if (fd < 0) {
		ktap_ok(0, "watchpoint", "perf_event_open: %s", strerror(errno));
		return;
	}
	watched = 1;
	if (read(fd, &before, sizeof(before)) != sizeof(before))
		before = ~0ull;
	ret = poke_all(&why);
	watched = 2;
	if (read(fd, &after, sizeof(after)) != sizeof(after))
		after = ~0ull;
	close(fd);
	ktap_ok(!ret && before == 1 && after == 2, "watchpoint", "poke: %s (%d), hits %llu, then %llu",
		why, ret, (unsigned long long)before, (unsigned long long)after);
}

static sigjmp_buf after_rdpmc;

static void on_signal(int number)
{
	siglongjmp(after_rdpmc, number);
}

/*
 * Without CR4.PCE the instruction is a general protection fault. With it, it gives a number, or where the emulator
 * has the bit but no counter, as QEMU, it is undefined.
 */
static bool may_rdpmc(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_NODEFER }, old[2];
	uint32_t low, high;
	int number;

	sigaction(SIGSEGV, &action, &old[0]);
	sigaction(SIGILL, &action, &old[1]);
	number = sigsetjmp(after_rdpmc, 1);
	if (!number)
		asm volatile("rdpmc" : "=a"(low), "=d"(high) : "c"(0));
	sigaction(SIGSEGV, &old[0], NULL);
	sigaction(SIGILL, &old[1], NULL);
	return number != SIGSEGV;
}

/* Only who has mapped an event may read counters, and after pokes still may. The module stands in for the event. */
static void test_rdpmc(void)
{
	bool before = may_rdpmc(), mapped, after, again;
	const char *why = "";
	int err = load_module("rdpmc", ""), ret;

	mapped = may_rdpmc();
	ret = poke_all(&why);
	after = may_rdpmc();
	/* Also by a switch to another process, which may not, and back. */
	usleep(10000);
	again = may_rdpmc();
	unload_module("rdpmc");
	ktap_ok(!err && !ret && !before && mapped && after && again, "rdpmc",
		"module: %s, poke: %s (%d), may: %d, with the event %d, after pokes %d and %d", strerror(-err), why, ret,
		before, mapped, after, again);
}

/* The gate for programs of 32 bits, with their number of getpid(). */
static long getpid_32(void)
{
	long ret = 20;

	asm volatile("int $0x80" : "+a"(ret) : : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

static void test_gate_32(void)
{
	const char *why = "";
	long before = getpid_32(), after;
	int ret = poke_all(&why);

	after = getpid_32();
	ktap_ok(!ret && before == getpid() && after == before, "gate_32", "poke: %s (%d), %ld and %ld are not %d", why, ret,
		before, after, getpid());
}

/* Last, because it cannot be turned off again. */
static void test_lam(void)
{
	const char *why = "";
	uint64_t *tagged;
	int ret;

	if (syscall(SYS_arch_prctl, ARCH_ENABLE_TAGGED_ADDR, 6)) {
		ktap_skip("lam", "processor or kernel without linear address masking");
		return;
	}
	ret = poke_all(&why);
	tagged = (uint64_t *)((uintptr_t)&watched | 0x2aull << 57);
	ktap_ok(!ret && *tagged == watched, "lam", "poke: %s (%d)", why, ret);
}

int main(int argc, char **argv)
{
	const char *why = "";
	int ret;

	if (argc > 1 && argv[1])
		rounds = atoi(argv[1]);
	ret = poke_all(&why);
	ktap_ok(!ret, "plain", "%s: %s", why, strerror(-ret));
	test_ldt();
	test_watchpoint();
	test_rdpmc();
	test_gate_32();
	test_lam();
	return ktap_end();
}
