/*
 * Credentials that clients pass through to an upstream, in memory alone: per credential a registry
 * client of its own, and which repositories the upstream has lately let it read. One probe at a
 * time per credential until one has passed, so that nobody guesses passwords through us in
 * parallel.
 *
 * Threads: any. One lock of rank GH_RANK_SESSION.
 */
#ifndef PROXY_SESSION_H
#define PROXY_SESSION_H

#include "gatehouse.h"
#include "proxy/worker.h"

struct generation;
struct gh_error;
struct session;
struct session_set;
struct upstream;

#define SESSION_ID_CHARS 64
#define SESSION_MAX 10000        /* credentials at a time */
#define SESSION_MAX_PROBED 64    /* repositories remembered per credential */
#define SESSION_REMEMBER_S 300   /* how long a probe that passed is good */
#define SESSION_IDLE_S 1800      /* unused this long, a credential is forgotten */
#define SESSION_MAX_WAITING 1000 /* requests that wait for one credential's probe */

/* Gives: *out: new, session_set_free(). Fails: INTERNAL_ERROR */
GH_CHECKED bool session_set_new(struct session_set **out, struct gh_error *err);
void session_set_free(struct session_set *set);
GH_DEFINE_FREEP(session_set, struct session_set)

struct session_credential {
    const char *tenant;
    const char *upstream; /* by its name in the configuration */
    const char *user;
    const char *password;
};

/*
 * The session of a credential, made where it is new. Nothing is asked of the upstream.
 *
 * Gives: id: SESSION_ID_CHARS + 1
 * Fails: COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool session_open(struct session_set *set, const struct session_credential *credential,
                             int64_t now_unix_s, char *id, struct gh_error *err);
/* New reference, session_unref(); NULL where it is not known (any more), or another tenant's or
 * upstream's. */
struct session *session_find(struct session_set *set, const char *id, const char *tenant,
                             const char *upstream, int64_t now_unix_s);
void session_unref(struct session *session);
const char *session_user(const struct session *session);

/* The registry with this credential, as GENERATION has it configured. Borrowed: it lives as long as
 * the session is used, and SESSION_IDLE_S longer. NULL when it cannot be made. */
struct upstream *session_upstream(struct session *session, const struct generation *generation,
                                  size_t tenant);

/* A request that waits; freed by its own mail. */
struct session_waiter {
    struct worker_mail mail; /* first */
    struct worker *worker;
    struct session_waiter *next;
    void *owner; /* NULL once the client left */
};

enum session_answer {
    SESSION_REFUSED = 0, /* too many wait */
    SESSION_ALLOWED,     /* the upstream let this credential read here lately */
    SESSION_PROBE,       /* the caller asks the upstream and calls session_probed() */
    SESSION_WAITING      /* WAITER (taken) is posted when somebody else's probe is over */
};
enum session_answer session_enter(struct session *session, const char *repository,
                                  int64_t now_unix_s, struct session_waiter *waiter);
/* A probe is over, or was given up (then it has not passed). */
void session_probed(struct session *session, const char *repository, bool has_passed,
                    int64_t now_unix_s);

#endif
