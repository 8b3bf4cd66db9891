/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_BROKER_H
#define TANDEM_GATEWAY_BROKER_H

#include <stdint.h>

/*
 * The privileged process: it forks the engine, carries out its requests to the host (tun/host.h)
 * and starts it again when it dies.  What it guarantees is written in docs/privilege.md.
 */
struct broker_conf {
	/* The engine, called in the child with its end of the pair (non-blocking, close-on-exec);
	 * what it returns is its exit code.  It runs with BROKER_ENGINE_CAPS only, cannot gain
	 * more, leaves no core and is killed when the broker dies. */
	int (*engine)(int sock, void *arg);
	void *arg;
	const char *state_dir;		/* made, with its parents, when it is not there */
	uint16_t port[2];		/* below 1024 the engine may open these and 500 only */
	const char *lock;		/* lock file of this state_dir, holds our pid; NULL: none */
};

/*
 * Be the broker.  Call it in a process without threads and before any library is used.
 *
 * SIGTERM and SIGINT go to the engine as they are, which has BROKER_STOP_PATIENCE to say
 * HOST_STOP and exit; a second one ends it at once.  SIGHUP goes to the engine.
 *
 * Returns the exit code for main():
 *   0	the engine stopped cleanly
 *   1	another instance is there, the host refuses something needed at start, or the engine
 *	did not end by itself after a stop; a sentence is in the log
 *   n	the engine's own, when it ended after HOST_STOP, or before it ever said HOST_READY
 */
int	broker_run(const struct broker_conf *conf);

/* A dead engine is started again after the min, which doubles up to the max; one that was ready
 * for so long that it counts as settled starts over at the min. */
#define BROKER_BACKOFF_MIN	USEC_MS(100)
#define BROKER_BACKOFF_MAX	USEC_S(5)
#define BROKER_SETTLED		USEC_S(10)
#define BROKER_STOP_PATIENCE	USEC_S(10)
/* At start: devices of a crash vanish.  So long after the last of them that was seen to go. */
#define BROKER_DEVICE_PATIENCE	USEC_S(10)

#endif
