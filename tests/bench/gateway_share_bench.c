/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gateway/workers.h"
#include "tun/udp.h"
#include "tests/unit/esp_rig.h"

/*
 * What a worker that is held up costs a tunnel that several workers share.  Two workers send by
 * one outbound SA to a socket, or each by its own (RFC 9611); every 50 ms one of them in turn is stopped for 5 ms, from outside:
 * another process traces the thread and interrupts it, wherever it is.  The receiver holds each
 * arriving sequence number against windows of several sizes, of its SA, and counts what they would
 * drop.
 *
 *	make bench && build/plain/bench/gateway_share_bench	(as root, or with ptrace_scope 0)
 *
 * A stopped worker holds the numbers of one batch at most, taken right before they are sealed;
 * what it has not read yet waits in its queue without numbers.
 */
enum { WORKERS = 2, SECONDS = 3, STALL_MS = 5, EVERY_MS = 50, WINDOWS = 4, LEN = 256 };

static const uint32_t window[WINDOWS] = { 32, 64, 256, 1024 };

struct bench {
	struct rig r;
	struct workers *ws;
	pid_t tid[WORKERS];
	int host[WORKERS], out, in;
	uint16_t port;			/* of the receiver */
	_Atomic bool over;
	uint64_t got, late, deepest, dropped[WINDOWS];
};

static usec_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return USEC_S(t.tv_sec) + (usec_t)t.tv_nsec / 1000;
}

/* ---- the receiver ---------------------------------------------------------------------- */

static void
look(struct bench *b, uint64_t *top, uint32_t seq)
{
	b->got++;
	if (seq > *top) {
		*top = seq;
		return;
	}
	b->late++;
	if (*top - seq > b->deepest)
		b->deepest = *top - seq;
	for (unsigned i = 0; i < WINDOWS; i++)
		b->dropped[i] += *top - seq >= window[i];
}

static void *
receive(void *arg)
{
	struct bench *b = arg;
	struct pollfd p = { .fd = b->in, .events = POLLIN };
	struct batch batch;
	uint64_t top[WORKERS] = { 0 };

	ck_assert(batch_init(&batch, 8, PKT_BUF));
	while (!atomic_load(&b->over)) {
		(void)poll(&p, 1, 20);
		batch_reset(&batch);
		if (udp_recv(b->in, 0, b->port, &batch) <= 0)
			continue;
		for (unsigned i = 0; i < batch.n; i++) {
			struct pkt one = { .len = 1 };

			for (size_t at = 0; at < batch.pkt[i].len; at += one.len) {
				uint32_t spi;
				struct rd r;

				one = pkt_datagram(&batch.pkt[i], at);
				r = rd_init(pkt_data(&one), one.len);
				spi = rd_u32(&r);
				look(b, &top[spi % WORKERS], rd_u32(&r));
			}
		}
	}
	batch_fini(&batch);
	return NULL;
}

/* ---- who stops them -------------------------------------------------------------------- */

static void
stall(pid_t tid, unsigned ms)
{
	const struct timespec t = { .tv_nsec = (long)ms * 1000000 };

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0)
		_exit(2);
	(void)ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	(void)waitpid(tid, NULL, __WALL);
	nanosleep(&t, NULL);
	(void)ptrace(PTRACE_DETACH, tid, NULL, NULL);
}

static pid_t
start_staller(const struct bench *b)
{
	const struct timespec t = { .tv_nsec = (EVERY_MS - STALL_MS) * 1000000L };
	pid_t parent = getpid(), pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0) {
		(void)prctl(PR_SET_PTRACER, (unsigned long)pid, 0, 0, 0);
		return pid;
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (unsigned i = 0; getppid() == parent; i++) {
		nanosleep(&t, NULL);
		stall(b->tid[i % WORKERS], STALL_MS);
	}
	_exit(0);
}

/* ---- the workers ----------------------------------------------------------------------- */

static void
post(struct bench *b, struct worker_cmd c)
{
	if (c.esp.path != NULL)
		c.esp.path->users = WORKERS;
	for (unsigned i = 0; i < WORKERS; i++)
		ck_assert(worker_post(workers_at(b->ws, i), &c));
}

/* One SA for all workers, or one for each. */
static void
post_sas(struct bench *b, bool own)
{
	struct child_sa *child = &b->r.child[0];
	struct esp_sa *sa = NULL;

	child->spi_out -= child->spi_out % WORKERS;
	for (unsigned i = 0; i < WORKERS; i++, child->spi_out++) {
		if (own || sa == NULL)
			sa = esp_sa_out_new(b->r.sec, b->r.aeads, child, 0);
		ck_assert_ptr_nonnull(sa);
		esp_sa_lend(sa, 1);
		ck_assert(worker_post(workers_at(b->ws, i), &(struct worker_cmd){
		    .kind = WORKER_ESP, .esp = { .kind = ESP_CMD_SA_OUT, .sa = sa } }));
	}
}

static void
on_back(void *arg, const struct esp_event *ev)
{
	struct bench *b = arg;

	if (ev->sa != NULL && esp_sa_return(ev->sa))
		esp_sa_free(b->r.sec, ev->sa);
	if (ev->path != NULL && --ev->path->users == 0)
		esp_path_free(ev->path);
}

