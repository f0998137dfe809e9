/* Command lines, from a table: -x, -xyz, -lDIR, -l DIR, --name VALUE, --name=VALUE. Names are never
 * abbreviated, so that a new option cannot change what an old script means. No state but the
 * caller's. */
#ifndef EMBMON_DAEMON_OPTIONS_H
#define EMBMON_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct option_row {
    char letter;      /* 0: none */
    const char *name; /* without the dashes */
    bool takes_value;
    int key; /* > 0, what options_next() returns */
};

struct options {
    int argc;
    char **argv;        /* borrowed */
    int next;           /* the next argument to look at */
    const char *letter; /* the next letter of a bundle, or NULL */
};

enum {
    OPTIONS_DONE = 0,       /* all are read; after "--" the rest is at argv + next */
    OPTIONS_OPERAND = -1,   /* not an option: *value */
    OPTIONS_UNKNOWN = -2,   /* problem says which */
    OPTIONS_BAD_VALUE = -3, /* a value is missing, or given where there is none; problem says it */
    OPTIONS_PROBLEM_MAX = 160 /* bytes of problem */
};

/* Starts after the program's name. */
void options_start(struct options *options, int argc, char **argv);

/* The key of the next option, with *value (borrowed from argv) where it takes one, or one of the
 * above. dashes: set when OPTIONS_DONE came from "--". */
int options_next(struct options *options, const struct option_row *rows, size_t row_count,
                 const char **value, bool *dashes, char problem[OPTIONS_PROBLEM_MAX]);

#endif
