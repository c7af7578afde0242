#include "policy/require.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/bundle.h"
#include "crypto/cosign.h"
#include "crypto/keyed.h"
#include "crypto/keyless.h"
#include "crypto/notation.h"
#include "crypto/revocation.h"
#include "crypto/sjson.h"
#include "crypto/statement.h"
#include "crypto/x509.h"
#include "crypto/x509_fulcio.h"
#include "policy/predicate.h"
#include "policy/predicate_provenance.h"
#include "policy/require_base.h"

#define REQUIRE_MAX_PAIRS 64
#define REQUIRE_DEFAULT_CANDIDATES 50

/* One requirement being judged. */
struct require_state {
    const struct require_input *input;
    struct evidence_wants *wants;
    struct verdict *verdict;
    struct evidence_annotation pairs[REQUIRE_MAX_PAIRS];
    struct claims_wanted wanted;
    size_t tried; /* candidates that reached cryptography */
    size_t found; /* candidates at all */
    size_t good;
    bool is_capped;          /* some were left out */
    bool is_waiting;         /* one needs something fetched */
    struct gh_error trouble; /* a candidate that could not be judged */
    struct gh_error best;    /* of the one that came furthest */
    enum evidence_step best_step;
    struct gh_error objection;       /* `every`: a verified statement that does not satisfy */
    struct require_base_list *bases; /* what verified provenance names; NULL: not asked for */
};

bool require_uses(const struct require *require, enum evidence_kind kind)
{
    const struct signer *signer =
        require->provenance_signer != NULL ? require->provenance_signer : require->signer;
    bool is_notation = signer != NULL && signer->type == SIGNER_NOTATION;
    bool is_attestation =
        require->kind == REQUIRE_ATTESTATION ||
        (require->kind == REQUIRE_BASE_IMAGE && require->base_from == REQUIRE_BASE_PROVENANCE);
    bool is_signature = require->kind == REQUIRE_SIGNATURE;

    switch (kind) {
    case EVIDENCE_BROKEN:
        return true;
    case EVIDENCE_COSIGN_SIGNATURE:
        return is_signature && !is_notation;
    case EVIDENCE_BUNDLE:
        return (is_signature || is_attestation) && !is_notation;
    case EVIDENCE_COSIGN_ATTESTATION:
    case EVIDENCE_DSSE:
        return is_attestation && !is_notation;
    case EVIDENCE_NOTATION_JWS:
    case EVIDENCE_NOTATION_COSE:
        return is_signature && is_notation;
    case EVIDENCE_OPENPGP:
        return false;
    }
    return false;
}

/* Failures that say nothing about the image: the answer is "not now", and is never a denial. */
static bool require_is_trouble(enum gh_cause cause)
{
    enum gh_reason reason = gh_cause_reason(cause);

    return reason == GH_REASON_UNDECIDED || reason == GH_REASON_UPSTREAM_UNAVAILABLE ||
           reason == GH_REASON_INTERNAL || cause == GH_TRUST_ROOT_STALE ||
           cause == GH_TRUST_ROOT_MISSING || cause == GH_REVOCATION_UNAVAILABLE;
}

static bool require_keep_candidate(struct require_state *state, const struct evidence_item *item,
                                   enum evidence_step step, const char *signer,
                                   const struct gh_error *error)
{
    struct verdict *verdict = state->verdict;
    struct verdict_candidate *candidate;

    if (verdict->candidate_count == VERDICT_MAX_CANDIDATES) {
        return true; /* enough for people; nothing is decided from this list */
    }
    if (verdict->candidates == NULL) {
        verdict->candidates = calloc(VERDICT_MAX_CANDIDATES, sizeof(*verdict->candidates));
        if (verdict->candidates == NULL) {
            return false;
        }
    }
    candidate = &verdict->candidates[verdict->candidate_count++];
    candidate->kind = item->kind;
    candidate->step = step;
    candidate->blob = item->digest;
    if (error != NULL) {
        candidate->error = *error;
    }
    candidate->location = strdup(item->location != NULL ? item->location : "");
    candidate->signer = signer != NULL && signer[0] != '\0' ? strdup(signer) : NULL;
    return candidate->location != NULL;
}

/* At the cryptographic step, what is known of the key that signed says more than "does not
 * verify". */
static bool require_is_further(const struct require_state *state, enum evidence_step step,
                               enum gh_cause cause)
{
    if (state->best.cause == GH_CAUSE_NONE || step > state->best_step) {
        return true;
    }
    return step == state->best_step && state->best.cause == GH_SIG_INVALID &&
           cause != GH_SIG_INVALID;
}

