/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_BROKER_OPS_H
#define TANDEM_GATEWAY_BROKER_OPS_H

#include "gateway/broker_record.h"
#include "tun/host.h"

/* The broker's hands: requests of the engine are judged and carried out here. */

/* May it be done at all?  NULL, or what is wrong.  Looks at the request alone, not at the host. */
const char *broker_judge(const struct host_request *q);
/* Judge it, do it (all but HOST_LIST, HOST_STOP and HOST_READY, which are the loop's and -EINVAL
 * here), record it and fill the answer; a->fd stays the record's. */
void	broker_execute(struct record *r, const struct host_request *q, struct host_answer *a);

#endif
