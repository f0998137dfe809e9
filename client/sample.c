#include "client/sample.h"

#include <math.h>
#include <string.h>

#include "client/float_mode.h"

enum {
    /* Strata whose lines one random number of 64 bits draws, 4 bits each. */
    DRAW = 16,

    /* Strata whose moments are taken before their lines are drawn, while they are near. */
    STRATA = 64,

    DRAWN_BYTES = 4 * STRATA * SAMPLE_LINE,
};
_Static_assert(STRATA % DRAW == 0 && SAMPLE_STRATUM / SAMPLE_LINE == 1 << 4, "4 bits a stratum");

struct sample {
    struct tally *tally;
    enum embmon_dtype dtype;
    uint64_t seed;
    size_t filled; /* of drawn */
    _Alignas(64) uint8_t drawn[DRAWN_BYTES];
    _Alignas(64) kernel_tables tables;
};

/* splitmix64 */
static uint64_t next_random(struct sample *s)
{
    uint64_t z = s->seed += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void count_drawn(struct sample *s)
{
    tally_add_part(s->tally, s->drawn, s->filled / dtype_size((int)s->dtype), s->dtype,
                   TALLY_COUNTS);
    s->filled = 0;
}

static void draw_lines(struct sample *s, const uint8_t *strata, size_t n)
{
    uint64_t random = 0;

    if (s->filled + n * SAMPLE_LINE > DRAWN_BYTES)
        count_drawn(s);
    for (size_t i = 0; i < n; i++) {
        if (i % DRAW == 0)
            random = next_random(s);
        memcpy(s->drawn + s->filled, strata + i * SAMPLE_STRATUM + (random & 15) * SAMPLE_LINE,
               SAMPLE_LINE);
        s->filled += SAMPLE_LINE;
        random >>= 4;
    }
}

static uint64_t counted_in(const struct tally *t)
{
    uint64_t sum = 0;

    for (uint32_t bucket = t->low; bucket < t->high; bucket++)
        sum += (uint64_t)t->narrow[bucket] + t->narrow[BUCKET_TABLE + bucket];
    return sum;
}

/* In proportion, and so that they add up: each bucket ends where its share of the total does. */
static void bring_up(struct tally *t, uint64_t counted, uint64_t total)
{
    uint64_t seen = 0, given = 0;

    for (size_t sign = 0; sign < 2; sign++)
        for (uint32_t bucket = t->low; bucket < t->high; bucket++) {
            uint32_t *count = &t->narrow[sign * BUCKET_TABLE + bucket];

            seen += *count;
            *count = (uint32_t)(seen * total / counted - given); /* all below 2^32 */
            given += *count;
        }
    t->narrow_filled = total;
}

/* Counts all after all: the sample is of too little. */
static void count_again(struct sample *s, const uint8_t *data, size_t n)
{
    s->tally->low = s->tally->high = 0;
    s->tally->narrow_filled = 0;
    tally_open_tables(s->tally, &s->tables);
    tally_add_part(s->tally, data, n, s->dtype, TALLY_COUNTS);
    tally_close_tables(s->tally);
}

/* n: elements of whole strata. True where it is the sample that was counted. */
static bool add_strata(struct sample *s, const uint8_t *data, size_t n)
{
    struct tally *t = s->tally;
    size_t size = dtype_size((int)s->dtype), strata = n * size / SAMPLE_STRATUM;
    uint64_t counted, total;
    double ends[2];

    tally_open_tables(t, &s->tables);
    for (size_t at = 0, taken; at < strata; at += taken) {
        const uint8_t *from = data + at * SAMPLE_STRATUM;

        taken = strata - at < STRATA ? strata - at : STRATA;
        tally_add_part(t, from, taken * SAMPLE_STRATUM / size, s->dtype, TALLY_MOMENTS);
        draw_lines(s, from, taken);
    }
    count_drawn(s);
    ends[0] = t->min; /* the histogram reaches as far as the elements */
    ends[1] = t->max;
    tally_add_part(t, ends, 2, EMBMON_F64, TALLY_COUNTS);
    tally_close_tables(t);
    counted = counted_in(t);
    total = t->count - t->zeros - t->nans - t->infinities[0] - t->infinities[1];
    if (counted < SAMPLE_LEAST) {
        count_again(s, data, n);
        return false;
    }
    bring_up(t, counted, total);
    return true;
}

/* Not inlined: it runs under the default floating-point mode (float_mode.h). */
__attribute__((noinline)) static double add(struct tally *t, const uint8_t *data, size_t n,
                                            enum embmon_dtype dtype, uint64_t seed)
{
    struct sample s;
    size_t size = dtype_size((int)dtype), per_stratum = SAMPLE_STRATUM / size;
    size_t head = (size_t)(-(uintptr_t)data % SAMPLE_LINE), strata;
    bool sampled;

    s.tally = t;
    s.dtype = dtype;
    s.seed = seed;
    s.filled = 0;
    head = head % size == 0 ? head / size : 0;
    strata = (n - head) / per_stratum;
    sampled = add_strata(&s, data + head * size, strata * per_stratum);
    tally_add(t, data, head, dtype);
    tally_add(t, data + (head + strata * per_stratum) * size, n - head - strata * per_stratum,
              dtype);
    return sampled ? 0.5 / sqrt((double)strata) : 0;
}

double sample_add(struct tally *t, const void *data, size_t n, enum embmon_dtype dtype,
                  uint64_t seed)
{
    struct float_mode mode;
    double error;

    if (n < SAMPLE_FROM || n > UINT32_MAX || !dtype_is_float(dtype)) {
        tally_add(t, data, n, dtype);
        return 0;
    }
    mode = float_mode_enter();
    error = add(t, data, n, dtype, seed);
    float_mode_leave(mode);
    return error;
}
