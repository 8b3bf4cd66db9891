/* SPDX-License-Identifier: MIT */
#include "ike/auth.h"

#include <string.h>

#include "base/secret.h"

/* prf(prf(Shared Secret, "Key Pad for IKEv2"), message | nonce | prf(SK_p, ID body)) */
bool
auth_psk_make(const struct auth_in *in, struct slice psk, uint8_t out[PRF_LEN_MAX])
{
	static const char pad[] = "Key Pad for IKEv2";
	const struct slice pad_slice = { .p = (const uint8_t *)pad, .len = sizeof(pad) - 1 };
	uint8_t key[PRF_LEN_MAX], maced_id[PRF_LEN_MAX];
	size_t len = prf_len(in->prf);
	struct slice parts[3] = { in->message, in->nonce, { .p = maced_id, .len = len } };
	bool ok;

	memset(out, 0, PRF_LEN_MAX);
	if (len == 0 || psk.len == 0)
		return false;
	ok = prf(in->prf, psk, &pad_slice, 1, key) &&
	    prf(in->prf, in->sk_p, &in->id, 1, maced_id) &&
	    prf(in->prf, (struct slice){ .p = key, .len = len }, parts, 3, out);
	secret_wipe(key, sizeof(key));
	secret_wipe(maced_id, sizeof(maced_id));
	return ok;
}

enum auth_result
auth_psk_check(const struct auth_in *in, struct slice psk, const struct pld_auth *auth)
{
	uint8_t want[PRF_LEN_MAX];
	enum auth_result result = AUTH_BAD;

	if (auth->method != AUTH_METHOD_PSK || auth->len != prf_len(in->prf))
		return AUTH_BAD;
	if (auth_psk_make(in, psk, want) && secret_equal(want, auth->data, auth->len))
		result = AUTH_OK;
	secret_wipe(want, sizeof(want));
	return result;
}
