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

bool glob_match_path(const char *pattern, const char *path)
{
    const char *slash = strchr(pattern, '/') ? NULL : strrchr(path, '/');

    return glob_match(pattern, slash ? slash + 1 : path);
}
