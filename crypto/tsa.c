#include "crypto/tsa.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "crypto/key.h"
#include "crypto/x509.h"
#include "metrics/error.h"

#define TSA_OID_SIGNED_DATA BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")
#define TSA_OID_TST_INFO BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04")
#define TSA_OID_CONTENT_TYPE BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03")
/* 0.4.0.2023.1.1, ETSI's best practices policy for time stamps */
#define TSA_OID_ETSI_BASELINE BYTES_LITERAL("\x04\x00\x8f\x67\x01\x01")
#define TSA_OID_MESSAGE_DIGEST BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04")
#define TSA_OID_SIGNING_CERT BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x0c")
#define TSA_OID_SIGNING_CERT_V2 BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x2f")
#define TSA_OID_RSA BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01")
#define TSA_OID_SHA2 BYTES_LITERAL("\x60\x86\x48\x01\x65\x03\x04\x02") /* and one octet */
#define TSA_MAX_ATTRIBUTES 32
#define TSA_SHA1_BYTES 20

/* A token as it stands; views into it. */
struct tsa_token {
    struct bytes certs[TSA_MAX_CERTS]; /* embedded certificates, DER */
    size_t cert_count;
    struct bytes info; /* eContent: TSTInfo, DER */

    /* the one SignerInfo */
    struct bytes issuer; /* issuerAndSerialNumber, or … */
    struct bytes serial;
    struct bytes subject_key_id; /* … this; data is NULL when the other is used */
    enum digest_alg digest_alg;
    struct bytes signed_attributes; /* content of [0]; hashed as a SET */
    struct bytes signature_algorithm;
    struct bytes signature;

    /* signed attributes */
    struct bytes content_type;
    struct bytes message_digest;
    struct bytes ess;    /* SigningCertificate, DER */
    struct bytes ess_v2; /* SigningCertificateV2, DER */

    /* TSTInfo */
    enum digest_alg imprint_alg;
    struct bytes imprint;
    struct der_time gen_time;
    int64_t accuracy_us;
    bool has_accuracy;
    bool is_etsi_baseline;
};

static bool tsa_refuse(struct gh_error *err, const char *why)
{
    return gh_fail(err, GH_TIMESTAMP_INVALID, "the time stamp cannot be accepted: %s", why);
}

/* ---- reading ----------------------------------------------------------------------------- */

static bool tsa_hash_of(struct bytes oid, enum digest_alg *out)
{
    const struct bytes prefix = TSA_OID_SHA2;

    if (oid.len != prefix.len + 1 || !bytes_starts_with(oid, prefix)) {
        return false;
    }
    switch (oid.data[prefix.len]) {
    case 1:
        *out = DIGEST_SHA256;
        return true;
    case 2:
        *out = DIGEST_SHA384;
        return true;
    case 3:
        *out = DIGEST_SHA512;
        return true;
    default:
        return false;
    }
}

static bool tsa_read_hash_algorithm(struct bytes *in, enum digest_alg *out, struct gh_error *err)
{
    struct bytes seq = {0};
    struct bytes oid = {0};

    GH_TRY(der_take(in, DER_SEQUENCE, &seq, err));
    GH_TRY(der_oid(&seq, &oid, err));
    if (seq.len > 0) {
        GH_TRY(der_null(&seq, err));
    }
    GH_TRY(der_end(&seq, err));
    if (!tsa_hash_of(oid, out)) {
        return tsa_refuse(err, "it uses another hash than SHA-256, SHA-384 or SHA-512");
    }
    return true;
}

static bool tsa_read_accuracy(struct bytes in, struct tsa_token *token, struct gh_error *err)
{
    int64_t parts[3] = {0}; /* seconds, milliseconds, microseconds */
    struct bytes content = {0};

    if (der_is_next(in, DER_INTEGER)) {
        GH_TRY(der_int64(&in, &parts[0], err));
    }
    for (unsigned i = 0; i < 2; i++) {
        GH_TRY(der_opt(&in, (uint8_t)DER_CONTEXT(i), &content, err));
        if (content.data != NULL) {
            GH_TRY(der_int64_content(content, &parts[1 + i], err));
        }
    }
    GH_TRY(der_end(&in, err));
    if (parts[0] < 0 || parts[0] > TSA_MAX_ACCURACY_S || parts[1] < 0 || parts[1] > 999 ||
        parts[2] < 0 || parts[2] > 999) {
        return tsa_refuse(err, "its accuracy is out of range");
    }
    token->has_accuracy = true;
    token->accuracy_us = parts[0] * 1000000 + parts[1] * 1000 + parts[2];
    return true;
}

