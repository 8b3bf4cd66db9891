/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_BASE_ADDR_H
#define TANDEM_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* An IP address.  `family` is AF_INET, AF_INET6 or AF_UNSPEC (none); bytes in network
 * order, 4 or 16 of them, the rest zero, so that two may be compared by ip_equal(). */
struct ip {
	uint8_t family;
	uint8_t b[16];
};

/* An address and a UDP port (host order). */
struct endpoint {
	struct ip ip;
	uint16_t port;
};

/* An address block; bits past `len` are zero after prefix_parse(). */
struct prefix {
	struct ip ip;
	uint8_t len;			/* bits, 0..32 or 0..128 */
};

#define IP_STRLEN	46
#define ENDPOINT_STRLEN	56		/* [v6]:port or v4:port */
#define PREFIX_STRLEN	50

size_t	ip_len(uint8_t family);		/* bytes: 4, 16, or 0 for AF_UNSPEC */
bool	ip_is_any(const struct ip *a);	/* none, 0.0.0.0 or :: */
int	ip_cmp(const struct ip *a, const struct ip *b);	/* family, then bytes */

/* These two are here because packets meet them; the rest of a v4 address is zero. */
static inline bool
ip_equal(const struct ip *a, const struct ip *b)
{
	if (a->family != b->family)
		return false;
	if (a->family == AF_INET6)
		return memcmp(a->b, b->b, 16) == 0;
	return a->family != AF_INET || memcmp(a->b, b->b, 4) == 0;
}

static inline bool
endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && ip_equal(&a->ip, &b->ip);
}

/* Text without names: "192.0.2.1", "2001:db8::1".  False when it is not an address. */
bool	ip_parse(const char *text, struct ip *ip);
/* "192.0.2.0/24"; an address alone is a /32 or /128.  False also when host bits are set
 * and `strict`; otherwise they are cleared. */
bool	prefix_parse(const char *text, bool strict, struct prefix *p);
/* All three write to `buf` of the _STRLEN above and return it; AF_UNSPEC prints "any". */
const char *ip_str(const struct ip *ip, char *buf);
const char *endpoint_str(const struct endpoint *e, char *buf);
const char *prefix_str(const struct prefix *p, char *buf);

bool	prefix_has(const struct prefix *p, const struct ip *ip);
bool	prefix_equal(const struct prefix *a, const struct prefix *b);
bool	prefix_overlap(const struct prefix *a, const struct prefix *b);

bool	ip_from_sockaddr(const struct sockaddr *sa, struct endpoint *e);
/* Returns the length for sendto/bind, 0 for AF_UNSPEC. */
socklen_t ip_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss);

/*
 * One traffic selector, RFC 7296 3.13.1: an address range, a protocol (0 any) and a
 * port range, all inclusive.  ICMP packs type and code into the port as the RFC says.
 */
struct ts {
	struct ip start, end;
	uint8_t proto;
	uint16_t port_start, port_end;
};

#define TS_MAX	64			/* selectors in one payload */

struct ts_list {
	unsigned n;
	struct ts ts[TS_MAX];
};

struct ts	ts_from_prefix(const struct prefix *p);
bool		ts_has_ip(const struct ts *ts, const struct ip *ip);
/* Inner packet coverage: address, protocol and port inside one of the list. */
bool		ts_list_covers(const struct ts_list *l, const struct ip *ip, uint8_t proto,
		    uint16_t port);
/* "10.0.0.0/16", "10.0.0.1-10.0.0.9", with "[tcp/443]" where not any.  Returns buf. */
#define TS_STRLEN	128
const char	*ts_str(const struct ts *ts, char *buf);

#endif
