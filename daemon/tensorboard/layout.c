#include "daemon/tensorboard/layout.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/tensorboard/tags.h"
#include "layout.pb-c.h"

typedef Tensorboard__Layout__Layout layout_pb;
typedef Tensorboard__Layout__Category category_pb;
typedef Tensorboard__Layout__Chart chart_pb;
typedef Tensorboard__Layout__MultilineChartContent lines_pb;
typedef Tensorboard__Layout__MarginChartContent margin_pb;
typedef Tensorboard__Layout__MarginChartContent__Series series_pb;

enum { CHARTS_MAX = 4 + 5 * LAYOUT_LAYERS_MAX, LINES_MAX = 4, TEXT_BYTES = 4 * CHARTS_MAX * 700 };

/* One chart with all it points to. */
struct chart {
    chart_pb chart;
    lines_pb lines;
    margin_pb margin;
    series_pb series;
    series_pb *series_list[1];
    char *tags[LINES_MAX];
};

/* The message under construction, and its strings: freed as one. */
struct page {
    struct chart charts[CHARTS_MAX];
    chart_pb *lists[CHARTS_MAX]; /* the charts of all categories, one after the other */
    size_t count;
    char text[TEXT_BYTES];
    size_t used;
    bool full; /* a chart or a text had no room: the page ends before it */
};

__attribute__((format(printf, 2, 3))) static char *text(struct page *page, const char *format, ...)
{
    char *at = page->text + page->used;
    size_t room = sizeof page->text - page->used;
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(at, room, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= room) {
        page->full = true;
        return page->text; /* whatever is there first: the chart is not used */
    }
    page->used += (size_t)n + 1;
    return at;
}

/* The name as a regular expression that matches nothing else. */
static char *quoted(struct page *page, const char *name)
{
    char escaped[2 * 256 + 1];
    size_t n = 0;

    for (const char *c = name; *c && n + 2 < sizeof escaped; c++) {
        if (strchr("\\^$.|?*+()[]{}-", *c))
            escaped[n++] = '\\';
        escaped[n++] = *c;
    }
    escaped[n] = '\0';
    return text(page, "%s", escaped);
}

static struct chart *add_chart(struct page *page, char *title)
{
    struct chart *chart;

    if (page->count == CHARTS_MAX)
        page->full = true;
    if (page->full)
        return NULL;
    chart = &page->charts[page->count];
    tensorboard__layout__chart__init(&chart->chart);
    chart->chart.title = title;
    page->lists[page->count++] = &chart->chart;
    return chart;
}

/* A chart of all tags that match one of the expressions; those that are NULL are left out. */
static void add_lines(struct page *page, char *title, char *first, char *second, char *third)
{
    char *tags[] = {first, second, third};
    struct chart *chart = add_chart(page, title);

    if (!chart)
        return;
    tensorboard__layout__multiline_chart_content__init(&chart->lines);
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        if (tags[i])
            chart->tags[chart->lines.n_tag++] = tags[i];
    }
    chart->lines.tag = chart->tags;
    chart->chart.content_case = TENSORBOARD__LAYOUT__CHART__CONTENT_MULTILINE;
    chart->chart.multiline = &chart->lines;
}

static void add_band(struct page *page, const char *path)
{
    struct chart *chart = add_chart(page, text(page, "gradient norm and its band: %s", path));

    if (!chart)
        return;
    tensorboard__layout__margin_chart_content__init(&chart->margin);
    tensorboard__layout__margin_chart_content__series__init(&chart->series);
    chart->series.value = text(page, "gradient_norm/%s", tags_norm_name(path));
    chart->series.lower = text(page, "gradient_norm_min/%s", path);
    chart->series.upper = text(page, "gradient_norm_max/%s", path);
    chart->series_list[0] = &chart->series;
    chart->margin.n_series = 1;
    chart->margin.series = chart->series_list;
    chart->chart.content_case = TENSORBOARD__LAYOUT__CHART__CONTENT_MARGIN;
    chart->chart.margin = &chart->margin;
}

static void add_layer(struct page *page, const struct layout_layer *layer)
{
    char *name = quoted(page, layer->path);

    add_lines(page, text(page, "gradient norm between its thresholds: %s", layer->path),
              text(page, "gradient_norm/%s$", tags_norm_name(name)),
              text(page, "gradient_norm_low/%s$", name),
              text(page, "gradient_norm_high/%s$", name));
    add_band(page, layer->path);
    if (layer->embedding)
        add_lines(page, text(page, "coverage: %s", layer->path),
                  text(page, "embedding/coverage/%s$", name), NULL, NULL);
}

/* Begins a category with the charts from `first` on. */
static void end_category(struct page *page, category_pb *category, char *title, size_t first,
                         bool closed)
{
    tensorboard__layout__category__init(category);
    category->title = title;
    category->closed = closed;
    category->n_chart = page->count - first;
    category->chart = page->lists + first;
}

static void add_layers(struct page *page, const struct layout_layer *layers, size_t count,
                       bool embeddings)
{
    size_t left = LAYOUT_LAYERS_MAX;

    for (size_t i = 0; i < count && left > 0; i++) {
        if (layers[i].embedding == embeddings) {
            add_layer(page, &layers[i]);
            left--;
        }
    }
}

uint8_t *layout_make(const struct layout_layer *layers, size_t count, size_t *length)
{
    struct page *page = calloc(1, sizeof *page);
    category_pb categories[3], *list[] = {&categories[0], &categories[1], &categories[2]};
    layout_pb layout = TENSORBOARD__LAYOUT__LAYOUT__INIT;
    uint8_t *bytes = NULL;
    size_t first;

    if (!page)
        return NULL;
    add_lines(page, text(page, "alerts fired so far"), text(page, "alerts/total$"), NULL, NULL);
    add_lines(page, text(page, "state of each alert: 0 ok, 1 pending, 2 firing"),
              text(page, "alerts/(?!total$)[a-z_]+(/.*)?$"), NULL, NULL);
    add_lines(page, text(page, "loss"), text(page, "(validation/)?loss$"), NULL, NULL);
    end_category(page, &categories[0], text(page, "embmond: alerts"), 0, false);
    first = page->count;
    add_layers(page, layers, count, true);
    end_category(page, &categories[1], text(page, "embmond: embeddings"), first, false);
    first = page->count;
    add_layers(page, layers, count, false);
    end_category(page, &categories[2], text(page, "embmond: other layers"), first, true);
    layout.n_category = 3;
    layout.category = list;
    *length = tensorboard__layout__layout__get_packed_size(&layout);
    bytes = malloc(*length);
    if (bytes)
        tensorboard__layout__layout__pack(&layout, bytes);
    free(page);
    return bytes;
}
