/* The sender's queue: numbered frames from the inbox until the daemon has answered them, bounded by
 * bytes. One thread, no I/O.
 *
 * Frames are sent in the order of their numbers; an acknowledgement takes away all up to its
 * number, a refusal one. When a new frame does not fit, whole frames go: ordinary ones first,
 * precious ones (anomalies, ends of steps) last, each oldest first. One that was not sent is
 * dropped, and counted by the caller. One that was sent the daemon has: it is let go, its number is
 * kept, and the answer to it counts as any other; only when its connection ends without one it is
 * lost. So nothing that is acknowledged was counted as dropped, and a daemon that takes all and
 * acknowledges nothing, because its disk is full, goes on judging what is new.
 */
#ifndef EMBMON_CLIENT_QUEUE_H
#define EMBMON_CLIENT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue; /* opaque */

struct queued {
    uint64_t sequence;
    size_t length;
    const uint8_t *bytes; /* borrowed until the queue is changed */
};

/* NULL: out of memory. */
struct queue *queue_new(size_t bytes_max);
void queue_free(struct queue *queue);

/* A place for a frame of n bytes with the next number; numbers ascend. *dropped grows by the frames
 * that are lost by it. NULL: it can never fit, or memory is out; this frame is then not in the
 * queue and not counted in *dropped. */
uint8_t *queue_push(struct queue *queue, uint64_t sequence, size_t n, bool precious,
                    uint64_t *dropped);

/* Makes room for a frame of n bytes before it is pushed, unless it can never fit; returns how many
 * frames are lost by it. */
uint64_t queue_make_room(struct queue *queue, size_t n);

/* The next frame to send, without taking it. */
bool queue_next(const struct queue *queue, struct queued *frame);

/* The frame queue_next() showed is sent. */
void queue_sent(struct queue *queue);

/* The frame queue_next() showed can never be sent: it leaves the queue. */
void queue_discard_next(struct queue *queue);

/* A new connection: whatever is still here is to be sent again. */
void queue_rewind(struct queue *queue);

/* Takes away every frame up to this number, sent or not, those that were let go too; returns how
 * many. */
uint64_t queue_ack(struct queue *queue, uint64_t sequence);

/* Takes away the sent frame of this number, also where it was let go; false where there is none. */
bool queue_nack(struct queue *queue, uint64_t sequence);

/* The daemon has said all it knows of earlier connections: what was let go and is not answered now
 * never will be. Returns how many. */
uint64_t queue_forget_gone(struct queue *queue);

/* How many frames refusals have passed by, looking for theirs: work that the peer causes. */
uint64_t queue_passed(const struct queue *queue);

/* Half of the room is taken. */
bool queue_is_half(const struct queue *queue);

size_t queue_bytes(const struct queue *queue);
uint64_t queue_count(const struct queue *queue);
uint64_t queue_unsent(const struct queue *queue); /* of them */
uint64_t queue_gone(const struct queue *queue);   /* let go, and not answered */

#endif
