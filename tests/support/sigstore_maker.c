#include "tests/support/sigstore_maker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/cms.h>
#include <openssl/ess.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ts.h>
#include <openssl/x509v3.h>

#define DAY 86400
#define START (SIGSTORE_MAKER_TIME - 30 * DAY)
#define PROOF_HASHES 24 /* a tree of 2^24 leaves, as public shards have */
#define MAX_LIST 4096

/* A log, of certificates or of signatures. */
struct maker_log {
    EVP_PKEY *key;
    uint8_t id[32];
    char host[32];
};

struct sigstore_maker {
    EVP_PKEY *ca_key;
    X509 *ca;
    uint8_t ca_key_hash[32];
    struct maker_log logs[SIGSTORE_MAKER_MAX];
    struct maker_log ctlogs[SIGSTORE_MAKER_MAX];
    EVP_PKEY *tsa_keys[SIGSTORE_MAKER_MAX];
    X509 *tsas[SIGSTORE_MAKER_MAX];
    EVP_PKEY *tsa_ca_keys[SIGSTORE_MAKER_MAX];
    X509 *tsa_cas[SIGSTORE_MAKER_MAX];
    int64_t next_index;
};

/* A signature with what it is put into. */
struct maker_parts {
    struct sigstore_maker *maker;
    const struct sigstore_make *make;
    EVP_PKEY *key;
    X509 *leaf;
    struct bytes_buf signature;
};

static void must(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "sigstore_maker: %s\n", what);
        abort();
    }
}

/* ---- keys and hashes ---- */

static void maker_sha256(struct bytes in, uint8_t out[32])
{
    must(EVP_Digest(in.data, in.len, out, NULL, EVP_sha256(), NULL) == 1, "hashing");
}

static struct bytes_buf maker_spki(EVP_PKEY *key)
{
    struct bytes_buf out = {0};
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);

    must(len > 0 && bytes_dup(bytes_make(der, (size_t)len), &out, NULL), "a public key");
    OPENSSL_free(der);
    return out;
}

static struct bytes_buf maker_x509_der(X509 *x509)
{
    struct bytes_buf out = {0};
    unsigned char *der = NULL;
    int len = i2d_X509(x509, &der);

    must(len > 0 && bytes_dup(bytes_make(der, (size_t)len), &out, NULL), "a certificate");
    OPENSSL_free(der);
    return out;
}

/* SHA-256 and ECDSA, or Ed25519. */
static struct bytes_buf maker_sign(EVP_PKEY *key, struct bytes message)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const char *md = EVP_PKEY_is_a(key, "ED25519") == 1 ? NULL : "SHA256";
    struct bytes_buf out = {0};
    size_t len = 256;

    must(bytes_buf_alloc(len, &out, NULL) &&
             EVP_DigestSignInit_ex(context, NULL, md, NULL, NULL, key, NULL) == 1 &&
             EVP_DigestSign(context, out.data, &len, message.data, message.len) == 1,
         "signing");
    out.len = len;
    EVP_MD_CTX_free(context);
    return out;
}

static char *maker_base64(struct bytes in)
{
    char *out = bytes_base64_encode(in, BYTES_BASE64_STANDARD);

    must(out != NULL, "base64");
    return out;
}

static json_t *maker_json_base64(struct bytes in)
{
    char *text = maker_base64(in);
    json_t *out = json_string(text);

    free(text);
    return out;
}

/* ---- certificates ---- */

static void maker_extension(X509 *x509, const char *name, const char *value)
{
    X509_EXTENSION *extension;
    X509V3_CTX ctx;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x509, x509, NULL, NULL, 0);
    extension = X509V3_EXT_nconf(NULL, &ctx, name, value);
    must(extension != NULL && X509_add_ext(x509, extension, -1) == 1, name);
    X509_EXTENSION_free(extension);
}

static void maker_raw_extension(X509 *x509, const char *oid, struct bytes der)
{
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    X509_EXTENSION *extension;

    must(ASN1_OCTET_STRING_set(value, der.data, (int)der.len) == 1, oid);
    extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, value);
    must(extension != NULL && X509_add_ext(x509, extension, -1) == 1, oid);
    X509_EXTENSION_free(extension);
    ASN1_OBJECT_free(object);
    ASN1_OCTET_STRING_free(value);
}

