#include "proxy/command_trust.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <curl/curl.h>

#include "cache/answer_store.h"
#include "crypto/digest.h"
#include "crypto/key.h"
#include "crypto/signer.h"
#include "metrics/error.h"
#include "metrics/text.h"
#include "policy/config.h"
#include "policy/config_schema.h"
#include "policy/trust_lint.h"
#include "proxy/config_files.h"
#include "proxy/trust_held.h"

#define COMMAND_TRUST_MAX_OUTPUT (16u * 1024 * 1024)
#define COMMAND_TRUST_DAY_S 86400

static const char command_trust_help[] =
    "usage: gatehouse trust status -c FILE [--cadence DURATION] [--output text|json]\n"
    "       gatehouse trust update -c FILE [--output text|json] [ROOT]...\n"
    "\n"
    "status shows roots, keys, certificates and lists: where they come from, their age, when they\n"
    "end; what the gateway keeps of fetched lists and OCSP answers; and what should be done "
    "before\n"
    "anything is refused. update refreshes the roots that "
    "come\n"
    "from TUF repositories now (all of them, or those named); a running gateway takes them over\n"
    "within seconds.\n"
    "\n"
    "  -c, --config FILE       the configuration\n"
    "      --cadence DURATION  how often keys and files are replaced (400d)\n"
    "      --output FORMAT     text (default) or json\n"
    "\n"
    "Exit status: 0 done, 2 wrong usage or configuration, 3 a root could not be refreshed\n";

struct command_trust {
    const char *file;
    bool is_json;
    bool is_update;
    int64_t cadence_s;
    int64_t now_unix_s;
    char **names; /* of update */
    int name_count;
    bool is_failed;
    struct text out;
    const char *tenant; /* of what is being listed */
};

static void command_trust_put_moment(struct text *out, const char *key, int64_t unix_s)
{
    text_put_key(out, key);
    if (unix_s == INT64_MAX || unix_s == INT64_MIN || unix_s == 0) {
        text_put(out, "null");
        return;
    }
    text_put(out, "\"");
    text_put_time(out, unix_s);
    text_put(out, "\"");
}

static void command_trust_put_pair(struct text *out, const char *key, const char *value)
{
    text_put_key(out, key);
    text_put_json(out, value);
}

/* "2027-01-01T00:00:00Z (in 41 days)" */
static void command_trust_say_moment(struct command_trust *self, const char *label, int64_t unix_s)
{
    int64_t days = (unix_s - self->now_unix_s) / COMMAND_TRUST_DAY_S;

    if (unix_s == INT64_MAX || unix_s == INT64_MIN || unix_s == 0) {
        return;
    }
    text_printf(&self->out, "  %s ", label);
    text_put_time(&self->out, unix_s);
    if (unix_s >= self->now_unix_s) {
        text_printf(&self->out, " (in %lld days)", (long long)days);
    } else {
        text_printf(&self->out, " (%lld days ago)", (long long)-days);
    }
}

static void command_trust_begin_item(struct text *out)
{
    if (out->len > 0 && out->data[out->len - 1] != '[') {
        text_put_char(out, ',');
    }
    text_put_char(out, '{');
}

static const char *command_trust_root_kind(const struct config_root *root)
{
    if (root->url != NULL) {
        return "tuf";
    }
    return strlen(root->source) > 5 && strcmp(root->source + strlen(root->source) - 5, ".json") == 0
               ? "trusted_root"
               : "certificates";
}

static const char *command_trust_root_state(const struct config_root *root, int64_t now)
{
    if (root->content == NULL) {
        return "missing";
    }
    if (root->stale_at_unix_s <= now) {
        return "stale";
    }
    return root->ends_unix_s <= now ? "ended" : "good";
}

static void command_trust_put_tuf(struct text *out, const struct tuf_status *status)
{
    text_printf(out, ",\"tuf\":{\"root_version\":%lld", (long long)status->root_version);
    command_trust_put_moment(out, "root_expires", status->root_expires_unix_s);
    text_printf(out, ",\"timestamp_version\":%lld", (long long)status->timestamp_version);
    command_trust_put_moment(out, "timestamp_expires", status->timestamp_expires_unix_s);
    text_printf(out, ",\"snapshot_version\":%lld", (long long)status->snapshot_version);
    command_trust_put_moment(out, "snapshot_expires", status->snapshot_expires_unix_s);
    text_printf(out, ",\"targets_version\":%lld", (long long)status->targets_version);
    command_trust_put_moment(out, "targets_expires", status->targets_expires_unix_s);
    text_put(out, "}");
}

