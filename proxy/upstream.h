/*
 * Registry client over libcurl multi on a worker's event loop: connection pool, limits, retries,
 * hold-down, credentials, redirects. Answers are hostile: bodies are capped or streamed, headers
 * are bounded, every hop's address is checked where the socket is opened.
 *
 * A `struct upstream` is one configured registry; it is shared by all workers (limits, breaker,
 * tokens) and counted. A `struct upstream_client` belongs to one worker.
 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"
#include "metrics/error.h"

struct event_base;
struct prom;
struct upstream;
struct upstream_client;
struct upstream_request;
struct upstream_result;

#define UPSTREAM_MAX_REDIRECTS 5
#define UPSTREAM_MAX_HEADER_BYTES (64u * 1024)
#define UPSTREAM_MAX_URL_BYTES 8192u
#define UPSTREAM_TURN_BYTES (1024u * 1024) /* of one transfer in one turn of the loop */
#define UPSTREAM_MAX_BODY_BYTES (128u * 1024 * 1024)

/* How signatures are looked for (interface.md, `referrers`). */
enum upstream_referrers {
    UPSTREAM_REFERRERS_AUTO = 0, /* the API; the fallback tag after 404 */
    UPSTREAM_REFERRERS_API,      /* the API alone */
    UPSTREAM_REFERRERS_TAG,      /* the fallback tag alone */
    UPSTREAM_REFERRERS_BOTH      /* both, always */
};

/* One registry as configured. Plain data; upstream_new() copies it. Zero means the default. */
struct upstream_config {
    const char *name;              /* "ghcr.io", for people and metrics */
    const char *tenant;            /* for metrics; NULL reads as "" */
    const char *url;               /* http(s)://host[:port][/prefix] */
    const char *const *auth_hosts; /* "host" or "host:port" */
    size_t auth_host_count;
    const char *const *redirect_hosts; /* may have private addresses */
    size_t redirect_host_count;
    const char *const *named_hosts; /* hosts of the configuration's other URLs: as redirect_hosts */
    size_t named_host_count;
    const char *username; /* NULL: anonymous */
    struct bytes password;
    struct bytes ca_pem;  /* empty: the system's authorities */
    bool is_any_host;     /* no registry but the world (CRLs, OCSP): absolute URLs of any host */
    unsigned concurrency; /* 64 */
    unsigned requests_per_second; /* 0: no limit */
    enum upstream_referrers referrers;
    bool is_referrers_unsupported;  /* 400 on the referrers API is a 404 */
    unsigned connect_timeout_ms;    /* 10,000 */
    unsigned first_byte_timeout_ms; /* 30,000 */
    unsigned stall_timeout_ms;      /* 30,000 */
    unsigned retry_base_ms;         /* 200; doubled each time, with full jitter */
    unsigned breaker_failures;      /* 5 in a row open it */
    unsigned breaker_hold_ms;       /* 2,000; doubled while probes fail, 60 s at most */
};

/*
 * Make the shared object of a registry.
 *
 * Takes:   config: borrowed, copied (the password too; wiped when freed)
 * Gives:   *out: new with one reference, upstream_unref()
 * Fails:   INTERNAL_ERROR (no memory, a URL that cannot be used)
 * Threads: any
 */
GH_CHECKED bool upstream_new(const struct upstream_config *config, struct upstream **out,
                             struct gh_error *err);
struct upstream *upstream_ref(struct upstream *upstream);
void upstream_unref(struct upstream *upstream);
const char *upstream_name(const struct upstream *upstream);
const struct upstream_config *upstream_settings(const struct upstream *upstream);
/*
 * Something that answers in the registry's place, so that no socket is opened: a folder. It fills
 * RESULT, a zeroed one, and may block.
 */
typedef void (*upstream_answer_fn)(void *ctx, const char *path, size_t limit,
                                   struct upstream_result *result);
/* Before the first request. CTX outlives the upstream. */
void upstream_answer_with(struct upstream *upstream, upstream_answer_fn answer, void *ctx);
/* For /readyz and metrics: false while the breaker is open. */
bool upstream_is_available(struct upstream *upstream);

/*
 * The client of one worker.
 *
 * Takes:   base: borrowed, outlives the client; prom: borrowed likewise, counts what is asked of
 *          upstreams; NULL: nothing is counted
 * Gives:   *out: new, upstream_client_free() on the same thread; requests under way are dropped
 *          without a callback
 */
GH_CHECKED bool upstream_client_new(struct event_base *base, struct prom *prom,
                                    struct upstream_client **out, struct gh_error *err);
void upstream_client_free(struct upstream_client *client);
struct event_base *upstream_client_base(const struct upstream_client *client);

enum upstream_method { UPSTREAM_GET = 0, UPSTREAM_HEAD, UPSTREAM_POST };

