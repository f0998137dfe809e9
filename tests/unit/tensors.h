/* Small tensors as summaries, by the client's own code. */
#ifndef EMBMON_TESTS_UNIT_TENSORS_H
#define EMBMON_TESTS_UNIT_TENSORS_H

#include "client/summarize.h"

/* The caller frees it with summary_free(). */
static inline struct summary tensor_of(const double *values, size_t n)
{
    static struct tally tally;
    static uint64_t counts[BUCKETS];
    struct summary s = {0};

    tally_start(&tally);
    tally_add(&tally, values, n, EMBMON_F64);
    tally_moments(&tally, &s);
    for (int negative = 0; negative <= 1; negative++) {
        struct summary_span *span = negative ? &s.negative : &s.positive;
        uint32_t first, length;

        tally_span(&tally, negative != 0, &first, &length);
        tally_counts(&tally, negative != 0, first, length, counts);
        assert_true(summary_set_span(span, first, counts, length));
    }
    assert_null(summary_check(&s));
    return s;
}

#define TENSOR(...)                                                                                \
    tensor_of((const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

#endif
