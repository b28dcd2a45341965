/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults that were written down: one on a line, as docs/SIMULATION.md shows.
 *
 *	at io 12 hang
 *	after 3.5ms remove
 *	register CSTS stuck 0
 *
 * A line says when (nothing: from the start), what, and how often. Nothing here runs while a world does.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/device.h"
#include "sim/fault/fault.h"
#include "spec/nvme.h"

#define WORD_MAX   12
#define LINE_LEN   256
#define SCRIPT_MAX (64u << 10)

#define ONE(kind)         SIM_FAULT_BIT(SIM_FAULT_##kind)
#define OF_QUEUES(kind)   (ONE(kind) | ONE(ADMIN_##kind))
#define BYTES(type, name) offsetof(type, name), sizeof(((type *)0)->name)

struct parser {
	const char *name; /* of the script */
	const struct sim_device_type *const *types;
	unsigned line;
	char text[LINE_LEN];
	const char *words[WORD_MAX + 1]; /* NULL at the end */
	unsigned at;
	struct fault_rule *rule;
	char *error;
	size_t error_size;
};

static int wrong(struct parser *p, const char *format, ...) OB_PRINTF(2, 3);

static int wrong(struct parser *p, const char *format, ...)
{
	int len = snprintf(p->error, p->error_size, "%s:%u: ", p->name, p->line);
	va_list args;

	va_start(args, format);
	if (len >= 0 && (size_t)len < p->error_size)
		vsnprintf(p->error + len, p->error_size - (size_t)len, format, args);
	va_end(args);
	return -EINVAL;
}

/* ---- words ---- */

static const char *peek(const struct parser *p)
{
	return p->words[p->at];
}

static bool take(struct parser *p, const char *word)
{
	if (peek(p) == NULL || strcmp(peek(p), word) != 0)
		return false;
	p->at++;
	return true;
}

static const char *shown(const struct parser *p)
{
	return peek(p) != NULL ? peek(p) : "the end of the line";
}

static bool number_of(const char *text, uint64_t *out)
{
	char *end;

	if (text == NULL || text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 0);
	return *end == '\0' && errno == 0;
}

static int take_number(struct parser *p, const char *of_what, uint64_t max, uint64_t *out)
{
	if (!number_of(peek(p), out) || *out > max)
		return wrong(p, "%s, not %s: a number up to %#llx is needed", of_what, shown(p),
			     (unsigned long long)max);
	p->at++;
	return 0;
}

/* "3.5ms": up to three digits behind the point. */
static bool time_of(const char *text, uint64_t *out)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = {{"ns", 1}, {"us", OB_NS_PER_US}, {"ms", OB_NS_PER_MS}, {"s", OB_NS_PER_S}};
	uint64_t whole, thousandths, scale = 1000;
	char *end;

	if (text == NULL || text[0] < '0' || text[0] > '9')
		return false;
	whole = strtoull(text, &end, 10); /* what is too large for it is so here */
	if (whole >= UINT64_MAX / OB_NS_PER_S / 1000)
		return false;
	thousandths = whole * 1000;
	if (*end == '.')
		for (end++; *end >= '0' && *end <= '9'; end++) {
			scale /= 10;
			thousandths += (uint64_t)(*end - '0') * scale;
		}
	for (unsigned i = 0; i < ARRAY_SIZE(units); i++)
		if (strcmp(end, units[i].unit) == 0) {
			*out = units[i].ns >= 1000 ? thousandths * (units[i].ns / 1000) : thousandths / 1000;
			return true;
		}
	return false;
}

static int take_time(struct parser *p, const char *of_what, uint64_t *out)
{
	if (!time_of(peek(p), out))
		return wrong(p, "%s, not %s: a time such as 500ns, 20us, 3.5ms or 2s is needed", of_what, shown(p));
	p->at++;
	return 0;
}

static int take_value(struct parser *p, uint64_t max)
{
	p->rule->has_value = true;
	return take_number(p, "the value", max, &p->rule->value);
}

/* A value may be missing: then it is drawn. */
static bool at_end_of_fault(const struct parser *p)
{
	return peek(p) == NULL || strcmp(peek(p), "times") == 0;
}

/* ---- when ---- */

static const char *const things[FAULT_THINGS] = {
	[FAULT_AT_COMMAND] = "command",     [FAULT_AT_IO] = "io",
	[FAULT_AT_ADMIN] = "admin",         [FAULT_AT_COMPLETION] = "completion",
	[FAULT_AT_INTERRUPT] = "interrupt", [FAULT_AT_READ] = "read",
	[FAULT_AT_CONFIG] = "config-read",  [FAULT_AT_ENABLE] = "enable",
	[FAULT_AT_DISABLE] = "disable",     [FAULT_AT_CALL] = "call",
};

