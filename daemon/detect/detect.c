#include "daemon/detect/detect.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/detect/families.h"
#include "embmon/embmon.h"

/* Measured on 25 healthy and 17 sick small trainings; docs/ARCHITECTURE.md says how to move them.
 */
const struct limits limits_default = {
    .vanishing_ratio = 1e-3,
    .vanishing_norm = 1e-4,
    .exploding_layer = 100,
    .exploding_model = 10,
    .exploding_update = 3,
    .update_elements = 64,
    .spike_layer = 8,
    .spike_model = 3,
    .diverged_loss = 5,
    .update_high = 1,
    .update_low = 1e-6,
    .underflow = 0.3,
    .dead_share = 0.99,
    .dead_units = 0.95,
    .saturated = 0.5,
    .variation = 1e-12,
    .dominates = 100,
    .coverage = 0.5,
    .hot_share = 0.2,
    .hot_rise = 2,
    .cosine = 0.95,
    .spread = 0.1,
    .padding_moved = 0.1,
    .padding_sigmas = 4,
    .padding_sequences = 200,
    .side_sequences = 2,
    .drift_sequences = 200,
    .dead_rows = 0.01,
    .stalled_seconds = 60,
    .stalled_steps = 20,
};

#define KEY(detector, key, limit)                                                                  \
    {                                                                                              \
        detector, key, offsetof(struct limits, limit)                                              \
    }
const struct limit_key limit_keys[] = {
    KEY("gradient_vanishing", "ratio", vanishing_ratio),
    KEY("gradient_vanishing", "norm", vanishing_norm),
    KEY("gradient_exploding", "layer", exploding_layer),
    KEY("gradient_exploding", "model", exploding_model),
    KEY("gradient_exploding", "update_ratio", exploding_update),
    KEY("gradient_spike", "layer", spike_layer),
    KEY("gradient_spike", "model", spike_model),
    KEY("loss_diverged", "factor", diverged_loss),
    KEY("update_ratio", "high", update_high),
    KEY("update_ratio", "low", update_low),
    KEY("gradient_underflow", "rise", underflow),
    KEY("activation_dead", "share", dead_share),
    KEY("activation_dead", "units", dead_units),
    KEY("activation_saturated", "share", saturated),
    KEY("activation_collapsed", "variation", variation),
    KEY("embedding_dominates", "factor", dominates),
    KEY("coverage_drop", "factor", coverage),
    KEY("rows_hot", "share", hot_share),
    KEY("rows_hot", "rise", hot_rise),
    KEY("embedding_collapse", "cosine", cosine),
    KEY("embedding_collapse", "rank", spread),
    KEY("ids_padding", "share", padding_moved),
    KEY("ids_padding", "sigmas", padding_sigmas),
    KEY("ids_padding", "sequences", padding_sequences),
    KEY("padding_side", "sequences", side_sequences),
    KEY("sequence_length_drift", "sequences", drift_sequences),
    KEY("rows_dead", "share", dead_rows),
    KEY("trainer_stalled", "seconds", stalled_seconds),
    KEY("trainer_stalled", "steps", stalled_steps),
};
#undef KEY
const size_t limit_key_count = sizeof limit_keys / sizeof *limit_keys;

