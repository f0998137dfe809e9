#include "daemon/knocks.h"

#include <netinet/in.h>
#include <string.h>

/* What counts as one machine. Whoever has an IPv6 address has 2^64 of them. False: neither. */
static bool machine_of(const struct sockaddr *peer, uint8_t machine[16])
{
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;

    memset(machine, 0, 16);
    if (peer->sa_family == AF_INET) {
        memcpy(&v4, peer, sizeof v4);
        machine[10] = machine[11] = 0xff; /* as IPv6 writes it */
        memcpy(machine + 12, &v4.sin_addr, 4);
        return true;
    }
    if (peer->sa_family != AF_INET6)
        return false;
    memcpy(&v6, peer, sizeof v6);
    memcpy(machine, &v6.sin6_addr, IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) ? 16 : 8);
    if (IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr))
        machine[15] = 1; /* no network of that name is anywhere else */
    return true;
}

/* Its place; knocks->count where it has none. */
static size_t find(const struct knocks *knocks, const uint8_t machine[16])
{
    size_t i = 0;

    while (i < knocks->count && memcmp(knocks->machines[i].machine, machine, 16) != 0)
        i++;
    return i;
}

/* True when a is to be forgotten before b. */
static bool before(const struct knock *a, const struct knock *b, uint64_t now_ms)
{
    bool trusted = a->trusted_ms > now_ms;

    return trusted == (b->trusted_ms > now_ms) ? a->even_ms < b->even_ms : !trusted;
}

static struct knock *take(struct knocks *knocks, const uint8_t machine[16], uint64_t now_ms)
{
    size_t at = find(knocks, machine);

    if (at < knocks->count)
        return &knocks->machines[at];
    if (at < KNOCKS_MACHINES) {
        knocks->count++;
    } else {
        at = 0;
        for (size_t i = 1; i < KNOCKS_MACHINES; i++)
            if (before(&knocks->machines[i], &knocks->machines[at], now_ms))
                at = i;
    }
    knocks->machines[at] = (struct knock){0};
    memcpy(knocks->machines[at].machine, machine, 16);
    return &knocks->machines[at];
}

bool knocks_admit(const struct knocks *knocks, const struct sockaddr *peer, uint64_t most,
                  uint64_t now_ms)
{
    uint8_t machine[16];
    size_t at = machine_of(peer, machine) ? find(knocks, machine) : knocks->count;

    return at == knocks->count || now_ms < knocks->machines[at].trusted_ms ||
           knocks->machines[at].even_ms <= now_ms + (most - 1) * KNOCKS_PERIOD_MS;
}

void knocks_failed(struct knocks *knocks, const struct sockaddr *peer, uint64_t most,
                   uint64_t now_ms)
{
    uint64_t latest = now_ms + most * KNOCKS_PERIOD_MS;
    uint8_t machine[16];
    struct knock *knock;

    if (!machine_of(peer, machine))
        return;
    knock = take(knocks, machine, now_ms);
    if (knock->even_ms < now_ms)
        knock->even_ms = now_ms;
    knock->even_ms += KNOCKS_PERIOD_MS;
    if (knock->even_ms > latest)
        knock->even_ms = latest; /* who comes with many at once is not shut out for minutes */
}

void knocks_proven(struct knocks *knocks, const struct sockaddr *peer, uint64_t now_ms)
{
    uint8_t machine[16];
    struct knock *knock;

    if (!machine_of(peer, machine))
        return;
    knock = take(knocks, machine, now_ms);
    knock->even_ms = 0;
    knock->trusted_ms = now_ms + KNOCKS_TRUST_MS;
}

uint64_t knocks_worst(const struct knocks *knocks, uint64_t now_ms)
{
    uint64_t even_ms = now_ms;

    for (size_t i = 0; i < knocks->count; i++)
        even_ms = knocks->machines[i].even_ms > even_ms ? knocks->machines[i].even_ms : even_ms;
    return (even_ms - now_ms + KNOCKS_PERIOD_MS - 1) / KNOCKS_PERIOD_MS;
}
