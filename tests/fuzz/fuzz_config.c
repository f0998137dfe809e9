/* The configuration file: any text is either refused with one sentence of a line of the file that a
 * terminal may show, or all that it set is in range, whole, and the same when it is read again. */
#include <string.h>

#include "daemon/config_file.h"
#include "tests/fuzz/target.h"

static const struct config line = {
    .logdir = "./runs", .level = LOG_LEVEL_INFO, .ceilings = CEILINGS_DEFAULT, .file = "f"};

static void problem_is_a_sentence(const char problem[CONFIG_PROBLEM_MAX])
{
    PROMISE(memchr(problem, 0, CONFIG_PROBLEM_MAX) && strncmp(problem, "f:", 2) == 0);
    PROMISE(problem[2] != '\0');
    for (const char *at = problem; *at; at++)
        PROMISE((unsigned char)*at >= ' ' && *at != 127);
}

static void ceilings_are_in_range(const struct ceilings *ceilings)
{
#define IN_RANGE(name, from, to, standard)                                                         \
    PROMISE(ceilings->name + 1 >= (from) + UINT64_C(1) && ceilings->name <= (to));
    CEILINGS(IN_RANGE)
#undef IN_RANGE
}

static void sink_is_whole(const struct sink_options *sink)
{
    PROMISE(sink->name && *sink->name && sink->severity >= 1 && sink->severity <= 3);
    PROMISE(sink->a_minute >= 1 && sink->timeout_ms >= 100 && sink->timeout_ms <= 60000);
    if (sink->kind == SINK_WEBHOOK)
        PROMISE(sink->url && strncmp(sink->url, "http", 4) == 0 && !sink->argv);
    else
        PROMISE(sink->argv && sink->argv[0] && sink->argv[0][0] == '/' && !sink->url);
}

static void all_is_in_range(const struct config *config)
{
    PROMISE(config->logdir && *config->logdir && config->level <= LOG_LEVEL_DEBUG);
    PROMISE(config->listen_count <= CONFIG_LISTEN_MAX && config->sink_count <= CONFIG_SINKS_MAX);
    PROMISE(config->file == line.file && !config->command);
    ceilings_are_in_range(&config->ceilings);
    for (size_t i = 0; i < config->sink_count; i++)
        sink_is_whole(&config->sinks[i]);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void both_say_the_same(const struct config *a, const struct config *b)
{
    PROMISE(same_text(a->logdir, b->logdir) && same_text(a->token_file, b->token_file));
    PROMISE(same_text(a->tensorboard_url, b->tensorboard_url));
    PROMISE(a->level == b->level && a->log_json == b->log_json);
    PROMISE(a->listen_count == b->listen_count && a->rules.count == b->rules.count);
    PROMISE(memcmp(&a->ceilings, &b->ceilings, sizeof a->ceilings) == 0);
    PROMISE(a->sink_count == b->sink_count);
    for (size_t i = 0; i < a->sink_count; i++)
        PROMISE(sink_options_equal(&a->sinks[i], &b->sinks[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char problem[CONFIG_PROBLEM_MAX] = "", again[CONFIG_PROBLEM_MAX] = "";
    struct config config = {0}, other = {0};
    char *text = (char *)exactly(data, size);
    bool fine = config_read_text(&line, text, size, &config, problem);

    PROMISE(config_read_text(&line, text, size, &other, again) == fine);
    free(text);
    if (fine) {
        all_is_in_range(&config);
        both_say_the_same(&config, &other);
    } else {
        problem_is_a_sentence(problem);
        PROMISE(strcmp(problem, again) == 0);
    }
    config_free(&config);
    config_free(&other);
    return 0;
}
