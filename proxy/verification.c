#include "proxy/verification.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <sys/queue.h>

#include "metrics/text.h"
#include "policy/evidence_record.h"
#include "proxy/answers.h"
#include "proxy/content.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/helper.h"
#include "proxy/known.h"
#include "proxy/pull.h"
#include "proxy/recorder.h"
#include "proxy/referrers.h"
#include "proxy/target.h"
#include "proxy/verdicts.h"
#include "proxy/verification_job.h"
#include "proxy/wanted.h"
#include "proxy/worker.h"

#define VERIFICATION_RESERVED_BYTES ((int64_t)64 * 1024) /* of a search under way */

/* A worker's verifications under way: when the worker stops they end, each with its answer. */
struct verification_set {
    TAILQ_HEAD(, verification) all;
};

struct verification_seat {
    struct flight_seat *seat;
    verification_fn fn;
    void *ctx;
};

/* Where the evidence that is being judged came from. */
enum verification_source { VERIFICATION_STORED = 0, VERIFICATION_FOUND, VERIFICATION_FALLBACK };

struct verification {
    struct verification_job job;    /* first: what the verifier thread sees */
    TAILQ_ENTRY(verification) link; /* among those of its worker that are not finished */
    bool is_listed;
    struct gateway *gateway;
    struct worker *worker;
    struct generation *generation;
    struct target target;
    struct content *subject;
    struct flight *flight; /* NULL once finished */
    char *tag;
    enum verification_source source;
    struct evidence_record *stored;
    int64_t stored_unix_s;
    struct referrers_result *found;
    struct referrers_search *search;
    struct wanted_fetch *fetch;
    struct event *deadline;
    struct pull *base_pull;
    struct verification_seat *base_seat;
    struct content *base_content;
    struct target base_target;
    struct require base_require;
    struct decide_leaf base_leaf;
    int64_t counted_bytes; /* of gateway->evidence_bytes */
    unsigned rounds;
    unsigned depth;
    bool is_working;  /* the job is with a verifier */
    bool is_finished; /* nobody waits any more; freed when the job is back */
    bool is_own_time; /* decided as of another time */
    bool is_explaining;
};

static void verification_reset(struct verification *v);
static void verification_step(struct verification *v);
static void verification_search(struct verification *v);

static void verification_free(struct verification *v)
{
    (void)__atomic_sub_fetch(&v->gateway->evidence_bytes, v->counted_bytes, __ATOMIC_RELAXED);
    if (v->deadline != NULL) {
        event_free(v->deadline);
    }
    verification_job_done(&v->job);
    evidence_record_free(v->stored);
    referrers_result_unref(v->found);
    content_unref(v->subject);
    content_unref(v->base_content);
    generation_unref(v->generation);
    free(v->tag);
    free(v);
}

/* In the background the registry is not asked, and what old evidence lacks proves nothing. */
static bool verification_is_kept(const struct verification *v, const struct verdict *verdict)
{
    return verdict->outcome == VERDICT_SATISFIED ||
           (verdict->outcome == VERDICT_DENIED && !v->gateway->is_background);
}

/*
 * Record what was judged, before it is kept or answered: what cannot be recorded satisfies nothing.
 *
 * Fails: AUDIT_UNAVAILABLE
 */
static bool verification_record(struct verification *v, struct gh_error *err)
{
    struct recorder_subject subject = {.tenant = v->target.tenant_name,
                                       .image = v->target.ref.name,
                                       .digest = v->subject->digest_text,
                                       .tag = v->tag,
                                       .fingerprint = v->generation->config->fingerprint_text};

    for (size_t i = 0; i < v->job.leaf_count; i++) {
        const struct verdict *verdict = v->job.verdicts[i];

        if (v->is_own_time || v->gateway->recorder == NULL || verdict == NULL ||
            !verification_is_kept(v, verdict)) {
            continue;
        }
        subject.requirement = v->job.leaves[i].require->label;
        if (!recorder_verdict(v->gateway->recorder, &subject, verdict, err)) {
            verdict_unref(v->job.verdicts[i]);
            v->job.verdicts[i] = NULL;
        }
    }
    return err->cause == GH_CAUSE_NONE;
}

