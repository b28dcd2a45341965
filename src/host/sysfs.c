/* SPDX-License-Identifier: BSD-2-Clause */
/* Small text files below a root. */
#include "host/sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"

#define WHOLE_FIRST (64 * OB_KIB)
#define WHOLE_MAX   (16 * OB_MIB)

static int make_path(char path[SYSFS_PATH_MAX], const char *root, const char *format, va_list args)
{
	int len = snprintf(path, SYSFS_PATH_MAX, "%s", root), more;

	if (len < 0 || len >= SYSFS_PATH_MAX)
		return -ENAMETOOLONG;
	more = vsnprintf(path + len, (size_t)(SYSFS_PATH_MAX - len), format, args);
	return more < 0 || more >= SYSFS_PATH_MAX - len ? -ENAMETOOLONG : 0;
}

static int read_file(const char *path, char *out, size_t out_bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = 0;
	size_t len = 0;

	if (fd < 0)
		return -errno;
	while (len < out_bytes - 1) {
		ssize_t n = read(fd, out + len, out_bytes - 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			ret = -errno;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	while (len > 0 && out[len - 1] == '\n')
		len--;
	out[len] = '\0';
	return ret < 0 ? ret : (int)len;
}

int sysfs_read(const char *root, char *out, size_t out_bytes, const char *format, ...)
{
	char path[SYSFS_PATH_MAX];
	va_list args;
	int ret;

	va_start(args, format);
	ret = make_path(path, root, format, args);
	va_end(args);
	return ret < 0 ? ret : read_file(path, out, out_bytes);
}

int sysfs_read_whole(const char *root, char **out, const char *format, ...)
{
	char path[SYSFS_PATH_MAX];
	size_t room = WHOLE_FIRST;
	va_list args;
	int ret;

	*out = NULL;
	va_start(args, format);
	ret = make_path(path, root, format, args);
	va_end(args);
	/* How long it is nobody can say before it is read. */
	while (ret == 0 && room <= WHOLE_MAX) {
		char *text = malloc(room);

		ret = text != NULL ? read_file(path, text, room) : -ENOMEM;
		if (ret >= 0 && (size_t)ret < room - 2) { /* newlines at the end are cut off */
			*out = text;
			return 0;
		}
		free(text);
		ret = MIN(ret, 0);
		room *= 4;
	}
	return ret < 0 ? ret : -EFBIG;
}

int sysfs_read_number(const char *root, uint64_t *out, const char *format, ...)
{
	char path[SYSFS_PATH_MAX], text[64], *end;
	va_list args;
	int ret;

	va_start(args, format);
	ret = make_path(path, root, format, args);
	va_end(args);
	if (ret == 0)
		ret = read_file(path, text, sizeof(text));
	if (ret < 0)
		return ret;
	errno = 0;
	*out = strtoull(text, &end, 0);
	return end == text || *end != '\0' || errno != 0 ? -EINVAL : 0;
}

int sysfs_link(const char *root, char *out, size_t out_bytes, const char *format, ...)
{
	char path[SYSFS_PATH_MAX], target[SYSFS_PATH_MAX], *last;
	va_list args;
	ssize_t len;
	int ret;

	va_start(args, format);
	ret = make_path(path, root, format, args);
	va_end(args);
	if (ret < 0)
		return ret;
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	last = strrchr(target, '/');
	last = last != NULL ? last + 1 : target;
	if (strlen(last) >= out_bytes)
		return -ENAMETOOLONG;
	memcpy(out, last, strlen(last) + 1);
	return 0;
}

bool sysfs_exists(const char *root, const char *format, ...)
{
	char path[SYSFS_PATH_MAX];
	struct stat st;
	va_list args;
	int ret;

	va_start(args, format);
	ret = make_path(path, root, format, args);
	va_end(args);
	return ret == 0 && lstat(path, &st) == 0;
}

int sysfs_write(const char *root, const char *text, const char *format, ...)
{
	char path[SYSFS_PATH_MAX];
	va_list args;
	ssize_t n;
	int fd, ret;

	va_start(args, format);
	ret = make_path(path, root, format, args);
	va_end(args);
	if (ret < 0)
		return ret;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* The kernel takes what one write() brings as the whole. */
	do
		n = write(fd, text, strlen(text));
	while (n < 0 && errno == EINTR);
	ret = n < 0 ? -errno : (size_t)n == strlen(text) ? 0 : -EIO;
	close(fd);
	return ret;
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int sysfs_list(const char *root, char ***out, const char *format, ...)
{
	struct dirent **entries;
	char path[SYSFS_PATH_MAX];
	bool failed = false;
	va_list args;
	int ret;

	*out = NULL;
	va_start(args, format);
	ret = make_path(path, root, format, args);
	va_end(args);
	if (ret < 0)
		return ret;
	ret = scandir(path, &entries, not_hidden, alphasort);
	if (ret < 0)
		return -errno;
	*out = calloc((size_t)ret + 1, sizeof(**out));
	for (int i = 0; i < ret; i++) {
		if (*out != NULL && ((*out)[i] = strdup(entries[i]->d_name)) == NULL)
			failed = true;
		free(entries[i]);
	}
	free(entries);
	if (*out != NULL && !failed)
		return ret;
	sysfs_list_free(*out);
	*out = NULL;
	return -ENOMEM;
}

void sysfs_list_free(char **list)
{
	for (char **entry = list; entry != NULL && *entry != NULL; entry++)
		free(*entry);
	free(list);
}
