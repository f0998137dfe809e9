/* What is looked up in a table: ids out of range, ids that are no whole numbers, sequences of
 * nothing but padding. Judged at first sight: the forward pass may raise right after. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "daemon/detect/families.h"
#include "embmon/embmon.h"

static const char NO_IDS[] = "no ids were posted for this layer";

/* "sequence 0, place 5 of input input1, on rank 3": where an id stood. */
struct place {
    char text[2 * SHORT_NAME_MAX + 64];
};

static const char *place_text(struct place *to, const struct measures *m,
                              const struct step_ids *ids, uint64_t position)
{
    uint64_t length = ids->stats.sequence_length;
    struct short_name input;
    size_t n;

    if (length > 1)
        n = (size_t)snprintf(to->text, sizeof to->text, "sequence %" PRIu64 ", place %" PRIu64,
                             position / length, position % length);
    else
        n = (size_t)snprintf(to->text, sizeof to->text, "position %" PRIu64, position);
    if (*ids->input)
        n += (size_t)snprintf(to->text + n, sizeof to->text - n, " of input %s",
                              short_name(&input, ids->input));
    if (ids->example_rank > 0 || m->step->posted.length > 1)
        (void)snprintf(to->text + n, sizeof to->text - n, ", on rank %" PRIu32, ids->example_rank);
    return to->text;
}

/* ---- out of range */

/* Another table in which the id would be a row. */
static const struct layer *table_with(const struct measures *m, size_t layer, double id)
{
    for (size_t i = 0; i < m->model->layer_count; i++) {
        const struct layer *other = &m->model->layers[i];

        if (i != layer && other->kind == EMBMON_EMBEDDING && (double)other->rows > id)
            return other;
    }
    return NULL;
}

/* What frameworks do with it was tried: Keras 3 on TensorFlow, with and without XLA. */
static void hint_negative(struct finding *finding, double worst, double rows)
{
    if (worst == -1)
        finding_hint(finding,
                     "Most likely a word that is not in the vocabulary: -1 is what many look-ups "
                     "return for it (category codes, find(), get(word, -1)). Keras takes the last "
                     "row for -1 without a word; PyTorch raises. To confirm, count the -1 in the "
                     "data before training; give unknown words a row of their own, and one row "
                     "more to the table.");
    else
        finding_hint(finding,
                     "Ids below 0 are no rows: most likely ids that were scaled, centred or hashed "
                     "with a sign, or a larger type cut to 32 bits. Keras counts from the last row "
                     "back for ids down to %.0f, without a word; below, TensorFlow raises on a CPU "
                     "and takes row 0 where XLA compiles it. PyTorch raises. To confirm, print the "
                     "smallest id at each stage of the preprocessing.",
                     -rows);
}

static void hint_beyond(const struct measures *m, size_t layer, struct finding *finding,
                        double worst)
{
    const struct layer *table = &m->model->layers[layer];
    const struct layer *other = table_with(m, layer, worst);
    double rows = (double)table->rows;
    struct short_name name;

    if (worst == rows)
        finding_hint(finding,
                     "Most likely the tokenizer's vocabulary is one larger than input_dim: its ids "
                     "count from 1, or the row for padding or unknown words was not counted. To "
                     "confirm, compare the largest id of the training data with input_dim (%.0f "
                     "rows hold ids up to %.0f) and build the table with %.0f rows. A CPU raises "
                     "here; compiled by XLA the id becomes %.0f, JAX returns NaN.",
                     rows, rows - 1, rows + 1, rows - 1);
    else if (worst <= 1.5 * rows)
        finding_hint(finding,
                     "Most likely the vocabulary has grown since input_dim was set: words were "
                     "added, or another tokenizer made these ids. To confirm, compare the "
                     "tokenizer's size with the table's %.0f rows: it needs %.0f for these ids. "
                     "Map what is unknown to one row of its own, or limit the tokenizer's words.",
                     rows, worst + 1);
    else if (other)
        finding_hint(finding,
                     "Most likely these ids belong to another table: %s has %" PRIu64
                     " rows. Are two inputs swapped, or passed in the wrong order? To confirm, "
                     "feed the inputs by name and compare each one's largest id with its table.",
                     short_name(&name, other->path), other->rows);
    else
        finding_hint(finding,
                     "An id so far outside is most likely no row at all: a raw key, a hash without "
                     "modulo, a time or a count in the place of an id. To confirm, look at the "
                     "batch of step %" PRIu64 " at the position named above; the table has %.0f "
                     "rows.",
                     m->step->number, rows);
}

