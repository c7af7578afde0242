/*
 * Requirements: trees over a table of leaves. Equal leaves are one object, so that each is verified
 * once per image however many policies ask for it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/compile.h"

#define COMPILE_MAX_PAIRS 64

static int compile_compare_pairs(const void *a, const void *b)
{
    const struct require_pair *left = a;
    const struct require_pair *right = b;

    return strcmp(left->name, right->name);
}

static struct require_pair *compile_pairs(struct compile *compile, const struct config_pairs *raw,
                                          size_t *count)
{
    struct require_pair *pairs = compile_alloc(compile, raw->count, sizeof(*pairs));

    *count = 0;
    for (size_t i = 0; pairs != NULL && i < raw->count; i++) {
        pairs[i].name = arena_string(compile->reader.arena, raw->items[i].name);
        pairs[i].value = arena_string(compile->reader.arena, raw->items[i].value);
        if (pairs[i].name == NULL || pairs[i].value == NULL) {
            return NULL;
        }
        ++*count;
    }
    if (*count > 1) {
        qsort(pairs, *count, sizeof(*pairs), compile_compare_pairs);
    }
    return pairs;
}

static void compile_put_pairs(struct fingerprint *fingerprint, const struct require_pair *pairs,
                              size_t count)
{
    fingerprint_put_int(fingerprint, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        fingerprint_put_text(fingerprint, pairs[i].name);
        fingerprint_put_text(fingerprint, pairs[i].value);
    }
}

static size_t compile_leaf_slot(const struct compile *compile, const struct digest *fingerprint)
{
    size_t mask = compile->leaf_slot_count - 1;
    size_t at = 0;

    for (size_t i = 0; i < 8; i++) {
        at = at << 8 | fingerprint->value[i];
    }
    at &= mask;
    while (compile->leaf_slots[at] != UINT32_MAX &&
           !digest_equal(&compile->leaves[compile->leaf_slots[at]]->fingerprint, fingerprint)) {
        at = (at + 1) & mask;
    }
    return at;
}

static bool compile_leaf_grow(struct compile *compile)
{
    size_t room = compile->leaf_room == 0 ? 64 : compile->leaf_room * 2;
    const struct require **leaves;

    if (compile->leaf_count < compile->leaf_room) {
        return true;
    }
    leaves = compile_alloc(compile, room, sizeof(*leaves));
    compile->leaf_slots = compile_alloc(compile, room * 4, sizeof(*compile->leaf_slots));
    if (leaves == NULL || compile->leaf_slots == NULL) {
        return false;
    }
    if (compile->leaf_count > 0) {
        memcpy(leaves, compile->leaves, compile->leaf_count * sizeof(*leaves));
    }
    compile->leaves = leaves;
    compile->leaf_room = room;
    compile->leaf_slot_count = room * 4;
    memset(compile->leaf_slots, 0xff, compile->leaf_slot_count * sizeof(*compile->leaf_slots));
    for (size_t i = 0; i < compile->leaf_count; i++) {
        compile->leaf_slots[compile_leaf_slot(compile, &leaves[i]->fingerprint)] = (uint32_t)i;
    }
    return true;
}

/* The leaf of the table that equals DRAFT, which is copied there when it is new. */
static const struct require *compile_leaf(struct compile *compile, const struct require *draft)
{
    struct require *leaf;
    size_t slot;

    if (!compile_leaf_grow(compile)) {
        return NULL;
    }
    slot = compile_leaf_slot(compile, &draft->fingerprint);
    if (compile->leaf_slots[slot] != UINT32_MAX) {
        return compile->leaves[compile->leaf_slots[slot]];
    }
    leaf = compile_alloc(compile, 1, sizeof(*leaf));
    if (leaf == NULL) {
        return NULL;
    }
    *leaf = *draft;
    leaf->index = compile->leaf_count;
    compile->leaf_slots[slot] = (uint32_t)compile->leaf_count;
    compile->leaves[compile->leaf_count++] = leaf;
    return leaf;
}

