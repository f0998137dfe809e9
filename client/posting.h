/* What every posting call begins and ends with; for post.c and post_ids.c alone. */
#ifndef EMBMON_CLIENT_POSTING_H
#define EMBMON_CLIENT_POSTING_H

#include <time.h>

#include "client/client_struct.h"

/* By the vDSO, without entering the kernel. */
static inline uint64_t posting_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The result of a call that began at `start`, its time counted. */
static inline int posting_timed(struct embmon_client *client, uint64_t start, int result)
{
    atomic_fetch_add(&client->state.counters.post_ns, posting_now() - start);
    return result;
}

static inline bool posting_is_step(int64_t step)
{
    return step >= 0 && (uint64_t)step < STEP_MAX;
}

/* Counts the post and reserves its place, `room` bytes behind the record; NULL: dropped, counted.
 */
static inline struct record *posting_record(struct embmon_client *client, size_t room)
{
    struct counters *counters = &client->state.counters;
    struct record *record;

    atomic_fetch_add(&counters->produced, 1);
    record = inbox_reserve(client->state.inbox, sizeof *record + room);
    if (!record)
        atomic_fetch_add(&counters->turned_away, 1);
    return record;
}

/* Counts a post that is not wanted; gives its result. */
static inline int posting_skip(struct embmon_client *client)
{
    atomic_fetch_add(&client->state.counters.skipped, 1);
    return 0;
}

/* False: not wanted, and counted as skipped. layer: an id, or SAMPLING_NO_LAYER. */
static inline bool posting_wanted(struct embmon_client *client, int32_t layer, int signal,
                                  int64_t step)
{
    if (sampling_wanted(&client->state.sampling, layer, signal, (uint64_t)step))
        return true;
    (void)posting_skip(client);
    return false;
}

/* Posts one array as embmon_lend() would, of a client that is not inert. True: it is lent, and
 * release is called with the context when it is not needed any more, by another thread. False: it
 * is not needed any more now, and release is not called. */
bool posting_lend(struct embmon_client *client, int64_t step, const struct embmon_loan *loan,
                  loan_release *release, void *context);

#endif
