#include "proxy/command_replay.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>
#include <event2/thread.h>

#include "crypto/sjson.h"
#include "metrics/audit_verify.h"
#include "metrics/error.h"
#include "metrics/text.h"
#include "policy/config.h"
#include "policy/config_schema.h"
#include "proxy/config_files.h"
#include "proxy/inquiry.h"
#include "proxy/trust_held.h"

#define REPLAY_MAX_LOGS 64
#define REPLAY_MAX_SUBJECTS 100000
#define REPLAY_MAX_NAME 1024
#define REPLAY_MAX_OUTPUT (64u * 1024 * 1024)

static const char replay_help[] =
    "usage: gatehouse replay -c NEW [--since WHEN] [--log FILE]... [--store PATH] [--output "
    "text|json]\n"
    "\n"
    "Decides anew, by the proposed configuration NEW, about every image that the audit log has a\n"
    "decision about, and lists what would newly be denied or allowed, by owner and image. Evidence "
    "is\n"
    "fetched from the registries, or, with --store, taken from a gateway's store alone, which may\n"
    "be in use; what is not stored there is listed as not decided. Nothing is stored or "
    "recorded.\n"
    "\n"
    "  -c, --config NEW     the proposed configuration\n"
    "      --since WHEN     a time, a date, or how long ago (7d); all by default\n"
    "      --log FILE       the audit log, earlier parts first (that of NEW by default)\n"
    "      --store PATH     storage.path of the gateway that made the decisions; no registry is\n"
    "                       asked\n"
    "      --output FORMAT  text (default) or json\n"
    "\n"
    "Exit status: 0 nothing is newly denied, 1 something is, 2 wrong usage or configuration, 3\n"
    "something could not be decided\n";

struct replay {
    const char *file;
    const char *logs[REPLAY_MAX_LOGS];
    size_t log_count;
    const char *store; /* NULL: ask the registries */
    bool is_json;
    struct audit_filter filter;
    json_t *subjects; /* by tenant and image: the last decision recorded */
    bool is_full;
    json_t *changes; /* array */
    size_t unchanged;
    size_t denied;
    size_t undecided;
};

static const char *replay_get(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value != NULL ? value : "";
}

/* ---- what was recorded ---- */

static bool replay_on_line(const char *line, size_t len, uint64_t number, uint64_t offset,
                           bool is_torn, void *arg)
{
    struct replay *replay = arg;
    GH_OWN(sjson_freep) json_t *record = NULL;
    struct gh_error ignored = {0};
    const json_t *decision;
    char key[REPLAY_MAX_NAME];
    const char *type;

    if (is_torn || !audit_filter_match(&replay->filter, line, len) ||
        !sjson_parse_object(bytes_make((const uint8_t *)line, len), SJSON_MAX_BYTES, &record,
                            &ignored)) {
        return true;
    }
    type = replay_get(record, "type");
    if (strcmp(type, "allow") != 0 && strcmp(type, "denial") != 0 &&
        strcmp(type, "undecided") != 0) {
        return true;
    }
    decision = json_object_get(record, "decision");
    decision = json_is_object(decision) ? decision : record;
    if (replay_get(decision, "digest")[0] == '\0' ||
        (size_t)snprintf(key, sizeof(key), "%s\n%s@%s", replay_get(record, "tenant"),
                         replay_get(decision, "image"),
                         replay_get(decision, "digest")) >= sizeof(key)) {
        return true; /* the image could not be had: nothing was decided about it */
    }
    if (json_object_size(replay->subjects) == REPLAY_MAX_SUBJECTS) {
        replay->is_full = true;
        return false;
    }
    (void)json_object_set_new(
        replay->subjects, key,
        json_pack("{s:s,s:s,s:s,s:s,s:s}", "tenant", replay_get(record, "tenant"), "image",
                  replay_get(decision, "image"), "digest", replay_get(decision, "digest"),
                  "verdict", type, "owner", replay_get(decision, "owner")));
    return true;
}

static bool replay_read(struct replay *replay, struct gh_error *err)
{
    for (size_t i = 0; i < replay->log_count; i++) {
        GH_TRY(audit_each_line(replay->logs[i], replay_on_line, replay, err));
    }
    return !replay->is_full || gh_fail(err, GH_COUNT_LIMIT_EXCEEDED,
                                       "the log has decisions about more than %d images: name a "
                                       "later --since",
                                       REPLAY_MAX_SUBJECTS);
}

/* ---- what would be ---- */

