#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/command.h"

static struct command_signals signals;
static char problem[COMMAND_PROBLEM_MAX];

/* Runs `sh -c script`, waits for its end without taking its status, and returns that. */
static int run_script(const char *script)
{
    struct command command;
    char text[512];
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, text, NULL};
    siginfo_t info;
    snprintf(text, sizeof text, "%s", script);
    assert_int_equal(
        command_start(&command, argv, "unix:/the/address", "the-run", &signals, problem), 0);
    assert_int_equal(waitid(P_PID, (id_t)command.pid, &info, WEXITED | WNOWAIT), 0);
    assert_true(command_reap(&command));
    assert_true(command_reap(&command));
    return command_exit_status(&command);
}

static int hold(void **state)
{
    (void)state;
    unsetenv("EMBMON_RUN");
    command_signals_hold(&signals);
    return 0;
}

static int release(void **state)
{
    (void)state;
    sigaction(SIGPIPE, &signals.pipe, NULL);
    sigaction(SIGXFSZ, &signals.xfsz, NULL);
    sigaction(SIGCHLD, &signals.child, NULL);
    command_signals_release(&signals);
    return 0;
}

static void the_exit_status_is_the_command_s(void **state)
{
    (void)state;
    assert_int_equal(run_script("exit 0"), 0);
    assert_int_equal(run_script("exit 7"), 7);
    assert_int_equal(run_script("kill -9 $$"), 128 + 9);
    assert_int_equal(run_script("kill -TERM $$"), 128 + 15);
}

static void the_environment_says_where_and_which_run(void **state)
{
    (void)state;
    assert_int_equal(run_script("test \"$EMBMON_ADDRESS $EMBMON_RUN\" = "
                                "'unix:/the/address the-run'"),
                     0);
    setenv("EMBMON_RUN", "mine", 1);
    assert_int_equal(run_script("test \"$EMBMON_RUN\" = mine"), 0);
    setenv("EMBMON_RUN", "", 1);
    assert_int_equal(run_script("test \"$EMBMON_RUN\" = the-run"), 0);
}

static void what_cannot_be_started_fails_as_in_a_shell(void **state)
{
    (void)state;
    struct command command;
    char folder[] = "/tmp/test_command-XXXXXX", plain[64];
    assert_non_null(mkdtemp(folder));
    snprintf(plain, sizeof plain, "%s/plain", folder);
    close(open(plain, O_CREAT | O_WRONLY, 0600));
    char *absent[] = {(char[]){"/no/such/program"}, NULL};
    char *unknown[] = {(char[]){"no-such-program-in-the-path"}, NULL};
    char *not_executable[] = {plain, NULL};
    char *a_folder[] = {folder, NULL};

    assert_int_equal(command_start(&command, absent, "a", "r", &signals, problem), 127);
    assert_string_equal(problem, "cannot run /no/such/program: No such file or directory");
    assert_int_equal(command_start(&command, unknown, "a", "r", &signals, problem), 127);
    assert_int_equal(command_start(&command, not_executable, "a", "r", &signals, problem), 126);
    assert_int_equal(command_start(&command, a_folder, "a", "r", &signals, problem), 126);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie is left */
    unlink(plain);
    rmdir(folder);
}

static void the_command_gets_the_signals_as_they_were(void **state)
{
    (void)state;
    struct sigaction now;
    sigaction(SIGPIPE, NULL, &now);
    assert_ptr_equal(now.sa_handler, SIG_IGN); /* ours */
    /* blocked, ignored and caught signals of the command, before it is a shell */
    assert_int_equal(run_script("test $(sed -n 's/^SigBlk:.//p' /proc/self/status) = "
                                "0000000000000000"),
                     0);
    assert_int_equal(run_script("s=$(sed -n 's/^SigIgn:.//p' /proc/self/status); "
                                "test $((0x$s & ((1 << 12) | (1 << 24)))) = 0"),
                     0); /* neither SIGPIPE nor SIGXFSZ */
}

