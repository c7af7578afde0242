#include "crypto/sigstore.h"

#include <stdio.h>
#include <string.h>

#include "crypto/keyless.h"
#include "crypto/rekor.h"
#include "crypto/trustroot.h"
#include "crypto/tsa.h"
#include "crypto/x509.h"
#include "metrics/error.h"

/* What one verification has found so far. */
struct sigstore_state {
    struct sigstore_input *input;
    const struct signer *signer;
    const struct trustroot *root; /* NULL where none is to be used */
    int64_t now_unix_s;
    int64_t times[SIGSTORE_MAX_TIMES];
    size_t time_count;
    size_t stamp_count;                            /* of those, the first: proved by time stamps */
    struct digest authorities[SIGSTORE_MAX_TIMES]; /* who made them, each once */
    size_t authority_count;
    struct rekor_proof counted[SIGSTORE_MAX_COUNTED];
    size_t counted_count;
    struct x509_path path;
    enum evidence_step *reached;
    struct evidence_proof *out;
};

void sigstore_input_done(struct sigstore_input *input)
{
    x509_cert_unref(input->leaf);
    for (size_t i = 0; i < input->hint_count; i++) {
        x509_cert_unref(input->hints[i]);
    }
    for (size_t i = 0; i < input->timestamp_count; i++) {
        bytes_buf_done(&input->timestamps[i]);
    }
    for (size_t i = 0; i < input->entry_count; i++) {
        rekor_entry_done(&input->entries[i]);
    }
    memset(input, 0, sizeof(*input));
}

static bool sigstore_is_bundle(const struct sigstore_input *input)
{
    return input->form == SIGSTORE_MESSAGE || input->form == SIGSTORE_ENVELOPE;
}

static enum keyed_preference sigstore_preference(const struct sigstore_input *input)
{
    return sigstore_is_bundle(input) ? KEYED_OWN_HASH_FIRST : KEYED_SHA256_FIRST;
}

/* Does the signer take such evidence at all, and is the root there that it will need? */
static bool sigstore_check_signer(struct sigstore_state *state, struct gh_error *err)
{
    const struct signer *signer = state->signer;
    bool is_root_needed = signer->type == SIGNER_KEYLESS || signer->tlog == SIGNER_REQUIRED ||
                          signer->timestamp == SIGNER_REQUIRED;

    if (signer->type == SIGNER_NOTATION) {
        return gh_fail(err, GH_SIGNATURE_FORMAT_DISALLOWED,
                       "signer %s takes notation signatures only", signer->name);
    }
    if (signer->type == SIGNER_KEYLESS && state->input->leaf == NULL) {
        return gh_fail(err, GH_IDENTITY_MISSING,
                       "signer %s asks for an identity, and the signature has no certificate",
                       signer->name);
    }
    if (signer->type == SIGNER_KEYS && state->input->leaf != NULL &&
        sigstore_is_bundle(state->input)) {
        return gh_fail(err, GH_SIGNATURE_FORMAT_DISALLOWED,
                       "signer %s asks for a key, and the bundle was signed with a certificate",
                       signer->name);
    }
    if (is_root_needed && signer->root == NULL) {
        return gh_fail(err, GH_TRUST_ROOT_MISSING, "signer %s has no trust root", signer->name);
    }
    if (is_root_needed && signer->is_root_stale) {
        return gh_fail(err, GH_TRUST_ROOT_STALE, "the trust root of signer %s is out of date",
                       signer->name);
    }
    /* Where nothing rests on the root a stale one is not asked. */
    state->root = signer->is_root_stale ? NULL : signer->root;
    return true;
}

static bool sigstore_add_time(struct sigstore_state *state, int64_t unix_s, struct gh_error *err)
{
    for (size_t i = 0; i < state->time_count; i++) {
        if (state->times[i] == unix_s) {
            return true;
        }
    }
    if (state->time_count == SIGSTORE_MAX_TIMES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d signing times",
                       SIGSTORE_MAX_TIMES);
    }
    state->times[state->time_count++] = unix_s;
    return true;
}

/* Thresholds count authorities, however many time stamps one of them made. */
static void sigstore_add_authority(struct sigstore_state *state, const struct digest *id)
{
    for (size_t i = 0; i < state->authority_count; i++) {
        if (digest_equal(&state->authorities[i], id)) {
            return;
        }
    }
    if (state->authority_count < GH_COUNT(state->authorities)) {
        state->authorities[state->authority_count++] = *id;
    }
}

