#include "policy/import.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/import_work.h"

#define IMPORT_ARENA_BYTES (256u * 1024 * 1024)
#define IMPORT_MAX_FINDING_BYTES 600

struct import_entry {
    const char *name;
    void (*run)(struct import_work *work);
};

static const struct import_entry import_entries[IMPORT_FORMAT_COUNT] = {
    [IMPORT_NOTATION] = {"notation", import_notation},
    [IMPORT_CONTAINERS_POLICY] = {"containers-policy", import_containers},
    [IMPORT_CLUSTER_IMAGE_POLICY] = {"clusterimagepolicy", import_cluster_image_policy},
    [IMPORT_KYVERNO] = {"kyverno", import_kyverno},
    [IMPORT_CONNAISSEUR] = {"connaisseur", import_connaisseur},
    [IMPORT_BINAUTHZ] = {"binauthz", import_binauthz},
};

bool import_format_find(const char *name, enum import_format *out)
{
    for (size_t i = 0; i < GH_COUNT(import_entries); i++) {
        if (import_entries[i].name != NULL && strcmp(import_entries[i].name, name) == 0) {
            *out = (enum import_format)i;
            return true;
        }
    }
    return false;
}

const char *import_class_name(enum import_class class)
{
    switch (class) {
    case IMPORT_T:
        return "translated";
    case IMPORT_N:
        return "no effect";
    case IMPORT_A:
        return "stricter";
    case IMPORT_X:
        return "refused";
    }
    return "refused";
}

/* --- where a value stands ----------------------------------------------------------------- */

struct import_at import_root(const struct import_tree *tree)
{
    return (struct import_at){.node = tree->root, .path = "", .tree = tree};
}

struct import_at import_get(struct import_work *work, struct import_at at, const char *key)
{
    bool is_map = at.node != NULL && at.node->kind == YAML_MAP;
    struct import_at out = {.node = is_map ? yaml_get(at.node, key) : NULL, .tree = at.tree};

    out.path = import_printf(work, "%s%s%.100s", at.path, at.path[0] == '\0' ? "" : ".", key);
    if (out.node != NULL && out.node->kind == YAML_SCALAR && out.node->type == YAML_NULL) {
        out.node = NULL; /* an empty value is an absent one to every format */
    }
    return out;
}

struct import_at import_item(struct import_work *work, struct import_at at, size_t index)
{
    return (struct import_at){.node = at.node == NULL ? NULL : yaml_at(at.node, index),
                              .path = import_printf(work, "%s[%zu]", at.path, index),
                              .tree = at.tree};
}

size_t import_count(struct import_at at)
{
    return at.node == NULL ? 0 : at.node->count;
}

static void import_add_finding(struct import_work *work, enum import_class class,
                               struct import_at at, const char *text)
{
    struct import_result *result = work->result;
    uint32_t line = at.node == NULL ? 1 : at.node->line;

    if (result->finding_count == work->finding_room) {
        size_t room = work->finding_room == 0 ? 64 : work->finding_room * 2;
        struct import_finding *items = arena_alloc(work->arena, room, sizeof(*items));

        if (items == NULL || room > 2 * IMPORT_MAX_FINDINGS) {
            work->is_exhausted = true;
            return;
        }
        if (result->finding_count > 0) {
            memcpy(items, result->findings, result->finding_count * sizeof(*items));
        }
        result->findings = items;
        work->finding_room = room;
    }
    if (at.node != NULL && at.node->key != NULL) {
        line = at.node->key_line;
    }
    result->findings[result->finding_count++] = (struct import_finding){
        class, at.tree == NULL ? "" : at.tree->file,
        at.tree == NULL ? 0 : at.tree->line_base + line, at.path == NULL ? "" : at.path, text};
}

bool import_say(struct import_work *work, enum import_class class, struct import_at at,
                const char *format, ...)
{
    char text[IMPORT_MAX_FINDING_BYTES];
    const char *copy;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (class == IMPORT_X) {
        work->result->refused_count++;
    }
    copy = arena_string(work->arena, text);
    if (copy == NULL) {
        work->is_exhausted = true;
    } else {
        import_add_finding(work, class, at, copy);
    }
    return false;
}

/* --- shapes ------------------------------------------------------------------------------- */

