#include "record.h"

#include <inttypes.h>
#include <math.h>

static void record_table(FILE *file, const struct table *table)
{
    double squares = 0;
    size_t touched = 0, nonfinite = 0;
    for (size_t i = 0; i < table->looked_up; i++) {
        int zero = 1;
        for (size_t d = 0; d < table->dim; d++) {
            double value = table->gradient[i * table->dim + d];
            squares += value * value;
            nonfinite += isfinite(value) ? 0 : 1;
            zero = zero && value == 0;
        }
        touched += !zero;
    }
    fprintf(file, " %.17g %zu %zu", sqrt(squares), touched, nonfinite);
}

void record_write(FILE *file, const struct table tables[2], int64_t step, double loss)
{
    fprintf(file, "%" PRId64 " %.17g", step, loss);
    record_table(file, &tables[0]);
    record_table(file, &tables[1]);
    fputc('\n', file);
}

static void dump_table(FILE *file, const struct table *table, uint32_t index, int64_t step)
{
    size_t rows = table->looked_up;
    uint32_t head[4] = {(uint32_t)step, index, (uint32_t)rows, (uint32_t)table->dim};
    if (fwrite(head, sizeof head, 1, file) != 1 ||
        fwrite(table->ids, sizeof *table->ids, rows, file) != rows ||
        fwrite(table->gradient, sizeof(float) * table->dim, rows, file) != rows)
        die("the dump cannot be written: %m");
}

void record_dump(FILE *file, const struct table tables[2], int64_t step)
{
    for (uint32_t t = 0; t < 2 && step < DUMPED_STEPS; t++)
        dump_table(file, &tables[t], t, step);
}
