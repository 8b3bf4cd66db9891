/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_ESP_PATH_H
#define TANDEM_ESP_PATH_H

#include "esp/inner.h"
#include "esp/seal.h"
#include "esp/tunnel.h"

/*
 * A device's path as a worker uses it: the immutable path of control's, and where its
 * tunnels are here.
 */
struct path_dev {
	struct esp_path *path;
	struct esp_tunnel *t[ESP_PATH_TUNNELS];
	unsigned n;
	unsigned mtu_min;		/* of its tunnels; 0: none is known */
	size_t source_hit;		/* where the last inner source was found: asked first */
	struct ip accepted;		/* the last inner source that passed; or none */
};

/* The bucket of a packet's flow. */
uint8_t	path_bucket(const struct inner *in);
/*
 * The index of the tunnel that takes the packet: the one whose inside peer it is for, always;
 * else that of its bucket.  -1: none.  Whether that tunnel is up is the caller's to ask: it
 * never falls back on another, which is control's decision.
 */
int	path_choose(const struct path_dev *d, const struct inner *in);
/* R26, of what came in: PASS, DROP_IN_OWN or DROP_IN_SOURCE. */
enum drop path_accepts(struct path_dev *d, const struct ip *src);
/* Which of our inside addresses answers for this tunnel; NULL: none of that family. */
const struct ip *path_own_ip(const struct path_dev *d, unsigned i, uint8_t family);

#endif