bool import_map(struct import_work *work, struct import_at at, const struct import_field *fields,
                size_t count)
{
    if (at.node == NULL || at.node->kind != YAML_MAP) {
        char found[80];

        return import_refuse(work, at, "found %s, expected a mapping",
                             at.node == NULL ? "nothing"
                                             : yaml_describe(at.node, found, sizeof(found)));
    }
    for (const struct yaml_node *child = at.node->child; child != NULL; child = child->next) {
        struct import_at inner = import_get(work, at, child->key);
        const struct import_field *field = NULL;

        inner.node = child;
        for (size_t i = 0; i < count && field == NULL; i++) {
            field = strcmp(fields[i].name, child->key) == 0 ? &fields[i] : NULL;
        }
        if (field == NULL) {
            (void)import_refuse(
                work, inner, "unknown field \"%.100s\"; correct its name or remove it", child->key);
        } else {
            (void)import_say(work, field->class, inner, "%s",
                             field->note == NULL ? "the same here" : field->note);
        }
    }
    return true;
}

bool import_list(struct import_work *work, struct import_at at, size_t min)
{
    if (at.node == NULL && min == 0) {
        return true;
    }
    if (at.node == NULL || at.node->kind != YAML_LIST) {
        return import_refuse(work, at, "expected a list");
    }
    return at.node->count >= min || import_refuse(work, at, "expected a list of %zu or more", min);
}

const char *import_text(struct import_work *work, struct import_at at)
{
    if (at.node == NULL) {
        return NULL;
    }
    if (at.node->kind != YAML_SCALAR || at.node->type != YAML_TEXT) {
        char found[80];

        (void)import_refuse(work, at, "found %s, expected a text",
                            yaml_describe(at.node, found, sizeof(found)));
        return NULL;
    }
    return at.node->text;
}

const char *import_need(struct import_work *work, struct import_at at)
{
    const char *text = import_text(work, at);

    if (at.node == NULL || (text != NULL && text[0] == '\0')) {
        (void)import_refuse(work, at, "it is missing or empty, and must be there");
        return NULL;
    }
    return text;
}

bool import_bool(struct import_work *work, struct import_at at, bool otherwise)
{
    if (at.node == NULL) {
        return otherwise;
    }
    if (at.node->kind != YAML_SCALAR || at.node->type != YAML_BOOL) {
        return import_refuse(work, at, "expected true or false");
    }
    return at.node->boolean;
}

int64_t import_int(struct import_work *work, struct import_at at, int64_t otherwise)
{
    char *end = NULL;
    long long value;

    if (at.node == NULL) {
        return otherwise;
    }
    value = at.node->kind == YAML_SCALAR ? strtoll(at.node->text, &end, 10) : 0;
    if (end == NULL || *end != '\0' || at.node->type != YAML_INT || value < 0 || value > 1000000) {
        (void)import_refuse(work, at, "expected a number from 0 to 1000000");
        return otherwise;
    }
    return value;
}

int import_word(struct import_work *work, struct import_at at, const char *words)
{
    const char *text = import_need(work, at);
    const char *word = words;

    for (int i = 0; text != NULL; i++) {
        size_t len = strcspn(word, "|");

        if (strlen(text) == len && strncmp(text, word, len) == 0) {
            return i;
        }
        if (word[len] == '\0') {
            (void)import_refuse(work, at, "found \"%.80s\", expected %s", text, words);
            break;
        }
        word += len + 1;
    }
    return -1;
}

const char *import_setting(struct import_work *work, const char *kind, const char *name)
{
    const char *want = name == NULL ? kind : import_printf(work, "%s:%s", kind, name);

    for (size_t i = 0; i < work->request->setting_count; i++) {
        if (strcmp(work->request->settings[i].name, want) == 0) {
            return work->request->settings[i].value;
        }
    }
    return NULL;
}

/* --- documents ---------------------------------------------------------------------------- */

/* `---` alone or before white space: a document begins. A PEM line goes on after its dashes. */
static bool import_is_marker(struct bytes line)
{
    return line.len >= 3 && memcmp(line.data, "---", 3) == 0 &&
           (line.len == 3 || line.data[3] == ' ' || line.data[3] == '\t' || line.data[3] == '\r');
}

