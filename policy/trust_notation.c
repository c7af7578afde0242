/*
 * Signers and trust stores of the Notary Project.
 */
#include <string.h>

#include "crypto/notation.h"
#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/trust.h"

static void trust_store_release(void *object)
{
    notation_store_free(object);
}

static void trust_dn_release(void *object)
{
    notation_dn_free(object);
}

/* Every file of a list: certificates of KIND, or revocation lists. */
static bool trust_store_files(struct compile *compile, const struct config_raw_root *raw,
                              struct notation_store *store, const char *key,
                              enum notation_store_kind kind, const struct config_strings *files,
                              struct fingerprint *fingerprint)
{
    bool is_good = true;

    fingerprint_put_text(fingerprint, key);
    for (size_t i = 0; i < files->count; i++) {
        const struct yaml_node *node = compile_item(&raw->at, key, i);
        struct bytes_buf file = {0};
        struct gh_error err = {0};
        bool is_added;

        if (!compile_read(compile, node, files->items[i], CONFIG_MAX_MATERIAL_BYTES, false,
                          &file)) {
            is_good = false;
            continue;
        }
        is_added = kind == NOTATION_STORE_KINDS
                       ? notation_store_add_crl(store, bytes_view(&file), &err)
                       : notation_store_add(store, kind, bytes_view(&file), &err);
        if (!is_added) {
            config_error(&compile->reader, node, "%s: %s", files->items[i], err.text);
            is_good = false;
        }
        fingerprint_put(fingerprint, bytes_view(&file));
        bytes_buf_done(&file);
    }
    return is_good;
}

bool trust_store(struct compile *compile, struct compile_root *root)
{
    const struct config_raw_root *raw = root->raw;
    struct notation_store *store = NULL;
    struct fingerprint fingerprint;
    struct gh_error err = {0};
    bool is_good;

    if (!notation_store_new(&store, &err)) {
        config_error(&compile->reader, raw->at.node, "%s", err.text);
        return false;
    }
    if (!compile_keep(compile, store, trust_store_release)) {
        return false;
    }
    fingerprint_init(&fingerprint, "x509");
    is_good =
        trust_store_files(compile, raw, store, "ca", NOTATION_STORE_CA, &raw->ca, &fingerprint);
    is_good = trust_store_files(compile, raw, store, "signing_authority",
                                NOTATION_STORE_SIGNING_AUTHORITY, &raw->signing_authority,
                                &fingerprint) &&
              is_good;
    is_good = trust_store_files(compile, raw, store, "tsa", NOTATION_STORE_TSA, &raw->tsa,
                                &fingerprint) &&
              is_good;
    is_good = trust_store_files(compile, raw, store, "crl", NOTATION_STORE_KINDS, &raw->crl,
                                &fingerprint) &&
              is_good;
    if (!fingerprint_final(&fingerprint, &root->fingerprint, &err)) {
        config_error(&compile->reader, raw->at.node, "%s", err.text);
        return false;
    }
    root->x509 = is_good ? store : NULL;
    return is_good;
}

static bool trust_identity(struct compile *compile, const struct config_raw_notation *raw,
                           size_t index, struct signer *signer)
{
    const struct yaml_node *node = compile_item(&raw->at, "identities", index);
    struct notation_dn *dn = NULL;
    struct gh_error err = {0};

    if (strcmp(raw->identities.items[index], "*") == 0) {
        if (raw->identities.count > 1) {
            config_error(&compile->reader, node,
                         "identities: \"*\" stands alone; the others would mean nothing");
            return false;
        }
        signer->is_any_identity = true;
        return true;
    }
    if (!notation_dn_parse(bytes_of(raw->identities.items[index]), &dn, &err)) {
        config_error(&compile->reader, node, "%s", err.text);
        return false;
    }
    if (!compile_keep(compile, dn, trust_dn_release)) {
        return false;
    }
    signer->identities[signer->identity_count++] = dn;
    return true;
}

