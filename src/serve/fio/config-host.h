/* SPDX-License-Identifier: BSD-2-Clause */
/* What fio's headers want to know of the system; their structures do not depend on it. */
#define CONFIG_64BIT
#define CONFIG_LITTLE_ENDIAN
#define CONFIG_STRSEP
#define CONFIG_STRCASESTR
#define CONFIG_STRLCAT
#define CONFIG_HAVE_GETTID
#define CONFIG_PWRITEV2
#define CONFIG_SYNC_FILE_RANGE
#define CONFIG_STATIC_ASSERT
#define CONFIG_HAVE_BOOL
