/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_SA_H
#define TANDEM_IKE_SA_H

#include "base/addr.h"
#include "base/heap.h"
#include "base/map.h"
#include "ike/auth.h"
#include "ike/exchange.h"
#include "ike/ike.h"
#include "ike/job.h"
#include "ike/kdf.h"
#include "ike/message.h"
#include "ike/natt.h"
#include "ike/payload.h"
#include "ike/proposal.h"
#include "ike/queue.h"
#include "ike/ts.h"

/*
 * What the machine is made of, for the files of this folder: the machine, its tunnels
 * (configured), their IKE SAs and Child SAs (negotiated), and what one exchange needs until
 * it is finished.  Ownership goes down: machine -> tunnels and IKE SAs -> Child SAs.
 *
 * An IKE SA is freed in one place, ike_sa_settle(), after the message or the timer that
 * ended it has been worked through (R21): handlers only assign SA_GONE.
 */

/* The IKE SA.  Assigned by ike_sa_state() only. */
enum sa_state {
	SA_NEW,				/* initiator: our key is computed; responder: all is */
	SA_INIT_SENT,			/* initiator: IKE_SA_INIT is out */
	SA_KEYING,			/* initiator: it was answered, the secret is computed */
	SA_INIT_DONE,			/* responder: IKE_SA_INIT answered, IKE_AUTH awaited */
	SA_AUTH_SENT,			/* initiator: IKE_AUTH is out */
	SA_UP,
	SA_REKEYED,			/* has an heir; whoever rekeyed it deletes it */
	SA_DELETING,			/* we close it; its Child SAs are gone already */
	SA_REFUSED,			/* failed; lingers only to repeat its last answer */
	SA_GONE,			/* freed by ike_sa_settle() */
};
#define SA_STATE_N	(SA_GONE + 1)

/* One Child SA.  Assigned by child_state() only. */
enum child_state {
	CHILD_REQUESTED,		/* being negotiated: no keys yet */
	CHILD_UP,
	CHILD_REKEYING,			/* we asked for its successor */
	CHILD_REKEYED,			/* has a successor; whoever rekeyed it deletes it */
	CHILD_DELETING,			/* we delete it */
};

/* The one request of ours that may be outstanding. */
enum request_kind {
	REQ_NONE,
	REQ_INIT,
	REQ_AUTH,
	REQ_CHILD_NEW,
	REQ_CHILD_MORE,			/* one more, for a resource that has none (RFC 9611) */
	REQ_CHILD_REKEY,
	REQ_IKE_REKEY,
	REQ_CHILD_DELETE,
	REQ_IKE_DELETE,
	REQ_ASK,			/* an empty INFORMATIONAL */
	REQ_TELL,
};

enum request_wait {
	WAIT_KEY,			/* our public value is computed; nothing was sent */
	WAIT_ANSWER,
	WAIT_SECRET,			/* answered; the shared secret is computed */
};

struct request {
	enum request_kind kind;
	enum request_wait wait;
	uint32_t target;		/* spi_in of the Child SA it is about, or 0 */
};

/* The lower nonce of an exchange: what decides which of two SAs yields (2.8.1). */
struct low {
	uint16_t len;
	uint8_t b[NONCE_MAX];
};

/* What one exchange needs until its keys are there.  Heap; wiped with its job. */
struct nego {
	struct ike_job *job;		/* the key exchange; NULL: none */
	uint8_t ni[NONCE_MAX], nr[NONCE_MAX];
	uint16_t ni_len, nr_len;
	struct ike_choice ike;
	struct esp_choice esp;
	uint32_t child_spi;		/* spi_in of the Child SA in the making, or 0 */
	uint64_t heir_spi;		/* our SPI of the IKE SA in the making, or 0 */
	uint32_t replaces;		/* spi_in of the Child SA to be replaced, or 0 */
	unsigned resource;		/* of the Child SA in the making */
	bool more;			/* it is to stand beside another of the tunnel */
	bool info;			/* the peer's request has SA_RESOURCE_INFO */
	enum ke_group group;		/* of the key exchange; KE_NONE: none */
	unsigned tries;			/* times the peer wanted another group */
};

