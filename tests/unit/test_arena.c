#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "proto/arena.h"
#include "tests/unit/random.h"

static void an_arena_without_a_budget_gives_nothing(void **state)
{
    struct arena arena = {0};

    (void)state;
    assert_null(arena_alloc(&arena, 0));
    assert_null(arena_alloc(&arena, 1));
    arena_free(&arena);
}

static void the_budget_counts_what_each_piece_costs(void **state)
{
    struct arena arena = {0};

    (void)state;
    arena_reset(&arena, 64);
    assert_non_null(arena_alloc(&arena, 16)); /* 16 bytes and 16 of its size */
    assert_null(arena_alloc(&arena, 17));
    assert_non_null(arena_alloc(&arena, 1));
    assert_null(arena_alloc(&arena, 0));
    arena_reset(&arena, 64);
    assert_non_null(arena_alloc(&arena, 48));
    assert_null(arena_alloc(&arena, 0));
    arena_free(&arena);
}

static void sizes_that_would_wrap_are_refused(void **state)
{
    struct arena arena = {0};

    (void)state;
    arena_reset(&arena, 1 << 20);
    for (size_t less = 0; less < 64; less++)
        assert_null(arena_alloc(&arena, SIZE_MAX - less));
    assert_null(arena_alloc(&arena, 1 << 20));
    assert_non_null(arena_alloc(&arena, (1 << 20) - 16));
    arena_free(&arena);
}

static void pieces_are_aligned_apart_and_remember_their_size(void **state)
{
    enum { PIECES = 2000 };
    static uint8_t *pieces[PIECES];
    static size_t sizes[PIECES];
    struct arena arena = {0};
    uint64_t seed = 8;

    (void)state;
    for (int round = 0; round < 3; round++) {
        arena_reset(&arena, 64 << 20);
        for (size_t i = 0; i < PIECES; i++) {
            sizes[i] = random_below(&seed, random_below(&seed, 100) ? 200 : 100000);
            pieces[i] = arena_alloc(&arena, sizes[i]);
            assert_non_null(pieces[i]);
            assert_int_equal((uintptr_t)pieces[i] % 16, 0);
            memset(pieces[i], (int)(i & 0xff), sizes[i]);
        }
        for (size_t i = 0; i < PIECES; i++) {
            assert_int_equal(arena_size(pieces[i]), sizes[i]);
            for (size_t k = 0; k < sizes[i]; k++)
                assert_int_equal(pieces[i][k], i & 0xff);
        }
    }
    arena_free(&arena);
}

static void memory_is_used_again_after_a_reset(void **state)
{
    struct arena arena = {0};
    const void *first;

    (void)state;
    arena_reset(&arena, 1000);
    first = arena_alloc(&arena, 100);
    for (int i = 0; i < 1000; i++) {
        arena_reset(&arena, 1000);
        assert_ptr_equal(arena_alloc(&arena, 100), first);
    }
    arena_free(&arena);
}

static void several_pieces_of_memory_become_one(void **state)
{
    struct arena arena = {0};

    (void)state;
    arena_reset(&arena, 64 << 20);
    for (int i = 0; i < 500; i++)
        assert_non_null(arena_alloc(&arena, 1000));
    arena_reset(&arena, 64 << 20);
    assert_non_null(arena_alloc(&arena, 1000));
    for (int i = 0; i < 499; i++) { /* all in the one that was made for so many */
        const struct arena_chunk *chunk = arena.newest;

        assert_non_null(arena_alloc(&arena, 1000));
        assert_ptr_equal(arena.newest, chunk);
    }
    arena_free(&arena);
}

static void no_more_than_a_mebibyte_is_kept(void **state)
{
    struct arena arena = {0};

    (void)state;
    arena_reset(&arena, 64 << 20);
    assert_non_null(arena_alloc(&arena, 32 << 20));
    arena_reset(&arena, 64 << 20);
    assert_null(arena.newest);
    assert_int_equal(arena.first_chunk, 1 << 20);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_arena_without_a_budget_gives_nothing),
        cmocka_unit_test(the_budget_counts_what_each_piece_costs),
        cmocka_unit_test(sizes_that_would_wrap_are_refused),
        cmocka_unit_test(pieces_are_aligned_apart_and_remember_their_size),
        cmocka_unit_test(memory_is_used_again_after_a_reset),
        cmocka_unit_test(several_pieces_of_memory_become_one),
        cmocka_unit_test(no_more_than_a_mebibyte_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
