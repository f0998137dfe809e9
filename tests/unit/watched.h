/* Pictures of embmonctl watch for tests: what is drawn, from the daemon's JSON. */
#ifndef EMBMON_TESTS_UNIT_WATCHED_H
#define EMBMON_TESTS_UNIT_WATCHED_H

#include <stdlib.h>
#include <string.h>

#include "daemon/ctl_screen.h"
#include "daemon/ctl_text.h"
#include "daemon/ctl_watched.h"

static inline struct watched watched_from(const char *json)
{
    struct watched watched;
    json_t *object = json_loads(json, 0, NULL);

    assert_non_null(object);
    assert_true(watched_read(&watched, object));
    return watched;
}

/* The text without colours; the caller frees it. */
static inline char *without_colours(const char *text)
{
    char *plain = strdup(text), *to = plain;

    assert_non_null(plain);
    while (*text) {
        if (*text == '\x1b')
            text += strcspn(text, "m") + 1;
        else
            *to++ = *text++;
    }
    *to = '\0';
    return plain;
}

/* No line is too long, and there are not too many. */
static inline void must_fit(const char *text, const struct screen_look *look)
{
    char *plain = without_colours(text), *rest = plain, *line;
    size_t lines = 0;

    if (*text == '\0')
        rest = NULL;

    while ((line = strsep(&rest, "\n"))) {
        assert_in_range(text_columns(line, look->utf8), 0, look->columns);
        lines++;
    }
    assert_in_range(lines, 0, look->lines);
    free(plain);
}

#endif