static bool require_note_failure(struct require_state *state, const struct evidence_item *item,
                                 enum evidence_step step, const char *signer,
                                 const struct gh_error *error)
{
    if (require_is_trouble(error->cause) && state->trouble.cause == GH_CAUSE_NONE) {
        state->trouble = *error;
    }
    if (require_is_further(state, step, error->cause)) {
        state->best = *error;
        state->best_step = step;
    }
    return require_keep_candidate(state, item, step, signer, error);
}

static bool require_add_authority(struct verdict *verdict, const struct digest *authority)
{
    for (size_t i = 0; i < verdict->authority_count; i++) {
        if (digest_equal(&verdict->authorities[i], authority)) {
            return true;
        }
    }
    if (verdict->authority_count == VERDICT_MAX_AUTHORITIES) {
        return true; /* more than any threshold can ask for */
    }
    verdict->authorities[verdict->authority_count++] = *authority;
    return true;
}

static bool require_add_rests(struct verdict *verdict, const struct evidence_proof *proof,
                              struct gh_error *err)
{
    for (size_t i = 0; i < proof->rest_count; i++) {
        bool is_known = false;

        for (size_t k = 0; k < verdict->rest_count && !is_known; k++) {
            is_known = verdict->rests[k].kind == proof->rests[i].kind &&
                       digest_equal(&verdict->rests[k].id, &proof->rests[i].id);
        }
        if (is_known) {
            continue;
        }
        if (verdict->rest_count == VERDICT_MAX_RESTS) {
            /* A verdict whose ground is not all known could outlive a revocation. */
            return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "the verdict rests on more than %d things",
                           VERDICT_MAX_RESTS);
        }
        verdict->rests[verdict->rest_count++] = proof->rests[i];
    }
    return true;
}

/* Of several good candidates, each says what it was let off. */
static bool require_add_logged(struct verdict *verdict, const struct evidence_item *item,
                               const struct evidence_proof *proof, struct gh_error *err)
{
    for (size_t i = 0; i < proof->logged_count; i++) {
        struct gh_error logged = proof->logged[i];

        gh_error_at(&logged, "%s", item->location != NULL ? item->location : "");
        GH_TRY(verdict_add_logged(verdict, &logged, err));
    }
    return true;
}

static bool require_add_proof(struct require_state *state, const struct evidence_item *item,
                              const struct evidence_proof *proof, struct gh_error *err)
{
    struct verdict *verdict = state->verdict;

    GH_TRY(require_add_rests(verdict, proof, err));
    GH_TRY(require_add_logged(verdict, item, proof, err));
    (void)require_add_authority(verdict, &proof->authority);
    verdict->until_unix_s = GH_MIN(verdict->until_unix_s, proof->until_unix_s);
    if (proof->has_proved_time &&
        (!verdict->has_proved_time || proof->proved_unix_s > verdict->proved_unix_s)) {
        verdict->has_proved_time = true;
        verdict->proved_unix_s = proof->proved_unix_s;
    }
    for (size_t i = 0; i < proof->log_count && verdict->log_count < EVIDENCE_MAX_LOG_ENTRIES; i++) {
        verdict->logs[verdict->log_count++] = proof->logs[i];
    }
    state->good++;
    return true;
}

/* What the certificate says of the run that signed, for checks that pair it with the builder. */
static void require_describe_signer(const struct x509_fulcio *fulcio, struct predicate_signer *out)
{
    out->issuer = fulcio->issuer;
    out->identity = fulcio->subject;
    out->source_repository = x509_fulcio_claim(fulcio, "source_repository_uri");
    out->source_commit = x509_fulcio_claim(fulcio, "source_repository_digest");
    out->source_ref = x509_fulcio_claim(fulcio, "source_repository_ref");
    out->build_config = x509_fulcio_claim(fulcio, "build_config_uri");
    out->runner_environment = x509_fulcio_claim(fulcio, "runner_environment");
}

static bool require_judge_statement(struct require_state *state, const struct statement *statement,
                                    struct evidence_proof *proof, struct gh_error *err)
{
    const struct require *require = state->input->require;
    struct predicate_signer signer = {0};
    struct predicate_input input = {
        .type = statement->predicate_type,
        .predicate = statement->predicate,
        .subject = &state->input->subject->digest,
        .has_proved_time = proof->has_proved_time,
        .proved_unix_s = proof->proved_unix_s,
        .now_unix_s = state->input->now_unix_s,
        .max_age_s = require->max_age_s,
    };
    GH_OWN(x509_cert_unrefp) struct x509_cert *leaf = NULL;
    struct x509_fulcio fulcio;
    int64_t until = EVIDENCE_UNTIL_FOREVER;