static bool tsa_check_extensions(struct bytes in, struct gh_error *err)
{
    while (in.len > 0) {
        struct bytes extension = {0};
        struct bytes part = {0};
        bool is_critical = false;

        GH_TRY(der_take(&in, DER_SEQUENCE, &extension, err));
        GH_TRY(der_oid(&extension, &part, err));
        GH_TRY(der_opt_bool(&extension, &is_critical, err));
        GH_TRY(der_octets(&extension, &part, err));
        GH_TRY(der_end(&extension, err));
        if (is_critical) {
            return tsa_refuse(err, "it has a critical extension that is not understood");
        }
    }
    return true;
}

static bool tsa_read_info_tail(struct bytes in, struct tsa_token *token, struct gh_error *err)
{
    struct bytes part = {0};
    bool is_ordered;

    GH_TRY(der_opt(&in, DER_SEQUENCE, &part, err));
    if (part.data != NULL) {
        GH_TRY(tsa_read_accuracy(part, token, err));
    }
    GH_TRY(der_opt_bool(&in, &is_ordered, err));
    if (der_is_next(in, DER_INTEGER)) {
        GH_TRY(der_integer(&in, &part, err)); /* the nonce; nobody here asked with one */
    }
    GH_TRY(der_opt(&in, DER_CONTEXT_CONSTRUCTED(0), &part, err));
    GH_TRY(der_opt(&in, DER_CONTEXT_CONSTRUCTED(1), &part, err));
    if (part.data != NULL) {
        GH_TRY(tsa_check_extensions(part, err));
    }
    return der_end(&in, err);
}

static bool tsa_read_info(struct bytes in, struct tsa_token *token, struct gh_error *err)
{
    struct bytes seq = {0};
    struct bytes part = {0};
    int64_t version = 0;

    GH_TRY(der_only(in, DER_SEQUENCE, &seq, err));
    GH_TRY(der_int64(&seq, &version, err));
    if (version != 1) {
        return tsa_refuse(err, "its TSTInfo is not of version 1");
    }
    GH_TRY(der_oid(&seq, &part, err)); /* policy */
    token->is_etsi_baseline = bytes_equal(part, TSA_OID_ETSI_BASELINE);
    GH_TRY(der_take(&seq, DER_SEQUENCE, &part, err));
    GH_TRY(tsa_read_hash_algorithm(&part, &token->imprint_alg, err));
    GH_TRY(der_octets(&part, &token->imprint, err));
    GH_TRY(der_end(&part, err));
    GH_TRY(der_integer(&seq, &part, err)); /* serial number */
    GH_TRY(der_generalized_time(&seq, &token->gen_time, err));
    return tsa_read_info_tail(seq, token, err);
}

/* Keep the one value of a signed attribute we judge by; none may stand there twice. */
static bool tsa_keep_attribute(struct bytes oid, struct bytes value, struct tsa_token *token,
                               struct gh_error *err)
{
    struct bytes *slot = bytes_equal(oid, TSA_OID_CONTENT_TYPE)      ? &token->content_type
                         : bytes_equal(oid, TSA_OID_MESSAGE_DIGEST)  ? &token->message_digest
                         : bytes_equal(oid, TSA_OID_SIGNING_CERT)    ? &token->ess
                         : bytes_equal(oid, TSA_OID_SIGNING_CERT_V2) ? &token->ess_v2
                                                                     : NULL;

    if (slot == NULL) {
        return true;
    }
    if (slot->data != NULL) {
        return tsa_refuse(err, "a signed attribute stands in it twice");
    }
    *slot = value;
    return true;
}

