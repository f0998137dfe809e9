#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>

#include "client/distinct.h"
#include "tests/unit/random.h"

/* Counted in memory of exactly the planned size. */
static struct ids_stats counted(const int64_t *ids, size_t n, uint64_t possible, uint32_t most)
{
    struct distinct_plan plan = distinct_plan(possible, most);
    void *memory = aligned_alloc(DISTINCT_ALIGN, (plan.bytes + DISTINCT_ALIGN - 1) /
                                                     DISTINCT_ALIGN * DISTINCT_ALIGN);
    struct ids_stats stats = {0};
    struct distinct d;

    assert_non_null(memory);
    distinct_start(&d, &plan, memory);
    distinct_add(&d, ids, n / 3);
    distinct_add(&d, ids + n / 3, n - n / 3);
    distinct_result(&d, &stats);
    free(memory);
    return stats;
}

static int by_id(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

static int by_count(const void *a, const void *b)
{
    const struct ids_busiest *left = a, *right = b;

    if (left->count != right->count)
        return left->count < right->count ? 1 : -1;
    return by_id(&left->id, &right->id);
}

/* All ids with their counts, the busiest first; the caller frees them. */
static struct ids_busiest *truth(const int64_t *ids, size_t n, size_t *unique)
{
    int64_t *sorted = malloc(n * sizeof *sorted);
    struct ids_busiest *all = calloc(n, sizeof *all);

    assert_true(sorted && all);
    for (size_t i = 0; i < n; i++)
        sorted[i] = ids[i];
    qsort(sorted, n, sizeof *sorted, by_id);
    *unique = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || sorted[i] != sorted[i - 1])
            all[(*unique)++].id = sorted[i];
        all[*unique - 1].count++;
    }
    free(sorted);
    qsort(all, *unique, sizeof *all, by_count);
    return all;
}

static void few_ids_are_counted_exactly(void **state)
{
    const int64_t ids[] = {5, -1, 5, INT64_MIN, 5, INT64_MAX, -1};
    struct ids_stats s = counted(ids, 7, 7, 100);

    (void)state;
    assert_int_equal(s.unique, 4);
    assert_int_equal(s.unique_error, 0);
    assert_int_equal(s.busiest_error, 0);
    assert_int_equal(s.busiest_count, 4);
    assert_true(s.busiest[0].id == 5 && s.busiest[0].count == 3);
    assert_true(s.busiest[1].id == -1 && s.busiest[1].count == 2);
    assert_true(s.busiest[2].id == INT64_MIN && s.busiest[2].count == 1); /* the least first */
    assert_true(s.busiest[3].id == INT64_MAX && s.busiest[3].count == 1);
}

static void no_ids_are_none(void **state)
{
    struct ids_stats s = counted(NULL, 0, 0, 100);

    (void)state;
    assert_int_equal(s.unique, 0);
    assert_int_equal(s.busiest_count, 0);
}

/* Ids that lie as tables' ids do: in a row, at equal distances, at random. */
static void what_fits_is_exact_however_the_ids_lie(void **state)
{
    static const uint64_t strides[] = {
        1, 2, 64, 4096, 1 << 20, (uint64_t)1 << 32, 0x9e3779b97f4a7c15u};
    enum { N = 6000 };
    int64_t ids[N];
    uint64_t seed = 3;

    (void)state;
    for (size_t k = 0; k < sizeof strides / sizeof strides[0]; k++) {
        struct ids_busiest *all;
        struct ids_stats s;
        size_t unique;

        for (size_t i = 0; i < N; i++)
            ids[i] = (int64_t)(random_below(&seed, 2 + random_below(&seed, 3000)) * strides[k]);
        s = counted(ids, N, N, N);
        all = truth(ids, N, &unique);
        assert_int_equal(s.unique, unique);
        assert_int_equal(s.unique_error, 0);
        assert_int_equal(s.busiest_error, 0);
        assert_int_equal(s.busiest_count, unique < IDS_BUSIEST_MAX ? unique : IDS_BUSIEST_MAX);
        assert_memory_equal(s.busiest, all, s.busiest_count * sizeof *all);
        free(all);
    }
}

