#include "proxy/command_verify.h"

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <event2/thread.h>

#include "crypto/sjson.h"
#include "metrics/text.h"
#include "policy/config.h"
#include "policy/config_schema.h"
#include "proxy/ask.h"
#include "proxy/config_files.h"
#include "proxy/decision_text.h"
#include "proxy/flight.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/helper.h"
#include "proxy/trust_held.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

static const char command_verify_help[] =
    "usage: gatehouse verify -c FILE [--tenant NAME] [--at TIME] [--output text|json] IMAGE\n"
    "\n"
    "Decides about IMAGE (UPSTREAM/REPOSITORY[:TAG][@DIGEST]) as the gateway would, and shows "
    "each\n"
    "requirement, each candidate signature and the first step each failed. Nothing is stored.\n"
    "\n"
    "  -c, --config FILE    the configuration\n"
    "      --tenant NAME    as this tenant decides (the main file's by default)\n"
    "      --at TIME        decide as of another time (RFC 3339, or a date)\n"
    "      --output FORMAT  text (default) or json\n"
    "\n"
    "exit status: 0 allowed, 1 denied, 2 wrong usage or configuration, 3 could not decide\n";

struct command_verify {
    struct gateway gateway;
    const char *file;
    const char *image;
    const char *tenant;
    int64_t at_unix_s;
    bool is_json;
    /* the answer, from the worker */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool is_answered;
    enum decide_outcome outcome;
    char *json;
};

static void command_verify_on_answer(void *ctx, const struct ask_answer *answer)
{
    struct command_verify *self = ctx;

    (void)pthread_mutex_lock(&self->mutex);
    self->is_answered = true;
    self->outcome = answer->outcome;
    self->json = strdup(answer->json);
    (void)pthread_cond_signal(&self->cond);
    (void)pthread_mutex_unlock(&self->mutex);
}

struct command_verify_mail {
    struct worker_mail mail; /* first */
    struct command_verify *self;
};

/* The question is asked on the worker, as every other is. */
static void command_verify_begin(struct worker_mail *mail, struct worker *worker)
{
    struct command_verify *self = ((struct command_verify_mail *)mail)->self;
    const struct ask_question question = {.image = self->image,
                                          .tenant = self->tenant,
                                          .surface = GATE_API,
                                          .is_explaining = true,
                                          .at_unix_s = self->at_unix_s};
    static const struct ask_answer none = {.outcome = DECIDE_UNDECIDED, .json = "{}"};

    if (ask_start(&self->gateway, worker, &question, command_verify_on_answer, self) == NULL) {
        command_verify_on_answer(self, &none);
    }
    free(mail);
}

static void command_verify_free_client(void *client)
{
    upstream_client_free(client);
}

static bool command_verify_start(struct command_verify *self, struct gh_error *err)
{
    struct gateway *gateway = &self->gateway;
    struct command_verify_mail *mail;
    struct upstream_client *client;

    GH_TRY(flights_new(&gateway->flights, err));
    GH_TRY(helper_pool_new(1, &gateway->helpers, err));
    GH_TRY(helper_pool_new(1, &gateway->verifiers, err));
    GH_TRY(worker_new(0, &gateway->workers[0], err));
    gateway->worker_count = 1;
    GH_TRY(upstream_client_new(worker_base(gateway->workers[0]), &client, err));
    worker_attach(gateway->workers[0], WORKER_SLOT_UPSTREAM,
                  &(struct worker_member){.self = client, .on_stop = command_verify_free_client});
    GH_TRY(worker_start(gateway->workers[0], err));
    mail = calloc(1, sizeof(*mail));
    if (mail == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory");
    }
    mail->mail.run = command_verify_begin;
    mail->self = self;
    worker_post(gateway->workers[0], &mail->mail);
    return true;
}

static void command_verify_stop(struct command_verify *self)
{
    struct gateway *gateway = &self->gateway;

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
    lock_done(&gateway->lock);
}

