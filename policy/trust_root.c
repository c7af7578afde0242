/*
 * Trust roots: trusted_root.json from a file or as last fetched, and certificate stores.
 */
#include <stdio.h>
#include <string.h>

#include "crypto/trustroot.h"
#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/trust.h"

#define TRUST_MAX_WORDS 4096

static void trust_root_release(void *object)
{
    trustroot_free(object);
}

static bool trust_root_parse(struct compile *compile, struct compile_root *root,
                             const struct yaml_node *node, struct bytes json)
{
    struct trustroot *parsed = NULL;
    struct gh_error err = {0};

    if (!trustroot_parse(json, &parsed, &err)) {
        config_error(&compile->reader, node, "root \"%s\": %s", root->raw->at.name, err.text);
        return false;
    }
    if (!compile_keep(compile, parsed, trust_root_release)) {
        return false;
    }
    root->sigstore = parsed;
    root->fingerprint = *trustroot_fingerprint(parsed);
    return true;
}

static void trust_root_file(struct compile *compile, struct compile_root *root)
{
    const struct yaml_node *node = compile_node(&root->raw->at, "trusted_root");
    struct bytes_buf json = {0};

    if (compile_read(compile, node, root->raw->trusted_root, TRUSTROOT_MAX_BYTES, false, &json)) {
        (void)trust_root_parse(compile, root, node, bytes_view(&json));
    }
    bytes_buf_done(&json);
}

/* What was fetched last, if ever: without it everything that names the root is undecided, which is
 * a warning here, because the gateway fetches it once it runs. */
static void trust_root_tuf(struct compile *compile, struct compile_root *root)
{
    const struct config_loader *loader = compile->reader.loader;
    const struct config_raw_root *raw = root->raw;
    struct config_tuf_state state = {0};
    const struct yaml_node *node = compile_node(&raw->at, "tuf");
    struct bytes_buf initial = {0};

    if (raw->initial_root == NULL) {
        config_error(&compile->reader, raw->at.node,
                     "root \"%s\": \"initial_root\" is missing beside \"tuf\"", raw->at.name);
        return;
    }
    if (!compile_read(compile, compile_node(&raw->at, "initial_root"), raw->initial_root,
                      CONFIG_MAX_MATERIAL_BYTES, false, &initial)) {
        return;
    }
    bytes_buf_done(&initial);
    if (loader->tuf == NULL ||
        !loader->tuf(loader->context, compile->tenant->name, raw->at.name, &state) ||
        state.trusted_root.len == 0) {
        bytes_buf_done(&state.trusted_root);
        root->stale_at_unix_s = INT64_MIN;
        config_warning(&compile->reader, node, "root \"%s\" has not been fetched yet",
                       raw->at.name);
        return;
    }
    (void)trust_root_parse(compile, root, node, bytes_view(&state.trusted_root));
    bytes_buf_done(&state.trusted_root);
    root->stale_at_unix_s = state.refreshed_unix_s > INT64_MAX - raw->max_age_s
                                ? INT64_MAX
                                : state.refreshed_unix_s + raw->max_age_s;
    if (root->stale_at_unix_s <= compile->reader.now_unix_s) {
        config_warning(&compile->reader, node,
                       "root \"%s\" was last refreshed longer ago than its max_age", raw->at.name);
    }
}