static bool tsa_read_attributes(struct bytes in, struct tsa_token *token, struct gh_error *err)
{
    size_t count = 0;

    while (in.len > 0) {
        struct bytes attribute = {0};
        struct bytes values = {0};
        struct bytes oid = {0};
        struct der_item value = {0};

        if (++count > TSA_MAX_ATTRIBUTES) {
            return tsa_refuse(err, "it has too many signed attributes");
        }
        GH_TRY(der_take(&in, DER_SEQUENCE, &attribute, err));
        GH_TRY(der_oid(&attribute, &oid, err));
        GH_TRY(der_take(&attribute, DER_SET, &values, err));
        GH_TRY(der_end(&attribute, err));
        GH_TRY(der_next(&values, &value, err));
        GH_TRY(der_end(&values, err));
        GH_TRY(tsa_keep_attribute(oid, value.whole, token, err));
    }
    return true;
}

static bool tsa_read_signer_id(struct bytes *in, struct tsa_token *token, struct gh_error *err)
{
    struct bytes seq = {0};

    if (der_is_next(*in, DER_CONTEXT(0))) {
        return der_take(in, DER_CONTEXT(0), &token->subject_key_id, err);
    }
    GH_TRY(der_take(in, DER_SEQUENCE, &seq, err));
    GH_TRY(der_take_whole(&seq, DER_SEQUENCE, &token->issuer, err));
    GH_TRY(der_integer(&seq, &token->serial, err));
    return der_end(&seq, err);
}

static bool tsa_read_signer(struct bytes in, struct tsa_token *token, struct gh_error *err)
{
    struct bytes seq = {0};
    struct bytes part = {0};
    int64_t version = 0;

    GH_TRY(der_take(&in, DER_SEQUENCE, &seq, err));
    if (in.len > 0) {
        return tsa_refuse(err, "it has more than one signer");
    }
    GH_TRY(der_int64(&seq, &version, err));
    GH_TRY(tsa_read_signer_id(&seq, token, err));
    if (version != (token->subject_key_id.data != NULL ? 3 : 1)) {
        return tsa_refuse(err, "its signer's version does not fit how the signer is named");
    }
    GH_TRY(tsa_read_hash_algorithm(&seq, &token->digest_alg, err));
    GH_TRY(der_take(&seq, DER_CONTEXT_CONSTRUCTED(0), &token->signed_attributes, err));
    GH_TRY(tsa_read_attributes(token->signed_attributes, token, err));
    GH_TRY(der_take_whole(&seq, DER_SEQUENCE, &token->signature_algorithm, err));
    GH_TRY(der_octets(&seq, &token->signature, err));
    GH_TRY(der_opt(&seq, DER_CONTEXT_CONSTRUCTED(1), &part, err)); /* unsigned attributes */
    return der_end(&seq, err);
}

static bool tsa_read_certs(struct bytes in, struct tsa_token *token, struct gh_error *err)
{
    while (in.len > 0) {
        struct der_item item = {0};

        GH_TRY(der_next(&in, &item, err));
        if (item.tag != DER_SEQUENCE) {
            continue; /* attribute certificates and the like */
        }
        if (token->cert_count == TSA_MAX_CERTS) {
            return tsa_refuse(err, "it embeds too many certificates");
        }
        token->certs[token->cert_count++] = item.whole;
    }
    return true;
}

static bool tsa_read_signed_data(struct bytes in, struct tsa_token *token, struct gh_error *err)
{
    struct bytes content = {0};
    struct bytes part = {0};
    int64_t version = 0;

    GH_TRY(der_int64(&in, &version, err));
    GH_TRY(der_take(&in, DER_SET, &part, err)); /* digest algorithms, named again below */
    GH_TRY(der_take(&in, DER_SEQUENCE, &content, err));
    GH_TRY(der_oid(&content, &part, err));
    if (!bytes_equal(part, TSA_OID_TST_INFO)) {
        return tsa_refuse(err, "its content is no TSTInfo");
    }
    GH_TRY(der_take(&content, DER_CONTEXT_CONSTRUCTED(0), &part, err));
    GH_TRY(der_end(&content, err));
    GH_TRY(der_only(part, DER_OCTET_STRING, &token->info, err));
    GH_TRY(der_opt(&in, DER_CONTEXT_CONSTRUCTED(0), &part, err));
    GH_TRY(tsa_read_certs(part, token, err));
    GH_TRY(der_opt(&in, DER_CONTEXT_CONSTRUCTED(1), &part, err)); /* CRLs */
    GH_TRY(der_take(&in, DER_SET, &part, err));
    GH_TRY(der_end(&in, err));
    return tsa_read_signer(part, token, err);
}

