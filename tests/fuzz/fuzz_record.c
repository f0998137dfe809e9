/* From a trainer's bytes to an event file's: whatever samples are accepted, the record made of them
 * is read back by our own strict reader, under its tag and step, with every element counted. */
#include <math.h>
#include <string.h>

#include "daemon/tensorboard/event.h"
#include "daemon/tensorboard/resume.h"
#include "daemon/tensorboard/tfrecord.h"
#include "daemon/tensorboard/window.h"
#include "proto/message.h"
#include "tests/fuzz/target.h"

enum { QUEUE_MAX = 1 << 20 };

static double counted(const struct histogram *h)
{
    double sum = 0;

    PROMISE(h->length > 0 && h->length <= HISTOGRAM_BUCKETS_MAX);
    for (size_t i = 0; i < h->length; i++) {
        PROMISE(isfinite(h->left[i]) && isfinite(h->right[i]) && h->left[i] <= h->right[i]);
        PROMISE(i == 0 || h->left[i] == h->right[i - 1]);
        PROMISE(h->count[i] >= 0);
        sum += h->count[i];
    }
    return sum;
}

/* Counts beyond 2^53 are rounded as doubles are. */
static void same_count(double sum, uint64_t count)
{
    PROMISE(fabs(sum - (double)count) <= 1e-12 * (double)count);
}

static void read_back(const struct pending *queue, const char *tag, uint64_t step)
{
    struct tag_table *tags = tag_table_new();
    const uint8_t *payload;
    size_t length, used, at = 0, records = 0;

    PROMISE(tags);
    while (at < queue->length) {
        PROMISE(tfrecord_read(queue->data + at, queue->length - at, &payload, &length, &used) ==
                TFRECORD_OK);
        resume_event(tags, payload, length);
        at += used;
        records++;
    }
    PROMISE(records == 3);
    PROMISE(tag_table_find(tags, tag, strlen(tag)));
    PROMISE(tag_table_find(tags, tag, strlen(tag))->last_step == (int64_t)step);
    tag_table_free(tags);
}

static void record(const struct summary *s, uint64_t step)
{
    static const char tag[] = "gradients/inner_model/embedding";
    struct event_head head = {1.7e9, step, tag, true};
    struct pending queue = PENDING_INIT;
    struct histogram linear, logarithmic;

    if (!histogram_linear(s, &linear))
        return;
    same_count(counted(&linear), summary_finite(s));
    PROMISE(event_histogram(&queue, QUEUE_MAX, &head, &linear));
    if (histogram_log10(s, &logarithmic)) {
        same_count(counted(&logarithmic), summary_finite(s) - s->zeros);
        PROMISE(event_histogram(&queue, QUEUE_MAX, &head, &logarithmic));
    } else {
        PROMISE(s->zeros == summary_finite(s));
        PROMISE(event_scalar(&queue, QUEUE_MAX, &head, 0));
    }
    PROMISE(event_scalar(&queue, QUEUE_MAX, &head, summary_norm(s, false)));
    read_back(&queue, tag, step);
    (void)pending_close(&queue);
}

/* The input is samples one behind the other, each after its length in two bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message_decoder *decoder = message_decoder_new();
    struct histogram_window window = {0};
    size_t at = 0;

    while (decoder && size - at >= 2) {
        size_t length = data[at] | (size_t)data[at + 1] << 8;
        struct frame frame = {.type = FRAME_SAMPLE, .payload = data + at + 2};
        struct message message;
        const char *problem;

        at += 2;
        frame.length = length < size - at ? length : size - at;
        at += frame.length;
        if (message_decode(decoder, &frame, &message, &problem) != MESSAGE_OK)
            continue;
        PROMISE(summary_check(&message.sample.summary) == NULL);
        record(&message.sample.summary, message.sample.step);
        PROMISE(histogram_window_add(&window, message.sample.step, &message.sample.summary));
        PROMISE(summary_check(window.summary) == NULL);
        record(window.summary, message.sample.step);
    }
    histogram_window_free(&window);
    message_decoder_free(decoder);
    return 0;
}
