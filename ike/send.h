/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_SEND_H
#define TANDEM_IKE_SEND_H

#include "ike/sa.h"

/*
 * From a message being written to a datagram in the queue.  One message is built at a time,
 * in the machine's buffer:
 *
 *	send_start(sa, &mw, X_INFORMATIONAL, false);
 *	msg_add...(&mw, ...);
 *	send_request(sa, &mw, XCHG_UP);
 */

/* A protected message of ours: request (with the next message ID) or response (to the request
 * begun). */
void	send_start(struct ike_sa *sa, struct msg_wr *mw, uint8_t exchange, bool response);
/* Seal and send the request; it is repeated until answered.  False: not possible (no memory,
 * IVs used up), nothing was sent and the IKE SA has ended. */
bool	send_request(struct ike_sa *sa, struct msg_wr *mw, enum xchg_pace pace);
/* Seal the response, send it to where the request came from and keep it.  False as above. */
bool	send_reply(struct ike_sa *sa, struct msg_wr *mw);
/* A response that is one notify without data, or one with a little. */
bool	send_reply_notify(struct ike_sa *sa, uint8_t exchange, uint16_t type);
bool	send_reply_data(struct ike_sa *sa, uint8_t exchange, uint16_t type, struct slice data);

void	send_again(struct ike_sa *sa);		/* the request that is out */
void	send_reply_again(struct ike_sa *sa);	/* to where the repetition came from */
/* Bytes as they are, with the marker where the port wants it. */
void	send_bytes(struct ike *ike, const struct endpoint *local, const struct endpoint *remote,
	    struct slice data);
/* The single byte 0xff that keeps a NAT's mapping (RFC 3948 2.3). */
void	send_keepalive(struct ike_sa *sa);
bool	send_is_natt_port(const struct ike *ike, uint16_t port);

#endif
