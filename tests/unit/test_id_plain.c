#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "client/distinct.h"
#include "client/id_plain.h"
#include "tests/unit/random.h"

static struct rows_scratch scratch;
static struct seen seen;

static int start(void **state)
{
    (void)state;
    return rows_scratch_open(&scratch) && seen_open(&seen) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    assert_int_equal(scratch.taken, 0);
    rows_scratch_close(&scratch);
    seen_close(&seen);
    return 0;
}

/* Is it taken; else nothing is written. */
static bool is_taken(const int64_t *ids, size_t n, struct id_batch batch)
{
    int32_t *narrow = calloc(n + 1, sizeof *narrow);
    struct ids_stats stats[2] = {{0}, {0}};
    bool found[2];

    assert_non_null(narrow);
    for (size_t i = 0; i < n; i++)
        narrow[i] = (int32_t)ids[i];
    batch.count = n;
    batch.ids = ids, batch.dtype = EMBMON_I64;
    found[0] = id_plain_take(&stats[0], &batch, &scratch, NULL);
    batch.ids = narrow, batch.dtype = EMBMON_I32;
    found[1] = id_plain_take(&stats[1], &batch, &scratch, NULL);
    assert_int_equal(found[0], found[1]);
    assert_memory_equal(&stats[0], &stats[1], sizeof stats[0]);
    if (!found[0])
        assert_memory_equal(&stats[0], &(struct ids_stats){0}, sizeof stats[0]);
    free(narrow);
    return found[0];
}

static void only_rows_and_the_padding_are_taken(void **state)
{
    const int64_t ids[] = {3, 9, 0, 4}, padded[] = {-1, 3, -1}, below[] = {-2, 3, -1};

    (void)state;
    assert_true(is_taken(ids, 4, (struct id_batch){.rows = 10}));
    assert_true(is_taken(ids, 4, (struct id_batch){.rows = 0}));
    assert_false(is_taken(ids, 4, (struct id_batch){.rows = 9}));
    assert_false(is_taken(padded, 3, (struct id_batch){.rows = 9}));
    assert_true(
        is_taken(padded, 3, (struct id_batch){.rows = 9, .has_padding = true, .padding_id = -1}));
    assert_false(
        is_taken(below, 3, (struct id_batch){.rows = 9, .has_padding = true, .padding_id = -1}));
    assert_false(is_taken(ids, 0, (struct id_batch){.rows = 9}));
}

static void without_scratch_it_is_left_to_others(void **state)
{
    const int64_t ids[] = {1, 2};
    void *all = rows_scratch_take(&scratch, ROWS_SCRATCH);

    (void)state;
    assert_non_null(all);
    assert_false(is_taken(ids, 2, (struct id_batch){.rows = 10}));
    rows_scratch_give(&scratch, all, ROWS_SCRATCH);
    assert_true(is_taken(ids, 2, (struct id_batch){.rows = 10}));
}

/* ---- as ids of any other dtype, which are taken one by one ---- */

/* Takes it with marks of its own, which may have some already. */
static struct ids_stats taken(const struct id_batch *batch, bool with_seen, uint64_t first)
{
    struct seen_rows *rows = with_seen ? seen_reserve(&seen, batch->rows) : NULL;
    struct ids_stats stats;

    if (with_seen) {
        assert_non_null(rows);
        seen_mark(rows, first);
    }
    id_stats_take(&stats, batch, &scratch, rows);
    assert_null(ids_check(&stats));
    return stats;
}

static void must_say_the_same(const int64_t *ids, struct id_batch batch, bool with_seen,
                              uint64_t first)
{
    enum { MOST = 8192 };
    static double plain[MOST];
    static uint8_t bytes[MOST * sizeof(int64_t) + 1];
    int32_t *narrow = malloc((batch.count + 1) * sizeof *narrow);
    struct ids_stats wanted, unused = {0};

    assert_non_null(narrow);
    for (size_t i = 0; i < batch.count; i++)
        plain[i] = (double)(narrow[i] = (int32_t)ids[i]);
    batch.ids = plain, batch.dtype = EMBMON_F64;
    wanted = taken(&batch, with_seen, first);
    memcpy(bytes + 1, ids, batch.count * sizeof *ids);
    batch.ids = bytes + 1, batch.dtype = EMBMON_I64;
    assert_true(batch.count == 0 || id_plain_take(&unused, &batch, &scratch, NULL));
    unused = taken(&batch, with_seen, first);
    assert_memory_equal(&unused, &wanted, sizeof wanted);
    batch.ids = narrow, batch.dtype = EMBMON_I32;
    unused = taken(&batch, with_seen, first);
    assert_memory_equal(&unused, &wanted, sizeof wanted);
    free(narrow);
}