static bool tsa_token_read(struct bytes der, struct tsa_token *token, struct gh_error *err)
{
    struct bytes info = {0};
    struct bytes part = {0};

    GH_TRY(der_only(der, DER_SEQUENCE, &info, err));
    GH_TRY(der_oid(&info, &part, err));
    if (!bytes_equal(part, TSA_OID_SIGNED_DATA)) {
        return tsa_refuse(err, "it is no CMS signed data");
    }
    GH_TRY(der_take(&info, DER_CONTEXT_CONSTRUCTED(0), &part, err));
    GH_TRY(der_end(&info, err));
    GH_TRY(der_only(part, DER_SEQUENCE, &part, err));
    GH_TRY(tsa_read_signed_data(part, token, err));
    return tsa_read_info(token->info, token, err);
}

/* ---- the signer's certificate ------------------------------------------------------------ */

static bool tsa_names(const struct tsa_token *token, const struct x509_view *cert)
{
    if (token->subject_key_id.data != NULL) {
        return cert->subject_key_id.data != NULL &&
               bytes_equal(cert->subject_key_id, token->subject_key_id);
    }
    return bytes_equal(cert->issuer, token->issuer) && bytes_equal(cert->serial, token->serial);
}

/* IssuerSerial: one directoryName, and the serial number. */
static bool tsa_issuer_serial_fits(struct bytes in, const struct x509_view *cert)
{
    struct bytes names = {0};
    struct bytes name = {0};
    struct bytes serial = {0};

    return der_take(&in, DER_SEQUENCE, &names, NULL) && der_integer(&in, &serial, NULL) &&
           der_end(&in, NULL) && der_take(&names, DER_CONTEXT_CONSTRUCTED(4), &name, NULL) &&
           der_end(&names, NULL) && bytes_equal(name, cert->issuer) &&
           bytes_equal(serial, cert->serial);
}

/* Whether the certificate hash of ESS (SHA-1: RFC 2634) or its second form (RFC 5816) fits. */
static bool tsa_ess_fits(struct bytes ess, bool is_v2, const struct x509_view *cert)
{
    enum digest_alg alg = DIGEST_SHA256;
    uint8_t sha1[TSA_SHA1_BYTES] = {0};
    struct digest digest = {0};
    struct bytes wanted = bytes_make(sha1, sizeof(sha1));
    struct bytes certs = {0};
    struct bytes id = {0};
    struct bytes hash = {0};
    struct bytes issuer_serial = {0};

    if (!der_only(ess, DER_SEQUENCE, &ess, NULL) || !der_take(&ess, DER_SEQUENCE, &certs, NULL) ||
        !der_take(&certs, DER_SEQUENCE, &id, NULL)) {
        return false;
    }
    if (is_v2 && der_is_next(id, DER_SEQUENCE) && !tsa_read_hash_algorithm(&id, &alg, NULL)) {
        return false;
    }
    if (!der_octets(&id, &hash, NULL) || !der_opt(&id, DER_SEQUENCE, &issuer_serial, NULL) ||
        !der_end(&id, NULL)) {
        return false;
    }
    if (is_v2) {
        if (!digest_compute(alg, cert->der, &digest, NULL)) {
            return false;
        }
        wanted = digest_bytes(&digest);
    } else if (EVP_Digest(cert->der.data, cert->der.len, sha1, NULL, EVP_sha1(), NULL) != 1) {
        return false;
    }
    return bytes_equal(hash, wanted) &&
           (issuer_serial.data == NULL || tsa_issuer_serial_fits(issuer_serial, cert));
}

static bool tsa_is_signer(const struct tsa_token *token, const struct x509_view *cert)
{
    return tsa_names(token, cert) &&
           (token->ess_v2.data == NULL || tsa_ess_fits(token->ess_v2, true, cert)) &&
           (token->ess.data == NULL || tsa_ess_fits(token->ess, false, cert)) &&
           (token->ess_v2.data != NULL || token->ess.data != NULL);
}

