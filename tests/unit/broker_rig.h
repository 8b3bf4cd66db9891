/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_UNIT_BROKER_RIG_H
#define TANDEM_UNIT_BROKER_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/broker.h"

#include "unit.h"

/* What the tests of the broker's parts ask for, and where its state is. */
static inline struct host_request
request(enum host_op op, const char *name)
{
	struct host_request q;

	memset(&q, 0, sizeof(q));
	q.op = op;
	strncpy(q.name, name, sizeof(q.name) - 1);
	return q;
}

static inline struct host_request
route(const char *to, const char *name, bool guard)
{
	struct host_request q = request(HOST_ROUTE_ADD, name);

	ck_assert(prefix_parse(to, true, &q.prefix));
	q.unreachable = guard;
	return q;
}

static char dir[64], file[96];

static inline void
make_dir(void)
{
	log_level_set(LOG_LEVEL_ERROR);
	strcpy(dir, "/tmp/tandem-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/state", dir);
}

static inline void
remove_dir(void)
{
	(void)unlink(file);
	(void)rmdir(dir);
}

#endif
