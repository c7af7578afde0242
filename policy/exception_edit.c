#include "policy/exception_edit.h"

#include <string.h>

#include "metrics/error.h"
#include "metrics/text.h"
#include "policy/arena.h"
#include "policy/yaml.h"

#define EXCEPTION_EDIT_MAX_MEMORY (256u * 1024 * 1024)

/* Byte offset of a line and column (from 1; columns count characters). */
static size_t exception_offset(struct bytes file, uint32_t line, uint32_t column)
{
    size_t at = 0;

    for (uint32_t i = 1; i < line; i++) {
        const uint8_t *end = at < file.len ? memchr(file.data + at, '\n', file.len - at) : NULL;

        if (end == NULL) {
            return file.len;
        }
        at = (size_t)(end - file.data) + 1;
    }
    for (uint32_t i = 1; i < column && at < file.len; i++) {
        at++;
        while (at < file.len && (file.data[at] & 0xc0) == 0x80) {
            at++; /* the rest of a character */
        }
    }
    return at;
}

/* The last line that something of NODE stands on. */
static uint32_t exception_last_line(const struct yaml_node *node)
{
    uint32_t last = node->line;

    if (node->kind == YAML_SCALAR || node->is_flow) {
        /* A block scalar ends at the start of the line after it. */
        last = node->end_column == 1 && node->end_line > node->line ? node->end_line - 1
                                                                    : node->end_line;
    }
    for (const struct yaml_node *child = node->child; child != NULL && !node->is_flow;
         child = child->next) {
        uint32_t inner = exception_last_line(child);

        last = GH_MAX(last, inner);
    }
    return last;
}

/* FILE with INSERT put at AT instead of the DROP bytes there. */
static bool exception_splice(struct bytes file, size_t at, size_t drop, const struct text *insert,
                             struct text *out, struct gh_error *err)
{
    if (!text_ok(insert)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the register");
    }
    if (at > file.len || drop > file.len - at) {
        /* libyaml knows more line breaks than this file does. */
        return gh_fail(err, GH_POLICY_DENIED, "the register has line breaks other than LF");
    }
    text_put_bytes(out, file.data, at);
    text_put(out, text_cstr(insert));
    text_put_bytes(out, file.data + at + drop, file.len - at - drop);
    return text_ok(out) || gh_fail(err, GH_INTERNAL_ERROR, "no memory for the register");
}

static void exception_indent(struct text *out, uint32_t column)
{
    for (uint32_t i = 1; i < column; i++) {
        text_put_char(out, ' ');
    }
}

static void exception_put_list(struct text *out, uint32_t column, const char *key,
                               const struct config_strings *items)
{
    if (items->count == 0) {
        return;
    }
    exception_indent(out, column);
    text_printf(out, "%s: [", key);
    for (size_t i = 0; i < items->count; i++) {
        text_put(out, i == 0 ? "" : ", ");
        text_put_json(out, items->items[i]);
    }
    text_put(out, "]\n");
}

static void exception_put_text(struct text *out, uint32_t column, const char *key,
                               const char *value)
{
    if (value == NULL) {
        return;
    }
    exception_indent(out, column);
    text_printf(out, "%s: ", key);
    text_put_json(out, value);
    text_put(out, "\n");
}

/* COLUMN is that of the dash. */
static void exception_put_draft(struct text *out, uint32_t column,
                                const struct exception_draft *draft)
{
    exception_indent(out, column);
    text_put(out, "- id: ");
    text_put_json(out, draft->id);
    text_put(out, "\n");
    exception_put_list(out, column + 2, "images", &draft->images);
    exception_put_list(out, column + 2, "policies", &draft->policies);
    exception_put_list(out, column + 2, "waive", &draft->waive);
    exception_put_text(out, column + 2, "owner", draft->owner);
    exception_put_text(out, column + 2, "approved_by", draft->approved_by);
    exception_put_text(out, column + 2, "justification", draft->justification);
    exception_put_text(out, column + 2, "compensating_control", draft->compensating_control);
    exception_put_text(out, column + 2, "created", draft->created);
    exception_put_text(out, column + 2, "expires", draft->expires);
}

