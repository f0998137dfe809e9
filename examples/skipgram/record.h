/* record.h: the trainer's own record, by which the monitor is judged. */
#ifndef SKIPGRAM_RECORD_H
#define SKIPGRAM_RECORD_H

#include "table.h"

enum { DUMPED_STEPS = 64 };

/* Writes a line: step, loss, then for both tables the gradient's norm (in f64), how many rows of it
 * are not all zero, and how many of its elements are NaN or infinite. */
void record_write(FILE *file, const struct table tables[2], int64_t step, double loss);

/* Writes the gradients of both tables, if the step is one of the first DUMPED_STEPS. Per table, in
 * native byte order: u32 step, u32 table (0 input, 1 output), u32 rows, u32 columns, then
 * rows x i32 id, then rows x columns x f32. */
void record_dump(FILE *file, const struct table tables[2], int64_t step);

#endif