static void replay_add(struct replay *replay, const char *change, const json_t *subject,
                       const json_t *now)
{
    const char *owner = replay_get(now, "owner");

    if (owner[0] == '\0') {
        owner = replay_get(subject, "owner");
    }
    (void)json_array_append_new(
        replay->changes,
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "change", change, "owner", owner,
                  "tenant", replay_get(subject, "tenant"), "image", replay_get(subject, "image"),
                  "digest", replay_get(subject, "digest"), "was", replay_get(subject, "verdict"),
                  "policy", replay_get(now, "policy"), "cause", replay_get(now, "cause"), "message",
                  replay_get(now, "message")));
}

static void replay_weigh(struct replay *replay, enum decide_outcome outcome, const json_t *subject,
                         const json_t *now)
{
    const char *was = replay_get(subject, "verdict");
    bool was_allowed = strcmp(was, "allow") == 0;

    switch (outcome) {
    case DECIDE_UNDECIDED:
        replay->undecided++;
        replay_add(replay, "undecided", subject, now);
        return;
    case DECIDE_ALLOW:
        if (was_allowed) {
            replay->unchanged++;
        } else {
            replay_add(replay, "allowed", subject, now);
        }
        return;
    case DECIDE_DENY:
        break;
    }
    if (was_allowed) {
        replay->denied++;
        replay_add(replay, "denied", subject, now);
    } else {
        replay->unchanged++;
    }
}

static void replay_ask(struct replay *replay, struct inquiry *inquiry, const json_t *subject)
{
    const char *tenant = replay_get(subject, "tenant");
    const char *image = replay_get(subject, "image");
    GH_OWN(sjson_freep) json_t *now = NULL;
    struct gh_error ignored = {0};
    char name[REPLAY_MAX_NAME + 160];
    struct inquiry_question question = {.image = name,
                                        .tenant = strcmp(tenant, "default") == 0 ? NULL : tenant};
    enum decide_outcome outcome;
    char *json = NULL;

    (void)snprintf(name, sizeof(name), "%s%s%s", image, strchr(image, '@') == NULL ? "@" : "",
                   strchr(image, '@') == NULL ? replay_get(subject, "digest") : "");
    outcome = inquiry_ask(inquiry, &question, &json);
    if (json == NULL || !sjson_parse_object(bytes_of(json), SJSON_MAX_BYTES, &now, &ignored)) {
        outcome = DECIDE_UNDECIDED;
    }
    replay_weigh(replay, outcome, subject, now);
    free(json);
}

static int replay_compare(const void *a, const void *b)
{
    const json_t *left = *(const json_t *const *)a;
    const json_t *right = *(const json_t *const *)b;
    int order = strcmp(replay_get(left, "owner"), replay_get(right, "owner"));

    return order != 0 ? order : strcmp(replay_get(left, "image"), replay_get(right, "image"));
}

/* ---- showing ---- */

static void replay_put_group(struct text *out, json_t *const *changes, size_t count,
                             const char *change, const char *title)
{
    const char *owner = NULL;

    for (size_t i = 0; i < count; i++) {
        const json_t *row = changes[i];

        if (strcmp(replay_get(row, "change"), change) != 0) {
            continue;
        }
        if (owner == NULL || strcmp(owner, replay_get(row, "owner")) != 0) {
            text_printf(out, "%s, owner %s\n", title,
                        replay_get(row, "owner")[0] != '\0' ? replay_get(row, "owner") : "nobody");
            owner = replay_get(row, "owner");
        }
        text_printf(out, "  %s (%s)", replay_get(row, "image"), replay_get(row, "digest"));
        if (strcmp(change, "allowed") != 0) {
            text_printf(out, ": %s", replay_get(row, "message"));
        }
        text_put(out, "\n");
    }
}

static void replay_put_text(const struct replay *replay, json_t *const *changes, size_t count,
                            struct text *out)
{
    replay_put_group(out, changes, count, "denied", "newly denied");
    replay_put_group(out, changes, count, "allowed", "newly allowed");
    replay_put_group(out, changes, count, "undecided", "not decided");
    text_printf(out, "%s%zu images decided as before\n", count == 0 ? "nothing changes; " : "",
                replay->unchanged);
}

