#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "proto/crc32c.h"
#include "proto/frame.h"
#include "tests/unit/random.h"

/* For plain frames: their payload is borrowed from data. */
static enum frame_result read_limited(struct frame *frame, size_t *used, const uint8_t *data,
                                      size_t n, size_t payload_max)
{
    struct frame_codec codec = {0};
    enum frame_result result = frame_read(frame, used, data, n, &codec, payload_max, 0);

    assert_null(codec.buffer);
    return result;
}

static enum frame_result read_frame(const uint8_t *data, size_t n, size_t *used)
{
    struct frame_codec codec = {0};
    struct frame frame;
    enum frame_result result =
        frame_read(&frame, used, data, n, &codec, FRAME_PAYLOAD_MAX, FRAME_INFLATED_MAX);

    frame_codec_free(&codec);
    return result;
}

static void a_sealed_frame_has_the_drawn_layout(void **state)
{
    uint8_t frame[FRAME_HEADER + 5], expected[] = "EMBM\1\0\1\0\5\0\0\0....hello";
    uint32_t crc;

    (void)state;
    memcpy(frame + FRAME_HEADER, "hello", 5);
    frame_seal(frame, FRAME_HELLO, 0, 5);
    crc = crc32c(crc32c(0, expected, 12), "hello", 5);
    for (int i = 0; i < 4; i++)
        expected[12 + i] = (uint8_t)(crc >> 8 * i);
    assert_memory_equal(frame, expected, sizeof frame);
}

static void what_was_sealed_is_read(void **state)
{
    uint8_t data[FRAME_HEADER + 5 + 3] = {0};
    struct frame frame;
    size_t used;

    (void)state;
    memcpy(data + FRAME_HEADER, "hello", 5);
    frame_seal(data, 0xfedc, 0, 5);
    assert_int_equal(read_limited(&frame, &used, data, sizeof data, 5), FRAME_OK);
    assert_int_equal(used, FRAME_HEADER + 5);
    assert_int_equal(frame.type, 0xfedc);
    assert_int_equal(frame.length, 5);
    assert_ptr_equal(frame.payload, data + FRAME_HEADER);
}

static void an_empty_payload_is_a_frame(void **state)
{
    uint8_t data[FRAME_HEADER];
    struct frame frame;
    size_t used;

    (void)state;
    frame_seal(data, FRAME_BYE, 0, 0);
    assert_int_equal(read_limited(&frame, &used, data, sizeof data, 0), FRAME_OK);
    assert_int_equal(used, FRAME_HEADER);
    assert_int_equal(frame.length, 0);
}

static void a_part_of_a_frame_says_how_much_is_needed(void **state)
{
    uint8_t data[FRAME_HEADER + 100] = {0};
    size_t used;

    (void)state;
    frame_seal(data, FRAME_SAMPLE, 0, 100);
    for (size_t n = 0; n < sizeof data; n++) {
        assert_int_equal(read_frame(data, n, &used), FRAME_MORE);
        assert_int_equal(used, n < FRAME_HEADER ? FRAME_HEADER : sizeof data);
    }
    assert_int_equal(read_frame(data, sizeof data, &used), FRAME_OK);
    assert_int_equal(used, sizeof data);
}

static void strangers_are_told_from_their_first_byte(void **state)
{
    static const char *const strangers[] = {"G", "GET / HTTP/1.1\r\n\r\n", "EMBX", "\n", "EMB\n"};
    size_t used = 1;

    (void)state;
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        const uint8_t *data = (const uint8_t *)strangers[i];

        assert_int_equal(read_frame(data, strlen(strangers[i]), &used), FRAME_BAD_MAGIC);
        assert_int_equal(used, 0);
    }
}

