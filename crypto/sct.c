#include "crypto/sct.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/der.h"
#include "crypto/key.h"
#include "crypto/trustroot.h"
#include "crypto/x509.h"
#include "metrics/error.h"

#define SCT_LIST_OID BYTES_LITERAL("\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x02")
#define SCT_VERSION_1 0
#define SCT_HASH_SHA256 4
#define SCT_SIGNATURE_RSA 1
#define SCT_SIGNATURE_ECDSA 3
#define SCT_PREFIX_BYTES (1 + 1 + 8 + 2 + 32 + 3)

static bool sct_read(struct bytes in, struct sct *out, struct gh_error *err)
{
    GH_TRY(bytes_u8(&in, &out->version, err));
    GH_TRY(bytes_copy(&in, out->log_id, sizeof(out->log_id), err));
    GH_TRY(bytes_u64be(&in, &out->issued_unix_ms, err));
    GH_TRY(bytes_prefixed16(&in, SCT_MAX_EXTENSIONS, &out->extensions, err));
    GH_TRY(bytes_u8(&in, &out->hash, err));
    GH_TRY(bytes_u8(&in, &out->algorithm, err));
    GH_TRY(bytes_prefixed16(&in, SCT_MAX_SIGNATURE_BYTES, &out->signature, err));
    return bytes_end(&in, err);
}

static bool sct_list_read_items(struct bytes in, struct sct out[SCT_MAX_COUNT], size_t *count,
                                struct gh_error *err)
{
    struct bytes list = {0};
    size_t found = 0;

    GH_TRY(bytes_prefixed16(&in, SCT_MAX_LIST_BYTES, &list, err));
    GH_TRY(bytes_end(&in, err));
    while (list.len > 0) {
        struct bytes item = {0};

        if (found == SCT_MAX_COUNT) {
            return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED,
                           "the certificate holds more than %d timestamps", SCT_MAX_COUNT);
        }
        GH_TRY(bytes_prefixed16(&list, SCT_MAX_LIST_BYTES, &item, err));
        GH_TRY(sct_read(item, &out[found], err));
        found++;
    }
    *count = found;
    return true;
}

bool sct_list_read(struct bytes in, struct sct out[SCT_MAX_COUNT], size_t *count,
                   struct gh_error *err)
{
    if (!sct_list_read_items(in, out, count, err)) {
        return gh_recast(err, GH_SCT_INVALID);
    }
    return true;
}

bool sct_precert_tbs(const struct x509_view *cert, struct bytes_buf *out, struct gh_error *err)
{
    const struct x509_extension *list = x509_view_extension(cert, SCT_LIST_OID);
    GH_OWN(bytes_buf_done) struct bytes_buf tbs = {0};
    uint8_t headers[3][DER_MAX_HEADER];
    size_t header_lens[3] = {0};
    size_t kept = 0;
    size_t before;
    size_t used = 0;

    if (list == NULL) {
        return gh_fail(err, GH_SCT_MISSING, "the certificate holds no SCT list");
    }
    for (size_t i = 0; i < cert->extension_count; i++) {
        kept += &cert->extensions[i] == list ? 0 : cert->extensions[i].whole.len;
    }
    /* Innermost first: SEQUENCE of extensions, its [3], the TBSCertificate. */
    before = (size_t)(cert->extensions_explicit.data - cert->tbs_content.data);
    header_lens[0] = kept > 0 ? der_put_header(DER_SEQUENCE, kept, headers[0]) : 0;
    header_lens[1] =
        kept > 0 ? der_put_header(DER_CONTEXT_CONSTRUCTED(3), header_lens[0] + kept, headers[1])
                 : 0;
    header_lens[2] =
        der_put_header(DER_SEQUENCE, before + header_lens[1] + header_lens[0] + kept, headers[2]);
    GH_TRY(bytes_buf_alloc(header_lens[2] + before + header_lens[1] + header_lens[0] + kept, &tbs,
                           err));
    memcpy(tbs.data, headers[2], header_lens[2]);
    used = header_lens[2];
    memcpy(tbs.data + used, cert->tbs_content.data, before);
    used += before;
    for (unsigned i = 2; i-- > 0;) {
        memcpy(tbs.data + used, headers[i], header_lens[i]);
        used += header_lens[i];
    }
    for (size_t i = 0; i < cert->extension_count; i++) {
        if (&cert->extensions[i] != list) {
            memcpy(tbs.data + used, cert->extensions[i].whole.data, cert->extensions[i].whole.len);
            used += cert->extensions[i].whole.len;
        }
    }
    *out = tbs;
    tbs = (struct bytes_buf){0};
    return true;
}

/* What a log signs (RFC 6962 section 3.2), for one SCT. */
static bool sct_signed_bytes(const struct sct *sct, const struct digest *issuer_key,
                             struct bytes tbs, struct bytes_buf *out, struct gh_error *err)
{
    uint8_t *at;

    GH_TRY(bytes_buf_alloc(SCT_PREFIX_BYTES + tbs.len + 2 + sct->extensions.len, out, err));
    at = out->data;
    *at++ = SCT_VERSION_1;
    *at++ = 0; /* certificate_timestamp */
    for (int shift = 56; shift >= 0; shift -= 8) {
        *at++ = (uint8_t)(sct->issued_unix_ms >> shift);
    }
    *at++ = 0;
    *at++ = 1; /* precert_entry */
    memcpy(at, issuer_key->value, 32);
    at += 32;
    *at++ = (uint8_t)(tbs.len >> 16);
    *at++ = (uint8_t)(tbs.len >> 8);
    *at++ = (uint8_t)tbs.len;
    memcpy(at, tbs.data, tbs.len);
    at += tbs.len;
    *at++ = (uint8_t)(sct->extensions.len >> 8);
    *at++ = (uint8_t)sct->extensions.len;
    if (sct->extensions.len > 0) {
        memcpy(at, sct->extensions.data, sct->extensions.len);
    }
    return true;
}

