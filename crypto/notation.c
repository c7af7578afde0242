#include "crypto/notation.h"

#include <assert.h>
#include <string.h>

#include "crypto/cose.h"
#include "crypto/jws.h"
#include "crypto/memo.h"
#include "crypto/notation_chain.h"
#include "crypto/notation_dn.h"
#include "crypto/notation_envelope.h"
#include "crypto/notation_payload.h"
#include "crypto/notation_store.h"
#include "crypto/notation_vendor.h"
#include "crypto/revocation.h"
#include "crypto/tsa.h"
#include "crypto/x509.h"
#include "metrics/error.h"

/* What ETSI's baseline policy promises where a token names no accuracy; others promise nothing. */
#define NOTATION_ETSI_ACCURACY_S 1
/* A check that could not be made, where that is only logged, is made again before long. */
#define NOTATION_RECHECK_S 300

/* One verification under way. */
struct notation_work {
    const struct notation_request *request;
    struct evidence_wants *wants;
    struct notation_envelope envelope;
    struct notation_chain *chain;
    struct notation_payload payload;
    bool is_trusted; /* the chain leads to a certificate of the right store */
    bool is_pending; /* something must be fetched before this can be told */
    enum evidence_step step;
    struct evidence_proof proof;
};

static void notation_work_done(struct notation_work *work)
{
    notation_payload_done(&work->payload);
    notation_envelope_done(&work->envelope);
    notation_chain_unref(work->chain);
    evidence_proof_done(&work->proof);
}

/* A stranger's signature counts as no further than the choice of the signer, however good it is:
 * else it would hide why the signer's own one failed. */
static void notation_at(struct notation_work *work, enum evidence_step step)
{
    work->step = work->is_trusted ? step : GH_MIN(step, EVIDENCE_STEP_SIGNER);
}

/* What a failed check means: under `log` it is noted, and only our own failures stay failures. */
static bool notation_failed(struct notation_work *work, enum signer_action action,
                            const struct gh_error *why, struct gh_error *err)
{
    bool is_ours = why->cause == GH_INTERNAL_ERROR || why->cause == GH_COUNT_LIMIT_EXCEEDED ||
                   why->cause == GH_SIZE_LIMIT_EXCEEDED;

    if (action == SIGNER_ENFORCE || is_ours) {
        gh_fail(err, why->cause, "%s", why->text);
        if (why->place[0] != '\0') {
            gh_error_at(err, "%s", why->place);
        }
        return false;
    }
    if (action == SIGNER_LOG && work->proof.logged_count < EVIDENCE_MAX_LOGGED) {
        work->proof.logged[work->proof.logged_count++] = *why;
    }
    if (gh_cause_reason(why->cause) == GH_REASON_REVOCATION_UNKNOWN) {
        evidence_proof_until(&work->proof, work->request->now_unix_s + NOTATION_RECHECK_S);
    }
    return true;
}

/* --- integrity ---------------------------------------------------------------------------- */

static bool notation_parse(struct notation_work *work, struct gh_error *err)
{
    const struct evidence_item *item = work->request->item;

    if (item->kind == EVIDENCE_NOTATION_JWS) {
        return jws_parse(item->blob, &work->envelope, err);
    }
    if (item->kind == EVIDENCE_NOTATION_COSE) {
        return cose_parse(item->blob, &work->envelope, err);
    }
    return gh_fail(err, GH_SIGNATURE_FORMAT_DISALLOWED, "the evidence is no notation envelope");
}

static enum notation_store_kind notation_kind(const struct notation_envelope *envelope)
{
    return bytes_equal_cstr(envelope->scheme_text, "notary.x509.signingAuthority")
               ? NOTATION_STORE_SIGNING_AUTHORITY
               : NOTATION_STORE_CA;
}

static bool notation_is_anchored(const struct notation_work *work, enum notation_store_kind kind)
{
    assert(work->chain != NULL);
    for (size_t i = 0; i < work->chain->count; i++) {
        if (notation_store_has(work->request->signer->store, kind, work->chain->certs[i])) {
            return true;
        }
    }
    return false;
}

static bool notation_read_chain(struct notation_work *work, struct gh_error *err)
{
    const struct notation_envelope *envelope = &work->envelope;
    const struct notation_store *store = work->request->signer->store;
    struct digest name;

    GH_TRY(notation_chain_name(envelope->chain, envelope->chain_count, &name, err));
    work->chain = notation_store_find_chain(store, &name);
    if (work->chain == NULL) {
        GH_TRY(
            notation_chain_read(envelope->chain, envelope->chain_count, &name, &work->chain, err));
        if (notation_is_anchored(work, NOTATION_STORE_CA) ||
            notation_is_anchored(work, NOTATION_STORE_SIGNING_AUTHORITY)) {
            notation_store_keep_chain(store, work->chain);
        }
    }
    work->is_trusted = notation_is_anchored(work, notation_kind(envelope));
    return true;
}

