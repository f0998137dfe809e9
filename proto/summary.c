#include "proto/summary.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/counts.h"

/* Comparisons go through the bits: under denormals-are-zero, subnormals compare equal to zero. */
static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static bool is_finite(double value)
{
    return (bits_of(value) >> 52 & 0x7ff) != 0x7ff;
}

static bool is_zero(double value)
{
    return bits_of(value) << 1 == 0;
}

static bool is_negative(double value)
{
    return bits_of(value) >> 63 != 0 && !is_zero(value);
}

/* An integer in the order of the finite doubles; -0 and 0 are equal. */
static int64_t order_of(double value)
{
    int64_t magnitude = (int64_t)(bits_of(value) & INT64_MAX);

    return bits_of(value) >> 63 ? -magnitude : magnitude;
}

static double saturate(double value)
{
    if (is_finite(value))
        return value;
    return bits_of(value) >> 63 ? -DBL_MAX : DBL_MAX;
}

/* ---- spans ---- */

static bool span_reserve(struct summary_span *span, uint32_t length)
{
    uint32_t capacity = span->capacity + span->capacity / 2;
    uint64_t *counts;

    if (length <= span->capacity)
        return true;
    if (capacity < length)
        capacity = length;
    if (capacity > BUCKETS)
        capacity = BUCKETS;
    counts = realloc(span->counts, capacity * sizeof *counts);
    if (!counts)
        return false;
    span->counts = counts;
    span->capacity = capacity;
    return true;
}

/* The span that covers both; no counts. */
static struct summary_span span_union(const struct summary_span *a, const struct summary_span *b)
{
    struct summary_span all = {0};
    uint32_t a_end = a->first + a->length, b_end = b->first + b->length;

    if (a->length == 0 || b->length == 0) {
        all.first = a->length ? a->first : b->first;
        all.length = a->length + b->length;
        return all;
    }
    all.first = a->first < b->first ? a->first : b->first;
    all.length = (a_end > b_end ? a_end : b_end) - all.first;
    return all;
}

/* Makes room for all of it: capacity is there. */
static void span_widen(struct summary_span *span, const struct summary_span *all)
{
    uint32_t before = span->length ? span->first - all->first : 0;

    if (before > 0)
        memmove(span->counts + before, span->counts, span->length * sizeof *span->counts);
    memset(span->counts, 0, before * sizeof *span->counts);
    memset(span->counts + before + span->length, 0,
           (all->length - before - span->length) * sizeof *span->counts);
    span->first = all->first;
    span->length = all->length;
}

/* Capacity is there: this cannot fail. */
static void span_add(struct summary_span *into, const struct summary_span *from)
{
    struct summary_span all = span_union(into, from);

    if (from->length == 0)
        return;
    if (into->length == 0) { /* nearly always: the first rank of a step */
        memcpy(into->counts, from->counts, from->length * sizeof *from->counts);
        into->first = from->first;
        into->length = from->length;
        return;
    }
    if (all.length > into->length)
        span_widen(into, &all);
    counts_add(into->counts + (from->first - into->first), from->counts, from->length);
}

bool summary_set_span(struct summary_span *span, uint32_t first, const uint64_t *counts,
                      uint32_t length)
{
    uint32_t skip = 0;

    while (length > 0 && counts[length - 1] == 0)
        length--;
    while (skip < length && counts[skip] == 0)
        skip++;
    if (length == 0) {
        span->first = 0;
        span->length = 0;
        return true;
    }
    if (first > BUCKETS || length > BUCKETS - first || !span_reserve(span, length - skip))
        return false;
    memmove(span->counts, counts + skip, (length - skip) * sizeof *counts);
    span->first = first + skip;
    span->length = length - skip;
    return true;
}

static uint64_t span_total(const struct summary_span *span)
{
    uint64_t any = 0;

    return counts_sum(span->counts, span->length, &any);
}

/* ---- extras ---- */

/* Where the key is, or belongs. */
static uint32_t extra_place(const struct summary *s, uint32_t key)
{
    uint32_t i = 0;

    while (i < s->extra_count && s->extras[i].key < key)
        i++;
    return i;
}

bool summary_set_extra(struct summary *s, uint32_t key, double value)
{
    uint32_t i = extra_place(s, key);

    if (key == 0)
        return false;
    if (i == s->extra_count || s->extras[i].key != key) {
        if (s->extra_count == SUMMARY_EXTRAS_MAX)
            return false;
        memmove(&s->extras[i + 1], &s->extras[i], (s->extra_count - i) * sizeof s->extras[0]);
        s->extra_count++;
        s->extras[i].key = key;
    }
    s->extras[i].value = value;
    return true;
}

