/* The histogram for TensorBoard in the plain way, over every place between the outermost buckets:
 * what daemon/tensorboard/histogram.c, which steps over empty ones, is compared with. */
#ifndef EMBMON_TESTS_UNIT_PLAIN_HISTOGRAM_H
#define EMBMON_TESTS_UNIT_PLAIN_HISTOGRAM_H

#include <math.h>
#include <string.h>

#include "daemon/tensorboard/histogram.h"

/* Place p stands for the edge sign(p) * bucket_low(|p|), place 0 for zero itself. */
enum { PLACES = 2 * BUCKETS + 1 };

struct line {
    int first, last; /* places around all that is occupied */
    uint64_t
        below[PLACES]; /* below[p - first]: elements left of place p; zeros are right of place 0 */
    uint64_t total;
    bool marked[PLACES]; /* edges chosen so far, by p - first */
};

enum { QUANTILES = 31, STEPS = 31, ZERO_SHARE = 1024 };
/* Both ends, the inner quantiles and steps, one edge on either side of zero. */
_Static_assert(2 + QUANTILES + (STEPS - 1) + 2 <= HISTOGRAM_BUCKETS_MAX + 1, "too many edges");

static inline double edge_at(int place)
{
    return place < 0 ? -bucket_low((uint32_t)-place) : bucket_low((uint32_t)place);
}

/* The place at or next to x towards zero. */
static inline int place_of(double x)
{
    float magnitude = (float)fmin(fabs(x), 0x1p128);
    uint32_t bits;

    memcpy(&bits, &magnitude, sizeof bits);
    return x < 0 ? -(int)(bits >> BUCKET_SHIFT) : (int)(bits >> BUCKET_SHIFT);
}

static inline uint64_t between(const struct summary *s, int place)
{
    const struct summary_span *span = place < 0 ? &s->negative : &s->positive;
    uint32_t index = (uint32_t)(place < 0 ? -place - 1 : place);

    return index >= span->first && index - span->first < span->length
               ? span->counts[index - span->first]
               : 0;
}

static inline void line_ends(struct line *line, const struct summary *s)
{
    const struct summary_span *n = &s->negative, *p = &s->positive;

    if (n->length > 0)
        line->first = -(int)(n->first + n->length);
    else
        line->first = s->zeros > 0 ? 0 : (int)p->first;
    if (p->length > 0)
        line->last = (int)(p->first + p->length);
    else
        line->last = s->zeros > 0 ? 0 : -(int)n->first;
}

/* The ends are known. */
static inline void line_fill(struct line *line, const struct summary *s)
{
    uint64_t sum = 0;

    for (int place = line->first; place < line->last; place++) {
        line->below[place - line->first] = sum;
        sum += between(s, place) + (place == 0 ? s->zeros : 0);
    }
    line->below[line->last - line->first] = sum;
    line->total = sum + (line->last == 0 ? s->zeros : 0);
    memset(line->marked, 0, sizeof line->marked);
    line->marked[0] = true;
    line->marked[line->last - line->first] = true;
}

static inline void mark(struct line *line, int place)
{
    if (place > line->first && place < line->last)
        line->marked[place - line->first] = true;
}

static inline void mark_quantiles(struct line *line)
{
    int place = line->first;

    for (int k = 1; k <= QUANTILES; k++) {
        double target = (double)line->total * k / (QUANTILES + 1);

        while (place + 1 < line->last && (double)line->below[place + 1 - line->first] <= target)
            place++;
        /* The nearer edge of the bucket that the quantile is in. */
        double left = (double)line->below[place - line->first];
        double right = (double)line->below[place + 1 - line->first];

        mark(line, target - left <= right - target ? place : place + 1);
    }
}

static inline void mark_steps(struct line *line, double min, double max)
{
    for (int k = 1; k < STEPS; k++) {
        double share = (double)k / STEPS;
        double x = min * (1 - share) + max * share; /* max - min may overflow */
        int near = place_of(x), far = x < 0 ? near - 1 : near + 1;

        mark(line, fabs(x - edge_at(near)) <= fabs(edge_at(far) - x) ? near : far);
    }
}

/* Zeros get a bucket that is narrow on the page and, where the layout allows it, holds nothing
 * else: spread over the way to the next element they would read as values that nobody had. */
static inline void mark_zero(struct line *line, const struct summary *s)
{
    int place = place_of(fmax(-s->min, s->max) / ZERO_SHARE);

    if (s->zeros == 0)
        return;
    if (s->negative.length > 0 && (int)s->negative.first < place)
        place = (int)s->negative.first;
    if (s->positive.length > 0 && (int)s->positive.first < place)
        place = (int)s->positive.first;
    if (place < 1)
        place = 1;
    mark(line, place);
    mark(line, -place);
}

/* Neighbouring empty buckets become one: nothing is lost. */
static inline void add_bucket(struct histogram *h, double left, double right, uint64_t count)
{
    if (count == 0 && h->length > 0 && !(h->count[h->length - 1] > 0)) {
        h->right[h->length - 1] = right;
        return;
    }
    h->left[h->length] = left;
    h->right[h->length] = right;
    h->count[h->length++] = (double)count;
}

static inline void gather(const struct line *line, struct histogram *h)
{
    int from = line->first;

    for (int to = line->first + 1; to <= line->last; to++) {
        uint64_t end = to == line->last ? line->total : line->below[to - line->first];

        if (!line->marked[to - line->first])
            continue;
        add_bucket(h, edge_at(from), edge_at(to), end - line->below[from - line->first]);
        from = to;
    }
}

static inline bool plain_linear(const struct summary *s, struct histogram *h)
{
    struct line line;
    size_t last;

    h->length = 0;
    if (summary_finite(s) == 0)
        return false;
    line_ends(&line, s);
    if (!(s->min < s->max) || line.last - line.first < 2) {
        add_bucket(h, s->min, s->max, summary_finite(s));
        return true;
    }
    line_fill(&line, s);
    mark_quantiles(&line);
    mark_steps(&line, s->min, s->max);
    mark_zero(&line, s);
    gather(&line, h);
    last = h->length - 1;
    /* Above f32's range the outermost bucket's edge is short of the true one: the ends tell. */
    h->left[0] = fmin(s->min, h->right[0]);
    h->right[last] = fmax(s->max, h->left[last]);
    return true;
}

#endif