static bool compile_signature(struct compile *compile, const struct config_raw_require *raw,
                              struct require *leaf)
{
    leaf->kind = REQUIRE_SIGNATURE;
    leaf->signer =
        compile_signer_find(compile, raw->signature, compile_node(&raw->at, "signature"));
    leaf->annotations = compile_pairs(compile, &raw->annotations, &leaf->annotation_count);
    leaf->metadata = compile_pairs(compile, &raw->metadata, &leaf->metadata_count);
    leaf->label = arena_printf(compile->reader.arena, "signature:%s", raw->signature);
    if (leaf->signer == NULL) {
        return false;
    }
    if (leaf->annotation_count > 0 && leaf->signer->type == SIGNER_NOTATION) {
        config_error_at_key(&compile->reader, compile_node(&raw->at, "annotations"),
                            "\"annotations\" are cosign's; expected \"metadata\" for the notation "
                            "signer \"%s\"",
                            raw->signature);
        return false;
    }
    if (leaf->metadata_count > 0 && leaf->signer->type != SIGNER_NOTATION) {
        config_error_at_key(&compile->reader, compile_node(&raw->at, "metadata"),
                            "\"metadata\" is notation's; expected \"annotations\" for the signer "
                            "\"%s\"",
                            raw->signature);
        return false;
    }
    return leaf->annotations != NULL && leaf->metadata != NULL && leaf->label != NULL;
}

/* Whose provenance may name the base: without a name that of the base's own signer. */
static bool compile_provenance_signer(struct compile *compile, const struct config_raw_base *base,
                                      struct require *leaf)
{
    const struct yaml_node *node = compile_node(&base->at, "provenance_signer");
    const struct signer *signer = leaf->signer;

    if (base->provenance_signer != NULL && leaf->base_from != REQUIRE_BASE_PROVENANCE) {
        config_error_at_key(&compile->reader, node,
                            "\"provenance_signer\" belongs to \"from: provenance\"");
        return false;
    }
    if (leaf->base_from != REQUIRE_BASE_PROVENANCE) {
        return true;
    }
    if (base->provenance_signer != NULL) {
        signer = compile_signer_find(compile, base->provenance_signer, node);
    }
    if (signer != NULL && signer->type == SIGNER_NOTATION) {
        config_error(&compile->reader, node,
                     "base_image: \"%s\" makes notation signatures, which carry no provenance; "
                     "expected a provenance_signer with keys or keyless",
                     signer->name);
        return false;
    }
    leaf->provenance_signer = signer;
    return signer != NULL;
}

static bool compile_base_image(struct compile *compile, const struct config_raw_require *raw,
                               struct require *leaf)
{
    const struct config_raw_base *base = raw->base_image;

    leaf->kind = REQUIRE_BASE_IMAGE;
    leaf->base_from = base->from == 0 ? REQUIRE_BASE_ANNOTATION : REQUIRE_BASE_PROVENANCE;
    if (base->signer == NULL) {
        return false;
    }
    leaf->signer = compile_signer_find(compile, base->signer, compile_node(&base->at, "signer"));
    leaf->label = arena_printf(compile->reader.arena, "base_image:%s", base->signer);
    return compile_provenance_signer(compile, base, leaf) && leaf->signer != NULL &&
           leaf->label != NULL;
}

/* Keys that belong to another kind of requirement would be ignored: an error each. */
static void compile_refuse_strays(struct compile *compile, const struct config_raw_require *raw)
{
    static const struct {
        const char *name;
        const char *of;
    } rows[] = {{"annotations", "signature"}, {"metadata", "signature"}, {"of", "at_least"},
                {"signer", "attestation"},    {"check", "attestation"},  {"max_age", "attestation"},
                {"every", "attestation"},     {"where", "attestation"}};

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        const struct yaml_node *node = yaml_get(raw->at.node, rows[i].name);

        if (node != NULL && yaml_get(raw->at.node, rows[i].of) == NULL) {
            config_error_at_key(&compile->reader, node, "\"%s\" belongs to \"%s\"", rows[i].name,
                                rows[i].of);
        }
    }
}