struct child {
	struct child *next;		/* of the IKE SA */
	struct ike_sa *sa;
	enum child_state state;
	uint32_t spi_in, spi_out;
	uint32_t replaces;		/* spi_in of the one it succeeds, or 0 */
	bool initiator;			/* we asked for it */
	bool installed;			/* the host has it */
	bool known;			/* the peer is known to have it */
	bool delete_sent;
	bool want_rekey;
	bool lost;			/* the loser of a collision: its maker deletes it */
	uint64_t serial;		/* greater: younger */
	unsigned resource;		/* whose it is: 0 the first, by which all may send */
	uint64_t serves;		/* the resources that send by it, */
	uint64_t fresh;			/* and of these what the host is to be told yet */
	struct low low;
	struct esp_suite suite;
	struct ts *ts;			/* as narrowed: local_n of ours, then the peer's; owned */
	unsigned local_n, remote_n;
	usec_t since, rekey_at, hard_at;
};

/* What lives only until IKE_AUTH is over. */
struct opening {
	struct bytes *request, *response;	/* IKE_SA_INIT as it was on the wire (2.15) */
	uint8_t cookie[64];
	uint8_t cookie_len;
	unsigned retries;		/* cookies and other groups that the peer wanted */
	uint64_t key;			/* in ike->openings (responder) */
	uint32_t candidate;		/* tunnel whose suites were used (responder) */
	uint32_t child_spi;		/* offered in IKE_AUTH (initiator) */
	bool refusal_logged;
};

/* Keys of an IKE SA and what is made of them.  Secret memory. */
struct sa_keys {
	struct ike_keys k;
	struct aead_key in, out;
};

struct tunnel;

struct ike_sa {
	struct heap_node timer;
	struct ike *ike;
	struct tunnel *tunnel;		/* NULL: not known yet (responder), or forgotten */
	struct ike_sa *next;		/* of the tunnel */
	struct ike_sa *doomed;		/* of the machine's list of those to be freed */
	char name[IKE_NAME_MAX];	/* of the tunnel, for the log */
	enum sa_state state;
	bool initiator;			/* the original one: IKE_F_INITIATOR */
	uint64_t spi, peer_spi;
	struct endpoint local, remote;
	struct endpoint ask_local, ask_remote;	/* where the peer's last request came from */
	struct ike_suite suite;
	struct sa_keys *keys;
	uint64_t iv;			/* counter of the IVs we send */
	struct xchg x;
	struct request req;
	struct nego *mine, *theirs;	/* our exchange and the peer's in progress, or NULL */
	struct opening *opening;	/* until IKE_AUTH is over */
	struct child *children;
	struct low low;
	struct natt natt;
	struct ike_id peer_id;
	uint64_t heir_spi;		/* of the IKE SA that replaces this one, or 0 */
	uint64_t rival_spi;		/* heir made by the peer while ours is being made, or 0 */
	bool peer_is_tandem;
	bool many;			/* the peer takes a Child SA for each resource (RFC 9611), */
	bool no_more;			/* but said that it has enough of them */
	bool half_open;			/* counted as such, under source_key */
	uint64_t source_key;
	bool lost;			/* the loser of a collision: its maker deletes it */
	bool want_rekey, want_ask, want_tell;
	const char *close_why;		/* close it when its rekey is finished; NULL: do not */
	uint8_t tell;
	bool on_doomed;
	usec_t born, up_since, heard;
	usec_t rekey_at, hard_at, retry_at, keepalive_at;
	usec_t more_at;			/* one more Child SA is asked for no sooner */
	usec_t linger_at;		/* the end of a state that must not last; USEC_NEVER */
	usec_t asked_at;		/* last question provoked by an unprotected message, and */
	usec_t again_at;		/* last opening beside this one; 0: none */
};

