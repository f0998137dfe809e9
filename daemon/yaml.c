#include "daemon/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "proto/name.h"

struct yaml_file {
    yaml_document_t document; /* owns the texts */
    struct yaml_node *nodes;  /* [count], as the document numbers them, but from 0 on */
    const struct yaml_node **items;
    size_t count;
};

/* ---- problems */

bool yaml_complain(char problem[YAML_PROBLEM_MAX], const char *name, uint32_t line,
                   const char *format, ...)
{
    va_list arguments;
    int n = snprintf(problem, YAML_PROBLEM_MAX, "%.255s:%u: ", name, line);

    va_start(arguments, format);
    if (n > 0)
        (void)vsnprintf(problem + n, YAML_PROBLEM_MAX - (size_t)n, format, arguments);
    va_end(arguments);
    return false;
}

const char *yaml_excerpt(struct yaml_excerpt *to, const char *text)
{
    size_t used = 0;

    while (*text) {
        size_t n = 1;

        while (((unsigned char)text[n] & 0xc0) == 0x80)
            n++;
        if (used + n > YAML_EXCERPT_MAX)
            break;
        if (name_is_text(text, n)) {
            memcpy(to->text + used, text, n);
            used += n;
        } else {
            to->text[used++] = '?';
        }
        text += n;
    }
    strcpy(to->text + used, *text ? "..." : "");
    return to->text;
}

/* The line that this byte is in. */
static uint32_t line_of(const char *text, size_t length, size_t offset)
{
    uint32_t line = 1;

    for (size_t i = 0; i < length && i < offset; i++)
        line += text[i] == '\n';
    return line;
}

struct source {
    const char *name, *text;
    size_t length;
    char *problem; /* [YAML_PROBLEM_MAX] */
};

/* What libyaml makes of what is no YAML at all. */
static bool no_yaml(const struct source *source, const yaml_parser_t *parser)
{
    const char *what = parser->problem ? parser->problem : "it cannot be read";

    if (parser->error == YAML_MEMORY_ERROR)
        return yaml_complain(source->problem, source->name, 1, "out of memory");
    if (parser->error == YAML_READER_ERROR)
        return yaml_complain(source->problem, source->name,
                             line_of(source->text, source->length, parser->problem_offset),
                             "this is no text (%s): write the file as UTF-8", what);
    return yaml_complain(source->problem, source->name, (uint32_t)parser->problem_mark.line + 1,
                         "this is no YAML (%s): check the indentation (spaces, no tabs), colons "
                         "and quotes",
                         what);
}

/* ---- what may stand in a file */

struct census {
    size_t documents, nodes, depth;
};

static bool check_event(const struct source *source, const yaml_event_t *event, const char *anchor,
                        const char *tag, struct census *census)
{
    uint32_t line = (uint32_t)event->start_mark.line + 1;
    struct yaml_excerpt shown;

    if (anchor)
        return yaml_complain(source->problem, source->name, line,
                             "&%s is an anchor: write each value where it is meant",
                             yaml_excerpt(&shown, anchor));
    if (tag)
        return yaml_complain(source->problem, source->name, line,
                             "%s is a tag: write the plain value", yaml_excerpt(&shown, tag));
    if (++census->nodes > YAML_NODES_MAX)
        return yaml_complain(source->problem, source->name, line,
                             "the file holds more than %d values: shorten it", YAML_NODES_MAX);
    if (census->depth > YAML_DEPTH_MAX)
        return yaml_complain(source->problem, source->name, line,
                             "more than %d levels within each other: no key is that deep",
                             YAML_DEPTH_MAX);
    return true;
}

static bool take_event(const struct source *source, const yaml_event_t *event,
                       struct census *census)
{
    uint32_t line = (uint32_t)event->start_mark.line + 1;
    struct yaml_excerpt shown;

    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++census->documents > 1)
            return yaml_complain(source->problem, source->name, line,
                                 "a second document begins: write all into one");
        return true;
    case YAML_ALIAS_EVENT:
        yaml_excerpt(&shown, (const char *)event->data.alias.anchor);
        return yaml_complain(source->problem, source->name, line,
                             "*%s is an alias: write the value itself; a pattern that begins with "
                             "* goes in quotes, \"*%s\"",
                             shown.text, shown.text);
    case YAML_SCALAR_EVENT:
        return check_event(source, event, (const char *)event->data.scalar.anchor,
                           (const char *)event->data.scalar.tag, census);
    case YAML_SEQUENCE_START_EVENT:
        census->depth++;
        return check_event(source, event, (const char *)event->data.sequence_start.anchor,
                           (const char *)event->data.sequence_start.tag, census);
    case YAML_MAPPING_START_EVENT:
        census->depth++;
        return check_event(source, event, (const char *)event->data.mapping_start.anchor,
                           (const char *)event->data.mapping_start.tag, census);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        census->depth--;
        return true;
    default:
        return true;
    }
}

static bool begin(yaml_parser_t *parser, const struct source *source)
{
    if (!yaml_parser_initialize(parser))
        return yaml_complain(source->problem, source->name, 1, "out of memory");
    yaml_parser_set_input_string(parser, (const unsigned char *)source->text, source->length);
    return true;
}

/* A first look at all of it: the document that libyaml makes has no anchors any more, and is as
 * large as the file wants it. */
