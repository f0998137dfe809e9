#include "daemon/tensorboard/histogram.h"

#include <math.h>
#include <string.h>

/* The line of all bucket edges, most negative first: place p stands for the edge
 * sign(p) * bucket_low(|p|), place 0 for zero itself. A positive bucket i lies between the places i
 * and i + 1, a negative one between -(i + 1) and -i, and the zeros on the place 0. */
enum { QUANTILES = 31, STEPS = 31, ZERO_SHARE = 1024 };
/* Both ends, the inner quantiles and steps, one edge on either side of zero. */
enum { MARKS = 2 + QUANTILES + (STEPS - 1) + 2 };
_Static_assert((int)MARKS <= (int)HISTOGRAM_BUCKETS_MAX + 1, "too many edges");

struct line {
    const struct summary *s;
    int first, last; /* places around all that is occupied */
    uint64_t total;
    /* Elements left of the places around each sign's buckets. Between the two signs lie up to 4,080
     * places with nothing but the zeros: they are stepped over. */
    uint64_t left_of_negative[BUCKETS + 1], left_of_positive[BUCKETS + 1];
    int marks[MARKS]; /* edges chosen so far */
    size_t mark_count;
};

static double edge_at(int place)
{
    return place < 0 ? -bucket_low((uint32_t)-place) : bucket_low((uint32_t)place);
}

/* The place at or next to x towards zero. */
static int place_of(double x)
{
    float magnitude = (float)fmin(fabs(x), 0x1p128);
    uint32_t bits;

    memcpy(&bits, &magnitude, sizeof bits);
    return x < 0 ? -(int)(bits >> BUCKET_SHIFT) : (int)(bits >> BUCKET_SHIFT);
}

static uint64_t between(const struct summary *s, int place)
{
    const struct summary_span *span = place < 0 ? &s->negative : &s->positive;
    uint32_t index = (uint32_t)(place < 0 ? -place - 1 : place);

    return index >= span->first && index - span->first < span->length
               ? span->counts[index - span->first]
               : 0;
}

static void line_ends(struct line *line, const struct summary *s)
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
static void line_fill(struct line *line)
{
    const struct summary_span *n = &line->s->negative, *p = &line->s->positive;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < n->length; i++) {
        line->left_of_negative[i] = sum;
        sum += n->counts[n->length - 1 - i];
    }
    line->left_of_negative[n->length] = sum;
    sum += line->s->zeros;
    for (uint32_t i = 0; i < p->length; i++) {
        line->left_of_positive[i] = sum;
        sum += p->counts[i];
    }
    line->left_of_positive[p->length] = line->total = sum;
    line->mark_count = 0;
}

/* Elements left of a place from first to last; zeros are right of place 0. */
static uint64_t below(const struct line *line, int place)
{
    const struct summary_span *n = &line->s->negative, *p = &line->s->positive;

    if (place <= 0)
        return line
            ->left_of_negative[place <= -(int)n->first ? place - line->first : (int)n->length];
    return line->left_of_positive[place >= (int)p->first ? place - (int)p->first : 0];
}

/* The same, with the zeros where nothing is right of them. */
static uint64_t end_at(const struct line *line, int place)
{
    return place == line->last ? line->total : below(line, place);
}

/* The highest place with as many elements left of it. */
static int end_of_run(const struct line *line, int place)
{
    const struct summary_span *n = &line->s->negative, *p = &line->s->positive;
    int end = place;

    if (place > 0)
        end = place < (int)p->first ? (int)p->first : place;
    else if (place > -(int)n->first || n->length == 0)
        end = 0;
    return end < line->last ? end : line->last;
}

static void mark(struct line *line, int place)
{
    if (place > line->first && place < line->last)
        line->marks[line->mark_count++] = place;
}

static void mark_quantiles(struct line *line)
{
    int place = line->first;

    for (int k = 1; k <= QUANTILES; k++) {
        double target = (double)line->total * k / (QUANTILES + 1);

        while (place + 1 < line->last && (double)below(line, place + 1) <= target) {
            place = end_of_run(line, place + 1);
            if (place == line->last)
                place--;
        }
        /* The nearer edge of the bucket that the quantile is in. */
        double left = (double)below(line, place), right = (double)below(line, place + 1);

        mark(line, target - left <= right - target ? place : place + 1);
    }
}

static void mark_steps(struct line *line, double min, double max)
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
static void mark_zero(struct line *line, const struct summary *s)
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
static void add_bucket(struct histogram *h, double left, double right, uint64_t count)
{
    if (count == 0 && h->length > 0 && !(h->count[h->length - 1] > 0)) {
        h->right[h->length - 1] = right;
        return;
    }
    h->left[h->length] = left;
    h->right[h->length] = right;
    h->count[h->length++] = (double)count;
}

/* Ascending, each once. */
static void sort_marks(struct line *line)
{
    size_t kept = 0;

    for (size_t i = 0; i < line->mark_count; i++) {
        int place = line->marks[i];
        size_t at = kept;

        while (at > 0 && line->marks[at - 1] > place)
            at--;
        if (at > 0 && line->marks[at - 1] == place)
            continue;
        memmove(&line->marks[at + 1], &line->marks[at], (kept - at) * sizeof *line->marks);
        line->marks[at] = place;
        kept++;
    }
    line->mark_count = kept;
}

static void gather(struct line *line, struct histogram *h)
{
    int from = line->first;

    sort_marks(line);
    line->marks[line->mark_count++] = line->last;
    for (size_t i = 0; i < line->mark_count; i++) {
        int to = line->marks[i];

        add_bucket(h, edge_at(from), edge_at(to), end_at(line, to) - below(line, from));
        from = to;
    }
}

bool histogram_linear(const struct summary *s, struct histogram *h)
{
    struct line line;
    size_t last;

    h->length = 0;
    if (summary_finite(s) == 0)
        return false;
    line.s = s;
    line_ends(&line, s);
    if (!(s->min < s->max) || line.last - line.first < 2) {
        add_bucket(h, s->min, s->max, summary_finite(s));
        return true;
    }
    line_fill(&line);
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

/* ---- log10 */

/* What f32 has below it is in bucket 0, whose own edge has no logarithm. */
static double log_edge(uint32_t index)
{
    return log10(index > 0 ? bucket_low(index) : 0x1p-149);
}

static uint64_t of_magnitude(const struct summary *s, uint32_t index)
{
    return between(s, (int)index) + between(s, -(int)index - 1);
}

bool histogram_log10(const struct summary *s, struct histogram *h)
{
    const struct summary_span *n = &s->negative, *p = &s->positive;
    uint32_t first = BUCKETS, end = 0, merge = 1;

    h->length = 0;
    if (n->length > 0) {
        first = n->first;
        end = n->first + n->length;
    }
    if (p->length > 0) {
        first = p->first < first ? p->first : first;
        end = p->first + p->length > end ? p->first + p->length : end;
    }
    if (end <= first)
        return false;
    /* Groups begin at multiples of their size, so that edges stand still from step to step. */
    while ((end - 1) / merge - first / merge >= HISTOGRAM_BUCKETS_MAX)
        merge++;
    for (uint32_t from = first, to; from < end; from = to) {
        uint64_t count = 0;

        to = (from / merge + 1) * merge < end ? (from / merge + 1) * merge : end;
        for (uint32_t i = from; i < to; i++)
            count += of_magnitude(s, i);
        h->left[h->length] = h->length ? h->right[h->length - 1] : log_edge(from);
        h->right[h->length] = log_edge(to);
        h->count[h->length++] = (double)count;
    }
    return true;
}
