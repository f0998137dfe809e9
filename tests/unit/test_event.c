#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <string.h>

#include "daemon/tensorboard/event.h"
#include "daemon/tensorboard/tfrecord.h"

static const struct event_head HEAD = {2.0, 7, "loss", true};

/* The payload of the queue's only record. */
static const uint8_t *payload(const struct pending *queue, size_t *length)
{
    const uint8_t *data = NULL;
    size_t used = 0;

    assert_int_equal(tfrecord_read(queue->data, queue->length, &data, length, &used), TFRECORD_OK);
    assert_int_equal(used, queue->length);
    return data;
}

static void assert_payload(struct pending *queue, const void *bytes, size_t n)
{
    size_t length;
    const uint8_t *data = payload(queue, &length);

    assert_int_equal(length, n);
    assert_memory_equal(data, bytes, n);
    pending_close(queue);
}

static void the_first_record_names_version_and_writer(void **state)
{
    (void)state;
    struct pending queue = PENDING_INIT;
    struct event_head head = {.wall = 2.0};

    assert_true(event_version(&queue, 1000, &head));
    assert_payload(&queue,
                   "\x09\0\0\0\0\0\0\0\x40"
                   "\x1a\x0d"
                   "brain.Event:2"
                   "\x52\x09\x0a\x07"
                   "embmond",
                   9 + 15 + 11);
}

static void a_start_is_a_session_log(void **state)
{
    (void)state;
    struct pending queue = PENDING_INIT;
    struct event_head head = {.wall = 2.0, .step = 300};

    assert_true(event_start(&queue, 1000, &head));
    assert_payload(&queue,
                   "\x09\0\0\0\0\0\0\0\x40"
                   "\x10\xac\x02"
                   "\x3a\x02\x08\x01",
                   16);
}

static void a_scalar_has_its_metadata_once(void **state)
{
    (void)state;
    struct pending queue = PENDING_INIT;
    struct event_head later = HEAD;

    assert_true(event_scalar(&queue, 1000, &HEAD, 0.5));
    assert_payload(&queue,
                   "\x09\0\0\0\0\0\0\0\x40"
                   "\x10\x07"
                   "\x2a\x1c\x0a\x1a"
                   "\x0a\x04loss"
                   "\x15\0\0\0\x3f"
                   "\x4a\x0d\x0a\x09\x0a\x07scalars\x20\x01",
                   9 + 2 + 4 + 26);
    later.describe = false;
    assert_true(event_scalar(&queue, 1000, &later, 0.5));
    assert_payload(&queue,
                   "\x09\0\0\0\0\0\0\0\x40"
                   "\x10\x07"
                   "\x2a\x0d\x0a\x0b"
                   "\x0a\x04loss"
                   "\x15\0\0\0\x3f",
                   9 + 2 + 4 + 11);
}

static float written(double value)
{
    struct pending queue = PENDING_INIT;
    struct event_head head = {2.0, 7, "loss", false};
    size_t length;
    float out;

    assert_true(event_scalar(&queue, 1000, &head, value));
    memcpy(&out, payload(&queue, &length) + length - 4, 4);
    pending_close(&queue);
    return out;
}

static void a_scalar_of_zero_is_written_and_finite_stays_finite(void **state)
{
    (void)state;
    assert_true(written(0) == 0);
    assert_true(written(1e39) == FLT_MAX);
    assert_true(written(-DBL_MAX) == -FLT_MAX);
    assert_true(isinf(written(INFINITY)));
    assert_true(isnan(written(NAN)));
}

static void a_histogram_is_a_tensor_of_doubles(void **state)
{
    (void)state;
    struct pending queue = PENDING_INIT;
    struct event_head head = {2.0, 7, "g", false};
    struct histogram h = {.length = 2, .left = {-1, 0}, .right = {0, 1}, .count = {2, 3}};
    const double rows[] = {-1, 0, 2, 0, 1, 3};
    size_t length;
    const uint8_t *data;

    assert_true(event_histogram(&queue, 1000, &head, &h));
    data = payload(&queue, &length);
    assert_memory_equal(data + 11,
                        "\x2a\x45\x0a\x43"
                        "\x0a\x01g"
                        "\x42\x3e"
                        "\x08\x02"
                        "\x12\x08\x12\x02\x08\x02\x12\x02\x08\x03"
                        "\x22\x30",
                        23);
    assert_memory_equal(data + 34, rows, sizeof rows);
    assert_int_equal(length, 34 + sizeof rows);
    pending_close(&queue);
}

static void a_text_is_a_string_tensor(void **state)
{
    (void)state;
    struct pending queue = PENDING_INIT;
    struct event_head head = {2.0, 7, "t", false};

    assert_true(event_text(&queue, 1000, &head, "**a**", 5));
    assert_payload(&queue,
                   "\x09\0\0\0\0\0\0\0\x40"
                   "\x10\x07"
                   "\x2a\x12\x0a\x10"
                   "\x0a\x01t"
                   "\x42\x0b\x08\x07\x12\0\x42\x05**a**",
                   9 + 2 + 4 + 16);
}

static void a_full_queue_is_left_as_it_was(void **state)
{
    (void)state;
    struct pending queue = PENDING_INIT;
    size_t size;

    assert_true(event_scalar(&queue, 1000, &HEAD, 1));
    size = queue.length;
    assert_false(event_scalar(&queue, 2 * size - 1, &HEAD, 2));
    assert_false(event_scalar(&queue, size - 1, &HEAD, 2));
    assert_int_equal(queue.length, size);
    assert_true(event_scalar(&queue, 2 * size, &HEAD, 2));
    assert_int_equal(queue.length, 2 * size);
    pending_close(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_record_names_version_and_writer),
        cmocka_unit_test(a_start_is_a_session_log),
        cmocka_unit_test(a_scalar_has_its_metadata_once),
        cmocka_unit_test(a_scalar_of_zero_is_written_and_finite_stays_finite),
        cmocka_unit_test(a_histogram_is_a_tensor_of_doubles),
        cmocka_unit_test(a_text_is_a_string_tensor),
        cmocka_unit_test(a_full_queue_is_left_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
