#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "client/gather.h"
#include "tests/unit/random.h"

enum { MOST = 100000 };

/* Whole numbers: their sums are exact in any order. */
static void fill(float *values, double *sums, size_t n)
{
    uint64_t seed = 1;

    for (size_t i = 0; i < n; i++) {
        values[i] = (float)random_below(&seed, 1000) - 300;
        sums[i] = (double)random_below(&seed, 100000);
    }
}

static void must_be_equal(const struct tally *t, const struct tally *wanted)
{
    static uint64_t counts[2][BUCKETS];
    struct summary s[2];

    tally_moments(t, &s[0]);
    tally_moments(wanted, &s[1]);
    assert_memory_equal(&s[0], &s[1], sizeof s[0]);
    for (int negative = 0; negative <= 1; negative++) {
        uint32_t first[2], length[2];

        tally_span(t, negative, &first[0], &length[0]);
        tally_span(wanted, negative, &first[1], &length[1]);
        assert_int_equal(first[0], first[1]);
        assert_int_equal(length[0], length[1]);
        tally_counts(t, negative, first[0], length[0], counts[0]);
        tally_counts(wanted, negative, first[0], length[0], counts[1]);
        assert_memory_equal(counts[0], counts[1], length[0] * sizeof counts[0][0]);
    }
}

/* What is written where there is room is what was added, and only then. */
static void sums_may_be_written_where_there_is_room(void **state)
{
    static float values[MOST];
    static double sums[MOST];
    static struct gather gathers[2];
    static struct tally t, wanted;

    (void)state;
    fill(values, sums, MOST);
    tally_start(&t);
    tally_start(&wanted);
    gather_start(&gathers[0], &t, EMBMON_F32);
    gather_start(&gathers[1], &wanted, EMBMON_F32);
    for (size_t at = 0, n = 1; at + n <= MOST; at += n, n = n * 7 % 1500) {
        double *room = gather_room(&gathers[0], n);

        assert_true(!room || n <= GATHER_BYTES / 2 / sizeof *room);
        if (room) {
            memset(room, 0xff, n * sizeof *room); /* nobody took it */
            assert_ptr_equal(gather_room(&gathers[0], n), room);
            memcpy(room, sums + at, n * sizeof *room);
            gather_took(&gathers[0], n);
        } else {
            gather_sum(&gathers[0], sums + at, n);
        }
        gather_sum(&gathers[1], sums + at, n);
    }
    gather_end(&gathers[0]);
    gather_end(&gathers[1]);
    must_be_equal(&t, &wanted);
}

/* Rows of up to `longest` elements, of both kinds in turns, are what they are in one piece each. */
static void must_gather(size_t n, size_t longest)
{
    static float values[MOST];
    static double sums[MOST];
    static struct gather gather;
    static struct tally t, wanted;
    uint64_t seed = n + longest;
    size_t at[2] = {0, 0};

    fill(values, sums, n);
    tally_start(&wanted);
    tally_add(&wanted, values, n, EMBMON_F32);
    tally_add(&wanted, sums, n, EMBMON_F64);
    tally_start(&t);
    gather_start(&gather, &t, EMBMON_F32);
    while (at[0] < n || at[1] < n) {
        size_t which = random_below(&seed, 2), length = random_below(&seed, longest + 1);

        length = length > n - at[which] ? n - at[which] : length;
        if (which == 0)
            gather_given(&gather, values + at[0], length);
        else
            gather_sum(&gather, sums + at[1], length);
        at[which] += length;
    }
    gather_end(&gather);
    assert_null(t.tables);
    must_be_equal(&t, &wanted);
}

static void rows_of_any_length_are_gathered(void **state)
{
    (void)state;
    must_gather(0, 10);
    must_gather(1, 1);
    must_gather(100, 16);
    must_gather(3000, 64);
    must_gather(20000, 1);
    must_gather(MOST, 64);
    must_gather(MOST, 1500); /* of f64 some are longer than half a piece */
    must_gather(MOST, 30000);
}

/* To the last byte of a piece. */
static void a_piece_is_filled_up(void **state)
{
    enum { ROW = 64, ROWS = GATHER_BYTES / sizeof(float) / ROW };
    static float values[ROW * (ROWS + 1)];
    static double sums[ROW];
    static struct gather gather;
    static struct tally t, wanted;

    (void)state;
    fill(values, sums, ROW);
    for (size_t i = 0; i < ROW * (ROWS + 1); i++)
        values[i] = (float)i;
    tally_start(&wanted);
    tally_add(&wanted, values, ROW * (ROWS + 1), EMBMON_F32);
    tally_start(&t);
    gather_start(&gather, &t, EMBMON_F32);
    for (size_t row = 0; row < ROWS; row++)
        gather_given(&gather, values + row * ROW, ROW);
    assert_int_equal(t.count, 0);
    assert_null(t.tables);
    gather_given(&gather, values + ROWS * ROW, ROW);
    assert_int_equal(t.count, ROWS * ROW);
    gather_end(&gather);
    must_be_equal(&t, &wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_any_length_are_gathered),
        cmocka_unit_test(sums_may_be_written_where_there_is_room),
        cmocka_unit_test(a_piece_is_filled_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
