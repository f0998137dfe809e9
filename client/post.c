/* The calls of the training threads: no lock, no system call, no allocation. */
#include "embmon/embmon.h"

#include <math.h>
#include <string.h>

#include "client/posting.h"

static bool is_signal(int signal)
{
    return signal >= EMBMON_GRADIENT && signal <= EMBMON_UPDATE;
}

/* ---- into the inbox
 * ------------------------------------------------------------------------------------ */

/* 1: go on with *place filled, or an error. */
static int admit(struct embmon_client *client, int id, int signal, int64_t step,
                 struct tensor_place *place)
{
    const struct target *target, *layer;

    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    if (!is_signal(signal) || !posting_is_step(step))
        return EMBMON_EINVAL;
    target = model_target(client->state.model, id);
    if (!target)
        return EMBMON_EUNKNOWN;
    layer = model_target(client->state.model, target->layer);
    *place = (struct tensor_place){.target = target,
                                   .layer = layer ? layer : target,
                                   .signal = signal,
                                   .phase = atomic_load(&client->state.phase),
                                   .step = (uint64_t)step,
                                   .epochs = atomic_load(&client->tools.epochs)};
    return 1;
}

static bool is_wanted(struct embmon_client *client, const struct tensor_place *place)
{
    return posting_wanted(client, place->target->layer, place->signal, (int64_t)place->step);
}

/* A record of a sample with room for the counts of both spans; its summary's spans lead there. */
static struct record *sample_record(struct embmon_client *client, const struct tensor_place *place,
                                    const struct summary *s)
{
    size_t counts = (size_t)s->negative.length + s->positive.length;
    struct record *record = posting_record(client, counts * sizeof record->room[0]);
    struct msg_sample *sample;

    if (!record)
        return NULL;
    record->message.type = FRAME_SAMPLE;
    sample = &record->message.sample;
    sample->target = (uint32_t)place->target->id;
    sample->signal = (uint32_t)place->signal;
    sample->phase = (uint32_t)place->phase;
    sample->step = place->step;
    sample->summary = *s;
    sample->summary.negative.counts = record->room;
    sample->summary.positive.counts = record->room + s->negative.length;
    return record;
}

/* ---- samples
 * -----------------------------------------------------------------------------------------------
 */

static int post_tensor(struct embmon_client *client, const struct tensor_place *place,
                       const struct tensor *tensor)
{
    struct tally tally;
    struct summary s;
    struct record *record;

    tally_start(&tally);
    tensor_measure(&tally, &s, place, tensor, &client->tools);
    record = sample_record(client, place, &s);
    if (!record)
        return EMBMON_EDROPPED;
    tally_counts(&tally, true, s.negative.first, s.negative.length, record->room);
    tally_counts(&tally, false, s.positive.first, s.positive.length,
                 record->room + s.negative.length);
    inbox_commit(record);
    return 1;
}

static int post(struct embmon_client *client, int id, int signal, int64_t step,
                const struct tensor *tensor)
{
    struct tensor_place place;
    int result = admit(client, id, signal, step, &place);
    uint64_t start;
    size_t bytes;

    if (result != 1)
        return result;
    result = tensor_check(tensor, signal, &bytes);
    if (result)
        return result;
    if (!is_wanted(client, &place))
        return 0;
    start = posting_now();
    return posting_timed(client, start, post_tensor(client, &place, tensor));
}

int embmon_post(struct embmon_client *client, int id, enum embmon_signal signal, int64_t step,
                const void *data, size_t count, enum embmon_dtype dtype)
{
    const struct tensor tensor = {.data = data, .count = count, .dtype = dtype};

    return post(client, id, (int)signal, step, &tensor);
}

int embmon_post_rows(struct embmon_client *client, int id, enum embmon_signal signal, int64_t step,
                     const void *ids, enum embmon_dtype id_dtype, const void *values, size_t rows,
                     size_t columns, enum embmon_dtype dtype)
{
    const struct tensor tensor = {.sparse = true,
                                  .rows = {ids, values, id_dtype, dtype, rows, columns}};

    return post(client, id, (int)signal, step, &tensor);
}

/* ---- loans
 * -------------------------------------------------------------------------------------------------
 */

/* How it is given back. */
struct terms {
    loan_release *release; /* NULL: who lent it asks */
    void *context;
};

static int lend(struct embmon_client *client, int64_t step, const struct embmon_loan *from,
                const struct terms *terms, uint64_t *ticket)
{
    enum embmon_dtype dtype = (enum embmon_dtype)from->dtype;
    struct loan loan = {
        .tensor = {.sparse = from->ids || from->id_dtype,
                   .data = from->data,
                   .count = from->count,
                   .dtype = dtype,
                   .rows = {from->ids, from->data, (enum embmon_dtype)from->id_dtype, dtype,
                            from->rows, from->columns}},
        .release = terms->release,
        .context = terms->context};
    int result = admit(client, from->target, from->signal, step, &loan.place);

    if (result != 1)
        return result;
    result = tensor_check(&loan.tensor, from->signal, &loan.bytes);
    if (result)
        return result;
    if (!is_wanted(client, &loan.place))
        return 0;
    if (loans_lend(&client->state, &loan, ticket))
        return 1;
    return post_tensor(client, &loan.place, &loan.tensor);
}

