#include "crypto/evidence.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/memo.h"

const char *evidence_annotation_get(const struct evidence_item *item, const char *name)
{
    for (size_t i = 0; i < item->annotation_count; i++) {
        if (strcmp(item->annotations[i].name, name) == 0) {
            return item->annotations[i].value;
        }
    }
    return NULL;
}

const char *evidence_step_label(enum evidence_step step)
{
    static const char *const labels[] = {
        [EVIDENCE_STEP_FETCH] = "fetch",         [EVIDENCE_STEP_PARSE] = "parse",
        [EVIDENCE_STEP_SIGNER] = "signer",       [EVIDENCE_STEP_TIME] = "time",
        [EVIDENCE_STEP_TLOG] = "tlog",           [EVIDENCE_STEP_CERTIFICATE] = "certificate",
        [EVIDENCE_STEP_IDENTITY] = "identity",   [EVIDENCE_STEP_SIGNATURE] = "signature",
        [EVIDENCE_STEP_PAYLOAD] = "payload",     [EVIDENCE_STEP_SUBJECT] = "subject",
        [EVIDENCE_STEP_REFERENCE] = "reference", [EVIDENCE_STEP_PREDICATE] = "predicate",
        [EVIDENCE_STEP_DONE] = "done",
    };

    return (unsigned)step < GH_COUNT(labels) ? labels[step] : "fetch";
}

void evidence_proof_done(struct evidence_proof *proof)
{
    bytes_buf_done(&proof->payload);
    bytes_buf_done(&proof->leaf);
    memset(proof, 0, sizeof(*proof));
}

bool evidence_proof_rest(struct evidence_proof *proof, enum evidence_rest_kind kind,
                         const struct digest *id, struct gh_error *err)
{
    for (size_t i = 0; i < proof->rest_count; i++) {
        if (proof->rests[i].kind == kind && digest_equal(&proof->rests[i].id, id)) {
            return true;
        }
    }
    if (proof->rest_count == EVIDENCE_MAX_RESTS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "a proof rests on more than %d things",
                       EVIDENCE_MAX_RESTS);
    }
    proof->rests[proof->rest_count].kind = kind;
    proof->rests[proof->rest_count].id = *id;
    proof->rest_count++;
    return true;
}

void evidence_proof_until(struct evidence_proof *proof, int64_t unix_s)
{
    proof->until_unix_s = GH_MIN(proof->until_unix_s, unix_s);
}

void evidence_wants_done(struct evidence_wants *wants)
{
    for (size_t i = 0; i < wants->count; i++) {
        free(wants->items[i].url);
        bytes_buf_done(&wants->items[i].body);
    }
    memset(wants, 0, sizeof(*wants));
}

bool evidence_wants_add(struct evidence_wants *wants, enum evidence_want_kind kind, const char *url,
                        struct bytes body, size_t limit_bytes, struct gh_error *err)
{
    struct evidence_want *want;

    for (size_t i = 0; i < wants->count; i++) {
        if (wants->items[i].kind == kind && strcmp(wants->items[i].url, url) == 0 &&
            bytes_equal(bytes_view(&wants->items[i].body), body)) {
            return true;
        }
    }
    if (wants->count == EVIDENCE_MAX_WANTS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "verification wants more than %d documents",
                       EVIDENCE_MAX_WANTS);
    }
    want = &wants->items[wants->count];
    memset(want, 0, sizeof(*want));
    want->kind = kind;
    want->limit_bytes = limit_bytes;
    GH_TRY(bytes_dup(body, &want->body, err));
    want->url = strdup(url);
    if (want->url == NULL) {
        bytes_buf_done(&want->body);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for an address");
    }
    wants->count++;
    return true;
}

const struct evidence_answer *evidence_answers_find(const struct evidence_answers *answers,
                                                    enum evidence_want_kind kind, const char *url,
                                                    struct bytes body)
{
    for (size_t i = 0; answers != NULL && i < answers->count; i++) {
        if (answers->items[i].kind == kind && strcmp(answers->items[i].url, url) == 0 &&
            bytes_equal(answers->items[i].body, body)) {
            return &answers->items[i];
        }
    }
    return NULL;
}

bool evidence_question_name(enum evidence_want_kind kind, const char *url, struct bytes body,
                            struct digest *out, struct gh_error *err)
{
    static const char *const labels[] = {[EVIDENCE_WANT_CRL] = "crl",
                                         [EVIDENCE_WANT_OCSP] = "ocsp",
                                         [EVIDENCE_WANT_VENDOR] = "vendor"};
    const struct bytes parts[] = {bytes_of(labels[kind]), bytes_of(url), body};

    return memo_name("question about revocation", parts, GH_COUNT(parts), out, err);
}