static void a_header_is_judged_before_its_payload_is_waited_for(void **state)
{
    uint8_t data[FRAME_HEADER];
    struct frame frame;
    size_t used;

    (void)state;
    frame_seal(data, FRAME_HELLO, 0, 0);
    data[4] = 2;
    assert_int_equal(read_frame(data, 5, &used), FRAME_BAD_VERSION);
    assert_int_equal(read_frame(data, FRAME_HEADER, &used), FRAME_BAD_VERSION);
    data[4] = 1;
    data[5] = 2;
    assert_int_equal(read_frame(data, 6, &used), FRAME_BAD_FLAGS);
    data[5] = 0x81;
    assert_int_equal(read_frame(data, FRAME_HEADER, &used), FRAME_BAD_FLAGS);
    data[5] = 0;
    data[8] = 101; /* one byte above the ceiling */
    assert_int_equal(read_limited(&frame, &used, data, 12, 100), FRAME_TOO_LONG);
    assert_int_equal(read_limited(&frame, &used, data, FRAME_HEADER, 100), FRAME_TOO_LONG);
    data[8] = 100;
    assert_int_equal(read_limited(&frame, &used, data, FRAME_HEADER, 100), FRAME_MORE);
    assert_int_equal(used, FRAME_HEADER + 100);
    memset(data + 8, 0xff, 4);
    assert_int_equal(read_frame(data, FRAME_HEADER, &used), FRAME_TOO_LONG);
}

static void every_flipped_bit_is_noticed(void **state)
{
    uint8_t data[FRAME_HEADER + 40];
    uint64_t seed = 3;
    size_t used;

    (void)state;
    for (size_t i = FRAME_HEADER; i < sizeof data; i++)
        data[i] = (uint8_t)random_next(&seed);
    frame_seal(data, FRAME_SAMPLE, 0, sizeof data - FRAME_HEADER);
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(read_frame(data, sizeof data, &used), FRAME_OK);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(read_frame(data, sizeof data, &used), FRAME_OK);
}

/* ---- deflated ---- */

/* A frame whose payload is `n` zero bytes, deflated; *length is the frame's. */
static uint8_t *deflated_zeros(size_t n, size_t *length)
{
    uint8_t *frame = malloc(FRAME_HEADER + n), *zeros = calloc(1, n);
    uLongf deflated = n;

    assert_non_null(frame);
    assert_non_null(zeros);
    assert_int_equal(compress2(frame + FRAME_HEADER, &deflated, zeros, n, 9), Z_OK);
    frame_seal(frame, FRAME_SAMPLE, FRAME_DEFLATED, deflated);
    free(zeros);
    *length = FRAME_HEADER + deflated;
    return frame;
}

static void a_deflated_frame_is_inflated(void **state)
{
    static const char text[] = "a text that repeats, a text that repeats, a text that repeats";
    struct frame_codec codec = {0}, other = {0};
    uint8_t data[FRAME_HEADER + sizeof text];
    struct frame frame;
    size_t used, sent;

    (void)state;
    memcpy(data + FRAME_HEADER, text, sizeof text);
    sent = frame_seal_deflated(data, FRAME_NOTICE, sizeof text, &codec);
    assert_true(sent > 0 && sent < sizeof text);
    assert_int_equal(data[5], FRAME_DEFLATED);
    assert_int_equal(
        frame_read(&frame, &used, data, FRAME_HEADER + sent, &other, sent, sizeof text), FRAME_OK);
    assert_int_equal(used, FRAME_HEADER + sent);
    assert_int_equal(frame.type, FRAME_NOTICE);
    assert_int_equal(frame.length, sizeof text);
    assert_memory_equal(frame.payload, text, sizeof text);
    frame_codec_free(&codec);
    frame_codec_free(&other);
}

static void what_deflating_does_not_shorten_goes_plain(void **state)
{
    uint8_t data[FRAME_HEADER + 64], before[64];
    struct frame_codec codec = {0};
    struct frame frame;
    uint64_t seed = 4;
    size_t used;

    (void)state;
    for (size_t i = 0; i < sizeof before; i++)
        before[i] = (uint8_t)random_next(&seed);
    for (size_t n = 0; n <= sizeof before; n++) {
        memcpy(data + FRAME_HEADER, before, n);
        assert_int_equal(frame_seal_deflated(data, FRAME_SAMPLE, n, &codec), n);
        assert_int_equal(data[5], 0);
        assert_int_equal(frame_read(&frame, &used, data, sizeof data, &codec, 64, 64), FRAME_OK);
        assert_int_equal(frame.length, n);
        assert_memory_equal(frame.payload, before, n);
    }
    frame_codec_free(&codec);
}

