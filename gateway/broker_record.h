/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_BROKER_RECORD_H
#define TANDEM_GATEWAY_BROKER_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/usec.h"
#include "tun/host.h"
#include "tun/netlink.h"

/*
 * The broker's memory: all that is ours on this host.  Nothing that is not in here is ever
 * undone.  It outlives engines; what must outlive the broker itself is found again by
 * record_adopt(): guards in the kernel, sysctls in the state file.
 */
#define RECORD_MAX	65536		/* objects: what an engine gone mad can make us hold */
#define RECORD_FDS_MAX	8192		/* descriptors among them */

struct record_object {
	struct host_request what;	/* the request that would make it, with a device's link settings */
	unsigned ifindex;		/* of a device */
	int fd;				/* kept; -1: none */
	int was;			/* a sysctl's old value */
	bool wanted;			/* the present engine asked for it */
};

struct record {
	struct nl *nl;
	const char *state;		/* path of the state file; borrowed */
	uint16_t port[2];		/* of broker_conf */
	struct record_object *obj;
	size_t n, cap, fds;
};

int	record_init(struct record *r, const char *state);	/* 0 or -errno */
void	record_fini(struct record *r);	/* closes and frees; undoes nothing */

/* Take over what a crashed daemon left: its guards and the sysctls of its state file. */
void	record_adopt(struct record *r);
/* Devices of our group that are not in the record: somebody still holds them.  `one` gets a name.
 * -errno: not known; look again. */
int	record_leftovers(struct record *r, char one[IFNAMSIZ]);

/*
 * How long such devices are waited for: as long as they become fewer (600 take the kernel twelve
 * seconds and more), and then for BROKER_DEVICE_PATIENCE.  Begins with `since` now; is told each look.
 */
struct record_wait {
	int least;			/* the fewest so far; 0: no look yet */
	usec_t since;			/* of the last progress */
};
bool	record_wait(struct record_wait *w, int left, usec_t now);	/* false: go on without */

/* The object that `q` is about, whatever its settings; `op` is the one that makes such objects.
 * NULL: none. */
struct record_object *record_find(const struct record *r, const struct host_request *q,
		    enum host_op op);
struct record_object *record_device(const struct record *r, const char name[IFNAMSIZ]);
/* Is the device of that name in this moment the one that we made?  Names are anybody's: ours may
 * have been renamed, and another's may have been given its name. */
bool	record_is_ours(const struct record_object *x);
/* Is an object over such a device, or over none? */
bool	record_over_ours(const struct record *r, const struct host_request *what);
/* Is there room for one more?  False: no memory, or the quota is used up. */
bool	record_room(struct record *r, bool for_fd);
/* Add after record_room() said yes; owns `fd`.  Pointers to objects hold until the next change. */
struct record_object *record_add(struct record *r, const struct host_request *q, int fd, bool wanted);
void	record_forget(struct record *r, struct record_object *x);	/* closes its descriptor */
/* A device is gone: it and all that was over it are forgotten. */
void	record_forget_device(struct record *r, const char name[IFNAMSIZ]);
/* Write the state file.  A disk that is full is logged, no failure. */
void	record_save(const struct record *r);
struct nl_route record_route(const struct host_request *q);	/* as the kernel's */

void	record_unwant(struct record *r);	/* the engine is gone: nothing is wanted yet */
void	record_sweep(struct record *r);		/* undo what is not wanted */
/* Undo all; guards stay when `keep_guards` or their own mark keeps them. */
void	record_undo(struct record *r, bool keep_guards);

#endif