static bool sct_check(const struct sct *sct, const struct trustroot_log *log,
                      const struct digest *issuer_key, struct bytes tbs, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf message = {0};
    uint8_t wanted = key_type(log->key) == KEY_TYPE_RSA ? SCT_SIGNATURE_RSA : SCT_SIGNATURE_ECDSA;
    struct gh_error failure = {0};

    if (sct->version != SCT_VERSION_1 || sct->hash != SCT_HASH_SHA256 || sct->algorithm != wanted ||
        key_type(log->key) == KEY_TYPE_ED25519) {
        return gh_fail(err, GH_SCT_INVALID,
                       "an SCT has version %u, hash %u and algorithm %u; 0, 4 and %u are wanted",
                       sct->version, sct->hash, sct->algorithm, wanted);
    }
    GH_TRY(sct_signed_bytes(sct, issuer_key, tbs, &message, err));
    if (key_verify(log->key, wanted == SCT_SIGNATURE_RSA ? KEY_SCHEME_RSA_PKCS1 : KEY_SCHEME_ECDSA,
                   DIGEST_SHA256, bytes_view(&message), sct->signature, &failure)) {
        return true;
    }
    if (failure.cause == GH_INTERNAL_ERROR) {
        return gh_fail(err, failure.cause, "%s", failure.text);
    }
    return gh_fail(err, GH_SCT_INVALID, "an SCT's signature is not that of log %s", log->base_url);
}

/* The log's entry in the root whose window holds the SCT; *is_known: some entry has the id. */
static const struct trustroot_log *sct_find_log(const struct trustroot *root, const struct sct *sct,
                                                bool *is_known)
{
    size_t count = 0;
    const struct trustroot_log *logs = trustroot_ctlogs(root, &count);

    *is_known = false;
    for (size_t i = 0; i < count; i++) {
        if (logs[i].key == NULL || memcmp(logs[i].id, sct->log_id, sizeof(sct->log_id)) != 0) {
            continue;
        }
        *is_known = true;
        if (sct->issued_unix_ms <= INT64_MAX &&
            trustroot_log_covers(&logs[i], (int64_t)sct->issued_unix_ms)) {
            return &logs[i];
        }
    }
    return NULL;
}

static bool sct_read_embedded(const struct x509_view *cert, struct sct scts[SCT_MAX_COUNT],
                              size_t *count, struct gh_error *err)
{
    const struct x509_extension *extension = x509_view_extension(cert, SCT_LIST_OID);
    struct bytes list = {0};

    if (extension == NULL) {
        return gh_fail(err, GH_SCT_MISSING, "the certificate holds no SCT list");
    }
    if (!der_only(extension->value, DER_OCTET_STRING, &list, err)) {
        return gh_recast(err, GH_SCT_INVALID);
    }
    GH_TRY(sct_list_read(list, scts, count, err));
    if (*count == 0) {
        return gh_fail(err, GH_SCT_MISSING, "the certificate's SCT list is empty");
    }
    return true;
}

static bool sct_is_counted(const struct trustroot_log *const *counted, size_t count,
                           const struct trustroot_log *log)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(counted[i]->id, log->id, sizeof(log->id)) == 0) {
            return true;
        }
    }
    return false;
}

bool sct_verify(const struct x509_cert *leaf, const struct x509_cert *issuer,
                const struct trustroot *root, size_t threshold, const struct trustroot_log **log,
                struct gh_error *err)
{
    const struct digest *issuer_key = key_fingerprint(x509_cert_key(issuer));
    const struct trustroot_log *counted[SCT_MAX_COUNT] = {0};
    GH_OWN(bytes_buf_done) struct bytes_buf tbs = {0};
    struct sct scts[SCT_MAX_COUNT] = {0};
    bool is_any_known = false;
    size_t distinct = 0;
    size_t count = 0;

    GH_TRY(sct_read_embedded(x509_cert_view(leaf), scts, &count, err));
    GH_TRY(sct_precert_tbs(x509_cert_view(leaf), &tbs, err));
    for (size_t i = 0; i < count; i++) {
        bool is_known = false;
        const struct trustroot_log *found = sct_find_log(root, &scts[i], &is_known);

        is_any_known = is_any_known || is_known;
        if (found == NULL) {
            continue;
        }
        GH_TRY(sct_check(&scts[i], found, issuer_key, bytes_view(&tbs), err));
        if (!sct_is_counted(counted, distinct, found)) {
            counted[distinct++] = found;
        }
    }
    if (distinct == 0) {
        return is_any_known
                   ? gh_fail(err, GH_SCT_INVALID,
                             "the SCT was issued when the trust root did not vouch for its log")
                   : gh_fail(err, GH_SCT_LOG_UNKNOWN, "no SCT is of a log in the trust root");
    }
    if (distinct < threshold) {
        return gh_fail(err, GH_SCT_MISSING, "SCTs of %zu distinct logs verify, %zu are required",
                       distinct, threshold);
    }
    if (log != NULL) {
        *log = counted[0];
    }
    return true;
}
