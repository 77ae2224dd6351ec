/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ways to make the kernel write its own text, from user space and in the context
 * of the caller: a static key, a kprobe in the middle of a function, the tracer of
 * one function and of all, and a JIT-compiled BPF program. Each way checks its own effect.
 */
#ifndef SELFTESTS_TEMP_MM_POKING_H
#define SELFTESTS_TEMP_MM_POKING_H

#include <linux/bpf.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "report.h"

#define TRACING "/sys/kernel/tracing/"

/* The probe, but for the offset. */
#define POKE_PROBE "p:poking/test_poke __x64_sys_getppid"

/* Seconds that a companion may take for a few pokes. */
#ifndef POKE_PATIENCE
#define POKE_PATIENCE 20
#endif

/* Each returns 0, or a negative errno and says in *why what went wrong. */
typedef int (*poke_way)(const char **why);

static inline int poke_static_key(const char **why)
{
	static int on;
	char text[16];
	int err;

	on = !on;
	*why = "writing kernel.sched_schedstats";
	err = write_file("/proc/sys/kernel/sched_schedstats", on ? "1" : "0");
	if (err)
		return err;
	*why = "kernel.sched_schedstats has not changed";
	read_file("/proc/sys/kernel/sched_schedstats", text, sizeof(text));
	return text[0] == '0' + on ? 0 : -EINVAL;
}

/* How often the probe has been hit; -1: there is no such probe. */
static inline long kprobe_hits(const char *name)
{
	/* A line for each probe, and there may be some that are not ours. */
	static char text[65536];
	char *at;

	read_file(TRACING "kprobe_profile", text, sizeof(text));
	at = strstr(text, name);
	return at ? atol(at + strlen(name)) : -1;
}

static inline int poke_kprobe(const char **why)
{
	static int defined;
	long before;
	int i, err;

	/*
	 * The first instruction after the call to the tracer, which takes five bytes: such a
	 * probe is an int3 or a jump, not an ftrace hook.  With indirect branch tracking, four
	 * bytes of ENDBR are before that, and the other place is in the middle of an
	 * instruction.
	 */
	*why = "defining a kprobe";
	err = defined ? 0 : append_file(TRACING "kprobe_events", POKE_PROBE "+5");
	if (err == -EILSEQ)
		err = append_file(TRACING "kprobe_events", POKE_PROBE "+9");
	/* Another process may have defined it. */
	if (err && err != -EEXIST)
		return err;
	defined = 1;
	before = kprobe_hits(" test_poke ");
	*why = "enabling a kprobe";
	if (write_file(TRACING "events/poking/test_poke/enable", "1"))
		return -EIO;
	for (i = 0; i < 3; i++)
		syscall(SYS_getppid);
	*why = "the kprobe has no hits";
	if (kprobe_hits(" test_poke ") < before + 3)
		return -EINVAL;
	*why = "disabling a kprobe";
	if (write_file(TRACING "events/poking/test_poke/enable", "0"))
		return -EIO;
	before = kprobe_hits(" test_poke ");
	syscall(SYS_getppid);
	*why = "the kprobe is hit although it is disabled";
	return kprobe_hits(" test_poke ") == before ? 0 : -EINVAL;
}

/*
 * The tracer takes one name a write, tells of a name that it does not know only if that is
 * a whole line, and then traces all functions, as it does without a name.  Returns 0 or
 * -errno.
 */
static inline int filter_functions(const char *names)
{
	int fd = open(TRACING "set_ftrace_filter", O_WRONLY | O_TRUNC);
	int len, ret = 0;
	char line[80];

	if (fd < 0)
		return -errno;
	for (; *names && !ret; names += strspn(names, " ")) {
		len = strcspn(names, " ");
		snprintf(line, sizeof(line), "%.*s\n", len, names);
		if (write(fd, line, len + 1) != len + 1)
			ret = errno ? -errno : -EIO;
		names += len;
	}
	close(fd);
	return ret;
}

static inline int trace_functions(const char *names, const char **why)
{
	static const char all[] = "#### all functions";
	static char text[65536];
	int ret;

	*why = "looking at the tracer";
	if (read_file(TRACING "current_tracer", text, sizeof(text)) < 0 || strcmp(text, "nop\n"))
		return text[0] ? -EBUSY : -ENOENT;
	*why = "setting the function filter";
	ret = filter_functions(names);
	if (ret)
		return ret;
	*why = "the function filter is not what was asked for";
	read_file(TRACING "set_ftrace_filter", text, sizeof(text));
	if (!text[0] || !*names != !strncmp(text, all, strlen(all)))
		return -EINVAL;
	*why = "starting the function tracer";
	write_file(TRACING "trace", "");
	if (write_file(TRACING "current_tracer", "function"))
		return -EIO;
	syscall(SYS_getppid);
	*why = "the function tracer has seen nothing";
	read_file(TRACING "trace", text, sizeof(text));
	if (!strstr(text, *names ? "sys_getppid <-" : " <-"))
		return -EINVAL;
	*why = "stopping the function tracer";
	if (write_file(TRACING "current_tracer", "nop"))
		return -EIO;
	write_file(TRACING "set_ftrace_filter", "");
	return 0;
}

