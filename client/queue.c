#include "client/queue.h"

#include <stdlib.h>

#include "client/let_go.h"

struct node {
    struct node *next;
    uint64_t sequence;
    size_t length;
    uint8_t bytes[];
};

/* Ascending numbers; sent frames are a prefix that ends at last_sent. */
struct list {
    struct node *first, *last;
    struct node *last_sent; /* NULL: none is sent */
    struct node *refused;   /* a sent one, the last that a refusal was looked for behind; or NULL */
};

enum { ORDINARY, PRECIOUS, LISTS };

struct queue {
    struct list lists[LISTS];
    size_t bytes, bytes_max;
    uint64_t count, unsent, passed;
    struct let_go gone; /* sent, not answered, not here any more */
};

struct queue *queue_new(size_t bytes_max)
{
    struct queue *queue = calloc(1, sizeof *queue);

    if (queue)
        queue->bytes_max = bytes_max;
    return queue;
}

void queue_free(struct queue *queue)
{
    if (!queue)
        return;
    for (size_t i = 0; i < LISTS; i++)
        for (struct node *node = queue->lists[i].first, *next; node; node = next) {
            next = node->next;
            free(node);
        }
    free(queue);
}

/* What a frame costs, its node included. */
static size_t cost(size_t n)
{
    return sizeof(struct node) + n;
}

static bool is_sent(const struct list *list, const struct node *node)
{
    return list->last_sent && node->sequence <= list->last_sent->sequence;
}

/* Takes the node after `before` (NULL: the first) out of the list and frees it. */
static void remove_after(struct queue *queue, struct list *list, struct node *before)
{
    struct node *node = before ? before->next : list->first;

    queue->unsent -= !is_sent(list, node);
    if (before)
        before->next = node->next;
    else
        list->first = node->next;
    if (list->last == node)
        list->last = before;
    if (list->last_sent == node)
        list->last_sent = before;
    if (list->refused == node)
        list->refused = before;
    queue->bytes -= cost(node->length);
    queue->count--;
    free(node);
}

static struct node *first_unsent(const struct list *list)
{
    return list->last_sent ? list->last_sent->next : list->first;
}

/* Takes away the oldest of the least worth. What the daemon has is not lost by that. */
static bool drop_one(struct queue *queue, uint64_t *dropped)
{
    for (size_t i = 0; i < LISTS; i++) {
        struct list *list = &queue->lists[i];

        if (list->first) {
            *dropped +=
                is_sent(list, list->first) ? let_go_add(&queue->gone, list->first->sequence) : 1;
            remove_after(queue, list, NULL);
            return true;
        }
    }
    return false;
}

uint64_t queue_make_room(struct queue *queue, size_t n)
{
    uint64_t dropped = 0;

    if (n > queue->bytes_max || cost(n) > queue->bytes_max)
        return 0;
    while (cost(n) > queue->bytes_max - queue->bytes && drop_one(queue, &dropped))
        continue;
    return dropped;
}

uint8_t *queue_push(struct queue *queue, uint64_t sequence, size_t n, bool precious,
                    uint64_t *dropped)
{
    struct list *list = &queue->lists[precious ? PRECIOUS : ORDINARY];
    struct node *node;

    if (n > queue->bytes_max || cost(n) > queue->bytes_max)
        return NULL;
    node = malloc(cost(n));
    if (!node)
        return NULL;
    *dropped += queue_make_room(queue, n);
    node->next = NULL;
    node->sequence = sequence;
    node->length = n;
    if (list->last)
        list->last->next = node;
    else
        list->first = node;
    list->last = node;
    queue->bytes += cost(n);
    queue->count++;
    queue->unsent++;
    return node->bytes;
}

/* The list whose next frame to send has the lower number; NULL when all is sent. */
static struct list *next_list(const struct queue *queue)
{
    const struct list *found = NULL;

    for (size_t i = 0; i < LISTS; i++) {
        const struct list *list = &queue->lists[i];
        const struct node *node = first_unsent(list);

        if (node && (!found || node->sequence < first_unsent(found)->sequence))
            found = list;
    }
    return (struct list *)(uintptr_t)found;
}

bool queue_next(const struct queue *queue, struct queued *frame)
{
    const struct list *list = next_list(queue);
    const struct node *node;

    if (!list)
        return false;
    node = first_unsent(list);
    *frame = (struct queued){node->sequence, node->length, node->bytes};
    return true;
}

void queue_sent(struct queue *queue)
{
    struct list *list = next_list(queue);

    if (!list)
        return;
    list->last_sent = first_unsent(list);
    queue->unsent--;
}

void queue_discard_next(struct queue *queue)
{
    struct list *list = next_list(queue);

    if (list)
        remove_after(queue, list, list->last_sent);
}

void queue_rewind(struct queue *queue)
{
    for (size_t i = 0; i < LISTS; i++)
        queue->lists[i].last_sent = queue->lists[i].refused = NULL;
    queue->unsent = queue->count;
}

uint64_t queue_ack(struct queue *queue, uint64_t sequence)
{
    uint64_t taken = let_go_take(&queue->gone, sequence);

    for (size_t i = 0; i < LISTS; i++) {
        struct list *list = &queue->lists[i];

        for (; list->first && list->first->sequence <= sequence; taken++)
            remove_after(queue, list, NULL);
    }
    return taken;
}

/* Refusals come in the order of their frames: each is looked for behind the last one. */
static bool take_sent(struct queue *queue, struct list *list, uint64_t sequence)
{
    struct node *before =
        list->refused && list->refused->sequence < sequence ? list->refused : NULL;
    struct node *node = before ? before->next : list->first, *end = first_unsent(list);

    for (; node != end && node->sequence < sequence; node = node->next) {
        before = node;
        queue->passed++;
    }
    list->refused = before;
    if (node == end || node->sequence != sequence)
        return false;
    remove_after(queue, list, before);
    return true;
}

bool queue_nack(struct queue *queue, uint64_t sequence)
{
    for (size_t i = 0; i < LISTS; i++) {
        if (take_sent(queue, &queue->lists[i], sequence))
            return true;
    }
    return let_go_take_one(&queue->gone, sequence);
}

uint64_t queue_forget_gone(struct queue *queue)
{
    return let_go_take_all(&queue->gone);
}

uint64_t queue_passed(const struct queue *queue)
{
    return queue->passed;
}

bool queue_is_half(const struct queue *queue)
{
    return queue->bytes > queue->bytes_max / 2;
}

size_t queue_bytes(const struct queue *queue)
{
    return queue->bytes;
}

uint64_t queue_count(const struct queue *queue)
{
    return queue->count;
}

uint64_t queue_gone(const struct queue *queue)
{
    return queue->gone.count;
}

uint64_t queue_unsent(const struct queue *queue)
{
    return queue->unsent;
}
