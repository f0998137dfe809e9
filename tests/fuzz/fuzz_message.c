/* Messages: what is accepted can be said again, is then accepted again, and says the same. */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message_decoder *decoder = message_decoder_new(), *again = message_decoder_new();
    struct message message, second;
    struct frame frame;
    const char *problem = NULL;
    uint8_t *copy, *first_bytes, *second_bytes;
    size_t first_size, second_size;

    if (size < 1 || !decoder || !again)
        goto done;
    copy = exactly(data + 1, size - 1);
    frame = (struct frame){.type = data[0] % 24, .payload = copy, .length = size - 1};
    switch (message_decode(decoder, &frame, &message, &problem)) {
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
