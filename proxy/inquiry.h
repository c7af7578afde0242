/*
 * A gateway without stores and listeners inside a command: decides about one image after the other
 * as the gateway would, from the network. Nothing is kept, recorded or counted.
 *
 * Threads: one; it runs a worker and helpers of its own
 */
#ifndef PROXY_INQUIRY_H
#define PROXY_INQUIRY_H

#include "gatehouse.h"
#include "policy/decide.h"

struct config;
struct gateway;
struct generation;
struct gh_error;
struct inquiry;
struct layout;

/*
 * The caller has run curl_global_init() and evthread_use_pthreads().
 *
 * Takes: config: taken
 * Gives: *out: new, inquiry_free()
 * Fails: INTERNAL_ERROR, POLICY_DENIED (a file that cannot be used)
 */
GH_CHECKED bool inquiry_new(struct config *config, struct inquiry **out, struct gh_error *err);
/*
 * As inquiry_new(), from manifests and evidence in the store at PATH alone, which a gateway may
 * have open meanwhile: no registry is asked, and what is not stored is undecided.
 */
GH_CHECKED bool inquiry_new_stored(struct config *config, const char *path, struct inquiry **out,
                                   struct gh_error *err);
/*
 * As inquiry_new(), and every registry is answered for by an OCI image layout: none is asked. What
 * else a verification needs (CRLs, OCSP) comes from where the configuration has it fetched.
 *
 * Takes: layout: borrowed, outlives the inquiry
 */
GH_CHECKED bool inquiry_new_layout(struct config *config, struct layout *layout,
                                   struct inquiry **out, struct gh_error *err);
/*
 * Inside a running gateway, in the background: by GENERATION, from what LIVE has stored alone. What
 * is satisfied is kept and recorded there, and counts as used by nobody; what is not, or rests on
 * what is old, is left to whoever asks for it.
 *
 * Takes: live: borrowed, outlives the inquiry; generation: its own reference
 */
GH_CHECKED bool inquiry_new_within(const struct gateway *live, struct generation *generation,
                                   struct inquiry **out, struct gh_error *err);
/* The gateway inside, for what needs no worker. Borrowed. */
struct gateway *inquiry_gateway(struct inquiry *inquiry);
void inquiry_free(struct inquiry *inquiry);
GH_DEFINE_FREEP(inquiry, struct inquiry)

struct inquiry_question {
    const char *image;  /* upstream/repository[:tag][@digest] */
    const char *tenant; /* NULL: the main file's */
    int64_t at_unix_s;  /* 0: now */
    bool is_explaining; /* every candidate is judged */
};

/* Blocks until it is decided. Gives: *json: new (free()), the object of `verify --output json`;
 * NULL when memory is out, and the outcome is undecided then. */
enum decide_outcome inquiry_ask(struct inquiry *inquiry, const struct inquiry_question *question,
                                char **json);

#endif
