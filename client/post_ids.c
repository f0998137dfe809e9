/* The calls of the training threads that post ids and shapes: no lock, no system call, no
 * allocation. */
#include "embmon/embmon.h"

#include <string.h>

#include "client/id_check.h"
#include "client/posting.h"
#include "proto/name.h"

enum { AXIS_MAX = EMBMON_RANK_MAX };

/* What is posted of a batch of ids. */
struct place {
    const struct target *layer;
    int64_t step;
    bool fed;
    const char *input;
};

/* Only training's look-ups count as such: validation would hide that a row is never trained. */
static struct seen_rows *rows_of(const struct place *place, enum embmon_phase phase)
{
    return place->fed || phase != EMBMON_TRAIN ? NULL : place->layer->seen;
}

/* The words of the ids that the statistics name; they stay where they are for as long as the
 * client.
 */
static size_t words_of(const struct place *place, const struct id_batch *batch,
                       const struct ids_stats *stats, struct ids_word words[IDS_WORDS_MAX])
{
    const struct vocabulary *vocabulary = atomic_load(&place->layer->vocabulary);

    if (!vocabulary)
        return 0;
    return vocabulary_name(vocabulary, stats, batch->has_padding ? &batch->padding_id : NULL,
                           words);
}

static int post_batch(struct embmon_client *client, const struct place *place,
                      const struct id_batch *batch)
{
    enum embmon_phase phase = (enum embmon_phase)atomic_load(&client->state.phase);
    size_t length = strlen(place->input), word_bytes;
    struct ids_word words[IDS_WORDS_MAX];
    struct ids_stats stats;
    struct record *record;
    struct msg_ids *ids;

    id_stats_take(&stats, batch, &client->tools.scratch, rows_of(place, phase));
    word_bytes = words_of(place, batch, &stats, words) * sizeof words[0];
    record = posting_record(client, word_bytes + length + 1);
    if (!record)
        return EMBMON_EDROPPED;
    record->message.type = FRAME_IDS;
    ids = &record->message.ids;
    ids->target = (uint32_t)place->layer->id;
    ids->phase = (uint32_t)phase;
    ids->step = (uint64_t)place->step;
    ids->fed = place->fed;
    memcpy(record->room, words, word_bytes);
    ids->words = (const struct ids_word *)(const void *)record->room;
    ids->word_count = word_bytes / sizeof words[0];
    ids->input = memcpy((char *)record->room + word_bytes, place->input, length + 1);
    ids->dtype = (uint32_t)batch->dtype;
    ids->stats = stats;
    inbox_commit(record);
    return 1;
}

/* At a step that is not sampled only ids that are wrong: the look-up may raise, and then nothing
 * else would say why. */
static bool is_wanted(const struct embmon_client *client, const struct place *place,
                      const struct id_batch *batch)
{
    return sampling_wanted(&client->state.sampling, place->layer->id, EMBMON_IDS,
                           (uint64_t)place->step) ||
           id_check_wrong(batch);
}

static int post(struct embmon_client *client, int layer, struct place *place,
                struct id_batch *batch)
{
    const struct target *target;
    uint64_t start;
    size_t bytes;

    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    if (!posting_is_step(place->step))
        return EMBMON_EINVAL;
    target = model_target(client->state.model, layer);
    if (!target || target->layer != target->id)
        return EMBMON_EUNKNOWN;
    if (dtype_size((int)batch->dtype) == 0)
        return EMBMON_EDTYPE;
    if ((batch->count > 0 && !batch->ids) ||
        __builtin_mul_overflow(batch->count, dtype_size((int)batch->dtype), &bytes) ||
        (batch->sequence_length > 0 && batch->count % batch->sequence_length != 0))
        return EMBMON_EINVAL;
    place->layer = target;
    batch->rows = target->rows;
    batch->has_padding = target->padding_id != EMBMON_NO_PADDING;
    batch->padding_id = target->padding_id;
    start = posting_now();
    if (!is_wanted(client, place, batch))
        return posting_timed(client, start, posting_skip(client));
    return posting_timed(client, start, post_batch(client, place, batch));
}

