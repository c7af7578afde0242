#include "crypto/rekor_body.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "crypto/key.h"
#include "crypto/rekor.h"
#include "crypto/sjson.h"
#include "metrics/error.h"
#include "metrics/text.h"

#define REKOR_MAX_PEM_BYTES (128u * 1024)

static const struct {
    const char *kind;
    const char *version;
    enum rekor_body_form form;
} rekor_body_forms[] = {
    {"hashedrekord", "0.0.1", REKOR_BODY_HASHEDREKORD_1},
    {"hashedrekord", "0.0.2", REKOR_BODY_HASHEDREKORD_2},
    {"dsse", "0.0.1", REKOR_BODY_DSSE_1},
    {"intoto", "0.0.1", REKOR_BODY_INTOTO_1},
    {"intoto", "0.0.2", REKOR_BODY_INTOTO_2},
};

static bool rekor_body_form_of(struct bytes kind, struct bytes version, enum rekor_body_form *out,
                               struct gh_error *err)
{
    for (size_t i = 0; i < GH_COUNT(rekor_body_forms); i++) {
        if (bytes_equal_cstr(kind, rekor_body_forms[i].kind) &&
            bytes_equal_cstr(version, rekor_body_forms[i].version)) {
            *out = rekor_body_forms[i].form;
            return true;
        }
    }
    return gh_fail(err, GH_TLOG_ENTRY_TYPE_UNSUPPORTED,
                   "log entries of kind %.*s %.*s are no evidence for an image",
                   (int)GH_MIN(kind.len, 40u), (const char *)kind.data,
                   (int)GH_MIN(version.len, 20u), (const char *)version.data);
}

bool rekor_body_form(const char *kind, const char *version, enum rekor_body_form *out,
                     struct gh_error *err)
{
    return rekor_body_form_of(bytes_of(kind), bytes_of(version), out, err);
}

/* ---- comparisons ------------------------------------------------------------------------- */

static bool rekor_check_signature(struct bytes text, const struct rekor_signed *what,
                                  struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf signature = {0};

    GH_TRY(bytes_base64_decode(text, BYTES_BASE64_STANDARD, &signature, err));
    if (signature.len == 0 || !bytes_equal(bytes_view(&signature), what->signature)) {
        return gh_fail(err, GH_TLOG_SIGNATURE_MISMATCH,
                       "the log entry records another signature than the evidence holds");
    }
    return true;
}

static bool rekor_pem_matches(struct bytes label, struct bytes der, struct bytes pem,
                              const struct rekor_signed *what)
{
    GH_OWN(key_freep) struct key *key = NULL;

    if (what->leaf.data != NULL) {
        /* The whole certificate: another identity may have been issued over the same key. */
        return bytes_equal_cstr(label, "CERTIFICATE") && bytes_equal(der, what->leaf);
    }
    if (bytes_equal_cstr(label, "PUBLIC KEY") && bytes_equal(der, key_spki(what->key))) {
        return true;
    }
    return bytes_equal_cstr(label, "RSA PUBLIC KEY") && key_parse_pem(pem, &key, NULL) &&
           key_equal(key, what->key);
}

/* TEXT is base64 of one PEM block. */
static bool rekor_check_key(struct bytes text, const struct rekor_signed *what,
                            struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf pem = {0};
    GH_OWN(bytes_buf_done) struct bytes_buf der = {0};
    struct bytes label = {0};
    struct bytes rest;

    if (text.len > REKOR_MAX_PEM_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "the log entry's key is past %u bytes",
                       REKOR_MAX_PEM_BYTES);
    }
    GH_TRY(bytes_base64_decode(text, BYTES_BASE64_STANDARD, &pem, err));
    rest = bytes_view(&pem);
    GH_TRY(bytes_pem_next(&rest, &label, &der, err));
    bytes_skip_space(&rest);
    if (rest.len > 0 || !rekor_pem_matches(label, bytes_view(&der), bytes_view(&pem), what)) {
        return gh_fail(err, GH_TLOG_KEY_MISMATCH,
                       "the log entry records another key or certificate than the evidence holds");
    }
    return true;
}

