#include "crypto/trustroot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/der.h"
#include "crypto/memo.h"
#include "crypto/sjson.h"
#include "crypto/x509.h"
#include "metrics/error.h"

struct trustroot {
    struct digest fingerprint;
    struct memo *memo;
    struct trustroot_log tlogs[TRUSTROOT_MAX_ITEMS];
    size_t tlog_count;
    struct trustroot_log ctlogs[TRUSTROOT_MAX_ITEMS];
    size_t ctlog_count;
    struct x509_authority *authorities[TRUSTROOT_MAX_ITEMS];
    size_t authority_count;
    struct x509_authority *tsa_authorities[TRUSTROOT_MAX_ITEMS];
    struct tsa_authority tsa_items[TRUSTROOT_MAX_ITEMS];
    size_t tsa_count;
    struct tsa_trust tsa;
};

bool trustroot_log_covers(const struct trustroot_log *log, int64_t unix_ms)
{
    return log->start_unix_ms <= unix_ms && unix_ms <= log->end_unix_ms;
}

static bool trustroot_refuse(struct gh_error *err, const char *why)
{
    return gh_fail(err, GH_TRUST_ROOT_MALFORMED, "the trusted root cannot be read: %s", why);
}

/* ---- times ------------------------------------------------------------------------------- */

static bool trustroot_digits(struct bytes text, size_t at, size_t count, int *out)
{
    int value = 0;

    if (text.len < at + count) {
        return false;
    }
    for (size_t i = at; i < at + count; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (text.data[i] - '0');
    }
    *out = value;
    return true;
}

static bool trustroot_fraction(struct bytes *text, int *ms)
{
    int scale = 100;
    size_t count = 0;

    *ms = 0;
    if (text->len == 0 || text->data[0] != '.') {
        return true;
    }
    for (count = 1; count < text->len && text->data[count] >= '0' && text->data[count] <= '9';
         count++) {
        *ms += (text->data[count] - '0') * scale;
        scale /= 10;
    }
    *text = bytes_slice(*text, count, text->len - count);
    return count > 1 && count <= 10;
}

/* RFC 3339 in UTC, as proto-JSON writes a Timestamp: at most nine digits of fraction, "Z". */
static bool trustroot_time(struct bytes text, int64_t *unix_ms, struct gh_error *err)
{
    uint8_t der[] = "\x18\x0fYYYYMMDDhhmmssZ";
    static const uint8_t from[] = {0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18};
    struct bytes in = bytes_make(der, sizeof(der) - 1);
    struct bytes rest = bytes_slice(text, 19, text.len);
    int64_t unix_s = 0;
    int ignored;
    int ms = 0;

    if (text.len < 20 || text.data[4] != '-' || text.data[7] != '-' || text.data[10] != 'T' ||
        text.data[13] != ':' || text.data[16] != ':' || !trustroot_fraction(&rest, &ms) ||
        !bytes_equal(rest, BYTES_LITERAL("Z"))) {
        return trustroot_refuse(err, "a time is not RFC 3339 in UTC");
    }
    for (size_t i = 0; i < GH_COUNT(from); i++) {
        if (!trustroot_digits(text, from[i], 1, &ignored)) {
            return trustroot_refuse(err, "a time is not RFC 3339 in UTC");
        }
        der[2 + i] = text.data[from[i]];
    }
    GH_TRY(der_time(&in, &unix_s, err));
    *unix_ms = unix_s * 1000 + ms;
    return true;
}

