/*
 * Fills structs from a tree as the description says. Knows types, not meanings: what names refer to
 * and what belongs together is config.c's business.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "metrics/text.h"
#include "policy/arena.h"
#include "policy/config_raw.h"
#include "policy/config_schema.h"
#include "policy/image.h"

#define CONFIG_MAX_ITEMS 200000

/* All {items, count} pairs have one layout. */
struct config_items {
    void *items;
    size_t count;
};

static void *config_alloc(struct config_reader *reader, size_t count, size_t size)
{
    void *memory = arena_alloc(reader->arena, count, size);

    if (memory == NULL && !reader->is_out_of_memory) {
        reader->is_out_of_memory = true;
        config_error(reader, NULL, "no memory for the configuration");
    }
    return memory;
}

static const char *config_text_or_null(struct config_reader *reader, const char *text)
{
    const char *copy = arena_string(reader->arena, text);

    if (copy == NULL && !reader->is_out_of_memory) {
        reader->is_out_of_memory = true;
        config_error(reader, NULL, "no memory for the configuration");
    }
    return copy;
}

/* "one of deny, warn, audit" */
static const char *config_words_text(const char *words, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, strchr(words, '|') == NULL ? "" : "one of ");

    for (; *words != '\0' && used + 3 < size; words++) {
        if (*words == '|') {
            out[used++] = ',';
            out[used++] = ' ';
        } else {
            out[used++] = *words;
        }
    }
    out[used] = '\0';
    return out;
}

/* Position of TEXT among "a|b|c", or -1. */
static int config_word_index(const char *text, const char *words)
{
    size_t len = strlen(text);

    for (int i = 0; *words != '\0'; i++) {
        size_t word = strcspn(words, "|");

        if (word == len && memcmp(words, text, len) == 0) {
            return i;
        }
        words += word + (words[word] == '|' ? 1 : 0);
    }
    return -1;
}

static bool config_is_name(const char *text)
{
    static const char *const allowed =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    size_t len = strlen(text);

    return len > 0 && len <= 128 && strchr(allowed, text[0]) != NULL &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+-") ==
               len;
}

static bool config_is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t host = colon == NULL ? 0 : (size_t)(colon - text);
    int64_t port = 0;
    bool is_bracketed = host > 2 && text[0] == '[' && text[host - 1] == ']';
    size_t digits = colon == NULL ? 0 : strlen(colon + 1);

    if (host == 0 || host > 253 || digits == 0 || digits > 5 ||
        strspn(colon + 1, "0123456789") != digits) {
        return false;
    }
    for (const char *c = colon + 1; *c != '\0'; c++) {
        port = port * 10 + (*c - '0');
    }
    if (is_bracketed) {
        return port < 65536 && strspn(text + 1, "0123456789abcdefABCDEF:.%") >= host - 2;
    }
    return port < 65536 && memchr(text, ':', host) == NULL &&
           strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_") >=
               host;
}

/* host, host:port, [address] or [address]:port; which hosts there are is not looked at. */
static bool config_is_port(const char *authority, size_t len)
{
    const char *end = authority + len;
    const char *at = authority[0] == '[' ? memchr(authority, ']', len) : authority;
    const char *colon = at == NULL ? NULL : memchr(at, ':', (size_t)(end - at));
    size_t digits;

    if (at == NULL || len == 0 || authority[0] == ':') {
        return false;
    }
    if (colon == NULL) {
        return true;
    }
    digits = strspn(colon + 1, "0123456789");
    return digits > 0 && digits <= 5 && colon + 1 + digits == end;
}

static bool config_is_url(const char *text, bool is_file_too)
{
    const char *rest;

    if (strncmp(text, "https://", 8) == 0) {
        rest = text + 8;
    } else if (strncmp(text, "http://", 7) == 0) {
        rest = text + 7;
    } else {
        return is_file_too && strncmp(text, "file:///", 8) == 0;
    }
    if (strcspn(rest, "/") == 0 || memchr(rest, '@', strcspn(rest, "/")) != NULL) {
        return false; /* no host, or a password in the address */
    }
    if (!config_is_port(rest, strcspn(rest, "/?"))) {
        return false;
    }
    for (const char *c = rest; *c != '\0'; c++) {
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f || *c == '#') {
            return false;
        }
    }
    return true;
}

