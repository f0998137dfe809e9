/* A TensorBoard address that shows an alert: of its run the tags of its layer that tell of it,
 * pinned what the alert is about. TensorBoard has its pinned cards on top of the page once the
 * filter is cleared. Pure. */
#ifndef EMBMON_TENSORBOARD_BOARD_URL_H
#define EMBMON_TENSORBOARD_BOARD_URL_H

#include "daemon/alert/change.h"

/* base: where TensorBoard serves this logdir. The caller frees the result; NULL when out
 * of memory. */
char *board_url(const char *base, const struct alert_change *change);

#endif
