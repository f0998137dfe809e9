/* How much memory a run will take that it does not take yet: what is promised is not given to
 * others. Layers are reserved for when they are declared; all that the run has of them is made when
 * the first step closes. */
#include "daemon/run_state.h"
#include "embmon/embmon.h"

enum { ALWAYS_LAYERS = 64 }; /* of so few another phase may always begin */

uint64_t run_promised(const struct run *run)
{
    const struct model *model = &run->model;
    struct record_room has;
    uint64_t bytes;

    record_rooms(run->record, EMBMON_TRAIN, &has);
    bytes = (model->layer_count - has.layers) * MODEL_LAYER_BYTES +
            (model->variable_count - has.variables) * MODEL_VARIABLE_BYTES;
    for (uint32_t phase = EMBMON_TRAIN + 1; phase <= STEP_PHASES; phase++) {
        record_rooms(run->record, phase, &has);
        if (has.any || run->phases[phase - 1])
            bytes += (model->layer_count - has.layers) * MODEL_PHASE_BYTES;
    }
    return bytes;
}

bool run_may_begin(struct run *run, uint32_t phase)
{
    struct record_room has;
    struct run_room room;

    if (phase == EMBMON_TRAIN || run->phases[phase - 1] || !run->room)
        return true;
    record_rooms(run->record, phase, &has);
    if (!has.any && run->model.layer_count > ALWAYS_LAYERS) {
        room = run->room(run->listener_context, run);
        if (room.bytes < run->model.layer_count * MODEL_PHASE_BYTES) {
            room.memory->refused++;
            return false;
        }
    }
    run->phases[phase - 1] = true;
    return true;
}

void run_relieve_memory(struct run *run, struct moment now)
{
    record_windows(run->record, now);
    steps_trim(run->steps);
    run->changes++;
    run->hurry = true; /* what is queued now takes memory, too */
}
