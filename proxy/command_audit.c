#include "proxy/command_audit.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/sjson.h"
#include "metrics/audit.h"
#include "metrics/audit_note.h"
#include "metrics/audit_verify.h"
#include "metrics/text.h"
#include "policy/config.h"
#include "policy/config_schema.h"
#include "proxy/config_files.h"
#include "proxy/decision_text.h"

#define COMMAND_AUDIT_MAX_KEYS 16
#define COMMAND_AUDIT_MAX_KEY_BYTES 16384
#define COMMAND_AUDIT_MAX_PATH 4096
#define COMMAND_AUDIT_MAX_OUTPUT (8u * 1024 * 1024)

static const char audit_usage[] =
    "usage: gatehouse audit verify [--expect HEAD] [--key FILE]... [--output text|json] FILE...\n"
    "       gatehouse audit query [--type TYPE] [--since TIME] [--until TIME] [--where "
    "NAME=VALUE]...\n"
    "                             [--output text|json] FILE...\n"
    "\n"
    "verify checks that the files, in this order, are one unbroken chain. query prints the "
    "records\n"
    "that match, one JSON object a line in both forms.\n"
    "\n"
    "      --expect HEAD       a head kept elsewhere (SEQ-HASH or HASH) that must be in the chain\n"
    "      --key FILE          Ed25519 key (PEM, or a C2SP verifier key) that signs checkpoints\n"
    "      --type TYPE         allow, denial, undecided, start, stop, ...\n"
    "      --since, --until    RFC 3339 times, or dates\n"
    "      --where NAME=VALUE  a member's value; NAME may be a path like decision.reason\n"
    "      --output FORMAT     text (default) or json\n"
    "\n"
    "Exit status: 0 good (verify) or found (query), 1 broken or nothing found, 2 wrong usage.\n";

static const char why_usage[] =
    "usage: gatehouse why [-c FILE] [--output text|json] [--log FILE] ID\n"
    "\n"
    "Shows the decision with that id out of the audit log of the configuration, or of --log: the\n"
    "policies, their requirements, the signatures that were tried, what was missing, what to do.\n"
    "\n"
    "Exit status: 0 shown, 1 there is no such decision, 2 wrong usage or configuration.\n";

/* ---- audit verify ---- */

struct audit_keys {
    struct audit_note_key *items[COMMAND_AUDIT_MAX_KEYS];
    size_t count;
};

static void audit_keys_done(struct audit_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        audit_note_key_free(keys->items[i]);
    }
}

/* A PEM key is known under the name its notes carry; a verifier key names itself. */
static bool audit_keys_add(struct audit_keys *keys, const char *path)
{
    GH_OWN(bytes_buf_done) struct bytes_buf data = {0};
    struct gh_error error = {0};
    unsigned mode;
    bool is_pem;

    if (keys->count == COMMAND_AUDIT_MAX_KEYS) {
        (void)fprintf(stderr, "gatehouse audit: at most %d keys\n", COMMAND_AUDIT_MAX_KEYS);
        return false;
    }
    if (!config_files_read(path, COMMAND_AUDIT_MAX_KEY_BYTES, &data, &mode, &error)) {
        (void)fprintf(stderr, "gatehouse audit: %s\n", error.text);
        return false;
    }
    is_pem = bytes_find(bytes_view(&data), BYTES_LITERAL("-----BEGIN")) != SIZE_MAX;
    if (!audit_note_key_read(data.data, data.len, is_pem ? AUDIT_ORIGIN : NULL,
                             &keys->items[keys->count], &error)) {
        (void)fprintf(stderr, "gatehouse audit: %s: %s\n", path, error.text);
        return false;
    }
    keys->count++;
    return true;
}

static void audit_put_head(struct text *out, const struct audit_verify_result *result)
{
    text_printf(out, "%llu-", (unsigned long long)result->last_seq);
    for (size_t i = 0; i < sizeof(result->head); i++) {
        text_printf(out, "%02x", result->head[i]);
    }
}

static void audit_put_result(struct text *out, const struct audit_verify_result *result)
{
    text_printf(out, "%llu records, %llu to %llu; %llu checkpoints",
                (unsigned long long)result->records, (unsigned long long)result->first_seq,
                (unsigned long long)result->last_seq, (unsigned long long)result->checkpoints);
    if (result->signed_seq > 0) {
        text_printf(out, ", signed up to %llu", (unsigned long long)result->signed_seq);
    }
    if (result->repairs > 0 || result->gaps > 0) {
        text_printf(out, "; %llu torn lines repaired, %llu missing tails recorded",
                    (unsigned long long)result->repairs, (unsigned long long)result->gaps);
    }
    if (result->torn_bytes > 0) {
        text_printf(out, "; the last line is torn (%zu bytes): a crash, no tampering",
                    result->torn_bytes);
    }
    text_put(out, "\nhead ");
    audit_put_head(out, result);
}