    if (proof->leaf.len > 0) {
        GH_TRY(x509_cert_parse(bytes_view(&proof->leaf), &leaf, err));
        GH_TRY(x509_fulcio_read(x509_cert_view(leaf), &fulcio, err));
        require_describe_signer(&fulcio, &signer);
        input.signer = &signer;
    }
    GH_TRY(predicate_evaluate(require->check, require->where, &input, &until, err));
    evidence_proof_until(proof, until);
    return true;
}

/* Verified provenance that names a base in a way that cannot be followed is an objection, whatever
 * others name; one without any image says nothing of bases. */
static bool require_check_bases(struct require_state *state, const struct statement *statement,
                                struct gh_error *err)
{
    bool is_silent = false;

    if (!require_base_read(statement, state->bases, &is_silent, err)) {
        if (state->objection.cause == GH_CAUSE_NONE) {
            state->objection = *err;
        }
        return false;
    }
    return !is_silent ||
           gh_fail(err, GH_BASE_IMAGE_UNVERIFIED, "the provenance names no base image");
}

static bool require_check_predicate(struct require_state *state, struct evidence_proof *proof,
                                    enum evidence_step *step, struct gh_error *err)
{
    GH_OWN(statement_done) struct statement statement = {0};

    if (state->input->require->kind != REQUIRE_ATTESTATION) {
        return true;
    }
    *step = EVIDENCE_STEP_PREDICATE;
    GH_TRY(statement_parse(bytes_view(&proof->payload), &statement, err));
    if (state->bases != NULL) {
        return require_check_bases(state, &statement, err);
    }
    if (!require_judge_statement(state, &statement, proof, err)) {
        if (state->objection.cause == GH_CAUSE_NONE) {
            state->objection = *err;
        }
        return false;
    }
    return true;
}

static bool require_verify_notation(struct require_state *state, const struct evidence_item *item,
                                    enum evidence_step *step, struct evidence_proof *proof,
                                    struct gh_error *err)
{
    struct notation_request request = {
        .item = item,
        .subject = state->input->subject,
        .signer = state->input->require->signer,
        .metadata = state->pairs,
        .metadata_count = state->input->require->metadata_count,
        .answers = state->input->answers,
        .now_unix_s = state->input->now_unix_s,
    };

    return notation_verify(&request, state->wants, step, proof, err);
}

static bool require_verify_item(struct require_state *state, const struct evidence_item *item,
                                enum evidence_step *step, struct evidence_proof *proof,
                                struct gh_error *err)
{
    const struct require_input *input = state->input;

    switch (item->kind) {
    case EVIDENCE_COSIGN_SIGNATURE:
    case EVIDENCE_COSIGN_ATTESTATION:
    case EVIDENCE_DSSE:
        return cosign_verify(item, input->subject, input->require->signer, &state->wanted,
                             input->now_unix_s, step, proof, err);
    case EVIDENCE_BUNDLE:
        return bundle_verify(item, input->subject, input->require->signer, &state->wanted,
                             input->now_unix_s, step, proof, err);
    case EVIDENCE_NOTATION_JWS:
    case EVIDENCE_NOTATION_COSE:
        return require_verify_notation(state, item, step, proof, err);
    case EVIDENCE_BROKEN:
        *step = EVIDENCE_STEP_FETCH;
        return gh_fail(
            err, item->failure.cause != GH_CAUSE_NONE ? item->failure.cause : GH_INTERNAL_ERROR,
            "%s", item->failure.text);
    case EVIDENCE_OPENPGP:
        break;
    }
    return gh_fail(err, GH_SIGNATURE_FORMAT_DISALLOWED, "the signer takes no such signatures");
}