static bool sigstore_check_timestamp(struct sigstore_state *state, struct bytes token,
                                     struct gh_error *err)
{
    const struct sigstore_input *input = state->input;
    const struct tsa_trust *trust = trustroot_tsa(state->root);
    struct tsa_result result = {0};
    struct gh_error failure = {0};
    bool ok =
        tsa_verify_response(token, input->imprint, trust, state->now_unix_s, &result, &failure);

    if (!ok && failure.cause == GH_TIMESTAMP_IMPRINT_MISMATCH &&
        input->imprint_other.data != NULL) {
        gh_error_clear(&failure);
        ok = tsa_verify_response(token, input->imprint_other, trust, state->now_unix_s, &result,
                                 &failure);
    }
    if (!ok) {
        return gh_fail(err, failure.cause, "%s", failure.text);
    }
    /* genTime itself: its accuracy is the authority's affair, and often reaches back before a
     * certificate that was made for this one signature. */
    ok = sigstore_add_time(state, result.gen_time.unix_s, err);
    sigstore_add_authority(state, &result.operator_id);
    tsa_result_done(&result);
    return ok;
}

/* Every time stamp that is there must hold; a forged one beside a good one is no accident. */
static bool sigstore_check_timestamps(struct sigstore_state *state, struct gh_error *err)
{
    struct sigstore_input *input = state->input;
    size_t wanted = state->signer->timestamp_threshold;

    *state->reached = EVIDENCE_STEP_TIME;
    state->time_count = 0;
    state->stamp_count = 0;
    state->authority_count = 0;
    if (input->timestamp_count == 0 && state->signer->timestamp == SIGNER_REQUIRED) {
        return gh_fail(err, GH_TIME_SOURCE_MISSING,
                       "signer %s asks for a time stamp, and the signature has none",
                       state->signer->name);
    }
    if (state->root == NULL) {
        return true;
    }
    for (size_t i = 0; i < input->timestamp_count; i++) {
        if (!sigstore_check_timestamp(state, bytes_view(&input->timestamps[i]), err)) {
            gh_error_at(err, "time stamp %zu", i);
            return false;
        }
    }
    state->stamp_count = state->time_count;
    if (wanted > 1 && state->authority_count < wanted) {
        return gh_fail(err, GH_TIME_SOURCE_MISSING,
                       "%zu distinct authorities stamped the time, signer %s asks for %zu",
                       state->authority_count, state->signer->name, wanted);
    }
    return true;
}

/* What log entries must agree with. */
static bool sigstore_describe(struct sigstore_state *state, const struct key *key,
                              enum key_scheme scheme, struct rekor_signed *out,
                              struct gh_error *err)
{
    struct sigstore_input *input = state->input;
    const struct digest *unused;
    struct gh_error ignored = {0};
    bool is_envelope =
        input->form == SIGSTORE_ENVELOPE || input->form == SIGSTORE_LEGACY_ATTESTATION;

    memset(out, 0, sizeof(*out));
    /* Entries name SHA-256 or the key's own hash; what cannot be computed stays unknown. */
    if (!keyed_message_digest(&input->message, DIGEST_SHA256, &unused, &ignored) ||
        !keyed_message_digest(&input->message, key_own_digest(key), &unused, &ignored)) {
        gh_error_clear(&ignored);
    }
    out->content = is_envelope ? REKOR_DSSE : REKOR_MESSAGE;
    out->sha256 = input->message.sha256;
    out->sha384 = input->message.sha384;
    out->sha512 = input->message.sha512;
    out->signature = input->signature;
    out->leaf = input->leaf != NULL ? x509_cert_der(input->leaf) : (struct bytes){0};
    out->key = key;
    out->scheme = scheme;
    if (is_envelope) {
        out->payload_type = input->payload_type;
        out->envelope = input->envelope;
        return digest_compute(DIGEST_SHA256, input->payload, &out->payload_sha256, err);
    }
    return true;
}

