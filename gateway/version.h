/* SPDX-License-Identifier: MIT */
#ifndef TANDEM_GATEWAY_VERSION_H
#define TANDEM_GATEWAY_VERSION_H

#define TANDEM_VERSION	"0.1.0"
#define TANDEM_SCHEMA	1		/* of the JSON that the control socket speaks */
#define TANDEM_SOCKET	"/run/tandem/control.sock"
#define TANDEM_CONFIG	"/etc/tandem/tandem.yaml"

#endif
