/* The picture of embmonctl watch: from what the daemon said and the size of the screen to text.
 * Pure: no clock, no terminal. */
#ifndef EMBMON_DAEMON_CTL_SCREEN_H
#define EMBMON_DAEMON_CTL_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "daemon/ctl_watched.h"

enum { SCREEN_COLUMNS_MAX = 1000, SCREEN_LINES_MAX = 500 };

struct screen_look {
    size_t columns, lines; /* of the screen; beyond the maxima nothing is drawn */
    bool utf8;             /* blocks and lines; else ASCII alone */
    bool colours;
};

/* Writes at most look->lines lines of at most look->columns columns, '\n' between them. Escape
 * sequences are those of colours alone. False: out of memory. */
bool screen_draw(FILE *out, const struct watched *watched, const struct screen_look *look);

/* The same while there is no run yet; where: the daemon's address. */
void screen_draw_waiting(FILE *out, const char *where, const struct screen_look *look);

#endif
