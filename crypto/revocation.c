#include "crypto/revocation.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/crl.h"
#include "crypto/der.h"
#include "crypto/ocsp.h"
#include "crypto/x509.h"
#include "metrics/error.h"

static const struct bytes revocation_oid_aia = BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x01\x01");
static const struct bytes revocation_oid_ocsp = BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x30\x01");
static const struct bytes revocation_oid_points = BYTES_LITERAL("\x55\x1d\x1f"); /* 2.5.29.31 */
static const struct bytes revocation_oid_freshest = BYTES_LITERAL("\x55\x1d\x2e");

/* Where a certificate says its status can be had. */
struct revocation_urls {
    struct bytes ocsp[REVOCATION_MAX_URLS];
    size_t ocsp_count;
    struct bytes crl[REVOCATION_MAX_URLS];
    size_t crl_count;
    bool has_any; /* it names something, usable or not */
};

enum revocation_state {
    REVOCATION_UNDECIDED = 0, /* *why says what went wrong, first failure first */
    REVOCATION_GOOD,
    REVOCATION_PENDING, /* asked for through *wants */
    REVOCATION_REVOKED_STATE
};

struct revocation_work {
    const struct revocation_input *input;
    struct evidence_wants *wants;
    struct evidence_proof *proof;
    int64_t until_unix_s;
    struct gh_error why;
};