/* The certificate as it is embedded; the root's copy of it is parsed already. */
static bool tsa_take_signer(struct bytes der, const struct tsa_trust *trust, struct x509_cert **out,
                            struct gh_error *err)
{
    for (size_t i = 0; i < trust->count; i++) {
        const struct x509_cert *leaf = trust->items[i].leaf;

        if (leaf != NULL && bytes_equal(x509_cert_der(leaf), der)) {
            *out = x509_cert_ref(leaf);
            return true;
        }
    }
    return x509_cert_parse(der, out, err);
}

/*
 * The certificate that signed: named by the signer info and bound by the signed ESS attribute, so
 * that a certificate slipped into the token cannot stand in for it.
 */
static bool tsa_find_signer(const struct tsa_token *token, const struct tsa_trust *trust,
                            struct x509_cert **out, struct gh_error *err)
{
    bool is_named = false;

    for (size_t i = 0; i < token->cert_count; i++) {
        struct x509_view view;

        if (!x509_view_read(token->certs[i], &view, NULL) || !tsa_names(token, &view)) {
            continue;
        }
        is_named = true;
        if (tsa_is_signer(token, &view)) {
            return tsa_take_signer(token->certs[i], trust, out, err);
        }
    }
    for (size_t i = 0; !trust->is_embedded_required && i < trust->count; i++) {
        const struct x509_cert *leaf = trust->items[i].leaf;

        if (leaf == NULL || !tsa_names(token, x509_cert_view(leaf))) {
            continue;
        }
        is_named = true;
        if (tsa_is_signer(token, x509_cert_view(leaf))) {
            *out = x509_cert_ref(leaf);
            return true;
        }
    }
    if (is_named) {
        return tsa_refuse(err, "its signing-certificate attribute is not that of its signer");
    }
    return gh_fail(err, GH_TIMESTAMP_UNTRUSTED,
                   "the certificate that made the time stamp is neither in it nor trusted");
}

/* ---- checks ------------------------------------------------------------------------------ */

static bool tsa_check_imprint(const struct tsa_token *token, struct bytes covered,
                              struct gh_error *err)
{
    struct digest digest = {0};

    GH_TRY(digest_compute(token->imprint_alg, covered, &digest, err));
    if (!bytes_equal(token->imprint, digest_bytes(&digest))) {
        return gh_fail(err, GH_TIMESTAMP_IMPRINT_MISMATCH,
                       "the time stamp's imprint is not the hash of this signature");
    }
    return true;
}

static bool tsa_check_attributes(const struct tsa_token *token, bool is_v2_required,
                                 struct gh_error *err)
{
    struct digest digest = {0};
    struct bytes value = {0};
    struct bytes in = token->content_type;

    if (token->content_type.data == NULL || token->message_digest.data == NULL) {
        return tsa_refuse(err, "its content type or message digest attribute is missing");
    }
    GH_TRY(der_oid(&in, &value, err));
    if (!bytes_equal(value, TSA_OID_TST_INFO)) {
        return tsa_refuse(err, "its signed content type is not that of its content");
    }
    GH_TRY(der_only(token->message_digest, DER_OCTET_STRING, &value, err));
    GH_TRY(digest_compute(token->digest_alg, token->info, &digest, err));
    if (!bytes_equal(value, digest_bytes(&digest))) {
        return tsa_refuse(err, "its signed message digest is not that of its content");
    }
    if (token->ess_v2.data == NULL && (is_v2_required || token->ess.data == NULL)) {
        return tsa_refuse(err, "its signing-certificate attribute is missing");
    }
    return true;
}

static bool tsa_verify_bytes(const struct tsa_token *token, const struct key *key,
                             struct bytes message, struct gh_error *err)
{
    struct bytes seq = {0};
    struct bytes oid = {0};

    GH_TRY(der_only(token->signature_algorithm, DER_SEQUENCE, &seq, err));
    GH_TRY(der_oid(&seq, &oid, err));
    if (bytes_equal(oid, TSA_OID_RSA)) { /* RFC 3370: the hash is the signer info's */
        return key_verify(key, KEY_SCHEME_RSA_PKCS1, token->digest_alg, message, token->signature,
                          err);
    }
    return x509_algorithm_verify(token->signature_algorithm, key, message, token->signature, err);
}

