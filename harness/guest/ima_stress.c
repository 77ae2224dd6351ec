// SPDX-License-Identifier: GPL-2.0
/*
 * Several processes have files measured at the same time, while others read IMA's list, memory is scarce and
 * some allocations fail. The list must stay whole: it only grows, and in the end it has each file once.
 *
 * ima_stress[:N]	N files for each of the processes, 500 unless told
 *
 * Allocations fail where the kernel has fault injection, and only while one of the processes opens a file. IMA then
 * lets the open succeed, or not, and has no entry; so those files are opened once more without it.
 */
#include <limits.h>
#include <sys/mman.h>

#include "ima.h"
#include "kernel.h"

#define WORKERS 4
#define COMMON 100
#define FAULTS 10000000
#define MARGIN_KB (32 * 1024)

/* What the processes tell each other. */
static struct {
	volatile int done, pressed, reads[2], denied;
	char trouble[200];
} *shared;

static int per_worker;
static const char * const injectors[] = { "failslab", "fail_page_alloc" };

static void __attribute__((format(printf, 1, 2))) trouble(const char *text, ...)
{
	va_list args;

	va_start(args, text);
	if (!shared->trouble[0])
		vsnprintf(shared->trouble, sizeof(shared->trouble), text, args);
	va_end(args);
}

/* The last name of a path says as much as the whole. */
static void path_of(int worker, int number, char *path)
{
	int len = sprintf(path, RAMFS "/s%d/%d-", worker, number), rest = 1 + number * 37 % 200;

	memset(path + len, 'a' + worker, rest);
	path[len + rest] = 0;
}

static void common_path(int number, char *path)
{
	sprintf(path, RAMFS "/common/%d", number);
}

/* A file of debugfs of one of the injectors. Returns 0 or -errno. */
static int set(const char *injector, const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", injector, name);
	return write_file(path, value);
}

static int can_inject(void)
{
	return !access("/sys/kernel/debug/failslab/times", F_OK) && !access("/proc/self/make-it-fail", F_OK);
}

/*
 * From now on, one allocation in twenty fails in processes that ask for it. Single pages are left out: the driver
 * of the TPM takes one for each command, and IMA has no answer to a register that is not extended.
 */
static void start_injection(void)
{
	char times[16];
	unsigned int i;

	snprintf(times, sizeof(times), "%d", FAULTS);
	for (i = 0; i < 2; i++) {
		set(injectors[i], "verbose", "0");
		set(injectors[i], "task-filter", "Y");
		set(injectors[i], "ignore-gfp-wait", "N");
		set(injectors[i], "interval", "1");
		set(injectors[i], "times", times);
		set(injectors[i], "probability", "5");
	}
	set("failslab", "cache-filter", "N");
	set("fail_page_alloc", "min-order", "1");
}

/* Returns how many allocations failed. */
static long stop_injection(void)
{
	long left;

	set("failslab", "probability", "0");
	set("fail_page_alloc", "probability", "0");
	left = read_number("/sys/kernel/debug/failslab/times");
	return left < 0 ? -1 : FAULTS - left;
}

static int worker(int self)
{
	int i, ret, fail = can_inject() ? open("/proc/self/make-it-fail", O_WRONLY) : -1;
	char path[PATH_MAX];

	sprintf(path, RAMFS "/s%d", self);
	mkdir(path, 0755);
	for (i = 0; i < per_worker; i++) {
		int injected = fail >= 0 && i % 3 == 1;

		path_of(self, i, path);
		ret = make_file(path, i * 97 % 9000, i * WORKERS + self);
		if (ret)
			trouble("%s: %s", path, strerror(-ret));
		if (injected && pwrite(fail, "1", 1, 0) != 1)
			trouble("make-it-fail: %s", strerror(errno));
		ret = measure(path);
		if (injected && pwrite(fail, "0", 1, 0) != 1)
			trouble("make-it-fail: %s", strerror(errno));
		if (injected && ret)
			__sync_fetch_and_add(&shared->denied, 1);
		else if (ret)
			trouble("open %s: %s", path, strerror(-ret));
		/* All of them want the same file at about the same time. */
		if (i * COMMON % per_worker < COMMON) {
			common_path(i * COMMON / per_worker, path);
			ret = measure(path);
			if (ret)
				trouble("open %s: %s", path, strerror(-ret));
		}
	}
	/* Once more what may have no entry yet. */
	for (i = 1; fail >= 0 && i < per_worker; i += 3) {
		path_of(self, i, path);
		ret = measure(path);
		if (ret)
			trouble("second open %s: %s", path, strerror(-ret));
	}
	return 0;
}

