/* SPDX-License-Identifier: MIT */
#include "gateway/keys.h"

#include <string.h>

static const struct key_word log_levels[] = {
	{ "error", LOG_LEVEL_ERROR }, { "warn", LOG_LEVEL_WARN }, { "notice", LOG_LEVEL_NOTICE },
	{ "info", LOG_LEVEL_INFO }, { "debug", LOG_LEVEL_DEBUG }, { NULL, 0 },
};
static const struct key_word hosts[] = {
	{ "check", HOST_CHECK }, { "manage", HOST_MANAGE }, { NULL, 0 },
};
const struct key_word key_presets[] = {
	{ "aws", PRESET_AWS }, { "tandem", PRESET_TANDEM }, { NULL, 0 },
};
static const struct key_word selectors[] = {
	{ "any", SELECTORS_ANY }, { "networks", SELECTORS_NETWORKS }, { NULL, 0 },
};
static const struct key_word modes[] = { { "start", 1 }, { "add", 0 }, { NULL, 0 } };
static const struct key_word never[] = { { "never", 0 }, { NULL, 0 } };
static const struct key_word policies[] = {
	{ "active-standby", MON_ACTIVE_STANDBY }, { "active-active", MON_ACTIVE_ACTIVE },
	{ "pinned", MON_PINNED }, { NULL, 0 },
};
static const struct key_word pins[] = { { "1", 0 }, { "2", 1 }, { NULL, 0 } };
static const struct key_word by_peer[] = { { "auto", 0 }, { NULL, 0 } };
static const struct key_word of_cores[] = { { "cores", 0 }, { NULL, 0 } };
static const struct key_word of_route[] = { { "route", 0 }, { NULL, 0 } };
static const struct key_word guards[] = {
	{ "on", GUARD_ON }, { "always", GUARD_ALWAYS }, { "off", GUARD_OFF }, { NULL, 0 },
};
static const struct key_word ike_ports[] = { { "500", 500 }, { "4500", 4500 }, { NULL, 0 } };

/* A member of the struct that holds the key. */
#define IN(of, member)	.at = offsetof(struct of, member), .size = sizeof(((struct of *)0)->member)
#define N_IN(of, member) .count_at = offsetof(struct of, member)
#define GATEWAY(member)	.home = HOME_GATEWAY, IN(config, member)
#define CONNECTION(member) .home = HOME_CONNECTION, IN(config_connection, member)
#define TUNNEL(member)	.home = HOME_TUNNEL, IN(config_tunnel, member)