/* The source with ids out of range, NULL when none has any. */
static const struct step_ids *outside_of(const struct measures *m, size_t layer)
{
    const struct step_ids *found = NULL;

    for (int source = IDS_REACHED; source < IDS_SOURCES && !found; source++) {
        const struct step_ids *ids = step_ids(m->step, layer, (enum ids_source)source);

        if (ids && ids->stats.negative + ids->stats.beyond > 0)
            found = ids;
    }
    return found;
}

/* An id that is no row of the table: it reached the layer, or was fed and the framework may have
 * moved it into range on the way. */
enum verdict ids_out_of_range(const struct measures *m, size_t layer,
                              const struct baseline *baseline, const struct limits *limits,
                              struct finding *finding)
{
    const struct layer *table = &m->model->layers[layer];
    const struct step_ids *ids = outside_of(m, layer);
    const struct ids_stats *s;
    struct short_name name;
    struct word_text word;
    struct place place;
    double count;

    (void)baseline, (void)limits;
    if (!step_ids_any(m->step, layer))
        return finding_silent(finding, NO_IDS);
    finding->value = 0;
    finding->threshold = 0;
    if (!ids)
        return VERDICT_CLEAR;
    s = &ids->stats;
    count = (double)(s->negative + s->beyond);
    finding->value = count;
    finding->ranks = &ids->troubled[IDS_OUTSIDE];
    finding_summary(finding,
                    "id %.0f%s %s %s (%" PRIu64 " rows) at step %" PRIu64
                    ", %s; ids 0 ... %.0f are valid; %.0f of %" PRIu64
                    " ids in this batch are outside (%.2g %%)",
                    s->worst, word_text(&word, table, s->worst),
                    ids == step_ids(m->step, layer, IDS_FED) ? "was fed to" : "reached",
                    short_name(&name, table->path), table->rows, m->step->number,
                    place_text(&place, m, ids, s->worst_position), (double)table->rows - 1, count,
                    s->count, 100 * count / (double)s->count);
    if (s->worst < 0)
        hint_negative(finding, s->worst, (double)m->model->layers[layer].rows);
    else
        hint_beyond(m, layer, finding, s->worst);
    return VERDICT_SICK;
}

/* ---- the type */

static bool is_float(const struct step_ids *ids)
{
    return ids && ids->dtype >= EMBMON_F32 && ids->dtype <= EMBMON_BF16;
}

static const char *dtype_text(const struct step_ids *ids)
{
    static const char *const names[] = {"?",    "float32", "float64", "float16", "bfloat16",
                                        "int8", "int16",   "int32",   "int64"};

    return names[ids->dtype < sizeof names / sizeof *names ? ids->dtype : 0];
}

/* A value that is no whole number, or too large for its type to be told from its neighbour. */
static enum verdict inexact_ids(const struct measures *m, size_t layer, const struct step_ids *ids,
                                struct finding *finding)
{
    const struct ids_stats *s = &ids->stats;
    struct short_name name;
    struct place place;
    const char *path = short_name(&name, m->model->layers[layer].path);

    finding->severity = EMBMON_CRITICAL;
    finding->value = (double)(s->fractional + s->inexact);
    finding->ranks = &ids->troubled[IDS_INEXACT];
    if (s->fractional > 0) {
        finding_summary(finding,
                        "ids of %s are no whole numbers at step %" PRIu64 ": %g at %s; %" PRIu64
                        " of %" PRIu64 " in this batch",
                        path, m->step->number, s->fractional_value,
                        place_text(&place, m, ids, s->fractional_position), s->fractional,
                        s->count);
        finding_hint(finding,
                     "Frameworks cut the fraction off without a word, so that 1.9 looks up row 1, "
                     "and NaN is row 0 or an error. Most likely a feature was scaled, averaged or "
                     "filled before it was used as an id, or two inputs are swapped. To confirm, "
                     "print the input before the model: it must be integers, and casting it must "
                     "change nothing.");
        return VERDICT_SICK;
    }
    finding_summary(finding,
                    "ids of %s are too large for their type %s at step %" PRIu64
                    ": %.0f at %s; %" PRIu64 " of %" PRIu64 " in this batch",
                    path, dtype_text(ids), m->step->number, s->inexact_value,
                    place_text(&place, m, ids, s->inexact_position), s->inexact, s->count);
    finding_hint(finding,
                 "From there on %s cannot tell neighbouring whole numbers apart (float32 from "
                 "16,777,216, float16 from 2,048, bfloat16 from 256): several ids fall together on "
                 "one row of the table and train it in turns. Feed integers, and declare the "
                 "input as such: Input(..., dtype=\"int32\"). To confirm, compare the number of "
                 "distinct ids before and after the cast.",
                 dtype_text(ids));
    return VERDICT_SICK;
}