/* RFC 5652 section 5.4: the attributes are signed as a SET, not under their implicit tag. */
static bool tsa_check_signature(const struct tsa_token *token, const struct x509_cert *signer,
                                struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf set = {0};
    uint8_t header[DER_MAX_HEADER];
    size_t header_len = der_put_header(DER_SET, token->signed_attributes.len, header);
    struct gh_error failure = {0};

    GH_TRY(bytes_buf_alloc(header_len + token->signed_attributes.len, &set, err));
    memcpy(set.data, header, header_len);
    memcpy(set.data + header_len, token->signed_attributes.data, token->signed_attributes.len);
    if (tsa_verify_bytes(token, x509_cert_key(signer), bytes_view(&set), &failure)) {
        return true;
    }
    return failure.cause == GH_INTERNAL_ERROR
               ? gh_fail(err, failure.cause, "%s", failure.text)
               : gh_fail(err, GH_TIMESTAMP_INVALID, "the time stamp's signature is not good: %s",
                         failure.text);
}

struct tsa_hints {
    struct x509_cert *certs[TSA_MAX_CERTS];
    size_t count;
};

static void tsa_hints_done(struct tsa_hints *hints)
{
    while (hints->count > 0) {
        x509_cert_unref(hints->certs[--hints->count]);
    }
}

/* What else the token embeds; whatever does not parse is no help and no harm. */
static void tsa_read_hints(const struct tsa_token *token, const struct x509_cert *signer,
                           struct tsa_hints *hints)
{
    for (size_t i = 0; i < token->cert_count; i++) {
        if (!bytes_equal(token->certs[i], x509_cert_der(signer)) &&
            x509_cert_parse(token->certs[i], &hints->certs[hints->count], NULL)) {
            hints->count++;
        }
    }
}

static void tsa_keep_result(const struct tsa_token *token, const struct x509_path *path,
                            const struct tsa_authority *tsa, struct tsa_result *out)
{
    int64_t fraction_us = token->gen_time.nanos / 1000;
    int64_t after_us = fraction_us + (token->gen_time.nanos % 1000 != 0 ? 1 : 0);

    *out = (struct tsa_result){.gen_time = token->gen_time,
                               .accuracy_us = token->accuracy_us,
                               .is_second_implied = !token->has_accuracy && token->is_etsi_baseline,
                               .operator_id = tsa->operator_id};
    /* Rounded outwards; without accuracy and fraction both are genTime. */
    out->not_before_unix_s = token->gen_time.unix_s;
    if (token->accuracy_us > fraction_us) {
        out->not_before_unix_s -= (token->accuracy_us - fraction_us + 999999) / 1000000;
    }
    out->not_after_unix_s =
        token->gen_time.unix_s + (after_us + token->accuracy_us + 999999) / 1000000;
    for (size_t i = 0; i < path->count; i++) {
        out->path[i] = x509_cert_ref(path->certs[i]);
    }
    out->path_count = path->count;
}

static bool tsa_try_path(const struct tsa_token *token, const struct x509_cert *signer,
                         const struct tsa_authority *tsa, const struct tsa_trust *trust,
                         struct x509_cert *const *hints, size_t hint_count, struct tsa_result *out,
                         struct gh_error *err)
{
    struct x509_path_input input = {.leaf = signer,
                                    .hints = hints,
                                    .hint_count = hint_count,
                                    .authorities = &tsa->authority,
                                    .authority_count = 1,
                                    .times_unix_s = &token->gen_time.unix_s,
                                    .time_count = 1,
                                    .use = X509_USE_TIME_STAMPING,
                                    .memo = trust->memo,
                                    .is_leaf_remembered = true};
    struct x509_path path;

    GH_TRY(x509_path_verify(&input, &path, err));
    tsa_keep_result(token, &path, tsa, out);
    return true;
}

