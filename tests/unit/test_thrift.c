#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "daemon/thrift.h"

static struct ceilings ceilings;
static struct usage usage;
static const char *why;

static int begin(void **state)
{
    (void)state;
    ceilings = (struct ceilings)CEILINGS_DEFAULT;
    ceilings.keep_free_bytes = 1000;
    ceilings.logdir_bytes = 1600;
    ceilings.pending_bytes = 400;
    usage = (struct usage){0};
    return 0;
}

static const struct space plenty = {.size = 1 << 30, .free = 1 << 20};

static enum thrift with(struct space space)
{
    return thrift_of(&space, &ceilings, &usage, &why);
}

static enum thrift with_free(uint64_t size, uint64_t free_bytes)
{
    return with((struct space){.size = size, .free = free_bytes});
}

static void where_there_is_space_nothing_waits(void **state)
{
    (void)state;
    assert_int_equal(with(plenty), THRIFT_NONE);
    assert_string_equal(why, "");
    assert_int_equal(usage.keep_free_bytes.used, 1 << 20); /* what is free */
    assert_int_equal(usage.keep_free_bytes.refused, 0);
}

static void so_much_stays_free(void **state)
{
    (void)state;
    assert_int_equal(with_free(1 << 30, 1001), THRIFT_NONE);
    assert_int_equal(with_free(1 << 30, 1000), THRIFT_NONE);
    assert_int_equal(with_free(1 << 30, 999), THRIFT_HISTOGRAMS);
    assert_non_null(strstr(why, "limits.keep_free_bytes"));
    assert_int_equal(with_free(1 << 30, 0), THRIFT_HISTOGRAMS);
    assert_int_equal(usage.keep_free_bytes.refused, 1); /* one episode */
    assert_int_equal(with(plenty), THRIFT_NONE);
    assert_int_equal(with_free(1 << 30, 999), THRIFT_HISTOGRAMS);
    assert_int_equal(usage.keep_free_bytes.refused, 2);
}

static void of_a_small_disk_no_more_than_a_twentieth(void **state)
{
    (void)state;
    assert_int_equal(with_free(2000, 100), THRIFT_NONE);
    assert_int_equal(with_free(2000, 99), THRIFT_HISTOGRAMS);
    ceilings.keep_free_bytes = 0;
    assert_int_equal(with_free(2000, 0), THRIFT_NONE);
}

static void a_disk_that_is_not_known_is_none(void **state)
{
    (void)state;
    assert_int_equal(with_free(0, 0), THRIFT_NONE);
}

/* A sixteenth before the limit histograms wait, beyond it all does. */
static void so_much_may_lie_in_the_logdir(void **state)
{
    struct space space = plenty;

    (void)state;
    for (space.logdir = 1499; space.logdir <= 1500; space.logdir++)
        assert_int_equal(with(space), THRIFT_NONE);
    assert_int_equal(with(space), THRIFT_HISTOGRAMS);
    assert_non_null(strstr(why, "limits.logdir_bytes"));
    assert_non_null(strstr(why, "move old runs elsewhere"));
    for (space.logdir = 1599; space.logdir <= 1600; space.logdir++)
        assert_int_equal(with(space), THRIFT_HISTOGRAMS);
    assert_int_equal(with(space), THRIFT_SCALARS);
    assert_int_equal(usage.logdir_bytes.refused, 1);
    assert_int_equal(usage.logdir_bytes.used, 1601);
    space.logdir = 1500;
    assert_int_equal(with(space), THRIFT_NONE);
}

static void so_much_waits_for_the_disk(void **state)
{
    struct space space = plenty;

    (void)state;
    for (space.pending = 99; space.pending <= 100; space.pending++)
        assert_int_equal(with(space), THRIFT_NONE);
    assert_int_equal(with(space), THRIFT_HISTOGRAMS);
    assert_non_null(strstr(why, "limits.pending_bytes"));
    space.pending = 150;
    assert_int_equal(with(space), THRIFT_HISTOGRAMS);
    space.pending = 151;
    assert_int_equal(with(space), THRIFT_SCALARS);
    assert_int_equal(usage.pending_bytes.refused, 1);
}

static void the_most_pressing_counts(void **state)
{
    struct space space = {.size = 1 << 30, .free = 999, .pending = 151, .logdir = 1601};

    (void)state;
    assert_int_equal(with(space), THRIFT_SCALARS);
    assert_int_equal(usage.keep_free_bytes.refused, 1);
    assert_int_equal(usage.logdir_bytes.refused, 1);
    assert_int_equal(usage.pending_bytes.refused, 1);
}

static void a_file_system_is_looked_at(void **state)
{
    struct space space = {.logdir = 7, .pending = 8};

    (void)state;
    thrift_look("/", &space);
    assert_true(space.size > 0 && space.free < space.size);
    assert_int_equal(space.logdir, 7);
    thrift_look("/nonexistent/folder", &space);
    assert_int_equal(space.size, 0);
    assert_int_equal(space.free, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(where_there_is_space_nothing_waits, begin),
        cmocka_unit_test_setup(so_much_stays_free, begin),
        cmocka_unit_test_setup(of_a_small_disk_no_more_than_a_twentieth, begin),
        cmocka_unit_test_setup(a_disk_that_is_not_known_is_none, begin),
        cmocka_unit_test_setup(so_much_may_lie_in_the_logdir, begin),
        cmocka_unit_test_setup(so_much_waits_for_the_disk, begin),
        cmocka_unit_test_setup(the_most_pressing_counts, begin),
        cmocka_unit_test_setup(a_file_system_is_looked_at, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