/* Causes stand before their consequences. */
const struct detector detectors[] = {
    {.name = "activation_nonfinite",
     .signal = "activation",
     .severity = EMBMON_CRITICAL,
     .first_only = true,
     .is_nonfinite = true,
     .freezes = FREEZES_MODEL,
     .clauses = {{activation_nonfinite, 1, 0, false, TRAIT_ACTIVATION}}},
    {.name = "gradient_nonfinite",
     .signal = "gradient",
     .severity = EMBMON_CRITICAL,
     .first_only = true,
     .is_nonfinite = true,
     .freezes = FREEZES_MODEL,
     .clauses = {{gradient_nonfinite, 1, 0, false, TRAIT_GRADIENT}}},
    {.name = "loss_nonfinite",
     .signal = "loss",
     .severity = EMBMON_CRITICAL,
     .of_model = true,
     .is_nonfinite = true,
     .freezes = FREEZES_MODEL,
     .clauses = {{loss_nonfinite, 1, 0, false, 0}}},
    {.name = "gradient_exploding",
     .signal = "gradient",
     .severity = EMBMON_CRITICAL,
     .is_consequence = true,
     .freezes = FREEZES_MODEL,
     .training_only = true,
     .clauses = {{gradient_exploding_norm, 3, 0, true, TRAIT_GRADIENT},
                 {gradient_exploding_update, 1, 0, false, TRAIT_RATIO}}},
    {.name = "loss_diverged",
     .signal = "loss",
     .severity = EMBMON_CRITICAL,
     .of_model = true,
     .is_consequence = true,
     .training_only = true,
     .clauses = {{loss_diverged, 2, 0, false, 0}}},
    {.name = "gradient_spike",
     .signal = "gradient",
     .severity = EMBMON_WARNING,
     .is_consequence = true,
     .freezes = FREEZES_MODEL,
     .training_only = true,
     .clauses = {{gradient_spike, 1, 0, true, TRAIT_GRADIENT}}},
    {.name = "gradient_vanishing",
     .signal = "gradient",
     .severity = EMBMON_WARNING,
     .freezes = FREEZES_LAYER,
     .training_only = true,
     .clauses = {{gradient_vanishing, 10, 150, false, TRAIT_GRADIENT}}},
    {.name = "update_ratio",
     .signal = "update",
     .severity = EMBMON_WARNING,
     .is_consequence = true,
     .training_only = true,
     .clauses = {{update_ratio_high, 3, 0, false, TRAIT_RATIO},
                 {update_ratio_low, 3, 0, false, TRAIT_RATIO}}},
    {.name = "layer_frozen",
     .signal = "update",
     .severity = EMBMON_WARNING,
     .training_only = true,
     .clauses = {{layer_frozen, 3, 0, false, TRAIT_UPDATE}}},
    {.name = "gradient_underflow",
     .signal = "gradient",
     .severity = EMBMON_WARNING,
     .training_only = true,
     .clauses = {{gradient_underflow, 5, 0, false, TRAIT_HALF | TRAIT_GRADIENT}}},
    {.name = "activation_dead",
     .signal = "activation",
     .severity = EMBMON_WARNING,
     .is_consequence = true, /* relu of NaN may be 0 */
     .training_only = true,
     .clauses = {{activation_dead_zeros, 5, 0, false, TRAIT_OUTPUT},
                 {activation_dead_units, 5, 0, false, TRAIT_OUTPUT}}},
    {.name = "activation_saturated",
     .signal = "activation",
     .severity = EMBMON_WARNING,
     .is_consequence = true,
     .training_only = true,
     .clauses = {{activation_saturated, 5, 0, false, TRAIT_OUTPUT}}},
    {.name = "activation_collapsed",
     .signal = "activation",
     .severity = EMBMON_WARNING,
     .is_consequence = true,
     .training_only = true,
     .clauses = {{activation_collapsed, 5, 0, false, TRAIT_OUTPUT}}},
    {.name = "coverage_drop",
     .signal = "gradient",
     .severity = EMBMON_WARNING,
     .muted_by = "ids_out_of_range",
     .training_only = true,
     .clauses = {{coverage_drop, 3, 0, true, TRAIT_TABLE | TRAIT_LOOKUPS}}},
    {.name = "rows_hot",
     .signal = "gradient",
     .severity = EMBMON_INFO,
     .training_only = true,
     .clauses = {{rows_hot, 5, 0, true, TRAIT_TABLE | TRAIT_LOOKUPS}}},
    {.name = "rows_moved_untouched",
     .signal = "update",
     .severity = EMBMON_INFO,
     .training_only = true,
     .clauses = {{rows_moved_untouched, 1, 0, false, TRAIT_TABLE | TRAIT_MOVED}}},
    {.name = "embedding_dominates",
     .signal = "gradient",
     .severity = EMBMON_INFO,
     .is_consequence = true,
     .training_only = true,
     .clauses = {{embedding_dominates, 3, 0, false, TRAIT_TABLE | TRAIT_GRADIENT}}},
    {.name = "embedding_collapse",
     .signal = "weight",
     .severity = EMBMON_INFO,
     .training_only = true,
     .clauses = {{embedding_collapse, 1, 0, false, TRAIT_TABLE | TRAIT_WEIGHT}}},
    {.name = "ids_out_of_range",
     .signal = "ids",
     .severity = EMBMON_CRITICAL,
     .at = AT_IDS,
     .clauses = {{ids_out_of_range, 1, 0, false, TRAIT_IDS}}},
    {.name = "ids_dtype",
     .signal = "ids",
     .severity = EMBMON_WARNING,
     .at = AT_IDS,
     .clauses = {{ids_dtype, 1, 0, false, TRAIT_IDS}}},
    {.name = "sequence_empty",
     .signal = "ids",
     .severity = EMBMON_CRITICAL,
     .at = AT_IDS,
     .clauses = {{sequence_empty, 1, 0, false, TRAIT_IDS}}},
    {.name = "mask_mismatch",
     .signal = "ids",
     .severity = EMBMON_WARNING,
     .at = AT_IDS,
     .clauses = {{mask_mismatch, 1, 0, false, TRAIT_IDS},
                 {mask_mismatch_lost, 1, 0, false, TRAIT_IDS}}},
    {.name = "padding_row_gradient",
     .signal = "gradient",
     .severity = EMBMON_WARNING,
     .muted_by = "mask_mismatch",
     .training_only = true,
     .clauses = {{padding_row_gradient, 1, 0, false, TRAIT_TABLE | TRAIT_PADDING}}},
    {.name = "ids_padding",
     .signal = "ids",
     .severity = EMBMON_WARNING,
     .clauses = {{ids_padding, 5, 0, false, TRAIT_IDS}}},
    {.name = "padding_side",
     .signal = "ids",
     .severity = EMBMON_WARNING,
     .clauses = {{padding_side, 1, 0, false, TRAIT_IDS}}},
    {.name = "sequence_length_drift",
     .signal = "ids",
     .severity = EMBMON_WARNING,
     .clauses = {{sequence_length_drift, 2, 0, false, TRAIT_IDS}}},
    {.name = "rows_dead",
     .signal = "ids",
     .severity = EMBMON_INFO,
     .at = AT_EPOCH,
     .training_only = true,
     .clauses = {{rows_dead, 1, 0, false, 0}}},
    {.name = "shape_mismatch",
     .signal = "shape",
     .severity = EMBMON_CRITICAL,
     .at = AT_SHAPE,
     .first_only = true,
     .clauses = {{shape_mismatch, 1, 0, false, TRAIT_SHAPES}}},
    {.name = "shape_changed",
     .signal = "shape",
     .severity = EMBMON_WARNING,
     .at = AT_SHAPE,
     .first_only = true,
     .clauses = {{shape_changed, 1, 0, false, TRAIT_SHAPES}}},
    {.name = "trainer_stalled",
     .signal = "step",
     .severity = EMBMON_WARNING,
     .at = AT_TIME,
     .of_model = true,
     .training_only = true,
     .clauses = {{trainer_stalled, 1, 0, false, 0}}},
};
const size_t detector_count = sizeof detectors / sizeof *detectors;