static void the_inflated_ceiling_is_exact(void **state)
{
    static const size_t sizes[] = {1, 1000, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 300000};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t length, used, n = sizes[i];
        struct frame_codec codec = {0};
        struct frame frame;
        uint8_t *data;

        data = deflated_zeros(n < 64 ? 64 : n, &length);
        if (n < 64)
            n = 64;
        assert_int_equal(frame_read(&frame, &used, data, length, &codec, length, n), FRAME_OK);
        assert_int_equal(frame.length, n);
        assert_int_equal(frame_read(&frame, &used, data, length, &codec, length, n - 1),
                         FRAME_BOMB);
        assert_int_equal(used, 0);
        assert_int_equal(frame_read(&frame, &used, data, length, &codec, length, 1), FRAME_BOMB);
        /* who takes none refuses it by its header */
        assert_int_equal(frame_read(&frame, &used, data, 6, &codec, length, 0), FRAME_BAD_FLAGS);
        frame_codec_free(&codec);
        free(data);
    }
}

static void a_bomb_is_given_up_at_the_ceiling(void **state)
{
    struct frame_codec codec = {0};
    struct frame frame;
    size_t length, used;
    uint8_t *data = deflated_zeros(100 << 20, &length);

    (void)state;
    assert_true(length < FRAME_PAYLOAD_MAX);
    assert_int_equal(
        frame_read(&frame, &used, data, length, &codec, FRAME_PAYLOAD_MAX, FRAME_INFLATED_MAX),
        FRAME_BOMB);
    assert_true(codec.capacity <= FRAME_INFLATED_MAX + 1);
    frame_codec_free(&codec);
    free(data);
}

static void only_what_came_is_allocated(void **state)
{
    struct frame_codec codec = {0};
    struct frame frame;
    size_t length, used;
    uint8_t *data = deflated_zeros(2 << 20, &length);

    (void)state;
    assert_int_equal(frame_read(&frame, &used, data, length, &codec, length, 16 << 20), FRAME_OK);
    assert_true(codec.capacity <= 4 << 20);
    free(data);
    data = deflated_zeros(1000, &length); /* and a huge frame's memory is not kept for ever */
    assert_int_equal(frame_read(&frame, &used, data, length, &codec, length, 16 << 20), FRAME_OK);
    assert_int_equal(codec.capacity, 64 << 10);
    frame_codec_free(&codec);
    free(data);
}

static void a_payload_is_exactly_one_zlib_stream(void **state)
{
    uint8_t data[FRAME_HEADER + 200];
    size_t whole, used;
    uint8_t *frame = deflated_zeros(1000, &whole);
    size_t payload = whole - FRAME_HEADER;

    (void)state;
    for (size_t cut = 0; cut < payload; cut++) { /* cut short anywhere, also to nothing */
        memcpy(data, frame, whole);
        frame_seal(data, FRAME_SAMPLE, FRAME_DEFLATED, cut);
        assert_int_equal(read_frame(data, FRAME_HEADER + cut, &used), FRAME_BAD_ZLIB);
        assert_int_equal(used, 0);
    }
    memcpy(data, frame, whole);
    data[whole] = 0; /* a byte behind */
    frame_seal(data, FRAME_SAMPLE, FRAME_DEFLATED, payload + 1);
    assert_int_equal(read_frame(data, whole + 1, &used), FRAME_BAD_ZLIB);
    memcpy(data + whole, frame + FRAME_HEADER, payload); /* a second stream behind */
    frame_seal(data, FRAME_SAMPLE, FRAME_DEFLATED, 2 * payload);
    assert_int_equal(read_frame(data, whole + payload, &used), FRAME_BAD_ZLIB);
    memcpy(data, frame, whole);
    data[whole - 1] ^= 1; /* its own checksum is wrong */
    frame_seal(data, FRAME_SAMPLE, FRAME_DEFLATED, payload);
    assert_int_equal(read_frame(data, whole, &used), FRAME_BAD_ZLIB);
    free(frame);
}

