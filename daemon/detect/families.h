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

/* activation.c */
detect_fn activation_nonfinite;

/* loss.c */
detect_fn loss_nonfinite;
detect_fn loss_diverged;

/* Writes into a finding's summary and hint. */
__attribute__((format(printf, 2, 3))) void finding_summary(struct finding *finding,
                                                           const char *format, ...);
__attribute__((format(printf, 2, 3))) void finding_hint(struct finding *finding, const char *format,
                                                        ...);

/* Says why a detector cannot tell. */
enum verdict finding_silent(struct finding *finding, const char *why);

#endif