/* The tracer knows one of the names of the system call: __x64_sys_getppid or __do_sys_getppid. */
static inline int poke_ftrace(const char **why)
{
	return trace_functions("*_sys_getppid", why);
}

/* Some 20,000 places at a time. */
static inline int poke_ftrace_all(const char **why)
{
	return trace_functions("", why);
}

static inline int poke_bpf(const char **why)
{
	static const struct bpf_insn program[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct bpf_prog_info info = { 0 };
	union bpf_attr attr;
	int fd, ret;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_TRACEPOINT;
	attr.insn_cnt = ARRAY_SIZE(program);
	attr.insns = (unsigned long)program;
	attr.license = (unsigned long)"GPL";
	*why = "loading a BPF program";
	fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0)
		return -errno;
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (unsigned long)&info;
	*why = "asking about a BPF program";
	ret = syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) ? -errno : 0;
	if (!ret && !info.jited_prog_len) {
		*why = "the BPF program was not compiled: net.core.bpf_jit_enable is 0";
		ret = -EOPNOTSUPP;
	}
	close(fd);
	return ret;
}

/* The tracer waits for an RCU grace period of tasks, which takes longer than all the rest. */
static const struct { const char *name; poke_way way; bool slow; } poke_ways[] = {
	{ "static_key", poke_static_key, false },
	{ "kprobe", poke_kprobe, false },
	{ "ftrace", poke_ftrace, true },
	{ "ftrace_all", poke_ftrace_all, true },
	{ "bpf_jit", poke_bpf, false },
};

#define POKE_WAYS ((int)ARRAY_SIZE(poke_ways))

static inline double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/*
 * A companion process that pokes until it is stopped.  It counts, since a process that
 * lives may be stuck.
 */
struct poker {
	pid_t pid;
	int status;		/* of waitpid(), once it is over */
	long *pokes;		/* shared with it */
};

static inline long pokes_of(const struct poker *p)
{
	return __atomic_load_n(p->pokes, __ATOMIC_RELAXED);
}

/*
 * By all ways that are fast.  Static keys and kprobes have one switch each: of several
 * pokers, one uses them.
 */
static inline void poke_forever(long *pokes, bool bpf_only)
{
	const char *why;
	int i, ret;

	for (i = 0;; i = (i + 1) % POKE_WAYS) {
		if (poke_ways[i].slow || (bpf_only && poke_ways[i].way != poke_bpf))
			continue;
		ret = poke_ways[i].way(&why);
		if (ret) {
			fprintf(stderr, "poking: %s: %s\n", why, strerror(-ret));
			_exit(1);
		}
		__atomic_add_fetch(pokes, 1, __ATOMIC_RELAXED);
	}
}

static inline bool poker_lives(struct poker *p)
{
	if (p->pid > 0 && waitpid(p->pid, &p->status, WNOHANG))
		p->pid = 0;
	return p->pid > 0;
}

/* Until it has poked @more times; false: it does not. */
static inline bool wait_for_pokes(struct poker *p, long more)
{
	long wanted = pokes_of(p) + more;
	double end = seconds_now() + POKE_PATIENCE;

	while (pokes_of(p) < wanted) {
		if (!poker_lives(p) || seconds_now() > end)
			return false;
		usleep(1000);
	}
	return true;
}

/* Returns when it has begun; false: it has not. */
static inline bool start_poker(struct poker *p, bool bpf_only)
{
	p->status = 0;
	p->pokes = mmap(NULL, sizeof(*p->pokes), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	p->pid = p->pokes == MAP_FAILED ? -1 : fork();
	if (!p->pid)
		poke_forever(p->pokes, bpf_only);
	return p->pid > 0 && wait_for_pokes(p, 1);
}

/* True if it lived until now. */
static inline bool stop_poker(struct poker *p)
{
	if (!poker_lives(p))
		return false;
	kill(p->pid, SIGKILL);
	waitpid(p->pid, &p->status, 0);
	return true;
}

#endif