/* A certificate without its own extensions and signature. SUBJECT may be NULL. */
static X509 *maker_x509(EVP_PKEY *key, const char *subject, const char *issuer, int64_t start,
                        int64_t end)
{
    X509 *x509 = X509_new();
    unsigned char serial[16];
    BIGNUM *number;

    must(RAND_bytes(serial, sizeof(serial)) == 1, "a serial number");
    serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40);
    number = BN_bin2bn(serial, sizeof(serial), NULL);
    must(X509_set_version(x509, 2) == 1 &&
             BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != NULL &&
             ASN1_TIME_set(X509_getm_notBefore(x509), start) != NULL &&
             ASN1_TIME_set(X509_getm_notAfter(x509), end) != NULL &&
             X509_set_pubkey(x509, key) == 1 &&
             X509_NAME_add_entry_by_txt(X509_get_issuer_name(x509), "CN", MBSTRING_ASC,
                                        (const unsigned char *)issuer, -1, -1, 0) == 1 &&
             (subject == NULL ||
              X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
                                         (const unsigned char *)subject, -1, -1, 0) == 1),
         "a certificate");
    BN_free(number);
    return x509;
}

static X509 *maker_authority(EVP_PKEY *key, const char *name)
{
    X509 *x509 = maker_x509(key, name, name, START, START + 3650 * DAY);

    maker_extension(x509, "basicConstraints", "critical,CA:TRUE");
    maker_extension(x509, "keyUsage", "critical,keyCertSign,cRLSign");
    maker_extension(x509, "subjectKeyIdentifier", "hash");
    must(X509_sign(x509, key, EVP_sha256()) > 0, "signing an authority");
    return x509;
}

static X509 *maker_tsa(EVP_PKEY *key, EVP_PKEY *ca_key, const char *ca_name)
{
    X509 *x509 = maker_x509(key, "tsa", ca_name, START, START + 3650 * DAY);

    maker_extension(x509, "basicConstraints", "critical,CA:FALSE");
    maker_extension(x509, "keyUsage", "critical,digitalSignature");
    maker_extension(x509, "extendedKeyUsage", "critical,timeStamping");
    maker_extension(x509, "subjectKeyIdentifier", "hash");
    must(X509_sign(x509, ca_key, EVP_sha256()) > 0, "signing a time-stamp authority");
    return x509;
}

/* ---- certificate logs ---- */

static size_t maker_put_be(uint8_t *out, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
    }
    return len;
}

/* One SCT over the certificate as it stands; the number of bytes written to OUT. */
static size_t maker_sct(const struct sigstore_maker *maker, const struct maker_log *log, X509 *leaf,
                        int64_t unix_ms, uint8_t *out)
{
    struct bytes_buf message = {0};
    struct bytes_buf signature;
    unsigned char *tbs = NULL;
    int tbs_len = i2d_re_X509_tbs(leaf, &tbs);
    size_t at = 0;
    size_t len = 0;

    must(tbs_len > 0 && bytes_buf_alloc((size_t)tbs_len + 64, &message, NULL), "an SCT");
    at += maker_put_be(message.data, 0, 2); /* version, signature type */
    at += maker_put_be(message.data + at, (uint64_t)unix_ms, 8);
    at += maker_put_be(message.data + at, 1, 2);
    memcpy(message.data + at, maker->ca_key_hash, 32);
    at += 32;
    at += maker_put_be(message.data + at, (uint64_t)tbs_len, 3);
    memcpy(message.data + at, tbs, (size_t)tbs_len);
    at += (size_t)tbs_len;
    at += maker_put_be(message.data + at, 0, 2);
    signature = maker_sign(log->key, bytes_make(message.data, at));
    len += maker_put_be(out, 0, 1);
    memcpy(out + len, log->id, 32);
    len += 32;
    len += maker_put_be(out + len, (uint64_t)unix_ms, 8);
    len += maker_put_be(out + len, 0, 2);
    len += maker_put_be(out + len, 0x0403, 2);
    len += maker_put_be(out + len, signature.len, 2);
    memcpy(out + len, signature.data, signature.len);
    len += signature.len;
    bytes_buf_done(&signature);
    bytes_buf_done(&message);
    OPENSSL_free(tbs);
    return len;
}

