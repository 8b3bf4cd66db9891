/* SPDX-License-Identifier: MIT */
#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

size_t
ip_len(uint8_t family)
{
	return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
}

bool
ip_is_any(const struct ip *a)
{
	static const uint8_t zero[16];

	return memcmp(a->b, zero, ip_len(a->family)) == 0;
}

int
ip_cmp(const struct ip *a, const struct ip *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, ip_len(a->family));
}

bool
ip_parse(const char *text, struct ip *ip)
{
	memset(ip, 0, sizeof(*ip));
	ip->family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	if (inet_pton(ip->family, text, ip->b) == 1)
		return true;
	memset(ip, 0, sizeof(*ip));
	return false;
}

/* The mask of byte `i` under a prefix of `len` bits. */
static uint8_t
mask_byte(unsigned len, size_t i)
{
	unsigned before = (unsigned)i * 8;

	if (len >= before + 8)
		return 0xff;
	return len <= before ? 0 : (uint8_t)(0xff << (8 - (len - before)));
}

/* Decimal without sign, space or leading zero, at most `max`. */
static bool
bits_parse(const char *text, unsigned max, uint8_t *bits)
{
	unsigned v = 0;

	if (*text == '\0' || (text[0] == '0' && text[1] != '\0'))
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		v = v * 10 + (unsigned)(*text - '0');
		if (v > max)
			return false;
	}
	*bits = (uint8_t)v;
	return true;
}

bool
prefix_parse(const char *text, bool strict, struct prefix *p)
{
	const char *slash = strchr(text, '/');
	size_t n = slash != NULL ? (size_t)(slash - text) : strlen(text);
	char address[IP_STRLEN];

	memset(p, 0, sizeof(*p));
	if (n >= sizeof(address))
		return false;
	memcpy(address, text, n);
	address[n] = '\0';
	if (!ip_parse(address, &p->ip))
		return false;
	p->len = (uint8_t)(ip_len(p->ip.family) * 8);
	if (slash != NULL && !bits_parse(slash + 1, p->len, &p->len))
		goto refuse;
	for (size_t i = 0; i < ip_len(p->ip.family); i++) {
		uint8_t kept = p->ip.b[i] & mask_byte(p->len, i);

		if (strict && kept != p->ip.b[i])
			goto refuse;
		p->ip.b[i] = kept;
	}
	return true;
refuse:
	memset(p, 0, sizeof(*p));
	return false;
}

const char *
ip_str(const struct ip *ip, char *buf)
{
	if (ip_len(ip->family) == 0 || inet_ntop(ip->family, ip->b, buf, IP_STRLEN) == NULL)
		memcpy(buf, "any", sizeof("any"));
	return buf;
}

const char *
endpoint_str(const struct endpoint *e, char *buf)
{
	char address[IP_STRLEN];

	(void)ip_str(&e->ip, address);
	if (ip_len(e->ip.family) == 0)
		memcpy(buf, "any", sizeof("any"));
	else
		snprintf(buf, ENDPOINT_STRLEN, e->ip.family == AF_INET6 ? "[%s]:%u" : "%s:%u",
		    address, e->port);
	return buf;
}

const char *
prefix_str(const struct prefix *p, char *buf)
{
	char address[IP_STRLEN];

	(void)ip_str(&p->ip, address);
	if (ip_len(p->ip.family) == 0)
		memcpy(buf, "any", sizeof("any"));
	else
		snprintf(buf, PREFIX_STRLEN, "%s/%u", address, p->len);
	return buf;
}

/* The first `len` bits of a and b, of one family, are equal. */
static bool
bits_equal(const struct ip *a, const struct ip *b, unsigned len)
{
	for (size_t i = 0; i < ip_len(a->family); i++) {
		if (((a->b[i] ^ b->b[i]) & mask_byte(len, i)) != 0)
			return false;
	}
	return true;
}

bool
prefix_has(const struct prefix *p, const struct ip *ip)
{
	return ip_len(p->ip.family) > 0 && p->ip.family == ip->family &&
	    bits_equal(&p->ip, ip, p->len);
}

bool
prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->len == b->len && ip_equal(&a->ip, &b->ip);
}