/* The threads that there are now and were not before. */
static void
find_threads(struct bench *b)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL) {
		pid_t tid = atoi(e->d_name);

		if (tid > 0 && tid != getpid() && n < WORKERS)
			b->tid[n++] = tid;
	}
	closedir(d);
	ck_assert_uint_eq(n, WORKERS);
}

static void
setup(struct bench *b, bool own)
{
	static const uint8_t key[16] = "probes of nobody";
	struct endpoint at = { .ip = ip_of("127.0.0.1") };
	struct esp_cmd end = { .kind = ESP_CMD_ENDPOINT, .tunnel = 1, .socket = 2 };
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	int big = 1 << 20;

	memset(b, 0, sizeof(*b));
	b->r.sec = secrets_new();
	b->r.aeads = aead_set_new();
	b->ws = workers_new(WORKERS, b->r.aeads, key);
	ck_assert(b->ws != NULL);
	find_threads(b);
	b->in = udp_open(&at, NULL, 0);
	b->out = udp_open(&at, NULL, 0);
	ck_assert(b->in >= 0 && b->out >= 0 && udp_gro(b->in, true) == 0);
	ck_assert_int_eq(getsockname(b->in, (struct sockaddr *)&in, &len), 0);
	b->port = ntohs(in.sin_port);
	for (unsigned i = 0; i < WORKERS; i++) {
		int pair[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
		(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
		b->host[i] = pair[0];
		ck_assert(worker_post(workers_at(b->ws, i), &(struct worker_cmd){
		    .kind = WORKER_DEVICE_ADD, .index = 7, .fd = pair[1] }));
	}
	post(b, (struct worker_cmd){ .kind = WORKER_SOCKET, .index = 2, .fd = b->out });
	rig_child(&b->r, AEAD_AES_GCM_16_128, false, 1, 0);
	post(b, (struct worker_cmd){ .kind = WORKER_ESP, .esp = { .kind = ESP_CMD_PATH_SET,
	    .path = rig_path(0) } });
	end.local = end.remote = at;
	end.remote.port = b->port;
	post(b, (struct worker_cmd){ .kind = WORKER_ESP, .esp = end });
	post_sas(b, own);
}

/* Packets of one flow a worker, `rate` a second in all. */
static uint64_t
send_for(struct bench *b, uint64_t rate, usec_t time)
{
	uint8_t packet[WORKERS][LEN];
	usec_t begin = now_us(), now;
	uint64_t sent = 0;

	for (unsigned i = 0; i < WORKERS; i++) {
		struct flow f = flow_v4;

		f.sport = (uint16_t)(5000 + i);
		packet_write(packet[i], LEN, &f);
	}
	while ((now = now_us()) - begin < time) {
		uint64_t due = (now - begin) * rate / 1000000;

		for (; sent < due; sent++)
			if (write(b->host[sent % WORKERS], packet[sent % WORKERS], LEN) != LEN)
				break;
		if (sent >= due)
			usleep(50);
	}
	return sent;
}

static void
measure(uint64_t rate, bool stalls, bool own)
{
	pid_t staller = 0;
	pthread_t receiver;
	struct bench b;
	uint64_t sent;

	setup(&b, own);
	ck_assert_int_eq(pthread_create(&receiver, NULL, receive, &b), 0);
	if (stalls)
		staller = start_staller(&b);
	sent = send_for(&b, rate, USEC_S(SECONDS));
	if (staller > 0) {
		kill(staller, SIGKILL);
		(void)waitpid(staller, NULL, 0);
	}
	usleep(200000);
	atomic_store(&b.over, true);
	pthread_join(receiver, NULL);
	printf("%9llu %4s %7s %9llu %9llu %7llu %8llu", (unsigned long long)rate, own ? "each" : "one",
	    stalls ? "5 ms" : "none", (unsigned long long)sent, (unsigned long long)b.got, (unsigned long long)b.late,
	    (unsigned long long)b.deepest);
	for (unsigned i = 0; i < WINDOWS; i++)
		printf(" %7llu", (unsigned long long)b.dropped[i]);
	printf("\n");
	fflush(stdout);
	workers_free(b.ws, on_back, &b);
	for (unsigned i = 0; i < WORKERS; i++)
		close(b.host[i]);
	close(b.in);
	close(b.out);
	aead_set_free(b.r.aeads);
	secrets_free(b.r.sec);
}

START_TEST(all_rates)
{
	static const uint64_t rate[] = { 10000, 50000, 100000, 200000, 400000 };

	printf("%d workers by one outbound SA or one for each, %d s a line; one of them stopped for %d ms "
	    "every %d ms\n"
	    "                                                                        "
	    "dropped by a replay window of\n"
	    "   rate/s  SAs  stalls      sent   arrived    late  deepest      32      64     256    1024\n",
	    WORKERS, SECONDS, STALL_MS, EVERY_MS);
	for (size_t i = 0; i < sizeof(rate) / sizeof(rate[0]); i++)
		for (int k = 0; k < 4; k++)
			measure(rate[i], (k & 1) != 0, k >= 2);
}
END_TEST

/* The rig is that of the tests, whose assertions want a runner. */
int
main(void)
{
	Suite *suite = suite_create("share");
	TCase *tcase = tcase_create("share");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, all_rates);
	suite_add_tcase(suite, tcase);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed;
}