static void replay_put_json(const struct replay *replay, json_t *const *changes, size_t count,
                            struct text *out)
{
    text_printf(out, "{\"unchanged\":%zu,\"changes\":[", replay->unchanged);
    for (size_t i = 0; i < count; i++) {
        char *row = json_dumps(changes[i], JSON_COMPACT);

        text_put(out, i > 0 ? "," : "");
        text_put(out, row != NULL ? row : "null");
        free(row);
    }
    text_put(out, "]}\n");
}

static bool replay_show(const struct replay *replay)
{
    size_t count = json_array_size(replay->changes);
    json_t **changes = calloc(count + 1, sizeof(*changes));
    struct text out;
    bool is_shown;

    if (changes == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        changes[i] = json_array_get(replay->changes, i);
    }
    qsort(changes, count, sizeof(*changes), replay_compare);
    text_init(&out, REPLAY_MAX_OUTPUT);
    if (replay->is_json) {
        replay_put_json(replay, changes, count, &out);
    } else {
        replay_put_text(replay, changes, count, &out);
    }
    is_shown = text_ok(&out) && fputs(text_cstr(&out), stdout) >= 0;
    text_done(&out);
    free(changes);
    return is_shown;
}

/* ---- the command ---- */

static bool replay_decide(struct replay *replay, struct gh_error *err)
{
    struct config_files files = {.tuf = trust_held_load};
    GH_OWN(inquiry_freep) struct inquiry *inquiry = NULL;
    struct config *config = NULL;
    const char *key;
    json_t *subject;

    if (!config_files_load(&files, replay->file, (int64_t)time(NULL), false, &config)) {
        return gh_fail(err, GH_POLICY_DENIED, "%s cannot be used", replay->file);
    }
    if (replay->log_count == 0) {
        replay->logs[replay->log_count++] = config->audit.path;
    }
    if (!replay_read(replay, err)) {
        config_unref(config);
        return false;
    }
    if (replay->store != NULL) {
        GH_TRY(inquiry_new_stored(config, replay->store, &inquiry, err));
    } else {
        GH_TRY(inquiry_new(config, &inquiry, err));
    }
    json_object_foreach (replay->subjects, key, subject) {
        replay_ask(replay, inquiry, subject);
    }
    return true;
}

static int replay_run(struct replay *replay)
{
    struct gh_error error = {0};
    int status = 2;

    replay->subjects = json_object();
    replay->changes = json_array();
    if (replay->subjects == NULL || replay->changes == NULL || !replay_decide(replay, &error)) {
        (void)fprintf(stderr, "gatehouse replay: %s\n", error.text);
    } else if (replay_show(replay)) {
        status = replay->denied > 0 ? 1 : replay->undecided > 0 ? 3 : 0;
    }
    json_decref(replay->subjects);
    json_decref(replay->changes);
    return status;
}

static bool replay_read_since(const char *text, struct replay *replay)
{
    int64_t seconds;

    if (config_parse_duration(text, &seconds)) {
        replay->filter.since_unix_ms = ((int64_t)time(NULL) - seconds) * 1000;
        return true;
    }
    if (config_parse_time(text, CONFIG_START, &seconds)) {
        replay->filter.since_unix_ms = seconds * 1000;
        return true;
    }
    (void)fputs("gatehouse replay: --since is a time, a date or a duration (7d)\n", stderr);
    return false;
}

/* -1: go on; else the exit status. */
static int replay_options(struct replay *replay, int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"since", required_argument, NULL, 's'},
                                            {"log", required_argument, NULL, 'l'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"store", required_argument, NULL, 'p'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'c') {
            replay->file = optarg;
        } else if (option == 's' && replay_read_since(optarg, replay)) {
            continue;
        } else if (option == 'l' && replay->log_count < REPLAY_MAX_LOGS) {
            replay->logs[replay->log_count++] = optarg;
        } else if (option == 'p') {
            replay->store = optarg;
        } else if (option == 'o' && (strcmp(optarg, "json") == 0 || strcmp(optarg, "text") == 0)) {
            replay->is_json = optarg[0] == 'j';
        } else {
            (void)fputs(replay_help, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    if (replay->file == NULL || optind != argc) {
        (void)fputs(replay_help, stderr);
        return 2;
    }
    return -1;
}

int command_replay(int argc, char **argv)
{
    struct replay *replay = calloc(1, sizeof(*replay));
    int status = 2;

    if (replay == NULL) {
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)evthread_use_pthreads();
    status = replay_options(replay, argc, argv);
    if (status < 0) {
        status = 2;
        if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
            status = replay_run(replay);
            curl_global_cleanup();
        }
    }
    free(replay);
    return status;
}
