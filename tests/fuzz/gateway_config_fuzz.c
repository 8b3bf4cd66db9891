/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/config.h"

/*
 * Any bytes as a configuration: it is refused with at least one sentence, each on one line and
 * bounded, or it is taken, and then prints and equals itself.  Nothing is left over either way.
 * A secret "k" lies in the folder, so that whole configurations can be taken.
 */
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char dir[] = "/tmp/tandem-fuzz-XXXXXX", name[64], secret[64];

static void
clean(void)
{
	unlink(secret);
	rmdir(dir);
}

static void
make_secret(void)
{
	int fd;

	if (name[0] != '\0')
		return;
	assert(mkdtemp(dir) != NULL);
	snprintf(name, sizeof(name), "%s/f", dir);
	snprintf(secret, sizeof(secret), "%s/k", dir);
	fd = open(secret, O_CREAT | O_EXCL | O_WRONLY, 0600);
	assert(fd >= 0 && write(fd, "only-for-the-fuzzer", 19) == 19);
	close(fd);
	atexit(clean);
}

static void
check_lines(const struct config_errors *e)
{
	for (size_t i = 0; i < e->n; i++) {
		assert(strncmp(e->line[i], name, strlen(name)) == 0);
		assert(strlen(e->line[i]) < strlen(name) + 200);
		assert(strchr(e->line[i], '\n') == NULL);
	}
}

static void
check_config(const struct config *c)
{
	struct config_op op;
	char *text = NULL;
	size_t len;
	FILE *to;

	assert(config_diff(c, c, &op, 1) == 0);
	for (unsigned json = 0; json < 2; json++) {
		to = open_memstream(&text, &len);
		assert(to != NULL);
		config_print(c, to, json);
		fclose(to);
		assert(len > 0);
		free(text);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct secrets *s = secrets_new();
	struct config_errors e, w;
	struct config *c;

	assert(s != NULL);
	make_secret();
	c = config_parse(name, (const char *)data, len, s, &e, &w);
	assert((c == NULL) == (e.n > 0));
	check_lines(&e);
	check_lines(&w);
	if (c != NULL)
		check_config(c);
	config_free(c);
	config_errors_free(&e);
	config_errors_free(&w);
	assert(secrets_used(s) == 0);
	secrets_free(s);
	return 0;
}
