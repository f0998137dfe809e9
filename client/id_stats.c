#include "client/id_stats.h"

#include <string.h>

#include "client/distinct.h"
#include "client/float_mode.h"
#include "client/id_plain.h"
#include "client/id_values.h"

enum { BLOCK = 512 };

/* Ids are taken in blocks that stay in the first cache. */
struct block {
    size_t first, n;     /* positions */
    int64_t id[BLOCK];   /* floats: truncated, and at most INT64_MIN ... INT64_MAX */
    double value[BLOCK]; /* floats as they came; not set for integers */
    bool padding[BLOCK];
    int64_t row[BLOCK]; /* the valid ones but the padding */
};

/* The sequence that is being read. */
struct sequence {
    size_t at;         /* places read */
    size_t padded;     /* of these */
    size_t first, end; /* its first id, and behind its last one; while at > padded */
};

struct pass {
    const struct id_batch *batch;
    struct ids_stats *stats;
    struct seen_rows *seen;
    uint64_t limit; /* of valid rows */
    bool is_float;
    double exact;   /* floats: from this magnitude on neighbours are the same */
    double outside; /* how far the worst id is outside so far */
    struct sequence sequence;
    struct distinct distinct;
    struct block block;
};

/* ---- loading ------------------------------------------------------------------------------------
 */

#define LOAD_INTEGERS(name, type)                                                                  \
    static void name(int64_t *ids, const uint8_t *data, size_t n)                                  \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            type id;                                                                               \
                                                                                                   \
            memcpy(&id, data + i * sizeof id, sizeof id);                                          \
            ids[i] = id;                                                                           \
        }                                                                                          \
    }
LOAD_INTEGERS(load_i8, int8_t)
LOAD_INTEGERS(load_i16, int16_t)
LOAD_INTEGERS(load_i32, int32_t)
LOAD_INTEGERS(load_i64, int64_t)
#undef LOAD_INTEGERS

static void note_fractional(struct pass *pass, size_t i)
{
    if (pass->stats->fractional++ == 0) {
        pass->stats->fractional_value = pass->block.value[i];
        pass->stats->fractional_position = pass->block.first + i;
    }
}

static void note_inexact(struct pass *pass, size_t i)
{
    if (pass->stats->inexact++ == 0) {
        pass->stats->inexact_value = pass->block.value[i];
        pass->stats->inexact_position = pass->block.first + i;
    }
}

static void load_floats(struct pass *pass, const uint8_t *data)
{
    struct block *b = &pass->block;

    dtype_load(b->value, data, b->n, pass->batch->dtype);
    for (size_t i = 0; i < b->n; i++) {
        double value = b->value[i];

        b->id[i] = id_truncated(value);
        if (id_is_fractional(value, b->id[i]))
            note_fractional(pass, i);
        if (id_magnitude(value) >= pass->exact && id_is_number(value))
            note_inexact(pass, i);
    }
}

static void load(struct pass *pass, const uint8_t *data)
{
    struct block *b = &pass->block;

    switch (pass->batch->dtype) {
    case EMBMON_I8:
        load_i8(b->id, data, b->n);
        break;
    case EMBMON_I16:
        load_i16(b->id, data, b->n);
        break;
    case EMBMON_I32:
        load_i32(b->id, data, b->n);
        break;
    case EMBMON_I64:
        load_i64(b->id, data, b->n);
        break;
    default:
        load_floats(pass, data);
    }
}

/* ---- range --------------------------------------------------------------------------------------
 */

/* An id that is no valid row. */
static void note_outside(struct pass *pass, size_t i)
{
    const struct block *b = &pass->block;
    struct ids_stats *s = pass->stats;
    double id = (double)b->id[i], outside;

    if (pass->is_float && !id_is_number(b->value[i]))
        return;
    if (pass->is_float && id_magnitude(b->value[i]) >= 0x1p63)
        id = b->value[i];
    if (b->id[i] < 0) {
        s->negative++;
        outside = -id;
    } else if (pass->batch->rows > 0) {
        s->beyond++;
        outside = id - ((double)pass->batch->rows - 1);
    } else {
        return;
    }
    if (outside > pass->outside) {
        pass->outside = outside;
        s->worst = id;
        s->worst_position = b->first + i;
    }
}

