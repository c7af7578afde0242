#include "crypto/x509.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "crypto/der.h"
#include "crypto/key.h"
#include "metrics/error.h"

static bool x509_refuse(struct gh_error *err, const char *why)
{
    return gh_fail(err, GH_CERT_MALFORMED, "the certificate cannot be accepted: %s", why);
}

/* ---- extensions -------------------------------------------------------------------------- */

static bool x509_read_basic_constraints(struct bytes in, struct x509_view *view,
                                        struct gh_error *err)
{
    struct bytes seq = {0};

    GH_TRY(der_only(in, DER_SEQUENCE, &seq, err));
    GH_TRY(der_opt_bool(&seq, &view->is_ca, err));
    view->path_len = -1;
    if (der_is_next(seq, DER_INTEGER)) {
        GH_TRY(der_int64(&seq, &view->path_len, err));
        if (view->path_len < 0 || !view->is_ca) {
            return x509_refuse(err, "its path length constraint has no meaning");
        }
    }
    GH_TRY(der_end(&seq, err));
    view->has_basic_constraints = true;
    return true;
}

static bool x509_read_key_usage(struct bytes in, struct x509_view *view, struct gh_error *err)
{
    GH_TRY(der_named_bits(&in, &view->key_usage, err));
    GH_TRY(der_end(&in, err));
    if (view->key_usage == 0) {
        return x509_refuse(err, "its key usage allows nothing");
    }
    view->has_key_usage = true;
    return true;
}