static void maker_add_scts(struct maker_parts *parts)
{
    const struct sigstore_make *make = parts->make;
    unsigned count = make->scts + make->sct_repeats;
    ASN1_OCTET_STRING *list = ASN1_OCTET_STRING_new();
    uint8_t raw[MAX_LIST];
    unsigned char *der = NULL;
    size_t len = 2;
    int der_len;

    for (unsigned i = 0; i < count; i++) {
        unsigned log = i < make->scts ? i : 0;
        size_t one = maker_sct(parts->maker, &parts->maker->ctlogs[log], parts->leaf,
                               (int64_t)SIGSTORE_MAKER_TIME * 1000 + i, raw + len + 2);

        (void)maker_put_be(raw + len, one, 2);
        len += 2 + one;
    }
    (void)maker_put_be(raw, len - 2, 2);
    must(ASN1_OCTET_STRING_set(list, raw, (int)len) == 1, "the SCTs");
    der_len = i2d_ASN1_OCTET_STRING(list, &der);
    must(der_len > 0, "the SCTs");
    maker_raw_extension(parts->leaf, "1.3.6.1.4.1.11129.2.4.2", bytes_make(der, (size_t)der_len));
    OPENSSL_free(der);
    ASN1_OCTET_STRING_free(list);
}

static void maker_leaf(struct maker_parts *parts)
{
    uint8_t issuer[2 + sizeof(SIGSTORE_MAKER_ISSUER)] = {0x0c, sizeof(SIGSTORE_MAKER_ISSUER) - 1};

    memcpy(issuer + 2, SIGSTORE_MAKER_ISSUER, sizeof(SIGSTORE_MAKER_ISSUER) - 1);
    parts->leaf =
        maker_x509(parts->key, NULL, "ca", SIGSTORE_MAKER_TIME - 60, SIGSTORE_MAKER_TIME + 540);
    maker_extension(parts->leaf, "keyUsage", "critical,digitalSignature");
    maker_extension(parts->leaf, "extendedKeyUsage", "codeSigning");
    maker_extension(parts->leaf, "subjectAltName", "critical,URI:" SIGSTORE_MAKER_SUBJECT);
    maker_raw_extension(parts->leaf, "1.3.6.1.4.1.57264.1.8",
                        bytes_make(issuer, sizeof(issuer) - 1));
    /* A first signature, so that the certificate without SCTs is what the logs sign. */
    must(X509_sign(parts->leaf, parts->maker->ca_key, EVP_sha256()) > 0, "signing a leaf");
    if (parts->make->scts > 0) {
        maker_add_scts(parts);
        must(X509_sign(parts->leaf, parts->maker->ca_key, EVP_sha256()) > 0, "signing a leaf");
    }
}

/* ---- time stamps ---- */

static TS_TST_INFO *maker_stamp_info(const struct maker_parts *parts, int64_t offset_s)
{
    TS_TST_INFO *info = TS_TST_INFO_new();
    TS_MSG_IMPRINT *imprint = TS_MSG_IMPRINT_new();
    X509_ALGOR *algorithm = X509_ALGOR_new();
    ASN1_OBJECT *policy = OBJ_txt2obj("1.3.6.1.4.1.57264.2", 1);
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    ASN1_GENERALIZEDTIME *time = ASN1_GENERALIZEDTIME_set(NULL, SIGSTORE_MAKER_TIME + offset_s);
    uint8_t hash[32];

    maker_sha256(bytes_view(&parts->signature), hash);
    must(X509_ALGOR_set0(algorithm, OBJ_nid2obj(NID_sha256), V_ASN1_NULL, NULL) == 1 &&
             TS_MSG_IMPRINT_set_algo(imprint, algorithm) == 1 &&
             TS_MSG_IMPRINT_set_msg(imprint, hash, 32) == 1 && ASN1_INTEGER_set(serial, 7) == 1 &&
             TS_TST_INFO_set_version(info, 1) == 1 &&
             TS_TST_INFO_set_policy_id(info, policy) == 1 &&
             TS_TST_INFO_set_msg_imprint(info, imprint) == 1 &&
             TS_TST_INFO_set_serial(info, serial) == 1 && TS_TST_INFO_set_time(info, time) == 1,
         "a time stamp");
    ASN1_GENERALIZEDTIME_free(time);
    ASN1_INTEGER_free(serial);
    ASN1_OBJECT_free(policy);
    X509_ALGOR_free(algorithm);
    TS_MSG_IMPRINT_free(imprint);
    return info;
}

