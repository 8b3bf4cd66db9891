/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/*
 * Stands in for libFuzzer: gives each file named on the command line (or each file of a
 * directory) to the fuzz target, and with --truncate also every shorter beginning of it.
 * An input is copied to memory of exactly its size, so that a sanitizer sees one byte too
 * many.  Ends with the line of a libcheck program, for scripts/check to add up.
 */
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define TRUNCATE_MAX	4096		/* a longer file is cut at these many places only */

struct run {
	bool truncate;
	size_t inputs;
	size_t unreadable;
};

static void
feed(struct run *run, const uint8_t *data, size_t len)
{
	uint8_t *exact = malloc(len > 0 ? len : 1);

	if (exact == NULL)
		abort();
	if (len > 0)
		memcpy(exact, data, len);
	(void)LLVMFuzzerTestOneInput(exact, len);
	free(exact);
	run->inputs++;
}

static void
feed_file(struct run *run, const char *path)
{
	FILE *f = fopen(path, "re");
	uint8_t *data = NULL;
	size_t len = 0, n;

	if (f == NULL) {
		perror(path);
		run->unreadable++;
		return;
	}
	do {
		data = realloc(data, len + 65536);
		if (data == NULL)
			abort();
		n = fread(data + len, 1, 65536, f);
		len += n;
	} while (n > 0);
	fclose(f);
	feed(run, data, len);
	for (size_t cut = 0; run->truncate && cut < len && cut < TRUNCATE_MAX; cut++)
		feed(run, data, cut);
	free(data);
}

static int
not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void
feed_path(struct run *run, const char *path)
{
	struct dirent **entry;
	struct stat st;
	char name[4096];
	int n;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		feed_file(run, path);
		return;
	}
	n = scandir(path, &entry, not_hidden, alphasort);
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s/%s", path, entry[i]->d_name);
		feed_file(run, name);
		free(entry[i]);
	}
	if (n >= 0)
		free(entry);
}

int
main(int argc, char **argv)
{
	struct run run = { 0 };

	feed(&run, NULL, 0);		/* nothing at all is an input too */
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--truncate") == 0)
			run.truncate = true;
		else
			feed_path(&run, argv[i]);
	}
	printf("%d%%: Checks: %zu, Failures: 0, Errors: %zu\n",
	    run.unreadable > 0 ? 0 : 100, run.inputs + run.unreadable, run.unreadable);
	return run.unreadable > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
