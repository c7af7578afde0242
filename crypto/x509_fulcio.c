#include "crypto/x509_fulcio.h"

#include <string.h>

#include "crypto/der.h"
#include "metrics/error.h"

/* 1.3.6.1.4.1.57264.1; one more octet names the field. */
#define X509_FULCIO_ARC BYTES_LITERAL("\x2b\x06\x01\x04\x01\x83\xbf\x30\x01")
#define X509_FULCIO_ISSUER_RAW 1
#define X509_FULCIO_LAST_RAW 6
#define X509_FULCIO_OTHER_NAME 7
#define X509_FULCIO_ISSUER 8

/* Fulcio's names in snake_case, and the shorter ones in use beside them. */
static const struct {
    const char *name;
    unsigned arc;
} x509_fulcio_names[] = {
    {"github_workflow_trigger", 2},
    {"github_workflow_sha", 3},
    {"github_workflow_name", 4},
    {"github_workflow_repository", 5},
    {"github_workflow_ref", 6},
    {"issuer", 8},
    {"build_signer_uri", 9},
    {"build_signer_digest", 10},
    {"runner_environment", 11},
    {"source_repository_uri", 12},
    {"source_repository_digest", 13},
    {"source_repository_ref", 14},
    {"source_repository_identifier", 15},
    {"source_repository_owner_uri", 16},
    {"source_repository_owner_identifier", 17},
    {"build_config_uri", 18},
    {"build_config_digest", 19},
    {"build_trigger", 20},
    {"run_invocation_uri", 21},
    {"source_repository_visibility_at_signing", 22},
    {"deployment_environment", 23},
    {"token_subject", 24},
    {"issuer_v2", 8},
    {"source_repository_id", 15},
    {"source_owner_uri", 16},
    {"source_owner_id", 17},
    {"source_repository_owner_id", 17},
    {"source_visibility", 22},
    {"source_repository_visibility", 22},
};

unsigned x509_fulcio_claim_arc(const char *name)
{
    for (size_t i = 0; i < GH_COUNT(x509_fulcio_names); i++) {
        if (strcmp(x509_fulcio_names[i].name, name) == 0) {
            return x509_fulcio_names[i].arc;
        }
    }
    return 0;
}

const char *x509_fulcio_claim_name(unsigned arc)
{
    for (size_t i = 0; i < GH_COUNT(x509_fulcio_names); i++) {
        if (x509_fulcio_names[i].arc == arc) {
            return x509_fulcio_names[i].name;
        }
    }
    return NULL;
}

struct bytes x509_fulcio_claim(const struct x509_fulcio *fulcio, const char *name)
{
    unsigned arc = x509_fulcio_claim_arc(name);

    return arc == 0                    ? bytes_make(NULL, 0)
           : arc == X509_FULCIO_ISSUER ? fulcio->issuer
                                       : fulcio->values[arc];
}

static bool x509_fulcio_check_value(struct bytes value, struct gh_error *err)
{
    if (value.len > X509_FULCIO_MAX_VALUE_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a claim has %zu bytes, limit %d", value.len,
                       X509_FULCIO_MAX_VALUE_BYTES);
    }
    if (bytes_contains_nul(value) || !bytes_is_utf8(value)) {
        return gh_fail(err, GH_CERT_MALFORMED, "a claim of the certificate is not UTF-8 text");
    }
    return true;
}

static bool x509_fulcio_read_claim(const struct x509_extension *extension, unsigned arc,
                                   struct bytes *out, struct gh_error *err)
{
    struct bytes value = extension->value;

    if (arc > X509_FULCIO_LAST_RAW && !der_only(extension->value, DER_UTF8_STRING, &value, err)) {
        return gh_recast(err, GH_CERT_MALFORMED);
    }
    GH_TRY(x509_fulcio_check_value(value, err));
    *out = value;
    return true;
}

static bool x509_fulcio_read_claims(const struct x509_view *view, struct x509_fulcio *out,
                                    struct gh_error *err)
{
    const struct bytes prefix = X509_FULCIO_ARC;

    for (size_t i = 0; i < view->extension_count; i++) {
        const struct x509_extension *extension = &view->extensions[i];
        unsigned arc;

        if (extension->oid.len != prefix.len + 1 || !bytes_starts_with(extension->oid, prefix)) {
            continue;
        }
        arc = extension->oid.data[prefix.len];
        if (arc == 0 || arc > X509_FULCIO_MAX_ARC || arc == X509_FULCIO_OTHER_NAME) {
            continue; /* newer than this list: no policy can name it */
        }
        GH_TRY(x509_fulcio_read_claim(extension, arc, &out->values[arc], err));
    }
    return true;
}

static bool x509_fulcio_read_issuer(struct x509_fulcio *out, struct gh_error *err)
{
    struct bytes raw = out->values[X509_FULCIO_ISSUER_RAW];
    struct bytes typed = out->values[X509_FULCIO_ISSUER];

    if (raw.data != NULL && typed.data != NULL && !bytes_equal(raw, typed)) {
        return gh_fail(err, GH_ISSUER_MISMATCH,
                       "the certificate names two identity issuers, %.*s and %.*s",
                       (int)GH_MIN(raw.len, 60u), (const char *)raw.data,
                       (int)GH_MIN(typed.len, 60u), (const char *)typed.data);
    }
    out->issuer = typed.data != NULL ? typed : raw;
    return true;
}

static bool x509_fulcio_read_subject(const struct x509_view *view, struct x509_fulcio *out,
                                     struct gh_error *err)
{
    const struct bytes prefix = X509_FULCIO_ARC;
    const struct x509_san *san = &view->sans[0];

    if (view->san_count != 1) {
        return gh_fail(err, GH_IDENTITY_MISMATCH,
                       "the certificate has %zu subject alternative names, exactly 1 is accepted",
                       view->san_count);
    }
    out->subject_kind = san->kind;
    out->subject = san->value;
    switch (san->kind) {
    case X509_SAN_URI:
    case X509_SAN_EMAIL:
        break;
    case X509_SAN_OTHER:
        if (san->type_oid.len != prefix.len + 1 || !bytes_starts_with(san->type_oid, prefix) ||
            san->type_oid.data[prefix.len] != X509_FULCIO_OTHER_NAME) {
            return gh_fail(err, GH_IDENTITY_MISMATCH,
                           "the certificate's other name is not Fulcio's user name");
        }
        if (!der_only(san->value, DER_UTF8_STRING, &out->subject, err)) {
            return gh_recast(err, GH_CERT_MALFORMED);
        }
        break;
    case X509_SAN_DNS:
    case X509_SAN_IP:
    case X509_SAN_UNKNOWN:
        return gh_fail(err, GH_IDENTITY_MISMATCH,
                       "the certificate's name is no URI, e-mail address or user name");
    }
    if (out->subject.len == 0) {
        return gh_fail(err, GH_IDENTITY_MISMATCH, "the certificate's name is empty");
    }
    return x509_fulcio_check_value(out->subject, err);
}

bool x509_fulcio_read(const struct x509_view *view, struct x509_fulcio *out, struct gh_error *err)
{
    struct x509_fulcio fulcio = {0};

    GH_TRY(x509_fulcio_read_claims(view, &fulcio, err));
    GH_TRY(x509_fulcio_read_issuer(&fulcio, err));
    GH_TRY(x509_fulcio_read_subject(view, &fulcio, err));
    *out = fulcio;
    return true;
}