static uint32_t x509_eku_bit(struct bytes oid)
{
    static const struct {
        struct bytes oid;
        uint32_t bit;
    } known[] = {
        {BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x03\x01"), X509_EKU_SERVER_AUTH},
        {BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x03\x02"), X509_EKU_CLIENT_AUTH},
        {BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x03\x03"), X509_EKU_CODE_SIGNING},
        {BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x03\x04"), X509_EKU_EMAIL},
        {BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x03\x08"), X509_EKU_TIME_STAMPING},
        {BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x03\x09"), X509_EKU_OCSP_SIGNING},
        {BYTES_LITERAL("\x55\x1d\x25\x00"), X509_EKU_ANY},
    };

    for (size_t i = 0; i < GH_COUNT(known); i++) {
        if (bytes_equal(oid, known[i].oid)) {
            return known[i].bit;
        }
    }
    return X509_EKU_OTHER;
}

static bool x509_read_ext_key_usage(struct bytes in, struct x509_view *view, struct gh_error *err)
{
    struct bytes seq = {0};

    GH_TRY(der_only(in, DER_SEQUENCE, &seq, err));
    while (seq.len > 0) {
        struct bytes oid = {0};

        GH_TRY(der_oid(&seq, &oid, err));
        if (view->ext_key_usage_count == X509_MAX_EKUS) {
            return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED,
                           "the certificate has more than %d extended key usages", X509_MAX_EKUS);
        }
        view->ext_key_usage_count++;
        view->ext_key_usage |= x509_eku_bit(oid);
    }
    if (view->ext_key_usage_count == 0) {
        return x509_refuse(err, "its extended key usage is empty");
    }
    view->has_ext_key_usage = true;
    return true;
}

static bool x509_check_text(struct bytes text, struct gh_error *err)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 || text.data[i] > 0x7e) {
            return x509_refuse(err, "an alternative name is not printable ASCII");
        }
    }
    return true;
}

static bool x509_read_other_name(struct bytes in, struct x509_san *san, struct gh_error *err)
{
    GH_TRY(der_oid(&in, &san->type_oid, err));
    GH_TRY(der_take(&in, DER_CONTEXT_CONSTRUCTED(0), &san->value, err));
    return der_end(&in, err);
}

static bool x509_read_general_name(struct bytes *in, struct x509_san *san, struct gh_error *err)
{
    struct der_item item = {0};

    GH_TRY(der_next(in, &item, err));
    san->value = item.content;
    switch (item.tag) {
    case DER_CONTEXT_CONSTRUCTED(0):
        san->kind = X509_SAN_OTHER;
        return x509_read_other_name(item.content, san, err);
    case DER_CONTEXT(1):
        san->kind = X509_SAN_EMAIL;
        return x509_check_text(item.content, err);
    case DER_CONTEXT(2):
        san->kind = X509_SAN_DNS;
        return x509_check_text(item.content, err);
    case DER_CONTEXT(6):
        san->kind = X509_SAN_URI;
        return x509_check_text(item.content, err);
    case DER_CONTEXT(7):
        san->kind = X509_SAN_IP;
        return true;
    default:
        if ((item.tag & 0xc0) != 0x80) {
            return x509_refuse(err, "an alternative name has no known form");
        }
        san->kind = X509_SAN_UNKNOWN;
        return true;
    }
}

static bool x509_read_sans(struct bytes in, struct x509_view *view, struct gh_error *err)
{
    struct bytes seq = {0};

    GH_TRY(der_only(in, DER_SEQUENCE, &seq, err));
    while (seq.len > 0) {
        if (view->san_count == X509_MAX_SANS) {
            return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED,
                           "the certificate has more than %d alternative names", X509_MAX_SANS);
        }
        GH_TRY(x509_read_general_name(&seq, &view->sans[view->san_count], err));
        view->san_count++;
    }
    if (view->san_count == 0) {
        return x509_refuse(err, "its list of alternative names is empty");
    }
    return true;
}

static bool x509_read_subject_key_id(struct bytes in, struct x509_view *view, struct gh_error *err)
{
    return der_only(in, DER_OCTET_STRING, &view->subject_key_id, err);
}

static bool x509_read_authority_key_id(struct bytes in, struct x509_view *view,
                                       struct gh_error *err)
{
    struct bytes seq = {0};
    struct bytes ignored = {0};

    GH_TRY(der_only(in, DER_SEQUENCE, &seq, err));
    GH_TRY(der_opt(&seq, DER_CONTEXT(0), &view->authority_key_id, err));
    GH_TRY(der_opt(&seq, DER_CONTEXT_CONSTRUCTED(1), &ignored, err));
    GH_TRY(der_opt(&seq, DER_CONTEXT(2), &ignored, err));
    return der_end(&seq, err);
}

static bool x509_read_name_constraints(struct bytes in, struct x509_view *view,
                                       struct gh_error *err)
{
    struct bytes seq = {0};

    GH_TRY(der_only(in, DER_SEQUENCE, &seq, err));
    view->has_name_constraints = true; /* enforced by crypto/x509_path */
    return true;
}

static bool x509_read_no_effect(struct bytes in, struct x509_view *view, struct gh_error *err)
{
    /* Certificate policies and inhibitAnyPolicy bind only a verifier that demands a policy. */
    return der_check(in, 8, err);
}

static const struct x509_extension_form {
    struct bytes oid;
    bool (*read)(struct bytes in, struct x509_view *view, struct gh_error *err);
} x509_extension_forms[] = {
    {BYTES_LITERAL("\x55\x1d\x13"), x509_read_basic_constraints},
    {BYTES_LITERAL("\x55\x1d\x0f"), x509_read_key_usage},
    {BYTES_LITERAL("\x55\x1d\x25"), x509_read_ext_key_usage},
    {BYTES_LITERAL("\x55\x1d\x11"), x509_read_sans},
    {BYTES_LITERAL("\x55\x1d\x0e"), x509_read_subject_key_id},
    {BYTES_LITERAL("\x55\x1d\x23"), x509_read_authority_key_id},
    {BYTES_LITERAL("\x55\x1d\x1e"), x509_read_name_constraints},
    {BYTES_LITERAL("\x55\x1d\x20"), x509_read_no_effect},
    {BYTES_LITERAL("\x55\x1d\x36"), x509_read_no_effect},
};

static bool x509_interpret_extension(const struct x509_extension *extension, struct x509_view *view,
                                     struct gh_error *err)
{
    for (size_t i = 0; i < GH_COUNT(x509_extension_forms); i++) {
        if (!bytes_equal(extension->oid, x509_extension_forms[i].oid)) {
            continue;
        }
        if (x509_extension_forms[i].read == x509_read_ext_key_usage) {
            view->is_ext_key_usage_critical = extension->is_critical;
        }
        return x509_extension_forms[i].read(extension->value, view, err);
    }
    if (extension->is_critical) {
        char text[DER_MAX_OID_TEXT];

        GH_TRY(der_oid_text(extension->oid, text, err));
        return gh_fail(err, GH_CERT_MALFORMED,
                       "the certificate has a critical extension that is not understood: %s", text);
    }
    return true;
}

static bool x509_read_extension(struct bytes *in, struct x509_extension *out, struct gh_error *err)
{
    struct der_item item = {0};

    GH_TRY(der_next(in, &item, err));
    if (item.tag != DER_SEQUENCE) {
        return x509_refuse(err, "an extension is no SEQUENCE");
    }
    out->whole = item.whole;
    GH_TRY(der_oid(&item.content, &out->oid, err));
    GH_TRY(der_opt_bool(&item.content, &out->is_critical, err));
    GH_TRY(der_octets(&item.content, &out->value, err));
    return der_end(&item.content, err);
}

static bool x509_read_extensions(struct bytes in, struct x509_view *view, struct gh_error *err)
{
    struct bytes seq = {0};

    GH_TRY(der_only(in, DER_SEQUENCE, &seq, err));
    if (seq.len == 0) {
        return x509_refuse(err, "its list of extensions is empty");
    }
    while (seq.len > 0) {
        struct x509_extension extension = {0};

        if (view->extension_count == X509_MAX_EXTENSIONS) {
            return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED,
                           "the certificate has more than %d extensions", X509_MAX_EXTENSIONS);
        }
        GH_TRY(x509_read_extension(&seq, &extension, err));
        if (x509_view_extension(view, extension.oid) != NULL) {
            return x509_refuse(err, "an extension stands in it twice");
        }
        view->extensions[view->extension_count++] = extension;
        GH_TRY(x509_interpret_extension(&extension, view, err));
    }
    return true;
}