static bool sigstore_check_entries(struct sigstore_state *state, const struct key *key,
                                   enum key_scheme scheme, struct gh_error *err)
{
    struct sigstore_input *input = state->input;
    struct rekor_options options = {.is_promise_required = input->is_promise_required,
                                    .is_proof_required = input->is_proof_required,
                                    .threshold = state->signer->tlog_threshold,
                                    .times_unix_s = state->times,
                                    .time_count = state->stamp_count,
                                    .witnesses = state->signer->witnesses,
                                    .witness_count = state->signer->witness_count,
                                    .witness_threshold = state->signer->witness_threshold};
    struct rekor_signed what;
    struct gh_error failure = {0};

    *state->reached = EVIDENCE_STEP_TLOG;
    state->counted_count = 0;
    if (input->entry_count == 0 && state->signer->tlog == SIGNER_REQUIRED) {
        return gh_fail(err, GH_TLOG_MISSING,
                       "signer %s asks for a log entry, and the signature has none",
                       state->signer->name);
    }
    if (input->entry_count == 0 || state->root == NULL) {
        return true;
    }
    GH_TRY(sigstore_describe(state, key, scheme, &what, err));
    if (!rekor_verify(input->entries, input->entry_count, state->root, &what, &options,
                      state->now_unix_s, state->counted, &state->counted_count, &failure)) {
        if (failure.cause == GH_TLOG_LOG_UNKNOWN && state->signer->tlog != SIGNER_REQUIRED) {
            state->counted_count = 0; /* a log that nobody here trusts: it says nothing */
            return true;
        }
        (void)gh_fail(err, failure.cause, "%s", failure.text);
        gh_error_at(err, "%s", failure.place[0] != '\0' ? failure.place : "log entry");
        return false;
    }
    for (size_t i = 0; i < state->counted_count; i++) {
        if (state->counted[i].has_time) {
            GH_TRY(sigstore_add_time(state, state->counted[i].integrated_unix_s, err));
        }
    }
    return true;
}

static bool sigstore_rest_logs(struct sigstore_state *state, struct gh_error *err)
{
    for (size_t i = 0; i < state->counted_count; i++) {
        const struct rekor_proof *proof = &state->counted[i];
        struct digest id = {.alg = DIGEST_SHA256};

        memcpy(id.value, proof->log->id, sizeof(proof->log->id));
        GH_TRY(evidence_proof_rest(state->out, EVIDENCE_REST_LOG, &id, err));
        if (state->out->log_count < EVIDENCE_MAX_LOG_ENTRIES) {
            struct evidence_log_entry *entry = &state->out->logs[state->out->log_count++];

            memcpy(entry->log_id, proof->log->id, sizeof(entry->log_id));
            entry->index = proof->index;
            entry->integrated_unix_s = proof->has_time ? proof->integrated_unix_s : 0;
        }
    }
    return true;
}

/* What both kinds of signers leave in the proof. */
static bool sigstore_record(struct sigstore_state *state, struct gh_error *err)
{
    struct evidence_proof *out = state->out;

    for (size_t i = 0; i < state->time_count; i++) {
        if (!out->has_proved_time || state->times[i] > out->proved_unix_s) {
            out->has_proved_time = true;
            out->proved_unix_s = state->times[i];
        }
    }
    if (state->root != NULL && (state->time_count > 0 || state->counted_count > 0)) {
        GH_TRY(evidence_proof_rest(out, EVIDENCE_REST_ROOT, &state->signer->root_fingerprint, err));
    }
    return sigstore_rest_logs(state, err);
}

/* Everything about one key that made the signature. */
static bool sigstore_judge_key(struct sigstore_state *state, const struct keyed_match *match,
                               struct gh_error *err)
{
    const struct signer_key *key = match->key;
    struct x509_cert *leaf = state->input->leaf;

    *state->reached = EVIDENCE_STEP_SIGNER;
    if (leaf != NULL && !bytes_equal(x509_cert_view(leaf)->spki, key_spki(key->key))) {
        return gh_fail(err, GH_KEY_UNKNOWN,
                       "the certificate beside the signature holds another key than %s",
                       key->source);
    }
    GH_TRY(sigstore_check_timestamps(state, err));
    GH_TRY(sigstore_check_entries(state, key->key, match->scheme, err));
    *state->reached = EVIDENCE_STEP_SIGNATURE;
    GH_TRY(keyed_check_window(key, state->times, state->time_count, state->now_unix_s, err));
    if (state->time_count == 0) {
        evidence_proof_until(state->out, key->not_after_unix_s);
        if (key->revoked != SIGNER_NOT_REVOKED) {
            evidence_proof_until(state->out, key->revoked_at_unix_s);
        }
    }
    state->out->authority = *key_fingerprint(key->key);
    (void)snprintf(state->out->signer_text, sizeof(state->out->signer_text), "key %s", key->source);
    GH_TRY(evidence_proof_rest(state->out, EVIDENCE_REST_KEY, key_fingerprint(key->key), err));
    return sigstore_record(state, err);
}

