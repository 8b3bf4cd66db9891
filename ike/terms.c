/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "base/log.h"
#include "ike/offer.h"
#include "ike/resource.h"
#include "ike/terms.h"

void
terms_write_offer(const struct child *c, struct msg_wr *mw, const struct nego *n)
{
	const struct ike_tunnel *conf = &c->sa->tunnel->conf;

	sa_write_esp(msg_add(mw, PLD_SA), conf->esp, conf->esp_n, c->spi_in, n != NULL);
	if (n != NULL)
		offer_write_ke(n, mw, (struct slice){ n->ni, n->ni_len });
	ts_write(msg_add(mw, PLD_TSI), &conf->ts_local);
	ts_write(msg_add(mw, PLD_TSR), &conf->ts_remote);
	resource_write(c, mw, n == NULL || n->replaces == 0 || c->sa->many);
}

bool
terms_take_answer(struct child *c, const struct msg *m, struct nego *n)
{
	const struct ike_sa *sa = c->sa;
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	bool groups = sa->opening == NULL;
	struct ts_list local, remote;
	struct sa answer;
	struct rd body;

	msg_find(m, PLD_SA, &body);
	if (!sa_parse(body, &answer) ||
	    !sa_check_esp(&answer, conf->esp, conf->esp_n, groups, &n->esp))
		return false;
	msg_find(m, PLD_TSI, &body);
	if (!ts_parse(body, &local) || !ts_within(&local, &conf->ts_local))
		return false;
	msg_find(m, PLD_TSR, &body);
	if (!ts_parse(body, &remote) || !ts_within(&remote, &conf->ts_remote))
		return false;
	c->spi_out = n->esp.spi;
	c->suite = n->esp.suite;
	return child_ts(c, &local, &remote);
}

static void
tell_no_proposal(const struct ike_sa *sa, const struct sa *offer)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	char theirs[512], ours[256];

	story(sa, LOG_LEVEL_WARN, "child-no-proposal", "offered=\"%s\" accepted=\"%s\" option=esp",
	    sa_str(offer, theirs, sizeof(theirs)),
	    esp_suites_str(conf->esp, conf->esp_n, ours, sizeof(ours)));
}

static void
tell_no_ts(const struct ike_sa *sa, const struct ts_list *tsi, const struct ts_list *tsr)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	char their_i[160], their_r[160], our_i[160], our_r[160];

	story(sa, LOG_LEVEL_WARN, "child-no-selectors",
	    "offered=\"%s === %s\" accepted=\"%s === %s\" option=networks",
	    ts_list_str(tsi, their_i, sizeof(their_i)), ts_list_str(tsr, their_r, sizeof(their_r)),
	    ts_list_str(&conf->ts_remote, our_i, sizeof(our_i)),
	    ts_list_str(&conf->ts_local, our_r, sizeof(our_r)));
}

/* The peer's lists and ours in common, seen from our side.  0, or the notify. */
static uint16_t
narrow(struct ike_sa *sa, const struct msg *m, struct ts_list *local, struct ts_list *remote)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	struct ts_list tsi, tsr;
	struct rd i, r;

	msg_find(m, PLD_TSI, &i);
	msg_find(m, PLD_TSR, &r);
	if (!ts_parse(i, &tsi) || !ts_parse(r, &tsr))
		return N_INVALID_SYNTAX;
	if (ts_narrow(&tsi, &conf->ts_remote, remote) && ts_narrow(&tsr, &conf->ts_local, local))
		return 0;
	tell_no_ts(sa, &tsi, &tsr);
	return N_TS_UNACCEPTABLE;
}

uint16_t
terms_choose(struct ike_sa *sa, const struct msg *m, struct nego *n, struct child **made)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	struct ts_list local, remote;
	struct child *c;
	struct sa offer;
	struct rd body;
	uint16_t error;

	msg_find(m, PLD_SA, &body);
	if (!sa_parse(body, &offer))
		return N_INVALID_SYNTAX;
	if (!sa_choose_esp(&offer, conf->esp, conf->esp_n, sa->opening == NULL, &n->esp)) {
		tell_no_proposal(sa, &offer);
		return N_NO_PROPOSAL_CHOSEN;
	}
	error = narrow(sa, m, &local, &remote);
	if (error != 0)
		return error;
	c = *made = child_new(sa, false, n->resource);
	if (c == NULL)
		return N_TEMPORARY_FAILURE;
	n->child_spi = c->spi_in;
	n->info = msg_notify(m, N_SA_RESOURCE_INFO) != NULL;
	c->spi_out = n->esp.spi;
	c->suite = n->esp.suite;
	low_set(&c->low, n);
	if (!child_ts(c, &local, &remote))
		return N_TEMPORARY_FAILURE;
	return n->more && !resource_fits(c) ? N_TS_UNACCEPTABLE : 0;
}

void
terms_write_answer(const struct child *c, struct msg_wr *mw, const struct nego *n)
{
	struct ts_list tsi = child_ts_remote(c), tsr = child_ts_local(c);

	sa_write_esp_choice(msg_add(mw, PLD_SA), &n->esp, c->spi_in);
	if (c->sa->opening == NULL)
		offer_write_ke(n, mw, (struct slice){ n->nr, n->nr_len });
	ts_write(msg_add(mw, PLD_TSI), &tsi);
	ts_write(msg_add(mw, PLD_TSR), &tsr);
	resource_write(c, mw, n->info);
}

void
terms_refusal(struct ike_sa *sa, uint16_t type, char *why, size_t cap)
{
	const struct ike_tunnel *conf = &sa->tunnel->conf;
	char esp[256], local[160], remote[160];

	story(sa, LOG_LEVEL_WARN, "child-refused",
	    "notify=%s offered=\"%s\" selectors=\"%s === %s\" option=%s", notify_name(type),
	    esp_suites_str(conf->esp, conf->esp_n, esp, sizeof(esp)),
	    ts_list_str(&conf->ts_local, local, sizeof(local)),
	    ts_list_str(&conf->ts_remote, remote, sizeof(remote)),
	    type == N_TS_UNACCEPTABLE ? "networks" : "esp");
	snprintf(why, cap, "the peer refuses the Child SA (%s; option %s)", notify_name(type),
	    type == N_TS_UNACCEPTABLE ? "networks" : "esp");
}

void
terms_story(const struct child *c, const char *event)
{
	char suite[SUITE_STRLEN], local[160], remote[160];
	struct ts_list l = child_ts_local(c), r = child_ts_remote(c);

	story(c->sa, LOG_LEVEL_INFO, event, "spi_in=%08x spi_out=%08x esp=%s ts=\"%s === %s\"",
	    c->spi_in, c->spi_out, esp_suite_str(&c->suite, suite, sizeof(suite)),
	    ts_list_str(&l, local, sizeof(local)), ts_list_str(&r, remote, sizeof(remote)));
}
