#include "proto/name.h"

#include <stdint.h>
#include <string.h>

/* The first of the n bytes as a code point, and in *length its bytes; -1 when they are not UTF-8.
 * The table of RFC 3629 section 4: the second byte's range is what rules out overlong forms,
 * surrogates and all beyond U+10FFFF. */
static int32_t code_point(const uint8_t *p, size_t n, size_t *length)
{
    uint8_t low = 0x80, high = 0xbf;
    int32_t point;

    *length = 1;
    if (p[0] < 0x80)
        return p[0];
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return -1;
    *length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (*length > n)
        return -1;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return -1;
    point = p[0] & (0x7f >> *length);
    for (size_t i = 1; i < *length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return -1;
        point = point << 6 | (p[i] & 0x3f);
    }
    return point;
}

struct range {
    int32_t first, last;
};

static bool is_among(int32_t point, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (point >= ranges[i].first && point <= ranges[i].last)
            return true;
    return false;
}

#define AMONG(point, ranges) is_among(point, ranges, sizeof(ranges) / sizeof(ranges)[0])

/* What acts on a terminal, ends a line, turns round or hides what stands beside it: controls, line
 * separators, marks, embeddings, overrides and isolates of direction, spaces without width,
 * invisible operators, annotations, tags. */
static bool is_mischief(int32_t point)
{
    static const struct range ranges[] = {
        {-1, 0x1f},       {0x7f, 0x9f},     {0x61c, 0x61c},     {0x180e, 0x180e},
        {0x200b, 0x200b}, {0x200e, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f},
        {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0x1d173, 0x1d17a}, {0xe0000, 0xe007f},
    };

    return point < 0 || AMONG(point, ranges);
}

/* What text may need, as Persian and emoji do, and nobody sees: two names must not differ by it.
 * With the above these are Unicode's default ignorable characters. */
static bool is_unseen(int32_t point)
{
    static const struct range ranges[] = {
        {0xad, 0xad},     {0x34f, 0x34f},   {0x115f, 0x1160},   {0x17b4, 0x17b5},
        {0x180b, 0x180f}, {0x200c, 0x200d}, {0x3164, 0x3164},   {0xfe00, 0xfe0f},
        {0xffa0, 0xffa0}, {0xfff0, 0xfff8}, {0x1bca0, 0x1bca3}, {0xe0080, 0xe0fff},
    };

    return AMONG(point, ranges);
}

static bool is_plain(const char *text, size_t n, bool seen)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t length;

    for (; n > 0; p += length, n -= length) {
        int32_t point = code_point(p, n, &length);

        if (is_mischief(point) || (seen && is_unseen(point)))
            return false;
    }
    return true;
}

bool name_is_text(const char *text, size_t n)
{
    return is_plain(text, n, false);
}

size_t name_character(const char *text)
{
    unsigned char lead = (unsigned char)*text;
    size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    return strnlen(text, length) == length && name_is_text(text, length) ? length : 0;
}

bool name_is_path(const char *name)
{
    size_t n = strnlen(name, NAME_LAYER_MAX + 1);

    if (n == 0 || n > NAME_LAYER_MAX || !is_plain(name, n, true))
        return false;
    return name[0] != '/' && name[n - 1] != '/' && !strstr(name, "//");
}

bool name_is_key(const char *name)
{
    size_t n = strnlen(name, DETECTOR_MAX + 1);

    if (n == 0 || n > DETECTOR_MAX || name[0] < 'a' || name[0] > 'z')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

bool name_is_glob(const char *pattern)
{
    size_t n = strnlen(pattern, GLOB_MAX + 1);

    return n > 0 && n <= GLOB_MAX && name_is_text(pattern, n);
}

bool name_is_detector(const char *name)
{
    return strnlen(name, DETECTOR_MAX + 1) <= DETECTOR_MAX && name_is_path(name);
}

static bool starts_part(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool continues_part(char c)
{
    return starts_part(c) || c == '.' || c == '=' || c == '+' || c == '-';
}

/* Below a run's folder this one holds its files: a run of that name, or in it, would put its own
 * among them. */
static bool is_reserved(const char *name, const char *part, size_t n)
{
    static const char files[] = "embmon";

    return part > name && n == sizeof files - 1 && memcmp(part, files, n) == 0;
}

bool name_is_run(const char *name)
{
    size_t n = strnlen(name, NAME_RUN_MAX + 1), parts = 0, length = 0;

    if (n == 0 || n > NAME_RUN_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (length == 0) {
            if (!starts_part(name[i]) || ++parts > NAME_PARTS_MAX)
                return false;
            length = 1;
        } else if (name[i] == '/') {
            if (is_reserved(name, name + i - length, length))
                return false;
            length = 0;
        } else if (!continues_part(name[i]) || ++length > NAME_PART_MAX) {
            return false;
        }
    }
    return length > 0 && !is_reserved(name, name + n - length, length);
}
