/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <string.h>

#include "ike/payload.h"
#include "ike/proposal.h"

/* Text of the configuration: an identity or a suite that is read says the same when it is
 * printed and read again; what is refused is refused with a sentence. */
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
identity(const char *text)
{
	char err[256] = "", shown[ID_STRLEN];
	struct ike_id id, again;

	if (!id_parse(text, &id, err, sizeof(err))) {
		assert(err[0] != '\0');
		return;
	}
	assert(id.type != 0 && id.len > 0 && id.len <= ID_DATA_MAX);
	(void)id_str(&id, shown, sizeof(shown));
	if (strchr(shown, '\\') == NULL)	/* escapes are for reading by people alone */
		assert(id_parse(shown, &again, err, sizeof(err)) && id_equal(&id, &again));
}

static void
suites(const char *text)
{
	char err[256] = "", shown[SUITE_STRLEN];
	struct ike_suite ike, ike_again;
	struct esp_suite esp, esp_again;

	if (ike_suite_parse(text, &ike, err, sizeof(err))) {
		(void)ike_suite_str(&ike, shown, sizeof(shown));
		assert(ike_suite_parse(shown, &ike_again, err, sizeof(err)));
		assert(ike_suite_equal(&ike, &ike_again));
	} else {
		assert(err[0] != '\0');
	}
	err[0] = '\0';
	if (esp_suite_parse(text, &esp, err, sizeof(err))) {
		(void)esp_suite_str(&esp, shown, sizeof(shown));
		assert(esp_suite_parse(shown, &esp_again, err, sizeof(err)));
		assert(esp_suite_equal(&esp, &esp_again));
	} else {
		assert(err[0] != '\0');
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char text[1024];

	if (len >= sizeof(text) || memchr(data, 0, len) != NULL)
		return 0;
	memcpy(text, data, len);
	text[len] = '\0';
	identity(text);
	suites(text);
	return 0;
}