/* Floats that still are whole numbers. */
static enum verdict float_ids(const struct measures *m, size_t layer, struct finding *finding)
{
    const struct step_ids *fed = step_ids(m->step, layer, IDS_FED);
    const struct step_ids *reached = step_ids(m->step, layer, IDS_REACHED);
    struct short_name name;
    const char *path = short_name(&name, m->model->layers[layer].path);

    if (is_float(fed)) {
        finding->severity = EMBMON_WARNING;
        finding->value = (double)fed->stats.count;
        finding_summary(finding, "ids of %s were fed as %s at step %" PRIu64 ", not as integers",
                        path, dtype_text(fed), m->step->number);
        finding_hint(finding,
                     "They are whole numbers as yet, and the framework casts them. Most likely a "
                     "scaling, a fill of missing values or a CSV reader made floats of them "
                     "earlier in the preprocessing, and the next step of it may make 1.5 of 1. "
                     "Cast once at the source, with astype(\"int32\"), and declare "
                     "Input(..., dtype=\"int32\"). To confirm, look at the input's dtype after "
                     "each stage.");
        return VERDICT_SICK;
    }
    finding->severity = EMBMON_INFO;
    finding->value = (double)reached->stats.count;
    finding_summary(finding, "ids of %s reached it as %s at step %" PRIu64 "%s", path,
                    dtype_text(reached), m->step->number,
                    fed ? ", though they were fed as integers" : "");
    finding_hint(
        finding,
        "An Input without a dtype is float32, and casts what is fed; nothing is lost until "
        "an id passes 16,777,216 (float16: 2,048). Declare Input(..., dtype=\"int32\") "
        "and this is over. If the ids were floats before they came to the model, look at "
        "the preprocessing instead.");
    return VERDICT_SICK;
}

/* Ids that are no integers: how bad depends on what the floats have lost, and on who made them.
 * Where only what reached the layer is known, the user's floats look like the Input's default. */
enum verdict ids_dtype(const struct measures *m, size_t layer, const struct baseline *baseline,
                       const struct limits *limits, struct finding *finding)
{
    const struct step_ids *fed = step_ids(m->step, layer, IDS_FED);
    const struct step_ids *reached = step_ids(m->step, layer, IDS_REACHED);

    (void)baseline, (void)limits;
    if (!fed && !reached)
        return finding_silent(finding, NO_IDS);
    finding->value = 0;
    finding->threshold = 0;
    if (fed && fed->stats.fractional + fed->stats.inexact > 0)
        return inexact_ids(m, layer, fed, finding);
    if (reached && reached->stats.fractional + reached->stats.inexact > 0)
        return inexact_ids(m, layer, reached, finding);
    return is_float(fed) || is_float(reached) ? float_ids(m, layer, finding) : VERDICT_CLEAR;
}

/* ---- padding that takes all */

/* A sequence is all padding, the padding is masked, and what comes next averages over the rest:
 * 0 / 0. */
enum verdict sequence_empty(const struct measures *m, size_t layer, const struct baseline *baseline,
                            const struct limits *limits, struct finding *finding)
{
    const struct layer *table = &m->model->layers[layer];
    const struct step_ids *ids = step_ids_any(m->step, layer);
    const struct step_ids *fed = step_ids(m->step, layer, IDS_FED);
    int pooling;
    struct short_name names[2];

    (void)baseline, (void)limits;
    if (!ids)
        return finding_silent(finding, NO_IDS);
    if (!table->has_padding)
        return finding_silent(finding, "the table declares no padding id");
    pooling = model_reader(m->model, layer, EMBMON_POOLING);
    if (pooling == MODEL_NO_GRAPH)
        return finding_silent(finding, "no layer says what it reads: what averages is not known");
    if (pooling < 0)
        return finding_silent(finding, "no layer averages over this table's sequences");
    if (ids->stats.empty == 0 && fed && fed->stats.empty > 0)
        ids = fed;
    finding->value = (double)ids->stats.empty;
    finding->threshold = 0;
    if (ids->stats.empty == 0)
        return VERDICT_CLEAR;
    finding->ranks = &ids->troubled[IDS_EMPTY];
    finding_summary(finding,
                    "sequences of %s are all padding at step %" PRIu64 ": %" PRIu64 " of %" PRIu64
                    ", the first is sequence %" PRIu64 "; %s averages over them",
                    short_name(&names[0], table->path), m->step->number, ids->stats.empty,
                    ids->stats.sequences, ids->stats.empty_sequence,
                    short_name(&names[1], m->model->layers[pooling].path));
    finding_hint(
        finding,
        "With the padding masked the average has nothing to average: 0/0, and the loss is "
        "NaN on every backend; one step later all weights are. Most likely empty texts, or "
        "texts of which the filter or the vocabulary left no word. Drop them, or let an "
        "empty text be one unknown word. To confirm, look at the row named above in the "
        "batch of step %" PRIu64 ".",
        m->step->number);
    return VERDICT_SICK;
}

