#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "daemon/tensorboard/tfrecord.h"

/* "123456789" in a record, as the Python package tensorboard writes it; the checksum of the data is
 * the published vector, masked. */
static const uint8_t GOLDEN[] = {
    9,   0,   0,   0,   0,   0,   0,   0,   0x37, 0xf9, 0x71, 0x39, '1',
    '2', '3', '4', '5', '6', '7', '8', '9', 0xe5, 0xb0, 0x8a, 0xc7,
};

static void a_sealed_record_has_the_published_bytes(void **state)
{
    (void)state;
    uint8_t record[sizeof GOLDEN] = {0};

    memcpy(record + TFRECORD_HEADER, "123456789", 9);
    tfrecord_seal(record, 9);
    assert_memory_equal(record + 21, GOLDEN + 21, 4);
    assert_memory_equal(record, GOLDEN, sizeof GOLDEN);
}

static void a_whole_record_is_read(void **state)
{
    (void)state;
    const uint8_t *payload = NULL;
    size_t length = 0, used = 0;

    assert_int_equal(tfrecord_read(GOLDEN, sizeof GOLDEN, &payload, &length, &used), TFRECORD_OK);
    assert_ptr_equal(payload, GOLDEN + 12);
    assert_int_equal(length, 9);
    assert_int_equal(used, 25);
}

static void every_prefix_asks_for_more(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof GOLDEN; n++) {
        uint8_t *exact = malloc(n + 1); /* so that a sanitizer sees a read beyond n */
        const uint8_t *payload;
        size_t length, used;

        assert_non_null(exact);
        memcpy(exact + 1, GOLDEN, n);
        assert_int_equal(tfrecord_read(exact + 1, n, &payload, &length, &used), TFRECORD_MORE);
        free(exact);
    }
}

static void every_flipped_bit_is_bad(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < 8 * sizeof GOLDEN; bit++) {
        uint8_t bytes[sizeof GOLDEN];
        const uint8_t *payload;
        size_t length, used;

        memcpy(bytes, GOLDEN, sizeof bytes);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(tfrecord_read(bytes, sizeof bytes, &payload, &length, &used),
                         TFRECORD_BAD);
    }
}

static void a_length_above_the_ceiling_is_bad_even_with_its_checksum(void **state)
{
    (void)state;
    size_t n = TFRECORD_HEADER + (size_t)TFRECORD_MAX + 1 + TFRECORD_FOOTER;
    uint8_t *record = calloc(1, n);
    const uint8_t *payload;
    size_t length, used;

    assert_non_null(record);
    tfrecord_seal(record, TFRECORD_MAX);
    assert_int_equal(tfrecord_read(record, n, &payload, &length, &used), TFRECORD_OK);
    assert_int_equal(length, TFRECORD_MAX);
    tfrecord_seal(record, (size_t)TFRECORD_MAX + 1);
    assert_int_equal(tfrecord_read(record, n, &payload, &length, &used), TFRECORD_BAD);
    assert_int_equal(tfrecord_read(record, 12, &payload, &length, &used), TFRECORD_BAD);
    free(record);
}

static void an_empty_record_is_a_record(void **state)
{
    (void)state;
    uint8_t record[TFRECORD_HEADER + TFRECORD_FOOTER];
    const uint8_t *payload;
    size_t length = 1, used;

    tfrecord_seal(record, 0);
    assert_int_equal(tfrecord_read(record, sizeof record, &payload, &length, &used), TFRECORD_OK);
    assert_int_equal(length, 0);
    assert_int_equal(used, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sealed_record_has_the_published_bytes),
        cmocka_unit_test(a_whole_record_is_read),
        cmocka_unit_test(every_prefix_asks_for_more),
        cmocka_unit_test(every_flipped_bit_is_bad),
        cmocka_unit_test(a_length_above_the_ceiling_is_bad_even_with_its_checksum),
        cmocka_unit_test(an_empty_record_is_a_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
