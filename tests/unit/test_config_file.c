#include "tests/unit/config_text.h"

#include <inttypes.h>
#include <stdlib.h>

#include "daemon/config_keys.h"
#include "daemon/detect/detect.h"
#include "daemon/yaml.h"
#include "tests/unit/folder.h"
#include "tests/unit/random.h"

static const char example_path[] = "docs/embmond.yaml"; /* tests start in the repository's root */

/* ---- keys of the daemon */

static void an_empty_file_changes_nothing(void **state)
{
    const struct config *config = reads("# nothing\n");

    (void)state;
    assert_string_equal(config->logdir, "./runs");
    assert_null(config->logdir_of_file);
    assert_int_equal(config->listen_count, 0);
    assert_int_equal(config->level, LOG_LEVEL_INFO);
    assert_false(config->log_json);
    assert_int_equal(config->ceilings.connections, 1024);
    assert_int_equal(config->ceilings.runs, 256);
    assert_int_equal(config->ceilings.run_bytes, 128 << 20);
    assert_int_equal(config->ceilings.idle_seconds, 3600);
    assert_int_equal(config->rules.count, 0);
    assert_int_equal(config->sink_count, 0);
    assert_null(config->tensorboard_url);
}

static void every_key_of_the_daemon_is_heard(void **state)
{
    const struct config *config =
        reads("logdir: /logs\n"
              "listen:\n  - unix:/a\n  - unix:b\n"
              "log: {level: error, format: json}\n"
              "limits: {connections: 1, runs: 1024, run_bytes: 1048576, idle_seconds: 60}\n"
              "tensorboard_url: https://tb/x\n");

    (void)state;
    assert_string_equal(config->logdir, "/logs");
    assert_int_equal(config->listen_count, 2);
    assert_string_equal(config->listen[0].path, "/a");
    assert_string_equal(config->listen[1].path, "b");
    assert_int_equal(config->level, LOG_LEVEL_ERROR);
    assert_true(config->log_json);
    assert_int_equal(config->ceilings.connections, 1);
    assert_int_equal(config->ceilings.runs, 1024);
    assert_int_equal(config->ceilings.run_bytes, 1 << 20);
    assert_int_equal(config->ceilings.idle_seconds, 60);
    assert_string_equal(config->tensorboard_url, "https://tb/x");
    assert_int_equal(reads("log: {level: warning}")->level, LOG_LEVEL_WARN);
    assert_int_equal(reads("log: {level: info}")->level, LOG_LEVEL_INFO);
    assert_int_equal(reads("log: {level: debug, format: text}")->level, LOG_LEVEL_DEBUG);
}

static void every_limit_has_its_range(void **state)
{
    const struct {
        const char *name;
        uint64_t least, most;
        size_t offset;
    } rows[] = {
#define ROW(name, least, most, standard) {#name, least, most, offsetof(struct ceilings, name)},
        CEILINGS(ROW)
#undef ROW
    };
    char text[128], wrong[256];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const uint64_t values[] = {rows[i].least, rows[i].most, rows[i].most + 1,
                                   rows[i].least - 1};

        for (int k = 0; k < (rows[i].least ? 4 : 3); k++) {
            snprintf(text, sizeof text, "limits: {%s: %" PRIu64 "}\n", rows[i].name, values[k]);
            snprintf(wrong, sizeof wrong,
                     "1: limits.%s is \"%" PRIu64 "\": write a whole number from %" PRIu64
                     " to %" PRIu64,
                     rows[i].name, values[k], rows[i].least, rows[i].most);
            if (k >= 2) {
                must_refuse(text, wrong);
                continue;
            }
            const char *ceilings = (const char *)&reads(text)->ceilings;
            assert_true(*(const uint64_t *)(const void *)(ceilings + rows[i].offset) == values[k]);
        }
    }
}

static void the_command_line_wins(void **state)
{
    char words[] = "embmond -l /mine -q --listen unix:/mine.sock -c f --log-format text";
    char *argv[16];
    int argc = 0;
    const struct config *config;

    (void)state;
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    assert_int_equal(config_parse(argc, argv, &config_line, config_problem), CONFIG_OK);
    config = reads("logdir: /logs\n"
                   "listen: [unix:/a, unix:/b]\n"
                   "log: {level: debug, format: json}\n"
                   "limits: {runs: 7}\n");
    assert_string_equal(config->logdir, "/mine");
    assert_int_equal(config->listen_count, 1);
    assert_string_equal(config->listen[0].path, "/mine.sock");
    assert_int_equal(config->level, LOG_LEVEL_WARN);
    assert_false(config->log_json);
    assert_int_equal(config->ceilings.runs, 7);
    must_refuse("logdir: []\n", "1: logdir is a list: write a text"); /* checked all the same */
}