/* A TimeStampToken by the authority, its certificate inside. */
static PKCS7 *maker_stamp_token(const struct maker_parts *parts, unsigned tsa, BIO *content)
{
    const unsigned flags = CMS_BINARY | CMS_PARTIAL | CMS_NOCERTS | CMS_NOSMIMECAP;
    X509 *cert = parts->maker->tsas[tsa];
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);
    ESS_SIGNING_CERT_V2 *ess = OSSL_ESS_signing_cert_v2_new_init(EVP_sha256(), cert, NULL, 0);
    CMS_SignerInfo *signer;
    unsigned char *der = NULL;
    const unsigned char *at;
    PKCS7 *out;
    int len;

    must(cms != NULL && CMS_set1_eContentType(cms, OBJ_nid2obj(NID_id_smime_ct_TSTInfo)) == 1,
         "CMS");
    signer = CMS_add1_signer(cms, cert, parts->maker->tsa_keys[tsa], EVP_sha256(), flags);
    len = i2d_ESS_SIGNING_CERT_V2(ess, &der);
    must(signer != NULL && len > 0 &&
             CMS_signed_add1_attr_by_NID(signer, NID_id_smime_aa_signingCertificateV2,
                                         V_ASN1_SEQUENCE, der, len) == 1 &&
             CMS_add1_cert(cms, cert) == 1 && CMS_final(cms, content, NULL, flags) == 1,
         "CMS");
    OPENSSL_free(der);
    der = NULL;
    len = i2d_CMS_ContentInfo(cms, &der);
    at = der;
    out = len > 0 ? d2i_PKCS7(NULL, &at, len) : NULL;
    must(out != NULL, "CMS");
    OPENSSL_free(der);
    ESS_SIGNING_CERT_V2_free(ess);
    CMS_ContentInfo_free(cms);
    return out;
}

static json_t *maker_stamp(const struct maker_parts *parts, unsigned tsa, int64_t offset_s)
{
    TS_TST_INFO *info = maker_stamp_info(parts, offset_s);
    TS_STATUS_INFO *status = TS_STATUS_INFO_new();
    TS_RESP *response = TS_RESP_new();
    unsigned char *der = NULL;
    json_t *out;
    BIO *content;
    int len = i2d_TS_TST_INFO(info, &der);

    must(len > 0, "a time stamp");
    content = BIO_new_mem_buf(der, len);
    must(TS_STATUS_INFO_set_status(status, TS_STATUS_GRANTED) == 1 &&
             TS_RESP_set_status_info(response, status) == 1,
         "a time stamp");
    TS_RESP_set_tst_info(response, maker_stamp_token(parts, tsa, content), info);
    BIO_free(content);
    OPENSSL_free(der);
    der = NULL;
    len = i2d_TS_RESP(response, &der);
    must(len > 0, "a time stamp");
    out = json_pack("{s:o}", "signedTimestamp", maker_json_base64(bytes_make(der, (size_t)len)));
    OPENSSL_free(der);
    TS_STATUS_INFO_free(status);
    TS_RESP_free(response); /* with info and token */
    return out;
}

/* ---- transparency logs ---- */

static char *maker_body(const struct maker_parts *parts)
{
    BIO *pem = BIO_new(BIO_s_mem());
    char hex[65];
    uint8_t hash[32];
    char *certificate;
    char *signature;
    char *data = NULL;
    char *out = NULL;
    long len;

    must(PEM_write_bio_X509(pem, parts->leaf) == 1, "PEM");
    len = BIO_get_mem_data(pem, &data);
    certificate = maker_base64(bytes_make((const uint8_t *)data, (size_t)len));
    signature = maker_base64(bytes_view(&parts->signature));
    maker_sha256(bytes_of(SIGSTORE_MAKER_MANIFEST), hash);
    bytes_hex_encode(bytes_make(hash, 32), hex);
    must(
        asprintf(&out,
                 "{\"apiVersion\":\"0.0.1\",\"kind\":\"hashedrekord\",\"spec\":{\"data\":{\"hash\":"
                 "{\"algorithm\":\"sha256\",\"value\":\"%s\"}},\"signature\":{\"content\":\"%s\","
                 "\"publicKey\":{\"content\":\"%s\"}}}}",
                 hex, signature, certificate) > 0,
        "memory");
    free(signature);
    free(certificate);
    BIO_free(pem);
    return out;
}

