#include "daemon/ctl_layers.h"

#include <stdlib.h>

#include "daemon/ctl_spark.h"
#include "daemon/ctl_text.h"

enum { WORDS_MAX = 512, NORM_COLUMNS = 8, NAME_MIN = 12, SPARK_MIN = 10, STATE_MIN = 7 };

/* ---- which layers */

void layers_free(struct layers_table *t)
{
    free(t->picked);
    free(t->lines);
}

/* The first n layers when those in a worse state come first, in forward order. */
static void pick(struct layers_table *t, size_t n)
{
    const struct watched_layer *layers = t->watched->layers;
    size_t total = t->watched->layer_count, wanted[3] = {0}, taken[3] = {0};

    for (size_t i = 0; i < total; i++)
        wanted[layers[i].state]++;
    for (int state = WATCHED_FIRING; state >= WATCHED_OK; state--) {
        wanted[state] = wanted[state] < n ? wanted[state] : n;
        n -= wanted[state];
    }
    t->count = 0;
    for (size_t i = 0; i < total; i++)
        if (taken[layers[i].state]++ < wanted[layers[i].state])
            t->picked[t->count++] = i;
}

/* The tree of the picked layers; returns its lines, which are written when they fit. */
static size_t plant(struct layers_table *t, const char **paths, bool utf8, size_t most)
{
    for (size_t i = 0; i < t->count; i++)
        paths[i] = t->watched->layers[t->picked[i]].path;
    return tree_draw(paths, t->count, utf8, t->lines, most);
}

/* As many layers as their tree has lines for; when not all, one line is left to say so. */
static bool choose(struct layers_table *t, const struct watched *watched, bool utf8, size_t most)
{
    size_t all = watched->layer_count, n = all < most ? all : most;
    const char **paths = calloc(n + 1, sizeof *paths);

    *t = (struct layers_table){.watched = watched};
    t->picked = calloc(n + 1, sizeof *t->picked);
    t->lines = calloc(most + 1, sizeof *t->lines);
    if (!paths || !t->picked || !t->lines) {
        free(paths);
        layers_free(t);
        return false;
    }
    for (;; n--) {
        size_t room = n < all && most > 0 ? most - 1 : most;

        pick(t, n);
        t->line_count = plant(t, paths, utf8, room);
        if (t->line_count <= room || n == 0)
            break;
    }
    free(paths);
    if (t->line_count == (size_t)-1)
        layers_free(t);
    return t->line_count != (size_t)-1;
}

static void state_text(char *to, size_t size, const struct watched_layer *layer)
{
    snprintf(to, size, "%s%s%s", state_word(layer->state), *layer->detector ? " " : "",
             layer->detector);
}

static void natural_columns(const struct layers_table *t, bool utf8, size_t *name, size_t *state)
{
    char words[WORDS_MAX];

    *name = NAME_MIN;
    *state = STATE_MIN;
    for (size_t i = 0; i < t->line_count; i++) {
        size_t wide = text_columns(t->lines[i].text, utf8);
        bool layer = t->lines[i].layer != TREE_NONE; /* a branch has the line for itself */

        *name = layer && wide > *name ? wide : *name;
    }
    for (size_t i = 0; i < t->count; i++) {
        state_text(words, sizeof words, &t->watched->layers[t->picked[i]]);
        size_t wide = text_columns(words, utf8);
        *state = wide > *state ? wide : *state;
    }
}

/* Shares the columns out. Where not all fit, names give way first, then the drawing of the norms,
 * then the detectors' names: what is wrong, and with what number, is told as long as can be. */
