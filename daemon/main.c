/* embmond: from the command line to the server, and what it made back to an exit status. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "daemon/command.h"
#include "daemon/config.h"
#include "daemon/config_file.h"
#include "daemon/file_system.h"
#include "daemon/log.h"
#include "daemon/memory.h"
#include "daemon/places.h"
#include "daemon/registry.h"
#include "daemon/report.h"
#include "daemon/server.h"
#include "daemon/sink_files.h"
#include "daemon/supervisor.h"
#include "embmon/embmon.h"

_Static_assert((int)CONFIG_LISTEN_MAX <= (int)SERVER_LISTENERS_MAX, "each address has a listener");

enum { FILES_WANTED = 10240 }; /* connections, and a few files per run */

struct daemon {
    struct config line;   /* what the command line said */
    struct config config; /* with what the file says */
    struct command_signals signals;
    struct places places;
    char *logdir; /* owned: absolute */
    struct command command;
    struct registry *registry; /* owned */
    struct supervisor supervisor;
};

/* Makes the folder with its parents. */
static int make_folders(const char *path)
{
    char *copy = strdup(path);
    int result = copy ? 0 : -1;

    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(copy, 0777); /* the last one tells whether all are there */
        *slash = '/';
    }
    if (copy && mkdir(copy, 0777) != 0 && errno != EEXIST)
        result = -1;
    int error = errno;
    free(copy);
    errno = error;
    return result;
}

static int open_logdir(struct daemon *d)
{
    const char *logdir = d->config.logdir;
    struct stat st;

    if (make_folders(logdir) == 0 && (d->logdir = realpath(logdir, NULL)) != NULL &&
        stat(d->logdir, &st) == 0 && !S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
    } else if (d->logdir && faccessat(AT_FDCWD, d->logdir, W_OK | X_OK, AT_EACCESS) == 0) {
        if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
            log_warn("every user may change what is in the logdir %s: chmod o-w it", logdir);
        file_system_say(d->logdir);
        return 0;
    }
    log_error("cannot write to the logdir %s: %s: give --logdir a folder you may write", logdir,
              strerror(errno));
    return EX_CANTCREAT;
}

static int open_places(struct daemon *d)
{
    char problem[LISTEN_PROBLEM_MAX];
    int status = places_open(&d->places, &d->config, d->supervisor.listeners, problem);

    if (status != 0)
        log_error("%s", problem);
    else
        places_say(&d->places, d->logdir);
    return status;
}

/* COMMAND may change its folder: what it is given does not depend on it. */
static void tell_token_file(const char *path)
{
    char *absolute = realpath(path, NULL);

    if (absolute)
        (void)setenv("EMBMON_TOKEN_FILE", absolute, 1);
    free(absolute);
}

/* Alerts stand in the log: a trainer whose standard error is the same need not say them again. */
static void tell_log(const struct config *config, const char *address)
{
    char where[PLACES_TEXT_MAX + 64];
    struct stat st;

    (void)unsetenv("EMBMON_LOG_STREAM"); /* of an embmond around this one */
    if (config->level < LOG_LEVEL_WARN || fstat(STDERR_FILENO, &st) != 0)
        return;
    (void)snprintf(where, sizeof where, "%ju:%ju %s", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino,
                   address);
    (void)setenv("EMBMON_LOG_STREAM", where, 1);
}

static int start_command(struct daemon *d)
{
    char address[PLACES_TEXT_MAX], run[NAME_PART_MAX + 1], problem[COMMAND_PROBLEM_MAX];

    if (!d->config.command)
        return 0;
    places_for_command(&d->places, address);
    tell_log(&d->config, address);
    if (d->config.token_file)
        tell_token_file(d->config.token_file);
    command_run_name(run, d->config.command[0], time(NULL));
    int status = command_start(&d->command, d->config.command, address, run, &d->signals, problem);
    if (status != 0)
        log_error("%s", problem);
    return status;
}

