/* The sinks beside the log, alerts.jsonl and TensorBoard, over all runs: gives each change of an
 * alert to every sink's outbox, and what is due there to its transport. Knows no loop itself. */
#ifndef EMBMON_DAEMON_SINKS_H
#define EMBMON_DAEMON_SINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/alert/change.h"
#include "daemon/alert/outbox.h"
#include "daemon/alert/sink_options.h"
#include "daemon/moment.h"

struct uv_loop_s;
struct sinks; /* opaque */

enum { SINKS_PROBLEM_MAX = 384, SINK_ERROR_MAX = 200 };

struct sink_status {
    const char *name;
    const char *kind; /* "webhook" or "exec" */
    struct outbox_counts counts;
    const char *last_error; /* "" where none was; borrowed until the loop runs on */
};

/* What would keep these sinks from working, found before anything is started: 0, or an exit status
 * (EX_UNAVAILABLE: libcurl is not there; EX_CONFIG) and problem. */
int sinks_check(const struct sink_options *options, size_t count, char problem[SINKS_PROBLEM_MAX]);

/* loop: borrowed until sinks_close(). NULL when out of memory. */
struct sinks *sinks_open(struct uv_loop_s *loop, struct moment now);
/* What is under way is broken off; all is gone once the loop has run. NULL is fine. */
void sinks_close(struct sinks *sinks);

/* From now on these sinks, whose options are copied. One whose options are the same stays as it is,
 * with what it is still owed. False, and problem: all stays as it was. */
bool sinks_configure(struct sinks *sinks, const struct sink_options *options, size_t count,
                     const char *tensorboard_url, char problem[SINKS_PROBLEM_MAX]);

/* From now on they deliver no more at once than they have descriptors for (sink_files.h). The
 * others wait. */
void sinks_set_files(struct sinks *sinks, size_t most);

/* A change of an alert, to all sinks. */
void sinks_put(struct sinks *sinks, const struct alert_change *change);

/* An alert that fires already, to the sinks that sinks_configure() has made; then sinks_greeted().
 */
void sinks_greet(struct sinks *sinks, const struct alert_change *change);
void sinks_greeted(struct sinks *sinks);

/* Sends what is due. Call every 100 ms. */
void sinks_tick(struct sinks *sinks, struct moment now);

/* The daemon ends: what waits is sent now, and dropped where that fails. */
void sinks_hurry(struct sinks *sinks);
/* True when nobody is owed anything. */
bool sinks_idle(const struct sinks *sinks);

/* sinks may be NULL: none. */
size_t sinks_count(const struct sinks *sinks);
void sinks_status(const struct sinks *sinks, size_t index, struct sink_status *status);

#endif
