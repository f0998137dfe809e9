#include "proto/message_check.h"

#include <string.h>

#include "embmon/embmon.h"
#include "proto/name.h"

static bool is_text(const char *text, size_t max)
{
    size_t n = strnlen(text, max + 1);

    return n <= max && name_is_text(text, n);
}

static bool is_path_or_empty(const char *text)
{
    return text[0] == '\0' || name_is_path(text);
}

static bool is_every(uint32_t every)
{
    return every <= EVERY_MAX && (every & (every - 1)) == 0;
}

static bool is_phase(uint32_t phase)
{
    return phase >= EMBMON_TRAIN && phase <= EMBMON_INFER;
}

static const char *check_place(uint64_t sequence, uint32_t phase, uint64_t step)
{
    if (sequence == 0)
        return "the sequence number is 0";
    if (!is_phase(phase))
        return "the phase is none of 1 (training), 2 (validation), 3 (inference)";
    if (step >= STEP_MAX)
        return "the step is not below 2^53";
    return NULL;
}

static const char *check_hello(const struct msg_hello *hello)
{
    if (hello->protocol_min == 0 || hello->protocol_min > hello->protocol_max)
        return "the range of protocol versions is empty";
    if (!name_is_run(hello->name))
        return "the run's name is not parts of [A-Za-z0-9_][A-Za-z0-9_.=+-]* joined by '/'";
    if (hello->given[0] != '\0' && !name_is_run(hello->given))
        return "the run's given name is not parts of [A-Za-z0-9_][A-Za-z0-9_.=+-]* joined by '/'";
    if (!is_text(hello->key, KEY_MAX))
        return "the launch key is not at most 255 bytes of UTF-8 without control characters";
    if (hello->world_size == 0 || hello->world_size > RANKS_MAX)
        return "the world size is not 1 ... 1024";
    if (hello->rank >= hello->world_size)
        return "the rank is not below the world size";
    if (!is_every(hello->every))
        return "every is neither 0 nor a power of two up to 2^20";
    return NULL;
}

static const char *check_welcome(const struct msg_welcome *welcome)
{
    if (welcome->protocol == 0)
        return "the protocol version is 0";
    if (!name_is_run(welcome->run))
        return "the run's name is not parts of [A-Za-z0-9_][A-Za-z0-9_.=+-]* joined by '/'";
    if (welcome->next_step > STEP_MAX)
        return "the next step is above 2^53";
    if (!is_every(welcome->every))
        return "every is neither 0 nor a power of two up to 2^20";
    return NULL;
}

static const char *check_shape(const int64_t *shape, size_t length, uint32_t dtype)
{
    if (length > SHAPE_MAX)
        return "a shape has more than 8 dimensions";
    for (size_t i = 0; i < length; i++)
        if (shape[i] < -1)
            return "a dimension of a shape is below -1";
    if (dtype > EMBMON_I64)
        return "a dtype is unknown";
    return NULL;
}

static const char *check_layer(const struct msg_layer *layer)
{
    if (layer->id > ID_MAX)
        return "a layer's id is above 2^20";
    if (!name_is_path(layer->path))
        return "a layer's path is not 1 ... 255 bytes of UTF-8, parts joined by single '/'";
    if (layer->kind > EMBMON_POOLING)
        return "a layer's kind is unknown";
    if (!is_text(layer->activation, WORD_MAX))
        return "an activation's name is not at most 255 bytes of UTF-8 without control characters";
    if (layer->rows > STEP_MAX || layer->columns > STEP_MAX)
        return "a layer's rows or columns are above 2^53";
    if (layer->input_count > INPUTS_MAX)
        return "a layer has more than 64 inputs";
    if (layer->mask > EMBMON_MASK_MISSED)
        return "what became of a layer's mask is unknown";
    for (size_t i = 0; i < layer->input_count; i++)
        if (layer->inputs[i] > ID_MAX)
            return "an input's id is above 2^20";
    return check_shape(layer->shape, layer->shape_length, layer->dtype);
}

static const char *check_variable(const struct msg_variable *variable)
{
    if (variable->id > ID_MAX || variable->layer > ID_MAX)
        return "a variable's id is above 2^20";
    if (!name_is_path(variable->name))
        return "a variable's name is not 1 ... 255 bytes of UTF-8, parts joined by single '/'";
    return check_shape(variable->shape, variable->shape_length, variable->dtype);
}

