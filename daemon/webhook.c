#include "daemon/webhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <uv.h>

#include "daemon/libcurl.h"
#include "daemon/webhook_rules.h"
#include "embmon/embmon.h"

struct webhooks {
    uv_loop_t *loop; /* borrowed */
    uv_timer_t timer;
    struct libcurl curl;
    CURLM *multi;
};

/* A socket that libcurl wants watched; it frees itself when it is closed. */
struct watch {
    uv_poll_t poll; /* first: its handle is the watch */
    struct webhooks *all;
    curl_socket_t socket;
};

struct webhook {
    struct webhooks *all;
    const struct sink_options *options;
    delivery_done *done;
    void *context;
    CURL *easy;
    struct curl_slist *headers;
    char *url;
    char *body; /* owned, while it is under way; NULL: nothing is */
    uint32_t ticket;
    size_t received;       /* bytes of the answer */
    const char *forbidden; /* why where the host's name leads was not connected to; or NULL */
    bool token_old;        /* it was not accepted: read it again */
    char error[CURL_ERROR_SIZE];
};

/* ---- libcurl's sockets and timeouts on the loop */

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle);
}

static void report_finished(struct webhooks *all);

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = (struct watch *)poll;
    struct webhooks *all = watch->all;
    int flags = 0, running;

    if (status < 0)
        flags = CURL_CSELECT_IN | CURL_CSELECT_OUT; /* libcurl finds out what the matter is */
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    all->curl.multi_socket_action(all->multi, watch->socket, flags, &running);
    report_finished(all);
}

static void on_timeout(uv_timer_t *timer)
{
    struct webhooks *all = timer->data;
    int running;

    all->curl.multi_socket_action(all->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    report_finished(all);
}

/* libcurl says when it wants to be called. Not from here: it forbids that. */
static int on_timer_wanted(CURLM *multi, long timeout_ms, void *context)
{
    struct webhooks *all = context;

    (void)multi;
    if (timeout_ms < 0)
        uv_timer_stop(&all->timer);
    else
        uv_timer_start(&all->timer, on_timeout, (uint64_t)timeout_ms, 0);
    return 0;
}

static struct watch *watch_new(struct webhooks *all, curl_socket_t socket)
{
    struct watch *watch = calloc(1, sizeof *watch);

    if (!watch)
        return NULL;
    watch->all = all;
    watch->socket = socket;
    if (uv_poll_init_socket(all->loop, &watch->poll, socket) != 0) {
        free(watch);
        return NULL;
    }
    all->curl.multi_assign(all->multi, socket, watch);
    return watch;
}

/* libcurl says what it waits for on a socket. */
static int on_socket_wanted(CURL *easy, curl_socket_t socket, int what, void *context,
                            void *of_socket)
{
    struct webhooks *all = context;
    struct watch *watch = of_socket;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        all->curl.multi_assign(all->multi, socket, NULL);
        return 0;
    }
    if (!watch && !(watch = watch_new(all, socket)))
        return -1;
    if (what & CURL_POLL_IN)
        events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    return uv_poll_start(&watch->poll, events, on_poll) == 0 ? 0 : -1;
}

struct webhooks *webhooks_open(struct uv_loop_s *loop, char problem[WEBHOOK_PROBLEM_MAX])
{
    struct webhooks *all = calloc(1, sizeof *all);

