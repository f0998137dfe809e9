#include "proto/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NEWLINE_MAX = 2 };

_Static_assert(TOKEN_MIN == 16 && TOKEN_MAX == 4096, "as the sentences say");

/* What can be read, at most n bytes; -1: errno. */
static ssize_t read_all(int fd, uint8_t *to, size_t n)
{
    size_t got = 0;

    while (got < n) {
        ssize_t more = read(fd, to + got, n - got);

        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            return -1;
        if (more == 0)
            break;
        got += (size_t)more;
    }
    return (ssize_t)got;
}

static const char *take(struct token *token, const uint8_t *bytes, size_t n)
{
    if (n > 0 && bytes[n - 1] == '\n')
        n--;
    if (n > 0 && bytes[n - 1] == '\r')
        n--;
    if (n > TOKEN_MAX)
        return "it holds more than 4,096 bytes";
    if (n < TOKEN_MIN)
        return "it holds less than 16 bytes: make one with `head -c 32 /dev/urandom | base64`";
    memcpy(token->bytes, bytes, n);
    token->length = n;
    return NULL;
}

/* Who may read it is asked of the file that is open, not of what its name may lead to by then. */
static const char *read_file(struct token *token, int fd)
{
    uint8_t bytes[TOKEN_MAX + NEWLINE_MAX + 1];
    const char *wrong;
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return "it is not a file";
    if (st.st_mode & 077)
        return "others than its owner may use it: chmod 600 it, and make a new token if they could "
               "read this one";
    n = read_all(fd, bytes, sizeof bytes);
    wrong = n < 0 ? "it cannot be read" : take(token, bytes, (size_t)n);
    explicit_bzero(bytes, sizeof bytes);
    return wrong;
}

const char *token_read(struct token *token, const char *path)
{
    const char *wrong;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a FIFO has no end */

    token->length = 0;
    if (fd < 0)
        return errno == ENOENT   ? "there is no such file"
               : errno == EACCES ? "it may not be read by this user"
                                 : "it cannot be opened";
    wrong = read_file(token, fd);
    close(fd);
    return wrong;
}

void token_forget(struct token *token)
{
    explicit_bzero(token, sizeof *token);
}
