/* The detectors' functions, by the file that holds them. What each looks for stands above it. */
#ifndef EMBMON_DETECT_FAMILIES_H
#define EMBMON_DETECT_FAMILIES_H

#include "daemon/detect/detect.h"

/* gradient.c */
detect_fn gradient_nonfinite;
detect_fn gradient_vanishing;
detect_fn gradient_exploding_norm;
detect_fn gradient_exploding_update;
detect_fn gradient_spike;
detect_fn gradient_underflow;

/* update.c */
detect_fn update_ratio_high;
detect_fn update_ratio_low;
detect_fn layer_frozen;

/* activation.c */
detect_fn activation_nonfinite;
detect_fn activation_dead_zeros;
detect_fn activation_dead_units;
detect_fn activation_saturated;
detect_fn activation_collapsed;

/* embedding.c */
detect_fn padding_row_gradient;
detect_fn coverage_drop;
detect_fn rows_hot;
detect_fn rows_moved_untouched;
detect_fn embedding_dominates;
detect_fn embedding_collapse;

/* lookup.c */
detect_fn ids_out_of_range;
detect_fn ids_dtype;
detect_fn sequence_empty;
detect_fn mask_mismatch;
detect_fn rows_dead;

/* mask.c */
detect_fn mask_mismatch_lost;

/* padding.c */
detect_fn ids_padding;
detect_fn padding_side;
detect_fn sequence_length_drift;

/* shape.c */
detect_fn shape_mismatch;
detect_fn shape_changed;

/* loss.c */
detect_fn loss_nonfinite;
detect_fn loss_diverged;

/* trainer.c */
detect_fn trainer_stalled;

/* A layer's path or a variable's label for use in a sentence: the middle of a long one is left out,
 * so that summary and hint always fit. Returns the name itself, or to->text where it is long. */
enum { SHORT_NAME_MAX = 100 };
struct short_name {
    char text[SHORT_NAME_MAX + 1];
};
const char *short_name(struct short_name *to, const char *name);

/* What an id of the layer's table stands for, for use behind it in a sentence: ` ("dress")`, or ""
 * where that is not known. Returns to->text. */
struct word_text {
    char text[IDS_WORD_BYTES + sizeof " (\"\")"];
};
const char *word_text(struct word_text *to, const struct layer *layer, double id);

/* The present learning rate for use in a sentence. Returns to->text. */
struct rate_text {
    char text[24];
};
const char *rate_text(struct rate_text *to, const struct baseline *baseline);

/* Write a finding's summary and hint, which begin with a word of ours: a name could begin a list;
 * what does not fit is cut between characters, never in one. */
__attribute__((format(printf, 2, 3))) void finding_summary(struct finding *finding,
                                                           const char *format, ...);
__attribute__((format(printf, 2, 3))) void finding_hint(struct finding *finding, const char *format,
                                                        ...);

/* Says why a detector cannot tell. */
enum verdict finding_silent(struct finding *finding, const char *why);

#endif