int embmon_post_ids(struct embmon_client *client, int layer, int64_t step, const void *ids,
                    size_t count, enum embmon_dtype dtype, size_t sequence_length,
                    const uint8_t *mask)
{
    struct place place = {.step = step, .input = ""};
    struct id_batch batch = {.ids = ids,
                             .count = count,
                             .dtype = dtype,
                             .sequence_length = sequence_length,
                             .mask = mask};

    return post(client, layer, &place, &batch);
}

int embmon_post_fed(struct embmon_client *client, int layer, const char *input, int64_t step,
                    const void *ids, size_t count, enum embmon_dtype dtype, size_t sequence_length)
{
    struct place place = {.step = step, .fed = true, .input = input};
    struct id_batch batch = {
        .ids = ids, .count = count, .dtype = dtype, .sequence_length = sequence_length};

    if (*input && !name_is_path(input))
        return client_is_inert(client) ? EMBMON_ECLOSED : EMBMON_ENAME;
    return post(client, layer, &place, &batch);
}

/* ---- shapes -------------------------------------------------------------------------------------
 */

static int check_shape(const struct embmon_shape *shape)
{
    bool is_input = shape->role == EMBMON_SHAPE_INPUT;

    if (shape->role < EMBMON_SHAPE_INPUT || shape->role > EMBMON_SHAPE_GRADIENT ||
        shape->inputs > EMBMON_INPUTS_MAX || is_input != (shape->inputs > 0) ||
        shape->index >= shape->inputs + !is_input || shape->axis < -AXIS_MAX ||
        shape->axis >= AXIS_MAX || shape->rank > EMBMON_RANK_MAX ||
        (shape->rank > 0 && !shape->dims))
        return EMBMON_EINVAL;
    for (uint32_t i = 0; i < shape->rank; i++)
        if (shape->dims[i] < -1)
            return EMBMON_EINVAL;
    return shape->dtype < 0 || shape->dtype > EMBMON_I64 ? EMBMON_EDTYPE : 0;
}

static int post_shape(struct embmon_client *client, int id, int64_t step,
                      const struct embmon_shape *shape)
{
    struct record *record = posting_record(client, shape->rank * sizeof shape->dims[0]);
    int64_t *dims;

    if (!record)
        return EMBMON_EDROPPED;
    dims = (int64_t *)(void *)record->room;
    for (uint32_t i = 0; i < shape->rank; i++)
        dims[i] = shape->dims[i];
    record->message.type = FRAME_SHAPE;
    record->message.shape = (struct msg_shape){.target = (uint32_t)id,
                                               .phase = (uint32_t)atomic_load(&client->state.phase),
                                               .step = (uint64_t)step,
                                               .role = shape->role,
                                               .index = shape->index,
                                               .inputs = shape->inputs,
                                               .axis = shape->axis,
                                               .dtype = (uint32_t)shape->dtype,
                                               .dims = dims,
                                               .dim_count = shape->rank};
    inbox_commit(record);
    return 1;
}

int embmon_post_shape(struct embmon_client *client, int id, int64_t step,
                      const struct embmon_shape *shape)
{
    struct embmon_shape known = EMBMON_SHAPE_INIT;
    uint64_t start = posting_now();
    int problem;

    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    if (!posting_is_step(step) || shape->size < sizeof shape->size)
        return EMBMON_EINVAL;
    if (!model_target(client->state.model, id))
        return EMBMON_EUNKNOWN;
    memcpy(&known, shape, shape->size < sizeof known ? shape->size : sizeof known);
    problem = check_shape(&known);
    if (problem)
        return problem;
    return posting_timed(client, start, post_shape(client, id, step, &known));
}
