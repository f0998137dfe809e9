#include "daemon/carried.h"

#include <stdlib.h>

static void carry_span(struct carry *c, struct summary_span *span)
{
    size_t length = carry_count(c, span->length, BUCKETS);

    carry_u32(c, &span->first, BUCKETS - 1);
    if (c->loading) {
        span->counts = carry_room(c, length, sizeof *span->counts);
        span->length = span->capacity = span->counts ? (uint32_t)length : 0;
    }
    for (uint32_t i = 0; i < span->length; i++)
        carry_u64(c, &span->counts[i]);
}

void summary_carry(struct carry *c, struct summary *s)
{
    carry_u64(c, &s->count);
    carry_u64(c, &s->parts);
    carry_u64(c, &s->zeros);
    carry_u64(c, &s->nans);
    carry_u64(c, &s->positive_infinities);
    carry_u64(c, &s->negative_infinities);
    carry_f64(c, &s->min);
    carry_f64(c, &s->max);
    carry_f64(c, &s->sum);
    carry_f64(c, &s->absolute_sum);
    carry_f64(c, &s->square_sum);
    carry_span(c, &s->negative);
    carry_span(c, &s->positive);
    carry_u32(c, &s->extra_count, SUMMARY_EXTRAS_MAX);
    for (uint32_t i = 0; i < s->extra_count; i++) {
        carry_u32(c, &s->extras[i].key, EXTRA_KEY_MAX);
        carry_f64(c, &s->extras[i].value);
    }
    if (c->loading && !c->problem) {
        const char *problem = summary_check(s);

        if (problem)
            carry_fail(c, problem);
    }
}

static void carry_examples(struct carry *c, struct ids_stats *s)
{
    carry_f64(c, &s->worst);
    carry_u64(c, &s->worst_position);
    carry_u64(c, &s->fractional);
    carry_f64(c, &s->fractional_value);
    carry_u64(c, &s->fractional_position);
    carry_u64(c, &s->inexact);
    carry_f64(c, &s->inexact_value);
    carry_u64(c, &s->inexact_position);
}

static void carry_sequences(struct carry *c, struct ids_stats *s)
{
    carry_u64(c, &s->padded);
    carry_u64(c, &s->leading);
    carry_u64(c, &s->trailing);
    carry_u64(c, &s->full);
    carry_u64(c, &s->empty);
    carry_u64(c, &s->empty_sequence);
    carry_u64(c, &s->length_min);
    carry_u64(c, &s->length_max);
    carry_u64(c, &s->varied);
    carry_u64(c, &s->masked);
    carry_u64(c, &s->mismatched);
    carry_u64(c, &s->mismatch_position);
}

void ids_stats_carry(struct carry *c, struct ids_stats *s)
{
    carry_u64(c, &s->count);
    carry_u64(c, &s->sequences);
    carry_u64(c, &s->sequence_length);
    carry_u64(c, &s->negative);
    carry_u64(c, &s->beyond);
    carry_examples(c, s);
    carry_sequences(c, s);
    carry_u64(c, &s->unique);
    carry_u64(c, &s->unique_error);
    carry_u64(c, &s->busiest_error);
    carry_u64(c, &s->rows_seen);
    carry_u32(c, &s->busiest_count, IDS_BUSIEST_MAX);
    for (uint32_t i = 0; i < s->busiest_count; i++) {
        carry_i64(c, &s->busiest[i].id);
        carry_u64(c, &s->busiest[i].count);
    }
}
