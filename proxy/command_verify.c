#include "proxy/command_verify.h"

#include <getopt.h>
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
#include "policy/image.h"
#include "proxy/config_files.h"
#include "proxy/decision_text.h"
#include "proxy/gateway.h"
#include "proxy/inquiry.h"
#include "proxy/layout.h"
#include "proxy/remote.h"
#include "proxy/trust_held.h"

static const char command_verify_help[] =
    "usage: gatehouse verify -c FILE [--tenant NAME] [--at TIME] [--output text|json] IMAGE\n"
    "       gatehouse verify -c FILE [--tenant NAME] [--at TIME] [--output text|json]\n"
    "                        --layout DIR --as IMAGE\n"
    "       gatehouse verify [-c FILE] --remote URL [--output text|json] IMAGE\n"
    "\n"
    "Decides about IMAGE (UPSTREAM/REPOSITORY[:TAG][@DIGEST]) as the gateway would, and shows "
    "each\n"
    "requirement, each candidate signature and the first step each failed. Nothing is stored.\n"
    "\n"
    "  -c, --config FILE    the configuration\n"
    "      --tenant NAME    as this tenant decides (the main file's by default)\n"
    "      --at TIME        decide as of another time (RFC 3339, or a date)\n"
    "      --layout DIR     decide from an OCI image layout, with the evidence in it: no registry\n"
    "                       is asked\n"
    "      --as IMAGE       the name the layout's image has for the policies\n"
    "      --remote URL     ask the gateway whose admin API is there; FILE only names its token\n"
    "      --output FORMAT  text (default) or json\n"
    "\n"
    "Exit status: 0 allowed, 1 denied, 2 wrong usage or configuration, 3 could not decide\n";

struct command_verify {
    const char *file; /* with a remote: NULL, or where its token is named */
    const char *image;
    const char *tenant;
    const char *remote; /* NULL: decide here */
    const char *layout; /* NULL: the registries are asked */
    int64_t at_unix_s;
    bool is_json;
};

static bool command_verify_load(const struct command_verify *self, struct config **out,
                                struct gh_error *err)
{
    struct config_files files = {.tuf = trust_held_load};
    GH_OWN(config_unrefp) struct config *config = NULL;

    if (!config_files_load(&files, self->file,
                           self->at_unix_s != 0 ? self->at_unix_s : gateway_now(), false,
                           &config)) {
        return gh_fail(err, GH_POLICY_DENIED, "%s cannot be used", self->file);
    }
    if (self->tenant != NULL && config_tenant_find(config, self->tenant) == NULL) {
        return gh_fail(err, GH_NAME_UNKNOWN, "%s has no tenant called '%.128s'", self->file,
                       self->tenant);
    }
    *out = GH_TAKE(config);
    return true;
}

static void command_verify_show(const struct command_verify *self, const char *json)
{
    GH_OWN(sjson_freep) json_t *object = NULL;
    struct gh_error error = {0};
    struct text out;

    text_init(&out, 16u * 1024 * 1024);
    if (self->is_json) {
        text_printf(&out, "%s\n", json);
    } else if (sjson_parse_object(bytes_of(json), SJSON_MAX_BYTES, &object, &error)) {
        decision_text_people(&out, object);
    }
    (void)fputs(text_cstr(&out), stdout);
    text_done(&out);
}

static int command_verify_status(enum decide_outcome outcome)
{
    switch (outcome) {
    case DECIDE_ALLOW:
        return 0;
    case DECIDE_UNDECIDED:
        return 3;
    case DECIDE_DENY:
        break;
    }
    return 1;
}

/* The name must be one before anything is asked: a slip of the pen is no denial. */
static bool command_verify_open(const struct command_verify *self, const struct config *config,
                                struct layout **out, struct gh_error *err)
{
    const struct config_tenant *tenant =
        self->tenant != NULL ? config_tenant_find(config, self->tenant) : &config->tenants[0];
    struct image_ref as;

    GH_TRY(image_ref_parse(bytes_of(self->image), tenant->default_upstream, &as, err));
    if (config_tenant_upstream(tenant, as.upstream) == NULL) {
        return gh_fail(err, GH_NAME_UNKNOWN, "%s is not one of the upstreams", as.upstream);
    }
    return self->layout == NULL || layout_open(self->layout, &as, out, err);
}

