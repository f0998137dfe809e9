#include "daemon/baseline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double ALPHA = 0.97;    /* of the exponential average */
static const double RISE_MAX = 0.01; /* of the log level, a step */
static const double RATE_JUMP = 3.0;
static const double RATE_COUNTS = 0.1; /* of the highest */
static const double SHORT_BATCH = 0.9;
static const double LOSS_FLOOR = 0.1;
static const double LOSS_DIVERGED = 10.0; /* times those before (or 1): no first loss any more */
static const double LOSS_SPENT = 1e-3;    /* of the first loss */
static const double LOSS_ALPHA = 0.9;
static const double LEARNT = 0.1;     /* of the first loss: so far it must have fallen */
static const double NEW_LEVEL = 10.0; /* times the usual norm, among the last 10 */
enum { WARM_UP_STEPS = 3 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const double *values, size_t n)
{
    double sorted[BASELINE_LEARN];

    memcpy(sorted, values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

static void set_top(struct norm_baseline *b, double top)
{
    b->top = top;
    b->usual = exp(top);
}

/* Places that are not taken yet are 0. */
static double max_recent(const struct norm_baseline *b)
{
    double max = b->recent[0];

    for (size_t i = 1; i < BASELINE_RECENT; i++)
        max = b->recent[i] > max ? b->recent[i] : max; /* all are finite */
    return max;
}

static void add_recent(struct norm_baseline *b, double norm)
{
    double gone = b->recent[b->recent_next];

    b->recent[b->recent_next] = norm;
    b->recent_next = b->recent_next + 1 < BASELINE_RECENT ? b->recent_next + 1 : 0;
    if (b->recent_count < BASELINE_RECENT)
        b->recent_count++;
    if (norm >= b->recent_max)
        b->recent_max = norm;
    else if (gone >= b->recent_max)
        b->recent_max = max_recent(b);
}

void norm_baseline_add(struct norm_baseline *b, double norm)
{
    double x, move;

    if (!isfinite(norm) || norm <= 0)
        return;
    add_recent(b, norm);
    x = log(norm);
    if (b->learnt < BASELINE_LEARN) {
        b->first[b->learnt++] = x;
        if (b->learnt == BASELINE_LEARN)
            set_top(b, b->level = median(b->first, BASELINE_LEARN));
        return;
    }
    move = (1 - ALPHA) * (x - b->level);
    b->level += move > RISE_MAX ? RISE_MAX : move;
    if (b->level > b->top)
        set_top(b, b->level);
}

void norm_baseline_reset(struct norm_baseline *b)
{
    *b = (struct norm_baseline){0};
}

double norm_baseline_level(const struct norm_baseline *b)
{
    return b->learnt == BASELINE_LEARN ? b->usual : NAN;
}

double norm_baseline_recent_max(const struct norm_baseline *b)
{
    if (b->recent_count < BASELINE_RECENT)
        return NAN;
    return b->learnt == BASELINE_LEARN && b->usual > b->recent_max ? b->usual : b->recent_max;
}

void layer_memory_reset(struct layer_memory *memory)
{
    *memory = (struct layer_memory){.varied = memory->varied};
}

void baseline_init(struct baseline *b)
{
    *b = (struct baseline){
        .rate = NAN, .steps_since_rise = UINT32_MAX, .first_loss = NAN, .loss_level = NAN};
}

void baseline_free(struct baseline *b)
{
    free(b->layers);
    free(b->intakes);
    shapes_free(&b->shapes);
    free(b->memories);
    free(b->variables);
    *b = (struct baseline){0};
}

void baseline_restart(struct baseline *b)
{
    struct baseline fresh;

    baseline_init(&fresh);
    memcpy(fresh.losses, b->losses, sizeof fresh.losses);
    fresh.loss_count = b->loss_count;
    fresh.first_loss = b->first_loss;
    fresh.loss_level = b->loss_level;
    fresh.has_learnt = b->has_learnt;
    baseline_free(b);
    *b = fresh;
}

/* The array with room for `wanted` items, the new ones zeroed; NULL when out of memory. */
static void *resized(void *items, size_t count, size_t wanted, size_t size)
{
    char *more = reallocarray(items, wanted, size);

    if (more)
        memset(more + count * size, 0, (wanted - count) * size);
    return more;
}

bool baseline_resize(struct baseline *b, size_t layers, size_t variables)
{
    struct norm_baseline *more_layers;
    struct layer_memory *more_memories;
    struct variable_memory *more_variables;
    struct intake *more_intakes;

    if (layers > b->layer_count) {
        more_layers = resized(b->layers, b->layer_count, layers, sizeof *more_layers);
        if (!more_layers)
            return false;
        b->layers = more_layers;
        more_intakes = resized(b->intakes, b->layer_count, layers, sizeof *more_intakes);
        if (!more_intakes)
            return false;
        b->intakes = more_intakes;
        if (!shapes_resize(&b->shapes, layers))
            return false;
        more_memories = resized(b->memories, b->layer_count, layers, sizeof *more_memories);
        if (!more_memories)
            return false;
        b->memories = more_memories;
        b->layer_count = layers;
    }
    if (variables > b->variable_count) {
        more_variables =
            resized(b->variables, b->variable_count, variables, sizeof *more_variables);
        if (!more_variables)
            return false;
        b->variables = more_variables;
        b->variable_count = variables;
    }
    return true;
}

void baseline_epoch(struct baseline *b, size_t layer)
{
    if (layer < b->layer_count)
        b->intakes[layer].rows_known = false;
}

void baseline_forget_levels(struct baseline *b)
{
    norm_baseline_reset(&b->model);
    for (size_t i = 0; i < b->layer_count; i++)
        norm_baseline_reset(&b->layers[i]);
}

static double of_first_losses(const struct baseline *b)
{
    double loss;

    if (b->loss_count == 0)
        return NAN;
    loss = median(b->losses, b->loss_count);
    return copysign(fmax(fabs(loss), LOSS_FLOOR), loss);
}

/* A training may diverge within its first five steps: what it diverged to is not what it began
 * with. */
static void add_first_loss(struct baseline *b, double loss)
{
    if (b->loss_count > 0 && fabs(loss) > LOSS_DIVERGED * fmax(1, fabs(baseline_first_loss(b))))
        return;
    b->losses[b->loss_count++] = loss;
    b->first_loss = of_first_losses(b);
}

/* What came lately is usual from now on. */
static void lift(struct norm_baseline *b)
{
    if (b->learnt == BASELINE_LEARN && b->recent_count == BASELINE_RECENT)
        set_top(b, b->level = log(norm_baseline_recent_max(b)));
}

/* Not learnt anew over 25 steps: if this is an explosion after all, it goes on. */
static void begin_to_learn(struct baseline *b)
{
    double usual = norm_baseline_level(&b->model);

    b->has_learnt = true;
    if (!(norm_baseline_recent_max(&b->model) > NEW_LEVEL * usual))
        return;
    lift(&b->model);
    for (size_t i = 0; i < b->layer_count; i++)
        lift(&b->layers[i]);
}

void baseline_loss(struct baseline *b, double loss)
{
    double first;

    if (!isfinite(loss))
        return;
    if (b->loss_count < FIRST_LOSSES)
        add_first_loss(b, loss);
    b->loss_level =
        isnan(b->loss_level) ? loss : LOSS_ALPHA * b->loss_level + (1 - LOSS_ALPHA) * loss;
    first = baseline_first_loss(b);
    if (!b->has_learnt && b->loss_level < first - LEARNT * fabs(first))
        begin_to_learn(b);
}

bool baseline_on_plateau(const struct baseline *b, double loss)
{
    double first = baseline_first_loss(b);

    return !b->has_learnt && loss <= first + LEARNT * fabs(first);
}

double baseline_first_loss(const struct baseline *b)
{
    return b->loss_count ? b->first_loss : NAN;
}

bool baseline_loss_spent(const struct baseline *b, double loss)
{
    return fabs(loss) < LOSS_SPENT * fabs(baseline_first_loss(b));
}

bool baseline_rate(struct baseline *b, double rate)
{
    bool jumped = false;

    if (b->steps_since_rise < UINT32_MAX)
        b->steps_since_rise++;
    if (!isfinite(rate))
        return false;
    if (isfinite(b->rate)) {
        if (rate > b->rate)
            b->steps_since_rise = 0;
        jumped = b->rate > 0 && rate > RATE_JUMP * b->rate;
    }
    b->rate = rate;
    b->rate_max = fmax(b->rate_max, rate);
    return jumped;
}

bool baseline_rate_counts(const struct baseline *b)
{
    return isfinite(b->rate) && b->rate > 0 && b->rate >= RATE_COUNTS * b->rate_max;
}

bool baseline_warming_up(const struct baseline *b)
{
    return b->steps_since_rise < WARM_UP_STEPS;
}

void baseline_batch(struct baseline *b, double batch)
{
    if (!isfinite(batch) || batch <= 0)
        return;
    b->batches[b->batch_next] = batch;
    b->batch_next = (b->batch_next + 1) % BASELINE_BATCHES;
    if (b->batch_count < BASELINE_BATCHES)
        b->batch_count++;
}

bool baseline_short_batch(const struct baseline *b, double batch)
{
    if (!isfinite(batch) || b->batch_count == 0)
        return false;
    return batch < SHORT_BATCH * median(b->batches, b->batch_count);
}

/* ---- over a restart */

static void carry_norm(struct carry *c, struct norm_baseline *b)
{
    carry_u32(c, &b->learnt, BASELINE_LEARN);
    if (b->learnt < BASELINE_LEARN)
        carry_f64s(c, b->first, b->learnt);
    carry_f64(c, &b->level);
    carry_f64(c, &b->top);
    if (c->loading)
        set_top(b, b->top);
    carry_u32(c, &b->recent_count, BASELINE_RECENT);
    carry_u32(c, &b->recent_next, BASELINE_RECENT - 1);
    carry_f64s(c, b->recent, b->recent_count);
    if (c->loading)
        b->recent_max = max_recent(b);
}

static void carry_layer(struct carry *c, struct layer_memory *memory)
{
    usual_carry(c, &memory->zeros);
    usual_carry(c, &memory->ids);
    usual_carry(c, &memory->variety);
    usual_carry(c, &memory->busiest);
    carry_bool(c, &memory->varied);
}

static void carry_variable(struct carry *c, struct variable_memory *memory)
{
    carry_bool(c, &memory->weighed);
    if (!memory->weighed)
        return;
    carry_f64(c, &memory->weight_squares);
    carry_u64(c, &memory->weight_count);
}

static void carry_model(struct carry *c, struct baseline *b)
{
    carry_norm(c, &b->model);
    carry_u32(c, &b->loss_count, FIRST_LOSSES);
    carry_f64s(c, b->losses, b->loss_count);
    if (c->loading)
        b->first_loss = of_first_losses(b);
    carry_f64(c, &b->loss_level);
    carry_bool(c, &b->has_learnt);
    carry_u64(c, &b->steps);
    carry_f64(c, &b->rate);
    carry_f64(c, &b->rate_max);
    carry_u32(c, &b->steps_since_rise, UINT32_MAX);
    carry_u32(c, &b->batch_count, BASELINE_BATCHES);
    carry_u32(c, &b->batch_next, BASELINE_BATCHES - 1);
    carry_f64s(c, b->batches, b->batch_count);
}

void baseline_carry(struct carry *c, struct baseline *b, size_t layers, size_t variables)
{
    size_t layer_count, variable_count;

    carry_model(c, b);
    layer_count = carry_count(c, b->layer_count, layers);
    variable_count = carry_count(c, b->variable_count, variables);
    if (c->loading && !baseline_resize(b, layer_count, variable_count))
        carry_fail(c, "out of memory");
    for (size_t i = 0; i < layer_count && !c->problem; i++) {
        carry_norm(c, &b->layers[i]);
        intake_carry(c, &b->intakes[i]);
        carry_layer(c, &b->memories[i]);
    }
    for (size_t i = 0; i < variable_count && !c->problem; i++)
        carry_variable(c, &b->variables[i]);
    shapes_carry(c, &b->shapes, layers, variables);
}