static void command_trust_root(struct command_trust *self, const struct config *config,
                               const struct config_tenant *tenant, const struct config_root *root)
{
    struct text *out = &self->out;
    struct tuf_status status = {0};
    struct gh_error error = {0};
    struct config_tuf_ask ask;
    int64_t refreshed = 0;
    char content[DIGEST_MAX_TEXT] = "";
    bool has_status = false;

    if (root->url != NULL) {
        trust_held_ask(config, tenant, root, &ask);
        has_status = trust_held_status(&ask, &status, &refreshed, &error);
    }
    if (root->content != NULL) {
        digest_format(root->content, content);
    }
    if (!self->is_json) {
        text_printf(out, "  %s %s: %s from %s", command_trust_root_state(root, self->now_unix_s),
                    root->name, command_trust_root_kind(root), root->source);
        command_trust_say_moment(self, "refreshed", root->refreshed_unix_s);
        command_trust_say_moment(self, "serves until", root->stale_at_unix_s);
        command_trust_say_moment(self, "certificates end", root->ends_unix_s);
        command_trust_say_moment(self, "lists due", root->lists_end_unix_s);
        if (has_status) {
            text_printf(out, "  root version %lld", (long long)status.root_version);
            command_trust_say_moment(self, "ending", status.root_expires_unix_s);
        }
        text_put(out, "\n");
        return;
    }
    command_trust_begin_item(out);
    command_trust_put_pair(out, "tenant", tenant->name);
    command_trust_put_pair(out, "name", root->name);
    command_trust_put_pair(out, "kind", command_trust_root_kind(root));
    command_trust_put_pair(out, "source", root->source);
    command_trust_put_pair(out, "state", command_trust_root_state(root, self->now_unix_s));
    command_trust_put_pair(out, "content", content);
    command_trust_put_moment(out, "refreshed", root->refreshed_unix_s);
    command_trust_put_moment(out, "stale_at", root->stale_at_unix_s);
    command_trust_put_moment(out, "ends", root->ends_unix_s);
    command_trust_put_moment(out, "lists_due", root->lists_end_unix_s);
    if (has_status) {
        command_trust_put_tuf(out, &status);
    }
    text_put(out, "}");
}

static const char *command_trust_key_state(const struct signer_key *key, int64_t now)
{
    if (key->revoked != SIGNER_NOT_REVOKED) {
        return "revoked";
    }
    if (key_is_weak(key->key)) {
        return "weak";
    }
    if (key->not_before_unix_s > now) {
        return "upcoming";
    }
    return key->not_after_unix_s < now ? "expired" : "good";
}

static void command_trust_key(struct command_trust *self, const struct config_tenant *tenant,
                              const struct signer *signer, const struct signer_key *key)
{
    struct text *out = &self->out;
    char described[64];
    char fingerprint[DIGEST_MAX_TEXT];

    key_describe(key->key, described, sizeof(described));
    digest_format(key_fingerprint(key->key), fingerprint);
    if (!self->is_json) {
        text_printf(out, "  %s %s of %s: %s", command_trust_key_state(key, self->now_unix_s),
                    key->source, signer->name, described);
        command_trust_say_moment(self, "from", key->not_before_unix_s);
        command_trust_say_moment(self, "until", key->not_after_unix_s);
        text_put(out, "\n");
        return;
    }
    command_trust_begin_item(out);
    command_trust_put_pair(out, "tenant", tenant->name);
    command_trust_put_pair(out, "signer", signer->name);
    command_trust_put_pair(out, "key", key->source);
    command_trust_put_pair(out, "algorithm", described);
    command_trust_put_pair(out, "fingerprint", fingerprint);
    command_trust_put_pair(out, "state", command_trust_key_state(key, self->now_unix_s));
    command_trust_put_moment(out, "not_before", key->not_before_unix_s);
    command_trust_put_moment(out, "not_after", key->not_after_unix_s);
    text_put(out, "}");
}

static void command_trust_on_finding(void *context, const struct trust_finding *finding)
{
    struct command_trust *self = context;

    if (!self->is_json) {
        text_printf(&self->out, "  %s: %s\n", finding->rule, finding->text);
        return;
    }
    command_trust_begin_item(&self->out);
    command_trust_put_pair(&self->out, "rule", finding->rule);
    command_trust_put_pair(&self->out, "tenant", self->tenant);
    command_trust_put_pair(&self->out, "subject", finding->subject);
    command_trust_put_pair(&self->out, "message", finding->text);
    text_put(&self->out, "}");
}

static int64_t command_trust_changed(const struct config_root *root)
{
    struct stat facts;

    return root->url == NULL && stat(root->source, &facts) == 0 ? (int64_t)facts.st_mtime
                                                                : INT64_MIN;
}

