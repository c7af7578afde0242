#include "crypto/ocsp.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "crypto/der.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "metrics/error.h"

#define OCSP_CLOCK_SKEW_S 300
#define OCSP_MAX_HASH 64

/* Content of object identifiers. */
static const struct bytes ocsp_oid_basic = BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x30\x01\x01");
static const struct bytes ocsp_oid_nocheck = BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x30\x01\x05");
static const struct bytes ocsp_oid_invalidity = BYTES_LITERAL("\x55\x1d\x18");
static const struct bytes ocsp_oid_sha1 = BYTES_LITERAL("\x2b\x0e\x03\x02\x1a");
static const struct bytes ocsp_oid_sha256 = BYTES_LITERAL("\x60\x86\x48\x01\x65\x03\x04\x02\x01");
static const struct bytes ocsp_oid_sha384 = BYTES_LITERAL("\x60\x86\x48\x01\x65\x03\x04\x02\x02");
static const struct bytes ocsp_oid_sha512 = BYTES_LITERAL("\x60\x86\x48\x01\x65\x03\x04\x02\x03");

/* The parts of a BasicOCSPResponse. */
struct ocsp_basic {
    struct bytes tbs;
    struct bytes algorithm;
    struct bytes signature;
    struct bytes responder_name; /* Name with its header, or no data */
    struct bytes responder_hash; /* SHA-1 of the responder's key, or no data */
    struct bytes responses;
    struct bytes certs; /* content of the list; empty where there is none */
};

static bool ocsp_hash(const EVP_MD *md, struct bytes in, uint8_t out[OCSP_MAX_HASH], size_t *len,
                      struct gh_error *err)
{
    unsigned used = 0;

    if (EVP_Digest(in.data, in.len, out, &used, md, NULL) != 1) {
        ERR_clear_error();
        return gh_fail(err, GH_INTERNAL_ERROR, "a hash could not be computed");
    }
    *len = used;
    return true;
}

/* The subjectPublicKey bits: what key hashes of CertID and ResponderID cover. */
static bool ocsp_key_bits(const struct x509_cert *cert, struct bytes *out, struct gh_error *err)
{
    struct bytes spki;
    struct bytes algorithm;

    GH_TRY(der_only(x509_cert_view(cert)->spki, DER_SEQUENCE, &spki, err));
    GH_TRY(der_take(&spki, DER_SEQUENCE, &algorithm, err));
    GH_TRY(der_bits(&spki, out, err));
    return der_end(&spki, err);
}

/* Put CONTENT behind its header in front of what is already at the end of BUF. */
static void ocsp_prepend(uint8_t *buf, size_t *at, uint8_t tag, struct bytes content)
{
    uint8_t head[DER_MAX_HEADER];
    size_t head_len;

    if (content.data != NULL) {
        *at -= content.len;
        memcpy(buf + *at, content.data, content.len);
    }
    head_len = der_put_header(tag, content.len, head);
    *at -= head_len;
    memcpy(buf + *at, head, head_len);
}

bool ocsp_ask(const struct x509_cert *cert, const struct x509_cert *issuer, struct bytes_buf *out,
              struct gh_error *err)
{
    static const uint8_t sha1[] = {0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00};
    const struct x509_view *view = x509_cert_view(cert);
    uint8_t name_hash[OCSP_MAX_HASH];
    uint8_t key_hash[OCSP_MAX_HASH];
    uint8_t buf[256];
    size_t at = sizeof(buf);
    size_t len = 0;
    struct bytes key;