bool
prefix_overlap(const struct prefix *a, const struct prefix *b)
{
	return a->len <= b->len ? prefix_has(a, &b->ip) : prefix_has(b, &a->ip);
}

bool
ip_from_sockaddr(const struct sockaddr *sa, struct endpoint *e)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	memset(e, 0, sizeof(*e));
	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&v4, sa, sizeof(v4));
		memcpy(e->ip.b, &v4.sin_addr, 4);
		e->port = ntohs(v4.sin_port);
		break;
	case AF_INET6:
		memcpy(&v6, sa, sizeof(v6));
		memcpy(e->ip.b, &v6.sin6_addr, 16);
		e->port = ntohs(v6.sin6_port);
		break;
	default:
		return false;
	}
	e->ip.family = (uint8_t)sa->sa_family;
	return true;
}

socklen_t
ip_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(e->port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(e->port) };

	memset(ss, 0, sizeof(*ss));
	switch (e->ip.family) {
	case AF_INET:
		memcpy(&v4.sin_addr, e->ip.b, 4);
		memcpy(ss, &v4, sizeof(v4));
		return sizeof(v4);
	case AF_INET6:
		memcpy(&v6.sin6_addr, e->ip.b, 16);
		memcpy(ss, &v6, sizeof(v6));
		return sizeof(v6);
	default:
		return 0;
	}
}

struct ts
ts_from_prefix(const struct prefix *p)
{
	struct ts ts = { .start = p->ip, .end = p->ip, .port_end = UINT16_MAX };

	for (size_t i = 0; i < ip_len(p->ip.family); i++) {
		ts.start.b[i] &= mask_byte(p->len, i);
		ts.end.b[i] |= (uint8_t)~mask_byte(p->len, i);
	}
	return ts;
}

bool
ts_has_ip(const struct ts *ts, const struct ip *ip)
{
	return ip_len(ip->family) > 0 && ts->start.family == ip->family &&
	    ts->end.family == ip->family && ip_cmp(&ts->start, ip) <= 0 && ip_cmp(ip, &ts->end) <= 0;
}

bool
ts_list_covers(const struct ts_list *l, const struct ip *ip, uint8_t proto, uint16_t port)
{
	for (unsigned i = 0; i < l->n; i++) {
		const struct ts *ts = &l->ts[i];

		if ((ts->proto == 0 || ts->proto == proto) && ts->port_start <= port &&
		    port <= ts->port_end && ts_has_ip(ts, ip))
			return true;
	}
	return false;
}

/* The range is one block: its length in bits, else -1. */
static int
ts_bits(const struct ts *ts)
{
	size_t n = ip_len(ts->start.family);
	struct prefix p = { .ip = ts->start };
	struct ts whole;

	for (unsigned len = 0; n > 0 && len <= n * 8; len++) {
		p.len = (uint8_t)len;
		whole = ts_from_prefix(&p);
		if (ip_equal(&whole.start, &ts->start) && ip_equal(&whole.end, &ts->end))
			return (int)len;
	}
	return -1;
}

static const char *
proto_str(uint8_t proto, char *buf, size_t cap)
{
	switch (proto) {
	case 0:
		return "any";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMPV6:
		return "icmp6";
	default:
		snprintf(buf, cap, "%u", proto);
		return buf;
	}
}

const char *
ts_str(const struct ts *ts, char *buf)
{
	char start[IP_STRLEN], end[IP_STRLEN], number[4], ports[16] = "";
	bool all_ports = ts->port_start == 0 && ts->port_end == UINT16_MAX;
	int bits = ts_bits(ts), n;

	(void)ip_str(&ts->start, start);
	(void)ip_str(&ts->end, end);
	if (bits >= 0)
		n = snprintf(buf, TS_STRLEN, "%s/%d", start, bits);
	else
		n = snprintf(buf, TS_STRLEN, "%s-%s", start, end);
	if (ts->port_start == ts->port_end)
		snprintf(ports, sizeof(ports), "/%u", ts->port_start);
	else if (!all_ports)
		snprintf(ports, sizeof(ports), "/%u-%u", ts->port_start, ts->port_end);
	if (ts->proto != 0 || !all_ports)
		snprintf(buf + n, TS_STRLEN - (size_t)n, "[%s%s]",
		    proto_str(ts->proto, number, sizeof(number)), ports);
	return buf;
}
