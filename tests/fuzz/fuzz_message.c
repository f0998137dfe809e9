/* Messages: what is accepted can be said again, is then accepted again, and says the same; and by
 * hand or by the library, it is accepted alike. */
#include <string.h>

#include "proto/message.h"
#include "tests/fuzz/target.h"

static uint8_t *encoded(const struct message *message, size_t *n)
{
    size_t size = message_size(message);
    uint8_t *bytes = malloc(size);

    PROMISE(size >= FRAME_HEADER && bytes);
    *n = message_encode(message, bytes);
    PROMISE(*n == size);
    return bytes;
}

/* What is decoded by hand is what protobuf-c makes of it. */
static void compare(const struct frame *frame, enum message_result result,
                    const struct message *message, const char *problem)
{
    struct message_decoder *library = message_decoder_new();
    struct message other;
    const char *other_problem = NULL;
    uint8_t *bytes, *other_bytes;
    size_t n, other_n;

    PROMISE(library);
    message_decoder_by_library(library);
    PROMISE(message_decode(library, frame, &other, &other_problem) == result);
    PROMISE(problem == other_problem);
    PROMISE(message_sequence(message) == message_sequence(&other));
    if (result == MESSAGE_OK) {
        bytes = encoded(message, &n);
        other_bytes = encoded(&other, &other_n);
        PROMISE(n == other_n && memcmp(bytes, other_bytes, n) == 0);
        free(bytes);
        free(other_bytes);
    }
    message_decoder_free(library);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message_decoder *decoder = message_decoder_new(), *again = message_decoder_new();
    struct message message, second;
    struct frame frame;
    enum message_result result;
    const char *problem = NULL;
    uint8_t *copy, *first_bytes, *second_bytes;
    size_t first_size, second_size;

    if (size < 1 || !decoder || !again)
        goto done;
    copy = exactly(data + 1, size - 1);
    frame = (struct frame){.type = data[0] % 24, .payload = copy, .length = size - 1};
    result = message_decode(decoder, &frame, &message, &problem);
    if (frame.type == FRAME_SAMPLE)
        compare(&frame, result, &message, problem);
    switch (result) {
    case MESSAGE_OK:
        first_bytes = encoded(&message, &first_size);
        frame.payload = first_bytes + FRAME_HEADER;
        frame.length = first_size - FRAME_HEADER;
        PROMISE(message_decode(again, &frame, &second, &problem) == MESSAGE_OK);
        second_bytes = encoded(&second, &second_size);
        PROMISE(second_size == first_size && memcmp(first_bytes, second_bytes, first_size) == 0);
        free(first_bytes);
        free(second_bytes);
        break;
    case MESSAGE_INVALID:
    case MESSAGE_MALFORMED:
        PROMISE(problem && *problem);
        (void)message_sequence(&message);
        break;
    case MESSAGE_UNKNOWN:
        break;
    }
    free(copy);
done:
    message_decoder_free(decoder);
    message_decoder_free(again);
    return 0;
}