const struct x509_extension *x509_view_extension(const struct x509_view *view, struct bytes oid)
{
    for (size_t i = 0; i < view->extension_count; i++) {
        if (bytes_equal(view->extensions[i].oid, oid)) {
            return &view->extensions[i];
        }
    }
    return NULL;
}

/* ---- the certificate --------------------------------------------------------------------- */

static bool x509_read_validity(struct bytes *in, struct x509_view *view, struct gh_error *err)
{
    struct bytes seq = {0};

    GH_TRY(der_take(in, DER_SEQUENCE, &seq, err));
    GH_TRY(der_time(&seq, &view->not_before_unix_s, err));
    GH_TRY(der_time(&seq, &view->not_after_unix_s, err));
    return der_end(&seq, err);
}

static bool x509_read_version(struct bytes *in, struct gh_error *err)
{
    struct bytes explicit_version = {0};
    int64_t version = 0;

    GH_TRY(der_opt(in, DER_CONTEXT_CONSTRUCTED(0), &explicit_version, err));
    if (explicit_version.data != NULL) {
        GH_TRY(der_int64(&explicit_version, &version, err));
        GH_TRY(der_end(&explicit_version, err));
    }
    if (version != 2) {
        return x509_refuse(err, "it is not of version 3");
    }
    return true;
}

static bool x509_read_tbs(struct bytes in, struct x509_view *view, struct gh_error *err)
{
    struct bytes algorithm = {0};
    struct bytes unique_id = {0};
    struct bytes rest;

    GH_TRY(x509_read_version(&in, err));
    GH_TRY(der_integer(&in, &view->serial, err));
    if (view->serial.len > X509_MAX_SERIAL_BYTES) {
        return x509_refuse(err, "its serial number is too long");
    }
    GH_TRY(der_take_whole(&in, DER_SEQUENCE, &algorithm, err));
    if (!bytes_equal(algorithm, view->algorithm)) {
        return x509_refuse(err, "it names two different signature algorithms");
    }
    GH_TRY(der_take_whole(&in, DER_SEQUENCE, &view->issuer, err));
    GH_TRY(x509_read_validity(&in, view, err));
    GH_TRY(der_take_whole(&in, DER_SEQUENCE, &view->subject, err));
    GH_TRY(der_take_whole(&in, DER_SEQUENCE, &view->spki, err));
    for (unsigned i = 1; i <= 2; i++) {
        GH_TRY(der_opt(&in, (uint8_t)DER_CONTEXT(i), &unique_id, err));
        view->has_unique_ids = view->has_unique_ids || unique_id.data != NULL;
    }
    rest = in;
    GH_TRY(der_opt(&in, DER_CONTEXT_CONSTRUCTED(3), &unique_id, err));
    if (unique_id.data != NULL) {
        view->extensions_explicit = bytes_slice(rest, 0, rest.len - in.len);
        GH_TRY(x509_read_extensions(unique_id, view, err));
    }
    return der_end(&in, err);
}

