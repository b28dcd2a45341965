/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Apply a mutant: a small change to a source file that makes a bug of it (docs/MUTANTS.md has the format).
 *
 *   mutate ROOT MUTANT OUT   write the changed files below OUT, and print their names
 *   mutate --check ROOT CLASSES MUTANT…   all of them, nothing written: they apply, and each class of the list has three
 *
 * A change names no lines: its old text must stand in the file once, whatever the white space in it. So it survives what
 * happens around it, and fails loudly when the text itself changed.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILES_MAX   4
#define CLASSES_MAX 64
#define CLASS_MIN   3 /* mutants of each class */

struct text {
	char *bytes;
	size_t len;
};

struct file {
	char name[256];
	struct text text;
};

struct mutant {
	const char *path;
	char class[64], rules[256];
	bool about;
	unsigned changes;
	struct file files[FILES_MAX];
	unsigned file_count;
};

static bool complain(const struct mutant *m, const char *what, const char *detail)
{
	const char *name = strrchr(m->path, '/');

	fprintf(stderr, "mutate: %s: %s%s%s\n", name != NULL ? name + 1 : m->path, what, detail[0] != '\0' ? ": " : "",
		detail);
	return false;
}

static bool read_all(const char *path, struct text *out)
{
	FILE *f = fopen(path, "r");
	size_t room = 1u << 20, n;

	if (f == NULL)
		return false;
	out->bytes = malloc(room + 1);
	n = out->bytes != NULL ? fread(out->bytes, 1, room, f) : room;
	fclose(f);
	if (n == room)
		return false;
	out->bytes[n] = '\0';
	out->len = n;
	return true;
}

static void append(struct text *t, const char *line, size_t len)
{
	char *bytes = realloc(t->bytes, t->len + len + 2);

	if (bytes == NULL)
		abort();
	memcpy(bytes + t->len, line, len);
	t->bytes = bytes;
	t->len += len;
	t->bytes[t->len++] = '\n';
	t->bytes[t->len] = '\0';
}

/* Where @text matches all of @pattern, one run of white space being as good as another; NULL: it does not. */
static const char *match(const char *text, const char *pattern)
{
	while (*pattern != '\0') {
		if (!isspace((unsigned char)*pattern)) {
			if (*text++ != *pattern++)
				return NULL;
			continue;
		}
		if (!isspace((unsigned char)*text))
			return NULL;
		while (isspace((unsigned char)*text))
			text++;
		while (isspace((unsigned char)*pattern))
			pattern++;
	}
	return text;
}

/* Without the white space around it. */
static void trim(struct text *t)
{
	size_t from = 0;

	while (t->len > 0 && isspace((unsigned char)t->bytes[t->len - 1]))
		t->len--;
	while (from < t->len && isspace((unsigned char)t->bytes[from]))
		from++;
	t->len -= from;
	if (t->bytes != NULL) {
		memmove(t->bytes, t->bytes + from, t->len);
		t->bytes[t->len] = '\0';
	}
}

static bool replace(struct mutant *m, struct file *file, struct text *old, struct text *fresh)
{
	const char *start = NULL, *end = NULL;
	struct text result = {NULL, 0};

	trim(old);
	trim(fresh);
	if (old->len == 0)
		return complain(m, "a change without old text", file->name);
	for (const char *at = file->text.bytes; *at != '\0'; at++) {
		const char *after = match(at, old->bytes);

		if (after == NULL)
			continue;
		if (start != NULL)
			return complain(m, "does not apply any more, its text stands twice in", file->name);
		start = at;
		end = after;
	}
	if (start == NULL)
		return complain(m, "does not apply any more, its text is not in", file->name);
	result.len = (size_t)(start - file->text.bytes);
	result.bytes = malloc(file->text.len + fresh->len + 1);
	if (result.bytes == NULL)
		abort();
	memcpy(result.bytes, file->text.bytes, result.len);
	if (fresh->len > 0) /* a line that only goes has no text in its place */
		memcpy(result.bytes + result.len, fresh->bytes, fresh->len);
	result.len += fresh->len;
	strcpy(result.bytes + result.len, end);
	result.len = strlen(result.bytes);
	free(file->text.bytes);
	file->text = result;
	m->changes++;
	return true;
}

static struct file *open_file(struct mutant *m, const char *root, const char *name)
{
	struct file *f = &m->files[m->file_count];
	char path[1024];

	for (unsigned i = 0; i < m->file_count; i++)
		if (strcmp(m->files[i].name, name) == 0)
			return &m->files[i];
	snprintf(path, sizeof(path), "%s/%s", root, name);
	if (m->file_count == FILES_MAX || !read_all(path, &f->text)) {
		complain(m, "there is no such file", name);
		return NULL;
	}
	snprintf(f->name, sizeof(f->name), "%s", name);
	m->file_count++;
	return f;
}

