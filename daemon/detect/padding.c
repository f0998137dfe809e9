/* Of padding and lengths: validation and inference against what training fed. Nothing else reports
 * it, and no error is raised. */
#include <inttypes.h>
#include <math.h>

#include "daemon/detect/families.h"
#include "embmon/embmon.h"

static const char NO_PADDING[] = "the table declares no padding id";
static const char IN_TRAINING[] = "training is what validation and inference are compared with";

static const char *phase_word(const struct measures *m)
{
    return m->step->phase == EMBMON_VALIDATE ? "validation" : "inference";
}

/* Why nothing can be compared; NULL: it can. */
static const char *nothing_to_compare(const struct measures *m, size_t layer,
                                      const struct intake *intake)
{
    const struct step_ids *ids = step_ids_any(m->step, layer);

    if (!ids)
        return "no ids were posted for this layer";
    if (!m->model->layers[layer].has_padding)
        return NO_PADDING;
    if (ids->stats.sequences == 0)
        return "the ids are no sequences";
    if (m->step->phase == EMBMON_TRAIN)
        return IN_TRAINING;
    return intake->sequences == 0 ? "training has posted no sequences" : NULL;
}

/* The share of padding is not what it was in training. */
enum verdict ids_padding(const struct measures *m, size_t layer, const struct baseline *baseline,
                         const struct limits *limits, struct finding *finding)
{
    const struct intake *intake = &baseline->intakes[layer];
    const char *why = nothing_to_compare(m, layer, intake);
    const struct intake_recent *recent = &intake->recent[m->step->phase - 1];
    double share,
        allowed = fmax(limits->padding_moved, limits->padding_sigmas * intake_spread(intake));
    struct short_name name;
    const char *path;

    if (why)
        return finding_silent(finding, why);
    if ((double)intake->sequences < limits->padding_sequences ||
        (double)recent->total < limits->padding_sequences)
        return finding_silent(finding, "too few sequences to compare the padding of");
    share = intake_share(intake, m->step->phase);
    finding->value = share;
    finding->baseline = intake->share_mean;
    finding->threshold = intake->share_mean + copysign(allowed, share - intake->share_mean);
    if (fabs(share - intake->share_mean) <= allowed)
        return VERDICT_CLEAR;
    path = short_name(&name, m->model->layers[layer].path);
    finding_summary(finding,
                    "padding is %.1f %% of what %s feeds %s at step %" PRIu64
                    "; in training it was %.1f %%",
                    100 * share, phase_word(m), path, m->step->number, 100 * intake->share_mean);
    finding_hint(finding,
                 "The model sees other texts here than it was trained on: a different maxlen or "
                 "truncation, another tokenizer, or texts that are %s. 70 %% of padding is "
                 "healthy when it is masked; a change is not. Look at "
                 "embedding/padding_fraction/%s beside the same tag of %s. To confirm, pad one "
                 "training text with the code of %s and compare the ids.",
                 share > intake->share_mean ? "shorter, or empty because words are unknown"
                                            : "longer",
                 path, phase_word(m), phase_word(m));
    return VERDICT_SICK;
}

static void tell_side(const struct measures *m, size_t layer, const struct intake *intake,
                      struct finding *finding)
{
    const struct intake_recent *recent = &intake->recent[m->step->phase - 1];
    bool trailing = intake_side(intake) == SIDE_TRAILING;
    struct short_name name;
    const char *path = short_name(&name, m->model->layers[layer].path);