static unsigned verification_kinds(const struct verification *v);

/* What was found, and of what was stored the kinds that were not asked for now: other requirements
 * were verified with them. */
static void verification_keep_listing(struct verification *v, int64_t now)
{
    size_t stored = v->stored != NULL ? v->stored->set.count : 0;
    struct evidence_item *items = calloc(v->found->set.count + stored + 1, sizeof(*items));
    struct evidence_set all = {.items = items};
    unsigned asked = verification_kinds(v);

    if (items == NULL) {
        return; /* it is searched again */
    }
    for (size_t i = 0; i < v->found->set.count; i++) {
        items[all.count++] = v->found->set.items[i];
    }
    for (size_t i = 0; i < stored && all.count < EVIDENCE_RECORD_MAX_ITEMS; i++) {
        if ((asked & REFERRERS_KIND(v->stored->set.items[i].kind)) == 0) {
            items[all.count++] = v->stored->set.items[i];
        }
    }
    known_evidence_put(v->gateway, &v->target, &v->subject->digest, &all, now);
    free(items);
}

/* Looked at after a verdict was kept: an answer that was renewed meanwhile has ended the verdicts
 * that there were. */
static bool verification_answers_stand(const struct verification *v)
{
    return v->job.fetched.view.count == 0 || v->gateway->answers == NULL ||
           answers_are_kept(v->gateway->answers, &v->job.fetched.view);
}

static void verification_keep(struct verification *v)
{
    int64_t now = gateway_now();

    if (v->is_own_time || v->gateway->store == NULL) {
        return;
    }
    for (size_t i = 0; i < v->job.leaf_count; i++) {
        const struct verdicts_key key = {
            .target = &v->target,
            .digest = &v->subject->digest,
            .media_type = v->subject->media_type,
            .tag = v->tag,
            .require = v->job.leaves[i].require,
            .is_all_authorities = v->job.leaves[i].is_all_authorities,
        };

        if (v->job.verdicts[i] != NULL && verification_is_kept(v, v->job.verdicts[i]) &&
            v->job.leaves[i].require->index != SIZE_MAX) {
            verdicts_put(v->gateway, v->generation, &key, v->job.verdicts[i], now);
            if (!verification_answers_stand(v)) {
                verdicts_remove(v->gateway, &key);
            }
        }
    }
    if (v->found != NULL && v->found->set.incomplete.cause == GH_CAUSE_NONE) {
        verification_keep_listing(v, now);
    }
}

static void verification_list(struct verification *v, bool is_listed)
{
    struct verification_set *set = worker_member(v->worker, WORKER_SLOT_GATE);

    if (set == NULL || v->is_listed == is_listed) {
        return;
    }
    v->is_listed = is_listed;
    if (is_listed) {
        TAILQ_INSERT_TAIL(&set->all, v, link);
    } else {
        TAILQ_REMOVE(&set->all, v, link);
    }
}

/* Give what there is to everybody who waits. ERROR explains what is missing; may be NULL. */
static void verification_finish(struct verification *v, const struct gh_error *error)
{
    static const struct gh_error unknown = {.cause = GH_INTERNAL_ERROR,
                                            .text = "the verification ended early"};
    struct verification_result *result;
    struct gh_error unrecorded = {0};

    if (v->is_finished) {
        return;
    }
    v->is_finished = true;
    verification_list(v, false);
    if (!v->is_working) {
        if (v->source == VERIFICATION_STORED && error != NULL) {
            /* The registry was never asked: what old evidence lacks proves nothing. */
            verification_reset(v);
        }
        if (!verification_record(v, &unrecorded)) {
            error = &unrecorded;
        }
        verification_keep(v);
    }
    result = verification_collect(
        &v->job, !v->is_working, error != NULL && error->cause != GH_CAUSE_NONE ? error : &unknown);
    flight_finish(GH_TAKE(v->flight), result != NULL ? &result->base : NULL);
    referrers_cancel(GH_TAKE(v->search));
    wanted_cancel(GH_TAKE(v->fetch));
    pull_leave(GH_TAKE(v->base_pull));
    verification_leave(GH_TAKE(v->base_seat));
    if (!v->is_working) {
        verification_free(v);
    }
}

