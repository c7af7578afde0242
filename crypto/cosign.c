#include "crypto/cosign.h"

#include <string.h>

#include "crypto/dsse.h"
#include "crypto/sigstore.h"
#include "crypto/simple_signing.h"
#include "crypto/sjson.h"
#include "crypto/x509.h"
#include "metrics/error.h"

/* One verification under way; owns input and its parts. */
struct cosign_state {
    const struct evidence_item *item;
    const struct evidence_subject *subject;
    const struct signer *signer;
    const struct claims_wanted *wanted;
    int64_t now_unix_s;
    enum evidence_step *reached;
    struct sigstore_input input;
};

static void cosign_state_done(struct cosign_state *state)
{
    sigstore_input_done(&state->input);
}

static struct bytes cosign_annotation(const struct cosign_state *state, const char *name)
{
    const char *value = evidence_annotation_get(state->item, name);

    return value != NULL && value[0] != '\0' ? bytes_of(value) : (struct bytes){0};
}

/* Exactly one certificate: a bare key here must never become the verifier. */
static bool cosign_read_certificates(struct cosign_state *state, struct gh_error *err)
{
    struct bytes leaf = cosign_annotation(state, COSIGN_ANNOTATION_CERTIFICATE);
    struct bytes chain = cosign_annotation(state, COSIGN_ANNOTATION_CHAIN);

    if (leaf.data == NULL) {
        return true;
    }
    if (!x509_cert_parse_pem(leaf, &state->input.leaf, err)) {
        gh_error_at(err, "annotation %s", COSIGN_ANNOTATION_CERTIFICATE);
        return false;
    }
    if (chain.data != NULL &&
        !x509_cert_parse_pem_chain(chain, SIGSTORE_MAX_HINTS, state->input.hints,
                                   &state->input.hint_count, err)) {
        gh_error_at(err, "annotation %s", COSIGN_ANNOTATION_CHAIN);
        return false;
    }
    return true;
}

static bool cosign_read_timestamp(struct cosign_state *state, struct gh_error *err)
{
    struct bytes text = cosign_annotation(state, COSIGN_ANNOTATION_TIMESTAMP);
    GH_OWN(sjson_freep) json_t *doc = NULL;

    if (text.data == NULL || bytes_equal_cstr(text, "null")) {
        return true;
    }
    if (!sjson_parse_object(text, COSIGN_MAX_TIMESTAMP_TEXT, &doc, err) ||
        !sjson_get_base64(doc, "SignedRFC3161Timestamp", &state->input.timestamps[0], err)) {
        gh_error_at(err, "annotation %s", COSIGN_ANNOTATION_TIMESTAMP);
        return gh_recast(err, GH_TIMESTAMP_INVALID);
    }
    state->input.timestamp_count = 1;
    return true;
}

static bool cosign_read_entry(struct cosign_state *state, struct gh_error *err)
{
    struct bytes text = cosign_annotation(state, COSIGN_ANNOTATION_BUNDLE);

    if (text.data == NULL || bytes_equal_cstr(text, "null")) {
        return true;
    }
    if (!rekor_entry_read_annotation(text, &state->input.entries[0], err)) {
        gh_error_at(err, "annotation %s", COSIGN_ANNOTATION_BUNDLE);
        return false;
    }
    state->input.entry_count = 1;
    state->input.is_promise_required = true;
    return true;
}

static bool cosign_read_annotations(struct cosign_state *state, struct gh_error *err)
{
    return cosign_read_certificates(state, err) && cosign_read_timestamp(state, err) &&
           cosign_read_entry(state, err);
}

static bool cosign_read_signature(const struct cosign_state *state, struct bytes_buf *out,
                                  struct gh_error *err)
{
    struct bytes text = cosign_annotation(state, COSIGN_ANNOTATION_SIGNATURE);
    struct gh_error detail = {0};

    if (text.data == NULL) {
        return gh_fail(err, GH_SIG_MALFORMED, "the layer has no annotation %s",
                       COSIGN_ANNOTATION_SIGNATURE);
    }
    if (text.len > COSIGN_MAX_SIGNATURE_TEXT ||
        !bytes_base64_decode(text, BYTES_BASE64_STANDARD, out, &detail)) {
        return gh_fail(err, GH_SIG_MALFORMED, "the signature is not base64: %s", detail.text);
    }
    return true;
}

