#include "daemon/ctl_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    const char *name; /* in the path that made it */
    size_t length;
    struct node *parent, *first, *last, *next;
    int layer;
};

/* The child of this name, made when it is new. */
static struct node *child(struct node *parent, const char *name, size_t length, struct node *fresh,
                          size_t *used)
{
    struct node *node = parent->first;

    while (node && (node->length != length || memcmp(node->name, name, length) != 0))
        node = node->next;
    if (node)
        return node;
    node = &fresh[(*used)++];
    *node = (struct node){.name = name, .length = length, .parent = parent, .layer = TREE_NONE};
    if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    return node;
}

static void grow(struct node *root, const char *path, int layer, struct node *fresh, size_t *used)
{
    struct node *node = root;

    for (size_t depth = 1; *path; depth++) {
        size_t length = depth < TREE_DEPTH_MAX ? strcspn(path, "/") : strlen(path);

        node = child(node, path, length, fresh, used);
        path += length;
        path += *path == '/';
    }
    node->layer = layer;
}

/* Where a branch that forks nowhere ends: the line that stands for all of it. */
static struct node *end_of(struct node *node)
{
    while (node->layer == TREE_NONE && node->first && node->first == node->last)
        node = node->first;
    return node;
}

/* The reverse: where the line that this node stands in begins. */
static const struct node *begin_of(const struct node *node)
{
    const struct node *parent = node->parent;

    while (parent->parent && parent->layer == TREE_NONE && parent->first == parent->last) {
        node = parent;
        parent = node->parent;
    }
    return node;
}

static void write_line(struct tree_line *line, const struct node *top, const struct node *end,
                       bool utf8)
{
    static const char *const ascii[] = {"| ", "  ", "|-", "`-"};
    static const char *const drawn[] = {"\xe2\x94\x82 ", "  ", "\xe2\x94\x9c ", "\xe2\x94\x94 "};
    const char *const *sign = utf8 ? drawn : ascii;
    const char *indents[TREE_DEPTH_MAX];
    size_t count = 0;
    int used = 0;

    /* From the line up to the root: whether more follows there says which sign. */
    for (const struct node *up = top; up->parent->parent; up = begin_of(up->parent))
        indents[count++] = sign[(up == top ? 2 : 0) + (up->next ? 0 : 1)];
    while (count > 0)
        used +=
            snprintf(line->text + used, sizeof line->text - (size_t)used, "%s", indents[--count]);
    snprintf(line->text + used, sizeof line->text - (size_t)used, "%.*s",
             (int)(end->name + end->length - top->name), top->name);
    line->layer = end->layer;
}

size_t tree_draw(const char *const *paths, size_t count, bool utf8, struct tree_line *lines,
                 size_t most)
{
    struct node root = {.layer = TREE_NONE};
    struct node *fresh = calloc(count * TREE_DEPTH_MAX + 1, sizeof *fresh), *node;
    size_t used = 0, drawn = 0;

    if (!fresh)
        return (size_t)-1;
    for (size_t i = 0; i < count; i++)
        grow(&root, paths[i], (int)i, fresh, &used);
    for (node = root.first; node;) {
        struct node *end = end_of(node);

        if (lines && drawn < most)
            write_line(&lines[drawn], node, end, utf8);
        drawn++;
        node = end->first;
        for (struct node *up = end; !node && up != &root; up = up->parent)
            node = up->next;
    }
    free(fresh);
    return drawn;
}