static const char *config_resolve(struct config_reader *reader, const char *path)
{
    if (path[0] == '/' || strcmp(reader->folder, "") == 0) {
        return config_text_or_null(reader, path);
    }
    return arena_printf(reader->arena, "%s/%s", reader->folder, path);
}

static bool config_is_env(const char *text)
{
    size_t len = strlen(text);

    return len > 3 && strncmp(text, "${", 2) == 0 && text[len - 1] == '}' &&
           strspn(text + 2, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") ==
               len - 3;
}

/* Where a field goes wrong: "policies: mode". */
static void config_bad(struct config_reader *reader, const struct config_field *field,
                       const struct yaml_node *node, const char *expected)
{
    config_error_found(reader, node, expected, field->words, field->name);
}

static void config_read_number(struct config_reader *reader, const struct config_field *field,
                               const struct yaml_node *node, const char *text, int64_t *out)
{
    char expected[160];
    int64_t value = 0;
    bool is_good = false;
    const char *form = "";

    if (field->words != NULL && config_word_index(text, field->words) >= 0) {
        *out = 0;
        return;
    }
    if (field->type == CONFIG_DURATION) {
        is_good = config_parse_duration(text, &value);
        form = "a duration such as 90s, 10m, 24h or 7d";
    } else if (field->type == CONFIG_SIZE) {
        is_good = config_parse_size(text, &value);
        form = "a size such as 512KiB, 8MiB or 10GiB";
    } else {
        size_t len = strspn(text, "0123456789");

        is_good = len > 0 && len < 16 && text[len] == '\0';
        value = is_good ? strtoll(text, NULL, 10) : 0;
        form = "a whole number";
    }
    if (is_good && value >= field->min && (field->max == 0 || value <= field->max)) {
        *out = value;
        return;
    }
    if (!is_good || field->type == CONFIG_SIZE) {
        (void)snprintf(expected, sizeof(expected), "%s%s%s", form,
                       is_good ? " within its limits" : "",
                       field->words == NULL ? "" : ", or auto");
    } else if (field->type == CONFIG_DURATION) {
        (void)snprintf(expected, sizeof(expected), "%s between %llds and %llds", form,
                       (long long)field->min, (long long)field->max);
    } else if (field->max != 0) {
        (void)snprintf(expected, sizeof(expected), "%s between %lld and %lld", form,
                       (long long)field->min, (long long)field->max);
    } else {
        (void)snprintf(expected, sizeof(expected), "%s of at least %lld", form,
                       (long long)field->min);
    }
    config_bad(reader, field, node, expected);
}

static void config_read_text(struct config_reader *reader, const struct config_field *field,
                             const struct yaml_node *node, const char *text, const char **out)
{
    if (text[0] == '\0' && field->type != CONFIG_TEXT) {
        config_bad(reader, field, node, "a text");
    } else if (field->type == CONFIG_NAME && !config_is_name(text)) {
        config_bad(reader, field, node, "a name of letters, digits and . _ - + @");
    } else if (field->type == CONFIG_ADDRESS && !config_is_address(text)) {
        config_bad(reader, field, node, "an address and port such as 127.0.0.1:5000");
    } else if (field->type == CONFIG_URL &&
               !config_is_url(text, (field->flags & CONFIG_FILE_URL) != 0)) {
        config_bad(reader, field, node,
                   (field->flags & CONFIG_FILE_URL) != 0
                       ? "an http(s): or file: address without user and password"
                       : "an http(s): address without user and password");
    } else if (field->type == CONFIG_INLINE && !config_is_env(text)) {
        /* The text is a secret: it must not be repeated. */
        config_error(reader, node,
                     "%s: secrets do not stand in the configuration; expected ${NAME} of an "
                     "environment variable, or use %s_file",
                     field->name, field->name);
    } else if (field->type == CONFIG_PATH || field->type == CONFIG_SECRET) {
        *out = config_resolve(reader, text);
    } else if (field->type == CONFIG_URL) {
        size_t len = strlen(text);

        while (len > 8 && text[len - 1] == '/') {
            len--;
        }
        *out = arena_copy(reader->arena, text, len);
    } else {
        *out = config_text_or_null(reader, text);
    }
}

static void config_read_scalar(struct config_reader *reader, const struct config_field *field,
                               const struct yaml_node *node, const char *text, char *out)
{
    char expected[512];
    int index;

    switch (field->type) {
    case CONFIG_TEXT:
    case CONFIG_NAME:
    case CONFIG_PATH:
    case CONFIG_SECRET:
    case CONFIG_INLINE:
    case CONFIG_URL:
    case CONFIG_ADDRESS:
        config_read_text(reader, field, node, text, (const char **)out);
        return;
    case CONFIG_BOOL:
        if (strcasecmp(text, "true") == 0 || strcasecmp(text, "false") == 0) {
            *(bool *)out = text[0] == 't' || text[0] == 'T';
        } else {
            config_bad(reader, field, node, "true or false");
        }
        return;
    case CONFIG_INT:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        config_read_number(reader, field, node, text, (int64_t *)out);
        return;
    case CONFIG_START:
    case CONFIG_LAST:
    case CONFIG_END:
        if (!config_parse_time(text, field->type, (int64_t *)out)) {
            config_bad(reader, field, node,
                       "a date such as 2026-12-31 or a time such as 2026-12-31T12:00:00Z");
        }
        return;
    case CONFIG_ENUM:
        index = config_word_index(text, field->words);
        if (index >= 0) {
            *(int *)out = index;
        } else {
            config_bad(reader, field, node,
                       config_words_text(field->words, expected, sizeof(expected)));
        }
        return;
    case CONFIG_TEXTS:
    case CONFIG_PATHS:
    case CONFIG_PAIRS:
    case CONFIG_OBJECT:
    case CONFIG_OBJECTS:
    case CONFIG_NAMED:
    case CONFIG_ANY:
        return;
    }
}

static void config_read_texts(struct config_reader *reader, const struct config_field *field,
                              const struct yaml_node *node, struct config_strings *out)
{
    if (node->kind != YAML_LIST) {
        config_bad(reader, field, node, "a list of texts");
        return;
    }
    out->items = config_alloc(reader, node->count, sizeof(const char *));
    if (out->items == NULL) {
        return;
    }
    for (const struct yaml_node *item = node->child; item != NULL; item = item->next) {
        if (item->kind != YAML_SCALAR || item->type == YAML_NULL || item->text[0] == '\0') {
            config_bad(reader, field, item, "a text");
            continue;
        }
        out->items[out->count] = field->type == CONFIG_PATHS
                                     ? config_resolve(reader, item->text)
                                     : config_text_or_null(reader, item->text);
        out->count += out->items[out->count] != NULL ? 1 : 0;
    }
}

static void config_read_pairs(struct config_reader *reader, const struct config_field *field,
                              const struct yaml_node *node, struct config_pairs *out)
{
    if (node->kind != YAML_MAP) {
        config_bad(reader, field, node, "a mapping of names to texts");
        return;
    }
    out->items = config_alloc(reader, node->count, sizeof(*out->items));
    if (out->items == NULL) {
        return;
    }
    for (const struct yaml_node *item = node->child; item != NULL; item = item->next) {
        if (item->kind != YAML_SCALAR || item->type == YAML_NULL) {
            config_bad(reader, field, item, "a text");
            continue;
        }
        out->items[out->count].name = item->key;
        out->items[out->count].value = item->text;
        out->count++;
    }
}

static void config_read_objects(struct config_reader *reader, const struct config_field *field,
                                const struct yaml_node *node, struct config_items *out)
{
    bool is_single = field->object->shorthand != NULL && node->kind == YAML_SCALAR;
    size_t count = is_single ? 1 : node->count;

    if (field->type == CONFIG_NAMED ? node->kind != YAML_MAP
                                    : node->kind != YAML_LIST && !is_single) {
        config_bad(reader, field, node,
                   field->type == CONFIG_NAMED ? "a mapping by name" : "a list");
        return;
    }
    out->count = 0; /* a default may stand there */
    out->items = config_alloc(reader, count, field->object->size);
    out->count = 0; /* the default was there before */
    if (out->items == NULL) {
        return;
    }
    if (is_single) {
        config_read_object(reader, field->object, node, out->items);
        out->count = 1;
        return;
    }
    for (const struct yaml_node *item = node->child; item != NULL; item = item->next) {
        void *place = (char *)out->items + out->count * field->object->size;

        config_read_object(reader, field->object, item, place);
        if (field->type == CONFIG_NAMED) {
            ((struct config_at *)place)->name = item->key;
        }
        out->count++;
    }
}

static void config_read_any(struct config_reader *reader, const struct config_field *field,
                            const struct yaml_node *node, const struct yaml_node **out)
{
    char expected[256];

    if ((field->flags & CONFIG_SCALAR) != 0 && node->kind != YAML_SCALAR) {
        config_bad(reader, field, node, "a single value");
    } else if ((field->flags & CONFIG_LIST) != 0 && node->kind != YAML_LIST) {
        config_bad(reader, field, node, "a list");
    } else if ((field->flags & CONFIG_WORD) != 0 && node->kind == YAML_MAP) {
        void *place = config_alloc(reader, 1, field->object->size);

        if (place != NULL) {
            config_read_object(reader, field->object, node, place);
        }
    } else if ((field->flags & CONFIG_WORD) != 0 &&
               (node->kind != YAML_SCALAR || config_word_index(node->text, field->words) < 0)) {
        config_bad(reader, field, node,
                   config_words_text(field->words, expected, sizeof(expected)));
    }
    *out = node;
}

static void config_read_field(struct config_reader *reader, const struct config_field *field,
                              const struct yaml_node *node, char *out)
{
    switch (field->type) {
    case CONFIG_TEXTS:
    case CONFIG_PATHS:
        config_read_texts(reader, field, node, (struct config_strings *)out);
        break;
    case CONFIG_PAIRS:
        config_read_pairs(reader, field, node, (struct config_pairs *)out);
        break;
    case CONFIG_OBJECT: {
        void *place = config_alloc(reader, 1, field->object->size);

        if (place != NULL) {
            config_read_object(reader, field->object, node, place);
            *(void **)out = place;
        }
        break;
    }
    case CONFIG_OBJECTS:
    case CONFIG_NAMED:
        config_read_objects(reader, field, node, (struct config_items *)out);
        break;
    case CONFIG_ANY:
        config_read_any(reader, field, node, (const struct yaml_node **)out);
        break;
    case CONFIG_TEXT:
    case CONFIG_NAME:
    case CONFIG_PATH:
    case CONFIG_SECRET:
    case CONFIG_INLINE:
    case CONFIG_URL:
    case CONFIG_ADDRESS:
    case CONFIG_BOOL:
    case CONFIG_INT:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
    case CONFIG_START:
    case CONFIG_LAST:
    case CONFIG_END:
    case CONFIG_ENUM:
        if (node->kind != YAML_SCALAR || node->type == YAML_NULL) {
            config_bad(reader, field, node,
                       field->type == CONFIG_BOOL ? "true or false" : "a single value");
        } else if (field->type == CONFIG_BOOL && node->type != YAML_BOOL) {
            config_bad(reader, field, node, "true or false");
        } else if (field->type == CONFIG_INT && node->type == YAML_TEXT &&
                   (field->words == NULL || config_word_index(node->text, field->words) < 0)) {
            config_bad(reader, field, node,
                       field->words == NULL ? "a whole number" : "a whole number, or auto");
        } else {
            config_read_scalar(reader, field, node, node->text, out);
        }
        break;
    }
    if ((field->flags & CONFIG_NOT_EMPTY) != 0 && node->kind == YAML_LIST && node->count == 0) {
        config_error(reader, node, "%s: an empty list; expected at least one item", field->name);
    }
    if ((field->flags & CONFIG_LATER) != 0 && !(field->type == CONFIG_BOOL && !*(bool *)out)) {
        config_error_at_key(reader, node, "%s: not supported yet", field->name);
    }
}

/* What a field holds when the file does not name it. */
static void config_default(struct config_reader *reader, const struct config_field *field,
                           char *out)
{
    struct yaml_node node = {.kind = YAML_SCALAR, .text = field->fallback, .line = 0};

    if (field->type == CONFIG_LAST || field->type == CONFIG_END) {
        *(int64_t *)out = INT64_MAX;
    } else if (field->type == CONFIG_START) {
        *(int64_t *)out = INT64_MIN;
    } else if (field->type == CONFIG_OBJECT && (field->flags & CONFIG_PRESENT) != 0) {
        static const struct yaml_node empty = {.kind = YAML_MAP};
        void *place = config_alloc(reader, 1, field->object->size);

        if (place != NULL) {
            config_read_object(reader, field->object, &empty, place);
            *(void **)out = place;
        }
    } else if (field->type == CONFIG_OBJECTS && field->fallback != NULL) {
        config_read_objects(reader, field, &node, (struct config_items *)out);
    } else if (field->fallback != NULL) {
        config_read_scalar(reader, field, &node, field->fallback, out);
    }
}

static void config_unknown_key(struct config_reader *reader, const struct config_object *object,
                               const struct yaml_node *item)
{
    char words[1024] = "";
    char near[CONFIG_MAX_NEAREST];
    char message[1400];
    const char *nearest;
    size_t used = 0;

    for (size_t i = 0; i < object->field_count; i++) {
        used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%s", i == 0 ? "" : "|",
                                 object->fields[i].name);
    }
    nearest = config_nearest(item->key, words, near, sizeof(near));
    if (nearest != NULL) {
        (void)snprintf(message, sizeof(message),
                       "unknown key \"%.100s\" in %s; did you mean \"%s\"?", item->key,
                       object->name, nearest);
    } else {
        char expected[1100];

        (void)snprintf(message, sizeof(message), "unknown key \"%.100s\" in %s; expected %s",
                       item->key, object->name,
                       config_words_text(words, expected, sizeof(expected)));
    }
    config_problem_add(reader, CONFIG_ERROR, item->key_line, item->key_column, message, item->key,
                       words, nearest);
}