double summary_extra(const struct summary *s, uint32_t key, double missing)
{
    uint32_t i = extra_place(s, key);

    return i < s->extra_count && s->extras[i].key == key ? s->extras[i].value : missing;
}

static bool takes_maximum(uint32_t key)
{
    return key == EXTRA_UNCOALESCED || key == EXTRA_COSINE || key == EXTRA_SPREAD ||
           key == EXTRA_BUCKET_ERROR;
}

static void add_extra(struct summary *into, const struct summary_extra *extra)
{
    double had = summary_extra(into, extra->key, 0), value = extra->value;

    if (!takes_maximum(extra->key))
        value = saturate(had + value);
    else if (order_of(had) > order_of(value))
        value = had;
    summary_set_extra(into, extra->key, value);
}

/* The keys of both fit; checked before anything is changed. */
static bool extras_fit(const struct summary *into, const struct summary *from)
{
    uint32_t count = into->extra_count;

    for (uint32_t i = 0; i < from->extra_count; i++) {
        uint32_t place = extra_place(into, from->extras[i].key);

        if (place == into->extra_count || into->extras[place].key != from->extras[i].key)
            count++;
    }
    return count <= SUMMARY_EXTRAS_MAX;
}

/* ---- the value ---- */

void summary_free(struct summary *s)
{
    free(s->negative.counts);
    free(s->positive.counts);
    memset(s, 0, sizeof *s);
}

void summary_clear(struct summary *s)
{
    struct summary_span negative = {0, 0, s->negative.counts, s->negative.capacity};
    struct summary_span positive = {0, 0, s->positive.counts, s->positive.capacity};

    memset(s, 0, sizeof *s);
    s->negative = negative;
    s->positive = positive;
}

static void add_moments(struct summary *into, const struct summary *from)
{
    if (summary_finite(from) == 0)
        return;
    if (summary_finite(into) == 0) {
        into->min = from->min;
        into->max = from->max;
    } else {
        if (order_of(from->min) < order_of(into->min))
            into->min = from->min;
        if (order_of(from->max) > order_of(into->max))
            into->max = from->max;
    }
    into->sum = saturate(into->sum + from->sum);
    into->absolute_sum = saturate(into->absolute_sum + from->absolute_sum);
    into->square_sum = saturate(into->square_sum + from->square_sum);
}

bool summary_add(struct summary *into, const struct summary *from)
{
    /* Every other count is part of `count`: where that does not wrap, none does. */
    if (from->count > UINT64_MAX - into->count || from->parts > UINT64_MAX - into->parts)
        return false;
    if (!extras_fit(into, from) ||
        !span_reserve(&into->negative, span_union(&into->negative, &from->negative).length) ||
        !span_reserve(&into->positive, span_union(&into->positive, &from->positive).length))
        return false;
    add_moments(into, from); /* before the counts, which say whether into had anything finite */
    into->count += from->count;
    into->parts += from->parts;
    into->zeros += from->zeros;
    into->nans += from->nans;
    into->positive_infinities += from->positive_infinities;
    into->negative_infinities += from->negative_infinities;
    span_add(&into->negative, &from->negative);
    span_add(&into->positive, &from->positive);
    for (uint32_t i = 0; i < from->extra_count; i++)
        add_extra(into, &from->extras[i]);
    return true;
}

/* ---- the invariants ---- */

static const char *check_span(const struct summary_span *span)
{
    if (span->length == 0)
        return span->first == 0 ? NULL : "an empty span does not begin at 0";
    if (span->first >= BUCKETS || span->length > BUCKETS - span->first)
        return "a span reaches beyond the bucket table";
    if (span->counts[0] == 0 || span->counts[span->length - 1] == 0)
        return "a span has a zero count at an end";
    return NULL;
}

static bool counts_add_up(const struct summary *s)
{
    uint64_t any = s->zeros | s->nans | s->positive_infinities | s->negative_infinities;
    uint64_t in_spans = counts_sum(s->negative.counts, s->negative.length, &any) +
                        counts_sum(s->positive.counts, s->positive.length, &any);
    unsigned __int128 total = s->zeros;

    if (any >> 48 == 0) /* some thousands of them cannot wrap */
        return s->zeros + summary_nonfinite(s) + in_spans == s->count;
    total += s->nans;
    total += s->positive_infinities;
    total += s->negative_infinities;
    for (uint32_t i = 0; i < s->negative.length; i++)
        total += s->negative.counts[i];
    for (uint32_t i = 0; i < s->positive.length; i++)
        total += s->positive.counts[i];
    return total == s->count;
}

