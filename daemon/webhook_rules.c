#include "daemon/webhook_rules.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/reach.h"

char *webhook_url(const struct sink_options *options)
{
    static const char path[] = "/api/v2/alerts";
    size_t n = strlen(options->url);
    char *url;

    if (options->format != WEBHOOK_API_V2)
        return strdup(options->url);
    while (n > 0 && options->url[n - 1] == '/')
        n--;
    if (n >= strlen(path) && strncmp(options->url + n - strlen(path), path, strlen(path)) == 0)
        n -= strlen(path);
    return asprintf(&url, "%.*s%s", (int)n, options->url, path) < 0 ? NULL : url;
}

enum outbox_outcome webhook_outcome(long status)
{
    if (status >= 200 && status < 300)
        return OUTBOX_DELIVERED;
    switch (status) {
    case 401: /* these can be mended at the receiver, or pass */
    case 403:
    case 404:
    case 408:
    case 425:
    case 429:
        return OUTBOX_FAILED;
    default:
        return status >= 400 && status < 500 ? OUTBOX_REFUSED : OUTBOX_FAILED;
    }
}

const char *webhook_forbids(const struct sink_options *options, const struct sockaddr *address)
{
    enum reach reach = reach_of(address);

    if (reach == REACH_NONE)
        return "its host is a link-local, multicast or other address that no receiver has: not "
               "connected to";
    if (reach == REACH_PUBLIC || options->allow_private || reach == reach_said(options->url))
        return NULL;
    return reach == REACH_MACHINE
               ? "its host's name stands for this machine: not connected to; write localhost, or "
                 "allow_private: true"
               : "its host's name stands for an address of a private network: not connected to; "
                 "write allow_private: true";
}

/* The bytes of a small plain file; -1 with errno. A FIFO's writer is not waited for. */
static ssize_t read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error;
    struct stat st;
    ssize_t n = -1;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        n = read(fd, text, size);
    else
        errno = EINVAL;
    error = errno;
    (void)close(fd);
    errno = error;
    return n;
}

char *webhook_token(const char *path, char problem[WEBHOOK_PROBLEM_MAX])
{
    char text[WEBHOOK_TOKEN_MAX + 1], *token = text;
    ssize_t n = read_file(path, text, WEBHOOK_TOKEN_MAX);
    bool fine = n < WEBHOOK_TOKEN_MAX;

    if (n < 0) {
        snprintf(problem, WEBHOOK_PROBLEM_MAX, "cannot read the token file %.150s: %s", path,
                 strerror(errno));
        return NULL;
    }
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        n--;
    text[n] = '\0';
    while (isspace((unsigned char)*token))
        token++;
    for (const char *c = token; *c; c++)
        fine = fine && isgraph((unsigned char)*c); /* else it cannot stand in a header */
    if (!fine || *token == '\0' || strlen(text) != (size_t)n) {
        snprintf(problem, WEBHOOK_PROBLEM_MAX,
                 "the token file %.150s must hold one word of at most 4095 ASCII characters", path);
        return NULL;
    }
    return strdup(token);
}