/* START_REQUIRED: a log key without a beginning once counted as always valid. */
static bool trustroot_window(const json_t *owner, bool is_start_required, int64_t *start,
                             int64_t *end, struct gh_error *err)
{
    json_t *window = NULL;
    struct bytes text = {0};

    *start = INT64_MIN;
    *end = INT64_MAX;
    GH_TRY(sjson_opt_object(owner, "validFor", &window, err));
    if (window != NULL) {
        GH_TRY(sjson_opt_string(window, "start", &text, err));
        if (text.data != NULL) {
            GH_TRY(trustroot_time(text, start, err));
        }
        GH_TRY(sjson_opt_string(window, "end", &text, err));
        if (text.data != NULL) {
            GH_TRY(trustroot_time(text, end, err));
        }
    }
    if (is_start_required && *start == INT64_MIN) {
        return trustroot_refuse(err, "validFor.start of a log key is missing");
    }
    if (*start > *end) {
        return trustroot_refuse(err, "a validity window ends before it begins");
    }
    return true;
}

/* ---- logs -------------------------------------------------------------------------------- */

static const struct trustroot_details {
    const char *name;
    enum key_type type;
    enum key_scheme scheme;
    enum digest_alg alg;
} trustroot_details[] = {
    {"PKIX_ECDSA_P256_SHA_256", KEY_TYPE_P256, KEY_SCHEME_ECDSA, DIGEST_SHA256},
    {"PKIX_ECDSA_P256_HMAC_SHA_256", KEY_TYPE_P256, KEY_SCHEME_ECDSA, DIGEST_SHA256},
    {"PKIX_ECDSA_P384_SHA_384", KEY_TYPE_P384, KEY_SCHEME_ECDSA, DIGEST_SHA384},
    {"PKIX_ECDSA_P384_SHA_256", KEY_TYPE_P384, KEY_SCHEME_ECDSA, DIGEST_SHA256},
    {"PKIX_ECDSA_P521_SHA_512", KEY_TYPE_P521, KEY_SCHEME_ECDSA, DIGEST_SHA512},
    {"PKIX_ECDSA_P521_SHA_256", KEY_TYPE_P521, KEY_SCHEME_ECDSA, DIGEST_SHA256},
    {"PKIX_ED25519", KEY_TYPE_ED25519, KEY_SCHEME_ED25519, DIGEST_NONE},
    {"PKIX_RSA_PKCS1V15_2048_SHA256", KEY_TYPE_RSA, KEY_SCHEME_RSA_PKCS1, DIGEST_SHA256},
    {"PKIX_RSA_PKCS1V15_3072_SHA256", KEY_TYPE_RSA, KEY_SCHEME_RSA_PKCS1, DIGEST_SHA256},
    {"PKIX_RSA_PKCS1V15_4096_SHA256", KEY_TYPE_RSA, KEY_SCHEME_RSA_PKCS1, DIGEST_SHA256},
    {"PKIX_RSA_PKCS1V5", KEY_TYPE_RSA, KEY_SCHEME_RSA_PKCS1, DIGEST_SHA256},
    {"PKCS1_RSA_PKCS1V5", KEY_TYPE_RSA, KEY_SCHEME_RSA_PKCS1, DIGEST_SHA256},
    {"PKIX_RSA_PSS_2048_SHA256", KEY_TYPE_RSA, KEY_SCHEME_RSA_PSS, DIGEST_SHA256},
    {"PKIX_RSA_PSS_3072_SHA256", KEY_TYPE_RSA, KEY_SCHEME_RSA_PSS, DIGEST_SHA256},
    {"PKIX_RSA_PSS_4096_SHA256", KEY_TYPE_RSA, KEY_SCHEME_RSA_PSS, DIGEST_SHA256},
    {"PKIX_RSA_PSS", KEY_TYPE_RSA, KEY_SCHEME_RSA_PSS, DIGEST_SHA256},
    {"PKCS1_RSA_PSS", KEY_TYPE_RSA, KEY_SCHEME_RSA_PSS, DIGEST_SHA256},
};

