#include "client/pairs.h"

#include <string.h>
#include <sys/mman.h>

#include "client/cells.h"

enum {
    ROOM = 8, /* buckets of a window above what was found: an octave */

    /* One of so many elements may be outside when a window is opened: of a group that has one, some
     * vectors are gone over again. It is closed where one group of OUTSIDE_GROUPS has one. */
    OUTSIDE_ONE_OF = 1024,
    OUTSIDE_GROUPS = 9,

    /* Where many groups would be looked at, all are: that costs less than not to know which. So
     * many pieces until it is asked again. */
    DENSE_PIECES = 15,

    /* Not worth it where so many are alike: the same pair comes again before its last count is
     * stored. */
    POPULAR_PERCENT = 55,

    /* Nor where so many buckets have one of COMMON_ONE_OF: their pairs are more than the first
     * cache holds beside what streams through. */
    COMMON = 108,
    COMMON_ONE_OF = 1024,

    PATIENCE = 8, /* pieces until it is asked again at first, and then four times as many */
    PATIENCE_MOST = 128,
};

bool pairs_open(struct pairs_boards *boards)
{
    void *memory = mmap(NULL, PAIRS_BOARDS * sizeof(struct pairs), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    boards->boards = memory == MAP_FAILED ? NULL : memory;
    return boards->boards != NULL;
}

void pairs_close(struct pairs_boards *boards)
{
    if (boards->boards)
        munmap(boards->boards, PAIRS_BOARDS * sizeof(struct pairs));
    boards->boards = NULL;
}

struct pairs *pairs_take(struct pairs_boards *boards)
{
    for (size_t i = 0; boards->boards && i < PAIRS_BOARDS; i++)
        if (!atomic_flag_test_and_set_explicit(&boards->boards[i].held, memory_order_acquire))
            return &boards->boards[i];
    return NULL;
}

void pairs_give(struct pairs *pairs)
{
    if (pairs)
        atomic_flag_clear_explicit(&pairs->held, memory_order_release);
}

/* ---- counting ----------------------------------------------------------------------------------
 */

void pairs_start(struct pairs *pairs)
{
    pairs->open = false;
    pairs->wait = pairs->dense = 0;
    pairs->patience = PATIENCE;
}

bool pairs_are_open(const struct pairs *pairs, const struct pairs_piece *piece)
{
    return pairs->open && piece->loops->count_pairs;
}

bool pairs_are_full(const struct pairs *pairs, size_t n)
{
    return pairs->filled > (size_t)KERNEL_PAIRS_FILL - n;
}

static uint32_t bucket_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return cell_of_f64(bits) % BUCKET_TABLE;
}

/* Where elements of both signs have come, those nearer to 0 than the nearer end are no end. */
static uint32_t edge_of(const struct pairs *pairs, double min, double max)
{
    uint32_t nearer;

    if (!(min < 0 && max > 0))
        return KERNEL_PLACES_FROM;
    nearer = bucket_of(-min < max ? -min : max);
    if (nearer < pairs->base + KERNEL_PLACES_FROM)
        return KERNEL_PLACES_FROM;
    nearer -= pairs->base;
    return nearer < KERNEL_PLACES_END ? nearer : KERNEL_PLACES_END;
}

static void close_window(struct pairs *pairs)
{
    pairs->open = false;
    pairs->wait = pairs->patience;
    if (pairs->patience < PATIENCE_MOST)
        pairs->patience *= 4;
}

size_t pairs_count(struct pairs *pairs, struct kernel_sums *sums, const struct pairs_piece *piece,
                   kernel_tables tables, double min, double max)
{
    struct kernel_window window = {.base = pairs->base, .edge = KERNEL_PLACES_FROM};

    if (pairs->dense > 0)
        pairs->dense--;
    else
        window.edge = edge_of(pairs, min, max);
    piece->loops->count_pairs(sums, piece->data, piece->n, tables, pairs->counts, &window);
    pairs->filled += (uint32_t)window.taken;
    if (!kernel_is_unfit(&window, window.taken))
        return window.taken;
    if (window.outside > window.taken / KERNEL_PAIRED / OUTSIDE_GROUPS)
        close_window(pairs);
    else
        pairs->dense = DENSE_PIECES;
    return window.taken;
}

