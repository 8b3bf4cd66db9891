/* SPDX-License-Identifier: MIT */
#include "gateway/broker_record.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/broker.h"
#include "gateway/broker_claim.h"
#include "tun/tun.h"

#define SYSCTLS_MAX	1024		/* that we ever remember on disk */
#define ADOPT_LOOKS	50		/* at a list of routes that changes under every look */
#define ADOPT_STEP	20		/* ms between them */

int
record_init(struct record *r, const char *state)
{
	memset(r, 0, sizeof(*r));
	r->state = state;
	r->nl = nl_open();
	return r->nl == NULL ? -errno : 0;
}

void
record_fini(struct record *r)
{
	for (size_t i = 0; i < r->n; i++) {
		if (r->obj[i].fd >= 0)
			close(r->obj[i].fd);
	}
	free(r->obj);
	nl_close(r->nl);
	memset(r, 0, sizeof(*r));
}

/* ---- objects ----------------------------------------------------------------------------- */

static bool
is_guard(const struct host_request *q)
{
	return q->op == HOST_ROUTE_ADD && q->unreachable;
}

static bool
same_object(const struct host_request *a, const struct host_request *b, enum host_op op)
{
	if (a->op != op || strcmp(a->name, b->name) != 0)
		return false;
	switch (op) {
	case HOST_TUN_OPEN:
		return a->slot == b->slot;
	case HOST_ADDR_ADD:
		return prefix_equal(&a->prefix, &b->prefix);
	case HOST_ROUTE_ADD:
		return prefix_equal(&a->prefix, &b->prefix) && a->metric == b->metric &&
		    a->unreachable == b->unreachable;
	case HOST_UDP_OPEN:
		return endpoint_equal(&a->local, &b->local) && a->slot == b->slot;
	case HOST_SYSCTL_SET:
		return a->sysctl == b->sysctl;
	default:
		return false;
	}
}

struct record_object *
record_find(const struct record *r, const struct host_request *q, enum host_op op)
{
	for (size_t i = 0; i < r->n; i++) {
		if (same_object(&r->obj[i].what, q, op))
			return &r->obj[i];
	}
	return NULL;
}

struct record_object *
record_device(const struct record *r, const char name[IFNAMSIZ])
{
	struct host_request q = { .op = HOST_TUN_OPEN };

	memcpy(q.name, name, sizeof(q.name));
	return record_find(r, &q, HOST_TUN_OPEN);
}

bool
record_is_ours(const struct record_object *x)
{
	return tun_alive(x->fd) == 0 && if_nametoindex(x->what.name) == x->ifindex;
}

bool
record_over_ours(const struct record *r, const struct host_request *what)
{
	const struct record_object *x = record_device(r, what->name);

	return what->name[0] == '\0' || (x != NULL && record_is_ours(x));
}

bool
record_room(struct record *r, bool for_fd)
{
	struct record_object *more;
	size_t cap = r->cap == 0 ? 64 : r->cap * 2;

	if (r->n >= RECORD_MAX || (for_fd && r->fds >= RECORD_FDS_MAX))
		return false;
	if (r->n < r->cap)
		return true;
	more = realloc(r->obj, cap * sizeof(*more));
	if (more == NULL)
		return false;
	r->obj = more;
	r->cap = cap;
	return true;
}

struct record_object *
record_add(struct record *r, const struct host_request *q, int fd, bool wanted)
{
	struct record_object *x = &r->obj[r->n++];

	assert(r->n <= r->cap);
	*x = (struct record_object){ .what = *q, .fd = fd, .wanted = wanted };
	x->what.id = 0;
	r->fds += fd >= 0;
	return x;
}

void
record_forget(struct record *r, struct record_object *x)
{
	if (x->fd >= 0) {
		close(x->fd);
		r->fds--;
	}
	*x = r->obj[--r->n];
}

void
record_forget_device(struct record *r, const char device[IFNAMSIZ])
{
	char name[IFNAMSIZ];

	memcpy(name, device, sizeof(name));	/* it may lie in what we forget */
	for (size_t i = r->n; i-- > 0;) {
		if (strcmp(r->obj[i].what.name, name) == 0 && r->obj[i].what.op != HOST_UDP_OPEN)
			record_forget(r, &r->obj[i]);
	}
}

void
record_save(const struct record *r)
{
	struct state_sysctl s[SYSCTLS_MAX];
	size_t n = 0;
	int err;

	for (size_t i = 0; i < r->n && n < SYSCTLS_MAX; i++) {
		if (r->obj[i].what.op != HOST_SYSCTL_SET)
			continue;
		s[n].which = r->obj[i].what.sysctl;
		memcpy(s[n].name, r->obj[i].what.name, sizeof(s[n].name));
		s[n].was = r->obj[i].was;
		s[n++].set = r->obj[i].what.value;
	}
	if ((err = state_write(r->state, s, n)) != 0)
		log_event(LOG_LEVEL_WARN, "state-not-saved", "path=%s error=\"%s\" what=\"after a crash "
		    "the sysctls that were changed could not be set back\"", r->state, strerror(-err));
}

