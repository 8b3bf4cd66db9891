/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_CONFIG_TEXT_H
#define TANDEM_CONFIG_TEXT_H

#include <stdio.h>

#include "gateway/keys.h"

/* A configuration in which every key is written, with another good value for each: what
 * walks the table of keys changes one and looks.  The tunnel keys are those of tunnel 1. */
struct config_text {
	const char *value[KEY_N], *other[KEY_N];
};

static inline struct config_text
config_text_base(void)
{
	static const struct config_text base = {
		.value = {
			[KEY_LOG] = "info", [KEY_HOST] = "check", [KEY_CONTROL] = "/run/a",
			[KEY_PORT] = "500", [KEY_NATT_PORT] = "4500", [KEY_WORKERS] = "cores", [KEY_SHARE] = "1",
			[KEY_PEER_WINDOW] = "auto",
			[KEY_PRESET] = NULL,
			[KEY_NETWORKS] = "10.1.0.0/16", [KEY_LOCAL_NETWORKS] = "192.168.0.0/24",
			[KEY_SELECTORS] = "any", [KEY_DEVICE] = "vpn0", [KEY_MODE] = "start",
			[KEY_IKE] = "aes256gcm16-prfsha384-ecp384", [KEY_ESP] = "aes256gcm16-ecp384",
			[KEY_ESN] = "true", [KEY_IKE_LIFETIME] = "8h", [KEY_LIFETIME] = "1h",
			[KEY_LIVENESS] = "10s", [KEY_RETRY_MAX] = "1m", [KEY_REPLAY_WINDOW] = "1024",
			[KEY_POLICY] = "pinned", [KEY_PIN] = "1", [KEY_HOLD] = "30s", [KEY_MTU] = "route",
			[KEY_METRIC] = "100", [KEY_MSS_CLAMP] = "true", [KEY_COPY_DSCP] = "true",
			[KEY_GUARD] = "on", [KEY_REMOTE] = "203.0.113.1", [KEY_REMOTE_PORT] = "500",
			[KEY_INSIDE] = "169.254.10.1/30", [KEY_PSK_FILE] = "a", [KEY_LOCAL] = "192.0.2.1",
			[KEY_LOCAL_ID] = "a.example", [KEY_REMOTE_ID] = "b.example",
			[KEY_PROBE] = "10.1.0.1",
		},
		.other = {
			[KEY_LOG] = "debug", [KEY_HOST] = "manage", [KEY_CONTROL] = "/run/b",
			[KEY_PORT] = "501", [KEY_NATT_PORT] = "4501", [KEY_WORKERS] = "3", [KEY_SHARE] = "2",
			[KEY_PEER_WINDOW] = "64",
			[KEY_NETWORKS] = "[10.1.0.0/16, 10.2.0.0/16]", [KEY_LOCAL_NETWORKS] = "[]",
			[KEY_SELECTORS] = "networks", [KEY_DEVICE] = "vpn1", [KEY_MODE] = "add",
			[KEY_IKE] = "[aes256gcm16-prfsha384-ecp384, aes256-sha256-modp2048]",
			[KEY_ESP] = "aes128gcm16-ecp384", [KEY_ESN] = "false", [KEY_IKE_LIFETIME] = "7h",
			[KEY_LIFETIME] = "30m", [KEY_LIVENESS] = "never", [KEY_RETRY_MAX] = "90s",
			[KEY_REPLAY_WINDOW] = "8192", [KEY_POLICY] = "active-active", [KEY_PIN] = "2",
			[KEY_HOLD] = "500ms", [KEY_MTU] = "1400", [KEY_METRIC] = "200",
			[KEY_MSS_CLAMP] = "false", [KEY_COPY_DSCP] = "false", [KEY_GUARD] = "always",
			[KEY_REMOTE] = "203.0.113.9", [KEY_REMOTE_PORT] = "4500",
			[KEY_INSIDE] = "[169.254.10.1/30, 'fd00::1/126']", [KEY_PSK_FILE] = "b",
			[KEY_LOCAL] = "192.0.2.9", [KEY_LOCAL_ID] = "keyid:x y",
			[KEY_REMOTE_ID] = "198.51.100.9", [KEY_PROBE] = "10.1.0.2",
		},
	};

	return base;
}

static inline const char *
config_text_print(const struct config_text *t)
{
	static const char *const indent[] = { "", "    ", "        " };
	static char text[16384];
	size_t n = 0;

	for (unsigned home = HOME_GATEWAY; home <= HOME_TUNNEL; home++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, home == HOME_CONNECTION ?
		    "connections:\n  office:\n" : home == HOME_TUNNEL ? "    tunnels:\n      -\n" : "");
		for (size_t i = 0; i < KEY_N; i++) {
			if (keys[i].home == (enum key_home)home && t->value[i] != NULL)
				n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s: %s\n", indent[home],
				    keys[i].name, t->value[i]);
		}
	}
	snprintf(text + n, sizeof(text) - n, "      - {local: 192.0.2.2, remote: 203.0.113.2, "
	    "inside: 169.254.10.5/30, psk-file: b}\n");
	return text;
}

#endif