/* Plain http alone: the answers are signed, and https would ask for revocation in turn. */
static bool revocation_is_usable(struct bytes url)
{
    if (!bytes_starts_with(url, BYTES_LITERAL("http://")) || url.len > REVOCATION_MAX_URL_BYTES) {
        return false;
    }
    for (size_t i = 0; i < url.len; i++) {
        if (url.data[i] <= ' ' || url.data[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

static void revocation_add_url(struct bytes *urls, size_t *count, struct bytes url)
{
    if (*count < REVOCATION_MAX_URLS && revocation_is_usable(url)) {
        urls[(*count)++] = url;
    }
}

static bool revocation_read_aia(struct bytes value, struct revocation_urls *out,
                                struct gh_error *err)
{
    struct bytes list;

    GH_TRY(der_only(value, DER_SEQUENCE, &list, err));
    while (list.len > 0) {
        struct bytes access;
        struct bytes method;
        struct der_item location;

        GH_TRY(der_take(&list, DER_SEQUENCE, &access, err));
        GH_TRY(der_oid(&access, &method, err));
        GH_TRY(der_next(&access, &location, err));
        if (bytes_equal(method, revocation_oid_ocsp)) {
            out->has_any = true;
            if (location.tag == DER_CONTEXT(6)) {
                revocation_add_url(out->ocsp, &out->ocsp_count, location.content);
            }
        }
    }
    return true;
}

/* Distribution points for some reasons only, or with another signer, are not used: their lists
 * would be partial or indirect. */
static bool revocation_read_points(struct bytes value, struct revocation_urls *out,
                                   struct gh_error *err)
{
    struct bytes list;

    GH_TRY(der_only(value, DER_SEQUENCE, &list, err));
    out->has_any = true;
    while (list.len > 0) {
        struct bytes point;
        struct bytes name;
        struct bytes full;

        GH_TRY(der_take(&list, DER_SEQUENCE, &point, err));
        GH_TRY(der_opt(&point, DER_CONTEXT_CONSTRUCTED(0), &name, err));
        if (name.data == NULL || point.len > 0) {
            continue;
        }
        GH_TRY(der_opt(&name, DER_CONTEXT_CONSTRUCTED(0), &full, err));
        while (full.len > 0) {
            struct der_item general;

            GH_TRY(der_next(&full, &general, err));
            if (general.tag == DER_CONTEXT(6)) {
                revocation_add_url(out->crl, &out->crl_count, general.content);
            }
        }
    }
    return true;
}

static bool revocation_read_urls(const struct x509_view *view, struct revocation_urls *out,
                                 struct gh_error *err)
{
    const struct x509_extension *aia = x509_view_extension(view, revocation_oid_aia);
    const struct x509_extension *points = x509_view_extension(view, revocation_oid_points);

    memset(out, 0, sizeof(*out));
    if ((aia != NULL && !revocation_read_aia(aia->value, out, err)) ||
        (points != NULL && !revocation_read_points(points->value, out, err))) {
        return gh_recast(err, GH_CERT_MALFORMED);
    }
    return true;
}

/* An authentic signing time before the key went bad spares the signature, not the key. */
static enum revocation_state revocation_judge_revoked(struct revocation_work *work,
                                                      bool has_invalidity, int64_t invalidity)
{
    if (work->input->has_signing_time && has_invalidity &&
        invalidity > work->input->signing_unix_s) {
        return REVOCATION_GOOD;
    }
    return REVOCATION_REVOKED_STATE;
}

/* What answers once may answer otherwise tomorrow: whoever rests on it must learn of that. */
static bool revocation_rest_on(struct revocation_work *work, const struct evidence_answer *answer)
{
    struct digest name;

    return evidence_question_name(answer->kind, answer->url, answer->body, &name, &work->why) &&
           evidence_proof_rest(work->proof, EVIDENCE_REST_ANSWER, &name, &work->why);
}

/* The answer to a question, which is put to *wants where there is none yet. NULL with *state
 * REVOCATION_PENDING, or with REVOCATION_UNDECIDED where it could not be had. */
static const struct evidence_answer *revocation_get(struct revocation_work *work,
                                                    enum evidence_want_kind kind, struct bytes url,
                                                    struct bytes body, size_t limit,
                                                    enum revocation_state *state)
{
    char text[REVOCATION_MAX_URL_BYTES + 1];
    const struct evidence_answer *answer;

    memcpy(text, url.data, url.len); /* revocation_is_usable() has seen the length */
    text[url.len] = '\0';
    answer = evidence_answers_find(work->input->answers, kind, text, body);
    if (answer == NULL) {
        struct gh_error full = {0};

        *state = REVOCATION_PENDING;
        if (!evidence_wants_add(work->wants, kind, text, body, limit, &full)) {
            *state = REVOCATION_UNDECIDED;
            gh_fail(&work->why, full.cause, "%s", full.text);
        }
        return NULL;
    }
    if (answer->failure.cause == GH_CAUSE_NONE && !revocation_rest_on(work, answer)) {
        *state = REVOCATION_UNDECIDED;
        return NULL;
    }
    if (answer->failure.cause != GH_CAUSE_NONE) {
        *state = REVOCATION_UNDECIDED;
        gh_fail(&work->why, GH_REVOCATION_UNAVAILABLE, "%.100s: %s", text, answer->failure.text);
        return NULL;
    }
    return answer;
}

static enum revocation_state revocation_judge_crl(struct revocation_work *work,
                                                  const struct crl *crl,
                                                  const struct x509_cert *cert,
                                                  const struct x509_cert *issuer, struct bytes url)
{
    struct crl_entry entry;
    bool is_listed;

    if (!crl_check_signed(crl, issuer, &work->why) ||
        !crl_check_fresh(crl, work->input->now_unix_s, &work->why)) {
        return REVOCATION_UNDECIDED;
    }
    if (!crl_covers(crl, url)) {
        gh_fail(&work->why, GH_CRL_INVALID, "the revocation list is of another distribution point");
        return REVOCATION_UNDECIDED;
    }
    if (!crl_find(crl, x509_cert_view(cert)->serial, &is_listed, &entry, &work->why)) {
        return REVOCATION_UNDECIDED;
    }
    if (is_listed) {
        return revocation_judge_revoked(work, entry.has_invalidity_date, entry.invalidity_unix_s);
    }
    if (crl_has_delta(crl) ||
        x509_view_extension(x509_cert_view(cert), revocation_oid_freshest) != NULL) {
        gh_fail(&work->why, GH_REVOCATION_UNAVAILABLE,
                "the authority publishes delta revocation lists, which are not supported yet");
        return REVOCATION_UNDECIDED;
    }
    work->until_unix_s = GH_MIN(work->until_unix_s, crl_next_update(crl));
    return REVOCATION_GOOD;
}

static enum revocation_state revocation_by_crl(struct revocation_work *work,
                                               const struct revocation_urls *urls,
                                               const struct x509_cert *cert,
                                               const struct x509_cert *issuer)
{
    for (size_t i = 0; i < urls->crl_count; i++) {
        enum revocation_state state = REVOCATION_UNDECIDED;
        const struct evidence_answer *answer = revocation_get(
            work, EVIDENCE_WANT_CRL, urls->crl[i], (struct bytes){NULL, 0}, CRL_MAX_BYTES, &state);
        GH_OWN(crl_freep) struct crl *crl = NULL;

        if (state == REVOCATION_PENDING) {
            return state;
        }
        if (answer == NULL || !crl_parse(answer->answer, &crl, &work->why)) {
            continue;
        }
        state = revocation_judge_crl(work, crl, cert, issuer, urls->crl[i]);
        if (state != REVOCATION_UNDECIDED) {
            return state;
        }
    }
    return REVOCATION_UNDECIDED;
}

/* Lists from files. *is_stale is set where one of them would have answered but is out of date. */
static enum revocation_state revocation_by_files(struct revocation_work *work,
                                                 const struct revocation_urls *urls,
                                                 const struct x509_cert *cert,
                                                 const struct x509_cert *issuer, bool *is_stale)
{
    const struct x509_view *view = x509_cert_view(cert);
    bool is_good = false;

    *is_stale = false;
    for (size_t i = 0; i < work->input->crl_count; i++) {
        const struct crl *crl = work->input->crls[i];
        struct crl_entry entry;
        bool covers = !crl_has_points(crl);
        bool is_listed = false;

        /* A list of another authority of the same name is none of ours. */
        if (!crl_is_of(crl, view) || !crl_check_signed(crl, issuer, NULL)) {
            continue;
        }
        if (!crl_find(crl, view->serial, &is_listed, &entry, &work->why)) {
            return REVOCATION_UNDECIDED;
        }
        if (is_listed) {
            return revocation_judge_revoked(work, entry.has_invalidity_date,
                                            entry.invalidity_unix_s);
        }
        for (size_t k = 0; k < urls->crl_count && !covers; k++) {
            covers = crl_covers(crl, urls->crl[k]);
        }
        if (!covers || crl_has_delta(crl)) {
            continue;
        }
        if (!crl_check_fresh(crl, work->input->now_unix_s, NULL)) {
            *is_stale = true;
            continue;
        }
        work->until_unix_s = GH_MIN(work->until_unix_s, crl_next_update(crl));
        is_good = true;
    }
    return is_good ? REVOCATION_GOOD : REVOCATION_UNDECIDED;
}

/* The certificate of a delegated OCSP responder, by lists alone: OCSP would go in circles. */
static enum revocation_state revocation_of_responder(struct revocation_work *work,
                                                     const struct x509_cert *responder,
                                                     const struct x509_cert *issuer)
{
    struct revocation_urls urls;
    enum revocation_state state;
    bool is_stale;

    if (!revocation_read_urls(x509_cert_view(responder), &urls, &work->why)) {
        return REVOCATION_UNDECIDED;
    }
    state = revocation_by_files(work, &urls, responder, issuer, &is_stale);
    if (state == REVOCATION_UNDECIDED && urls.crl_count > 0) {
        state = revocation_by_crl(work, &urls, responder, issuer);
    } else if (state == REVOCATION_UNDECIDED && !is_stale && !urls.has_any) {
        state = REVOCATION_GOOD;
    }
    if (state == REVOCATION_UNDECIDED || state == REVOCATION_REVOKED_STATE) {
        /* A revoked responder says nothing about the certificate it answered for. */
        gh_fail(&work->why, GH_OCSP_INVALID,
                "the OCSP responder's certificate is revoked or its "
                "status is not known");
        return REVOCATION_UNDECIDED;
    }
    return state;
}

static enum revocation_state revocation_judge_ocsp(struct revocation_work *work,
                                                   const struct ocsp_answer *answer)
{
    switch (answer->status) {
    case OCSP_GOOD:
        work->until_unix_s = GH_MIN(work->until_unix_s, answer->until_unix_s);
        return REVOCATION_GOOD;
    case OCSP_REVOKED:
        return revocation_judge_revoked(work, answer->has_invalidity_date,
                                        answer->invalidity_unix_s);
    case OCSP_UNKNOWN:
        break;
    }
    gh_fail(&work->why, GH_REVOCATION_UNAVAILABLE,
            "the OCSP responder does not know the certificate");
    return REVOCATION_UNDECIDED;
}

static enum revocation_state revocation_by_ocsp(struct revocation_work *work,
                                                const struct revocation_urls *urls,
                                                const struct x509_cert *cert,
                                                const struct x509_cert *issuer)
{
    struct bytes_buf question = {0};
    enum revocation_state state = REVOCATION_UNDECIDED;

    if (urls->ocsp_count == 0 || !ocsp_ask(cert, issuer, &question, &work->why)) {
        return REVOCATION_UNDECIDED;
    }
    for (size_t i = 0; i < urls->ocsp_count && state == REVOCATION_UNDECIDED; i++) {
        const struct evidence_answer *answer =
            revocation_get(work, EVIDENCE_WANT_OCSP, urls->ocsp[i], bytes_view(&question),
                           OCSP_MAX_ANSWER_BYTES, &state);
        struct ocsp_answer judged;

        if (answer == NULL || !ocsp_judge(answer->answer, cert, issuer, work->input->now_unix_s,
                                          &judged, &work->why)) {
            continue;
        }
        state = REVOCATION_GOOD;
        if (judged.responder != NULL) {
            state = revocation_of_responder(work, judged.responder, issuer);
            x509_cert_unref(judged.responder);
        }
        if (state == REVOCATION_GOOD) {
            state = revocation_judge_ocsp(work, &judged);
        }
    }
    bytes_buf_done(&question);
    return state;
}

static enum revocation_state revocation_of(struct revocation_work *work,
                                           const struct x509_cert *cert,
                                           const struct x509_cert *issuer)
{
    struct revocation_urls urls;
    enum revocation_state state;
    bool is_stale;

    if (!revocation_read_urls(x509_cert_view(cert), &urls, &work->why)) {
        return REVOCATION_UNDECIDED;
    }
    state = revocation_by_files(work, &urls, cert, issuer, &is_stale);
    if (state != REVOCATION_UNDECIDED || work->why.cause != GH_CAUSE_NONE) {
        return state;
    }
    if (!urls.has_any) {
        if (is_stale) {
            gh_fail(&work->why, GH_CRL_INVALID,
                    "the revocation list loaded for the certificate is out of date");
            return REVOCATION_UNDECIDED;
        }
        return REVOCATION_GOOD;
    }
    state = revocation_by_ocsp(work, &urls, cert, issuer);
    if (state != REVOCATION_UNDECIDED) {
        return state;
    }
    state = revocation_by_crl(work, &urls, cert, issuer);
    if (state == REVOCATION_UNDECIDED) {
        gh_fail(&work->why, GH_REVOCATION_UNAVAILABLE,
                "the certificate names no http address for its revocation status");
    }
    return state;
}

bool revocation_check(const struct revocation_input *input, struct evidence_wants *wants,
                      struct evidence_proof *proof, struct gh_error *err)
{
    int64_t until = proof->until_unix_s;
    bool is_pending = false;

    for (size_t i = input->count > 0 ? input->count - 1 : 0; i > 0; i--) {
        const struct x509_cert *cert = input->path[i - 1];
        struct revocation_work work = {
            .input = input, .wants = wants, .proof = proof, .until_unix_s = until};
        char name[160];

        switch (revocation_of(&work, cert, input->path[i])) {
        case REVOCATION_GOOD:
            until = work.until_unix_s;
            break;
        case REVOCATION_PENDING:
            is_pending = true;
            break;
        case REVOCATION_REVOKED_STATE:
            x509_name_describe(x509_cert_view(cert)->subject, name, sizeof(name));
            return gh_fail(err, GH_REVOCATION_REVOKED, "certificate %zu (%s) has been revoked",
                           i - 1, name);
        case REVOCATION_UNDECIDED:
            return gh_fail(
                err, work.why.cause != GH_CAUSE_NONE ? work.why.cause : GH_REVOCATION_UNAVAILABLE,
                "certificate %zu: %s", i - 1, work.why.text);
        }
    }
    if (is_pending) {
        return false;
    }
    evidence_proof_until(proof, until);
    return true;
}

bool revocation_answer_life(enum evidence_want_kind kind, struct bytes answer, int64_t now_unix_s,
                            struct revocation_life *out)
{
    GH_OWN(crl_freep) struct crl *crl = NULL;

    *out = (struct revocation_life){INT64_MIN, INT64_MAX};
    switch (kind) {
    case EVIDENCE_WANT_OCSP:
        return ocsp_life(answer, now_unix_s, &out->from_unix_s, &out->until_unix_s);
    case EVIDENCE_WANT_CRL:
        if (!crl_parse(answer, &crl, NULL)) {
            return false;
        }
        out->from_unix_s = crl_this_update(crl);
        out->until_unix_s = crl_next_update(crl);
        return out->until_unix_s > now_unix_s && crl_check_fresh(crl, now_unix_s, NULL);
    case EVIDENCE_WANT_VENDOR:
        return true;
    }
    return false;
}