static bool exception_tree(struct bytes file, struct arena *arena, const struct yaml_node **list,
                           const struct yaml_node **root, struct gh_error *err)
{
    uint32_t line = 0;
    uint32_t column = 0;

    *root = NULL;
    if (arena == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the register");
    }
    GH_TRY(yaml_read(file, arena, root, &line, &column, err));
    *list = yaml_get(*root, "exceptions");
    if (*root != NULL && (*root)->kind == YAML_MAP && (*root)->is_flow) {
        return gh_fail(err, GH_POLICY_DENIED,
                       "the register is written as { }; write it with one entry below the other "
                       "to have it edited");
    }
    return true;
}

/* The offset of the line after LINE, and whether a line break must come first. */
static size_t exception_after(struct bytes file, uint32_t line, struct text *insert)
{
    size_t at = exception_offset(file, line + 1, 1);

    if (at == file.len && file.len > 0 && file.data[file.len - 1] != '\n') {
        text_put(insert, "\n");
    }
    return at;
}

static bool exception_add(struct bytes file, struct arena *arena,
                          const struct exception_draft *draft, struct text *insert,
                          struct text *out, struct gh_error *err)
{
    const struct yaml_node *root;
    const struct yaml_node *list = NULL;
    size_t at;

    GH_TRY(exception_tree(file, arena, &list, &root, err));
    if (list == NULL) {
        at = exception_after(file, UINT32_MAX - 1, insert);
        text_put(insert, "exceptions:\n");
        exception_put_draft(insert, 3, draft);
        return exception_splice(file, at, 0, insert, out, err);
    }
    if (list->count == 0) { /* `[]`, or nothing behind the colon */
        size_t end = exception_offset(file, list->end_line, list->end_column);

        at = exception_offset(file, list->line, list->column);
        text_put(insert, "\n");
        exception_put_draft(insert, 3, draft);
        if (end < file.len && file.data[end] == '\n') {
            end++;
        }
        return exception_splice(file, at, end > at ? end - at : 0, insert, out, err);
    }
    if (list->is_flow) {
        return gh_fail(err, GH_POLICY_DENIED,
                       "the entries are written as [ ]; write one below the other to have them "
                       "edited");
    }
    at = exception_after(file, exception_last_line(yaml_at(list, list->count - 1)), insert);
    exception_put_draft(insert, list->column, draft);
    return exception_splice(file, at, 0, insert, out, err);
}

bool exception_edit_add(struct bytes file, const struct exception_draft *draft, struct text *out,
                        struct gh_error *err)
{
    struct arena *arena = arena_new(EXCEPTION_EDIT_MAX_MEMORY);
    struct text insert;
    bool is_done;

    text_init(&insert, CONFIG_MAX_FILE_BYTES);
    is_done = exception_add(file, arena, draft, &insert, out, err);
    text_done(&insert);
    arena_free(arena);
    return is_done;
}

static const struct yaml_node *exception_entry(const struct yaml_node *list, const char *id,
                                               struct gh_error *err)
{
    for (const struct yaml_node *item = list == NULL ? NULL : list->child; item != NULL;
         item = item->next) {
        const struct yaml_node *name = yaml_get(item, "id");

        if (name != NULL && name->kind == YAML_SCALAR && strcmp(name->text, id) == 0) {
            return item;
        }
    }
    (void)gh_fail(err, GH_NAME_UNKNOWN, "there is no exception \"%.100s\"", id);
    return NULL;
}

static void exception_put_renewal(struct text *out, const char *at, const char *by,
                                  const char *expires)
{
    text_put(out, "{at: ");
    text_put_json(out, at);
    text_put(out, ", by: ");
    text_put_json(out, by);
    text_put(out, ", expires: ");
    text_put_json(out, expires);
    text_put(out, "}");
}