static const struct config_field *config_field_find(const struct config_object *object,
                                                    const char *name)
{
    for (size_t i = 0; i < object->field_count; i++) {
        if (strcmp(object->fields[i].name, name) == 0) {
            return &object->fields[i];
        }
    }
    return NULL;
}

static void config_check_one_of(struct config_reader *reader, const struct config_object *object,
                                const struct yaml_node *node)
{
    const struct yaml_node *first = NULL;
    char expected[512];

    if (object->one_of == NULL) {
        return;
    }
    for (const struct yaml_node *item = node->child; item != NULL; item = item->next) {
        if (config_word_index(item->key, object->one_of) < 0) {
            continue;
        }
        if (first != NULL) {
            config_error_at_key(reader, item, "%s: \"%s\" beside \"%s\"; expected only %s",
                                object->name, item->key, first->key,
                                config_words_text(object->one_of, expected, sizeof(expected)));
        }
        first = item;
    }
    if (first == NULL) {
        config_error(reader, node, "%s: expected %s", object->name,
                     config_words_text(object->one_of, expected, sizeof(expected)));
    }
}

void config_read_object(struct config_reader *reader, const struct config_object *object,
                        const struct yaml_node *node, void *out)
{
    struct config_at *at = out;
    uint64_t seen = 0;

    at->node = node;
    at->file = reader->file;
    if (node->kind == YAML_SCALAR && object->shorthand != NULL && node->type != YAML_NULL) {
        const struct config_field *field = config_field_find(object, object->shorthand);

        config_read_field(reader, field, node, (char *)out + field->offset);
        seen = UINT64_C(1) << (size_t)(field - object->fields);
    } else if (node->kind != YAML_MAP) {
        config_error_found(reader, node, "a mapping", NULL, object->name);
        return;
    } else {
        for (const struct yaml_node *item = node->child; item != NULL; item = item->next) {
            const struct config_field *field = config_field_find(object, item->key);

            if (field == NULL) {
                config_unknown_key(reader, object, item);
                continue;
            }
            seen |= UINT64_C(1) << (size_t)(field - object->fields);
            config_default(reader, field, (char *)out + field->offset);
            config_read_field(reader, field, item, (char *)out + field->offset);
        }
        config_check_one_of(reader, object, node);
    }
    for (size_t i = 0; i < object->field_count; i++) {
        const struct config_field *field = &object->fields[i];

        if ((seen >> i & 1) != 0) {
            continue;
        }
        config_default(reader, field, (char *)out + field->offset);
        if ((field->flags & CONFIG_REQUIRED) != 0) {
            config_error(reader, node, "%s: \"%s\" is missing", object->name, field->name);
        }
    }
}