/* Older roots hold bare PKCS#1 keys; key_parse_pem() takes those under their own label. */
static bool trustroot_parse_pkcs1(struct bytes der, struct key **out, struct gh_error *err)
{
    static const char begin[] = "-----BEGIN RSA PUBLIC KEY-----\n";
    static const char end[] = "-----END RSA PUBLIC KEY-----\n";
    char *text = bytes_base64_encode(der, BYTES_BASE64_STANDARD);
    size_t len = text != NULL ? strlen(text) : 0;
    char *pem = text != NULL ? malloc(len + len / 64 + sizeof(begin) + sizeof(end) + 2) : NULL;
    size_t used = sizeof(begin) - 1;
    bool ok;

    if (pem == NULL) {
        free(text);
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    memcpy(pem, begin, used);
    for (size_t i = 0; i < len; i += 64) {
        size_t line = GH_MIN(len - i, (size_t)64);

        memcpy(pem + used, text + i, line);
        used += line;
        pem[used++] = '\n';
    }
    memcpy(pem + used, end, sizeof(end) - 1);
    used += sizeof(end) - 1;
    ok = key_parse_pem(bytes_make(pem, used), out, err);
    free(pem);
    free(text);
    return ok;
}

/* A key of an algorithm that is not accepted leaves log->key NULL. */
static bool trustroot_read_key(const json_t *public_key, struct trustroot_log *log,
                               struct gh_error *err)
{
    const struct trustroot_details *details = NULL;
    GH_OWN(bytes_buf_done) struct bytes_buf raw = {0};
    struct gh_error failure = {0};
    struct bytes name = {0};
    bool ok;

    GH_TRY(sjson_get_base64(public_key, "rawBytes", &raw, err));
    GH_TRY(sjson_get_string(public_key, "keyDetails", &name, err));
    for (size_t i = 0; details == NULL && i < GH_COUNT(trustroot_details); i++) {
        details = bytes_equal_cstr(name, trustroot_details[i].name) ? &trustroot_details[i] : NULL;
    }
    if (details == NULL) {
        return true;
    }
    ok = bytes_starts_with(name, BYTES_LITERAL("PKCS1_"))
             ? trustroot_parse_pkcs1(bytes_view(&raw), &log->key, &failure)
             : key_parse_spki(bytes_view(&raw), &log->key, &failure);
    if (!ok) {
        return failure.cause == GH_SIG_ALG_UNSUPPORTED ||
               gh_fail(err, failure.cause, "%s", failure.text);
    }
    if (key_type(log->key) != details->type) {
        return trustroot_refuse(err, "a log's key is not of the type its details name");
    }
    log->scheme = details->scheme;
    log->alg = details->alg;
    return true;
}

static bool trustroot_copy(const json_t *object, const char *name, char **out, struct gh_error *err)
{
    struct bytes text = {0};

    GH_TRY(sjson_opt_string(object, name, &text, err));
    return bytes_to_cstr(text, out, err);
}

static bool trustroot_read_url(const json_t *entry, struct trustroot_log *log, struct gh_error *err)
{
    struct bytes url;
    size_t at;

    GH_TRY(trustroot_copy(entry, "baseUrl", &log->base_url, err));
    url = bytes_of(log->base_url);
    at = bytes_find(url, BYTES_LITERAL("://"));
    if (at != SIZE_MAX) {
        url = bytes_slice(url, at + 3, url.len);
    }
    while (bytes_ends_with(url, BYTES_LITERAL("/"))) {
        url = bytes_slice(url, 0, url.len - 1);
    }
    GH_TRY(bytes_to_cstr(url, &log->origin, err));
    at = bytes_find(url, BYTES_LITERAL("/"));
    url = at == SIZE_MAX ? url : bytes_slice(url, 0, at);
    return bytes_to_cstr(url, &log->host, err);
}

/* `operator` where the file names one, else what the log itself is. */
static bool trustroot_operator(const json_t *entry, struct bytes self, struct digest *out,
                               struct gh_error *err)
{
    struct bytes named = {0};

    GH_TRY(sjson_opt_string(entry, "operator", &named, err));
    return memo_name(named.len > 0 ? "operator" : "self", named.len > 0 ? &named : &self, 1, out,
                     err);
}

static bool trustroot_read_id(const json_t *entry, struct trustroot_log *log, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf id = {0};
    json_t *object = NULL;

    GH_TRY(sjson_opt_object(entry, "logId", &object, err));
    if (object != NULL) {
        GH_TRY(sjson_get_base64(object, "keyId", &id, err));
    }
    if (log->key != NULL && (key_type(log->key) != KEY_TYPE_ED25519 || id.len != 32)) {
        /* RFC 6962 section 3.2: what a file says of the id cannot make another key answer to it. */
        memcpy(log->id, digest_bytes(key_fingerprint(log->key)).data, sizeof(log->id));
        return true;
    }
    if (id.len == sizeof(log->id)) {
        memcpy(log->id, id.data, sizeof(log->id));
    }
    return true;
}

static bool trustroot_read_checkpoint_id(const json_t *entry, struct trustroot_log *log,
                                         struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf id = {0};
    json_t *object = NULL;

    GH_TRY(sjson_opt_object(entry, "checkpointKeyId", &object, err));
    if (object == NULL) {
        return true;
    }
    GH_TRY(sjson_get_base64(object, "keyId", &id, err));
    if (id.len < CHECKPOINT_KEY_ID_BYTES) {
        return trustroot_refuse(err, "a checkpointKeyId is shorter than four bytes");
    }
    memcpy(log->checkpoint_key_id, id.data, CHECKPOINT_KEY_ID_BYTES);
    log->has_checkpoint_key_id = true;
    return true;
}

static bool trustroot_read_log(const json_t *entry, struct trustroot_log *log, struct gh_error *err)
{
    json_t *public_key = NULL;
    struct bytes hash = {0};

    GH_TRY(sjson_opt_string(entry, "hashAlgorithm", &hash, err));
    if (hash.data != NULL && !bytes_equal_cstr(hash, "SHA2_256")) {
        return trustroot_refuse(err, "a log hashes with another algorithm than SHA2_256");
    }
    GH_TRY(sjson_get_object(entry, "publicKey", &public_key, err));
    GH_TRY(trustroot_window(public_key, true, &log->start_unix_ms, &log->end_unix_ms, err));
    GH_TRY(trustroot_read_key(public_key, log, err));
    GH_TRY(trustroot_read_url(entry, log, err));
    GH_TRY(trustroot_read_id(entry, log, err));
    GH_TRY(trustroot_read_checkpoint_id(entry, log, err));
    return trustroot_operator(entry, bytes_make(log->id, sizeof(log->id)), &log->operator_id, err);
}

static bool trustroot_array(const json_t *doc, const char *name, json_t **out, struct gh_error *err)
{
    GH_TRY(sjson_opt_array(doc, name, out, err));
    if (*out != NULL && json_array_size(*out) > TRUSTROOT_MAX_ITEMS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "the trusted root has %zu %s, limit %d",
                       json_array_size(*out), name, TRUSTROOT_MAX_ITEMS);
    }
    return true;
}

