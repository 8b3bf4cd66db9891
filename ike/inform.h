/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_INFORM_H
#define TANDEM_IKE_INFORM_H

#include "ike/fsm.h"

/* INFORMATIONAL (RFC 7296 1.4): liveness, deletes, the word about a dead tunnel. */

void		inform_ask(struct ike_sa *sa);		/* are you there? */
void		inform_tell(struct ike_sa *sa);		/* which tunnel is dead (IKE_TELL) */
void		inform_delete_child(struct ike_sa *sa, struct child *c);
void		inform_close(struct ike_sa *sa);	/* delete the IKE SA */

enum verdict	inform_on_answer(struct ike_sa *sa, const struct msg *m);
enum verdict	inform_on_child_deleted(struct ike_sa *sa, const struct msg *m);	/* m: unused */
enum verdict	inform_on_deleted(struct ike_sa *sa, const struct msg *m);

enum verdict	inform_on_request(struct ike_sa *sa, const struct msg *m);

#endif
