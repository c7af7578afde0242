#include "crypto/crl.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/der.h"
#include "crypto/x509.h"
#include "metrics/error.h"

#define CRL_CLOCK_SKEW_S 300

struct crl {
    struct bytes_buf der; /* all views below point into it */
    struct bytes tbs;
    struct bytes algorithm;
    struct bytes signature;
    struct bytes issuer;
    int64_t this_update_unix_s;
    int64_t next_update_unix_s;
    struct bytes entries; /* content of revokedCertificates; empty where there are none */
    bool has_delta;
    bool has_points;
    struct bytes points[CRL_MAX_POINTS]; /* addresses of the list's own distribution point */
    size_t point_count;
};

static const struct bytes crl_oid_reason = BYTES_LITERAL("\x55\x1d\x15");           /* 2.5.29.21 */
static const struct bytes crl_oid_invalidity = BYTES_LITERAL("\x55\x1d\x18");       /* 2.5.29.24 */
static const struct bytes crl_oid_number = BYTES_LITERAL("\x55\x1d\x14");           /* 2.5.29.20 */
static const struct bytes crl_oid_delta = BYTES_LITERAL("\x55\x1d\x1b");            /* 2.5.29.27 */
static const struct bytes crl_oid_point = BYTES_LITERAL("\x55\x1d\x1c");            /* 2.5.29.28 */
static const struct bytes crl_oid_authority_key_id = BYTES_LITERAL("\x55\x1d\x23"); /* 2.5.29.35 */
static const struct bytes crl_oid_freshest = BYTES_LITERAL("\x55\x1d\x2e");         /* 2.5.29.46 */

void crl_free(struct crl *crl)
{
    if (crl != NULL) {
        bytes_buf_done(&crl->der);
        free(crl);
    }
}

/* An Extension: identifier, critical, content of its OCTET STRING. */
static bool crl_read_extension(struct bytes *in, struct bytes *oid, bool *is_critical,
                               struct bytes *value, struct gh_error *err)
{
    struct bytes extension;

    GH_TRY(der_take(in, DER_SEQUENCE, &extension, err));
    GH_TRY(der_oid(&extension, oid, err));
    GH_TRY(der_opt_bool(&extension, is_critical, err));
    GH_TRY(der_octets(&extension, value, err));
    return der_end(&extension, err);
}

/* fullName of the list's own distribution point; a name relative to the issuer is not read, and
 * then no address is covered. */
static bool crl_read_point_name(struct bytes name, struct crl *crl, struct gh_error *err)
{
    struct bytes full;

    GH_TRY(der_opt(&name, DER_CONTEXT_CONSTRUCTED(0), &full, err));
    while (full.len > 0) {
        struct der_item general;

        GH_TRY(der_next(&full, &general, err));
        if (general.tag != DER_CONTEXT(6)) {
            continue;
        }
        if (crl->point_count == CRL_MAX_POINTS) {
            return gh_fail(err, GH_CRL_INVALID, "the list has more than %d addresses",
                           CRL_MAX_POINTS);
        }
        crl->points[crl->point_count++] = general.content;
    }
    return true;
}

/* RFC 5280 section 5.2.5: [1]..[3] and [5] make the list partial, [4] indirect. */
static bool crl_read_point(struct bytes value, struct crl *crl, struct gh_error *err)
{
    struct bytes point;

    GH_TRY(der_only(value, DER_SEQUENCE, &point, err));
    while (point.len > 0) {
        struct der_item item;

        GH_TRY(der_next(&point, &item, err));
        if (item.tag == DER_CONTEXT_CONSTRUCTED(0)) {
            crl->has_points = true;
            GH_TRY(crl_read_point_name(item.content, crl, err));
            continue;
        }
        /* An encoded FALSE says nothing. */
        if (item.content.len == 1 && item.content.data[0] == 0) {
            continue;
        }
        return gh_fail(err, GH_CRL_INVALID,
                       "partial and indirect revocation lists are not supported");
    }
    return true;
}

