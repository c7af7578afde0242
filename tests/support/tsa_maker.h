/*
 * Time stamps made for one test: a chain of authority, intermediate and signer, and tokens with
 * any fault a case asks for. Include after cmocka.h and make_cert.h.
 */
#ifndef TESTS_SUPPORT_TSA_MAKER_H
#define TESTS_SUPPORT_TSA_MAKER_H

#include <openssl/cms.h>
#include <openssl/ess.h>
#include <openssl/ts.h>

#include "crypto/tsa.h"
#include "tests/support/make_cert.h"

/* The extensions of a good signer, and of authorities. */
#define TSA_MAKER_LEAF_USAGE "critical,timeStamping"
#define TSA_MAKER_TIME (MAKE_CERT_T0 + 10 * MAKE_CERT_DAY)

enum tsa_maker_ess { TSA_MAKER_ESS_V2, TSA_MAKER_ESS_V1, TSA_MAKER_ESS_NONE };

/* What one token is made of. Zero is a good one. */
struct tsa_make {
    X509 *signer; /* who signs; required */
    EVP_PKEY *key;
    X509 *ess_of;           /* whom the signing-certificate attribute names; the signer when NULL */
    X509 *bag[4];           /* embedded certificates */
    const char *md;         /* of the imprint and the signature; SHA-256 when NULL */
    const char *imprint_md; /* as md when NULL */
    enum tsa_maker_ess ess;
    int content_type;    /* NID; TSTInfo when 0 */
    int64_t time_unix_s; /* TSA_MAKER_TIME when 0 */
    long version;        /* of TSTInfo; 1 when 0 */
    const char *policy;  /* OID; 1.2.3.4 when NULL */
    long accuracy_s;     /* 0: none is named */
    bool is_named_by_key_id;
    bool is_signed_twice;
};

GH_UNUSED static X509 *tsa_maker_x509(const struct make_cert *make)
{
    struct bytes der = make_cert_der(make);
    const unsigned char *at = der.data;
    X509 *out = d2i_X509(NULL, &at, (long)der.len);

    assert_non_null(out);
    OPENSSL_free((void *)der.data);
    return out;
}

GH_UNUSED static struct x509_cert *tsa_maker_cert(X509 *x509)
{
    struct x509_cert *out = NULL;
    struct gh_error err = {0};
    unsigned char *der = NULL;
    int len = i2d_X509(x509, &der);

    if (!x509_cert_parse(bytes_make(der, (size_t)len), &out, &err)) {
        fail_msg("%s", err.text);
    }
    OPENSSL_free(der);
    return out;
}

/* DER of the TSTInfo over COVERED: free with OPENSSL_free(). */
static struct bytes tsa_maker_info(const struct tsa_make *make, struct bytes covered)
{
    const char *name = make->imprint_md != NULL ? make->imprint_md
                       : make->md != NULL       ? make->md
                                                : "SHA256";
    const EVP_MD *md = EVP_get_digestbyname(name);
    TS_TST_INFO *info = TS_TST_INFO_new();
    TS_MSG_IMPRINT *imprint = TS_MSG_IMPRINT_new();
    X509_ALGOR *algorithm = X509_ALGOR_new();
    ASN1_OBJECT *policy = OBJ_txt2obj(make->policy != NULL ? make->policy : "1.2.3.4", 1);
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    ASN1_GENERALIZEDTIME *time =
        ASN1_GENERALIZEDTIME_set(NULL, make->time_unix_s != 0 ? make->time_unix_s : TSA_MAKER_TIME);
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned char *der = NULL;
    unsigned hash_len = 0;
    int len;

