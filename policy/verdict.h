/*
 * A verdict: the outcome of one requirement for one subject, with what it rests on. Verdicts are
 * what is cached and stored; decisions are made from them anew for every answer.
 *
 * Threads: immutable once made; reference counted with atomics.
 */
#ifndef POLICY_VERDICT_H
#define POLICY_VERDICT_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "crypto/evidence.h"
#include "gatehouse.h"
#include "metrics/error.h"

enum verdict_outcome { VERDICT_DENIED = 0, VERDICT_UNDECIDED, VERDICT_SATISFIED };

/* One candidate and the first step it failed (or EVIDENCE_STEP_DONE). */
struct verdict_candidate {
    enum evidence_kind kind;
    char *location;
    char *signer; /* for people; may be NULL */
    enum evidence_step step;
    struct gh_error error; /* cause zero when it is good */
    struct digest blob;    /* of the evidence */
};

#define VERDICT_MAX_AUTHORITIES 16
#define VERDICT_MAX_CANDIDATES 64
#define VERDICT_MAX_RESTS 64
#define VERDICT_MAX_LOGGED 8

struct verdict {
    enum verdict_outcome outcome;
    struct gh_error error; /* why, unless satisfied */
    int64_t made_unix_s;
    int64_t until_unix_s; /* by what it rests on; the cache's own lifetimes come on top */
    bool has_proved_time;
    int64_t proved_unix_s;
    struct digest authorities[VERDICT_MAX_AUTHORITIES]; /* distinct; only when satisfied */
    size_t authority_count;
    struct evidence_rest rests[VERDICT_MAX_RESTS];
    size_t rest_count;
    struct evidence_log_entry logs[EVIDENCE_MAX_LOG_ENTRIES];
    size_t log_count;
    struct verdict_candidate *candidates;
    size_t candidate_count;
    struct gh_error *logged; /* checks that failed, where the signer only logs them; or NULL */
    size_t logged_count;
    int references; /* atomic */
};

/* New with one reference and nothing set (denied). NULL when memory is out. */
struct verdict *verdict_new(void);
struct verdict *verdict_ref(struct verdict *verdict);
void verdict_unref(struct verdict *verdict);
GH_UNUSED static inline void verdict_unrefp(struct verdict **verdict)
{
    verdict_unref(*verdict);
    *verdict = NULL;
}

/* Note a failed check that does not count (copied); past VERDICT_MAX_LOGGED it is dropped. Fails:
 * INTERNAL_ERROR. */
GH_CHECKED bool verdict_add_logged(struct verdict *verdict, const struct gh_error *logged,
                                   struct gh_error *err);

/*
 * Write it for storage, and read it back. The form is versioned; what another version wrote, or
 * what is damaged, fails to read with VERDICT_STALE and counts as a miss.
 *
 * Gives: *out: new (bytes_buf_done(); verdict_unref())
 */
GH_CHECKED bool verdict_encode(const struct verdict *verdict, struct bytes_buf *out,
                               struct gh_error *err);
GH_CHECKED bool verdict_decode(struct bytes in, struct verdict **out, struct gh_error *err);

#endif