static void an_ignored_hangup_stays_ignored(void **state)
{
    (void)state;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    struct command_signals other;
    assert_false(signals.hangup_ignored);
    sigaction(SIGHUP, &ignore, &before);
    command_signals_hold(&other);
    assert_true(other.hangup_ignored);
    assert_int_equal(run_script("kill -HUP $$; exit 5"), 5);
    sigaction(SIGHUP, &before, NULL);
}

/* Our file descriptors that a child gets. */
static int inheritable(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) == 0; /* neither closed nor FD_CLOEXEC */
    return count;
}

static void no_file_descriptor_is_added(void **state)
{
    (void)state;
    int ours = open("/dev/null", O_RDONLY | O_CLOEXEC);
    /* one more: the folder that is being read */
    assert_int_equal(run_script("set -- /proc/$$/fd/*; exit $#"), inheritable() + 1);
    close(ours);
}

static void signals_are_passed_on_until_it_has_ended(void **state)
{
    (void)state;
    struct command command;
    int ready[2];
    char script[] = "trap 'exit 9' USR1; echo >&$1; while :; do sleep 0.01; done", word[12], byte;
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, script, (char[]){"sh"}, word, NULL};
    siginfo_t info;

    assert_int_equal(pipe(ready), 0);
    snprintf(word, sizeof word, "%d", ready[1]);
    assert_int_equal(command_start(&command, argv, "a", "r", &signals, problem), 0);
    assert_int_equal(read(ready[0], &byte, 1), 1); /* its trap is set */
    assert_false(command_reap(&command));
    command_forward(&command, SIGUSR1);
    assert_int_equal(waitid(P_PID, (id_t)command.pid, &info, WEXITED | WNOWAIT), 0);
    assert_true(command_reap(&command));
    assert_int_equal(command_exit_status(&command), 9);
    command_forward(&command, SIGKILL); /* to nobody */
    close(ready[0]);
    close(ready[1]);
}

static void must_name(const char *command, const char *expected)
{
    char name[NAME_PART_MAX + 1];
    command_run_name(name, command, 1700000000); /* 2023-11-14 22:13:20 UTC */
    assert_string_equal(name, expected);
    assert_true(name_is_run(name));
}

static void a_run_is_named_after_its_command(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    must_name("python3.11", "python3.11-20231114-221320");
    must_name("/usr/bin/train.sh", "train.sh-20231114-221320");
    must_name("my trainer!", "my_trainer_-20231114-221320");
    must_name(".hidden", "_hidden-20231114-221320");
    must_name("d\xc3\xa9j\xc3\xa0", "d__j__-20231114-221320");
    must_name("folder/", "_-20231114-221320");
}

static void a_long_name_is_cut_to_fit(void **state)
{
    (void)state;
    char command[300], name[NAME_PART_MAX + 1];
    memset(command, 'c', sizeof command);
    command[sizeof command - 1] = '\0';
    command_run_name(name, command, 1700000000);
    assert_int_equal(strlen(name), NAME_PART_MAX);
    assert_string_equal(name + NAME_PART_MAX - 16, "-20231114-221320");
}

#define COMMAND_TEST(name) cmocka_unit_test_setup_teardown(name, hold, release)

int main(void)
{
    signal(SIGHUP, SIG_DFL); /* nohup may have started us */
    const struct CMUnitTest tests[] = {
        COMMAND_TEST(the_exit_status_is_the_command_s),
        COMMAND_TEST(the_environment_says_where_and_which_run),
        COMMAND_TEST(what_cannot_be_started_fails_as_in_a_shell),
        COMMAND_TEST(the_command_gets_the_signals_as_they_were),
        COMMAND_TEST(an_ignored_hangup_stays_ignored),
        COMMAND_TEST(no_file_descriptor_is_added),
        COMMAND_TEST(signals_are_passed_on_until_it_has_ended),
        COMMAND_TEST(a_run_is_named_after_its_command),
        COMMAND_TEST(a_long_name_is_cut_to_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
