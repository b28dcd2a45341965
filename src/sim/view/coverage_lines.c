/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program's own map: which basic blocks its driver code has, and of which lines of the source they are.
 *
 * Each block of a driver begins with a call of __sanitizer_cov_trace_pc(). Those calls are looked for in the functions of
 * the symbol table, in the instructions themselves: blocks that no run came by are only there. Lines are from the
 * system's objdump, which knows what the compiler's line tables look like.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/view/cover.h"

#define LINE_MAX_NUMBER 100000u

void __sanitizer_cov_trace_pc(void);

struct function {
	uint64_t at, len_bytes;
};

/* ---- an array that grows ---- */

static void *grow(void *array, unsigned count, size_t size_bytes)
{
	/* When the count has reached a power of two. */
	return (count & (count - 1)) == 0 ? realloc(array, MAX(2 * count, 64u) * size_bytes) : array;
}

/* ---- calls ---- */

static int32_t signed_at(const uint8_t *at)
{
	int32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* Is there a call at @at, and of what? @target and the result: addresses. 0: no; otherwise its length. */
#if defined(__x86_64__)
#define CALL_STEP 1
static unsigned call_at(const uint8_t *at, uintptr_t *target)
{
	if (*at != 0xe8)
		return 0;
	*target = (uintptr_t)at + 5 + (uintptr_t)(intptr_t)signed_at(at + 1);
	return 5;
}
#elif defined(__aarch64__)
#define CALL_STEP 4
static unsigned call_at(const uint8_t *at, uintptr_t *target)
{
	uint32_t word = (uint32_t)signed_at(at);

	if ((word & 0xfc000000u) != 0x94000000u) /* BL */
		return 0;
	*target = (uintptr_t)at + (uintptr_t)((intptr_t)((int32_t)(word << 6) >> 6) * 4);
	return 4;
}
#elif defined(__riscv)
#define CALL_STEP 2
static unsigned call_at(const uint8_t *at, uintptr_t *target)
{
	uint32_t word = (uint32_t)signed_at(at), next = (uint32_t)signed_at(at + 4);

	if ((word & 0xfffu) == 0xefu) { /* jal ra */
		int32_t offset = (int32_t)((word >> 31) << 20 | (word >> 12 & 0xff) << 12 | (word >> 20 & 1) << 11 |
					   (word >> 21 & 0x3ff) << 1);

		*target = (uintptr_t)at + (uintptr_t)(intptr_t)((int32_t)((uint32_t)offset << 11) >> 11);
		return 4;
	}
	if ((word & 0xfffu) != 0x97u || (next & 0xfffffu) != 0x80e7u) /* auipc ra; jalr ra, ra */
		return 0;
	*target = (uintptr_t)at + (uintptr_t)(intptr_t)(int32_t)(word & 0xfffff000u) +
		  (uintptr_t)(intptr_t)((int32_t)next >> 20);
	return 8;
}
#else
#define CALL_STEP 1
static unsigned call_at(const uint8_t *at, uintptr_t *target)
{
	return 0;
}
#endif

static int add_blocks(struct code_map *map, const struct function *f)
{
	const uint8_t *text = (const uint8_t *)(world_text_base + f->at); /* NOLINT */

	for (uint64_t i = 0; i + 4 <= f->len_bytes; i += CALL_STEP) {
		uintptr_t target = 0;
		unsigned len_bytes = call_at(text + i, &target);
		struct code_block *blocks;

		if (len_bytes == 0 || target != (uintptr_t)__sanitizer_cov_trace_pc)
			continue;
		blocks = grow(map->blocks, map->block_count, sizeof(*blocks));
		if (blocks == NULL)
			return -ENOMEM;
		map->blocks = blocks;
		/* What comes before the first one's call is its own. */
		blocks[map->block_count] = (struct code_block){
			.at = map->block_count > 0 && blocks[map->block_count - 1].end == f->at + f->len_bytes
				      ? f->at + i
				      : f->at,
			.end = f->at + f->len_bytes,
			.ret = f->at + i + len_bytes,
			.file = UINT_MAX,
		};
		map->block_count++;
	}
	return 0;
}

/* ---- names ---- */

static int by_address(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* The functions of the symbol table of the program at @image, by address. */
static int functions_of(const uint8_t *image, size_t len_bytes, struct function **out, unsigned *count)
{
	const Elf64_Ehdr *header = (const void *)image;
	const Elf64_Shdr *sections;

	*out = NULL;
	*count = 0;
	if (len_bytes < sizeof(*header) || memcmp(image, ELFMAG, SELFMAG) != 0 ||
	    header->e_shoff + (uint64_t)header->e_shnum * sizeof(*sections) > len_bytes)
		return -ENOENT;
	sections = (const void *)(image + header->e_shoff);
	for (unsigned s = 0; s < header->e_shnum; s++) {
		const Elf64_Sym *symbols = (const void *)(image + sections[s].sh_offset);

		if (sections[s].sh_type != SHT_SYMTAB || sections[s].sh_offset + sections[s].sh_size > len_bytes)
			continue;
		for (size_t i = 0; i < sections[s].sh_size / sizeof(*symbols); i++) {
			struct function *functions;

			if (ELF64_ST_TYPE(symbols[i].st_info) != STT_FUNC || symbols[i].st_size == 0)
				continue;
			functions = grow(*out, *count, sizeof(*functions));
			if (functions == NULL)
				return -ENOMEM;
			*out = functions;
			functions[(*count)++] = (struct function){symbols[i].st_value, symbols[i].st_size};
		}
	}
	if (*count > 0)
		qsort(*out, *count, sizeof(**out), by_address);
	return *count > 0 ? 0 : -ENOENT;
}

static int blocks_find(struct code_map *map)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), ret = -ENOENT;
	struct function *functions = NULL;
	void *image = MAP_FAILED;
	unsigned count = 0;
	struct stat st;

	if (fd < 0)
		return -ENOENT;
	if (fstat(fd, &st) == 0)
		image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (image == MAP_FAILED)
		return -ENOENT;
	ret = functions_of(image, (size_t)st.st_size, &functions, &count);
	for (unsigned i = 0; ret == 0 && i < count; i++)
		/* Names of one function count once. */
		if (i == 0 || functions[i].at != functions[i - 1].at)
			ret = add_blocks(map, &functions[i]);
	free(functions);
	munmap(image, (size_t)st.st_size);
	return ret;
}