static bool tsa_check_path(const struct tsa_token *token, const struct x509_cert *signer,
                           const struct tsa_trust *trust, struct tsa_result *out,
                           struct gh_error *err)
{
    GH_OWN(tsa_hints_done) struct tsa_hints hints = {0};
    struct gh_error best = {0};

    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < trust->count; i++) {
            const struct tsa_authority *tsa = &trust->items[i];
            struct gh_error failure = {0};

            if (tsa->leaf != NULL && !x509_cert_equal(tsa->leaf, signer)) {
                continue; /* the root names which certificate signs */
            }
            if (tsa_try_path(token, signer, tsa, trust, hints.certs, hints.count, out, &failure)) {
                return true;
            }
            if (best.cause == GH_CAUSE_NONE || best.cause == GH_CERT_CHAIN_UNTRUSTED) {
                best = failure;
            }
        }
        if (round == 0) { /* only now, as most tokens need no help */
            tsa_read_hints(token, signer, &hints);
        }
        if (hints.count == 0) {
            break;
        }
    }
    if (best.cause == GH_INTERNAL_ERROR) {
        return gh_fail(err, best.cause, "%s", best.text);
    }
    return gh_fail(err, GH_TIMESTAMP_UNTRUSTED, "the time stamp's signer is not trusted: %s",
                   best.cause != GH_CAUSE_NONE ? best.text : "no trusted authority names it");
}

static bool tsa_judge(const struct tsa_token *token, struct bytes covered,
                      const struct tsa_trust *trust, int64_t now_unix_s, struct tsa_result *out,
                      struct gh_error *err)
{
    GH_OWN(x509_cert_unrefp) struct x509_cert *signer = NULL;

    GH_TRY(tsa_check_imprint(token, covered, err));
    GH_TRY(tsa_check_attributes(token, trust->is_ess_v2_required, err));
    GH_TRY(tsa_find_signer(token, trust, &signer, err));
    GH_TRY(tsa_check_signature(token, signer, err));
    if (token->gen_time.unix_s > now_unix_s &&
        token->gen_time.unix_s - now_unix_s > TSA_MAX_FUTURE_S) {
        return gh_fail(err, GH_TIMESTAMP_FUTURE, "the time stamp's time %lld is in the future",
                       (long long)token->gen_time.unix_s);
    }
    return tsa_check_path(token, signer, trust, out, err);
}

static bool tsa_recast(struct gh_error *err)
{
    if (err != NULL && (err->cause == GH_CERT_MALFORMED || err->cause == GH_SIG_ALG_UNSUPPORTED ||
                        err->cause == GH_COUNT_LIMIT_EXCEEDED)) {
        err->cause = GH_TIMESTAMP_INVALID;
    }
    return gh_recast(err, GH_TIMESTAMP_INVALID);
}

static bool tsa_check_size(struct bytes der, struct gh_error *err)
{
    return der.len <= TSA_MAX_TOKEN_BYTES ||
           gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a time stamp has %zu bytes, limit %u", der.len,
                   TSA_MAX_TOKEN_BYTES);
}

bool tsa_verify_token(struct bytes der, struct bytes covered, const struct tsa_trust *trust,
                      int64_t now_unix_s, struct tsa_result *out, struct gh_error *err)
{
    struct tsa_token token = {0};

    GH_TRY(tsa_check_size(der, err));
    if (!tsa_token_read(der, &token, err) ||
        !tsa_judge(&token, covered, trust, now_unix_s, out, err)) {
        return tsa_recast(err);
    }
    return true;
}

static bool tsa_response_read(struct bytes der, struct bytes *token, struct gh_error *err)
{
    struct bytes response = {0};
    struct bytes status = {0};
    int64_t value = -1;

    GH_TRY(der_only(der, DER_SEQUENCE, &response, err));
    GH_TRY(der_take(&response, DER_SEQUENCE, &status, err));
    GH_TRY(der_int64(&status, &value, err));
    if (value != 0 && value != 1) {
        return tsa_refuse(err, "its status is not granted");
    }
    GH_TRY(der_take_whole(&response, DER_SEQUENCE, token, err));
    return der_end(&response, err);
}

bool tsa_verify_response(struct bytes der, struct bytes covered, const struct tsa_trust *trust,
                         int64_t now_unix_s, struct tsa_result *out, struct gh_error *err)
{
    struct bytes token = {0};

    GH_TRY(tsa_check_size(der, err));
    if (!tsa_response_read(der, &token, err)) {
        return tsa_recast(err);
    }
    return tsa_verify_token(token, covered, trust, now_unix_s, out, err);
}

void tsa_result_done(struct tsa_result *result)
{
    while (result->path_count > 0) {
        x509_cert_unref(result->path[--result->path_count]);
    }
}
