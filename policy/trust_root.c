/*
 * Trust roots: trusted_root.json from a file or as last fetched, and certificate stores.
 */
#include <stdio.h>
#include <string.h>

#include "crypto/notation.h"
#include "crypto/trustroot.h"
#include "crypto/x509.h"
#include "crypto/x509_path.h"
#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/trust.h"

#define TRUST_MAX_WORDS 4096

static void trust_root_release(void *object)
{
    trustroot_free(object);
}

/* A file that cannot be read is the operator's to correct; what a repository gave is not, and must
 * not keep the gateway from starting: nothing that rests on it is decided then. */
static bool trust_root_parse(struct compile *compile, struct compile_root *root,
                             const struct yaml_node *node, struct bytes json, bool is_fetched)
{
    struct trustroot *parsed = NULL;
    struct gh_error err = {0};

    if (!trustroot_parse(json, &parsed, &err)) {
        if (is_fetched) {
            config_warning(&compile->reader, node,
                           "root \"%s\": what was fetched last cannot be used: %s",
                           root->raw->at.name, err.text);
        } else {
            config_error(&compile->reader, node, "root \"%s\": %s", root->raw->at.name, err.text);
        }
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
        (void)trust_root_parse(compile, root, node, bytes_view(&json), false);
    }
    bytes_buf_done(&json);
}

/* Where state is kept: the main file says it, for tenants too. */
static const char *trust_root_storage(const struct compile *compile)
{
    if (compile->config->storage.path != NULL) {
        return compile->config->storage.path;
    }
    return compile->raw.storage != NULL ? compile->raw.storage->path : NULL;
}

/* What was fetched last, if ever: without it everything that names the root is undecided, which is
 * a warning here, because the gateway fetches it once it runs. */
static void trust_root_tuf(struct compile *compile, struct compile_root *root)
{
    const struct config_loader *loader = compile->reader.loader;
    const struct config_raw_root *raw = root->raw;
    struct config_tuf_state state = {0};
    const struct yaml_node *node = compile_node(&raw->at, "tuf");
    struct config_tuf_ask ask = {.tenant = compile->tenant->name,
                                 .root = raw->at.name,
                                 .url = raw->tuf,
                                 .storage = trust_root_storage(compile)};
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
    root->initial = bytes_make(
        (const uint8_t *)arena_copy(compile->reader.arena, initial.data, initial.len), initial.len);
    bytes_buf_done(&initial);
    if (root->initial.data == NULL) {
        config_error(&compile->reader, node, "no memory for the configuration");
        return;
    }
    ask.initial_root = root->initial;
    if (loader->tuf == NULL || !loader->tuf(loader->context, &ask, &state) ||
        state.trusted_root.len == 0) {
        bytes_buf_done(&state.trusted_root);
        root->stale_at_unix_s = INT64_MIN;
        if (state.problem[0] != '\0') {
            config_warning(&compile->reader, node,
                           "root \"%s\": what was fetched last cannot be used: %s", raw->at.name,
                           state.problem);
        } else {
            config_warning(&compile->reader, node,
                           "root \"%s\" has not been fetched yet (the gateway does when it "
                           "starts, `gatehouse trust update` does now)",
                           raw->at.name);
        }
        return;
    }
    root->refreshed_unix_s = state.refreshed_unix_s;
    if (!trust_root_parse(compile, root, node, bytes_view(&state.trusted_root), true)) {
        bytes_buf_done(&state.trusted_root);
        root->stale_at_unix_s = INT64_MIN;
        return;
    }
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
    if (is_x509 && raw->probe_s > 0) {
        config_error_at_key(&compile->reader, compile_node(&raw->at, "probe"),
                            "\"probe\" belongs to \"tuf\" and \"trusted_root\": certificates "
                            "have no transparency log");
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

/* The moment when nothing in the root can vouch any more: the end of the last authority's chain, or
 * of the last log where there are no authorities. */
static int64_t trust_root_end(const struct trustroot *root)
{
    int64_t last = INT64_MIN;
    size_t count = 0;
    const struct x509_authority *const *authorities = trustroot_authorities(root, &count);
    const struct trustroot_log *logs;

    for (size_t i = 0; i < count; i++) {
        int64_t first = INT64_MAX;

        for (size_t k = 0; k < x509_authority_count(authorities[i]); k++) {
            const struct x509_view *view = x509_cert_view(x509_authority_cert(authorities[i], k));

            first = GH_MIN(first, view->not_after_unix_s);
        }
        last = GH_MAX(last, first);
    }
    if (count > 0) {
        return last;
    }
    logs = trustroot_tlogs(root, &count);
    for (size_t i = 0; i < count; i++) {
        last =
            GH_MAX(last, logs[i].end_unix_ms == INT64_MAX ? INT64_MAX : logs[i].end_unix_ms / 1000);
    }
    return count > 0 ? last : INT64_MAX;
}

static const char *trust_root_source(const struct config_raw_root *raw)
{
    if (raw->tuf != NULL) {
        return raw->tuf;
    }
    if (raw->trusted_root != NULL) {
        return raw->trusted_root;
    }
    return raw->ca.count > 0                  ? raw->ca.items[0]
           : raw->signing_authority.count > 0 ? raw->signing_authority.items[0]
                                              : "";
}

/* What the shell watches over. */
static void trust_list_roots(struct compile *compile)
{
    const struct config_raw_roots *raw = &compile->raw.roots;
    struct config_root *list = compile_alloc(compile, raw->count, sizeof(*list));

    for (size_t i = 0; list != NULL && compile->roots != NULL && i < raw->count; i++) {
        const struct compile_root *root = &compile->roots[i];
        bool is_known = root->sigstore != NULL || root->x509 != NULL;

        list[i] = (struct config_root){.name = raw->items[i].at.name,
                                       .source = trust_root_source(&raw->items[i]),
                                       .url = raw->items[i].tuf,
                                       .initial_root = root->initial,
                                       .max_age_s = raw->items[i].max_age_s,
                                       .refreshed_unix_s = root->refreshed_unix_s,
                                       .stale_at_unix_s = root->stale_at_unix_s,
                                       .ends_unix_s = INT64_MAX,
                                       .lists_end_unix_s = INT64_MAX,
                                       .content = is_known ? &root->fingerprint : NULL,
                                       .sigstore = root->sigstore,
                                       .probe_s = raw->items[i].probe_s};
        if (root->sigstore != NULL) {
            list[i].ends_unix_s = trust_root_end(root->sigstore);
        } else if (root->x509 != NULL) {
            list[i].ends_unix_s = notation_store_end(root->x509);
            list[i].lists_end_unix_s = notation_store_lists_end(root->x509);
        }
    }
    compile->tenant->roots = list;
    compile->tenant->root_count = list != NULL ? raw->count : 0;
}

void compile_roots(struct compile *compile)
{
    const struct config_raw_roots *raw = &compile->raw.roots;

    compile->roots = compile_alloc(compile, raw->count, sizeof(*compile->roots));
    for (size_t i = 0; compile->roots != NULL && i < raw->count; i++) {
        compile->roots[i].raw = &raw->items[i];
        trust_root(compile, &compile->roots[i]);
    }
    trust_list_roots(compile);
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
