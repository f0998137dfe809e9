#include "client/collapse.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "client/float_mode.h"
#include "client/summarize.h"

enum { SWEEPS = 40 }; /* for one singular value: two are usual */

struct sample {
    double *rows; /* [n][width], each of length 1 */
    size_t n, width;
};

/* Takes the sampled columns of a row and brings them to length 1. False: there is no direction. */
static bool take_row(double *to, const uint8_t *row, uint64_t columns, size_t width,
                     enum embmon_dtype dtype)
{
    size_t element = dtype_size((int)dtype);
    double squares = 0;

    for (size_t i = 0; i < width; i++) {
        dtype_load(&to[i], row + i * columns / width * element, 1, dtype);
        squares += to[i] * to[i];
    }
    if (!isfinite(squares) || squares <= 0)
        return false;
    for (size_t i = 0; i < width; i++)
        to[i] /= sqrt(squares);
    return true;
}

/* Mean over all pairs, by the length of the rows' sum: no pair need be formed. */
static double mean_cosine(const struct sample *s)
{
    double n = (double)s->n, squares = 0;

    for (size_t i = 0; i < s->width; i++) {
        double sum = 0;

        for (size_t r = 0; r < s->n; r++)
            sum += s->rows[r * s->width + i];
        squares += sum * sum;
    }
    return (squares - n) / (n * (n - 1));
}

static void multiply(const struct sample *s, double m[COLLAPSE_COLUMNS][COLLAPSE_COLUMNS])
{
    memset(m, 0, COLLAPSE_COLUMNS * sizeof m[0]);
    for (size_t r = 0; r < s->n; r++) {
        const double *row = s->rows + r * s->width;

        for (size_t i = 0; i < s->width; i++)
            for (size_t j = i; j < s->width; j++)
                m[i][j] += row[i] * row[j];
    }
    for (size_t i = 0; i < s->width; i++)
        for (size_t j = 0; j < i; j++)
            m[i][j] = m[j][i];
}

/* Householder's reflection of what lies below `first` and right of it, so that of its first column
 * nothing is left below the diagonal but the element that is returned. */
static double reflect(double m[COLLAPSE_COLUMNS][COLLAPSE_COLUMNS], size_t width, size_t first)
{
    double v[COLLAPSE_COLUMNS] = {0}, w[COLLAPSE_COLUMNS], squares = 0, beside, scale, along = 0;

    for (size_t i = first + 1; i < width; i++) {
        v[i] = m[i][first];
        squares += v[i] * v[i];
    }
    beside = -copysign(sqrt(squares), v[first + 1]);
    scale = squares - v[first + 1] * beside; /* half of the square of what v becomes */
    if (scale <= 0)
        return 0;
    v[first + 1] -= beside;
    for (size_t i = first + 1; i < width; i++) {
        w[i] = 0;
        for (size_t j = first + 1; j < width; j++)
            w[i] += m[i][j] * v[j];
        w[i] /= scale;
        along += w[i] * v[i];
    }
    for (size_t i = first + 1; i < width; i++)
        w[i] -= along / (2 * scale) * v[i];
    for (size_t i = first + 1; i < width; i++)
        for (size_t j = first + 1; j < width; j++)
            m[i][j] -= v[i] * w[j] + w[i] * v[j];
    return beside;
}

/* One sweep of the QL method with Wilkinson's shift, from `last` up to `first`. */
static void chase(double *on, double *beside, size_t first, size_t last)
{
    double half = (on[first + 1] - on[first]) / (2 * beside[first]);
    double shift = on[first] - beside[first] / (half + copysign(sqrt(half * half + 1), half));
    double c = 1, s = 1, moved = 0, bulge = on[last] - shift;

    for (size_t i = last; i-- > first;) {
        double f = s * beside[i], b = c * beside[i], r = sqrt(f * f + bulge * bulge), t;

        beside[i + 1] = r;
        if (r == 0) { /* it has fallen apart here */
            on[i + 1] -= moved;
            beside[last] = 0;
            return;
        }
        s = f / r;
        c = bulge / r;
        t = (on[i] - on[i + 1] + moved) * s + 2 * c * b;
        on[i + 1] += s * t - moved;
        moved = s * t;
        bulge = c * t - b;
    }
    on[first] -= moved;
    beside[first] = bulge;
    beside[last] = 0;
}

/* The squares of the singular values: m is brought to three diagonals, and these to one (Golub and
 * Van Loan, Matrix Computations, 8.3; without the vectors). */
static void diagonalise(double m[COLLAPSE_COLUMNS][COLLAPSE_COLUMNS], size_t width, double *on)
{
    double beside[COLLAPSE_COLUMNS] = {0};

    for (size_t i = 0; i + 1 < width; i++)
        beside[i] = reflect(m, width, i);
    for (size_t i = 0; i < width; i++)
        on[i] = m[i][i];
    for (size_t first = 0; first < width; first++)
        for (size_t sweep = 0; sweep < SWEEPS; sweep++) {
            size_t last = first;

            while (last + 1 < width &&
                   fabs(beside[last]) > DBL_EPSILON * (fabs(on[last]) + fabs(on[last + 1])))
                last++;
            if (last == first)
                break;
            chase(on, beside, first, last);
        }
}

static double effective_rank(const struct sample *s)
{
    double m[COLLAPSE_COLUMNS][COLLAPSE_COLUMNS], squares[COLLAPSE_COLUMNS], sum = 0, entropy = 0;

    multiply(s, m);
    diagonalise(m, s->width, squares);
    for (size_t i = 0; i < s->width; i++)
        sum += sqrt(fmax(squares[i], 0));
    for (size_t i = 0; i < s->width; i++) {
        double share = sqrt(fmax(squares[i], 0)) / sum;

        if (share > 0)
            entropy -= share * log(share);
    }
    return exp(entropy);
}

/* Not inlined: it runs under the default floating-point mode (float_mode.h). */
__attribute__((noinline)) static void measure(const struct sample *s, struct collapse *collapse)
{
    collapse->cosine = fmax(-1, fmin(1, mean_cosine(s)));
    collapse->spread = effective_rank(s) / (double)s->width;
}

__attribute__((noinline)) static void take_rows(struct sample *s, const uint8_t *table,
                                                uint64_t rows, uint64_t columns,
                                                enum embmon_dtype dtype, const int64_t *ids,
                                                size_t n)
{
    size_t row_bytes = columns * dtype_size((int)dtype);

    for (size_t i = 0; i < n && s->n < COLLAPSE_ROWS; i++)
        if (ids[i] >= 0 && (uint64_t)ids[i] < rows &&
            take_row(s->rows + s->n * s->width, table + (size_t)ids[i] * row_bytes, columns,
                     s->width, dtype))
            s->n++;
}

bool collapse_measure(const void *table, uint64_t rows, uint64_t columns, enum embmon_dtype dtype,
                      const int64_t *ids, size_t n, double *scratch, struct collapse *collapse)
{
    size_t width = columns < COLLAPSE_COLUMNS ? (size_t)columns : COLLAPSE_COLUMNS;
    struct sample sample = {scratch, 0, width};
    struct float_mode mode;

    if (width == 0 || rows < 2 * columns)
        return false;
    mode = float_mode_enter();
    take_rows(&sample, table, rows, columns, dtype, ids, n);
    if (sample.n >= 2 * width)
        measure(&sample, collapse);
    float_mode_leave(mode);
    return sample.n >= 2 * width;
}