/* After the command has started: its own limits are not changed. Returns how many files may be
 * open; 0: it is not known. */
static uint64_t raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    if (limit.rlim_cur < FILES_WANTED) {
        limit.rlim_cur = limit.rlim_max < FILES_WANTED ? limit.rlim_max : FILES_WANTED;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur;
}

/* Sockets and open files stay where they are: next is given the places of now. */
static void keep_places(struct config *now, struct config *next)
{
    char *logdir = next->logdir_of_file;
    bool moved = next->listen_count != now->listen_count;

    for (size_t i = 0; i < now->listen_count && !moved; i++)
        moved = !address_equal(&now->listen[i], &next->listen[i]);
    if (moved)
        log_warn("%s: its listen takes effect when embmond is started again", next->file);
    if (strcmp(now->logdir, next->logdir) != 0)
        log_warn("%s: its logdir takes effect when embmond is started again", next->file);
    memcpy(next->listen, now->listen, sizeof next->listen);
    next->listen_count = now->listen_count;
    next->logdir = now->logdir;
    next->logdir_of_file = now->logdir_of_file;
    now->logdir_of_file = logdir;
}

static void configure(struct daemon *d)
{
    log_configure(d->config.level, d->config.log_json);
    registry_configure(d->registry, &d->config.ceilings, &d->config.rules);
}

/* The sinks that are the same go on, with what they are owed. */
static bool change_sinks(struct daemon *d, const struct config *next,
                         char problem[SINKS_PROBLEM_MAX])
{
    return sinks_check(next->sinks, next->sink_count, problem) == 0 &&
           registry_configure_sinks(d->registry, next->sinks, next->sink_count,
                                    next->tensorboard_url, problem);
}

/* What may change at SIGHUP and can be wrong; whoever is connected stays. False: a problem, and
 * nothing is changed. */
static bool change(struct daemon *d, const struct config *next, char problem[CONFIG_PROBLEM_MAX])
{
    struct token token;
    bool fine =
        places_token(next, d->config.listen, d->config.listen_count, &token, problem) == 0 &&
        change_sinks(d, next, problem);

    if (fine)
        d->places.token = token;
    token_forget(&token);
    return fine;
}

/* SIGHUP without a configuration file. */
static void reload_token(struct daemon *d)
{
    char problem[LISTEN_PROBLEM_MAX];
    struct token token;

    if (!d->config.token_file) {
        log_info("SIGHUP: there is no configuration file to read again");
    } else if (places_token(&d->config, d->config.listen, d->config.listen_count, &token,
                            problem) != 0) {
        log_error("%s; the old token is kept", problem);
    } else {
        d->places.token = token;
        log_info("SIGHUP: %s was read again", d->config.token_file);
    }
    token_forget(&token);
}

/* SIGHUP. */
static void reload(void *context)
{
    struct daemon *d = context;
    char problem[CONFIG_PROBLEM_MAX];
    struct config next;

    if (!d->line.file) {
        reload_token(d);
    } else if (!config_read(&d->line, &next, problem)) {
        log_error("%s; the old configuration is kept", problem);
    } else if (!change(d, &next, problem)) {
        log_error("%s; the old configuration is kept", problem);
        config_free(&next);
    } else {
        keep_places(&d->config, &next);
        config_free(&d->config);
        d->config = next;
        configure(d);
        log_info("SIGHUP: %s was read again", d->line.file);
    }
}

/* More connections and runs than there are files for are turned away: that is to be known. */
static void count_files(struct daemon *d)
{
    const struct ceilings *most = &d->config.ceilings;
    uint64_t files = raise_file_limit();

    registry_usage(d->registry)->files = files;
    if (files && files < FILES_OWN + most->connections + FILES_RUN * most->runs +
                             sink_files_all(d->config.sinks, d->config.sink_count, 0))
        log_warn(
            "only %llu files may be open (ulimit -n): too few for all the connections and runs "
            "that the limits allow, and the sinks",
            (unsigned long long)files);
}