    GH_TRY(ocsp_hash(EVP_sha1(), view->issuer, name_hash, &len, err));
    GH_TRY(ocsp_key_bits(issuer, &key, err));
    GH_TRY(ocsp_hash(EVP_sha1(), key, key_hash, &len, err));
    if (view->serial.len > X509_MAX_SERIAL_BYTES) {
        return gh_fail(err, GH_CERT_MALFORMED, "a serial number of more than %d bytes",
                       X509_MAX_SERIAL_BYTES);
    }
    ocsp_prepend(buf, &at, DER_INTEGER, view->serial);
    ocsp_prepend(buf, &at, DER_OCTET_STRING, bytes_make(key_hash, len));
    ocsp_prepend(buf, &at, DER_OCTET_STRING, bytes_make(name_hash, len));
    ocsp_prepend(buf, &at, DER_SEQUENCE, bytes_make(sha1, sizeof(sha1)));
    /* CertID, Request, requestList, TBSRequest, OCSPRequest: each wraps the last. */
    for (int i = 0; i < 5; i++) {
        uint8_t head[DER_MAX_HEADER];
        size_t head_len = der_put_header(DER_SEQUENCE, sizeof(buf) - at, head);

        at -= head_len;
        memcpy(buf + at, head, head_len);
    }
    return bytes_dup(bytes_make(buf + at, sizeof(buf) - at), out, err);
}

static bool ocsp_read_outer(struct bytes der, struct bytes *basic, struct gh_error *err)
{
    struct bytes outer;
    struct bytes status;
    struct bytes explicit_bytes;
    struct bytes sequence;
    struct bytes oid;

    GH_TRY(der_only(der, DER_SEQUENCE, &outer, err));
    GH_TRY(der_take(&outer, DER_ENUMERATED, &status, err));
    if (status.len != 1 || status.data[0] != 0) {
        return gh_fail(err, GH_REVOCATION_UNAVAILABLE, "the OCSP responder declined (status %d)",
                       status.len == 1 ? status.data[0] : -1);
    }
    GH_TRY(der_take(&outer, DER_CONTEXT_CONSTRUCTED(0), &explicit_bytes, err));
    GH_TRY(der_end(&outer, err));
    GH_TRY(der_only(explicit_bytes, DER_SEQUENCE, &sequence, err));
    GH_TRY(der_oid(&sequence, &oid, err));
    if (!bytes_equal(oid, ocsp_oid_basic)) {
        return gh_fail(err, GH_OCSP_INVALID, "the OCSP answer is not of the basic type");
    }
    GH_TRY(der_octets(&sequence, basic, err));
    return der_end(&sequence, err);
}

static bool ocsp_read_tbs(struct ocsp_basic *basic, struct gh_error *err)
{
    struct bytes data;
    struct bytes unused;
    struct der_time produced;

    GH_TRY(der_only(basic->tbs, DER_SEQUENCE, &data, err));
    GH_TRY(der_opt(&data, DER_CONTEXT_CONSTRUCTED(0), &unused, err)); /* version */
    GH_TRY(der_opt(&data, DER_CONTEXT_CONSTRUCTED(1), &basic->responder_name, err));
    if (basic->responder_name.data == NULL) {
        struct bytes explicit_bytes;

        GH_TRY(der_take(&data, DER_CONTEXT_CONSTRUCTED(2), &explicit_bytes, err));
        GH_TRY(der_only(explicit_bytes, DER_OCTET_STRING, &basic->responder_hash, err));
    }
    GH_TRY(der_generalized_time(&data, &produced, err));
    GH_TRY(der_take(&data, DER_SEQUENCE, &basic->responses, err));
    if (der_is_next(data, DER_CONTEXT_CONSTRUCTED(1))) {
        struct bytes extensions;

        GH_TRY(der_take(&data, DER_CONTEXT_CONSTRUCTED(1), &extensions, err));
    }
    return der_end(&data, err);
}

static bool ocsp_read(struct bytes der, struct ocsp_basic *basic, struct gh_error *err)
{
    struct bytes in;
    struct bytes outer;
    struct bytes certs;

    GH_TRY(ocsp_read_outer(der, &in, err));
    GH_TRY(der_only(in, DER_SEQUENCE, &outer, err));
    GH_TRY(der_take_whole(&outer, DER_SEQUENCE, &basic->tbs, err));
    GH_TRY(der_take_whole(&outer, DER_SEQUENCE, &basic->algorithm, err));
    GH_TRY(der_bits(&outer, &basic->signature, err));
    GH_TRY(der_opt(&outer, DER_CONTEXT_CONSTRUCTED(0), &certs, err));
    GH_TRY(der_end(&outer, err));
    if (certs.data != NULL) {
        GH_TRY(der_only(certs, DER_SEQUENCE, &basic->certs, err));
    }
    return ocsp_read_tbs(basic, err);
}