static bool trust_identities(struct compile *compile, const struct config_raw_notation *raw,
                             struct signer *signer, struct fingerprint *fingerprint)
{
    struct gh_error err = {0};
    bool is_good = raw->identities.count > 0;

    if (raw->identities.count > NOTATION_MAX_IDENTITIES) {
        config_error(&compile->reader, compile_node(&raw->at, "identities"),
                     "identities: found %zu, expected at most %d", raw->identities.count,
                     NOTATION_MAX_IDENTITIES);
        return false;
    }
    signer->identities = compile_alloc(compile, raw->identities.count, sizeof(*signer->identities));
    for (size_t i = 0; signer->identities != NULL && i < raw->identities.count; i++) {
        is_good = trust_identity(compile, raw, i, signer) && is_good;
        fingerprint_put_text(fingerprint, raw->identities.items[i]);
    }
    if (is_good && signer->identity_count > 1 &&
        !notation_dn_check_overlap(signer->identities, signer->identity_count, &err)) {
        config_error(&compile->reader, compile_node(&raw->at, "identities"), "%s", err.text);
        is_good = false;
    }
    return is_good && signer->identities != NULL;
}

/* The level's action, unless the override names one (0: the level's, 1 enforce, 2 log, 3 skip). */
static enum signer_action trust_action(bool is_enforced, int override)
{
    if (override == 0) {
        return is_enforced ? SIGNER_ENFORCE : SIGNER_LOG;
    }
    return override == 1 ? SIGNER_ENFORCE : (override == 2 ? SIGNER_LOG : SIGNER_SKIP);
}

static void trust_actions(const struct config_raw_notation *raw, struct signer *signer)
{
    static const struct config_raw_override none = {0};
    const struct config_raw_override *override = raw->override == NULL ? &none : raw->override;
    bool is_strict = raw->level == 0;
    bool is_audit = raw->level == 2;

    signer->authenticity = trust_action(!is_audit, override->authenticity);
    signer->authentic_timestamp = trust_action(is_strict, override->authentic_timestamp);
    signer->expiry = trust_action(is_strict, override->expiry);
    signer->revocation = trust_action(is_strict, override->revocation);
    signer->is_timestamp_after_expiry_only = raw->verify_timestamp == 1;
}

/* CVE-2024-23332 rests on people not knowing this of level audit. */
static void trust_warn_anybody(struct compile *compile, const struct config_raw_notation *raw,
                               const struct signer *signer)
{
    if (signer->authenticity != SIGNER_ENFORCE) {
        config_warning(&compile->reader, compile_node(&raw->at, "level"),
                       "a signature of anybody satisfies this signer: whether its certificate is "
                       "trusted is only logged");
    }
}

bool trust_notation(struct compile *compile, const struct config_raw_signer *raw,
                    struct signer *signer, struct fingerprint *fingerprint)
{
    const struct config_raw_notation *notation = raw->notation;
    const struct compile_root *root;
    bool is_good;

    signer->type = SIGNER_NOTATION;
    trust_actions(notation, signer);
    trust_warn_anybody(compile, notation, signer);
    fingerprint_put_int(fingerprint, signer->authenticity);
    fingerprint_put_int(fingerprint, signer->authentic_timestamp);
    fingerprint_put_int(fingerprint, signer->expiry);
    fingerprint_put_int(fingerprint, signer->revocation);
    fingerprint_put_int(fingerprint, signer->is_timestamp_after_expiry_only);
    is_good = trust_identities(compile, notation, signer, fingerprint);
    if (notation->root == NULL) {
        return false;
    }
    root = compile_root_find(compile, notation->root, compile_node(&notation->at, "root"),
                             COMPILE_ROOT_X509);
    if (root == NULL || root->x509 == NULL) {
        return false;
    }
    signer->store = root->x509;
    signer->root_fingerprint = root->fingerprint;
    signer->is_root_named = true;
    return is_good;
}
