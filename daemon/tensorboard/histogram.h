/* A summary's 4,080 log-linear buckets, re-binned to what TensorBoard shows well. Every edge but
 * the outermost two is an edge of the summary's own buckets, so that counts stay exact. A value on
 * an inner edge belongs to the bucket away from zero, as in the summary. */
#ifndef EMBMON_TENSORBOARD_HISTOGRAM_H
#define EMBMON_TENSORBOARD_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/summary.h"

enum { HISTOGRAM_BUCKETS_MAX = 64 };

struct histogram {
    size_t length;
    double left[HISTOGRAM_BUCKETS_MAX]; /* ascending, finite, left[i + 1] == right[i] */
    double
        right[HISTOGRAM_BUCKETS_MAX]; /* the first left and last right are the true min and max */
    double count[HISTOGRAM_BUCKETS_MAX];
};

/* Over the value itself. Edges are chosen near 31 quantiles and near 31 even steps of the range, so
 * that percentiles (Distributions) and shape (Histograms) are both right; zeros lie in a bucket
 * that is narrow on the page; neighbouring empty buckets are one. False: nothing finite. */
bool histogram_linear(const struct summary *s, struct histogram *h);

/* Over log10 of the absolute value of the non-zero elements. Neighbouring buckets are added up
 * evenly until 64 suffice; the outermost edges are the occupied buckets' own (the lowest bucket's
 * is log10 of 2^-149). False: nothing but zeros. */
bool histogram_log10(const struct summary *s, struct histogram *h);

#endif