/* Whether the answer says that this certificate made it. */
static bool ocsp_is_responder(const struct ocsp_basic *basic, const struct x509_cert *cert,
                              struct gh_error *err)
{
    uint8_t hash[OCSP_MAX_HASH];
    struct bytes key;
    size_t len = 0;

    if (basic->responder_name.data != NULL) {
        return bytes_equal(basic->responder_name, x509_cert_view(cert)->subject);
    }
    return ocsp_key_bits(cert, &key, err) && ocsp_hash(EVP_sha1(), key, hash, &len, err) &&
           bytes_equal(basic->responder_hash, bytes_make(hash, len));
}

static bool ocsp_is_signed(const struct ocsp_basic *basic, const struct x509_cert *cert)
{
    struct gh_error why = {0};

    return ocsp_is_responder(basic, cert, &why) &&
           x509_algorithm_verify(basic->algorithm, x509_cert_key(cert), basic->tbs,
                                 basic->signature, &why);
}

/* RFC 6960 section 4.2.2.2: issued by the authority itself, for OCSP signing, valid now. */
static bool ocsp_check_delegate(const struct x509_cert *cert, const struct x509_cert *issuer,
                                int64_t now, struct gh_error *err)
{
    const struct x509_view *view = x509_cert_view(cert);

    if (!bytes_equal(view->issuer, x509_cert_view(issuer)->subject) ||
        !x509_check_signed(view, x509_cert_key(issuer), NULL)) {
        return gh_fail(err, GH_OCSP_INVALID,
                       "the OCSP responder was not certified by the authority it speaks for");
    }
    if (!view->has_ext_key_usage || (view->ext_key_usage & X509_EKU_OCSP_SIGNING) == 0) {
        return gh_fail(err, GH_OCSP_INVALID, "the OCSP responder may not sign OCSP answers");
    }
    if (view->has_key_usage && (view->key_usage & X509_KU_DIGITAL_SIGNATURE) == 0) {
        return gh_fail(err, GH_OCSP_INVALID, "the OCSP responder's key may not sign");
    }
    if (now < view->not_before_unix_s || now > view->not_after_unix_s) {
        return gh_fail(err, GH_OCSP_INVALID, "the OCSP responder's certificate is not valid now");
    }
    return true;
}

/* Who signed: the issuer, or one of the certificates that came along. *responder gets a reference
 * where its revocation must be checked. */
static bool ocsp_check_signer(const struct ocsp_basic *basic, const struct x509_cert *issuer,
                              int64_t now, struct x509_cert **responder, struct gh_error *err)
{
    struct bytes certs = basic->certs;

    *responder = NULL;
    if (ocsp_is_signed(basic, issuer)) {
        return true;
    }
    for (size_t i = 0; certs.len > 0; i++) {
        GH_OWN(x509_cert_unrefp) struct x509_cert *cert = NULL;
        struct bytes der;

        if (i == OCSP_MAX_CERTS) {
            return gh_fail(err, GH_OCSP_INVALID, "an OCSP answer with more than %d certificates",
                           OCSP_MAX_CERTS);
        }
        GH_TRY(der_take_whole(&certs, DER_SEQUENCE, &der, err));
        if (!x509_cert_parse(der, &cert, NULL) || !ocsp_is_signed(basic, cert)) {
            continue;
        }
        GH_TRY(ocsp_check_delegate(cert, issuer, now, err));
        if (x509_view_extension(x509_cert_view(cert), ocsp_oid_nocheck) == NULL) {
            *responder = GH_TAKE(cert);
        }
        return true;
    }
    return gh_fail(err, GH_OCSP_INVALID, "the OCSP answer's signature does not verify");
}

static const EVP_MD *ocsp_md(struct bytes oid)
{
    if (bytes_equal(oid, ocsp_oid_sha1)) {
        return EVP_sha1(); /* names a certificate, proves nothing */
    }
    if (bytes_equal(oid, ocsp_oid_sha256)) {
        return EVP_sha256();
    }
    if (bytes_equal(oid, ocsp_oid_sha384)) {
        return EVP_sha384();
    }
    return bytes_equal(oid, ocsp_oid_sha512) ? EVP_sha512() : NULL;
}