struct tunnel {
	struct heap_node timer;
	struct ike *ike;
	struct ike_tunnel conf;		/* conf.psk is ours, in secret memory */
	struct tunnel *next_remote;	/* with the same remote address */
	struct tunnel *last_remote;	/* end of that chain, kept by its first */
	struct ike_sa *sas;		/* from SA_NEW (initiator) or IKE_AUTH (responder) on */
	struct child *out;		/* what resource 0 sends by, and all without a better; NULL: down */
	bool wanted;			/* we open it, and again when it is lost */
	bool closed;			/* by IKE_CLOSE */
	bool present;			/* its outside address is there */
	unsigned attempts;		/* since it was last up for a while */
	unsigned ike_rekeys, child_rekeys;
	usec_t try_at;			/* next opening; USEC_NEVER */
	usec_t duel_at, duel_since;	/* two IKE SAs: when to end that; USEC_NEVER */
	usec_t up_at;
	usec_t heard;			/* last authenticated ESP packet that we were told of */
	char reason[IKE_REASON_MAX];
};

#define COOKIE_SECRET_LEN	32

struct ike {
	struct ike_env env;
	usec_t now;			/* of the call in progress */
	struct map *tunnels;		/* id -> tunnel */
	struct map *by_remote;		/* hash of the remote address -> first tunnel */
	struct map *sas;		/* our SPI -> IKE SA */
	struct map *openings;		/* hash of (SPIi, endpoint) -> half-open responder SA */
	struct map *sources;		/* hash of an address -> its half-open SAs */
	struct map *children;		/* spi_in -> Child SA */
	struct heap sa_timers, tunnel_timers;
	struct queue queue;
	struct ike_job *jobs;		/* all of them */
	struct aead_scratch *scratch;
	struct ike_sa *doomed;
	struct ike_totals totals;
	uint64_t serial;
	bool stopping;
	struct endpoint local, remote;	/* of the datagram in progress */
	struct {
		uint8_t secret[2][COOKIE_SECRET_LEN];	/* [0] is given out, [1] still taken */
		uint8_t version;
		usec_t since;		/* 0: none yet */
	} cookie;
	struct {
		uint16_t port[16];	/* ours: with the non-ESP marker */
		unsigned n;
	} natt_ports;
	struct {
		usec_t since;
		unsigned n;
	} refusals;			/* limits answers in the clear */
	usec_t stranger_at;		/* limits log lines about strangers */
	unsigned stranger_n;
	uint8_t *buf, *plain;		/* MSG_LEN_MAX each: a message built, one opened */
};

/* ---- IKE SAs ---- */

/* A new IKE SA with an SPI of its own, in ike->sas; `t` may be NULL.  NULL: no memory. */
struct ike_sa	*ike_sa_new(struct ike *ike, struct tunnel *t, bool initiator);
/* Join it to a tunnel (or, NULL, take it from its tunnel). */
void		ike_sa_join(struct ike_sa *sa, struct tunnel *t);
/* The one function that assigns the state.  SA_GONE puts it on the list of the doomed. */
void		ike_sa_state(struct ike_sa *sa, enum sa_state state);
const char	*ike_sa_state_name(enum sa_state state);
/* Make `sa` speak with these keys; takes what is in keys->k.  False: the library failed. */
bool		ike_sa_keys(struct ike_sa *sa, struct sa_keys *keys);
/* It is established: timers start, the half-open count ends. */
void		ike_sa_up(struct ike_sa *sa);
void		ike_sa_half_open(struct ike_sa *sa, bool half_open);
/* IKE_AUTH is over: forget what lives only until then. */
void		ike_sa_opened(struct ike_sa *sa);
/* Close it: Child SAs are dropped now, the peer is told.  Before IKE_AUTH it just goes. */
void		ike_sa_close(struct ike_sa *sa, const char *why);
/* It has ended without a word to the peer (who is silent, or knows). */
void		ike_sa_dead(struct ike_sa *sa, const char *why);
/* Set the timer after whatever happened, and start our next request where there is one. */
void		ike_sa_step(struct ike_sa *sa);
void		ike_sa_timeout(struct ike_sa *sa);
/* Free the doomed: once, at the end of each call on the machine. */
void		ike_sa_settle(struct ike *ike);
/* Free one with all it has, without a word; for ike_free(). */
void		ike_sa_free(struct ike_sa *sa);
struct ike_sa	*ike_sa_find(const struct ike *ike, uint64_t spi);
/* A tunnel's IKE SA that new requests go to: up, the winner of a duel; or NULL. */
struct ike_sa	*ike_sa_main(const struct tunnel *t);
/* Random time in 75-83 % of a life. */
usec_t		ike_life_rekey(struct ike *ike, usec_t life);

