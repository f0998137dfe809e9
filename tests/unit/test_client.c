#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "embmon/embmon.h"
#include "tests/unit/fake_daemon.h"

struct lines {
    _Atomic int count;
};

static void count_lines(void *context, const char *line)
{
    struct lines *lines = context;

    (void)line;
    lines->count++;
}

static struct embmon_client *open_client(const char *address, struct lines *lines)
{
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_client *client;

    options.address = address;
    options.run = "run";
    options.log = count_lines;
    options.log_context = lines;
    assert_int_equal(embmon_open(&options, &client), 0);
    return client;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int declare(struct embmon_client *client)
{
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;

    info.path = "layer";
    return embmon_layer(client, &info);
}

static struct embmon_client_stats stats_of(struct embmon_client *client)
{
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;

    assert_int_equal(embmon_stats(client, &stats), 0);
    assert_int_equal(stats.produced,
                     stats.acked + stats.rejected + stats.dropped + stats.in_flight);
    return stats;
}

static void post_scalars(struct embmon_client *client, int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(embmon_post_scalar(client, "loss", i, 1), 1);
}

static void options_out_of_range_are_refused(void **state)
{
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_client *client = NULL;
    char path[130] = "unix:/";

    (void)state;
    options.rank = 1;
    assert_int_equal(embmon_open(&options, &client), EMBMON_EINVAL);
    options.world_size = 1025;
    assert_int_equal(embmon_open(&options, &client), EMBMON_EINVAL);
    options.rank = 0, options.world_size = 1;
    options.buckets = EMBMON_BUCKETS_SAMPLED + 1;
    assert_int_equal(embmon_open(&options, &client), EMBMON_EINVAL);
    options.buckets = EMBMON_BUCKETS_EXACT;
    for (double share = 1.5; share > -1; share -= 2) {
        options.overhead = share;
        assert_int_equal(embmon_open(&options, &client), EMBMON_EINVAL);
    }
    options.overhead = 0;
    options.address = "tcp:localhost";
    assert_int_equal(embmon_open(&options, &client), EMBMON_EADDRESS);
    options.address = "tcp:localhost:1";
    options.token_file = "/nowhere";
    assert_int_equal(embmon_open(&options, &client), EMBMON_ETOKEN);
    memset(path + 6, 'a', 107);
    options.address = path;
    assert_int_equal(embmon_open(&options, &client), EMBMON_EADDRESS);
    options.address = "unix:/nowhere";
    options.run = "../x";
    assert_int_equal(embmon_open(&options, &client), EMBMON_ENAME);
    options.size = 0;
    assert_int_equal(embmon_open(&options, &client), EMBMON_EINVAL);
    assert_null(client);
    assert_int_equal(embmon_close(NULL, 1000), 0);
}

static void every_error_has_a_sentence(void **state)
{
    (void)state;
    for (int error = -11; error < 0; error++)
        assert_true(strlen(embmon_strerror(error)) > 10);
    assert_string_equal(embmon_strerror(EMBMON_ENOMEM), "out of memory");
    assert_string_equal(embmon_strerror(0), "no error");
    assert_non_null(embmon_strerror(-99));
    assert_string_equal(embmon_version(), EMBMON_VERSION);
}

static void what_is_posted_is_delivered_by_close(void **state)
{
    struct fake *fake = fake_new();
    struct lines lines = {0};
    struct embmon_client *client;
    struct message m;
    char run[4];
    int64_t next_step = -1, start;

    (void)state;
    fake_listen(fake);
    client = open_client(fake->address, &lines);
    assert_int_equal(embmon_run(client, run, sizeof run, NULL), 0);
    fake_greet(fake, 0, 1);
    post_scalars(client, 3);
    for (int i = 0; i < 3; i++)
        fake_expect(fake, FRAME_SCALAR, &m);
    assert_int_equal(embmon_run(client, run, sizeof run, &next_step), 1);
    assert_string_equal(run, "run");
    assert_int_equal(embmon_run(client, run, 3, NULL), 1);
    assert_string_equal(run, "ru");
    assert_int_equal(next_step, 0);
    assert_int_equal(stats_of(client).connected, 1);
    assert_int_equal(stats_of(client).in_flight, 3);
    fake_nack(fake, 1, NACK_LATE);
    fake_ack(fake, 3);
    start = now_ms();
    assert_int_equal(embmon_close(client, 5000), 0);
    assert_true(now_ms() - start < 1000); /* it does not wait for what is done */
    fake_expect(fake, FRAME_BYE, &m);
    assert_int_equal(m.bye.undelivered, 0);
    assert_false(fake_next(fake, &m, 1000));
    assert_int_equal(lines.count, 0);
    fake_free(fake);
}

static void without_a_daemon_there_is_one_line_and_no_wait_at_close(void **state)
{
    struct fake *fake = fake_new();
    struct lines lines = {0};
    struct embmon_client *client = open_client(fake->address, &lines);
    int64_t start;

    (void)state;
    post_scalars(client, 7);
    while (lines.count == 0)
        usleep(1000);
    assert_int_equal(stats_of(client).connected, 0);
    assert_int_equal(stats_of(client).produced, 7);
    start = now_ms();
    assert_int_equal(embmon_close(client, 10000), 7);
    assert_true(now_ms() - start < 2000);
    assert_int_equal(lines.count, 1);
    fake_free(fake);
}

/* The peer took the connection and then says nothing: as a daemon that was stopped. */
static void close_keeps_its_time_whatever_the_daemon_does(void **state)
{
    struct fake *fake = fake_new();
    struct lines lines = {0};
    struct embmon_client *client;
    int64_t start, took;

    (void)state;
    fake_listen(fake);
    client = open_client(fake->address, &lines);
    fake_greet(fake, 0, 1);
    for (int i = 0; i < 500; i++) {
        post_scalars(client, 100);
        usleep(100);
    }
    start = now_ms();
    assert_true(embmon_close(client, 300) > 0);
    took = now_ms() - start;
    assert_in_range(took, 300, 300 + 100 + 100); /* and a slow machine */
    fake_free(fake);
}

__attribute__((noreturn)) static void block(void *context, const char *line)
{
    (void)context;
    (void)line;
    for (;;)
        pause();
}

static void close_returns_though_the_log_callback_does_not(void **state)
{
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_client *client;
    int64_t start = now_ms();

    (void)state;
    options.address = "unix:/nowhere";
    options.run = "run";
    options.log = block;
    assert_int_equal(embmon_open(&options, &client), 0);
    post_scalars(client, 1);
    assert_int_equal(embmon_close(client, 100), 1);
    assert_true(now_ms() - start < 1000);
}

static void a_reconnect_replays_without_duplicates_or_gaps(void **state)
{
    struct fake *fake = fake_new();
    struct lines lines = {0};
    struct embmon_client *client;
    struct message m;
    uint64_t kept = 0;

    (void)state;
    fake_listen(fake);
    client = open_client(fake->address, &lines);
    for (int connection = 0; connection < 4; connection++) {
        fake_greet(fake, kept, 1);
        post_scalars(client, 50);
        for (int i = 0; i < 30; i++) {
            fake_expect(fake, FRAME_SCALAR, &m);
            assert_int_equal(m.scalar.sequence, ++kept);
        }
        if (connection < 3)
            fake_hang_up(fake);
    }
    while (kept < 200) {
        fake_expect(fake, FRAME_SCALAR, &m);
        assert_int_equal(m.scalar.sequence, ++kept);
    }
    fake_ack(fake, 200);
    assert_int_equal(embmon_close(client, 5000), 0);
    fake_free(fake);
}

static void with_resume_open_waits_for_the_next_step(void **state)
{
    struct fake *fake = fake_new();
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct lines lines = {0};
    struct embmon_client *client;
    int64_t start = now_ms();

    (void)state;
    options.address = fake->address;
    options.run = "run";
    options.resume = 1;
    options.log = count_lines;
    options.log_context = &lines;
    assert_int_equal(embmon_open(&options, &client), 0);
    assert_in_range(now_ms() - start, 2000, 3000);
    assert_int_equal(embmon_run(client, NULL, 0, NULL), 0);
    embmon_close(client, 0);
    fake_free(fake);
}

static int exit_of(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static int child_finds_it_inert(struct embmon_client *client, int files)
{
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;
    struct embmon_notice notice = EMBMON_NOTICE_INIT;
    const float one = 1;

    if (open_files() != files - 1) /* the copy of the socket is closed */
        return 1;
    if (embmon_post(client, 0, EMBMON_GRADIENT, 0, &one, 1, EMBMON_F32) != EMBMON_ECLOSED ||
        embmon_post_scalar(client, "loss", 0, 1) != EMBMON_ECLOSED ||
        embmon_step(client, 0) != EMBMON_ECLOSED || embmon_epoch(client, 0) != EMBMON_ECLOSED ||
        embmon_phase(client, EMBMON_TRAIN) != EMBMON_ECLOSED ||
        embmon_wanted(client, 0, EMBMON_GRADIENT) != EMBMON_ECLOSED ||
        embmon_threshold(client, "gradient_spike", "*", "layer", 9) != EMBMON_ECLOSED ||
        embmon_ignore(client, "gradient_spike", "*") != EMBMON_ECLOSED ||
        embmon_run(client, NULL, 0, NULL) != EMBMON_ECLOSED ||
        embmon_notice(client, &notice) != EMBMON_ECLOSED ||
        embmon_stats(client, &stats) != EMBMON_ECLOSED || declare(client) != EMBMON_ECLOSED)
        return 2;
    return embmon_close(client, 5000) == 0 ? 0 : 3;
}

static void a_forked_child_is_inert_and_the_parent_goes_on(void **state)
{
    struct fake *fake = fake_new();
    struct lines lines = {0};
    struct embmon_client *client;
    struct message m;
    pid_t child;
    int files;

    (void)state;
    fake_listen(fake);
    client = open_client(fake->address, &lines);
    fake_greet(fake, 0, 1);
    assert_int_equal(declare(client), 0);
    fake_expect(fake, FRAME_LAYERS, &m);
    files = open_files();
    child = fork();
    if (child == 0)
        _exit(child_finds_it_inert(client, files));
    assert_int_equal(exit_of(child), 0);
    post_scalars(client, 1);
    fake_expect(fake, FRAME_SCALAR, &m);
    assert_int_equal(m.scalar.sequence, 1);
    fake_ack(fake, 1);
    assert_int_equal(embmon_close(client, 5000), 0);
    fake_free(fake);
}

static void a_child_may_open_a_client_of_its_own(void **state)
{
#if defined(__SANITIZE_THREAD__)
    skip(); /* it cannot start threads in a child */
#endif
    struct fake *fake = fake_new();
    struct lines lines = {0};
    struct embmon_client *client = open_client("unix:/nowhere", &lines);
    pid_t child;
    struct message m;

    (void)state;
    fake_listen(fake);
    child = fork();
    if (child == 0) {
        struct embmon_client *own = open_client(fake->address, &lines);

        post_scalars(own, 1);
        _exit(embmon_close(own, 5000));
    }
    fake_greet(fake, 0, 1);
    fake_expect(fake, FRAME_SCALAR, &m);
    fake_ack(fake, 1);
    assert_int_equal(exit_of(child), 0);
    embmon_close(client, 0);
    fake_free(fake);
}

/* Finds the sender among this process's threads and reads its mask of blocked signals. */
static uint64_t senders_mask(void)
{
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    uint64_t mask = 0;

    while ((entry = readdir(folder))) {
        char path[300], line[256];
        FILE *status;
        bool ours = false;

        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        status = fopen(path, "r");
        while (status && fgets(line, sizeof line, status)) {
            ours = ours || strcmp(line, "Name:\tembmon\n") == 0;
            if (ours && strncmp(line, "SigBlk:", 7) == 0)
                mask = strtoull(line + 7, NULL, 16);
        }
        if (status)
            fclose(status);
    }
    closedir(folder);
    return mask;
}

static void signals_stay_the_trainers(void **state)
{
    struct fake *fake = fake_new();
    struct lines lines = {0};
    struct embmon_client *client;
    sigset_t before, after;
    struct sigaction pipe_before, pipe_after;

    (void)state;
    sigaction(SIGPIPE, NULL, &pipe_before);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    fake_listen(fake);
    client = open_client(fake->address, &lines);
    fake_greet(fake, 0, 1); /* the thread runs, and has its name */
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    sigaction(SIGPIPE, NULL, &pipe_after);
    assert_memory_equal(&before, &after, 8); /* what the kernel knows of it */
    assert_ptr_equal(pipe_before.sa_handler, pipe_after.sa_handler);
    assert_int_equal(senders_mask() & 0x7fffffff, 0x7fffffff & ~(1u << 8) & ~(1u << 18));
    fake_hang_up(fake); /* SIGPIPE would end the test */
    fake_stop_listening(fake);
    post_scalars(client, 100);
    usleep(20000);
    errno = 4711;
    post_scalars(client, 1);
    stats_of(client);
    embmon_step(client, 1);
    assert_int_equal(errno, 4711);
    embmon_close(client, 0);
    fake_free(fake);
}

struct gate {
    _Atomic int reached;
};

__attribute__((noreturn)) static void block_at_gate(void *context, const char *line)
{
    struct gate *gate = context;

    (void)line;
    gate->reached = 1;
    for (;;)
        pause();
}

/* The sender is held in the log callback: nobody takes anything out of the inbox. */
static void a_full_inbox_drops_and_counts(void **state)
{
    static uint64_t counts[2040];
    static struct gate gate;
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_client *client;
    struct embmon_summary s = EMBMON_SUMMARY_INIT;
    uint64_t dropped = 0;
    int id;

    (void)state;
    options.address = "unix:/nowhere";
    options.run = "run";
    options.log = block_at_gate;
    options.log_context = &gate;
    assert_int_equal(embmon_open(&options, &client), 0);
    while (!gate.reached)
        usleep(1000);
    id = declare(client);
    counts[0] = counts[2039] = 1;
    s.count = 2;
    s.positive_length = 2040, s.positive_counts = counts;
    s.max = 1e38, s.sum = s.absolute_sum = 1e38, s.square_sum = 1e76;
    for (int i = 0; i < 1000; i++) { /* 16 KiB each, into 8 MiB */
        int result = embmon_post_summary(client, id, EMBMON_GRADIENT, i, &s);

        assert_int_equal(result, dropped > 0 || result != 1 ? EMBMON_EDROPPED : 1);
        dropped += result != 1;
    }
    assert_in_range(dropped, 480, 520);
    assert_int_equal(stats_of(client).produced, 1000);
    assert_int_equal(stats_of(client).dropped, dropped);
    assert_int_equal(stats_of(client).in_flight, 1000 - dropped);
    assert_int_equal(embmon_close(client, 0), 1000);
}

static void an_older_program_keeps_working(void **state)
{
    struct {
        struct embmon_client_stats stats;
    } guarded = {{0}};
    struct lines lines = {0};
    struct embmon_client *client = open_client("unix:/nowhere", &lines);

    (void)state;
    memset(&guarded, 0x55, sizeof guarded);
    guarded.stats.size = offsetof(struct embmon_client_stats, acked);
    post_scalars(client, 2);
    assert_int_equal(embmon_stats(client, &guarded.stats), 0);
    assert_int_equal(guarded.stats.produced, 2);
    assert_int_equal(guarded.stats.size, offsetof(struct embmon_client_stats, acked));
    assert_int_equal(guarded.stats.acked, 0x5555555555555555);
    guarded.stats.size = 0;
    assert_int_equal(embmon_stats(client, &guarded.stats), EMBMON_EINVAL);
    embmon_close(client, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(every_error_has_a_sentence),
        cmocka_unit_test(what_is_posted_is_delivered_by_close),
        cmocka_unit_test(without_a_daemon_there_is_one_line_and_no_wait_at_close),
        cmocka_unit_test(close_keeps_its_time_whatever_the_daemon_does),
        cmocka_unit_test(close_returns_though_the_log_callback_does_not),
        cmocka_unit_test(a_reconnect_replays_without_duplicates_or_gaps),
        cmocka_unit_test(with_resume_open_waits_for_the_next_step),
        cmocka_unit_test(a_forked_child_is_inert_and_the_parent_goes_on),
        cmocka_unit_test(a_child_may_open_a_client_of_its_own),
        cmocka_unit_test(signals_stay_the_trainers),
        cmocka_unit_test(a_full_inbox_drops_and_counts),
        cmocka_unit_test(an_older_program_keeps_working),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
