#include "daemon/alert/change.h"

#include <stdlib.h>
#include <string.h>

#include "embmon/embmon.h"

enum { TEXTS = 8 };

/* Copies a string to where the cursor stands and moves it on. */
static const char *pack(char **cursor, const char *text)
{
    size_t n = strlen(text) + 1;
    char *at = memcpy(*cursor, text, n);

    *cursor += n;
    return at;
}

struct alert_change *change_copy(const struct alert_change *c)
{
    size_t ranks = c->rank_count * sizeof *c->ranks;
    size_t texts = strlen(c->run) + strlen(c->layer) + strlen(c->variable) + strlen(c->signal) +
                   strlen(c->detector) + strlen(c->reason) + strlen(c->summary) + strlen(c->hint);
    struct alert_change *copy = malloc(sizeof *copy + ranks + texts + TEXTS); /* their NULs */

    if (!copy)
        return NULL;
    uint32_t *rank = (uint32_t *)(copy + 1);
    char *cursor = (char *)rank + ranks;
    *copy = *c;
    copy->ranks = rank;
    if (ranks)
        memcpy(rank, c->ranks, ranks);
    copy->run = pack(&cursor, c->run);
    copy->layer = pack(&cursor, c->layer);
    copy->variable = pack(&cursor, c->variable);
    copy->signal = pack(&cursor, c->signal);
    copy->detector = pack(&cursor, c->detector);
    copy->reason = pack(&cursor, c->reason);
    copy->summary = pack(&cursor, c->summary);
    copy->hint = pack(&cursor, c->hint);
    return copy;
}

const char *phase_name(uint32_t phase)
{
    switch (phase) {
    case EMBMON_TRAIN:
        return "training";
    case EMBMON_VALIDATE:
        return "validation";
    case EMBMON_INFER:
        return "inference";
    default:
        return "unknown";
    }
}

const char *severity_name(uint32_t severity)
{
    switch (severity) {
    case EMBMON_INFO:
        return "info";
    case EMBMON_WARNING:
        return "warning";
    case EMBMON_CRITICAL:
        return "critical";
    default:
        return "unknown";
    }
}

const char *state_name(uint32_t state)
{
    switch (state) {
    case EMBMON_RESOLVED:
        return "resolved";
    case EMBMON_PENDING:
        return "pending";
    case EMBMON_FIRING:
        return "firing";
    default:
        return "unknown";
    }
}