int embmon_lend(struct embmon_client *client, int64_t step, const struct embmon_loan *loans,
                size_t n, uint64_t *ticket)
{
    const struct terms terms = {NULL, NULL};
    uint64_t start = posting_now();
    int accepted = 0, problem = 0;

    *ticket = 0;
    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    if (n == 0)
        return 0;
    if (n > INT32_MAX || loans->size < sizeof loans->size)
        return EMBMON_EINVAL;
    for (size_t i = 0; i < n; i++) {
        struct embmon_loan known = EMBMON_LOAN_INIT;
        int result;

        /* An array of a newer or an older header has another stride. */
        memcpy(&known, (const char *)loans + i * loans->size,
               loans->size < sizeof known ? loans->size : sizeof known);
        result =
            known.size == loans->size ? lend(client, step, &known, &terms, ticket) : EMBMON_EINVAL;
        if (result > 0)
            accepted += result;
        else if (result != EMBMON_EDROPPED && !problem)
            problem = result;
    }
    return posting_timed(client, start, problem ? problem : accepted);
}

bool posting_lend(struct embmon_client *client, int64_t step, const struct embmon_loan *loan,
                  loan_release *release, void *context)
{
    const struct terms terms = {release, context};
    uint64_t start = posting_now(), ticket = 0;

    (void)posting_timed(client, start, lend(client, step, loan, &terms, &ticket));
    return ticket > 0;
}

uint64_t embmon_returned(const struct embmon_client *client)
{
    return client_is_inert(client) ? UINT64_MAX : inbox_position(client->state.inbox);
}

/* ---- summaries made elsewhere
 * ------------------------------------------------------------------------------ */

/* A span without the zeros at its ends; what it borrows is only read. */
static bool trim(struct summary_span *span, uint32_t first, uint32_t length, const uint64_t *counts)
{
    memset(span, 0, sizeof *span);
    if (first > BUCKETS || length > BUCKETS - first || (length > 0 && !counts))
        return false;
    for (; length > 0 && counts[0] == 0; length--, first++)
        counts++;
    while (length > 0 && counts[length - 1] == 0)
        length--;
    if (length > 0)
        *span = (struct summary_span){first, length, (uint64_t *)(uintptr_t)counts, length};
    return true;
}

static bool read_summary(struct summary *to, const struct embmon_summary *from)
{
    memset(to, 0, sizeof *to);
    to->count = from->count;
    to->parts = from->parts;
    to->zeros = from->zeros;
    to->nans = from->nans;
    to->positive_infinities = from->positive_infinities;
    to->negative_infinities = from->negative_infinities;
    to->min = from->min;
    to->max = from->max;
    to->sum = from->sum;
    to->absolute_sum = from->absolute_sum;
    to->square_sum = from->square_sum;
    return trim(&to->negative, from->negative_first, from->negative_length,
                from->negative_counts) &&
           trim(&to->positive, from->positive_first, from->positive_length,
                from->positive_counts) &&
           to->parts > 0 && summary_check(to) == NULL;
}

static int post_summary(struct embmon_client *client, const struct tensor_place *place,
                        const struct summary *s)
{
    struct record *record = sample_record(client, place, s);

    if (!record)
        return EMBMON_EDROPPED;
    if (s->negative.length > 0)
        memcpy(record->room, s->negative.counts, s->negative.length * sizeof(uint64_t));
    if (s->positive.length > 0)
        memcpy(record->room + s->negative.length, s->positive.counts,
               s->positive.length * sizeof(uint64_t));
    inbox_commit(record);
    return 1;
}

int embmon_post_summary(struct embmon_client *client, int id, enum embmon_signal signal,
                        int64_t step, const struct embmon_summary *summary)
{
    struct embmon_summary known = EMBMON_SUMMARY_INIT;
    struct summary s;
    struct tensor_place place;
    int result = admit(client, id, (int)signal, step, &place);
    uint64_t start;

    if (result != 1)
        return result;
    if (summary->size < sizeof summary->size)
        return EMBMON_EINVAL;
    memcpy(&known, summary, summary->size < sizeof known ? summary->size : sizeof known);
    if (!read_summary(&s, &known))
        return EMBMON_EINVAL;
    if (!is_wanted(client, &place))
        return 0;
    start = posting_now();
    return posting_timed(client, start, post_summary(client, &place, &s));
}

/* ---- scalars, steps, epochs, phases
 * --------------------------------------------------------------------- */

static int post_scalar(struct embmon_client *client, const char *name, size_t length, int64_t step,
                       double value)
{
    struct record *record = posting_record(client, length + 1);
    struct msg_scalar *scalar;

    if (!record)
        return EMBMON_EDROPPED;
    record->message.type = FRAME_SCALAR;
    scalar = &record->message.scalar;
    scalar->phase = (uint32_t)atomic_load(&client->state.phase);
    scalar->step = (uint64_t)step;
    scalar->value = value;
    memcpy(record->room, name, length + 1);
    scalar->name = (const char *)record->room;
    inbox_commit(record);
    return 1;
}