static bool check(const struct source *source)
{
    struct census census = {0};
    yaml_parser_t parser;
    bool fine = begin(&parser, source), end = false;

    if (!fine)
        return false;
    while (fine && !end) {
        yaml_event_t event;

        if (!yaml_parser_parse(&parser, &event)) {
            fine = no_yaml(source, &parser);
            break;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        fine = take_event(source, &event, &census);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return fine;
}

/* ---- the tree */

static bool load(const struct source *source, yaml_document_t *document)
{
    yaml_parser_t parser;

    if (!begin(&parser, source))
        return false;
    bool fine = yaml_parser_load(&parser, document) || no_yaml(source, &parser);
    yaml_parser_delete(&parser);
    return fine;
}

static size_t items_of(const yaml_node_t *node)
{
    if (node->type == YAML_SEQUENCE_NODE)
        return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (node->type == YAML_MAPPING_NODE)
        return 2 * (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    return 0;
}

/* The number, from 1 on, of an item. */
static int item_of(const yaml_node_t *node, size_t i)
{
    const yaml_node_pair_t *pair;

    if (node->type == YAML_SEQUENCE_NODE)
        return node->data.sequence.items.start[i];
    pair = &node->data.mapping.pairs.start[i / 2];
    return i % 2 ? pair->value : pair->key;
}

static bool copy_node(const struct source *source, struct yaml_file *file, const yaml_node_t *from,
                      struct yaml_node *to, size_t *used)
{
    to->line = (uint32_t)from->start_mark.line + 1;
    to->count = items_of(from);
    if (from->type == YAML_SCALAR_NODE) {
        to->kind = YAML_IS_TEXT;
        to->text = (const char *)from->data.scalar.value;
        to->quoted = from->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        if (strlen(to->text) != from->data.scalar.length)
            return yaml_complain(source->problem, source->name, to->line,
                                 "a text holds a NUL: leave it out");
        return true;
    }
    to->kind = from->type == YAML_MAPPING_NODE ? YAML_IS_MAP : YAML_IS_LIST;
    to->items = file->items + *used;
    for (size_t i = 0; i < to->count; i++)
        to->items[i] = &file->nodes[item_of(from, i) - 1];
    *used += to->count;
    return true;
}

static bool copy_tree(const struct source *source, struct yaml_file *file)
{
    const yaml_node_t *nodes = file->document.nodes.start;
    size_t items = 0, used = 0;
    bool fine = true;

    file->count = (size_t)(file->document.nodes.top - nodes);
    for (size_t i = 0; i < file->count; i++)
        items += items_of(&nodes[i]);
    file->nodes = calloc(file->count + 1, sizeof *file->nodes);
    file->items = calloc(items + 1, sizeof *file->items);
    if (!file->nodes || !file->items)
        return yaml_complain(source->problem, source->name, 1, "out of memory");
    for (size_t i = 0; i < file->count && fine; i++)
        fine = copy_node(source, file, &nodes[i], &file->nodes[i], &used);
    return fine;
}

struct yaml_file *yaml_file_parse(const char *name, const char *text, size_t length,
                                  char problem[YAML_PROBLEM_MAX])
{
    struct source source = {name, text, length, problem};
    struct yaml_file *file = calloc(1, sizeof *file);

    if (!file) {
        yaml_complain(problem, name, 1, "out of memory");
        return NULL;
    }
    if (!check(&source) || !load(&source, &file->document)) {
        free(file);
        return NULL;
    }
    if (!copy_tree(&source, file)) {
        yaml_file_free(file);
        return NULL;
    }
    return file;
}

void yaml_file_free(struct yaml_file *file)
{
    if (!file)
        return;
    yaml_document_delete(&file->document);
    free(file->nodes);
    free(file->items);
    free(file);
}

const struct yaml_node *yaml_file_root(const struct yaml_file *file)
{
    return file->count > 0 ? &file->nodes[0] : NULL;
}

/* ---- files */

/* Reads all of it; -1 and errno when that fails, more than YAML_BYTES_MAX when it is too large. */
static ssize_t read_all(int fd, char *text)
{
    size_t used = 0;
    ssize_t n;

    do {
        n = read(fd, text + used, YAML_BYTES_MAX + 1 - used);
        used += n > 0 ? (size_t)n : 0;
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n < 0 ? n : (ssize_t)used;
}

struct yaml_file *yaml_file_read(const char *path, char problem[YAML_PROBLEM_MAX])
{
    struct yaml_file *file = NULL;
    struct stat st;
    char *text = NULL;
    ssize_t length;
    /* Without waiting: a FIFO that nobody writes would hold the daemon up. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &st) != 0) {
        (void)snprintf(problem, YAML_PROBLEM_MAX,
                       "cannot read %.255s: %s: name a file that is there", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        (void)snprintf(problem, YAML_PROBLEM_MAX, "%.255s is no regular file: name one", path);
    } else if (!(text = malloc(YAML_BYTES_MAX + 1))) {
        yaml_complain(problem, path, 1, "out of memory");
    } else if ((length = read_all(fd, text)) < 0) {
        (void)snprintf(problem, YAML_PROBLEM_MAX, "cannot read %.255s: %s", path, strerror(errno));
    } else if (length > YAML_BYTES_MAX) {
        yaml_complain(problem, path, 1, "the file is larger than 1 MiB: shorten it");
    } else {
        file = yaml_file_parse(path, text, (size_t)length, problem);
    }
    free(text);
    if (fd >= 0)
        close(fd);
    return file;
}
