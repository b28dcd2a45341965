/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading and writing what the kernel shows as small text files: /sys and /proc. Every path has a root before it: "" is
 * this system, a directory is a recorded one, so that all that builds on this can be tested on systems that are not
 * here.
 */
#ifndef OB_HOST_SYSFS_H
#define OB_HOST_SYSFS_H

#include <outboard/types.h>

#define SYSFS_PATH_MAX 512

/** sysfs_read - a file's first bytes as text, without the newline at its end. The length; negative errno. */
int sysfs_read(const char *root, char *out, size_t out_bytes, const char *format, ...) OB_PRINTF(4, 5);
/** sysfs_read_whole - all of a file, however long, as text for free(). 0; -EFBIG more than 16 MiB; negative errno. */
int sysfs_read_whole(const char *root, char **out, const char *format, ...) OB_PRINTF(3, 4);
/** sysfs_read_number - a file that holds one number, decimal or 0x. 0; -EINVAL it does not; negative errno. */
int sysfs_read_number(const char *root, uint64_t *out, const char *format, ...) OB_PRINTF(3, 4);
/** sysfs_link - the last part of what a link points to. 0; negative errno. */
int sysfs_link(const char *root, char *out, size_t out_bytes, const char *format, ...) OB_PRINTF(4, 5);
/** sysfs_exists - is there such a file, link or directory? */
bool sysfs_exists(const char *root, const char *format, ...) OB_PRINTF(2, 3);
/** sysfs_write - one write() of @text. 0; negative errno. */
int sysfs_write(const char *root, const char *text, const char *format, ...) OB_PRINTF(3, 4);
/**
 * sysfs_list - the names in a directory, sorted
 * @out: an array of strings that ends with NULL; sysfs_list_free() ends it
 *
 * Return: how many; negative errno.
 */
int sysfs_list(const char *root, char ***out, const char *format, ...) OB_PRINTF(3, 4);
void sysfs_list_free(char **list);

#endif