static void verification_fail(struct verification *v, enum gh_cause cause, const char *text)
{
    struct gh_error error = {0};

    (void)gh_fail(&error, cause, "%s", text);
    verification_finish(v, &error);
}

static void verification_set_stop(void *self)
{
    struct verification_set *set = self;
    struct verification *v;

    while ((v = TAILQ_FIRST(&set->all)) != NULL) {
        verification_fail(v, GH_UPSTREAM_UNAVAILABLE, "the gateway is stopping");
    }
    free(set);
}

bool verification_attach(struct worker *worker, struct gh_error *err)
{
    struct verification_set *set = calloc(1, sizeof(*set));

    if (set == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for verifications");
    }
    TAILQ_INIT(&set->all);
    worker_attach(worker, WORKER_SLOT_GATE,
                  &(struct worker_member){.self = set, .on_stop = verification_set_stop});
    return true;
}

static void verification_on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct verification *v = arg;
    struct gh_error error = {0};

    (void)gh_fail(&error, GH_TIME_BUDGET_EXCEEDED, "verification took longer than %lld s",
                  (long long)v->generation->config->limits.verification_time_s);
    verification_finish(v, &error);
}

/* ---- the verifier thread ---- */

static void verification_work(struct helper_job *job)
{
    verification_job_run((struct verification_job *)job);
}

/* The job is back. False: nobody waited for it any more, and V is freed. */
static bool verification_is_back(struct verification *v)
{
    bool is_wanted = !v->is_finished;

    v->is_working = false;
    if (!is_wanted) {
        verification_free(v);
    }
    return is_wanted;
}

static void verification_back(struct helper_job *job, struct worker *worker)
{
    struct verification *v = (struct verification *)job;

    if (verification_is_back(v)) {
        verification_step(v);
    }
}

static void verification_dropped(struct helper_job *job)
{
    struct verification *v = (struct verification *)job;

    if (verification_is_back(v)) {
        verification_fail(v, GH_INTERNAL_ERROR, "the gateway is stopping");
    }
}

static void verification_send(struct verification *v, void (*run)(struct helper_job *job),
                              void (*done)(struct helper_job *job, struct worker *worker))
{
    v->job.helper.worker = v->worker;
    v->job.helper.run = run;
    v->job.helper.done = done;
    v->job.helper.drop = verification_dropped;
    v->is_working = true;
    if (!helper_submit(v->gateway->verifiers, &v->job.helper)) {
        v->is_working = false;
        verification_fail(v, GH_TIME_BUDGET_EXCEEDED, "too many verifications are waiting");
    }
}

static void verification_submit(struct verification *v, const struct evidence_set *set)
{
    v->job.evidence = set;
    v->job.answers = &v->job.fetched.view;
    v->job.is_listing_old = v->source != VERIFICATION_FOUND &&
                            (!v->gateway->is_stored_only || v->gateway->is_background);
    verification_send(v, verification_work, verification_back);
}

/* ---- the search ---- */

static bool verification_lookup(void *ctx, enum referrers_part part, const struct digest *digest,
                                struct bytes_buf *out)
{
    struct gateway *gateway = ctx;

    return gateway->store != NULL && known_blob_get(gateway, digest, out);
}

static void verification_store(void *ctx, enum referrers_part part, const struct digest *digest,
                               const char *media_type, struct bytes content)
{
    struct gateway *gateway = ctx;

    if (gateway->store != NULL) {
        known_blob_put(gateway, digest, media_type, content);
    }
}

