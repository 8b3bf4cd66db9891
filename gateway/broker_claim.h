/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_BROKER_CLAIM_H
#define TANDEM_GATEWAY_BROKER_CLAIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tun/host.h"

/*
 * What of the broker outlives a process or must not exist twice: the claim on the network
 * namespace, the lock of the state directory, and the state file.
 */

/*
 * Claim this network namespace: routes, devices and their protocol and group numbers belong to
 * one instance in it.  The claim is a name in the namespace's own abstract socket space: it
 * goes with the last process that has the descriptor (broker and engine), however those end,
 * and no other namespace sees it.  An engine whose broker was killed is waited for, up to a minute.
 *
 * Any user may bind the name.  A holder that is neither root nor us, and one that does not answer
 * for a second (a broker listens as soon as it has the name, and accepts), is no broker but a
 * squatter: it must not keep us from starting, so then the claim is done without (logged).
 *
 * Returns the descriptor that holds it (-1 in *fd when done without) and 0; or -EADDRINUSE with
 * a sentence in `why`, or another -errno.
 */
int	claim_netns(int *fd, char *why, size_t cap);
/* Somebody asks who has the claim (`fd` is readable): that we are there is all there is to know.
 * False: not now, no descriptor is free; it is readable still. */
bool	claim_answer(int fd);
/* Lock the file (made when it is not there, with our pid in it) for the life of *fd.  0 or -errno;
 * -EWOULDBLOCK: `why` says who has it. */
int	claim_lock(const char *path, int *fd, char *why, size_t cap);

#define CLAIM_CAP_BIT(cap)	(UINT64_C(1) << (cap))
/* Drop all capabilities but these: `permitted` and, of them, `effective` stay, and no exec brings
 * more.  What we do not have is no error: not having it is the point.  0 or -errno. */
int	claim_caps(uint64_t permitted, uint64_t effective);

/* A sysctl that we changed and what it was. */
struct state_sysctl {
	enum host_sysctl which;
	char name[IFNAMSIZ];		/* the interface, or "" */
	int was, set;
};

/*
 * The state file: text, one line a sysctl, headed by the boot and the network namespace it is
 * about.  Written aside and renamed, so that a crash leaves the old or the new one whole.
 */
int	state_write(const char *path, const struct state_sysctl *s, size_t n);	/* n 0: removes it */
/* Returns how many (at most max); 0 when there is none, or it is of another boot or namespace, or
 * a line is not as we write it (the file is then ignored whole). */
size_t	state_read(const char *path, struct state_sysctl *s, size_t max);

/* The value of a sysctl for an interface.  0 or -errno.  LINKDOWN writes both families; reads IPv4's. */
int	sysctl_read(enum host_sysctl which, const char *name, int *value);
int	sysctl_write(enum host_sysctl which, const char *name, int value);

#endif