static void wrong_values_are_named_with_their_line(void **state)
{
    (void)state;
    must_refuse("logdir:\n", "1: logdir has no value: write a text");
    must_refuse("log:\n  level: loud\n",
                "2: log.level is \"loud\": write one of error, warning, info, debug");
    must_refuse("log:\n  format: xml\n", "2: log.format is \"xml\": write one of text, json");
    must_refuse("listen: unix:/a\n", "1: listen is \"unix:/a\": write a list, each item after a -");
    must_refuse("listen: []\n", "1: listen has 0 items: write 1 to 16");
    must_refuse("listen:\n  - unix:/a\n  - unix:/a\n", "3: listen: unix:/a: given twice");
    must_refuse("listen:\n  - tcp:h:1\n  - tcp:h\n",
                "3: listen: tcp:h: a tcp address ends with a port, 0 to 65535: tcp:HOST:PORT");
    must_refuse("token_file: [a]\n", "1: token_file is a list: write a text");
    must_refuse("limits: {runs: 0}\n",
                "1: limits.runs is \"0\": write a whole number from 1 to 1024");
    must_refuse("limits: {runs: 1025}\n",
                "1: limits.runs is \"1025\": write a whole number from 1 to 1024");
    must_refuse("limits: {connections: 4097}\n",
                "1: limits.connections is \"4097\": write a whole number from 1 to 4096");
    must_refuse("limits: {run_bytes: 64M}\n",
                "1: limits.run_bytes is \"64M\": write a whole number from 1048576 to "
                "1099511627776");
    must_refuse("limits: {idle_seconds: 59}\n",
                "1: limits.idle_seconds is \"59\": write a whole number from 60 to 2592000");
    must_refuse("tensorboard_url: tb\n",
                "1: tensorboard_url is \"tb\": write http://HOST... or https://HOST... in ASCII");
}

static void a_file_is_read_from_the_disk(void **state)
{
    struct config config;
    FILE *file = fopen(folder_file("c.yaml"), "w");

    (void)state;
    assert_non_null(file);
    assert_true(fputs("limits: {runs: 7}\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    config_text_begin(state);
    config_line.file = folder_file("c.yaml");
    assert_true(config_read(&config_line, &config, config_problem));
    assert_int_equal(config.ceilings.runs, 7);
    config_free(&config);
    config_free(&config);
    config_line.file = "/no/such/file";
    assert_false(config_read(&config_line, &config, config_problem));
    assert_non_null(strstr(config_problem, "cannot read /no/such/file: No such file"));
}

/* ---- the example */

static char *example(size_t *length)
{
    enum { MAX = 64 << 10 };
    FILE *file = fopen(example_path, "r");
    char *text = malloc(MAX);

    assert_non_null(text);
    if (!file)
        print_error("%s is not there: start the test in the repository's root\n", example_path);
    assert_non_null(file);
    *length = fread(text, 1, MAX - 1, file);
    assert_in_range(*length, 1000, MAX - 2);
    text[*length] = '\0';
    assert_int_equal(fclose(file), 0);
    return text;
}

/* True when the map, or a map within it, has this key below the key of its section. */
static bool stands_in(const struct yaml_node *node, const char *above, const char *section,
                      const char *name)
{
    bool found = false;

    for (size_t i = 0; node->kind == YAML_IS_MAP && i < node->count && !found; i += 2) {
        const char *key = node->items[i]->text;

        found = (strcmp(above, section) == 0 && strcmp(key, name) == 0) ||
                stands_in(node->items[i + 1], key, section, name);
    }
    for (size_t i = 0; node->kind == YAML_IS_LIST && i < node->count && !found; i++)
        found = stands_in(node->items[i], above, section, name);
    return found;
}

static void must_stand(const struct yaml_node *root, const char *section, const char *name)
{
    bool found = stands_in(root, "", section, name);

    if (!found)
        print_error("%s lacks the key \"%s\" below \"%s\"\n", example_path, name, section);
    assert_true(found);
}

static void the_example_has_every_key(void **state)
{
    struct yaml_file *file = yaml_file_read(example_path, config_problem);
    const struct yaml_node *root;

    (void)state;
    assert_non_null(file);
    root = yaml_file_root(file);
    assert_true(config_key_count > 20);
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];

        if (strcmp(key->section, "detector") != 0)
            must_stand(root, key->section, key->name);
    }
    must_stand(root, "gradient_vanishing", "hold");
    must_stand(root, "gradient_vanishing", "ignore");
    for (size_t k = 0; k < limit_key_count; k++)
        must_stand(root, limit_keys[k].detector, limit_keys[k].key);
    assert_false(stands_in(root, "", "limits", "logdir"));
    yaml_file_free(file);
}