/* The note over a tree head, with the log's line and those of the witnesses: new, free(). */
static char *maker_checkpoint(const struct maker_parts *parts, const struct maker_log *log,
                              int64_t size, const uint8_t root[32])
{
    char *head = maker_base64(bytes_make(root, 32));
    struct bytes_buf signature;
    uint8_t blob[256];
    char *text = NULL;
    char *note = NULL;
    char *line;

    must(asprintf(&text, "%s - 1\n%lld\n%s\n", log->host, (long long)size, head) > 0, "memory");
    signature = maker_sign(log->key, bytes_of(text));
    memcpy(blob, log->id, 4);
    memcpy(blob + 4, signature.data, signature.len);
    line = maker_base64(bytes_make(blob, 4 + signature.len));
    must(asprintf(&note, "%s\n\xe2\x80\x94 %s %s\n", text, log->host, line) > 0, "memory");
    free(line);
    bytes_buf_done(&signature);
    for (unsigned i = 0; i < parts->make->witness_count; i++) {
        const struct sigstore_maker_witness *witness = &parts->make->witnesses[i];
        struct bytes_buf spki = maker_spki(witness->key);
        uint8_t named[128];
        uint8_t hash[32];
        size_t len = (size_t)snprintf((char *)named, sizeof(named), "%s\n\x04", witness->name);
        char *message = NULL;
        char *longer = NULL;

        memcpy(named + len, spki.data + spki.len - 32, 32);
        maker_sha256(bytes_make(named, len + 32), hash);
        must(asprintf(&message, "cosignature/v1\ntime %d\n%s", SIGSTORE_MAKER_TIME, text) > 0,
             "memory");
        signature = maker_sign(witness->key, bytes_of(message));
        memcpy(blob, hash, 4);
        (void)maker_put_be(blob + 4, SIGSTORE_MAKER_TIME, 8);
        memcpy(blob + 12, signature.data, signature.len);
        line = maker_base64(bytes_make(blob, 12 + signature.len));
        must(asprintf(&longer, "%s\xe2\x80\x94 %s %s\n", note, witness->name, line) > 0, "memory");
        free(note);
        note = longer;
        free(line);
        free(message);
        bytes_buf_done(&signature);
        bytes_buf_done(&spki);
    }
    free(text);
    free(head);
    return note;
}

static json_t *maker_proof(const struct maker_parts *parts, const struct maker_log *log,
                           struct bytes body, int64_t index)
{
    int64_t size = INT64_C(1) << PROOF_HASHES;
    json_t *hashes = json_array();
    uint8_t node[65] = {0};
    uint8_t at[32];
    char *checkpoint;
    struct bytes_buf leaf = {0};
    json_t *out;

    must(bytes_buf_alloc(body.len + 1, &leaf, NULL), "memory");
    leaf.data[0] = 0;
    memcpy(leaf.data + 1, body.data, body.len);
    maker_sha256(bytes_view(&leaf), at);
    bytes_buf_done(&leaf);
    for (int level = 0; level < PROOF_HASHES; level++) {
        uint8_t other[32];
        bool is_right = (index >> level & 1) != 0;

        must(RAND_bytes(other, sizeof(other)) == 1, "a random hash");
        node[0] = 1;
        memcpy(node + 1, is_right ? other : at, 32);
        memcpy(node + 33, is_right ? at : other, 32);
        maker_sha256(bytes_make(node, sizeof(node)), at);
        (void)json_array_append_new(hashes, maker_json_base64(bytes_make(other, 32)));
    }
    checkpoint = maker_checkpoint(parts, log, size, at);
    out = json_pack("{s:o,s:o,s:o,s:o,s:{s:s}}", "logIndex", json_sprintf("%lld", (long long)index),
                    "rootHash", maker_json_base64(bytes_make(at, 32)), "treeSize",
                    json_sprintf("%lld", (long long)size), "hashes", hashes, "checkpoint",
                    "envelope", checkpoint);
    free(checkpoint);
    return out;
}