/* RENEWAL into the list that is there, or as a list of its own. */
static bool exception_place_renewal(struct bytes file, const struct yaml_node *entry,
                                    const char *renewal, struct text *insert, size_t *at,
                                    struct gh_error *err)
{
    const struct yaml_node *list = yaml_get(entry, "renewals");

    if (list != NULL && list->kind == YAML_LIST && list->is_flow) {
        *at = exception_offset(file, list->end_line, list->end_column) - 1; /* before the ] */
        text_printf(insert, "%s%s", list->count > 0 ? ", " : "", renewal);
    } else if (list != NULL && list->kind == YAML_LIST && list->count > 0) {
        *at = exception_after(file, exception_last_line(list), insert);
        exception_indent(insert, list->column);
        text_printf(insert, "- %s\n", renewal);
    } else if (list != NULL) {
        return gh_fail(err, GH_POLICY_DENIED, "\"renewals\" on line %u is not a list", list->line);
    } else if (entry->is_flow) {
        *at = exception_offset(file, entry->end_line, entry->end_column) - 1; /* before the } */
        text_printf(insert, ", renewals: [%s]", renewal);
    } else {
        *at = exception_after(file, exception_last_line(entry), insert);
        exception_indent(insert, entry->column);
        text_printf(insert, "renewals: [%s]\n", renewal);
    }
    return true;
}

bool exception_edit_renew(struct bytes file, const char *id, const char *at, const char *by,
                          const char *expires, struct text *out, struct gh_error *err)
{
    struct arena *arena = arena_new(EXCEPTION_EDIT_MAX_MEMORY);
    const struct yaml_node *root;
    const struct yaml_node *list = NULL;
    const struct yaml_node *entry = NULL;
    struct text insert;
    struct text renewal;
    size_t place = 0;
    bool is_done;

    text_init(&insert, CONFIG_MAX_FILE_BYTES);
    text_init(&renewal, 4096);
    exception_put_renewal(&renewal, at, by, expires);
    is_done = exception_tree(file, arena, &list, &root, err) &&
              (entry = exception_entry(list, id, err)) != NULL &&
              exception_place_renewal(file, entry, text_cstr(&renewal), &insert, &place, err) &&
              exception_splice(file, place, 0, &insert, out, err);
    text_done(&renewal);
    text_done(&insert);
    arena_free(arena);
    return is_done;
}

static bool exception_expire(struct bytes file, struct arena *arena, const char *id,
                             const char *expires, struct text *insert, struct text *out,
                             struct gh_error *err)
{
    const struct yaml_node *root;
    const struct yaml_node *list = NULL;
    const struct yaml_node *entry;
    const struct yaml_node *renewals;
    const struct yaml_node *value;
    size_t at;
    size_t end;

    GH_TRY(exception_tree(file, arena, &list, &root, err));
    entry = exception_entry(list, id, err);
    GH_TRY(entry != NULL);
    renewals = yaml_get(entry, "renewals");
    value = renewals != NULL && renewals->count > 0
                ? yaml_get(yaml_at(renewals, renewals->count - 1), "expires")
                : yaml_get(entry, "expires");
    if (value == NULL || value->kind != YAML_SCALAR) {
        return gh_fail(err, GH_POLICY_DENIED, "the exception \"%.100s\" has no \"expires\"", id);
    }
    at = exception_offset(file, value->line, value->column);
    end = exception_offset(file, value->end_line, value->end_column);
    text_put_json(insert, expires);
    return exception_splice(file, at, end > at ? end - at : 0, insert, out, err);
}

bool exception_edit_expire(struct bytes file, const char *id, const char *expires, struct text *out,
                           struct gh_error *err)
{
    struct arena *arena = arena_new(EXCEPTION_EDIT_MAX_MEMORY);
    struct text insert;
    bool is_done;

    text_init(&insert, 4096);
    is_done = exception_expire(file, arena, id, expires, &insert, out, err);
    text_done(&insert);
    arena_free(arena);
    return is_done;
}
