// SPDX-License-Identifier: GPL-2.0
/*
 * EFI runtime services, called for real while other processes make the kernel
 * write its text: efi[:ROUNDS]. Variables go through efivarfs, the clock through
 * the driver that exists to test runtime services (/dev/efi_test).
 */
#include <linux/fs.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "poking.h"

#define VARIABLE "/sys/firmware/efi/efivars/HarnessTest-6ab2a3f8-2b14-4c6e-9f53-5d7a10c8e4b1"
#define NON_VOLATILE_BOOT_RUNTIME 7
#define POKERS 2

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

static int read_clock(struct efi_time *now)
{
	struct efi_capabilities capabilities;
	unsigned long status = ~0ul;
	struct efi_gettime request = { now, &capabilities, &status };
	int fd = open("/dev/efi_test", O_RDWR), ret;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, EFI_RUNTIME_GET_TIME, &request) ? -errno : status ? -EIO : 0;
	close(fd);
	return ret;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 && argv[1] ? atoi(argv[1]) : 50;
	int round, i, ret = 0, status = 0, dead = 0;
	pid_t pid[POKERS];
	struct efi_time now;

	if (access("/sys/firmware/efi", F_OK)) {
		ktap_ok(0, "runtime_services", "the machine was not booted by EFI");
		return ktap_end();
	}
	/* Static keys and kprobes have one switch each: one process may use it. */
	for (i = 0; i < POKERS; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			const char *why;

			if (!i)
				poke_forever();
			while (!poke_bpf(&why))
				;
			_exit(1);
		}
	}
	for (round = 0; round < rounds && !ret; round++)
		ret = write_variable(round);
	ktap_ok(!ret, "variable_write", "round %d: %s", round, strerror(-ret));
	unguard();
	ret = unlink(VARIABLE) ? -errno : 0;
	ktap_ok(!ret && access(VARIABLE, F_OK), "variable_delete", "%s", strerror(-ret));
	for (round = 0; round < rounds && !ret; round++) {
		memset(&now, 0, sizeof(now));
		ret = read_clock(&now);
		if (!ret && (now.year < 2000 || now.month < 1 || now.month > 12 || now.second > 59))
			ret = -EBADMSG;
	}
	ktap_ok(!ret, "clock_read", "round %d: %s", round, strerror(-ret));
	for (i = 0; i < POKERS; i++) {
		dead |= waitpid(pid[i], &status, WNOHANG) != 0;
		kill(pid[i], SIGKILL);
	}
	ktap_ok(!dead, "poke_meanwhile", "a poking process ended with %#x", status);
	return ktap_end();
}