/* Whether there is such a detector and such a key is the daemon's to say. */
static const char *check_rule(const char *detector, const char *layers)
{
    if (!name_is_detector(detector))
        return "a detector's name is not 1 ... 31 bytes of UTF-8, parts joined by single '/'";
    if (!name_is_glob(layers))
        return "a pattern of layers is not 1 ... 255 bytes of UTF-8 without control characters";
    return NULL;
}

static const char *check_threshold(const struct msg_threshold *threshold)
{
    const char *problem = check_rule(threshold->detector, threshold->layers);

    if (problem)
        return problem;
    if (!name_is_key(threshold->key))
        return "a threshold's key is not 1 ... 31 of [a-z0-9_], a letter first";
    return __builtin_isfinite(threshold->value) ? NULL : "a threshold is not finite";
}

static const char *check_layers(const struct msg_layers *layers)
{
    const char *problem = NULL;

    if (layers->layer_count > LAYERS_MAX)
        return "there are more than 4,096 layers";
    if (layers->variable_count > VARIABLES_MAX)
        return "there are more than 16,384 variables";
    if (layers->threshold_count > RULES_MAX || layers->ignore_count > RULES_MAX)
        return "there are more than 256 thresholds or ignores";
    for (size_t i = 0; !problem && i < layers->layer_count; i++)
        problem = check_layer(&layers->layers[i]);
    for (size_t i = 0; !problem && i < layers->variable_count; i++)
        problem = check_variable(&layers->variables[i]);
    for (size_t i = 0; !problem && i < layers->threshold_count; i++)
        problem = check_threshold(&layers->thresholds[i]);
    for (size_t i = 0; !problem && i < layers->ignore_count; i++)
        problem = check_rule(layers->ignores[i].detector, layers->ignores[i].layers);
    return problem;
}

static const char *check_sample(const struct msg_sample *sample)
{
    const char *problem = check_place(sample->sequence, sample->phase, sample->step);

    if (problem)
        return problem;
    if (sample->target > ID_MAX)
        return "the target's id is above 2^20";
    if (sample->signal < EMBMON_GRADIENT || sample->signal > EMBMON_UPDATE)
        return "the signal is none of 1 (gradient), 2 (activation), 3 (weight), 4 (update)";
    if (sample->summary.parts == 0)
        return "the summary has no parts";
    return summary_check(&sample->summary);
}

static const char *check_ids(const struct msg_ids *ids)
{
    const char *problem = check_place(ids->sequence, ids->phase, ids->step);

    if (problem)
        return problem;
    if (ids->target > ID_MAX)
        return "the target's id is above 2^20";
    if (!is_path_or_empty(ids->input))
        return "the input's name is not 1 ... 255 bytes of UTF-8, parts joined by single '/'";
    if (ids->dtype == 0 || ids->dtype > EMBMON_I64)
        return "a dtype is unknown";
    for (size_t i = 0; i < ids->word_count; i++) {
        if (ids->words[i].word[0] == '\0' || !is_text(ids->words[i].word, IDS_WORD_BYTES))
            return "a word is not 1 ... 64 bytes of UTF-8 without control characters";
    }
    return ids_check(&ids->stats);
}

static const char *check_shape_post(const struct msg_shape *shape)
{
    const char *problem = check_place(shape->sequence, shape->phase, shape->step);

    if (problem)
        return problem;
    if (shape->target > ID_MAX)
        return "the target's id is above 2^20";
    if (shape->role < EMBMON_SHAPE_INPUT || shape->role > EMBMON_SHAPE_GRADIENT)
        return "the role is none of 1 (input), 2 (output), 3 (gradient)";
    if ((shape->role == EMBMON_SHAPE_INPUT) != (shape->inputs > 0))
        return "an input has no number of inputs, or another shape has one";
    if (shape->inputs > INPUTS_MAX || (shape->index > 0 && shape->index >= shape->inputs))
        return "the input's index is not below their number, at most 64";
    if (shape->axis < -SHAPE_MAX || shape->axis >= SHAPE_MAX)
        return "the axis is not -8 ... 7";
    return check_shape(shape->dims, shape->dim_count, shape->dtype);
}

static const char *check_scalar(const struct msg_scalar *scalar)
{
    const char *problem = check_place(scalar->sequence, scalar->phase, scalar->step);

    if (problem)
        return problem;
    if (!name_is_path(scalar->name))
        return "a scalar's name is not 1 ... 255 bytes of UTF-8, parts joined by single '/'";
    return NULL; /* NaN and infinity are what a loss may be */
}