static void measure(struct layers_table *t, const struct screen_look *look)
{
    size_t columns = look->columns, name, state, norm = NORM_COLUMNS + 2, rest;

    natural_columns(t, look->utf8, &name, &state);
    t->numbers = columns > NAME_MIN + norm + STATE_MIN;
    if (!t->numbers) {
        t->name = columns;
        return;
    }
    if (NAME_MIN + norm + state > columns)
        state = columns - NAME_MIN - norm;
    rest = columns - norm - state;
    if (rest > NAME_MIN + SPARK_MIN) {
        t->name = name + SPARK_MIN < rest ? name : rest - SPARK_MIN - 1;
        t->spark = rest - t->name - 1;
        t->spark = t->spark < WATCHED_NORMS ? t->spark : WATCHED_NORMS;
    } else {
        t->name = name < rest ? name : rest;
    }
    t->state = state;
}

bool layers_fill(struct layers_table *table, const struct watched *watched,
                 const struct screen_look *look, size_t most)
{
    bool fine = choose(table, watched, look->utf8, most);

    if (fine)
        measure(table, look);
    return fine;
}

static void norm_text(char *to, size_t size, struct watched_number norm)
{
    if (norm.given)
        snprintf(to, size, "%.3g", norm.value);
    else
        snprintf(to, size, "-");
}

/* The cells of a line behind its name. */
static void draw_numbers(struct canvas *c, const struct layers_table *t,
                         const struct watched_layer *layer)
{
    char norm[32], state[WORDS_MAX];
    bool utf8 = c->look.utf8;

    if (t->spark > 0) {
        fputc(' ', c->out);
        spark_put(c->out, layer->norms, layer->norm_count, t->spark, utf8);
    }
    norm_text(norm, sizeof norm, layer->norm);
    state_text(state, sizeof state, layer);
    fprintf(c->out, " %*s", NORM_COLUMNS, norm);
    fputc(' ', c->out);
    if (layer->state != WATCHED_OK)
        canvas_paint(c, paint_of(layer->state));
    (void)text_put(c->out, state, t->state, utf8);
    if (layer->state != WATCHED_OK)
        canvas_paint(c, PLAIN);
}

size_t layers_lines(const struct layers_table *t)
{
    return t->line_count + (t->count < t->watched->layer_count);
}

void layers_headings(struct canvas *c, const struct layers_table *t)
{
    canvas_line(c);
    canvas_paint(c, DIM);
    text_pad(c->out, "LAYER", t->name, c->look.utf8);
    if (t->spark > 0) {
        fputc(' ', c->out);
        text_pad(c->out, t->spark > 12 ? "GRADIENT NORM" : "NORM", t->spark, c->look.utf8);
    }
    if (t->numbers)
        fprintf(c->out, " %*s STATE", NORM_COLUMNS, t->spark > 0 ? "NOW" : "NORM");
    canvas_paint(c, PLAIN);
}

static void draw_rest(struct canvas *c, const struct layers_table *t)
{
    const struct watched *w = t->watched;
    size_t left = w->layer_count - t->count, sick = 0;
    char words[WORDS_MAX];

    for (size_t i = 0; i < w->layer_count; i++)
        sick += w->layers[i].state != WATCHED_OK;
    for (size_t i = 0; i < t->count; i++)
        sick -= w->layers[t->picked[i]].state != WATCHED_OK;
    canvas_line(c);
    if (sick > 0)
        snprintf(words, sizeof words, "and %zu more layers, %zu of them pending or firing", left,
                 sick);
    else
        snprintf(words, sizeof words, "and %zu more layers, all ok", left);
    (void)text_put(c->out, words, c->look.columns, c->look.utf8);
}

void layers_draw(struct canvas *c, const struct layers_table *t)
{
    for (size_t i = 0; i < t->line_count; i++) {
        const struct tree_line *line = &t->lines[i];

        canvas_line(c);
        if (line->layer == TREE_NONE) {
            (void)text_put(c->out, line->text, c->look.columns, c->look.utf8);
            continue;
        }
        text_pad(c->out, line->text, t->name, c->look.utf8);
        if (t->numbers)
            draw_numbers(c, t, &t->watched->layers[t->picked[line->layer]]);
    }
    if (t->count < t->watched->layer_count)
        draw_rest(c, t);
}