static int serve(struct daemon *d)
{
    d->registry = registry_new(d->logdir, moment_now());
    if (!d->registry) {
        log_error("out of memory");
        return EX_OSERR;
    }
    count_files(d);
    configure(d);
    struct server_options options = {
        .listeners = d->places.listeners,
        .listener_count = d->places.count,
        .registry = d->registry,
        .sinks = d->config.sinks,
        .sink_count = d->config.sink_count,
        .tensorboard_url = d->config.tensorboard_url,
        .ceilings = &d->config.ceilings,
        .token = &d->places.token,
        .reload = reload,
        .context = d,
        .command = d->config.command ? &d->command : NULL,
        .signals = &d->signals,
        .supervisor = &d->supervisor,
    };
    int status = server_run(&options);
    if (status != 0)
        return status;
    registry_tick(d->registry, moment_now());
    if (d->config.command) {
        report_print(stderr, d->registry);
        status = command_exit_status(&d->command);
    }
    registry_free(d->registry, moment_now());
    return status;
}

static int run(struct daemon *d)
{
    int status;

    if ((status = open_logdir(d)) == 0 && (status = open_places(d)) == 0 &&
        (status = start_command(d)) == 0)
        status = serve(d);
    places_close(&d->places);
    free(d->logdir);
    return status;
}

/* A socket must not become what somebody writes to as his stdout. */
static bool open_standard_files(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* 0, or an exit status and one line on stderr. */
static int load_config(struct daemon *d)
{
    char problem[CONFIG_PROBLEM_MAX];

    int status = EX_CONFIG;

    d->config = d->line;
    if (!d->line.file)
        return 0;
    /* The sinks before anything is started: a training is not to run for hours with alerts that go
     * nowhere. A file that is only tested may be for another machine. */
    if (config_read(&d->line, &d->config, problem))
        status =
            d->config.test_only ? 0 : sinks_check(d->config.sinks, d->config.sink_count, problem);
    if (status != 0)
        fprintf(stderr, "embmond: %s\n", problem);
    return status;
}

static int test(struct daemon *d)
{
    const struct config *config = &d->config;
    char problem[LISTEN_PROBLEM_MAX];
    int status =
        places_token(config, config->listen, config->listen_count, &d->places.token, problem);

    if (status != 0) {
        fprintf(stderr, "embmond: %s\n", problem);
        return status;
    }
    printf("embmond: the options are fine%s%s\n", config->file ? ", and so is " : "",
           config->file ? config->file : "");
    return fflush(stdout) != 0 ? EX_IOERR : 0;
}

int main(int argc, char **argv)
{
    static struct daemon d;
    char problem[CONFIG_PROBLEM_MAX];
    int status;

    if (!open_standard_files()) {
        fprintf(stderr, "embmond: error: cannot open /dev/null: %s\n", strerror(errno));
        return EX_OSERR;
    }
    switch (config_parse(argc, argv, &d.line, problem)) {
    case CONFIG_HELP:
        return fputs(config_help(), stdout) < 0 || fflush(stdout) != 0 ? EX_IOERR : 0;
    case CONFIG_VERSION:
        return printf("embmond %s\n", EMBMON_VERSION) < 0 || fflush(stdout) != 0 ? EX_IOERR : 0;
    case CONFIG_USAGE:
        fprintf(stderr, "embmond: %s; see embmond --help\n", problem);
        return EX_USAGE;
    case CONFIG_OK:
        break;
    }
    status = load_config(&d);
    if (status == 0 && d.config.test_only) {
        status = test(&d);
    } else if (status == 0) {
        memory_tune();
        command_signals_hold(&d.signals);
        log_configure(d.config.level, d.config.log_json);
        supervisor_open(&d.supervisor);
        status = run(&d);
        supervisor_close(&d.supervisor);
    }
    config_free(&d.config);
    return status;
}
