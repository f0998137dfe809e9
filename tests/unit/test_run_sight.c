/* What is judged before its step is over, through sessions: the forward pass raised, the step never
 * ended, the connection was lost. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/run_state.h"
#include "tests/unit/one_run.h"

enum { TABLE = 10, FLAT, JOINS, KERNEL };

static void declare(struct peer *of)
{
    static const uint32_t table[] = {TABLE}, flat[] = {FLAT, TABLE};
    static const int64_t shape[] = {4, 2};
    static const struct msg_layer layers[] = {
        {.id = TABLE,
         .path = "words",
         .kind = EMBMON_EMBEDDING,
         .activation = "",
         .trainable = true,
         .rows = 100,
         .columns = 8},
        {.id = FLAT, .path = "flat", .activation = "", .inputs = table, .input_count = 1},
        {.id = JOINS,
         .path = "joins",
         .kind = EMBMON_CONCATENATE,
         .activation = "",
         .inputs = flat,
         .input_count = 2},
    };
    static const struct msg_variable variables[] = {
        {.id = KERNEL, .layer = FLAT, .name = "kernel", .shape = shape, .shape_length = 2}};
    struct message m = {.type = FRAME_LAYERS, .layers = {layers, 3, variables, 1}};

    peer_say(of, &m, 0);
}

static int start_with(void **state, struct hello with)
{
    if (one_run_begin_with(state, with) != 0)
        return -1;
    declare(&peer);
    return 0;
}

static int start(void **state)
{
    return start_with(state, (struct hello){0});
}

static int start_2(void **state)
{
    return start_with(state, (struct hello){.world = 2});
}

static void ids(struct peer *of, uint32_t target, uint32_t phase, uint64_t step, uint64_t beyond)
{
    struct message m = {.type = FRAME_IDS,
                        .ids = {.sequence = ++of->sequence,
                                .target = target,
                                .phase = phase,
                                .step = step,
                                .input = "input1",
                                .dtype = EMBMON_I64,
                                .stats = {.count = 32,
                                          .beyond = beyond,
                                          .worst = beyond ? 100 : 0,
                                          .worst_position = 5,
                                          .unique = 20,
                                          .rows_seen = 20}}};

    peer_say(of, &m, step);
}

static void shape(struct peer *of, uint32_t target, uint32_t role, uint32_t index, int64_t width)
{
    const int64_t dims[] = {4, width};
    struct message m = {.type = FRAME_SHAPE,
                        .shape = {.sequence = ++of->sequence,
                                  .target = target,
                                  .phase = EMBMON_TRAIN,
                                  .role = role,
                                  .index = index,
                                  .inputs = role == EMBMON_SHAPE_INPUT ? 2 : 0,
                                  .dims = dims,
                                  .dim_count = 2}};

    peer_say(of, &m, 1);
}

static void must_hear(const struct peer *of, unsigned notices, const char *detector,
                      uint32_t state_now, uint64_t step)
{
    assert_int_equal(of->heard.count[FRAME_NOTICE], notices);
    assert_string_equal(of->heard.detector, detector);
    assert_int_equal(of->heard.state, state_now);
    assert_int_equal(of->heard.notice_step, step);
    assert_int_equal(of->heard.count[FRAME_NACK], 0);
}

static unsigned alerts_with(const char *text)
{
    static char lines[1 << 16];
    int fd = open(tree_file("run/embmon/alerts.jsonl"), O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, lines, sizeof lines - 1);
    unsigned count = 0;

    assert_true(n >= 0);
    if (fd >= 0)
        (void)close(fd);
    lines[n] = '\0';
    for (const char *at_line = lines; (at_line = strstr(at_line, text)); at_line++)
        count++;
    return count;
}

static void an_alert_comes_before_the_forward_pass_can_raise(void **state)
{
    (void)state;
    ids(&peer, TABLE, EMBMON_TRAIN, 312, 3);
    must_hear(&peer, 1, "ids_out_of_range", EMBMON_FIRING, 312);
    assert_string_equal(peer.heard.layer, "words");
    assert_int_equal(steps_closed(run->steps, EMBMON_TRAIN), -1);
}

static void an_id_is_told_with_its_word(void **state)
{
    static const struct ids_word words[] = {{100, "dress | <b>"}};
    struct message m = {.type = FRAME_IDS,
                        .ids = {.sequence = 1,
                                .target = TABLE,
                                .phase = EMBMON_TRAIN,
                                .input = "",
                                .dtype = EMBMON_I64,
                                .stats = {.count = 32, .beyond = 1, .worst = 100},
                                .words = words,
                                .word_count = 1}};

    (void)state;
    peer.sequence = 1;
    peer_say(&peer, &m, 0);
    must_hear(&peer, 1, "ids_out_of_range", EMBMON_FIRING, 0);
    run_flush(run, at(20));
    assert_int_equal(alerts_with("id 100 (\\\"dress | <b>\\\") reached words"), 1);
    ids(&peer, TABLE, EMBMON_INFER, 0, 1); /* it is still known: the posts of a client may vary */
    run_flush(run, at(120));
    assert_int_equal(alerts_with("id 100 (\\\"dress | <b>\\\") reached words"), 2);
}