/* What is asked. Everything is copied. */
struct upstream_ask {
    struct upstream *upstream;
    enum upstream_method method;
    const char *path;       /* "/v2/…" with query; or a whole URL of the upstream's own origin */
    const char *repository; /* for the token's scope; NULL: none */
    const char *scope;      /* the scope itself, instead ("registry:catalog:*") */
    const char *accept;     /* NULL: any */
    uint64_t range_first;   /* not 0: only the bytes from here on */
    struct bytes body;      /* POST: at most 64 KiB; asked again like a GET (OCSP) */
    const char *body_type;
    size_t body_limit;   /* fetch: bytes of the answer's body */
    unsigned timeout_ms; /* the whole exchange; 0: fetch 60 s, stream none */
};

enum upstream_header {
    UPSTREAM_CONTENT_TYPE = 0,
    UPSTREAM_DOCKER_CONTENT_DIGEST,
    UPSTREAM_LINK,
    UPSTREAM_FILTERS_APPLIED,
    UPSTREAM_WWW_AUTHENTICATE,
    UPSTREAM_RETRY_AFTER,
    UPSTREAM_WARNING,
    UPSTREAM_LOCATION,
    UPSTREAM_CONTENT_RANGE,
    UPSTREAM_ACCEPT_RANGES,
    UPSTREAM_ETAG,
    UPSTREAM_SUPPORTS_SIGNATURES,
    UPSTREAM_HEADER_COUNT
};

/* The head of an answer: of the last hop, so that a redirected blob has the store's headers. */
struct upstream_head {
    int status;
    int64_t content_length;               /* -1: unknown */
    char *headers[UPSTREAM_HEADER_COUNT]; /* NULL: absent; repeated ones joined by ", " */
};

enum upstream_outcome {
    UPSTREAM_UNAVAILABLE = 0, /* not reached, broken off, too slow, 5xx, held down */
    UPSTREAM_OK,              /* 200 or 206 */
    UPSTREAM_ABSENT,          /* 404 */
    UPSTREAM_DENIED,          /* 401 or 403, or no token was to be had */
    UPSTREAM_THROTTLED,       /* 429 */
    UPSTREAM_REJECTED,        /* any other status */
    UPSTREAM_REFUSED,         /* by us: a redirect, realm or address that is not acceptable */
    UPSTREAM_TOO_LARGE,       /* past body_limit */
    UPSTREAM_FAILED           /* memory */
};

struct upstream_result {
    enum upstream_outcome outcome;
    bool is_retryable;
    unsigned retry_after_s;    /* 0: nobody said */
    struct gh_error error;     /* no cause only with UPSTREAM_OK */
    struct upstream_head head; /* status 0 where there was no answer */
    struct bytes_buf body;     /* fetch; whoever is called may take it and leave zeroes */
};

typedef void (*upstream_done_fn)(void *ctx, struct upstream_result *result);

/*
 * Fetch a small body into memory.
 *
 * Takes:   ask: borrowed, copied
 * Gives:   the request, for upstream_cancel(); done is called once, never from within this call,
 *          and not after upstream_cancel(). NULL when memory is out: done is not called.
 * Threads: the client's worker
 * Limits:  ask->body_limit
 */
struct upstream_request *upstream_fetch(struct upstream_client *client,
                                        const struct upstream_ask *ask, upstream_done_fn done,
                                        void *ctx);

enum upstream_take {
    UPSTREAM_TAKE_MORE = 0,
    UPSTREAM_TAKE_PAUSE, /* this was taken, but nothing more before upstream_resume() */
    UPSTREAM_TAKE_STOP   /* end it; on_done reports UPSTREAM_UNAVAILABLE */
};

/* Where a streamed body goes. */
struct upstream_sink {
    void *ctx;
    /* The head of a 200 or 206; other statuses go to on_done alone. False ends it. */
    bool (*on_head)(void *ctx, const struct upstream_head *head);
    /* A transfer that is not asked to pause may still deliver one more buffer afterwards. */
    enum upstream_take (*on_data)(void *ctx, struct bytes data);
    void (*on_done)(void *ctx, struct upstream_result *result);
};

/* As upstream_fetch(), for bodies of any size. Retries stop at on_head; resuming is the caller's.
 */
struct upstream_request *upstream_stream(struct upstream_client *client,
                                         const struct upstream_ask *ask,
                                         const struct upstream_sink *sink);
void upstream_resume(struct upstream_request *request);
/* No callback comes after this. NULL is fine. */
void upstream_cancel(struct upstream_request *request);

void upstream_result_done(struct upstream_result *result);
/* A header of the answer, or NULL. */
const char *upstream_head_get(const struct upstream_head *head, enum upstream_header header);

/* Monotonic time in milliseconds. */
int64_t upstream_now_ms(void);

#endif