static bool command_verify_here(const struct command_verify *self, int *status,
                                struct gh_error *err)
{
    const struct inquiry_question question = {.image = self->image,
                                              .tenant = self->tenant,
                                              .at_unix_s = self->at_unix_s,
                                              .is_explaining = true};
    GH_OWN(layout_freep) struct layout *layout = NULL;
    GH_OWN(inquiry_freep) struct inquiry *inquiry = NULL;
    GH_OWN(config_unrefp) struct config *config = NULL;
    char *json = NULL;

    GH_TRY(command_verify_load(self, &config, err));
    GH_TRY(command_verify_open(self, config, &layout, err));
    GH_TRY(layout != NULL ? inquiry_new_layout(GH_TAKE(config), layout, &inquiry, err)
                          : inquiry_new(GH_TAKE(config), &inquiry, err));
    *status = command_verify_status(inquiry_ask(inquiry, &question, &json));
    if (json != NULL) {
        command_verify_show(self, json);
    }
    free(json);
    return true;
}

/* The verdict of an answer; what cannot be read allows nothing. */
static int command_verify_verdict(const char *json)
{
    GH_OWN(sjson_freep) json_t *object = NULL;
    struct gh_error error = {0};
    const char *verdict = NULL;

    if (sjson_parse_object(bytes_of(json), SJSON_MAX_BYTES, &object, &error)) {
        verdict = json_string_value(json_object_get(object, "verdict"));
    }
    if (verdict != NULL && strcmp(verdict, "deny") == 0) {
        return 1;
    }
    return verdict != NULL && strcmp(verdict, "allow") == 0 ? 0 : 3;
}

static bool command_verify_there(const struct command_verify *self, int *status,
                                 struct gh_error *err)
{
    GH_OWN(config_unrefp) struct config *config = NULL;
    struct text answer;
    bool is_done;

    if (self->file != NULL) {
        GH_TRY(command_verify_load(self, &config, err));
    }
    text_init(&answer, REMOTE_MAX_ANSWER);
    is_done = remote_verify(self->remote, config != NULL ? config->admin.token : NULL, self->image,
                            &answer, err);
    if (is_done) {
        *status = command_verify_verdict(text_cstr(&answer));
        command_verify_show(self, text_cstr(&answer));
    } else if (err->cause == GH_UPSTREAM_UNAVAILABLE) {
        *status = 3;
    }
    text_done(&answer);
    return is_done;
}

static int command_verify_run(const struct command_verify *self)
{
    struct gh_error error = {0};
    int status = 2;

    if (!(self->remote != NULL ? command_verify_there(self, &status, &error)
                               : command_verify_here(self, &status, &error))) {
        (void)fprintf(stderr, "gatehouse verify: %s\n", error.text);
    }
    return status;
}

static bool command_verify_read_options(struct command_verify *self, int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"tenant", required_argument, NULL, 't'},
        {"at", required_argument, NULL, 'a'},
        {"output", required_argument, NULL, 'o'},
        {"remote", required_argument, NULL, 'r'},
        {"layout", required_argument, NULL, 'l'},
        {"as", required_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *as = NULL;
    int option;

    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            self->file = optarg;
            break;
        case 't':
            self->tenant = optarg;
            break;
        case 'r':
            self->remote = optarg;
            break;
        case 'l':
            self->layout = optarg;
            break;
        case 'n':
            as = optarg;
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
    if ((self->layout != NULL) != (as != NULL) || (as != NULL && optind != argc)) {
        (void)fputs("gatehouse verify: a layout needs --as IMAGE, and no other image\n", stderr);
        return false;
    }
    self->image = as != NULL ? as : optind + 1 == argc ? argv[optind] : NULL;
    if (self->remote != NULL && self->layout != NULL) {
        (void)fputs("gatehouse verify: --layout is decided about here, not by --remote\n", stderr);
        return false;
    }
    if (self->remote != NULL && (self->at_unix_s != 0 || self->tenant != NULL)) {
        (void)fputs("gatehouse verify: a running gateway decides as of now, and by the image's "
                    "name: --at and --tenant are for decisions made here\n",
                    stderr);
        return false;
    }
    return (self->file != NULL || self->remote != NULL) && self->image != NULL;
}

int command_verify(int argc, char **argv)
{
    struct command_verify self = {0};
    int status = 2;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)evthread_use_pthreads();
    if (!command_verify_read_options(&self, argc, argv)) {
        (void)fputs(command_verify_help, stderr);
        return 2;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == 0) {
        status = command_verify_run(&self);
        curl_global_cleanup();
    }
    return status;
}