static bool notation_check_signature(struct notation_work *work, struct gh_error *err)
{
    const struct notation_chain *chain = work->chain;
    const struct notation_envelope *envelope = &work->envelope;

    if (envelope->alg != chain->alg) {
        return gh_fail(err, GH_NOTATION_ALG_MISMATCH,
                       "the envelope's algorithm is not the one of its signing key");
    }
    return key_verify(x509_cert_key(chain->certs[0]), chain->scheme, chain->digest,
                      envelope->signed_input, envelope->signature, err);
}

static bool notation_check_integrity(struct notation_work *work, struct gh_error *err)
{
    notation_at(work, EVIDENCE_STEP_PARSE);
    GH_TRY(notation_parse(work, err));
    GH_TRY(notation_read_chain(work, err));
    notation_at(work, EVIDENCE_STEP_SIGNATURE);
    GH_TRY(notation_check_signature(work, err));
    notation_at(work, EVIDENCE_STEP_PAYLOAD);
    GH_TRY(notation_envelope_check(&work->envelope, err));
    GH_TRY(notation_vendor_check(&work->envelope, err));
    GH_TRY(notation_payload_read(work->envelope.payload, &work->payload, err));
    notation_at(work, EVIDENCE_STEP_SUBJECT);
    return notation_payload_check_subject(&work->payload, work->request->subject, err);
}

/* --- authenticity ------------------------------------------------------------------------- */

static bool notation_check_trust(const struct notation_work *work, struct gh_error *err)
{
    enum notation_store_kind kind = notation_kind(&work->envelope);
    enum notation_store_kind other =
        kind == NOTATION_STORE_CA ? NOTATION_STORE_SIGNING_AUTHORITY : NOTATION_STORE_CA;

    if (work->is_trusted) {
        return true;
    }
    /* Never shared: whoever may have certificates from a CA could else pose as an authority that
     * vouches for times. */
    if (notation_store_count(work->request->signer->store, kind) == 0 ||
        notation_is_anchored(work, other)) {
        return gh_fail(err, GH_NOTATION_SCHEME_STORE_MISMATCH,
                       "scheme %.*s needs a root in the %s store",
                       (int)GH_MIN(work->envelope.scheme_text.len, (size_t)60),
                       (const char *)work->envelope.scheme_text.data,
                       kind == NOTATION_STORE_CA ? "ca" : "signing_authority");
    }
    return gh_fail(err, GH_CERT_CHAIN_UNTRUSTED,
                   "no certificate of the chain is in the signer's trust store");
}

static bool notation_is_identity(const struct notation_work *work, const struct notation_dn *dn)
{
    if (notation_vendor_is_aws(&work->envelope)) {
        const struct notation_attribute *profile =
            notation_envelope_attribute(&work->envelope, NOTATION_AWS_PROFILE);

        return notation_dn_is_profile(dn) && profile != NULL &&
               notation_vendor_profile_matches(bytes_of(notation_dn_text(dn)), profile->text);
    }
    return notation_dn_matches(dn, work->chain->subject);
}

static bool notation_check_identity(const struct notation_work *work, struct gh_error *err)
{
    const struct signer *signer = work->request->signer;
    bool is_aws = notation_vendor_is_aws(&work->envelope);
    char name[160];

    /* AWS Signer signs for everybody with certificates of its own: "any" would be anybody. */
    if (signer->is_any_identity && !is_aws) {
        return true;
    }
    for (size_t i = 0; i < signer->identity_count; i++) {
        if (notation_is_identity(work, signer->identities[i])) {
            return true;
        }
    }
    x509_name_describe(x509_cert_view(work->chain->certs[0])->subject, name, sizeof(name));
    return gh_fail(err, GH_NOTATION_IDENTITY_MISMATCH, "%s %s is not a trusted identity",
                   is_aws ? "the signing profile behind" : "the subject", name);
}

static bool notation_check_authenticity(struct notation_work *work, struct gh_error *err)
{
    enum signer_action action = work->request->signer->authenticity;
    struct gh_error why = {0};

    notation_at(work, EVIDENCE_STEP_SIGNER);
    if (!notation_check_trust(work, &why)) {
        return notation_failed(work, action, &why, err);
    }
    notation_at(work, EVIDENCE_STEP_IDENTITY);
    return notation_check_identity(work, &why) || notation_failed(work, action, &why, err);
}

/* --- time --------------------------------------------------------------------------------- */

