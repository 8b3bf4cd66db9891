/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/broker_claim.h"

#include "broker_rig.h"
#include "tun_ns.h"

/* What must not exist twice, and what outlives a process. */

static void
put(const char *text, size_t len)
{
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	fclose(f);
}

START_TEST(the_state_survives)
{
	struct state_sysctl s[2], got[4];

	memset(s, 0, sizeof(s));
	s[0] = (struct state_sysctl){ .which = HOST_SYSCTL_FORWARD4, .was = 0, .set = 1 };
	s[1] = (struct state_sysctl){ .which = HOST_SYSCTL_RP_FILTER, .name = "eth0", .was = 1, .set = 2 };
	ck_assert_uint_eq(state_read(file, got, 4), 0);
	ck_assert_int_eq(state_write(file, s, 2), 0);
	ck_assert_uint_eq(state_read(file, got, 4), 2);
	ck_assert_mem_eq(s, got, sizeof(s));
	ck_assert_uint_eq(state_read(file, got, 1), 1);
	ck_assert_int_eq(state_write(file, s, 0), 0);
	ck_assert_int_ne(access(file, F_OK), 0);
	ck_assert_int_eq(state_write(file, s, 0), 0);
	ck_assert_int_eq(state_write("/nonexistent/state", s, 2), -ENOENT);
}
END_TEST

/* A torn or foreign file is not believed in part: values of a stranger would go into sysctls. */
START_TEST(a_torn_state_is_refused)
{
	static const char *const odd[] = { "sysctl 0 - 0 1\n", "sysctl 9 - 0 1\n",
		"sysctl 3 ../x 1 2\n", "sysctl 3 sixteen-letters- 1 2\n", "sysctl 3 eth0 1 2 3\n",
		"sysctl 3 eth0 1\n", "\n" };
	struct state_sysctl s[2], got[4];
	char text[512];
	size_t len, line;
	FILE *f;

	memset(s, 0, sizeof(s));
	s[0] = (struct state_sysctl){ .which = HOST_SYSCTL_FORWARD4, .was = 0, .set = 1 };
	s[1] = (struct state_sysctl){ .which = HOST_SYSCTL_RP_FILTER, .name = "eth0", .was = 1, .set = 2 };
	ck_assert_int_eq(state_write(file, s, 2), 0);
	ck_assert_ptr_nonnull(f = fopen(file, "r"));
	len = fread(text, 1, sizeof(text), f);
	fclose(f);
	line = len - strlen("sysctl 3 eth0 1 2\n");
	for (size_t n = 0; n < len; n++) {
		put(text, n);
		ck_assert_msg(state_read(file, got, 4) == (n == line ? 1u : 0u), "at %zu", n);
	}
	text[len - 2] = 'x';
	put(text, len);
	ck_assert_uint_eq(state_read(file, got, 4), 0);
	text[len - 2] = '2';
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		memcpy(text + line, odd[i], strlen(odd[i]));
		put(text, line + strlen(odd[i]));
		ck_assert_msg(state_read(file, got, 4) == 0, "%s", odd[i]);
	}
	text[strlen("tandem-state 1\nboot ")] ^= 1;
	put(text, len);
	ck_assert_uint_eq(state_read(file, got, 4), 0);
}
END_TEST

START_TEST(a_full_disk_is_no_failure)
{
	struct state_sysctl s = { .which = HOST_SYSCTL_FORWARD4, .set = 1 };

	if (access("/dev/full", W_OK) != 0)
		return;
	/* What is written aside goes to a device that is always full. */
	snprintf(file, sizeof(file), "%s/state.new", dir);
	ck_assert_int_eq(symlink("/dev/full", file), 0);
	snprintf(file, sizeof(file), "%s/state", dir);
	ck_assert_int_eq(state_write(file, &s, 1), -ENOSPC);
	ck_assert_int_ne(access(file, F_OK), 0);
}
END_TEST

START_TEST(a_lock_says_who_holds_it)
{
	char why[300] = "", pid[16];
	int a, b;

	ck_assert_int_eq(claim_lock(file, &a, why, sizeof(why)), 0);
	ck_assert_int_eq(claim_lock(file, &b, why, sizeof(why)), -EWOULDBLOCK);
	ck_assert_int_eq(b, -1);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	ck_assert_ptr_nonnull(strstr(why, pid));
	ck_assert_ptr_nonnull(strstr(why, file));
	close(a);
	ck_assert_int_eq(claim_lock(file, &b, why, sizeof(why)), 0);
	close(b);
	ck_assert_int_eq(claim_lock("/nonexistent/lock", &b, why, sizeof(why)), -ENOENT);
}
END_TEST

