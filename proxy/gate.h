/*
 * The gate: the one place that decides whether a manifest's bytes leave. It looks stored verdicts
 * up, has missing ones verified (once for all who wait), and makes the decision anew for every
 * answer.
 *
 * Threads: the calling worker; callbacks come on it
 */
#ifndef PROXY_GATE_H
#define PROXY_GATE_H

#include "gatehouse.h"
#include "policy/decide.h"

struct content;
struct gateway;
struct generation;
struct target;
struct text;
struct worker;

enum gate_surface { GATE_PULL = 0, GATE_PUSH, GATE_ADMISSION, GATE_GATEKEEPER, GATE_API };
const char *gate_surface_label(enum gate_surface surface);

struct gate_ask {
    struct generation *generation;
    const struct target *target;
    const char *tag; /* as asked; NULL: by digest */
    struct content *subject;
    enum gate_surface surface;
    const char *principal; /* "" for anonymous clients */
    bool is_explaining;    /* fill decision.requirements; every candidate is tried anew */
    int64_t at_unix_s;     /* decide as of another time; 0: now */
};

/* DECISION and PLAN are borrowed for the call. */
typedef void (*gate_fn)(void *ctx, const struct decision *decision, const struct decide_plan *plan);

struct gate_run;

/*
 * Decide from stored verdicts alone, now.
 *
 * Gives: true, and FN was called; false, and nothing happened: ask gate_decide()
 */
bool gate_decide_stored(struct gateway *gateway, const struct gate_ask *ask, gate_fn fn, void *ctx);

/*
 * Decide, verifying what is missing; to be asked where gate_decide_stored() had no answer. FN comes
 * later, never from within this call. NULL when memory is out: the caller refuses as undecided.
 *
 * Takes: ask: copied; generation and subject are referenced, target and texts copied
 */
struct gate_run *gate_decide(struct gateway *gateway, struct worker *worker,
                             const struct gate_ask *ask, gate_fn fn, void *ctx);
/* FN will not be called; the verification goes on for others. NULL is fine. */
void gate_leave(struct gate_run *run);

#endif