static bool notation_check_expiry(struct notation_work *work, struct gh_error *err)
{
    const struct notation_envelope *envelope = &work->envelope;
    enum signer_action action = work->request->signer->expiry;
    struct gh_error why = {0};

    notation_at(work, EVIDENCE_STEP_TIME);
    if (!envelope->has_expiry || action == SIGNER_SKIP) {
        return true;
    }
    if (work->request->now_unix_s >= envelope->expiry_unix_s) {
        gh_fail(&why, GH_NOTATION_EXPIRED, "the signature has expired");
        return notation_failed(work, action, &why, err);
    }
    evidence_proof_until(&work->proof, envelope->expiry_unix_s - 1);
    return true;
}

static bool notation_covers_time(const struct notation_work *work, int64_t first, int64_t last,
                                 const char *what, struct gh_error *err)
{
    const struct notation_chain *chain = work->chain;

    if (first < chain->not_before_unix_s || last > chain->not_after_unix_s) {
        return gh_fail(err, GH_CERT_NOT_VALID_AT_TIME,
                       "not every certificate of the chain was valid at %s", what);
    }
    return true;
}

static bool notation_rest_on_path(struct notation_work *work, struct x509_cert *const *path,
                                  size_t count, struct gh_error *err)
{
    for (size_t i = 0; i < count; i++) {
        GH_TRY(evidence_proof_rest(&work->proof, EVIDENCE_REST_CERTIFICATE,
                                   x509_cert_fingerprint(path[i]), err));
    }
    return true;
}

static bool notation_ask_revocation(struct notation_work *work, struct x509_cert *const *path,
                                    size_t count, bool has_time, struct gh_error *err)
{
    struct revocation_input input = {
        .path = path,
        .count = count,
        .answers = work->request->answers,
        .now_unix_s = work->request->now_unix_s,
        .has_signing_time = has_time,
        .signing_unix_s = work->envelope.authentic_unix_s,
    };

    input.crls = notation_store_crls(work->request->signer->store, &input.crl_count);
    if (revocation_check(&input, work->wants, &work->proof, err)) {
        return true;
    }
    work->is_pending = work->is_pending || err->cause == GH_CAUSE_NONE;
    return err->cause == GH_CAUSE_NONE; /* pending: the other checks go on meanwhile */
}

/* The token, its authority's revocation, and the certificates at its time. */
static bool notation_check_token(struct notation_work *work, const struct tsa_result *token,
                                 struct gh_error *err)
{
    int64_t slack = token->is_second_implied ? NOTATION_ETSI_ACCURACY_S : 0;

    GH_TRY(notation_covers_time(work, token->not_before_unix_s - slack,
                                token->not_after_unix_s + slack, "the time stamp", err));
    GH_TRY(notation_ask_revocation(work, token->path, token->path_count, false, err));
    GH_TRY(notation_rest_on_path(work, token->path, token->path_count, err));
    work->proof.has_proved_time = true;
    work->proof.proved_unix_s = token->gen_time.unix_s;
    return true;
}

static bool notation_check_timestamp(struct notation_work *work, struct gh_error *err)
{
    const struct notation_envelope *envelope = &work->envelope;
    struct tsa_result token = {0};
    bool is_good;

    if (envelope->timestamp.data == NULL) {
        return gh_fail(err, GH_NOTATION_TIMESTAMP_REQUIRED,
                       "the signer wants a time stamp and the signature has none");
    }
    GH_TRY(tsa_verify_token(envelope->timestamp, envelope->signature,
                            notation_store_tsa(work->request->signer->store),
                            work->request->now_unix_s, &token, err));
    is_good = notation_check_token(work, &token, err);
    tsa_result_done(&token);
    return is_good;
}

static bool notation_check_time(struct notation_work *work, struct gh_error *err)
{
    const struct signer *signer = work->request->signer;
    int64_t now = work->request->now_unix_s;
    int64_t authentic = work->envelope.authentic_unix_s;
    bool has_tsa = notation_store_count(signer->store, NOTATION_STORE_TSA) > 0;
    bool is_expired = now > work->chain->not_after_unix_s;

    if (work->envelope.scheme == NOTATION_SCHEME_SIGNING_AUTHORITY) {
        GH_TRY(notation_covers_time(work, authentic, authentic, "the signing time", err));
        if (work->is_trusted) {
            work->proof.has_proved_time = true;
            work->proof.proved_unix_s = authentic;
        }
        return true;
    }
    if (has_tsa && (is_expired || !signer->is_timestamp_after_expiry_only)) {
        return notation_check_timestamp(work, err);
    }
    GH_TRY(notation_covers_time(work, now, now, "the present time (there is no time stamp to use)",
                                err));
    evidence_proof_until(&work->proof, work->chain->not_after_unix_s);
    return true;
}

static bool notation_check_authentic_time(struct notation_work *work, struct gh_error *err)
{
    struct gh_error why = {0};

    notation_at(work, EVIDENCE_STEP_TIME);
    return work->request->signer->authentic_timestamp == SIGNER_SKIP ||
           notation_check_time(work, &why) ||
           notation_failed(work, work->request->signer->authentic_timestamp, &why, err);
}

