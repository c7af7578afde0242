#include "crypto/keyless.h"

#include <stdio.h>
#include <string.h>

#include "crypto/pattern.h"
#include "crypto/sct.h"
#include "crypto/trustroot.h"
#include "crypto/x509.h"
#include "crypto/x509_fulcio.h"
#include "metrics/error.h"

#define KEYLESS_MAX_SHOWN 100 /* bytes of a value in a text */

bool keyless_check_path(const struct signer *signer, const struct x509_cert *leaf,
                        struct x509_cert *const *hints, size_t hint_count,
                        const int64_t *times_unix_s, size_t time_count, struct x509_path *path,
                        struct gh_error *err)
{
    struct x509_path_input input = {
        .leaf = leaf,
        .hints = hints,
        .hint_count = hint_count,
        .times_unix_s = times_unix_s,
        .time_count = time_count,
        .use = X509_USE_CODE_SIGNING,
        .memo = trustroot_memo(signer->root),
    };

    input.authorities = trustroot_authorities(signer->root, &input.authority_count);
    GH_TRY(x509_path_verify(&input, path, err));
    if (signer->sct != SIGNER_REQUIRED) {
        return true;
    }
    if (path->count < 2) {
        return gh_fail(err, GH_SCT_INVALID, "the certificate has no issuer in its path");
    }
    /* The issuer is the certificate that verified, not one that the evidence suggests. */
    return sct_verify(leaf, path->certs[1], signer->root, GH_MAX(signer->sct_threshold, (size_t)1),
                      NULL, err);
}

static int keyless_shown(struct bytes value)
{
    return (int)GH_MIN(value.len, (size_t)KEYLESS_MAX_SHOWN);
}

static bool keyless_match(const struct pattern *pattern, struct bytes value, enum gh_cause cause,
                          const char *what, struct gh_error *err)
{
    struct bytes wanted;

    if (pattern != NULL && value.data != NULL && pattern_match(pattern, value)) {
        return true;
    }
    wanted = pattern != NULL ? pattern_text(pattern) : BYTES_LITERAL("");
    if (value.data == NULL) {
        return gh_fail(err, cause, "the certificate has no %s, wanted is %.*s", what,
                       keyless_shown(wanted), (const char *)wanted.data);
    }
    return gh_fail(err, cause, "the certificate's %s is %.*s, wanted is %.*s", what,
                   keyless_shown(value), (const char *)value.data, keyless_shown(wanted),
                   (const char *)wanted.data);
}

/* Who signed, as thresholds count it: issuer and subject, apart from each other. */
static bool keyless_authority(const struct x509_fulcio *fulcio, struct digest *out,
                              struct gh_error *err)
{
    GH_OWN(digest_stream_freep) struct digest_stream *stream = NULL;

    GH_TRY(digest_stream_new(DIGEST_SHA256, &stream, err));
    GH_TRY(digest_stream_update(stream, fulcio->issuer, err));
    GH_TRY(digest_stream_update(stream, bytes_make("", 1), err));
    GH_TRY(digest_stream_update(stream, fulcio->subject, err));
    return digest_stream_final(stream, out, err);
}

bool keyless_check_identity(const struct signer *signer, const struct x509_cert *leaf,
                            struct evidence_proof *out, struct gh_error *err)
{
    struct x509_fulcio fulcio;
    size_t used;

    GH_TRY(x509_fulcio_read(x509_cert_view(leaf), &fulcio, err));
    GH_TRY(
        keyless_match(signer->issuer, fulcio.issuer, GH_ISSUER_MISMATCH, "identity issuer", err));
    GH_TRY(keyless_match(signer->subject, fulcio.subject, GH_IDENTITY_MISMATCH, "identity", err));
    for (size_t i = 0; i < signer->claim_count; i++) {
        const struct signer_claim *claim = &signer->claims[i];

        GH_TRY(keyless_match(claim->pattern, x509_fulcio_claim(&fulcio, claim->name),
                             GH_EXTENSION_MISMATCH, claim->name, err));
    }
    GH_TRY(keyless_authority(&fulcio, &out->authority, err));
    (void)snprintf(out->signer_text, sizeof(out->signer_text), "%.*s (%.*s)",
                   keyless_shown(fulcio.subject), (const char *)fulcio.subject.data,
                   keyless_shown(fulcio.issuer), (const char *)fulcio.issuer.data);
    for (used = 0; out->signer_text[used] != '\0'; used++) {
        unsigned char c = (unsigned char)out->signer_text[used];

        if (c < 0x20 || c > 0x7e) {
            out->signer_text[used] = '?'; /* it goes to terminals and logs */
        }
    }
    return true;
}