    snprintf(problem, WEBHOOK_PROBLEM_MAX, "webhooks: out of memory");
    if (!all)
        return NULL;
    all->loop = loop;
    if (!libcurl_load(&all->curl, problem))
        goto fail;
    if (all->curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        goto fail;
    all->multi = all->curl.multi_init();
    if (!all->multi) {
        all->curl.global_cleanup();
        goto fail;
    }
    all->curl.multi_setopt(all->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    all->curl.multi_setopt(all->multi, CURLMOPT_SOCKETDATA, all);
    all->curl.multi_setopt(all->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    all->curl.multi_setopt(all->multi, CURLMOPT_TIMERDATA, all);
    uv_timer_init(loop, &all->timer);
    all->timer.data = all;
    return all;

fail:
    free(all);
    return NULL;
}

void webhooks_keep(struct webhooks *all, size_t connections)
{
    all->curl.multi_setopt(all->multi, CURLMOPT_MAXCONNECTS, connections ? (long)connections : 1L);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void webhooks_close(struct webhooks *all)
{
    if (!all)
        return;
    all->curl.multi_cleanup(all->multi);
    all->curl.global_cleanup();
    uv_close((uv_handle_t *)&all->timer, on_timer_closed);
}

/* ---- where requests may go, and what comes back */

/* Asked when the name is resolved: what is checked is what is connected to. */
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct webhook *webhook = context;

    if (purpose != CURLSOCKTYPE_IPCXN)
        return CURL_SOCKET_BAD;
    webhook->forbidden = webhook_forbids(webhook->options, &to->addr);
    if (webhook->forbidden)
        return CURL_SOCKET_BAD;
    return socket(to->family, to->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to->protocol);
}

/* Headers and text of the answer, counted and thrown away. */
static size_t take_answer(char *data, size_t size, size_t count, void *context)
{
    struct webhook *webhook = context;

    (void)data;
    webhook->received += size * count;
    return webhook->received <= WEBHOOK_ANSWER_MAX ? size * count : 0; /* 0: enough */
}

static void finish(struct webhook *webhook, CURLcode result)
{
    struct delivery delivery = {.ticket = webhook->ticket, .error = ""};
    char text[CURL_ERROR_SIZE + 64] = "";
    long status = 0;

    webhook->all->curl.easy_getinfo(webhook->easy, CURLINFO_RESPONSE_CODE, &status);
    webhook->all->curl.multi_remove_handle(webhook->all->multi, webhook->easy);
    free(webhook->body);
    webhook->body = NULL;
    /* A receiver that says more than we listen to has taken it all the same. */
    bool too_long = webhook->received > WEBHOOK_ANSWER_MAX && status >= 200;
    if (result == CURLE_OK || too_long) {
        delivery.outcome = webhook_outcome(status);
        webhook->token_old = status == 401 || status == 403;
        if (status >= 300 && status < 400)
            snprintf(text, sizeof text, "it answered %ld: redirects are not followed", status);
        else if (delivery.outcome != OUTBOX_DELIVERED)
            snprintf(text, sizeof text, "it answered %ld", status);
    } else {
        delivery.outcome = OUTBOX_FAILED;
        snprintf(text, sizeof text, "%s",
                 webhook->forbidden ? webhook->forbidden
                 : *webhook->error  ? webhook->error
                                    : webhook->all->curl.easy_strerror(result));
    }
    delivery.error = text;
    webhook->done(webhook->context, &delivery);
}

static void report_finished(struct webhooks *all)
{
    CURLMsg *message;
    int left;

    while ((message = all->curl.multi_info_read(all->multi, &left))) {
        char *webhook = NULL;
        CURLcode result = message->data.result;

        if (message->msg != CURLMSG_DONE)
            continue;
        all->curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &webhook);
        finish((struct webhook *)(void *)webhook, result);
    }
}

/* ---- one webhook */

int webhook_check(const struct sink_options *options, char problem[WEBHOOK_PROBLEM_MAX])
{
    struct libcurl curl;
    char *token;

    if (!libcurl_load(&curl, problem))
        return EX_UNAVAILABLE;
    if (!options->token_file)
        return 0;
    token = webhook_token(options->token_file, problem);
    free(token);
    return token ? 0 : EX_CONFIG;
}

static bool add_header(struct webhook *webhook, const char *line)
{
    struct curl_slist *more = webhook->all->curl.slist_append(webhook->headers, line);

    if (more)
        webhook->headers = more;
    return more != NULL;
}

/* The request's headers, the token read anew. */
static bool make_headers(struct webhook *webhook, char problem[WEBHOOK_PROBLEM_MAX])
{
    const char *file = webhook->options->token_file;
    char *token = file ? webhook_token(file, problem) : NULL, line[WEBHOOK_TOKEN_MAX + 32];
    bool fine;

    if (file && !token)
        return false;
    webhook->all->curl.slist_free_all(webhook->headers);
    webhook->headers = NULL;
    fine = add_header(webhook, "Content-Type: application/json") &&
           add_header(webhook, "User-Agent: embmond/" EMBMON_VERSION) &&
           add_header(webhook, "Expect:"); /* nobody is asked whether he would take it */
    if (token) {
        snprintf(line, sizeof line, "Authorization: Bearer %s", token);
        fine = fine && add_header(webhook, line);
    }
    free(token);
    snprintf(problem, WEBHOOK_PROBLEM_MAX, "webhooks: out of memory");
    return fine;
}

/* False: this libcurl does not know one of them. */
static bool set_options(struct webhook *webhook)
{
    __typeof__(curl_easy_setopt) *set = webhook->all->curl.easy_setopt;
    CURL *easy = webhook->easy;
    long timeout_ms = (long)webhook->options->timeout_ms;
    unsigned wrong = 0;

    wrong |= set(easy, CURLOPT_NOSIGNAL, 1L);
    /* Names are resolved in a thread: one that hangs is left behind, not waited for. */
    wrong |= set(easy, CURLOPT_QUICK_EXIT, 1L);
    wrong |= set(easy, CURLOPT_PRIVATE, webhook);
    wrong |= set(easy, CURLOPT_ERRORBUFFER, webhook->error);
    wrong |= set(easy, CURLOPT_URL, webhook->url);
    wrong |= set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    wrong |= set(easy, CURLOPT_FOLLOWLOCATION, 0L);
    wrong |= set(easy, CURLOPT_PROXY, "");
    wrong |= set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    wrong |= set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    wrong |= set(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    wrong |= set(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
    wrong |= set(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    wrong |= set(easy, CURLOPT_OPENSOCKETDATA, webhook);
    wrong |= set(easy, CURLOPT_WRITEFUNCTION, take_answer);
    wrong |= set(easy, CURLOPT_WRITEDATA, webhook);
    wrong |= set(easy, CURLOPT_HEADERFUNCTION, take_answer);
    wrong |= set(easy, CURLOPT_HEADERDATA, webhook);
    wrong |= set(easy, CURLOPT_POST, 1L);
    return wrong == 0;
}

struct webhook *webhook_new(struct webhooks *all, const struct sink_options *options,
                            delivery_done *done, void *context, char problem[WEBHOOK_PROBLEM_MAX])
{
    struct webhook *webhook = calloc(1, sizeof *webhook);

    snprintf(problem, WEBHOOK_PROBLEM_MAX, "webhooks: out of memory");
    if (!webhook)
        return NULL;
    *webhook = (struct webhook){.all = all,
                                .options = options,
                                .done = done,
                                .context = context,
                                .url = webhook_url(options)};
    webhook->easy = all->curl.easy_init();
    if (!webhook->url || !webhook->easy || !make_headers(webhook, problem))
        goto fail;
    if (!set_options(webhook)) {
        snprintf(problem, WEBHOOK_PROBLEM_MAX,
                 "webhooks need libcurl 7.87 or later: install a newer package libcurl4");
        goto fail;
    }
    return webhook;

fail:
    webhook_free(webhook);
    return NULL;
}

void webhook_free(struct webhook *webhook)
{
    if (!webhook)
        return;
    if (webhook->body)
        webhook->all->curl.multi_remove_handle(webhook->all->multi, webhook->easy);
    if (webhook->easy)
        webhook->all->curl.easy_cleanup(webhook->easy);
    webhook->all->curl.slist_free_all(webhook->headers);
    free(webhook->body);
    free(webhook->url);
    free(webhook);
}

void webhook_send(struct webhook *webhook, char *body, uint32_t ticket)
{
    const struct libcurl *curl = &webhook->all->curl;
    char problem[WEBHOOK_PROBLEM_MAX];

    if (webhook->token_old)
        (void)make_headers(webhook, problem); /* or go on with the old one */
    webhook->body = body;
    webhook->ticket = ticket;
    webhook->received = 0;
    webhook->forbidden = NULL;
    webhook->error[0] = '\0';
    curl->easy_setopt(webhook->easy, CURLOPT_HTTPHEADER, webhook->headers);
    curl->easy_setopt(webhook->easy, CURLOPT_POSTFIELDS, webhook->body);
    curl->easy_setopt(webhook->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    if (curl->multi_add_handle(webhook->all->multi, webhook->easy) != CURLM_OK)
        finish(webhook, CURLE_OUT_OF_MEMORY);
}
