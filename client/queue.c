#include "client/queue.h"

#include <stdlib.h>

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
};

enum { ORDINARY, PRECIOUS, LISTS };

struct queue {
    struct list lists[LISTS];
    size_t bytes, bytes_max;
    uint64_t count, unsent;
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
    queue->bytes -= cost(node->length);
    queue->count--;
    free(node);
}

static struct node *first_unsent(const struct list *list)
{
    return list->last_sent ? list->last_sent->next : list->first;
}

static bool drop_one(struct queue *queue)
{
    for (size_t i = 0; i < LISTS; i++) {
        struct list *list = &queue->lists[i];

        if (list->first) {
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
    while (cost(n) > queue->bytes_max - queue->bytes && drop_one(queue))
        dropped++;
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
        queue->lists[i].last_sent = NULL;
    queue->unsent = queue->count;
}

uint64_t queue_ack(struct queue *queue, uint64_t sequence)
{
    uint64_t taken = 0;

    for (size_t i = 0; i < LISTS; i++) {
        struct list *list = &queue->lists[i];

        for (; list->first && list->first->sequence <= sequence; taken++)
            remove_after(queue, list, NULL);
    }
    return taken;
}

bool queue_nack(struct queue *queue, uint64_t sequence)
{
    for (size_t i = 0; i < LISTS; i++) {
        struct list *list = &queue->lists[i];
        struct node *before = NULL, *node = list->first;
        struct node *end = first_unsent(list);

        for (; node != end && node->sequence < sequence; node = node->next)
            before = node;
        if (node != end && node->sequence == sequence) {
            remove_after(queue, list, before);
            return true;
        }
    }
    return false;
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

uint64_t queue_unsent(const struct queue *queue)
{
    return queue->unsent;
}