/* One instance a namespace: the name goes with its descriptor. */
START_TEST(a_namespace_has_one_instance)
{
	char why[300] = "", pid[16];
	int a, b;

	if (!own_netns())
		return;
	ck_assert_int_eq(claim_netns(&a, why, sizeof(why)), 0);
	ck_assert_int_ge(a, 0);
	ck_assert_int_eq(claim_netns(&b, why, sizeof(why)), -EADDRINUSE);
	ck_assert_int_eq(b, -1);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	ck_assert_ptr_nonnull(strstr(why, pid));
	close(a);
	ck_assert_int_eq(claim_netns(&b, why, sizeof(why)), 0);
	close(b);
}
END_TEST

/* What is dropped does not come back; what is kept but not effective can be raised. */
START_TEST(capabilities_only_get_less)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct was[2], is[2];
	const uint64_t permitted = CLAIM_CAP_BIT(CAP_NET_ADMIN) | CLAIM_CAP_BIT(CAP_KILL);
	const uint64_t effective = CLAIM_CAP_BIT(CAP_KILL);

	ck_assert_int_eq(syscall(SYS_capget, &head, was), 0);
	ck_assert_int_eq(claim_caps(permitted, effective), 0);	/* also where we have none */
	ck_assert_int_eq(syscall(SYS_capget, &head, is), 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_uint_eq(is[i].permitted, was[i].permitted & (uint32_t)(permitted >> 32 * i));
		ck_assert_uint_eq(is[i].effective, is[i].permitted & (uint32_t)(effective >> 32 * i));
		ck_assert_uint_eq(is[i].inheritable, 0);
	}
	ck_assert_int_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	if ((was[0].permitted & (uint32_t)CLAIM_CAP_BIT(CAP_SETPCAP)) != 0)
		ck_assert_int_eq(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0), 0);
	ck_assert_int_eq(claim_caps(UINT64_MAX, UINT64_MAX), 0);	/* more is not to be had */
	ck_assert_int_eq(syscall(SYS_capget, &head, is), 0);
	ck_assert_uint_eq(is[0].permitted, was[0].permitted & (uint32_t)permitted);
	ck_assert_uint_eq(is[1].permitted, 0);
}
END_TEST

START_TEST(sysctls_are_written_where_they_belong)
{
	int value;

	ck_assert_int_eq(sysctl_read((enum host_sysctl)0, "", &value), -EINVAL);
	ck_assert_int_eq(sysctl_write((enum host_sysctl)99, "", 1), -EINVAL);
	if (!own_netns())
		return;
	for (int v = 1; v >= 0; v--) {
		ck_assert_int_eq(sysctl_write(HOST_SYSCTL_FORWARD4, "", v), 0);
		ck_assert_int_eq(sysctl_write(HOST_SYSCTL_RP_FILTER, "lo", 2 * v), 0);
		ck_assert_int_eq(sysctl_write(HOST_SYSCTL_LINKDOWN, "lo", v), 0);
		ck_assert_int_eq(sysctl_read(HOST_SYSCTL_FORWARD4, "", &value), 0);
		ck_assert_int_eq(value, v);
		ck_assert_int_eq(sysctl_read(HOST_SYSCTL_RP_FILTER, "lo", &value), 0);
		ck_assert_int_eq(value, 2 * v);
		ck_assert_int_eq(sysctl_read(HOST_SYSCTL_LINKDOWN, "lo", &value), 0);
		ck_assert_int_eq(value, v);
	}
	ck_assert_int_eq(sysctl_read(HOST_SYSCTL_RP_FILTER, "nowhere0", &value), -ENOENT);
	ck_assert_int_eq(sysctl_write(HOST_SYSCTL_RP_FILTER, "nowhere0", 2), -ENOENT);
}
END_TEST

static void
fill(TCase *t)
{
	tcase_add_checked_fixture(t, make_dir, remove_dir);
	tcase_add_test(t, the_state_survives);
	tcase_add_test(t, a_torn_state_is_refused);
	tcase_add_test(t, a_full_disk_is_no_failure);
	tcase_add_test(t, a_lock_says_who_holds_it);
	tcase_add_test(t, a_namespace_has_one_instance);
	tcase_add_test(t, capabilities_only_get_less);
	tcase_add_test(t, sysctls_are_written_where_they_belong);
}

UNIT_MAIN("gateway/broker_claim", fill)
