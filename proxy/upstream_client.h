/*
 * Inside of the upstream client: the shared object of a registry, a worker's client, one request.
 * Only upstream*.c includes this.
 */
#ifndef PROXY_UPSTREAM_CLIENT_H
#define PROXY_UPSTREAM_CLIENT_H

#include <curl/curl.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "gatehouse.h"
#include "metrics/lock.h"
#include "proxy/upstream.h"
#include "proxy/upstream_auth.h"
#include "proxy/upstream_limit.h"
#include "proxy/upstream_redirect.h"

#define UPSTREAM_MAX_WATCHERS 256
#define UPSTREAM_MAX_ATTEMPTS 3
#define UPSTREAM_MAX_DISCARD (64u * 1024) /* of an error's body, to keep the connection */
#define UPSTREAM_QUEUE_MS 30000           /* longest wait for a slot */
#define UPSTREAM_FETCH_TIMEOUT_MS 60000
#define UPSTREAM_MAX_RETRY_WAIT_MS 10000 /* a Retry-After past this is the caller's business */
#define UPSTREAM_MAX_IDLE_EASY 64

struct upstream_watcher {
    struct upstream_client *client;
    size_t requests;
};

/*
 * Threads: any. `lock` (rank GH_RANK_UPSTREAM) guards what stands below it; the rest is written
 * before the object is shared.
 */
struct upstream {
    atomic_int references;
    struct upstream_config config; /* owned copies */
    char *base;                    /* URL without a slash at its end */
    struct upstream_origin origin;
    char *basic;               /* "Basic …", NULL for anonymous */
    upstream_answer_fn answer; /* NULL: the registry answers */
    void *answer_ctx;

    struct lock lock;
    struct upstream_limit limit;
    struct upstream_auth auth;
    struct upstream_watcher watchers[UPSTREAM_MAX_WATCHERS]; /* clients with requests */
    size_t watcher_count;
    size_t waiting; /* requests that want to be woken */
};

/* Tell every client that waits that a slot or a token may be there. The lock is held. */
void upstream_wake_waiting(struct upstream *upstream);
GH_CHECKED bool upstream_watch(struct upstream *upstream, struct upstream_client *client);
void upstream_unwatch(struct upstream *upstream, struct upstream_client *client);

TAILQ_HEAD(upstream_request_list, upstream_request);

/* Threads: one worker, but for upstream_client_wake(). */
struct upstream_client {
    struct event_base *base;
    struct prom *prom; /* may be NULL */
    CURLM *multi;
    struct event *timer;
    int wake_fd;
    struct event *wake_event;
    atomic_bool is_woken;
    uint64_t turn; /* one more for each event handed to curl */
    struct upstream_request_list requests;
    struct upstream_request_list waiting;
    CURL *idle[UPSTREAM_MAX_IDLE_EASY];
    size_t idle_count;
    uint32_t random_state;
    bool is_stopping; /* takes no more requests */
};

/* Any thread. */
void upstream_client_wake(struct upstream_client *client);
/* Hand finished transfers to their requests. Not from within a curl callback. */
void upstream_client_drain(struct upstream_client *client);
CURL *upstream_client_take_easy(struct upstream_client *client);
void upstream_client_give_easy(struct upstream_client *client, CURL *easy);
uint32_t upstream_client_random(struct upstream_client *client);

enum upstream_request_state {
    UPSTREAM_REQUEST_WAITING = 0, /* for a token, a slot, the rate, a hold */
    UPSTREAM_REQUEST_RUNNING,
    UPSTREAM_REQUEST_BACKOFF,
    UPSTREAM_REQUEST_ENDED
};

struct upstream_request {
    TAILQ_ENTRY(upstream_request) all_link;
    TAILQ_ENTRY(upstream_request) waiting_link;
    struct upstream_client *client;
    struct upstream *upstream;
    struct event *timer;
    enum upstream_request_state state;
    bool is_listed_waiting;
    bool is_cancelled;

    /* what is asked */
    enum upstream_method method;
    char *url;
    char *hop_url; /* after redirects; NULL: url */
    bool has_origin;
    struct upstream_origin origin; /* of the URL that is asked next, or now */
    char *accept;
    char *scope;
    uint64_t range_first;
    struct bytes_buf post;
    char *post_type;
    size_t body_limit;
    bool is_streamed;
    struct upstream_sink sink;
    upstream_done_fn done;
    void *ctx;

    /* a token fetch: asks the token service and owes the cache an answer */
    bool is_token;
    uint64_t token_serial;

    /* credentials of the attempt */
    char *authorization;
    uint64_t auth_serial; /* 0: not a cached token */
    unsigned auth_rounds;

    /* progress */
    unsigned attempts;
    unsigned hops;
    bool has_slot;
    int64_t deadline_ms;      /* of the whole; INT64_MAX: none */
    int64_t wait_deadline_ms; /* of waiting for a slot */
    int64_t next_ms;          /* when to look again while waiting; INT64_MAX: when woken */
    int64_t started_ms;       /* this hop */
    int64_t progress_ms;      /* last byte */

    /* the hop under way */
    CURL *easy;
    bool is_hop_started; /* to be counted when it ends */
    struct curl_slist *lines;
    struct upstream_head head;
    size_t header_bytes;
    bool is_head_complete;
    bool has_transfer_encoding;
    bool is_head_given;
    bool is_curl_paused;
    bool is_sink_paused;
    bool is_stopped_by_sink;
    uint64_t turn;
    size_t turn_bytes;
    size_t discarded_bytes;
    uint64_t received_bytes;
    struct bytes_buf body;
    size_t body_capacity;
    struct gh_error refusal; /* set in curl's callbacks: why the hop was ended */
    enum upstream_outcome refusal_outcome;
};

struct upstream_request *upstream_request_new(struct upstream_client *client,
                                              const struct upstream_ask *ask);
void upstream_request_free(struct upstream_request *request);
/* The client ends: tell whoever waits. Frees the request. */
void upstream_request_stop(struct upstream_request *request);
/* Look what can be done next. May free the request. */
void upstream_request_step(struct upstream_request *request);
/* Curl is done with the hop. May free the request. */
void upstream_request_complete(struct upstream_request *request, CURLcode code);
/* See to it that request->origin is that of its URL: a URL is taken apart once. */
GH_CHECKED bool upstream_request_origin(struct upstream_request *request, struct gh_error *err);
/* Step again in the next turn of the loop. */
void upstream_request_defer(struct upstream_request *request);

/* upstream_hop.c: one HTTP exchange of a request. */
GH_CHECKED bool upstream_hop_start(struct upstream_request *request, struct gh_error *err);
/* Take the easy handle off curl and drop what belongs to the hop, but for the head and body. */
void upstream_hop_end(struct upstream_request *request);
void upstream_hop_reset_head(struct upstream_request *request);

/* upstream_token.c: credentials for an attempt. False: wait, or the request has ended. */
enum upstream_token_answer { UPSTREAM_TOKEN_GO = 0, UPSTREAM_TOKEN_WAIT, UPSTREAM_TOKEN_REFUSED };
enum upstream_token_answer upstream_token_prepare(struct upstream_request *request,
                                                  struct gh_error *err);
/* A 401 came: whether another attempt with other credentials makes sense. */
bool upstream_token_on_refused(struct upstream_request *request, struct gh_error *err);
void upstream_token_abandon(struct upstream_request *request);

#endif