static bool ocsp_is_about(struct bytes cert_id, const struct x509_cert *cert,
                          const struct x509_cert *issuer, bool *out, struct gh_error *err)
{
    const struct x509_view *view = x509_cert_view(cert);
    struct bytes algorithm;
    struct bytes oid;
    struct bytes name;
    struct bytes key;
    struct bytes serial;
    struct bytes key_bits;
    uint8_t name_hash[OCSP_MAX_HASH];
    uint8_t key_hash[OCSP_MAX_HASH];
    const EVP_MD *md;
    size_t len = 0;

    GH_TRY(der_take(&cert_id, DER_SEQUENCE, &algorithm, err));
    GH_TRY(der_oid(&algorithm, &oid, err));
    GH_TRY(der_octets(&cert_id, &name, err));
    GH_TRY(der_octets(&cert_id, &key, err));
    GH_TRY(der_integer(&cert_id, &serial, err));
    GH_TRY(der_end(&cert_id, err));
    md = ocsp_md(oid);
    *out = false;
    if (md == NULL || !bytes_equal(serial, view->serial)) {
        return true;
    }
    GH_TRY(ocsp_hash(md, view->issuer, name_hash, &len, err));
    GH_TRY(ocsp_key_bits(issuer, &key_bits, err));
    GH_TRY(ocsp_hash(md, key_bits, key_hash, &len, err));
    *out = bytes_equal(name, bytes_make(name_hash, len)) &&
           bytes_equal(key, bytes_make(key_hash, len));
    return true;
}

static bool ocsp_read_status(struct bytes *in, struct ocsp_answer *out, struct gh_error *err)
{
    struct der_item status;
    struct der_time revoked;

    GH_TRY(der_next(in, &status, err));
    if (status.tag == DER_CONTEXT(0) && status.content.len == 0) {
        out->status = OCSP_GOOD;
        return true;
    }
    if (status.tag == DER_CONTEXT(2) && status.content.len == 0) {
        out->status = OCSP_UNKNOWN;
        return true;
    }
    if (status.tag != DER_CONTEXT_CONSTRUCTED(1)) {
        return gh_fail(err, GH_OCSP_INVALID, "the OCSP answer has no status that is known");
    }
    GH_TRY(der_generalized_time(&status.content, &revoked, err));
    out->status = OCSP_REVOKED;
    out->revoked_unix_s = revoked.unix_s;
    return true;
}

static bool ocsp_read_single_extensions(struct bytes in, struct ocsp_answer *out,
                                        struct gh_error *err)
{
    struct bytes list;

    GH_TRY(der_only(in, DER_SEQUENCE, &list, err));
    while (list.len > 0) {
        struct bytes extension;
        struct bytes oid;
        struct bytes value;
        bool is_critical;

        GH_TRY(der_take(&list, DER_SEQUENCE, &extension, err));
        GH_TRY(der_oid(&extension, &oid, err));
        GH_TRY(der_opt_bool(&extension, &is_critical, err));
        GH_TRY(der_octets(&extension, &value, err));
        if (bytes_equal(oid, ocsp_oid_invalidity)) {
            GH_TRY(der_time(&value, &out->invalidity_unix_s, err));
            out->has_invalidity_date = true;
        } else if (is_critical) {
            return gh_fail(err, GH_OCSP_INVALID,
                           "the OCSP answer has a critical extension that is not understood");
        }
    }
    return true;
}

/* The rest of a SingleResponse, behind its CertID. */
static bool ocsp_read_single(struct bytes in, int64_t now, struct ocsp_answer *out,
                             struct gh_error *err)
{
    struct der_time this_update;
    struct bytes next;
    struct bytes extensions;

