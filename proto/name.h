/* What a run, a layer, a variable and a scalar may be called. Checked before a name reaches a path,
 * a tag or a log line; a bad name is refused, never repaired, so that two names never become one.
 */
#ifndef EMBMON_PROTO_NAME_H
#define EMBMON_PROTO_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum {
    NAME_PART_MAX = 128,  /* bytes of one part */
    NAME_PARTS_MAX = 8,   /* parts of a run's name */
    NAME_RUN_MAX = 512,   /* bytes of a run's name */
    NAME_LAYER_MAX = 255, /* bytes of a layer's path, a variable's or a scalar's name */
    DETECTOR_MAX = 31,    /* bytes of a detector's name, and of a threshold's key */
    GLOB_MAX = 255,       /* bytes of a pattern of layers */
};

/* Scalars of the monitor's own that a client posts, called as their tags. */
#define NAME_OVERHEAD "embmond/overhead_percent"
#define NAME_EVERY    "embmond/sampled_every"

/* A run: parts of [A-Za-z0-9_][A-Za-z0-9_.=+-]* joined by single '/', as a folder below the logdir;
 * none behind the first is "embmon", where the files of the run before it are. */
bool name_is_run(const char *name);

/* A layer's path, a variable or a scalar: 1 ... 255 bytes of text as below, without characters that
 * nobody sees, not starting or ending with '/', no empty part. Frameworks name layers freely
 * ("tf.math.add:0"). */
bool name_is_path(const char *name);

/* The key of a detector's threshold: 1 ... 31 of [a-z0-9_], a letter first. */
bool name_is_key(const char *name);

/* A pattern of layers: 1 ... 255 bytes of text as below. */
bool name_is_glob(const char *pattern);

/* A detector's name as it may be asked for: a path of at most 31 bytes. */
bool name_is_detector(const char *name);

/* The n bytes are valid UTF-8 (RFC 3629: no overlong forms, no surrogates) without NUL, other
 * control characters (C0, DEL, C1), the line separators U+2028 and U+2029, and what turns round or
 * hides the text beside it, such as U+202E and U+200B. */
bool name_is_text(const char *text, size_t n);

/* Bytes of the character that the text, ended by a NUL, begins with; 0 where it begins with what is
 * no text, or with its end. */
size_t name_character(const char *text);

#endif
