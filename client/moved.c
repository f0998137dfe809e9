#include "client/moved.h"

#include <stdlib.h>
#include <string.h>

#include "client/dtype.h"
#include "client/float_mode.h"

enum { PIECE = 256 };

struct moved {
    struct moved_value before; /* its form; data NULL: nothing is kept */
    void *values;              /* owned: its elements, then what was subtracted */
};

struct moved *moved_new(void)
{
    return calloc(1, sizeof(struct moved));
}

void moved_drop(struct moved *moved)
{
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

bool moved_keep(struct moved *moved, const struct moved_value *before)
{
    size_t size = dtype_size((int)before->dtype);

    moved_drop(moved);
    if (!dtype_is_float(before->dtype) || before->count == 0 || before->count > MOVED_BYTES / size)
        return false;
    /* f16 and bf16 become f32 in the same place. */
    moved->values =
        malloc(before->count * (before->dtype == EMBMON_F64 ? sizeof(double) : sizeof(float)));
    if (!moved->values)
        return false;
    memcpy(moved->values, before->data, before->count * size);
    moved->before = *before;
    return true;
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
static void subtract_wide(struct moved *moved, const uint8_t *after)
{
    size_t size = dtype_size((int)moved->before.dtype);
    enum embmon_dtype dtype = moved->before.dtype;

    for (size_t end = moved->before.count, n; end > 0; end -= n) {
        double then[PIECE], now[PIECE];
        size_t at;

        n = end < PIECE ? end : PIECE;
        at = end - n;
        dtype_load(then, (const uint8_t *)moved->values + at * size, n, dtype);
        dtype_load(now, after + at * size, n, dtype);
        for (size_t i = 0; i < n; i++) {
            if (dtype == EMBMON_F64)
                ((double *)moved->values)[at + i] = now[i] - then[i];
            else
                ((float *)moved->values)[at + i] = (float)(now[i] - then[i]);
        }
    }
}

/* Not inlined: it runs under the default floating-point mode (float_mode.h). */
__attribute__((noinline)) static void subtract(struct moved *moved, const uint8_t *after)
{
    if (moved->before.dtype == EMBMON_F32)
        subtract_f32(moved->values, after, moved->before.count);
    else
        subtract_wide(moved, after);
}

bool moved_is_kept(const struct moved *moved)
{
    return moved->before.data;
}

bool moved_take(struct moved *moved, const struct moved_value *after,
                struct moved_value *difference)
{
    const struct moved_value *before = &moved->before;
    struct float_mode mode;

    if (!before->data || after->count != before->count || after->dtype != before->dtype)
        return false;
    mode = float_mode_enter();
    subtract(moved, after->data);
    float_mode_leave(mode);
    *difference =
        (struct moved_value){.data = moved->values,
                             .count = before->count,
                             .dtype = before->dtype == EMBMON_F64 ? EMBMON_F64 : EMBMON_F32};
    return true;
}
