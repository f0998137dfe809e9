#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/pending.h"
#include "daemon/tensorboard/event.h"
#include "daemon/tensorboard/resume.h"
#include "daemon/tensorboard/tfrecord.h"

static int64_t last(const struct tag_table *tags, const char *name)
{
    const struct tag *tag = tag_table_find(tags, name, strlen(name));

    return tag ? tag->last_step : -1;
}

static void put(struct pending *queue, const char *tag, uint64_t step)
{
    struct event_head head = {1.0, step, tag, true};

    assert_true(event_scalar(queue, SIZE_MAX, &head, 1));
}

/* The last steps of a file with these bytes, and how many of them were whole records. */
static struct tag_table *resumed(const uint8_t *data, size_t n, uint64_t *whole)
{
    struct tag_table *tags = tag_table_new();
    FILE *file = tmpfile();

    assert_non_null(tags);
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, n, file), n);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(lseek(fileno(file), 0, SEEK_SET), 0);
    assert_true(resume_file(tags, fileno(file), whole));
    fclose(file);
    return tags;
}

static void the_last_step_of_each_tag_is_found(void **state)
{
    (void)state;
    struct pending queue = PENDING_INIT;
    uint64_t whole;

    put(&queue, "a", 0);
    put(&queue, "b", 300);
    put(&queue, "a", 7);
    put(&queue, "a", 5);
    struct tag_table *tags = resumed(queue.data, queue.length, &whole);
    assert_int_equal(last(tags, "a"), 7);
    assert_int_equal(last(tags, "b"), 300);
    assert_int_equal(last(tags, "c"), -1);
    assert_int_equal(whole, queue.length);
    tag_table_free(tags);
    pending_close(&queue);
}

static void a_torn_tail_ends_the_file_at_every_length(void **state)
{
    (void)state;
    struct pending queue = PENDING_INIT;
    size_t first;

    put(&queue, "a", 1);
    first = queue.length;
    put(&queue, "a", 2);
    for (size_t n = 0; n <= queue.length; n++) {
        uint64_t whole;
        struct tag_table *tags = resumed(queue.data, n, &whole);

        assert_int_equal(last(tags, "a"), n < first ? -1 : n < queue.length ? 1 : 2);
        assert_int_equal(whole, n < first ? 0 : n < queue.length ? first : n);
        tag_table_free(tags);
    }
    pending_close(&queue);
}

static void a_damaged_record_ends_the_file(void **state)
{
    (void)state;
    struct pending queue = PENDING_INIT;
    uint64_t whole;
    size_t first;

    put(&queue, "a", 1);
    first = queue.length;
    put(&queue, "a", 2);
    put(&queue, "a", 3);
    queue.data[first + 20] ^= 4;
    struct tag_table *tags = resumed(queue.data, queue.length, &whole);
    assert_int_equal(last(tags, "a"), 1);
    assert_int_equal(whole, first);
    tag_table_free(tags);
    pending_close(&queue);
}

static void a_file_longer_than_the_buffer_is_read_to_its_end(void **state)
{
    (void)state;
    struct pending queue = PENDING_INIT;
    char *text = calloc(1, 300001);
    struct event_head head = {1.0, 3, "text", true};
    uint64_t whole;

    assert_non_null(text);
    memset(text, 'x', 300000);
    for (uint64_t step = 0; step < 20000; step++)
        put(&queue, "a", step);
    assert_true(event_text(&queue, SIZE_MAX, &head, text, 300000));
    put(&queue, "a", 20000);
    struct tag_table *tags = resumed(queue.data, queue.length, &whole);
    assert_int_equal(last(tags, "a"), 20000);
    assert_int_equal(last(tags, "text"), 3);
    assert_int_equal(whole, queue.length);
    tag_table_free(tags);
    free(text);
    pending_close(&queue);
}

static void fields_in_any_order_and_unknown_ones_are_read(void **state)
{
    (void)state;
    /* Unknown fields of every wire type, two values, the step behind them and given twice. */
    static const uint8_t EVENT[] = "\x79"
                                   "12345678"
                                   "\x7d"
                                   "1234"
                                   "\x78\x80\x01"
                                   "\x7a\x02hi"
                                   "\x2a\x0a"
                                   "\x0a\x03\x0a\x01"
                                   "a"
                                   "\x0a\x03\x0a\x01"
                                   "b"
                                   "\x10\x05\x10\x09";
    struct tag_table *tags = tag_table_new();

    resume_event(tags, EVENT, sizeof EVENT - 1);
    assert_int_equal(last(tags, "a"), 9);
    assert_int_equal(last(tags, "b"), 9);
    tag_table_free(tags);
}

static void negative_steps_and_bad_tags_are_left_out(void **state)
{
    (void)state;
    static const uint8_t MINUS[] = "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                                   "\x2a\x05\x0a\x03\x0a\x01"
                                   "a";
    static const uint8_t BAD[] = "\x10\x01\x2a\x06\x0a\x04\x0a\x02\xff\xfe";
    struct tag_table *tags = tag_table_new();

    resume_event(tags, MINUS, sizeof MINUS - 1);
    resume_event(tags, BAD, sizeof BAD - 1);
    assert_int_equal(last(tags, "a"), -1);
    assert_null(tag_table_find(tags, "\xff\xfe", 2));
    tag_table_free(tags);
}

static uint32_t random_bits(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* Exactly n bytes on the heap, so that a sanitizer sees one byte too far. */
static void resume_exact(struct tag_table *tags, const uint8_t *data, size_t n)
{
    uint8_t *exact = malloc(n ? n : 1);

    assert_non_null(exact);
    memcpy(exact, data, n);
    resume_event(tags, exact, n);
    free(exact);
}

static void garbage_does_no_harm(void **state)
{
    (void)state;
    struct tag_table *tags = tag_table_new();
    uint64_t seed = 1;
    uint8_t bytes[200];

    for (int round = 0; round < 50000; round++) {
        size_t n = random_bits(&seed) % sizeof bytes;

        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)random_bits(&seed);
        resume_exact(tags, bytes, n);
    }
    tag_table_free(tags);
}

static void damaged_events_do_no_harm(void **state)
{
    (void)state;
    struct pending queue = PENDING_INIT;
    uint64_t seed = 2;
    size_t n;

    put(&queue, "gradients/inner_model/embedding_1", 1234567);
    n = queue.length - TFRECORD_HEADER - TFRECORD_FOOTER;
    for (int round = 0; round < 50000; round++) {
        struct tag_table *tags = tag_table_new();
        uint8_t copy[256];

        assert_in_range(n, 1, sizeof copy);
        memcpy(copy, queue.data + TFRECORD_HEADER, n);
        for (uint32_t flips = 1 + random_bits(&seed) % 8; flips > 0; flips--)
            copy[random_bits(&seed) % n] = (uint8_t)random_bits(&seed);
        resume_exact(tags, copy, random_bits(&seed) % (n + 1));
        resume_exact(tags, copy, n);
        tag_table_free(tags);
    }
    pending_close(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_step_of_each_tag_is_found),
        cmocka_unit_test(a_torn_tail_ends_the_file_at_every_length),
        cmocka_unit_test(a_damaged_record_ends_the_file),
        cmocka_unit_test(a_file_longer_than_the_buffer_is_read_to_its_end),
        cmocka_unit_test(fields_in_any_order_and_unknown_ones_are_read),
        cmocka_unit_test(negative_steps_and_bad_tags_are_left_out),
        cmocka_unit_test(garbage_does_no_harm),
        cmocka_unit_test(damaged_events_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