    assert_int_equal(EVP_Digest(covered.data, covered.len, hash, &hash_len, md, NULL), 1);
    assert_int_equal(
        X509_ALGOR_set0(algorithm, OBJ_nid2obj(EVP_MD_get_type(md)), V_ASN1_NULL, NULL), 1);
    assert_int_equal(TS_MSG_IMPRINT_set_algo(imprint, algorithm), 1);
    assert_int_equal(TS_MSG_IMPRINT_set_msg(imprint, hash, (int)hash_len), 1);
    assert_int_equal(ASN1_INTEGER_set(serial, 7), 1);
    assert_int_equal(TS_TST_INFO_set_version(info, make->version != 0 ? make->version : 1), 1);
    assert_int_equal(TS_TST_INFO_set_policy_id(info, policy), 1);
    assert_int_equal(TS_TST_INFO_set_msg_imprint(info, imprint), 1);
    assert_int_equal(TS_TST_INFO_set_serial(info, serial), 1);
    assert_int_equal(TS_TST_INFO_set_time(info, time), 1);
    if (make->accuracy_s != 0) {
        TS_ACCURACY *accuracy = TS_ACCURACY_new();
        ASN1_INTEGER *seconds = ASN1_INTEGER_new();

        assert_int_equal(ASN1_INTEGER_set(seconds, make->accuracy_s), 1);
        assert_int_equal(TS_ACCURACY_set_seconds(accuracy, seconds), 1);
        assert_int_equal(TS_TST_INFO_set_accuracy(info, accuracy), 1);
        ASN1_INTEGER_free(seconds);
        TS_ACCURACY_free(accuracy);
    }
    len = i2d_TS_TST_INFO(info, &der);
    assert_true(len > 0);
    ASN1_GENERALIZEDTIME_free(time);
    ASN1_INTEGER_free(serial);
    ASN1_OBJECT_free(policy);
    X509_ALGOR_free(algorithm);
    TS_MSG_IMPRINT_free(imprint);
    TS_TST_INFO_free(info);
    return bytes_make(der, (size_t)len);
}

static void tsa_maker_add_ess(CMS_SignerInfo *signer, const struct tsa_make *make)
{
    X509 *of = make->ess_of != NULL ? make->ess_of : make->signer;
    unsigned char *der = NULL;
    int nid;
    int len;

    if (make->ess == TSA_MAKER_ESS_NONE) {
        return;
    }
    if (make->ess == TSA_MAKER_ESS_V1) {
        ESS_SIGNING_CERT *ess = OSSL_ESS_signing_cert_new_init(of, NULL, 1);

        nid = NID_id_smime_aa_signingCertificate;
        len = i2d_ESS_SIGNING_CERT(ess, &der);
        ESS_SIGNING_CERT_free(ess);
    } else {
        ESS_SIGNING_CERT_V2 *ess = OSSL_ESS_signing_cert_v2_new_init(EVP_sha256(), of, NULL, 1);

        nid = NID_id_smime_aa_signingCertificateV2;
        len = i2d_ESS_SIGNING_CERT_V2(ess, &der);
        ESS_SIGNING_CERT_V2_free(ess);
    }
    assert_true(len > 0);
    assert_int_equal(CMS_signed_add1_attr_by_NID(signer, nid, V_ASN1_SEQUENCE, der, len), 1);
    OPENSSL_free(der);
}

/* A bare token over COVERED: free with OPENSSL_free(). */
GH_UNUSED static struct bytes tsa_maker_token(const struct tsa_make *make, struct bytes covered)
{
    const unsigned flags = CMS_BINARY | CMS_PARTIAL | CMS_NOCERTS | CMS_NOSMIMECAP;
    struct bytes info = tsa_maker_info(make, covered);
    BIO *content = BIO_new_mem_buf(info.data, (int)info.len);
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);
    int type = make->content_type != 0 ? make->content_type : NID_id_smime_ct_TSTInfo;
    unsigned char *der = NULL;
    int len;

    assert_non_null(cms);
    assert_int_equal(CMS_set1_eContentType(cms, OBJ_nid2obj(type)), 1);
    for (int i = 0; i < (make->is_signed_twice ? 2 : 1); i++) {
        CMS_SignerInfo *signer =
            CMS_add1_signer(cms, make->signer, make->key,
                            EVP_get_digestbyname(make->md != NULL ? make->md : "SHA256"),
                            flags | (make->is_named_by_key_id ? CMS_USE_KEYID : 0));

        assert_non_null(signer);
        tsa_maker_add_ess(signer, make);
    }
    for (size_t i = 0; i < GH_COUNT(make->bag) && make->bag[i] != NULL; i++) {
        assert_int_equal(CMS_add1_cert(cms, make->bag[i]), 1);
    }
    assert_int_equal(CMS_final(cms, content, NULL, flags), 1);
    len = i2d_CMS_ContentInfo(cms, &der);
    assert_true(len > 0);
    CMS_ContentInfo_free(cms);
    BIO_free(content);
    OPENSSL_free((void *)info.data);
    return bytes_make(der, (size_t)len);
}

#endif