/* False: memory is out. */
static bool require_try(struct require_state *state, const struct evidence_item *item)
{
    struct evidence_proof proof = {0};
    enum evidence_step step = EVIDENCE_STEP_PARSE;
    struct gh_error error = {0};
    bool is_good = require_verify_item(state, item, &step, &proof, &error);
    bool ok;

    if (!is_good && error.cause == GH_CAUSE_NONE) {
        state->is_waiting = true; /* it named what it needs */
        return true;
    }
    if (!is_good && error.cause == GH_PREDICATE_TYPE_MISMATCH && step == EVIDENCE_STEP_PARSE) {
        return true; /* of another type: as if it were not there */
    }
    state->found++;
    if (step >= EVIDENCE_STEP_TIME) {
        state->tried++;
    }
    is_good = is_good && require_check_predicate(state, &proof, &step, &error) &&
              require_add_proof(state, item, &proof, &error);
    ok = is_good ? require_keep_candidate(state, item, EVIDENCE_STEP_DONE, proof.signer_text, NULL)
                 : require_note_failure(state, item, step, proof.signer_text, &error);
    evidence_proof_done(&proof);
    return ok;
}

/* Whether the certificate beside a layer or in a bundle claims the signer's identity. */
static bool require_identity_fits(const struct signer *signer, const struct x509_cert *leaf)
{
    struct evidence_proof unused = {0};
    struct gh_error ignored = {0};

    return leaf != NULL && keyless_check_identity(signer, leaf, &unused, &ignored);
}

static unsigned require_rank_keyless(const struct signer *signer, const struct evidence_item *item)
{
    GH_OWN(x509_cert_unrefp) struct x509_cert *leaf = NULL;
    GH_OWN(bundle_done) struct bundle bundle = {0};
    struct gh_error ignored = {0};
    const char *pem = evidence_annotation_get(item, COSIGN_ANNOTATION_CERTIFICATE);

    if (item->kind == EVIDENCE_BUNDLE) {
        return bundle_parse(item->blob, &bundle, &ignored) &&
                       require_identity_fits(signer, bundle.input.leaf)
                   ? 0
                   : 2;
    }
    return pem != NULL && x509_cert_parse_pem(bytes_of(pem), &leaf, &ignored) &&
                   require_identity_fits(signer, leaf)
               ? 0
               : 2;
}

/* 0: names a key or identity of the signer; 1: names nothing; 2: names another. Read, never
 * trusted: it orders, so that junk of others does not use up the room of what is good. */
static unsigned require_rank(const struct signer *signer, const struct evidence_item *item)
{
    GH_OWN(sjson_freep) json_t *doc = NULL;
    struct gh_error ignored = {0};
    struct bytes hint;

    if (signer->type == SIGNER_KEYLESS && item->kind != EVIDENCE_BROKEN) {
        return require_rank_keyless(signer, item);
    }
    if (item->kind != EVIDENCE_BUNDLE || signer->type != SIGNER_KEYS ||
        !sjson_parse_object(item->blob, BUNDLE_MAX_BYTES, &doc, &ignored)) {
        return 1;
    }
    hint = bundle_hint(doc);
    if (hint.data == NULL) {
        return 1;
    }
    return keyed_hint_fits(signer, hint) ? 0 : 2;
}

/* Whether the loop has its answer. */
static bool require_is_settled(const struct require_state *state)
{
    const struct require_input *input = state->input;

    return state->good > 0 && !input->is_all_authorities && !input->require->is_every;
}

static bool require_try_rank(struct require_state *state, const uint8_t *ranks, unsigned rank)
{
    const struct evidence_set *evidence = state->input->evidence;
    size_t limit = state->input->max_candidates > 0 ? state->input->max_candidates
                                                    : REQUIRE_DEFAULT_CANDIDATES;

    for (size_t i = 0; i < evidence->count && !require_is_settled(state); i++) {
        if (ranks[i] != rank) {
            continue;
        }
        if (state->tried >= limit) {
            state->is_capped = true;
            return true;
        }
        if (!require_try(state, &evidence->items[i])) {
            return false;
        }
    }
    return true;
}

#define REQUIRE_RANKS 3
#define REQUIRE_RANK_SKIP 255

/* Junk must not use up the room of what is good: those whose hint fits come first, then in the
 * registry's order. False: memory is out. */
static bool require_try_all(struct require_state *state)
{
    const struct require *require = state->input->require;
    const struct evidence_set *evidence = state->input->evidence;
    uint8_t *ranks = calloc(evidence->count > 0 ? evidence->count : 1, sizeof(*ranks));
    bool is_ranked = evidence->count > 1;
    bool ok = ranks != NULL;

    for (size_t i = 0; ok && i < evidence->count; i++) {
        const struct evidence_item *item = &evidence->items[i];

        ranks[i] = REQUIRE_RANK_SKIP;
        if (require_uses(require, item->kind)) {
            ranks[i] = is_ranked ? (uint8_t)require_rank(require->signer, item) : 1;
        }
    }
    for (unsigned rank = 0; ok && rank < REQUIRE_RANKS; rank++) {
        ok = require_try_rank(state, ranks, rank);
    }
    free(ranks);
    return ok;
}

