/* Lends an array of ELEMENTS f32 TIMES times, for who counts the instructions of embmon_lend():
 *
 *     lend_cost ELEMENTS TIMES
 *
 * Status 1: one was not lent. Nobody is connected. */
#include <stdlib.h>

#include "embmon/embmon.h"

static void be_quiet(void *context, const char *line)
{
    (void)context;
    (void)line;
}

int main(int argc, char **argv)
{
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
    struct embmon_loan loan = EMBMON_LOAN_INIT;
    struct embmon_client *client;
    float *values;
    int times;

    if (argc != 3)
        return 64;
    options.address = "unix:/nobody/is/here";
    options.run = "cost";
    options.log = be_quiet;
    info.path = "dense";
    if (embmon_open(&options, &client) < 0)
        return 1;
    times = atoi(argv[2]);
    loan.count = (size_t)atoll(argv[1]);
    values = calloc(loan.count, sizeof *values);
    if (!values)
        return 1;
    loan.target = embmon_layer(client, &info);
    loan.signal = EMBMON_GRADIENT;
    loan.data = values;
    loan.dtype = EMBMON_F32;
    for (int64_t n = 0; n < times; n++) {
        uint64_t ticket;

        if (embmon_lend(client, n, &loan, 1, &ticket) != 1 || ticket == 0)
            return 1;
    }
    embmon_close(client, 0);
    free(values);
    return 0;
}
