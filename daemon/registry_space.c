/* Of the runs together: how much there may be of layers, memory and bytes on the disk. */
#include "daemon/log.h"
#include "daemon/registry_state.h"

/* Runs and layers may take up three quarters of the memory: the rest is for what comes and goes,
 * messages and checkpoints, and for what runs collect. */
uint64_t registry_left(struct registry *registry)
{
    struct gauge *memory = &registry->usage.memory_bytes;
    uint64_t most = registry->ceilings.memory_bytes, taken;

    if (registry->weigh)
        memory->used = registry->weigh();
    taken = memory->used;
    for (size_t i = 0; i < registry->run_count; i++)
        taken += run_promised(registry->runs[i]);
    most -= most / 4;
    return taken < most ? most - taken : 0;
}

void registry_relieve(struct registry *registry, struct moment now)
{
    struct run *largest = NULL;
    size_t most = 0;

    if (registry->usage.memory_bytes.used <= registry->ceilings.memory_bytes)
        return;
    for (size_t i = 0; i < registry->run_count; i++) {
        struct run_status status;

        run_get_status(registry->runs[i], &status);
        if (status.bytes > most) {
            largest = registry->runs[i];
            most = status.bytes;
        }
    }
    if (largest)
        run_relieve_memory(largest, now);
}

void registry_fed(struct registry *registry, size_t n)
{
    enum { LOOK_AFTER = 4 << 20 };

    registry->fed += n;
    if (!registry->weigh || registry->fed < LOOK_AFTER)
        return;
    registry->fed = 0;
    registry->usage.memory_bytes.used = registry->weigh();
}

struct run_room registry_room(void *context, const struct run *run)
{
    struct registry *registry = context;
    size_t its = run_model(run)->layer_count, all = 0;
    struct run_room room = {
        .layers = (size_t)registry->ceilings.layers,
        .problem = "more layers than the daemon's limits.layers allows a run",
        .gauge = &registry->usage.layers,
        .bytes = registry_left(registry),
        .no_bytes =
            "the daemon has as much memory as its limits.memory_bytes allows: no new layers",
        .memory = &registry->usage.memory_bytes};

    for (size_t i = 0; i < registry->run_count; i++)
        all += run_model(registry->runs[i])->layer_count;
    if (all + room.layers - its > registry->ceilings.all_layers && its < room.layers) {
        size_t left = registry->ceilings.all_layers > all ? registry->ceilings.all_layers - all : 0;

        room.layers = its + left;
        room.problem = "more layers than the daemon's limits.all_layers allows all runs together";
        room.gauge = &registry->usage.all_layers;
    }
    return room;
}

void registry_save_space(struct registry *registry, struct space space)
{
    const char *why;
    enum thrift thrift;

    uint64_t written = registry->written;

    space.pending = 0;
    for (size_t i = 0; i < registry->run_count; i++) {
        struct run_status status;

        run_get_status(registry->runs[i], &status);
        written += status.bytes_written;
        space.pending += status.bytes_pending;
    }
    census_look(registry->census, registry->now, registry->usage.thrift != 0, written);
    space.logdir = census_bytes(registry->census, written);
    thrift = thrift_of(&space, &registry->ceilings, &registry->usage, &why);
    registry->why = why;
    if (thrift == registry->thrift)
        return;
    if (thrift > registry->thrift)
        log_warn("%s wait, and their windows become wider: %s",
                 thrift == THRIFT_SCALARS ? "histograms and scalars" : "histograms", why);
    else if (thrift == THRIFT_NONE)
        log_info("all is written again");
    registry->thrift = thrift;
    for (size_t i = 0; i < registry->run_count; i++)
        run_set_thrift(registry->runs[i], thrift);
}
