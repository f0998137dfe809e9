/* The recorder's beginning and end, and a restart in between. */
#include <stdlib.h>

#include "daemon/tensorboard/record_state.h"

static void note_last_step(void *context, const char *tag, int64_t last_step)
{
    struct record *record = context;
    int64_t *last = &record->last_step[tag_phase(tag) - 1];

    if (last_step > *last)
        *last = last_step;
}

struct record *record_begin(const char *directory, const struct model *model, struct moment now,
                            const char **problem)
{
    struct record *record = calloc(1, sizeof *record);

    if (!record) {
        *problem = "out of memory";
        return NULL;
    }
    record->model = model;
    record->writer.file = event_file_begin(directory, now.wall, problem);
    if (!record->writer.file) {
        free(record);
        return NULL;
    }
    record->writer.start = event_file_fresh(record->writer.file);
    for (size_t p = 0; p < STEP_PHASES; p++)
        record->last_step[p] = -1;
    return record;
}

bool record_learn(struct record *record, const char **problem)
{
    if (!event_file_learn(record->writer.file, problem))
        return false;
    event_file_tags(record->writer.file, note_last_step, record);
    return true;
}

bool record_create(struct record *record, const char **problem)
{
    return event_file_create(record->writer.file, problem);
}

struct record *record_open(const char *directory, const struct model *model, struct moment now,
                           const char **problem)
{
    struct record *record = record_begin(directory, model, now, problem);

    if (record && (!record_learn(record, problem) || !record_create(record, problem))) {
        record_close(record);
        record = NULL;
    }
    return record;
}

void record_carry(struct carry *c, struct record *record)
{
    for (size_t p = 0; p < STEP_PHASES; p++) {
        carry_i64(c, &record->last_step[p]);
        phase_windows_carry(c, &record->phases[p], record->model);
    }
    carry_bool(c, &record->writer.start);
    event_file_carry(c, record->writer.file);
}

void record_hold(struct record *record)
{
    event_file_hold(record->writer.file);
}

void record_limit(struct record *record, uint64_t file_bytes)
{
    event_file_limit(record->writer.file, file_bytes);
}

bool record_unsealed(const struct record *record)
{
    return event_file_unsealed(record->writer.file);
}

struct event_file_mark record_mark(struct record *record)
{
    return event_file_mark(record->writer.file);
}

void record_synced(struct record *record, struct event_file_mark mark)
{
    event_file_synced(record->writer.file, mark);
}

uint64_t record_durable(const struct record *record)
{
    return event_file_durable(record->writer.file);
}

bool record_deleted(const struct record *record)
{
    return event_file_deleted(record->writer.file);
}

bool record_again(struct record *record, const char *directory, const char **problem)
{
    return event_file_again(record->writer.file, directory, problem);
}

int record_file(const struct record *record)
{
    return event_file_descriptor(record->writer.file);
}

int record_folder(const struct record *record)
{
    return event_file_folder(record->writer.file);
}

int64_t record_last_step(const struct record *record, uint32_t phase)
{
    return record->last_step[phase - 1];
}

void record_start(struct record *record)
{
    record->writer.start = true;
}

void record_close(struct record *record)
{
    if (!record)
        return;
    for (size_t p = 0; p < STEP_PHASES; p++)
        phase_windows_free(record->phases[p]);
    (void)event_file_close(record->writer.file);
    free(record);
}

bool record_flush(struct record *record)
{
    return event_file_flush(record->writer.file);
}

void record_trim(struct record *record)
{
    for (size_t p = 0; p < STEP_PHASES; p++) {
        struct phase_windows *w = record->phases[p];

        if (w && w->log.length == 0)
            markdown_free(&w->log);
    }
    event_file_trim(record->writer.file);
}

size_t record_bytes(const struct record *record)
{
    size_t bytes = 0;

    for (size_t p = 0; p < STEP_PHASES; p++) {
        if (record->phases[p])
            bytes += phase_windows_bytes(record->phases[p]);
    }
    return bytes;
}

void record_rooms(const struct record *record, uint32_t phase, struct record_room *has)
{
    const struct phase_windows *w = record->phases[phase - 1];

    *has = (struct record_room){0};
    if (w)
        *has = (struct record_room){true, w->layer_count, w->variable_count};
}

size_t record_waiting(const struct record *record)
{
    return event_file_pending(record->writer.file);
}

void record_stats(const struct record *record, struct event_file_stats *stats)
{
    event_file_get_stats(record->writer.file, stats);
}
