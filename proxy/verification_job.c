#include "proxy/verification_job.h"

#include <stdlib.h>
#include <string.h>

bool verification_job_leaves(struct verification_job *job, const struct decide_leaf *leaves,
                             size_t count)
{
    job->leaves = calloc(count + 1, sizeof(*job->leaves));
    job->verdicts = calloc(count + 1, sizeof(struct verdict *));
    if (job->leaves == NULL || job->verdicts == NULL) {
        return false;
    }
    if (count > 0) {
        memcpy(job->leaves, leaves, count * sizeof(*leaves));
    }
    job->leaf_count = count;
    return true;
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

        if (job->verdicts[i] != NULL) {
            continue;
        }
        switch (require_verify(&input, &job->verdicts[i], &job->wants, &job->wanted_other)) {
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
    free(job->leaves);
}
