#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "daemon/door.h"

enum { START = 100000 };

static struct ceilings ceilings;
static struct usage usage;
static struct door door;

static int begin(void **state)
{
    (void)state;
    ceilings = (struct ceilings)CEILINGS_DEFAULT;
    usage = (struct usage){0};
    door = (struct door){.ceilings = &ceilings, .usage = &usage};
    return 0;
}

static struct guest local(void)
{
    return (struct guest){0};
}

static struct guest far(const char *text, bool guarded)
{
    struct guest guest = {.tcp = true, .guarded = guarded};
    struct sockaddr_in v4 = {.sin_family = AF_INET};

    assert_int_equal(inet_pton(AF_INET, text, &v4.sin_addr), 1);
    memcpy(&guest.name.name, &v4, sizeof v4);
    guest.name.length = sizeof v4;
    return guest;
}

static enum door_answer enter(struct guest *guest)
{
    return door_enter(&door, guest, START);
}

/* What runs and embmond itself need is never given to a connection. */
static void files_are_left_for_checkpoints(void **state)
{
    struct guest guests[3] = {local(), local(), local()};

    (void)state;
    usage.files = FILES_OWN + FILES_RUN + 2;
    usage.runs.used = 1;
    assert_int_equal(enter(&guests[0]), DOOR_OPEN);
    assert_int_equal(usage_files_left(&usage), 1);
    assert_int_equal(enter(&guests[1]), DOOR_OPEN);
    assert_int_equal(enter(&guests[2]), DOOR_FULL);
    assert_int_equal(usage.connections.used, 2);
    assert_int_equal(usage.connections.refused, 1);
    usage.runs.used = 0;
    assert_int_equal(enter(&guests[2]), DOOR_OPEN);
    usage.runs.used = 100;
    assert_int_equal(usage_files_left(&usage), 0); /* and no less */
    usage.files = 0;
    assert_true(usage_files_left(&usage) == UINT64_MAX);
}

static void three_connections_of_three_and_no_fourth(void **state)
{
    struct guest guests[4] = {local(), local(), far("10.0.0.7", false), local()};

    (void)state;
    ceilings.connections = 3;
    for (int i = 0; i < 3; i++)
        assert_int_equal(enter(&guests[i]), DOOR_OPEN);
    assert_int_equal(enter(&guests[3]), DOOR_FULL);
    assert_int_equal(usage.connections.used, 3);
    assert_int_equal(usage.connections.refused, 1);
    door_leave(&door, &guests[3]); /* it was never in */
    assert_int_equal(usage.connections.used, 3);
    door_leave(&door, &guests[0]);
    assert_int_equal(enter(&guests[3]), DOOR_OPEN);
    assert_int_equal(usage.connections.refused, 1);
}

static void three_over_tcp_and_a_fourth_at_the_socket(void **state)
{
    struct guest guests[5];

    (void)state;
    ceilings.tcp_connections = 3;
    for (int i = 0; i < 4; i++) {
        guests[i] = far("10.0.0.7", false);
        assert_int_equal(enter(&guests[i]), i < 3 ? DOOR_OPEN : DOOR_FULL_TCP);
    }
    guests[4] = local();
    assert_int_equal(enter(&guests[4]), DOOR_OPEN);
    assert_int_equal(usage.tcp_connections.used, 3);
    assert_int_equal(usage.tcp_connections.refused, 1);
    assert_int_equal(usage.connections.used, 4);
    door_leave(&door, &guests[0]);
    assert_int_equal(enter(&guests[3]), DOOR_OPEN);
}

static void three_without_a_proof_and_a_fourth_after_one(void **state)
{
    struct guest guests[5];

    (void)state;
    ceilings.unproven_connections = 3;
    for (int i = 0; i < 4; i++) {
        guests[i] = far("10.0.0.7", true);
        assert_int_equal(enter(&guests[i]), i < 3 ? DOOR_OPEN : DOOR_FULL_UNPROVEN);
    }
    guests[4] = far("10.0.0.7", false); /* nothing to prove */
    assert_int_equal(enter(&guests[4]), DOOR_OPEN);
    assert_int_equal(usage.unproven_connections.refused, 1);
    door_proven(&door, &guests[0], START);
    door_proven(&door, &guests[0], START);
    assert_int_equal(usage.unproven_connections.used, 2);
    assert_int_equal(enter(&guests[3]), DOOR_OPEN);
    assert_int_equal(usage.unproven_connections.used, 3);
    for (int i = 0; i < 5; i++) {
        door_hush(&door, &guests[i], START);
        door_hush(&door, &guests[i], START);
        door_leave(&door, &guests[i]);
        door_leave(&door, &guests[i]);
    }
    assert_int_equal(usage.unproven_connections.used, 0);
    assert_int_equal(usage.tcp_connections.used, 0);
    assert_int_equal(usage.connections.used, 0);
}

