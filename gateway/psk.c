/* SPDX-License-Identifier: MIT */
#include "gateway/psk.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* False: the file is not one to keep a secret in; `m` says why. */
static bool
file_fits(const char *path, const struct stat *st, struct mistakes *m, struct place at)
{
	if (!S_ISREG(st->st_mode))
		mistake(m, at, "the secret '%s' is not a regular file", path);
	else if (st->st_uid != 0 && st->st_uid != geteuid())
		mistake(m, at, "the secret belongs to user %u; run 'chown root %s'",
		    (unsigned)st->st_uid, path);
	else if ((st->st_mode & 077) != 0)
		mistake(m, at, "the secret is open to others (mode %04o); run 'chmod 600 %s'",
		    (unsigned)st->st_mode & 07777, path);
	else if (st->st_size > CONFIG_PSK_MAX)
		mistake(m, at, "the secret '%s' has %lld bytes; expected at most %d", path,
		    (long long)st->st_size, CONFIG_PSK_MAX);
	else
		return true;
	return false;
}

/* Looks before it opens, for opening alone can wake a device or wait at a FIFO; and looks
 * again at what it has opened. */
static int
open_secret(const char *path, struct mistakes *m, struct place at)
{
	struct stat st;
	int fd;

	if (stat(path, &st) != 0) {
		mistake(m, at, "the secret '%s' cannot be read: %s", path, strerror(errno));
		return -1;
	}
	if (!file_fits(path, &st, m, at))
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) != 0) {
		mistake(m, at, "the secret '%s' cannot be read: %s", path, strerror(errno));
	} else if (file_fits(path, &st, m, at))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool
read_all(int fd, uint8_t *to, size_t cap, size_t *len)
{
	ssize_t n = 0;

	for (*len = 0; *len < cap; *len += (size_t)n) {
		n = read(fd, to + *len, cap - *len);
		if (n < 0)
			return false;
		if (n == 0)
			break;
	}
	return true;
}

/* The first line, without its end. */
static size_t
first_line(const uint8_t *file, size_t len, const char *path, struct mistakes *m, struct place at)
{
	const uint8_t *end = memchr(file, '\n', len);
	size_t n = end != NULL ? (size_t)(end - file) : len;

	for (size_t i = n + 1; i < len; i++) {
		if (file[i] != '\n' && file[i] != '\r' && file[i] != ' ') {
			mistake_warn(m, at, "the secret '%s' has more than one line; the first is "
			    "the key",
			    path);
			break;
		}
	}
	if (n > 0 && file[n - 1] == '\r')	/* a file from elsewhere */
		n--;
	if (n > 0 && (file[0] == ' ' || file[n - 1] == ' ' || file[n - 1] == '\t'))
		mistake_warn(m, at, "the secret '%s' begins or ends with a space, which is part "
		    "of it",
		    path);
	return n;
}

/* Decode in place: what is decoded is shorter than what was written. */
static bool
decode(uint8_t *key, size_t *len)
{
	const char *text = (const char *)key;
	const char *end = text + *len, *stop;
	size_t n = 0;
	int failed;

	if (*len >= 4 && memcmp(text, "hex:", 4) == 0)
		failed = sodium_hex2bin(key, *len, text + 4, *len - 4, NULL, &n, &stop);
	else if (*len >= 7 && memcmp(text, "base64:", 7) == 0)
		failed = sodium_base642bin(key, *len, text + 7, *len - 7, NULL, &n, &stop,
		    sodium_base64_VARIANT_ORIGINAL);
	else
		return true;
	if (failed != 0 || stop != end)
		return false;
	*len = n;
	return true;
}

static bool
take_key(uint8_t *file, size_t *len, const char *path, struct mistakes *m, struct place at)
{
	*len = first_line(file, *len, path, m, at);
	if (memchr(file, '\0', *len) != NULL)
		mistake(m, at, "the secret '%s' has a NUL byte inside; expected a line of text",
		    path);
	else if (!decode(file, len))
		mistake(m, at, "the secret '%s' cannot be decoded as its prefix says", path);
	else if (*len < CONFIG_PSK_MIN)
		mistake(m, at, "the secret '%s' has %zu bytes; expected at least %d", path, *len,
		    CONFIG_PSK_MIN);
	else
		return true;
	return false;
}

uint8_t *
psk_read(const char *path, struct secrets *s, size_t *len, struct mistakes *m, struct place at)
{
	uint8_t *file, *key = NULL;
	int fd = open_secret(path, m, at);

	*len = 0;
	if (fd < 0)
		return NULL;
	file = secret_alloc(s, CONFIG_PSK_MAX);
	if (file == NULL) {
		m->no_memory = true;
		goto out;
	}
	if (!read_all(fd, file, CONFIG_PSK_MAX, len)) {
		mistake(m, at, "the secret '%s' cannot be read: %s", path, strerror(errno));
		goto out;
	}
	if (!take_key(file, len, path, m, at))
		goto out;
	key = secret_alloc(s, *len);
	if (key != NULL)
		memcpy(key, file, *len);
	else
		m->no_memory = true;
out:
	secret_free(s, file);
	close(fd);
	return key;
}

void
psk_check_aws(const uint8_t *psk, size_t len, struct mistakes *m, struct place at)
{
	bool odd = false;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = psk[i];

		odd |= c == '\0' || strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		    "0123456789._", c) == NULL;
	}
	if (len < 8 || len > 64)
		mistake_warn(m, at, "AWS takes keys of 8 to 64 characters; this one has %zu", len);
	if (odd)
		mistake_warn(m, at, "AWS takes letters, digits, '.' and '_' in a key; this one "
		    "has others");
	if (len > 0 && psk[0] == '0')
		mistake_warn(m, at, "AWS takes no key that begins with 0, as this one does");
}