/* Where the ascii list stops being well formed, from @at, or NULL. */
static const char *bad_line(const char *at)
{
	const char *next;

	for (; *at; at = next + 1) {
		next = strchr(at, '\n');
		if (!next || !good_line(at, next - at))
			return at;
	}
	return NULL;
}

/* Reads a list over and over: it must be what it was before, and then more. */
static int reader(int binary)
{
	unsigned char *before = NULL, *now;
	size_t len_before = 0, len;
	const char *bad;

	while (!shared->trouble[0]) {
		int last = shared->done;

		now = read_whole(binary ? BINARY_LIST : ASCII_LIST "_sha256", &len);
		if (len < len_before || memcmp(before, now, len_before))
			trouble("the %s list is no longer what it was", binary ? "binary" : "ascii");
		bad = binary ? NULL : bad_line((char *)now + len_before);
		if (bad)
			trouble("torn line: %.150s", bad);
		if (binary && count_records(now + len_before, len - len_before, SHA1_SIZE) < 0)
			trouble("torn record behind byte %zu", len_before);
		free(before);
		before = now;
		len_before = len;
		shared->reads[binary]++;
		if (last)
			break;
	}
	return 0;
}

/* Takes nearly all memory and gives it back, over and over. It is not meant to wake the OOM killer. */
static int presser(void)
{
	const size_t chunk = 4 << 20, all = (size_t)8 << 30;
	char *memory = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t used;

	write_file("/proc/self/oom_score_adj", "1000");
	while (memory != MAP_FAILED && !shared->done) {
		for (used = 0; used < all && available_kb() > MARGIN_KB && !shared->done; used += chunk)
			memset(memory + used, 1, chunk);
		usleep(30000);
		madvise(memory, used, MADV_DONTNEED);
		shared->pressed++;
		usleep(30000);
	}
	return 0;
}

static int by_digest(const void *one, const void *two)
{
	return memcmp(*(const unsigned char **)one, *(const unsigned char **)two, SHA256_SIZE);
}

/* Digests that are there twice, of entries that are no violations. */
static int duplicates(void)
{
	const unsigned char *at, *end, **digests;
	struct record record;
	int count = 0, twice = 0, i;
	size_t len;

	at = read_whole(BINARY_LIST "_sha256", &len);
	end = at + len;
	digests = calloc(len / 60 + 1, sizeof(*digests));
	while (at < end && (at = take_record(at, end, SHA256_SIZE, &record)))
		if (!is_violation(&record))
			digests[count++] = record.digest;
	qsort(digests, count, sizeof(*digests), by_digest);
	for (i = 1; i < count; i++)
		twice += !by_digest(&digests[i - 1], &digests[i]);
	return twice;
}