static bool cosign_verify_signature(struct cosign_state *state, struct evidence_proof *out,
                                    struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf signature = {0};
    struct sigstore_input *input = &state->input;

    if (state->item->blob.len > SIMPLE_SIGNING_MAX_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a payload of %zu bytes, at most %u are read",
                       state->item->blob.len, SIMPLE_SIGNING_MAX_BYTES);
    }
    if (state->wanted != NULL && state->wanted->is_attestation) {
        return gh_fail(err, GH_PREDICATE_TYPE_MISMATCH, "an image signature is no attestation");
    }
    input->form = SIGSTORE_LEGACY_SIGNATURE;
    GH_TRY(cosign_read_signature(state, &signature, err));
    GH_TRY(cosign_read_annotations(state, err));
    GH_TRY(keyed_message_init(&input->message, state->item->blob, err));
    input->signature = bytes_view(&signature);
    input->imprint = input->signature;
    GH_TRY(sigstore_verify(input, state->signer, state->now_unix_s, state->reached, out, err));
    return claims_check_payload(state->item->blob, state->subject, state->signer->match_reference,
                                state->wanted, state->reached, err);
}

/* Legacy envelopes may carry several signatures: one that is good is enough. */
static bool cosign_verify_any(struct cosign_state *state, const struct dsse *dsse,
                              struct evidence_proof *out, struct gh_error *err)
{
    struct gh_error best = {0};
    enum evidence_step best_step = EVIDENCE_STEP_FETCH;

    for (size_t i = 0; i < dsse->signature_count; i++) {
        struct gh_error failure = {0};

        state->input.signature = bytes_view(&dsse->signatures[i].value);
        /* cosign stamped the whole envelope once, and stamps the signature now. */
        state->input.imprint_other = state->input.signature;
        state->input.key_hint = dsse->signatures[i].keyid;
        if (sigstore_verify(&state->input, state->signer, state->now_unix_s, state->reached, out,
                            &failure)) {
            return true;
        }
        if (best.cause == GH_CAUSE_NONE || *state->reached > best_step) {
            best = failure;
            best_step = *state->reached;
        }
    }
    *state->reached = best_step;
    if (err != NULL && err->cause == GH_CAUSE_NONE) {
        *err = best;
    }
    return false;
}

static bool cosign_judge_envelope(struct cosign_state *state, const struct dsse *dsse,
                                  struct evidence_proof *out, struct gh_error *err)
{
    struct sigstore_input *input = &state->input;
    struct statement statement = {0};
    struct gh_error parse_failure = {0};
    bool is_parsed = statement_parse(bytes_view(&dsse->payload), &statement, &parse_failure);
    bool ok;

    /* Of another type it is no candidate, whoever signed it; no cryptography is spent on it. */
    ok = (!is_parsed || claims_check_type(&statement, state->wanted, err)) &&
         cosign_read_annotations(state, err) &&
         keyed_message_init(&input->message, bytes_view(&dsse->pae), err);
    if (ok) {
        input->form = SIGSTORE_LEGACY_ATTESTATION;
        input->imprint = state->item->blob;
        input->envelope = state->item->blob;
        input->payload = bytes_view(&dsse->payload);
        input->payload_type = dsse->payload_type;
        ok = cosign_verify_any(state, dsse, out, err);
    }
    if (ok && !is_parsed) {
        *state->reached = EVIDENCE_STEP_PAYLOAD;
        ok = gh_fail(err, parse_failure.cause, "%s", parse_failure.text);
    }
    ok = ok &&
         claims_check_statement(&statement, state->subject, state->signer->match_reference,
                                state->wanted, state->reached, err) &&
         bytes_dup(bytes_view(&dsse->payload), &out->payload, err);
    statement_done(&statement);
    return ok;
}

static bool cosign_verify_attestation(struct cosign_state *state, struct evidence_proof *out,
                                      struct gh_error *err)
{
    GH_OWN(dsse_done) struct dsse dsse = {0};

    if (!dsse_parse(state->item->blob, &dsse, err)) {
        return gh_recast(err, GH_SIG_MALFORMED);
    }
    GH_TRY(dsse_check_in_toto(&dsse, err));
    return cosign_judge_envelope(state, &dsse, out, err);
}

bool cosign_verify(const struct evidence_item *item, const struct evidence_subject *subject,
                   const struct signer *signer, const struct claims_wanted *wanted,
                   int64_t now_unix_s, enum evidence_step *reached, struct evidence_proof *out,
                   struct gh_error *err)
{
    GH_OWN(cosign_state_done)
    struct cosign_state state = {
        .item = item,
        .subject = subject,
        .signer = signer,
        .wanted = wanted,
        .now_unix_s = now_unix_s,
        .reached = reached,
    };
    struct evidence_proof proof = {0};

    *reached = EVIDENCE_STEP_PARSE;
    if (!(item->kind == EVIDENCE_COSIGN_SIGNATURE
              ? cosign_verify_signature(&state, &proof, err)
              : cosign_verify_attestation(&state, &proof, err)) ||
        !evidence_proof_rest(&proof, EVIDENCE_REST_EVIDENCE, &item->digest, err)) {
        evidence_proof_done(&proof);
        return false;
    }
    *reached = EVIDENCE_STEP_DONE;
    *out = proof;
    return true;
}
