#include "policy/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "metrics/error.h"
#include "policy/arena.h"

#define YAML_MAX_ANCHORS 1000

struct yaml_anchor {
    const char *name;
    struct yaml_node *node;
    bool is_open; /* still being read: an alias to it would be a cycle */
};

struct yaml_reader {
    yaml_parser_t parser;
    struct arena *arena;
    struct gh_error *err;
    uint32_t line, column; /* of the failure */
    size_t node_count;
    size_t alias_count;
    struct yaml_anchor *anchors;
    size_t anchor_count;
};

static bool yaml_fail(struct yaml_reader *reader, yaml_mark_t mark, enum gh_cause cause,
                      const char *text)
{
    reader->line = (uint32_t)mark.line + 1;
    reader->column = (uint32_t)mark.column + 1;
    return gh_fail(reader->err, cause, "%s", text);
}

/* The next event. Its memory is the caller's to delete. */
static bool yaml_next(struct yaml_reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event) == 1) {
        return true;
    }
    memset(event, 0, sizeof(*event));
    if (reader->parser.error == YAML_MEMORY_ERROR) {
        return gh_fail(reader->err, GH_INTERNAL_ERROR, "no memory to read the document");
    }
    if (reader->parser.error == YAML_READER_ERROR) {
        reader->line = (uint32_t)reader->parser.mark.line + 1;
        reader->column = (uint32_t)reader->parser.mark.column + 1;
        return gh_fail(reader->err, GH_MALFORMED_JSON, "not valid YAML: %s at byte %zu",
                       reader->parser.problem == NULL ? "error" : reader->parser.problem,
                       reader->parser.problem_offset);
    }
    reader->line = (uint32_t)reader->parser.problem_mark.line + 1;
    reader->column = (uint32_t)reader->parser.problem_mark.column + 1;
    return gh_fail(reader->err, GH_MALFORMED_JSON, "not valid YAML: %s",
                   reader->parser.problem == NULL ? "error" : reader->parser.problem);
}