static unsigned verification_kinds(const struct verification *v)
{
    unsigned kinds = 0;

    for (size_t i = 0; i < v->job.leaf_count; i++) {
        for (int kind = EVIDENCE_COSIGN_SIGNATURE; kind <= EVIDENCE_OPENPGP; kind++) {
            if (require_uses(v->job.leaves[i].require, (enum evidence_kind)kind)) {
                kinds |= REFERRERS_KIND(kind);
            }
        }
    }
    return kinds;
}

/* The image's own repository first, then what signers name as `signature_repository`. */
static size_t verification_places(struct verification *v,
                                  struct referrers_place places[REFERRERS_MAX_PLACES],
                                  struct target targets[REFERRERS_MAX_PLACES])
{
    size_t count = 1;

    places[0] = (struct referrers_place){.upstream = v->target.upstream,
                                         .repository = v->target.ref.repository};
    for (size_t i = 0; i < v->job.leaf_count && count < REFERRERS_MAX_PLACES; i++) {
        const struct require *require = v->job.leaves[i].require;
        const struct signer *signer =
            require->provenance_signer != NULL ? require->provenance_signer : require->signer;
        struct gh_error error = {0};

        if (signer != NULL && signer->signature_repository != NULL &&
            target_of_text(v->generation, v->target.tenant, signer->signature_repository,
                           &targets[count], &error)) {
            places[count] = (struct referrers_place){.upstream = targets[count].upstream,
                                                     .repository = targets[count].ref.repository,
                                                     .label = signer->signature_repository};
            count++;
        }
    }
    return count;
}

static void verification_count(struct verification *v, int64_t bytes)
{
    v->counted_bytes += bytes;
    (void)__atomic_add_fetch(&v->gateway->evidence_bytes, bytes, __ATOMIC_RELAXED);
}

static void verification_count_set(struct verification *v, const struct evidence_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        verification_count(v, (int64_t)set->items[i].blob.len);
    }
}

static void verification_on_found(void *ctx, struct referrers_result *result)
{
    struct verification *v = ctx;

    v->search = NULL;
    if (result == NULL) {
        verification_fail(v, GH_INTERNAL_ERROR, "no memory for evidence");
        return;
    }
    v->found = result;
    verification_count(v, -VERIFICATION_RESERVED_BYTES);
    verification_count_set(v, &result->set);
    v->source = VERIFICATION_FOUND;
    verification_submit(v, &result->set);
}

static void verification_search(struct verification *v)
{
    struct referrers_place places[REFERRERS_MAX_PLACES];
    struct target targets[REFERRERS_MAX_PLACES];
    const struct config_limits *limits = &v->generation->config->limits;
    const struct referrers_ask ask = {
        .places = places,
        .place_count = verification_places(v, places, targets),
        .subject = v->subject->digest,
        .kinds = verification_kinds(v),
        .max_blob_bytes = (size_t)limits->evidence_bytes,
        .timeout_ms = (unsigned)(limits->verification_time_s * 1000),
        .ctx = v,
        .helpers = v->gateway->verifiers,
        .worker = v->worker,
        .store_ctx = v->gateway,
        .lookup = verification_lookup,
        .store = verification_store,
    };

    if (__atomic_load_n(&v->gateway->evidence_bytes, __ATOMIC_RELAXED) >
        limits->evidence_memory_bytes) {
        verification_fail(v, GH_MEMORY_BUDGET_EXCEEDED, "too much evidence is being verified");
        return;
    }
    /* Before it is known how much it is: many that begin at once must count, too. */
    verification_count(v, VERIFICATION_RESERVED_BYTES);
    v->search =
        referrers_find(worker_member(v->worker, WORKER_SLOT_UPSTREAM), &ask, verification_on_found);
    if (v->search == NULL) {
        verification_fail(v, GH_INTERNAL_ERROR, "no memory to look for evidence");
    }
}

