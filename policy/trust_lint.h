/*
 * What is wrong with the life cycle of trust material, before anything is refused because of it.
 *
 * Threads: any; pure
 */
#ifndef POLICY_TRUST_LINT_H
#define POLICY_TRUST_LINT_H

#include <stdint.h>

struct config_root;
struct signer;

#define TRUST_LINT_OVERLAP_S (7 * 86400)   /* of a key and its successor, at least */
#define TRUST_LINT_AHEAD_S (30 * 86400)    /* some key of a set must be valid then */
#define TRUST_LINT_CADENCE_S (400 * 86400) /* keys and files are replaced this often */

struct trust_finding {
    const char *rule;    /* "key_overlap", "key_ahead", "key_endless", "key_cadence", "key_weak",
                            "root_missing", "root_stale", "root_unrefreshed", "root_ends",
                            "root_cadence", "list_unrefreshed" */
    const char *subject; /* signer or root */
    const char *text;    /* one sentence; for the call */
};
typedef void (*trust_lint_fn)(void *context, const struct trust_finding *finding);

/* The keys of a signer; signers without keys have no findings. */
void trust_lint_signer(const struct signer *signer, int64_t now_unix_s, int64_t cadence_s,
                       trust_lint_fn fn, void *context);
/* A root. changed_unix_s: when its file was last changed, INT64_MIN where that is not known. */
void trust_lint_root(const struct config_root *root, int64_t changed_unix_s, int64_t now_unix_s,
                     int64_t cadence_s, trust_lint_fn fn, void *context);

#endif
