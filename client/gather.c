#include "client/gather.h"

#include <string.h>

void gather_start(struct gather *g, struct tally *tally, enum embmon_dtype dtype)
{
    g->tally = tally;
    g->given.dtype = dtype;
    g->sums.dtype = EMBMON_F64;
    g->given.filled = g->sums.filled = 0;
}

static void flush(struct gather *g, struct gather_piece *piece)
{
    tally_add(g->tally, piece->bytes, piece->filled / dtype_size((int)piece->dtype), piece->dtype);
    piece->filled = 0;
}

static void add(struct gather *g, struct gather_piece *piece, const void *data, size_t n)
{
    size_t bytes = n * dtype_size((int)piece->dtype);

    bool is_long = bytes > GATHER_BYTES / 2;

    /* Where all fits into the pieces the tables are not worth it. */
    if (!g->tally->tables && (is_long || bytes > GATHER_BYTES - piece->filled))
        tally_open_tables(g->tally, &g->tables);
    if (is_long) {
        tally_add(g->tally, data, n, piece->dtype);
        return;
    }
    if (bytes > GATHER_BYTES - piece->filled)
        flush(g, piece);
    memcpy(piece->bytes + piece->filled, data, bytes);
    piece->filled += bytes;
}

void gather_given(struct gather *g, const void *data, size_t n)
{
    add(g, &g->given, data, n);
}

void gather_sum(struct gather *g, const double *sums, size_t n)
{
    add(g, &g->sums, sums, n);
}

double *gather_room(struct gather *g, size_t n)
{
    struct gather_piece *piece = &g->sums;
    size_t most = GATHER_BYTES / 2, left = GATHER_BYTES - piece->filled;

    if (n > (left < most ? left : most) / sizeof(double))
        return NULL;
    return (double *)(void *)(piece->bytes + piece->filled);
}

void gather_took(struct gather *g, size_t n)
{
    g->sums.filled += n * sizeof(double);
}

void gather_end(struct gather *g)
{
    flush(g, &g->given);
    flush(g, &g->sums);
    if (g->tally->tables)
        tally_close_tables(g->tally);
}
