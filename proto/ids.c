#include "proto/ids.h"

#include <string.h>

static bool is_number(double value)
{
    return value - value == 0; /* neither NaN nor infinite */
}

static const char *check_sequences(const struct ids_stats *s)
{
    if (s->sequence_length == 0 && s->sequences > 0)
        return "there are sequences of no length";
    if (s->sequence_length > 0 && s->sequences > s->count)
        return "there are more sequences than ids";
    if (s->leading > s->sequences || s->trailing > s->sequences || s->full > s->sequences ||
        s->empty > s->sequences || s->varied > s->sequences)
        return "more sequences are padded or varied than there are";
    if (s->length_min > s->length_max || s->length_max > s->sequence_length)
        return "the true lengths are not within the sequence length";
    return NULL;
}

const char *ids_check(const struct ids_stats *s)
{
    if (s->negative > s->count || s->beyond > s->count - s->negative)
        return "more ids are out of range than there are";
    if (s->fractional > s->count || s->inexact > s->count || s->padded > s->count ||
        s->masked > s->count || s->mismatched > s->masked)
        return "a count of ids is above the number of ids";
    if (s->unique > s->count || s->unique_error > s->count || s->busiest_error > s->count)
        return "there are more distinct ids than ids";
    if (!is_number(s->worst))
        return "the worst id is not finite";
    if (s->busiest_count > IDS_BUSIEST_MAX)
        return "there are more than 8 busiest ids";
    for (uint32_t i = 0; i < s->busiest_count; i++) {
        if (s->busiest[i].count == 0 || s->busiest[i].count > s->count ||
            (i > 0 && s->busiest[i].count > s->busiest[i - 1].count))
            return "the busiest ids are not in descending order of their counts";
    }
    return check_sequences(s);
}

/* The counts that add up. */
#define ADDED(X)                                                                                   \
    X(count)                                                                                       \
    X(sequences)                                                                                   \
    X(negative)                                                                                    \
    X(beyond)                                                                                      \
    X(fractional)                                                                                  \
    X(inexact) X(padded) X(leading) X(trailing) X(full) X(empty) X(varied) X(masked) X(mismatched)

/* How far outside the table the worst id lies; the number of rows is the same for both. */
static double outside(const struct ids_stats *s)
{
    if (s->negative + s->beyond == 0)
        return -1;
    return s->worst < 0 ? -s->worst : s->worst;
}

static void take_examples(struct ids_stats *into, const struct ids_stats *from)
{
    if (outside(from) > outside(into)) {
        into->worst = from->worst;
        into->worst_position = from->worst_position;
    }
    if (into->fractional == 0) {
        into->fractional_value = from->fractional_value;
        into->fractional_position = from->fractional_position;
    }
    if (into->inexact == 0) {
        into->inexact_value = from->inexact_value;
        into->inexact_position = from->inexact_position;
    }
    if (into->empty == 0)
        into->empty_sequence = from->empty_sequence;
    if (into->mismatched == 0)
        into->mismatch_position = from->mismatch_position;
}

static void take_lengths(struct ids_stats *into, const struct ids_stats *from)
{
    if (from->sequence_length > into->sequence_length)
        into->sequence_length = from->sequence_length;
    if (from->length_max == 0)
        return;
    if (into->length_max == 0 || from->length_min < into->length_min)
        into->length_min = from->length_min;
    if (from->length_max > into->length_max)
        into->length_max = from->length_max;
}

static void insert_busiest(struct ids_stats *into, struct ids_busiest one)
{
    uint32_t place = into->busiest_count;

    for (uint32_t i = 0; i < into->busiest_count; i++) {
        if (into->busiest[i].id != one.id)
            continue;
        one.count += into->busiest[i].count;
        place = i;
        break;
    }
    if (place == IDS_BUSIEST_MAX) {
        if (into->busiest[--place].count >= one.count)
            return;
    } else if (place == into->busiest_count) {
        into->busiest_count++;
    }
    for (; place > 0 && into->busiest[place - 1].count < one.count; place--)
        into->busiest[place] = into->busiest[place - 1];
    into->busiest[place] = one;
}

/* What two clients count as distinct may be the same rows. */
static void take_distinct(struct ids_stats *into, const struct ids_stats *from)
{
    uint64_t less = from->unique < into->unique ? from->unique : into->unique;

    if (from->unique > into->unique)
        into->unique = from->unique;
    into->unique_error += from->unique_error + less;
    if (from->rows_seen > into->rows_seen)
        into->rows_seen = from->rows_seen;
    into->busiest_error += from->busiest_error;
    /* One that is not among the other's busiest has at most the count of the last of them there. */
    if (into->busiest_count == IDS_BUSIEST_MAX || from->busiest_count == IDS_BUSIEST_MAX)
        into->busiest_error += into->busiest_count == IDS_BUSIEST_MAX
                                   ? into->busiest[IDS_BUSIEST_MAX - 1].count
                                   : from->busiest[IDS_BUSIEST_MAX - 1].count;
    for (uint32_t i = 0; i < from->busiest_count; i++)
        insert_busiest(into, from->busiest[i]);
}

bool ids_add(struct ids_stats *into, const struct ids_stats *from)
{
    if (into->count == 0) {
        *into = *from;
        return true;
    }
    if (from->count == 0)
        return true;
    /* No other count is above this one. */
    if (from->count > UINT64_MAX - into->count)
        return false;
    take_examples(into, from);
    take_lengths(into, from);
    take_distinct(into, from);
#define ADD(field) into->field += from->field;
    ADDED(ADD)
#undef ADD
    return true;
}