static bool sigstore_verify_keys(struct sigstore_state *state, struct gh_error *err)
{
    struct gh_error first = {0};
    enum evidence_step first_step = EVIDENCE_STEP_SIGNATURE;
    struct keyed_match match;
    size_t at = 0;

    for (;;) {
        struct gh_error failure = {0};
        bool is_found =
            keyed_find(state->signer, &state->input->message, sigstore_preference(state->input),
                       state->input->signature, state->input->key_hint, &at, &match, &failure);

        *state->reached = EVIDENCE_STEP_SIGNATURE;
        if (is_found && sigstore_judge_key(state, &match, &failure)) {
            return true;
        }
        if (first.cause == GH_CAUSE_NONE) {
            first = failure;
            first_step = *state->reached;
        }
        if (!is_found) {
            break;
        }
        memset(state->out, 0, sizeof(*state->out));
        state->out->until_unix_s = EVIDENCE_UNTIL_FOREVER;
    }
    *state->reached = first_step;
    if (err != NULL && err->cause == GH_CAUSE_NONE) {
        *err = first;
    }
    return false;
}

static bool sigstore_record_identity(struct sigstore_state *state, struct gh_error *err)
{
    for (size_t i = 0; i < state->path.count; i++) {
        GH_TRY(evidence_proof_rest(state->out, EVIDENCE_REST_CERTIFICATE,
                                   x509_cert_fingerprint(state->path.certs[i]), err));
    }
    GH_TRY(
        evidence_proof_rest(state->out, EVIDENCE_REST_ROOT, &state->signer->root_fingerprint, err));
    GH_TRY(bytes_dup(x509_cert_der(state->input->leaf), &state->out->leaf, err));
    return sigstore_record(state, err);
}

static bool sigstore_verify_identity(struct sigstore_state *state, struct gh_error *err)
{
    struct sigstore_input *input = state->input;
    const struct key *key = x509_cert_key(input->leaf);

    if (key_is_weak(key)) {
        return gh_fail(err, GH_KEY_WEAK, "the certificate's key is too weak");
    }
    GH_TRY(sigstore_check_timestamps(state, err));
    GH_TRY(sigstore_check_entries(state, key, key_default_scheme(key), err));
    if (state->time_count == 0) {
        *state->reached = EVIDENCE_STEP_TIME;
        return gh_fail(err, GH_TIME_SOURCE_MISSING,
                       "neither a time stamp nor a log's promise proves when it was signed");
    }
    *state->reached = EVIDENCE_STEP_CERTIFICATE;
    GH_TRY(keyless_check_path(state->signer, input->leaf, input->hints, input->hint_count,
                              state->times, state->time_count, &state->path, err));
    *state->reached = EVIDENCE_STEP_IDENTITY;
    GH_TRY(keyless_check_identity(state->signer, input->leaf, state->out, err));
    *state->reached = EVIDENCE_STEP_SIGNATURE;
    GH_TRY(keyed_check(key, &input->message, sigstore_preference(input), input->signature, NULL,
                       NULL, err));
    return sigstore_record_identity(state, err);
}

bool sigstore_verify(struct sigstore_input *input, const struct signer *signer, int64_t now_unix_s,
                     enum evidence_step *reached, struct evidence_proof *out, struct gh_error *err)
{
    struct evidence_proof proof = {.until_unix_s = EVIDENCE_UNTIL_FOREVER};
    struct sigstore_state state = {
        .input = input,
        .signer = signer,
        .now_unix_s = now_unix_s,
        .reached = reached,
        .out = &proof,
    };
    bool ok;

    *reached = EVIDENCE_STEP_SIGNER;
    GH_TRY(sigstore_check_signer(&state, err));
    ok = signer->type == SIGNER_KEYLESS ? sigstore_verify_identity(&state, err)
                                        : sigstore_verify_keys(&state, err);
    if (!ok) {
        evidence_proof_done(&proof);
        return false;
    }
    *out = proof;
    return true;
}