/* Collects the rows; returns how many there are. */
static size_t sort_out(struct pass *pass)
{
    struct block *b = &pass->block;
    size_t rows = 0, padded = 0;

    for (size_t i = 0; i < b->n; i++) {
        b->row[rows] = b->id[i];
        rows += (uint64_t)b->id[i] < pass->limit && !b->padding[i];
        padded += b->padding[i];
    }
    pass->stats->padded += padded;
    if (rows + padded < b->n)
        for (size_t i = 0; i < b->n; i++)
            if ((uint64_t)b->id[i] >= pass->limit && !b->padding[i])
                note_outside(pass, i);
    return rows;
}

static void count_rows(struct pass *pass, size_t n)
{
    const struct block *b = &pass->block;
    struct distinct *d = &pass->distinct;
    uint32_t known = d->used;
    uint64_t missed = d->missed;

    distinct_add(d, b->row, n);
    if (!pass->seen)
        return;
    for (uint32_t i = known; i < d->used; i++)
        seen_mark(pass->seen, (uint64_t)d->places[i].id);
    for (size_t i = 0; d->missed > missed && i < n; i++)
        seen_mark(pass->seen, (uint64_t)b->row[i]);
}

/* ---- padding ------------------------------------------------------------------------------------
 */

static void find_padding(struct pass *pass)
{
    struct block *b = &pass->block;

    if (!pass->batch->has_padding) {
        memset(b->padding, 0, b->n);
        return;
    }
    for (size_t i = 0; i < b->n; i++)
        b->padding[i] = b->id[i] == pass->batch->padding_id;
}

static void compare_mask(struct pass *pass)
{
    const struct block *b = &pass->block;
    const uint8_t *mask = pass->batch->mask + b->first;
    struct ids_stats *s = pass->stats;
    size_t mismatched = 0;

    for (size_t i = 0; i < b->n; i++)
        mismatched += (mask[i] == 0) != b->padding[i];
    if (mismatched > 0 && s->mismatched == 0) {
        size_t i = 0;

        while ((mask[i] == 0) == b->padding[i])
            i++;
        s->mismatch_position = b->first + i;
    }
    s->mismatched += mismatched;
}

static void end_sequence(struct pass *pass)
{
    struct sequence *q = &pass->sequence;
    struct ids_stats *s = pass->stats;
    uint64_t length = q->at - q->padded;

    if (length == 0) {
        if (s->empty++ == 0)
            s->empty_sequence = s->sequences;
    } else {
        s->leading += q->first > 0;
        s->trailing += q->end < q->at;
        s->full += q->padded == 0;
        if (s->length_max == 0 || length < s->length_min)
            s->length_min = length;
        if (length > s->length_max)
            s->length_max = length;
    }
    s->sequences++;
    *q = (struct sequence){0};
}

/* A piece of the present sequence. */
static void add_piece(struct sequence *q, const bool *padding, size_t n)
{
    size_t first = 0, end = n, padded = 0;

    for (size_t i = 0; i < n; i++)
        padded += padding[i];
    if (padded < n) {
        while (padding[first])
            first++;
        while (padding[end - 1])
            end--;
        if (q->at == q->padded)
            q->first = q->at + first;
        q->end = q->at + end;
    }
    q->at += n;
    q->padded += padded;
}

static void add_sequences(struct pass *pass)
{
    const struct block *b = &pass->block;
    size_t length = pass->batch->sequence_length;

    for (size_t i = 0; i < b->n;) {
        size_t left = length - pass->sequence.at;
        size_t n = left < b->n - i ? left : b->n - i;

        add_piece(&pass->sequence, b->padding + i, n);
        if (pass->sequence.at == length)
            end_sequence(pass);
        i += n;
    }
}

/* A sequence of one id has no sides. */
static void add_singles(struct pass *pass)
{
    const struct block *b = &pass->block;
    struct ids_stats *s = pass->stats;
    size_t padded = 0;

    for (size_t i = 0; i < b->n; i++)
        padded += b->padding[i];
    if (padded > 0 && s->empty == 0) {
        const bool *first = memchr(b->padding, true, b->n);

        s->empty_sequence = b->first + (size_t)(first - b->padding);
    }
    if (padded < b->n)
        s->length_min = s->length_max = 1;
    s->empty += padded;
    s->full += b->n - padded;
    s->sequences += b->n;
}