static bool trustroot_read_logs(const json_t *doc, const char *name, struct trustroot_log *logs,
                                size_t *count, struct gh_error *err)
{
    json_t *array = NULL;
    json_t *entry;
    size_t i;

    GH_TRY(trustroot_array(doc, name, &array, err));
    json_array_foreach (array, i, entry) {
        (*count)++; /* first, so that a half-read one is freed as well */
        if (!json_is_object(entry) || !trustroot_read_log(entry, &logs[i], err)) {
            gh_error_at(err, "%s %zu", name, i);
            return json_is_object(entry) ? false : trustroot_refuse(err, "a log is no object");
        }
    }
    return true;
}

/* ---- authorities ------------------------------------------------------------------------- */

struct trustroot_chain {
    struct x509_cert *certs[X509_MAX_PATH];
    size_t count;
    int64_t start_unix_ms;
    int64_t end_unix_ms;
};

static void trustroot_chain_done(struct trustroot_chain *chain)
{
    while (chain->count > 0) {
        x509_cert_unref(chain->certs[--chain->count]);
    }
}

static bool trustroot_read_chain(const json_t *entry, struct trustroot_chain *chain,
                                 struct gh_error *err)
{
    json_t *object = NULL;
    json_t *array = NULL;
    json_t *cert;
    size_t i;

