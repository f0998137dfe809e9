/* Counting two elements at once, at one level: the part of kernel_loop.h for the levels where it
 * pays, which define besides:
 *
 *     PACK(a, b)            signed 16 bits of two vectors as one of 8, what does not fit as the
 *                           next that does; in any order. Not defined: nothing else is, and there
 *                           is no counting of pairs
 *     MERGE(a, b)           upper half of each 32 bits of two vectors, as one of 16 bits, in any
 *                           order
 *     SUBTRACT(a, b)        of unsigned 16 bits, 0 where b is more
 *     MORE(a, b)            of unsigned 8 bits
 *     ANY_REACHES(a, b)     a is not less than b, in any of unsigned 8 bits
 *     COUNT(a)              how many of 8 bits have their highest one
 *
 * The order of elements within a group is nowhere asked for: who is paired with whom is all the
 * same.
 */
#ifndef PACK
#define PAIRS(suffix) NULL
#define FOLD_PAIRS    NULL
#else
#define PAIRS(suffix) LEVEL(pairs_##suffix)
#define FOLD_PAIRS    LEVEL(fold_pairs)

typedef VECTOR(uint16_t) LEVEL(words);
typedef VECTOR(uint8_t) LEVEL(bytes);

/* 2 * LANES elements by their upper 16 bits, f16 as f32: sign, exponent, and as much of the
 * mantissa as there is room for. */
INLINE LEVEL(words) LEVEL(upper)(const uint8_t *data, const int dtype)
{
    const size_t bytes = LANES * sizeof(uint32_t);
    LEVEL(bits) a, b;

    if (dtype == EMBMON_BF16)
        return (LEVEL(words))LEVEL(load)(data);
    LEVEL(load_pair)(&a, &b, data, dtype);
    if (dtype == EMBMON_F64) {
        a = HIGH_WORDS(a, b);
        b = HIGH_WORDS(LEVEL(load)(data + 2 * bytes), LEVEL(load)(data + 3 * bytes));
    }
    return MERGE(a, b);
}

/* Which of them are 0 or -0, in the same order. */
INLINE LEVEL(words) LEVEL(upper_zeros)(const uint8_t *data, const int dtype)
{
    const size_t bytes = LANES * sizeof(uint32_t);
    LEVEL(bits) a, b, c;

    if (dtype == EMBMON_BF16)
        return (LEVEL(words))(((LEVEL(words))LEVEL(load)(data) & INT16_MAX) == 0);
    LEVEL(load_pair)(&a, &b, data, dtype);
    if (dtype == EMBMON_F64) {
        a = LOW_WORDS(a, b) | (HIGH_WORDS(a, b) & INT32_MAX);
        b = LEVEL(load)(data + 2 * bytes);
        c = LEVEL(load)(data + 3 * bytes);
        b = LOW_WORDS(b, c) | (HIGH_WORDS(b, c) & INT32_MAX);
    } else {
        a &= INT32_MAX;
        b &= INT32_MAX;
    }
    return MERGE((LEVEL(bits))(a == 0), (LEVEL(bits))(b == 0));
}

/* The places of 4 * LANES elements; their magnitudes without the sign. */
INLINE LEVEL(bytes)
    LEVEL(places)(LEVEL(bytes) * magnitudes, const uint8_t *data, uint32_t base, const int dtype)
{
    const unsigned shift = kernel_upper_shift(dtype);
    const LEVEL(words) none = {0}, below = none + kernel_upper_base(base, dtype);
    LEVEL(words) a = LEVEL(upper)(data, dtype);
    LEVEL(words) b = LEVEL(upper)(data + 2 * LANES * kernel_bytes(dtype), dtype);
    LEVEL(bytes) signs = PACK(a, b);

    *magnitudes =
        PACK(SUBTRACT(a & INT16_MAX, below) >> shift, SUBTRACT(b & INT16_MAX, below) >> shift);
    return *magnitudes | (signs & 0x80);
}

/* ---- what is not as usual ----------------------------------------------------------------------
 */

/* Which have no place of a pair, by their places in the tables. */
INLINE LEVEL(bits) LEVEL(have_none)(LEVEL(bits) at, LEVEL(bits) is_zero, uint32_t base)
{
    const uint32_t lowest = base + KERNEL_PLACES_FROM;
    LEVEL(ints) above = (LEVEL(ints))((at & (BUCKET_TABLE - 1)) - (lowest + (uint32_t)INT32_MIN));

    return ~is_zero & (LEVEL(bits))(above >= INT32_MIN + KERNEL_PLACES_END - KERNEL_PLACES_FROM);
}

