/* Addresses, the same at both ends: "unix:PATH". */
#ifndef EMBMON_PROTO_ADDRESS_H
#define EMBMON_PROTO_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

enum { ADDRESS_PATH_MAX = 107, ADDRESS_DEFAULTS_MAX = 3 };

struct address {
    char path[ADDRESS_PATH_MAX + 1]; /* of a Unix socket, NUL-terminated */
};

/* Returns NULL and *address, or a static sentence on what is wrong with the text. */
const char *address_parse(const char *text, struct address *address);

/* The default addresses in the order both ends try them:
 *   $XDG_RUNTIME_DIR/embmond.sock, /run/user/<euid>/embmond.sock, $HOME/.embmond/<hostname>.sock
 * Those whose variable is not set or whose path is too long are left out. Returns how many. */
size_t address_defaults(struct address addresses[ADDRESS_DEFAULTS_MAX]);

#endif