static void fail_once(const char *from, uint64_t ms)
{
    struct guest guest = far(from, true);

    assert_int_equal(door_enter(&door, &guest, ms), DOOR_OPEN);
    door_hush(&door, &guest, ms);
    door_leave(&door, &guest);
}

static void three_failures_of_a_machine_and_a_fourth_a_second_later(void **state)
{
    struct guest guest = far("10.0.0.7", true), open = far("10.0.0.7", false),
                 other = far("10.0.0.8", true);

    (void)state;
    ceilings.failed_proofs = 3;
    for (int i = 0; i < 3; i++)
        fail_once("10.0.0.7", START);
    assert_int_equal(enter(&guest), DOOR_KNOCKED);
    assert_int_equal(usage.failed_proofs.refused, 1);
    assert_int_equal(enter(&other), DOOR_OPEN);
    assert_int_equal(enter(&open), DOOR_OPEN);
    fail_once("10.0.0.7", START + KNOCKS_PERIOD_MS);
    assert_int_equal(door_enter(&door, &guest, START + KNOCKS_PERIOD_MS), DOOR_KNOCKED);
}

static void who_has_proven_the_token_has_not_failed(void **state)
{
    (void)state;
    ceilings.failed_proofs = 1;
    for (int i = 0; i < 10; i++) {
        struct guest guest = far("10.0.0.7", true);

        assert_int_equal(enter(&guest), DOOR_OPEN);
        door_proven(&door, &guest, START);
        door_hush(&door, &guest, START);
        door_leave(&door, &guest);
    }
}

static void what_one_does_not_read_has_an_end(void **state)
{
    (void)state;
    ceilings.output_bytes = 1000;
    assert_null(door_may_wait(&door, 999, 1));
    assert_null(door_may_wait(&door, 1000, 1));
    assert_non_null(door_may_wait(&door, 1001, 1));
    assert_int_equal(usage.output_bytes.refused, 1);
    assert_int_equal(usage.output_bytes.used, 1001); /* the most that ever waited */
}

static void what_all_hold_has_an_end(void **state)
{
    (void)state;
    ceilings.buffer_bytes = 1000;
    usage.buffer_bytes.used = 999;
    assert_false(door_is_crowded(&door));
    assert_null(door_may_wait(&door, 0, 1));
    assert_non_null(door_may_wait(&door, 0, 2));
    usage.buffer_bytes.used = 1000;
    assert_false(door_is_crowded(&door));
    assert_non_null(door_may_wait(&door, 0, 1));
    usage.buffer_bytes.used = 1001;
    assert_true(door_is_crowded(&door));
    assert_int_equal(usage.buffer_bytes.refused, 2);
}

static void of_no_memory_a_sixteenth_is_for_what_peers_send(void **state)
{
    (void)state;
    ceilings.buffer_bytes = 1600;
    ceilings.memory_bytes = 5000;
    usage.memory_bytes.used = 5000;
    usage.buffer_bytes.used = 1600;
    assert_false(door_is_crowded(&door));
    usage.memory_bytes.used = 5001;
    assert_true(door_is_crowded(&door));
    usage.buffer_bytes.used = 101;
    assert_true(door_is_crowded(&door));
    usage.buffer_bytes.used = 100;
    assert_false(door_is_crowded(&door));
}

/* Sinks open theirs while they deliver, when it is too late to say no. */
static void files_are_left_for_sinks(void **state)
{
    struct guest guest = local();

    (void)state;
    usage.files = FILES_OWN + 20;
    usage.sink_files = 20;
    assert_int_equal(usage_files_left(&usage), 0);
    assert_int_equal(enter(&guest), DOOR_FULL);
    usage.sink_files = 19;
    assert_int_equal(usage_files_left(&usage), 1);
    assert_int_equal(enter(&guest), DOOR_OPEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(three_connections_of_three_and_no_fourth, begin),
        cmocka_unit_test_setup(files_are_left_for_checkpoints, begin),
        cmocka_unit_test_setup(three_over_tcp_and_a_fourth_at_the_socket, begin),
        cmocka_unit_test_setup(three_without_a_proof_and_a_fourth_after_one, begin),
        cmocka_unit_test_setup(three_failures_of_a_machine_and_a_fourth_a_second_later, begin),
        cmocka_unit_test_setup(who_has_proven_the_token_has_not_failed, begin),
        cmocka_unit_test_setup(what_one_does_not_read_has_an_end, begin),
        cmocka_unit_test_setup(what_all_hold_has_an_end, begin),
        cmocka_unit_test_setup(of_no_memory_a_sixteenth_is_for_what_peers_send, begin),
        cmocka_unit_test_setup(files_are_left_for_sinks, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
