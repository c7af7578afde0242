#include "tests/support/notation_maker.h"

#include <assert.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/cbor.h"

/* Test support: what fails here is the test, so a check stops it. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void add_name(X509_NAME *name, const char *type, const char *value)
{
    MUST(X509_NAME_add_entry_by_txt(name, type, MBSTRING_UTF8, (const unsigned char *)value, -1, -1,
                                    0) == 1);
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    if (value == NULL) {
        return;
    }
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    MUST(extension != NULL);
    MUST(X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

/* "OID=value", the value as OpenSSL's configuration has it ("critical,DER:0500"). */
static void add_other(X509 *cert, X509 *issuer, const char *text)
{
    char oid[64];
    const char *value;
    X509V3_CTX context;
    X509_EXTENSION *extension;

    if (text == NULL) {
        return;
    }
    value = strchr(text, '=');
    snprintf(oid, sizeof(oid), "%.*s", (int)(value - text), text);
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf(NULL, &context, oid, value + 1);
    MUST(extension != NULL);
    MUST(X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

void maker_issue(const struct maker_cert *issuer, const struct maker_profile *profile,
                 struct maker_cert *out)
{
    static long next_serial = 1000;
    X509 *cert = X509_new();
    X509 *above = issuer != NULL ? issuer->cert : cert;
    X509_NAME *name = X509_get_subject_name(cert);
    bool has_window = profile->from_s != 0 || profile->to_s != 0;
    unsigned char *der = NULL;
    int len;

    out->key = profile->rsa_bits != 0
                   ? EVP_RSA_gen(profile->rsa_bits)
                   : EVP_EC_gen(profile->curve != NULL ? profile->curve : "P-256");
    out->cert = cert;
    add_name(name, "C", "US");
    add_name(name, "ST", "WA");
    add_name(name, "O", "Acme");
    add_name(name, "CN", profile->name);
    MUST(X509_set_version(cert, 2) == 1);
    MUST(ASN1_INTEGER_set(X509_get_serialNumber(cert),
                          profile->serial != 0 ? profile->serial : next_serial++) == 1);
    MUST(X509_set_issuer_name(cert, X509_get_subject_name(above)) == 1);
    MUST(X509_set_pubkey(cert, out->key) == 1);
    MUST(ASN1_TIME_set(X509_getm_notBefore(cert),
                       MAKER_NOW + (has_window ? profile->from_s : -86400)) != NULL);
    MUST(ASN1_TIME_set(X509_getm_notAfter(cert),
                       MAKER_NOW + (has_window ? profile->to_s : 86400)) != NULL);
    add_extension(cert, above, NID_basic_constraints, profile->constraints);
    add_extension(cert, above, NID_key_usage, profile->usage);
    add_extension(cert, above, NID_ext_key_usage, profile->extended);
    add_extension(cert, above, NID_crl_distribution_points, profile->points);
    add_extension(cert, above, NID_info_access, profile->access);
    add_other(cert, above, profile->other);
    MUST(X509_sign(cert, issuer != NULL ? issuer->key : out->key,
                   profile->md != NULL ? profile->md : EVP_sha256()) > 0);
    len = i2d_X509(cert, &der);
    MUST(len > 0);
    MUST(bytes_dup(bytes_make(der, (size_t)len), &out->der, NULL));
    OPENSSL_free(der);
}

void maker_done(struct maker_cert *cert)
{
    EVP_PKEY_free(cert->key);
    X509_free(cert->cert);
    bytes_buf_done(&cert->der);
    memset(cert, 0, sizeof(*cert));
}

void maker_sign(const struct maker_cert *signer, struct bytes message, uint8_t out[64])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char der[128];
    const unsigned char *at = der;
    size_t len = sizeof(der);
    ECDSA_SIG *pair;

    if (EVP_PKEY_is_a(signer->key, "EC") != 1 || EVP_PKEY_get_bits(signer->key) > 256) {
        memset(out, 0, 64); /* for what is refused before */
        EVP_MD_CTX_free(context);
        return;
    }
    MUST(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, signer->key) == 1);
    MUST(EVP_DigestSign(context, der, &len, message.data, message.len) == 1);
    pair = d2i_ECDSA_SIG(NULL, &at, (long)len);
    MUST(pair != NULL);
    MUST(BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, 32) == 32);
    MUST(BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + 32, 32) == 32);
    ECDSA_SIG_free(pair);
    EVP_MD_CTX_free(context);
}