static const char *check_epoch(const struct msg_epoch *epoch)
{
    if (epoch->epoch >= STEP_MAX)
        return "the epoch is not below 2^53";
    return check_place(epoch->sequence, EMBMON_TRAIN, epoch->step);
}

static const char *check_nack(const struct msg_nack *nack)
{
    /* A newer daemon may know more reasons: the sequence number is what must not be lost. */
    if (nack->reason == 0)
        return "the reason is 0";
    if (!is_text(nack->detail, PROSE_MAX))
        return "the detail is not at most 4,096 bytes of UTF-8 without control characters";
    return NULL;
}

static const char *check_notice(const struct msg_notice *notice)
{
    if (!is_phase(notice->phase))
        return "the phase is none of 1 (training), 2 (validation), 3 (inference)";
    if (!is_path_or_empty(notice->layer) || !is_path_or_empty(notice->variable))
        return "the layer or the variable is not 1 ... 255 bytes of UTF-8";
    if (!is_text(notice->signal, WORD_MAX) || !is_text(notice->reason, WORD_MAX))
        return "the signal or the reason is not at most 255 bytes of UTF-8";
    if (notice->detector[0] == '\0' || !is_text(notice->detector, WORD_MAX))
        return "the detector is not 1 ... 255 bytes of UTF-8";
    if (notice->severity < EMBMON_INFO || notice->severity > EMBMON_CRITICAL)
        return "the severity is none of 1 (info), 2 (warning), 3 (critical)";
    if (notice->state > EMBMON_FIRING)
        return "the state is none of 0 (resolved), 1 (pending), 2 (firing)";
    if (notice->step >= STEP_MAX || notice->first_step >= STEP_MAX)
        return "a step is not below 2^53";
    if (!is_text(notice->summary, PROSE_MAX) || !is_text(notice->hint, PROSE_MAX))
        return "the summary or the hint is not at most 4,096 bytes of UTF-8";
    return NULL;
}

static const char *check_wish(const struct msg_wish *wish)
{
    if (wish->steps > WISH_MAX)
        return "the wish is for more than 65,536 steps";
    return is_path_or_empty(wish->layer) ? NULL : "the layer is not 1 ... 255 bytes of UTF-8";
}

static const char *check_query(const struct msg_query *query)
{
    /* Whether there is such a query and such a run is answered, not refused. */
    if (!is_text(query->name, WORD_MAX) || !is_text(query->run, NAME_RUN_MAX))
        return "the query or the run is not at most 512 bytes of UTF-8 without control characters";
    return NULL;
}

static const char *check_step_end(const struct msg_step_end *end)
{
    if (!is_every(end->every))
        return "every is neither 0 nor a power of two up to 2^20";
    return check_place(end->sequence, end->phase, end->step);
}

const char *message_check(const struct message *message)
{
    switch (message->type) {
    case FRAME_HELLO:
        return check_hello(&message->hello);
    case FRAME_WELCOME:
        return check_welcome(&message->welcome);
    case FRAME_LAYERS:
        return check_layers(&message->layers);
    case FRAME_SAMPLE:
        return check_sample(&message->sample);
    case FRAME_IDS:
        return check_ids(&message->ids);
    case FRAME_SHAPE:
        return check_shape_post(&message->shape);
    case FRAME_SCALAR:
        return check_scalar(&message->scalar);
    case FRAME_STEP_END:
        return check_step_end(&message->step_end);
    case FRAME_EPOCH:
        return check_epoch(&message->epoch);
    case FRAME_NACK:
        return check_nack(&message->nack);
    case FRAME_NOTICE:
        return check_notice(&message->notice);
    case FRAME_WISH:
        return check_wish(&message->wish);
    case FRAME_QUERY:
        return check_query(&message->query);
    case FRAME_REPLY:
        return message->reply.length > TEXT_MAX ? "the text is longer than 64 KiB" : NULL;
    case FRAME_HEARTBEAT: /* counts of any size, and phases of later versions */
    case FRAME_BYE:
    case FRAME_ACK:
        return NULL;
    case FRAME_CHALLENGE: /* no messages */
    case FRAME_PROOF:
        break;
    }
    return "the type is unknown";
}
