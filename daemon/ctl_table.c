#include "daemon/ctl_table.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "daemon/ctl_text.h"

enum { CELL_MAX = 600, COLUMNS_MAX = 9, ADVICE_MAX = 4097 };

struct column {
    const char *heading, *key;
};

static const struct column runs_columns[] = {
    {"RUN", "name"},    {"LIVE", "live"},     {"STEP", "step"},     {"RANKS", "ranks"},
    {"EVERY", "every"}, {"LAYERS", "layers"}, {"FIRING", "firing"},
};
static const struct column layers_columns[] = {
    {"LAYER", "layer"},         {"KIND", "kind"},
    {"TRAINABLE", "trainable"}, {"GRADIENT NORM", "gradient_norm"},
    {"STATE", "state"},         {"SILENT", "silent"},
};
static const struct column alerts_columns[] = {
    {"RUN", "run"},           {"STATE", "state"},      {"SEVERITY", "severity"},
    {"DETECTOR", "detector"}, {"WHERE", "layer"},      {"PHASE", "phase"},
    {"FIRED", "fired"},       {"FIRST", "first_step"}, {"STEP", "step"},
};

static void cell_text(char cell[CELL_MAX], json_t *value)
{
    if (json_is_string(value))
        text_plain(cell, CELL_MAX, json_string_value(value));
    else if (json_is_integer(value))
        snprintf(cell, CELL_MAX, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(cell, CELL_MAX, "%.4g", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(cell, CELL_MAX, "%s", json_is_true(value) ? "yes" : "no");
    else if (json_is_object(value)) /* which detectors cannot tell: their reasons are sentences */
        snprintf(cell, CELL_MAX, "%zu", json_object_size(value));
    else
        snprintf(cell, CELL_MAX, "-");
}

/* An alert's place is its layer with the variable; one of the whole model has none. Where one
 * speaks of several it is their number. */
static void column_text(char cell[CELL_MAX], json_t *object, const struct column *column)
{
    const char *variable = json_string_value(json_object_get(object, "variable"));

    char name[CELL_MAX];

    cell_text(cell, json_object_get(object, column->key));
    if (strcmp(column->heading, "WHERE") != 0)
        return;
    size_t used = strlen(cell);
    if (json_is_integer(json_object_get(object, "count")))
        snprintf(cell, CELL_MAX, "(%lld more)",
                 (long long)json_integer_value(json_object_get(object, "count")));
    if (variable && *variable)
        snprintf(cell + used, CELL_MAX - used, "/%s", text_plain(name, sizeof name, variable));
    if (*cell == '\0')
        snprintf(cell, CELL_MAX, "(model)");
}

/* Characters a cell takes on the screen, as far as UTF-8 tells. */
static size_t width_of(const char *cell)
{
    size_t width = 0;
    for (; *cell; cell++)
        width += ((unsigned char)*cell & 0xc0) != 0x80;
    return width;
}

static void print_cell(FILE *out, const char *cell, size_t width, bool last)
{
    fputs(cell, out);
    for (size_t i = width_of(cell); !last && i < width + 2; i++)
        fputc(' ', out);
    if (last)
        fputc('\n', out);
}

static void print_columns(FILE *out, const struct column *columns, size_t count, json_t *objects)
{
    size_t widths[COLUMNS_MAX], index;
    char cell[CELL_MAX];
    json_t *object;

    for (size_t i = 0; i < count; i++) {
        widths[i] = strlen(columns[i].heading);
        json_array_foreach(objects, index, object)
        {
            column_text(cell, object, &columns[i]);
            if (width_of(cell) > widths[i])
                widths[i] = width_of(cell);
        }
    }
    for (size_t i = 0; i < count; i++)
        print_cell(out, columns[i].heading, widths[i], i + 1 == count);
    json_array_foreach(objects, index, object)
    {
        for (size_t i = 0; i < count; i++) {
            column_text(cell, object, &columns[i]);
            print_cell(out, cell, widths[i], i + 1 == count);
        }
    }
}

/* A line for each sink: "sink  pager (exec): delivered 3, failed 1, ..." */
static void print_sinks(FILE *out, json_t *sinks)
{
    static const char *const counts[] = {"delivered", "failed", "waiting", "dropped", "held"};
    size_t index;
    json_t *sink;
    char name[CELL_MAX], text[CELL_MAX];

    json_array_foreach(sinks, index, sink)
    {
        cell_text(name, json_object_get(sink, "name"));
        cell_text(text, json_object_get(sink, "kind"));
        fprintf(out, "%-15s %s (%s):", "sink", name, text);
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            cell_text(text, json_object_get(sink, counts[i]));
            fprintf(out, "%s %s %s", i ? "," : "", counts[i], text);
        }
        cell_text(text, json_object_get(sink, "last_error"));
        fprintf(out, "%s%s\n", *text ? "; last error: " : "", text);
    }
}

/* A line for each limit: "limit  connections: 3 of 1024, refused 1". */
static void print_limits(FILE *out, json_t *limits)
{
    const char *key;
    json_t *limit;
    char name[CELL_MAX], used[CELL_MAX], most[CELL_MAX], refused[CELL_MAX];

    json_object_foreach(limits, key, limit)
    {
        bool known = json_is_integer(json_object_get(limit, "used"));

        cell_text(used, json_object_get(limit, "used"));
        cell_text(most, json_object_get(limit, "limit"));
        cell_text(refused, json_object_get(limit, "refused"));
        text_plain(name, sizeof name, key);
        fprintf(out, "%-15s %s: %s%s%s", "limit", name, known ? used : "", known ? " of " : "",
                most);
        if (strcmp(refused, "0") != 0)
            fprintf(out, ", refused %s", refused);
        fputc('\n', out);
    }
}

/* One line per field. */
static void print_fields(FILE *out, json_t *object)
{
    const char *key;
    json_t *value;
    char name[CELL_MAX], cell[CELL_MAX];

    json_object_foreach(object, key, value)
    {
        if (strcmp(key, "sinks") == 0) {
            print_sinks(out, value);
            continue;
        }
        if (strcmp(key, "limits") == 0) {
            print_limits(out, value);
            continue;
        }
        cell_text(cell, value);
        fprintf(out, "%-15s %s\n", text_plain(name, sizeof name, key), cell);
    }
}

/* It fires, or did until its run was closed: nothing got better. */
static bool is_lasting(json_t *alert)
{
    const char *state = json_string_value(json_object_get(alert, "state"));
    const char *reason = json_string_value(json_object_get(alert, "reason"));

    if (state && strcmp(state, "firing") == 0)
        return true;
    return reason && strcmp(reason, "closed") == 0 && json_is_true(json_object_get(alert, "fired"));
}

/* What happened and what to look at, below the table: sentences are too long for a column. */
static void print_advice(FILE *out, json_t *objects)
{
    size_t index;
    json_t *object;
    char text[ADVICE_MAX];

    json_array_foreach(objects, index, object)
    {
        const char *summary = json_string_value(json_object_get(object, "summary"));
        const char *hint = json_string_value(json_object_get(object, "hint"));
        if (!is_lasting(object) || !summary)
            continue;
        fprintf(out, "\n%s\n", text_plain(text, sizeof text, summary));
        if (hint && *hint)
            fprintf(out, "    %s\n", text_plain(text, sizeof text, hint));
    }
}

#define COLUMNS(table) table, sizeof table / sizeof table[0]

void ctl_table_print(FILE *out, const char *query, json_t *objects)
{
    if (strcmp(query, "status") == 0) {
        print_fields(out, json_array_get(objects, 0));
    } else if (json_array_size(objects) == 0) {
        fprintf(out, "no %s\n", query);
    } else if (strcmp(query, "runs") == 0) {
        print_columns(out, COLUMNS(runs_columns), objects);
    } else if (strcmp(query, "layers") == 0) {
        print_columns(out, COLUMNS(layers_columns), objects);
    } else {
        print_columns(out, COLUMNS(alerts_columns), objects);
        print_advice(out, objects);
    }
}
