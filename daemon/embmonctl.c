/* embmonctl: asks a running embmond what it knows, for people and for scripts. */
#include <jansson.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "daemon/ctl_ask.h"
#include "daemon/ctl_silent.h"
#include "daemon/ctl_table.h"
#include "daemon/ctl_terminal.h"
#include "daemon/ctl_text.h"
#include "daemon/ctl_watch.h"
#include "daemon/json.h"
#include "daemon/options.h"
#include "embmon/embmon.h"

enum {
    KEY_JSON = 1,
    KEY_ADDRESS,
    KEY_TOKEN_FILE,
    KEY_LONG,
    KEY_FIRING,
    KEY_FAIL_ON,
    KEY_VERSION,
    KEY_HELP
};
enum { EXIT_ALERT = 1 };

static const struct option_row rows[] = {
    {0, "json", false, KEY_JSON},
    {0, "address", true, KEY_ADDRESS},
    {0, "token-file", true, KEY_TOKEN_FILE},
    {0, "long", false, KEY_LONG},
    {0, "firing", false, KEY_FIRING},
    {0, "fail-on", true, KEY_FAIL_ON},
    {0, "version", false, KEY_VERSION},
    {'h', "help", false, KEY_HELP},
};

static const char help[] =
    "usage: embmonctl [--json] [--address ADDR] status\n"
    "       embmonctl [--json] [--address ADDR] runs\n"
    "       embmonctl [--json] [--address ADDR] layers [--long] [RUN]\n"
    "       embmonctl [--json] [--address ADDR] alerts [--firing] [--fail-on SEVERITY] [RUN]\n"
    "       embmonctl [--json] [--address ADDR] watch [RUN]\n"
    "\n"
    "Asks a running embmond. RUN is a run's name as `embmonctl runs` gives it; layers needs none\n"
    "while one run is loaded, watch none while one is live.\n"
    "watch shows a run as it goes on, until q; where stdout is no terminal, a line for each "
    "change\n"
    "of an alert.\n"
    "\n"
    "      --json              one JSON object a line\n"
    "      --address ADDR      unix:PATH or tcp:HOST:PORT (default: $EMBMON_ADDRESS, else the\n"
    "                          default addresses)\n"
    "      --token-file FILE   what embmond's --token-file holds, for tcp (default:\n"
    "                          $EMBMON_TOKEN_FILE)\n"
    "      --long              below the layers which detectors cannot tell about them, and why\n"
    "      --firing            only the alerts that fire now\n"
    "      --fail-on SEVERITY  exit with 1 when an alert of info, warning or critical severity,\n"
    "                          or above, ever fired\n"
    "      --version           print the version and exit\n"
    "  -h, --help              print this text and exit\n"
    "\n"
    "Exit status: 0 fine, 1 see --fail-on, 64 usage or unknown run, 69 no daemon answers.\n";

struct request {
    struct msg_query query;
    struct address addresses[ADDRESS_DEFAULTS_MAX];
    size_t address_count;
    const char *address, *token_file; /* as given, or NULL */
    struct token token;
    bool json, in_full;
    uint32_t fail_on; /* enum embmon_severity, 0: none */
};

static int usage(const char *what, const char *detail)
{
    fprintf(stderr, "embmonctl: %s%s; see embmonctl --help\n", what, detail);
    return EX_USAGE;
}

static uint32_t severity_value(const char *name)
{
    for (uint32_t s = EMBMON_INFO; s <= EMBMON_CRITICAL; s++)
        if (strcmp(name, severity_name(s)) == 0)
            return s;
    return 0;
}

/* ---- the command line. Each returns -1 to go on, or an exit status. */

static int take_operand(struct request *r, const char *value)
{
    static const char *const names[] = {"status", "runs", "layers", "alerts", "watch"};

    if (r->query.name) {
        bool may = strcmp(r->query.name, "status") != 0 && strcmp(r->query.name, "runs") != 0;
        if (!may || *r->query.run)
            return usage("unexpected argument ", value);
        r->query.run = value;
        return -1;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(value, names[i]) == 0)
            r->query.name = names[i];
    return r->query.name ? -1 : usage("unknown command ", value);
}

static int take_option(struct request *r, int key, const char *value, const char *problem)
{
    switch (key) {
    case KEY_JSON:
        r->json = true;
        return -1;
    case KEY_ADDRESS:
        r->address = value;
        return -1;
    case KEY_TOKEN_FILE:
        r->token_file = value;
        return -1;
    case KEY_LONG:
        r->in_full = true;
        return -1;
    case KEY_FIRING:
        r->query.firing = true;
        return -1;
    case KEY_FAIL_ON:
        r->fail_on = severity_value(value);
        return r->fail_on ? -1 : usage("--fail-on must be info, warning or critical, not ", value);
    case KEY_VERSION:
        printf("embmonctl %s\n", EMBMON_VERSION);
        return 0;
    case KEY_HELP:
        fputs(help, stdout);
        return 0;
    default:
        return usage(problem, "");
    }
}

/* For tcp alone: a file that is not needed need not be there. */
static int read_token(struct request *r)
{
    const char *path = r->token_file ? r->token_file : getenv("EMBMON_TOKEN_FILE");
    bool tcp = address_is_tcp(&r->addresses[0]);
    const char *wrong = tcp && path && *path ? token_read(&r->token, path) : NULL;

    if (!wrong)
        return -1;
    fprintf(stderr, "embmonctl: the token file %s: %s\n", path, wrong);
    return EX_USAGE;
}

