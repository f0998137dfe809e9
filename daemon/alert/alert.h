/* Alerts: the verdicts of all detectors at a step become changes of state, each told once.
 *
 * Identity: phase, layer, detector. Causes mute their consequences: while a value is non-finite
 * somewhere, explosions, spikes and divergence of the same run are not judged; of the layers with
 * non-finite values only the first in forward order is named. An alert whose norm stays at its new
 * level for 100 sampled steps, the loss not diverging, resolves with the reason "new level"; so do
 * explosions and spikes when the learning rate jumps. */
#ifndef EMBMON_ALERT_ALERT_H
#define EMBMON_ALERT_ALERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/alert/change.h"
#include "daemon/carry.h"
#include "daemon/ceilings.h"
#include "daemon/detect/detect.h"
#include "daemon/detect/rules.h"
#include "daemon/moment.h"

struct alerts; /* opaque: of one run */

enum {
    ALERT_NEW_LEVEL_STEPS = 100,
    ALERTS_LEAST = 64, /* that each run may keep whatever others do */
};

typedef void alert_listener(void *context, const struct alert_change *change);

/* run: its name, borrowed for the alerts' life. NULL when out of memory. */
struct alerts *alerts_new(const char *run, alert_listener *listener, void *context);
void alerts_free(struct alerts *alerts);

/* How many alerts are kept of this run, and of all; else the defaults hold. One that is not kept is
 * judged and told like any other, and counted; what it found is not said again. */
void alerts_limit(struct alerts *alerts, uint64_t most, uint64_t all_most);

/* Where that is counted: of_all->used is what all keep now, refused how many were not or are no
 * more. Borrowed for the alerts' life. */
void alerts_share(struct alerts *alerts, struct gauge *of_run, struct gauge *of_all);

/* Judges a closed step and tells the listener of every change. m: its model is borrowed for the
 * alerts' life, as it is below. baseline: a layer's level is
 * forgotten when its alert resolves as a new level. rules: resolved; what they say is to be left
 * alone is silent, and its alert resolves with the reason "closed". Out of memory: the step is not
 * judged, false. */
bool alerts_judge(struct alerts *alerts, const struct measures *m, struct baseline *baseline,
                  const struct rules *rules, struct moment now);

/* Judges an open step for non-finite values of one rank (m->only_rank), before it closes. */
bool alerts_judge_early(struct alerts *alerts, const struct measures *m, struct baseline *baseline,
                        const struct rules *rules, struct moment now);

/* Judges one layer by the detectors of this occasion: at first sight of a post, which is in the
 * open step already, or at the end of an epoch. m: only its step, model, layer_count and only_rank
 * are looked at. What is sick at first sight is told at once and counts once for its step. */
bool alerts_judge_at(struct alerts *alerts, const struct measures *m, size_t layer,
                     enum occasion occasion, struct baseline *baseline, const struct rules *rules,
                     struct moment now);
/* Judges what is judged as time passes: m->silence, after the last closed step m->step. Only a step
 * that ends makes it clear again, or alerts_time_over(). */
bool alerts_judge_time(struct alerts *alerts, const struct measures *m, struct baseline *baseline,
                       const struct rules *rules, struct moment now);

/* The level changed by intent (the learning rate jumped): alerts about levels resolve. */
void alerts_new_level(struct alerts *alerts, uint64_t step, struct moment now);

/* Nobody waits any more for what is judged as time passes: those alerts resolve. */
void alerts_time_over(struct alerts *alerts, uint64_t step, struct moment now);

/* The run ends: what is pending or firing in this phase, whose last step is given, resolves with
 * the reason "closed". */
void alerts_close(struct alerts *alerts, uint32_t phase, uint64_t step, struct moment now);

/* True while the layer (or DETECT_MODEL) must not learn its baseline. */
bool alerts_freeze(const struct alerts *alerts, size_t layer);

/* True while this detector's alert of the layer is pending or firing in training. */
bool alerts_up(const struct alerts *alerts, size_t detector, size_t layer);

/* The worst state of a layer's alerts in training: enum embmon_alert_state. */
uint32_t alerts_layer_state(const struct alerts *alerts, size_t layer);

/* The name of the detector that is in this state about the layer, of several the first in their
 * table; "" when none is pending or firing. */
const char *alerts_layer_detector(const struct alerts *alerts, size_t layer);

/* True while an alert of the layer that is more than an info is pending. */
bool alerts_pending(const struct alerts *alerts, size_t layer);

/* Why a detector was silent about the layer at the last step, NULL when it was not. */
const char *alerts_silent(const struct alerts *alerts, size_t detector, size_t layer);

bool alerts_any(const struct alerts *alerts); /* something is pending or firing */
size_t alerts_firing(const struct alerts *alerts);
uint64_t alerts_fired(const struct alerts *alerts); /* changes to firing since the start */
size_t alerts_kept(const struct alerts *alerts);
/* How many ever fired, kept or not, this severity being the highest they did with. */
size_t alerts_ever_fired(const struct alerts *alerts, uint32_t severity);

/* Calls each(context, newest change, ever fired) for every alert that is kept, in the order they
 * came up. */
void alerts_each(const struct alerts *alerts,
                 void (*each)(void *context, const struct alert_change *change, bool ever_fired),
                 void *context);

/* The same for every one that fires, kept or not. */
void alerts_each_firing(const struct alerts *alerts,
                        void (*each)(void *context, const struct alert_change *change,
                                     bool ever_fired),
                        void *context);

/* What is not kept: calls each(context, change, how many) for those of one detector, phase and
 * state that are up, or over and ever fired. The change speaks of all of them: no layer, the
 * highest severity, the least and the greatest first step. */
void alerts_more(const struct alerts *alerts,
                 void (*each)(void *context, const struct alert_change *change, size_t count),
                 void *context);

/* Over a restart; loading: into new ones. Nobody is told. */
void alerts_carry(struct carry *c, struct alerts *alerts, const struct model *model);

#endif
