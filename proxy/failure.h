/*
 * An answer without a decision: the content could not be had, or its bytes are broken. It is told,
 * recorded and shown in the words and the form of a decision, with an id of its own.
 *
 * Threads: any; no shared state
 */
#ifndef PROXY_FAILURE_H
#define PROXY_FAILURE_H

#include "gatehouse.h"
#include "policy/decide.h"

#define FAILURE_MAX_MESSAGE 1600u

/* What failed. Everything is borrowed. */
struct failure_about {
    const char *tenant;
    const char *fingerprint; /* of the configuration */
    const char *image;       /* as asked; "" where none was understood */
    enum decide_outcome outcome;
    bool is_subject_broken; /* answered 502 */
};

/* Must not be copied: the decision points into it. */
struct failure {
    struct decision decision; /* no plan, no requirements; nothing to free */
    char message[FAILURE_MAX_MESSAGE];
    size_t unnamed_len; /* of the message without its id */
};

/*
 * Make it. Equal failures of one image have one id; what is absent has none, and neither has what
 * no hash could be made for.
 *
 * Takes: about: what it names outlives *out; error: borrowed for the call
 */
void failure_init(struct failure *out, const struct failure_about *about,
                  const struct gh_error *error);
/* Take the id out of it, where nobody could find it later. */
void failure_unname(struct failure *failure);

#endif
