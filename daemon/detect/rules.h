/* What the trainer says of detectors: thresholds other than the defaults, and layers they are to
 * leave alone; from that, what holds for each layer. */
#ifndef EMBMON_DETECT_RULES_H
#define EMBMON_DETECT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/detect/detect.h"
#include "daemon/model.h"
#include "proto/message.h"

/* A zeroed one says nothing: the defaults hold for all layers. */
struct rules {
    struct rule *rules; /* owned; in the order they were first made: the last that matches counts */
    size_t count, capacity;
    struct holding *holdings; /* owned: [0] of the whole model, [1 + layer] */
    size_t holding_count, holding_capacity;
};

void rules_free(struct rules *rules);

/* Forgets all. */
void rules_clear(struct rules *rules);

/* Takes what was validated as from the wire. 0; or the reason it is refused for, with a sentence
 * that names what there is. The same detector, layers and key again replace the value. */
enum { RULES_SENTENCE = 1024 };
enum nack_reason rules_threshold(struct rules *rules, const struct msg_threshold *threshold,
                                 char problem[RULES_SENTENCE]);
enum nack_reason rules_ignore(struct rules *rules, const struct msg_ignore *ignore,
                              char problem[RULES_SENTENCE]);

/* Works out what holds for the layers there are now. False: out of memory, nothing has changed. */
bool rules_resolve(struct rules *rules, const struct model *model);

/* What holds for a layer (or DETECT_MODEL), as last resolved. */
const struct limits *rules_limits(const struct rules *rules, size_t layer);
bool rules_ignored(const struct rules *rules, size_t detector, size_t layer);

#endif