/* OBJECT is {algorithm, value}; WANTED by algorithm, NONE where it is not known. */
static bool rekor_check_hash(const json_t *object, const struct digest *const *wanted,
                             size_t wanted_count, struct gh_error *err)
{
    struct bytes algorithm = {0};
    struct bytes value = {0};

    GH_TRY(sjson_get_string(object, "algorithm", &algorithm, err));
    GH_TRY(sjson_get_string(object, "value", &value, err));
    for (size_t i = 0; i < wanted_count; i++) {
        uint8_t found[DIGEST_MAX_BYTES];
        size_t len = digest_alg_len(wanted[i]->alg);

        if (len == 0 || !bytes_equal_cstr(algorithm, digest_alg_name(wanted[i]->alg))) {
            continue;
        }
        GH_TRY(bytes_hex_decode(value, found, len, err));
        if (memcmp(found, wanted[i]->value, len) == 0) {
            return true;
        }
        break;
    }
    return gh_fail(err, GH_TLOG_DIGEST_MISMATCH,
                   "the log entry records another digest (%.*s %.*s) than what was signed has",
                   (int)GH_MIN(algorithm.len, 10u), (const char *)algorithm.data,
                   (int)GH_MIN(value.len, 128u), (const char *)value.data);
}

static bool rekor_check_payload_hash(const json_t *owner, const struct rekor_signed *what,
                                     struct gh_error *err)
{
    const struct digest *wanted[] = {&what->payload_sha256};
    json_t *hash = NULL;

    GH_TRY(sjson_get_object(owner, "payloadHash", &hash, err));
    return rekor_check_hash(hash, wanted, 1, err);
}

static bool rekor_check_envelope_hash(const json_t *owner, const char *name,
                                      const struct rekor_signed *what, struct gh_error *err)
{
    struct digest envelope = {0};
    const struct digest *wanted[] = {&envelope};
    json_t *hash = NULL;

    GH_TRY(sjson_get_object(owner, name, &hash, err));
    GH_TRY(digest_compute(DIGEST_SHA256, what->envelope, &envelope, err));
    return rekor_check_hash(hash, wanted, 1, err);
}

/* The one element of owner[name], which must be an object. */
static bool rekor_get_only(const json_t *owner, const char *name, json_t **out,
                           struct gh_error *err)
{
    json_t *array = NULL;

    GH_TRY(sjson_get_array(owner, name, &array, err));
    if (json_array_size(array) != 1 || !json_is_object(json_array_get(array, 0))) {
        return gh_fail(err, GH_TLOG_SIGNATURE_MISMATCH,
                       "the log entry records %zu signatures, exactly 1 is accepted",
                       json_array_size(array));
    }
    *out = json_array_get(array, 0);
    return true;
}

/* ---- bodies ------------------------------------------------------------------------------ */

static bool rekor_check_hashedrekord(const json_t *spec, const struct rekor_signed *what,
                                     struct gh_error *err)
{
    const struct digest *wanted[] = {&what->sha256, &what->sha384, &what->sha512};
    json_t *data = NULL;
    json_t *hash = NULL;
    json_t *signature = NULL;
    json_t *key = NULL;
    struct bytes text = {0};

    GH_TRY(sjson_get_object(spec, "data", &data, err));
    GH_TRY(sjson_get_object(data, "hash", &hash, err));
    GH_TRY(rekor_check_hash(hash, wanted, GH_COUNT(wanted), err));
    GH_TRY(sjson_get_object(spec, "signature", &signature, err));
    GH_TRY(sjson_get_string(signature, "content", &text, err));
    GH_TRY(rekor_check_signature(text, what, err));
    GH_TRY(sjson_get_object(signature, "publicKey", &key, err));
    GH_TRY(sjson_get_string(key, "content", &text, err));
    return rekor_check_key(text, what, err);
}

static bool rekor_check_dsse(const json_t *spec, const struct rekor_signed *what,
                             struct gh_error *err)
{
    json_t *signature = NULL;
    struct bytes text = {0};

