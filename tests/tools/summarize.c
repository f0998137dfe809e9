/* Summarises the tensor on standard input as the client does, for a judge in another language:
 *
 *     summarize DTYPE [ftz] [level=N] <tensor
 *     summarize rows DTYPE ROWS COLUMNS <ids (i64) and values
 *     summarize cost DTYPE COUNT TIMES LEVEL [pairs]
 *
 * ftz: flush-to-zero and denormals-are-zero are set. level: of kernel.h; status 77 where the
 * processor does not have it. pairs: counted by pairs, if it pays. Prints one line: count zeros
 * nans +inf -inf min max sum absolute_sum square_sum, doubles in hexadecimal; then "-" or "+",
 * bucket and count for each bucket. With rows, first a line "looked_up touched". With cost,
 * nothing: whoever runs it counts instructions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/float_mode.h"
#include "client/rows.h"
#include "client/summarize.h"

static void set_ftz(void)
{
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)1 << 24) : "memory");
#endif
}

static int ftz_is_set(void)
{
#if defined(__x86_64__)
    return (_mm_getcsr() & 0x8040) == 0x8040;
#elif defined(__aarch64__)
    uint64_t control;

    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    return control >> 24 & 1;
#endif
}

static uint8_t *read_all(size_t *n)
{
    size_t capacity = 1 << 16;
    uint8_t *data = malloc(capacity);

    for (*n = 0; data;) {
        size_t got = fread(data + *n, 1, capacity - *n, stdin);

        *n += got;
        if (got == 0)
            break;
        if (*n == capacity)
            data = realloc(data, capacity *= 2);
    }
    return data;
}

static void print_span(const struct tally *t, bool negative)
{
    uint64_t counts[BUCKETS];
    uint32_t first, length;

    tally_span(t, negative, &first, &length);
    tally_counts(t, negative, first, length, counts);
    for (uint32_t i = 0; i < length; i++)
        if (counts[i])
            printf("%c %u %llu\n", negative ? '-' : '+', first + i, (unsigned long long)counts[i]);
}

static void print_tally(const struct tally *t)
{
    struct summary s;

    tally_moments(t, &s);
    printf("%llu %llu %llu %llu %llu %a %a %a %a %a\n", (unsigned long long)s.count,
           (unsigned long long)s.zeros, (unsigned long long)s.nans,
           (unsigned long long)s.positive_infinities, (unsigned long long)s.negative_infinities,
           s.min, s.max, s.sum, s.absolute_sum, s.square_sum);
    print_span(t, true);
    print_span(t, false);
}

/* A gradient as most are: from 2^-13 to 1, of both signs, no zeros; in f32, f64, f16 or bf16. */
static void fill(uint8_t *data, size_t count, enum embmon_dtype dtype)
{
    uint32_t random = 1;

    for (size_t i = 0; i < count; i++) {
        uint32_t exponent, bits;
        double wide;
        float value;
        uint16_t half;

        random = random * 1664525 + 1013904223;
        exponent = 126 - (random >> 28) % 13;
        bits = (random << 8 & 0x80000000) | exponent << 23 | (random >> 4 & 0x7fffff);
        memcpy(&value, &bits, sizeof value);
        wide = (double)value;
        half = (uint16_t)(dtype == EMBMON_BF16 ? bits >> 16
                                               : (bits >> 16 & 0x8000) | (exponent - 112) << 10 |
                                                     (bits >> 13 & 0x3ff));
        memcpy(data + i * dtype_size((int)dtype),
               dtype == EMBMON_F32   ? (void *)&bits
               : dtype == EMBMON_F64 ? (void *)&wide
                                     : (void *)&half,
               dtype_size((int)dtype));
    }
}

static int cost(enum embmon_dtype dtype, size_t count, int times, enum kernel_level level,
                bool by_pairs)
{
    struct pairs_boards boards = {NULL};
    uint8_t *data = aligned_alloc(64, (count * dtype_size((int)dtype) + 63) / 64 * 64);
    static uint64_t counts[BUCKETS];
    static struct tally t;

    if (!data || !dtype_is_float(dtype) || !kernel_at(level) || (by_pairs && !pairs_open(&boards)))
        return 77;
    fill(data, count, dtype);
    for (int i = 0; i < times; i++) {
        struct summary s;
        uint32_t first, length;

        tally_start(&t);
        t.kernel = kernel_at(level);
        t.pairs = pairs_take(&boards);
        tally_add(&t, data, count, dtype);
        pairs_give(t.pairs);
        tally_moments(&t, &s);
        for (int negative = 0; negative <= 1; negative++) {
            tally_span(&t, negative != 0, &first, &length);
            tally_counts(&t, negative != 0, first, length, counts);
        }
        if (s.count != count || s.zeros > 0 || length == 0)
            return 1;
    }
    pairs_close(&boards);
    free(data);
    return 0;
}

static int rows(enum embmon_dtype dtype, size_t count, size_t columns)
{
    static struct tally t;
    struct rows_scratch scratch;
    struct row_set set = {
        .id_dtype = EMBMON_I64, .dtype = dtype, .rows = count, .columns = columns};
    struct row_counts counts;
    size_t n;
    uint8_t *data = read_all(&n);

    if (!data || n != count * (8 + columns * dtype_size((int)dtype)))
        return 1;
    set.ids = data;
    set.values = data + count * 8;
    rows_scratch_open(&scratch);
    tally_start(&t);
    counts = rows_add_sparse(&t, &set, &scratch);
    printf("%llu %llu\n", (unsigned long long)counts.looked_up, (unsigned long long)counts.touched);
    print_tally(&t);
    rows_scratch_close(&scratch);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    static struct tally t;
    uint8_t *data;
    size_t n;
    int dtype;
    bool ftz = false;

    if ((argc == 6 || argc == 7) && strcmp(argv[1], "cost") == 0)
        return cost((enum embmon_dtype)atoi(argv[2]), (size_t)atol(argv[3]), atoi(argv[4]),
                    (enum kernel_level)atoi(argv[5]), argc == 7);
    if (argc == 5 && strcmp(argv[1], "rows") == 0)
        return rows((enum embmon_dtype)atoi(argv[2]), (size_t)atol(argv[3]), (size_t)atol(argv[4]));
    dtype = argc >= 2 ? atoi(argv[1]) : 0;
    if (dtype_size(dtype) == 0 || !(data = read_all(&n)))
        return 64;
    tally_start(&t);
    for (int i = 2; i < argc; i++)
        if (strncmp(argv[i], "level=", 6) == 0)
            t.kernel = kernel_at((enum kernel_level)atoi(argv[i] + 6));
        else
            ftz = strcmp(argv[i], "ftz") == 0;
    if (!t.kernel)
        return 77;
    if (ftz)
        set_ftz();
    tally_add(&t, data, n / dtype_size(dtype), (enum embmon_dtype)dtype);
    if (ftz && !ftz_is_set())
        return 2;
    print_tally(&t);
    free(data);
    return 0;
}