/* How many of the files are not in the list, or not once. */
static int missing(void)
{
	unsigned char *seen = calloc(WORKERS, per_worker), common[COMMON] = { 0 };
	const unsigned char *at, *end;
	int self, number, wrong = 0;
	struct record record;
	char path[PATH_MAX], letter;
	const char *name;
	size_t len;

	at = read_whole(BINARY_LIST, &len);
	end = at + len;
	while (at < end && (at = take_record(at, end, SHA1_SIZE, &record))) {
		if (sscanf(record.name, RAMFS "/common/%d", &number) == 1 && number >= 0 && number < COMMON)
			common[number]++;
		name = strrchr(record.name, '/');
		name = name ? name + 1 : record.name;
		if (sscanf(name, "%d-%c", &number, &letter) != 2)
			continue;
		self = letter - 'a';
		if (number < 0 || number >= per_worker || self < 0 || self >= WORKERS)
			continue;
		path_of(self, number, path);
		/* Where there was no memory for the path, IMA has the last name alone. */
		if (!strcmp(path, record.name) || !strcmp(strrchr(path, '/') + 1, record.name))
			seen[self * per_worker + number]++;
		else if (wrong++ < 5)
			printf("# no file of ours: %.100s\n", record.name);
	}
	for (number = 0; number < WORKERS * per_worker; number++)
		if (seen[number] != 1 && wrong++ < 5)
			printf("# file %d of process %d: %d times\n", number % per_worker, number / per_worker,
			       seen[number]);
	for (number = 0; number < COMMON; number++)
		if (common[number] != 1 && wrong++ < 5)
			printf("# common file %d: %d times\n", number, common[number]);
	return wrong;
}

static pid_t start(int (*function)(int), int arg)
{
	pid_t pid = fork();

	if (!pid)
		_exit(function(arg));
	return pid;
}

static int start_presser(int unused)
{
	(void)unused;
	return presser();
}

/* Returns how many of the processes did not end well. */
static int run(void)
{
	pid_t workers[WORKERS], others[3];
	int i, status, bad = 0;

	others[0] = start(reader, 0);
	others[1] = start(reader, 1);
	others[2] = start(start_presser, 0);
	for (i = 0; i < WORKERS; i++)
		workers[i] = start(worker, i);
	for (i = 0; i < WORKERS; i++)
		bad += waitpid(workers[i], &status, 0) != workers[i] || status;
	shared->done = 1;
	for (i = 0; i < 3; i++)
		bad += waitpid(others[i], &status, 0) != others[i] || status;
	return bad;
}

int main(int argc, char **argv)
{
	char path[PATH_MAX];
	long injected, count, records;
	unsigned char *data;
	int i, bad;
	size_t len;

	per_worker = argc > 1 ? atoi(argv[1]) : 500;
	if (per_worker < COMMON)
		per_worker = COMMON;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	ima_mounts();
	mkdir(RAMFS "/common", 0755);
	for (i = 0; i < COMMON; i++) {
		common_path(i, path);
		make_file(path, 5000, i);
	}
	if (can_inject())
		start_injection();
	bad = run();
	ktap_ok(!bad && !shared->trouble[0], "stress_list_only_grows", "%d processes ended badly; %s", bad,
		shared->trouble);
	injected = can_inject() ? stop_injection() : 0;
	if (can_inject())
		ktap_ok(injected > 0, "stress_allocations_fail", "%ld did", injected);
	else
		ktap_skip("stress_allocations_fail", "this kernel has no fault injection");
	count = read_number(IMA "runtime_measurements_count");
	data = read_whole(BINARY_LIST, &len);
	records = count_records(data, len, SHA1_SIZE);
	ktap_ok(records == count, "stress_count", "%ld records, but a count of %ld", records, count);
	bad = missing();
	ktap_ok(!bad, "stress_each_is_in_the_list_once", "%d are not", bad);
	bad = duplicates();
	ktap_ok(!bad, "stress_no_duplicates", "%d entries are there twice", bad);
	ktap_ok(shared->reads[0] > 1 && shared->reads[1] > 1 && shared->pressed > 0, "stress_has_happened",
		"lists read %d and %d times, memory taken %d times", shared->reads[0], shared->reads[1],
		shared->pressed);
	printf("# %ld entries; lists read %d and %d times, memory taken %d times; %ld allocations failed, %d opens\n",
	       count, shared->reads[0], shared->reads[1], shared->pressed, injected, shared->denied);
	return ktap_end();
}