/* ---- base images ---- */

static void verification_base_over(struct verification *v, struct verdict *verdict)
{
    struct require_other *other = &v->job.others[v->job.other_count++];

    *other = v->job.wanted_other;
    other->verdict = verdict;
    v->job.has_wanted_other = false;
    verification_submit(v, v->job.evidence);
}

static void verification_base_failed(struct verification *v, enum gh_cause cause, const char *text)
{
    struct gh_error error = {0};

    (void)gh_fail(&error, cause, "the base image: %s", text);
    verification_base_over(v, verification_undecided(&error, v->job.now_unix_s));
}

static void verification_on_base_verdict(void *ctx, const struct verification_result *result)
{
    struct verification *v = ctx;
    struct verdict *verdict = verification_find(result, &v->base_require);

    v->base_seat = NULL;
    if (verdict == NULL) {
        verification_base_failed(v, GH_INTERNAL_ERROR, "no memory");
        return;
    }
    verification_base_over(v, verdict_ref(verdict));
}

static void verification_on_base_pulled(void *ctx, const struct pull_result *result)
{
    struct verification *v = ctx;
    struct verification_ask ask = {
        .generation = v->generation,
        .target = &v->base_target,
        .leaves = &v->base_leaf,
        .leaf_count = 1,
        .is_explaining = v->is_explaining,
        .at_unix_s = v->is_own_time ? v->job.now_unix_s : 0,
        .depth = v->depth + 1,
    };

    v->base_pull = NULL;
    if (result->outcome == PULL_ABSENT || result->outcome == PULL_BROKEN) {
        struct gh_error error = {0};
        struct verdict *verdict;

        (void)gh_fail(&error, GH_BASE_IMAGE_UNVERIFIED, "the base image cannot be had: %s",
                      result->error.text);
        verdict = verification_undecided(&error, v->job.now_unix_s);
        if (verdict != NULL) {
            verdict->outcome = VERDICT_DENIED;
        }
        verification_base_over(v, verdict);
        return;
    }
    if (result->outcome != PULL_OK) {
        verification_base_failed(v, GH_UPSTREAM_UNAVAILABLE, result->error.text);
        return;
    }
    v->base_content = content_ref(result->content);
    ask.subject = v->base_content;
    v->base_seat = verification_join(v->gateway, v->worker, &ask, verification_on_base_verdict, v);
    if (v->base_seat == NULL) {
        verification_base_failed(v, GH_INTERNAL_ERROR, "no memory");
    }
}

/* The base must be signed by the signer that the requirement names, nothing more. */
static void verification_base(struct verification *v)
{
    const struct require *asked = v->job.wanted_other_of;
    struct gh_error error = {0};

    if (v->depth > 0 || v->job.other_count == VERIFICATION_MAX_OTHERS) {
        verification_fail(v, GH_BASE_IMAGE_UNVERIFIED, "base images are nested too deeply");
        return;
    }
    content_unref(GH_TAKE(v->base_content));
    v->base_require = (struct require){.kind = REQUIRE_SIGNATURE,
                                       .index = SIZE_MAX,
                                       .label = asked->label,
                                       .signer = asked->signer,
                                       .fingerprint = asked->signer->fingerprint};
    v->base_leaf = (struct decide_leaf){.require = &v->base_require, .is_blocking = true};
    if (!target_of_text(v->generation, v->target.tenant, v->job.wanted_other.name, &v->base_target,
                        &error)) {
        /* A base from a registry that is not configured cannot be verified: that is a denial. */
        struct verdict *verdict = verification_undecided(&error, v->job.now_unix_s);

        if (verdict != NULL) {
            verdict->outcome = VERDICT_DENIED;
            verdict->error.cause = GH_BASE_IMAGE_UNVERIFIED;
        }
        verification_base_over(v, verdict);
        return;
    }
    v->base_pull =
        pull_manifest(v->gateway, v->worker, v->generation, &v->base_target,
                      &v->job.wanted_other.digest, NULL, NULL, verification_on_base_pulled, v);
    if (v->base_pull == NULL) {
        verification_base_failed(v, GH_INTERNAL_ERROR, "no memory");
    }
}

