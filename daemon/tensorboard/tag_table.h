/* The tags of a run: the last step of each, over all its event files, and whether the file that is
 * being written has the tag's metadata already. */
#ifndef EMBMON_TENSORBOARD_TAG_TABLE_H
#define EMBMON_TENSORBOARD_TAG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/carry.h"

enum {
    TAG_BYTES_MAX = 1024, /* a tag is a prefix, a layer's path and a variable's name */
    TAGS_MAX = 1 << 18,
    TAG_ENTRY_BYTES = 128, /* that a tag takes here besides its name, at most */
};

struct tag_table; /* opaque */

struct tag {
    const char *name;  /* owned by the table */
    int64_t last_step; /* -1: no value yet */
    bool described;    /* its metadata is in the current file */
};

/* NULL when out of memory. */
struct tag_table *tag_table_new(void);
void tag_table_free(struct tag_table *tags);

/* The tag of these n bytes, or NULL. Borrowed until tag_table_free(). */
struct tag *tag_table_find(const struct tag_table *tags, const char *name, size_t n);

/* The same, made when it is new. NULL: not a valid tag (1 ... TAG_BYTES_MAX bytes of UTF-8 without
 * control characters), too many, or out of memory. */
struct tag *tag_table_need(struct tag_table *tags, const char *name, size_t n);

/* Calls each(context, name, last step) for the tags that have a value, in the order they came. */
void tag_table_each(const struct tag_table *tags,
                    void (*each)(void *context, const char *tag, int64_t last_step), void *context);

/* Another file begins: no tag's metadata is in it. */
void tag_table_begin(struct tag_table *tags);

/* Over a restart: the last steps. Whatever file comes next has no tag's metadata. */
void tag_table_carry(struct carry *c, struct tag_table *tags);

#endif
