/* The secret that both ends of a tcp connection know, read from a file: never from a command line,
 * which every user of the machine can see. */
#ifndef EMBMON_PROTO_TOKEN_H
#define EMBMON_PROTO_TOKEN_H

#include <stddef.h>
#include <stdint.h>

enum { TOKEN_MIN = 16, TOKEN_MAX = 4096 };

struct token {
    size_t length; /* 0: none */
    uint8_t bytes[TOKEN_MAX];
};

/* Returns NULL and the token, a newline at its end left off; or a static sentence on what is wrong
 * with the file, and no token. One that others may read is refused: it is no secret. */
const char *token_read(struct token *token, const char *path);

/* Overwrites it. */
void token_forget(struct token *token);

#endif