static bool yaml_is_word(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

/* YAML 1.2 core schema: [-+]? [0-9]+, 0o and 0x. */
static bool yaml_is_int(const char *text)
{
    const char *digits = "0123456789";

    if (strncmp(text, "0x", 2) == 0 || strncmp(text, "0o", 2) == 0) {
        digits = text[1] == 'x' ? "0123456789abcdefABCDEF" : "01234567";
        text += 2;
    } else if (*text == '-' || *text == '+') {
        text++;
    }
    return *text != '\0' && strspn(text, digits) == strlen(text);
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool yaml_is_float(const char *text)
{
    static const char *const special[] = {".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", NULL};
    size_t whole;
    size_t part = 0;

    if (yaml_is_word(text, special)) {
        return true;
    }
    if (*text == '-' || *text == '+') {
        text++;
        if (yaml_is_word(text, special + 3)) {
            return true;
        }
    }
    whole = strspn(text, "0123456789");
    text += whole;
    if (*text == '.') {
        text++;
        part = strspn(text, "0123456789");
        text += part;
    }
    if (whole + part == 0) {
        return false;
    }
    if (*text == 'e' || *text == 'E') {
        text++;
        if (*text == '-' || *text == '+') {
            text++;
        }
        part = strspn(text, "0123456789");
        if (part == 0) {
            return false;
        }
        text += part;
    }
    return *text == '\0';
}

static void yaml_type_scalar(struct yaml_node *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};

    if (yaml_is_word(node->text, nulls)) {
        node->type = YAML_NULL;
    } else if (yaml_is_word(node->text, trues)) {
        node->type = YAML_BOOL;
        node->boolean = true;
    } else if (yaml_is_word(node->text, falses)) {
        node->type = YAML_BOOL;
    } else if (yaml_is_int(node->text)) {
        node->type = YAML_INT;
    } else if (yaml_is_float(node->text)) {
        node->type = YAML_FLOAT;
    }
}

static struct yaml_node *yaml_node_new(struct yaml_reader *reader, enum yaml_kind kind,
                                       const yaml_event_t *event)
{
    struct yaml_node *node = NULL;

    if (++reader->node_count > YAML_MAX_NODES) {
        (void)yaml_fail(reader, event->start_mark, GH_COUNT_LIMIT_EXCEEDED,
                        "the document has too many values");
        return NULL;
    }
    node = arena_alloc(reader->arena, 1, sizeof(*node));
    if (node == NULL) {
        (void)gh_fail(reader->err, GH_INTERNAL_ERROR, "no memory for the document");
        return NULL;
    }
    node->kind = kind;
    node->line = (uint32_t)event->start_mark.line + 1;
    node->column = (uint32_t)event->start_mark.column + 1;
    node->end_line = (uint32_t)event->end_mark.line + 1;
    node->end_column = (uint32_t)event->end_mark.column + 1;
    return node;
}

static bool yaml_remember(struct yaml_reader *reader, const yaml_char_t *anchor,
                          struct yaml_node *node, yaml_mark_t mark)
{
    struct yaml_anchor *slot;

    if (anchor == NULL) {
        return true;
    }
    if (reader->anchor_count == YAML_MAX_ANCHORS) {
        return yaml_fail(reader, mark, GH_COUNT_LIMIT_EXCEEDED, "too many anchors");
    }
    if (reader->anchors == NULL) {
        reader->anchors = calloc(YAML_MAX_ANCHORS, sizeof(*reader->anchors));
    }
    if (reader->anchors == NULL) {
        return gh_fail(reader->err, GH_INTERNAL_ERROR, "no memory for anchors");
    }
    slot = &reader->anchors[reader->anchor_count++];
    slot->name = arena_string(reader->arena, (const char *)anchor);
    slot->node = node;
    slot->is_open = true;
    if (slot->name == NULL) {
        return gh_fail(reader->err, GH_INTERNAL_ERROR, "no memory for anchors");
    }
    return true;
}

static void yaml_close_anchor(struct yaml_reader *reader, const struct yaml_node *node)
{
    for (size_t i = reader->anchor_count; i > 0; i--) {
        if (reader->anchors[i - 1].node == node) {
            reader->anchors[i - 1].is_open = false;
        }
    }
}

static struct yaml_node *yaml_clone(struct yaml_reader *reader, const struct yaml_node *from,
                                    yaml_mark_t mark)
{
    struct yaml_node *node;
    struct yaml_node *last = NULL;

    if (++reader->alias_count > YAML_MAX_ALIAS_NODES) {
        (void)yaml_fail(reader, mark, GH_COUNT_LIMIT_EXCEEDED, "aliases expand to too much");
        return NULL;
    }
    node = arena_alloc(reader->arena, 1, sizeof(*node));
    if (node == NULL) {
        (void)gh_fail(reader->err, GH_INTERNAL_ERROR, "no memory for the document");
        return NULL;
    }
    *node = *from;
    node->next = NULL;
    node->child = NULL;
    for (const struct yaml_node *child = from->child; child != NULL; child = child->next) {
        struct yaml_node *copy = yaml_clone(reader, child, mark);

        if (copy == NULL) {
            return NULL;
        }
        if (last == NULL) {
            node->child = copy;
        } else {
            last->next = copy;
        }
        last = copy;
    }
    return node;
}

static struct yaml_node *yaml_alias(struct yaml_reader *reader, const yaml_event_t *event,
                                    int depth)
{
    const char *name = (const char *)event->data.alias.anchor;

    /* The latest anchor of a name counts. */
    for (size_t i = reader->anchor_count; i > 0; i--) {
        const struct yaml_anchor *anchor = &reader->anchors[i - 1];

        if (strcmp(anchor->name, name) != 0) {
            continue;
        }
        if (anchor->is_open) {
            (void)yaml_fail(reader, event->start_mark, GH_MALFORMED_JSON,
                            "an alias inside the value it names");
            return NULL;
        }
        if ((uint32_t)depth + anchor->node->height > YAML_MAX_DEPTH) {
            /* Chains of aliases would otherwise nest without end. */
            (void)yaml_fail(reader, event->start_mark, GH_COUNT_LIMIT_EXCEEDED,
                            "values are nested too deeply");
            return NULL;
        }
        return yaml_clone(reader, anchor->node, event->start_mark);
    }
    (void)yaml_fail(reader, event->start_mark, GH_MALFORMED_JSON, "an alias without its anchor");
    return NULL;
}

static struct yaml_node *yaml_scalar(struct yaml_reader *reader, const yaml_event_t *event)
{
    size_t len = event->data.scalar.length;
    const char *tag = (const char *)event->data.scalar.tag;
    struct yaml_node *node = yaml_node_new(reader, YAML_SCALAR, event);

    if (node == NULL) {
        return NULL;
    }
    if (len > YAML_MAX_SCALAR_BYTES) {
        (void)yaml_fail(reader, event->start_mark, GH_SIZE_LIMIT_EXCEEDED, "the text is too long");
        return NULL;
    }
    if (memchr(event->data.scalar.value, 0, len) != NULL) {
        (void)yaml_fail(reader, event->start_mark, GH_MALFORMED_JSON, "a NUL in a text");
        return NULL;
    }
    if (tag != NULL && strcmp(tag, YAML_STR_TAG) != 0) {
        (void)yaml_fail(reader, event->start_mark, GH_MALFORMED_JSON, "tags are not accepted");
        return NULL;
    }
    node->text = arena_copy(reader->arena, event->data.scalar.value, len);
    if (node->text == NULL) {
        (void)gh_fail(reader->err, GH_INTERNAL_ERROR, "no memory for the document");
        return NULL;
    }
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && tag == NULL) {
        yaml_type_scalar(node);
    }
    if (!yaml_remember(reader, event->data.scalar.anchor, node, event->start_mark)) {
        return NULL;
    }
    yaml_close_anchor(reader, node);
    return node;
}

