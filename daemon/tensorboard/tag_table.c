#include "daemon/tensorboard/tag_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A word at a time: tags are looked up for every value that is written, and uthash's own takes
 * three times as many instructions. Like that one it has no secret: how many tags there are is
 * bounded. */
static unsigned hash_of(const void *name, size_t n)
{
    const uint64_t factor = 0x9e3779b97f4a7c15;
    const uint8_t *from = name;
    uint64_t hash = n, word;

    for (; n > sizeof word; from += sizeof word, n -= sizeof word) {
        memcpy(&word, from, sizeof word);
        hash = (hash ^ word) * factor;
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, from, n);
    hash = (hash ^ word) * factor;
    /* A product's low bits know nothing of what is above them, as the last letters of a tag are. */
    hash = (hash ^ hash >> 32) * factor;
    hash = (hash ^ hash >> 29) * factor;
    return (unsigned)(hash >> 32);
}

#define HASH_NONFATAL_OOM              1
#define HASH_FUNCTION(name, n, result) result = hash_of(name, n)
#include <uthash.h>

#include "proto/name.h"

struct entry {
    struct tag tag;
    UT_hash_handle hh;
    char name[];
};

struct tag_table {
    struct entry *table; /* head of the hash, NULL while empty */
};

struct tag_table *tag_table_new(void)
{
    return calloc(1, sizeof(struct tag_table));
}

void tag_table_free(struct tag_table *tags)
{
    struct entry *entry, *next;

    if (!tags)
        return;
    HASH_ITER(hh, tags->table, entry, next)
    {
        HASH_DEL(tags->table, entry);
        free(entry);
    }
    free(tags);
}

struct tag *tag_table_find(const struct tag_table *tags, const char *name, size_t n)
{
    struct entry *entry = NULL;

    HASH_FIND(hh, tags->table, name, n, entry);
    return entry ? &entry->tag : NULL;
}

struct tag *tag_table_need(struct tag_table *tags, const char *name, size_t n)
{
    struct tag *tag = tag_table_find(tags, name, n);
    struct entry *entry;

    if (tag)
        return tag;
    if (n == 0 || n > TAG_BYTES_MAX || !name_is_text(name, n) ||
        HASH_COUNT(tags->table) >= TAGS_MAX)
        return NULL;
    entry = calloc(1, sizeof *entry + n + 1);
    if (!entry)
        return NULL;
    memcpy(entry->name, name, n);
    entry->tag = (struct tag){entry->name, -1, false};
    HASH_ADD_KEYPTR(hh, tags->table, entry->name, n, entry);
    if (!entry->hh.tbl) {
        free(entry);
        return NULL;
    }
    return &entry->tag;
}

void tag_table_each(const struct tag_table *tags,
                    void (*each)(void *context, const char *tag, int64_t last_step), void *context)
{
    for (struct entry *entry = tags->table; entry; entry = entry->hh.next)
        if (entry->tag.last_step >= 0)
            each(context, entry->tag.name, entry->tag.last_step);
}

void tag_table_begin(struct tag_table *tags)
{
    for (struct entry *entry = tags->table; entry; entry = entry->hh.next)
        entry->tag.described = false;
}

void tag_table_carry(struct carry *c, struct tag_table *tags)
{
    size_t count = carry_count(c, HASH_COUNT(tags->table), TAGS_MAX);
    struct entry *entry = tags->table;

    for (size_t i = 0; i < count && !c->problem; i++) {
        char name[TAG_BYTES_MAX + 1];
        struct tag *tag;

        if (!c->loading)
            (void)snprintf(name, sizeof name, "%s", entry->name);
        carry_text(c, name, sizeof name);
        tag = c->loading ? tag_table_need(tags, name, strlen(name)) : &entry->tag;
        if (tag)
            carry_i64(c, &tag->last_step);
        else
            carry_fail(c, "a tag has no name");
        if (!c->loading)
            entry = entry->hh.next;
    }
}
