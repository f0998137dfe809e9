#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "client/queue.h"

enum { NODE = 24, FRAME = 100, COST = NODE + FRAME };

static uint64_t push(struct queue *q, uint64_t sequence, bool precious)
{
    uint64_t dropped = 0;
    uint8_t *place = queue_push(q, sequence, FRAME, precious, &dropped);

    assert_non_null(place);
    memset(place, (int)sequence, FRAME);
    return dropped;
}

/* Sends the next frame and returns its number; 0: nothing to send. */
static uint64_t send_next(struct queue *q)
{
    struct queued frame;

    if (!queue_next(q, &frame))
        return 0;
    assert_int_equal(frame.length, FRAME);
    assert_int_equal(frame.bytes[FRAME - 1], (uint8_t)frame.sequence);
    queue_sent(q);
    return frame.sequence;
}

static void frames_are_sent_in_order_whatever_their_worth(void **state)
{
    struct queue *q = queue_new(10 * COST);

    (void)state;
    push(q, 1, false), push(q, 2, true), push(q, 3, false), push(q, 4, true);
    for (uint64_t i = 1; i <= 4; i++)
        assert_int_equal(send_next(q), i);
    assert_int_equal(send_next(q), 0);
    push(q, 5, true);
    assert_int_equal(send_next(q), 5);
    assert_int_equal(queue_count(q), 5);
    assert_int_equal(queue_bytes(q), 5 * COST);
    queue_free(q);
}

static void what_is_not_sent_is_counted(void **state)
{
    struct queue *q = queue_new(6 * COST);

    (void)state;
    assert_int_equal(queue_unsent(q), 0);
    for (uint64_t i = 1; i <= 6; i++)
        push(q, i, i % 2);
    assert_int_equal(queue_unsent(q), 6);
    send_next(q), send_next(q), send_next(q);
    assert_int_equal(queue_unsent(q), 3);
    queue_ack(q, 1); /* one that was sent */
    assert_int_equal(queue_unsent(q), 3);
    queue_discard_next(q); /* 4 */
    assert_int_equal(queue_unsent(q), 2);
    assert_true(queue_nack(q, 3));
    assert_int_equal(queue_unsent(q), 2);
    push(q, 7, true), push(q, 8, true), push(q, 9, true);
    assert_int_equal(queue_unsent(q), 5);
    assert_int_equal(push(q, 10, true), 0); /* 2 is let go, which was sent */
    assert_int_equal(queue_unsent(q), 6);
    assert_int_equal(queue_gone(q), 1);
    assert_int_equal(push(q, 11, true), 1); /* 6 goes, which was not */
    assert_int_equal(queue_unsent(q), 6);
    send_next(q);
    assert_int_equal(queue_unsent(q), 5);
    queue_rewind(q);
    assert_int_equal(queue_unsent(q), 6);
    assert_int_equal(queue_ack(q, 11), 7); /* taken on the connection before */
    assert_int_equal(queue_gone(q), 0);
    assert_int_equal(queue_unsent(q), 0);
    queue_free(q);
}

static void an_ack_takes_all_up_to_its_number(void **state)
{
    struct queue *q = queue_new(10 * COST);

    (void)state;
    for (uint64_t i = 1; i <= 6; i++)
        push(q, i, i % 2);
    for (int i = 0; i < 5; i++)
        send_next(q);
    assert_int_equal(queue_ack(q, 4), 4);
    assert_int_equal(queue_ack(q, 4), 0);
    assert_int_equal(queue_ack(q, 3), 0);
    assert_int_equal(send_next(q), 6);
    assert_int_equal(queue_ack(q, 6), 2);
    assert_int_equal(queue_count(q), 0);
    assert_int_equal(queue_bytes(q), 0);
    push(q, 7, false);
    assert_int_equal(send_next(q), 7);
    queue_free(q);
}

static void a_nack_takes_one_that_was_sent(void **state)
{
    struct queue *q = queue_new(10 * COST);

    (void)state;
    for (uint64_t i = 1; i <= 4; i++)
        push(q, i, i == 2);
    for (int i = 0; i < 3; i++)
        send_next(q);
    assert_true(queue_nack(q, 2));
    assert_false(queue_nack(q, 2));
    assert_true(queue_nack(q, 3));
    assert_false(queue_nack(q, 4)); /* not sent */
    assert_false(queue_nack(q, 99));
    assert_int_equal(send_next(q), 4);
    assert_int_equal(queue_ack(q, 4), 2);
    queue_free(q);
}

static void after_a_rewind_the_rest_is_sent_again(void **state)
{
    struct queue *q = queue_new(10 * COST);

    (void)state;
    for (uint64_t i = 1; i <= 4; i++)
        push(q, i, i == 3);
    for (int i = 0; i < 4; i++)
        send_next(q);
    assert_int_equal(queue_ack(q, 1), 1);
    queue_rewind(q);
    for (uint64_t i = 2; i <= 4; i++)
        assert_int_equal(send_next(q), i);
    assert_int_equal(send_next(q), 0);
    queue_free(q);
}

