#include "client/gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "client/client_struct.h"

enum { NO_STEP = -1 };

struct slot {
    struct slot *next;
    int64_t number;
    struct moved *moved;
};

/* Never freed: an operation that knows its address may run as long as the process does. */
struct embmon_gate {
    struct embmon_gate *next;     /* of the client's */
    struct embmon_gate *next_any; /* of all that there ever were */
    _Atomic(struct embmon_client *) client;
    _Atomic int64_t step;
    _Atomic uint32_t inside;
    pthread_mutex_t making; /* of slots, while a graph is made */
    struct slot *slots;
};

/* So that they are found by who looks for memory that was lost. */
static _Atomic(struct embmon_gate *) any_gate;

int embmon_gate_new(struct embmon_client *client, struct embmon_gate **to)
{
    struct embmon_gate *gate;

    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    gate = calloc(1, sizeof *gate);
    if (!gate)
        return EMBMON_ENOMEM;
    atomic_init(&gate->client, client);
    atomic_init(&gate->step, NO_STEP);
    pthread_mutex_init(&gate->making, NULL);
    gate->next_any = atomic_load(&any_gate);
    while (!atomic_compare_exchange_weak(&any_gate, &gate->next_any, gate))
        ;
    gate->next = atomic_load(&client->gates);
    while (!atomic_compare_exchange_weak(&client->gates, &gate->next, gate))
        ;
    *to = gate;
    return 0;
}

int embmon_gate_open(struct embmon_gate *gate, int64_t step)
{
    if (step < 0)
        return EMBMON_EINVAL;
    atomic_store(&gate->step, step);
    return 0;
}

int embmon_gate_shut(struct embmon_gate *gate)
{
    atomic_store(&gate->step, NO_STEP);
    return 0;
}

int embmon_gate_next(struct embmon_gate *gate, uint64_t own_ns)
{
    int64_t step;
    struct embmon_client *client = gate_enter(gate, &step);
    int result;

    if (!client)
        return EMBMON_ECLOSED;
    if (!client_is_inert(client))
        atomic_fetch_add(&client->state.counters.post_ns, own_ns);
    result = embmon_step(client, step);
    atomic_store(&gate->step, result >= 0 ? step + 1 : NO_STEP);
    gate_leave(gate);
    return result;
}

struct embmon_client *gate_hold(struct embmon_gate *gate)
{
    struct embmon_client *client;

    /* Before the client is read: who cuts the gate looks here afterwards. */
    atomic_fetch_add(&gate->inside, 1);
    client = atomic_load(&gate->client);
    if (!client)
        gate_leave(gate);
    return client;
}

struct embmon_client *gate_enter(struct embmon_gate *gate, int64_t *step)
{
    *step = atomic_load(&gate->step);
    return *step == NO_STEP ? NULL : gate_hold(gate);
}

void gate_leave(struct embmon_gate *gate)
{
    atomic_fetch_sub(&gate->inside, 1);
}

static struct slot *make_slot(int64_t number)
{
    struct slot *slot = malloc(sizeof *slot);
    struct moved *moved = moved_new();

    if (!slot || !moved) {
        free(slot);
        moved_free(moved);
        return NULL;
    }
    *slot = (struct slot){NULL, number, moved};
    return slot;
}

struct moved *gate_moved(struct embmon_gate *gate, int64_t number)
{
    struct slot *slot;

    pthread_mutex_lock(&gate->making);
    slot = gate->slots;
    while (slot && slot->number != number)
        slot = slot->next;
    if (!slot) {
        slot = make_slot(number);
        if (slot) {
            slot->next = gate->slots;
            gate->slots = slot;
        }
    }
    pthread_mutex_unlock(&gate->making);
    return slot ? slot->moved : NULL;
}

bool gates_cut(struct embmon_gate *gates)
{
    for (struct embmon_gate *gate = gates; gate; gate = gate->next)
        atomic_store(&gate->client, NULL);
    return gates_are_empty(gates);
}

bool gates_are_empty(const struct embmon_gate *gates)
{
    for (const struct embmon_gate *gate = gates; gate; gate = gate->next)
        if (atomic_load(&gate->inside) > 0)
            return false;
    return true;
}
