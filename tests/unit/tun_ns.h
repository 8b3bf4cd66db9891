/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_UNIT_TUN_NS_H
#define TANDEM_UNIT_TUN_NS_H

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "tun/netlink.h"

/*
 * Each test runs in a process of its own (check forks) and moves into a network namespace of
 * its own, with nothing but "lo" up: no test sees another's ports, devices and routes.  Without
 * root a user namespace gives the same, where the kernel lets it.  False: neither; the test
 * says that it is skipped.
 */
static inline bool
own_netns(void)
{
	struct nl *nl;
	int err;

	if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
		fprintf(stderr, "skipped: no network namespace of our own without root\n");
		return false;
	}
	nl = nl_open();
	err = nl == NULL ? -1 : nl_link_set(nl, "lo", true, 0);
	nl_close(nl);
	return err == 0;
}

#endif