static void the_oldest_ordinary_frames_are_dropped_first(void **state)
{
    struct queue *q = queue_new(5 * COST);
    const uint64_t left[] = {5, 7, 8, 9, 10};

    (void)state;
    push(q, 1, false), push(q, 2, true), push(q, 3, false), push(q, 4, false), push(q, 5, true);
    assert_int_equal(send_next(q), 1);
    assert_int_equal(push(q, 6, false), 0); /* 1: sent, but not answered */
    assert_int_equal(push(q, 7, true), 1);  /* 3 */
    assert_int_equal(push(q, 8, true), 1);  /* 4 */
    assert_int_equal(push(q, 9, true), 1);  /* 6: the last ordinary one */
    assert_int_equal(push(q, 10, true), 1); /* 2 */
    assert_int_equal(queue_count(q), 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(send_next(q), left[i]);
    assert_int_equal(queue_ack(q, 10), 6);
    queue_free(q);
}

static void the_bound_is_never_passed(void **state)
{
    struct queue *q = queue_new(1000);
    uint64_t dropped = 0, pushed = 0;

    (void)state;
    for (uint64_t i = 1; i <= 500; i++) {
        assert_non_null(queue_push(q, i, (size_t)(i * 37 % 900), i % 5 == 0, &dropped));
        pushed++;
        if (i % 3 == 0 && queue_next(q, &(struct queued){0}))
            queue_sent(q);
        assert_true(queue_bytes(q) <= 1000);
        assert_int_equal(queue_count(q) + queue_gone(q) + dropped, pushed);
    }
    queue_free(q);
}

/* The daemon has it: the answer counts, whether the frame is still kept or not. */
static void what_was_sent_and_let_go_is_answered_like_the_rest(void **state)
{
    struct queue *q = queue_new(4 * COST);

    (void)state;
    for (uint64_t i = 1; i <= 4; i++)
        push(q, i, i == 2), send_next(q);
    for (uint64_t i = 5; i <= 8; i++)
        assert_int_equal(push(q, i, false), i == 8); /* 1, 3, 4, and 5, which was not sent */
    assert_int_equal(queue_gone(q), 3);
    assert_false(queue_nack(q, 5));
    assert_true(queue_nack(q, 3));
    assert_false(queue_nack(q, 3));
    assert_int_equal(queue_ack(q, 3), 2); /* 1 and 2 */
    assert_int_equal(queue_gone(q), 1);
    queue_rewind(q); /* it may still turn out to be kept */
    assert_int_equal(queue_gone(q), 1);
    assert_int_equal(queue_forget_gone(q), 1);
    assert_int_equal(queue_forget_gone(q), 0);
    assert_int_equal(queue_ack(q, 8), 3);
    queue_free(q);
}

/* However many are waiting, and whatever numbers are said. */
static void a_refusal_is_found_behind_the_one_before(void **state)
{
    struct queue *q = queue_new(4000 * COST);
    uint64_t passed;

    (void)state;
    for (uint64_t i = 1; i <= 3000; i++)
        push(q, i, i % 50 == 0), send_next(q);
    for (uint64_t i = 1500; i <= 3000; i++)
        assert_true(queue_nack(q, i));
    assert_in_range(queue_passed(q), 1400, 6000);
    passed = queue_passed(q);
    assert_true(queue_nack(q, 7)); /* out of order: from the first */
    assert_in_range(queue_passed(q) - passed, 6, 60);
    assert_int_equal(queue_ack(q, 1000), 999);
    assert_true(queue_nack(q, 1001));
    queue_rewind(q);
    assert_false(queue_nack(q, 1100)); /* not sent again yet */
    send_next(q), send_next(q);
    assert_true(queue_nack(q, 1003));
    assert_int_equal(queue_ack(q, 3000), 499 - 2);
    queue_free(q);
}

static void a_frame_that_can_never_fit_is_refused_alone(void **state)
{
    struct queue *q = queue_new(2 * COST);
    uint64_t dropped = 0;

    (void)state;
    push(q, 1, false);
    assert_null(queue_push(q, 2, 2 * COST, true, &dropped));
    assert_null(queue_push(q, 3, SIZE_MAX, true, &dropped));
    assert_int_equal(dropped, 0);
    assert_int_equal(queue_count(q), 1);
    queue_free(q);
}

static void the_next_frame_can_be_discarded(void **state)
{
    struct queue *q = queue_new(10 * COST);

    (void)state;
    push(q, 1, false), push(q, 2, false), push(q, 3, true);
    assert_int_equal(send_next(q), 1);
    queue_discard_next(q);
    assert_int_equal(send_next(q), 3);
    assert_int_equal(queue_count(q), 2);
    queue_free(q);
}

static void room_is_made_before_a_frame_is_known(void **state)
{
    struct queue *q = queue_new(3 * COST);

    (void)state;
    push(q, 1, true), push(q, 2, false), push(q, 3, false);
    assert_int_equal(queue_make_room(q, 4 * COST), 0); /* it can never fit */
    assert_int_equal(queue_make_room(q, SIZE_MAX), 0);
    assert_int_equal(queue_count(q), 3);
    assert_int_equal(queue_make_room(q, FRAME + 1), 2);
    assert_int_equal(queue_make_room(q, FRAME + 1), 0);
    assert_int_equal(push(q, 4, false), 0);
    assert_int_equal(send_next(q), 1);
    assert_int_equal(send_next(q), 4);
    queue_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_sent_in_order_whatever_their_worth),
        cmocka_unit_test(what_is_not_sent_is_counted),
        cmocka_unit_test(an_ack_takes_all_up_to_its_number),
        cmocka_unit_test(a_nack_takes_one_that_was_sent),
        cmocka_unit_test(room_is_made_before_a_frame_is_known),
        cmocka_unit_test(after_a_rewind_the_rest_is_sent_again),
        cmocka_unit_test(the_oldest_ordinary_frames_are_dropped_first),
        cmocka_unit_test(the_bound_is_never_passed),
        cmocka_unit_test(what_was_sent_and_let_go_is_answered_like_the_rest),
        cmocka_unit_test(a_refusal_is_found_behind_the_one_before),
        cmocka_unit_test(a_frame_that_can_never_fit_is_refused_alone),
        cmocka_unit_test(the_next_frame_can_be_discarded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
