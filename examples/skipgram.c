/* skipgram.c: word vectors by skip-gram with negative sampling (Mikolov et al., 2013), watched by
 * embmond while it trains.
 *
 *     build/examples/skipgram --data build/data/reviews.txt
 *
 * A step draws a few hundred examples: a word of a review (the centre) and the words around it (its
 * contexts). For every context the centre's row of `input/embedding` should score high against the
 * context's row of `output/embedding` and low against those of NEGATIVES random words. The batch's
 * gradient is sparse: the rows looked up and nothing else.
 *
 * What the monitor needs is monitor_open(), post_before() and post_after(), and the calls of these
 * and of embmon_...() in train(). It changes no number: with and without a daemon the weights are
 * the same.
 *
 * --fault makes one honest mistake, marked FAULT below. Nobody edits a gradient.
 * In skipgram/: the text and its words, a table with its gradient, the options, the record. */
#include <embmon/embmon.h>

#include "skipgram/corpus.h"
#include "skipgram/options.h"
#include "skipgram/record.h"
#include "skipgram/table.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { WINDOW = 4, NEGATIVES = 5 };

/* ---- a batch ---- */

struct example {
    int32_t centre, contexts[2 * WINDOW];
    size_t context_count;
};

/* Draws a review, thins its frequent words and makes an example of each word left.
 * Returns how many were added. */
static size_t draw_review(const struct corpus *corpus, const struct options *options,
                          struct random *random, struct example *examples, size_t room)
{
    enum { LONGEST = 1024 };
    int32_t left[LONGEST];
    size_t count = 0, made = 0, share = corpus->review_count / options->world_size;
    size_t review = random_below(random, share) * options->world_size + options->rank;
    for (size_t t = corpus->starts[review]; t < corpus->starts[review + 1] && count < LONGEST; t++)
        if (random_float(random) < corpus->keep[corpus->tokens[t]])
            left[count++] = corpus->tokens[t];
    for (size_t at = 0; at < count && made < room; at++) {
        struct example *example = &examples[made];
        size_t window = 1 + random_below(random, WINDOW);
        *example = (struct example){.centre = left[at]};
        for (size_t c = at < window ? 0 : at - window; c < count && c <= at + window; c++)
            if (c != at)
                example->contexts[example->context_count++] = left[c];
        /* FAULT nan: the trainer forgets that a word can be the only one left of its review. */
        if (example->context_count == 0 && options->fault != NOT_A_NUMBER)
            continue;
        made++;
    }
    return made;
}

/* Adds the gradient of one example, the mean over its contexts; returns its loss. */
static double example_gradient(struct table *input, struct table *output,
                               const struct corpus *corpus, const struct example *example,
                               struct random *random)
{
    size_t dim = input->dim;
    float *centre_gradient = table_look_up(input, example->centre);
    const float *centre = input->weights + (size_t)example->centre * dim;
    float share = 1.0f / (float)example->context_count, sum[DIM_MAX] = {0};
    double loss = 0;
    for (size_t c = 0; c < example->context_count; c++) {
        for (int k = 0; k <= NEGATIVES; k++) {
            int32_t word = example->contexts[c];
            while (k > 0 && word == example->contexts[c])
                word = corpus->unigram[random_below(random, UNIGRAM_SIZE)];
            float *word_gradient = table_look_up(output, word), score = 0;
            const float *vector = output->weights + (size_t)word * dim;
            for (size_t d = 0; d < dim; d++)
                score += centre[d] * vector[d];
            float wanted = k == 0 ? score : -score; /* high for the context, low for the others */
            float error = (k == 0 ? -1.0f : 1.0f) / (1.0f + expf(wanted));
            loss += fmaxf(-wanted, 0) + log1pf(expf(-fabsf(wanted)));
            for (size_t d = 0; d < dim; d++) {
                sum[d] += error * vector[d];
                word_gradient[d] += share * error * centre[d];
            }
        }
    }
    for (size_t d = 0; d < dim; d++)
        centre_gradient[d] += share * sum[d];
    return loss * (double)share;
}

/* Computes the gradient of the step's batch: the sum over its examples. Returns the mean loss. */
static double batch_gradient(struct table tables[2], const struct corpus *corpus,
                             const struct options *options, int64_t step, struct example *examples)
{
    struct random random = {options->seed ^ (uint64_t)step << 32 ^ (uint64_t)options->rank << 20};
    double loss = 0;
    random.state = random_next(&random);
    table_begin_step(&tables[0]);
    table_begin_step(&tables[1]);
    for (size_t count = 0, draws = 0; count < options->batch; draws++) {
        if (draws > 1000 * options->batch)
            die("hardly a review has two known words");
        count += draw_review(corpus, options, &random, examples + count, options->batch - count);
    }
    for (size_t i = 0; i < options->batch; i++)
        loss += example_gradient(&tables[0], &tables[1], corpus, &examples[i], &random);
    return loss / (double)options->batch;
}

/* ---- what embmond needs ---- */

static struct embmon_client *monitor_open(const struct options *options, struct table tables[2])
{
    struct embmon_options monitor_options = EMBMON_OPTIONS_INIT;
    struct embmon_client *monitor;
    monitor_options.run = options->run;
    monitor_options.rank = options->rank;
    monitor_options.world_size = options->world_size;
    monitor_options.resume = options->resume;
    int error = embmon_open(&monitor_options, &monitor);
    if (error < 0)
        die("embmon_open: %s", embmon_strerror(error));
    for (int t = 0; t < 2; t++) {
        struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
        info.path = tables[t].path;
        info.kind = EMBMON_EMBEDDING;
        info.rows = tables[t].rows;
        info.columns = tables[t].dim;
        tables[t].layer = embmon_layer(monitor, &info);
    }
    return monitor;
}

