/* A TensorBoard address that shows an alert: its run, the tags of its layer, and pinned cards of
 * what it is about. Pure. */
#ifndef EMBMON_TENSORBOARD_BOARD_URL_H
#define EMBMON_TENSORBOARD_BOARD_URL_H

#include "daemon/alert/change.h"

/* base: where TensorBoard serves this logdir. The caller frees the result; NULL when out
 * of memory. */
char *board_url(const char *base, const struct alert_change *change);

#endif
