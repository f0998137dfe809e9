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

enum { PLACES = 2 * BUCKETS + 1, WORD_BITS = 64 };

struct line {
    const struct summary *s;
    int first, last; /* places around all that is occupied */
    uint64_t total;
    /* Elements left of the places around each sign's buckets. Between the two signs lie up to 4,080
     * places with nothing but the zeros: they are stepped over. */
    uint64_t left_of_negative[BUCKETS + 1], left_of_positive[BUCKETS + 1];
    uint64_t
        marks[PLACES / WORD_BITS + 1]; /* edges chosen so far: a bit for each place from `first` */
};

static double edge_at(int place)
{
    return place < 0 ? -bucket_low((uint32_t)-place) : bucket_low((uint32_t)place);
}

/* The place at or next to x towards zero. */
static int place_of(double x)
{
    double wide = fabs(x);
    float magnitude = (float)(wide < 0x1p128 ? wide : 0x1p128); /* x is a number */
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

static size_t mark_words(const struct line *line)
{
    return (size_t)(line->last - line->first) / WORD_BITS + 1;
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
    memset(line->marks, 0, mark_words(line) * sizeof *line->marks);
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
    size_t at = (size_t)(place - line->first);

    if (place > line->first && place < line->last)
        line->marks[at / WORD_BITS] |= UINT64_C(1) << at % WORD_BITS;
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

/* The next edge to the right, with what is left of it. */
static void gather_to(const struct line *line, struct histogram *h, int place, uint64_t *left)
{
    double from = h->length ? h->right[h->length - 1] : edge_at(line->first);
    uint64_t until = end_at(line, place);

    add_bucket(h, from, edge_at(place), until - *left);
    *left = until;
}

static void gather(const struct line *line, struct histogram *h)
{
    uint64_t left = below(line, line->first);

    for (size_t w = 0; w < mark_words(line); w++)
        for (uint64_t word = line->marks[w]; word; word &= word - 1)
            gather_to(line, h, line->first + (int)(w * WORD_BITS) + __builtin_ctzll(word), &left);
    gather_to(line, h, line->last, &left);
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

/* Of a power of two and eighths of it, as all edges from 2^-126 on are: two numbers of a table, for
 * log10() takes a hundred instructions. What f32 has below it is in bucket 0, whose own edge has no
 * logarithm. */
static double log_edge(uint32_t index)
{
    static const double power = 0.301029995663981195214;
    static const double eighths[8] = {0,
                                      0.0511525224473812889488,
                                      0.0969100130080564143588,
                                      0.138302698166281455109,
                                      0.176091259055681242081,
                                      0.210853365314893183565,
                                      0.243038048686294440285,
                                      0.27300127206373765644};

    if (index < 8)
        return log10(index > 0 ? bucket_low(index) : 0x1p-149);
    return ((int)(index >> 3) - 127) * power + eighths[index & 7];
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