static void the_example_is_read_and_its_defaults_are_the_defaults(void **state)
{
    size_t length;
    char *text = example(&length), *layers = strstr(text, "\nlayers:");
    struct model model = {0};
    struct rules rules = {0};
    const struct config *config = reads(text);
    const struct ceilings defaults = CEILINGS_DEFAULT;

    (void)state;
    assert_memory_equal(&config->ceilings, &defaults, sizeof defaults);
    assert_string_equal(config->logdir, "./runs");
    assert_int_equal(config->sink_count, 2);
    assert_non_null(layers);
    *layers = '\0';
    config = reads(text);
    rules_set_base(&rules, &config->rules);
    assert_true(model_init(&model));
    assert_true(rules_resolve(&rules, &model));
    assert_memory_equal(rules_limits(&rules, DETECT_MODEL), &limits_default, sizeof limits_default);
    rules_free(&rules);
    model_clear(&model);
    free(text);
}

/* ---- what is no configuration must be no crash */

static void mutate(char *text, size_t *length, uint64_t *random)
{
    static const char *const pieces[] = {"*a",  "&a ", "- ",  ": ",   "\n",    "{",   "}",
                                         "[",   "]",   "!!x", "\t",   "\"",    "'",   "|\n",
                                         "---", "<<",  "~",   "\xff", "1e999", "\\0", "? "};
    size_t at = random_below(random, *length), n = random_below(random, 40);

    switch (random_below(random, 4)) {
    case 0:
        text[at] = (char)random_next(random);
        break;
    case 1: /* leave a part out */
        n = at + n > *length ? *length - at : n;
        memmove(text + at, text + at + n, *length - at - n);
        *length -= n;
        break;
    case 2: { /* put something in */
        const char *piece = pieces[random_below(random, sizeof pieces / sizeof *pieces)];

        memmove(text + at + strlen(piece), text + at, *length - at);
        memcpy(text + at, piece, strlen(piece));
        *length += strlen(piece);
        break;
    }
    default: /* say a part again */
        n = at + n > *length ? *length - at : n;
        memmove(text + at + n, text + at, *length - at);
        *length += n;
    }
    if (*length == 0)
        text[(*length)++] = ' ';
}

static void mutated_files_are_read_or_refused_with_a_line(void **state)
{
    enum { FILES = 3000, MUTATIONS_MAX = 6, ROOM = 256 };
    size_t length, refused = 0;
    char *text = example(&length), *mutant = malloc(length + ROOM);
    uint64_t random = 7;

    (void)state;
    assert_non_null(mutant);
    for (int i = 0; i < FILES; i++) {
        size_t n = length, mutations = 1 + random_below(&random, MUTATIONS_MAX);
        struct config config;

        memcpy(mutant, text, n);
        for (size_t m = 0; m < mutations; m++)
            mutate(mutant, &n, &random);
        if (config_read_text(&config_line, mutant, n, &config, config_problem)) {
            config_free(&config);
            continue;
        }
        refused++;
        assert_memory_equal(config_problem, "f:", 2);
        assert_in_range(strtoul(config_problem + 2, NULL, 10), 1, n + 1);
        assert_non_null(strstr(config_problem, ": "));
    }
    assert_in_range(refused, FILES / 4, FILES - FILES / 50); /* both sorts were there */
    free(mutant);
    free(text);
}

static void every_beginning_of_the_example_is_read_or_refused(void **state)
{
    size_t length, read = 0;
    char *text = example(&length);

    (void)state;
    for (size_t n = 0; n <= length; n++) {
        struct config config;

        if (config_read_text(&config_line, text, n, &config, config_problem)) {
            config_free(&config);
            read++;
        }
    }
    assert_in_range(read, 10, length - 10);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        config_test(an_empty_file_changes_nothing),
        config_test(every_key_of_the_daemon_is_heard),
        config_test(every_limit_has_its_range),
        config_test(the_command_line_wins),
        config_test(wrong_values_are_named_with_their_line),
        cmocka_unit_test_setup_teardown(a_file_is_read_from_the_disk, folder_make, folder_remove),
        config_test(the_example_has_every_key),
        config_test(the_example_is_read_and_its_defaults_are_the_defaults),
        config_test(mutated_files_are_read_or_refused_with_a_line),
        config_test(every_beginning_of_the_example_is_read_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