/* Of two vectors: those that have no place of a pair, and counts them in the tables. */
INLINE LEVEL(bits) LEVEL(without)(LEVEL(bits) a, LEVEL(bits) b, uint32_t base, kernel_tables tables,
                                  const int dtype)
{
    LEVEL(bits) at[2] = {a >> BUCKET_SHIFT, b >> BUCKET_SHIFT}, none[2] = {{0}, {0}}, is_zero;

    if (dtype == EMBMON_F64) {
        at[0] = LEVEL(places_f64)(&is_zero, a, b);
        none[0] = LEVEL(have_none)(at[0], is_zero, base);
    } else {
        none[0] = LEVEL(have_none)(at[0], (LEVEL(bits))((a & INT32_MAX) == 0), base);
        none[1] = LEVEL(have_none)(at[1], (LEVEL(bits))((b & INT32_MAX) == 0), base);
    }
    if (IS_ZERO(none[0] | none[1]))
        return none[0];
    for (size_t i = 0; i < (dtype == EMBMON_F64 ? LANES : 2 * LANES); i++)
        tables[i % KERNEL_TABLES][at[i / LANES][i % LANES]] +=
            (uint16_t)(none[i / LANES][i % LANES] & 1);
    return none[0] | none[1];
}

INLINE void LEVEL(add_zeros)(struct LEVEL(lanes) * l, LEVEL(bits) a, LEVEL(bits) b, const int dtype)
{
    LEVEL(bits) is_zero;

    if (dtype == EMBMON_F64) {
        (void)LEVEL(places_f64)(&is_zero, a, b);
        l->zeros -= is_zero;
    } else {
        l->zeros -= (LEVEL(bits))((a & INT32_MAX) == 0);
        l->zeros -= (LEVEL(bits))((b & INT32_MAX) == 0);
    }
}

INLINE void LEVEL(add_ends)(struct LEVEL(lanes) * l, LEVEL(bits) a, LEVEL(bits) b, const int dtype)
{
    if (dtype == EMBMON_F64) {
        LEVEL(add_ends_f64)(l, (LEVEL(wide_bits))a);
        LEVEL(add_ends_f64)(l, (LEVEL(wide_bits))b);
    } else {
        LEVEL(add_ends_f32)(l, a);
        LEVEL(add_ends_f32)(l, b);
    }
}

/* ---- a group -----------------------------------------------------------------------------------
 */

/* Writes the pairs of a group; true where it is to be looked at. */
INLINE bool LEVEL(pair_up)(uint8_t places[KERNEL_PAIRED], const uint8_t *data, uint32_t base,
                           LEVEL(bytes) edge, const int dtype)
{
    LEVEL(bytes) most = {0};

#pragma GCC unroll 8
    for (size_t i = 0; i < KERNEL_PAIRED; i += 4 * LANES) {
        LEVEL(bytes) magnitudes;
        LEVEL(bytes)
        some = LEVEL(places)(&magnitudes, data + i * kernel_bytes(dtype), base, dtype);

        memcpy(places + i, &some, sizeof some);
        most = MORE(most, magnitudes - KERNEL_PLACES_FROM); /* those without a place wrap */
    }
    return ANY_REACHES(most, edge);
}

/* The same where zeros are no reason to look, but counted in *zeros. */
INLINE bool LEVEL(pair_up_all)(uint8_t places[KERNEL_PAIRED], size_t *zeros, const uint8_t *data,
                               uint32_t base, const int dtype)
{
    const LEVEL(bytes) none = {0}, edge = none + (KERNEL_PLACES_END - KERNEL_PLACES_FROM);
    const LEVEL(bytes) apart = (LEVEL(bytes))LEVEL(load)(kernel_apart);
    const size_t bytes = kernel_bytes(dtype);
    LEVEL(bytes) most = {0};

    *zeros = 0;
#pragma GCC unroll 8
    for (size_t i = 0; i < KERNEL_PAIRED; i += 4 * LANES) {
        LEVEL(bytes) magnitudes, is_zero;
        LEVEL(bytes) some = LEVEL(places)(&magnitudes, data + i * bytes, base, dtype);

        is_zero = PACK(LEVEL(upper_zeros)(data + i * bytes, dtype),
                       LEVEL(upper_zeros)(data + (i + 2 * LANES) * bytes, dtype));
        some |= is_zero & apart;
        memcpy(places + i, &some, sizeof some);
        *zeros += COUNT(is_zero);
        most = MORE(most, (magnitudes - KERNEL_PLACES_FROM) & ~is_zero);
    }
    return ANY_REACHES(most, edge);
}

