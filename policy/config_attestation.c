/*
 * Requirements for attestations: predicate types, typed checks, conditions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "metrics/text.h"
#include "policy/arena.h"
#include "policy/compile.h"
#include "policy/predicate.h"

#define ATTESTATION_MAX_JSON_BYTES (256u * 1024)

static void attestation_check_release(void *object)
{
    predicate_check_free(object);
}

static void attestation_where_release(void *object)
{
    predicate_where_free(object);
}

/* YAML knows numbers that JSON does not (0x10, +5, .5); they are refused instead of guessed. */
static bool attestation_is_number(const char *text)
{
    const char *c = text + (*text == '-' ? 1 : 0);
    size_t digits = strspn(c, "0123456789");

    if (digits == 0 || (digits > 1 && c[0] == '0')) {
        return false;
    }
    c += digits;
    if (*c == '.') {
        digits = strspn(++c, "0123456789");
        if (digits == 0) {
            return false;
        }
        c += digits;
    }
    if (*c == 'e' || *c == 'E') {
        c++;
        c += *c == '+' || *c == '-' ? 1 : 0;
        digits = strspn(c, "0123456789");
        if (digits == 0) {
            return false;
        }
        c += digits;
    }
    return *c == '\0';
}

static bool attestation_json(struct compile *compile, const struct yaml_node *node,
                             struct text *out);

static bool attestation_json_scalar(struct compile *compile, const struct yaml_node *node,
                                    struct text *out)
{
    switch (node->type) {
    case YAML_TEXT:
        text_put_json(out, node->text);
        return true;
    case YAML_NULL:
        text_put(out, "null");
        return true;
    case YAML_BOOL:
        text_put(out, node->boolean ? "true" : "false");
        return true;
    case YAML_INT:
    case YAML_FLOAT:
        break;
    }
    if (!attestation_is_number(node->text)) {
        config_error(&compile->reader, node,
                     "found %.80s, expected a decimal number as JSON writes it, or a text in "
                     "quotes",
                     node->text);
        return false;
    }
    text_put(out, node->text);
    return true;
}

/* Depth is bounded by the document's. */
static bool attestation_json(struct compile *compile, const struct yaml_node *node,
                             struct text *out)
{
    bool is_map = node->kind == YAML_MAP;

    if (node->kind == YAML_SCALAR) {
        return attestation_json_scalar(compile, node, out);
    }
    text_put_char(out, is_map ? '{' : '[');
    for (const struct yaml_node *item = node->child; item != NULL; item = item->next) {
        if (item != node->child) {
            text_put_char(out, ',');
        }
        if (is_map) {
            text_put_json(out, item->key);
            text_put_char(out, ':');
        }
        GH_TRY(attestation_json(compile, item, out));
    }
    text_put_char(out, is_map ? '}' : ']');
    return true;
}

/* JSON of NODE in the arena, or nothing when it has none (recorded). */
static struct bytes attestation_operand(struct compile *compile, const struct yaml_node *node)
{
    struct bytes out = {0};
    struct text text;

    text_init(&text, ATTESTATION_MAX_JSON_BYTES);
    if (attestation_json(compile, node, &text)) {
        const char *copy =
            text_ok(&text) ? arena_copy(compile->reader.arena, text.data, text.len) : NULL;

        if (copy == NULL) {
            config_error(&compile->reader, node, "the value is too large");
        } else {
            out = bytes_make(copy, text.len);
        }
    }
    text_done(&text);
    return out;
}

static bool attestation_option(struct compile *compile, const struct yaml_node *node,
                               struct predicate_option *out)
{
    size_t count = node->kind == YAML_SCALAR ? 1 : node->count;
    const char **values = compile_alloc(compile, count, sizeof(*values));
    const char **keys = compile_alloc(compile, count, sizeof(*keys));

    if (values == NULL || keys == NULL) {
        return false;
    }
    out->name = node->key;
    out->values = values;
    out->keys = node->kind == YAML_MAP ? keys : NULL;
    if (node->kind == YAML_SCALAR) {
        values[out->value_count++] = node->text;
        return true;
    }
    for (const struct yaml_node *item = node->child; item != NULL; item = item->next) {
        if (item->kind != YAML_SCALAR) {
            config_error(&compile->reader, item, "%s: expected a single value", node->key);
            return false;
        }
        keys[out->value_count] = item->key;
        values[out->value_count++] = item->text;
    }
    return true;
}

static bool attestation_check(struct compile *compile, const struct config_raw_require *raw,
                              struct require *leaf)
{
    struct predicate_option *options;
    size_t count = 0;
    size_t at = 0;
    struct gh_error err = {0};

    if (raw->check != NULL && raw->check->kind != YAML_MAP) {
        config_error_found(&compile->reader, raw->check, "a mapping of checks", NULL, "check");
        return false;
    }
    options = compile_alloc(compile, raw->check == NULL ? 0 : raw->check->count, sizeof(*options));
    if (options == NULL) {
        return false;
    }
    for (const struct yaml_node *node = raw->check == NULL ? NULL : raw->check->child; node != NULL;
         node = node->next) {
        GH_TRY(attestation_option(compile, node, &options[count]));
        count++;
    }
    if (!predicate_check_new(raw->attestation, options, count, &leaf->check, &at, &err)) {
        const struct yaml_node *node = yaml_at(raw->check, at);

        config_error(&compile->reader, node == NULL ? raw->at.node : node, "check: %s", err.text);
        return false;
    }
    return leaf->check == NULL || compile_keep(compile, leaf->check, attestation_check_release);
}

