#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "proto/handshake.h"
#include "tests/unit/sender_world.h"

static const struct token token = {.length = 20, .bytes = "a token of 20 bytes!"};
static const struct token other = {.length = 20, .bytes = "another of 20 bytes!"};
static const struct token none;

/* The next frame as it is; false: none comes. */
static bool next_frame(struct fake *f, struct frame *frame)
{
    size_t used;

    for (int tries = 0; tries < 100; tries++) {
        ssize_t got;

        if (frame_read(frame, &used, f->buffer + f->first, f->end - f->first, &f->codec, 4096,
                       4096) == FRAME_OK) {
            f->first += used;
            return true;
        }
        got = recv(f->peer, f->buffer + f->end, sizeof f->buffer - f->end, MSG_DONTWAIT);
        if (got == 0)
            return false;
        if (got > 0)
            f->end += (size_t)got;
        else
            poll(NULL, 0, 1);
    }
    return false;
}

/* Connects, which over tcp takes some turns; the clock stands still meanwhile. */
static void connect_sender(struct sender_world *w, const struct token *of_client)
{
    world_use_tcp(w, of_client);
    world_turn(w, 1);
    assert_true(fake_accept(w->fake, 1000));
    world_turn(w, 0);
}

static void send_frame(struct sender_world *w, const struct handshake_frame *frame)
{
    fake_send_bytes(w->fake, frame->bytes, frame->length);
    world_turn(w, 5);
}

/* As a daemon that knows this token; gives what it makes of the client's proof. */
static enum handshake_result challenge(struct sender_world *w, const struct token *of_daemon,
                                       struct handshake_frame *answer)
{
    struct handshake h;
    struct frame frame;

    handshake_challenge(&h, of_daemon, answer);
    send_frame(w, answer);
    assert_true(next_frame(w->fake, &frame));
    assert_int_equal(frame.type, FRAME_PROOF);
    return handshake_take(&h, &frame, answer);
}

static void hello_is_said_after_both_ends_have_proven_the_token(void **to)
{
    struct sender_world *w = *to;
    struct handshake_frame answer;
    struct message hello;
    struct frame frame;

    connect_sender(w, &token);
    assert_false(next_frame(w->fake, &frame)); /* not a word before the challenge */
    assert_int_equal(challenge(w, &token, &answer), HANDSHAKE_DONE);
    assert_false(next_frame(w->fake, &frame));
    send_frame(w, &answer);
    fake_expect(w->fake, FRAME_HELLO, &hello);
    assert_string_equal(hello.hello.name, "wanted");
    fake_welcome(w->fake, "run", 0, 1);
    world_turn(w, 5);
    assert_true(atomic_load(&w->state.connected));
    assert_int_equal(w->lines, 0);
}

static void expect_lost(struct sender_world *w, const char *why)
{
    struct frame frame;

    assert_false(next_frame(w->fake, &frame)); /* no Hello above all */
    assert_int_equal(w->lines, 1);
    if (!strstr(w->line, why))
        fail_msg("\"%s\" does not say \"%s\"", w->line, why);
    assert_int_equal(atomic_load(&w->state.socket), -1);
}

static void a_daemon_that_does_not_know_the_token_is_told_nothing(void **to)
{
    struct sender_world *w = *to;
    struct handshake_frame answer = {.length = FRAME_HEADER + SHA256_BYTES};

    connect_sender(w, &token);
    assert_int_equal(challenge(w, &other, &answer), HANDSHAKE_FAILED);
    frame_seal(answer.bytes, FRAME_PROOF, 0, SHA256_BYTES); /* it tries its luck */
    answer.length = FRAME_HEADER + SHA256_BYTES;
    send_frame(w, &answer);
    expect_lost(w, "does not prove that it knows our token");
}

static void a_daemon_that_goes_on_without_a_proof_is_told_nothing(void **to)
{
    struct sender_world *w = *to;
    struct handshake_frame answer;

    connect_sender(w, &token);
    assert_int_equal(challenge(w, &token, &answer), HANDSHAKE_DONE);
    fake_welcome(w->fake, "run", 0, 1);
    world_turn(w, 5);
    expect_lost(w, "does not prove that it knows our token");
}

static void a_daemon_that_asks_for_no_token_is_told_nothing(void **to)
{
    struct sender_world *w = *to;

    connect_sender(w, &token);
    world_turn(w, SENDER_PROOF_MS - 10);
    assert_int_equal(w->lines, 0);
    world_turn(w, 20);
    expect_lost(w, "does not ask for the token: was it started with --token-file?");
}

static void a_daemon_that_refuses_says_why(void **to)
{
    struct sender_world *w = *to;

    connect_sender(w, &token);
    fake_nack(w->fake, 0, NACK_REFUSED);
    world_turn(w, 5);
    expect_lost(w, "refuses this client: for the test");
}

static void without_a_token_one_that_is_wanted_is_told(void **to)
{
    struct sender_world *w = *to;
    struct handshake_frame answer;
    struct handshake h;
    struct message hello;

    connect_sender(w, &none);
    fake_expect(w->fake, FRAME_HELLO, &hello);
    handshake_challenge(&h, &token, &answer);
    send_frame(w, &answer);
    expect_lost(w, "it wants a token: name its file in EMBMON_TOKEN_FILE");
}

static void a_daemon_that_is_silent_for_10_seconds_is_given_up(void **to)
{
    struct sender_world *w = *to;
    struct message hello, beat = {.type = FRAME_HEARTBEAT};

    connect_sender(w, &none);
    fake_expect(w->fake, FRAME_HELLO, &hello);
    fake_welcome(w->fake, "run", 0, 1);
    world_turn(w, 5);
    for (int i = 0; i < 3; i++) {
        world_turn(w, SENDER_SILENCE_MS - 10);
        assert_int_equal(w->lines, 0);
        fake_send(w->fake, &beat);
        world_turn(w, 5);
    }
    world_turn(w, SENDER_SILENCE_MS + 1);
    assert_int_equal(w->lines, 1);
    assert_non_null(strstr(w->line, "nothing was heard from it for 10 s"));
}

/* Of this machine's the kernel says when it ends: one that is stopped in a debugger is waited for.
 */
static void on_a_unix_socket_silence_is_no_loss(void **to)
{
    struct sender_world *w = *to;

    world_greet(w, 0);
    world_turn(w, 10 * SENDER_SILENCE_MS);
    assert_int_equal(w->lines, 0);
    assert_true(atomic_load(&w->state.connected));
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(hello_is_said_after_both_ends_have_proven_the_token),
        WITH_WORLD(a_daemon_that_does_not_know_the_token_is_told_nothing),
        WITH_WORLD(a_daemon_that_goes_on_without_a_proof_is_told_nothing),
        WITH_WORLD(a_daemon_that_asks_for_no_token_is_told_nothing),
        WITH_WORLD(a_daemon_that_refuses_says_why),
        WITH_WORLD(without_a_token_one_that_is_wanted_is_told),
        WITH_WORLD(a_daemon_that_is_silent_for_10_seconds_is_given_up),
        WITH_WORLD(on_a_unix_socket_silence_is_no_loss),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