int embmon_post_scalar(struct embmon_client *client, const char *name, int64_t step, double value)
{
    uint64_t start;

    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    if (!posting_is_step(step))
        return EMBMON_EINVAL;
    if (!name_is_path(name))
        return EMBMON_ENAME;
    /* A loss that is no number any more cannot wait for the next sampled step: which gradients are
     * sick is asked now. */
    if (!isfinite(value) && atomic_load(&client->state.phase) == EMBMON_TRAIN)
        sampling_urge(&client->state.sampling);
    if (!posting_wanted(client, SAMPLING_NO_LAYER, 0, step))
        return 0;
    start = posting_now();
    return posting_timed(client, start, post_scalar(client, name, strlen(name), step, value));
}

int embmon_wanted(struct embmon_client *client, int id, enum embmon_signal signal)
{
    struct sampling *sampling = &client->state.sampling;
    const struct target *target;

    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    if (!is_signal((int)signal) && signal != EMBMON_IDS)
        return EMBMON_EINVAL;
    target = model_target(client->state.model, id);
    if (!target)
        return EMBMON_EUNKNOWN;
    return sampling_wanted(
        sampling, target->layer, (int)signal,
        sampling_current(sampling, (enum embmon_phase)atomic_load(&client->state.phase)));
}

static bool post_step_end(struct embmon_client *client, enum embmon_phase phase, int64_t step)
{
    struct record *record = posting_record(client, 0);

    if (!record)
        return false;
    record->message.type = FRAME_STEP_END;
    record->message.step_end = (struct msg_step_end){
        .phase = phase, .step = (uint64_t)step, .every = atomic_load(&client->state.sampling.own)};
    inbox_commit(record);
    return true;
}

/* What the monitor costs, with what is recorded of the step. */
static void post_overhead(struct embmon_client *client, int64_t step)
{
    double overhead = atomic_load(&client->overhead);

    if (isnan(overhead))
        return;
    (void)post_scalar(client, NAME_OVERHEAD, strlen(NAME_OVERHEAD), step, 100 * overhead);
    (void)post_scalar(client, NAME_EVERY, strlen(NAME_EVERY), step,
                      atomic_load(&client->state.sampling.every));
}

/* A training step is complete: how often are the next ones to be sampled? */
static void spend(struct embmon_client *client, enum embmon_phase phase, bool sampled)
{
    uint64_t post_ns = atomic_load(&client->state.counters.post_ns);
    struct budget *budget = &client->budget;

    if (budget->overhead <= 0 || atomic_flag_test_and_set(&client->budgeting))
        return; /* another thread ends the same step */
    if (phase != EMBMON_TRAIN) {
        budget_pause(budget);
    } else {
        bool measured = budget_step(budget, posting_now(), sampled, post_ns - client->post_ns);

        if (!budget->fixed)
            sampling_own(&client->state.sampling, budget_every(budget));
        if (sampled || measured)
            atomic_store(&client->overhead, budget_overhead(budget));
    }
    client->post_ns = post_ns;
    atomic_flag_clear(&client->budgeting);
}

int embmon_step(struct embmon_client *client, int64_t step)
{
    struct sampling *sampling = &client->state.sampling;
    enum embmon_phase phase = (enum embmon_phase)atomic_load(&client->state.phase);
    bool told = true, sampled;

    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    if (!posting_is_step(step))
        return EMBMON_EINVAL;
    sampled = sampling_wanted(sampling, SAMPLING_NO_LAYER, 0, (uint64_t)step);
    if (sampled && phase == EMBMON_TRAIN)
        post_overhead(client, step);
    if (sampled)
        told = post_step_end(client, phase, step);
    spend(client, phase, sampled);
    sampling_step(sampling, phase, (uint64_t)step);
    if (!told)
        return EMBMON_EDROPPED;
    return sampling_wanted(sampling, SAMPLING_NO_LAYER, 0, (uint64_t)step + 1);
}

int embmon_epoch(struct embmon_client *client, int64_t epoch)
{
    uint64_t next = sampling_current(&client->state.sampling, EMBMON_TRAIN);
    struct record *record;

    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    if (!posting_is_step(epoch))
        return EMBMON_EINVAL;
    model_new_epoch(client->state.model);
    record = posting_record(client, 0);
    if (!record)
        return EMBMON_EDROPPED;
    atomic_fetch_add(&client->tools.epochs, 1);
    record->message.type = FRAME_EPOCH;
    record->message.epoch =
        (struct msg_epoch){.epoch = (uint64_t)epoch, .step = next > 0 ? next - 1 : 0};
    inbox_commit(record);
    return 0;
}

int embmon_phase(struct embmon_client *client, enum embmon_phase phase)
{
    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    if (phase != EMBMON_TRAIN && phase != EMBMON_VALIDATE && phase != EMBMON_INFER)
        return EMBMON_EINVAL;
    atomic_store(&client->state.phase, (int)phase);
    return 0;
}
