/*
 * After a change of policy: stored evidence is evaluated again in the background, the images used
 * last first and no registry asked, so that the first pull after a reload finds its verdict. What
 * was allowed and is not any more, by what is stored, is listed.
 *
 * One pass at a time, on a thread that yields to all others and rests as long as it worked; a
 * further change ends it and begins anew.
 *
 * Threads: any; a lock of rank GH_RANK_LIMIT
 */
#ifndef PROXY_REEVALUATION_H
#define PROXY_REEVALUATION_H

#include "gatehouse.h"

struct gateway;
struct generation;
struct gh_error;
struct reevaluation;
struct text;

#define REEVALUATION_MAX_IMAGES 16384 /* the ones used last */
#define REEVALUATION_MAX_LISTED 1000  /* of those that are not allowed any more */

/* GATEWAY is borrowed, with stores, verdicts and recorder. Gives: *out: new, reevaluation_free() */
GH_CHECKED bool reevaluation_new(struct gateway *gateway, struct reevaluation **out,
                                 struct gh_error *err);
/* End a pass under way, and begin no other. Before the stores and the recorder. Accepts NULL. */
void reevaluation_stop(struct reevaluation *reevaluation);
/* When nobody may begin one any more. Accepts NULL. */
void reevaluation_free(struct reevaluation *reevaluation);
GH_DEFINE_FREEP(reevaluation, struct reevaluation)

/* AFTER, which replaced BEFORE, is in force. Takes references of its own. */
void reevaluation_begin(struct reevaluation *reevaluation, struct generation *before,
                        struct generation *after);
/* Write the last pass, or the one under way, as a JSON object. */
void reevaluation_put(struct reevaluation *reevaluation, struct text *out);

#endif