/* The block that @pc lies in, a return address or not; NULL: it is not of driver code. */
static struct code_block *block_of(const struct code_map *map, uint64_t pc)
{
	unsigned low = 0, high = map->block_count;

	while (high - low > 1) {
		unsigned middle = (low + high) / 2;

		if (map->blocks[middle].at <= pc)
			low = middle;
		else
			high = middle;
	}
	return high > low && map->blocks[low].at <= pc && pc < map->blocks[low].end ? &map->blocks[low] : NULL;
}

int code_map_make(const struct sim_coverage *c, struct code_map *map)
{
	int ret;

	*map = (struct code_map){0};
	ret = blocks_find(map);
	if (ret != 0 || map->block_count == 0) {
		code_map_free(map);
		return ret != 0 ? ret : -ENOENT;
	}
	for (unsigned i = 0; i < map->block_count; i++)
		if (map->blocks[i].ret < COVERAGE_TEXT)
			map->blocks[i].seen = c->places[map->blocks[i].ret] & COVERAGE_REACHED;
	/* What came between is known by the access that it came before. */
	for (uint64_t pc = 1; pc < COVERAGE_TEXT; pc++) {
		struct code_block *b = (c->places[pc] & ~COVERAGE_REACHED) != 0 ? block_of(map, pc - 1) : NULL;

		if (b != NULL && (b->seen & COVERAGE_REACHED))
			b->seen |= c->places[pc];
	}
	return 0;
}

/* ---- lines ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* The unit of the compiler that objdump tells of, and whether its next rows are of the unit's own source. */
struct unit {
	char path[256];
	bool own;
	unsigned file;    /* UINT_MAX: none of its rows was of driver code yet */
	uint64_t address; /* of the last row, if it was the unit's own */
};

static int file_add(struct code_map *map, struct unit *u)
{
	struct code_file *files = grow(map->files, map->file_count, sizeof(*files));

	if (files == NULL)
		return -ENOMEM;
	map->files = files;
	u->file = map->file_count++;
	files[u->file] = (struct code_file){.path = strdup(u->path)};
	return files[u->file].path != NULL ? 0 : -ENOMEM;
}

static int line_add(struct code_file *f, unsigned line, bool reached)
{
	if (line >= f->line_end) {
		uint8_t *lines = realloc(f->line, line + 1);

		if (lines == NULL)
			return -ENOMEM;
		memset(lines + f->line_end, LINE_NONE, line + 1 - f->line_end);
		f->line = lines;
		f->line_end = line + 1;
	}
	f->line[line] = MAX(f->line[line], reached ? (uint8_t)LINE_SEEN : (uint8_t)LINE_MISSED);
	return 0;
}