static void audit_put_json(struct text *out, const struct audit_verify_result *result)
{
    text_printf(out,
                "{\"valid\":true,\"records\":%llu,\"first\":%llu,\"last\":%llu,"
                "\"checkpoints\":%llu,\"signed\":%llu,\"repairs\":%llu,\"gaps\":%llu,"
                "\"torn_bytes\":%zu,\"head\":\"",
                (unsigned long long)result->records, (unsigned long long)result->first_seq,
                (unsigned long long)result->last_seq, (unsigned long long)result->checkpoints,
                (unsigned long long)result->signed_seq, (unsigned long long)result->repairs,
                (unsigned long long)result->gaps, result->torn_bytes);
    audit_put_head(out, result);
    text_put(out, "\"}");
}

static void audit_put_fault(struct text *out, const struct audit_verify_result *result,
                            const char *path, bool is_json)
{
    const struct gh_error *error = &result->fault.error;

    if (!is_json) {
        text_printf(out, "%s:%llu: record %llu: %s [%s]", path,
                    (unsigned long long)result->fault.line, (unsigned long long)result->fault.seq,
                    error->text, gh_cause_label(error->cause));
        return;
    }
    text_put(out, "{\"valid\":false");
    text_put_key(out, "file");
    text_put_json(out, path);
    text_printf(out, ",\"line\":%llu,\"record\":%llu", (unsigned long long)result->fault.line,
                (unsigned long long)result->fault.seq);
    text_put_key(out, "cause");
    text_put_json(out, gh_cause_label(error->cause));
    text_put_key(out, "message");
    text_put_json(out, error->text);
    text_put(out, "}");
}

static int audit_run_verify(char **paths, size_t count, const char *expect,
                            const struct audit_keys *keys, bool is_json)
{
    const struct audit_verify_options options = {
        .expect = expect,
        .keys = (const struct audit_note_key *const *)keys->items,
        .key_count = keys->count,
    };
    struct audit_verify_result result = {0};
    struct gh_error error = {0};
    struct text out;
    bool is_valid = audit_verify((const char *const *)paths, count, &options, &result, &error);

    if (!is_valid && !result.fault.is_found) {
        (void)fprintf(stderr, "gatehouse audit: %s\n", error.text);
        return error.cause == GH_INTERNAL_ERROR ? 2 : 1;
    }
    text_init(&out, COMMAND_AUDIT_MAX_OUTPUT);
    if (!is_valid) {
        audit_put_fault(&out, &result, result.fault.file < count ? paths[result.fault.file] : "",
                        is_json);
    } else if (is_json) {
        audit_put_json(&out, &result);
    } else {
        audit_put_result(&out, &result);
    }
    (void)puts(text_cstr(&out));
    text_done(&out);
    return is_valid ? 0 : 1;
}

/* ---- audit query ---- */

struct audit_search {
    const struct audit_filter *filter;
    uint64_t found;
    struct text *last; /* `why`: keep the last record that matches; NULL: print all */
};

static bool audit_on_line(const char *line, size_t len, uint64_t number, uint64_t offset,
                          bool is_torn, void *arg)
{
    struct audit_search *search = arg;

    if (is_torn || !audit_filter_match(search->filter, line, len)) {
        return true;
    }
    search->found++;
    if (search->last == NULL) {
        return fwrite(line, 1, len, stdout) == len && fputc('\n', stdout) == '\n';
    }
    text_clear(search->last);
    text_put_bytes(search->last, line, len);
    return true;
}

static int audit_run_query(char **paths, size_t count, const struct audit_filter *filter)
{
    struct audit_search search = {.filter = filter};

    for (size_t i = 0; i < count; i++) {
        struct gh_error error = {0};

        if (!audit_each_line(paths[i], audit_on_line, &search, &error)) {
            (void)fprintf(stderr, "gatehouse audit: %s\n", error.text);
            return 2;
        }
    }
    return search.found > 0 ? 0 : 1;
}

static bool audit_read_time(const char *text, int64_t *unix_ms)
{
    int64_t unix_s;

    if (!config_parse_time(text, CONFIG_START, &unix_s)) {
        (void)fprintf(stderr, "gatehouse audit: \"%s\" is no RFC 3339 time with Z and no date\n",
                      text);
        return false;
    }
    *unix_ms = unix_s * 1000;
    return true;
}

/* NAME=VALUE; splits the argument where it stands. */
static bool audit_read_where(char *text, struct audit_filter *filter)
{
    char *equals = strchr(text, '=');

    if (equals == NULL || filter->field_count == AUDIT_QUERY_MAX_FIELDS) {
        (void)fputs(audit_usage, stderr);
        return false;
    }
    *equals = '\0';
    filter->fields[filter->field_count].name = text;
    filter->fields[filter->field_count++].value = equals + 1;
    return true;
}

