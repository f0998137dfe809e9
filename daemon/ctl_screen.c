#include "daemon/ctl_screen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ctl_canvas.h"
#include "daemon/ctl_layers.h"
#include "daemon/ctl_text.h"

enum { WORDS_MAX = 512, RUN_MIN = 12, PLACE_MIN = 16 };

/* ---- the heading */

/* "3 s" */
static void age_words(char *to, size_t size, double seconds)
{
    static const struct {
        double seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t i = 0;

    while (i < 3 && seconds < 2 * units[i].seconds)
        i++;
    snprintf(to, size, "%.0f %s", floor(fmax(seconds, 0) / units[i].seconds), units[i].name);
}

static void heading_words(char *words, size_t size, const struct watched *w)
{
    char age[32];
    size_t used = (size_t)snprintf(words, size, "  %s", w->live ? "live" : "no trainer");

    if (w->step.given)
        used += (size_t)snprintf(words + used, size - used, "  step %.15g", w->step.value);
    used += (size_t)snprintf(words + used, size - used, "  ranks %.15g", w->ranks.value);
    if (w->loss.given)
        used += (size_t)snprintf(words + used, size - used, "  loss %.4g", w->loss.value);
    if (w->firing.value > 0)
        used += (size_t)snprintf(words + used, size - used, "  firing %.15g", w->firing.value);
    if (!w->age.given) {
        snprintf(words + used, size - used, "  no step yet");
        return;
    }
    age_words(age, sizeof age, w->age.value);
    snprintf(words + used, size - used, "  last step %s ago", age);
}

/* The first line: a name, words about it, and how to get away. */
static void draw_heading(struct canvas *c, const char *title, const char *words)
{
    static const char help[] = "q quits";
    size_t columns = c->look.columns, name = text_columns(title, c->look.utf8), room;

    room = columns > strlen(words) + RUN_MIN ? columns - strlen(words) : RUN_MIN;
    room = room < columns ? room : columns;
    name = name < room ? name : room;
    canvas_line(c);
    canvas_paint(c, BOLD);
    (void)text_put(c->out, title, name, c->look.utf8);
    canvas_paint(c, PLAIN);
    name += text_put(c->out, words, columns - name, c->look.utf8);
    if (columns < name + sizeof help + 1)
        return;
    canvas_paint(c, DIM);
    fprintf(c->out, "%*s", (int)(columns - name), help);
    canvas_paint(c, PLAIN);
}

/* ---- the alerts */

/* Where it is: layer and variable, or the model as a whole. */
static void place_words(char *to, size_t size, const struct watched_alert *alert)
{
    bool other = *alert->phase && strcmp(alert->phase, "training") != 0;

    snprintf(to, size, "%s%s%s%s%s", other ? alert->phase : "", other ? " " : "",
             *alert->layer ? alert->layer : "(model)", *alert->variable ? "/" : "",
             alert->variable);
}

static void draw_alert_heading(struct canvas *c, const struct watched_alert *alert, double now)
{
    char age[32], place[WORDS_MAX], words[WORDS_MAX];
    size_t columns = c->look.columns, used, rest, wide;
    bool utf8 = c->look.utf8;

    age_words(age, sizeof age, now - alert->time);
    place_words(place, sizeof place, alert);
    snprintf(words, sizeof words, "%s %s %s ", alert->state, alert->severity, alert->detector);
    canvas_line(c);
    canvas_paint(c, paint_of(alert->level));
    used = text_put(c->out, words, columns, utf8);
    canvas_paint(c, PLAIN);
    snprintf(words, sizeof words, ", step %lld, %s ago", alert->step, age);
    /* The middle of the line gives way; then its end. */
    rest = columns - used;
    wide = strlen(words) + PLACE_MIN < rest ? rest - strlen(words) : PLACE_MIN;
    wide = wide < rest ? wide : rest;
    used = text_put(c->out, place, wide, utf8);
    (void)text_put(c->out, words, rest - used, utf8);
}

static void draw_prose(struct canvas *c, const char *text)
{
    enum { INDENT = 2 };
    size_t indent = c->look.columns > 10 * INDENT ? INDENT : 0;

    while (*text) {
        canvas_line(c);
        fprintf(c->out, "%*s", (int)indent, "");
        text = text_wrap(c->out, text, c->look.columns - indent, c->look.utf8);
    }
}

static void draw_alert(struct canvas *c, const struct watched_alert *alert, double now, bool hint)
{
    draw_alert_heading(c, alert, now);
    draw_prose(c, alert->summary);
    if (hint && alert->level == WATCHED_FIRING && *alert->hint)
        draw_prose(c, alert->hint);
}

/* What is pending or fires; while nothing is, the last ones that are over. */
static size_t shown_alerts(const struct watched *w)
{
    enum { OVER_MAX = 2 };
    size_t n = 0;

    while (n < w->alert_count && w->alerts[n].level != WATCHED_OK)
        n++;
    return n > 0 ? n : w->alert_count < OVER_MAX ? w->alert_count : OVER_MAX;
}

/* All lines about alerts, the first with its hint or without. The caller frees the text; NULL: out
 * of memory. */
static char *alerts_text(const struct watched *w, const struct screen_look *look, bool hint,
                         size_t *lines)
{
    char *text = NULL;
    size_t length;
    struct canvas c = {.out = open_memstream(&text, &length), .look = *look};

    if (!c.out)
        return NULL;
    for (size_t i = 0; i < shown_alerts(w); i++)
        draw_alert(&c, &w->alerts[i], w->time, hint && i == 0);
    *lines = c.lines;
    if (fclose(c.out) == 0)
        return text;
    free(text);
    return NULL;
}

static void draw_lines(struct canvas *c, const char *text, size_t most)
{
    for (size_t i = 0; i < most && *text; i++) {
        size_t n = strcspn(text, "\n");

        canvas_line(c);
        fwrite(text, 1, n, c->out);
        text += n + (text[n] == '\n');
    }
}

/* ---- the whole */

/* The lines for alerts, of those that are left for them and the layers. Alerts get what the layers
 * leave, at least a third; a line stays blank between the two. */
static size_t alerts_share(size_t room, size_t layers, size_t alerts)
{
    size_t rest = room > layers + 1 ? room - layers - 1 : 0;

    if (room < 3)
        return 0;
    rest = rest > room / 3 ? rest : room / 3;
    return rest < alerts ? rest : alerts;
}

static bool draw_body(struct canvas *c, const struct watched *w, size_t room)
{
    struct layers_table table;
    size_t lines = 0, share;
    char *alerts = alerts_text(w, &c->look, true, &lines);

    if (!alerts || !layers_fill(&table, w, &c->look, room))
        goto no_memory;
    if (layers_lines(&table) + 1 + lines > room) { /* the hint is the first to go */
        free(alerts);
        alerts = alerts_text(w, &c->look, false, &lines);
    }
    share = alerts_share(room, layers_lines(&table), lines);
    layers_free(&table);
    if (!alerts || !layers_fill(&table, w, &c->look, share ? room - share - 1 : room))
        goto no_memory;
    layers_headings(c, &table);
    layers_draw(c, &table);
    if (share > 0)
        canvas_line(c);
    draw_lines(c, alerts, share);
    layers_free(&table);
    free(alerts);
    return true;

no_memory:
    free(alerts);
    return false;
}

static struct canvas canvas_of(FILE *out, const struct screen_look *look)
{
    struct canvas c = {.out = out, .look = *look};

    c.look.columns = look->columns < SCREEN_COLUMNS_MAX ? look->columns : SCREEN_COLUMNS_MAX;
    c.look.lines = look->lines < SCREEN_LINES_MAX ? look->lines : SCREEN_LINES_MAX;
    return c;
}

void screen_draw_waiting(FILE *out, const char *where, const struct screen_look *look)
{
    struct canvas c = canvas_of(out, look);
    char words[WORDS_MAX];

    if (c.look.columns == 0 || c.look.lines == 0)
        return;
    draw_heading(&c, "waiting for the first run", "");
    if (c.look.lines < 3)
        return;
    canvas_line(&c);
    canvas_line(&c);
    snprintf(words, sizeof words, "embmond answers at %s", where);
    (void)text_put(c.out, words, c.look.columns, c.look.utf8);
}

bool screen_draw(FILE *out, const struct watched *watched, const struct screen_look *look)
{
    enum { SPACIOUS = 10 };
    struct canvas c = canvas_of(out, look);
    char words[WORDS_MAX];

    if (c.look.columns == 0 || c.look.lines == 0)
        return true;
    heading_words(words, sizeof words, watched);
    draw_heading(&c, watched->run, words);
    if (c.look.lines >= SPACIOUS)
        canvas_line(&c);
    if (c.lines + 2 > c.look.lines)
        return true;
    return draw_body(&c, watched, c.look.lines - c.lines - 1);
}
