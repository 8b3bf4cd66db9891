/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "gateway/psk.h"

#include "config_unit.h"

static uint8_t *
read_psk(struct fix *f, const char *name, size_t *len)
{
	struct mistakes m;
	char path[512];
	uint8_t *psk;

	fix_drop(f);
	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	mistakes_init(&m, "f");
	psk = psk_read(path, f->s, len, &m, (struct place){ 1, 1 });
	mistakes_finish(&m, &f->e, &f->w);
	ck_assert_int_eq(psk == NULL, f->e.n > 0);
	return psk;
}

START_TEST(the_key_is_the_first_line)
{
	static const struct {
		const char *file, *key;
		size_t file_len, len, warnings;
	} t[] = {
		{ "12345678", "12345678", 8, 8, 0 },
		{ "12345678\n", "12345678", 9, 8, 0 },
		{ "12345678\r\n", "12345678", 10, 8, 0 },
		{ "12345678\n\n", "12345678", 10, 8, 0 },
		{ "12345678\nmore\n", "12345678", 14, 8, 1 },
		{ " 1234567", " 1234567", 8, 8, 1 },
		{ "1234567 \n", "1234567 ", 9, 8, 1 },
		{ "0x12345678", "0x12345678", 10, 10, 0 },
		{ "0sMTIzNDU2Nzg=", "0sMTIzNDU2Nzg=", 14, 14, 0 },
		{ "hex:00ff1122334455aA\n", "\0\xff\x11\x22\x33\x44\x55\xaa", 21, 8, 0 },
		{ "base64:MTIzNDU2Nzg=\n", "12345678", 20, 8, 0 },
		{ "p\xc3\xa4ssw\xc3\xb6rt\n", "p\xc3\xa4ssw\xc3\xb6rt", 11, 10, 0 },
	};
	struct fix f;

	fix_init(&f);
	for (size_t i = 0; i < N_OF(t); i++) {
		uint8_t *psk;
		size_t len;

		fix_file(&f, "k", t[i].file, t[i].file_len, 0600);
		psk = read_psk(&f, "k", &len);
		ck_assert_msg(psk != NULL, "%s: %s", t[i].file, fix_lines(&f.e));
		ck_assert_uint_eq(len, t[i].len);
		ck_assert_mem_eq(psk, t[i].key, len);
		ck_assert_msg(f.w.n == t[i].warnings, "%s: %s", t[i].file, fix_lines(&f.w));
		secret_free(f.s, psk);
	}
	fix_fini(&f);
}
END_TEST

START_TEST(what_is_no_key_is_refused)
{
	static const struct {
		const char *file, *words;
		size_t len;
	} t[] = {
		{ "", "has 0 bytes; expected at least 8", 0 },
		{ "\n12345678\n", "has 0 bytes", 10 },
		{ "1234567\n", "has 7 bytes", 8 },
		{ "1234567\r\n", "has 7 bytes", 9 },
		{ "1234\0" "5678\n", "a NUL byte", 10 },
		{ "hex:0011223344556\n", "cannot be decoded", 18 },
		{ "hex:00112233445566xx\n", "cannot be decoded", 21 },
		{ "hex:00112233445566\n", "has 7 bytes", 19 },
		{ "base64:MTIzNDU2Nzg\n", "cannot be decoded", 19 },
		{ "base64:MTIz NDU2Nzg=\n", "cannot be decoded", 21 },
	};
	struct fix f;
	size_t len;

	fix_init(&f);
	for (size_t i = 0; i < N_OF(t); i++) {
		fix_file(&f, "k", t[i].file, t[i].len, 0600);
		ck_assert_ptr_null(read_psk(&f, "k", &len));
		ck_assert_msg(strstr(f.e.line[0], t[i].words) != NULL, "%s", f.e.line[0]);
		ck_assert_uint_eq(secrets_used(f.s), 0);
		ck_assert_msg(strstr(f.e.line[0], "1234") == NULL, "a secret is in a message");
	}
	fix_fini(&f);
}
END_TEST

/* Nobody else may read it: each bit of the mode alone, with the command that mends it. */
START_TEST(a_secret_open_to_others_is_refused)
{
	static const mode_t open_modes[] = { 0601, 0602, 0604, 0610, 0620, 0640, 0644, 0666 };
	static const mode_t shut_modes[] = { 0600, 0400, 0700 };
	struct fix f;
	char words[128];
	size_t len;

	fix_init(&f);
	for (size_t i = 0; i < N_OF(open_modes); i++) {
		fix_file(&f, "k", "12345678", 8, open_modes[i]);
		ck_assert_ptr_null(read_psk(&f, "k", &len));
		snprintf(words, sizeof(words), "(mode %04o); run 'chmod 600 %s/k'", open_modes[i], f.dir);
		ck_assert_msg(strstr(f.e.line[0], words) != NULL, "%s", f.e.line[0]);
	}
	for (size_t i = 0; i < N_OF(shut_modes); i++) {
		uint8_t *psk;

		fix_file(&f, "k", "12345678", 8, shut_modes[i]);
		psk = read_psk(&f, "k", &len);
		ck_assert_ptr_nonnull(psk);
		secret_free(f.s, psk);
	}
	fix_fini(&f);
}
END_TEST

START_TEST(only_a_regular_file_of_ours_is_opened)
{
	struct fix f;
	char path[128];
	size_t len;

	fix_init(&f);
	snprintf(path, sizeof(path), "%s/fifo", f.dir);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_ptr_null(read_psk(&f, "fifo", &len));	/* and does not wait for a writer */
	ck_assert(strstr(f.e.line[0], "not a regular file") != NULL);
	ck_assert_ptr_null(read_psk(&f, ".", &len));
	ck_assert(strstr(f.e.line[0], "not a regular file") != NULL);
	ck_assert_ptr_null(read_psk(&f, "none", &len));
	ck_assert(strstr(f.e.line[0], "No such file") != NULL);
	if (geteuid() == 0) {
		fix_file(&f, "k", "12345678", 8, 0600);
		snprintf(path, sizeof(path), "%s/k", f.dir);
		ck_assert_int_eq(chown(path, 12345, 0), 0);
		ck_assert_ptr_null(read_psk(&f, "k", &len));
		ck_assert(strstr(f.e.line[0], "belongs to user 12345; run 'chown root ") != NULL);
	}
	fix_fini(&f);
}
END_TEST

START_TEST(a_secret_has_a_greatest_size)
{
	static char text[CONFIG_PSK_MAX + 1];
	struct fix f;
	uint8_t *psk;
	size_t len;

	fix_init(&f);
	memset(text, 'k', sizeof(text));
	fix_file(&f, "k", text, CONFIG_PSK_MAX, 0600);
	psk = read_psk(&f, "k", &len);
	ck_assert_ptr_nonnull(psk);
	ck_assert_uint_eq(len, CONFIG_PSK_MAX);
	secret_free(f.s, psk);
	fix_file(&f, "k", text, CONFIG_PSK_MAX + 1, 0600);
	ck_assert_ptr_null(read_psk(&f, "k", &len));
	ck_assert(strstr(f.e.line[0], "4097 bytes; expected at most 4096") != NULL);
	fix_fini(&f);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, the_key_is_the_first_line);
	tcase_add_test(t, what_is_no_key_is_refused);
	tcase_add_test(t, a_secret_open_to_others_is_refused);
	tcase_add_test(t, only_a_regular_file_of_ours_is_opened);
	tcase_add_test(t, a_secret_has_a_greatest_size);
}

UNIT_MAIN("gateway/psk", fill)
