#include "proto/fields.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 }; /* kinds of fields */

/* Reads a varint; its length, 0 where there is none. */
static size_t read_varint(const uint8_t *data, size_t n, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < n && i < 10; i++) {
        *value |= (uint64_t)(data[i] & 0x7f) << (7 * i);
        if (data[i] < 0x80)
            return i + 1;
    }
    return 0;
}

/* Bytes of the field at the start; 0: it is none, or not all of it is there. */
static size_t field_length(const uint8_t *data, size_t n)
{
    uint64_t tag, value = 0;
    size_t at = read_varint(data, n, &tag), more = 0;

    if (at == 0)
        return 0;
    switch (tag & 7) {
    case VARINT:
    case BYTES:
        more = read_varint(data + at, n - at, &value);
        if (more == 0)
            return 0;
        at += more;
        if ((tag & 7) == VARINT)
            return at;
        break;
    case FIXED64:
        value = 8;
        break;
    case FIXED32:
        value = 4;
        break;
    default:
        return 0;
    }
    return value <= n - at ? at + (size_t)value : 0;
}

bool fields_few(const uint8_t *data, size_t n, size_t most)
{
    size_t length;

    for (size_t count = 0; n > 0 && (length = field_length(data, n)) > 0; count++) {
        if (count == most)
            return false;
        data += length;
        n -= length;
    }
    return true;
}