static int parse_thing(struct parser *p)
{
	for (unsigned i = 0; i < FAULT_THINGS; i++)
		if (take(p, things[i])) {
			p->rule->thing = (enum fault_thing)i;
			if (take_number(p, "the number of it", UINT32_MAX, &p->rule->number) != 0)
				return -EINVAL;
			return p->rule->number > 0 ? 0 : wrong(p, "the first one is number 1");
		}
	return wrong(p,
		     "%s cannot be counted; command, io, admin, completion, interrupt, read, config-read, enable, "
		     "disable and call can",
		     shown(p));
}

static int parse_when(struct parser *p)
{
	struct fault_rule *r = p->rule;

	if (take(p, "after")) {
		r->when = FAULT_WHEN_AFTER;
		return take_time(p, "after what time", &r->number);
	}
	if (take(p, "at")) {
		r->when = FAULT_WHEN_AT;
		return parse_thing(p);
	}
	if (take(p, "every")) {
		r->when = FAULT_WHEN_EVERY;
		return parse_thing(p);
	}
	r->when = FAULT_WHEN_ALWAYS;
	take(p, "always");
	return 0;
}

/* ---- what ---- */

struct place {
	const char *name;
	size_t offset, len_bytes;
};

static const struct place fields[] = {
	{"result", BYTES(struct nvme_cqe, dw0)},    {"sqhd", BYTES(struct nvme_cqe, sqhd)},
	{"sqid", BYTES(struct nvme_cqe, sqid)},     {"cid", BYTES(struct nvme_cqe, cid)},
	{"status", BYTES(struct nvme_cqe, status)},
};

static uint64_t max_of(size_t len_bytes)
{
	return len_bytes >= 8 ? UINT64_MAX : (1ull << 8 * len_bytes) - 1;
}

static bool take_place(struct parser *p, const char *name, uint64_t offset, size_t len_bytes)
{
	if (!take(p, name))
		return false;
	p->rule->has_offset = true;
	p->rule->offset = offset;
	p->rule->len_bytes = (unsigned)len_bytes;
	return true;
}

static bool take_field(struct parser *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (take_place(p, fields[i].name, fields[i].offset, fields[i].len_bytes))
			return true;
	return false;
}

static bool take_register(struct parser *p)
{
	for (unsigned i = 0; p->types[i] != NULL; i++)
		for (const struct sim_register *r = p->types[i]->registers; r != NULL && r->len_bytes != 0; r++)
			if (take_place(p, r->name, r->offset, r->len_bytes))
				return true;
	return false;
}

static int no_register(struct parser *p)
{
	char names[160] = "";
	size_t len = 0;

	for (unsigned i = 0; p->types[i] != NULL; i++)
		for (const struct sim_register *r = p->types[i]->registers; r != NULL && r->len_bytes != 0; r++)
			if (len < sizeof(names))
				len += (size_t)snprintf(names + len, sizeof(names) - len, "%s, ", r->name);
	if (len == 0)
		return wrong(p, "%s is no register that has a name here; its offset is needed, as in 0x1c", shown(p));
	return wrong(p, "%s is no register; one of %sor its offset, as in 0x1c", shown(p), names);
}

static int parse_register(struct parser *p)
{
	struct fault_rule *r = p->rule;

	if (!take_register(p)) {
		if (!number_of(peek(p), &r->offset))
			return no_register(p);
		p->at++;
		r->has_offset = true;
		r->len_bytes = 4;
	}
	if (take(p, "stuck"))
		r->kinds = ONE(REGISTER_STUCK);
	else if (take(p, "reads"))
		r->kinds = ONE(REGISTER);
	else
		return wrong(p, "a register \"reads\" or is \"stuck\", not %s", shown(p));
	return at_end_of_fault(p) ? 0 : take_value(p, max_of(r->len_bytes));
}

static int parse_completion(struct parser *p)
{
	static const struct {
		const char *word;
		uint64_t kinds;
	} ways[] = {
		{"bad", ONE(COMPLETION_BAD)},     {"garbage", ONE(COMPLETION_FIELD)}, {"twice", ONE(COMPLETION_TWICE)},
		{"early", ONE(COMPLETION_EARLY)}, {"lost", ONE(COMPLETION_LOST)},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(ways); i++)
		if (take(p, ways[i].word)) {
			p->rule->kinds = ways[i].kinds;
			return 0;
		}
	if (!take_field(p))
		return wrong(p,
			     "%s does not befall a completion; one of bad, garbage, twice, early, lost, or a field and "
			     "its value: result, sqhd, sqid, cid, status",
			     shown(p));
	p->rule->kinds = ONE(COMPLETION_FIELD);
	return at_end_of_fault(p) ? 0 : take_value(p, max_of(p->rule->len_bytes));
}

