#include "proxy/inquiry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cache/edges.h"
#include "cache/store.h"
#include "metrics/error.h"
#include "policy/config.h"
#include "proxy/answers.h"
#include "proxy/ask.h"
#include "proxy/flight.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/helper.h"
#include "proxy/layout.h"
#include "proxy/upstream.h"
#include "proxy/verification.h"
#include "proxy/worker.h"

struct inquiry {
    struct gateway gateway;
    bool is_within; /* the stores are another's */
    const struct inquiry_question *question;
    /* the answer, from the worker */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool is_answered;
    enum decide_outcome outcome;
    char *json;
};

struct inquiry_mail {
    struct worker_mail mail; /* first */
    struct inquiry *inquiry;
};

static void inquiry_on_answer(void *ctx, const struct ask_answer *answer)
{
    struct inquiry *inquiry = ctx;

    (void)pthread_mutex_lock(&inquiry->mutex);
    inquiry->is_answered = true;
    inquiry->outcome = answer->outcome;
    inquiry->json = strdup(answer->json);
    (void)pthread_cond_signal(&inquiry->cond);
    (void)pthread_mutex_unlock(&inquiry->mutex);
}

/* The question is asked on the worker, as every other is. */
static void inquiry_begin(struct worker_mail *mail, struct worker *worker)
{
    struct inquiry *inquiry = ((struct inquiry_mail *)mail)->inquiry;
    const struct ask_question question = {.image = inquiry->question->image,
                                          .tenant = inquiry->question->tenant,
                                          .surface = GATE_API,
                                          .is_explaining = inquiry->question->is_explaining,
                                          .at_unix_s = inquiry->question->at_unix_s};
    static const struct ask_answer none = {.outcome = DECIDE_UNDECIDED, .json = "{}"};

    if (ask_start(&inquiry->gateway, worker, &question, inquiry_on_answer, inquiry) == NULL) {
        inquiry_on_answer(inquiry, &none);
    }
    free(mail);
}

static void inquiry_free_client(void *client)
{
    upstream_client_free(client);
}

/* Every registry of every tenant: another one has no object to be asked with. */
static void inquiry_answer_with(struct generation *generation, struct layout *layout)
{
    for (size_t t = 0; t < generation->tenant_count; t++) {
        const struct generation_tenant *tenant = &generation->tenants[t];

        for (size_t i = 0; i < tenant->config->upstreams.count; i++) {
            upstream_answer_with(tenant->upstreams[i], layout_answer, layout);
        }
    }
}

static bool inquiry_start(struct inquiry *inquiry, struct generation *generation,
                          struct gh_error *err)
{
    struct gateway *gateway = &inquiry->gateway;
    struct upstream_client *client;

    gateway_adopt(gateway, generation);
    GH_TRY(flights_new(&gateway->flights, err));
    GH_TRY(helper_pool_new(1, &gateway->helpers, err));
    GH_TRY(helper_pool_new(1, &gateway->verifiers, err));
    GH_TRY(worker_new(0, &gateway->workers[0], err));
    gateway->worker_count = 1;
    GH_TRY(upstream_client_new(worker_base(gateway->workers[0]), gateway->prom, &client, err));
    worker_attach(gateway->workers[0], WORKER_SLOT_UPSTREAM,
                  &(struct worker_member){.self = client, .on_stop = inquiry_free_client});
    GH_TRY(verification_attach(gateway->workers[0], err));
    return worker_start(gateway->workers[0], err);
}

static bool inquiry_open_store(struct inquiry *inquiry, const char *path, struct gh_error *err)
{
    const struct store_config config = {.path = path, .is_read_only = true};

    if (path == NULL) {
        return true;
    }
    inquiry->gateway.is_stored_only = true;
    GH_TRY(store_open(&config, &inquiry->gateway.store, err));
    GH_TRY(answers_new(&inquiry->gateway, &inquiry->gateway.answers, err));
    return edges_new(inquiry->gateway.store, &inquiry->gateway.edges, err);
}

static struct inquiry *inquiry_alloc(void)
{
    struct inquiry *inquiry = calloc(1, sizeof(*inquiry));

    if (inquiry != NULL) {
        lock_init(&inquiry->gateway.lock, GH_RANK_CONFIG);
        (void)pthread_mutex_init(&inquiry->mutex, NULL);
        (void)pthread_cond_init(&inquiry->cond, NULL);
    }
    return inquiry;
}