    GH_TRY(rekor_check_payload_hash(spec, what, err));
    if (what->envelope.data != NULL) {
        GH_TRY(rekor_check_envelope_hash(spec, "envelopeHash", what, err));
    }
    GH_TRY(rekor_get_only(spec, "signatures", &signature, err));
    GH_TRY(sjson_get_string(signature, "signature", &text, err));
    GH_TRY(rekor_check_signature(text, what, err));
    GH_TRY(sjson_get_string(signature, "verifier", &text, err));
    return rekor_check_key(text, what, err);
}

/* intoto 0.0.1 records no signature, so it must name the whole envelope. */
static bool rekor_check_intoto_1(const json_t *spec, const struct rekor_signed *what,
                                 struct gh_error *err)
{
    json_t *content = NULL;
    struct bytes text = {0};

    if (what->envelope.data == NULL) {
        return gh_fail(err, GH_TLOG_ENTRY_TYPE_UNSUPPORTED,
                       "intoto 0.0.1 entries are accepted for stored envelopes only");
    }
    GH_TRY(sjson_get_object(spec, "content", &content, err));
    GH_TRY(rekor_check_envelope_hash(content, "hash", what, err));
    if (json_object_get(content, "payloadHash") != NULL) {
        GH_TRY(rekor_check_payload_hash(content, what, err));
    }
    GH_TRY(sjson_get_string(spec, "publicKey", &text, err));
    return rekor_check_key(text, what, err);
}

static bool rekor_check_intoto_2(const json_t *spec, const struct rekor_signed *what,
                                 struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf inner = {0};
    json_t *content = NULL;
    json_t *envelope = NULL;
    json_t *signature = NULL;
    struct bytes text = {0};

    GH_TRY(sjson_get_object(spec, "content", &content, err));
    GH_TRY(rekor_check_payload_hash(content, what, err));
    GH_TRY(sjson_get_object(content, "envelope", &envelope, err));
    GH_TRY(sjson_get_string(envelope, "payloadType", &text, err));
    if (!bytes_equal(text, what->payload_type)) {
        return gh_fail(err, GH_TLOG_DIGEST_MISMATCH,
                       "the log entry records another payload type than the envelope has");
    }
    GH_TRY(rekor_get_only(envelope, "signatures", &signature, err));
    GH_TRY(sjson_get_string(signature, "sig", &text, err));
    GH_TRY(bytes_base64_decode(text, BYTES_BASE64_STANDARD, &inner, err)); /* base64 twice */
    GH_TRY(rekor_check_signature(bytes_view(&inner), what, err));
    GH_TRY(sjson_get_string(signature, "publicKey", &text, err));
    return rekor_check_key(text, what, err);
}

static bool rekor_check_kind(const struct rekor_entry *entry, const json_t *body,
                             enum rekor_body_form *form, struct gh_error *err)
{
    struct bytes kind = {0};
    struct bytes version = {0};

    GH_TRY(sjson_get_string(body, "kind", &kind, err));
    GH_TRY(sjson_get_string(body, "apiVersion", &version, err));
    if (entry->kind[0] != '\0' &&
        (!bytes_equal_cstr(kind, entry->kind) || !bytes_equal_cstr(version, entry->version))) {
        return gh_fail(err, GH_TLOG_KIND_MISMATCH,
                       "the bundle names a log entry %s %s, the entry is %.*s %.*s", entry->kind,
                       entry->version, (int)GH_MIN(kind.len, 40u), (const char *)kind.data,
                       (int)GH_MIN(version.len, 20u), (const char *)version.data);
    }
    return rekor_body_form_of(kind, version, form, err);
}

static bool rekor_body_check_parts(const struct rekor_entry *entry, const struct rekor_signed *what,
                                   struct gh_error *err)
{
    enum rekor_body_form form = REKOR_BODY_HASHEDREKORD_1;
    GH_OWN(sjson_freep) json_t *body = NULL;
    bool is_message_form;
    json_t *spec = NULL;

