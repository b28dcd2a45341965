/* SPDX-License-Identifier: BSD-2-Clause */
/* TAP devices: made by TUNSETIFF, set up by the ioctls of network interfaces (tun.txt of the kernel; netdevice(7)). */
#include "serve/tap/device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <outboard/log.h>

#define TUN_PATH "/dev/net/tun"

static int fail(struct ob *ob, const char *name, const char *what, int error)
{
	ob_err(ob, "TAP device%s%s: %s: %s", *name ? " " : "", name, what, strerror(-error));
	return error;
}

/* The same for what its errno would say less well. */
static int say(struct ob *ob, const char *name, const char *text, int error)
{
	ob_err(ob, "TAP device%s%s: %s", *name ? " " : "", name, text);
	return error;
}

static int open_tun(struct ob *ob, int *fd)
{
	*fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO) {
		ob_err(ob, TUN_PATH ": %s; 'modprobe tun' provides it", strerror(errno));
		return -ENOENT;
	}
	return fail(ob, "", TUN_PATH, -errno);
}

static int make(struct ob *ob, int fd, const char *wish, unsigned offloads, char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	unsigned long flags = 0;

	if (wish != NULL && (wish[0] == '\0' || strlen(wish) >= sizeof(request.ifr_name) || strchr(wish, '/') != NULL ||
			     strchr(wish, '%') != NULL))
		return say(ob, wish, "no name for an interface: 1 to 15 characters, no '/' or '%'", -EINVAL);
	if (wish != NULL)
		memcpy(request.ifr_name, wish, strlen(wish) + 1);
	if (ioctl(fd, TUNSETIFF, &request) != 0) {
		const char *asked = wish != NULL ? wish : "";

		switch (errno) {
		case EPERM:
			return say(ob, asked,
				   "it takes CAP_NET_ADMIN, or a device that 'ip tuntap add NAME mode tap user $USER' "
				   "made",
				   -EPERM);
		case EBUSY:
			return say(ob, asked, "somebody uses it; another name makes another one", -EBUSY);
		case EINVAL:
			return say(ob, asked, "there is another kind of interface of this name", -EINVAL);
		default:
			return fail(ob, asked, "making it", -errno);
		}
	}
	snprintf(name, TAP_NAME_LEN, "%s", request.ifr_name);
	flags |= (offloads & TAP_CSUM) != 0 ? TUN_F_CSUM : 0;
	flags |= (offloads & TAP_TSO4) != 0 ? TUN_F_TSO4 : 0;
	flags |= (offloads & TAP_TSO6) != 0 ? TUN_F_TSO6 : 0;
	if (ioctl(fd, TUNSETOFFLOAD, flags) != 0)
		return fail(ob, name, "offloads", -errno);
	return 0;
}

/* An ioctl of network interfaces on @name. 0 or negative errno. */
static int configure(const char *name, unsigned long what, struct ifreq *request)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -errno;
	snprintf(request->ifr_name, sizeof(request->ifr_name), "%s", name);
	error = ioctl(fd, what, request) != 0 ? -errno : 0;
	close(fd);
	return error;
}

int tap_device_open(struct ob *ob, const char *wish, unsigned offloads, const uint8_t mac[6], unsigned mtu, char *name,
		    bool *own_mac, int *fd)
{
	struct ifreq request = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};
	int error = open_tun(ob, fd);

	if (error != 0)
		return error;
	error = make(ob, *fd, wish, offloads, name);
	if (error != 0)
		goto close;
	memcpy(request.ifr_hwaddr.sa_data, mac, 6);
	error = configure(name, SIOCSIFHWADDR, &request);
	/* One that was made for us, with rights to its frames alone, stays as it was set up. */
	*own_mac = error == -EPERM;
	if (error == -EPERM)
		return 0;
	if (error != 0) {
		fail(ob, name, "its address", error);
		goto close;
	}
	request = (struct ifreq){.ifr_mtu = (int)mtu};
	error = configure(name, SIOCSIFMTU, &request);
	if (error == 0)
		return 0;
	fail(ob, name, "its MTU", error);
close:
	close(*fd);
	*fd = -1;
	return error;
}

void tap_device_carrier(int fd, bool on)
{
	int carrier = on;

	ioctl(fd, TUNSETCARRIER, &carrier);
}

static int set_address(const char *name, unsigned long what, uint32_t address)
{
	struct ifreq request = {.ifr_flags = 0};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};

	memcpy(&request.ifr_addr, &in, sizeof(in));
	return configure(name, what, &request);
}

int tap_device_address(const char *name, uint32_t address, unsigned prefix_bits)
{
	struct ifreq request = {.ifr_flags = 0};
	int error = set_address(name, SIOCSIFADDR, address);

	if (error == 0)
		error = set_address(name, SIOCSIFNETMASK,
				    prefix_bits == 32 ? UINT32_MAX : ~(UINT32_MAX >> prefix_bits));
	if (error == 0)
		error = configure(name, SIOCGIFFLAGS, &request);
	if (error != 0)
		return error;
	request.ifr_flags |= IFF_UP;
	return configure(name, SIOCSIFFLAGS, &request);
}