/* The mask that goes on with the sequence is not the padding. */
enum verdict mask_mismatch(const struct measures *m, size_t layer, const struct baseline *baseline,
                           const struct limits *limits, struct finding *finding)
{
    const struct layer *table = &m->model->layers[layer];
    const struct step_ids *ids = step_ids_any(m->step, layer);
    const struct ids_stats *s;
    struct short_name name;
    struct word_text word;
    struct place place;

    (void)baseline, (void)limits;
    if (!ids)
        return finding_silent(finding, NO_IDS);
    if (!table->has_padding)
        return finding_silent(finding, "the table declares no padding id");
    s = &ids->stats;
    if (s->masked == 0)
        return finding_silent(finding, "no mask was posted with the ids");
    finding->value = (double)s->mismatched;
    finding->threshold = 0;
    if (s->mismatched == 0)
        return VERDICT_CLEAR;
    finding->ranks = &ids->troubled[IDS_MISMATCHED];
    finding_summary(finding,
                    "the mask of %s is not its padding (id %" PRId64 "%s) at step %" PRIu64
                    ": they differ at %" PRIu64 " of %" PRIu64 " positions, first at %s",
                    short_name(&name, table->path), table->padding_id,
                    word_text(&word, table, (double)table->padding_id), m->step->number,
                    s->mismatched, s->masked, place_text(&place, m, ids, s->mismatch_position));
    finding_hint(
        finding,
        "What is masked is skipped though it is a word, or padding is read as a word. Most "
        "likely the padding value of the preprocessing is not the table's (pad_sequences "
        "pads with 0 if not told), the mask was made before the sequences were cut or "
        "turned, or its sense is reversed: in Keras True means keep, in PyTorch's "
        "key_padding_mask it means skip. To confirm, compare mask and ids at the position "
        "named above.");
    return VERDICT_SICK;
}

/* ---- rows */

enum { RESERVED_ROWS = 1 }; /* for unknown words: a good vocabulary may never need it */

/* After a whole epoch some rows were never looked up. */
enum verdict rows_dead(const struct measures *m, size_t layer, const struct baseline *baseline,
                       const struct limits *limits, struct finding *finding)
{
    const struct layer *table = &m->model->layers[layer];
    const struct intake *intake = &baseline->intakes[layer];
    double rows = (double)table->rows - table->has_padding, dead;
    struct short_name name;
    const char *path;

    if (table->kind != EMBMON_EMBEDDING || rows < 1)
        return finding_silent(finding, "not a table of known size");
    if (!intake->rows_known)
        return finding_silent(finding, "which rows were looked up was not posted");
    if (m->several_ranks)
        return finding_silent(finding, "ranks see different rows");
    if (m->some_steps)
        return finding_silent(finding, "only some steps are posted: others look up other rows");
    dead = rows - (double)intake->rows_seen;
    finding->value = dead / rows;
    finding->threshold = limits->dead_rows;
    if (dead <= RESERVED_ROWS || finding->value <= limits->dead_rows)
        return VERDICT_CLEAR;
    path = short_name(&name, table->path);
    finding_summary(finding,
                    "rows of %s were not looked up once in the epoch that ended at step %" PRIu64
                    ": %.0f of %.0f (%.3g %%)",
                    path, m->step->number, dead, rows, 100 * finding->value);
    finding_hint(finding,
                 "They keep their random start and say nothing when validation or users look them "
                 "up. A few are rare words; many mean that the table was made for another "
                 "vocabulary, or that the ids were shifted or cut. Look at embedding/coverage/%s "
                 "and embedding/unique_ids/%s. To confirm, count the distinct ids of the training "
                 "data; a smaller table, or one row for all rare words, trains better.",
                 path, path);
    return VERDICT_SICK;
}