/* What the header promises where not all ids have a place. */
static void assert_bounds_hold(const int64_t *ids, size_t n, uint32_t most)
{
    struct ids_stats s = counted(ids, n, n, most);
    size_t unique;
    struct ids_busiest *all = truth(ids, n, &unique);
    uint64_t least;

    assert_true(s.unique <= unique);
    assert_true(unique <= s.unique + s.unique_error);
    assert_true(s.unique + s.unique_error <= n);
    assert_int_equal(s.busiest_count, most < IDS_BUSIEST_MAX ? most : IDS_BUSIEST_MAX);
    least = s.busiest[s.busiest_count - 1].count;
    for (size_t i = 0; i < unique; i++) {
        bool listed = false;

        for (uint32_t k = 0; k < s.busiest_count; k++)
            if (s.busiest[k].id == all[i].id) {
                listed = true;
                assert_int_equal(s.busiest[k].count, all[i].count);
            }
        if (!listed)
            assert_true(all[i].count <= least || all[i].count <= s.busiest_error);
    }
    free(all);
}

static void the_stated_errors_hold_where_places_run_out(void **state)
{
    static const uint32_t most[] = {8, 9, 100, 1000};
    enum { N = 20000 };
    int64_t *ids = malloc(N * sizeof *ids);
    uint64_t seed = 5;

    (void)state;
    assert_non_null(ids);
    for (int kind = 0; kind < 5; kind++) {
        for (size_t i = 0; i < N; i++) {
            uint64_t any = random_next(&seed);

            ids[i] = kind == 0   ? (int64_t)any                           /* all different */
                     : kind == 1 ? (int64_t)(any % 3000)                  /* about as many */
                     : kind == 2 ? (int64_t)(i < N / 2 ? i : any % 5 + N) /* busy ones come late */
                     : kind == 3 ? (int64_t)((any % 4000) * (any % 4000) >> 4) /* skewed */
                                 : (int64_t)(i % 1001) << 32;
        }
        for (size_t k = 0; k < sizeof most / sizeof most[0]; k++)
            assert_bounds_hold(ids, N, most[k]);
    }
    free(ids);
}

/* Not only a bound: ids of which most differ fill most cells, at whatever distance they lie. */
static void the_lower_bound_is_of_use(void **state)
{
    enum { N = 3000, MOST = 1024 };
    int64_t ids[N];

    (void)state;
    for (int64_t stride = 1; stride < 1 << 20; stride = stride * 3 + 1) {
        struct ids_stats s;

        for (int64_t i = 0; i < N; i++)
            ids[i] = i * stride;
        s = counted(ids, N, N, MOST);
        assert_int_equal(s.unique + s.unique_error, N);
        assert_true(s.unique >= MOST + distinct_plan(N, MOST).cells * 9 / 10);
    }
}

static void memory_is_bounded(void **state)
{
    struct distinct_plan plan = distinct_plan(UINT64_MAX, DISTINCT_MAX);

    (void)state;
    assert_int_equal(plan.places, DISTINCT_MAX);
    assert_true(plan.cells > 0 && plan.bytes <= 28 << 20);
    plan = distinct_plan(DISTINCT_MAX, DISTINCT_MAX);
    assert_int_equal(plan.cells, 0);
    plan = distinct_plan(100000, DISTINCT_MAX);
    assert_true(plan.slots >= 200000 && plan.bytes < 3 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_ids_are_counted_exactly),
        cmocka_unit_test(no_ids_are_none),
        cmocka_unit_test(what_fits_is_exact_however_the_ids_lie),
        cmocka_unit_test(the_stated_errors_hold_where_places_run_out),
        cmocka_unit_test(the_lower_bound_is_of_use),
        cmocka_unit_test(memory_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