    GH_TRY(ocsp_read_status(&in, out, err));
    GH_TRY(der_generalized_time(&in, &this_update, err));
    GH_TRY(der_opt(&in, DER_CONTEXT_CONSTRUCTED(0), &next, err));
    GH_TRY(der_opt(&in, DER_CONTEXT_CONSTRUCTED(1), &extensions, err));
    GH_TRY(der_end(&in, err));
    if (this_update.unix_s > now + OCSP_CLOCK_SKEW_S) {
        return gh_fail(err, GH_OCSP_INVALID, "the OCSP answer is from the future");
    }
    out->from_unix_s = this_update.unix_s;
    out->until_unix_s = this_update.unix_s + OCSP_MAX_AGE_S;
    if (next.data != NULL) {
        struct der_time next_update;

        GH_TRY(der_generalized_time(&next, &next_update, err));
        GH_TRY(der_end(&next, err));
        out->until_unix_s = next_update.unix_s;
    }
    if (now > out->until_unix_s) {
        return gh_fail(err, GH_OCSP_INVALID, "the OCSP answer is out of date");
    }
    return extensions.data == NULL || ocsp_read_single_extensions(extensions, out, err);
}

static bool ocsp_find(const struct ocsp_basic *basic, const struct x509_cert *cert,
                      const struct x509_cert *issuer, int64_t now, struct ocsp_answer *out,
                      struct gh_error *err)
{
    struct bytes rest = basic->responses;

    for (size_t i = 0; rest.len > 0; i++) {
        struct bytes single;
        struct bytes cert_id;
        bool is_about;

        if (i == OCSP_MAX_ANSWERS) {
            return gh_fail(err, GH_OCSP_INVALID, "an OCSP answer about more than %d certificates",
                           OCSP_MAX_ANSWERS);
        }
        GH_TRY(der_take(&rest, DER_SEQUENCE, &single, err));
        GH_TRY(der_take(&single, DER_SEQUENCE, &cert_id, err));
        GH_TRY(ocsp_is_about(cert_id, cert, issuer, &is_about, err));
        if (is_about) {
            return ocsp_read_single(single, now, out, err);
        }
    }
    return gh_fail(err, GH_OCSP_INVALID, "the OCSP answer is about another certificate");
}

bool ocsp_judge(struct bytes der, const struct x509_cert *cert, const struct x509_cert *issuer,
                int64_t now_unix_s, struct ocsp_answer *out, struct gh_error *err)
{
    struct ocsp_basic basic = {0};
    struct ocsp_answer answer = {0};
    GH_OWN(x509_cert_unrefp) struct x509_cert *responder = NULL;

    if (der.len > OCSP_MAX_ANSWER_BYTES) {
        return gh_fail(err, GH_OCSP_INVALID, "an OCSP answer of more than %u bytes",
                       OCSP_MAX_ANSWER_BYTES);
    }
    if (!ocsp_read(der, &basic, err) ||
        !ocsp_check_signer(&basic, issuer, now_unix_s, &responder, err) ||
        !ocsp_find(&basic, cert, issuer, now_unix_s, &answer, err)) {
        return gh_recast(err, GH_OCSP_INVALID);
    }
    answer.responder = GH_TAKE(responder);
    *out = answer;
    return true;
}

bool ocsp_life(struct bytes der, int64_t now_unix_s, int64_t *from_unix_s, int64_t *until_unix_s)
{
    struct ocsp_basic basic = {0};
    struct bytes rest;
    int64_t from = INT64_MIN;
    int64_t until = INT64_MAX;

    if (der.len > OCSP_MAX_ANSWER_BYTES || !ocsp_read(der, &basic, NULL)) {
        return false;
    }
    rest = basic.responses;
    for (size_t i = 0; rest.len > 0; i++) {
        struct ocsp_answer answer = {0};
        struct bytes single;
        struct bytes cert_id;

        if (i == OCSP_MAX_ANSWERS || !der_take(&rest, DER_SEQUENCE, &single, NULL) ||
            !der_take(&single, DER_SEQUENCE, &cert_id, NULL) ||
            !ocsp_read_single(single, now_unix_s, &answer, NULL)) {
            return false;
        }
        from = GH_MAX(from, answer.from_unix_s);
        until = GH_MIN(until, answer.until_unix_s);
    }
    *from_unix_s = from;
    *until_unix_s = until;
    return until > now_unix_s && until != INT64_MAX;
}
