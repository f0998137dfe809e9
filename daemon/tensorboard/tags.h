/* The tags of a run: the last step of each, over all its event files, and whether the file that is
 * being written has the tag's metadata already. */
#ifndef EMBMON_TENSORBOARD_TAGS_H
#define EMBMON_TENSORBOARD_TAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TAG_BYTES_MAX = 1024, /* a tag is a prefix, a layer's path and a variable's name */
    TAGS_MAX = 1 << 18,
};

struct tags; /* opaque */

struct tag {
    const char *name;  /* owned by the table */
    int64_t last_step; /* -1: no value yet */
    bool described;    /* its metadata is in the current file */
};

/* NULL when out of memory. */
struct tags *tags_new(void);
void tags_free(struct tags *tags);

/* The tag of these n bytes, or NULL. Borrowed until tags_free(). */
struct tag *tags_find(const struct tags *tags, const char *name, size_t n);

/* The same, made when it is new. NULL: not a valid tag (1 ... TAG_BYTES_MAX bytes of UTF-8 without
 * control characters), too many, or out of memory. */
struct tag *tags_need(struct tags *tags, const char *name, size_t n);

/* Calls each(context, name, last step) for the tags that have a value, in the order they came. */
void tags_each(const struct tags *tags,
               void (*each)(void *context, const char *tag, int64_t last_step), void *context);

#endif
