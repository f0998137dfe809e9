#include "daemon/alert/sink_options.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static bool copy_text(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return *to || !from;
}

static bool copy_arguments(char ***to, char **from)
{
    size_t count = 0;

    *to = NULL;
    while (from && from[count])
        count++;
    if (!from)
        return true;
    *to = calloc(count + 1, sizeof **to);
    for (size_t i = 0; *to && i < count; i++) {
        if (!((*to)[i] = strdup(from[i])))
            return false;
    }
    return *to != NULL;
}

bool sink_options_copy(struct sink_options *to, const struct sink_options *from)
{
    *to = *from;
    to->name = to->url = to->token_file = NULL;
    to->argv = NULL;
    if (copy_text(&to->name, from->name) && copy_text(&to->url, from->url) &&
        copy_text(&to->token_file, from->token_file) && copy_arguments(&to->argv, from->argv))
        return true;
    sink_options_clear(to);
    return false;
}

void sink_options_clear(struct sink_options *options)
{
    for (size_t i = 0; options->argv && options->argv[i]; i++)
        free(options->argv[i]);
    free(options->argv);
    free(options->name);
    free(options->url);
    free(options->token_file);
    *options = (struct sink_options){0};
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_arguments(char **a, char **b)
{
    if (!a || !b)
        return a == b;
    for (; *a && *b; a++, b++) {
        if (strcmp(*a, *b) != 0)
            return false;
    }
    return *a == *b;
}

bool sink_options_equal(const struct sink_options *a, const struct sink_options *b)
{
    return a->kind == b->kind && a->severity == b->severity && a->format == b->format &&
           a->resend_s == b->resend_s && a->a_minute == b->a_minute &&
           a->allow_private == b->allow_private && a->timeout_ms == b->timeout_ms &&
           same_text(a->name, b->name) && same_text(a->url, b->url) &&
           same_text(a->token_file, b->token_file) && same_arguments(a->argv, b->argv);
}
