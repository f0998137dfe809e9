/* A YAML file as a tree, through libyaml; the only module that knows it. What a configuration has
 * no use for is an error here: several documents, anchors and aliases, tags, NUL, and what goes
 * beyond the ceilings below. Which keys there are is the caller's business. */
#ifndef EMBMON_DAEMON_YAML_H
#define EMBMON_DAEMON_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    YAML_BYTES_MAX = 1 << 20, /* of a file */
    YAML_NODES_MAX = 65536,
    YAML_DEPTH_MAX = 16,
    YAML_PROBLEM_MAX = 1024,
};

struct yaml_node {
    enum { YAML_IS_TEXT, YAML_IS_LIST, YAML_IS_MAP } kind;
    uint32_t line;    /* where it begins, from 1 on */
    bool quoted;      /* a text in quotes, or a block: cannot mean a number or a boolean */
    const char *text; /* UTF-8 */
    const struct yaml_node **items; /* of a list; of a map its keys and values in turn */
    size_t count;                   /* of these: twice the pairs of a map */
};

struct yaml_file; /* opaque: owns its nodes and their texts */

/* Reads a regular file; or takes what one holds, which is not kept. name: for problems. NULL:
 * problem says why, as "NAME:LINE: what is wrong: what to write instead". */
struct yaml_file *yaml_file_read(const char *path, char problem[YAML_PROBLEM_MAX]);
struct yaml_file *yaml_file_parse(const char *name, const char *text, size_t length,
                                  char problem[YAML_PROBLEM_MAX]);
void yaml_file_free(struct yaml_file *file);

/* NULL: nothing but comments stands in it. */
const struct yaml_node *yaml_file_root(const struct yaml_file *file);

/* Writes "NAME:LINE: " and the sentence. Always false. */
__attribute__((format(printf, 4, 5))) bool yaml_complain(char problem[YAML_PROBLEM_MAX],
                                                         const char *name, uint32_t line,
                                                         const char *format, ...);

/* A text of the file for use in a sentence: short, whole characters, nothing a terminal acts on.
 * Returns to->text. */
enum { YAML_EXCERPT_MAX = 60 };
struct yaml_excerpt {
    char text[YAML_EXCERPT_MAX + 4];
};
const char *yaml_excerpt(struct yaml_excerpt *to, const char *text);

#endif
