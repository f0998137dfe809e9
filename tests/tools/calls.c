/* Makes every call of embmon.h that a training thread makes, between two getppid() that strace
 * sees: what lies between them is what the client does to its caller. */
#include <embmon/embmon.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static void marker(void)
{
    syscall(SYS_getppid);
}

/* Also with what is larger than malloc() would give without asking the kernel. */
static float gradient[1 << 18];
static int64_t ids[1 << 18];

/* Never changed: it may be lent at any time. */
static void lend(struct embmon_client *client, int64_t step)
{
    struct embmon_loan loans[2] = {EMBMON_LOAN_INIT, EMBMON_LOAN_INIT};
    uint64_t ticket;

    loans[0].target = 2;
    loans[0].count = 1 << 18;
    loans[1].ids = ids;
    loans[1].id_dtype = EMBMON_I64;
    loans[1].rows = 1 << 14;
    loans[1].columns = 16;
    for (int i = 0; i < 2; i++) {
        loans[i].signal = EMBMON_GRADIENT;
        loans[i].data = gradient;
        loans[i].dtype = EMBMON_F32;
    }
    embmon_lend(client, step, loans, 2, &ticket);
    embmon_returned(client);
}

static void declare(struct embmon_client *client)
{
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
    const int64_t shape[] = {4, 4};

    info.path = "table", info.kind = EMBMON_EMBEDDING, info.rows = 1 << 14, info.columns = 16;
    embmon_layer(client, &info);
    info = (struct embmon_layer_info)EMBMON_LAYER_INFO_INIT;
    info.path = "dense";
    embmon_layer(client, &info);
    embmon_variable(client, 1, "kernel", shape, 2, EMBMON_F32);
    info.path = "large", info.kind = EMBMON_EMBEDDING, info.rows = 1 << 30, info.columns = 16;
    embmon_layer(client, &info);
}

static void train(struct embmon_client *client)
{
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;
    struct embmon_shape shape = EMBMON_SHAPE_INIT;
    struct embmon_notice notice = EMBMON_NOTICE_INIT;
    char run[64];

    for (int64_t step = 0; step < 50; step++) {
        embmon_post(client, 0, EMBMON_GRADIENT, step, gradient, 1 << 18, EMBMON_F32);
        embmon_post_rows(client, 0, EMBMON_GRADIENT, step, ids, EMBMON_I64, gradient, 1 << 14, 16,
                         EMBMON_F32);
        lend(client, step);
        embmon_post_ids(client, 0, step, ids, 1 << 18, EMBMON_I64, 1 << 10, NULL);
        embmon_post_fed(client, 0, "input1", step, gradient, 1 << 18, EMBMON_F32, 0);
        embmon_post_ids(client, 3, step, ids, 1 << 18, EMBMON_I64, 1, NULL);
        embmon_post_shape(client, 1, step, &shape);
        embmon_post(client, 2, EMBMON_GRADIENT, step, gradient, 16, EMBMON_F32);
        embmon_post_scalar(client, "loss", step, 1);
        embmon_wanted(client, 0, EMBMON_WEIGHT);
        embmon_threshold(client, "gradient_spike", "*", "layer", (double)step + 8);
        embmon_ignore(client, "gradient_vanishing", "dense");
        embmon_step(client, step);
        embmon_notice(client, &notice);
        embmon_stats(client, &stats);
        embmon_run(client, run, sizeof run, NULL);
    }
    embmon_phase(client, EMBMON_VALIDATE);
    embmon_epoch(client, 0);
}

/* With an argument: ends without embmon_close(). */
int main(int argc, char **argv)
{
    struct embmon_client *client;

    for (int i = 0; i < 1 << 18; i++)
        gradient[i] = (float)(i % 97 - 48) / 1000;
    for (int64_t i = 0; i < 1 << 18; i++)
        ids[i] = i < 1 << 14 ? i * 7919 % 5000 : i * 4001;
    if (embmon_open(NULL, &client) < 0)
        return 1;
    marker();
    declare(client);
    train(client);
    marker();
    if (argc > 1)
        return argv[1][0] == '0';
    printf("%d\n", embmon_close(client, 1000));
    return 0;
}