/* JSON may be indented with tabs, which YAML forbids; JSON has none inside its strings. */
static struct bytes import_without_tabs(struct import_work *work, struct bytes in)
{
    struct bytes trimmed = in;
    char *copy;

    bytes_skip_space(&trimmed);
    if (trimmed.len == 0 || (trimmed.data[0] != '{' && trimmed.data[0] != '[')) {
        return in;
    }
    copy = arena_copy(work->arena, in.data, in.len);
    if (copy == NULL) {
        work->is_exhausted = true;
        return in;
    }
    for (size_t i = 0; i < in.len; i++) {
        copy[i] = copy[i] == '\t' ? ' ' : copy[i];
    }
    return bytes_make(copy, in.len);
}

static void import_read_tree(struct import_work *work, const char *file, struct bytes part,
                             uint32_t line_base, struct import_tree *trees)
{
    struct import_tree tree = {.file = file, .line_base = line_base};
    struct gh_error err = {0};
    uint32_t line = 0;
    uint32_t column = 0;

    if (!yaml_read(import_without_tabs(work, part), work->arena, &tree.root, &line, &column,
                   &err)) {
        struct yaml_node *node = arena_alloc(work->arena, 1, sizeof(*node));
        struct import_tree *copy = arena_alloc(work->arena, 1, sizeof(*copy));

        if (node != NULL && copy != NULL) {
            *node = (struct yaml_node){.line = line, .column = column};
            *copy = tree;
            (void)import_refuse(work, ((struct import_at){node, "", copy}), "%s", err.text);
        }
        work->is_exhausted = work->is_exhausted || err.cause == GH_INTERNAL_ERROR;
    } else if (tree.root != NULL) {
        trees[work->tree_count++] = tree;
    }
}

static void import_split(struct import_work *work, const struct import_document *document,
                         struct import_tree *trees)
{
    struct bytes rest = document->content;
    const uint8_t *start = rest.data;
    uint32_t line_base = 0;
    uint32_t lines = 0;

    while (rest.len > 0) {
        struct bytes before = rest;
        struct bytes line;

        if (!bytes_split(&rest, '\n', &line)) {
            line = rest;
            rest = bytes_slice(rest, rest.len, 0);
        }
        if (import_is_marker(line) && before.data != start) {
            import_read_tree(work, document->path, bytes_make(start, (size_t)(before.data - start)),
                             line_base, trees);
            start = before.data;
            line_base = lines;
        }
        lines++;
        if (work->tree_count + 1 >= IMPORT_MAX_DOCUMENTS) {
            work->is_exhausted = true;
            return;
        }
    }
    if (document->content.len > 0) {
        import_read_tree(
            work, document->path,
            bytes_make(start, (size_t)(document->content.data + document->content.len - start)),
            line_base, trees);
    }
}

bool import_run(const struct import_request *request, struct import_result *out,
                struct gh_error *err)
{
    struct import_work work = {.request = request, .result = out};
    struct import_tree *trees;

    *out = (struct import_result){.arena = arena_new(IMPORT_ARENA_BYTES)};
    text_init(&out->config, IMPORT_MAX_OUTPUT_BYTES);
    work.arena = out->arena;
    trees =
        work.arena == NULL ? NULL : arena_alloc(work.arena, IMPORT_MAX_DOCUMENTS, sizeof(*trees));
    if (trees == NULL) {
        import_result_done(out);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory to import");
    }
    work.trees = trees;
    for (size_t i = 0; i < request->document_count && !work.is_exhausted; i++) {
        if (request->documents[i].content.len > IMPORT_MAX_BYTES) {
            import_result_done(out);
            return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "%.100s has more than %u bytes",
                           request->documents[i].path, IMPORT_MAX_BYTES);
        }
        import_split(&work, &request->documents[i], trees);
    }
    if (out->refused_count == 0 && !work.is_exhausted) {
        import_entries[request->format].run(&work);
        import_write(&work);
    }
    if (work.is_exhausted || !text_ok(&out->config)) {
        import_result_done(out);
        return gh_fail(err, GH_INTERNAL_ERROR, "the import needs more room than it may use");
    }
    if (out->refused_count > 0) {
        text_clear(&out->config);
        out->file_count = 0;
    }
    return true;
}

void import_result_done(struct import_result *result)
{
    text_done(&result->config);
    arena_free(result->arena);
    *result = (struct import_result){0};
}
