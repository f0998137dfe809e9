#include "daemon/door.h"

static const struct sockaddr *name_of(const struct guest *guest)
{
    return (const struct sockaddr *)&guest->name.name;
}

/* False, and counted, when there are as many as there may be. */
static bool has_room(struct gauge *gauge, uint64_t most)
{
    bool room = gauge->used < most;

    gauge->refused += !room;
    return room;
}

enum door_answer door_enter(struct door *door, struct guest *guest, uint64_t now_ms)
{
    const struct ceilings *most = door->ceilings;
    struct usage *usage = door->usage;

    if (guest->guarded &&
        !knocks_admit(&door->knocks, name_of(guest), most->failed_proofs, now_ms)) {
        usage->failed_proofs.refused++;
        return DOOR_KNOCKED;
    }
    if (!has_room(&usage->connections, most->connections))
        return DOOR_FULL;
    if (usage_files_left(usage) == 0) {
        usage->connections.refused++;
        return DOOR_FULL;
    }
    if (guest->tcp && !has_room(&usage->tcp_connections, most->tcp_connections))
        return DOOR_FULL_TCP;
    if (guest->guarded && !has_room(&usage->unproven_connections, most->unproven_connections))
        return DOOR_FULL_UNPROVEN;
    usage->connections.used++;
    usage->tcp_connections.used += guest->tcp;
    usage->unproven_connections.used += guest->guarded;
    guest->unproven = guest->guarded;
    guest->inside = true;
    return DOOR_OPEN;
}

void door_proven(struct door *door, struct guest *guest, uint64_t now_ms)
{
    if (!guest->unproven)
        return;
    guest->unproven = false;
    door->usage->unproven_connections.used--;
    knocks_proven(&door->knocks, name_of(guest), now_ms);
}

void door_hush(struct door *door, struct guest *guest, uint64_t now_ms)
{
    if (!guest->unproven)
        return;
    guest->unproven = false;
    door->usage->unproven_connections.used--;
    knocks_failed(&door->knocks, name_of(guest), door->ceilings->failed_proofs, now_ms);
}

void door_leave(struct door *door, struct guest *guest)
{
    if (!guest->inside)
        return;
    guest->inside = false;
    door->usage->connections.used--;
    door->usage->tcp_connections.used -= guest->tcp;
}

bool door_is_crowded(const struct door *door)
{
    const struct ceilings *most = door->ceilings;
    bool full = door->usage->memory_bytes.used > most->memory_bytes;

    return door->usage->buffer_bytes.used > (full ? most->buffer_bytes / 16 : most->buffer_bytes);
}

const char *door_may_wait(struct door *door, size_t unsent, size_t more)
{
    struct usage *usage = door->usage;

    if (unsent > door->ceilings->output_bytes) {
        usage->output_bytes.refused++;
        return "a peer does not read what it is sent: connection closed";
    }
    if (usage->buffer_bytes.used + more > door->ceilings->buffer_bytes) {
        usage->buffer_bytes.refused++;
        return "peers do not read what they are sent, and limits.buffer_bytes is reached: "
               "connection closed";
    }
    gauge_most(&usage->output_bytes, unsent + more);
    return NULL;
}
