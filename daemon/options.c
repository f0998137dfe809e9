#include "daemon/options.h"

#include <stdio.h>
#include <string.h>

void options_start(struct options *options, int argc, char **argv)
{
    *options = (struct options){.argc = argc, .argv = argv, .next = 1};
}

static const struct option_row *find_letter(const struct option_row *rows, size_t n, char letter)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].letter == letter)
            return &rows[i];
    return NULL;
}

static const struct option_row *find_name(const struct option_row *rows, size_t n, const char *name,
                                          size_t length)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(rows[i].name) == length && strncmp(rows[i].name, name, length) == 0)
            return &rows[i];
    return NULL;
}

/* The value of an option whose own argument holds none: the next argument. */
static int take_value(struct options *o, const struct option_row *row, const char **value,
                      char *problem)
{
    if (o->next >= o->argc) {
        snprintf(problem, OPTIONS_PROBLEM_MAX, "option --%s needs a value", row->name);
        return OPTIONS_BAD_VALUE;
    }
    *value = o->argv[o->next++];
    return row->key;
}

static int next_letter(struct options *o, const struct option_row *rows, size_t n,
                       const char **value, char *problem)
{
    char letter = *o->letter++;
    const char *rest = o->letter;
    const struct option_row *row = find_letter(rows, n, letter);

    if (*rest == '\0' || !row || row->takes_value)
        o->letter = NULL;
    if (!row) {
        snprintf(problem, OPTIONS_PROBLEM_MAX, "unknown option -%c", letter);
        return OPTIONS_UNKNOWN;
    }
    if (!row->takes_value)
        return row->key;
    if (*rest == '\0')
        return take_value(o, row, value, problem);
    *value = rest;
    return row->key;
}

static int next_name(struct options *o, const struct option_row *rows, size_t n, const char *name,
                     const char **value, char *problem)
{
    size_t length = strcspn(name, "=");
    const struct option_row *row = find_name(rows, n, name, length);

    if (!row) {
        int shown = length > 80 ? 80 : (int)length;
        snprintf(problem, OPTIONS_PROBLEM_MAX, "unknown option --%.*s", shown, name);
        return OPTIONS_UNKNOWN;
    }
    if (name[length] == '\0')
        return row->takes_value ? take_value(o, row, value, problem) : row->key;
    if (!row->takes_value) {
        snprintf(problem, OPTIONS_PROBLEM_MAX, "option --%s takes no value", row->name);
        return OPTIONS_BAD_VALUE;
    }
    *value = name + length + 1;
    return row->key;
}

int options_next(struct options *o, const struct option_row *rows, size_t row_count,
                 const char **value, bool *dashes, char problem[OPTIONS_PROBLEM_MAX])
{
    *value = NULL;
    *dashes = false;
    if (o->letter)
        return next_letter(o, rows, row_count, value, problem);
    if (o->next >= o->argc)
        return OPTIONS_DONE;

    const char *argument = o->argv[o->next++];
    if (strcmp(argument, "--") == 0) {
        *dashes = true;
        return OPTIONS_DONE;
    }
    if (strncmp(argument, "--", 2) == 0)
        return next_name(o, rows, row_count, argument + 2, value, problem);
    if (argument[0] != '-' || argument[1] == '\0') {
        *value = argument;
        return OPTIONS_OPERAND;
    }
    o->letter = argument + 1;
    return next_letter(o, rows, row_count, value, problem);
}