struct bytes_buf maker_jws(const char *header, const char *payload,
                           const struct maker_cert *const *chain, size_t count, const char *extra)
{
    char *header_text = bytes_base64_encode(bytes_of(header), BYTES_BASE64_URL_NOPAD);
    char *payload_text = bytes_base64_encode(bytes_of(payload), BYTES_BASE64_URL_NOPAD);
    uint8_t signature[64];
    char *signature_text;
    struct bytes_buf out;
    char *text = NULL;
    size_t len = 0;
    FILE *file;
    char *input;

    MUST(asprintf(&input, "%s.%s", header_text, payload_text) > 0);
    maker_sign(chain[0], bytes_of(input), signature);
    signature_text = bytes_base64_encode(bytes_make(signature, 64), BYTES_BASE64_URL_NOPAD);
    file = open_memstream(&text, &len);
    fprintf(file, "{\"payload\":\"%s\",\"protected\":\"%s\",\"header\":{\"x5c\":[", payload_text,
            header_text);
    for (size_t i = 0; i < count; i++) {
        char *der = bytes_base64_encode(bytes_view(&chain[i]->der), BYTES_BASE64_STANDARD);

        fprintf(file, "%s\"%s\"", i > 0 ? "," : "", der);
        free(der);
    }
    fprintf(file, "]%s},\"signature\":\"%s\"}", extra != NULL ? extra : "", signature_text);
    fclose(file);
    MUST(bytes_dup(bytes_make(text, len), &out, NULL));
    free(text);
    free(input);
    free(signature_text);
    free(payload_text);
    free(header_text);
    return out;
}

static void put_string(FILE *file, enum cbor_kind kind, struct bytes content)
{
    uint8_t head[CBOR_MAX_HEAD];

    fwrite(head, 1, cbor_put_head(kind, content.len, head), file);
    fwrite(content.data, 1, content.len, file);
}

struct bytes_buf maker_cose(struct bytes protected_map, const char *payload,
                            const struct maker_cert *const *chain, size_t count)
{
    uint8_t signature[64];
    struct bytes_buf out;
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);

    fputs("\x84\x6aSignature1", file);
    put_string(file, CBOR_KIND_BYTES, protected_map);
    put_string(file, CBOR_KIND_BYTES, bytes_of(""));
    put_string(file, CBOR_KIND_BYTES, bytes_of(payload));
    fclose(file);
    maker_sign(chain[0], bytes_make(text, len), signature);
    free(text);
    file = open_memstream(&text, &len);
    fputs("\xd2\x84", file);
    put_string(file, CBOR_KIND_BYTES, protected_map);
    fputs("\xa1\x18\x21", file);
    fputc((int)(0x80 + count), file);
    for (size_t i = 0; i < count; i++) {
        put_string(file, CBOR_KIND_BYTES, bytes_view(&chain[i]->der));
    }
    put_string(file, CBOR_KIND_BYTES, bytes_of(payload));
    put_string(file, CBOR_KIND_BYTES, bytes_make(signature, 64));
    fclose(file);
    MUST(bytes_dup(bytes_make(text, len), &out, NULL));
    free(text);
    return out;
}

static ASN1_TIME *time_at(long offset_s)
{
    ASN1_TIME *time = ASN1_TIME_set(NULL, MAKER_NOW + offset_s);

    MUST(time != NULL);
    return time;
}