    if (recent->wrong >= recent->unpadded) {
        finding_summary(finding,
                        "sequences of %s are padded %s their ids in %s at step %" PRIu64
                        ", %s them in training: %.0f of the latest %.0f",
                        path, trailing ? "before" : "after", phase_word(m), m->step->number,
                        trailing ? "after" : "before", recent->wrong, recent->sequences);
        finding_hint(finding,
                     "The model finds its words at other places than it has learnt, and answers "
                     "worse without an error. Most likely pad_sequences() was called once with "
                     "padding=\"post\" and once without: its default is \"pre\". Use one function "
                     "for both, with padding and maxlen given. To confirm, print the first row of "
                     "both inputs.");
        return;
    }
    finding_summary(finding,
                    "sequences of %s come without padding in %s at step %" PRIu64
                    ", shorter than any input in training (%" PRIu64 " ids): %.0f of the latest "
                    "%.0f",
                    path, phase_word(m), m->step->number, intake->input_min, recent->unpadded,
                    recent->sequences);
    finding_hint(finding,
                 "In training such sequences were padded; layers behind the table (pooling without "
                 "a mask, Flatten, convolutions) have learnt from that. Most likely the padding "
                 "step is missing before predict(). Pad with the same maxlen=%" PRIu64
                 ", value and side as in training. To confirm, predict the same text with and "
                 "without padding: the answers differ.",
                 intake->input_max);
}

/* Padding stands on the other side than in training, or is missing where training had it. The
 * number of such sequences is the evidence, over steps too: one step with enough of them fires. */
enum verdict padding_side(const struct measures *m, size_t layer, const struct baseline *baseline,
                          const struct limits *limits, struct finding *finding)
{
    const struct intake *intake = &baseline->intakes[layer];
    const char *why = nothing_to_compare(m, layer, intake);
    const struct intake_recent *recent = &intake->recent[m->step->phase - 1];
    double sick, seen;

    if (why)
        return finding_silent(finding, why);
    if (intake->leading + intake->trailing == 0)
        return finding_silent(finding, "training has fed no padding");
    if (recent->last_sick + recent->last_side <= 0)
        return finding_silent(finding, "no sequence of this step is padded, or should be");
    sick = recent->wrong + recent->unpadded;
    seen = recent->side + recent->unpadded;
    finding->value = sick;
    finding->threshold = limits->side_sequences;
    if (recent->last_sick <= 0 || sick < 0.5 * seen)
        return VERDICT_CLEAR;
    if (sick < limits->side_sequences)
        return finding_silent(finding, "too few sequences to tell the side of the padding");
    tell_side(m, layer, intake, finding);
    return VERDICT_SICK;
}

/* True lengths that training has never seen. */
enum verdict sequence_length_drift(const struct measures *m, size_t layer,
                                   const struct baseline *baseline, const struct limits *limits,
                                   struct finding *finding)
{
    const struct intake *intake = &baseline->intakes[layer];
    const char *why = nothing_to_compare(m, layer, intake);
    const struct intake_recent *recent = &intake->recent[m->step->phase - 1];
    const struct ids_stats *s;
    bool longer;
    struct short_name name;
    const char *path;

    if (why)
        return finding_silent(finding, why);
    s = &step_ids_any(m->step, layer)->stats;
    if (intake->length_max == 0 || s->length_max == 0)
        return finding_silent(finding, "all sequences are empty");
    longer = s->length_max > intake->length_max;
    finding->value = (double)(longer ? s->length_max : s->length_min);
    finding->threshold = (double)(longer ? intake->length_max : intake->length_min);
    if (!longer && s->length_min >= intake->length_min)
        return VERDICT_CLEAR;
    /* Few sequences in training show little of its range, few here little of theirs. */
    finding->severity = (double)recent->total >= limits->drift_sequences &&
                                (double)intake->sequences >= limits->drift_sequences
                            ? EMBMON_WARNING
                            : EMBMON_INFO;
    path = short_name(&name, m->model->layers[layer].path);
    finding_summary(finding,
                    "true lengths of %s are %" PRIu64 " ... %" PRIu64 " in %s at step %" PRIu64
                    "; training had %" PRIu64 " ... %" PRIu64,
                    path, s->length_min, s->length_max, phase_word(m), m->step->number,
                    intake->length_min, intake->length_max);
    finding_hint(finding,
                 "The model has not learnt from sequences so %s. A single one may be what a user "
                 "typed; many mean that texts are cut, split or cleaned in another way than for "
                 "training. Compare the preprocessing of both, maxlen and truncation first. To "
                 "confirm, run training texts through the code of %s: their lengths must be those "
                 "of training.",
                 longer ? "long" : "short", phase_word(m));
    return VERDICT_SICK;
}