/* ends: least and greatest as well. */
INLINE void LEVEL(add_group)(struct LEVEL(lanes) * l, const uint8_t *data, const bool ends,
                             const int dtype)
{
    const size_t n = dtype == EMBMON_F64 ? LANES : 2 * LANES;
    LEVEL(bits) a, b;

#pragma GCC unroll 2
    for (size_t i = 0; i < KERNEL_PAIRED; i += n) {
        LEVEL(load_pair)(&a, &b, data + i * kernel_bytes(dtype), dtype);
        if (ends)
            LEVEL(add_ends)(l, a, b, dtype);
        if (dtype == EMBMON_F64) {
            LEVEL(add_up)(l, 0, (LEVEL(doubles))a);
            LEVEL(add_up)(l, 1, (LEVEL(doubles))b);
        } else {
            LEVEL(add_sums_f32)(l, a);
            LEVEL(add_sums_f32)(l, b);
        }
    }
}

/* ---- the loop ----------------------------------------------------------------------------------
 */

struct LEVEL(pairing) {
    const uint8_t *data;
    size_t left; /* elements */
    size_t at;   /* which of places is written next; the other one is to be counted */
    size_t zeros, skipped;
    _Alignas(64) uint8_t places[2][KERNEL_PAIRED];
};

/* Goes on to the end, or to a group that is to be looked at; from one that was, if `looked`. all:
 * zeros and ends are asked of each group, and only what is outside is left to be looked at.
 *
 * A group's pairs are counted while the next one's are made: what was written a moment ago as a
 * vector is slow to be read in parts. Nothing is called here: the sums stay in registers. */
INLINE void LEVEL(go_on)(struct LEVEL(lanes) * l, struct LEVEL(pairing) * p, kernel_pairs pairs,
                         const struct kernel_window *window, bool looked, const bool all,
                         const int dtype)
{
    const LEVEL(bytes) edge = (LEVEL(bytes)){0} + (uint8_t)(window->edge - KERNEL_PLACES_FROM);
    const size_t bytes = KERNEL_PAIRED * kernel_bytes(dtype);
    const uint32_t base = window->base;
    const uint8_t *data = p->data;
    size_t left = p->left, at = p->at, zeros = 0;
    struct LEVEL(lanes) own = *l; /* whose address nobody has */

    for (; left > 0; left -= KERNEL_PAIRED, data += bytes) {
#pragma GCC unroll 8
        for (size_t line = 0; line < bytes; line += 64)
            __builtin_prefetch(data + PREFETCH + line);
        if (all && LEVEL(all_zero)(data, dtype) && LEVEL(all_zero)(data + bytes / 2, dtype)) {
            p->skipped += KERNEL_PAIRED;
            continue;
        }
        if (all ? LEVEL(pair_up_all)(p->places[at], &zeros, data, base, dtype)
                : LEVEL(pair_up)(p->places[at], data, base, edge, dtype)) {
            if (!looked)
                break;
            looked = false;
        }
        p->zeros += zeros;
        LOADED_ANEW(data);
        LEVEL(add_group)(&own, data, all, dtype);
        at ^= 1;
        IN_MEMORY(p->places);
        kernel_count_pairs(pairs, p->places[at]);
    }
    *l = own;
    p->data = data;
    p->left = left;
    p->at = at;
}

/* At a group that is to be looked at. True: it is to be gone on from here. */
INLINE bool LEVEL(look)(struct LEVEL(lanes) * l, struct LEVEL(pairing) * p, kernel_tables tables,
                        struct kernel_window *window, const bool all, const int dtype)
{
    const size_t n = dtype == EMBMON_F64 ? LANES : 2 * LANES, bytes = n * kernel_bytes(dtype);
    LEVEL(bits) none = {0}, a, b;

    window->looked_at++;
    if (LEVEL(all_zero)(p->data, dtype) &&
        LEVEL(all_zero)(p->data + KERNEL_GROUP * kernel_bytes(dtype), dtype)) {
        p->skipped += KERNEL_PAIRED;
        p->data += KERNEL_PAIRED * kernel_bytes(dtype);
        p->left -= KERNEL_PAIRED;
        return false;
    }
    for (size_t i = 0; i < KERNEL_PAIRED / n; i++) {
        LEVEL(load_pair)(&a, &b, p->data + i * bytes, dtype);
        if (!all) {
            LEVEL(add_ends)(l, a, b, dtype);
            LEVEL(add_zeros)(l, a, b, dtype);
        }
        none |= LEVEL(without)(a, b, window->base, tables, dtype);
    }
    window->outside += !IS_ZERO(none);
    return true;
}

