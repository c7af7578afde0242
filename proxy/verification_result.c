/*
 * What a verification gives to everybody who waits for it.
 */
#include <stdlib.h>

#include "proxy/verification.h"
#include "proxy/verification_job.h"

static void verification_result_destroy(struct flight_result *base)
{
    struct verification_result *result = (struct verification_result *)base;

    for (size_t i = 0; i < result->count; i++) {
        verdict_unref(result->verdicts[i]);
    }
    free(result->verdicts);
    free(result->fingerprints);
    free(result);
}

struct verdict *verification_find(const struct verification_result *result,
                                  const struct require *require)
{
    for (size_t i = 0; result != NULL && i < result->count; i++) {
        if (digest_equal(&result->fingerprints[i], &require->fingerprint)) {
            return result->verdicts[i];
        }
    }
    return NULL;
}

struct verdict *verification_undecided(const struct gh_error *error, int64_t now)
{
    struct verdict *verdict = verdict_new();

    if (verdict != NULL) {
        verdict->outcome = VERDICT_UNDECIDED;
        verdict->error = *error;
        verdict->made_unix_s = now;
        verdict->until_unix_s = now;
    }
    return verdict;
}

struct verification_result *verification_collect(const struct verification_job *job,
                                                 bool is_readable, const struct gh_error *error)
{
    struct verification_result *result = calloc(1, sizeof(*result));
    size_t count = job->leaf_count;

    if (result == NULL) {
        return NULL;
    }
    result->base.references = 1;
    result->base.destroy = verification_result_destroy;
    result->fingerprints = calloc(count + 1, sizeof(*result->fingerprints));
    result->verdicts = calloc(count + 1, sizeof(*result->verdicts));
    if (result->fingerprints == NULL || result->verdicts == NULL) {
        verification_result_destroy(&result->base);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        result->fingerprints[i] = job->leaves[i].require->fingerprint;
        result->verdicts[i] = is_readable && job->verdicts[i] != NULL
                                  ? verdict_ref(job->verdicts[i])
                                  : verification_undecided(error, job->now_unix_s);
        if (result->verdicts[i] == NULL) {
            verification_result_destroy(&result->base);
            return NULL;
        }
        result->count = i + 1;
    }
    return result;
}
