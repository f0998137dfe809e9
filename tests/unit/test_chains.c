#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "client/chains.h"
#include "tests/unit/random.h"

enum { MOST = 3000 };

/* In memory of exactly the planned size, that does not come zeroed, and ids at any address. */
static struct chains_plan linked(struct chains *chains, uint8_t **memory, const int64_t *ids,
                                 size_t n, enum embmon_dtype dtype)
{
    size_t size = dtype == EMBMON_I64 ? 8 : 4;
    uint8_t *bytes = malloc(n * size + 1);
    struct chains_plan plan;

    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++) {
        int32_t narrow = (int32_t)ids[i];

        memcpy(bytes + 1 + i * size, dtype == EMBMON_I64 ? (const void *)&ids[i] : &narrow, size);
    }
    plan = chains_plan(bytes + 1, dtype, n);
    *memory = malloc(plan.bytes);
    assert_non_null(*memory);
    memset(*memory, 0xa5, plan.bytes);
    chains_link(chains, &plan, *memory);
    free(bytes);
    return plan;
}

/* Against looking for each row's neighbours one by one. */
static struct chains_plan must_link(const int64_t *ids, size_t n, enum embmon_dtype dtype)
{
    struct chains chains;
    uint8_t *memory;
    struct chains_plan plan = linked(&chains, &memory, ids, n, dtype);
    size_t followers = 0;

    for (size_t row = 0; row < n; row++) {
        size_t before = row, next = row + 1;

        while (before > 0 && ids[before - 1] != ids[row])
            before--;
        while (next < n && ids[next] != ids[row])
            next++;
        assert_int_equal(chains.follower[row], before > 0);
        followers += before > 0;
        assert_int_equal(chains.next[row], next < n ? next + 1 : 0);
    }
    assert_int_equal(chains.followers, followers);
    free(memory);
    return plan;
}

static void rows_of_an_id_are_linked_in_their_order(void **state)
{
    const int64_t ids[] = {5, -1, 5, 7, 5, -1};
    struct chains chains;
    uint8_t *memory;

    (void)state;
    linked(&chains, &memory, ids, 6, EMBMON_I32);
    assert_memory_equal(chains.next, ((const uint32_t[]){3, 6, 5, 0, 0, 0}), 24);
    assert_memory_equal(chains.follower, ((const uint8_t[]){0, 0, 1, 0, 1, 1}), 6);
    free(memory);
}

static void no_rows_are_no_chains(void **state)
{
    (void)state;
    must_link(NULL, 0, EMBMON_I32);
    must_link((const int64_t[]){INT64_MIN}, 1, EMBMON_I64);
}

static void ids_may_lie_anyhow(void **state)
{
    static int64_t ids[MOST];
    uint64_t seed = 2;

    (void)state;
    for (int round = 0; round < 60; round++) {
        size_t n = 1 + random_below(&seed, round < 50 ? 300 : MOST);
        uint64_t different = 1 + random_below(&seed, 2 * n);
        uint64_t stride = (uint64_t)1 << random_below(&seed, 18);
        int64_t least = (int64_t)random_below(&seed, 1000) - 500;

        for (size_t i = 0; i < n; i++)
            ids[i] = least + (int64_t)(random_below(&seed, different) * stride);
        must_link(ids, n, EMBMON_I32);
        must_link(ids, n, EMBMON_I64);
        for (size_t i = 0; i < n; i++)
            ids[i] = (int64_t)((uint64_t)ids[i] * 0x123456789abcdef1u);
        must_link(ids, n, EMBMON_I64);
    }
}

/* A place for each id as long as there are at most CHAINS_NEAR a row; memory is bounded. */
static void ids_that_lie_far_apart_are_hashed(void **state)
{
    const int64_t ends[] = {INT64_MIN, 3, INT64_MAX, 3}, all[] = {INT32_MIN, INT32_MAX};
    int64_t ids[4] = {-9, 0, -9, 0};
    struct chains_plan plan;

    (void)state;
    assert_false(must_link(ends, 4, EMBMON_I64).is_near);
    assert_false(must_link(all, 2, EMBMON_I32).is_near);
    ids[1] = -9 + CHAINS_NEAR * 4 - 1;
    plan = must_link(ids, 4, EMBMON_I32);
    assert_true(plan.is_near);
    assert_int_equal(plan.places, CHAINS_NEAR * 4);
    ids[1]++;
    plan = must_link(ids, 4, EMBMON_I32);
    assert_false(plan.is_near);
    assert_true(plan.bytes < 32 * sizeof(uint32_t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_an_id_are_linked_in_their_order),
        cmocka_unit_test(no_rows_are_no_chains),
        cmocka_unit_test(ids_may_lie_anyhow),
        cmocka_unit_test(ids_that_lie_far_apart_are_hashed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