    GH_TRY(trustroot_window(entry, false, &chain->start_unix_ms, &chain->end_unix_ms, err));
    GH_TRY(sjson_get_object(entry, "certChain", &object, err));
    GH_TRY(sjson_get_array(object, "certificates", &array, err));
    if (json_array_size(array) == 0 || json_array_size(array) >= X509_MAX_PATH) {
        return trustroot_refuse(err, "an authority has no certificates, or too many");
    }
    json_array_foreach (array, i, cert) {
        GH_OWN(bytes_buf_done) struct bytes_buf raw = {0};

        if (!json_is_object(cert)) {
            return trustroot_refuse(err, "a certificate is no object");
        }
        GH_TRY(sjson_get_base64(cert, "rawBytes", &raw, err));
        GH_TRY(x509_cert_parse(bytes_view(&raw), &chain->certs[i], err));
        chain->count++;
    }
    return true;
}

/* What lists an authority cannot harm the others: one that is not acceptable is left out. */
static bool trustroot_is_fatal(const struct gh_error *failure)
{
    return failure->cause == GH_INTERNAL_ERROR || failure->cause == GH_TRUST_ROOT_MALFORMED ||
           failure->cause == GH_MALFORMED_JSON || failure->cause == GH_SIG_MALFORMED;
}

static bool trustroot_make_authority(const json_t *entry, struct x509_authority **out,
                                     struct x509_cert **first, struct gh_error *err)
{
    GH_OWN(trustroot_chain_done) struct trustroot_chain chain = {0};
    struct gh_error failure = {0};

    if (trustroot_read_chain(entry, &chain, &failure) &&
        x509_authority_new(chain.certs, chain.count, chain.start_unix_ms, chain.end_unix_ms, out,
                           &failure)) {
        *first = chain.certs[0];
        return true;
    }
    if (trustroot_is_fatal(&failure)) {
        return gh_fail(err, failure.cause, "%s", failure.text);
    }
    *out = NULL;
    return true;
}

static bool trustroot_read_authorities(const json_t *doc, struct trustroot *root,
                                       struct gh_error *err)
{
    json_t *array = NULL;
    json_t *entry;
    size_t i;

    GH_TRY(trustroot_array(doc, "certificateAuthorities", &array, err));
    json_array_foreach (array, i, entry) {
        struct x509_authority *authority = NULL;
        struct x509_cert *first = NULL;

        if (!json_is_object(entry)) {
            return trustroot_refuse(err, "a certificate authority is no object");
        }
        GH_TRY(trustroot_make_authority(entry, &authority, &first, err));
        if (authority != NULL) {
            root->authorities[root->authority_count++] = authority;
        }
    }
    return true;
}

static bool trustroot_read_tsas(const json_t *doc, struct trustroot *root, struct gh_error *err)
{
    json_t *array = NULL;
    json_t *entry;
    size_t i;

    GH_TRY(trustroot_array(doc, "timestampAuthorities", &array, err));
    json_array_foreach (array, i, entry) {
        struct tsa_authority *tsa = &root->tsa_items[root->tsa_count];
        struct x509_authority *authority = NULL;
        struct x509_cert *first = NULL;

        if (!json_is_object(entry)) {
            return trustroot_refuse(err, "a time-stamp authority is no object");
        }
        GH_TRY(trustroot_make_authority(entry, &authority, &first, err));
        if (authority == NULL) {
            continue;
        }
        root->tsa_authorities[root->tsa_count++] = authority;
        tsa->authority = authority;
        tsa->leaf = x509_cert_view(first)->is_ca ? NULL : x509_authority_cert(authority, 0);
        GH_TRY(trustroot_operator(entry,
                                  digest_bytes(x509_cert_fingerprint(x509_authority_cert(
                                      authority, x509_authority_count(authority) - 1))),
                                  &tsa->operator_id, err));
    }
    root->tsa.items = root->tsa_items;
    root->tsa.count = root->tsa_count;
    root->tsa.memo = root->memo;
    return true;
}

