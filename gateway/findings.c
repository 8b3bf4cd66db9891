/* SPDX-License-Identifier: MIT */
#include "gateway/findings.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "gateway/hostcheck.h"

/* The lists that hostcheck borrows. */
struct subject {
	struct hostcheck_in in;
	struct ip *remote;
	char (*device)[IFNAMSIZ];
};

static bool
subject_init(struct subject *s, size_t connections)
{
	memset(s, 0, sizeof(*s));
	s->remote = calloc(connections * CONFIG_TUNNELS + 1, sizeof(*s->remote));
	s->device = calloc(connections + 1, sizeof(*s->device));
	s->in.remote = s->remote;
	s->in.device = (const char (*)[IFNAMSIZ])s->device;
	s->in.now = (int64_t)time(NULL);
	return s->remote != NULL && s->device != NULL;
}

static json_t *
subject_look(struct subject *s)
{
	struct finding *f = calloc(HOSTCHECK_MAX, sizeof(*f));
	json_t *list = json_array();
	size_t n = f != NULL ? hostcheck(&s->in, f, HOSTCHECK_MAX) : 0;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}",
		    "severity", finding_severity_name(f[i].severity), "code", f[i].code,
		    "what", f[i].sentence, "command", f[i].command));
	free(f);
	return list;
}

static void
subject_fini(struct subject *s)
{
	free(s->remote);
	free(s->device);
}

json_t *
findings_of_config(const struct config *c, bool ports)
{
	struct subject s;
	json_t *list = NULL;

	if (subject_init(&s, c->connection_n)) {
		for (size_t i = 0; i < c->connection_n; i++) {
			const struct config_connection *k = &c->connection[i];

			memcpy(s.device[s.in.device_n++], k->device, IFNAMSIZ);
			for (unsigned t = 0; t < k->tunnels_n; t++)
				s.remote[s.in.remote_n++] = k->tunnel[t].remote;
			for (size_t p = 0; p < k->networks_n; p++)
				*(k->networks[p].ip.family == AF_INET6 ?
				    &s.in.inside6 : &s.in.inside4) = true;
		}
		if (ports) {
			s.in.port[0] = c->port;
			s.in.port[1] = c->natt_port;
		}
		list = subject_look(&s);
	}
	subject_fini(&s);
	return list;
}

static void
add_connection(struct subject *s, const json_t *c)
{
	const char *device = json_string_value(json_object_get(c, "device"));
	size_t i;
	json_t *v;

	if (device != NULL)
		snprintf(s->device[s->in.device_n++], IFNAMSIZ, "%s", device);
	json_array_foreach(json_object_get(c, "networks"), i, v) {
		const char *network = json_string_value(v);

		if (network != NULL)
			*(strchr(network, ':') != NULL ? &s->in.inside6 : &s->in.inside4) = true;
	}
	json_array_foreach(json_object_get(c, "tunnels"), i, v) {
		const char *remote = json_string_value(json_object_get(v, "remote_ip"));

		if (remote != NULL && i < CONFIG_TUNNELS &&
		    ip_parse(remote, &s->remote[s->in.remote_n]))
			s->in.remote_n++;
	}
}

json_int_t
findings_netns(void)
{
	struct stat st;

	return stat("/proc/self/ns/net", &st) == 0 ? (json_int_t)st.st_ino : 0;
}

json_t *
findings_of_status(const json_t *status)
{
	const json_t *connections = json_object_get(status, "connections");
	struct subject s;
	json_t *list = NULL, *c;
	size_t i;

	if (json_integer_value(json_object_get(status, "netns")) != findings_netns())
		return NULL;
	if (subject_init(&s, json_array_size(connections))) {
		json_array_foreach(connections, i, c)
			add_connection(&s, c);
		list = subject_look(&s);
	}
	subject_fini(&s);
	return list;
}

static const char *
text(const json_t *f, const char *key)
{
	const char *s = json_string_value(json_object_get(f, key));

	return s != NULL ? s : "";
}

void
findings_log(const json_t *findings)
{
	size_t i;
	json_t *f;

	json_array_foreach(findings, i, f) {
		bool note = strcmp(text(f, "severity"), "note") == 0;

		log_event(note ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "host", "code=%s what=\"%s\" command=\"%s\"",
		    text(f, "code"), text(f, "what"), text(f, "command"));
	}
}

void
findings_print(const json_t *findings, FILE *to)
{
	size_t i;
	json_t *f;

	json_array_foreach(findings, i, f) {
		fprintf(to, "%s: %s\n", text(f, "severity"), text(f, "what"));
		if (*text(f, "command") != '\0')
			fprintf(to, "    %s\n", text(f, "command"));
	}
}

bool
findings_have_error(const json_t *findings)
{
	size_t i;
	json_t *f;

	json_array_foreach(findings, i, f)
		if (strcmp(text(f, "severity"), "error") == 0)
			return true;
	return false;
}
