/* What the configuration file and, with more weight, the trainer say of detectors: thresholds other
 * than the defaults, holds, and layers they are to leave alone; from that, what holds for each
 * layer. */
#ifndef EMBMON_DETECT_RULES_H
#define EMBMON_DETECT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/carry.h"
#include "daemon/detect/detect.h"
#include "daemon/model.h"
#include "proto/message.h"

/* A zeroed one says nothing: the defaults hold for all layers. */
struct rules {
    const struct rules *base; /* borrowed: those of the file, which these win over; NULL: none */
    struct rule *rules; /* owned; in the order they were first made: the last that matches counts */
    size_t count, capacity;
    struct holding *holdings; /* owned: [0] of the whole model, [1 + layer] */
    size_t holding_count, holding_capacity;
};

void rules_free(struct rules *rules);

/* Forgets all but the base. */
void rules_clear(struct rules *rules);

/* Takes what was validated as from the wire. 0; or the reason it is refused for, with a sentence
 * that names what there is. The same detector, layers and key again replace the value. */
enum { RULES_SENTENCE = 1024 };
enum nack_reason rules_threshold(struct rules *rules, const struct msg_threshold *threshold,
                                 char problem[RULES_SENTENCE]);
enum nack_reason rules_ignore(struct rules *rules, const struct msg_ignore *ignore,
                              char problem[RULES_SENTENCE]);

/* What the file says of a detector on layers; of two that match what was said later counts. key: an
 * index into limit_keys[], or one of these. False, with a sentence: the pattern can match nothing
 * that the detector judges, there are too many, or out of memory. */
#define RULE_IGNORE SIZE_MAX       /* value: 1, or 0 to take an earlier one back */
#define RULE_HOLD   (SIZE_MAX - 1) /* value: 1 ... HOLD_MAX, of every clause */
enum { RULES_FILE_MAX = 1024 };
bool rules_add(struct rules *rules, size_t detector, const char *layers, size_t key, double value,
               char problem[RULES_SENTENCE]);

/* Puts the file's rules below these, or others than before. They may also have changed: all is
 * worked out anew. */
void rules_set_base(struct rules *rules, const struct rules *base);

/* Works out what holds for the layers there are now. False: out of memory, nothing has changed. */
bool rules_resolve(struct rules *rules, const struct model *model);

/* False: the defaults hold for all layers, nothing is ignored. As last resolved, like these: */
bool rules_any(const struct rules *rules);

/* What holds for a layer (or DETECT_MODEL), as last resolved. */
const struct limits *rules_limits(const struct rules *rules, size_t layer);
bool rules_ignored(const struct rules *rules, size_t detector, size_t layer);
const char *rules_why_ignored(const struct rules *rules, size_t detector, size_t layer);
/* 0: each clause's own. */
uint32_t rules_hold(const struct rules *rules, size_t detector, size_t layer);

/* Over a restart: what the trainer said. */
void rules_carry(struct carry *c, struct rules *rules);

#endif