static bool inquiry_make(struct config *config, const char *path, struct layout *layout,
                         struct inquiry **out, struct gh_error *err)
{
    GH_OWN(inquiry_freep) struct inquiry *inquiry = inquiry_alloc();
    struct generation *generation = NULL;

    if (inquiry == NULL) {
        config_unref(config);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory");
    }
    if (!inquiry_open_store(inquiry, path, err)) {
        config_unref(config);
        return false;
    }
    GH_TRY(generation_new(config, 1, NULL, &generation, err));
    if (layout != NULL) {
        inquiry_answer_with(generation, layout);
    }
    GH_TRY(inquiry_start(inquiry, generation, err));
    *out = GH_TAKE(inquiry);
    return true;
}

bool inquiry_new_within(const struct gateway *live, struct generation *generation,
                        struct inquiry **out, struct gh_error *err)
{
    GH_OWN(inquiry_freep) struct inquiry *inquiry = inquiry_alloc();

    if (inquiry == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory");
    }
    inquiry->is_within = true;
    inquiry->gateway.is_stored_only = true;
    inquiry->gateway.is_background = true;
    inquiry->gateway.store = live->store;
    inquiry->gateway.blobs = live->blobs;
    inquiry->gateway.verdicts = live->verdicts;
    inquiry->gateway.edges = live->edges;
    inquiry->gateway.answers = live->answers;
    inquiry->gateway.recorder = live->recorder;
    inquiry->gateway.log = live->log;
    GH_TRY(inquiry_start(inquiry, generation_ref(generation), err));
    *out = GH_TAKE(inquiry);
    return true;
}

struct gateway *inquiry_gateway(struct inquiry *inquiry)
{
    return &inquiry->gateway;
}

bool inquiry_new(struct config *config, struct inquiry **out, struct gh_error *err)
{
    return inquiry_make(config, NULL, NULL, out, err);
}

bool inquiry_new_stored(struct config *config, const char *path, struct inquiry **out,
                        struct gh_error *err)
{
    return inquiry_make(config, path, NULL, out, err);
}

bool inquiry_new_layout(struct config *config, struct layout *layout, struct inquiry **out,
                        struct gh_error *err)
{
    return inquiry_make(config, NULL, layout, out, err);
}

void inquiry_free(struct inquiry *inquiry)
{
    struct gateway *gateway;

    if (inquiry == NULL) {
        return;
    }
    gateway = &inquiry->gateway;
    if (gateway->worker_count > 0) {
        worker_join(gateway->workers[0]); /* it hands jobs to the pools: it ends first */
    }
    helper_pool_free(gateway->verifiers);
    helper_pool_free(gateway->helpers);
    if (gateway->worker_count > 0) {
        worker_free(gateway->workers[0]);
    }
    flights_free(gateway->flights);
    generation_unref(gateway->generation);
    if (!inquiry->is_within) {
        answers_free(gateway->answers);
        edges_free(gateway->edges);
        store_close(gateway->store);
    }
    lock_done(&gateway->lock);
    (void)pthread_cond_destroy(&inquiry->cond);
    (void)pthread_mutex_destroy(&inquiry->mutex);
    free(inquiry->json);
    free(inquiry);
}

enum decide_outcome inquiry_ask(struct inquiry *inquiry, const struct inquiry_question *question,
                                char **json)
{
    struct inquiry_mail *mail = calloc(1, sizeof(*mail));

    *json = NULL;
    if (mail == NULL) {
        return DECIDE_UNDECIDED;
    }
    inquiry->question = question;
    inquiry->is_answered = false;
    mail->mail.run = inquiry_begin;
    mail->inquiry = inquiry;
    worker_post(inquiry->gateway.workers[0], &mail->mail);
    (void)pthread_mutex_lock(&inquiry->mutex);
    while (!inquiry->is_answered) {
        (void)pthread_cond_wait(&inquiry->cond, &inquiry->mutex);
    }
    (void)pthread_mutex_unlock(&inquiry->mutex);
    *json = GH_TAKE(inquiry->json);
    return *json != NULL ? inquiry->outcome : DECIDE_UNDECIDED;
}
