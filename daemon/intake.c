#include "daemon/intake.h"

#include <math.h>

static const double ONE_SIDE = 0.9; /* of the padded sequences are padded on the usual side */
enum { SIDE_SEQUENCES = 2 };        /* fewer say nothing of a side */

static double share_of(const struct ids_stats *s)
{
    return (double)s->padded / (double)s->count;
}

static void widen(uint64_t *min, uint64_t *max, uint64_t low, uint64_t high)
{
    if (*max == 0 || low < *min)
        *min = low;
    if (high > *max)
        *max = high;
}

void intake_train(struct intake *intake, const struct ids_stats *s)
{
    double before = intake->share_mean;

    if (s->sequences == 0)
        return;
    intake->steps++;
    intake->share_mean += (share_of(s) - before) / (double)intake->steps;
    intake->share_spread += (share_of(s) - before) * (share_of(s) - intake->share_mean);
    intake->sequences += s->sequences;
    intake->leading += s->leading;
    intake->trailing += s->trailing;
    if (s->length_max > 0)
        widen(&intake->length_min, &intake->length_max, s->length_min, s->length_max);
    widen(&intake->input_min, &intake->input_max, s->sequence_length, s->sequence_length);
}

enum intake_side intake_side(const struct intake *intake)
{
    double leading = (double)intake->leading, trailing = (double)intake->trailing;

    if (leading + trailing < SIDE_SEQUENCES)
        return SIDE_UNKNOWN;
    if (trailing >= ONE_SIDE * (leading + trailing))
        return SIDE_TRAILING;
    return leading >= ONE_SIDE * (leading + trailing) ? SIDE_LEADING : SIDE_UNKNOWN;
}

void intake_compare(struct intake *intake, uint32_t phase, const struct ids_stats *s)
{
    struct intake_recent *r = &intake->recent[phase - 1];
    enum intake_side side = intake_side(intake);
    double wrong = 0, unpadded = 0, padded = (double)(s->leading + s->trailing);

    if (s->sequences == 0)
        return;
    if (side != SIDE_UNKNOWN)
        wrong = (double)(side == SIDE_TRAILING ? s->leading : s->trailing);
    if (intake->leading + intake->trailing >= SIDE_SEQUENCES &&
        s->sequence_length < intake->input_min)
        unpadded = (double)s->full;
    r->total += s->sequences;
    r->sequences += (double)s->sequences;
    r->positions += (double)s->count;
    r->padded += (double)s->padded;
    r->side += padded;
    r->wrong += wrong;
    r->unpadded += unpadded;
    r->last_sick = wrong + unpadded;
    r->last_side = padded;
    if (r->sequences > INTAKE_WINDOW) {
        double keep = INTAKE_WINDOW / 2 / r->sequences;

        keep = keep < 0.5 ? keep : 0.5;
        r->sequences *= keep;
        r->positions *= keep;
        r->padded *= keep;
        r->side *= keep;
        r->wrong *= keep;
        r->unpadded *= keep;
    }
}

double intake_spread(const struct intake *intake)
{
    return intake->steps > 1 ? sqrt(intake->share_spread / (double)(intake->steps - 1)) : 0;
}

double intake_share(const struct intake *intake, uint32_t phase)
{
    const struct intake_recent *r = &intake->recent[phase - 1];

    return r->positions > 0 ? r->padded / r->positions : NAN;
}

static void carry_recent(struct carry *c, struct intake_recent *r)
{
    carry_u64(c, &r->total);
    if (r->total == 0)
        return;
    carry_f64(c, &r->sequences);
    carry_f64(c, &r->positions);
    carry_f64(c, &r->padded);
    carry_f64(c, &r->side);
    carry_f64(c, &r->wrong);
    carry_f64(c, &r->unpadded);
    carry_f64(c, &r->last_sick);
    carry_f64(c, &r->last_side);
}

void intake_carry(struct carry *c, struct intake *intake)
{
    carry_u64(c, &intake->steps);
    carry_u64(c, &intake->sequences);
    carry_f64(c, &intake->share_mean);
    carry_f64(c, &intake->share_spread);
    carry_u64(c, &intake->leading);
    carry_u64(c, &intake->trailing);
    carry_u64(c, &intake->length_min);
    carry_u64(c, &intake->length_max);
    carry_u64(c, &intake->input_min);
    carry_u64(c, &intake->input_max);
    for (size_t i = 0; i < INTAKE_PHASES; i++)
        carry_recent(c, &intake->recent[i]);
    carry_u64(c, &intake->rows_seen);
    carry_bool(c, &intake->rows_known);
}