static void trust_root(struct compile *compile, struct compile_root *root)
{
    const struct config_raw_root *raw = root->raw;
    bool is_x509 = raw->ca.count + raw->signing_authority.count + raw->tsa.count > 0;
    int kinds =
        (raw->tuf != NULL ? 1 : 0) + (raw->trusted_root != NULL ? 1 : 0) + (is_x509 ? 1 : 0);

    root->stale_at_unix_s = INT64_MAX;
    if (kinds != 1) {
        config_error(&compile->reader, raw->at.node,
                     "root \"%s\": expected exactly one of \"tuf\", \"trusted_root\", or "
                     "certificates (\"ca\", \"signing_authority\", \"tsa\")",
                     raw->at.name);
        return;
    }
    if (raw->tuf == NULL && raw->initial_root != NULL) {
        config_error_at_key(&compile->reader, compile_node(&raw->at, "initial_root"),
                            "\"initial_root\" belongs to \"tuf\"");
    }
    if (!is_x509 && raw->crl.count > 0) {
        config_error_at_key(&compile->reader, compile_node(&raw->at, "crl"),
                            "\"crl\" belongs to \"ca\" and \"signing_authority\"");
    }
    if (is_x509) {
        root->kind = COMPILE_ROOT_X509;
        root->has_crl = raw->crl.count > 0;
        if (raw->ca.count + raw->signing_authority.count == 0) {
            config_error(&compile->reader, raw->at.node,
                         "root \"%s\": expected \"ca\" or \"signing_authority\" beside \"tsa\"",
                         raw->at.name);
        }
        (void)trust_store(compile, root);
    } else if (raw->trusted_root != NULL) {
        root->kind = COMPILE_ROOT_SIGSTORE;
        trust_root_file(compile, root);
    } else {
        root->kind = COMPILE_ROOT_SIGSTORE;
        trust_root_tuf(compile, root);
    }
}

static void trust_list_tuf(struct compile *compile)
{
    const struct config_raw_roots *raw = &compile->raw.roots;
    struct config_tuf_root *list = compile_alloc(compile, raw->count, sizeof(*list));

    for (size_t i = 0; list != NULL && i < raw->count; i++) {
        if (raw->items[i].tuf == NULL) {
            continue;
        }
        list[compile->tenant->tuf_root_count++] =
            (struct config_tuf_root){.name = raw->items[i].at.name,
                                     .url = raw->items[i].tuf,
                                     .initial_root = raw->items[i].initial_root,
                                     .max_age_s = raw->items[i].max_age_s};
    }
    compile->tenant->tuf_roots = list;
}

void compile_roots(struct compile *compile)
{
    const struct config_raw_roots *raw = &compile->raw.roots;

    compile->roots = compile_alloc(compile, raw->count, sizeof(*compile->roots));
    for (size_t i = 0; compile->roots != NULL && i < raw->count; i++) {
        compile->roots[i].raw = &raw->items[i];
        trust_root(compile, &compile->roots[i]);
    }
    trust_list_tuf(compile);
}

struct compile_root *compile_root_find(struct compile *compile, const char *name,
                                       const struct yaml_node *node, enum compile_root_kind kind)
{
    char words[TRUST_MAX_WORDS] = "";
    size_t used = 0;

    for (size_t i = 0; compile->roots != NULL && i < compile->raw.roots.count; i++) {
        struct compile_root *root = &compile->roots[i];
        const char *known = root->raw->at.name;

        if (strcmp(known, name) == 0) {
            root->is_used = true;
            if (root->kind == COMPILE_ROOT_NONE) {
                return NULL; /* its fault is recorded */
            }
            if (root->kind != kind) {
                config_error(&compile->reader, node, "root: \"%s\" holds %s, expected %s", name,
                             kind == COMPILE_ROOT_X509 ? "a Sigstore trusted root"
                                                       : "certificates for notation",
                             kind == COMPILE_ROOT_X509
                                 ? "certificates (\"ca\", \"signing_authority\")"
                                 : "\"tuf\" or \"trusted_root\"");
                return NULL;
            }
            return root;
        }
        if (used < sizeof(words)) {
            used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%s",
                                     used == 0 ? "" : "|", known);
        }
    }
    config_error_found(&compile->reader, node, "the name of a root", words, "root");
    return NULL;
}

bool trust_use_root(struct compile *compile, const char *name, const struct yaml_node *node,
                    struct signer *signer)
{
    const struct compile_root *root = compile_root_find(compile, name, node, COMPILE_ROOT_SIGSTORE);

    if (root == NULL) {
        return false;
    }
    signer->is_root_named = true;
    signer->root = root->sigstore;
    signer->root_fingerprint = root->fingerprint;
    signer->root_stale_at_unix_s = root->stale_at_unix_s;
    /* A root that was never fetched is missing, which the verifier says better than "stale". */
    signer->is_root_stale =
        root->sigstore != NULL && root->stale_at_unix_s <= compile->reader.now_unix_s;
    return true;
}