size_t pairs_take_out(struct pairs *pairs, const struct kernel *kernel,
                      uint32_t counts[KERNEL_PLACES], uint32_t *base)
{
    size_t filled = pairs->filled;

    if (filled == 0)
        return 0;
    memset(counts, 0, KERNEL_PLACES * sizeof *counts);
    kernel->fold_pairs(pairs->counts, counts);
    *base = pairs->base;
    pairs->filled = 0;
    return filled;
}

/* ---- the window --------------------------------------------------------------------------------
 */

/* How elements that are counted in the tables are spread. */
struct spread {
    uint32_t by_bucket[BUCKET_TABLE]; /* of both signs */
    uint32_t end;                     /* of those that have one */
    uint64_t counted;                 /* all of them */
    uint32_t most;                    /* of a bucket of one sign */
};

static void measure(struct spread *spread, kernel_tables tables)
{
    memset(spread, 0, sizeof *spread);
    for (size_t first = 0; first < CELLS; first += KERNEL_PIECE) {
        if (!kernel_any_counted(tables, first))
            continue;
        if (first % BUCKET_TABLE + KERNEL_PIECE > spread->end)
            spread->end = (uint32_t)(first % BUCKET_TABLE + KERNEL_PIECE);
        for (size_t cell = first; cell < first + KERNEL_PIECE; cell++) {
            uint32_t count = 0;

            for (size_t k = 0; k < KERNEL_TABLES; k++)
                count += tables[k][cell];
            spread->by_bucket[cell % BUCKET_TABLE] += count;
            spread->counted += count;
            spread->most = count > spread->most ? count : spread->most;
        }
    }
}

/* The bucket above which no more lie than may be outside. */
static uint32_t top_of(const struct spread *spread)
{
    uint64_t above = 0;
    uint32_t top = spread->end;

    while (top > 0 && (above += spread->by_bucket[top - 1]) <= spread->counted / OUTSIDE_ONE_OF / 2)
        top--;
    return top;
}

/* Of so many elements, of which so many are alike: the same pair comes too often. */
static bool is_popular(uint64_t alike, uint64_t n)
{
    return alike > n * POPULAR_PERCENT / 100;
}

static bool pays(const struct spread *spread, uint32_t base, uint64_t zeros, uint64_t others)
{
    uint64_t inside = 0;
    uint32_t common = 0;

    for (uint32_t i = base + KERNEL_PLACES_FROM; i < base + KERNEL_PLACES_END; i++) {
        inside += spread->by_bucket[i];
        common += spread->by_bucket[i] > spread->counted / COMMON_ONE_OF;
    }
    return spread->counted - inside <= spread->counted / OUTSIDE_ONE_OF && common <= COMMON &&
           !is_popular(spread->most * others, spread->counted * (zeros + others));
}

static uint32_t within(uint32_t value, uint32_t low, uint32_t high)
{
    return value < low ? low : value > high ? high : value;
}

static bool open_window(struct pairs *pairs, const struct kernel_sums *sums,
                        const struct pairs_piece *piece, kernel_tables tables)
{
    uint64_t zeros = sums->zeros[0] + sums->zeros[1], others = piece->n - sums->skipped - zeros;
    struct spread spread;
    uint32_t top;

    if (sums->irregular || others == 0)
        return false;
    measure(&spread, tables);
    top = top_of(&spread) + ROOM;
    pairs->base = within(top < KERNEL_PLACES_END ? 0 : top - KERNEL_PLACES_END, KERNEL_LOWEST_BASE,
                         KERNEL_HIGHEST_BASE);
    return spread.counted > 0 && pays(&spread, pairs->base, zeros, others);
}

void pairs_learn(struct pairs *pairs, const struct kernel_sums *sums,
                 const struct pairs_piece *piece, kernel_tables tables)
{
    if (pairs->open || !piece->loops->count_pairs || (pairs->wait > 0 && --pairs->wait > 0))
        return;
    pairs->open = open_window(pairs, sums, piece, tables);
    if (!pairs->open)
        close_window(pairs);
}
