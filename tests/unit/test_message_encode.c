#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "proto/message.h"
#include "tests/unit/one_of_each.h"

static uint8_t room[1 << 16];

static void a_frame_is_as_long_as_its_size_says_and_nothing_is_written_behind_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < ONE_OF_EACH; i++) {
        struct message message = one_of_each(i);
        struct frame_codec codec = {0};
        struct frame frame;
        size_t size = message_size(&message), used;

        assert_true(size > FRAME_HEADER && size < sizeof room);
        memset(room, 0xa5, sizeof room);
        assert_int_equal(message_encode(&message, room), size);
        for (size_t at = size; at < sizeof room; at++)
            assert_int_equal(room[at], 0xa5);
        assert_int_equal(frame_read(&frame, &used, room, size, &codec, sizeof room, 0), FRAME_OK);
        assert_int_equal(used, size);
        assert_int_equal(frame.type, i + 1);
    }
}

static void a_message_of_defaults_has_no_payload(void **state)
{
    struct message beat = {.type = FRAME_HEARTBEAT}, layers = {.type = FRAME_LAYERS};

    (void)state;
    assert_int_equal(message_size(&beat), FRAME_HEADER);
    assert_int_equal(message_encode(&beat, room), FRAME_HEADER);
    assert_int_equal(message_encode(&layers, room), FRAME_HEADER);
}

static void the_bytes_are_those_of_the_example_in_the_documents(void **state)
{
    static const uint8_t expected[] = {0x45, 0x4d, 0x42, 0x4d, 0x01, 0x00, 0x04, 0x00, 0x02,
                                       0x00, 0x00, 0x00, 0x0a, 0x49, 0x50, 0xe1, 0x08, 0x03};
    struct message beat = {.type = FRAME_HEARTBEAT, .heartbeat = {.produced = 3}};

    (void)state;
    assert_int_equal(message_encode(&beat, room), sizeof expected);
    assert_memory_equal(room, expected, sizeof expected);
}

/* The number is read from what cannot be decoded: it has to come first. */
static void numbered_messages_begin_with_their_number(void **state)
{
    static const enum frame_type numbered[] = {FRAME_SAMPLE, FRAME_IDS,      FRAME_SHAPE,
                                               FRAME_SCALAR, FRAME_STEP_END, FRAME_EPOCH};

    (void)state;
    for (size_t i = 0; i < sizeof numbered / sizeof numbered[0]; i++) {
        struct message message = one_of_each(numbered[i] - 1);

        message_encode(&message, room);
        assert_int_equal(room[FRAME_HEADER], 1 << 3);
        assert_int_equal(room[FRAME_HEADER + 1] & 0x7f, message_sequence(&message) & 0x7f);
    }
}

static void null_texts_are_empty_ones(void **state)
{
    struct message null = one_of_each(FRAME_HELLO - 1), empty = null;
    uint8_t other[1 << 10];
    size_t n;

    (void)state;
    null.hello.given = null.hello.key = NULL;
    empty.hello.given = empty.hello.key = "";
    n = message_encode(&null, room);
    assert_int_equal(message_encode(&empty, other), n);
    assert_memory_equal(room, other, n);
}

static void unknown_types_are_no_bytes(void **state)
{
    struct message message = {.type = (enum frame_type)(ONE_OF_EACH + 1)};

    (void)state;
    assert_int_equal(message_size(&message), 0);
    assert_int_equal(message_encode(&message, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_as_long_as_its_size_says_and_nothing_is_written_behind_it),
        cmocka_unit_test(a_message_of_defaults_has_no_payload),
        cmocka_unit_test(the_bytes_are_those_of_the_example_in_the_documents),
        cmocka_unit_test(numbered_messages_begin_with_their_number),
        cmocka_unit_test(null_texts_are_empty_ones),
        cmocka_unit_test(unknown_types_are_no_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
