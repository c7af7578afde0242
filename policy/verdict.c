#include "policy/verdict.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/text.h"
#include "policy/require.h"

/*
 * Stored form, all numbers big-endian: magic, version, verifier version, fields in the order of the
 * struct, SHA-256 of everything before. Causes are stored by label, as their numbers may shift.
 */
#define VERDICT_MAGIC "GHVD"
#define VERDICT_FORM 2
#define VERDICT_MAX_ENCODED (256u * 1024)
#define VERDICT_MAX_TEXT 4096
#define VERDICT_SUM_BYTES 32

struct verdict *verdict_new(void)
{
    struct verdict *verdict = calloc(1, sizeof(*verdict));

    if (verdict != NULL) {
        verdict->references = 1;
    }
    return verdict;
}

struct verdict *verdict_ref(struct verdict *verdict)
{
    if (verdict != NULL) {
        (void)__atomic_add_fetch(&verdict->references, 1, __ATOMIC_RELAXED);
    }
    return verdict;
}

void verdict_unref(struct verdict *verdict)
{
    if (verdict == NULL || __atomic_sub_fetch(&verdict->references, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    for (size_t i = 0; i < verdict->candidate_count; i++) {
        free(verdict->candidates[i].location);
        free(verdict->candidates[i].signer);
    }
    free(verdict->candidates);
    free(verdict->logged);
    free(verdict);
}

bool verdict_add_logged(struct verdict *verdict, const struct gh_error *logged,
                        struct gh_error *err)
{
    if (verdict->logged == NULL) {
        verdict->logged = calloc(VERDICT_MAX_LOGGED, sizeof(*verdict->logged));
        if (verdict->logged == NULL) {
            return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a verdict");
        }
    }
    if (verdict->logged_count < VERDICT_MAX_LOGGED) {
        verdict->logged[verdict->logged_count++] = *logged;
    }
    return true;
}

static void verdict_put(struct text *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = bytes; i > 0; i--) {
        text_put_char(out, (char)(uint8_t)(value >> (8 * (i - 1))));
    }
}

static void verdict_put_text(struct text *out, const char *value)
{
    size_t len = GH_MIN(strlen(value), (size_t)VERDICT_MAX_TEXT);

    verdict_put(out, len, 2);
    text_put_bytes(out, value, len);
}

static void verdict_put_digest(struct text *out, const struct digest *digest)
{
    verdict_put(out, (uint64_t)digest->alg, 1);
    text_put_bytes(out, digest->value, digest_alg_len(digest->alg));
}

static void verdict_put_error(struct text *out, const struct gh_error *error)
{
    verdict_put_text(out, gh_cause_label(error->cause));
    if (error->cause != GH_CAUSE_NONE) {
        verdict_put_text(out, error->text);
        verdict_put_text(out, error->place);
    }
}

static void verdict_put_ground(struct text *out, const struct verdict *verdict)
{
    verdict_put(out, verdict->authority_count, 1);
    for (size_t i = 0; i < verdict->authority_count; i++) {
        verdict_put_digest(out, &verdict->authorities[i]);
    }
    verdict_put(out, verdict->rest_count, 1);
    for (size_t i = 0; i < verdict->rest_count; i++) {
        verdict_put(out, (uint64_t)verdict->rests[i].kind, 1);
        verdict_put_digest(out, &verdict->rests[i].id);
    }
    verdict_put(out, verdict->log_count, 1);
    for (size_t i = 0; i < verdict->log_count; i++) {
        text_put_bytes(out, verdict->logs[i].log_id, sizeof(verdict->logs[i].log_id));
        verdict_put(out, (uint64_t)verdict->logs[i].index, 8);
        verdict_put(out, (uint64_t)verdict->logs[i].integrated_unix_s, 8);
    }
}

static void verdict_put_candidates(struct text *out, const struct verdict *verdict)
{
    verdict_put(out, verdict->candidate_count, 1);
    for (size_t i = 0; i < verdict->candidate_count; i++) {
        const struct verdict_candidate *candidate = &verdict->candidates[i];

        verdict_put(out, (uint64_t)candidate->kind, 1);
        verdict_put(out, (uint64_t)candidate->step, 1);
        verdict_put_text(out, candidate->location != NULL ? candidate->location : "");
        verdict_put(out, candidate->signer != NULL ? 1 : 0, 1);
        if (candidate->signer != NULL) {
            verdict_put_text(out, candidate->signer);
        }
        verdict_put_error(out, &candidate->error);
        verdict_put_digest(out, &candidate->blob);
    }
}

static void verdict_put_logged(struct text *out, const struct verdict *verdict)
{
    verdict_put(out, verdict->logged_count, 1);
    for (size_t i = 0; i < verdict->logged_count; i++) {
        verdict_put_error(out, &verdict->logged[i]);
    }
}

bool verdict_encode(const struct verdict *verdict, struct bytes_buf *out, struct gh_error *err)
{
    struct digest sum;
    struct text text;
    bool ok;

    text_init(&text, VERDICT_MAX_ENCODED);
    text_put_bytes(&text, VERDICT_MAGIC, sizeof(VERDICT_MAGIC) - 1);
    verdict_put(&text, VERDICT_FORM, 1);
    verdict_put(&text, REQUIRE_VERIFIER_VERSION, 4);
    verdict_put(&text, (uint64_t)verdict->outcome, 1);
    verdict_put_error(&text, &verdict->error);
    verdict_put(&text, (uint64_t)verdict->made_unix_s, 8);
    verdict_put(&text, (uint64_t)verdict->until_unix_s, 8);
    verdict_put(&text, verdict->has_proved_time ? 1 : 0, 1);
    verdict_put(&text, (uint64_t)verdict->proved_unix_s, 8);
    verdict_put_ground(&text, verdict);
    verdict_put_candidates(&text, verdict);
    verdict_put_logged(&text, verdict);
    ok =
        text_ok(&text) && digest_compute(DIGEST_SHA256, bytes_make(text.data, text.len), &sum, err);
    if (ok) {
        text_put_bytes(&text, sum.value, VERDICT_SUM_BYTES);
        ok = text_ok(&text) && bytes_dup(bytes_make(text.data, text.len), out, err);
    }
    text_done(&text);
    return ok || gh_fail(err, GH_INTERNAL_ERROR, "the verdict cannot be written");
}

/* Reading: everything is checked, as the store may have been damaged. */

static bool verdict_get_count(struct bytes *in, size_t limit, size_t *out, struct gh_error *err)
{
    uint8_t value;

    GH_TRY(bytes_u8(in, &value, err));
    if (value > limit) {
        return gh_fail(err, GH_SIG_MALFORMED, "a count of %u, at most %zu", value, limit);
    }
    *out = value;
    return true;
}

static bool verdict_get_i64(struct bytes *in, int64_t *out, struct gh_error *err)
{
    uint64_t value;

    GH_TRY(bytes_u64be(in, &value, err));
    memcpy(out, &value, sizeof(*out)); /* two's complement, as it was written */
    return true;
}

static bool verdict_get_view(struct bytes *in, size_t limit, struct bytes *out,
                             struct gh_error *err)
{
    GH_TRY(bytes_prefixed16(in, limit, out, err));
    if (bytes_contains_nul(*out)) {
        return gh_fail(err, GH_SIG_MALFORMED, "NUL in a text");
    }
    return true;
}

static bool verdict_get_text(struct bytes *in, char *out, size_t size, struct gh_error *err)
{
    struct bytes view;

    GH_TRY(verdict_get_view(in, size - 1, &view, err));
    if (view.len > 0) {
        memcpy(out, view.data, view.len);
    }
    out[view.len] = '\0';
    return true;
}

static bool verdict_get_digest(struct bytes *in, struct digest *out, struct gh_error *err)
{
    size_t alg = 0;

    memset(out, 0, sizeof(*out));
    GH_TRY(verdict_get_count(in, DIGEST_SHA512, &alg, err));
    out->alg = (enum digest_alg)alg;
    return bytes_copy(in, out->value, digest_alg_len(out->alg), err);
}

static bool verdict_get_error(struct bytes *in, struct gh_error *out, struct gh_error *err)
{
    char label[64];

    GH_TRY(verdict_get_text(in, label, sizeof(label), err));
    if (label[0] == '\0') {
        return true;
    }
    out->cause = gh_cause_by_label(label);
    if (out->cause == GH_CAUSE_NONE) {
        return gh_fail(err, GH_SIG_MALFORMED, "an unknown cause");
    }
    return verdict_get_text(in, out->text, sizeof(out->text), err) &&
           verdict_get_text(in, out->place, sizeof(out->place), err);
}

static bool verdict_get_ground(struct bytes *in, struct verdict *out, struct gh_error *err)
{
    GH_TRY(verdict_get_count(in, VERDICT_MAX_AUTHORITIES, &out->authority_count, err));
    for (size_t i = 0; i < out->authority_count; i++) {
        GH_TRY(verdict_get_digest(in, &out->authorities[i], err));
    }
    GH_TRY(verdict_get_count(in, VERDICT_MAX_RESTS, &out->rest_count, err));
    for (size_t i = 0; i < out->rest_count; i++) {
        size_t kind = 0;

        GH_TRY(verdict_get_count(in, EVIDENCE_REST_ANSWER, &kind, err));
        out->rests[i].kind = (enum evidence_rest_kind)kind;
        GH_TRY(verdict_get_digest(in, &out->rests[i].id, err));
    }
    GH_TRY(verdict_get_count(in, EVIDENCE_MAX_LOG_ENTRIES, &out->log_count, err));
    for (size_t i = 0; i < out->log_count; i++) {
        GH_TRY(bytes_copy(in, out->logs[i].log_id, sizeof(out->logs[i].log_id), err));
        GH_TRY(verdict_get_i64(in, &out->logs[i].index, err));
        GH_TRY(verdict_get_i64(in, &out->logs[i].integrated_unix_s, err));
    }
    return true;
}

static bool verdict_get_candidate(struct bytes *in, struct verdict_candidate *out,
                                  struct gh_error *err)
{
    struct bytes view;
    size_t value = 0;

    GH_TRY(verdict_get_count(in, EVIDENCE_OPENPGP, &value, err));
    out->kind = (enum evidence_kind)value;
    GH_TRY(verdict_get_count(in, EVIDENCE_STEP_DONE, &value, err));
    out->step = (enum evidence_step)value;
    GH_TRY(verdict_get_view(in, VERDICT_MAX_TEXT, &view, err));
    GH_TRY(bytes_to_cstr(view, &out->location, err));
    GH_TRY(verdict_get_count(in, 1, &value, err));
    if (value == 1) {
        GH_TRY(verdict_get_view(in, VERDICT_MAX_TEXT, &view, err));
        GH_TRY(bytes_to_cstr(view, &out->signer, err));
    }
    GH_TRY(verdict_get_error(in, &out->error, err));
    return verdict_get_digest(in, &out->blob, err);
}

static bool verdict_get_candidates(struct bytes *in, struct verdict *out, struct gh_error *err)
{
    size_t count = 0;

    GH_TRY(verdict_get_count(in, VERDICT_MAX_CANDIDATES, &count, err));
    if (count == 0) {
        return true;
    }
    out->candidates = calloc(count, sizeof(*out->candidates));
    if (out->candidates == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a verdict");
    }
    for (size_t i = 0; i < count; i++) {
        out->candidate_count = i + 1;
        GH_TRY(verdict_get_candidate(in, &out->candidates[i], err));
    }
    return true;
}

static bool verdict_get_logged(struct bytes *in, struct verdict *out, struct gh_error *err)
{
    size_t count = 0;

    GH_TRY(verdict_get_count(in, VERDICT_MAX_LOGGED, &count, err));
    for (size_t i = 0; i < count; i++) {
        struct gh_error logged = {0};

        GH_TRY(verdict_get_error(in, &logged, err));
        GH_TRY(verdict_add_logged(out, &logged, err));
    }
    return true;
}

static bool verdict_get(struct bytes in, struct verdict *out, struct gh_error *err)
{
    struct bytes magic;
    uint32_t verifier;
    uint8_t form;
    size_t value = 0;

    GH_TRY(bytes_take(&in, sizeof(VERDICT_MAGIC) - 1, &magic, err));
    GH_TRY(bytes_u8(&in, &form, err));
    GH_TRY(bytes_u32be(&in, &verifier, err));
    if (!bytes_equal_cstr(magic, VERDICT_MAGIC) || form != VERDICT_FORM ||
        verifier != REQUIRE_VERIFIER_VERSION) {
        return gh_fail(err, GH_SIG_MALFORMED, "another version wrote it");
    }
    GH_TRY(verdict_get_count(&in, VERDICT_SATISFIED, &value, err));
    out->outcome = (enum verdict_outcome)value;
    GH_TRY(verdict_get_error(&in, &out->error, err));
    GH_TRY(verdict_get_i64(&in, &out->made_unix_s, err));
    GH_TRY(verdict_get_i64(&in, &out->until_unix_s, err));
    GH_TRY(verdict_get_count(&in, 1, &value, err));
    out->has_proved_time = value == 1;
    GH_TRY(verdict_get_i64(&in, &out->proved_unix_s, err));
    GH_TRY(verdict_get_ground(&in, out, err));
    GH_TRY(verdict_get_candidates(&in, out, err));
    GH_TRY(verdict_get_logged(&in, out, err));
    GH_TRY(bytes_end(&in, err));
    if ((out->outcome == VERDICT_SATISFIED) != (out->error.cause == GH_CAUSE_NONE)) {
        return gh_fail(err, GH_SIG_MALFORMED, "outcome and cause contradict each other");
    }
    return true;
}

bool verdict_decode(struct bytes in, struct verdict **out, struct gh_error *err)
{
    GH_OWN(verdict_unrefp) struct verdict *verdict = verdict_new();
    struct gh_error detail = {0};
    struct digest sum;

    if (verdict == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a verdict");
    }
    if (in.len < VERDICT_SUM_BYTES || in.len > VERDICT_MAX_ENCODED) {
        return gh_fail(err, GH_VERDICT_STALE, "the stored verdict has %zu bytes", in.len);
    }
    in.len -= VERDICT_SUM_BYTES;
    GH_TRY(digest_compute(DIGEST_SHA256, in, &sum, err));
    if (memcmp(sum.value, in.data + in.len, VERDICT_SUM_BYTES) != 0) {
        return gh_fail(err, GH_VERDICT_STALE, "the stored verdict is damaged");
    }
    if (!verdict_get(in, verdict, &detail)) {
        return gh_fail(err, GH_VERDICT_STALE, "the stored verdict cannot be read: %s", detail.text);
    }
    *out = GH_TAKE(verdict);
    return true;
}