static int parse_interrupt(struct parser *p)
{
	struct fault_rule *r = p->rule;

	if (take(p, "lost")) {
		r->kinds = ONE(INTERRUPT_LOST);
	} else if (take(p, "spurious")) {
		r->kinds = ONE(INTERRUPT_SPURIOUS);
	} else if (take(p, "late")) {
		r->kinds = ONE(INTERRUPT_LATE);
		r->has_value = !at_end_of_fault(p);
		return r->has_value ? take_time(p, "how late", &r->value) : 0;
	} else {
		return wrong(p, "an interrupt is \"lost\", \"late\" or \"spurious\", not %s", shown(p));
	}
	return 0;
}

/* "data 30 0xff", "data" */
static int parse_data(struct parser *p)
{
	struct fault_rule *r = p->rule;

	r->kinds = ONE(DATA);
	if (at_end_of_fault(p))
		return 0;
	r->has_offset = r->has_value = true;
	r->len_bytes = 1;
	if (take_number(p, "the byte's offset", NVME_IDENTIFY_DATA_BYTES - 1, &r->offset) != 0)
		return -EINVAL;
	return take_number(p, "the byte", 0xff, &r->value);
}

static int parse_ones(struct parser *p, uint64_t kinds)
{
	if (!take(p, "ones"))
		return wrong(p, "\"ones\" is missing before %s", shown(p));
	p->rule->kinds = kinds;
	p->rule->has_value = true;
	p->rule->value = NEVER; /* for good */
	return at_end_of_fault(p) ? 0 : take_time(p, "for how long", &p->rule->value);
}

static int parse_power_cut(struct parser *p)
{
	static const char *const kept[] = {"none", "all", "some"};

	p->rule->kinds = ONE(POWER_CUT);
	if (at_end_of_fault(p))
		return 0;
	for (unsigned i = 0; i < ARRAY_SIZE(kept); i++)
		if (take(p, kept[i])) {
			p->rule->has_value = true;
			p->rule->value = i;
			return 0;
		}
	return wrong(p, "a power cut leaves \"none\", \"all\" or \"some\" of what was not flushed, not %s", shown(p));
}

static int parse_what(struct parser *p)
{
	struct fault_rule *r = p->rule;
	static const struct {
		const char *word;
		uint64_t kinds;
	} plain[] = {
		{"hang", OF_QUEUES(HANG)}, {"not-ready", ONE(NOT_READY)}, {"not-idle", ONE(NOT_IDLE)},
		{"fatal", ONE(FATAL)},     {"remove", ONE(REMOVE)},       {"insert", ONE(INSERT)},
		{"call-fails", ONE(CALL)},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(plain); i++)
		if (take(p, plain[i].word)) {
			r->kinds = plain[i].kinds;
			return 0;
		}
	if (take(p, "slow")) {
		r->kinds = OF_QUEUES(SLOW);
		r->has_value = !at_end_of_fault(p);
		return r->has_value ? take_time(p, "how much longer", &r->value) : 0;
	}
	if (take(p, "fail")) {
		r->kinds = OF_QUEUES(FAIL);
		return at_end_of_fault(p) ? 0 : take_value(p, 0x7fff);
	}
	if (take(p, "completion"))
		return parse_completion(p);
	if (take(p, "interrupt"))
		return parse_interrupt(p);
	if (take(p, "data"))
		return parse_data(p);
	if (take(p, "register"))
		return parse_register(p);
	if (take(p, "registers"))
		return parse_ones(p, ONE(REGISTERS_ONES));
	if (take(p, "config"))
		return parse_ones(p, ONE(CONFIG_ONES));
	if (take(p, "power-cut"))
		return parse_power_cut(p);
	return wrong(p,
		     "%s is no fault; hang, slow, fail, completion, interrupt, data, register, registers ones, config "
		     "ones, not-ready, not-idle, fatal, remove, insert, power-cut and call-fails are",
		     shown(p));
}

/* ---- a line ---- */

/* What stays once it is there, or happens to the whole device: once is enough when nothing else is said. */
#define LASTS                                                                                                    \
	(ONE(REGISTER_STUCK) | ONE(REGISTERS_ONES) | ONE(CONFIG_ONES) | ONE(FATAL) | ONE(REMOVE) | ONE(INSERT) | \
	 ONE(POWER_CUT))