static struct yaml_node *yaml_value(struct yaml_reader *reader, yaml_event_t *event, int depth);

static bool yaml_list(struct yaml_reader *reader, struct yaml_node *list, int depth)
{
    struct yaml_node *last = NULL;

    for (;;) {
        yaml_event_t event;
        struct yaml_node *item;

        GH_TRY(yaml_next(reader, &event));
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            list->end_line = (uint32_t)event.end_mark.line + 1;
            list->end_column = (uint32_t)event.end_mark.column + 1;
            yaml_event_delete(&event);
            return true;
        }
        item = yaml_value(reader, &event, depth + 1);
        if (item == NULL) {
            return false;
        }
        if (last == NULL) {
            list->child = item;
        } else {
            last->next = item;
        }
        last = item;
        list->count++;
    }
}

static int yaml_compare_keys(const void *a, const void *b)
{
    const struct yaml_node *const *left = a;
    const struct yaml_node *const *right = b;
    int order = strcmp((*left)->key, (*right)->key);

    if (order != 0) {
        return order;
    }
    if ((*left)->key_line != (*right)->key_line) {
        return (*left)->key_line < (*right)->key_line ? -1 : 1;
    }
    return (*left)->key_column < (*right)->key_column ? -1 : 1;
}

static bool yaml_unique(struct yaml_reader *reader, const struct yaml_node *map)
{
    const struct yaml_node **keys = NULL;
    const struct yaml_node *twice = NULL;
    size_t count = 0;

    if (map->count < 2) {
        return true;
    }
    keys = calloc(map->count, sizeof(const struct yaml_node *));
    if (keys == NULL) {
        return gh_fail(reader->err, GH_INTERNAL_ERROR, "no memory for the document");
    }
    for (const struct yaml_node *item = map->child; item != NULL; item = item->next) {
        keys[count++] = item;
    }
    qsort(keys, count, sizeof(const struct yaml_node *), yaml_compare_keys);
    for (size_t i = 1; i < count && twice == NULL; i++) {
        if (strcmp(keys[i - 1]->key, keys[i]->key) == 0) {
            twice = keys[i];
            reader->line = twice->key_line;
            reader->column = twice->key_column;
            (void)gh_fail(reader->err, GH_DUPLICATE_JSON_KEY,
                          "the key \"%.100s\" is given twice (first on line %u)", twice->key,
                          keys[i - 1]->key_line);
        }
    }
    free(keys);
    return twice == NULL;
}

