/* What a tensor of ids says: counts, extremes and examples, small enough to send at every step.
 * Made by the client (client/id_stats.h) in one pass over what went into an embedding, added up
 * over ranks by the daemon. docs/PROTOCOL.md has the same fields.
 *
 * A position is an index into the flattened tensor; with a sequence length L it is sequence
 * position / L, place position % L. An id is a valid row when 0 <= id < rows, or 0 <= id where rows
 * are unknown; the padding is never out of range. Ids that come as floats are truncated toward zero
 * where a whole number is needed, as frameworks do.
 */
#ifndef EMBMON_PROTO_IDS_H
#define EMBMON_PROTO_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    IDS_BUSIEST_MAX = 8,
    IDS_WORDS_MAX = 10,  /* of the busiest, the worst id and the padding */
    IDS_WORD_BYTES = 64, /* of one word */
};

struct ids_busiest {
    int64_t id;
    uint64_t count; /* look-ups; wrong by at most busiest_error */
};

struct ids_stats {
    uint64_t count;
    uint64_t sequences;       /* count / sequence_length; 0: not sequences */
    uint64_t sequence_length; /* 0: not sequences; of several ranks the greatest */
    /* range */
    uint64_t negative, beyond; /* ids < 0, ids >= rows (0 where rows are unknown) */
    double worst;              /* the id farthest outside; meaningless while both are 0 */
    uint64_t worst_position;   /* of its first occurrence */
    /* values that are no ids: only floats have them */
    uint64_t fractional; /* with a fraction, or NaN, or infinite */
    double fractional_value;
    uint64_t fractional_position;
    uint64_t inexact; /* |id| from which the dtype cannot tell neighbours: f16 2^11, bf16 2^8, f32
                         2^24, f64 2^53 */
    double inexact_value;
    uint64_t inexact_position;
    /* padding, where the table declares one; a sequence's true length is its ids but the padding */
    uint64_t padded;                 /* positions */
    uint64_t leading, trailing;      /* sequences with padding before, after their first, last id */
    uint64_t full;                   /* sequences without any padding */
    uint64_t empty, empty_sequence;  /* sequences that are all padding; the first of them */
    uint64_t length_min, length_max; /* true lengths of the sequences that are not empty */
    uint64_t varied;                 /* sequences that differ from the first one */
    /* the mask */
    uint64_t masked;                        /* positions a mask was given for; 0: none */
    uint64_t mismatched, mismatch_position; /* its zeros are not exactly the padding */
    /* rows */
    uint64_t unique, unique_error; /* distinct valid ids but the padding; may be so many too few */
    uint64_t busiest_error;
    uint64_t
        rows_seen; /* distinct valid rows but the padding that this client has looked up since
                      the epoch of training began; 0: not counted (what was fed, other phases) */
    struct ids_busiest busiest[IDS_BUSIEST_MAX]; /* descending; the padding is left out */
    uint32_t busiest_count;
};

/* What an id stands for: text of 1 ... IDS_WORD_BYTES bytes. */
struct ids_word {
    int64_t id;
    const char *word;
};

/* NULL, or a static sentence on the first thing that contradicts itself. */
const char *ids_check(const struct ids_stats *s);

/* into += from; examples and the worst id are those of the worse one. unique, rows_seen: of several
 * ranks the sum is an upper bound, so the maximum is kept and unique_error grows by the other.
 * False: a count would wrap, into is unchanged. */
__attribute__((warn_unused_result)) bool ids_add(struct ids_stats *into,
                                                 const struct ids_stats *from);

#endif
