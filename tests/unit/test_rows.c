#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "client/rows.h"
#include "tests/unit/plain_rows.h"
#include "tests/unit/random.h"

static struct row_counts add(struct tally *t, const int64_t *ids, const float *values, size_t rows,
                             size_t columns)
{
    struct rows_scratch scratch;
    struct row_set set = {ids, EMBMON_I64, values, EMBMON_F32, rows, columns, false, 0, NULL};
    struct row_counts counts;

    assert_true(rows_scratch_open(&scratch));
    tally_start(t);
    counts = rows_add_sparse(t, &set, &scratch);
    assert_int_equal(scratch.taken, 0);
    rows_scratch_close(&scratch);
    return counts;
}

static void rows_of_one_id_are_added_up(void **state)
{
    const int64_t ids[] = {5, -1, 5, INT64_MIN, 5};
    const float values[] = {1, 2, 10, 0, 3, -2, 0, 0.5f, -1, 1};
    struct tally t;
    struct summary s;
    struct row_counts counts = add(&t, ids, values, 5, 2);

    (void)state;
    tally_moments(&t, &s);
    assert_int_equal(counts.looked_up, 3);
    assert_int_equal(counts.touched, 3);
    assert_false(counts.uncoalesced);
    assert_int_equal(s.count, 6); /* (3, 1), (10, 0), (0, 0.5) */
    assert_int_equal(s.zeros, 2);
    assert_true(s.sum == 14.5 && s.square_sum == 9 + 1 + 100 + 0.25);
}

static void rows_that_cancel_are_looked_up_and_not_touched(void **state)
{
    const int64_t ids[] = {1, 1, 2, 3};
    const float values[] = {1, -2, -1, 2, 0, -0.0f, 0, NAN};
    struct tally t;
    struct summary s;
    struct row_counts counts = add(&t, ids, values, 4, 2);

    (void)state;
    tally_moments(&t, &s);
    assert_int_equal(counts.looked_up, 3);
    assert_int_equal(counts.touched, 1); /* NaN is not zero */
    assert_int_equal(s.count, 2);
    assert_int_equal(s.nans, 1);
}

/* A batch of padding alone is no data; it is not a gradient that has vanished. */
static void padding_is_not_looked_up(void **state)
{
    const int64_t ids[] = {7, 3, 7};
    const float values[] = {0, 0, 0};
    struct rows_scratch scratch;
    struct row_set set = {ids, EMBMON_I64, values, EMBMON_F32, 3, 1, true, 7, NULL};
    struct tally t;

    (void)state;
    assert_true(rows_scratch_open(&scratch));
    tally_start(&t);
    assert_int_equal(rows_add_sparse(&t, &set, &scratch).looked_up, 1);
    set.rows = 1;
    assert_int_equal(rows_add_sparse(&t, &set, &scratch).looked_up, 0);
    rows_scratch_close(&scratch);
}

/* 2^-149 is zero to a processor that flushes; to us it is a touched row. */
static void the_smallest_value_touches_its_row(void **state)
{
    const int64_t ids[] = {1};
    const uint32_t bits = 0x80000001;
    float value;
    struct tally t;

    (void)state;
    memcpy(&value, &bits, sizeof value);
    assert_int_equal(add(&t, ids, &value, 1, 1).touched, 1);
    assert_int_equal(
        rows_add_dense(
            &t, &(struct row_set){.values = &value, .dtype = EMBMON_F32, .rows = 1, .columns = 1})
            .touched,
        1);
}

static void look_ups_are_counted_and_those_of_the_busiest_row(void **state)
{
    const int64_t ids[] = {5, 0, 5, 2, 0, 5, 0, 0};
    const float values[8] = {0};
    struct busy_tables tables;
    struct rows_scratch scratch;
    struct row_set set = {ids, EMBMON_I64, values, EMBMON_F32, 8, 1, true, 0, NULL};
    struct row_counts counts;
    struct tally t;
    int64_t busiest;

    (void)state;
    assert_true(rows_scratch_open(&scratch) && busy_open(&tables));
    set.busy = busy_take(&tables, 0);
    tally_start(&t);
    counts = rows_add_sparse(&t, &set, &scratch);
    assert_int_equal(counts.looked_up, 2); /* 0 is the padding's */
    assert_int_equal(counts.ids, 4);
    assert_int_equal(counts.busiest, 3);
    assert_int_equal(busy_pick(set.busy, &busiest, 1), 1);
    assert_int_equal(busiest, 5);
    busy_close(&tables);
    rows_scratch_close(&scratch);
}