static bool yaml_key(struct yaml_reader *reader, yaml_event_t *event, const char **key)
{
    bool is_text = event->type == YAML_SCALAR_EVENT && event->data.scalar.anchor == NULL;
    yaml_mark_t mark = event->start_mark;
    struct yaml_node *node = is_text ? yaml_scalar(reader, event) : NULL;

    yaml_event_delete(event);
    if (!is_text) {
        return yaml_fail(reader, mark, GH_MALFORMED_JSON, "a key must be a plain text");
    }
    if (node == NULL) {
        return false;
    }
    if (strcmp(node->text, "<<") == 0) {
        return yaml_fail(reader, mark, GH_MALFORMED_JSON,
                         "merge keys (<<) are not accepted; write the keys out");
    }
    *key = node->text;
    return true;
}

static bool yaml_map(struct yaml_reader *reader, struct yaml_node *map, int depth)
{
    struct yaml_node *last = NULL;

    for (;;) {
        yaml_event_t event;
        yaml_mark_t mark;
        const char *key = NULL;
        struct yaml_node *item;

        GH_TRY(yaml_next(reader, &event));
        if (event.type == YAML_MAPPING_END_EVENT) {
            map->end_line = (uint32_t)event.end_mark.line + 1;
            map->end_column = (uint32_t)event.end_mark.column + 1;
            yaml_event_delete(&event);
            return yaml_unique(reader, map);
        }
        mark = event.start_mark;
        GH_TRY(yaml_key(reader, &event, &key));
        GH_TRY(yaml_next(reader, &event));
        item = yaml_value(reader, &event, depth + 1);
        if (item == NULL) {
            return false;
        }
        item->key = key;
        item->key_line = (uint32_t)mark.line + 1;
        item->key_column = (uint32_t)mark.column + 1;
        if (last == NULL) {
            map->child = item;
        } else {
            last->next = item;
        }
        last = item;
        map->count++;
    }
}

static struct yaml_node *yaml_collection(struct yaml_reader *reader, const yaml_event_t *event,
                                         int depth)
{
    bool is_list = event->type == YAML_SEQUENCE_START_EVENT;
    const yaml_char_t *anchor =
        is_list ? event->data.sequence_start.anchor : event->data.mapping_start.anchor;
    const yaml_char_t *tag =
        is_list ? event->data.sequence_start.tag : event->data.mapping_start.tag;
    struct yaml_node *node = yaml_node_new(reader, is_list ? YAML_LIST : YAML_MAP, event);

    if (node == NULL) {
        return NULL;
    }
    node->is_flow = is_list ? event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE
                            : event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
    if (tag != NULL) {
        (void)yaml_fail(reader, event->start_mark, GH_MALFORMED_JSON, "tags are not accepted");
        return NULL;
    }
    if (!yaml_remember(reader, anchor, node, event->start_mark) ||
        !(is_list ? yaml_list(reader, node, depth) : yaml_map(reader, node, depth))) {
        return NULL;
    }
    for (const struct yaml_node *child = node->child; child != NULL; child = child->next) {
        node->height = GH_MAX(node->height, child->height + 1);
    }
    yaml_close_anchor(reader, node);
    return node;
}

/* Reads the value that begins with EVENT, and deletes EVENT. */
static struct yaml_node *yaml_value(struct yaml_reader *reader, yaml_event_t *event, int depth)
{
    struct yaml_node *node = NULL;