static const char *check_moments(const struct summary *s)
{
    if (!is_finite(s->min) || !is_finite(s->max) || !is_finite(s->sum) ||
        !is_finite(s->absolute_sum) || !is_finite(s->square_sum))
        return "a moment is not finite";
    if (is_negative(s->absolute_sum) || is_negative(s->square_sum))
        return "a sum of absolute values or of squares is negative";
    if (order_of(s->min) > order_of(s->max))
        return "min is greater than max";
    if (summary_finite(s) == 0 && !(is_zero(s->min) && is_zero(s->max) && is_zero(s->sum) &&
                                    is_zero(s->absolute_sum) && is_zero(s->square_sum)))
        return "a moment is not 0 though no element is finite";
    return NULL;
}

static const char *check_extras(const struct summary *s)
{
    uint32_t last = 0;

    if (s->extra_count > SUMMARY_EXTRAS_MAX)
        return "there are too many extras";
    for (uint32_t i = 0; i < s->extra_count; i++) {
        if (s->extras[i].key <= last)
            return "the extras' keys do not ascend from 1";
        if (s->extras[i].key > EXTRA_KEY_MAX)
            return "an extra has an unknown key";
        if (!is_finite(s->extras[i].value) || is_negative(s->extras[i].value))
            return "an extra is negative or not finite";
        last = s->extras[i].key;
    }
    return NULL;
}

const char *summary_check(const struct summary *s)
{
    const char *problem = check_span(&s->negative);

    if (!problem)
        problem = check_span(&s->positive);
    if (!problem && !counts_add_up(s))
        problem = "the counts do not add up to count";
    if (!problem && s->parts == 0 && s->count > 0)
        problem = "there are elements but no parts";
    if (!problem)
        problem = check_moments(s);
    if (!problem)
        problem = check_extras(s);
    if (!problem && s->parts == 0 && s->extra_count > 0)
        problem = "there are extras but no parts";
    return problem;
}

/* ---- what is read from it ---- */

uint64_t summary_nonfinite(const struct summary *s)
{
    return s->nans + s->positive_infinities + s->negative_infinities;
}

uint64_t summary_finite(const struct summary *s)
{
    return s->count - summary_nonfinite(s);
}

double summary_norm(const struct summary *s, bool sharded)
{
    if (s->parts == 0)
        return 0;
    return sqrt(sharded ? s->square_sum : s->square_sum / (double)s->parts);
}

double summary_rms(const struct summary *s)
{
    uint64_t n = summary_finite(s);

    return n == 0 ? 0 : sqrt(s->square_sum / (double)n);
}

/* The magnitude below which `rank` of the span's elements lie. A rank between two buckets belongs
 * to the lower one, or with `upper` to the upper one: seen from the smallest value, a quantile is
 * in both signs the first bucket that brings the count to q * n. */
static double span_magnitude(const struct summary_span *span, double rank, bool upper)
{
    double below = 0;

    for (uint32_t i = 0; i < span->length; i++) {
        double count = (double)span->counts[i], end = below + count;

        if (count > 0 && (rank < end || (rank <= end && !upper) || i + 1 == span->length)) {
            double low = bucket_low(span->first + i), high = bucket_low(span->first + i + 1);

            return low + (rank - below) / count * (high - low);
        }
        below = end;
    }
    return 0;
}

double summary_quantile(const struct summary *s, double q)
{
    double negatives = (double)span_total(&s->negative);
    double n = (double)summary_finite(s), rank = q * n, value = 0;

    if (summary_finite(s) == 0)
        return NAN;
    if (!(q > 0))
        return s->min;
    if (q >= 1)
        return s->max;
    if (rank <= negatives && negatives > 0)
        value = -span_magnitude(&s->negative, negatives - rank, true);
    else if (rank > negatives + (double)s->zeros)
        value = span_magnitude(&s->positive, rank - negatives - (double)s->zeros, false);
    if (order_of(value) < order_of(s->min))
        return s->min;
    return order_of(value) > order_of(s->max) ? s->max : value;
}

size_t summary_bytes(const struct summary *s)
{
    return sizeof *s +
           ((size_t)s->negative.capacity + s->positive.capacity) * sizeof *s->negative.counts;
}
