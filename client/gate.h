/* Between the operations of a compiled graph, which may outlive everything, and a client: which
 * step is under way, and whose it is. Declared in embmon.h; this is for who posts through one. */
#ifndef EMBMON_CLIENT_GATE_H
#define EMBMON_CLIENT_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/moved.h"
#include "embmon/embmon.h"

/* The client, held until gate_leave(), and the step that posts are of; NULL: there is no step under
 * way or no client, and nothing is held. Any thread. */
struct embmon_client *gate_enter(struct embmon_gate *gate, int64_t *step);

/* The client, held, whether a step is under way or not; NULL: there is none any more. */
struct embmon_client *gate_hold(struct embmon_gate *gate);

void gate_leave(struct embmon_gate *gate);

/* What is kept between two operations that say the same slot; of the gate's, made when it is first
 * asked for. NULL: out of memory. Any thread. */
struct moved *gate_moved(struct embmon_gate *gate, int64_t slot);

/* No gate in the list leads to its client any more. False: a post through one is still under way.
 */
bool gates_cut(struct embmon_gate *gates);
bool gates_are_empty(const struct embmon_gate *gates);

#endif