static bool compile_leaf_expr(struct compile *compile, const struct config_raw_require *raw,
                              struct policy_expr *out)
{
    struct require draft = {0};
    struct fingerprint fingerprint;
    struct gh_error err = {0};
    bool is_good;

    fingerprint_init(&fingerprint, "requirement");
    fingerprint_put_int(&fingerprint, REQUIRE_VERIFIER_VERSION);
    if (raw->signature != NULL) {
        is_good = compile_signature(compile, raw, &draft);
    } else if (raw->attestation != NULL) {
        is_good = compile_attestation(compile, raw, &draft, &fingerprint);
    } else {
        is_good = compile_base_image(compile, raw, &draft);
    }
    if (is_good) {
        fingerprint_put_int(&fingerprint, draft.kind);
        fingerprint_put_digest(&fingerprint, &draft.signer->fingerprint);
        compile_put_pairs(&fingerprint, draft.annotations, draft.annotation_count);
        compile_put_pairs(&fingerprint, draft.metadata, draft.metadata_count);
        fingerprint_put_int(&fingerprint, draft.base_from);
        if (draft.provenance_signer != NULL) {
            fingerprint_put_digest(&fingerprint, &draft.provenance_signer->fingerprint);
        }
        /* Two signers of one definition are one to cryptography, but not to people. */
        fingerprint_put_text(&fingerprint, draft.label);
    }
    if (!fingerprint_final(&fingerprint, &draft.fingerprint, &err)) {
        config_error(&compile->reader, raw->at.node, "%s", err.text);
        return false;
    }
    out->kind = POLICY_LEAF;
    out->leaf = is_good ? compile_leaf(compile, &draft) : NULL;
    return out->leaf != NULL;
}

bool compile_require_list(struct compile *compile, const struct config_raw_requires *raw,
                          struct policy_expr *out)
{
    bool is_good = true;

    out->items = compile_alloc(compile, raw->count, sizeof(*out->items));
    if (out->items == NULL) {
        return false;
    }
    for (size_t i = 0; i < raw->count; i++) {
        is_good = compile_require(compile, &raw->items[i], &out->items[i]) && is_good;
    }
    out->count = raw->count;
    return is_good;
}

static bool compile_at_least(struct compile *compile, const struct config_raw_require *raw,
                             struct policy_expr *out)
{
    const struct yaml_node *of = yaml_get(raw->at.node, "of");

    out->kind = POLICY_AT_LEAST;
    out->threshold = (size_t)raw->at_least;
    if (of == NULL) {
        config_error(&compile->reader, raw->at.node,
                     "require: \"of\" is missing beside "
                     "\"at_least\"");
        return false;
    }
    if (raw->at_least > 0 && (size_t)raw->at_least > raw->of.count) {
        config_error(&compile->reader, compile_node(&raw->at, "at_least"),
                     "at_least: found %lld, expected at most %zu, as many as \"of\" lists",
                     (long long)raw->at_least, raw->of.count);
        return false;
    }
    return compile_require_list(compile, &raw->of, out) && out->threshold > 0;
}

bool compile_require(struct compile *compile, const struct config_raw_require *raw,
                     struct policy_expr *out)
{
    if (raw->at.node == NULL || raw->at.node->kind != YAML_MAP) {
        return false;
    }
    compile_refuse_strays(compile, raw);
    if (raw->signature != NULL || raw->attestation != NULL || raw->base_image != NULL) {
        return compile_leaf_expr(compile, raw, out);
    }
    if (yaml_get(raw->at.node, "at_least") != NULL) {
        return compile_at_least(compile, raw, out);
    }
    if (yaml_get(raw->at.node, "any") != NULL) {
        out->kind = POLICY_ANY;
        return compile_require_list(compile, &raw->any, out);
    }
    out->kind = POLICY_ALL;
    return yaml_get(raw->at.node, "all") != NULL && compile_require_list(compile, &raw->all, out);
}
