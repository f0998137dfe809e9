#include "client/moved.h"

#include <stdlib.h>
#include <string.h>

#include "client/dtype.h"
#include "client/float_mode.h"

enum { PIECE = 256 };

struct moved {
    struct moved_value before; /* its form; data NULL: nothing is kept */
    size_t count;              /* rows kept */
    int64_t *ids;              /* owned: of these rows, or NULL: all of them */
    void *values;              /* owned: theirs, then what was subtracted */
};

struct moved *moved_new(void)
{
    return calloc(1, sizeof(struct moved));
}

void moved_drop(struct moved *moved)
{
    free(moved->ids);
    free(moved->values);
    *moved = (struct moved){0};
}

void moved_free(struct moved *moved)
{
    if (!moved)
        return;
    moved_drop(moved);
    free(moved);
}

static int64_t id_at(const struct moved_rows *rows, size_t i)
{
    return dtype_id(rows->ids, i, rows->dtype);
}

/* Each id that is a row, once, in the order they come; returns how many. slots: by hash, a place in
 * ids + 1, or 0; a power of two of them, more than there are ids. */
static size_t unique(int64_t *ids, const struct moved_rows *rows, size_t limit, uint32_t *slots,
                     size_t slot_count)
{
    size_t found = 0;

    for (size_t i = 0; i < rows->count; i++) {
        int64_t id = id_at(rows, i);
        size_t at = (size_t)((uint64_t)id * 0x9e3779b97f4a7c15u >> 32) & (slot_count - 1);

        if (id < 0 || (uint64_t)id >= limit)
            continue;
        while (slots[at] != 0 && ids[slots[at] - 1] != id)
            at = (at + 1) & (slot_count - 1);
        if (slots[at] != 0)
            continue;
        ids[found++] = id;
        slots[at] = (uint32_t)found;
    }
    return found;
}

/* False: out of memory. */
static bool take_ids(struct moved *moved, const struct moved_rows *rows, size_t limit)
{
    size_t slot_count = 16;
    uint32_t *slots;

    while (slot_count < 2 * rows->count)
        slot_count *= 2;
    slots = calloc(slot_count, sizeof *slots);
    moved->ids = malloc((rows->count + 1) * sizeof *moved->ids);
    if (slots && moved->ids)
        moved->count = unique(moved->ids, rows, limit, slots, slot_count);
    free(slots);
    return slots && moved->ids;
}

static void copy(struct moved *moved, const uint8_t *from, size_t row_bytes)
{
    uint8_t *to = moved->values;

    if (!moved->ids) {
        if (moved->count > 0)
            memcpy(to, from, moved->count * row_bytes);
        return;
    }
    for (size_t i = 0; i < moved->count; i++)
        memcpy(to + i * row_bytes, from + (size_t)moved->ids[i] * row_bytes, row_bytes);
}

bool moved_keep(struct moved *moved, const struct moved_value *before,
                const struct moved_rows *rows)
{
    size_t row_bytes = before->columns * dtype_size((int)before->dtype);
    size_t most = rows->ids ? rows->count : before->rows;

    moved_drop(moved);
    if (!dtype_is_float(before->dtype) || row_bytes == 0 || most > MOVED_BYTES / row_bytes ||
        most > UINT32_MAX / 4 ||
        (rows->ids && rows->dtype != EMBMON_I32 && rows->dtype != EMBMON_I64))
        return false;
    moved->count = before->rows;
    if (rows->ids && !take_ids(moved, rows, before->rows))
        goto fail;
    /* f16 and bf16 become f32 in the same place. */
    moved->values = malloc(moved->count * before->columns *
                               (before->dtype == EMBMON_F64 ? sizeof(double) : sizeof(float)) +
                           1);
    if (!moved->values)
        goto fail;
    copy(moved, before->data, row_bytes);
    moved->before = *before;
    return true;
fail:
    moved_drop(moved);
    return false;
}

/* What most are. */
static void subtract_f32(float *values, const uint8_t *after, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float value;

        memcpy(&value, after + i * sizeof value, sizeof value);
        values[i] = value - values[i];
    }
}

/* The end first: what is wider than the variable's own is written over what was read. */
static void subtract_wide(struct moved *moved, size_t row, const uint8_t *after)
{
    size_t columns = moved->before.columns, size = dtype_size((int)moved->before.dtype);
    enum embmon_dtype dtype = moved->before.dtype;

    for (size_t end = columns, n; end > 0; end -= n) {
        double then[PIECE], now[PIECE];
        size_t at;

        n = end < PIECE ? end : PIECE;
        at = row * columns + end - n;
        dtype_load(then, (const uint8_t *)moved->values + at * size, n, dtype);
        dtype_load(now, after + (end - n) * size, n, dtype);
        for (size_t i = 0; i < n; i++) {
            if (dtype == EMBMON_F64)
                ((double *)moved->values)[at + i] = now[i] - then[i];
            else
                ((float *)moved->values)[at + i] = (float)(now[i] - then[i]);
        }
    }
}

/* Not inlined: it runs under the default floating-point mode (float_mode.h). The last row first, as
 * within a row. */
__attribute__((noinline)) static void subtract(struct moved *moved, const uint8_t *after)
{
    size_t columns = moved->before.columns;
    size_t row_bytes = columns * dtype_size((int)moved->before.dtype);

    for (size_t i = moved->count; i-- > 0;) {
        const uint8_t *row = after + (moved->ids ? (size_t)moved->ids[i] : i) * row_bytes;

        if (moved->before.dtype == EMBMON_F32)
            subtract_f32((float *)moved->values + i * columns, row, columns);
        else
            subtract_wide(moved, i, row);
    }
}

bool moved_is_kept(const struct moved *moved)
{
    return moved->before.data;
}

bool moved_take(struct moved *moved, const struct moved_value *after,
                struct moved_difference *difference)
{
    const struct moved_value *before = &moved->before;
    struct float_mode mode;

    if (!before->data || after->rows != before->rows || after->columns != before->columns ||
        after->dtype != before->dtype)
        return false;
    mode = float_mode_enter();
    subtract(moved, after->data);
    float_mode_leave(mode);
    *difference =
        (struct moved_difference){.values = moved->values,
                                  .dtype = before->dtype == EMBMON_F64 ? EMBMON_F64 : EMBMON_F32,
                                  .ids = moved->ids,
                                  .count = moved->count,
                                  .columns = before->columns};
    return true;
}