/* ---- the whole --------------------------------------------------------------------------- */

static bool trustroot_check_media_type(const json_t *doc, struct gh_error *err)
{
    static const char *const accepted[] = {
        "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "application/vnd.dev.sigstore.trustedroot.v0.1+json",
        "application/vnd.dev.sigstore.trustedroot.v0.2+json",
    };
    struct bytes type = {0};

    GH_TRY(sjson_get_string(doc, "mediaType", &type, err));
    for (size_t i = 0; i < GH_COUNT(accepted); i++) {
        if (bytes_equal_cstr(type, accepted[i])) {
            return true;
        }
    }
    return trustroot_refuse(err, "its mediaType is not one of trusted_root.json");
}

static bool trustroot_fill(struct trustroot *root, struct bytes json, struct gh_error *err)
{
    GH_OWN(sjson_freep) json_t *doc = NULL;

    GH_TRY(sjson_parse_object(json, TRUSTROOT_MAX_BYTES, &doc, err));
    GH_TRY(trustroot_check_media_type(doc, err));
    GH_TRY(digest_compute(DIGEST_SHA256, json, &root->fingerprint, err));
    GH_TRY(memo_new(&root->memo, err));
    GH_TRY(trustroot_read_logs(doc, "tlogs", root->tlogs, &root->tlog_count, err));
    GH_TRY(trustroot_read_logs(doc, "ctlogs", root->ctlogs, &root->ctlog_count, err));
    GH_TRY(trustroot_read_authorities(doc, root, err));
    return trustroot_read_tsas(doc, root, err);
}

bool trustroot_parse(struct bytes json, struct trustroot **out, struct gh_error *err)
{
    GH_OWN(trustroot_freep) struct trustroot *root = calloc(1, sizeof(*root));

    if (root == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    if (!trustroot_fill(root, json, err)) {
        return gh_recast(err, GH_TRUST_ROOT_MALFORMED);
    }
    *out = GH_TAKE(root);
    return true;
}

static void trustroot_logs_done(struct trustroot_log *logs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        key_free(logs[i].key);
        free(logs[i].base_url);
        free(logs[i].host);
        free(logs[i].origin);
    }
}

void trustroot_free(struct trustroot *root)
{
    if (root == NULL) {
        return;
    }
    trustroot_logs_done(root->tlogs, root->tlog_count);
    trustroot_logs_done(root->ctlogs, root->ctlog_count);
    for (size_t i = 0; i < root->authority_count; i++) {
        x509_authority_free(root->authorities[i]);
    }
    for (size_t i = 0; i < root->tsa_count; i++) {
        x509_authority_free(root->tsa_authorities[i]);
    }
    memo_free(root->memo);
    free(root);
}

const struct digest *trustroot_fingerprint(const struct trustroot *root)
{
    return &root->fingerprint;
}

const struct trustroot_log *trustroot_tlogs(const struct trustroot *root, size_t *count)
{
    *count = root->tlog_count;
    return root->tlogs;
}

const struct trustroot_log *trustroot_ctlogs(const struct trustroot *root, size_t *count)
{
    *count = root->ctlog_count;
    return root->ctlogs;
}

const struct x509_authority *const *trustroot_authorities(const struct trustroot *root,
                                                          size_t *count)
{
    *count = root->authority_count;
    return (const struct x509_authority *const *)root->authorities;
}

const struct tsa_trust *trustroot_tsa(const struct trustroot *root)
{
    return &root->tsa;
}

struct memo *trustroot_memo(const struct trustroot *root)
{
    return root->memo;
}
