/* SPDX-License-Identifier: MIT */
#include "gateway/broker_ops.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gateway/broker_claim.h"
#include "tun/tun.h"
#include "tun/udp.h"

/* ---- judging ----------------------------------------------------------------------------- */

static const char *
judge_name(const char *name)
{
	if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    strcmp(name, "all") == 0 || strcmp(name, "default") == 0)
		return "not a name for a device";
	for (; *name != '\0'; name++) {
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.", *name) == NULL)
			return "a device name has letters, digits, '-', '_' and '.' only";
	}
	return NULL;
}

static const char *
judge_address(const struct host_request *q)
{
	const uint8_t *b = q->prefix.ip.b;
	uint8_t family = q->prefix.ip.family;

	if (family == AF_UNSPEC || q->prefix.len == 0)
		return "no address";
	if (ip_is_any(&q->prefix.ip) || (family == AF_INET && (b[0] >= 224 || b[0] == 127)) ||
	    (family == AF_INET6 && b[0] == 0xff))
		return "not the address of a host";
	return judge_name(q->name);
}

static const char *
judge_route(const struct host_request *q)
{
	struct prefix clean = q->prefix;
	char text[PREFIX_STRLEN];

	if (q->prefix.ip.family == AF_UNSPEC)
		return "no prefix";
	if (!prefix_parse(prefix_str(&q->prefix, text), true, &clean))
		return "host bits are set in the prefix";
	if (!q->unreachable)
		return q->metric == HOST_GUARD_METRIC ? "this metric is for guards" : judge_name(q->name);
	if (q->name[0] != '\0')
		return "a guard has no device";
	if (host_is_default(&q->prefix))
		return "never a guard for a default route: it would cut the host off";
	return q->metric != HOST_GUARD_METRIC && q->metric != 0 ? "not the metric of a guard" : NULL;
}

/* Sockets of one address or one device are for a configuration that binds; there is none yet. */
static const char *
judge_socket(const struct host_request *q)
{
	if (q->local.ip.family == AF_UNSPEC || q->local.port == 0)
		return "no family or no port";
	if (q->slots == 1)
		return "a set is control's socket and one a worker at least";
	return q->name[0] != '\0' || !ip_is_any(&q->local.ip) ? "not the wildcard address" : NULL;
}

static const char *
judge_sysctl(const struct host_request *q)
{
	switch (q->sysctl) {
	case HOST_SYSCTL_FORWARD4:
	case HOST_SYSCTL_FORWARD6:
		if (q->name[0] != '\0')
			return "forwarding is not of one interface";
		return q->value == 1 ? NULL : "forwarding is only ever turned on";
	case HOST_SYSCTL_RP_FILTER:
		return q->value == 2 ? judge_name(q->name) : "rp_filter is only ever set to loose (2)";
	case HOST_SYSCTL_LINKDOWN:
		return q->value == 0 || q->value == 1 ? judge_name(q->name) : "0 or 1";
	}
	return "no such sysctl";
}

const char *
broker_judge(const struct host_request *q)
{
	switch (q->op) {
	case HOST_TUN_OPEN:
	case HOST_TUN_CLOSE:
		return judge_name(q->name);
	case HOST_LINK_SET:
		if (q->mtu != 0 && (q->mtu < 68 || q->mtu > 65535))
			return "MTU out of range (68 to 65535)";
		return judge_name(q->name);
	case HOST_ADDR_ADD:
		return judge_address(q);
	case HOST_ROUTE_ADD:
	case HOST_ROUTE_DEL:
		return judge_route(q);
	case HOST_UDP_OPEN:
	case HOST_UDP_CLOSE:
		return judge_socket(q);
	case HOST_SYSCTL_SET:
		return judge_sysctl(q);
	case HOST_LIST:
	case HOST_STOP:
	case HOST_READY:
		return NULL;
	}
	return "no such request";
}

/* ---- doing ------------------------------------------------------------------------------- */

