#include "table.h"
#include "corpus.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void table_init(struct table *table, const char *path, size_t rows, size_t dim)
{
    *table = (struct table){.path = path, .rows = rows, .dim = dim, .layer = -1};
    table->weights = allocate(rows * dim, sizeof(float));
    table->ids = allocate(rows, sizeof(int32_t));
    table->gradient = allocate(rows * dim, sizeof(float));
    table->before = allocate(rows * dim, sizeof(float));
    table->slot_of = allocate(rows, sizeof(int32_t));
    memset(table->slot_of, -1, rows * sizeof(int32_t));
}

void table_free(struct table *table)
{
    free(table->weights);
    free(table->ids);
    free(table->gradient);
    free(table->before);
    free(table->slot_of);
}

void table_randomise(struct table *table, struct random *random)
{
    for (size_t i = 0; i < table->rows * table->dim; i++)
        table->weights[i] = (random_float(random) - 0.5f) / sqrtf((float)table->dim);
}

void table_begin_step(struct table *table)
{
    for (size_t i = 0; i < table->looked_up; i++)
        table->slot_of[table->ids[i]] = -1;
    table->looked_up = 0;
}

float *table_look_up(struct table *table, int32_t row)
{
    size_t dim = table->dim;
    if (table->slot_of[row] < 0) {
        size_t slot = table->looked_up++;
        table->slot_of[row] = (int32_t)slot;
        table->ids[slot] = row;
        memset(table->gradient + slot * dim, 0, dim * sizeof(float));
        memcpy(table->before + slot * dim, table->weights + (size_t)row * dim, dim * sizeof(float));
    }
    return table->gradient + (size_t)table->slot_of[row] * dim;
}

void table_descend(struct table *table, float rate)
{
    for (size_t i = 0; i < table->looked_up; i++) {
        float *row = table->weights + (size_t)table->ids[i] * table->dim;
        for (size_t d = 0; d < table->dim; d++)
            row[d] -= rate * table->gradient[i * table->dim + d];
    }
}

const float *table_update(struct table *table)
{
    for (size_t i = 0; i < table->looked_up; i++) {
        const float *after = table->weights + (size_t)table->ids[i] * table->dim;
        for (size_t d = 0; d < table->dim; d++)
            table->before[i * table->dim + d] = after[d] - table->before[i * table->dim + d];
    }
    return table->before;
}

void table_save(const char *path, const struct table *tables, size_t count, int64_t step)
{
    FILE *file = open_file(path, "wb");
    size_t written = fwrite(&step, sizeof step, 1, file);
    for (size_t t = 0; t < count; t++)
        written += fwrite(tables[t].weights, sizeof(float) * tables[t].dim, tables[t].rows, file);
    if (fclose(file) != 0 || written != 1 + count * tables->rows)
        die("%s: could not be written: %m", path);
}

int64_t table_load(const char *path, struct table *tables, size_t count)
{
    FILE *file = open_file(path, "rb");
    int64_t step = 0;
    size_t got = fread(&step, sizeof step, 1, file);
    for (size_t t = 0; t < count; t++)
        got += fread(tables[t].weights, sizeof(float) * tables[t].dim, tables[t].rows, file);
    if (got != 1 + count * tables->rows || fgetc(file) != EOF)
        die("%s: not the tables of this data and --dim", path);
    fclose(file);
    return step;
}

uint64_t table_checksum(const struct table *tables, size_t count)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t t = 0; t < count; t++) {
        const unsigned char *bytes = (const unsigned char *)tables[t].weights;
        for (size_t i = 0; i < tables[t].rows * tables[t].dim * sizeof(float); i++)
            hash = (hash ^ bytes[i]) * 1099511628211u;
    }
    return hash;
}

static float cosine(const float *a, const float *b, size_t dim)
{
    float dot = 0, a_square = 0, b_square = 0;
    for (size_t d = 0; d < dim; d++) {
        dot += a[d] * b[d];
        a_square += a[d] * a[d];
        b_square += b[d] * b[d];
    }
    return dot / sqrtf(a_square * b_square + 1e-30f);
}

void table_print_neighbours(const struct table *table, const struct corpus *corpus,
                            const char *word)
{
    enum { SHOWN = 6 };
    int32_t best[SHOWN], self = corpus_find(corpus, word);
    float scores[SHOWN];
    int found = 0;
    if (self < 0)
        return;
    for (size_t row = 0; row < table->rows; row++) {
        float score = cosine(table->weights + (size_t)self * table->dim,
                             table->weights + row * table->dim, table->dim);
        if ((int32_t)row == self || !isfinite(score) ||
            (found == SHOWN && score <= scores[SHOWN - 1]))
            continue;
        int at = found < SHOWN ? found++ : SHOWN - 1;
        for (; at > 0 && scores[at - 1] < score; at--) {
            best[at] = best[at - 1];
            scores[at] = scores[at - 1];
        }
        best[at] = (int32_t)row;
        scores[at] = score;
    }
    printf("near \"%s\":", word);
    for (int i = 0; i < found; i++)
        printf(" %s %.2f%s", corpus->words[best[i]].text, (double)scores[i],
               i + 1 < found ? "," : "");
    putchar('\n');
}