static void command_trust_findings(struct command_trust *self, const struct config_tenant *tenant)
{
    self->tenant = tenant->name;
    for (size_t i = 0; i < tenant->root_count; i++) {
        trust_lint_root(&tenant->roots[i], command_trust_changed(&tenant->roots[i]),
                        self->now_unix_s, self->cadence_s, command_trust_on_finding, self);
    }
    for (size_t i = 0; i < tenant->snapshot.signer_count; i++) {
        trust_lint_signer(tenant->snapshot.signers[i], self->now_unix_s, self->cadence_s,
                          command_trust_on_finding, self);
    }
}

static bool command_trust_on_answer(const struct answer_record *record, void *arg)
{
    static const char *const kinds[] = {"crl", "ocsp", "vendor"};
    struct command_trust *self = arg;
    struct text *out = &self->out;
    const char *kind = record->kind < GH_COUNT(kinds) ? kinds[record->kind] : "";
    const char *state = record->until_unix_s <= self->now_unix_s ? "ended"
                        : record->due_unix_s <= self->now_unix_s ? "due"
                                                                 : "good";

    if (!self->is_json) {
        text_printf(out, "  %s %s %.*s: %zu bytes", state, kind, (int)record->url.len,
                    (const char *)record->url.data, record->answer.len);
        command_trust_say_moment(self, "fetched", record->fetched_unix_s);
        command_trust_say_moment(self, "until", record->until_unix_s);
        text_put(out, "\n");
        return true;
    }
    command_trust_begin_item(out);
    command_trust_put_pair(out, "kind", kind);
    text_put_key(out, "url");
    text_put_json_bytes(out, record->url.data, record->url.len);
    command_trust_put_pair(out, "state", state);
    text_printf(out, ",\"bytes\":%zu", record->answer.len);
    command_trust_put_moment(out, "fetched", record->fetched_unix_s);
    command_trust_put_moment(out, "due", record->due_unix_s);
    command_trust_put_moment(out, "until", record->until_unix_s);
    text_put(out, "}");
    return true;
}

/* The store may be in use, and there may be none yet. */
static void command_trust_answers(struct command_trust *self, const struct config *config)
{
    const struct store_config asked = {.path = config->storage.path, .is_read_only = true};
    GH_OWN(store_closep) struct store *store = NULL;
    struct gh_error error = {0};

    if (store_open(&asked, &store, &error)) {
        answer_store_each(store, command_trust_on_answer, self);
    }
}

/* One part of the listing: "roots", "keys", "answers" or "findings". */
static void command_trust_part(struct command_trust *self, const struct config *config,
                               const char *part)
{
    size_t before;

    text_printf(&self->out, self->is_json ? "\"%s\":[" : "%s\n", part);
    before = self->out.len;
    if (part[0] == 'a') {
        command_trust_answers(self, config);
    }
    for (size_t t = 0; t < config->tenant_count; t++) {
        const struct config_tenant *tenant = &config->tenants[t];

        if (part[0] == 'f') {
            command_trust_findings(self, tenant);
        }
        for (size_t i = 0; part[0] == 'r' && i < tenant->root_count; i++) {
            command_trust_root(self, config, tenant, &tenant->roots[i]);
        }
        for (size_t i = 0; part[0] == 'k' && i < tenant->snapshot.signer_count; i++) {
            const struct signer *signer = tenant->snapshot.signers[i];

            for (size_t k = 0; k < signer->key_count; k++) {
                command_trust_key(self, tenant, signer, &signer->keys[k]);
            }
        }
    }
    if (!self->is_json && self->out.len == before) {
        text_put(&self->out, "  none\n");
    }
    text_put(&self->out, self->is_json ? "]" : "");
}

static void command_trust_status(struct command_trust *self, const struct config *config)
{
    static const char *const parts[] = {"roots", "keys", "answers", "findings"};

    text_put(&self->out, self->is_json ? "{" : "");
    for (size_t i = 0; i < GH_COUNT(parts); i++) {
        text_put(&self->out, self->is_json && i > 0 ? "," : "");
        command_trust_part(self, config, parts[i]);
    }
    text_put(&self->out, self->is_json ? "}\n" : "");
}

/* ---- update ---- */

static bool command_trust_is_named(const struct command_trust *self, const char *name)
{
    for (int i = 0; i < self->name_count; i++) {
        if (strcmp(self->names[i], name) == 0) {
            return true;
        }
    }
    return self->name_count == 0;
}

