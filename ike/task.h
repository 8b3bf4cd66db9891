/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_IKE_TASK_H
#define TANDEM_IKE_TASK_H

#include "ike/sa.h"

/* Start the most urgent of the requests that an IKE SA wants to make, where none is out. */
void	task_next(struct ike_sa *sa);
/* When a request that must not be repeated at once may be made; USEC_NEVER: none wants to. */
usec_t	task_retry_at(const struct ike_sa *sa);

#endif