/* Before the update: the whole table, the vectors that came out of it, the gradient of their rows.
 */
static void post_before(struct embmon_client *monitor, const struct table *table, int64_t step)
{
    embmon_post(monitor, table->layer, EMBMON_WEIGHT, step, table->weights,
                table->rows * table->dim, EMBMON_F32);
    embmon_post(monitor, table->layer, EMBMON_ACTIVATION, step, table->before,
                table->looked_up * table->dim, EMBMON_F32);
    embmon_post_rows(monitor, table->layer, EMBMON_GRADIENT, step, table->ids, EMBMON_I32,
                     table->gradient, table->looked_up, table->dim, EMBMON_F32);
}

/* After it: what it changed. Posts not wanted at a step cost nothing; here we spare the
 * subtraction. */
static void post_after(struct embmon_client *monitor, struct table *table, int64_t step)
{
    if (embmon_wanted(monitor, table->layer, EMBMON_UPDATE))
        embmon_post_rows(monitor, table->layer, EMBMON_UPDATE, step, table->ids, EMBMON_I32,
                         table_update(table), table->looked_up, table->dim, EMBMON_F32);
}

static void print_alerts(struct embmon_client *monitor)
{
    struct embmon_notice alert = EMBMON_NOTICE_INIT;
    while (embmon_notice(monitor, &alert) == 1)
        if (alert.state == EMBMON_FIRING)
            printf("ALERT %s %s, step %" PRId64 ": %s\n  hint: %s\n", alert.detector, alert.layer,
                   alert.step, alert.summary, alert.hint);
}

/* ---- training ---- */

static void train(const struct options *options, const struct corpus *corpus,
                  struct table tables[2], struct embmon_client *monitor, int64_t first)
{
    struct table *input = &tables[0], *output = &tables[1];
    struct example *examples = allocate(options->batch, sizeof *examples);
    FILE *record = open_file(options->record, "w"), *dump = open_file(options->dump, "wb");
    int64_t last = first + options->steps - 1, shown = options->steps / 10 + 1;
    for (int64_t step = first; step <= last; step++) {
        double loss = batch_gradient(tables, corpus, options, step, examples);
        post_before(monitor, input, step);
        post_before(monitor, output, step);
        table_descend(input, (float)options->rate);
        table_descend(output, (float)options->rate);
        post_after(monitor, input, step);
        post_after(monitor, output, step);
        embmon_post_scalar(monitor, "loss", step, loss);
        embmon_post_scalar(monitor, "learning_rate", step, options->rate);
        embmon_post_scalar(monitor, "batch_size", step, (double)options->batch);
        embmon_step(monitor, step);
        print_alerts(monitor);

        if (record)
            record_write(record, tables, step, loss);
        if (dump)
            record_dump(dump, tables, step);
        if ((step - first) % shown == 0 || step == last)
            printf("step %" PRId64 " loss %.5g\n", step, isnan(loss) ? (double)NAN : loss);
    }
    if ((record && fclose(record) != 0) || (dump && fclose(dump) != 0))
        die("the record or the dump could not be written: %m");
    free(examples);
}

/* Returns the step to begin with: 0, or the one after those that `--save` and the daemon hold. */
static int64_t tables_begin(const struct options *options, struct table tables[2],
                            struct embmon_client *monitor)
{
    struct random random = {options->seed};
    int64_t step = 0, next = 0;
    if (options->resume) {
        step = table_load(options->save, tables, 2);
        if (embmon_run(monitor, NULL, 0, &next) == 1 && next > step)
            step = next;
    } else if (options->fault != VANISHING) {
        /* FAULT vanishing: both tables stay at zero. Each one's gradient is a multiple of the
         * other's rows, so it is exactly zero as well, for ever. */
        table_randomise(&tables[0], &random);
        table_randomise(&tables[1], &random);
    }
    return step;
}

int main(int argc, char **argv)
{
    struct options options;
    struct corpus corpus = {0};
    struct table tables[2];
    setvbuf(stdout, NULL, _IOLBF, 0); /* whoever reads our output sees it as it comes */
    options_read(&options, argc, argv);
    /* FAULT exploding: the rate would suit the mean over a batch, but the gradient is the sum. */
    if (options.fault == EXPLODING)
        options.rate *= (double)options.batch;
    corpus_read(&corpus, options.data);
    table_init(&tables[0], "input/embedding", corpus.word_count, options.dim);
    table_init(&tables[1], "output/embedding", corpus.word_count, options.dim);
    printf("%zu reviews, %zu words, tables of %zu x %zu\n", corpus.review_count,
           corpus.starts[corpus.review_count], corpus.word_count, options.dim);

    struct embmon_client *monitor = monitor_open(&options, tables);
    int64_t first = tables_begin(&options, tables, monitor);
    train(&options, &corpus, tables, monitor, first);
    char run[EMBMON_NAME_MAX + 1];
    if (embmon_run(monitor, run, sizeof run, NULL) == 1)
        printf("the monitor calls this run %s\n", run);
    int lost = embmon_close(monitor, 5000);
    if (lost > 0)
        printf("%d posts did not reach a monitor\n", lost);

    if (options.save)
        table_save(options.save, tables, 2, first + options.steps);
    table_print_neighbours(&tables[0], &corpus, "dress");
    table_print_neighbours(&tables[0], &corpus, "soft");
    table_print_neighbours(&tables[0], &corpus, "small");
    printf("weights %016" PRIx64 "\n", table_checksum(tables, 2));
    table_free(&tables[0]);
    table_free(&tables[1]);
    corpus_free(&corpus);
    return 0;
}