size_t detector_find(const char *name)
{
    size_t i = 0;

    while (i < detector_count &&
           (*detectors[i].name != *name || strcmp(detectors[i].name, name) != 0))
        i++;
    return i;
}

/* Bytes of the text's beginning, at most n, that surely end with a whole character. */
static size_t whole_characters(const char *text, size_t n)
{
    while (n > 0 && ((unsigned char)text[n - 1] & 0xc0) == 0x80)
        n--;
    return n > 0 && (unsigned char)text[n - 1] >= 0xc0 ? n - 1 : n;
}

const char *short_name(struct short_name *to, const char *name)
{
    enum { HEAD = 40, TAIL = SHORT_NAME_MAX - HEAD - 3 };
    size_t length = strlen(name), head, tail;

    if (length <= SHORT_NAME_MAX) /* nearly always, and it is asked for often */
        return name;
    head = whole_characters(name, HEAD);
    tail = length - TAIL;
    while (((unsigned char)name[tail] & 0xc0) == 0x80)
        tail++;
    (void)snprintf(to->text, sizeof to->text, "%.*s...%s", (int)head, name, name + tail);
    return to->text;
}

const char *word_text(struct word_text *to, const struct layer *layer, double id)
{
    const char *word = fabs(id) < 0x1p53 ? words_find(layer->words, (int64_t)id) : NULL;

    to->text[0] = '\0';
    if (word)
        (void)snprintf(to->text, sizeof to->text, " (\"%s\")", word);
    return to->text;
}

const char *rate_text(struct rate_text *to, const struct baseline *baseline)
{
    if (isnan(baseline->rate))
        (void)snprintf(to->text, sizeof to->text, "not posted");
    else
        (void)snprintf(to->text, sizeof to->text, "%.3g", baseline->rate);
    return to->text;
}

__attribute__((format(printf, 3, 0))) static void
write_sentence(char *to, size_t size, const char *format, va_list arguments)
{
    int n = vsnprintf(to, size, format, arguments);

    if (n >= 0 && (size_t)n >= size)
        to[whole_characters(to, size - 1)] = '\0';
}

void finding_summary(struct finding *finding, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_sentence(finding->summary, sizeof finding->summary, format, arguments);
    va_end(arguments);
}

void finding_hint(struct finding *finding, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_sentence(finding->hint, sizeof finding->hint, format, arguments);
    va_end(arguments);
}

void summary_end(char summary[FINDING_SUMMARY], const char *format, ...)
{
    char end[FINDING_SUMMARY / 2];
    va_list arguments;
    size_t room, used = strlen(summary);

    va_start(arguments, format);
    write_sentence(end, sizeof end, format, arguments);
    va_end(arguments);
    room = FINDING_SUMMARY - 1 - strlen(end);
    if (used > room)
        used = whole_characters(summary, room);
    memcpy(summary + used, end, strlen(end) + 1);
}

enum verdict finding_silent(struct finding *finding, const char *why)
{
    finding->silent = why;
    return VERDICT_SILENT;
}
