/* The layers in the picture of embmonctl watch: a tree with a line for each, its last norms, the
 * newest, its state. */
#ifndef EMBMON_DAEMON_CTL_LAYERS_H
#define EMBMON_DAEMON_CTL_LAYERS_H

#include "daemon/ctl_canvas.h"
#include "daemon/ctl_tree.h"

struct layers_table {
    const struct watched *watched;
    size_t *picked; /* owned: the layers that are drawn, in forward order */
    size_t count;
    struct tree_line *lines; /* owned */
    size_t line_count;
    size_t name, spark, state; /* columns; 0: none */
    bool numbers;              /* there is room for more than names */
};

/* As many layers as their tree has lines for, at most; when that is not all, those in a worse state
 * come first, and one line is left to say so. False: out of memory. */
bool layers_fill(struct layers_table *table, const struct watched *watched,
                 const struct screen_look *look, size_t most);
void layers_free(struct layers_table *table);

/* The lines that layers_draw() will take. */
size_t layers_lines(const struct layers_table *table);

void layers_headings(struct canvas *canvas, const struct layers_table *table);
void layers_draw(struct canvas *canvas, const struct layers_table *table);

#endif