static void require_conclude(struct require_state *state, enum verdict_outcome outcome,
                             const struct gh_error *error)
{
    struct verdict *verdict = state->verdict;

    verdict->outcome = outcome;
    if (outcome == VERDICT_SATISFIED) {
        return;
    }
    verdict->error = *error;
    verdict->authority_count = 0;
    verdict->rest_count = 0;
    verdict->log_count = 0;
    verdict->logged_count = 0;
    verdict->has_proved_time = false;
    verdict->proved_unix_s = 0;
    verdict->until_unix_s = EVIDENCE_UNTIL_FOREVER;
}

static void require_conclude_nothing(struct require_state *state)
{
    struct gh_error none = {0};
    const struct require *require = state->input->require;

    if (require->kind == REQUIRE_ATTESTATION) {
        (void)gh_fail(&none, GH_ATTESTATION_MISSING, "no attestation of type %.100s was found",
                      require->predicate_name != NULL ? require->predicate_name : "asked for");
    } else {
        (void)gh_fail(&none, GH_NO_SIGNATURE_FOUND, "no signature for signer %.100s was found",
                      require->signer->name);
    }
    require_conclude(state, VERDICT_DENIED, &none);
}

/* `every` speaks of all statements there are, so all of them must have been judged. */
static bool require_has_seen_all(const struct require_state *state)
{
    return !state->is_capped && state->input->evidence->incomplete.cause == GH_CAUSE_NONE &&
           state->trouble.cause == GH_CAUSE_NONE;
}

/* The order matters: what is proved first, then what may still turn up, then what is missing. */
static void require_judge(struct require_state *state)
{
    const struct require_input *input = state->input;
    struct gh_error capped = {0};

    if (input->require->is_every && state->objection.cause != GH_CAUSE_NONE) {
        require_conclude(state, VERDICT_DENIED, &state->objection);
        return;
    }
    if (state->good > 0 && (!input->require->is_every || require_has_seen_all(state))) {
        require_conclude(state, VERDICT_SATISFIED, NULL);
        return;
    }
    if (state->is_capped) {
        (void)gh_fail(&capped, GH_COUNT_LIMIT_EXCEEDED,
                      "%zu candidates were tried, more are there and were not", state->tried);
        require_conclude(state, VERDICT_UNDECIDED, &capped);
        return;
    }
    if (input->evidence->incomplete.cause != GH_CAUSE_NONE) {
        require_conclude(state, VERDICT_UNDECIDED, &input->evidence->incomplete);
        return;
    }
    if (state->trouble.cause != GH_CAUSE_NONE) {
        require_conclude(state, VERDICT_UNDECIDED, &state->trouble);
        return;
    }
    if (state->found == 0) {
        require_conclude_nothing(state);
        return;
    }
    require_conclude(state, VERDICT_DENIED, &state->best);
}

static bool require_prepare_pairs(struct require_state *state, const struct require_pair *pairs,
                                  size_t count)
{
    if (count > REQUIRE_MAX_PAIRS) {
        struct gh_error error = {0};

        (void)gh_fail(&error, GH_COUNT_LIMIT_EXCEEDED, "more than %d annotations are asked for",
                      REQUIRE_MAX_PAIRS);
        require_conclude(state, VERDICT_DENIED, &error);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        state->pairs[i].name = pairs[i].name;
        state->pairs[i].value = pairs[i].value;
    }
    return true;
}

static bool require_prepare(struct require_state *state)
{
    const struct require *require = state->input->require;
    bool is_notation = require->signer->type == SIGNER_NOTATION;

    if (!require_prepare_pairs(state, is_notation ? require->metadata : require->annotations,
                               is_notation ? require->metadata_count : require->annotation_count)) {
        return false;
    }
    state->wanted.is_attestation = require->kind == REQUIRE_ATTESTATION;
    state->wanted.types = (const char *const *)require->predicate_types;
    state->wanted.type_count = require->predicate_type_count;
    state->wanted.annotations = state->pairs;
    state->wanted.annotation_count = is_notation ? 0 : require->annotation_count;
    return true;
}

/* ---- base images ------------------------------------------------------------------------- */

