#include "daemon/glob.h"

#include <string.h>

/* Behind the character that begins here. */
static const char *next_character(const char *text)
{
    text++;
    while (((unsigned char)*text & 0xc0) == 0x80)
        text++;
    return text;
}

/* Two pointers: where it does not go on, the last star takes one character more. Stars before it
 * need no second look: they took as little as they could, so that all that follows has most room.
 */
bool glob_match(const char *pattern, const char *text)
{
    const char *star = NULL, *taken = NULL;

    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            taken = text;
        } else if (*pattern == '?') {
            pattern++;
            text = next_character(text);
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = taken = next_character(taken);
        } else {
            return false;
        }
    }
    return pattern[strspn(pattern, "*")] == '\0';
}

/* What a pattern is compared with: without a slash in it the last part. */
static const char *subject(bool whole, const char *path)
{
    const char *slash = whole ? NULL : strrchr(path, '/');

    return slash ? slash + 1 : path;
}

bool glob_match_path(const char *pattern, const char *path)
{
    return glob_match(pattern, subject(strchr(pattern, '/') != NULL, path));
}

/* ---- one pattern for many paths
 *
 * State n: n characters of the pattern, stars not counted, are done with. A star before the next
 * one lets its state last. A byte takes all states at once a step further, so that the time is the
 * text's length, whatever the pattern: a trainer chooses both. */

static void set_bit(uint64_t *words, size_t bit)
{
    words[bit / 64] |= UINT64_C(1) << bit % 64;
}

/* In UTF-8: not a character's first byte. */
static bool continues(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

void glob_compile(struct glob *glob, const char *pattern)
{
    memset(glob, 0, sizeof *glob);
    glob->whole = strchr(pattern, '/') != NULL;
    for (; *pattern && glob->length < GLOB_MAX; pattern++) {
        if (*pattern == '*') {
            set_bit(glob->lasts[0], glob->length);
            set_bit(glob->lasts[1], glob->length);
        } else if (*pattern == '?') {
            for (unsigned byte = 0; byte < 256; byte++)
                if (!continues((uint8_t)byte))
                    set_bit(glob->takes[byte], glob->length);
            set_bit(glob->lasts[1], ++glob->length); /* the rest of that character */
        } else {
            set_bit(glob->takes[(uint8_t)*pattern], glob->length++);
        }
    }
    for (; *pattern == '*'; pattern++) { /* behind a pattern of full length */
        set_bit(glob->lasts[0], glob->length);
        set_bit(glob->lasts[1], glob->length);
    }
}

bool glob_matches_path(const struct glob *glob, const char *path)
{
    uint64_t states[GLOB_WORDS] = {1}, any = 1;

    for (const char *text = subject(glob->whole, path); *text && any; text++) {
        const uint64_t *takes = glob->takes[(uint8_t)*text];
        const uint64_t *lasts = glob->lasts[continues((uint8_t)*text)];
        uint64_t carry = 0;

        any = 0;
        for (size_t i = 0; i < GLOB_WORDS; i++) {
            uint64_t taken = states[i] & takes[i];

            states[i] = (states[i] & lasts[i]) | taken << 1 | carry;
            carry = taken >> 63;
            any |= states[i];
        }
    }
    return states[glob->length / 64] >> glob->length % 64 & 1;
}