static int audit_run(bool is_query, int argc, char **argv, struct audit_keys *keys)
{
    static const struct option options[] = {{"expect", required_argument, NULL, 'e'},
                                            {"key", required_argument, NULL, 'k'},
                                            {"type", required_argument, NULL, 't'},
                                            {"since", required_argument, NULL, 's'},
                                            {"until", required_argument, NULL, 'u'},
                                            {"where", required_argument, NULL, 'w'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct audit_filter filter = {0};
    const char *expect = NULL;
    bool is_ok = true;
    bool is_json = false;
    int option;

    optind = 2;
    while (is_ok && (option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            (void)fputs(audit_usage, stdout);
            return 0;
        }
        if (option == 'e' && !is_query) {
            expect = optarg;
        } else if (option == 'k' && !is_query) {
            is_ok = audit_keys_add(keys, optarg);
        } else if (option == 't' && is_query) {
            filter.type = optarg;
        } else if ((option == 's' || option == 'u') && is_query) {
            is_ok = audit_read_time(optarg,
                                    option == 's' ? &filter.since_unix_ms : &filter.until_unix_ms);
        } else if (option == 'o' && (strcmp(optarg, "text") == 0 || strcmp(optarg, "json") == 0)) {
            is_json = optarg[0] == 'j';
        } else if (option == 'w' && is_query) {
            is_ok = audit_read_where(optarg, &filter);
        } else {
            (void)fputs(audit_usage, stderr);
            is_ok = false;
        }
    }
    if (!is_ok) {
        return 2;
    }
    if (optind >= argc) {
        (void)fputs(audit_usage, stderr);
        return 2;
    }
    return is_query
               ? audit_run_query(argv + optind, (size_t)(argc - optind), &filter)
               : audit_run_verify(argv + optind, (size_t)(argc - optind), expect, keys, is_json);
}

int command_audit(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    struct audit_keys keys = {0};
    int status;

    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) {
        (void)fputs(audit_usage, stdout);
        return 0;
    }
    if (strcmp(verb, "verify") != 0 && strcmp(verb, "query") != 0) {
        (void)fputs(audit_usage, stderr);
        return 2;
    }
    status = audit_run(strcmp(verb, "query") == 0, argc, argv, &keys);
    audit_keys_done(&keys);
    return status;
}

/* ---- why ---- */

/* The record's decision, shown; a record that repeats a known decision does not carry it. */
static int why_show(const struct text *record, const char *id, bool is_json)
{
    GH_OWN(sjson_freep) json_t *doc = NULL;
    json_t *decision = NULL;
    struct gh_error error = {0};
    struct text out;
    int status = 1;

    if (!sjson_parse_object(bytes_make(record->data, record->len), COMMAND_AUDIT_MAX_OUTPUT, &doc,
                            &error) ||
        !sjson_opt_object(doc, "decision", &decision, &error) || decision == NULL) {
        (void)fprintf(stderr, "gatehouse why: the record of %s cannot be read\n", id);
        return 1;
    }
    text_init(&out, COMMAND_AUDIT_MAX_OUTPUT);
    if (is_json) {
        char *json = json_dumps(decision, JSON_COMPACT | JSON_PRESERVE_ORDER);

        text_put(&out, json != NULL ? json : "{}");
        text_put(&out, "\n");
        free(json);
    } else {
        decision_text_people(&out, decision);
    }
    if (text_ok(&out) && fputs(text_cstr(&out), stdout) >= 0) {
        status = 0;
    }
    text_done(&out);
    return status;
}

static int why_search(const char *path, const char *id, bool is_json)
{
    struct audit_filter filter = {.fields = {{.name = "decision.id", .value = id}},
                                  .field_count = 1};
    struct audit_search search = {.filter = &filter};
    struct gh_error error = {0};
    struct text record;
    int status;

    text_init(&record, COMMAND_AUDIT_MAX_OUTPUT);
    search.last = &record;
    if (!audit_each_line(path, audit_on_line, &search, &error)) {
        (void)fprintf(stderr, "gatehouse why: %s\n", error.text);
        status = 2;
    } else if (search.found == 0) {
        (void)fprintf(stderr, "gatehouse why: %s has no decision %s\n", path, id);
        status = 1;
    } else {
        status = why_show(&record, id, is_json);
    }
    text_done(&record);
    return status;
}

/* Where the configuration keeps its audit log. */
static bool why_find_log(const char *config_path, char *out, size_t size)
{
    struct config_files files = {0};
    struct config *config = NULL;
    int len;

    if (!config_files_load(&files, config_path, (int64_t)time(NULL), false, &config)) {
        return false;
    }
    len = snprintf(out, size, "%s", config->audit.path);
    config_unref(config);
    return len > 0 && (size_t)len < size;
}

int command_why(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"log", required_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    char path[COMMAND_AUDIT_MAX_PATH] = "/var/lib/gatehouse/audit.jsonl";
    const char *config = NULL;
    const char *log = NULL;
    bool is_json = false;
    int option;

    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'c') {
            config = optarg;
        } else if (option == 'l') {
            log = optarg;
        } else if (option == 'o' && (strcmp(optarg, "json") == 0 || strcmp(optarg, "text") == 0)) {
            is_json = optarg[0] == 'j';
        } else {
            (void)fputs(why_usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    if (optind + 1 != argc) {
        (void)fputs(why_usage, stderr);
        return 2;
    }
    if (log == NULL && config != NULL && !why_find_log(config, path, sizeof(path))) {
        return 2;
    }
    return why_search(log != NULL ? log : path, argv[optind], is_json);
}
