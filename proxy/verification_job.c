#include "proxy/verification_job.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "metrics/prom.h"
#include "metrics/text.h"
#include "proxy/content.h"
#include "proxy/decision_text.h"
#include "proxy/generation.h"
#include "proxy/target.h"
#include "proxy/verification.h"

bool verification_job_leaves(struct verification_job *job, const struct decide_leaf *leaves,
                             size_t count)
{
    job->leaves = calloc(count + 1, sizeof(*job->leaves));
    job->verdicts = calloc(count + 1, sizeof(struct verdict *));
    job->spent_us = calloc(count + 1, sizeof(*job->spent_us));
    if (job->leaves == NULL || job->verdicts == NULL || job->spent_us == NULL) {
        return false;
    }
    if (count > 0) {
        memcpy(job->leaves, leaves, count * sizeof(*leaves));
    }
    job->leaf_count = count;
    return true;
}

static uint64_t verification_job_now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The format of a verdict: of the candidate that is good, else of the one that came furthest. */
static const char *verification_job_format(const struct verdict *verdict)
{
    const struct verdict_candidate *best = NULL;

    for (size_t i = 0; i < verdict->candidate_count; i++) {
        const struct verdict_candidate *candidate = &verdict->candidates[i];

        if (best == NULL || candidate->step > best->step) {
            best = candidate;
        }
    }
    return best != NULL ? decision_evidence_label(best->kind) : "none";
}

/* A leaf takes several rounds where something had to be fetched: they count as one. */
static void verification_job_time(struct verification_job *job, size_t leaf, uint64_t started_us)
{
    job->spent_us[leaf] += verification_job_now_us() - started_us;
    if (job->verdicts[leaf] != NULL) {
        prom_observe(job->prom, PROM_VERIFICATION_DURATION,
                     PROM_LABELS(verification_job_format(job->verdicts[leaf])),
                     (double)job->spent_us[leaf] / 1e6);
        job->spent_us[leaf] = 0;
    }
}

void verification_job_run(struct verification_job *job)
{
    for (size_t i = 0; i < job->leaf_count; i++) {
        const struct require_input input = {
            .require = job->leaves[i].require,
            .subject = &job->subject,
            .evidence = job->evidence,
            .answers = job->answers,
            .now_unix_s = job->now_unix_s,
            .max_candidates = job->max_candidates,
            .is_all_authorities = job->leaves[i].is_all_authorities || job->is_explaining,
            .others = job->others,
            .other_count = job->other_count,
        };
        enum require_answer answer;
        uint64_t started_us;

        if (job->verdicts[i] != NULL || (job->is_listing_old && job->leaves[i].require->is_every)) {
            continue;
        }
        started_us = verification_job_now_us();
        answer = require_verify(&input, &job->verdicts[i], &job->wants, &job->wanted_other);
        verification_job_time(job, i, started_us);
        switch (answer) {
        case REQUIRE_DONE:
        case REQUIRE_WANTS:
            break;
        case REQUIRE_WANTS_OTHER:
            job->has_wanted_other = true;
            job->wanted_other_of = input.require;
            return;
        }
    }
}

void verification_job_done(struct verification_job *job)
{
    for (size_t i = 0; i < job->leaf_count; i++) {
        verdict_unref(job->verdicts[i]);
    }
    for (size_t i = 0; i < job->other_count; i++) {
        verdict_unref((struct verdict *)job->others[i].verdict);
        free((char *)job->others[i].name);
    }
    if (job->has_wanted_other) {
        free((char *)job->wanted_other.name);
    }
    evidence_wants_done(&job->wants);
    wanted_answers_done(&job->fetched);
    free(job->verdicts);
    free(job->spent_us);
    free(job->leaves);
}

void verification_key(struct text *key, const struct verification_ask *ask)
{
    text_printf(key, "verify %llu %s %s %s %s %s %d %lld %u",
                (unsigned long long)ask->generation->number, ask->target->tenant_name,
                ask->target->ref.name, ask->subject->digest_text, ask->subject->media_type,
                ask->tag != NULL ? ask->tag : "", (int)ask->is_explaining,
                (long long)ask->at_unix_s, ask->depth);
    for (size_t i = 0; i < ask->leaf_count; i++) {
        text_put_char(key, ' ');
        text_put_hex(key, ask->leaves[i].require->fingerprint.value, 32);
        text_put_char(key, ask->leaves[i].is_all_authorities ? '+' : '.');
    }
}
