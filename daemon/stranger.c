#include "daemon/stranger.h"

#include <string.h>

#define HTTP(method) "it speaks HTTP (" method "), and this is no web server"

static const struct {
    const char *first, *sentence;
} known[] = {
    {"GET ", HTTP("GET")},
    {"POST ", HTTP("POST")},
    {"HEAD ", HTTP("HEAD")},
    {"PUT ", HTTP("PUT")},
    {"OPTIONS ", HTTP("OPTIONS")},
    {"DELETE ", HTTP("DELETE")},
    {"PATCH ", HTTP("PATCH")},
    {"CONNECT ", HTTP("CONNECT")},
    {"TRACE ", HTTP("TRACE")},
    {"PRI * HTTP/2", HTTP("version 2")},
    {"\x16\x03", "it speaks TLS, and this port does not"},
    {"SSH-", "it speaks SSH"},
};

const char *stranger_speaks(const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t length = strlen(known[i].first);

        if (n >= length && memcmp(data, known[i].first, length) == 0)
            return known[i].sentence;
    }
    return "it does not speak embmond's protocol";
}
