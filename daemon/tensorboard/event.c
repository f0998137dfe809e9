#include "daemon/tensorboard/event.h"

#include <float.h>
#include <string.h>

#include "daemon/tensorboard/event_wire.h"
#include "daemon/tensorboard/tfrecord.h"
#include "tensorboard.pb-c.h"

/* The generated structs have no const; what is packed is only read. */
static char *borrowed(const char *text)
{
    char *same;

    memcpy(&same, &text, sizeof same);
    return same;
}

static bool append(struct pending *queue, size_t limit, const Tensorboard__Event *event)
{
    size_t length = tensorboard__event__get_packed_size(event);
    size_t whole = TFRECORD_HEADER + length + TFRECORD_FOOTER;
    uint8_t *record;

    if (length > TFRECORD_MAX || queue->length > limit || whole > limit - queue->length)
        return false;
    record = pending_reserve(queue, whole);
    if (!record)
        return false;
    tensorboard__event__pack(event, record + TFRECORD_HEADER);
    tfrecord_seal(record, length);
    pending_commit(queue, whole);
    return true;
}

static Tensorboard__Event new_event(const struct event_head *head)
{
    Tensorboard__Event event;

    tensorboard__event__init(&event);
    event.wall_time = head->wall;
    event.step = (int64_t)head->step;
    return event;
}

bool event_version(struct pending *queue, size_t limit, const struct event_head *head)
{
    Tensorboard__Event event = new_event(head);
    Tensorboard__SourceMetadata source;

    tensorboard__source_metadata__init(&source);
    source.writer = borrowed("embmond");
    event.what_case = TENSORBOARD__EVENT__WHAT_FILE_VERSION;
    event.file_version = borrowed("brain.Event:2");
    event.source_metadata = &source;
    return append(queue, limit, &event);
}

bool event_start(struct pending *queue, size_t limit, const struct event_head *head)
{
    Tensorboard__Event event = new_event(head);
    Tensorboard__SessionLog log;

    tensorboard__session_log__init(&log);
    log.status = TENSORBOARD__SESSION_LOG__SESSION_STATUS__START;
    event.what_case = TENSORBOARD__EVENT__WHAT_SESSION_LOG;
    event.session_log = &log;
    return append(queue, limit, &event);
}

/* Wraps a value into its event: without a data class the Rust reader drops the series. */
static bool append_value(struct pending *queue, size_t limit, const struct event_head *head,
                         Tensorboard__Summary__Value *value, const char *plugin,
                         Tensorboard__DataClass data_class)
{
    Tensorboard__SummaryMetadata metadata;
    Tensorboard__SummaryMetadata__PluginData data;
    Tensorboard__Summary summary;
    Tensorboard__Event event = new_event(head);

    tensorboard__summary_metadata__init(&metadata);
    tensorboard__summary_metadata__plugin_data__init(&data);
    tensorboard__summary__init(&summary);
    data.plugin_name = borrowed(plugin);
    metadata.plugin_data = &data;
    metadata.data_class = data_class;
    value->tag = borrowed(head->tag);
    value->metadata = head->describe ? &metadata : NULL;
    summary.n_value = 1;
    summary.value = &value;
    event.what_case = TENSORBOARD__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    return append(queue, limit, &event);
}

static float to_float(double value)
{
    if (value > FLT_MAX && value <= DBL_MAX)
        return FLT_MAX;
    if (value < -FLT_MAX && value >= -DBL_MAX)
        return -FLT_MAX;
    return (float)value;
}

bool event_scalar_by_library(struct pending *queue, size_t limit, const struct event_head *head,
                             double value)
{
    Tensorboard__Summary__Value out;

    tensorboard__summary__value__init(&out);
    out.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
    out.simple_value = to_float(value);
    return append_value(queue, limit, head, &out, "scalars",
                        TENSORBOARD__DATA_CLASS__DATA_CLASS_SCALAR);
}

static void put_double(uint8_t *to, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(bits >> (8 * i));
}