static json_t *maker_entry(struct maker_parts *parts, const struct maker_log *log)
{
    int64_t index = parts->maker->next_index++;
    char *body = maker_body(parts);
    char *body64 = maker_base64(bytes_of(body));
    char id[65];
    char *promise = NULL;
    struct bytes_buf set;
    json_t *out;

    bytes_hex_encode(bytes_make(log->id, 32), id);
    must(asprintf(&promise,
                  "{\"body\":\"%s\",\"integratedTime\":%d,\"logID\":\"%s\",\"logIndex\":%lld}",
                  body64, SIGSTORE_MAKER_TIME, id, (long long)index) > 0,
         "memory");
    set = maker_sign(log->key, bytes_of(promise));
    out = json_pack("{s:o,s:{s:o},s:{s:s,s:s},s:o,s:{s:o},s:o,s:s}", "logIndex",
                    json_sprintf("%lld", (long long)index), "logId", "keyId",
                    maker_json_base64(bytes_make(log->id, 32)), "kindVersion", "kind",
                    "hashedrekord", "version", "0.0.1", "integratedTime",
                    json_sprintf("%d", SIGSTORE_MAKER_TIME), "inclusionPromise",
                    "signedEntryTimestamp", maker_json_base64(bytes_view(&set)), "inclusionProof",
                    maker_proof(parts, log, bytes_of(body), index), "canonicalizedBody", body64);
    must(out != NULL, "an entry");
    bytes_buf_done(&set);
    free(promise);
    free(body64);
    free(body);
    return out;
}

char *sigstore_maker_bundle(struct sigstore_maker *maker, const struct sigstore_make *make)
{
    struct maker_parts parts = {.maker = maker, .make = make, .key = EVP_EC_gen("P-256")};
    json_t *entries = json_array();
    json_t *stamps = json_array();
    struct bytes_buf der;
    uint8_t hash[32];
    json_t *doc;
    char *out;

    maker_leaf(&parts);
    parts.signature = maker_sign(parts.key, bytes_of(SIGSTORE_MAKER_MANIFEST));
    for (unsigned i = 0; i < make->logs + make->repeats; i++) {
        (void)json_array_append_new(entries,
                                    maker_entry(&parts, &maker->logs[i < make->logs ? i : 0]));
    }
    for (unsigned i = 0; i < make->stamps + make->stamp_repeats; i++) {
        bool is_last = i + 1 == make->stamps + make->stamp_repeats;

        (void)json_array_append_new(stamps, maker_stamp(&parts, i < make->stamps ? i : 0,
                                                        is_last ? make->stamp_offset_s : 0));
    }
    maker_sha256(bytes_of(SIGSTORE_MAKER_MANIFEST), hash);
    der = maker_x509_der(parts.leaf);
    doc = json_pack("{s:s,s:{s:{s:o},s:o,s:{s:o}},s:{s:{s:s,s:o},s:o}}", "mediaType",
                    "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial",
                    "certificate", "rawBytes", maker_json_base64(bytes_view(&der)), "tlogEntries",
                    entries, "timestampVerificationData", "rfc3161Timestamps", stamps,
                    "messageSignature", "messageDigest", "algorithm", "SHA2_256", "digest",
                    maker_json_base64(bytes_make(hash, 32)), "signature",
                    maker_json_base64(bytes_view(&parts.signature)));
    must(doc != NULL, "a bundle");
    out = json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    bytes_buf_done(&der);
    bytes_buf_done(&parts.signature);
    X509_free(parts.leaf);
    EVP_PKEY_free(parts.key);
    return out;
}

/* ---- the stack ---- */

static void maker_log_init(struct maker_log *log, const char *kind, unsigned number)
{
    struct bytes_buf spki;

    log->key = EVP_EC_gen("P-256");
    spki = maker_spki(log->key);
    maker_sha256(bytes_view(&spki), log->id);
    (void)snprintf(log->host, sizeof(log->host), "%s%u.test", kind, number);
    bytes_buf_done(&spki);
}

struct sigstore_maker *sigstore_maker_new(void)
{
    struct sigstore_maker *maker = calloc(1, sizeof(*maker));
    struct bytes_buf spki;

