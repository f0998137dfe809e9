#include "daemon/ctl_silent.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/ctl_text.h"

enum { INDENT = 2, HANG = 4, NARROWEST = 40 };

/* What is written to, and how wide. */
struct page {
    FILE *out;
    size_t columns;
    bool utf8, fine;
    FILE *paragraph; /* what is being written, until it is wrapped */
    char *text;
    size_t length;
};

static bool begin_paragraph(struct page *page)
{
    page->text = NULL;
    page->paragraph = open_memstream(&page->text, &page->length);
    page->fine = page->fine && page->paragraph;
    return page->paragraph != NULL;
}

/* Wraps it, its first line indented by so much, the others by HANG more. */
static void end_paragraph(struct page *page, size_t first)
{
    size_t indent = first;

    if (fclose(page->paragraph) != 0)
        page->fine = false;
    for (const char *rest = page->text; rest && *rest; indent = first + HANG) {
        fprintf(page->out, "%*s", (int)indent, "");
        rest = text_wrap(page->out, rest, page->columns - indent, page->utf8);
        fputc('\n', page->out);
    }
    free(page->text);
}

static const char *string_of(json_t *value)
{
    return json_is_string(value) ? json_string_value(value) : "";
}

/* The layers from this one on of which the same holds. */
static void put_layers(struct page *page, json_t *layers, size_t from, bool *done)
{
    json_t *silent = json_object_get(json_array_get(layers, from), "silent");

    if (!begin_paragraph(page))
        return;
    for (size_t i = from; i < json_array_size(layers); i++) {
        json_t *layer = json_array_get(layers, i);

        if (done[i] || !json_equal(silent, json_object_get(layer, "silent")))
            continue;
        fprintf(page->paragraph, "%s%s", i > from ? ", " : "",
                string_of(json_object_get(layer, "layer")));
        done[i] = true;
    }
    end_paragraph(page, 0);
}

/* Each reason once, with all detectors that have it. */
static void put_reasons(struct page *page, json_t *silent)
{
    const char *detector, *other;
    json_t *reason, *others;

    json_object_foreach(silent, detector, reason)
    {
        const char *first = NULL;

        json_object_foreach(silent, other, others)
        {
            if (!first && json_equal(reason, others))
                first = other;
        }
        if (first != detector || !begin_paragraph(page))
            continue;
        fprintf(page->paragraph, "%s:", string_of(reason));
        json_object_foreach(silent, other, others)
        {
            if (json_equal(reason, others))
                fprintf(page->paragraph, "%s %s", other == first ? "" : ",", other);
        }
        end_paragraph(page, INDENT);
    }
}

bool ctl_silent_print(FILE *out, json_t *layers, size_t columns, bool utf8)
{
    size_t count = json_array_size(layers);
    struct page page = {.out = out, .columns = columns, .utf8 = utf8, .fine = true};
    bool *done = calloc(count + 1, sizeof *done), any = false;

    if (!done)
        return false;
    if (page.columns < NARROWEST)
        page.columns = NARROWEST;
    for (size_t i = 0; i < count; i++) {
        json_t *silent = json_object_get(json_array_get(layers, i), "silent");

        if (done[i] || json_object_size(silent) == 0)
            continue;
        if (!any)
            fputs("\nDetectors that cannot tell, and why:\n", out);
        any = true;
        fputc('\n', out);
        put_layers(&page, layers, i, done);
        put_reasons(&page, silent);
    }
    free(done);
    return page.fine;
}