struct nl_route
record_route(const struct host_request *q)
{
	struct nl_route route = {
		.to = q->prefix, .metric = q->metric,
		.protocol = HOST_ROUTE_PROTO, .unreachable = q->unreachable,
	};

	memcpy(route.device, q->name, sizeof(route.device));
	return route;
}

/* ---- what a crash left ------------------------------------------------------------------- */

static void
adopt_guard(struct record *r, const struct nl_route *route)
{
	struct host_request q = {
		.op = HOST_ROUTE_ADD, .prefix = route->to, .metric = route->metric, .unreachable = true,
	};

	if (route->unreachable && route->metric == HOST_GUARD_METRIC && record_room(r, false))
		(void)record_add(r, &q, -1, false);
}

/* All routes of our protocol, to be freed; the number of them or -errno.  The kernel's list may
 * grow between two looks; room for twice as many ends that race. */
static int
our_routes(const struct record *r, struct nl_route **list)
{
	unsigned max = 0;
	int n;

	*list = NULL;
	while ((n = nl_route_list(r->nl, HOST_ROUTE_PROTO, *list, max)) > (int)max) {
		free(*list);
		max = 2 * (unsigned)n;
		if ((*list = calloc(max, sizeof(**list))) == NULL)
			return -ENOMEM;
	}
	return n;
}

static void
adopt_guards(struct record *r)
{
	struct nl_route *list;
	int n;

	n = our_routes(r, &list);
	for (int i = 1; (n == -EINTR || n == -EBUSY) && i < ADOPT_LOOKS; i++) {
		free(list);
		(void)poll(NULL, 0, ADOPT_STEP);
		n = our_routes(r, &list);
	}
	if (n < 0)
		log_event(LOG_LEVEL_WARN, "adopt-failed", "error=\"%s\" what=\"guard routes of a daemon that "
		    "crashed, if any, stay\"", strerror(-n));
	for (int i = 0; i < n; i++)
		adopt_guard(r, &list[i]);
	free(list);
}

void
record_adopt(struct record *r)
{
	struct state_sysctl s[SYSCTLS_MAX];
	struct host_request q;
	size_t guards, n;

	adopt_guards(r);
	guards = r->n;
	n = state_read(r->state, s, SYSCTLS_MAX);
	for (size_t i = 0; i < n && record_room(r, false); i++) {
		q = (struct host_request){ .op = HOST_SYSCTL_SET, .sysctl = s[i].which, .value = s[i].set };
		memcpy(q.name, s[i].name, sizeof(q.name));
		record_add(r, &q, -1, false)->was = s[i].was;
	}
	if (r->n > 0)
		log_event(LOG_LEVEL_NOTICE, "adopted", "guards=%zu sysctls=%zu what=\"left by a daemon that "
		    "did not stop cleanly; kept until the engine has asked for its own\"", guards, r->n - guards);
}

/* All devices of our group, to be freed; the number of them or -errno.  As our_routes(). */
static int
group_links(const struct record *r, struct nl_link **list)
{
	unsigned max = 64;
	int n;

	*list = calloc(max, sizeof(**list));
	while (*list != NULL && (n = nl_link_list(r->nl, HOST_LINK_GROUP, *list, max)) > (int)max) {
		free(*list);
		max = 2 * (unsigned)n;
		*list = calloc(max, sizeof(**list));
	}
	return *list == NULL ? -ENOMEM : n;
}

int
record_leftovers(struct record *r, char one[IFNAMSIZ])
{
	struct nl_link *link;
	int left = 0, n = group_links(r, &link);

	for (int i = 0; i < n; i++) {
		if (!link[i].tun || record_device(r, link[i].name) != NULL)
			continue;
		memcpy(one, link[i].name, IFNAMSIZ);
		left++;
	}
	free(link);
	return n < 0 ? n : left;
}

bool
record_wait(struct record_wait *w, int left, usec_t now)
{
	if (left > 0 && (w->least == 0 || left < w->least)) {
		w->least = left;
		w->since = now;
	}
	return left != 0 && now - w->since < BROKER_DEVICE_PATIENCE;
}

/* ---- undoing ----------------------------------------------------------------------------- */