/* Where each id may have its own count, and at one more, where it has not. */
static void ids_may_lie_close_together_or_far_apart(void **state)
{
    int64_t ids[64] = {3, 3, 70, 70, 70, 3};
    struct id_batch batch = {.count = 64, .rows = (uint64_t)1 << 40, .sequence_length = 8};

    (void)state;
    for (int padded = 0; padded <= 1; padded++) {
        batch.has_padding = padded != 0;
        for (int64_t end = ID_PLAIN_NEAR * 64 - 200; end < ID_PLAIN_NEAR * 64 + 300; end++) {
            ids[7] = end;
            must_say_the_same(ids, batch, false, 0);
        }
        ids[9] = INT32_MAX;
        batch.padding_id = 70;
        must_say_the_same(ids, batch, false, 0);
        batch.padding_id = INT64_MAX; /* never there */
        must_say_the_same(ids, batch, false, 0);
        batch.padding_id = 0;
    }
}

/* More places than a cache holds, and as many ids as are counted exactly, and one more. */
static void large_batches_are_taken(void **state)
{
    size_t n = DISTINCT_MAX + 1;
    int64_t *ids = malloc(n * sizeof *ids);
    struct id_batch batch = {.ids = ids, .dtype = EMBMON_I64, .rows = (uint64_t)1 << 50};
    struct ids_stats stats = {0};

    (void)state;
    assert_non_null(ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int64_t)(i % (n / 3) << 20);
    batch.count = n;
    assert_false(id_plain_take(&stats, &batch, &scratch, NULL));
    batch.count = n - 1;
    assert_true(id_plain_take(&stats, &batch, &scratch, NULL));
    assert_int_equal(stats.unique, n / 3);
    assert_int_equal(stats.busiest[0].id, 0);
    assert_int_equal(stats.busiest[0].count, 4 - (n % 3 == 0));
    free(ids);
}

static void what_is_plain_says_the_same_as_what_is_not(void **state)
{
    static int64_t ids[8192];
    static uint8_t mask[8192];
    uint64_t seed = 9;

    (void)state;
    for (int round = 0; round < 1500; round++) {
        size_t length = random_below(&seed, 4) ? random_below(&seed, 40) : 1;
        size_t count = 1 + random_below(&seed, round % 50 ? 600 : 8192);
        int64_t padding = (int64_t)random_below(&seed, 3) - 1;
        uint64_t stride = round % 8 < 3 ? 1 + random_below(&seed, 50) : 1, rows, any;

        if (length > 0)
            count -= count % length;
        rows = 1 + random_below(&seed, ID_PLAIN_NEAR * count + 1);
        for (size_t i = 0; i < count; i++) {
            any = random_next(&seed);
            ids[i] = (int64_t)(any % rows);
            if (round % 3 == 0) /* few are busy */
                ids[i] = ids[i] * (int64_t)(any >> 40 & 1023) >> 10;
            if (round % 2 && (any >> 60) < 7)
                ids[i] = padding < 0 && round % 4 == 1 ? 0 : padding;
            ids[i] = ids[i] >= (int64_t)rows ? 0 : ids[i];
            ids[i] *= ids[i] < 0 ? 1 : (int64_t)stride;
            mask[i] =
                (uint8_t)(round % 5 == 4 ? any >> 32 & 1 : ids[i] != padding * (int64_t)stride);
        }
        must_say_the_same(
            ids,
            (struct id_batch){.count = count,
                              .sequence_length = length,
                              .mask = round % 7 > 2 ? mask : NULL,
                              .rows = rows * stride,
                              .has_padding = round % 2 != 0,
                              .padding_id = padding < 0 ? -1 : padding * (int64_t)stride},
            round % 3 > 0, random_below(&seed, rows));
    }
}

#define plain_test(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        plain_test(only_rows_and_the_padding_are_taken),
        plain_test(ids_may_lie_close_together_or_far_apart),
        plain_test(large_batches_are_taken),
        plain_test(without_scratch_it_is_left_to_others),
        plain_test(what_is_plain_says_the_same_as_what_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
