/* SPDX-License-Identifier: BSD-2-Clause */
/* Drawing a run (picture_rows.h) as SVG: lanes, bars, arrows, words, and what they mean. */
#include <errno.h>
#include <stdlib.h>

#include "sim/fault/fault.h"
#include "sim/view/picture_rows.h"

#define EVENTS_DEFAULT 120u
#define EVENTS_LIMIT   2000u

#define MARGIN       16.0
#define GUTTER       92.0 /* of the time */
#define HEADER       30.0 /* of the lanes' names */
#define BAR_X        16.0 /* within a lane */
#define BAR_WIDTH    10.0
#define TEXT_X       34.0
#define THREAD_WIDTH 372.0
#define MEMORY_WIDTH 232.0
#define DEVICE_WIDTH 384.0
#define CHAR_WIDTH   6.03 /* of the font, at 10 pixels */
#define LEGEND_LINE  18.0

struct drawing {
	FILE *f;
	const struct picture *p;
	const struct sim_result *result;
	double x[LANE_COUNT], width[LANE_COUNT];
	double total_width, body; /* where the rows begin */
	double bottom;
};

/* ---- words ---- */

static void put_text(FILE *f, const char *text, size_t max)
{
	for (size_t i = 0; text[i] != '\0' && i < max; i++) {
		switch (text[i]) {
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '&':
			fputs("&amp;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		default:
			if ((unsigned char)text[i] >= ' ' && text[i] != 0x7f)
				fputc(text[i], f);
			break;
		}
	}
}

/* At most what fits into @width. Returns the width that it takes. */
static double put_words(const struct drawing *d, double x, double y, const char *class, const char *text, double width)
{
	size_t room = width > 0 ? (size_t)(width / CHAR_WIDTH) : 0, len = strlen(text);

	if (room < 2)
		return 0;
	fprintf(d->f, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
	put_text(d->f, text, len <= room ? len : room - 1);
	fprintf(d->f, "%s</text>\n", len <= room ? "" : "…");
	return (double)MIN(len, room) * CHAR_WIDTH;
}

static void line(const struct drawing *d, double x1, double y1, double x2, double y2, const char *class)
{
	fprintf(d->f, "<path d=\"M%.1f %.1fL%.1f %.1f\" class=\"%s\"/>\n", x1, y1, x2, y2, class);
}

static double bar_center(const struct drawing *d, unsigned lane)
{
	return d->x[lane] + BAR_X + BAR_WIDTH / 2;
}

/* Along the line of each end's own row within its lane, and straight across in between. */
static void arrow(const struct drawing *d, unsigned from, double y1, unsigned to, double y2, const char *class)
{
	double x1 = bar_center(d, from), x2 = bar_center(d, to);
	bool right = x1 < x2;

	fprintf(d->f, "<path d=\"M%.1f %.1fH%.1fL%.1f %.1fH%.1f\" class=\"a %s\" marker-end=\"url(#%s)\"/>\n",
		x1 + (right ? 1 : -1) * (from == LANE_MEMORY ? 2.5 : 5.5), y1,
		right ? d->x[from] + d->width[from] - 4 : d->x[from] + 2,
		right ? d->x[to] + 2 : d->x[to] + d->width[to] - 4, y2,
		x2 + (right ? -1 : 1) * (to == LANE_MEMORY ? 2.5 : 5.5), class, class);
}

/* ---- what things are called ---- */

static const char *class_of(const struct event *e)
{
	switch ((enum event_kind)e->kind) {
	case EVENT_POST:
	case EVENT_ARRIVE:
	case EVENT_ANSWER:
		return "reg";
	case EVENT_DMA_READ:
	case EVENT_DMA_WRITE:
		return "dma";
	case EVENT_RAISE:
	case EVENT_TAKE:
	case EVENT_HARD_BEGIN:
	case EVENT_HARD_END:
		return "irq";
	case EVENT_VISIBLE:
	case EVENT_OLD:
	case EVENT_READ:
	case EVENT_WRITE:
	case EVENT_SEEN:
		return "mem";
	case EVENT_BARRIER:
		return "bar";
	case EVENT_FAULT:
	case EVENT_REPORT:
		return "bad";
	case EVENT_SWITCH:
		return "dim";
	default:
		return "txt";
	}
}

/* Words stand on a row's line, arrows run along it: so they do not cross, but for those of lanes in between. */
static double row_words(const struct drawing *d, const struct picture_row *r)
{
	return d->body + r->top + (r->height < ROW_HEIGHT ? 10.0 : 11.5);
}

static double row_line(const struct drawing *d, const struct picture_row *r)
{
	return row_words(d, r) + 3.5;
}

/* ---- the frame ---- */

static void place_lanes(struct drawing *d)
{
	double at = MARGIN + GUTTER;

	/* CPUs to the left, memory, the device to the right. */
	for (unsigned i = 0; i < LANE_COUNT; i++) {
		unsigned lane = i < THREAD_MAX - 1 ? i + 1 : i == THREAD_MAX - 1 ? LANE_MEMORY : THREAD_DEVICE;

		if (!d->p->shown[lane])
			continue;
		d->x[lane] = at;
		d->width[lane] = lane == LANE_MEMORY     ? MEMORY_WIDTH
				 : lane == THREAD_DEVICE ? DEVICE_WIDTH
							 : THREAD_WIDTH;
		at += d->width[lane];
	}
	d->total_width = at + MARGIN;
}

static const char style[] =
	"<style>\n"
	"circle{fill:#6a4fb0}circle.dma{fill:#2c8a5b}text{font:10px 'DejaVu Sans "
	"Mono',Menlo,Consolas,monospace;fill:#2b3440;white-space:pre}\n"
	".title{font:bold 17px 'DejaVu Sans',Helvetica,Arial,sans-serif;fill:#b3261e}\n"
	".head{font:12px 'DejaVu Sans',Helvetica,Arial,sans-serif;fill:#2b3440}\n"
	".small{font:10px 'DejaVu Sans',Helvetica,Arial,sans-serif;fill:#68727f}\n"
	".lane{font:bold 12px 'DejaVu Sans',Helvetica,Arial,sans-serif;fill:#2b3440}\n"
	".w{stroke:#fbfcfd;stroke-width:4px;stroke-linejoin:round;paint-order:stroke}\n"
	".dim{fill:#8b95a1;font-style:italic}.time{fill:#8b95a1;text-anchor:end}.gap{fill:#b07d2b;text-anchor:end}\n"
	".where{fill:#8b95a1}.reg{fill:#1f5fbf}.dma{fill:#1d7a4d}.irq{fill:#b3560f}.mem{fill:#6a4fb0}\n"
	".bar{fill:#8a2f7a;font-weight:bold}.bad{fill:#b3261e;font-weight:bold}\n"
	"path,path.a{fill:none}.a{stroke-width:1.4px;opacity:.85}\n"
	"path.reg{stroke:#2f6fd6}path.ans{stroke:#2f6fd6;stroke-dasharray:4 3}path.dma{stroke:#2c8a5b}\n"
	"path.irq{stroke:#d9731a;stroke-width:1.8px}path.mem{stroke:#8a6fc8;stroke-dasharray:2 2}\n"
	"path.load{stroke:#8a6fc8}path.barrier{stroke:#8a2f7a;stroke-width:3px}\n"
	".grid{stroke:#e6eaef}.edge{stroke:#d3dae2}.zig{stroke:#d9a24a;stroke-width:1px;stroke-dasharray:1 3}\n"
	".plain{fill:#a9bdd6}.soft{fill:#5b8fd6}.task{fill:#7c6fd0}.hard{fill:#e07b2b}.device{fill:#4aa37a}\n"
	".band{fill:#fdeceb;stroke:#e6a6a1}.bg0{fill:#fbfcfd}.bg1{fill:#f4f7fa}\n"
	"</style>\n";

static void put_markers(const struct drawing *d)
{
	static const char *const markers[][2] = {{"reg", "#2f6fd6"}, {"ans", "#2f6fd6"}, {"dma", "#2c8a5b"},
						 {"irq", "#d9731a"}, {"mem", "#8a6fc8"}, {"load", "#8a6fc8"}};

	fputs("<defs>\n", d->f);
	for (size_t i = 0; i < ARRAY_SIZE(markers); i++)
		fprintf(d->f,
			"<marker id=\"%s\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" "
			"markerHeight=\"7\" "
			"markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" style=\"fill:%s\"/>"
			"</marker>\n",
			markers[i][0], markers[i][1]);
	fputs("</defs>\n", d->f);
}

static void put_lanes(const struct drawing *d)
{
	unsigned shade = 0;

	for (unsigned i = 0; i < LANE_COUNT; i++) {
		unsigned lane = i < THREAD_MAX - 1 ? i + 1 : i == THREAD_MAX - 1 ? LANE_MEMORY : THREAD_DEVICE;
		const char *name = lane == LANE_MEMORY ? "memory" : W.threads[lane].name;

		if (!d->p->shown[lane])
			continue;
		fprintf(d->f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" class=\"bg%u\"/>\n",
			d->x[lane], d->body - HEADER, d->width[lane], d->p->height + HEADER, shade++ % 2);
		line(d, d->x[lane], d->body - HEADER, d->x[lane], d->body + d->p->height, "edge");
		fprintf(d->f, "<text x=\"%.1f\" y=\"%.1f\" class=\"lane\">%s</text>\n", d->x[lane] + BAR_X,
			d->body - 11, name);
		line(d, bar_center(d, lane), d->body, bar_center(d, lane), d->body + d->p->height,
		     lane == LANE_MEMORY ? "edge" : "grid");
	}
	line(d, d->total_width - MARGIN, d->body - HEADER, d->total_width - MARGIN, d->body + d->p->height, "edge");
	line(d, MARGIN, d->body, d->total_width - MARGIN, d->body, "edge");
	line(d, MARGIN, d->body + d->p->height, d->total_width - MARGIN, d->body + d->p->height, "edge");
}

/* A time in the unit that suits it; milliseconds to so many digits. */
static void time_text(uint64_t ns, int digits, char *text, size_t size)
{
	if (ns < OB_NS_PER_US)
		snprintf(text, size, "%u ns", (unsigned)ns);
	else if (ns < OB_NS_PER_MS)
		snprintf(text, size, "%.2f us", (double)ns / (double)OB_NS_PER_US);
	else
		snprintf(text, size, "%.*f ms", digits, (double)ns / (double)OB_NS_PER_MS);
}

static void put_times(const struct drawing *d)
{
	uint64_t end_ns = d->p->rows[d->p->row_count - 1].e.time_ns;

	for (unsigned i = 0; i < d->p->row_count; i++) {
		const struct picture_row *r = &d->p->rows[i];
		char text[32], signed_text[40];

		if (r->gap_ns != 0) {
			double y = d->body + r->top - GAP_HEIGHT / 2;

			line(d, MARGIN + GUTTER, y, d->total_width - MARGIN, y, "zig");
			time_text(r->gap_ns, 2, text, sizeof(text));
			fprintf(d->f, "<text x=\"%.1f\" y=\"%.1f\" class=\"gap\">%s later</text>\n",
				MARGIN + GUTTER - 6, y + 3, text);
		}
		if (i > 0 && r->gap_ns == 0 && end_ns - r->e.time_ns == end_ns - r[-1].e.time_ns)
			continue;
		time_text(end_ns - r->e.time_ns, 5, text, sizeof(text));
		snprintf(signed_text, sizeof(signed_text), "%s%s", end_ns == r->e.time_ns ? "" : "-", text);
		fprintf(d->f, "<text x=\"%.1f\" y=\"%.1f\" class=\"time\">%s</text>\n", MARGIN + GUTTER - 6,
			row_words(d, r), signed_text);
	}
}

/* ---- bars ---- */

static void put_bars(const struct drawing *d)
{
	for (unsigned i = 0; i < d->p->bar_count; i++) {
		const struct picture_bar *b = &d->p->bars[i];
		const char *context = b->thread == THREAD_DEVICE ? "device" : report_context_name(b->context);
		double x = d->x[b->thread] + BAR_X, y = d->body + b->top, height = b->bottom - b->top;
		bool hard = strcmp(context, "hard") == 0;

		if (!d->p->shown[b->thread])
			continue;
		/* A handler stands beside what it interrupts. */
		if (hard)
			fprintf(d->f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"4\" height=\"%.1f\" class=\"plain\"/>\n", x,
				y, height);
		fprintf(d->f,
			"<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\" class=\"%s\"><title>%s "
			"runs, "
			"%s</title></rect>\n",
			hard       ? x + 4
			: b->inner ? x + 2
				   : x,
			y + 0.5, b->inner ? BAR_WIDTH - 4 : BAR_WIDTH, MAX(height - 1, 1.0), context,
			W.threads[b->thread].name, b->inner ? "inside of another's access" : context);
	}
}

/* ---- arrows ---- */

static const struct picture_row *find_before(const struct picture *p, unsigned row, enum event_kind kind, uint32_t link)
{
	for (unsigned i = row; i-- > 0;)
		if (p->rows[i].e.kind == kind && p->rows[i].e.link == link)
			return &p->rows[i];
	return NULL;
}

static const struct picture_row *find_raise(const struct picture *p, unsigned row, uint64_t source)
{
	for (unsigned i = row; i-- > 0;) {
		if (p->rows[i].e.kind == EVENT_TAKE && p->rows[i].e.a == source)
			return NULL;
		if (p->rows[i].e.kind == EVENT_RAISE && p->rows[i].e.a == source)
			return &p->rows[i];
	}
	return NULL;
}

static void put_link(const struct drawing *d, const struct picture_row *from, const struct picture_row *to,
		     const char *class)
{
	if (from != NULL && from->e.thread != to->e.thread)
		arrow(d, from->e.thread, row_line(d, from), to->e.thread, row_line(d, to), class);
}

/* To or from the lane of memory; a store's from where it was made. */
static void put_memory_arrow(const struct drawing *d, const struct picture_row *r)
{
	double y = row_line(d, r);
	unsigned lane = r->e.thread;

	switch ((enum event_kind)r->e.kind) {
	case EVENT_DMA_READ:
		arrow(d, LANE_MEMORY, y, lane, y, "dma");
		break;
	case EVENT_DMA_WRITE:
		arrow(d, lane, y, LANE_MEMORY, y, "dma");
		break;
	case EVENT_VISIBLE:
		/* Of many there is no one place where they were made. */
		arrow(d, lane, r->e.flags > 1 ? y : MIN(d->body + picture_height_at(d->p, r->e.link), y), LANE_MEMORY,
		      y, "mem");
		break;
	case EVENT_SEEN:
	case EVENT_READ:
		arrow(d, LANE_MEMORY, y, lane, y, "load");
		break;
	case EVENT_WRITE:
		/* To memory that devices share it goes when it becomes visible. */
		if (is_dma(r->e.a))
			return;
		arrow(d, lane, y, LANE_MEMORY, y, "load");
		break;
	default:
		return;
	}
	fprintf(d->f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" class=\"%s\"/>\n", bar_center(d, LANE_MEMORY), y,
		class_of(&r->e));
}

static void put_arrows(const struct drawing *d)
{
	for (unsigned i = 0; i < d->p->row_count; i++) {
		const struct picture_row *r = &d->p->rows[i];

		switch ((enum event_kind)r->e.kind) {
		case EVENT_ARRIVE:
			put_link(d, find_before(d->p, i, EVENT_POST, r->e.link), r, "reg");
			break;
		case EVENT_ANSWER:
			put_link(d, find_before(d->p, i, EVENT_ARRIVE, r->e.link), r, "ans");
			break;
		case EVENT_TAKE:
			put_link(d, find_raise(d->p, i, r->e.a), r, "irq");
			break;
		default:
			put_memory_arrow(d, r);
			break;
		}
	}
}

/* ---- rows ---- */

static void put_mark(const struct drawing *d, const struct picture_row *r)
{
	double x = d->x[r->e.thread] + BAR_X, y = row_words(d, r) - 3.5;

	switch ((enum event_kind)r->e.kind) {
	case EVENT_BARRIER:
		line(d, x - 5, y, x + BAR_WIDTH + 5, y, "barrier");
		break;
	case EVENT_FAULT:
		fprintf(d->f, "<path d=\"M%.1f %.1fl-6 8h4l-3 7l8 -9h-4l4 -6z\" style=\"fill:#d93025\"/>\n", x + 7,
			y - 7);
		break;
	case EVENT_REQUEST:
		fprintf(d->f, "<path d=\"M%.1f %.1fl7 4l-7 4z\" style=\"fill:#2b3440\"/>\n", x - 9, y - 4);
		break;
	case EVENT_REQUEST_END:
		fprintf(d->f, "<path d=\"M%.1f %.1fl-7 4l7 4z\" style=\"fill:#2b3440\"/>\n", x - 2, y - 4);
		break;
	case EVENT_SWITCH:
		line(d, x - 3, y, x + BAR_WIDTH + 3, y, "edge");
		break;
	default:
		break;
	}
}

static const char *symbol_place(const struct picture_row *r)
{
	return r->place != NULL && strncmp(r->place->place, "0x", 2) != 0 ? r->place->place : "";
}

static void put_title(const struct drawing *d, const struct picture_row *r, const char *text)
{
	fprintf(d->f, "<title>%s", W.threads[r->e.thread].name);
	if (r->e.thread != THREAD_DEVICE)
		fprintf(d->f, ", %s context", report_context_name(r->e.context));
	fputs(": ", d->f);
	put_text(d->f, text, SIZE_MAX);
	if (r->count > 1)
		fprintf(d->f, " (%u of them)", r->count);
	fprintf(d->f, "&#10;step %u, %.3f us", r->e.step, (double)(r->e.time_ns - OB_NS_PER_S) / (double)OB_NS_PER_US);
	if (symbol_place(r)[0] != '\0') {
		fputs("&#10;", d->f);
		put_text(d->f, r->place->all, SIZE_MAX);
	}
	fputs("</title>\n", d->f);
}

/* The words of the row in its lane, what follows them its place in the source; memory's name in memory's own lane. */
static void put_row(const struct drawing *d, const struct picture_row *r)
{
	double x = d->x[r->e.thread] + TEXT_X, y = row_words(d, r), used;
	double room = d->width[r->e.thread] - TEXT_X - 4;
	char text[192], where[96], class[16];

	event_text(&r->e, text, sizeof(text));
	if (r->e.kind == EVENT_REPORT)
		snprintf(text, sizeof(text), "%s", d->result->rule);
	fputs("<g>", d->f);
	put_title(d, r, text);
	picture_text(r, text, sizeof(text));
	if (r->e.kind == EVENT_REPORT)
		snprintf(text, sizeof(text), "REPORT: %s", d->result->rule);
	snprintf(class, sizeof(class), "w %s", class_of(&r->e));
	used = put_words(d, x, y, class, text, room);
	if (r->side != 0)
		put_words(d, x, y + 15, "w where", r->e.thread == THREAD_DEVICE ? "the other side" : symbol_place(r),
			  room);
	else if (r->e.kind != EVENT_SWITCH && (strlen(symbol_place(r)) + 2) * CHAR_WIDTH < room - used)
		put_words(d, x + used + 2 * CHAR_WIDTH, y, "w where", symbol_place(r), room - used - CHAR_WIDTH);
	if (picture_has_memory(&r->e)) {
		event_memory(r->e.a, where, sizeof(where));
		if (r->e.kind == EVENT_VISIBLE && r->e.b == 0)
			snprintf(where, sizeof(where), "several places");
		put_words(d, d->x[LANE_MEMORY] + TEXT_X - 6, y, class, where, d->width[LANE_MEMORY] - TEXT_X);
	}
	fputs("</g>\n", d->f);
	put_mark(d, r);
}

static void put_sides(const struct drawing *d)
{
	for (unsigned i = 0; i < d->p->row_count; i++) {
		const struct picture_row *r = &d->p->rows[i];

		if (r->side == 0)
			continue;
		fprintf(d->f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"4\" class=\"band\"/>\n",
			d->x[r->e.thread] + 3, d->body + r->top + 1, d->width[r->e.thread] - 6, r->height - 2);
	}
}

/* ---- above and below ---- */

static void put_header(struct drawing *d, const struct sim_picture_options *options)
{
	const char *report = d->result->failed ? d->result->report : "no report";
	size_t len = strcspn(report, "\n"), rule = strcspn(report, ":"), per_line;
	double y = MARGIN + 16;

	fputs("<text x=\"16\" y=\"32\" class=\"title\">", d->f);
	put_text(d->f, report, MIN(rule, len));
	fputs("</text>\n", d->f);
	per_line = (size_t)((d->total_width - 2 * MARGIN) / 6.6);
	for (size_t at = rule < len ? rule + 2 : len; at < len;) {
		size_t part = MIN(len - at, per_line);

		while (at + part < len && part > 40 && report[at + part] != ' ')
			part--;
		y += 18;
		fprintf(d->f, "<text x=\"16\" y=\"%.1f\" class=\"head\">", y);
		put_text(d->f, report + at, part);
		fputs("</text>\n", d->f);
		at += part + 1;
	}
	y += 18;
	fprintf(d->f,
		"<text x=\"16\" y=\"%.1f\" class=\"small\">scenario %s, seed %llu; the last %u events, time downwards",
		y, W.scenario->name, (unsigned long long)W.seed, d->p->row_count);
	if (options->command != NULL) {
		fputs("; ", d->f);
		put_text(d->f, options->command, SIZE_MAX);
	}
	fputs("</text>\n", d->f);
	d->body = y + 12 + HEADER;
}

static void put_legend(struct drawing *d)
{
	static const struct {
		const char *bar, *path, *text;
	} entries[] = {
		{"plain", NULL, "runs, outside of the loop"},
		{"soft", NULL, "… in soft context"},
		{"task", NULL, "… in a task"},
		{"hard", NULL, "… in an interrupt handler"},
		{"device", NULL, "the device works"},
		{NULL, "reg", "register access on its way"},
		{NULL, "ans", "… its answer"},
		{NULL, "dma", "DMA"},
		{NULL, "irq", "interrupt, raised to taken"},
		{NULL, "mem", "store, made to visible"},
		{NULL, "load", "load, or store that is seen at once"},
		{NULL, "barrier", "barrier"},
		{NULL, "zig", "time passes, and nothing happens"},
	};
	double x = MARGIN + GUTTER, y = d->body + d->p->height + LEGEND_LINE;

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		double width = 44 + 5.4 * (double)strlen(entries[i].text);

		if (x + width > d->total_width - MARGIN) {
			x = MARGIN + GUTTER;
			y += LEGEND_LINE;
		}
		if (entries[i].bar != NULL)
			fprintf(d->f,
				"<rect x=\"%.1f\" y=\"%.1f\" width=\"10\" height=\"12\" rx=\"2\" class=\"%s\"/>\n",
				x + 6, y - 10, entries[i].bar);
		else if (strcmp(entries[i].path, "barrier") == 0 || strcmp(entries[i].path, "zig") == 0)
			line(d, x, y - 4, x + 22, y - 4, entries[i].path);
		else
			fprintf(d->f, "<path d=\"M%.1f %.1fh22\" class=\"a %s\" marker-end=\"url(#%s)\"/>\n", x, y - 4,
				entries[i].path, entries[i].path);
		fprintf(d->f, "<text x=\"%.1f\" y=\"%.1f\" class=\"small\">%s</text>\n", x + 28, y, entries[i].text);
		x += width;
	}
	d->bottom = y + MARGIN;
}

static void put_all(struct drawing *d, const struct sim_picture_options *options)
{
	fputs(style, d->f);
	put_markers(d);
	fputs("<rect width=\"100%\" height=\"100%\" style=\"fill:#fff\"/>\n", d->f);
	put_header(d, options);
	put_lanes(d);
	put_sides(d);
	put_times(d);
	put_bars(d);
	put_arrows(d);
	for (unsigned i = 0; i < d->p->row_count; i++)
		put_row(d, &d->p->rows[i]);
	put_legend(d);
}

int sim_picture_write(const struct sim_result *result, const struct sim_picture_options *options, FILE *f)
{
	static const struct sim_picture_options defaults;
	struct drawing d = {.result = result};
	size_t body_len = 0;
	char *body = NULL;
	struct picture p;
	unsigned max;
	int ret;

	options = options != NULL ? options : &defaults;
	max = options->events_max != 0 ? MIN(options->events_max, EVENTS_LIMIT) : EVENTS_DEFAULT;
	if (W.scenario == NULL)
		return -ENODATA;
	ret = picture_collect(&p, max);
	if (ret != 0)
		return ret;
	d.p = &p;
	d.f = open_memstream(&body, &body_len);
	if (d.f == NULL) {
		ret = -ENOMEM;
		goto out;
	}
	place_lanes(&d);
	put_all(&d, options);
	fclose(d.f);
	/* How high it is, is known only now. */
	fprintf(f,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" "
		"height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\">\n",
		d.total_width, d.bottom, d.total_width, d.bottom);
	fwrite(body, 1, body_len, f);
	fputs("</svg>\n", f);
	free(body);
	ret = fflush(f) != 0 ? -errno : ferror(f) ? -EIO : 0;
out:
	picture_free(&p);
	return ret;
}