/* --- revocation --------------------------------------------------------------------------- */

static bool notation_check_revocation(struct notation_work *work, struct gh_error *err)
{
    const struct notation_chain *chain = work->chain;
    const struct notation_envelope *envelope = &work->envelope;

    if (!work->is_trusted) {
        return gh_fail(err, GH_REVOCATION_UNAVAILABLE,
                       "the chain leads to no configured root, so nobody is asked");
    }
    if (notation_vendor_is_aws(envelope)) {
        if (notation_vendor_check_revocation(envelope, chain, work->request->answers, work->wants,
                                             &work->proof, err)) {
            return true;
        }
        work->is_pending = work->is_pending || err->cause == GH_CAUSE_NONE;
        return err->cause == GH_CAUSE_NONE;
    }
    return notation_ask_revocation(work, chain->certs, chain->count,
                                   envelope->scheme == NOTATION_SCHEME_SIGNING_AUTHORITY, err);
}

static bool notation_check_status(struct notation_work *work, struct gh_error *err)
{
    enum signer_action action = work->request->signer->revocation;
    struct gh_error why = {0};

    notation_at(work, EVIDENCE_STEP_CERTIFICATE);
    return action == SIGNER_SKIP || notation_check_revocation(work, &why) ||
           notation_failed(work, action, &why, err);
}

/* --- the whole ---------------------------------------------------------------------------- */

/* Who signed: what the chain says; but a signing profile stands for itself, without its version. */
static bool notation_name_authority(struct notation_work *work, struct gh_error *err)
{
    struct bytes profile;
    struct bytes parts[2];

    memcpy(work->proof.signer_text, work->chain->signer_text, sizeof(work->proof.signer_text));
    if (!notation_vendor_is_aws(&work->envelope)) {
        work->proof.authority = work->chain->authority;
        return true;
    }
    profile = notation_envelope_attribute(&work->envelope, NOTATION_AWS_PROFILE)->text;
    parts[0] = x509_cert_view(work->chain->certs[0])->issuer;
    parts[1] = bytes_slice(profile, 0, bytes_find_last(profile, BYTES_LITERAL("/")));
    return memo_name("notation authority", parts, GH_COUNT(parts), &work->proof.authority, err);
}

static bool notation_fill_proof(struct notation_work *work, struct gh_error *err)
{
    const struct evidence_item *item = work->request->item;

    GH_TRY(notation_name_authority(work, err));
    GH_TRY(evidence_proof_rest(&work->proof, EVIDENCE_REST_KEY,
                               key_fingerprint(x509_cert_key(work->chain->certs[0])), err));
    GH_TRY(notation_rest_on_path(work, work->chain->certs, work->chain->count, err));
    return item->digest.alg == DIGEST_NONE ||
           evidence_proof_rest(&work->proof, EVIDENCE_REST_EVIDENCE, &item->digest, err);
}

/* What needs no network comes first, so that nothing is fetched for a signature that fails anyway;
 * the two checks that may fetch both run, so that one round of fetching serves them. */
static bool notation_run(struct notation_work *work, struct gh_error *err)
{
    GH_TRY(notation_check_integrity(work, err));
    GH_TRY(notation_check_authenticity(work, err));
    GH_TRY(notation_check_expiry(work, err));
    notation_at(work, EVIDENCE_STEP_REFERENCE);
    GH_TRY(notation_payload_check_metadata(&work->payload, work->request->metadata,
                                           work->request->metadata_count, err));
    GH_TRY(notation_check_authentic_time(work, err));
    GH_TRY(notation_check_status(work, err));
    if (work->is_pending) {
        return false;
    }
    GH_TRY(notation_fill_proof(work, err));
    work->step = EVIDENCE_STEP_DONE;
    return true;
}

bool notation_verify(const struct notation_request *request, struct evidence_wants *wants,
                     enum evidence_step *reached, struct evidence_proof *out, struct gh_error *err)
{
    struct notation_work work;
    bool is_good;

    *reached = EVIDENCE_STEP_PARSE;
    if (request->signer->type != SIGNER_NOTATION || request->signer->store == NULL) {
        return gh_fail(err, GH_TRUST_ROOT_MISSING, "the signer has no notation trust store");
    }
    memset(&work, 0, sizeof(work));
    work.request = request;
    work.wants = wants;
    work.proof.until_unix_s = EVIDENCE_UNTIL_FOREVER;
    is_good = notation_run(&work, err);
    *reached = work.step;
    if (is_good) {
        *out = work.proof;
        memset(&work.proof, 0, sizeof(work.proof)); /* handed over */
    }
    notation_work_done(&work);
    return is_good;
}