static bool command_verify_load(struct command_verify *self, struct gh_error *err)
{
    struct config_files files = {.tuf = trust_held_load};
    struct generation *generation = NULL;
    struct config *config = NULL;

    if (!config_files_load(&files, self->file,
                           self->at_unix_s != 0 ? self->at_unix_s : gateway_now(), false,
                           &config)) {
        return gh_fail(err, GH_POLICY_DENIED, "%s cannot be used", self->file);
    }
    if (self->tenant != NULL && config_tenant_find(config, self->tenant) == NULL) {
        config_unref(config);
        return gh_fail(err, GH_NAME_UNKNOWN, "%s has no tenant called '%.128s'", self->file,
                       self->tenant);
    }
    GH_TRY(generation_new(config, 1, NULL, &generation, err));
    gateway_adopt(&self->gateway, generation);
    return true;
}

static int command_verify_show(struct command_verify *self)
{
    static const int statuses[] = {[DECIDE_DENY] = 1, [DECIDE_UNDECIDED] = 3, [DECIDE_ALLOW] = 0};
    GH_OWN(sjson_freep) json_t *object = NULL;
    struct gh_error error = {0};
    struct text out;

    text_init(&out, 16u * 1024 * 1024);
    if (self->is_json) {
        text_printf(&out, "%s\n", self->json);
    } else if (sjson_parse_object(bytes_of(self->json), SJSON_MAX_BYTES, &object, &error)) {
        decision_text_people(&out, object);
    }
    (void)fputs(text_cstr(&out), stdout);
    text_done(&out);
    return statuses[self->outcome];
}

static int command_verify_run(struct command_verify *self)
{
    struct gh_error error = {0};
    int status = 2;

    lock_init(&self->gateway.lock, GH_RANK_CONFIG);
    if (!command_verify_load(self, &error) || !command_verify_start(self, &error)) {
        (void)fprintf(stderr, "gatehouse verify: %s\n", error.text);
        command_verify_stop(self);
        return status;
    }
    (void)pthread_mutex_lock(&self->mutex);
    while (!self->is_answered) {
        (void)pthread_cond_wait(&self->cond, &self->mutex);
    }
    (void)pthread_mutex_unlock(&self->mutex);
    status = self->json != NULL ? command_verify_show(self) : 3;
    command_verify_stop(self);
    free(self->json);
    return status;
}

static bool command_verify_read_options(struct command_verify *self, int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"tenant", required_argument, NULL, 't'},
        {"at", required_argument, NULL, 'a'},     {"output", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            self->file = optarg;
            break;
        case 't':
            self->tenant = optarg;
            break;
        case 'a':
            if (!config_parse_time(optarg, CONFIG_START, &self->at_unix_s)) {
                (void)fputs("gatehouse verify: --at is a date or an RFC 3339 time with Z\n",
                            stderr);
                return false;
            }
            break;
        case 'o':
            if (strcmp(optarg, "json") != 0 && strcmp(optarg, "text") != 0) {
                (void)fputs("gatehouse verify: --output is text or json\n", stderr);
                return false;
            }
            self->is_json = strcmp(optarg, "json") == 0;
            break;
        case 'h':
            (void)fputs(command_verify_help, stdout);
            exit(0);
        default:
            return false;
        }
    }
    self->image = optind + 1 == argc ? argv[optind] : NULL;
    return self->file != NULL && self->image != NULL;
}

int command_verify(int argc, char **argv)
{
    struct command_verify *self = calloc(1, sizeof(*self));
    int status = 2;

    if (self == NULL) {
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)evthread_use_pthreads();
    (void)pthread_mutex_init(&self->mutex, NULL);
    (void)pthread_cond_init(&self->cond, NULL);
    if (command_verify_read_options(self, argc, argv)) {
        if (curl_global_init(CURL_GLOBAL_DEFAULT) == 0) {
            status = command_verify_run(self);
            curl_global_cleanup();
        }
    } else {
        (void)fputs(command_verify_help, stderr);
    }
    (void)pthread_cond_destroy(&self->cond);
    (void)pthread_mutex_destroy(&self->mutex);
    free(self);
    return status;
}
