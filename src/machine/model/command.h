/* SPDX-License-Identifier: BSD-2-Clause */
/* A command of the model machine's language, between the files that carry it out. */
#ifndef OB_MACHINE_MODEL_COMMAND_H
#define OB_MACHINE_MODEL_COMMAND_H

#include "machine/model/model_machine.h"

#define WORDS_MAX 12

struct command {
	struct model_machine *mm;
	struct model_device *dev; /* NULL: of the machine */
	char *words[WORDS_MAX];   /* behind the verb and the device */
	unsigned count;
	char *reply;
	size_t reply_len;
};

/* Into the reply. */
void model_say(struct command *c, const char *format, ...) OB_PRINTF(2, 3);
/* -EIO, and why. */
int model_refused(struct command *c, const char *why);
/* 0 or -EINVAL. */
int model_number(const char *text, uint64_t *out);

/* fault.c */
int model_command_fault(struct command *c);

#endif