struct nego	*nego_new(struct ike *ike);		/* NULL: no memory */
void		nego_free(struct nego *n);		/* NULL is fine; the job may be away */
/* Keys of the exchange from the nego's nonces and job. */
struct kdf_in	nego_kdf(const struct nego *n);
/* Give up an exchange: its half-made Child SA and IKE SA go with it. */
void		ike_sa_drop_mine(struct ike_sa *sa);
void		ike_sa_drop_theirs(struct ike_sa *sa);
void		low_set(struct low *low, const struct nego *n);

/* ---- Child SAs (child.c) ---- */

/* One in CHILD_REQUESTED with an SPI of its own.  NULL: no memory. */
struct child	*child_new(struct ike_sa *sa, bool initiator, unsigned resource);
void		child_state(struct child *c, enum child_state state);
const char	*child_state_name(enum child_state state);
/* Take the selectors.  False: no memory. */
bool		child_ts(struct child *c, const struct ts_list *local, const struct ts_list *remote);
struct ts_list	child_ts_local(const struct child *c);
struct ts_list	child_ts_remote(const struct child *c);
/* Derive its keys, give them to the host (IKE_SA_IN), start its timers.  False: not possible. */
bool		child_install(struct child *c, const struct nego *n);
/* The peer is known to have it. */
void		child_known(struct child *c);
void		child_known_all(struct ike_sa *sa);
/* It carries and is to go on so. */
bool		child_is_live(const struct child *c);
/* There is one that is not about to be deleted. */
bool		child_have(const struct tunnel *t);
/* Choose what each resource of the tunnel sends by, after any change. */
void		child_pick(struct tunnel *t);
/* It is over: the host drops it; another takes over or the tunnel is down. */
void		child_drop(struct child *c, const char *why);
void		child_drop_all(struct ike_sa *sa, const char *why);
void		child_move_all(struct ike_sa *from, struct ike_sa *to);
/* By the peer's SPI, among those of the IKE SA's tunnel (or of the IKE SA, without one). */
struct child	*child_by_out(struct ike_sa *sa, uint32_t spi_out);
struct child	*child_find(const struct ike *ike, uint32_t spi_in);
usec_t		child_deadline(const struct child *c);
void		child_free(struct child *c);		/* no action; half-made ones, ike_free() */

/* ---- one file an exchange ---- */

#define VENDOR_ID	"Tandem IKEv2 1"	/* announces that IKE_TELL is understood */
#define N_TANDEM_DEAD	41774		/* private status notify, 1 byte: which tunnel is dead */

void		story(const struct ike_sa *sa, int level, const char *event, const char *fmt, ...)
		    __attribute__((format(printf, 4, 5)));
void		story_tunnel(const struct tunnel *t, int level, const char *event,
		    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* About somebody whose name we do not know: at most a few lines a second. */
void		story_stranger(struct ike *ike, const char *event, const char *fmt, ...)
		    __attribute__((format(printf, 3, 4)));
/* Keep it as the reason of the tunnel's state, in status and in IKE_DOWN. */
void		tunnel_reason(struct tunnel *t, const char *fmt, ...)
		    __attribute__((format(printf, 2, 3)));

#endif