    GH_TRY(sjson_parse_object(bytes_view(&entry->body), REKOR_MAX_BODY_BYTES, &body, err));
    GH_TRY(rekor_check_kind(entry, body, &form, err));
    is_message_form = form == REKOR_BODY_HASHEDREKORD_1;
    if (is_message_form != (what->content == REKOR_MESSAGE)) {
        return gh_fail(err, GH_TLOG_KIND_MISMATCH,
                       "the log entry is of a kind that does not record this form of signature");
    }
    GH_TRY(sjson_get_object(body, "spec", &spec, err));
    switch (form) {
    case REKOR_BODY_HASHEDREKORD_1:
        return rekor_check_hashedrekord(spec, what, err);
    case REKOR_BODY_DSSE_1:
        return rekor_check_dsse(spec, what, err);
    case REKOR_BODY_INTOTO_1:
        return rekor_check_intoto_1(spec, what, err);
    case REKOR_BODY_INTOTO_2:
        return rekor_check_intoto_2(spec, what, err);
    case REKOR_BODY_HASHEDREKORD_2:
        break;
    }
    return gh_fail(err, GH_TLOG_KIND_MISMATCH, "the log entry is of a log of another version");
}

bool rekor_body_check(const struct rekor_entry *entry, const struct rekor_signed *what,
                      struct gh_error *err)
{
    if (!rekor_body_check_parts(entry, what, err)) {
        return gh_recast(err, GH_TLOG_ENTRY_MALFORMED);
    }
    return true;
}

/* ---- Rekor v2 ---------------------------------------------------------------------------- */

struct rekor_details {
    char name[48]; /* PublicKeyDetails */
    const char *hash_name;
    const struct digest *digest;
};

static bool rekor_details_rsa(const struct rekor_signed *what, struct rekor_details *out,
                              struct gh_error *err)
{
    if (key_is_weak(what->key)) {
        return gh_fail(err, GH_KEY_WEAK, "the signing key is too weak");
    }
    (void)snprintf(out->name, sizeof(out->name), "PKIX_RSA_%s_%u_SHA256",
                   what->scheme == KEY_SCHEME_RSA_PSS ? "PSS" : "PKCS1V15", key_bits(what->key));
    return true;
}

static bool rekor_details_of(const struct rekor_signed *what, struct rekor_details *out,
                             struct gh_error *err)
{
    const char *name = NULL;

    *out = (struct rekor_details){.hash_name = "SHA2_256", .digest = &what->sha256};
    switch (key_type(what->key)) {
    case KEY_TYPE_P256:
        name = "PKIX_ECDSA_P256_SHA_256";
        break;
    case KEY_TYPE_P384:
        name = "PKIX_ECDSA_P384_SHA_384";
        out->hash_name = "SHA2_384";
        out->digest = &what->sha384;
        break;
    case KEY_TYPE_P521:
        name = "PKIX_ECDSA_P521_SHA_512";
        out->hash_name = "SHA2_512";
        out->digest = &what->sha512;
        break;
    case KEY_TYPE_ED25519:
        if (what->scheme != KEY_SCHEME_ED25519_PH) {
            return gh_fail(err, GH_SIG_ALG_UNSUPPORTED,
                           "a pure Ed25519 signature has no form in this log");
        }
        name = "PKIX_ED25519_PH";
        out->hash_name = "SHA2_512";
        out->digest = &what->sha512;
        break;
    case KEY_TYPE_RSA:
        return rekor_details_rsa(what, out, err);
    }
    (void)snprintf(out->name, sizeof(out->name), "%s", name != NULL ? name : "");
    return true;
}

static void rekor_put_base64(struct text *text, struct bytes value)
{
    char *encoded = bytes_base64_encode(value, BYTES_BASE64_STANDARD);

    if (encoded == NULL) {
        text->is_failed = true;
        return;
    }
    text_put_char(text, '"');
    text_put(text, encoded);
    text_put_char(text, '"');
    free(encoded);
}

/* RFC 8785: members sorted, no space; nothing in it needs an escape. */
static void rekor_put_body(struct text *text, const struct rekor_signed *what,
                           const struct rekor_details *details)
{
    bool has_leaf = what->leaf.data != NULL;

    text_put(text, "{\"apiVersion\":\"0.0.2\",\"kind\":\"hashedrekord\",\"spec\":"
                   "{\"hashedRekordV002\":{\"data\":{\"algorithm\":\"");
    text_put(text, details->hash_name);
    text_put(text, "\",\"digest\":");
    rekor_put_base64(text, digest_bytes(details->digest));
    text_put(text, "},\"signature\":{\"content\":");
    rekor_put_base64(text, what->signature);
    text_put(text, ",\"verifier\":{\"keyDetails\":\"");
    text_put(text, details->name);
    text_put(text, has_leaf ? "\",\"x509Certificate\":{\"rawBytes\":"
                            : "\",\"publicKey\":{\"rawBytes\":");
    rekor_put_base64(text, has_leaf ? what->leaf : key_spki(what->key));
    text_put(text, "}}}}}}");
}