static bool x509_read(struct bytes der, struct x509_view *view, struct gh_error *err)
{
    struct bytes cert = {0};
    struct bytes rest = {0};

    view->der = der;
    view->path_len = -1;
    GH_TRY(der_check(der, DER_MAX_DEPTH, err));
    GH_TRY(der_only(der, DER_SEQUENCE, &cert, err));
    GH_TRY(der_take_whole(&cert, DER_SEQUENCE, &view->tbs, err));
    GH_TRY(der_take_whole(&cert, DER_SEQUENCE, &view->algorithm, err));
    GH_TRY(der_bits(&cert, &view->signature, err));
    GH_TRY(der_end(&cert, err));
    rest = view->tbs;
    GH_TRY(der_take(&rest, DER_SEQUENCE, &view->tbs_content, err));
    return x509_read_tbs(view->tbs_content, view, err);
}

bool x509_view_read(struct bytes der, struct x509_view *out, struct gh_error *err)
{
    if (der.len > X509_MAX_CERT_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a certificate has %zu bytes, limit %u",
                       der.len, X509_MAX_CERT_BYTES);
    }
    memset(out, 0, sizeof(*out));
    if (!x509_read(der, out, err)) {
        return gh_recast(err, GH_CERT_MALFORMED);
    }
    return true;
}

struct x509_cert {
    struct bytes_buf der;
    struct x509_view view;
    struct key *key;
    struct digest fingerprint;
    atomic_int references;
};

static bool x509_cert_fill(struct x509_cert *cert, struct bytes der, struct gh_error *err)
{
    GH_TRY(bytes_dup(der, &cert->der, err));
    GH_TRY(x509_view_read(bytes_view(&cert->der), &cert->view, err));
    if (!key_parse_spki(cert->view.spki, &cert->key, err)) {
        return gh_recast(err, GH_CERT_MALFORMED);
    }
    return digest_compute(DIGEST_SHA256, bytes_view(&cert->der), &cert->fingerprint, err);
}

bool x509_cert_parse(struct bytes der, struct x509_cert **out, struct gh_error *err)
{
    GH_OWN(x509_cert_unrefp) struct x509_cert *cert = NULL;

    if (der.len > X509_MAX_CERT_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a certificate has %zu bytes, limit %u",
                       der.len, X509_MAX_CERT_BYTES);
    }
    cert = calloc(1, sizeof(*cert));
    if (cert == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    atomic_init(&cert->references, 1);
    GH_TRY(x509_cert_fill(cert, der, err));
    *out = GH_TAKE(cert);
    return true;
}

static bool x509_cert_next_pem(struct bytes *pem, struct x509_cert **out, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf der = {0};
    struct bytes label = {0};

    if (!bytes_pem_next(pem, &label, &der, err)) {
        return gh_recast(err, GH_CERT_MALFORMED);
    }
    if (!bytes_equal_cstr(label, "CERTIFICATE")) {
        /* A bare key here once became the verifier, without path or identity. */
        return gh_fail(err, GH_CERT_MALFORMED, "a PEM block %.*s stands where a CERTIFICATE must",
                       (int)GH_MIN(label.len, 40u), (const char *)label.data);
    }
    return x509_cert_parse(bytes_view(&der), out, err);
}

