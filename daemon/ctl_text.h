/* Text on a screen: how many columns it takes, cut to fit, wrapped between words. What would move
 * the cursor, or the text around it, becomes '?'; so does, where the screen is not UTF-8, each
 * character it has no byte for. */
#ifndef EMBMON_DAEMON_CTL_TEXT_H
#define EMBMON_DAEMON_CTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* utf8: the LC_CTYPE in force is a UTF-8 one; it knows the widths. */

size_t text_columns(const char *text, bool utf8);

/* Copies the text to `to`, cut to fit: what acts on a terminal, or is no text, becomes '?'. */
const char *text_plain(char *to, size_t size, const char *text);

/* Writes the text, cut with a sign of it where it takes more than so many columns. Returns the
 * columns it took. */
size_t text_put(FILE *out, const char *text, size_t columns, bool utf8);

/* The same, filled up with blanks. */
void text_pad(FILE *out, const char *text, size_t columns, bool utf8);

/* Writes the first line of the text wrapped to so many columns, at least one character. Returns
 * where the next one begins: at the end, an empty string. */
const char *text_wrap(FILE *out, const char *text, size_t columns, bool utf8);

#endif