/* ---- what the core lacks ---- */

static void verification_on_fetched(void *ctx, bool added)
{
    struct verification *v = ctx;

    v->fetch = NULL;
    if (!added) {
        verification_fail(v, GH_REVOCATION_UNAVAILABLE, "what revocation needs was not obtained");
        return;
    }
    verification_submit(v, v->job.evidence);
}

static bool verification_is_satisfied(const struct verification *v)
{
    for (size_t i = 0; i < v->job.leaf_count; i++) {
        if (v->job.verdicts[i] == NULL || v->job.verdicts[i]->outcome != VERDICT_SATISFIED) {
            return false;
        }
    }
    return true;
}

/* Only what is not satisfied is judged again over the next evidence. */
static void verification_reset(struct verification *v)
{
    for (size_t i = 0; i < v->job.leaf_count; i++) {
        if (v->source == VERIFICATION_FALLBACK && v->job.leaves[i].require->is_every) {
            continue;
        }
        if (v->job.verdicts[i] != NULL && v->job.verdicts[i]->outcome != VERDICT_SATISFIED) {
            verdict_unref(v->job.verdicts[i]);
            v->job.verdicts[i] = NULL;
        }
    }
}

/* The job is back: fetch and go on, look further, or finish. */
static void verification_step(struct verification *v)
{
    if (v->job.wants.count > 0 || v->job.has_wanted_other) {
        if (++v->rounds > VERIFICATION_MAX_ROUNDS) {
            verification_fail(v, GH_COUNT_LIMIT_EXCEEDED, "verification asks for too much");
        } else if (v->job.has_wanted_other) {
            evidence_wants_done(&v->job.wants);
            verification_base(v);
        } else {
            v->fetch = wanted_start(v->gateway, v->worker, v->generation, &v->job.wants,
                                    &v->job.fetched, verification_on_fetched, v);
            if (v->fetch == NULL) {
                verification_fail(v, GH_REVOCATION_UNAVAILABLE, "nothing could be fetched");
            }
        }
        return;
    }
    if (v->source == VERIFICATION_STORED && !v->gateway->is_stored_only &&
        !verification_is_satisfied(v)) {
        verification_reset(v);
        verification_search(v);
        return;
    }
    if (v->source == VERIFICATION_FOUND && v->found->set.incomplete.cause != GH_CAUSE_NONE &&
        v->stored != NULL && !verification_is_satisfied(v)) {
        /* The registry could not be asked in full: what it showed before may still satisfy. */
        v->source = VERIFICATION_FALLBACK;
        v->stored->set.incomplete = v->found->set.incomplete;
        verification_reset(v); /* what the old listing cannot answer stays as it was found */
        verification_submit(v, &v->stored->set);
        return;
    }
    verification_finish(v, NULL);
}

/* Stored evidence comes first while it is younger than a verdict may get; then nothing new can be
 * missed for longer than that. */
static bool verification_stored_is_fresh(const struct verification *v)
{
    return v->stored != NULL && !v->is_explaining &&
           ((v->gateway->is_stored_only && !v->gateway->is_background) ||
            gateway_now() - v->stored_unix_s < v->generation->config->cache.verdict_ttl_s);
}

static void verification_go(struct verification *v)
{
    if (verification_stored_is_fresh(v)) {
        v->source = VERIFICATION_STORED;
        verification_submit(v, &v->stored->set);
        return;
    }
    if (v->gateway->is_stored_only) {
        verification_fail(v, GH_UPSTREAM_UNAVAILABLE, "no evidence about it is stored");
        return;
    }
    verification_search(v);
}

