// SPDX-License-Identifier: GPL-2.0
/*
 * EFI runtime services, called for real while other processes make the kernel
 * write its text: efi[:ROUNDS]. Variables go through efivarfs, the clock through
 * the driver that exists to test runtime services (/dev/efi_test).
 */
#include <linux/fs.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "kernel.h"
#include "poking.h"

#define VARIABLE "/sys/firmware/efi/efivars/HarnessTest-6ab2a3f8-2b14-4c6e-9f53-5d7a10c8e4b1"
#define NON_VOLATILE_BOOT_RUNTIME 7
#define POKERS 2
/* Of each poker, while variables are written, and while the clock is read. */
#define POKES 20

struct efi_time {
	uint16_t year;
	uint8_t month, day, hour, minute, second, pad1;
	uint32_t nanosecond;
	int16_t timezone;
	uint8_t daylight, pad2;
};

struct efi_capabilities {
	uint32_t resolution, accuracy;
	uint8_t sets_to_zero;
};

struct efi_gettime {
	struct efi_time *time;
	struct efi_capabilities *capabilities;
	unsigned long *status;
} __attribute__((packed));

#define EFI_RUNTIME_GET_TIME _IOR('p', 0x03, struct efi_gettime)

/* The file system guards variables it does not know against removal. */
static void unguard(void)
{
	int fd = open(VARIABLE, O_RDONLY), flags = 0;

	if (fd < 0)
		return;
	if (!ioctl(fd, FS_IOC_GETFLAGS, &flags)) {
		flags &= ~FS_IMMUTABLE_FL;
		ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	close(fd);
}

/* Write, read back, compare; the first four bytes are the attributes. */
static int write_variable(int round)
{
	unsigned char out[4 + 64] = { NON_VOLATILE_BOOT_RUNTIME }, in[128];
	int fd, i, ret;

	for (i = 4; i < (int)sizeof(out); i++)
		out[i] = round * 31 + i;
	unguard();
	fd = open(VARIABLE, O_WRONLY | O_CREAT, 0644);
	if (fd < 0)
		return -errno;
	ret = write(fd, out, sizeof(out));
	ret = ret == (int)sizeof(out) ? 0 : ret < 0 ? -errno : -EIO;
	close(fd);
	if (ret)
		return ret;
	fd = open(VARIABLE, O_RDONLY);
	if (fd < 0)
		return -errno;
	ret = read(fd, in, sizeof(in));
	close(fd);
	return ret == (int)sizeof(out) && !memcmp(in, out, sizeof(out)) ? 0 : -EBADMSG;
}

static int read_clock(int round)
{
	struct efi_capabilities capabilities;
	struct efi_time now = { 0 };
	unsigned long status = ~0ul;
	struct efi_gettime request = { &now, &capabilities, &status };
	int fd = open("/dev/efi_test", O_RDWR), ret;

	(void)round;
	if (fd < 0)
		return -errno;
	ret = ioctl(fd, EFI_RUNTIME_GET_TIME, &request) ? -errno : status ? -EIO : 0;
	close(fd);
	if (!ret && (now.year < 2000 || now.month < 1 || now.month > 12 || now.second > 59))
		ret = -EBADMSG;
	return ret;
}

static struct poker pokers[POKERS];

/* The fewest that one of them has poked. */
static long pokes(void)
{
	long one = pokes_of(&pokers[0]), two = pokes_of(&pokers[1]);

	return one < two ? one : two;
}

/* Rounds of a service until there were enough, with each of the pokers busy meanwhile. Returns 0 or -errno. */
static int call(int (*service)(int round), int rounds, int *round)
{
	long begin = pokes();
	double end = seconds_now() + 60;
	int ret = 0;

	for (*round = 0; !ret && (*round < rounds || pokes() - begin < POKES); ++*round) {
		if (seconds_now() > end)
			return -ETIME;
		/* Time for the pokers; what stores variables is full after some 1600. */
		if (*round >= rounds)
			usleep(50000);
		ret = service(*round);
	}
	printf("# %d rounds, %ld pokes or more\n", *round, pokes() - begin);
	return ret;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 && argv[1] ? atoi(argv[1]) : 50;
	bool poking = true;
	int round, i, ret;

	if (access("/sys/firmware/efi", F_OK)) {
		ktap_ok(0, "runtime_services", "the machine was not booted by EFI");
		return ktap_end();
	}
	for (i = 0; i < POKERS; i++)
		poking &= start_poker(&pokers[i], i > 0);
	ret = call(write_variable, rounds, &round);
	ktap_ok(!ret, "variable_write", "round %d: %s", round, strerror(-ret));
	unguard();
	ret = unlink(VARIABLE) ? -errno : 0;
	ktap_ok(!ret && access(VARIABLE, F_OK), "variable_delete", "%s", strerror(-ret));
	ret = ret ?: call(read_clock, rounds, &round);
	ktap_ok(!ret, "clock_read", "round %d: %s", round, strerror(-ret));
	for (i = 0; i < POKERS; i++)
		poking &= stop_poker(&pokers[i]);
	ktap_ok(poking && pokes() >= 2 * POKES, "poke_meanwhile", "%ld pokes, processes ended with %#x and %#x", pokes(),
		pokers[0].status, pokers[1].status);
	return ktap_end();
}
