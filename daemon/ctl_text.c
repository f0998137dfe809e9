#include "daemon/ctl_text.h"

#include <stdint.h>
#include <string.h>
#include <wchar.h>

#include "proto/name.h"

struct character {
    size_t bytes;   /* of the text */
    size_t columns; /* on the screen */
    bool replaced;  /* by '?' */
};

/* Invisible characters that reorder or join what stands beside them. */
static bool is_mischief(wchar_t c)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0x061c, 0x061c}, {0x200b, 0x200f}, {0x202a, 0x202e},
                  {0x2060, 0x206f}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}};

    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if ((uint32_t)c >= ranges[i].first && (uint32_t)c <= ranges[i].last)
            return true;
    return false;
}

/* Bytes up to the next character, as far as UTF-8 tells. */
static size_t unknown_bytes(const char *text)
{
    size_t n = 1;

    while (((unsigned char)text[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* The first character; bytes 0 at the end. */
static struct character next(const char *text, bool utf8)
{
    mbstate_t state = {0};
    wchar_t wide;
    size_t bytes;
    int columns;

    if (*text == '\0')
        return (struct character){0};
    if ((unsigned char)*text < 0x80) {
        bool plain = *text >= ' ' && *text != 0x7f;
        return (struct character){1, 1, !plain};
    }
    if (!utf8)
        return (struct character){unknown_bytes(text), 1, true};
    bytes = mbrtowc(&wide, text, strlen(text), &state);
    if (bytes > 4) /* (size_t)-1 and -2: it is not UTF-8 */
        return (struct character){unknown_bytes(text), 1, true};
    columns = wcwidth(wide);
    if (columns < 0 || is_mischief(wide))
        return (struct character){bytes, 1, true};
    return (struct character){bytes, (size_t)columns, false};
}

static void put_character(FILE *out, const char *text, struct character c)
{
    if (c.replaced)
        fputc('?', out);
    else
        fwrite(text, 1, c.bytes, out);
}

const char *text_plain(char *to, size_t size, const char *text)
{
    size_t used = 0;

    while (*text) {
        size_t n = name_character(text);

        if (size - used <= (n ? n : 1))
            break;
        memcpy(to + used, n ? text : "?", n ? n : 1);
        used += n ? n : 1;
        text += n ? n : unknown_bytes(text);
    }
    to[used] = '\0';
    return to;
}

size_t text_columns(const char *text, bool utf8)
{
    size_t columns = 0;

    for (struct character c; (c = next(text, utf8)).bytes > 0; text += c.bytes)
        columns += c.columns;
    return columns;
}

size_t text_put(FILE *out, const char *text, size_t columns, bool utf8)
{
    bool whole = text_columns(text, utf8) <= columns;
    size_t used = 0, room = whole ? columns : columns - (columns > 0);

    for (struct character c; (c = next(text, utf8)).bytes > 0; text += c.bytes) {
        if (used + c.columns > room)
            break;
        put_character(out, text, c);
        used += c.columns;
    }
    if (!whole && columns > 0) {
        fputs(utf8 ? "\xe2\x80\xa6" : "~", out);
        used++;
    }
    return used;
}

void text_pad(FILE *out, const char *text, size_t columns, bool utf8)
{
    for (size_t used = text_put(out, text, columns, utf8); used < columns; used++)
        fputc(' ', out);
}

const char *text_wrap(FILE *out, const char *text, size_t columns, bool utf8)
{
    const char *at = text, *end = NULL;
    size_t used = 0;

    for (struct character c; (c = next(at, utf8)).bytes > 0; at += c.bytes) {
        if (*at == ' ')
            end = at;
        if (used + c.columns > columns && at > text)
            break;
        used += c.columns;
    }
    if (*at == '\0' || !end || end == text)
        end = at;
    for (struct character c; text < end; text += c.bytes) {
        c = next(text, utf8);
        put_character(out, text, c);
    }
    while (*text == ' ')
        text++;
    return text;
}