const struct key keys[KEY_N] = {
[KEY_LOG] = { "log", GATEWAY(log), .type = TYPE_WORD, .words = log_levels,
    .value = { "info" }, .reload = CONFIG_GATEWAY_LIVE, .also = "log-level loglevel verbose",
    .doc = "How much is logged." },
[KEY_HOST] = { "host", GATEWAY(host), .type = TYPE_WORD, .words = hosts,
    .value = { "check" }, .reload = CONFIG_GATEWAY_LIVE,
    .doc = "What to do where settings of the host are in the way (forwarding, reverse-path "
    "filtering): say so, or set them and restore them at the end." },
[KEY_CONTROL] = { "control", GATEWAY(socket), .type = TYPE_PATH, .min = 1,
    .follows = "the command line", .reload = CONFIG_GATEWAY_RESTART, .also = "socket",
    .doc = "Where the control socket is." },
[KEY_PORT] = { "port", GATEWAY(port), .type = TYPE_NUMBER, .min = 1, .max = 65535,
    .value = { "500" }, .reload = CONFIG_GATEWAY_RESTART, .also = "ike-port",
    .doc = "Our UDP port of IKE." },
[KEY_NATT_PORT] = { "natt-port", GATEWAY(natt_port), .type = TYPE_NUMBER, .min = 1, .max = 65535,
    .value = { "4500" }, .reload = CONFIG_GATEWAY_RESTART, .also = "nat-port esp-port",
    .doc = "Our UDP port of IKE behind a NAT and of ESP." },
[KEY_WORKERS] = { "workers", GATEWAY(workers), .type = TYPE_NUMBER, .words = of_cores, .min = 1,
    .max = CONFIG_WORKERS_MAX, .value = { "cores" }, .reload = CONFIG_GATEWAY_RESTART,
    .also = "threads cores cpus",
    .doc = "How many threads move packets; 'cores': one for each core that the daemon may use. "
    "A connection is served by one of them." },
[KEY_CONNECTIONS] = { "connections", .home = HOME_GATEWAY, .type = TYPE_CONNECTIONS,
    .required = true, .reload = CONFIG_ADD, .also = "connection conn",
    .doc = "The connections, by name." },

[KEY_PRESET] = { "preset", CONNECTION(preset), .type = TYPE_WORD, .words = key_presets,
    .reload = CONFIG_LIVE, .also = "profile template",
    .doc = "Who is at the other end: fills what is not written. A change counts by the values "
    "that it changes." },
[KEY_NETWORKS] = { "networks", CONNECTION(networks), .type = TYPE_PREFIXES, .min = 1, .max = 1024,
    N_IN(config_connection, networks_n), .required = true, .reload = CONFIG_LIVE,
    .also = "subnets remote-networks remote-subnet rightsubnet routes prefixes",
    .doc = "The networks of the remote site, which are routed into the tunnels." },
[KEY_LOCAL_NETWORKS] = { "local-networks", CONNECTION(local_networks), .type = TYPE_PREFIXES,
    .min = 0, .max = 1024, N_IN(config_connection, local_networks_n), .reload = CONFIG_LIVE,
    .also = "local-subnets leftsubnet", .follows = "nothing",
    .doc = "Our networks that the remote site reaches. Needed with 'selectors: networks', else "
    "only compared with 'networks'." },
[KEY_SELECTORS] = { "selectors", CONNECTION(selectors), .type = TYPE_WORD, .words = selectors,
    .value = { "any" }, .reload = CONFIG_RESTART, .also = "traffic-selectors ts",
    .doc = "The traffic selectors proposed: everything (with preset aws of the families of the "
    "inside addresses), or 'local-networks' and 'networks'." },
[KEY_DEVICE] = { "device", CONNECTION(device), .type = TYPE_DEVICE, .follows = "the name",
    .reload = CONFIG_RESTART, .also = "interface dev tun",
    .doc = "The network interface of the connection: 'td-' and its name, shortened where that "
    "does not fit." },
[KEY_MODE] = { "mode", CONNECTION(start), .type = TYPE_WORD, .words = modes,
    .value = { "start" }, .reload = CONFIG_LIVE, .also = "auto startup start-action",
    .doc = "Open the tunnels, again and again until they are up, or wait for the peer." },
[KEY_IKE] = { "ike", CONNECTION(ike), .type = TYPE_IKE_SUITES, .min = 1, .max = IKE_SUITES_MAX,
    N_IN(config_connection, ike_n), .reload = CONFIG_REKEY, .also = "phase1 ike-proposals",
    .value = { "aes256gcm16-prfsha384-ecp384 aes256gcm16-prfsha384-curve25519 "
    "aes256gcm16-prfsha256-ecp256 aes128gcm16-prfsha256-curve25519 "
    "aes128gcm16-prfsha256-ecp256 chacha20poly1305-prfsha256-curve25519 "
    "aes256gcm16-prfsha256-modp2048 aes256-sha384-ecp384 aes256-sha256-ecp256 "
    "aes256-sha256-modp2048 aes128-sha256-modp2048",
    "aes256gcm16-prfsha384-ecp384",
    "aes256gcm16-prfsha384-curve25519 chacha20poly1305-prfsha256-curve25519 "
    "aes256gcm16-prfsha384-ecp384 aes128gcm16-prfsha256-curve25519" },
    .doc = "The suites of the IKE SA, best first." },
[KEY_ESP] = { "esp", CONNECTION(esp), .type = TYPE_ESP_SUITES, .min = 1, .max = IKE_SUITES_MAX,
    N_IN(config_connection, esp_n), .reload = CONFIG_REKEY, .also = "phase2 phase2alg ipsec",
    .value = { "aes256gcm16-ecp384 aes256gcm16-curve25519 aes256gcm16-ecp256 "
    "aes128gcm16-curve25519 aes128gcm16-ecp256 chacha20poly1305-curve25519 "
    "aes256gcm16-modp2048 aes256-sha384-ecp384 aes256-sha256-ecp256 aes256-sha256-modp2048 "
    "aes128-sha256-modp2048 aes256gcm16 aes128gcm16 aes256-sha256",
    "aes256gcm16-ecp384",
    "aes256gcm16-curve25519 chacha20poly1305-curve25519 aes256gcm16-ecp384 "
    "aes128gcm16-curve25519" },
    .doc = "The suites of the Child SA, best first; a group in a suite means PFS." },
[KEY_ESN] = { "esn", CONNECTION(esn), .type = TYPE_BOOL, .value = { "true", "false" },
    .reload = CONFIG_REKEY, .also = "extended-sequence-numbers",
    .doc = "Offer 64-bit sequence numbers, before 32-bit ones." },
[KEY_IKE_LIFETIME] = { "ike-lifetime", CONNECTION(ike_life), .type = TYPE_DURATION,
    .min = USEC_S(60), .max = USEC_S(7 * 86400), .value = { "8h" }, .reload = CONFIG_REKEY,
    .also = "ikelifetime phase1-lifetime ike-life",
    .doc = "The hard end of an IKE SA; it is rekeyed at a random 75 to 83 % of that." },
[KEY_LIFETIME] = { "lifetime", CONNECTION(child_life), .type = TYPE_DURATION,
    .min = USEC_S(30), .max = USEC_S(7 * 86400), .value = { "1h" }, .reload = CONFIG_REKEY,
    .also = "salifetime keylife phase2-lifetime life child-lifetime esp-lifetime",
    .doc = "The same of a Child SA; at most 'ike-lifetime'." },
[KEY_LIVENESS] = { "liveness", CONNECTION(liveness), .type = TYPE_DURATION, .words = never,
    .min = USEC_S(1), .max = USEC_S(3600), .value = { "10s" }, .reload = CONFIG_LIVE,
    .also = "dpd dpddelay dpd-delay dpd-timeout keepalive",
    .doc = "Ask the peer by IKE after so long without a word of it." },
[KEY_RETRY_MAX] = { "retry-max", CONNECTION(retry_max), .type = TYPE_DURATION,
    .min = USEC_S(1), .max = USEC_S(3600), .value = { "1m", NULL, "15s" },
    .reload = CONFIG_LIVE, .also = "retry backoff",
    .doc = "The longest pause between attempts to open a tunnel." },
[KEY_REPLAY_WINDOW] = { "replay-window", CONNECTION(window), .type = TYPE_NUMBER,
    .min = 64, .max = 8192, .value = { "1024" }, .reload = CONFIG_REKEY,
    .also = "window replay", .doc = "How many packets may overtake one another." },
[KEY_SHARE] = { "workers", CONNECTION(workers), .type = TYPE_NUMBER, .min = 1,
    .max = CONFIG_WORKERS_MAX, .value = { "1" }, .reload = CONFIG_RESTART, .also = "spread",
    .doc = "How many workers share what the connection carries, flow by flow; at most those that "
    "the gateway has. Each by a Child SA of its own where the peer takes them (RFC 9611), else only "
    "what is sent, while the replay window of the peer is known to be 1,024 or more." },
[KEY_PEER_WINDOW] = { "peer-window", CONNECTION(peer_window), .type = TYPE_NUMBER,
    .words = by_peer, .min = 32, .max = 65536, .value = { "auto" }, .reload = CONFIG_LIVE,
    .also = "remote-window",
    .doc = "The replay window of the peer, for 'workers'; 'auto': 1,024 where the peer says that "
    "it is Tandem, else unknown." },
[KEY_POLICY] = { "policy", CONNECTION(policy), .type = TYPE_WORD, .words = policies,
    .value = { "active-standby" }, .reload = CONFIG_LIVE, .also = "failover path",
    .doc = "Which tunnel carries traffic: the first that is well, both by flow, or one only." },
[KEY_PIN] = { "pin", CONNECTION(pin), .type = TYPE_WORD, .words = pins,
    .value = { "1" }, .reload = CONFIG_LIVE, .also = "pinned",
    .doc = "The tunnel of 'policy: pinned'." },
[KEY_HOLD] = { "hold", CONNECTION(hold), .type = TYPE_DURATION, .min = 0, .max = USEC_S(86400),
    .value = { "30s" }, .reload = CONFIG_LIVE, .also = "hold-time failback fail-back",
    .doc = "How long a preferred tunnel must be well again before traffic returns to it." },
[KEY_MTU] = { "mtu", CONNECTION(outer_mtu), .type = TYPE_NUMBER, .words = of_route,
    .min = 576, .max = 9216, .value = { "route" }, .reload = CONFIG_LIVE,
    .also = "outer-mtu", .doc = "The MTU of the path outside, from which the inside one is "
    "computed; 'route': that of the route to the peer." },
[KEY_METRIC] = { "metric", CONNECTION(metric), .type = TYPE_NUMBER, .min = 1, .max = 1000000,
    .value = { "100" }, .reload = CONFIG_LIVE, .also = "priority distance",
    .doc = "The metric of the routes. Two connections may have an equal network with different "
    "metrics: one backs up the other." },
[KEY_MSS_CLAMP] = { "mss-clamp", CONNECTION(clamp_mss), .type = TYPE_BOOL, .value = { "true" },
    .reload = CONFIG_LIVE, .also = "clamp-mss mss tcpmss",
    .doc = "Lower the segment size of TCP connections to what fits the tunnel." },
[KEY_COPY_DSCP] = { "copy-dscp", CONNECTION(copy_dscp), .type = TYPE_BOOL, .value = { "true" },
    .reload = CONFIG_LIVE, .also = "dscp tos",
    .doc = "Copy the DSCP of inner packets to the outside, where it can be seen." },
[KEY_GUARD] = { "guard", CONNECTION(guard), .type = TYPE_WORD, .words = guards,
    .value = { "on" }, .reload = CONFIG_LIVE, .also = "kill-switch killswitch blackhole",
    .doc = "An unreachable route for each network that keeps clear text in while no tunnel is "
    "up: until a clean stop, after that too, or not at all. Never for a default route." },
[KEY_TUNNELS] = { "tunnels", .home = HOME_CONNECTION, .type = TYPE_TUNNELS,
    .required = true, .min = CONFIG_TUNNELS, .max = CONFIG_TUNNELS, .reload = CONFIG_RESTART,
    .also = "tunnel paths", .doc = "The two tunnels, in order of preference." },

[KEY_REMOTE] = { "remote", TUNNEL(remote), .type = TYPE_ADDRESS, .shared = true, .required = true,
    .reload = CONFIG_RESTART, .also = "peer right gateway remote-address server endpoint",
    .doc = "The outside address of the peer." },
[KEY_REMOTE_PORT] = { "remote-port", TUNNEL(remote_port), .type = TYPE_WORD, .words = ike_ports,
    .shared = true, .value = { "500" }, .reload = CONFIG_RESTART, .also = "peer-port",
    .doc = "The port of the peer at which to open; 4500 for peers that want to start there." },
[KEY_INSIDE] = { "inside", TUNNEL(inside_local), .type = TYPE_INSIDE,
    .follows = "nothing", .reload = CONFIG_RESTART,
    .also = "inside-address inside-cidr address link inside-ip",
    .doc = "Our inside address with the length of its link (/30 or /31, /126 or /127), one a "
    "family; the peer has the other address. Preset aws: the network as AWS shows it will do." },
[KEY_PSK_FILE] = { "psk-file", TUNNEL(psk_file), .type = TYPE_PATH, .shared = true,
    .required = true, .reload = CONFIG_RESTART,
    .also = "psk secret key pre-shared-key password psk_file secret-file keyfile",
    .doc = "The file, of mode 0600, whose first line is the pre-shared key: as it is, or after "
    "'hex:' or 'base64:' encoded." },
[KEY_LOCAL] = { "local", TUNNEL(local), .type = TYPE_ADDRESS, .shared = true,
    .follows = "the route to 'remote'", .reload = CONFIG_RESTART,
    .also = "left source bind local-address", .doc = "Our outside address." },
[KEY_LOCAL_ID] = { "local-id", TUNNEL(local_id), .type = TYPE_ID, .shared = true,
    .follows = "'local'", .reload = CONFIG_RESTART, .also = "leftid id my-id",
    .doc = "Our identity: an address, a host name, an e-mail address, or after 'keyid:' "
    "anything. Needed where 'local' is not written." },
[KEY_REMOTE_ID] = { "remote-id", TUNNEL(remote_id), .type = TYPE_ID, .shared = true,
    .follows = "'remote'", .reload = CONFIG_RESTART, .also = "rightid peer-id",
    .doc = "The identity that the peer must prove." },
[KEY_PROBE] = { "probe", TUNNEL(probe), .type = TYPE_ADDRESS, .shared = true,
    .follows = "'inside'", .reload = CONFIG_LIVE, .also = "monitor ping probe-address",
    .doc = "The address that the monitor asks through the tunnel: the peer's inside address "
    "unless written." },
};

