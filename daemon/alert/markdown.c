#include "daemon/alert/markdown.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embmon/embmon.h"

void markdown_free(struct markdown *m)
{
    free(m->text);
    *m = (struct markdown){0};
}

void markdown_clear(struct markdown *m)
{
    m->length = 0;
    m->failed = false;
}

static bool reserve(struct markdown *m, size_t n)
{
    size_t capacity = (m->length + n + 1) * 2;
    char *more;

    if (n < m->capacity - m->length) /* capacity is 0 or > length: no wrap */
        return true;
    more = realloc(m->text, capacity);
    if (!more) {
        m->failed = true;
        return false;
    }
    m->text = more;
    m->capacity = capacity;
    return true;
}

__attribute__((format(printf, 2, 3))) static void put(struct markdown *m, const char *format, ...)
{
    va_list arguments, again;
    int n;

    va_start(arguments, format);
    va_copy(again, arguments);
    n = vsnprintf(NULL, 0, format, arguments);
    if (n >= 0 && reserve(m, (size_t)n)) {
        (void)vsnprintf(m->text + m->length, m->capacity - m->length, format, again);
        m->length += (size_t)n;
    }
    va_end(again);
    va_end(arguments);
}

static void put_bytes(struct markdown *m, const char *bytes, size_t n)
{
    if (!reserve(m, n))
        return;
    memcpy(m->text + m->length, bytes, n);
    m->length += n;
    m->text[m->length] = '\0';
}

/* The text without what Markdown or HTML could read as more than text. A backslash is what Markdown
 * itself has for its marks; a table's bar and HTML's need a character reference. */
static void put_plain(struct markdown *m, const char *text)
{
    while (*text) {
        size_t plain = strcspn(text, "*_[]\\#!`|<>&~");

        put_bytes(m, text, plain);
        text += plain;
        if (!*text)
            break;
        put(m, strchr("`|<>&~", *text) ? "&#%d;" : "\\%c", *text);
        text++;
    }
}

/* A name in a code span, where only a backtick and a table's pipe mean something. */
static void put_code(struct markdown *m, const char *name)
{
    if (!*name) {
        put(m, "(model)");
        return;
    }
    put(m, "`");
    while (*name) {
        size_t plain = strcspn(name, "`|");

        put_bytes(m, name, plain);
        name += plain;
        if (*name) {
            put(m, "'");
            name++;
        }
    }
    put(m, "`");
}

void markdown_change(struct markdown *m, const struct alert_change *change)
{
    put(m, "**%s %s**: %s of ", severity_name(change->severity), state_name(change->state),
        change->detector);
    put_code(m, change->layer);
    put(m, " at step %" PRIu64 " (since %" PRIu64 ")\n\n", change->step, change->first_step);
    put_plain(m, change->summary);
    put(m, "\n\n");
    if (change->state != EMBMON_RESOLVED) {
        put(m, "> ");
        put_plain(m, change->hint);
        put(m, "\n\n");
    }
}

struct table {
    struct markdown *m;
    uint32_t phase;
    uint32_t state; /* this pass's: enum embmon_alert_state */
    size_t skip;    /* rows of this pass to leave out: the oldest */
    size_t rows;
};

static bool is_row(const struct table *table, const struct alert_change *change)
{
    return change->phase == table->phase && change->state == table->state;
}

static void count_row(void *context, const struct alert_change *change, bool ever_fired)
{
    struct table *table = context;

    (void)ever_fired;
    table->rows += is_row(table, change);
}

static void put_row(void *context, const struct alert_change *change, bool ever_fired)
{
    struct table *table = context;
    struct markdown *m = table->m;

    if (!is_row(table, change))
        return;
    if (table->skip > 0) {
        table->skip--;
        return;
    }
    put(m, "| %s%s | %s | %s | ", state_name(change->state),
        change->state == EMBMON_RESOLVED && ever_fired ? " (fired)" : "",
        severity_name(change->severity), change->detector);
    put_code(m, change->layer);
    put(m, " | %" PRIu64 " | %" PRIu64 " | ", change->first_step, change->step);
    put_plain(m, change->summary);
    put(m, " |\n");
}

void markdown_more(struct markdown *m, uint64_t n)
{
    if (n > 0)
        put(m, "\n%" PRIu64 " more are in alerts.jsonl.\n", n);
}

static void count_more(void *context, const struct alert_change *change, size_t count)
{
    struct table *table = context;

    table->rows += change->phase == table->phase ? count : 0;
}

void markdown_table(struct markdown *m, const struct alerts *alerts, uint32_t phase)
{
    static const uint32_t passes[] = {EMBMON_FIRING, EMBMON_PENDING, EMBMON_RESOLVED};
    size_t left = MARKDOWN_ROWS, more = 0;

    put(m, "| state | severity | detector | layer | since step | step | what |\n"
           "|---|---|---|---|---|---|---|\n");
    for (size_t pass = 0; pass < sizeof passes / sizeof *passes; pass++) {
        struct table table = {.m = m, .phase = phase, .state = passes[pass]};

        alerts_each(alerts, count_row, &table);
        table.skip = table.rows > left ? table.rows - left : 0;
        left -= table.rows - table.skip;
        more += table.skip;
        alerts_each(alerts, put_row, &table);
    }
    struct table unkept = {.phase = phase};
    alerts_more(alerts, count_more, &unkept);
    markdown_more(m, more + unkept.rows);
}

void markdown_carry(struct carry *c, struct markdown *m)
{
    enum { TEXT_MOST = 1 << 20 }; /* far above what is collected in one step */
    char *text = m->length > 0 ? m->text : NULL;
    char nothing[] = "";

    if (!c->loading) {
        text = text ? text : nothing;
        carry_string(c, &text, TEXT_MOST);
        return;
    }
    carry_string(c, &m->text, TEXT_MOST);
    m->length = m->text ? strlen(m->text) : 0;
    m->capacity = m->text ? m->length + 1 : 0;
}