/* Rows (1, 2) and (-4, 2) of the padding, and the same as one row of the whole table. */
static void the_gradient_of_the_padding_is_known_in_each_format(void **state)
{
    const int64_t ids[] = {2, 1, 2};
    const float values[] = {1, 2, 7, 7, -4, 2}, once[] = {7, 7, -3, 4};
    const float table[] = {0, 0, 7, 7, -3, 4}, broken[] = {0, 0, 0, 0, NAN, 4};
    struct rows_scratch scratch;
    struct row_set set = {ids, EMBMON_I64, values, EMBMON_F32, 3, 2, true, 2, NULL};
    struct tally t;

    (void)state;
    assert_true(rows_scratch_open(&scratch));
    tally_start(&t);
    assert_true(rows_add_sparse(&t, &set, &scratch).padding_squares == 25);
    set.ids = ids + 1, set.values = once, set.rows = 2;
    assert_true(rows_add_sparse(&t, &set, &scratch).padding_squares == 25);
    set.rows = 1; /* nobody looked it up */
    assert_true(rows_add_sparse(&t, &set, &scratch).padding_squares == 0);
    set.values = table, set.rows = 3;
    assert_true(rows_add_dense(&t, &set).padding_squares == 25);
    set.values = broken;
    assert_true(rows_add_dense(&t, &set).padding_squares == 16);
    set.has_padding = false;
    assert_true(rows_add_dense(&t, &set).padding_squares == 0);
    rows_scratch_close(&scratch);
}

static void sums_are_made_in_f64_in_the_order_of_the_rows(void **state)
{
    const int64_t ids[] = {0, 0, 0};
    const float values[] = {1e8f, 1, -1e8f}; /* in f32 the 1 would be lost */
    struct tally t;
    struct summary s;

    (void)state;
    add(&t, ids, values, 3, 1);
    tally_moments(&t, &s);
    assert_true(s.sum == 1);
}

/* ---- all of it, against the plain way: to the bit ---- */

static struct rows_scratch room;

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

static void must_say_what_is_plain(struct row_set set)
{
    static struct tally t, wanted;
    static struct busy_tables tables;
    struct row_counts counts, plain;
    struct busy *busy[2];

    assert_true(busy_open(&tables));
    for (int i = 0; i < 2; i++)
        assert_non_null(busy[i] = busy_take(&tables, i));
    tally_start(&t);
    tally_start(&wanted);
    set.busy = busy[0];
    counts = rows_add_sparse(&t, &set, &room);
    set.busy = busy[1];
    plain = plain_rows(&wanted, &set);
    assert_memory_equal(&counts.looked_up, &plain.looked_up, 4 * sizeof(uint64_t));
    assert_memory_equal(&counts.padding_squares, &plain.padding_squares, sizeof(double));
    assert_false(counts.uncoalesced);
    assert_memory_equal(busy[0]->places, busy[1]->places, sizeof busy[0]->places);
    must_be_equal(&t, &wanted);
    assert_int_equal(room.taken, 0);
    busy_close(&tables);
}

/* Of any dtype: numbers of all sizes, zeros and rows of zeros, of which some cancel. */
static void fill_rows(uint8_t *values, const struct row_set *set, uint64_t *seed)
{
    size_t size = dtype_size((int)set->dtype);

    for (size_t row = 0; row < set->rows; row++) {
        bool is_zero = random_below(seed, 8) == 0;

        for (size_t i = 0; i < set->columns; i++) {
            uint8_t *at = values + (row * set->columns + i) * size;
            uint64_t any = random_next(seed), kind = any & 255;

            memcpy(at, &any, size);
            if (kind == 255)
                memset(at, random_below(seed, 20) ? 1 : 0xff, size); /* NaN now and then */
            if (kind > 3 && kind < 255)
                at[size - 1] = (uint8_t)((at[size - 1] & 0x83) | 0x38);
            if (kind < 24 || is_zero)
                memset(at, 0, size);
            if (kind < 12)
                at[size - 1] = 0x80;
        }
    }
}