static void add_revoked(X509_CRL *list, const struct maker_crl *crl)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *when = time_at(-7200);

    MUST(X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(crl->revoked->cert)) == 1);
    MUST(X509_REVOKED_set_revocationDate(entry, when) == 1);
    ASN1_TIME_free(when);
    if (crl->invalidity_s != 0) {
        ASN1_GENERALIZEDTIME *time = ASN1_GENERALIZEDTIME_set(NULL, MAKER_NOW + crl->invalidity_s);

        MUST(X509_REVOKED_add1_ext_i2d(entry, NID_invalidity_date, time, 0, 0) == 1);
        ASN1_GENERALIZEDTIME_free(time);
    }
    MUST(X509_CRL_add0_revoked(list, entry) == 1);
}

static void add_crl_extension(X509_CRL *list, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&context, NULL, NULL, NULL, list, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    MUST(extension != NULL);
    MUST(X509_CRL_add_ext(list, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

struct bytes_buf maker_crl(const struct maker_cert *issuer, const struct maker_crl *crl)
{
    X509_CRL *list = X509_CRL_new();
    bool has_window = crl->from_s != 0 || crl->to_s != 0;
    ASN1_TIME *from = time_at(has_window ? crl->from_s : -3600);
    ASN1_TIME *to = time_at(has_window ? crl->to_s : 3600);
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    unsigned char *der = NULL;
    struct bytes_buf out;
    int len;

    MUST(X509_CRL_set_version(list, 1) == 1);
    MUST(X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer->cert)) == 1);
    MUST(X509_CRL_set1_lastUpdate(list, from) == 1);
    MUST(X509_CRL_set1_nextUpdate(list, to) == 1);
    ASN1_INTEGER_set(number, 7);
    MUST(X509_CRL_add1_ext_i2d(list, NID_crl_number, number, 0, 0) == 1);
    if (crl->is_delta) {
        MUST(X509_CRL_add1_ext_i2d(list, NID_delta_crl, number, 1, 0) == 1);
    }
    if (crl->has_freshest) {
        add_crl_extension(list, NID_freshest_crl, "URI:http://crl.test/delta.crl");
    }
    if (crl->point != NULL) {
        add_crl_extension(list, NID_issuing_distribution_point, crl->point);
    }
    if (crl->revoked != NULL) {
        add_revoked(list, crl);
    }
    MUST(X509_CRL_sign(list, issuer->key, EVP_sha256()) > 0);
    len = i2d_X509_CRL(list, &der);
    MUST(len > 0);
    MUST(bytes_dup(bytes_make(der, (size_t)len), &out, NULL));
    OPENSSL_free(der);
    ASN1_INTEGER_free(number);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    X509_CRL_free(list);
    return out;
}

struct bytes_buf maker_ocsp(const struct maker_cert *signer, const struct maker_cert *issuer,
                            const struct maker_cert *about, enum maker_status status, long from_s,
                            long to_s)
{
    static const int statuses[] = {V_OCSP_CERTSTATUS_GOOD, V_OCSP_CERTSTATUS_REVOKED,
                                   V_OCSP_CERTSTATUS_UNKNOWN};
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), about->cert, issuer->cert);
    ASN1_GENERALIZEDTIME *from = ASN1_GENERALIZEDTIME_set(NULL, MAKER_NOW + from_s);
    ASN1_GENERALIZEDTIME *to = to_s != 0 ? ASN1_GENERALIZEDTIME_set(NULL, MAKER_NOW + to_s) : NULL;
    OCSP_RESPONSE *response;
    unsigned char *der = NULL;
    struct bytes_buf out;
    int len;

    MUST(OCSP_basic_add1_status(basic, id, statuses[status], 0,
                                status == MAKER_REVOKED ? from : NULL, from, to) != NULL);
    MUST(OCSP_basic_sign(basic, signer->cert, signer->key, EVP_sha256(), NULL, 0) == 1);
    response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    len = i2d_OCSP_RESPONSE(response, &der);
    MUST(len > 0);
    MUST(bytes_dup(bytes_make(der, (size_t)len), &out, NULL));
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_GENERALIZEDTIME_free(from);
    ASN1_GENERALIZEDTIME_free(to);
    return out;
}