bool event_histogram_by_library(struct pending *queue, size_t limit, const struct event_head *head,
                                const struct histogram *histogram)
{
    uint8_t content[HISTOGRAM_BUCKETS_MAX * 3 * 8];
    Tensorboard__TensorShapeProto__Dim rows;
    Tensorboard__TensorShapeProto__Dim columns;
    Tensorboard__TensorShapeProto__Dim *dims[] = {&rows, &columns};
    Tensorboard__TensorShapeProto shape;
    Tensorboard__TensorProto tensor;
    Tensorboard__Summary__Value out;

    tensorboard__tensor_shape_proto__dim__init(&rows);
    tensorboard__tensor_shape_proto__dim__init(&columns);
    tensorboard__tensor_shape_proto__init(&shape);
    tensorboard__tensor_proto__init(&tensor);
    tensorboard__summary__value__init(&out);
    for (size_t i = 0; i < histogram->length; i++) {
        put_double(content + 24 * i, histogram->left[i]);
        put_double(content + 24 * i + 8, histogram->right[i]);
        put_double(content + 24 * i + 16, histogram->count[i]);
    }
    rows.size = (int64_t)histogram->length;
    columns.size = 3;
    shape.n_dim = 2;
    shape.dim = dims;
    tensor.dtype = TENSORBOARD__DATA_TYPE__DT_DOUBLE;
    tensor.tensor_shape = &shape;
    tensor.tensor_content = (ProtobufCBinaryData){24 * histogram->length, content};
    out.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_TENSOR;
    out.tensor = &tensor;
    return append_value(queue, limit, head, &out, "histograms",
                        TENSORBOARD__DATA_CLASS__DATA_CLASS_TENSOR);
}

bool event_scalar(struct pending *queue, size_t limit, const struct event_head *head, double value)
{
    if (head->describe)
        return event_scalar_by_library(queue, limit, head, value);
    return event_wire_scalar(queue, limit, head, to_float(value));
}

bool event_histogram(struct pending *queue, size_t limit, const struct event_head *head,
                     const struct histogram *histogram)
{
    if (head->describe || histogram->length == 0)
        return event_histogram_by_library(queue, limit, head, histogram);
    return event_wire_histogram(queue, limit, head, histogram);
}

/* One string, whatever its bytes mean to the plugin. */
static bool append_string(struct pending *queue, size_t limit, const struct event_head *head,
                          const void *bytes, size_t n, const char *plugin)
{
    ProtobufCBinaryData text = {n, (uint8_t *)borrowed(bytes)};
    Tensorboard__TensorShapeProto shape;
    Tensorboard__TensorProto tensor;
    Tensorboard__Summary__Value out;

    tensorboard__tensor_shape_proto__init(&shape);
    tensorboard__tensor_proto__init(&tensor);
    tensorboard__summary__value__init(&out);
    tensor.dtype = TENSORBOARD__DATA_TYPE__DT_STRING;
    tensor.tensor_shape = &shape;
    tensor.n_string_val = 1;
    tensor.string_val = &text;
    out.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_TENSOR;
    out.tensor = &tensor;
    return append_value(queue, limit, head, &out, plugin,
                        TENSORBOARD__DATA_CLASS__DATA_CLASS_TENSOR);
}

bool event_text(struct pending *queue, size_t limit, const struct event_head *head,
                const char *markdown, size_t n)
{
    return append_string(queue, limit, head, markdown, n, "text");
}

bool event_layout(struct pending *queue, size_t limit, const struct event_head *head,
                  const uint8_t *layout, size_t n)
{
    return append_string(queue, limit, head, layout, n, "custom_scalars");
}

/* What TensorBoard shows a value with. */
static const char *plugin_of(const Tensorboard__Summary__Value *value)
{
    if (value->value_case == TENSORBOARD__SUMMARY__VALUE__VALUE_SIMPLE_VALUE)
        return "scalars";
    if (strcmp(value->tag, "custom_scalars__config__") == 0)
        return "custom_scalars";
    return value->value_case == TENSORBOARD__SUMMARY__VALUE__VALUE_TENSOR &&
                   value->tensor->dtype == TENSORBOARD__DATA_TYPE__DT_DOUBLE
               ? "histograms"
               : "text";
}

bool event_describe(struct pending *queue, const uint8_t *bytes, size_t n)
{
    Tensorboard__Event *event = tensorboard__event__unpack(NULL, n, bytes);
    Tensorboard__Summary__Value *value;
    Tensorboard__SummaryMetadata *own;
    struct event_head head;
    const char *plugin;
    bool fine;

    if (!event)
        return false;
    if (event->what_case == TENSORBOARD__EVENT__WHAT_FILE_VERSION) {
        fine = true;
    } else if (event->what_case != TENSORBOARD__EVENT__WHAT_SUMMARY ||
               event->summary->n_value != 1) {
        fine = append(queue, SIZE_MAX, event);
    } else {
        value = event->summary->value[0];
        plugin = plugin_of(value);
        head = (struct event_head){event->wall_time, (uint64_t)event->step, value->tag, true};
        own = value->metadata;
        fine = append_value(queue, SIZE_MAX, &head, value, plugin,
                            strcmp(plugin, "scalars") == 0
                                ? TENSORBOARD__DATA_CLASS__DATA_CLASS_SCALAR
                                : TENSORBOARD__DATA_CLASS__DATA_CLASS_TENSOR);
        value->metadata = own; /* to be freed */
    }
    tensorboard__event__free_unpacked(event, NULL);
    return fine;
}