static int row_add(struct code_map *map, struct unit *u, unsigned line, uint64_t address, bool statement)
{
	struct code_block *b = block_of(map, address);
	int ret;

	if (b == NULL || line == 0 || line > LINE_MAX_NUMBER)
		return 0;
	ret = u->file == UINT_MAX ? file_add(map, u) : 0;
	if (ret != 0)
		return ret;
	if (b->file == UINT_MAX)
		b->file = u->file;
	return statement ? line_add(&map->files[u->file], line, (b->seen & COVERAGE_REACHED) != 0) : 0;
}

/* A line of objdump's: "path:", the title of a unit's table, or "name  line  address  view  x". */
static int line_read(struct code_map *map, struct unit *u, char *text, char *before)
{
	size_t len = strcspn(text, "\n");
	unsigned long long address;
	unsigned line;

	text[len] = '\0';
	if (strncmp(text, "File name ", 10) == 0) {
		*u = (struct unit){.own = true, .file = UINT_MAX};
		snprintf(u->path, sizeof(u->path), "%.255s", before);
	} else if (len > 1 && text[len - 1] == ':') {
		text[len - 1] = '\0';
		snprintf(before, 256, "%.255s", text);
		u->own = strcmp(base_name(text), base_name(u->path)) == 0;
	} else if (sscanf(text, "%*s %u %llx", &line, &address) == 2) {
		/* Rows of no length do not count: addr2line knows the last one of an address. */
		if (u->file != UINT_MAX && map->files[u->file].at == 0 && u->address != 0 && u->address != address)
			map->files[u->file].at = u->address;
		u->address = u->own && block_of(map, address) != NULL ? address : 0;
		return u->own ? row_add(map, u, line, address, text[len - 1] == 'x') : 0;
	}
	return 0;
}

/* The directories, which objdump does not tell of all. */
static void find_paths(struct code_map *map, const char *program)
{
	char command[512 + 20 * 256], text[512];
	unsigned count = MIN(map->file_count, 256u);
	int len = snprintf(command, sizeof(command), "addr2line -e '%s'", program);
	FILE *f;

	for (unsigned i = 0; i < count; i++)
		len += snprintf(command + len, sizeof(command) - (size_t)len, " %#llx",
				(unsigned long long)map->files[i].at);
	snprintf(command + len, sizeof(command) - (size_t)len, " 2>/dev/null");
	f = popen(command, "r");
	for (unsigned i = 0; f != NULL && i < count && fgets(text, sizeof(text), f) != NULL; i++) {
		const char *from = text;
		char *path;

		text[strcspn(text, ":")] = '\0';
		if (strcmp(base_name(text), base_name(map->files[i].path)) != 0)
			continue;
		/* Where it was built says nothing, and may be elsewhere by now. */
		for (const char *up; (up = strstr(from, "/../")) != NULL;)
			from = up + 1;
		path = strdup(from);
		if (path == NULL)
			continue;
		free(map->files[i].path);
		map->files[i].path = path;
	}
	if (f != NULL)
		pclose(f);
}

static void count_up(struct code_map *map)
{
	for (unsigned i = 0; i < map->file_count; i++) {
		struct code_file *f = &map->files[i];

		for (unsigned line = 0; line < f->line_end; line++) {
			f->lines += f->line[line] != LINE_NONE;
			f->lines_reached += f->line[line] == LINE_SEEN;
		}
	}
	for (unsigned i = 0; i < map->block_count; i++) {
		const struct code_block *b = &map->blocks[i];

		if (b->file == UINT_MAX)
			continue;
		map->files[b->file].blocks++;
		map->files[b->file].blocks_reached += (b->seen & COVERAGE_REACHED) != 0;
	}
}

int code_map_lines(struct code_map *map)
{
	char program[256], command[320], text[512], before[256] = "";
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
	struct unit u = {.file = UINT_MAX};
	int ret = 0;
	FILE *f;

	program[MAX(len, (ssize_t)0)] = '\0';
	snprintf(command, sizeof(command), "objdump --dwarf=decodedline '%s' 2>/dev/null", program);
	f = popen(command, "r");
	if (f == NULL)
		return -ENOENT;
	while (ret == 0 && fgets(text, sizeof(text), f) != NULL)
		ret = line_read(map, &u, text, before);
	pclose(f);
	find_paths(map, program);
	count_up(map);
	return ret == 0 && map->file_count == 0 ? -ENOENT : ret;
}

void code_map_free(struct code_map *map)
{
	for (unsigned i = 0; i < map->file_count; i++) {
		free(map->files[i].path);
		free(map->files[i].line);
	}
	free(map->blocks);
	free(map->files);
	*map = (struct code_map){0};
}
