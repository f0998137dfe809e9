#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/ctl_ask.h"

static char folder[64], problem[CTL_PROBLEM_MAX];
static struct address address;

/* One peer is accepted, its question read, then `data` sent and the connection closed. */
struct daemon {
    int listener;
    uint8_t data[1 << 20];
    size_t length;
    char asked[64];
    pthread_t thread;
};

static struct daemon fake;

static void *serve(void *context)
{
    struct daemon *d = context;
    uint8_t input[1024];
    struct message_decoder *decoder = message_decoder_new();
    struct frame_codec codec = {0};
    struct frame frame;
    struct message message;
    const char *wrong;
    size_t used;
    int fd = accept(d->listener, NULL, NULL);
    ssize_t n = recv(fd, input, sizeof input, 0);

    if (n > 0 &&
        frame_read(&frame, &used, input, (size_t)n, &codec, sizeof input, sizeof input) == 0 &&
        message_decode(decoder, &frame, &message, &wrong) == MESSAGE_OK)
        snprintf(d->asked, sizeof d->asked, "%s/%s/%d", message.query.name, message.query.run,
                 message.query.firing);
    for (size_t sent = 0; sent < d->length;) {
        ssize_t taken = send(fd, d->data + sent, d->length - sent, MSG_NOSIGNAL);
        if (taken <= 0)
            break;
        sent += (size_t)taken;
    }
    close(fd);
    message_decoder_free(decoder);
    frame_codec_free(&codec);
    return NULL;
}

static int make_socket(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)state;
    memset(&fake, 0, sizeof fake);
    strcpy(folder, "/tmp/test_ctl_ask-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(address.path, sizeof address.path, "%s/s", folder);
    memcpy(a.sun_path, address.path, strlen(address.path) + 1);
    fake.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return bind(fake.listener, (struct sockaddr *)&a, sizeof a) || listen(fake.listener, 1);
}

static int remove_socket(void **state)
{
    (void)state;
    close(fake.listener);
    unlink(address.path);
    return rmdir(folder);
}

static void add_reply(uint32_t status, bool last, const char *text, size_t length)
{
    struct message message = {
        .type = FRAME_REPLY,
        .reply = {status, last, (const uint8_t *)text, length},
    };
    fake.length += message_encode(&message, fake.data + fake.length);
}

static int ask(struct ctl_answer *answer)
{
    struct msg_query query = {.name = "layers", .run = "r", .firing = true};
    pthread_create(&fake.thread, NULL, serve, &fake);
    int status = ctl_ask(&address, NULL, &query, answer, problem);
    pthread_join(fake.thread, NULL);
    return status;
}

static void chunks_are_joined(void **state)
{
    (void)state;
    struct ctl_answer answer;
    static char big[TEXT_MAX];
    memset(big, 'b', sizeof big);
    add_reply(0, false, big, sizeof big);
    add_reply(0, false, big, sizeof big);
    add_reply(0, true, "end", 3);
    assert_int_equal(ask(&answer), 0);
    assert_string_equal(fake.asked, "layers/r/1");
    assert_int_equal(answer.status, 0);
    assert_int_equal(answer.length, 2 * sizeof big + 3);
    assert_string_equal(answer.text + 2 * sizeof big, "end");
    ctl_answer_free(&answer);
}

static void an_empty_answer_is_an_answer(void **state)
{
    (void)state;
    struct ctl_answer answer;
    add_reply(0, true, "", 0);
    assert_int_equal(ask(&answer), 0);
    assert_int_equal(answer.length, 0);
    assert_string_equal(answer.text, "");
    ctl_answer_free(&answer);
}

static void a_refusal_brings_its_status(void **state)
{
    (void)state;
    struct ctl_answer answer;
    add_reply(64, true, "which run?", 10);
    assert_int_equal(ask(&answer), 0);
    assert_int_equal(answer.status, 64);
    assert_string_equal(answer.text, "which run?");
    ctl_answer_free(&answer);
}

static void an_answer_cut_short_is_none(void **state)
{
    (void)state;
    struct ctl_answer answer;
    add_reply(0, false, "half", 4);
    assert_int_equal(ask(&answer), EX_UNAVAILABLE);
    assert_non_null(strstr(problem, "closed the connection"));
    assert_null(answer.text);
}

static void another_server_is_not_believed(void **state)
{
    (void)state;
    struct ctl_answer answer;
    fake.length = (size_t)sprintf((char *)fake.data, "HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_int_equal(ask(&answer), EX_UNAVAILABLE);
    assert_non_null(strstr(problem, "not an embmond"));
}

static void nobody_there_is_said_at_once(void **state)
{
    (void)state;
    struct ctl_answer answer;
    struct msg_query query = {.name = "status", .run = ""};
    struct address absent = {0};
    snprintf(absent.path, sizeof absent.path, "%s/absent", folder);
    assert_int_equal(ctl_ask(&absent, NULL, &query, &answer, problem), EX_UNAVAILABLE);
    assert_non_null(strstr(problem, "/absent: No such file or directory"));
}

static void the_first_that_answers_is_believed(void **state)
{
    (void)state;
    struct msg_query query = {.name = "runs", .run = ""};
    struct address three[] = {{.path = "/nowhere/s"}, address, {.path = "/neither/s"}};
    struct address file = {.path = "/dev/null/s"};
    struct ctl_answer answer;
    size_t by = 7;
    add_reply(0, true, "here", 4);
    pthread_create(&fake.thread, NULL, serve, &fake);
    assert_int_equal(ctl_ask_any(three, 3, NULL, &query, &answer, &by, problem), 0);
    pthread_join(fake.thread, NULL);
    assert_int_equal(by, 1);
    assert_string_equal(answer.text, "here");
    ctl_answer_free(&answer);
    three[1] = file;
    assert_int_equal(ctl_ask_any(three, 3, NULL, &query, &answer, &by, problem), EX_UNAVAILABLE);
    assert_string_equal(problem,
                        "no embmond at unix:/nowhere/s, unix:/dev/null/s (Not a directory) or "
                        "unix:/neither/s: No such file or directory; start one, or say with "
                        "--address or EMBMON_ADDRESS where it is");
    assert_int_equal(ctl_ask_any(three, 1, NULL, &query, &answer, &by, problem), EX_UNAVAILABLE);
    assert_string_equal(problem,
                        "no embmond at unix:/nowhere/s: No such file or directory; start one, or "
                        "say with --address or EMBMON_ADDRESS where it is");
}

static void one_that_never_answers_is_given_up(void **state)
{
    (void)state;
    struct ctl_answer answer;
    struct msg_query query = {.name = "status", .run = ""};
    /* nobody accepts: what a stopped daemon looks like. This one test waits its two seconds. */
    assert_int_equal(ctl_ask(&address, NULL, &query, &answer, problem), EX_UNAVAILABLE);
    assert_non_null(strstr(problem, "no answer within 2 s"));
}

#define ASK_TEST(name) cmocka_unit_test_setup_teardown(name, make_socket, remove_socket)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ASK_TEST(chunks_are_joined),
        ASK_TEST(an_empty_answer_is_an_answer),
        ASK_TEST(a_refusal_brings_its_status),
        ASK_TEST(an_answer_cut_short_is_none),
        ASK_TEST(another_server_is_not_believed),
        ASK_TEST(nobody_there_is_said_at_once),
        ASK_TEST(the_first_that_answers_is_believed),
        ASK_TEST(one_that_never_answers_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
