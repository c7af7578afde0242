/*
 * Recording decisions: the audit record is written before an allow is answered, the counters count
 * once per answer, and the whole decision is kept for `why`. Equal decisions share an id; an allow
 * is written once per id, principal and day, repeats of refusals and of answers that exceptions or
 * observing policies let pass are folded into a count.
 *
 * Threads: any. What was recorded lately is known without a lock; one lock of rank GH_RANK_LIMIT
 *          for folding refusals. No lock is held while the audit log is written.
 */
#ifndef PROXY_RECORDER_H
#define PROXY_RECORDER_H

#include "gatehouse.h"
#include "metrics/error.h"
#include "proxy/gate.h"

struct audit;
struct config;
struct gateway;
struct recorder;
struct verdict;

struct recorder_note {
    const char *tenant;
    const char *image; /* "upstream/repository:tag" or "…@digest" */
    const char *digest;
    const char *media_type;
    const char *principal; /* "" for anonymous clients */
    const char *client;    /* address */
    enum gate_surface surface;
};

/* GATEWAY and AUDIT are borrowed. Gives: *out: new, recorder_free(). */
GH_CHECKED bool recorder_new(struct gateway *gateway, struct audit *audit, struct recorder **out,
                             struct gh_error *err);
void recorder_free(struct recorder *recorder);
GH_DEFINE_FREEP(recorder, struct recorder)

/* Whether the whole decision of that id is kept; if not, recorder_decision() wants it explained. */
bool recorder_knows(const struct recorder *recorder, const char *id);

/*
 * Record a decision that is about to be answered. PLAN belongs to it.
 *
 * Fails: AUDIT_UNAVAILABLE where an allow could not be written: it must not be answered then.
 *        Refusals never fail, and subjects allowed before go on.
 */
GH_CHECKED bool recorder_decision(struct recorder *recorder, const struct recorder_note *note,
                                  const struct decision *decision, const struct decide_plan *plan,
                                  struct gh_error *err);
/* Count and record content that is broken, or that could not be had. */
void recorder_failure(struct recorder *recorder, const struct recorder_note *note, bool is_denial,
                      const struct gh_error *error);
struct failure;
/* The same about an image, with the id of FAILURE. False: it was folded into a count, and nobody
 * will find that id. */
bool recorder_image_failure(struct recorder *recorder, const struct recorder_note *note,
                            const struct failure *failure);
/* What a verdict is about. */
struct recorder_subject {
    const char *tenant;
    const char *image;  /* "upstream/repository" */
    const char *digest; /* of the subject */
    const char *tag;    /* as asked; may be NULL */
    const char *requirement;
    const char *fingerprint; /* of the configuration */
};
/*
 * Record a verdict that was made. Undecided ones are no verdicts: their decisions are recorded.
 *
 * Fails: AUDIT_UNAVAILABLE: it must not be kept, and satisfies nothing
 */
GH_CHECKED bool recorder_verdict(struct recorder *recorder, const struct recorder_subject *subject,
                                 const struct verdict *verdict, struct gh_error *err);
/* Record every change from BEFORE to AFTER, each as a record. Gives: how many there were. */
size_t recorder_changes(struct recorder *recorder, const struct config *before,
                        const struct config *after);

/* A call of the admin API. */
struct recorder_call {
    const char *client; /* address */
    const char *who;    /* "token", "certificate", "loopback", "" where refused */
    const char *method;
    const char *path;
    size_t path_len;
    unsigned status;
};
/* Refused ones are folded by client. */
void recorder_admin(struct recorder *recorder, const struct recorder_call *call);

/* Write an event of its own: start, stop, reload, administrative calls. MEMBERS is JSON without
 * braces (`"a":1,"b":"c"`), may be "". False when it could not be written. */
bool recorder_event(struct recorder *recorder, const char *type, const char *members);
/* The last record of a run: all folded repeats, then "stop". */
void recorder_stop(struct recorder *recorder);
/* Once a second: write folded repeats, sync, checkpoints. Blocking. */
void recorder_tick(struct recorder *recorder);
/* False after a write failed and until one succeeded. */
bool recorder_is_available(const struct recorder *recorder);

#endif