static void header(struct mutant *m, const char *line)
{
	if (strncmp(line, "class: ", 7) == 0)
		snprintf(m->class, sizeof(m->class), "%s", line + 7);
	else if (strncmp(line, "rules: ", 7) == 0)
		snprintf(m->rules, sizeof(m->rules), "%s", line + 7);
	else if (strncmp(line, "about: ", 7) == 0)
		m->about = true;
}

/* One change ends; another may begin. */
static bool finish(struct mutant *m, struct file *file, struct text *old, struct text *fresh)
{
	bool ok = file == NULL || replace(m, file, old, fresh);

	free(old->bytes);
	free(fresh->bytes);
	*old = *fresh = (struct text){NULL, 0};
	return ok;
}

static bool apply(struct mutant *m, const char *root)
{
	struct text text = {NULL, 0}, old = {NULL, 0}, fresh = {NULL, 0};
	struct file *file = NULL;
	bool ok = read_all(m->path, &text);

	if (!ok)
		return complain(m, "it cannot be read", "");
	for (char *line = text.bytes, *next; ok && *line != '\0'; line = next) {
		size_t len = strcspn(line, "\n");

		next = line + len + (line[len] == '\n');
		line[len] = '\0';
		if (strncmp(line, "@@ ", 3) == 0) {
			ok = finish(m, file, &old, &fresh);
			file = ok ? open_file(m, root, line + 3) : NULL;
			ok = file != NULL;
		} else if (file == NULL) {
			header(m, line);
		} else if (line[0] == '-' || line[0] == '+' || line[0] == ' ' || len == 0) {
			if (line[0] != '+')
				append(&old, line + (len > 0), len - (len > 0));
			if (line[0] != '-')
				append(&fresh, line + (len > 0), len - (len > 0));
		} else {
			ok = complain(m, "a line of a change begins with none of \" \", \"-\", \"+\"", line);
		}
	}
	ok = finish(m, ok ? file : NULL, &old, &fresh) && ok;
	free(text.bytes);
	if (ok && (m->class[0] == '\0' || m->rules[0] == '\0' || !m->about || m->changes == 0))
		ok = complain(m, "class, rules, about and a change are wanted", "");
	return ok;
}

static void dispose(struct mutant *m)
{
	for (unsigned i = 0; i < m->file_count; i++)
		free(m->files[i].text.bytes);
}

static bool make_directories(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0777) != 0 && errno != EEXIST)
			return false;
		*slash = '/';
	}
	return true;
}

static bool write_files(const struct mutant *m, const char *out)
{
	for (unsigned i = 0; i < m->file_count; i++) {
		char path[1024];
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", out, m->files[i].name);
		f = make_directories(path) ? fopen(path, "w") : NULL;
		if (f == NULL)
			return complain(m, "cannot write", path);
		if (fputs(m->files[i].text.bytes, f) < 0 || fclose(f) != 0)
			return complain(m, "cannot write", path);
		puts(m->files[i].name);
	}
	return true;
}

static int check_all(const char *root, const char *list, char **paths, int count)
{
	struct text text = {NULL, 0};
	const char *classes[CLASSES_MAX];
	unsigned class_count = 0, found[CLASSES_MAX] = {0};
	bool ok = read_all(list, &text);

	for (char *line = ok ? strtok(text.bytes, "\n") : NULL; line != NULL; line = strtok(NULL, "\n"))
		if (class_count < CLASSES_MAX)
			classes[class_count++] = line;
	for (int i = 0; i < count; i++) {
		struct mutant m = {.path = paths[i]};
		unsigned class = 0;

		ok = apply(&m, root) && ok;
		while (class < class_count && strcmp(classes[class], m.class) != 0)
			class ++;
		if (class < class_count)
			found[class]++;
		else
			ok = complain(&m, "there is no such class", m.class);
		dispose(&m);
	}
	for (unsigned i = 0; i < class_count; i++)
		if (found[i] < CLASS_MIN) {
			fprintf(stderr, "mutate: %u mutants of class \"%s\"; at least %d\n", found[i], classes[i],
				CLASS_MIN);
			ok = false;
		}
	free(text.bytes);
	return ok && class_count > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct mutant m;
	bool ok;

	if (argc > 4 && strcmp(argv[1], "--check") == 0)
		return check_all(argv[2], argv[3], argv + 4, argc - 4);
	if (argc != 4) {
		fprintf(stderr, "usage: mutate ROOT MUTANT OUT | mutate --check ROOT CLASSES MUTANT…\n");
		return 2;
	}
	m = (struct mutant){.path = argv[2]};
	ok = apply(&m, argv[1]) && write_files(&m, argv[3]);
	dispose(&m);
	return !ok;
}
