/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_HOSTCHECK_H
#define TANDEM_GATEWAY_HOSTCHECK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/*
 * What on the host is in the way of a gateway, each with the command that mends it.  It only
 * looks.  What it may not see (a packet filter without CAP_NET_ADMIN, the owner of another
 * user's socket) it says rather than keeping silent; `check` and `status` run by root see all.
 *
 * It takes some 10 ms, starts /usr/sbin/nft (and iptables-legacy where its tables are in use)
 * and blocks: not for the control thread.  Call it before broker_run(), in a job or in the CLI.
 */
enum finding_severity {
	FINDING_ERROR,			/* it will not work like this */
	FINDING_WARN,			/* it may not work, or not always */
	FINDING_NOTE,			/* worth knowing, or could not be looked at */
};

struct finding {
	enum finding_severity severity;
	const char *code;		/* "forward4-off": constant, for --json */
	char sentence[256];
	char command[256];		/* to type as root; "": there is none */
};

/*
 * The codes:
 *   forward4-off, forward6-off	the kernel does not forward between LAN and tunnels
 *   rp-filter-strict	an uplink drops what comes by a way it would not answer by
 *   no-route		no route to a tunnel's outside address
 *   filter-forward	a forward chain drops by default, and no rule in it names our devices
 *   filter-unknown	the packet filter could not be read
 *   port-taken		another process has a port that we need
 *   clock		the clock is far off: certificates and logs will be wrong
 *   rmem-small		receive buffers cannot be made as large as they should be
 */
struct hostcheck_in {
	const struct ip *remote;	/* outside addresses of the tunnels; AF_UNSPEC ones are skipped */
	size_t remote_n;
	const char (*device)[IFNAMSIZ];	/* our devices */
	size_t device_n;
	uint16_t port[4];		/* that we need; 0: none.  Leave them out when we hold them */
	bool inside4, inside6;		/* families that go through the tunnels */
	bool forwards;			/* the gateway turns forwarding on itself (host: manage) */
	int64_t now;			/* wall clock, seconds since 1970 */
};

#define HOSTCHECK_MAX	64		/* more findings than a person reads */

/* Returns how many findings are in `out`, worst first. */
size_t	hostcheck(const struct hostcheck_in *in, struct finding *out, size_t max);

/* The part that reads `nft -j list ruleset`, for tests: findings appended to out[n..max); the new n. */
size_t	hostcheck_ruleset(const struct hostcheck_in *in, const char *json, size_t len,
	    struct finding *out, size_t n, size_t max);

const char *finding_severity_name(enum finding_severity s);	/* "error", "warning", "note" */

#endif