static bool crl_read_extensions(struct bytes in, struct crl *crl, struct gh_error *err)
{
    struct bytes list;

    GH_TRY(der_only(in, DER_SEQUENCE, &list, err));
    for (size_t count = 0; list.len > 0; count++) {
        struct bytes oid;
        struct bytes value;
        bool is_critical;

        if (count == CRL_MAX_EXTENSIONS) {
            return gh_fail(err, GH_CRL_INVALID, "the list has more than %d extensions",
                           CRL_MAX_EXTENSIONS);
        }
        GH_TRY(crl_read_extension(&list, &oid, &is_critical, &value, err));
        if (bytes_equal(oid, crl_oid_delta)) {
            return gh_fail(err, GH_CRL_INVALID,
                           "a delta list where a complete revocation list is wanted");
        }
        if (bytes_equal(oid, crl_oid_point)) {
            GH_TRY(crl_read_point(value, crl, err));
        } else if (bytes_equal(oid, crl_oid_freshest)) {
            crl->has_delta = true;
        } else if (is_critical && !bytes_equal(oid, crl_oid_number) &&
                   !bytes_equal(oid, crl_oid_authority_key_id)) {
            return gh_fail(err, GH_CRL_INVALID,
                           "the list has a critical extension that is not understood");
        }
    }
    return true;
}

static bool crl_read_tbs(struct bytes tbs, struct crl *crl, struct gh_error *err)
{
    struct bytes list;
    struct bytes algorithm;
    struct bytes extensions;
    int64_t version = 0;

    GH_TRY(der_only(tbs, DER_SEQUENCE, &list, err));
    if (der_is_next(list, DER_INTEGER)) {
        GH_TRY(der_int64(&list, &version, err));
        if (version != 1) {
            return gh_fail(err, GH_CRL_INVALID, "the list is neither version 1 nor 2");
        }
    }
    GH_TRY(der_take_whole(&list, DER_SEQUENCE, &algorithm, err));
    if (!bytes_equal(algorithm, crl->algorithm)) {
        return gh_fail(err, GH_CRL_INVALID, "the list names two signature algorithms");
    }
    GH_TRY(der_take_whole(&list, DER_SEQUENCE, &crl->issuer, err));
    GH_TRY(der_time(&list, &crl->this_update_unix_s, err));
    if (!der_is_next(list, DER_UTC_TIME) && !der_is_next(list, DER_GENERALIZED_TIME)) {
        return gh_fail(err, GH_CRL_INVALID, "the list does not say until when it holds");
    }
    GH_TRY(der_time(&list, &crl->next_update_unix_s, err));
    GH_TRY(der_opt(&list, DER_SEQUENCE, &crl->entries, err));
    GH_TRY(der_opt(&list, DER_CONTEXT_CONSTRUCTED(0), &extensions, err));
    GH_TRY(der_end(&list, err));
    return extensions.data == NULL || crl_read_extensions(extensions, crl, err);
}

static bool crl_read(struct crl *crl, struct gh_error *err)
{
    struct bytes in = bytes_view(&crl->der);
    struct bytes outer;

    GH_TRY(der_only(in, DER_SEQUENCE, &outer, err));
    GH_TRY(der_take_whole(&outer, DER_SEQUENCE, &crl->tbs, err));
    GH_TRY(der_take_whole(&outer, DER_SEQUENCE, &crl->algorithm, err));
    GH_TRY(der_bits(&outer, &crl->signature, err));
    GH_TRY(der_end(&outer, err));
    return crl_read_tbs(crl->tbs, crl, err);
}

bool crl_parse(struct bytes der, struct crl **out, struct gh_error *err)
{
    GH_OWN(crl_freep) struct crl *crl = NULL;

    if (der.len > CRL_MAX_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a revocation list of more than %u bytes",
                       CRL_MAX_BYTES);
    }
    crl = calloc(1, sizeof(*crl));
    if (crl == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a revocation list");
    }
    GH_TRY(bytes_dup(der, &crl->der, err));
    if (!crl_read(crl, err)) {
        return gh_recast(err, GH_CRL_INVALID);
    }
    *out = GH_TAKE(crl);
    return true;
}