static bool rekor_compare_base64(const json_t *owner, const char *name, struct bytes wanted,
                                 enum gh_cause cause, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf found = {0};

    GH_TRY(sjson_get_base64(owner, name, &found, err));
    if (!bytes_equal(bytes_view(&found), wanted)) {
        return gh_fail(err, cause, "the log entry's %s differs from the evidence's", name);
    }
    return true;
}

/* The body is not the one that belongs to WHAT: say by what it differs. */
static bool rekor_explain(const struct rekor_entry *entry, const struct rekor_signed *what,
                          const struct rekor_details *details, struct gh_error *err)
{
    enum rekor_body_form form = REKOR_BODY_HASHEDREKORD_1;
    bool has_leaf = what->leaf.data != NULL;
    GH_OWN(sjson_freep) json_t *body = NULL;
    json_t *part = NULL;
    json_t *record = NULL;
    json_t *signature = NULL;

    GH_TRY(sjson_parse_object(bytes_view(&entry->body), REKOR_MAX_BODY_BYTES, &body, err));
    GH_TRY(rekor_check_kind(entry, body, &form, err));
    GH_TRY(sjson_get_object(body, "spec", &part, err));
    if (form == REKOR_BODY_HASHEDREKORD_2 && json_object_get(part, "hashedRekordV002") == NULL) {
        return gh_fail(err, GH_TLOG_ENTRY_TYPE_UNSUPPORTED,
                       "the log entry holds something else than a hashedrekord");
    }
    GH_TRY(sjson_get_object(part, "hashedRekordV002", &record, err));
    GH_TRY(sjson_get_object(record, "data", &part, err));
    GH_TRY(rekor_compare_base64(part, "digest", digest_bytes(details->digest),
                                GH_TLOG_DIGEST_MISMATCH, err));
    GH_TRY(sjson_get_object(record, "signature", &signature, err));
    GH_TRY(rekor_compare_base64(signature, "content", what->signature, GH_TLOG_SIGNATURE_MISMATCH,
                                err));
    GH_TRY(sjson_get_object(signature, "verifier", &part, err));
    GH_TRY(sjson_opt_object(part, has_leaf ? "x509Certificate" : "publicKey", &part, err));
    if (part != NULL) {
        GH_TRY(rekor_compare_base64(part, "rawBytes", has_leaf ? what->leaf : key_spki(what->key),
                                    GH_TLOG_KEY_MISMATCH, err));
    }
    return gh_fail(err, GH_TLOG_KEY_MISMATCH,
                   "the log entry is not the canonical one for this signature by a key %s",
                   details->name);
}

bool rekor_body_rebuild(const struct rekor_entry *entry, const struct rekor_signed *what,
                        struct bytes_buf *out, struct gh_error *err)
{
    struct rekor_details details;
    struct bytes rebuilt;
    struct text text;
    bool ok;

    GH_TRY(rekor_details_of(what, &details, err));
    if (details.digest->alg == DIGEST_NONE) {
        return gh_fail(err, GH_TLOG_DIGEST_MISMATCH,
                       "the log records a %s digest, which is not known here", details.hash_name);
    }
    text_init(&text, REKOR_MAX_BODY_BYTES);
    rekor_put_body(&text, what, &details);
    if (!text_ok(&text)) {
        text_done(&text);
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    rebuilt = bytes_make(text_cstr(&text), text.len);
    ok = entry->body.len == 0 || bytes_equal(rebuilt, bytes_view(&entry->body));
    if (!ok) {
        ok = rekor_explain(entry, what, &details, err) || gh_recast(err, GH_TLOG_ENTRY_MALFORMED);
    }
    ok = ok && bytes_dup(rebuilt, out, err);
    text_done(&text);
    return ok;
}
