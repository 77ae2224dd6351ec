// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel writes itself to disk, reads that, and goes on from it: hibernate[:ROUNDS]. Needs a disk of its own.
 */
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/swap.h>

#include "kernel.h"

#define DISK	"/dev/vda"
#define POWER	"/sys/power/"
#define PAGE	4096

/* The first page of the disk says that all others are for swapping. Returns 0 or -errno. */
static int make_swap(void)
{
	static unsigned char page[PAGE];
	unsigned long long bytes;
	unsigned int version = 1, last;
	int fd = open(DISK, O_RDWR), ret = 0;

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes))
		return -errno;
	last = bytes / PAGE - 1;
	memcpy(page + 1024, &version, sizeof(version));
	memcpy(page + 1028, &last, sizeof(last));
	memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
	if (pwrite(fd, page, PAGE, 0) != PAGE || fsync(fd))
		ret = -errno;
	close(fd);
	return ret ?: swapon(DISK, 0) ? -errno : 0;
}

/* What the kernel's command "disk" is to do: not to power off, but to go on from what it has just written. */
static int set_mode(void)
{
	char modes[128];
	int ret = write_file(POWER "disk", "test_resume");

	if (ret)
		return ret;
	read_file(POWER "disk", modes, sizeof(modes));
	return strstr(modes, "[test_resume]") ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 && argv[1] ? atoi(argv[1]) : 2, round, ret = 0;
	char text[64];

	ret = make_swap();
	ktap_ok(!ret, "swap", DISK ": %s", strerror(-ret));
	ret = ret ?: set_mode();
	ktap_ok(!ret, "test_resume", POWER "disk: %s", strerror(-ret));
	for (round = 0; round < rounds && !ret; round++) {
		snprintf(text, sizeof(text), "<6>hibernate: round %d\n", round);
		write_file("/dev/kmsg", text);
		ret = write_file(POWER "state", "disk");
	}
	ktap_ok(!ret, "goes_on", "round %d: %s", round, strerror(-ret));
	ret = swapoff(DISK) ? -errno : 0;
	ktap_ok(!ret, "swapoff", DISK ": %s", strerror(-ret));
	return ktap_end();
}