bool crl_is_of(const struct crl *crl, const struct x509_view *cert)
{
    return bytes_equal(crl->issuer, cert->issuer);
}

bool crl_covers(const struct crl *crl, struct bytes url)
{
    for (size_t i = 0; i < crl->point_count; i++) {
        if (bytes_equal(crl->points[i], url)) {
            return true;
        }
    }
    return !crl->has_points;
}

bool crl_has_points(const struct crl *crl)
{
    return crl->has_points;
}

bool crl_has_delta(const struct crl *crl)
{
    return crl->has_delta;
}

int64_t crl_this_update(const struct crl *crl)
{
    return crl->this_update_unix_s;
}

int64_t crl_next_update(const struct crl *crl)
{
    return crl->next_update_unix_s;
}

bool crl_check_signed(const struct crl *crl, const struct x509_cert *issuer, struct gh_error *err)
{
    const struct x509_view *view = x509_cert_view(issuer);
    struct gh_error why = {0};

    if (!bytes_equal(crl->issuer, view->subject)) {
        return gh_fail(err, GH_CRL_INVALID, "the revocation list is of another authority");
    }
    if (view->has_key_usage && (view->key_usage & X509_KU_CRL_SIGN) == 0) {
        return gh_fail(err, GH_CRL_INVALID,
                       "the authority may not sign revocation lists (usage cRLSign)");
    }
    if (!x509_algorithm_verify(crl->algorithm, x509_cert_key(issuer), crl->tbs, crl->signature,
                               &why)) {
        return gh_fail(err, why.cause == GH_INTERNAL_ERROR ? why.cause : GH_CRL_INVALID,
                       "the revocation list's signature: %s", why.text);
    }
    return true;
}

bool crl_check_fresh(const struct crl *crl, int64_t now_unix_s, struct gh_error *err)
{
    if (now_unix_s > crl->next_update_unix_s) {
        return gh_fail(err, GH_CRL_INVALID, "the revocation list is out of date");
    }
    if (crl->this_update_unix_s > now_unix_s + CRL_CLOCK_SKEW_S) {
        return gh_fail(err, GH_CRL_INVALID, "the revocation list is from the future");
    }
    return true;
}

static bool crl_read_entry_extensions(struct bytes in, struct crl_entry *out, struct gh_error *err)
{
    while (in.len > 0) {
        struct bytes oid;
        struct bytes value;
        bool is_critical;

        GH_TRY(crl_read_extension(&in, &oid, &is_critical, &value, err));
        if (bytes_equal(oid, crl_oid_reason)) {
            struct bytes reason;

            GH_TRY(der_only(value, DER_ENUMERATED, &reason, err));
            out->reason = reason.len == 1 ? reason.data[0] : -1;
        } else if (bytes_equal(oid, crl_oid_invalidity)) {
            GH_TRY(der_time(&value, &out->invalidity_unix_s, err));
            GH_TRY(der_end(&value, err));
            out->has_invalidity_date = true;
        } else if (is_critical) {
            return gh_fail(err, GH_CRL_INVALID,
                           "an entry of the list has a critical extension that is not understood");
        }
    }
    return true;
}

bool crl_find(const struct crl *crl, struct bytes serial, bool *found, struct crl_entry *out,
              struct gh_error *err)
{
    struct bytes rest = crl->entries;

    *found = false;
    while (rest.len > 0) {
        struct bytes entry;
        struct bytes number;
        struct bytes extensions;
        struct crl_entry read = {0};

        if (!der_take(&rest, DER_SEQUENCE, &entry, err) || !der_integer(&entry, &number, err)) {
            return gh_recast(err, GH_CRL_INVALID);
        }
        if (!bytes_equal(number, serial)) {
            continue;
        }
        if (!der_time(&entry, &read.revoked_unix_s, err) ||
            !der_opt(&entry, DER_SEQUENCE, &extensions, err) || !der_end(&entry, err) ||
            !crl_read_entry_extensions(extensions, &read, err)) {
            return gh_recast(err, GH_CRL_INVALID);
        }
        *found = true;
        *out = read;
        return true;
    }
    return true;
}