static void command_trust_refresh(struct command_trust *self, const struct config *config,
                                  const struct config_tenant *tenant,
                                  const struct config_root *root)
{
    struct tuf_status status = {0};
    struct gh_error error = {0};
    struct config_tuf_ask ask;
    bool is_done;

    trust_held_ask(config, tenant, root, &ask);
    is_done = trust_held_update(&config->fetch, config->is_offline, &ask, self->now_unix_s, NULL,
                                &status, &error);
    self->is_failed = self->is_failed || !is_done;
    if (!self->is_json) {
        if (is_done) {
            text_printf(&self->out, "%s: refreshed, root version %lld, timestamp version %lld\n",
                        root->name, (long long)status.root_version,
                        (long long)status.timestamp_version);
        } else {
            text_printf(&self->out, "%s: not refreshed: %s (%s)\n", root->name, error.text,
                        gh_cause_label(error.cause));
        }
        return;
    }
    command_trust_begin_item(&self->out);
    command_trust_put_pair(&self->out, "tenant", tenant->name);
    command_trust_put_pair(&self->out, "name", root->name);
    text_printf(&self->out, ",\"refreshed\":%s", is_done ? "true" : "false");
    command_trust_put_pair(&self->out, "cause", is_done ? "" : gh_cause_label(error.cause));
    command_trust_put_pair(&self->out, "message", error.text);
    if (is_done) {
        command_trust_put_tuf(&self->out, &status);
    }
    text_put(&self->out, "}");
}

static bool command_trust_check_names(const struct command_trust *self, const struct config *config)
{
    for (int n = 0; n < self->name_count; n++) {
        bool is_known = false;

        for (size_t t = 0; t < config->tenant_count; t++) {
            for (size_t i = 0; i < config->tenants[t].root_count; i++) {
                const struct config_root *root = &config->tenants[t].roots[i];

                is_known =
                    is_known || (root->url != NULL && strcmp(root->name, self->names[n]) == 0);
            }
        }
        if (!is_known) {
            (void)fprintf(stderr, "gatehouse trust: %s is no root with a TUF repository\n",
                          self->names[n]);
            return false;
        }
    }
    return true;
}

static void command_trust_update(struct command_trust *self, const struct config *config)
{
    size_t before;

    text_put(&self->out, self->is_json ? "{\"roots\":[" : "");
    before = self->out.len;
    for (size_t t = 0; t < config->tenant_count; t++) {
        for (size_t i = 0; i < config->tenants[t].root_count; i++) {
            const struct config_root *root = &config->tenants[t].roots[i];

            if (root->url != NULL && command_trust_is_named(self, root->name)) {
                command_trust_refresh(self, config, &config->tenants[t], root);
            }
        }
    }
    if (!self->is_json && self->out.len == before) {
        text_put(&self->out, "no root comes from a TUF repository\n");
    }
    text_put(&self->out, self->is_json ? "]}\n" : "");
}

static int command_trust_run(struct command_trust *self)
{
    struct config_files files = {.tuf = trust_held_load};
    struct config *config = NULL;
    int status = 2;

    self->now_unix_s = (int64_t)time(NULL);
    if (!config_files_load(&files, self->file, self->now_unix_s, false, &config)) {
        return 2;
    }
    text_init(&self->out, COMMAND_TRUST_MAX_OUTPUT);
    if (!self->is_update) {
        command_trust_status(self, config);
        status = 0;
    } else if (command_trust_check_names(self, config)) {
        command_trust_update(self, config);
        status = self->is_failed ? 3 : 0;
    }
    if (fputs(text_cstr(&self->out), stdout) < 0 || !text_ok(&self->out)) {
        status = 2;
    }
    text_done(&self->out);
    config_unref(config);
    return status;
}

/* -1: go on; else the exit status. */
static int command_trust_options(struct command_trust *self, int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"cadence", required_argument, NULL, 'd'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;

    optind = 0;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'c') {
            self->file = optarg;
        } else if (option == 'd' && config_parse_duration(optarg, &self->cadence_s)) {
            continue;
        } else if (option == 'o' && (strcmp(optarg, "json") == 0 || strcmp(optarg, "text") == 0)) {
            self->is_json = optarg[0] == 'j';
        } else {
            (void)fputs(command_trust_help, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    if (self->file == NULL || optind == argc ||
        (strcmp(argv[optind], "status") != 0 && strcmp(argv[optind], "update") != 0)) {
        (void)fputs(command_trust_help, stderr);
        return 2;
    }
    self->is_update = argv[optind][0] == 'u';
    self->names = argv + optind + 1;
    self->name_count = argc - optind - 1;
    if (!self->is_update && self->name_count > 0) {
        (void)fputs(command_trust_help, stderr);
        return 2;
    }
    return -1;
}

int command_trust(int argc, char **argv)
{
    struct command_trust self = {.cadence_s = TRUST_LINT_CADENCE_S};
    int status = command_trust_options(&self, argc, argv);

    if (status >= 0) {
        return status;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return 2;
    }
    status = command_trust_run(&self);
    curl_global_cleanup();
    return status;
}