/* On a verifier: it may be megabytes, and all of it is hashed. */
static void verification_load(struct helper_job *job)
{
    struct verification *v = (struct verification *)job;

    v->stored = known_evidence_get(v->gateway, &v->target, &v->subject->digest, &v->stored_unix_s);
}

static void verification_loaded(struct helper_job *job, struct worker *worker)
{
    struct verification *v = (struct verification *)job;

    if (!verification_is_back(v)) {
        return;
    }
    if (v->stored != NULL) {
        verification_count_set(v, &v->stored->set);
    }
    verification_go(v);
}

static void verification_begin(struct verification *v)
{
    const struct timeval limit = {.tv_sec = v->generation->config->limits.verification_time_s};

    verification_list(v, true);
    v->deadline = event_new(worker_base(v->worker), -1, 0, verification_on_deadline, v);
    if (v->deadline == NULL || event_add(v->deadline, &limit) != 0) {
        verification_fail(v, GH_INTERNAL_ERROR, "no memory for a deadline");
        return;
    }
    if (v->gateway->store != NULL &&
        known_evidence_has(v->gateway, &v->target, &v->subject->digest)) {
        verification_send(v, verification_load, verification_loaded);
    } else {
        verification_go(v);
    }
}

static struct verification *verification_new(struct gateway *gateway, struct worker *worker,
                                             const struct verification_ask *ask)
{
    struct verification *v = calloc(1, sizeof(*v));

    if (v == NULL) {
        return NULL;
    }
    v->gateway = gateway;
    v->worker = worker;
    v->generation = generation_ref(ask->generation);
    v->target = *ask->target;
    v->subject = content_ref(ask->subject);
    v->is_own_time = ask->at_unix_s != 0;
    v->is_explaining = ask->is_explaining;
    v->depth = ask->depth;
    v->job.now_unix_s = v->is_own_time ? ask->at_unix_s : gateway_now();
    v->job.max_candidates = (size_t)ask->generation->config->limits.candidates;
    v->job.is_explaining = ask->is_explaining;
    v->job.prom = gateway->prom;
    v->tag = ask->tag != NULL ? strdup(ask->tag) : NULL;
    v->job.subject = (struct evidence_subject){.digest = v->subject->digest,
                                               .manifest = v->subject->bytes,
                                               .media_type = v->subject->media_type,
                                               .name = v->target.ref.name,
                                               .tag = v->tag};
    if ((ask->tag != NULL && v->tag == NULL) ||
        !verification_job_leaves(&v->job, ask->leaves, ask->leaf_count)) {
        verification_free(v);
        return NULL;
    }
    return v;
}

static void verification_arrived(void *ctx, struct flight_result *base)
{
    struct verification_seat *seat = ctx;

    seat->fn(seat->ctx, (const struct verification_result *)base);
    free(seat);
}

struct verification_seat *verification_join(struct gateway *gateway, struct worker *worker,
                                            const struct verification_ask *ask, verification_fn fn,
                                            void *ctx)
{
    GH_OWN(text_done) struct text key;
    struct verification_seat *seat = calloc(1, sizeof(*seat));
    struct verification *v;
    struct flight *lead = NULL;
    struct gh_error error = {0};

    text_init(&key, 64u * 1024);
    verification_key(&key, ask);
    if (seat == NULL || !text_ok(&key)) {
        free(seat);
        return NULL;
    }
    seat->fn = fn;
    seat->ctx = ctx;
    if (!flight_join(gateway->flights, bytes_make(key.data, key.len), worker, verification_arrived,
                     seat, &seat->seat, &lead, &error)) {
        free(seat);
        return NULL;
    }
    if (lead == NULL) {
        return seat;
    }
    v = verification_new(gateway, worker, ask);
    if (v == NULL) {
        flight_finish(lead, NULL);
        return seat;
    }
    v->flight = lead;
    verification_begin(v);
    return seat;
}

void verification_leave(struct verification_seat *seat)
{
    if (seat != NULL) {
        flight_leave(seat->seat);
        free(seat);
    }
}