    must(maker != NULL, "memory");
    maker->ca_key = EVP_EC_gen("P-256");
    maker->ca = maker_authority(maker->ca_key, "ca");
    spki = maker_spki(maker->ca_key);
    maker_sha256(bytes_view(&spki), maker->ca_key_hash);
    bytes_buf_done(&spki);
    maker->next_index = 5;
    for (unsigned i = 0; i < SIGSTORE_MAKER_MAX; i++) {
        char name[16];

        maker_log_init(&maker->logs[i], "log", i);
        maker_log_init(&maker->ctlogs[i], "ct", i);
        (void)snprintf(name, sizeof(name), "tsa ca %u", i);
        maker->tsa_ca_keys[i] = EVP_EC_gen("P-256");
        maker->tsa_cas[i] = maker_authority(maker->tsa_ca_keys[i], name);
        maker->tsa_keys[i] = EVP_EC_gen("P-256");
        maker->tsas[i] = maker_tsa(maker->tsa_keys[i], maker->tsa_ca_keys[i], name);
    }
    return maker;
}

void sigstore_maker_free(struct sigstore_maker *maker)
{
    if (maker == NULL) {
        return;
    }
    for (unsigned i = 0; i < SIGSTORE_MAKER_MAX; i++) {
        EVP_PKEY_free(maker->logs[i].key);
        EVP_PKEY_free(maker->ctlogs[i].key);
        EVP_PKEY_free(maker->tsa_ca_keys[i]);
        EVP_PKEY_free(maker->tsa_keys[i]);
        X509_free(maker->tsa_cas[i]);
        X509_free(maker->tsas[i]);
    }
    EVP_PKEY_free(maker->ca_key);
    X509_free(maker->ca);
    free(maker);
}

static json_t *maker_root_log(const struct maker_log *log)
{
    struct bytes_buf spki = maker_spki(log->key);
    json_t *out = json_pack(
        "{s:o,s:s,s:{s:o,s:s,s:{s:s}},s:{s:o}}", "baseUrl", json_sprintf("https://%s", log->host),
        "hashAlgorithm", "SHA2_256", "publicKey", "rawBytes", maker_json_base64(bytes_view(&spki)),
        "keyDetails", "PKIX_ECDSA_P256_SHA_256", "validFor", "start", "2020-01-01T00:00:00Z",
        "logId", "keyId", maker_json_base64(bytes_make(log->id, 32)));

    must(out != NULL, "the root");
    bytes_buf_done(&spki);
    return out;
}

static json_t *maker_root_authority(X509 *leaf, X509 *ca, const char *uri)
{
    X509 *const certs[] = {leaf, ca};
    json_t *chain = json_array();
    json_t *out;

    for (size_t i = 0; i < GH_COUNT(certs); i++) {
        if (certs[i] != NULL) {
            struct bytes_buf der = maker_x509_der(certs[i]);

            (void)json_array_append_new(
                chain, json_pack("{s:o}", "rawBytes", maker_json_base64(bytes_view(&der))));
            bytes_buf_done(&der);
        }
    }
    out = json_pack("{s:{s:s,s:s},s:s,s:{s:o},s:{s:s}}", "subject", "organization", "test",
                    "commonName", uri, "uri", uri, "certChain", "certificates", chain, "validFor",
                    "start", "2020-01-01T00:00:00Z");
    must(out != NULL, "the root");
    return out;
}

char *sigstore_maker_root(const struct sigstore_maker *maker)
{
    json_t *logs = json_array();
    json_t *ctlogs = json_array();
    json_t *tsas = json_array();
    json_t *doc;
    char *out;

    for (unsigned i = 0; i < SIGSTORE_MAKER_MAX; i++) {
        char uri[32];

        (void)snprintf(uri, sizeof(uri), "https://tsa%u.test", i);
        (void)json_array_append_new(logs, maker_root_log(&maker->logs[i]));
        (void)json_array_append_new(ctlogs, maker_root_log(&maker->ctlogs[i]));
        (void)json_array_append_new(tsas,
                                    maker_root_authority(maker->tsas[i], maker->tsa_cas[i], uri));
    }
    doc = json_pack("{s:s,s:o,s:[o],s:o,s:o}", "mediaType",
                    "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "tlogs", logs,
                    "certificateAuthorities",
                    maker_root_authority(NULL, maker->ca, "https://ca.test"), "ctlogs", ctlogs,
                    "timestampAuthorities", tsas);
    must(doc != NULL, "the root");
    out = json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    return out;
}