/* What happens once is not for each event; and what has a kind for each sort of queue is of the sort that was named. */
static int check_fit(struct parser *p)
{
	struct fault_rule *r = p->rule;

	if (r->when == FAULT_WHEN_EVERY && (r->kinds & LASTS) != 0)
		return wrong(p, "this fault happens once, or lasts: \"at\" or \"after\" is needed, not \"every\"");
	if (r->when != FAULT_WHEN_AT && r->when != FAULT_WHEN_EVERY)
		return 0;
	/* "at admin 3 hang" is about that command, not about the next one of an I/O queue. */
	if (r->thing == FAULT_AT_ADMIN)
		r->kinds &= ~(ONE(HANG) | ONE(SLOW) | ONE(FAIL));
	if (r->thing == FAULT_AT_IO)
		r->kinds &= ~(ONE(ADMIN_HANG) | ONE(ADMIN_SLOW) | ONE(ADMIN_FAIL));
	return 0;
}

static int parse_line(struct parser *p)
{
	struct fault_rule *r = p->rule;
	uint64_t times;
	int rc = parse_when(p);

	if (rc == 0)
		rc = parse_what(p);
	if (rc == 0)
		rc = check_fit(p);
	if (rc != 0)
		return rc;
	r->times = r->when == FAULT_WHEN_AT || r->when == FAULT_WHEN_AFTER || (r->kinds & LASTS) != 0;
	if (take(p, "times")) {
		rc = take_number(p, "how often", UINT16_MAX, &times);
		if (rc != 0)
			return rc;
		if (times == 0)
			return wrong(p, "\"times 0\" is never: leave the line out, or put # in front of it");
		r->times = (uint16_t)times;
	}
	return peek(p) == NULL ? 0 : wrong(p, "%s is more than a line holds: one fault on each", peek(p));
}

/* Into words; what is behind '#' is for readers. */
static int split(struct parser *p, const char *from, size_t len)
{
	unsigned count = 0;
	char *save, *word;

	if (len >= sizeof(p->text))
		return wrong(p, "the line is longer than %zu characters", sizeof(p->text) - 1);
	memcpy(p->text, from, len);
	p->text[len] = '\0';
	p->text[strcspn(p->text, "#")] = '\0';
	for (word = strtok_r(p->text, " \t\r", &save); word != NULL; word = strtok_r(NULL, " \t\r", &save)) {
		if (count == WORD_MAX)
			return wrong(p, "the line has more than %u words", WORD_MAX);
		p->words[count++] = word;
	}
	p->words[count] = NULL;
	p->at = 0;
	return 0;
}

int sim_fault_script_parse(const char *name, const char *text, const struct sim_device_type *const types[],
			   struct sim_fault_script **out, char *error, size_t size)
{
	struct parser p = {.name = name, .types = types, .error = error, .error_size = size};
	struct sim_fault_script *script = calloc(1, sizeof(*script));
	int rc = 0;

	if (script != NULL)
		script->text = strdup(text);
	if (script == NULL || script->text == NULL) {
		free(script);
		snprintf(error, size, "%s: no memory", name);
		return -ENOMEM;
	}
	while (rc == 0 && *text != '\0') {
		size_t len = strcspn(text, "\n");

		p.line++;
		rc = split(&p, text, len);
		text += len + (text[len] == '\n');
		if (rc != 0 || p.words[0] == NULL)
			continue;
		if (script->count == FAULT_RULES) {
			rc = wrong(&p, "more than %u faults", FAULT_RULES);
			continue;
		}
		p.rule = &script->rules[script->count++];
		rc = parse_line(&p);
	}
	if (rc != 0) {
		sim_fault_script_free(script);
		return rc;
	}
	*out = script;
	return 0;
}

int sim_fault_script_read(const char *path, const struct sim_device_type *const types[], struct sim_fault_script **out,
			  char *error, size_t size)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t len = 0;
	int rc = 0;

	if (f == NULL) {
		rc = -errno;
		snprintf(error, size, "%s: %s", path, strerror(errno));
		return rc;
	}
	text = malloc(SCRIPT_MAX);
	errno = 0;
	if (text != NULL)
		len = fread(text, 1, SCRIPT_MAX, f);
	if (text == NULL || ferror(f) || len == SCRIPT_MAX) {
		rc = text == NULL ? -ENOMEM : ferror(f) ? -errno : -EFBIG;
		snprintf(error, size, "%s: %s", path, strerror(-rc));
	} else {
		text[len] = '\0';
		rc = sim_fault_script_parse(path, text, types, out, error, size);
	}
	free(text);
	fclose(f);
	return rc;
}

void sim_fault_script_free(struct sim_fault_script *script)
{
	if (script != NULL)
		free(script->text);
	free(script);
}
