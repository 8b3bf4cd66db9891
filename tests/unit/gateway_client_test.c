/* SPDX-License-Identifier: MIT */
#include "gateway/client.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit.h"

/* A daemon in a thread: it takes one client, reads `lines` lines, says `say`, and hangs up. */
struct daemon {
	pthread_t thread;
	int fd, lines;
	const char *say;
	char heard[65536];
	char path[60];
};

static void *
serve(void *arg)
{
	struct daemon *d = arg;
	int fd = accept(d->fd, NULL, NULL);
	size_t n = 0;

	while (d->lines > 0 && n < sizeof(d->heard) - 1 && read(fd, &d->heard[n], 1) == 1)
		if (d->heard[n++] == '\n')
			d->lines--;
	if (d->say != NULL)
		(void)!write(fd, d->say, strlen(d->say));
	close(fd);
	return NULL;
}

static void
daemon_start(struct daemon *d, int lines, const char *say)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	memset(d, 0, sizeof(*d));
	d->lines = lines;
	d->say = say;
	snprintf(d->path, sizeof(d->path), "/tmp/tandem-client-%d", (int)getpid());
	unlink(d->path);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", d->path);
	d->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(d->fd, (struct sockaddr *)&un, sizeof(un)), 0);
	ck_assert_int_eq(listen(d->fd, 1), 0);
	ck_assert_int_eq(pthread_create(&d->thread, NULL, serve, d), 0);
}

static void
daemon_end(struct daemon *d)
{
	pthread_join(d->thread, NULL);
	close(d->fd);
	unlink(d->path);
}

START_TEST(a_request_is_a_line_and_so_is_an_answer)
{
	struct daemon d;
	struct client *c;
	json_t *a;

	daemon_start(&d, 2, "{\"n\": 1}\n{\"n\": 2}\n");
	c = client_open(d.path);
	ck_assert_ptr_nonnull(c);
	ck_assert(client_send(c, json_pack("{s:s}", "verb", "a\nb")));
	ck_assert(client_send(c, json_pack("{s:i}", "x", 7)));
	for (int i = 1; i <= 2; i++) {
		a = client_next(c);
		ck_assert_int_eq(json_integer_value(json_object_get(a, "n")), i);
		json_decref(a);
	}
	ck_assert_ptr_null(client_next(c));
	client_close(c);
	daemon_end(&d);
	ck_assert_str_eq(d.heard, "{\"verb\":\"a\\nb\"}\n{\"x\":7}\n");
}
END_TEST

/* The status of a large hub is megabytes in one line. */
START_TEST(an_answer_may_be_long)
{
	size_t len = 3 * 1000 * 1000;
	char *say = malloc(len + 10);
	struct daemon d;
	struct client *c;
	json_t *a;

	memset(say, 'x', len);
	memcpy(say, "[\"", 2);
	strcpy(say + len, "\"]\n");
	daemon_start(&d, 0, say);
	c = client_open(d.path);
	a = client_next(c);
	ck_assert_uint_eq(json_string_length(json_array_get(a, 0)), len - 2);
	json_decref(a);
	client_close(c);
	daemon_end(&d);
	free(say);
}
END_TEST

/* Not killed by a broken pipe; what the daemon said before it hung up can be read. */
START_TEST(a_daemon_may_hang_up_first)
{
	struct daemon d;
	struct client *c;
	json_t *a;

	ck_assert_ptr_eq(signal(SIGPIPE, SIG_DFL), SIG_DFL);
	daemon_start(&d, 0, "{\"error\": \"too many clients\"}\n");
	c = client_open(d.path);
	pthread_join(d.thread, NULL);
	ck_assert(!client_send(c, json_pack("{s:s}", "verb", "status")));
	a = client_next(c);
	ck_assert_str_eq(json_string_value(json_object_get(a, "error")), "too many clients");
	json_decref(a);
	ck_assert_ptr_null(client_next(c));
	client_close(c);
	close(d.fd);
	unlink(d.path);
}
END_TEST

START_TEST(what_is_no_json_is_no_answer)
{
	static const char *const say[] = { "rubbish\n", "{\"a\":\n", "\n", "{\"a\": 1", "" };

	for (size_t i = 0; i < sizeof(say) / sizeof(say[0]); i++) {
		struct daemon d;
		struct client *c;

		daemon_start(&d, 0, say[i]);
		c = client_open(d.path);
		ck_assert_ptr_null(client_next(c));
		client_close(c);
		daemon_end(&d);
	}
}
END_TEST

START_TEST(nobody_there_is_no_client_and_leaves_nothing)
{
	char path[200] = "/tmp/";
	int before = dup(0), after;

	close(before);
	ck_assert_ptr_null(client_open("/nonexistent/socket"));
	ck_assert_ptr_null(client_open("/etc/passwd"));
	memset(path + 5, 'x', 150);
	ck_assert_ptr_null(client_open(path));
	after = dup(0);
	close(after);
	ck_assert_int_eq(before, after);
	client_close(NULL);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_test(t, a_request_is_a_line_and_so_is_an_answer);
	tcase_add_test(t, an_answer_may_be_long);
	tcase_add_test(t, a_daemon_may_hang_up_first);
	tcase_add_test(t, what_is_no_json_is_no_answer);
	tcase_add_test(t, nobody_there_is_no_client_and_leaves_nothing);
}

UNIT_MAIN("client", fill)
