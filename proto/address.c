#include "proto/address.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char unix_scheme[] = "unix:";

const char *address_parse(const char *text, struct address *address)
{
    const char *path = text + sizeof unix_scheme - 1;
    size_t length;

    if (strncmp(text, unix_scheme, sizeof unix_scheme - 1) != 0)
        return "an address is unix:PATH";
    length = strlen(path);
    if (length == 0)
        return "the path after unix: is empty";
    if (length > ADDRESS_PATH_MAX)
        return "the path of a Unix socket has at most 107 bytes";
    if (path[length - 1] == '/')
        return "the path of a Unix socket is that of a file, not of a folder";
    memcpy(address->path, path, length + 1);
    return NULL;
}

/* Appends a path, unless it is too long or already there (XDG_RUNTIME_DIR is mostly
 * /run/user/<euid>): nobody needs to try a socket twice. */
__attribute__((format(printf, 3, 4))) static size_t append(struct address *addresses, size_t count,
                                                           const char *format, ...)
{
    struct address *to = &addresses[count];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(to->path, sizeof to->path, format, arguments);
    va_end(arguments);
    if (length <= 0 || (size_t)length >= sizeof to->path)
        return count;
    for (size_t i = 0; i < count; i++)
        if (strcmp(addresses[i].path, to->path) == 0)
            return count;
    return count + 1;
}

/* The value of a variable that names a folder, without '/' at its end; NULL when there is none or
 * it is relative, which the XDG specification says to ignore. */
static const char *folder(const char *variable, int *length)
{
    const char *value = getenv(variable);
    size_t n;

    if (!value || value[0] != '/')
        return NULL;
    n = strnlen(value, ADDRESS_PATH_MAX + 1);
    while (n > 0 && value[n - 1] == '/')
        n--;
    *length = (int)n;
    return value;
}

size_t address_defaults(struct address addresses[ADDRESS_DEFAULTS_MAX])
{
    char host[256] = "";
    const char *path;
    size_t count = 0;
    int length;

    path = folder("XDG_RUNTIME_DIR", &length);
    if (path)
        count = append(addresses, count, "%.*s/embmond.sock", length, path);
    count = append(addresses, count, "/run/user/%lu/embmond.sock", (unsigned long)geteuid());
    path = folder("HOME", &length);
    if (path && gethostname(host, sizeof host - 1) == 0 && host[0] != '\0' && !strchr(host, '/'))
        count = append(addresses, count, "%.*s/.embmond/%s.sock", length, path, host);
    return count;
}