_Static_assert(KEY_N <= CONFIG_KEYS, "config.h has room for the origin of every key");

const char *
key_default(const struct key *k, enum key_preset preset)
{
	return k->value[preset] != NULL ? k->value[preset] : k->value[PRESET_NONE];
}

bool
key_fits(const struct key *k, enum key_home level)
{
	return k->home == level || (k->shared && level == HOME_CONNECTION);
}

const struct key *
key_find(const char *name, enum key_home level)
{
	for (size_t i = 0; i < KEY_N; i++) {
		if (key_fits(&keys[i], level) && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	}
	return NULL;
}

static const char *const level_name[] = {
	[HOME_GATEWAY] = "the gateway", [HOME_CONNECTION] = "a connection",
	[HOME_TUNNEL] = "a tunnel",
};

/* `word` is one of the words of `list`. */
static bool
listed(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; p != NULL && len > 0 && (p = strstr(p, word)) != NULL; p++) {
		if ((p == list || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
			return true;
	}
	return false;
}

const struct key *
key_unknown(struct mistakes *m, struct place at, const char *name, enum key_home level)
{
	struct nearest near = nearest_to(name);
	char word[SHOWN_LEN], hint[NEAREST_LEN];
	const struct key *elsewhere = NULL;

	for (size_t i = 0; i < KEY_N; i++) {
		const struct key *k = &keys[i];

		if (key_fits(k, level) && listed(k->also, name)) {
			near.best = k->name;
			near.distance = 0;
		} else if (key_fits(k, level))
			nearest_try(&near, k->name);
		else if (strcmp(k->name, name) == 0)
			elsewhere = k;
	}
	if (elsewhere != NULL)
		mistake(m, at, "'%s' is not a key of %s; it belongs to %s", elsewhere->name,
		    level_name[level], level_name[elsewhere->home]);
	else
		mistake(m, at, "'%s' is not a key of %s%s", shown(name, word), level_name[level],
		    near.best != NULL ? nearest_str(&near, hint) : "; see tandem.yaml(5)");
	return elsewhere == NULL && near.best != NULL ? key_find(near.best, level) : NULL;
}

static void
join_words(const struct key_word *w, char *buf, size_t cap)
{
	size_t n = strlen(buf);

	for (; w != NULL && w->word != NULL && n < cap; w++)
		n += (size_t)snprintf(buf + n, cap - n, "%s%s", n == 0 ? "" :
		    w[1].word == NULL ? " or " : ", ", w->word);
}

const char *
key_expected(const struct key *k, char *buf)
{
	char low[DURATION_LEN], high[DURATION_LEN];

	buf[0] = '\0';
	switch (k->type) {
	case TYPE_WORD:
		break;
	case TYPE_BOOL:
		return "true or false";
	case TYPE_NUMBER:
		snprintf(buf, KEY_EXPECTED_LEN, "a number from %llu to %llu",
		    (unsigned long long)k->min, (unsigned long long)k->max);
		break;
	case TYPE_DURATION:
		snprintf(buf, KEY_EXPECTED_LEN, "a duration from %s to %s, such as 90s or 8h",
		    duration_str(k->min, low), duration_str(k->max, high));
		break;
	case TYPE_ADDRESS:
		return "an IP address";
	case TYPE_PREFIXES:
		return "a network such as 10.0.0.0/16, or a list of them";
	case TYPE_INSIDE:
		return "an address with its length such as 169.254.80.146/30, or one a family";
	case TYPE_ID:
		return "an address, a host name, an e-mail address or 'keyid:' and a text";
	case TYPE_PATH:
		return k->min > 0 ? "an absolute path" : "the name of a file";
	case TYPE_DEVICE:
		return "1 to 15 letters, digits, '-', '_' and dots";
	case TYPE_IKE_SUITES:
		return "a suite such as aes256gcm16-prfsha384-ecp384, or a list of them";
	case TYPE_ESP_SUITES:
		return "a suite such as aes256gcm16-ecp384, or a list of them";
	case TYPE_CONNECTIONS:
		return "a map of names to connections";
	case TYPE_TUNNELS:
		return "a list of two tunnels";
	}
	join_words(k->words, buf, KEY_EXPECTED_LEN);
	return buf;
}

const char *
key_reload_name(const struct key *k)
{
	switch (k->reload) {
	case CONFIG_LIVE:
	case CONFIG_GATEWAY_LIVE:
		return "live";
	case CONFIG_REKEY:
		return "rekey";
	case CONFIG_RESTART:
		return "restart";
	case CONFIG_GATEWAY_RESTART:
		return "daemon restart";
	case CONFIG_ADD:
	case CONFIG_DEL:
		break;
	}
	return "by connection";
}

static const struct unit {
	const char *name;
	usec_t len;
} units[] = {
	{ "d", USEC_S(86400) }, { "h", USEC_S(3600) }, { "m", USEC_S(60) }, { "s", USEC_S(1) },
	{ "ms", USEC_MS(1) },
};

#define UNITS_N	(sizeof(units) / sizeof(units[0]))

const char *
duration_str(usec_t t, char *buf)
{
	size_t i = 0;

	while (i < UNITS_N - 1 && (t < units[i].len || t % units[i].len != 0))
		i++;
	if (t == 0)
		i = 3;			/* 0s */
	snprintf(buf, DURATION_LEN, "%llu%s", (unsigned long long)(t / units[i].len),
	    units[i].name);
	return buf;
}

bool
duration_parse(const char *text, usec_t *t)
{
	usec_t n = 0, unit = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		n = n < UINT32_MAX ? n * 10 + (usec_t)(*p - '0') : n;
	if (p == text || (text[0] == '0' && p != text + 1))
		return false;
	for (size_t i = 0; i < UNITS_N; i++) {
		if (strcmp(p, units[i].name) == 0)
			unit = units[i].len;
	}
	if (*p == '\0')
		unit = USEC_S(1);
	if (unit == 0)
		return false;
	*t = n >= UINT32_MAX || n > (USEC_NEVER - 1) / unit ? USEC_NEVER - 1 : n * unit;
	return true;
}