static bool attestation_condition(struct compile *compile, const struct config_raw_where *raw,
                                  struct predicate_condition *out)
{
    struct predicate_test *tests = compile_alloc(compile, PREDICATE_MAX_TESTS, sizeof(*tests));

    if (tests == NULL || raw->path == NULL || raw->at.node->kind != YAML_MAP) {
        return false;
    }
    out->path = raw->path;
    out->is_any = raw->is_any;
    out->tests = tests;
    for (const struct yaml_node *node = raw->at.node->child; node != NULL; node = node->next) {
        enum predicate_op op;

        if (!predicate_op_by_name(node->key, &op)) {
            continue; /* path, any */
        }
        if (out->test_count == PREDICATE_MAX_TESTS) {
            config_error(&compile->reader, node, "where: more than %d tests in one condition",
                         PREDICATE_MAX_TESTS);
            return false;
        }
        tests[out->test_count].op = op;
        tests[out->test_count].operand = attestation_operand(compile, node);
        if (tests[out->test_count].operand.data == NULL) {
            return false;
        }
        out->test_count++;
    }
    if (out->test_count == 0) {
        config_error(&compile->reader, raw->at.node,
                     "where: expected at least one of equals, not_equals, in, not_in, matches, "
                     "min, max, exists");
        return false;
    }
    return true;
}

static bool attestation_where(struct compile *compile, const struct config_raw_require *raw,
                              struct require *leaf)
{
    struct predicate_condition *conditions =
        compile_alloc(compile, raw->where.count, sizeof(*conditions));
    bool is_good = conditions != NULL;
    size_t at = 0;
    struct gh_error err = {0};

    for (size_t i = 0; conditions != NULL && i < raw->where.count; i++) {
        is_good = attestation_condition(compile, &raw->where.items[i], &conditions[i]) && is_good;
    }
    if (!is_good) {
        return false;
    }
    if (!predicate_where_new(conditions, raw->where.count, &leaf->where, &at, &err)) {
        config_error(&compile->reader, compile_item(&raw->at, "where", at), "where: %s", err.text);
        return false;
    }
    return leaf->where == NULL || compile_keep(compile, leaf->where, attestation_where_release);
}

static bool attestation_types(struct compile *compile, const struct config_raw_require *raw,
                              struct require *leaf)
{
    const struct predicate_alias *alias = predicate_alias_find(raw->attestation);
    size_t count = 0;

    leaf->predicate_name = arena_string(compile->reader.arena, raw->attestation);
    while (alias != NULL && alias->types[count] != NULL) {
        count++;
    }
    leaf->predicate_types =
        compile_alloc(compile, GH_MAX(count, 1), sizeof(*leaf->predicate_types));
    if (leaf->predicate_types == NULL || leaf->predicate_name == NULL) {
        return false;
    }
    if (alias == NULL) {
        leaf->predicate_types[leaf->predicate_type_count++] = leaf->predicate_name;
    }
    for (size_t i = 0; i < count; i++) {
        leaf->predicate_types[i] = arena_string(compile->reader.arena, alias->types[i]);
        GH_TRY(leaf->predicate_types[i] != NULL);
        leaf->predicate_type_count++;
    }
    return true;
}

static bool attestation_signer(struct compile *compile, const struct config_raw_require *raw,
                               struct require *leaf)
{
    if (raw->signer == NULL) {
        if (yaml_get(raw->at.node, "signer") == NULL) {
            config_error(&compile->reader, raw->at.node,
                         "require: \"signer\" is missing beside \"attestation\"");
        }
        return false;
    }
    leaf->signer = compile_signer_find(compile, raw->signer, compile_node(&raw->at, "signer"));
    if (leaf->signer != NULL && leaf->signer->type == SIGNER_NOTATION) {
        config_error(&compile->reader, compile_node(&raw->at, "signer"),
                     "signer: \"%s\" signs with notation, which has no attestations; expected keys "
                     "or keyless",
                     raw->signer);
        return false;
    }
    return leaf->signer != NULL;
}

bool compile_attestation(struct compile *compile, const struct config_raw_require *raw,
                         struct require *leaf, struct fingerprint *fingerprint)
{
    const struct yaml_node *where = yaml_get(raw->at.node, "where");
    struct gh_error err = {0};
    bool is_good;

    leaf->kind = REQUIRE_ATTESTATION;
    if (!predicate_name_check(raw->attestation, &err)) {
        config_error(&compile->reader, compile_node(&raw->at, "attestation"), "%s", err.text);
        return false;
    }
    is_good = attestation_signer(compile, raw, leaf);
    is_good = attestation_types(compile, raw, leaf) && is_good;
    is_good = attestation_check(compile, raw, leaf) && is_good;
    is_good = attestation_where(compile, raw, leaf) && is_good;
    leaf->is_every = raw->is_every;
    leaf->max_age_s = raw->max_age_s;
    leaf->label = arena_printf(compile->reader.arena, "attestation:%.200s:%.128s", raw->attestation,
                               raw->signer == NULL ? "" : raw->signer);
    if (!is_good || leaf->label == NULL) {
        return false;
    }
    fingerprint_put_text(fingerprint, raw->attestation);
    fingerprint_put_int(fingerprint, raw->is_every);
    fingerprint_put_int(fingerprint, raw->max_age_s);
    fingerprint_put(fingerprint, raw->check == NULL ? (struct bytes){0}
                                                    : attestation_operand(compile, raw->check));
    fingerprint_put(fingerprint,
                    where == NULL ? (struct bytes){0} : attestation_operand(compile, where));
    return true;
}
