#include "options.h"
#include "support.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: skipgram --data FILE [OPTION...]\n"
    "Trains word vectors on FILE (a text a line), watched by embmond where one is running.\n"
    "      --steps N       train so many steps                          (default 1500)\n"
    "      --batch N       examples in a step                           (default 256)\n"
    "      --rate R        learning rate, per example                   (default 0.1)\n"
    "      --dim N         width of both tables, at most 512            (default 48)\n"
    "      --seed N        of the first weights and of the batches      (default 1)\n"
    "      --fault NAME    make a mistake: none, vanishing, exploding, nan (default none)\n"
    "      --run NAME      what the monitor is to call this run         (default skipgram)\n"
    "      --rank N --world-size N   learn from every N-th review only, as one of N processes\n"
    "      --record FILE   write loss and gradient norms of every step, as computed here\n"
    "      --dump FILE     write the gradients of the first 64 steps\n"
    "      --save FILE     write the tables at the end\n"
    "      --resume        begin with the tables of --save, and continue the run of that name\n"
    "  -h, --help\n"
    "EMBMON_ADDRESS=unix:PATH says where embmond listens; without it the usual places are tried.\n";

enum {
    DATA = 1,
    STEPS,
    BATCH,
    RATE,
    DIM,
    SEED,
    FAULT,
    RUN,
    RANK,
    WORLD,
    RECORD,
    DUMP,
    SAVE,
    RESUME,
    HELP = 'h'
};

static const char *const fault_names[] = {"none", "vanishing", "exploding", "nan"};

static double number(const char *option, double least, double most)
{
    char *end;
    double value = strtod(optarg, &end);
    if (end == optarg || *end || !(value >= least && value <= most))
        die("--%s %s: give a number from %g to %g", option, optarg, least, most);
    return value;
}

static enum fault fault_named(const char *name)
{
    for (int f = NONE; f <= NOT_A_NUMBER; f++)
        if (strcmp(name, fault_names[f]) == 0)
            return (enum fault)f;
    die("--fault %s: give none, vanishing, exploding or nan", name);
}

static void option_apply(struct options *o, int given)
{
    switch (given) {
    case DATA:
        o->data = optarg;
        break;
    case STEPS:
        o->steps = (int64_t)number("steps", 1, 1e9);
        break;
    case BATCH:
        o->batch = (size_t)number("batch", 1, 65536);
        break;
    case RATE:
        o->rate = number("rate", 0, 1e6);
        break;
    case DIM:
        o->dim = (size_t)number("dim", 1, DIM_MAX);
        break;
    case SEED:
        o->seed = (uint64_t)number("seed", 0, 4294967295.0);
        break;
    case FAULT:
        o->fault = fault_named(optarg);
        break;
    case RUN:
        o->run = optarg;
        break;
    case RANK:
        o->rank = (uint32_t)number("rank", 0, 1023);
        break;
    case WORLD:
        o->world_size = (uint32_t)number("world-size", 1, 1024);
        break;
    case RECORD:
        o->record = optarg;
        break;
    case DUMP:
        o->dump = optarg;
        break;
    case SAVE:
        o->save = optarg;
        break;
    case RESUME:
        o->resume = 1;
        break;
    case HELP:
        fputs(usage, stdout);
        exit(0);
    default:
        fputs("Try 'skipgram --help'.\n", stderr);
        exit(64);
    }
}

void options_read(struct options *o, int argc, char **argv)
{
    static const struct option known[] = {
        {"data", 1, NULL, DATA},   {"steps", 1, NULL, STEPS},      {"batch", 1, NULL, BATCH},
        {"rate", 1, NULL, RATE},   {"dim", 1, NULL, DIM},          {"seed", 1, NULL, SEED},
        {"fault", 1, NULL, FAULT}, {"run", 1, NULL, RUN},          {"record", 1, NULL, RECORD},
        {"rank", 1, NULL, RANK},   {"world-size", 1, NULL, WORLD}, {"dump", 1, NULL, DUMP},
        {"save", 1, NULL, SAVE},   {"resume", 0, NULL, RESUME},    {"help", 0, NULL, HELP},
        {NULL, 0, NULL, 0}};
    *o = (struct options){.run = "skipgram",
                          .steps = 1500,
                          .rate = 0.1,
                          .batch = 256,
                          .dim = 48,
                          .seed = 1,
                          .world_size = 1};
    for (int given; (given = getopt_long(argc, argv, "h", known, NULL)) != -1;)
        option_apply(o, given);
    if (o->data && optind == argc && o->rank < o->world_size && (o->save || !o->resume))
        return;
    fputs(usage, stderr);
    exit(64);
}
