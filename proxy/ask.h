/*
 * Deciding about an image that somebody names, outside of a pull: the admin API, the command line.
 * The manifest is fetched (or found in the store), then the gate decides.
 *
 * Threads: the calling worker; callbacks come on it
 */
#ifndef PROXY_ASK_H
#define PROXY_ASK_H

#include "gatehouse.h"
#include "proxy/gate.h"

struct ask;
struct gateway;
struct worker;

struct ask_question {
    const char *image;  /* upstream/repository[:tag][@digest] */
    const char *tenant; /* by name; NULL: the main file's */
    enum gate_surface surface;
    const char *principal;
    bool is_recorded;   /* count and audit it */
    bool is_explaining; /* judge everything anew, every candidate */
    int64_t at_unix_s;  /* 0: now */
};

struct ask_answer {
    enum decide_outcome outcome;
    const char *json; /* the object of `verify --output json`; borrowed for the call */
};

typedef void (*ask_fn)(void *ctx, const struct ask_answer *answer);

/* FN comes later, never from within this call. NULL when memory is out. */
struct ask *ask_start(struct gateway *gateway, struct worker *worker,
                      const struct ask_question *question, ask_fn fn, void *ctx);
/* FN will not be called. NULL is fine. */
void ask_leave(struct ask *ask);

#endif