    if (depth > YAML_MAX_DEPTH) {
        (void)yaml_fail(reader, event->start_mark, GH_COUNT_LIMIT_EXCEEDED,
                        "values are nested too deeply");
    } else if (event->type == YAML_SCALAR_EVENT) {
        node = yaml_scalar(reader, event);
    } else if (event->type == YAML_ALIAS_EVENT) {
        node = yaml_alias(reader, event, depth);
    } else if (event->type == YAML_SEQUENCE_START_EVENT ||
               event->type == YAML_MAPPING_START_EVENT) {
        node = yaml_collection(reader, event, depth);
    } else {
        (void)yaml_fail(reader, event->start_mark, GH_MALFORMED_JSON, "not valid YAML");
    }
    yaml_event_delete(event);
    return node;
}

static bool yaml_expect(struct yaml_reader *reader, yaml_event_type_t type, const char *otherwise)
{
    yaml_event_t event;
    bool is_as_expected;

    GH_TRY(yaml_next(reader, &event));
    is_as_expected = event.type == type;
    if (!is_as_expected) {
        (void)yaml_fail(reader, event.start_mark, GH_MALFORMED_JSON, otherwise);
    }
    yaml_event_delete(&event);
    return is_as_expected;
}

static bool yaml_document(struct yaml_reader *reader, const struct yaml_node **out)
{
    yaml_event_t event;
    struct yaml_node *root;

    GH_TRY(yaml_expect(reader, YAML_STREAM_START_EVENT, "not valid YAML"));
    GH_TRY(yaml_next(reader, &event));
    if (event.type == YAML_STREAM_END_EVENT) {
        yaml_event_delete(&event);
        *out = NULL;
        return true;
    }
    yaml_event_delete(&event); /* the start of the document */
    GH_TRY(yaml_next(reader, &event));
    root = yaml_value(reader, &event, 1);
    if (root == NULL) {
        return false;
    }
    GH_TRY(yaml_expect(reader, YAML_DOCUMENT_END_EVENT, "not valid YAML"));
    GH_TRY(yaml_expect(reader, YAML_STREAM_END_EVENT, "more than one document in the file"));
    *out = root;
    return true;
}

bool yaml_read(struct bytes in, struct arena *arena, const struct yaml_node **out, uint32_t *line,
               uint32_t *column, struct gh_error *err)
{
    struct yaml_reader reader = {.arena = arena, .err = err};
    bool is_read;

    *line = 0;
    *column = 0;
    if (in.len > YAML_MAX_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "the file is larger than %u bytes",
                       YAML_MAX_BYTES);
    }
    if (yaml_parser_initialize(&reader.parser) != 1) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the YAML parser");
    }
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, in.data == NULL ? (const uint8_t *)"" : in.data,
                                 in.len);
    is_read = yaml_document(&reader, out);
    yaml_parser_delete(&reader.parser);
    free(reader.anchors);
    *line = reader.line;
    *column = reader.column;
    return is_read;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    if (map == NULL || map->kind != YAML_MAP) {
        return NULL;
    }
    for (const struct yaml_node *item = map->child; item != NULL; item = item->next) {
        if (strcmp(item->key, key) == 0) {
            return item;
        }
    }
    return NULL;
}

const struct yaml_node *yaml_at(const struct yaml_node *node, size_t index)
{
    const struct yaml_node *item = node == NULL ? NULL : node->child;

    while (item != NULL && index-- > 0) {
        item = item->next;
    }
    return item;
}

const char *yaml_describe(const struct yaml_node *node, char *out, size_t size)
{
    switch (node->kind) {
    case YAML_LIST:
        (void)snprintf(out, size, "a list");
        return out;
    case YAML_MAP:
        (void)snprintf(out, size, "a mapping");
        return out;
    case YAML_SCALAR:
        break;
    }
    if (node->type == YAML_NULL) {
        (void)snprintf(out, size, "nothing");
        return out;
    }
    (void)snprintf(out, size, node->type == YAML_TEXT ? "\"%.80s\"" : "%.80s", node->text);
    return out;
}
