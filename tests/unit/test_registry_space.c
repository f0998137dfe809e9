/* The limits of all runs together, at one below, at it, and at one above. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/limited.h"

/* Declares n layers with ids and names from `first` on; the reason of the Nack, 0: all are taken.
 */
static uint32_t declare(struct peer *peer, uint32_t first, uint32_t n)
{
    static struct msg_layer layers[16];
    static char paths[16][16];
    struct message m = {.type = FRAME_LAYERS, .layers = {layers, n, NULL, 0}};

    assert_true(n <= 16);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(paths[i], sizeof paths[i], "layer%u", first + i);
        layers[i] = (struct msg_layer){.id = first + i, .path = paths[i], .activation = ""};
    }
    peer->heard.nack_reason = 0;
    peer_say(peer, &m, 0);
    return peer->heard.nack_reason;
}

static size_t layers_of(const struct peer *peer)
{
    struct run_status status;

    run_get_status(registry_find(registry, peer->heard.run), &status);
    return status.layers;
}

static void so_many_layers_has_a_run(void **state)
{
    struct peer peer;

    (void)state;
    ceilings.layers = 5;
    hold();
    peer = joined(1, (struct hello){0}, 0);
    assert_int_equal(declare(&peer, 0, 4), 0);
    assert_int_equal(declare(&peer, 4, 1), 0);
    assert_int_equal(declare(&peer, 5, 3), NACK_LIMIT);
    assert_non_null(strstr(peer.heard.nack_detail, "limits.layers"));
    assert_int_equal(usage()->layers.refused, 3);
    assert_int_equal(declare(&peer, 0, 5), 0); /* again, as after a reconnect */
    assert_int_equal(layers_of(&peer), 5);
    ceilings.layers = 6;
    hold();
    assert_int_equal(declare(&peer, 5, 1), 0);
    assert_int_equal(layers_of(&peer), 6);
    peer_close(&peer, 1);
}

static void so_many_layers_have_all_runs(void **state)
{
    struct peer a, b;

    (void)state;
    ceilings.all_layers = 5;
    hold();
    a = joined(1, (struct hello){.name = "a"}, 0);
    b = joined(2, (struct hello){.name = "b"}, 0);
    assert_int_equal(declare(&a, 0, 3), 0);
    assert_int_equal(declare(&b, 0, 1), 0);
    assert_int_equal(declare(&b, 1, 2), NACK_LIMIT); /* the first of them is taken */
    assert_non_null(strstr(b.heard.nack_detail, "limits.all_layers"));
    assert_int_equal(layers_of(&b), 2);
    assert_int_equal(declare(&a, 3, 1), NACK_LIMIT);
    assert_int_equal(usage()->all_layers.refused, 2);
    assert_int_equal(usage()->layers.refused, 0);
    ceilings.all_layers = 3; /* fewer than there are: none goes, none comes */
    hold();
    assert_int_equal(declare(&a, 0, 3), 0);
    assert_int_equal(declare(&a, 3, 1), NACK_LIMIT);
    peer_close(&a, 1);
    peer_close(&b, 1);
}

static void what_is_sent_to_a_layer_too_many_is_refused_and_all_else_is_taken(void **state)
{
    struct peer peer;

    (void)state;
    ceilings.layers = 2;
    hold();
    peer = peer_join(registry, 1, (struct hello){0}, 0); /* two layers of its own */
    assert_int_equal(declare(&peer, 7, 1), NACK_LIMIT);
    peer_post(&peer, 7, 0, 1, 1);
    assert_int_equal(peer.heard.nack_reason, NACK_UNKNOWN);
    peer_step(&peer, 0, 1, 2);
    assert_int_equal(registry_posts(registry).rejected, 1);
    assert_int_equal(registry_posts(registry).acked, 3);
    peer_close(&peer, 3);
}

/* Three quarters are for runs and layers, and what a layer will take is taken when it is declared.
 */
static void so_much_memory_has_the_process(void **state)
{
    enum { LAYER = MODEL_LAYER_BYTES + MODEL_VARIABLE_BYTES };
    uint64_t *used = &usage()->memory_bytes.used, most = 48 << 20;
    struct peer a = joined(1, (struct hello){.name = "a"}, 0), b, c;

    (void)state;
    ceilings.memory_bytes = 64 << 20;
    hold();
    *used = most - LAYER - 1;
    assert_int_equal(declare(&a, 0, 1), 0);
    *used = most - 2 * LAYER;
    assert_int_equal(declare(&a, 1, 1), 0);
    *used = most - 3 * LAYER + 1;
    assert_int_equal(declare(&a, 2, 2), NACK_LIMIT);
    assert_non_null(strstr(a.heard.nack_detail, "limits.memory_bytes"));
    assert_int_equal(declare(&a, 0, 2), 0);
    assert_int_equal(layers_of(&a), 2);
    assert_int_equal(usage()->memory_bytes.refused, 2);
    *used = most - 2 * LAYER - 1;
    b = joined(2, (struct hello){.name = "b"}, 0);
    assert_true(is_in(&b));
    *used = most - 2 * LAYER;
    c = joined(3, (struct hello){.name = "c"}, 0);
    assert_refused(&c, "limits.memory_bytes");
    assert_int_equal(usage()->memory_bytes.refused, 3);
    assert_int_equal(usage()->layers.refused + usage()->all_layers.refused, 0);
    peer_close(&a, 1);
    peer_close(&b, 1);
    peer_close(&c, 1);
}