static void a_connection_that_is_lost_keeps_what_was_said_and_says_it_once(void **state)
{
    (void)state;
    ids(&peer, TABLE, EMBMON_TRAIN, 7, 1);
    peer_close(&peer, 10);
    run_flush(run, at(20));
    assert_int_equal(alerts_with("\"detector\":\"ids_out_of_range\""), 1);
    assert_int_equal(alerts_with("\"state\":\"firing\",\"step\":7,\"first_step\":7"), 1);
    assert_int_equal(alerts_with("position 5 of input input1"), 1);
    assert_int_equal(steps_closed(run->steps, EMBMON_TRAIN), 7);
}

static void a_step_that_ends_says_it_no_second_time(void **state)
{
    (void)state;
    ids(&peer, TABLE, EMBMON_TRAIN, 0, 1);
    peer_end(&peer, 0, 1);
    must_hear(&peer, 1, "ids_out_of_range", EMBMON_FIRING, 0);
    for (uint64_t step = 1; step <= 10; step++) {
        ids(&peer, TABLE, EMBMON_TRAIN, step, 0);
        peer_end(&peer, step, step);
    }
    must_hear(&peer, 2, "ids_out_of_range", EMBMON_RESOLVED, 10);
}

/* A client that samples one step of eight posts ids that are wrong at any: it tells no end of such
 * a step, and the next one that ends closes it. */
static void a_step_that_is_not_sampled_is_told_and_closes_with_the_next(void **state)
{
    (void)state;
    ids(&peer, TABLE, EMBMON_TRAIN, 0, 0);
    peer_end(&peer, 0, 1);
    ids(&peer, TABLE, EMBMON_TRAIN, 5, 1);
    must_hear(&peer, 1, "ids_out_of_range", EMBMON_FIRING, 5);
    assert_int_equal(steps_closed(run->steps, EMBMON_TRAIN), 0);
    ids(&peer, TABLE, EMBMON_TRAIN, 8, 0);
    peer_end(&peer, 8, 2);
    assert_int_equal(steps_closed(run->steps, EMBMON_TRAIN), 8);
    assert_int_equal(peer.heard.count[FRAME_NACK], 0);
    for (uint64_t step = 16; step <= 80; step += 8) {
        ids(&peer, TABLE, EMBMON_TRAIN, step, 0);
        peer_end(&peer, step, step);
    }
    must_hear(&peer, 2, "ids_out_of_range", EMBMON_RESOLVED, 80); /* the 10th that is fine */
}

static void inference_is_looked_at_too(void **state)
{
    (void)state;
    ids(&peer, TABLE, EMBMON_INFER, 0, 1);
    must_hear(&peer, 1, "ids_out_of_range", EMBMON_FIRING, 0);
}

static void a_rank_is_not_waited_for(void **state)
{
    struct peer other = peer_join(registry, 2, (struct hello){.world = 2, .rank = 1}, 0);

    (void)state;
    declare(&other);
    ids(&other, TABLE, EMBMON_TRAIN, 5, 2);
    must_hear(&other, 1, "ids_out_of_range", EMBMON_FIRING, 5);
    run_flush(run, at(20));
    assert_int_equal(alerts_with("\"ranks\":[1]"), 1);
    assert_int_equal(alerts_with(", on rank 1;"), 1);
    /* The other rank is behind, and fine: that resolves nothing. */
    for (uint64_t step = 0; step < 5; step++) {
        ids(&peer, TABLE, EMBMON_TRAIN, step, 0);
        peer_end(&peer, step, step);
    }
    must_hear(&other, 1, "ids_out_of_range", EMBMON_FIRING, 5);
    peer_close(&other, 100);
}