static void rows_of_all_kinds_say_what_is_plain(void **state)
{
    static const enum embmon_dtype dtypes[] = {EMBMON_F32, EMBMON_F32, EMBMON_F64, EMBMON_F16,
                                               EMBMON_BF16};
    static const size_t widths[] = {1, 3, 16, 31, 64, 64, 65, 300, 1500};
    uint64_t seed = 4;

    (void)state;
    assert_true(rows_scratch_open(&room));
    for (int round = 0; round < 200; round++) {
        struct row_set set = {.dtype = dtypes[round % 5],
                              .columns = widths[random_below(&seed, 9)],
                              .rows = random_below(&seed, round % 10 ? 200 : 1500),
                              .id_dtype = round % 2 ? EMBMON_I32 : EMBMON_I64,
                              .has_padding = round % 3 == 0};
        size_t size = dtype_size((int)set.dtype), id_size = dtype_size((int)set.id_dtype);
        uint64_t different = 1 + random_below(&seed, 3 * set.rows + 1);
        uint64_t stride = round % 4 < 2 ? 1 : 1000;
        uint8_t *values = malloc(set.rows * set.columns * size + size);
        uint8_t *ids = malloc(set.rows * id_size + 1);

        assert_true(values && ids);
        fill_rows(values + size / 2, &set, &seed); /* at any address */
        for (size_t i = 0; i < set.rows; i++) {
            int64_t id =
                (int64_t)(random_below(&seed, 1 + random_below(&seed, different)) * stride);

            id -= round % 5;
            memcpy(ids + i * id_size, &id, id_size); /* little-endian */
        }
        set.values = values + size / 2;
        set.ids = ids;
        must_say_what_is_plain(set);
        free(values);
        free(ids);
    }
    rows_scratch_close(&room);
}

static void dense_tensors_of_all_dtypes_go_over_touched_rows(void **state)
{
    static const enum embmon_dtype dtypes[] = {EMBMON_F32, EMBMON_F64, EMBMON_F16, EMBMON_BF16,
                                               EMBMON_I8,  EMBMON_I16, EMBMON_I32, EMBMON_I64};

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        uint8_t data[8 * 6] = {0}; /* 3 rows of 2 */
        size_t size = dtype_size((int)dtypes[i]);
        struct row_set set = {.values = data, .dtype = dtypes[i], .rows = 3, .columns = 2};
        struct tally t;

        data[size * 3 - 1] = 0x80; /* the sign of the first element of row 1 */
        data[size * 5] = 1;        /* the last element of row 2 */
        tally_start(&t);
        assert_int_equal(rows_add_dense(&t, &set).touched, i < 4 ? 1 : 2);
        assert_int_equal(t.count, i < 4 ? 2 : 4); /* -0.0 is zero, -128 is not */
    }
}

static void units_are_taken_once_and_given_back(void **state)
{
    struct rows_scratch scratch;
    uint8_t *a, *b, *c;

    (void)state;
    assert_true(rows_scratch_open(&scratch));
    a = rows_scratch_take(&scratch, ROWS_SCRATCH / 2);
    b = rows_scratch_take(&scratch, ROWS_UNIT);
    assert_ptr_equal(b, a + ROWS_SCRATCH / 2);
    assert_null(rows_scratch_take(&scratch, ROWS_SCRATCH / 2));
    c = rows_scratch_take(&scratch, ROWS_UNIT + 1);
    assert_ptr_equal(c, b + ROWS_UNIT);
    rows_scratch_give(&scratch, b, ROWS_UNIT);
    assert_ptr_equal(rows_scratch_take(&scratch, 1), b);
    rows_scratch_give(&scratch, a, ROWS_SCRATCH / 2);
    rows_scratch_give(&scratch, b, 1);
    rows_scratch_give(&scratch, c, ROWS_UNIT + 1);
    a = rows_scratch_take(&scratch, ROWS_SCRATCH);
    assert_non_null(a);
    rows_scratch_give(&scratch, a, ROWS_SCRATCH);
    assert_null(rows_scratch_take(&scratch, (size_t)ROWS_SCRATCH + 1));
    rows_scratch_close(&scratch);
    assert_null(rows_scratch_take(&scratch, 1));
}