static void refuse(struct host_answer *a, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
refuse(struct host_answer *a, int err, const char *fmt, ...)
{
	va_list ap;

	a->err = err;
	va_start(ap, fmt);
	(void)vsnprintf(a->text, sizeof(a->text), fmt, ap);
	va_end(ap);
}

static void
full(struct host_answer *a)
{
	refuse(a, -ENOSPC, "no memory, or more objects than one instance may have");
}

/* Is the name a device of ours?  Else the answer says no. */
static struct record_object *
own_device(struct record *r, const struct host_request *q, struct host_answer *a)
{
	struct record_object *x = record_device(r, q->name);

	if (x != NULL && record_is_ours(x))
		return x;
	refuse(a, -ENODEV, "%s is not a device of ours", q->name);
	return NULL;
}

/* Answer with what is kept: a descriptor goes along as a copy. */
static void
give(struct record_object *x, struct host_answer *a, bool existed)
{
	x->wanted = true;
	a->existed = existed;
	a->ifindex = x->ifindex;
	a->fd = x->fd;
}

/* A further queue of a device of ours. */
static void
do_tun_queue(struct record *r, const struct host_request *q, struct host_answer *a)
{
	struct record_object *x = record_find(r, q, HOST_TUN_OPEN), *device = own_device(r, q, a);
	unsigned ifindex;
	int fd;

	if (device == NULL)
		return;
	ifindex = device->ifindex;
	if (device->what.slots != q->slots || tun_alive(device->fd) != 0) {
		refuse(a, -EINVAL, "%s was not made with %u queues", q->name, q->slots);
	} else if (x != NULL) {
		give(x, a, true);
	} else if (!record_room(r, true)) {
		full(a);
	} else if ((fd = tun_open_queue(q->name, HOST_LINK_GROUP, q->slot)) < 0) {
		refuse(a, fd, "cannot make a queue of %s: %s", q->name, strerror(-fd));
	} else {
		x = record_add(r, q, fd, true);
		x->ifindex = ifindex;
		give(x, a, false);
	}
}

/* Not by closing alone: the engine may still hold its copy.  By index, not by name: a device of
 * that name may be another one by now; and only while ours is attached. */
static void
drop_device(struct record *r, struct record_object *x)
{
	if (tun_alive(x->fd) == 0)
		(void)nl_link_del(r->nl, x->ifindex);
	record_forget_device(r, x->what.name);
}

static void
do_tun_open(struct record *r, const struct host_request *q, struct host_answer *a)
{
	struct record_object *x = record_device(r, q->name);
	bool ours = x != NULL && record_is_ours(x);
	int err, fd;

	if (ours && x->what.slots == q->slots) {
		give(x, a, true);
		return;
	}
	if (x != NULL)
		drop_device(r, x);	/* deleted or renamed under us, or with other queues */
	if (!record_room(r, true)) {
		full(a);
		return;
	}
	fd = q->slots > 0 ? tun_open_queue(q->name, HOST_LINK_GROUP, 0) :
	    tun_open(q->name, HOST_LINK_GROUP);
	if (fd < 0) {
		if (fd == -EBUSY)
			refuse(a, fd, "there is a device %s already, and it is not ours", q->name);
		else if (fd == -ENOENT || fd == -ENODEV)
			refuse(a, fd, "no /dev/net/tun: load the kernel module: modprobe tun");
		else
			refuse(a, fd, "cannot make device %s: %s", q->name, strerror(-fd));
		return;
	}
	/* An answer that comes by the other tunnel's device must not be taken for a spoofed one. */
	if ((err = sysctl_write(HOST_SYSCTL_RP_FILTER, q->name, 2)) != 0)
		log_event(LOG_LEVEL_WARN, "rp-filter", "device=%s error=\"%s\"", q->name, strerror(-err));
	x = record_add(r, q, fd, true);
	x->what.up = false;
	x->what.mtu = 0;
	x->ifindex = if_nametoindex(q->name);
	give(x, a, false);
}

static void
do_tun_close(struct record *r, const struct host_request *q, struct host_answer *a)
{
	struct record_object *x = record_device(r, q->name);

	if (x == NULL) {
		refuse(a, -ENOENT, "%s is not a device of ours", q->name);
		return;
	}
	drop_device(r, x);
}

static void
do_link_set(struct record *r, const struct host_request *q, struct host_answer *a)
{
	struct record_object *x = own_device(r, q, a);
	int err;

	if (x == NULL)
		return;
	if ((err = nl_link_set(r->nl, q->name, q->up, q->mtu)) != 0) {
		refuse(a, err, "cannot set %s %s with MTU %u: %s", q->name, q->up ? "up" : "down", q->mtu,
		    strerror(-err));
		return;
	}
	if (q->up && !x->what.up && x->what.slots > 0)
		(void)tun_queues_up(q->name, HOST_LINK_GROUP);
	x->what.up = q->up;
	if (q->mtu != 0)
		x->what.mtu = q->mtu;
	a->ifindex = x->ifindex;
}

static void
do_addr_add(struct record *r, const struct host_request *q, struct host_answer *a)
{
	struct record_object *x = record_find(r, q, HOST_ADDR_ADD);
	char text[PREFIX_STRLEN];
	int err;

	if (own_device(r, q, a) == NULL)
		return;
	if (x == NULL && !record_room(r, false)) {
		full(a);
		return;
	}
	err = nl_addr(r->nl, true, q->name, &q->prefix, NULL);
	if (err != 0 && err != -EEXIST)		/* the device is ours, and so is all on it */
		refuse(a, err, "cannot add address %s of %s: %s", prefix_str(&q->prefix, text), q->name,
		    strerror(-err));
	else
		give(x != NULL ? x : record_add(r, q, -1, true), a, x != NULL);
}

static void
do_route_add(struct record *r, const struct host_request *q, struct host_answer *a)
{
	struct record_object *x = record_find(r, q, HOST_ROUTE_ADD);
	struct nl_route route = record_route(q);
	char text[PREFIX_STRLEN];
	int err;

	if (!q->unreachable && own_device(r, q, a) == NULL)
		return;
	if (x == NULL && !record_room(r, false)) {
		full(a);
		return;
	}
	/* Always to the kernel: a route that we remember may have gone with a link that went down. */
	err = nl_route(r->nl, true, &route);
	if (err == -EEXIST && x == NULL) {
		refuse(a, err, "there is a route to %s with metric %u already, and it is not ours",
		    prefix_str(&q->prefix, text), q->metric);
	} else if (err != 0 && err != -EEXIST) {
		refuse(a, err, "cannot add a route to %s: %s", prefix_str(&q->prefix, text), strerror(-err));
	} else {
		a->existed = err == -EEXIST;
		if (x == NULL)
			x = record_add(r, q, -1, true);
		x->what.keep_guards = q->keep_guards;
		give(x, a, a->existed);
	}
}

static void
do_route_del(struct record *r, const struct host_request *q, struct host_answer *a)
{
	struct record_object *x = record_find(r, q, HOST_ROUTE_ADD);
	struct nl_route route = record_route(q);
	char text[PREFIX_STRLEN];
	int err;

	if (x == NULL) {
		refuse(a, -ENOENT, "no route of ours to %s", prefix_str(&q->prefix, text));
		return;
	}
	err = record_over_ours(r, &x->what) ? nl_route(r->nl, false, &route) : -ENODEV;
	if (err != 0 && err != -ESRCH && err != -ENODEV) {
		refuse(a, err, "cannot remove the route to %s: %s", prefix_str(&q->prefix, text),
		    strerror(-err));
		return;
	}
	record_forget(r, x);
}

/* Close all sockets of a place; false: there was none. */
static bool
forget_set(struct record *r, const struct host_request *q)
{
	struct record_object *x;
	struct host_request each = *q;
	bool found = false;

	for (each.slot = 0; each.slot < HOST_SLOTS_MAX; each.slot++) {
		x = record_find(r, &each, HOST_UDP_OPEN);
		if (x != NULL)
			record_forget(r, x);
		found = found || x != NULL;
	}
	return found;
}

/* The socket before it in its set, of equal settings: the order of the set is that of opening. */
static bool
has_predecessor(const struct record *r, const struct host_request *q)
{
	struct host_request before = *q;
	const struct record_object *x;

	if (q->slot == 0)
		return true;
	before.slot--;
	x = record_find(r, &before, HOST_UDP_OPEN);
	return x != NULL && x->what.slots == q->slots;
}

/* Those that any user may open are no privilege of ours to guard. */
static bool
port_allowed(const struct record *r, uint16_t port)
{
	return port >= 1024 || port == 500 || port == r->port[0] || port == r->port[1];
}

static void
do_udp_open(struct record *r, const struct host_request *q, struct host_answer *a)
{
	struct record_object *x = record_find(r, q, HOST_UDP_OPEN);
	char text[ENDPOINT_STRLEN];
	int fd;

	if (!port_allowed(r, q->local.port)) {
		refuse(a, -EPERM, "UDP port %u was not configured when the daemon started; restart the daemon",
		    q->local.port);
		return;
	}
	if (x != NULL && x->what.slots == q->slots) {
		give(x, a, true);
		return;
	}
	if (q->slot == 0)
		(void)forget_set(r, q);	/* the same place with other slots */
	if (!has_predecessor(r, q)) {
		refuse(a, -EINVAL, "the sockets of a set are opened in order");
		return;
	}
	if (!record_room(r, true)) {
		full(a);
		return;
	}
	fd = udp_open_shared(&q->local, NULL, 0, q->slots > 0 ? q->slots - 1 : 0, q->slot);
	if (fd >= 0) {
		give(record_add(r, q, fd, true), a, false);
		return;
	}
	if (fd == -EADDRINUSE)
		refuse(a, fd, "UDP %s is taken by another program; `ss -ulpn sport = :%u` shows which",
		    endpoint_str(&q->local, text), q->local.port);
	else
		refuse(a, fd, "cannot open UDP %s: %s", endpoint_str(&q->local, text), strerror(-fd));
}

static void
do_udp_close(struct record *r, const struct host_request *q, struct host_answer *a)
{
	if (!forget_set(r, q))
		refuse(a, -ENOENT, "no such socket of ours");
}

static void
do_sysctl(struct record *r, const struct host_request *q, struct host_answer *a)
{
	struct record_object *x = record_find(r, q, HOST_SYSCTL_SET);
	const struct record_object *device = record_device(r, q->name);
	bool own = device != NULL && record_is_ours(device);
	int err, was;

	if (q->sysctl == HOST_SYSCTL_LINKDOWN && own_device(r, q, a) == NULL)
		return;
	if ((err = sysctl_read(q->sysctl, q->name, &was)) != 0)
		goto out;
	if (was == q->value) {
		a->existed = true;		/* as it was, or as we set it: nothing new to remember */
		if (x != NULL)
			x->wanted = true;
		return;
	}
	if (!own && x == NULL) {		/* what is on our own device goes with it */
		if (!record_room(r, false)) {
			full(a);
			return;
		}
		x = record_add(r, q, -1, true);
		x->was = was;
		record_save(r);			/* before it is changed: a crash must not lose it */
	}
	if ((err = sysctl_write(q->sysctl, q->name, q->value)) == 0 && x != NULL)
		x->wanted = true;
	if (err != 0 && x != NULL) {
		record_forget(r, x);
		record_save(r);
	}
out:
	if (err != 0)
		refuse(a, err, "cannot change the sysctl%s%s: %s", q->name[0] != '\0' ? " of " : "", q->name,
		    strerror(-err));
}

void
broker_execute(struct record *r, const struct host_request *asked, struct host_answer *a)
{
	struct host_request q = *asked;
	const char *wrong = broker_judge(&q);

	memset(a, 0, sizeof(*a));
	a->id = q.id;
	a->op = q.op;
	a->fd = -1;
	a->what = q;
	if (wrong != NULL) {
		refuse(a, -EINVAL, "%s refused: %s", host_op_name(q.op), wrong);
		return;
	}
	if (q.unreachable)
		q.metric = HOST_GUARD_METRIC;
	switch (q.op) {
	case HOST_TUN_OPEN:
		if (q.slot > 0)
			do_tun_queue(r, &q, a);
		else
			do_tun_open(r, &q, a);
		return;
	case HOST_TUN_CLOSE:
		do_tun_close(r, &q, a);
		return;
	case HOST_LINK_SET:
		do_link_set(r, &q, a);
		return;
	case HOST_ADDR_ADD:
		do_addr_add(r, &q, a);
		return;
	case HOST_ROUTE_ADD:
		do_route_add(r, &q, a);
		return;
	case HOST_ROUTE_DEL:
		do_route_del(r, &q, a);
		return;
	case HOST_UDP_OPEN:
		do_udp_open(r, &q, a);
		return;
	case HOST_UDP_CLOSE:
		do_udp_close(r, &q, a);
		return;
	case HOST_SYSCTL_SET:
		do_sysctl(r, &q, a);
		return;
	case HOST_LIST:
	case HOST_STOP:
	case HOST_READY:
		refuse(a, -EINVAL, "%s is not for here", host_op_name(q.op));
		return;
	}
}
