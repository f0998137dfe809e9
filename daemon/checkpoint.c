#include "daemon/checkpoint.h"

#include <string.h>

#include "proto/crc32c.h"

static const uint8_t magic[8] = {'e', 'm', 'b', 'm', 'o', 'n', '\r', '\n'};
enum { AT_VERSION = 8, AT_CRC = 12, AT_LENGTH = 16 };

static void put(uint8_t *to, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *from, size_t n)
{
    uint64_t value = 0;

    for (size_t i = n; i-- > 0;)
        value = value << 8 | from[i];
    return value;
}

void checkpoint_begin(struct carry *c)
{
    uint8_t head[CHECKPOINT_HEAD] = {0};

    carry_save(c, CHECKPOINT_BYTES_MAX);
    carry_bytes(c, head, sizeof head);
}

void checkpoint_seal(struct carry *c)
{
    size_t from = CHECKPOINT_HEAD, n = c->length - CHECKPOINT_HEAD;
    uint32_t crc = 0;

    if (c->problem)
        return;
    for (size_t i = 0; i < c->lent_count; i++) {
        const struct carry_lent *lent = &c->lent[i];

        crc = crc32c(crc, c->data + from, lent->at - from);
        crc = crc32c_join(crc, lent->crc, lent->n);
        from = lent->at;
        n += lent->n;
    }
    crc = crc32c(crc, c->data + from, c->length - from);
    memcpy(c->data, magic, sizeof magic);
    put(c->data + AT_VERSION, CHECKPOINT_VERSION, 4);
    put(c->data + AT_CRC, crc, 4);
    put(c->data + AT_LENGTH, n, 8);
}

static const char *check_head(const uint8_t *data, size_t n)
{
    if (n < CHECKPOINT_HEAD || memcmp(data, magic, sizeof magic) != 0)
        return "it is no checkpoint";
    if (get(data + AT_VERSION, 4) != CHECKPOINT_VERSION)
        return "it is of another version of embmond";
    return NULL;
}

static const char *check(const uint8_t *data, size_t n)
{
    const char *problem = check_head(data, n);

    if (problem)
        return problem;
    if (get(data + AT_LENGTH, 8) != n - CHECKPOINT_HEAD)
        return "it is not as long as it says";
    if (get(data + AT_CRC, 4) != crc32c(0, data + CHECKPOINT_HEAD, n - CHECKPOINT_HEAD))
        return "its checksum is wrong";
    return NULL;
}

static bool load(struct carry *c, const uint8_t *data, size_t n, const char *problem)
{
    carry_load(c, data + (problem ? 0 : CHECKPOINT_HEAD), problem ? 0 : n - CHECKPOINT_HEAD);
    if (problem)
        carry_fail(c, problem);
    return !problem;
}

bool checkpoint_open(struct carry *c, const uint8_t *data, size_t n)
{
    return load(c, data, n, check(data, n));
}

bool checkpoint_peek(struct carry *c, const uint8_t *data, size_t n)
{
    return load(c, data, n, check_head(data, n));
}

void checkpoint_end(struct carry *c)
{
    if (c->at != c->end)
        carry_fail(c, "it goes on behind its end");
}