static uint64_t resident, looks;

static uint64_t weigh(void)
{
    looks++;
    return resident;
}

/* What came since usage was looked at last counts, too. */
static void the_memory_is_looked_at_when_it_matters(void **state)
{
    struct peer a = joined(1, (struct hello){.name = "a"}, 0), b;

    (void)state;
    ceilings.memory_bytes = 64 << 20;
    hold();
    resident = 64 << 20;
    registry_set_scale(registry, weigh);
    assert_int_equal(declare(&a, 0, 1), NACK_LIMIT);
    assert_int_equal(usage()->memory_bytes.used, 64 << 20);
    b = joined(2, (struct hello){.name = "b"}, 0);
    assert_refused(&b, "limits.memory_bytes");
    resident = 0;
    assert_int_equal(declare(&a, 0, 1), 0);
    registry_fed(registry, 4 << 20);
    looks = 0;
    registry_fed(registry, (4 << 20) - 1);
    assert_int_equal(looks, 0);
    resident = 77;
    registry_fed(registry, 1);
    assert_int_equal(looks, 1);
    assert_int_equal(usage()->memory_bytes.used, 77);
    registry_fed(registry, (4 << 20) - 1);
    assert_int_equal(looks, 1);
    peer_close(&a, 1);
    peer_close(&b, 1);
}

static void what_is_kept_of_runs_that_have_ended_goes_first(void **state)
{
    struct peer a = joined(1, (struct hello){.name = "a"}, 0),
                b = joined(2, (struct hello){.name = "b"}, 0),
                c = joined(3, (struct hello){.name = "c"}, 0);

    (void)state;
    assert_false(registry_unload_ended(registry, at(1)));
    peer_bye(&b, 1);
    peer_close(&b, 1);
    peer_close(&c, 1); /* its trainer may come back */
    assert_true(registry_unload_ended(registry, at(2)));
    assert_null(registry_find(registry, "b"));
    assert_false(registry_unload_ended(registry, at(2)));
    assert_int_equal(registry_runs(registry), 2);
    peer_close(&a, 3);
}

static void so_many_runs_as_there_are_files_for(void **state)
{
    struct peer a, b, c;

    (void)state;
    usage()->files = FILES_OWN + 2 * FILES_RUN + FILES_RUN - 1;
    a = joined(1, (struct hello){.name = "a"}, 0);
    b = joined(2, (struct hello){.name = "b"}, 0);
    assert_true(is_in(&a) && is_in(&b));
    c = joined(3, (struct hello){.name = "c"}, 0);
    assert_refused(&c, "for the files that the daemon may open");
    assert_int_equal(usage()->runs.refused, 1);
    peer_close(&c, 1);
    peer_close(&a, 1); /* one that nobody is connected to makes room */
    c = joined(3, (struct hello){.name = "c"}, 2);
    assert_true(is_in(&c));
    assert_null(registry_find(registry, "a"));
    assert_int_equal(usage()->runs.used, 2);
    peer_close(&b, 3);
    peer_close(&c, 3);
}

/* An event file of an old run, so long that all together take so many bytes. */
static void fill_logdir(uint64_t all)
{
    int fd;

    (void)mkdir(tree_file("old"), 0700);
    (void)mkdir(tree_file("old/embmon"), 0700);
    fd = open(tree_file("old/embmon/events.out.tfevents.1.x"), O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)all), 0);
    close(fd);
}

/* Looks until a count that began at this time is taken in. */
static void look_at(uint64_t ms)
{
    const struct timespec moment = {0, 2000000};
    const struct space space = {.size = 0};

    registry_tick(registry, at(ms));
    for (int i = 0; i < 50; i++) {
        registry_save_space(registry, space);
        nanosleep(&moment, NULL);
    }
}

static void so_much_may_lie_in_the_logdir_of_all_runs(void **state)
{
    const uint64_t limit = UINT64_C(16) << 20, nearly = limit - limit / 16;
    static const char *const waits[] = {"", "", "some", "some", "some", "some"};
    const uint64_t bytes[] = {nearly - 1, nearly, nearly + 1, limit - 1, limit, limit + 1};
    uint64_t ms = 0;

    (void)state;
    ceilings.logdir_bytes = limit;
    hold();
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        fill_logdir(bytes[i]);
        look_at(ms += 600000);
        assert_int_equal(usage()->logdir_bytes.used, bytes[i]);
        assert_int_equal(*registry_thrift(registry) != '\0', *waits[i] != '\0');
    }
    assert_non_null(strstr(registry_thrift(registry), "limits.logdir_bytes"));
    assert_int_equal(usage()->logdir_bytes.refused, 1);
    fill_logdir(0);
    look_at(ms += 600000);
    assert_string_equal(registry_thrift(registry), "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(so_many_layers_has_a_run),
        TEST(so_many_layers_have_all_runs),
        TEST(what_is_sent_to_a_layer_too_many_is_refused_and_all_else_is_taken),
        TEST(so_much_memory_has_the_process),
        TEST(the_memory_is_looked_at_when_it_matters),
        TEST(what_is_kept_of_runs_that_have_ended_goes_first),
        TEST(so_many_runs_as_there_are_files_for),
        cmocka_unit_test_setup_teardown(so_much_may_lie_in_the_logdir_of_all_runs, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