static void without_scratch_rows_are_summarised_as_they_come_and_it_says_so(void **state)
{
    const int64_t ids[] = {1, 1, 2};
    const float values[] = {1, 2, 0};
    struct rows_scratch scratch = {0};
    struct row_set set = {ids, EMBMON_I64, values, EMBMON_F32, 3, 1, false, 0, NULL};
    struct row_counts counts;
    struct tally t;

    (void)state;
    tally_start(&t);
    counts = rows_add_sparse(&t, &set, &scratch);
    assert_true(counts.uncoalesced);
    assert_int_equal(counts.looked_up, 0);
    assert_int_equal(t.count, 2);
    assert_true(t.square_sum == 5);
}

/* Beyond the scratch: 2^21 rows would need a table of 2^22 entries of 16 bytes, and links. */
static void too_many_rows_are_not_coalesced(void **state)
{
    size_t rows = (size_t)1 << 21;
    int64_t *ids = calloc(rows, sizeof *ids);
    float *values = calloc(rows, sizeof *values);
    struct tally t;

    (void)state;
    assert_non_null(ids);
    assert_non_null(values);
    values[7] = 1;
    assert_true(add(&t, ids, values, rows, 1).uncoalesced);
    assert_int_equal(t.count, 1);
    assert_false(add(&t, ids, values, rows / 2, 1).uncoalesced);
    free(ids);
    free(values);
}

struct job {
    struct rows_scratch *scratch;
    int failures;
};

static void *coalesce_many(void *argument)
{
    struct job *job = argument;
    int64_t ids[64];
    float values[64];

    for (size_t i = 0; i < 64; i++)
        ids[i] = (int64_t)(i % 8), values[i] = (float)i;
    for (int i = 0; i < 500; i++) {
        struct row_set set = {ids, EMBMON_I64, values, EMBMON_F32, 64, 1, false, 0, NULL};
        struct tally t;

        tally_start(&t);
        if (rows_add_sparse(&t, &set, job->scratch).looked_up != 8 || t.sum != 2016)
            job->failures++;
    }
    return NULL;
}

static void threads_share_the_scratch_without_harm(void **state)
{
    struct rows_scratch scratch;
    struct job jobs[4];
    pthread_t threads[4];

    (void)state;
    assert_true(rows_scratch_open(&scratch));
    for (int i = 0; i < 4; i++) {
        jobs[i] = (struct job){&scratch, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, coalesce_many, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].failures, 0);
    }
    assert_int_equal(scratch.taken, 0);
    rows_scratch_close(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_one_id_are_added_up),
        cmocka_unit_test(rows_that_cancel_are_looked_up_and_not_touched),
        cmocka_unit_test(padding_is_not_looked_up),
        cmocka_unit_test(the_smallest_value_touches_its_row),
        cmocka_unit_test(look_ups_are_counted_and_those_of_the_busiest_row),
        cmocka_unit_test(the_gradient_of_the_padding_is_known_in_each_format),
        cmocka_unit_test(sums_are_made_in_f64_in_the_order_of_the_rows),
        cmocka_unit_test(rows_of_all_kinds_say_what_is_plain),
        cmocka_unit_test(dense_tensors_of_all_dtypes_go_over_touched_rows),
        cmocka_unit_test(units_are_taken_once_and_given_back),
        cmocka_unit_test(without_scratch_rows_are_summarised_as_they_come_and_it_says_so),
        cmocka_unit_test(too_many_rows_are_not_coalesced),
        cmocka_unit_test(threads_share_the_scratch_without_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