static void shapes_are_judged_when_they_come(void **state)
{
    (void)state;
    shape(&peer, TABLE, EMBMON_SHAPE_OUTPUT, 0, 8);
    shape(&peer, JOINS, EMBMON_SHAPE_INPUT, 0, 32);
    assert_int_equal(peer.heard.count[FRAME_NOTICE], 0);
    shape(&peer, JOINS, EMBMON_SHAPE_INPUT, 1, 32); /* axis 0: all others must be equal */
    assert_int_equal(peer.heard.count[FRAME_NOTICE], 0);
    shape(&peer, KERNEL, EMBMON_SHAPE_GRADIENT, 0, 2);
    assert_int_equal(peer.heard.count[FRAME_NOTICE], 0);
    shape(&peer, KERNEL, EMBMON_SHAPE_GRADIENT, 0, 3);
    must_hear(&peer, 1, "shape_mismatch", EMBMON_FIRING, 0);
    assert_string_equal(peer.heard.layer, "flat");
    run_flush(run, at(20));
    assert_int_equal(alerts_with("\"variable\":\"kernel\""), 1);
}

static void shapes_of_closed_steps_are_usual(void **state)
{
    (void)state;
    shape(&peer, TABLE, EMBMON_SHAPE_OUTPUT, 0, 8);
    peer_end(&peer, 0, 1);
    assert_int_equal(run->baseline.shapes.known, 1);
}

static void a_target_must_be_what_the_post_is_about(void **state)
{
    (void)state;
    ids(&peer, KERNEL, EMBMON_TRAIN, 0, 1);
    assert_int_equal(peer.heard.nack_reason, NACK_UNKNOWN);
    shape(&peer, KERNEL, EMBMON_SHAPE_OUTPUT, 0, 3);
    shape(&peer, 999, EMBMON_SHAPE_GRADIENT, 0, 3);
    assert_int_equal(peer.heard.count[FRAME_NACK], 3);
    assert_int_equal(peer.heard.nack_reason, NACK_UNKNOWN);
    assert_int_equal(peer.heard.count[FRAME_NOTICE], 0);
}

static void what_is_late_is_not_judged(void **state)
{
    (void)state;
    peer_end(&peer, 0, 1);
    ids(&peer, TABLE, EMBMON_TRAIN, 0, 1);
    assert_int_equal(peer.heard.nack_reason, NACK_LATE);
    assert_int_equal(peer.heard.count[FRAME_NOTICE], 0);
}

static void epoch(struct peer *of, uint64_t step)
{
    struct message m = {.type = FRAME_EPOCH,
                        .epoch = {.sequence = ++of->sequence, .epoch = 1, .step = step}};

    peer_say(of, &m, 100);
}

static void rows_are_judged_when_an_epoch_ends(void **state)
{
    (void)state;
    ids(&peer, TABLE, EMBMON_TRAIN, 0, 0);
    peer_end(&peer, 0, 1);
    assert_int_equal(peer.heard.count[FRAME_NOTICE], 0);
    epoch(&peer, 0);
    must_hear(&peer, 1, "rows_dead", EMBMON_FIRING, 0);
    assert_string_equal(peer.heard.layer, "words");
    run_flush(run, at(200));
    assert_int_equal(alerts_with("80 of 100 (80 %)"), 1);
    epoch(&peer, 0); /* nothing was looked up in between */
    must_hear(&peer, 1, "rows_dead", EMBMON_FIRING, 0);
}

static void ids_without_a_steps_end_are_bounded(void **state)
{
    (void)state;
    for (uint64_t step = 0; step < 3 * STEPS_OPEN_MAX; step++)
        ids(&peer, TABLE, EMBMON_TRAIN, step, 0);
    assert_int_equal(steps_closed(run->steps, EMBMON_TRAIN), 2 * STEPS_OPEN_MAX - 1);
}

#define sight_test(test) cmocka_unit_test_setup_teardown(test, start, one_run_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        sight_test(an_alert_comes_before_the_forward_pass_can_raise),
        sight_test(an_id_is_told_with_its_word),
        sight_test(a_connection_that_is_lost_keeps_what_was_said_and_says_it_once),
        sight_test(a_step_that_ends_says_it_no_second_time),
        sight_test(a_step_that_is_not_sampled_is_told_and_closes_with_the_next),
        sight_test(inference_is_looked_at_too),
        cmocka_unit_test_setup_teardown(a_rank_is_not_waited_for, start_2, one_run_end),
        sight_test(shapes_are_judged_when_they_come),
        sight_test(shapes_of_closed_steps_are_usual),
        sight_test(a_target_must_be_what_the_post_is_about),
        sight_test(what_is_late_is_not_judged),
        sight_test(rows_are_judged_when_an_epoch_ends),
        sight_test(ids_without_a_steps_end_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
