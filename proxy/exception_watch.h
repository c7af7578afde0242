/*
 * Exceptions and other bypasses while the gateway runs: which exceptions were used, which end soon,
 * which nobody uses and which could be closed because their images satisfy policy without them; and
 * how often what policy asks for was got round lately.
 *
 * Threads: any. One lock of rank GH_RANK_LIMIT.
 */
#ifndef PROXY_EXCEPTION_WATCH_H
#define PROXY_EXCEPTION_WATCH_H

#include "gatehouse.h"

struct exception_watch;
struct gateway;
struct gh_error;

#define EXCEPTION_WATCH_CHECK_S 3600    /* between two looks whether an image verifies by itself */
#define EXCEPTION_WATCH_UNUSED_S 604800 /* in force so long and never used: reported */
#define EXCEPTION_WATCH_HOURS 168       /* of the longest window */

enum exception_verifies {
    EXCEPTION_VERIFIES_UNKNOWN = 0, /* not looked yet, or its images are patterns */
    EXCEPTION_VERIFIES_NOT,
    EXCEPTION_VERIFIES /* every image it names is allowed without it: it can be closed */
};

struct exception_seen {
    uint64_t uses;       /* since the gateway started */
    int64_t last_unix_s; /* 0: never, as far as is known */
    enum exception_verifies verifies;
};

/* GATEWAY is borrowed. Gives: *out: new, exception_watch_free(). Fails: INTERNAL_ERROR */
GH_CHECKED bool exception_watch_new(struct gateway *gateway, struct exception_watch **out,
                                    struct gh_error *err);
/* Before the workers end, and after the last tick: what is asked is given up. */
void exception_watch_stop(struct exception_watch *watch);
/* After the workers have ended. */
void exception_watch_free(struct exception_watch *watch);

/* An answer was allowed by an exception. */
void exception_watch_used(struct exception_watch *watch, const char *tenant, const char *id,
                          int64_t now_unix_s);
/* An answer was allowed although a requirement was not met; KIND is a literal of
 * gatehouse_bypasses_total. */
void exception_watch_bypass(struct exception_watch *watch, const char *tenant, const char *kind,
                            int64_t now_unix_s);
void exception_watch_seen(struct exception_watch *watch, const char *tenant, const char *id,
                          struct exception_seen *out);

/* Learn from recorded decisions when exceptions were last used. Blocking: housekeeping, once. */
void exception_watch_learn(struct exception_watch *watch);
/* Every few seconds from housekeeping: gauges, reports, looks at images. */
void exception_watch_tick(struct exception_watch *watch, int64_t now_unix_s);

#endif
