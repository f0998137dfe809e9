#include "client/id_check.h"

#include "client/float_mode.h"
#include "client/id_values.h"

enum { BLOCK = 512 };

/* What ids are compared with. */
struct valid {
    uint64_t limit;  /* of rows */
    int64_t padding; /* the padding id; without one an id that is valid anyway */
};

/* Without a branch, so that the compiler may take several ids at once. */
#define CHECK_INTEGERS(name, type)                                                                 \
    static bool name(const struct id_batch *batch, const struct valid *valid)                      \
    {                                                                                              \
        const uint8_t *data = batch->ids;                                                          \
        unsigned wrong = 0;                                                                        \
                                                                                                   \
        for (size_t i = 0; i < batch->count; i++) {                                                \
            type id;                                                                               \
                                                                                                   \
            memcpy(&id, data + i * sizeof id, sizeof id);                                          \
            wrong |= ((uint64_t)id >= valid->limit) & (id != valid->padding);                      \
        }                                                                                          \
        return wrong != 0;                                                                         \
    }
CHECK_INTEGERS(wrong_i8, int8_t)
CHECK_INTEGERS(wrong_i16, int16_t)
CHECK_INTEGERS(wrong_i32, int32_t)
CHECK_INTEGERS(wrong_i64, int64_t)
#undef CHECK_INTEGERS

/* Not inlined: it runs under the default floating-point mode (float_mode.h). */
__attribute__((noinline)) static bool wrong_floats(const struct id_batch *batch,
                                                   const struct valid *valid)
{
    const uint8_t *data = batch->ids;
    double exact = id_exact_below(batch->dtype), values[BLOCK];
    bool wrong = false;

    for (size_t first = 0; first < batch->count && !wrong; first += BLOCK) {
        size_t n = batch->count - first < BLOCK ? batch->count - first : BLOCK;

        dtype_load(values, data + first * dtype_size((int)batch->dtype), n, batch->dtype);
        for (size_t i = 0; i < n; i++) {
            int64_t id = id_truncated(values[i]);

            wrong |= id_is_fractional(values[i], id) || id_magnitude(values[i]) >= exact ||
                     ((uint64_t)id >= valid->limit && id != valid->padding);
        }
    }
    return wrong;
}

bool id_check_wrong(const struct id_batch *batch)
{
    struct valid valid = {.limit = batch->rows > 0 ? batch->rows : (uint64_t)1 << 63,
                          .padding = batch->has_padding ? batch->padding_id : 0};
    struct float_mode mode;
    bool wrong;

    switch (batch->dtype) {
    case EMBMON_I8:
        return wrong_i8(batch, &valid);
    case EMBMON_I16:
        return wrong_i16(batch, &valid);
    case EMBMON_I32:
        return wrong_i32(batch, &valid);
    case EMBMON_I64:
        return wrong_i64(batch, &valid);
    default:
        mode = float_mode_enter();
        wrong = wrong_floats(batch, &valid);
        float_mode_leave(mode);
        return wrong;
    }
}