/* Sequences whose bytes are not those of the first. Short ones are compared in registers. */
static uint64_t count_varied(const struct id_batch *batch, uint64_t sequences)
{
    const uint8_t *first = batch->ids;
    size_t bytes = batch->sequence_length * dtype_size(batch->dtype);
    uint64_t varied = 0;

#define COMPARE(bytes)                                                                             \
    for (uint64_t i = 1; i < sequences; i++)                                                       \
        varied += memcmp(first, first + i * (bytes), bytes) != 0;
    if (bytes == 4) {
        COMPARE(4)
    } else if (bytes == 8) {
        COMPARE(8)
    } else {
        COMPARE(bytes)
    }
#undef COMPARE
    return varied;
}

/* ---- the pass -----------------------------------------------------------------------------------
 */

/* Not inlined: it runs under the default floating-point mode (float_mode.h). */
__attribute__((noinline)) static void take_blocks(struct pass *pass)
{
    const struct id_batch *batch = pass->batch;
    const uint8_t *data = batch->ids;
    struct block *b = &pass->block;

    for (b->first = 0; b->first < batch->count; b->first += b->n) {
        b->n = batch->count - b->first < BLOCK ? batch->count - b->first : BLOCK;
        load(pass, data + b->first * dtype_size(batch->dtype));
        find_padding(pass);
        count_rows(pass, sort_out(pass));
        if (batch->mask && batch->has_padding)
            compare_mask(pass);
        if (batch->sequence_length == 1)
            add_singles(pass);
        else if (batch->sequence_length > 1)
            add_sequences(pass);
    }
}

static void take(struct pass *pass, const struct distinct_plan *plan, void *memory)
{
    struct float_mode mode = float_mode_enter();

    distinct_start(&pass->distinct, plan, memory);
    take_blocks(pass);
    float_mode_leave(mode);
    distinct_result(&pass->distinct, pass->stats);
}

/* On the stack: for few ids, and where the scratch is in use. */
__attribute__((noinline)) static void take_small(struct pass *pass, uint64_t possible)
{
    struct distinct_plan plan = distinct_plan(possible, ID_STATS_SMALL);
    _Alignas(DISTINCT_ALIGN)
        uint8_t memory[ID_STATS_SMALL * (sizeof(struct ids_busiest) + 2 * sizeof(uint32_t)) +
                       ID_STATS_SMALL / 2 * sizeof(uint64_t)];

    take(pass, &plan, memory);
}

static void take_ids(struct pass *pass, struct rows_scratch *scratch)
{
    const struct id_batch *batch = pass->batch;
    uint64_t possible = batch->count < pass->limit ? batch->count : pass->limit;
    struct distinct_plan plan = distinct_plan(possible, DISTINCT_MAX);
    void *memory = possible > ID_STATS_SMALL ? rows_scratch_take(scratch, plan.bytes) : NULL;

    if (memory) {
        take(pass, &plan, memory);
        rows_scratch_give(scratch, memory, plan.bytes);
    } else {
        take_small(pass, possible);
    }
}

void id_stats_take(struct ids_stats *stats, const struct id_batch *batch,
                   struct rows_scratch *scratch, struct seen_rows *seen)
{
    struct pass pass;

    memset(stats, 0, sizeof *stats);
    memset(&pass, 0, offsetof(struct pass, block)); /* the block is filled as it is used */
    pass.batch = batch;
    pass.stats = stats;
    pass.seen = seen;
    pass.limit = batch->rows > 0 ? batch->rows : INT64_MAX;
    pass.is_float = batch->dtype <= EMBMON_BF16;
    pass.exact = id_exact_below(batch->dtype);
    stats->count = batch->count;
    stats->sequence_length = batch->sequence_length;
    stats->masked = batch->mask ? batch->count : 0;
    if (!id_plain_take(stats, batch, scratch, seen))
        take_ids(&pass, scratch);
    stats->varied = count_varied(batch, stats->sequences);
    stats->rows_seen = seen ? seen_count(seen) : 0;
}