static void neither_gzip_nor_raw_nor_dictionaries_are_zlib_streams(void **state)
{
    static const int window_bits[] = {15 + 16, -15, 15};
    uint8_t data[FRAME_HEADER + 200];
    size_t used;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        static uint8_t zeros[100];
        z_stream stream = {0};

        assert_int_equal(
            deflateInit2(&stream, 6, Z_DEFLATED, window_bits[i], 8, Z_DEFAULT_STRATEGY), Z_OK);
        if (window_bits[i] == 15)
            assert_int_equal(deflateSetDictionary(&stream, zeros, 10), Z_OK);
        stream.next_in = zeros;
        stream.avail_in = sizeof zeros;
        stream.next_out = data + FRAME_HEADER;
        stream.avail_out = 200;
        assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
        frame_seal(data, FRAME_SAMPLE, FRAME_DEFLATED, stream.total_out);
        assert_int_equal(read_frame(data, FRAME_HEADER + stream.total_out, &used), FRAME_BAD_ZLIB);
        deflateEnd(&stream);
    }
}

/* Damaged frames and damaged streams, the latter sealed anew so that the checksum lets them in. */
static void twenty_thousand_mutations_do_no_harm(void **state)
{
    uint8_t original[FRAME_HEADER + 400], *exact;
    struct frame_codec codec = {0};
    struct frame frame = {0};
    uint64_t seed = 5;
    size_t length, used, accepted = 0;

    (void)state;
    for (size_t i = FRAME_HEADER; i < sizeof original; i++)
        original[i] = (uint8_t)random_below(&seed, 6);
    length = FRAME_HEADER + frame_seal_deflated(original, FRAME_SAMPLE, 400, &codec);
    assert_int_equal(original[5], FRAME_DEFLATED);
    for (int round = 0; round < 20000; round++) {
        size_t n = random_below(&seed, 4) ? length : random_below(&seed, length + 1);

        exact = malloc(n ? n : 1); /* so that the sanitizer sees a read behind the end */
        assert_non_null(exact);
        memcpy(exact, original, n);
        for (uint64_t flips = random_below(&seed, 8); n > 0 && flips > 0; flips--)
            exact[random_below(&seed, n)] ^= (uint8_t)(1u << random_below(&seed, 8));
        if (n >= FRAME_HEADER && random_below(&seed, 4))
            frame_seal(exact, FRAME_SAMPLE, FRAME_DEFLATED, n - FRAME_HEADER);
        if (frame_read(&frame, &used, exact, n, &codec, 1000, 1000) == FRAME_OK) {
            accepted++;
            assert_true(used <= n && frame.length <= 1000);
        }
        free(exact);
    }
    assert_true(accepted > 500 && accepted < 10000);
    frame_codec_free(&codec);
}

static void every_result_has_its_sentence(void **state)
{
    (void)state;
    for (int i = FRAME_OK; i <= FRAME_NO_MEMORY; i++)
        for (int k = i + 1; k <= FRAME_NO_MEMORY; k++)
            assert_string_not_equal(frame_strerror((enum frame_result)i),
                                    frame_strerror((enum frame_result)k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sealed_frame_has_the_drawn_layout),
        cmocka_unit_test(what_was_sealed_is_read),
        cmocka_unit_test(an_empty_payload_is_a_frame),
        cmocka_unit_test(a_part_of_a_frame_says_how_much_is_needed),
        cmocka_unit_test(strangers_are_told_from_their_first_byte),
        cmocka_unit_test(a_header_is_judged_before_its_payload_is_waited_for),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(a_deflated_frame_is_inflated),
        cmocka_unit_test(what_deflating_does_not_shorten_goes_plain),
        cmocka_unit_test(the_inflated_ceiling_is_exact),
        cmocka_unit_test(a_bomb_is_given_up_at_the_ceiling),
        cmocka_unit_test(only_what_came_is_allocated),
        cmocka_unit_test(a_payload_is_exactly_one_zlib_stream),
        cmocka_unit_test(neither_gzip_nor_raw_nor_dictionaries_are_zlib_streams),
        cmocka_unit_test(twenty_thousand_mutations_do_no_harm),
        cmocka_unit_test(every_result_has_its_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