/* Only what still is as we set it: a value that somebody changed since is theirs. */
static void
restore_sysctl(const struct record_object *x)
{
	int err, now = 0;

	err = sysctl_read(x->what.sysctl, x->what.name, &now);
	if (err == 0 && now == x->what.value)
		err = sysctl_write(x->what.sysctl, x->what.name, x->was);
	if (err != 0 && err != -ENOENT)		/* the interface is gone: nothing to restore */
		log_event(LOG_LEVEL_WARN, "sysctl-not-restored", "which=%u interface=\"%s\" value=%d "
		    "error=\"%s\"", (unsigned)x->what.sysctl, x->what.name, x->was, strerror(-err));
}

static void
undo_object(struct record *r, struct record_object *x)
{
	struct nl_route route = record_route(&x->what);
	bool guard = is_guard(&x->what);	/* *x is another one after it was forgotten */
	int err = 0;

	switch (x->what.op) {
	case HOST_TUN_OPEN:
		if (x->what.slot > 0) {		/* a queue goes with its device, or alone */
			record_forget(r, x);
			break;
		}
		/* Not by closing alone: the engine may still hold its copy.  By index and only while
		 * ours is attached: the name may be another's by now. */
		if (tun_alive(x->fd) == 0)
			err = nl_link_del(r->nl, x->ifindex);
		record_forget_device(r, x->what.name);
		break;
	case HOST_ADDR_ADD:
		if (record_over_ours(r, &x->what))
			err = nl_addr(r->nl, false, x->what.name, &x->what.prefix, NULL);
		record_forget(r, x);
		break;
	case HOST_ROUTE_ADD:
		if (record_over_ours(r, &x->what))
			err = nl_route(r->nl, false, &route);
		record_forget(r, x);
		break;
	case HOST_SYSCTL_SET:
		restore_sysctl(x);
		record_forget(r, x);
		break;
	default:
		record_forget(r, x);
		break;
	}
	if (err != 0 && err != -ESRCH && err != -ENODEV && err != -EADDRNOTAVAIL)
		log_event(LOG_LEVEL_WARN, "not-undone", "object=%s device=\"%s\" error=\"%s\"",
		    guard ? "guard" : "object", route.device, strerror(-err));
}

/* All of one kind that are not wanted.  Undoing a device takes others with it: start over. */
static void
undo_kind(struct record *r, enum host_op op, bool guards)
{
	for (size_t i = 0; i < r->n;) {
		if (r->obj[i].what.op == op && !r->obj[i].wanted && is_guard(&r->obj[i].what) == guards) {
			undo_object(r, &r->obj[i]);
			i = op == HOST_TUN_OPEN ? 0 : i;
		} else {
			i++;
		}
	}
}

/* Closing many devices takes 21 ms each, a whole group goes at once; but only when nobody
 * else's device is in it. */
static void
undo_group(struct record *r)
{
	char other[IFNAMSIZ];
	unsigned devices = 0;
	int in_group;

	for (size_t i = 0; i < r->n; i++) {
		if (r->obj[i].what.op != HOST_TUN_OPEN || r->obj[i].what.slot > 0)
			continue;
		if (r->obj[i].wanted)
			return;
		devices += tun_alive(r->obj[i].fd) == 0;
	}
	in_group = nl_link_list(r->nl, HOST_LINK_GROUP, NULL, 0);
	if (devices > 1 && in_group == (int)devices && record_leftovers(r, other) == 0)
		(void)nl_link_del_group(r->nl, HOST_LINK_GROUP);
}

void
record_unwant(struct record *r)
{
	for (size_t i = 0; i < r->n; i++)
		r->obj[i].wanted = false;
}

/*
 * All that is not wanted; returns how many.  The order keeps clear text in at every moment:
 * forwarding goes back first, guards go last.
 */
static size_t
sweep(struct record *r)
{
	size_t before = r->n;

	undo_kind(r, HOST_SYSCTL_SET, false);
	undo_kind(r, HOST_UDP_OPEN, false);
	undo_group(r);
	undo_kind(r, HOST_TUN_OPEN, false);
	undo_kind(r, HOST_ADDR_ADD, false);
	undo_kind(r, HOST_ROUTE_ADD, false);
	undo_kind(r, HOST_ROUTE_ADD, true);
	record_save(r);
	return before - r->n;
}

void
record_sweep(struct record *r)
{
	size_t n = sweep(r);

	if (n > 0)
		log_event(LOG_LEVEL_INFO, "swept", "objects=%zu what=\"no longer asked for\"", n);
}

void
record_undo(struct record *r, bool keep_guards)
{
	size_t n;

	for (size_t i = 0; i < r->n; i++)
		r->obj[i].wanted = is_guard(&r->obj[i].what) &&
		    (keep_guards || r->obj[i].what.keep_guards);
	n = sweep(r);
	if (n > 0 || r->n > 0)
		log_event(LOG_LEVEL_INFO, "undone", "objects=%zu guards_kept=%zu", n, r->n);
}
