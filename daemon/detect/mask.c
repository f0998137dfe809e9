/* Of masks: one that a table gives on and that is lost before the layer that would have used it. */
#include <inttypes.h>
#include <string.h>

#include "daemon/detect/families.h"
#include "embmon/embmon.h"

/* How a table's sequences leave a layer. */
struct way {
    enum { NOT_AT_ALL, MASKED, BARE } how;
    uint16_t after; /* the last layer that had their mask */
    uint16_t lost;  /* the one that lost it; LAYERS_MAX: none, operations between layers did */
};

/* How they come into one. */
struct arrival {
    size_t masked;          /* the first input that still has the mask, or MODEL_NO_LAYER */
    const struct way *bare; /* of the first one that has lost it; NULL: there is none */
};

static struct arrival arrival_at(const struct layer *layer, const struct way *ways)
{
    struct arrival in = {MODEL_NO_LAYER, NULL};

    for (size_t i = 0; i < layer->input_count; i++) {
        size_t input = layer->inputs[i];

        if (input == MODEL_NO_LAYER)
            continue;
        if (ways[input].how == MASKED && in.masked == MODEL_NO_LAYER)
            in.masked = input;
        if (ways[input].how == BARE && !in.bare)
            in.bare = &ways[input];
    }
    return in;
}

/* They came without a mask. */
static struct way bare_way(struct arrival in)
{
    if (in.bare)
        return *in.bare;
    return (struct way){BARE, (uint16_t)in.masked, LAYERS_MAX};
}

/* What is known to be no sequence any more needs no mask; nor does what a layer made of one, or
 * what has got another. */
static struct way way_out(const struct model *model, size_t table, size_t at, struct arrival in)
{
    const struct layer *layer = &model->layers[at];
    const struct way none = {NOT_AT_ALL, 0, 0};
    struct way way;
    uint32_t least = model->layers[table].shape.count;

    if (layer->shape.count > 0 && layer->shape.count < (least > 3 ? least : 3))
        return none;
    switch (layer->mask) {
    case EMBMON_MASK_PASSED:
        return in.masked == MODEL_NO_LAYER ? none : (struct way){MASKED, 0, 0};
    case EMBMON_MASK_LOST:
        way = bare_way(in);
        way.lost = (uint16_t)at;
        return way;
    case EMBMON_MASK_NONE:
        return bare_way(in);
    default:
        return none;
    }
}

struct loss {
    bool is_read;   /* some layer says that it reads the table */
    bool found;     /* the mask is lost, and missed */
    struct way way; /* of the sequences, to the layer that misses it */
    size_t missed;  /* the first such layer in forward order */
};

static struct loss find_loss(const struct model *model, size_t table)
{
    struct way ways[LAYERS_MAX];
    struct loss loss = {0};

    memset(ways, 0, model->layer_count * sizeof *ways);
    ways[table].how = MASKED;
    for (size_t i = 0; i < model->layer_count; i++) {
        struct arrival in = arrival_at(&model->layers[i], ways);

        if (i == table || (in.masked == MODEL_NO_LAYER && !in.bare))
            continue;
        loss.is_read = true;
        if (model->layers[i].mask == EMBMON_MASK_MISSED) {
            loss.found = true;
            loss.way = bare_way(in);
            loss.missed = i;
            break;
        }
        ways[i] = way_out(model, table, i, in);
    }
    return loss;
}

static void summarise(const struct measures *m, size_t layer, const struct loss *loss,
                      const struct ids_stats *s, struct finding *finding)
{
    const struct layer *layers = m->model->layers;
    bool between = loss->way.lost == LAYERS_MAX;
    struct short_name names[3];

    finding_summary(finding,
                    "the mask of %s is lost %s %s%s, and %s, which would have used it, takes the "
                    "padding (id %" PRId64 ") for words: %" PRIu64 " of %" PRIu64
                    " ids at step %" PRIu64,
                    short_name(&names[0], layers[layer].path), between ? "behind" : "in",
                    short_name(&names[1], layers[between ? loss->way.after : loss->way.lost].path),
                    between ? ", in operations of no layer" : "",
                    short_name(&names[2], layers[loss->missed].path), layers[layer].padding_id,
                    s->padded, s->count, m->step->number);
}

/* What is mostly the cause. */
static const char *cause_of(const struct model *model, const struct loss *loss)
{
    if (loss->way.lost == LAYERS_MAX)
        return "arithmetic on tensors (x + places, x * 2, functions of keras.ops or tf), which "
               "gives "
               "no mask on; or a sum x + attention(x, x), where MultiHeadAttention takes the mask "
               "off x. Do such things, the attention too, in a layer of your own";
    if (model->layers[loss->way.lost].kind == EMBMON_MERGE)
        return "an input there that has no mask: Keras then gives the output none. It may be a "
               "vector for each place; or, in a sum x + attention(x, x), x itself, as "
               "MultiHeadAttention takes the mask off it. Do both in one layer of your own";
    return "a layer of your own that does not say what becomes of a mask, or one that cannot keep "
           "it, such as a convolution or Reshape; Keras warns of that once. A Lambda is told by "
           "mask=, a layer of your own";
}

static void advise(const struct model *model, size_t layer, const struct loss *loss,
                   struct finding *finding)
{
    struct short_name name;
    const char *path;

    path = short_name(&name, model->layers[layer].path);
    finding_hint(
        finding,
        "What the model says of a sequence depends on how much it is padded. Most likely "
        "the cause is %s with self.supports_masking = True. Or hand the mask over: "
        "layer(x, mask=table.compute_mask(ids)), for attention attention_mask=. Look at "
        "embedding/padding_fraction/%s for how much padding there is, and at gradients/%s: "
        "its row learns. To confirm, give the model one sequence twice, the second time "
        "with more padding: the outputs must be equal.",
        cause_of(model, loss), path, path);
}

/* The table's mask does not come to a layer that would have used it. */
enum verdict mask_mismatch_lost(const struct measures *m, size_t layer,
                                const struct baseline *baseline, const struct limits *limits,
                                struct finding *finding)
{
    const struct layer *table = &m->model->layers[layer];
    const struct step_ids *ids = step_ids_any(m->step, layer);
    struct loss loss;

    (void)baseline, (void)limits;
    if (!ids)
        return finding_silent(finding, "no ids were posted for this layer");
    if (!table->has_padding)
        return finding_silent(finding, "the table declares no padding id");
    if (table->mask != EMBMON_MASK_PASSED)
        return finding_silent(finding, "the table gives no mask on");
    if (m->step->phase != EMBMON_TRAIN)
        return finding_silent(finding, "the way of the mask is that of training");
    if (ids->stats.sequence_length <= 1)
        return finding_silent(finding, "the ids are no sequences");
    loss = find_loss(m->model, layer);
    if (!loss.is_read)
        return finding_silent(finding, "no layer says that it reads this table");
    finding->value = loss.found ? (double)ids->stats.padded : 0;
    finding->threshold = 0;
    if (!loss.found)
        return VERDICT_CLEAR;
    if (ids->stats.padded == 0) /* neither harm nor a sign that it is over */
        return finding_silent(finding, "no padding came, and the mask is for nothing else");
    summarise(m, layer, &loss, &ids->stats, finding);
    advise(m->model, layer, &loss, finding);
    return VERDICT_SICK;
}
