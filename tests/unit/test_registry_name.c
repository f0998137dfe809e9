/* What a new run is called, of many that are called the same. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/rundir.h"
#include "tests/unit/limited.h"

/* Folders of earlier runs: something was recorded of each. */
static void leave(unsigned first, unsigned last)
{
    for (unsigned i = first; i <= last; i++) {
        char name[32], alerts[600];
        char *folder;
        FILE *file;

        snprintf(name, sizeof name, i == 1 ? "run" : "run-%u", i);
        folder = rundir_make(tree_path, name);
        assert_non_null(folder);
        snprintf(alerts, sizeof alerts, "%s/alerts.jsonl", folder);
        file = fopen(alerts, "w");
        assert_non_null(file);
        assert_true(fputs("{}\n", file) >= 0);
        assert_int_equal(fclose(file), 0);
        free(folder);
    }
}

static void restart(struct peer *peer)
{
    registry_suspend(registry);
    peer_close(peer, 10);
    registry_free(registry, at(10));
    registry = registry_new(tree_path, at(10));
    assert_non_null(registry);
}

#define assert_run(peer, name) assert_string_equal((peer).heard.run, name)

static void the_next_number_is_given(void **state)
{
    struct peer a;

    (void)state;
    leave(1, 300);
    a = joined(1, (struct hello){0}, 0);
    assert_run(a, "run-301");
    peer_close(&a, 1);
    a = joined(2, (struct hello){.name = "run-300"}, 0);
    assert_run(a, "run-300-2");
    peer_close(&a, 1);
}

/* A session whose Welcome was lost is found among the newest 64; who is further back has been told
 * his name long ago. */
static void a_session_is_looked_for_among_the_newest(void **state)
{
    struct peer a;

    (void)state;
    leave(1, 9);
    a = joined(1, (struct hello){0}, 0);
    assert_run(a, "run-10");
    restart(&a);
    leave(11, 73);
    a = joined(1, (struct hello){0}, 20);
    assert_run(a, "run-10");
    restart(&a);
    leave(74, 74);
    a = joined(1, (struct hello){0}, 30);
    assert_run(a, "run-75");
    restart(&a);
    a = joined(1, (struct hello){.given = "run-10"}, 40);
    assert_run(a, "run-10");
    peer_close(&a, 50);
}

/* The session's own run rather than a newer one of its launch. */
static void its_own_run_comes_before_that_of_its_launch(void **state)
{
    struct peer a = joined(1, (struct hello){.world = 2}, 0), b;

    (void)state;
    b = joined(2, (struct hello){.world = 2}, 1); /* the same rank: another run */
    assert_run(b, "run-2");
    registry_suspend(registry);
    peer_close(&b, 5);
    restart(&a);
    a = joined(1, (struct hello){.world = 2}, 20);
    assert_run(a, "run");
    b = joined(3, (struct hello){.world = 2, .rank = 1}, 20);
    assert_run(b, "run"); /* which is loaded */
    peer_close(&a, 30);
    peer_close(&b, 30);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(the_next_number_is_given),
        TEST(a_session_is_looked_for_among_the_newest),
        TEST(its_own_run_comes_before_that_of_its_launch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
