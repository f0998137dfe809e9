#include "client/notices.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = (sizeof(struct embmon_notice) + 7) / 8 };

/* version 2n + 2: holds notice number n; odd: being written. The words are atomics so that a reader
 * who is lapped reads torn text, not undefined behaviour, and throws it away. */
struct place {
    _Atomic uint64_t version;
    _Atomic uint64_t words[WORDS];
};

struct notices {
    _Atomic uint64_t put, taken; /* numbers of the next to write, to take */
    struct place places[NOTICES_KEPT];
};

struct notices *notices_new(void)
{
    return calloc(1, sizeof(struct notices));
}

void notices_free(struct notices *notices)
{
    free(notices);
}

static void copy_text(char *to, size_t size, const char *from)
{
    size_t n = strnlen(from, size);

    if (n == size) {
        n = size - 1;
        while (n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80)
            n--;
    }
    memcpy(to, from, n);
    to[n] = '\0';
}

static void fill(struct embmon_notice *notice, const struct msg_notice *m)
{
    memset(notice, 0, sizeof *notice);
    notice->size = sizeof *notice;
    notice->severity = (int32_t)m->severity;
    notice->state = (int32_t)m->state;
    notice->phase = (int32_t)m->phase;
    notice->step = (int64_t)m->step;
    notice->first_step = (int64_t)m->first_step;
    notice->time = m->time;
    notice->value = m->value;
    notice->threshold = m->threshold;
    notice->baseline = m->baseline;
    copy_text(notice->detector, sizeof notice->detector, m->detector);
    copy_text(notice->layer, sizeof notice->layer, m->layer);
    copy_text(notice->variable, sizeof notice->variable, m->variable);
    copy_text(notice->signal, sizeof notice->signal, m->signal);
    copy_text(notice->reason, sizeof notice->reason, m->reason);
    copy_text(notice->summary, sizeof notice->summary, m->summary);
    copy_text(notice->hint, sizeof notice->hint, m->hint);
}

void notices_put(struct notices *notices, const struct msg_notice *message)
{
    union {
        struct embmon_notice notice;
        uint64_t words[WORDS];
    } copy;
    uint64_t number = atomic_load(&notices->put);
    struct place *place = &notices->places[number % NOTICES_KEPT];

    fill(&copy.notice, message);
    atomic_store(&place->version, 2 * number + 1);
    for (size_t i = 0; i < WORDS; i++)
        atomic_store(&place->words[i], copy.words[i]);
    atomic_store(&place->version, 2 * number + 2);
    atomic_store(&notices->put, number + 1);
}

bool notices_take(struct notices *notices, struct embmon_notice *notice)
{
    union {
        struct embmon_notice notice;
        uint64_t words[WORDS];
    } copy;

    for (;;) {
        uint64_t number = atomic_load(&notices->taken);
        uint64_t put = atomic_load(&notices->put);
        struct place *place;
        bool whole;

        if (number >= put)
            return false;
        if (put - number > NOTICES_KEPT) {
            atomic_compare_exchange_strong(&notices->taken, &number, put - NOTICES_KEPT);
            continue;
        }
        place = &notices->places[number % NOTICES_KEPT];
        whole = atomic_load(&place->version) == 2 * number + 2;
        for (size_t i = 0; whole && i < WORDS; i++)
            copy.words[i] = atomic_load(&place->words[i]);
        whole = whole && atomic_load(&place->version) == 2 * number + 2;
        /* Lapped: that one is lost. Taken by another thread: try the next. */
        if (atomic_compare_exchange_strong(&notices->taken, &number, number + 1) && whole) {
            *notice = copy.notice;
            return true;
        }
    }
}
