#include "client/thresholds.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "embmon/embmon.h"
#include "proto/name.h"

struct entry {
    char detector[DETECTOR_MAX + 1], key[DETECTOR_MAX + 1]; /* key "": the detector is ignored */
    char layers[GLOB_MAX + 1];
    _Atomic double value;
    _Atomic uint32_t revision; /* of the value; not 0 once it is published */
};

struct thresholds {
    _Atomic uint32_t taken;           /* entries in use, published or not */
    _Atomic uint32_t list[RULES_MAX]; /* published: index + 1; ends with the first 0 */
    struct entry entries[RULES_MAX];
};

struct thresholds *thresholds_new(void)
{
    return calloc(1, sizeof(struct thresholds));
}

void thresholds_free(struct thresholds *t)
{
    free(t);
}

static bool is_same(const struct entry *a, const struct entry *b)
{
    return strcmp(a->detector, b->detector) == 0 && strcmp(a->key, b->key) == 0 &&
           strcmp(a->layers, b->layers) == 0;
}

/* The published entry that is the same, or NULL and the list's end. */
static struct entry *find(struct thresholds *t, const struct entry *wanted, size_t *end)
{
    for (*end = 0; *end < RULES_MAX; ++*end) {
        uint32_t held = atomic_load(&t->list[*end]);

        if (held == 0)
            return NULL;
        if (is_same(&t->entries[held - 1], wanted))
            return &t->entries[held - 1];
    }
    return NULL;
}

/* An entry of one's own, NULL beyond the limit. */
static struct entry *take(struct thresholds *t)
{
    uint32_t now = atomic_load(&t->taken);

    while (now < RULES_MAX)
        if (atomic_compare_exchange_weak(&t->taken, &now, now + 1))
            return &t->entries[now];
    return NULL;
}

/* Read in the other order: who sees the revision sees the value. */
static int change(struct entry *entry, double value)
{
    atomic_store(&entry->value, value);
    atomic_fetch_add(&entry->revision, 1);
    return 0;
}

/* Every place of the list before the end was looked at, and what is published stays as it is: an
 * end that is still free is where a new entry belongs. Two threads that make the same one at the
 * same moment leave one place unused. */
static int put(struct thresholds *t, const struct entry *wanted, double value)
{
    size_t end;
    struct entry *entry = find(t, wanted, &end), *own;
    uint32_t empty = 0;

    if (entry)
        return change(entry, value);
    own = take(t);
    if (!own)
        return EMBMON_ELIMIT;
    memcpy(own->detector, wanted->detector, sizeof own->detector);
    memcpy(own->key, wanted->key, sizeof own->key);
    memcpy(own->layers, wanted->layers, sizeof own->layers);
    change(own, value);
    while (
        !atomic_compare_exchange_strong(&t->list[end], &empty, (uint32_t)(own - t->entries) + 1)) {
        entry = find(t, wanted, &end);
        if (entry)
            return change(entry, value);
        empty = 0;
    }
    return 0;
}

static int name_entry(struct entry *entry, const char *detector, const char *layers)
{
    if (!name_is_detector(detector))
        return EMBMON_ENAME;
    if (!name_is_glob(layers))
        return EMBMON_EINVAL;
    strncpy(entry->detector, detector, DETECTOR_MAX);
    strncpy(entry->layers, layers, GLOB_MAX);
    return 0;
}

int thresholds_set(struct thresholds *t, const char *detector, const char *layers, const char *key,
                   double value)
{
    struct entry wanted = {0};
    int problem = name_entry(&wanted, detector, layers);

    if (problem)
        return problem;
    if (!name_is_key(key))
        return EMBMON_ENAME;
    if (!__builtin_isfinite(value))
        return EMBMON_EINVAL;
    strncpy(wanted.key, key, DETECTOR_MAX);
    return put(t, &wanted, value);
}

int thresholds_ignore(struct thresholds *t, const char *detector, const char *layers)
{
    struct entry wanted = {0};
    size_t end;
    int problem = name_entry(&wanted, detector, layers);

    if (problem)
        return problem;
    return find(t, &wanted, &end) ? 0 : put(t, &wanted, 0);
}

bool thresholds_batch(struct thresholds *t, const struct thresholds_told *told,
                      struct thresholds_batch *batch, struct msg_layers *message)
{
    size_t thresholds = 0, ignores = 0;

    batch->told = *told;
    for (size_t i = 0; i < RULES_MAX && thresholds + ignores < THRESHOLDS_BATCH; i++) {
        uint32_t held = atomic_load(&t->list[i]), revision;
        const struct entry *entry = &t->entries[held ? held - 1 : 0];

        if (held == 0)
            break;
        revision = atomic_load(&entry->revision);
        if (revision == told->revisions[i])
            continue;
        batch->told.revisions[i] = revision;
        if (entry->key[0] != '\0')
            batch->thresholds[thresholds++] = (struct msg_threshold){
                entry->detector, entry->layers, entry->key, atomic_load(&entry->value)};
        else
            batch->ignores[ignores++] = (struct msg_ignore){entry->detector, entry->layers};
    }
    *message = (struct msg_layers){.thresholds = batch->thresholds,
                                   .threshold_count = thresholds,
                                   .ignores = batch->ignores,
                                   .ignore_count = ignores};
    return thresholds + ignores > 0;
}