bool x509_cert_parse_pem_chain(struct bytes pem, size_t limit, struct x509_cert **out,
                               size_t *count, struct gh_error *err)
{
    size_t found = 0;
    bool ok = pem.len <= X509_MAX_PEM_BYTES;

    if (!ok) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "PEM certificates of %zu bytes, limit %u",
                       pem.len, X509_MAX_PEM_BYTES);
    }
    do {
        if (found == limit) {
            ok = gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %zu certificates", limit);
            break;
        }
        ok = x509_cert_next_pem(&pem, &out[found], err);
        found += ok ? 1 : 0;
        bytes_skip_space(&pem);
    } while (ok && pem.len > 0);
    if (!ok) {
        while (found > 0) {
            x509_cert_unrefp(&out[--found]);
        }
        return false;
    }
    *count = found;
    return true;
}

bool x509_cert_parse_pem(struct bytes pem, struct x509_cert **out, struct gh_error *err)
{
    GH_OWN(x509_cert_unrefp) struct x509_cert *cert = NULL;

    if (pem.len > X509_MAX_PEM_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a PEM certificate of %zu bytes, limit %u",
                       pem.len, X509_MAX_PEM_BYTES);
    }
    GH_TRY(x509_cert_next_pem(&pem, &cert, err));
    bytes_skip_space(&pem);
    if (pem.len > 0) {
        return x509_refuse(err, "something follows the one PEM block");
    }
    *out = GH_TAKE(cert);
    return true;
}

struct x509_cert *x509_cert_ref(const struct x509_cert *cert)
{
    struct x509_cert *mine = (struct x509_cert *)cert; /* only the count changes */

    (void)atomic_fetch_add(&mine->references, 1);
    return mine;
}

void x509_cert_unref(struct x509_cert *cert)
{
    if (cert == NULL || atomic_fetch_sub(&cert->references, 1) != 1) {
        return;
    }
    key_free(cert->key);
    bytes_buf_done(&cert->der);
    free(cert);
}

const struct x509_view *x509_cert_view(const struct x509_cert *cert)
{
    return &cert->view;
}

struct bytes x509_cert_der(const struct x509_cert *cert)
{
    return cert->view.der;
}

const struct key *x509_cert_key(const struct x509_cert *cert)
{
    return cert->key;
}

const struct digest *x509_cert_fingerprint(const struct x509_cert *cert)
{
    return &cert->fingerprint;
}

bool x509_cert_equal(const struct x509_cert *a, const struct x509_cert *b)
{
    return bytes_equal(a->view.der, b->view.der);
}

bool x509_cert_is_self_issued(const struct x509_cert *cert)
{
    return bytes_equal(cert->view.issuer, cert->view.subject);
}

/* ---- OpenSSL's view ---------------------------------------------------------------------- */

bool x509_cert_to_openssl(const struct x509_cert *cert, X509 **out, struct gh_error *err)
{
    const uint8_t *cursor = cert->view.der.data;
    X509 *x509 = d2i_X509(NULL, &cursor, (long)cert->view.der.len);

    ERR_clear_error();
    if (x509 == NULL || cursor != cert->view.der.data + cert->view.der.len) {
        X509_free(x509);
        return x509_refuse(err, "OpenSSL does not read it");
    }
    *out = x509;
    return true;
}

void x509_name_describe(struct bytes name, char *out, size_t size)
{
    const uint8_t *cursor = name.data;
    X509_NAME *parsed = d2i_X509_NAME(NULL, &cursor, (long)GH_MIN(name.len, X509_MAX_CERT_BYTES));
    BIO *text = BIO_new(BIO_s_mem());
    int got = 0;

    assert(size > 0);
    if (parsed != NULL && text != NULL &&
        X509_NAME_print_ex(text, parsed, 0, XN_FLAG_RFC2253) > 0) {
        got = BIO_read(text, out, (int)GH_MIN(size - 1, 1024u));
    }
    out[got > 0 ? got : 0] = '\0';
    if (got <= 0) {
        (void)snprintf(out, size, "(no name)");
    }
    X509_NAME_free(parsed);
    (void)BIO_free(text);
    ERR_clear_error();
}