static int find_addresses(struct request *r)
{
    const char *given = r->address ? r->address : getenv("EMBMON_ADDRESS");

    if (!given || !*given) {
        r->address_count = address_defaults(r->addresses);
        return -1;
    }
    const char *wrong = address_parse(given, &r->addresses[0]);
    if (wrong) {
        fprintf(stderr, "embmonctl: %s: %s\n", given, wrong);
        return EX_USAGE;
    }
    r->address_count = 1;
    return read_token(r);
}

static int parse(int argc, char **argv, struct request *r)
{
    char problem[OPTIONS_PROBLEM_MAX];
    struct options options;
    const char *value;
    bool dashes;
    int key, status = -1;

    r->query.run = "";
    options_start(&options, argc, argv);
    while (status < 0 && (key = options_next(&options, rows, sizeof rows / sizeof rows[0], &value,
                                             &dashes, problem)) != OPTIONS_DONE)
        status =
            key == OPTIONS_OPERAND ? take_operand(r, value) : take_option(r, key, value, problem);
    for (; status < 0 && options.next < argc; options.next++)
        status = take_operand(r, argv[options.next]);
    if (status >= 0)
        return status;
    if (!r->query.name)
        return usage("a command is missing", "");
    if ((r->fail_on || r->query.firing) && strcmp(r->query.name, "alerts") != 0)
        return usage("--firing and --fail-on go with alerts", "");
    if (r->in_full && strcmp(r->query.name, "layers") != 0)
        return usage("--long goes with layers", "");
    return find_addresses(r);
}

/* ---- the answer */

/* The objects of the answer's lines; NULL when they are not JSON. */
static json_t *parse_lines(const char *text)
{
    json_t *objects = json_array();

    while (objects && *text) {
        size_t n = strcspn(text, "\n");
        json_t *object = json_loadb(text, n, 0, NULL);
        if (!object || json_array_append_new(objects, object) != 0) {
            json_decref(objects);
            return NULL;
        }
        text += n + (text[n] == '\n');
    }
    return objects;
}

static void print_lines(json_t *objects)
{
    size_t index;
    json_t *object;

    json_array_foreach(objects, index, object)
    {
        char *line = json_line(object);
        if (line)
            puts(line);
        free(line);
    }
}

static bool fails_on(json_t *objects, uint32_t severity)
{
    size_t index;
    json_t *object;

    json_array_foreach(objects, index, object)
    {
        const char *name = json_string_value(json_object_get(object, "fired_severity"));
        if (name && *name && severity_value(name) >= severity)
            return true;
    }
    return false;
}

/* --fail-on is about all alerts that ever fired, --firing about what is shown. */
static void keep_firing(json_t *objects)
{
    for (size_t i = json_array_size(objects); i-- > 0;) {
        const char *state = json_string_value(json_object_get(json_array_get(objects, i), "state"));
        if (!state || strcmp(state, "firing") != 0)
            json_array_remove(objects, i);
    }
}

/* How many are silent is in the table; which, and why, is too long for it. */
static bool show_silent(const struct request *r, json_t *layers)
{
    struct screen_look look = terminal_look(NULL);

    if (r->in_full)
        return ctl_silent_print(stdout, layers, look.columns, look.utf8);
    puts("\nSILENT: how many detectors cannot tell; --long says which, and why");
    return true;
}

static bool show_table(const struct request *r, json_t *objects)
{
    ctl_table_print(stdout, r->query.name, objects);
    return strcmp(r->query.name, "layers") != 0 || json_array_size(objects) == 0 ||
           show_silent(r, objects);
}

static int show(const struct request *r, const struct address *address, const char *text)
{
    json_t *objects = parse_lines(text);
    char own[ADDRESS_TEXT_MAX];
    int status = 0;

    if (!objects) {
        fprintf(stderr, "embmonctl: %s: the answer is not JSON\n", address_text(address, own));
        return EX_UNAVAILABLE;
    }
    /* The daemon need not know by which of its names it was reached. */
    if (strcmp(r->query.name, "status") == 0)
        json_object_set_new(json_array_get(objects, 0), "address",
                            json_string(address_text(address, own)));
    if (r->fail_on && fails_on(objects, r->fail_on))
        status = EXIT_ALERT;
    if (r->query.firing)
        keep_firing(objects);
    if (r->json)
        print_lines(objects);
    else if (!show_table(r, objects))
        status = EX_OSERR;
    json_decref(objects);
    return fflush(stdout) == 0 ? status : EX_IOERR;
}

static int ask(const struct request *r)
{
    char problem[CTL_PROBLEM_MAX] = "";
    struct msg_query query = r->query;
    struct ctl_answer answer;
    char why[CTL_PROBLEM_MAX];
    size_t by;
    int status;

    query.firing = query.firing && !r->fail_on; /* see keep_firing() */
    if (ctl_ask_any(r->addresses, r->address_count, &r->token, &query, &answer, &by, problem) !=
        0) {
        fprintf(stderr, "embmonctl: %s\n", problem);
        return EX_UNAVAILABLE;
    }
    status = (int)answer.status;
    if (status == 0)
        status = show(r, &r->addresses[by], answer.text);
    else
        fprintf(stderr, "embmonctl: %s\n", text_plain(why, sizeof why, answer.text));
    ctl_answer_free(&answer);
    return status;
}

int main(int argc, char **argv)
{
    struct request request = {0};
    int status = parse(argc, argv, &request);

    (void)setlocale(LC_CTYPE, ""); /* which characters the terminal shows, and how wide */
    if (status >= 0)
        return status;
    if (strcmp(request.query.name, "watch") != 0)
        return ask(&request);
    return ctl_watch(&(struct ctl_watch){.addresses = request.addresses,
                                         .address_count = request.address_count,
                                         .token = &request.token,
                                         .run = request.query.run,
                                         .json = request.json});
}
