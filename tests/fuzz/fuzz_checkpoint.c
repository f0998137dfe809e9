/* A run's state: any bytes may lie in its file. They are refused with a sentence, or what they say
 * can be saved, loaded and saved again as the same bytes. The first byte of the input says whether
 * the rest is the file, or its content, whose checksum mutations alone never find. */
#include <string.h>

#include "daemon/checkpoint.h"
#include "tests/fuzz/checkpoint_parts.h"
#include "tests/fuzz/target.h"

static struct carry saved(struct parts *parts)
{
    struct carry c;

    checkpoint_begin(&c);
    parts_carry(&c, parts);
    checkpoint_seal(&c);
    PROMISE(!c.problem);
    return c;
}

static const char *load(struct parts *parts, const uint8_t *data, size_t n)
{
    struct carry c;

    PROMISE(parts_open(parts));
    if (checkpoint_open(&c, data, n)) {
        parts_carry(&c, parts);
        checkpoint_end(&c);
    }
    return c.problem;
}

static void check(const uint8_t *data, size_t n)
{
    struct parts first, second;
    const char *problem = load(&first, data, n);

    if (!problem) {
        struct carry once = saved(&first), twice;

        PROMISE(!load(&second, once.data, once.length));
        twice = saved(&second);
        PROMISE(once.length == twice.length && memcmp(once.data, twice.data, once.length) == 0);
        carry_free(&once);
        carry_free(&twice);
        parts_close(&second);
    }
    PROMISE(!problem || *problem);
    parts_close(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct carry c;
    uint8_t *bytes;

    if (size == 0)
        return 0;
    if (data[0] & 1) {
        checkpoint_begin(&c);
        carry_bytes(&c, (uint8_t *)(uintptr_t)data + 1, size - 1);
        checkpoint_seal(&c);
        bytes = exactly(c.data, c.length);
        check(bytes, c.length);
        carry_free(&c);
    } else {
        bytes = exactly(data + 1, size - 1);
        check(bytes, size - 1);
    }
    free(bytes);
    return 0;
}
