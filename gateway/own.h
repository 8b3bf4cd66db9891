/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_OWN_H
#define TANDEM_OWN_H

#include "esp/esp.h"
#include "gateway/config.h"

/*
 * What of this host the peer of a connection could claim to be, were it not refused (R26): what
 * lies in its `networks`.  Besides, in any case, one address of each family that the host has:
 * the engine's own answers come from there when a tunnel has no inside address.
 * The control thread's; zero is empty.
 */
struct own {
	struct ip *ip;			/* addresses of this host, sorted by ip_cmp; owned */
	size_t ip_n;
	struct prefix *lan;		/* networks on our side; owned */
	size_t lan_n;
};

/* Order of the addresses that own_look() is given: by address, then by length. */
int	by_prefix(const void *a, const void *b);
/*
 * Look at the `n` addresses that the host has, sorted, each with the length of its network.  True:
 * *o is another now, so the path must be made anew.  Without memory it stays as it was: false.
 */
bool	own_look(struct own *o, const struct config_connection *conf, const struct prefix *here,
	    size_t n);
/* Copies for a path.  False: no memory. */
bool	own_fill(const struct own *o, struct esp_path *p);
void	own_free(struct own *o);

#endif