/* Every provenance that verifies names bases: which of them the registry lists first decides
 * nothing. The verdict rests on them as on any other attestation. */
static bool require_find_bases(struct require_state *state)
{
    static char *types[] = {(char *)PREDICATE_TYPE_SLSA_V02, (char *)PREDICATE_TYPE_SLSA_V1};
    const struct require_input *outer = state->input;
    const struct require inner = {.kind = REQUIRE_ATTESTATION,
                                  .label = outer->require->label,
                                  .signer = outer->require->provenance_signer,
                                  .predicate_name = (char *)"slsa-provenance",
                                  .predicate_types = types,
                                  .predicate_type_count = GH_COUNT(types)};
    struct require_input input = *outer;
    struct verdict *verdict = state->verdict;
    struct gh_error error = {0};
    bool ok;

    input.require = &inner;
    input.is_all_authorities = true;
    state->input = &input;
    ok = require_prepare(state) && require_try_all(state);
    if (ok) {
        require_judge(state);
    }
    state->input = outer;
    /* Who signed the provenance is not who signed the base. */
    verdict->authority_count = 0;
    if (ok && state->objection.cause != GH_CAUSE_NONE) {
        require_conclude(state, VERDICT_DENIED, &state->objection);
        verdict->error.cause = GH_BASE_IMAGE_UNVERIFIED;
    } else if (ok && verdict->outcome == VERDICT_DENIED) {
        (void)gh_fail(&error, GH_BASE_IMAGE_UNVERIFIED,
                      "no verified provenance names the base image: %s", verdict->error.text);
        verdict->error = error;
    }
    return ok;
}

static enum require_answer require_verify_base(struct require_state *state,
                                               struct require_other *other)
{
    struct require_base_list *list = require_base_list_new();
    struct gh_error error = {0};
    bool is_asked = false;

    if (list == NULL) {
        (void)gh_fail(&error, GH_INTERNAL_ERROR, "no memory for base images");
        require_conclude(state, VERDICT_UNDECIDED, &error);
        return REQUIRE_DONE;
    }
    if (state->input->require->base_from == REQUIRE_BASE_ANNOTATION) {
        if (require_base_from_annotations(state->input, list, &error)) {
            state->verdict->outcome = VERDICT_SATISFIED;
        } else {
            require_conclude(state, VERDICT_DENIED, &error);
        }
    } else {
        state->bases = list;
        if (!require_find_bases(state)) {
            (void)gh_fail(&error, GH_INTERNAL_ERROR, "no memory for provenance");
            require_conclude(state, VERDICT_UNDECIDED, &error);
        }
    }
    if (state->verdict->outcome == VERDICT_SATISFIED) {
        is_asked = !require_base_verify(state->input, list, state->verdict, other);
    }
    require_base_list_free(list);
    return is_asked ? REQUIRE_WANTS_OTHER : REQUIRE_DONE;
}

enum require_answer require_verify(const struct require_input *input, struct verdict **out,
                                   struct evidence_wants *wants, struct require_other *other)
{
    GH_OWN(verdict_unrefp) struct verdict *verdict = verdict_new();
    struct require_state state = {.input = input, .wants = wants, .verdict = verdict};

    *out = NULL;
    if (verdict == NULL) {
        return REQUIRE_DONE;
    }
    verdict->made_unix_s = input->now_unix_s;
    verdict->until_unix_s = EVIDENCE_UNTIL_FOREVER;
    if (input->require->kind == REQUIRE_BASE_IMAGE) {
        enum require_answer answer = require_verify_base(&state, other);

        *out = answer == REQUIRE_DONE ? GH_TAKE(verdict) : NULL;
        return answer;
    }
    if (require_prepare(&state)) {
        if (!require_try_all(&state)) {
            return REQUIRE_DONE; /* memory is out */
        }
        if (state.is_waiting && !require_is_settled(&state)) {
            return REQUIRE_WANTS;
        }
        require_judge(&state);
    }
    *out = GH_TAKE(verdict);
    return REQUIRE_DONE;
}

bool require_answer_life(enum evidence_want_kind kind, struct bytes answer, int64_t now_unix_s,
                         int64_t *from_unix_s, int64_t *until_unix_s)
{
    struct revocation_life life;

    if (!revocation_answer_life(kind, answer, now_unix_s, &life)) {
        return false;
    }
    *from_unix_s = life.from_unix_s;
    *until_unix_s = life.until_unix_s;
    return true;
}
