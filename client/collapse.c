#include "client/collapse.h"

#include <math.h>
#include <string.h>

#include "client/float_mode.h"
#include "client/summarize.h"

enum { SWEEPS = 12 };

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

/* One rotation of Jacobi's method: makes m[p][q] and m[q][p] 0. */
static void rotate(double m[COLLAPSE_COLUMNS][COLLAPSE_COLUMNS], size_t width, size_t p, size_t q)
{
    double theta, t, c, s;

    if (fabs(m[p][q]) < 1e-300)
        return;
    theta = (m[q][q] - m[p][p]) / (2 * m[p][q]);
    t = copysign(1, theta) / (fabs(theta) + sqrt(theta * theta + 1));
    c = 1 / sqrt(t * t + 1);
    s = t * c;
    for (size_t k = 0; k < width; k++) {
        double a = m[k][p], b = m[k][q];

        m[k][p] = c * a - s * b;
        m[k][q] = s * a + c * b;
    }
    for (size_t k = 0; k < width; k++) {
        double a = m[p][k], b = m[q][k];

        m[p][k] = c * a - s * b;
        m[q][k] = s * a + c * b;
    }
}

/* The squares of the singular values are left on the diagonal. */
static void diagonalise(double m[COLLAPSE_COLUMNS][COLLAPSE_COLUMNS], size_t width)
{
    for (size_t sweep = 0; sweep < SWEEPS; sweep++) {
        double beside = 0, on = 0;

        for (size_t p = 0; p < width; p++) {
            on += m[p][p] * m[p][p];
            for (size_t q = p + 1; q < width; q++)
                beside += m[p][q] * m[p][q];
        }
        if (beside <= 1e-20 * on)
            return;
        for (size_t p = 0; p < width; p++)
            for (size_t q = p + 1; q < width; q++)
                rotate(m, width, p, q);
    }
}

static double effective_rank(const struct sample *s)
{
    double m[COLLAPSE_COLUMNS][COLLAPSE_COLUMNS], sum = 0, entropy = 0;

    multiply(s, m);
    diagonalise(m, s->width);
    for (size_t i = 0; i < s->width; i++)
        sum += sqrt(fmax(m[i][i], 0));
    for (size_t i = 0; i < s->width; i++) {
        double share = sqrt(fmax(m[i][i], 0)) / sum;

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