INLINE void LEVEL(scan_pairs)(struct kernel_sums *sums, const uint8_t *data, size_t n,
                              kernel_tables tables, kernel_pairs pairs,
                              struct kernel_window *window, const bool all, const int dtype)
{
    struct LEVEL(pairing) p = {.data = data, .left = n};
    struct LEVEL(lanes) lanes;
    bool looked = false;

    window->looked_at = window->outside = 0;
    LEVEL(clear)(&lanes);
    for (;;) {
        LEVEL(go_on)(&lanes, &p, pairs, window, looked, all, dtype);
        if (p.left == 0 || kernel_is_unfit(window, n - p.left))
            break;
        looked = LEVEL(look)(&lanes, &p, tables, window, all, dtype);
    }
    n -= p.left;
    window->taken = n;
    kernel_count_pairs(pairs, p.places[p.at ^ 1]);
    lanes.zeros[0] += (uint32_t)p.zeros;
    lanes.skipped = p.skipped;
    LEVEL(reduce)(sums, &lanes, n, dtype);
    sums->irregular |= kernel_take_zeros(tables) > 0;
}

/* ---- emptying ----------------------------------------------------------------------------------
 */

/* Clears a part of a row, eight vectors, which is added to the columns; returns its sum. */
INLINE uint32_t LEVEL(fold_row)(LEVEL(words) columns[8], uint8_t *row)
{
    const size_t bytes = LANES * sizeof(uint32_t);
    LEVEL(words) sum = {0}, none = {0}, some[8];
    LEVEL(bits) any = {0};
    uint32_t wide[LANES], total = 0;

#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        some[i] = (LEVEL(words))LEVEL(load)(row + i * bytes);
        any |= (LEVEL(bits))some[i];
    }
    if (IS_ZERO(any))
        return 0;
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        columns[i] += some[i];
        sum += some[i];
        memcpy(row + i * bytes, &none, sizeof none);
    }
    any = ((LEVEL(bits))sum & UINT16_MAX) + ((LEVEL(bits))sum >> 16);
    memcpy(wide, &any, sizeof wide);
#pragma GCC unroll 16
    for (size_t i = 0; i < LANES; i++)
        total += wide[i];
    return total;
}

/* No sum of places is beyond u16, for all pairs together are not. */
INLINE void LEVEL(fold)(kernel_pairs pairs, uint32_t counts[KERNEL_PLACES])
{
    const size_t part_counts = 8 * 2 * LANES;

    for (size_t part = 0; part < KERNEL_PLACES; part += part_counts) {
        LEVEL(words) columns[8] = {{0}};
        uint16_t sums[8 * 2 * LANES];

        for (size_t row = 0; row < KERNEL_PLACES; row++)
            counts[row] += LEVEL(fold_row)(columns, (uint8_t *)&pairs[row][part]);
#pragma GCC unroll 8
        for (size_t i = 0; i < 8; i++)
            memcpy(sums + i * 2 * LANES, &columns[i], sizeof columns[i]);
        for (size_t i = 0; i < part_counts; i++)
            counts[part + i] += sums[i];
    }
}

#define LOOPS(suffix, dtype)                                                                       \
    TARGET static void LEVEL(pairs_##suffix)(struct kernel_sums * sums, const void *data,          \
                                             size_t n, kernel_tables tables, kernel_pairs pairs,   \
                                             struct kernel_window *window)                         \
    {                                                                                              \
        if (window->edge == KERNEL_PLACES_FROM)                                                    \
            LEVEL(scan_pairs)(sums, data, n, tables, pairs, window, true, dtype);                  \
        else                                                                                       \
            LEVEL(scan_pairs)(sums, data, n, tables, pairs, window, false, dtype);                 \
    }
LOOPS(f32, EMBMON_F32)
LOOPS(f64, EMBMON_F64)
LOOPS(f16, EMBMON_F16)
LOOPS(bf16, EMBMON_BF16)
#undef LOOPS

TARGET static void LEVEL(fold_pairs)(kernel_pairs pairs, uint32_t counts[KERNEL_PLACES])
{
    LEVEL(fold)(pairs, counts);
}

#undef MERGE
#undef SUBTRACT
#undef PACK
#undef MORE
#undef ANY_REACHES
#undef COUNT
#endif
