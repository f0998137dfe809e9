/* Structs to bytes and back. A struct that is kept over a restart has one function, noun_carry(),
 * which goes through its fields for both directions, so that what is written and what is read
 * cannot come to differ.
 *
 * Numbers are LEB128, floats the bits of their type, texts a length and their bytes. What is read
 * comes from a file that anybody may have damaged: every number has a ceiling, every count is
 * compared with the bytes that are left before memory is taken for it. After the first problem all
 * that is read is 0, so that a noun_carry() needs no checks of its own but of its indices. */
#ifndef EMBMON_DAEMON_CARRY_H
#define EMBMON_DAEMON_CARRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Long bytes that are not copied. */
struct carry_lent {
    size_t at; /* they belong before data[at] */
    const uint8_t *bytes;
    size_t n;
    uint32_t crc;
};

enum { CARRY_LENT_MAX = 2, CARRY_LENT_LEAST = 16 << 10, CARRY_PARTS_MAX = 2 * CARRY_LENT_MAX + 1 };

struct carry {
    bool loading, lends;
    const char *problem; /* static; NULL while all is well. The first one stays. */
    uint8_t *data;       /* saving: owned */
    size_t length, capacity, limit;
    struct carry_lent lent[CARRY_LENT_MAX]; /* saving: borrowed until carry_free() */
    size_t lent_count;
    const uint8_t *at, *end; /* loading: borrowed */
};

/* Begins to save, at most `limit` bytes; or to load from n bytes, which stay the caller's. */
void carry_save(struct carry *c, size_t limit);
void carry_load(struct carry *c, const uint8_t *data, size_t n);
void carry_free(struct carry *c);

/* From now on, saving: what carry_lend() is given stays where it is where that is worth it, and
 * data is not all: the parts of carry_parts() are. */
void carry_borrow(struct carry *c);
/* Saving: n bytes, which must not change before carry_free(), and their crc32c(). */
void carry_lend(struct carry *c, const uint8_t *bytes, size_t n, uint32_t crc);
/* All that was saved, in order: how many parts it has. Good until more is saved. */
size_t carry_parts(const struct carry *c, struct iovec parts[CARRY_PARTS_MAX]);

/* Notes what is wrong, unless something was before. */
void carry_fail(struct carry *c, const char *problem);

void carry_u64(struct carry *c, uint64_t *value);
void carry_u32(struct carry *c, uint32_t *value, uint32_t most);
void carry_size(struct carry *c, size_t *value, size_t most);
void carry_i64(struct carry *c, int64_t *value);
void carry_bool(struct carry *c, bool *value);
void carry_f64(struct carry *c, double *value);
void carry_f32(struct carry *c, float *value);
void carry_f64s(struct carry *c, double *values, size_t n);
void carry_bytes(struct carry *c, void *bytes, size_t n);

/* How many of something follow: `count` when saving, what was saved when loading. Each takes at
 * least one byte. */
size_t carry_count(struct carry *c, size_t count, size_t most);

/* Zeroed memory for what is loaded; NULL after a problem, or for 0 items. */
void *carry_room(struct carry *c, size_t count, size_t size);

/* A text of less than `room` bytes in place; one that is owned, of at most `most` bytes, which
 * replaces the one that is there. No text holds a NUL. */
void carry_text(struct carry *c, char *text, size_t room);
void carry_string(struct carry *c, char **text, size_t most);

#endif
