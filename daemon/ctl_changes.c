#include "daemon/ctl_changes.h"

#include <string.h>
#include <time.h>

#include "daemon/ctl_text.h"

enum { LINE_MAX = 6000 };

static bool is_same(const struct watched_alert *a, const struct watched_alert *b)
{
    return strcmp(a->detector, b->detector) == 0 && strcmp(a->layer, b->layer) == 0 &&
           strcmp(a->variable, b->variable) == 0 && strcmp(a->phase, b->phase) == 0;
}

static bool is_news(const struct watched *before, const struct watched_alert *alert)
{
    if (!before)
        return alert->level != WATCHED_OK;
    for (size_t i = 0; i < before->alert_count; i++) {
        const struct watched_alert *old = &before->alerts[i];

        if (is_same(old, alert))
            return old->level != alert->level || old->time < alert->time || old->time > alert->time;
    }
    return true;
}

static void print_line(FILE *out, const struct watched_alert *a)
{
    char stamp[64] = "", line[LINE_MAX], plain[LINE_MAX];
    bool other = *a->phase && strcmp(a->phase, "training") != 0;
    time_t seconds = (time_t)a->time;
    struct tm local;

    if (localtime_r(&seconds, &local))
        (void)strftime(stamp, sizeof stamp, "%FT%T%z", &local);
    snprintf(line, sizeof line, "%s %s %s %s %s%s%s step %lld%s%s: %s", stamp, a->state,
             a->severity, a->detector, *a->layer ? a->layer : "(model)", *a->variable ? "/" : "",
             a->variable, a->step, other ? " of " : "", other ? a->phase : "", a->summary);
    fprintf(out, "%s\n", text_plain(plain, sizeof plain, line)); /* one line, whatever is in it */
}

void changes_print(FILE *out, const struct watched *before, const struct watched *now)
{
    double from = -1; /* what came before that, and with it, is printed */

    for (;;) {
        double next = -1;

        for (size_t i = 0; i < now->alert_count; i++) {
            double time = now->alerts[i].time;
            if (time > from && (next < 0 || time < next))
                next = time;
        }
        if (next < 0)
            return;
        for (size_t i = now->alert_count; i-- > 0;)
            if (now->alerts[i].time >= next && now->alerts[i].time <= next &&
                is_news(before, &now->alerts[i]))
                print_line(out, &now->alerts[i]);
        from = next;
    }
}

/* The object without what changes by itself. New reference. */
static json_t *lasting(const struct watched *watched)
{
    json_t *object = json_copy(watched->object);

    json_object_del(object, "time");
    json_object_del(object, "age");
    return object;
}

bool changes_any(const struct watched *before, const struct watched *now)
{
    json_t *old = lasting(before), *new = lasting(now);
    bool equal = old && new &&json_equal(old, new);

    json_decref(old);
    json_decref(new);
    return !equal;
}
